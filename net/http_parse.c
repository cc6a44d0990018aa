/* SPDX-License-Identifier: Apache-2.0 */
/* Heads read and judged: a request by the node, the reply to it by the device. */
#include "net/http.h"
#include "net/http_internal.h"

#include <string.h>

#define HTTP_1_0 10
#define HTTP_1_1 11

struct request_line {
    struct span method, target;
    int version;
};

static bool is_hex(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Visible ASCII without what RFC 3986 allows in no path or query; each '%' has its two digits. */
static bool target_is_valid(struct span target) {
    for (size_t i = 0; i < target.length; i++) {
        char c = target.at[i];
        if (c <= ' ' || c >= 0x7F || strchr("\"#<>[\\]^`{|}", c) != NULL)
            return false;
        if (c == '%' &&
            (target.length - i < 3 || !is_hex(target.at[i + 1]) || !is_hex(target.at[i + 2])))
            return false;
    }
    return target.length > 0;
}

/* method SP target SP version (RFC 9112 section 3). 0, or the status to refuse it with. */
static unsigned read_request_line(struct span line, struct request_line *request) {
    request->method = http_cut(&line, ' ');
    request->target = http_cut(&line, ' ');
    request->version = http_read_version(line);
    if (!http_span_is_token(request->method) || !target_is_valid(request->target) ||
        request->version < 0)
        return 400;
    return request->version < HTTP_1_0 || request->version >= 20 ? 505 : 0;
}

/* The path in origin form, or in absolute form (RFC 9112 section 3.2), without its query. */
static bool read_path(struct span target, struct span *path) {
    static const char scheme[] = "http://";
    size_t scheme_chars = sizeof scheme - 1;
    if (target.length > scheme_chars && memcmp(target.at, scheme, scheme_chars) == 0) {
        const char *authority = target.at + scheme_chars;
        size_t rest = target.length - scheme_chars;
        const char *slash = memchr(authority, '/', rest);
        if (slash == NULL || slash == authority)
            return false;
        target.at = slash;
        target.length = (size_t)(authority + rest - slash);
    }
    *path = http_cut(&target, '?');
    return path->length > 0 && path->at[0] == '/';
}

static enum parse_result junk(struct http_request *request, unsigned status) {
    *request = (struct http_request){.kind = HTTP_REQUEST_REFUSED, .status = status};
    return PARSE_JUNK;
}

/* The status with which a request to become WebSocket is answered (RFC 6455 section 4.2.1). */
static unsigned judge_upgrade(const struct http_fields *fields, struct span path) {
    if (!http_span_is(path, HTTP_UPGRADE_PATH))
        return 404;
    if (fields->versions == 0)
        return 400;
    if (!http_span_is(fields->version, "13"))
        return 426;
    if (!websocket_key_is_valid(fields->key.at, fields->key.length))
        return 400;
    return fields->subprotocol_is_ours ? 101 : 400;
}

/* Whether a request that is well-formed is served, and as what. */
static void judge(const struct request_line *line, const struct http_fields *fields,
                  struct span path, struct http_request *request) {
    bool get = http_span_is(line->method, "GET"), head = http_span_is(line->method, "HEAD");
    bool upgrade = get && line->version >= HTTP_1_1 && fields->connection_has_upgrade &&
                   fields->upgrade_has_websocket;
    if (!get && !head)
        request->status = 405;
    else if (fields->has_transfer_encoding || fields->content_length > 0)
        request->status = 413; /* nothing here takes a body */
    else if (upgrade)
        request->status = judge_upgrade(fields, path);
    else
        request->status = http_span_is(path, HTTP_UPGRADE_PATH) ? 426 : 200;

    request->kind = HTTP_REQUEST_REFUSED;
    if (request->status == 101)
        request->kind = HTTP_REQUEST_UPGRADE;
    else if (request->status == 200)
        request->kind = get ? HTTP_REQUEST_GET : HTTP_REQUEST_HEAD;
    request->path = path.at;
    request->path_length = path.length;
    request->key = request->status == 101 ? fields->key.at : NULL;
}

/* The field lines: behind the first line's CR LF, without the empty line. */
static struct span field_lines(const uint8_t *bytes, struct span first_line, size_t head_bytes) {
    size_t at = first_line.length + 2;
    return (struct span){(const char *)bytes + at, head_bytes - 2 - at};
}

enum parse_result http_parse_request(const uint8_t *bytes, size_t length,
                                     struct http_request *request) {
    struct span first_line, path = {0};
    struct request_line line = {0};
    struct http_fields fields;
    size_t head_bytes = 0;
    enum parse_result result = http_find_head(bytes, length, &first_line, &head_bytes);
    /* The first line is judged as soon as it is there, whatever comes behind it. */
    unsigned status = first_line.length > 0 ? read_request_line(first_line, &line) : 0;
    *request = (struct http_request){.kind = HTTP_REQUEST_REFUSED};
    if (status != 0)
        return junk(request, status);
    if (result == PARSE_COMPLETE)
        result = http_read_fields(field_lines(bytes, first_line, head_bytes), &fields);
    if (result == PARSE_JUNK)
        return junk(request, 400);
    if (result == PARSE_TOO_BIG)
        request->status = 431;
    if (result != PARSE_COMPLETE)
        return result;

    bool is_served = http_span_is(line.method, "GET") || http_span_is(line.method, "HEAD");
    if ((fields.hosts == 0 && line.version >= HTTP_1_1) ||
        (!read_path(line.target, &path) && is_served)) /* "*" and the like are of other methods */
        return junk(request, 400);
    judge(&line, &fields, path, request);
    request->head_bytes = head_bytes;
    return PARSE_COMPLETE;
}

/* version SP three digits SP reason (RFC 9112 section 4). */
static bool read_status_line(struct span line, struct http_reply *reply, int *version) {
    *version = http_read_version(http_cut(&line, ' '));
    struct span digits = http_cut(&line, ' ');
    if (*version < HTTP_1_0 || *version >= 20 || digits.length != 3)
        return false;
    reply->status = 0;
    for (unsigned i = 0; i < 3; i++) {
        if (digits.at[i] < '0' || digits.at[i] > '9')
            return false;
        reply->status = reply->status * 10 + (unsigned)(digits.at[i] - '0');
    }
    /* there is nothing that we would wait for behind an interim reply */
    return reply->status == 101 || (reply->status >= 200 && reply->status <= 599);
}

/* What RFC 6455 section 4.1 makes a client check. */
static bool upgrade_is_valid(const struct http_fields *fields,
                             const char key[WEBSOCKET_KEY_CHARS]) {
    char accept[WEBSOCKET_ACCEPT_CHARS + 1];
    websocket_make_accept(accept, key);
    return fields->connection_has_upgrade && fields->upgrade_has_websocket &&
           http_span_is(fields->accept, accept) && fields->subprotocols == 1 &&
           fields->subprotocol_is_ours && !fields->has_extensions;
}

enum parse_result http_parse_reply(const uint8_t *bytes, size_t length,
                                   const char key[WEBSOCKET_KEY_CHARS], struct http_reply *reply) {
    struct span first_line;
    struct http_fields fields;
    size_t head_bytes = 0;
    int version = 0;
    enum parse_result result = http_find_head(bytes, length, &first_line, &head_bytes);
    *reply = (struct http_reply){0};
    if (result == PARSE_JUNK ||
        (first_line.length > 0 && !read_status_line(first_line, reply, &version)))
        return PARSE_JUNK;
    if (result == PARSE_COMPLETE)
        result = http_read_fields(field_lines(bytes, first_line, head_bytes), &fields);
    if (result != PARSE_COMPLETE)
        return result;
    if (reply->status == 101 && (version < HTTP_1_1 || !upgrade_is_valid(&fields, key)))
        return PARSE_JUNK;
    reply->retry_after_s = fields.retry_after_s;
    reply->head_bytes = head_bytes;
    return PARSE_COMPLETE;
}

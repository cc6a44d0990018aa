/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a head that requests and replies have in common (RFC 9112 sections 2 to 5). */
#include "net/http.h"
#include "net/http_internal.h"

#include <string.h>
#include <strings.h>

/* May this byte stand in a head beside CR and LF? Visible ones, space, tab, and obs-text. */
static bool is_text(uint8_t byte) {
    return (byte >= 0x20 && byte != 0x7F) || byte == '\t';
}

static bool is_space(char c) {
    return c == ' ' || c == '\t';
}

enum parse_result http_find_head(const uint8_t *bytes, size_t length, struct span *first_line,
                                 size_t *head_bytes) {
    size_t line_at = 0, end = length < HTTP_HEAD_BYTES_MAX ? length : HTTP_HEAD_BYTES_MAX;
    *first_line = (struct span){(const char *)bytes, 0};
    for (size_t i = 0; i < end; i++) {
        if (bytes[i] == '\r') {
            if (i + 1 == end)
                break;
            if (bytes[i + 1] != '\n' || i == 0)
                return PARSE_JUNK;
            if (i == line_at) {
                *head_bytes = i + 2;
                return PARSE_COMPLETE;
            }
            if (line_at == 0)
                first_line->length = i;
            line_at = ++i + 1;
        } else if (!is_text(bytes[i]) || (i == line_at && is_space((char)bytes[i]))) {
            return PARSE_JUNK; /* a control character, or a folded line */
        }
    }
    return length < HTTP_HEAD_BYTES_MAX ? PARSE_MORE : PARSE_TOO_BIG;
}

struct span http_cut(struct span *rest, char separator) {
    const char *found = memchr(rest->at, separator, rest->length);
    struct span part = {rest->at, found == NULL ? rest->length : (size_t)(found - rest->at)};
    size_t taken = part.length + (found != NULL);
    rest->at += taken;
    rest->length -= taken;
    return part;
}

bool http_span_is(struct span span, const char *text) {
    return span.length == strlen(text) && memcmp(span.at, text, span.length) == 0;
}

/* Names of fields and options are the same in either case. */
static bool span_is_name(struct span span, const char *name) {
    return span.length == strlen(name) && strncasecmp(span.at, name, span.length) == 0;
}

bool http_span_is_token(struct span span) {
    for (size_t i = 0; i < span.length; i++) {
        char c = span.at[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool digit = c >= '0' && c <= '9';
        if (!letter && !digit && (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL))
            return false;
    }
    return span.length > 0;
}

int http_read_version(struct span span) {
    const char *at = span.at;
    if (span.length != 8 || memcmp(at, "HTTP/", 5) != 0 || at[5] < '0' || at[5] > '9' ||
        at[6] != '.' || at[7] < '0' || at[7] > '9')
        return -1;
    return 10 * (at[5] - '0') + at[7] - '0';
}

static struct span trim(struct span span) {
    while (span.length > 0 && is_space(span.at[0])) {
        span.at++;
        span.length--;
    }
    while (span.length > 0 && is_space(span.at[span.length - 1]))
        span.length--;
    return span;
}

/* Digits only, at most `max` (what is larger is `max`); false if it is anything else. */
static bool read_number(struct span span, uint64_t max, uint64_t *number) {
    uint64_t value = 0;
    for (size_t i = 0; i < span.length; i++) {
        if (span.at[i] < '0' || span.at[i] > '9')
            return false;
        unsigned digit = (unsigned)(span.at[i] - '0');
        value = value > (max - digit) / 10 ? max : value * 10 + digit;
    }
    *number = value;
    return span.length > 0;
}

/* Is `name` one of a comma-separated list? Empty elements count for nothing (RFC 9110
 * section 5.6.1). */
static bool list_has(struct span list, const char *name, bool either_case) {
    while (list.length > 0) {
        struct span element = trim(http_cut(&list, ','));
        if (either_case ? span_is_name(element, name) : http_span_is(element, name))
            return true;
    }
    return false;
}

/* One function per field that matters; each says whether the value may stand. */

static bool take_host(struct http_fields *fields, struct span value) {
    fields->hosts++;
    fields->host = value;
    for (size_t i = 0; i < value.length;
         i++) { /* uri-host, port: no space, quote, slash, or such */
        struct span one = {value.at + i, 1};
        if (!http_span_is_token(one) && strchr(":[]();,=", value.at[i]) == NULL)
            return false;
    }
    return fields->hosts == 1;
}

static bool take_connection(struct http_fields *fields, struct span value) {
    fields->connection_has_upgrade |= list_has(value, "upgrade", true);
    return true;
}

static bool take_upgrade(struct http_fields *fields, struct span value) {
    fields->upgrade_has_websocket |= list_has(value, "websocket", true);
    return true;
}

static bool take_key(struct http_fields *fields, struct span value) {
    fields->key = value;
    return ++fields->keys == 1;
}

static bool take_version(struct http_fields *fields, struct span value) {
    fields->version = value;
    return ++fields->versions == 1;
}

static bool take_accept(struct http_fields *fields, struct span value) {
    fields->accept = value;
    return ++fields->accepts == 1;
}

static bool take_subprotocol(struct http_fields *fields, struct span value) {
    fields->subprotocol_is_ours |= list_has(value, HTTP_SUBPROTOCOL, false);
    while (value.length > 0)
        fields->subprotocols += trim(http_cut(&value, ',')).length > 0;
    return true;
}

static bool take_extensions(struct http_fields *fields, struct span value) {
    fields->has_extensions = true;
    return true;
}

static bool take_content_length(struct http_fields *fields, struct span value) {
    return ++fields->lengths == 1 && read_number(value, UINT64_MAX, &fields->content_length);
}

static bool take_transfer_encoding(struct http_fields *fields, struct span value) {
    fields->has_transfer_encoding = true;
    return true;
}

static bool take_retry_after(struct http_fields *fields, struct span value) {
    uint64_t seconds;
    if (read_number(value, 24 * 3600, &seconds)) /* else it is a date: we have no clock */
        fields->retry_after_s = (unsigned)seconds;
    return true;
}

static const struct {
    const char *name;
    bool (*take)(struct http_fields *fields, struct span value);
} known_fields[] = {
    {"Host", take_host},
    {"Connection", take_connection},
    {"Upgrade", take_upgrade},
    {"Sec-WebSocket-Key", take_key},
    {"Sec-WebSocket-Version", take_version},
    {"Sec-WebSocket-Accept", take_accept},
    {"Sec-WebSocket-Protocol", take_subprotocol},
    {"Sec-WebSocket-Extensions", take_extensions},
    {"Content-Length", take_content_length},
    {"Transfer-Encoding", take_transfer_encoding},
    {"Retry-After", take_retry_after},
};

/* name ":" OWS value OWS; no space before the colon (RFC 9112 section 5.1). */
static bool take_field(struct http_fields *fields, struct span line) {
    if (memchr(line.at, ':', line.length) == NULL)
        return false;
    struct span name = http_cut(&line, ':'), value = trim(line);
    if (!http_span_is_token(name))
        return false;
    for (size_t i = 0; i < sizeof known_fields / sizeof *known_fields; i++) {
        if (span_is_name(name, known_fields[i].name))
            return known_fields[i].take(fields, value);
    }
    return true;
}

enum parse_result http_read_fields(struct span lines, struct http_fields *fields) {
    *fields = (struct http_fields){0};
    for (unsigned count = 0; lines.length > 0; count++) {
        struct span line = http_cut(&lines, '\n');
        if (count == HTTP_FIELDS_MAX)
            return PARSE_TOO_BIG;
        line.length--; /* the CR: http_find_head has seen to it */
        if (!take_field(fields, line))
            return PARSE_JUNK;
    }
    return fields->has_transfer_encoding && fields->lengths > 0 ? PARSE_JUNK : PARSE_COMPLETE;
}

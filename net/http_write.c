/* SPDX-License-Identifier: Apache-2.0 */
/* Heads written: the node's responses, one table of them, and the device's request. */
#include "net/http.h"
#include "runtime/check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct status {
    unsigned code;
    const char *reason;
    const char *fields; /* what this status must say, each with CR LF */
};

#define CLOSE "Connection: close\r\n"

static const struct status statuses[] = {
    {200, "OK", CLOSE},
    {400, "Bad Request", CLOSE},
    {404, "Not Found", CLOSE},
    {405, "Method Not Allowed", "Allow: GET, HEAD\r\n" CLOSE},
    {413, "Content Too Large", CLOSE},
    {426, "Upgrade Required",
     "Upgrade: websocket\r\nConnection: Upgrade, close\r\nSec-WebSocket-Version: 13\r\n"},
    {431, "Request Header Fields Too Large", CLOSE},
    {503, "Service Unavailable", CLOSE},
    {505, "HTTP Version Not Supported", CLOSE},
};

static const struct status *find_status(unsigned code) {
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        if (statuses[i].code == code)
            return &statuses[i];
    }
    return NULL;
}

/* snprintf's answer as ours. */
static int written(int length, size_t capacity) {
    return length >= 0 && (size_t)length < capacity ? length : -ENOSPC;
}

int http_write_head(char *out, size_t capacity, const struct http_response *response) {
    const struct status *status = find_status(response->status);
    CHECK(status != NULL);
    char retry_after[sizeof "Retry-After: 4294967295\r\n"] = "";
    if (response->retry_after_s > 0)
        snprintf(retry_after, sizeof retry_after, "Retry-After: %u\r\n", response->retry_after_s);
    const char *type = response->content_type;
    int length =
        snprintf(out, capacity,
                 "HTTP/1.1 %u %s\r\n"
                 "Content-Type: %s\r\n"
                 "Content-Length: %zu\r\n"
                 "Cache-Control: no-store\r\n"
                 "%s%s\r\n",
                 status->code, status->reason, type != NULL ? type : "text/plain; charset=utf-8",
                 response->body_bytes, retry_after, status->fields);
    return written(length, capacity);
}

int http_write_answer(char *out, size_t capacity, unsigned code, unsigned retry_after_s,
                      bool head_only) {
    const struct status *status = find_status(code);
    CHECK(status != NULL);
    size_t body_bytes = strlen(status->reason) + 1;
    int head_bytes = http_write_head(out, capacity,
                                     &(struct http_response){.status = code,
                                                             .body_bytes = body_bytes,
                                                             .retry_after_s = retry_after_s});
    if (head_bytes < 0 || head_only)
        return head_bytes;
    int length = snprintf(out + head_bytes, capacity - (size_t)head_bytes, "%s\n", status->reason);
    return written(head_bytes + length, capacity);
}

int http_write_upgrade(char *out, size_t capacity, const char key[WEBSOCKET_KEY_CHARS]) {
    char accept[WEBSOCKET_ACCEPT_CHARS + 1];
    websocket_make_accept(accept, key);
    int length = snprintf(out, capacity,
                          "HTTP/1.1 101 Switching Protocols\r\n"
                          "Upgrade: websocket\r\n"
                          "Connection: Upgrade\r\n"
                          "Sec-WebSocket-Accept: %s\r\n"
                          "Sec-WebSocket-Protocol: " HTTP_SUBPROTOCOL "\r\n\r\n",
                          accept);
    return written(length, capacity);
}

int http_write_request(char *out, size_t capacity, const struct url *url,
                       const char key[WEBSOCKET_KEY_CHARS]) {
    char authority[URL_AUTHORITY_CHARS_MAX + 1];
    int authority_chars = url_write_authority(authority, sizeof authority, url);
    CHECK(authority_chars > 0);
    int length = snprintf(out, capacity,
                          "GET %s HTTP/1.1\r\n"
                          "Host: %s\r\n"
                          "Upgrade: websocket\r\n"
                          "Connection: Upgrade\r\n"
                          "Sec-WebSocket-Key: %.*s\r\n"
                          "Sec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Protocol: " HTTP_SUBPROTOCOL "\r\n\r\n",
                          url->path, authority, WEBSOCKET_KEY_CHARS, key);
    return written(length, capacity);
}

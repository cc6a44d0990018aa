/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As much HTTP/1.1 (RFC 9110, RFC 9112) as the upgrade to WebSocket and a health check need, for
 * both ends.
 *
 * A server reads one request head per connection, of at most HTTP_HEAD_BYTES_MAX bytes, and either
 * goes on as WebSocket or answers and closes; so there are no bodies to read and nothing is kept
 * alive. What is lenient in other servers is refused here: bare LF, obsolete line folding, spaces
 * before a colon, control characters, a doubled Host or key, a body.
 *
 * The parsers are incremental without state: give all bytes since the connection's begin, again
 * with more behind them after PARSE_MORE. Wrong bytes are refused as soon as they are there, not at
 * the head's end.
 *
 * Pure: no allocation, no clock (so no Date). What comes out points into the caller's bytes. Any
 * thread.
 */
#ifndef TERN_NET_HTTP_H
#define TERN_NET_HTTP_H

#include "net/parse.h"
#include "net/url.h"
#include "net/websocket.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_BYTES_MAX 8192
#define HTTP_FIELDS_MAX 64
#define HTTP_UPGRADE_PATH "/v1"
#define HTTP_SUBPROTOCOL "tern.v1"

enum http_request_kind {
    HTTP_REQUEST_REFUSED, /* answer request.status and close */
    HTTP_REQUEST_UPGRADE, /* answer 101 with request.key and go on as WebSocket */
    HTTP_REQUEST_GET,     /* a plain GET of request.path: the caller knows what it serves, or 404 */
    HTTP_REQUEST_HEAD,    /* the same without the body */
};

struct http_request {
    enum http_request_kind kind;
    unsigned
        status; /* REFUSED, and whenever the result isn't MORE: 400, 404, 405, 413, 426, 431, 505 */
    const char *path; /* GET, HEAD, UPGRADE: begins with '/', without query; not NUL-terminated */
    size_t path_length;
    const char *key;   /* UPGRADE: the WEBSOCKET_KEY_CHARS characters of Sec-WebSocket-Key */
    size_t head_bytes; /* COMPLETE: what comes behind them is WebSocket's */
};

/* COMPLETE: a whole, valid head, though it may be one that is to be refused (see kind). JUNK:
 * `status` says what to answer (400, 505). TOO_BIG: the head goes beyond HTTP_HEAD_BYTES_MAX or
 * HTTP_FIELDS_MAX (431). */
enum parse_result http_parse_request(const uint8_t *bytes, size_t length,
                                     struct http_request *request);

struct http_response {
    unsigned status;          /* 101, 200, 400, 404, 405, 413, 426, 431, 503, 505 */
    const char *content_type; /* at most 100 characters; NULL: text/plain */
    size_t body_bytes;        /* Content-Length; the body itself is the caller's to append */
    unsigned retry_after_s;   /* 503: Retry-After; 0: none */
};

#define HTTP_RESPONSE_HEAD_BYTES_MAX 512

/* Each returns the length of what it has written, which is below `capacity` (a NUL stands behind
 * it), or -ENOSPC. HTTP_RESPONSE_HEAD_BYTES_MAX always suffices. */

/* The head of any response but 101; says Connection: close, and what each status must say (405:
 * Allow, 426: Upgrade and Sec-WebSocket-Version: 13). */
int http_write_head(char *out, size_t capacity, const struct http_response *response);
/* A whole answer: head, and its reason as a line of text (left out if `head_only`). */
int http_write_answer(char *out, size_t capacity, unsigned status, unsigned retry_after_s,
                      bool head_only);
/* 101 Switching Protocols for the request's key. */
int http_write_upgrade(char *out, size_t capacity, const char key[WEBSOCKET_KEY_CHARS]);

/* The device's end: the request, and what the node said. `key` is websocket_make_key's. */
#define HTTP_REQUEST_BYTES_MAX 1024
int http_write_request(char *out, size_t capacity, const struct url *url,
                       const char key[WEBSOCKET_KEY_CHARS]);

struct http_reply {
    unsigned status;        /* 101: the connection is WebSocket's from here on; else refused */
    unsigned retry_after_s; /* 0: not said */
    size_t head_bytes;      /* COMPLETE: what comes behind them is WebSocket's (after 101) */
};

/* COMPLETE: a whole head. One that says 101 has been checked: Upgrade, Connection, the accept of
 * `key`, our subprotocol and no extension, else JUNK. TOO_BIG: beyond HTTP_HEAD_BYTES_MAX or
 * HTTP_FIELDS_MAX. */
enum parse_result http_parse_reply(const uint8_t *bytes, size_t length,
                                   const char key[WEBSOCKET_KEY_CHARS], struct http_reply *reply);

#endif

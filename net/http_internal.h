/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What requests and replies share: finding a head's end, and reading its fields into one struct.
 *
 * A head is looked at twice: once byte by byte for its end and for bytes that may stand in no head,
 * then, when it is whole, line by line. Nothing is kept between two calls.
 */
#ifndef TERN_NET_HTTP_INTERNAL_H
#define TERN_NET_HTTP_INTERNAL_H

#include "net/parse.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Characters somewhere in the head. */
struct span {
    const char *at;
    size_t length;
};

/* The fields that matter here; what is counted may be refused for being doubled. */
struct http_fields {
    unsigned hosts, keys, versions, accepts, lengths;
    struct span host, key, version, accept;
    bool connection_has_upgrade;
    bool upgrade_has_websocket;
    bool subprotocol_is_ours; /* offered, or chosen */
    unsigned subprotocols;
    bool has_extensions;
    bool has_transfer_encoding;
    uint64_t content_length;
    unsigned retry_after_s;
};

/* Finds the end of the head. COMPLETE: *head_bytes, with the empty line. JUNK as soon as a byte is
 * wrong. *first_line is set as soon as that line is whole, else its length is 0. */
enum parse_result http_find_head(const uint8_t *bytes, size_t length, struct span *first_line,
                                 size_t *head_bytes);

/* Reads all field lines of `lines` (each ends with CR LF; without the empty line). COMPLETE, JUNK,
 * or TOO_BIG (more than HTTP_FIELDS_MAX). */
enum parse_result http_read_fields(struct span lines, struct http_fields *fields);

/* Cuts the part before `separator` off; the whole rest if there is none. */
struct span http_cut(struct span *rest, char separator);

bool http_span_is(struct span span, const char *text);
bool http_span_is_token(struct span span); /* RFC 9110 section 5.6.2; not empty */
/* "HTTP/1.1" and the like: 10 * major + minor, or -1. */
int http_read_version(struct span span);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses of nodes as people write them: ws://host[:port][/path], or wss:// for TLS (RFC 6455
 * section 3, RFC 3986).
 *
 * Pure: nothing is resolved here. No user information, no fragment.
 */
#ifndef TERN_NET_URL_H
#define TERN_NET_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define URL_HOST_CHARS_MAX 253
#define URL_PATH_CHARS_MAX 255
#define URL_DEFAULT_PORT 80    /* RFC 6455 section 3 */
#define URL_SECURE_PORT 443    /* ... of wss:// */
#define URL_DEFAULT_PATH "/v1" /* when the text names none, or only "/" */

struct url {
    char host[URL_HOST_CHARS_MAX + 1]; /* a name or a numeric address; IPv6 without its brackets */
    bool host_is_ipv6;
    bool secure; /* wss://: TLS is the caller's business */
    uint16_t port;
    char path[URL_PATH_CHARS_MAX + 1]; /* with its query, begins with '/' */
};

/* 0; -EPROTONOSUPPORT: another scheme than ws and wss; -ENAMETOOLONG; -EINVAL: anything else that
 * is wrong. `url` stays untouched on failure. */
int url_parse(const char *text, struct url *url);

/* "host", "host:7700", "[::1]:7700": what belongs into Host (the scheme's default port is left
 * out). Returns
 * its length, which is below `capacity`, or -ENOSPC. */
#define URL_AUTHORITY_CHARS_MAX (URL_HOST_CHARS_MAX + 2 + 6)
int url_write_authority(char *out, size_t capacity, const struct url *url);

#endif

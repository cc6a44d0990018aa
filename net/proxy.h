/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PROXY protocol, version 2: what a load balancer says about the client that it speaks for,
 * before the client's own bytes (haproxy's doc/proxy-protocol.txt, section 2.2).
 *
 *     signature (12)  version and command (1)  family and protocol (1)  length (2)
 *     addresses: 12 bytes of IPv4, 36 of IPv6, 216 of Unix sockets; then extensions
 *
 * Believe it of those alone who may say it: anybody can send it. Extensions are skipped. Pure; any
 * thread.
 */
#ifndef TERN_NET_PROXY_H
#define TERN_NET_PROXY_H

#include "net/parse.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Fixed part, addresses and extensions; the protocol itself allows 65,551. */
#define PROXY_HEADER_BYTES_MAX 2048u
#define PROXY_ADDRESS_BYTES 16

struct proxy_header {
    size_t bytes; /* of the header; the client's own are behind them */
    /* The client's, if the proxy knows one that we can use: else (a health check, a Unix socket)
     * the connection is the proxy's own. IPv6, IPv4 mapped into it (::ffff:a.b.c.d). */
    bool has_address;
    uint8_t address[PROXY_ADDRESS_BYTES];
    uint16_t port;
};

/* Give all bytes since the connection's begin, again with more behind them after PARSE_MORE. JUNK:
 * no such header, seen at its first wrong byte. TOO_BIG: beyond PROXY_HEADER_BYTES_MAX. */
enum parse_result proxy_parse(const uint8_t *bytes, size_t length, struct proxy_header *header);

#endif

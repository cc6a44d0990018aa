/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many connections an address has, and how fast it makes them: for all listeners of a node.
 *
 * Not a table of addresses, which somebody with many of them could fill, but two rows of counters,
 * each chosen by a keyed hash of the address; an address's count is the smaller of its two. It is
 * never too low, and too high only for one whose both counters are shared with others. Memory is
 * fixed at start. An IPv6 address counts as its /64, which is what one customer has.
 *
 * Any thread: the counters are atomic, and none depends on another.
 */
#ifndef TERN_ACTORS_ADDRESS_LIMITS_H
#define TERN_ACTORS_ADDRESS_LIMITS_H

#include "runtime/socket.h"

#include <stdbool.h>
#include <stdint.h>

#define ADDRESS_BYTES 16

struct address_limits;

struct address_limits_options {
    uint32_t connections_max;      /* of the node: sizes the rows */
    uint32_t per_address_max;      /* connections; 0: no limit */
    uint32_t accepts_per_second;   /* of one address; 0: no limit */
    uint8_t secret[ADDRESS_BYTES]; /* random: nobody can aim at another's counters */
};

enum address_verdict { ADDRESS_ALLOWED, ADDRESS_TOO_MANY, ADDRESS_TOO_FAST };

/* NULL: out of memory. */
struct address_limits *address_limits_create(const struct address_limits_options *options);
void address_limits_destroy(struct address_limits *limits);

/* The address as the counters and the requests know it: IPv6, IPv4 mapped into it. */
void address_of_socket(const struct socket_address *socket, uint8_t address[ADDRESS_BYTES]);

/* One more connection. If it is ALLOWED it must leave again. `limits` may be NULL: no limits. */
enum address_verdict address_limits_enter(struct address_limits *limits,
                                          const uint8_t address[ADDRESS_BYTES], uint64_t now_ms);
void address_limits_leave(struct address_limits *limits, const uint8_t address[ADDRESS_BYTES]);

#endif

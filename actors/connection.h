/* SPDX-License-Identifier: Apache-2.0 */
/* What connection_class is spawned with (node.h declares the class). */
#ifndef TERN_ACTORS_CONNECTION_H
#define TERN_ACTORS_CONNECTION_H

#include "actors/address_limits.h"
#include "runtime/socket.h"

#include <stdbool.h>

/* A connection that was spawned owns the socket, and its place in node->connections and (unless it
 * is proxied) in node->addresses, which whoever spawns it has taken. */
struct connection_argument {
    struct socket_id socket;
    uint8_t address[ADDRESS_BYTES];
    bool proxied; /* the address is a proxy's, which has no place: the client's comes first */
};

/* Takes a place for the address in node->addresses; false: it is refused (quarantine.h), has as
 * many as it may, or makes them too fast, which is counted. */
bool connection_place(const uint8_t address[ADDRESS_BYTES]);

/* Tells up to `count` connections of the running shard that the node drains; false when all have
 * been told. */
bool connection_tell_drain(unsigned count);

#endif

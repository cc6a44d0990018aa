/* SPDX-License-Identifier: Apache-2.0 */
/* What connection_class is spawned with (node.h declares the class). */
#ifndef TERN_ACTORS_CONNECTION_H
#define TERN_ACTORS_CONNECTION_H

#include "actors/address_limits.h"
#include "runtime/socket.h"

/* A connection that was spawned owns the socket, and its place in node->connections and in
 * node->addresses, which whoever spawns it has taken. */
struct connection_argument {
    struct socket_id socket;
    uint8_t address[ADDRESS_BYTES];
};

/* Tells up to `count` connections of the running shard that the node drains; false when all have
 * been told. */
bool connection_tell_drain(unsigned count);

#endif

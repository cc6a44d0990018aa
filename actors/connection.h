/* SPDX-License-Identifier: Apache-2.0 */
/* What connection_class is spawned with (node.h declares the class). */
#ifndef TERN_ACTORS_CONNECTION_H
#define TERN_ACTORS_CONNECTION_H

#include "actors/address_limits.h"
#include "actors/messages.h"
#include "runtime/socket.h"

#include <stdbool.h>

/*
 * What carries the frames of a device that is not behind a socket but an actor of this process, as
 * in tern-bench: neither WebSocket nor Noise, and no handshake, so nothing is proven. No listener
 * makes such a connection.
 *
 *     device ─CONNECTION_FRAMES, CONNECTION_HUNG_UP─► connection ─send, ended─► device
 *
 * Both functions run in the connection, on its shard. The device, too, says nothing before it was
 * welcomed.
 */
struct connection_link {
    /* Takes the frames of one sending, borrowed, at most WIRE_FRAMES_BYTES_MAX. 0; or a negative
     * errno: the device is gone or behind, and the connection ends. */
    int (*send)(struct actor_id device, const uint8_t *frames, size_t length);
    /* The connection is no more, for whatever reason. Told once, last. */
    void (*ended)(struct actor_id device);
};

/* What a handshake would have told. */
struct connection_linked {
    const struct connection_link *link; /* outlives the connection */
    struct actor_id device;
    struct device_address address; /* of the account: the user is not 0 */
    uint8_t key[32];
    uint64_t resume_epoch, resume_cursor, send_low, send_end; /* as in wire's `hello` */
};

/* A connection that was spawned owns the socket, and its place in node->connections and (unless it
 * is proxied or linked) in node->addresses, which whoever spawns it has taken. */
struct connection_argument {
    struct socket_id socket;
    uint8_t address[ADDRESS_BYTES];
    bool proxied; /* the address is a proxy's, which has no place: the client's comes first */
    const struct connection_linked *linked; /* not NULL: instead of all that; borrowed */
};

/* Takes a place for the address in node->addresses; false: it is refused (quarantine.h), has as
 * many as it may, or makes them too fast, which is counted. */
bool connection_place(const uint8_t address[ADDRESS_BYTES]);

/* Tells up to `count` connections of the running shard that the node drains; false when all have
 * been told. */
bool connection_tell_drain(unsigned count);

#endif

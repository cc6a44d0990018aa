/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device's end of a link (struct connection_link): an actor of this process and the node's real
 * connection actor exchange frames as messages, each of them encoded and decoded by net/wire, as
 * they would lie in one Noise message. No WebSocket, no Noise, no handshake.
 *
 *     link_connect ─► connection_class, attached to its mailbox
 *     link_send    ─► CONNECTION_FRAMES          LINK_FRAMES ─► link_read, frame by frame
 *     link_hang_up ─► CONNECTION_HUNG_UP         LINK_ENDED: the connection is no more
 *
 * The order of frames is kept both ways. All functions are for the device's actor, on its shard,
 * where its connection lives, too. A link's bound is the mailbox of whoever gets the frames: a
 * device that has no room loses its connection, as one that does not read from its socket; a
 * connection that has none refuses.
 */
#ifndef TERN_BENCH_LINK_H
#define TERN_BENCH_LINK_H

#include "actors/connection.h"
#include "net/wire.h"

/* Kinds that a device's class handles; its own begin at LINK_KIND_END. */
enum {
    LINK_FRAMES = TERN_KIND_END, /* the payload is frames; `from` is the connection */
    LINK_ENDED,                  /* `from` is the connection that has ended */
    LINK_KIND_END,
};

/* Spawns the connection of the running actor; `how->link` and `how->device` are filled in. 0, or as
 * actor_spawn. */
int link_connect(struct connection_linked *how, struct actor_id *connection);

/* Sends what was written: at most WIRE_FRAMES_BYTES_MAX. 0, or -ENOBUFS: the connection is behind.
 */
int link_send(struct actor_id connection, const struct wire_writer *frames);
/* The connection ends when it has handled what was sent before. */
void link_hang_up(struct actor_id connection);

/* Calls `take` with each frame of a LINK_FRAMES, in order; frames borrow from the message. 0, or
 * -EPROTO: one cannot be read; those before it were taken. */
typedef void (*link_take_fn)(void *context, const struct wire_frame *frame);
int link_read(struct message *message, link_take_fn take, void *context);

#endif

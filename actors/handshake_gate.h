/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handshakes' share of a shard: what strangers can make it compute.
 *
 * A handshake costs some 200 µs of X25519. When the handshakes of one turn have used their share,
 * the next ones wait in a row, oldest first; the first of the row is woken by
 * CONNECTION_HANDSHAKE_TURN, and wakes the next when it is done. So there is one such message per
 * shard, whatever the row's length, and a shard that has nothing else to do still computes
 * handshakes all the time.
 *
 * One gate per shard, in its struct node_shard, for the actors of that shard.
 */
#ifndef TERN_ACTORS_HANDSHAKE_GATE_H
#define TERN_ACTORS_HANDSHAKE_GATE_H

#include "runtime/actor.h"

#include <stdbool.h>
#include <stdint.h>

#define HANDSHAKE_TURN_NS 125000u /* a quarter of a turn; begun within it */

/* A place in the row; embedded in what waits. */
struct handshake_wait {
    struct handshake_wait *previous, *next;
    struct actor_id who;
    bool waits;
};

struct handshake_gate {
    struct handshake_wait *first, *last;
    uint64_t turn;    /* the actor_turn() that used_ns is of */
    uint64_t used_ns; /* by the handshakes of that turn */
    bool signalled;   /* CONNECTION_HANDSHAKE_TURN is on its way to the first of the row */
};

/* May the running actor compute now? Otherwise it waits in the row, and asks again when it gets
 * CONNECTION_HANDSHAKE_TURN. */
bool handshake_gate_enter(struct handshake_gate *gate, struct handshake_wait *wait);
/* It has computed for so long. */
void handshake_gate_spend(struct handshake_gate *gate, uint64_t ns);
/* It does not wait any more: it goes on, or ends. Harmless if it didn't wait. */
void handshake_gate_leave(struct handshake_gate *gate, struct handshake_wait *wait);

#endif

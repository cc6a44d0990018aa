/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handshakes' share of a shard: what strangers can make it compute.
 *
 * A handshake costs some 200 µs of X25519. When the handshakes of one turn have used their share,
 * the next ones wait in a row, those that are half done first, then the oldest; the first of the
 * row is woken by CONNECTION_HANDSHAKE_TURN, and wakes the next when it is done. So there is one
 * such message per shard, whatever the row's length, and a shard that has nothing else to do still
 * computes handshakes all the time.
 *
 * When very many come at once (a network that was away is back), what is begun is finished, and
 * whoever would have to wait for longer than it is worth is told when to come again instead: times
 * are given out one after the other, as far apart as handshakes take.
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
    bool is_half_done; /* message 3 is what it computes next */
};

struct handshake_row {
    struct handshake_wait *first, *last;
    uint32_t count;
};

struct handshake_gate {
    struct handshake_row half_done, new;
    uint64_t turn;    /* the actor_turn() that used_ns is of */
    uint64_t used_ns; /* by the handshakes of that turn */
    /* CONNECTION_HANDSHAKE_TURN is on its way to it; NULL: to nobody. It was first when it was
     * sent. */
    struct handshake_wait *woken;
    uint64_t done_ns;   /* when the last one was done */
    uint32_t mean_ns;   /* between two that are done, while some wait; 0: not known */
    uint64_t booked_ns; /* up to then, times to come again are given out */
};

#define HANDSHAKE_RETRY_S_MAX 60u

/* May the running actor compute now? Otherwise it waits in the row, and asks again when it gets
 * CONNECTION_HANDSHAKE_TURN. */
bool handshake_gate_enter(struct handshake_gate *gate, struct handshake_wait *wait);
/* So many have not begun and wait that another one would wait in vain. `most`: 0: no bound. */
bool handshake_gate_is_full(const struct handshake_gate *gate, uint32_t most);
/* When one that found it full may come again, in seconds from now, 1 to HANDSHAKE_RETRY_S_MAX. */
uint32_t handshake_gate_book(struct handshake_gate *gate, uint64_t now_ns);
/* One is done, message 3 and all. */
void handshake_gate_done(struct handshake_gate *gate, uint64_t now_ns);
/* It has computed for so long. */
void handshake_gate_spend(struct handshake_gate *gate, uint64_t ns);
/* It does not wait any more: it goes on, or ends. Harmless if it didn't wait. */
void handshake_gate_leave(struct handshake_gate *gate, struct handshake_wait *wait);

#endif

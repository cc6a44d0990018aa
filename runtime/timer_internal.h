/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers of one shard: a hierarchical wheel of milliseconds.
 *
 * Eight levels of 64 slots; a timer lies on the level of the highest group of six bits in which its
 * deadline differs from now, and moves down when the wheel reaches its slot. Starting and canceling
 * are O(1); finding what is next looks at eight words. Timers of one deadline fire in the order in
 * which they were started.
 *
 * A fired timer lives until its message is handled, so that it can still be taken back.
 */
#ifndef TERN_RUNTIME_TIMER_INTERNAL_H
#define TERN_RUNTIME_TIMER_INTERNAL_H

#include "runtime/actor.h"

#define TIMER_LEVELS 8u
#define TIMER_SLOTS 64u
#define TIMER_CHUNK 1024u
#define TIMER_CHUNKS_MAX 16384u /* 16 M pending timers a shard */
#define TIMER_DELAY_MS_MAX (1ull << 40)

struct shard;
struct actor;

struct timer_link {
    struct timer_link *next, *previous;
};
enum timer_state { TIMER_FREE, TIMER_WAITING, TIMER_FIRED };

struct timer {
    struct timer_link wheel; /* in its slot while it waits; `next` also links free ones */
    struct timer *actor_next;
    struct timer **actor_link; /* what points here in its actor's list */
    uint64_t deadline_ms;      /* since the wheel began */
    uint64_t argument;
    uint32_t actor_slot;
    uint32_t index;
    uint32_t generation; /* never 0 */
    uint16_t kind;
    uint16_t state;
};
_Static_assert(sizeof(struct timer) == 64, "a pending timer costs 64 bytes");

struct timer_wheel {
    uint64_t now_ms; /* since it began; everything due by then has fired */
    uint64_t start_ns;
    uint64_t occupied[TIMER_LEVELS]; /* a bit per slot */
    struct timer_link slots[TIMER_LEVELS][TIMER_SLOTS];
    struct timer **chunks;
    uint32_t chunk_count;
    uint32_t used; /* timers ever made */
    struct timer *free;
    uint64_t pending; /* written by the owner, read by others, relaxed */
};

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ns);
void timer_wheel_finish(struct timer_wheel *wheel);
/* Fires what is due: a message to each timer's actor. */
void timer_advance(struct shard *shard, uint64_t now_ns);
/* When the wheel wants to be advanced next, on the monotonic clock; UINT64_MAX: never. */
uint64_t timer_next_ns(const struct timer_wheel *wheel);
/* The fired timer's message is about to be handled: true if it hasn't been canceled; then it is no
 * more. */
bool timer_claim(struct shard *shard, struct actor_timer timer);
/* All timers of an actor that ends. */
void timer_cancel_all(struct shard *shard, struct actor *actor);

#endif

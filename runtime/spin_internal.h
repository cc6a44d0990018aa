/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a shard that has nothing to do looks at its lanes a little longer before it sleeps.
 *
 * Two shards whose actors answer each other are idle for a microsecond at a time. To sleep for that
 * long and be woken costs both of them 10 to 50 us; to look again and again costs what the answer
 * takes. So a shard may spin, if each shard can have a processor (on one, spinning keeps the answer
 * away) and a lane has brought a message since its last wait: an idle node never spins, whatever
 * its timers and its sockets do.
 *
 * Whom it wrote to was awake, or it wrote to nobody: what it waits for can come at once, so it
 * spins for SPIN_BRIEF_NS. Whom it wrote to was asleep: an answer takes as long as a wake, so it
 * sleeps too. But two that always find each other asleep would stay so; a rare probe of
 * SPIN_PROBE_NS outlasts the other's wake, whose answer then finds it awake, and from there on
 * brief spins are won on both sides.
 *
 * Who loses again and again lets twice as many waits as before go by until the next try: what is
 * lost in the long run is at most SPIN_BRIEF_NS in SPIN_BRIEF_SKIPS_MAX waits, and SPIN_PROBE_NS in
 * SPIN_PROBE_SKIPS_MAX.
 *
 * No wake can be lost by it: after a spin the shard parks as ever (shard_park).
 *
 * Pure arithmetic on the shard's thread; the looking is shard.c's.
 */
#ifndef TERN_RUNTIME_SPIN_INTERNAL_H
#define TERN_RUNTIME_SPIN_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#define SPIN_BRIEF_NS 10000u /* about what sleeping and being woken costs the two sides */
#define SPIN_BRIEF_SKIPS_MAX 255u
#define SPIN_PROBE_NS 100000u /* the other one's wake, and a few hundred messages handled */
#define SPIN_PROBE_SKIPS_MAX 1023u
#define SPIN_LOSSES_FREE 2u /* in a row: the other core may have been interrupted */
#define SPIN_STREAK 16u     /* brief spins won in a row say that the last probe was worth it */

struct spin_tries {
    uint32_t skips;  /* waits of its sort that are still to go by without a spin */
    uint32_t losses; /* in a row, up to 31 */
};

/* All zero at first. */
struct spin {
    bool allowed;
    bool woke;        /* set by the shard when it has woken another one; since the last wait */
    bool probes;      /* the spin that has begun is a probe */
    uint32_t streak;  /* brief spins won in a row, up to SPIN_STREAK */
    uint64_t arrived; /* messages that lanes have brought, counted by the shard */
    uint64_t seen;    /* of `arrived`, when a wait last began */
    struct spin_tries brief, probe;
};

/* A wait begins. For how long to spin before it; 0: not at all. */
uint32_t spin_begin(struct spin *spin);
/* The spin is over; `won` if something came. */
void spin_end(struct spin *spin, bool won);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a shard that has nothing to do lets events gather before it looks again.
 *
 * Going to sleep and being woken costs 10 to 20 us, more than most events are worth. While events
 * come faster than a few per `wait_ns`, a shard therefore rests: it waits for a time, not for the
 * next event, and those who publish for it need not wake it. Shards rest to different times of a
 * common grid, so that a message that goes from one to another finds the other one at work soon,
 * and they don't want the cores all at once. A node with little to do never rests: each event wakes
 * it at once.
 *
 * Pure arithmetic on the shard's thread; no clock is read here.
 */
#ifndef TERN_RUNTIME_REST_INTERNAL_H
#define TERN_RUNTIME_REST_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

/* So many events per wait_ns make resting worth it, and fewer than so many end it. */
#define REST_EVENTS_BEGIN 3u
#define REST_EVENTS_END 2u
/* The rate is smoothed over so many wait_ns: a lone message and what it sets off is no load. */
#define REST_MEMORY 16u

struct rest {
    uint64_t wait_ns;    /* the longest rest; 0: never */
    uint64_t phase_ns;   /* where this shard's times lie in the grid */
    uint64_t events;     /* counted by the shard: what the reactor and other shards brought */
    uint64_t counted;    /* of `events`, when the rate was last computed, */
    uint64_t counted_ns; /* at this time */
    uint64_t rate_256;   /* events per wait_ns, smoothed, times 256 */
    bool resting;
};

/* How long to rest, when nothing is to be done for idle_ns: at most wait_ns and at most idle_ns. 0:
 * wait for the next event instead. */
uint64_t rest_ns(struct rest *rest, uint64_t now_ns, uint64_t idle_ns);

#endif

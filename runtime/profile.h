/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long handlers take, per class and message kind, always measured and nearly free.
 *
 * The clock is asked about a sample: one run of an actor (all it handles in a row) in 64 to 191 of
 * its shard, the distance drawn anew each time so that no pattern of the load hides from it. A
 * sampled run stands for as many as its distance. Counts and sums are thus estimates whose relative
 * error falls with the square root of the samples; quantiles are those of the samples.
 */
#ifndef TERN_RUNTIME_PROFILE_H
#define TERN_RUNTIME_PROFILE_H

#include <stdint.h>

struct runtime;

/* Two per octave from 64 ns up; what is longer than about 3 min is in the last. */
#define PROFILE_BUCKETS 64u

struct profile_kind {
    const char *class_name;
    const char *kind_name; /* the handler's, or NULL: no handler of its own */
    uint16_t kind;
    uint64_t samples;
    uint64_t sum_ns; /* over the samples */
    uint64_t max_ns;
    uint64_t buckets[PROFILE_BUCKETS];
};

/* Any thread, while the shards go on: once per class and kind that was sampled. */
void runtime_profile_visit(struct runtime *runtime,
                           void (*visit)(void *context, const struct profile_kind *kind),
                           void *context);
/* Which bucket a duration falls into, and the exclusive upper bound of one, in nanoseconds. */
unsigned profile_bucket_of(uint64_t duration_ns);
uint64_t profile_bucket_end_ns(unsigned bucket);
/* The duration that a share `quantile` (0 to 1) of the samples does not exceed, to half an octave;
 * 0 without samples. */
uint64_t profile_quantile_ns(const struct profile_kind *kind, double quantile);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The scheduler's side of profile.h: when a run is observed, and what is written then. */
#ifndef TERN_RUNTIME_PROFILE_INTERNAL_H
#define TERN_RUNTIME_PROFILE_INTERNAL_H

#include "runtime/actor_internal.h"
#include "runtime/profile.h"

/* An actor's busy time is kept in units of this, so that 32 bits last for hours. */
#define PROFILE_UNIT_NS 4096u

/* Of one class and kind on one shard: written by the shard, read by others, relaxed. */
struct profile_samples {
    uint64_t count, sum_ns, max_ns;
    uint64_t buckets[PROFILE_BUCKETS];
};

/* A shard's own. */
struct profile {
    uint32_t runs_left; /* until one is observed */
    uint32_t interval;  /* what runs_left began with */
    uint32_t weight;    /* how many runs the observed one stands for */
    uint64_t random;    /* xorshift: not for secrets; the same in each simulation of a seed */
};

void profile_init(struct profile *profile, unsigned shard_index);
/* The next run is observed. */
static inline void profile_observe_next(struct profile *profile) {
    profile->runs_left = profile->interval = 1;
}
/* The same, and it stands for those since the last. */
static inline void profile_observe_soon(struct profile *profile) {
    profile->interval = profile->interval - profile->runs_left + 1;
    profile->runs_left = 1;
}
/* An observed run begins and has ended: the actor's busy time. The clock as it is then. */
uint64_t profile_run_begin(struct shard *shard);
void profile_run_end(struct shard *shard, struct actor *actor, uint64_t begun_ns);
/* One message of an observed run was handled. */
void profile_handled(struct class_entry *class, uint16_t kind, uint64_t duration_ns);

#endif

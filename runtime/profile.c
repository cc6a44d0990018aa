/* SPDX-License-Identifier: Apache-2.0 */
/* Samples of what handlers take; see profile.h. */
#include "runtime/profile_internal.h"

#include "runtime/scheduler_internal.h"

#include <stdlib.h>

#define RUNS_MIN 64u
#define RUNS_SPREAD 128u /* a power of two */
#define BUCKET_FIRST_BITS 6u

/* --- buckets
 * ------------------------------------------------------------------------------------------------
 */

unsigned profile_bucket_of(uint64_t duration_ns) {
    if (duration_ns < 1u << BUCKET_FIRST_BITS)
        return 0;
    unsigned octave = 63u - (unsigned)__builtin_clzll(duration_ns);
    unsigned half = (unsigned)(duration_ns >> (octave - 1)) & 1;
    unsigned bucket = (octave - BUCKET_FIRST_BITS) * 2 + half + 1;
    return bucket < PROFILE_BUCKETS ? bucket : PROFILE_BUCKETS - 1;
}

uint64_t profile_bucket_end_ns(unsigned bucket) {
    unsigned octave = BUCKET_FIRST_BITS + bucket / 2;
    uint64_t whole = (uint64_t)1 << octave;
    return bucket % 2 ? whole + whole / 2 : whole;
}

uint64_t profile_quantile_ns(const struct profile_kind *kind, double quantile) {
    uint64_t seen = 0;
    double wanted = quantile * (double)kind->samples;
    for (unsigned i = 0; i < PROFILE_BUCKETS; i++) {
        seen += kind->buckets[i];
        if (seen && (double)seen >= wanted) {
            uint64_t end_ns = profile_bucket_end_ns(i);
            return end_ns < kind->max_ns ? end_ns : kind->max_ns;
        }
    }
    return kind->max_ns;
}

/* --- the shard's side
 * --------------------------------------------------------------------------------------- */

static uint64_t draw(struct profile *profile) {
    profile->random ^= profile->random << 13;
    profile->random ^= profile->random >> 7;
    profile->random ^= profile->random << 17;
    return profile->random;
}

void profile_init(struct profile *profile, unsigned shard_index) {
    profile->random = 0x9e3779b97f4a7c15u * (shard_index + 1);
    profile_observe_next(profile);
}

uint64_t profile_run_begin(struct shard *shard) {
    struct profile *profile = &shard->profile;
    profile->weight = profile->interval;
    if (shard->traces.count) {
        profile_observe_next(profile);
    } else {
        profile->interval = RUNS_MIN + (uint32_t)(draw(profile) & (RUNS_SPREAD - 1));
        profile->runs_left = profile->interval;
    }
    return shard->seams->monotonic_ns(shard->seams->context);
}

/* What a run may last is TURN_NS_MAX, by what this one took per message. Down at once, up by steps:
 * one quick run among slow ones does not undo it. */
static void turn_share_adapt(struct class_entry *class, unsigned messages, uint64_t run_ns) {
    uint64_t fits = TURN_ACTOR_MESSAGES_MAX;
    if (run_ns * TURN_ACTOR_MESSAGES_MAX > (uint64_t)TURN_NS_MAX * messages)
        fits = (uint64_t)TURN_NS_MAX * messages / run_ns;
    if (fits > 2 * (uint64_t) class->share)
        fits = 2 * (uint64_t) class->share;
    class->share = fits ? (uint32_t)fits : 1;
}

void profile_run_end(struct shard *shard, struct actor *actor, uint64_t begun_ns) {
    struct profile *profile = &shard->profile;
    uint64_t now_ns = shard->seams->monotonic_ns(shard->seams->context);
    uint64_t busy_ns = (now_ns - begun_ns) * profile->weight;
    counter_add(actor->class->busy_ns, busy_ns);
    if (shard->actor_messages)
        turn_share_adapt(actor->class, shard->actor_messages, now_ns - begun_ns);
    /* Rounded up or down by chance, so that short runs are not lost. */
    actor->busy +=
        (uint32_t)((busy_ns + (draw(profile) & (PROFILE_UNIT_NS - 1))) / PROFILE_UNIT_NS);
}

/* NULL when memory is out: then there is no histogram of it. */
static struct profile_samples *samples_of(struct class_entry *class, unsigned index) {
    struct profile_samples *samples = class->samples[index];
    if (!samples) {
        samples = calloc(1, sizeof *samples);
        /* Pairs with the acquire in add_samples. */
        __atomic_store_n(&class->samples[index], samples, __ATOMIC_RELEASE);
    }
    return samples;
}

void profile_handled(struct class_entry *class, uint16_t kind, uint64_t duration_ns) {
    unsigned count = class->class->handler_count;
    struct profile_samples *samples = samples_of(class, kind < count ? kind : count);
    if (!samples)
        return;
    counter_add(samples->count, 1);
    counter_add(samples->sum_ns, duration_ns);
    counter_add(samples->buckets[profile_bucket_of(duration_ns)], 1);
    if (duration_ns > samples->max_ns)
        /* Pairs with counter_read in add_samples, as those above do. */
        __atomic_store_n(&samples->max_ns, duration_ns, __ATOMIC_RELAXED);
}

/* --- reading
 * ------------------------------------------------------------------------------------------------
 */

static void add_samples(const struct class_entry *class, unsigned kind, struct profile_kind *sum) {
    /* Pairs with the release in samples_of. */
    const struct profile_samples *samples =
        __atomic_load_n(&class->samples[kind], __ATOMIC_ACQUIRE);
    if (!samples)
        return;
    sum->samples += counter_read(samples->count);
    sum->sum_ns += counter_read(samples->sum_ns);
    uint64_t max_ns = counter_read(samples->max_ns);
    if (max_ns > sum->max_ns)
        sum->max_ns = max_ns;
    for (unsigned i = 0; i < PROFILE_BUCKETS; i++)
        sum->buckets[i] += counter_read(samples->buckets[i]);
}

struct class_visit {
    struct runtime *runtime;
    void (*visit)(void *context, const struct profile_kind *kind);
    void *context;
};

static void visit_class(void *context, const struct actor_class *class) {
    const struct class_visit *to = context;
    for (unsigned kind = 0; kind <= class->handler_count; kind++) {
        bool own = kind < class->handler_count;
        struct profile_kind sum = {.class_name = class->name,
                                   .kind_name = own ? class->handlers[kind].name : NULL,
                                   .kind = (uint16_t)kind};
        for (unsigned i = 0; i < to->runtime->shard_count; i++) {
            const struct class_entry *entry = classes_find(&to->runtime->shards[i]->classes, class);
            if (entry)
                add_samples(entry, kind, &sum);
        }
        if (sum.samples)
            to->visit(to->context, &sum);
    }
}

void runtime_profile_visit(struct runtime *runtime,
                           void (*visit)(void *context, const struct profile_kind *kind),
                           void *context) {
    struct class_visit to = {runtime, visit, context};
    runtime_each_class(runtime, visit_class, &to);
}

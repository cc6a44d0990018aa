/* SPDX-License-Identifier: Apache-2.0 */
/* The small functions of actor.h: who am I, what time is it, chance, jobs, counts. */
#include "runtime/actor.h"

#include "runtime/scheduler_internal.h"
#include "runtime/supervisor.h"

#include <errno.h>

void actor_blame(crash_describe_fn describe, const void *of) {
    struct shard *shard = shard_of_thread;
    if (!shard) {
        if (blame_of_job)
            *blame_of_job = (struct blame){of ? describe : NULL, of, 0};
        return;
    }
    shard->blame = (struct blame){of ? describe : NULL, of, shard->actor_messages};
}

struct actor_id actor_self(void) {
    const struct actor *actor = shard_of_thread->running.actor;
    return actor ? actor_id_of(actor) : ACTOR_NOBODY;
}

uint64_t actor_key(void) {
    const struct actor *actor = shard_of_thread->running.actor;
    return actor && actor->flags & (ACTOR_IS_NAMED | ACTOR_IS_KEPT) ? actor->key : 0;
}

unsigned actor_shard(void) {
    return shard_of_thread->index;
}

/* Of the key alone: a user's mailbox and account are neighbors. The high half of a product spreads
 * the mixed key evenly over any number of shards. */
unsigned actor_shard_of(const struct actor_class *class, uint64_t key) {
    uint64_t high = map_mix(key) >> 32;
    return (unsigned)(high * shard_of_thread->shard_count >> 32);
}

void actor_serve_class(const struct actor_class *class, struct actor_id supervisor) {
    struct class_entry *entry = classes_enter(&shard_of_thread->classes, class);
    entry->server = supervisor;
}

struct actor_id supervisor_of_class(const struct actor_class *class) {
    return classes_enter(&shard_of_thread->classes, class)->server;
}

uint64_t actor_now_ms(void) {
    return shard_of_thread->now_ms;
}

uint64_t actor_now_ns(void) {
    const struct seams *seams = shard_of_thread->seams;
    return seams->monotonic_ns(seams->context);
}

uint64_t actor_wall_ms(void) {
    const struct seams *seams = shard_of_thread->seams;
    return seams->wall_ms(seams->context);
}

void actor_random(void *bytes, size_t length) {
    const struct seams *seams = shard_of_thread->seams;
    seams->random_bytes(seams->context, bytes, length);
}

/* Rejects the uneven rest at the low end: at most one try in two fails. */
uint64_t actor_random_below(uint64_t bound) {
    CHECK(bound);
    uint64_t rest = -bound % bound, drawn;
    do
        actor_random(&drawn, sizeof drawn);
    while (drawn < rest);
    return drawn % bound;
}

uint64_t actor_turn(void) {
    return shard_of_thread->counters.turns;
}

bool actor_yield_due(void) {
    const struct shard *shard = shard_of_thread;
    return shard->actor_messages >= TURN_ACTOR_MESSAGES_MAX ||
           actor_now_ns() - shard->now_ns > TURN_NS_MAX;
}

int actor_run_blocking(void (*run)(struct message *message), struct message **message) {
    struct shard *shard = shard_of_thread;
    CHECK(shard->running.actor);
    message_claim(message);
    struct message *job = *message;
    message_unhold(job);
    job->to = actor_self();
    job->flags = 0;
    int error = shard->seams->pool->submit(shard->runtime->pool, run, message);
    if (error)
        message_hold(&shard->running.fresh, job);
    return error;
}

void actor_count(const char *name, uint64_t n) {
    classes_count_event(&shard_of_thread->classes, name, n);
}

void *actor_context(void) {
    return shard_of_thread->runtime->context;
}

struct runtime *runtime_current(void) {
    return shard_of_thread->runtime;
}

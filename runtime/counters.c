/* SPDX-License-Identifier: Apache-2.0 */
/* Inspection: sums over the shards' counters, read while they go on counting. */
#include "runtime/scheduler_internal.h"

#include <string.h>

void runtime_counters_read(struct runtime *runtime, struct runtime_counters *counters) {
    struct runtime_counters sum = {0};
    for (unsigned i = 0; i < runtime->shard_count; i++) {
        struct shard *shard = runtime->shards[i];
        const struct shard_counters *own = &shard->counters;
        sum.turns += counter_read(own->turns);
        sum.messages += counter_read(own->messages);
        sum.messages_cross_shard += counter_read(own->messages_cross_shard);
        sum.timers_pending += counter_read(shard->wheel.pending);
        sum.actors += counter_read(own->actors);
        sum.supervisors_restarts += counter_read(own->restarts);
        sum.dead_letters += counter_read(own->dead_letters);
        sum.memory_message_bytes += counter_read(shard->messages.bytes);
        sum.memory_actor_bytes +=
            counter_read(shard->memory.bytes) +
            counter_read(shard->chunk_count) * ACTOR_CHUNK * sizeof(struct actor);
        sum.memory_blob_bytes += counter_read(own->blob_bytes);
        sum.rests += counter_read(own->rests);
        sum.spins_won += counter_read(own->spins_won);
        sum.spins_lost += counter_read(own->spins_lost);
        sum.busy_ns += counter_read(own->busy_ns);
        struct io_counters io;
        io_counters_read(shard, &io);
        sum.sockets += io.sockets;
        sum.rings += io.rings;
        sum.memory_socket_bytes += io.memory_bytes;
    }
    sum.memory_blob_bytes += counter_read(runtime->blob_bytes);
    sum.wakes = counter_read(runtime->wakes);
    sum.handler_overruns = counter_read(runtime->overruns);
    sum.handler_overruns_unreported = counter_read(runtime->overruns_unreported);
    sum.pool_jobs = counter_read(runtime->pool_jobs);
    sum.pool_queue = counter_read(runtime->pool_queue);
    *counters = sum;
}

void runtime_shards_visit(struct runtime *runtime,
                          void (*visit)(void *context, const struct runtime_shard_counters *),
                          void *context) {
    for (unsigned i = 0; i < runtime->shard_count; i++) {
        const struct shard_counters *own = &runtime->shards[i]->counters;
        struct runtime_shard_counters counters = {
            .shard = i,
            .turns = counter_read(own->turns),
            .messages = counter_read(own->messages),
            .actors = counter_read(own->actors),
            .busy_ns = counter_read(own->busy_ns),
        };
        visit(context, &counters);
    }
}

/* Adds what one shard has counted of the class. */
static void class_add(const struct class_entry *entry, struct runtime_class_counters *sum) {
    uint64_t handled = counter_read(entry->handled), arrived = counter_read(entry->arrived);
    sum->actors += counter_read(entry->actors);
    sum->spawned += counter_read(entry->spawned);
    sum->ended += counter_read(entry->ended);
    sum->failed += counter_read(entry->failed);
    sum->passivated += counter_read(entry->passivated);
    sum->messages += counter_read(entry->run);
    sum->refused += counter_read(entry->refused);
    sum->dead_letters += counter_read(entry->dead_letters);
    sum->busy_ns += counter_read(entry->busy_ns);
    sum->mailbox_messages += arrived > handled ? arrived - handled : 0;
}

/* True if no shard before this one has the class: then it is visited here. */
static bool class_is_first(struct runtime *runtime, unsigned shard,
                           const struct actor_class *class) {
    for (unsigned i = 0; i < shard; i++)
        if (classes_find(&runtime->shards[i]->classes, class))
            return false;
    return true;
}

void runtime_each_class(struct runtime *runtime,
                        void (*visit)(void *context, const struct actor_class *class),
                        void *context) {
    for (unsigned i = 0; i < runtime->shard_count; i++) {
        struct classes *classes = &runtime->shards[i]->classes;
        /* Pairs with the release in classes_enter. */
        uint32_t count = __atomic_load_n(&classes->count, __ATOMIC_ACQUIRE);
        for (uint32_t k = 0; k < count; k++)
            if (class_is_first(runtime, i, classes->entries[k]->class))
                visit(context, classes->entries[k]->class);
    }
}

struct class_visit {
    struct runtime *runtime;
    void (*visit)(void *context, const struct runtime_class_counters *);
    void *context;
};

static void visit_class(void *context, const struct actor_class *class) {
    const struct class_visit *to = context;
    struct runtime_class_counters sum = {.name = class->name};
    for (unsigned i = 0; i < to->runtime->shard_count; i++) {
        const struct class_entry *entry = classes_find(&to->runtime->shards[i]->classes, class);
        if (entry)
            class_add(entry, &sum);
    }
    to->visit(to->context, &sum);
}

void runtime_classes_visit(struct runtime *runtime,
                           void (*visit)(void *context, const struct runtime_class_counters *),
                           void *context) {
    struct class_visit to = {runtime, visit, context};
    runtime_each_class(runtime, visit_class, &to);
}

uint64_t runtime_class_actors(struct runtime *runtime, const char *class_name, unsigned shard) {
    const struct classes *classes = &runtime->shards[shard]->classes;
    /* Pairs with the release in classes_enter. */
    uint32_t count = __atomic_load_n(&classes->count, __ATOMIC_ACQUIRE);
    uint64_t actors = 0;
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(classes->entries[i]->class->name, class_name) == 0)
            actors += counter_read(classes->entries[i]->actors);
    return actors;
}

/* The sum over a shard's entries of one name: two files may have constants of the same text. */
static uint64_t event_sum(struct shard *shard, const char *name, uint32_t below, bool *found) {
    /* Pairs with the release in classes_count_event. */
    uint32_t count = __atomic_load_n(&shard->classes.event_count, __ATOMIC_ACQUIRE);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count && i < below; i++)
        if (strcmp(shard->classes.events[i].name, name) == 0) {
            *found = true;
            sum += counter_read(shard->classes.events[i].count);
        }
    return sum;
}

static bool event_is_first(struct runtime *runtime, unsigned shard, uint32_t index,
                           const char *name) {
    bool found = false;
    for (unsigned i = 0; i < shard && !found; i++)
        event_sum(runtime->shards[i], name, EVENTS_MAX, &found);
    if (!found)
        event_sum(runtime->shards[shard], name, index, &found);
    return !found;
}

void runtime_events_visit(struct runtime *runtime,
                          void (*visit)(void *context, const char *name, uint64_t count),
                          void *context) {
    for (unsigned i = 0; i < runtime->shard_count; i++) {
        struct classes *classes = &runtime->shards[i]->classes;
        /* Pairs with the release in classes_count_event. */
        uint32_t count = __atomic_load_n(&classes->event_count, __ATOMIC_ACQUIRE);
        for (uint32_t k = 0; k < count; k++) {
            const char *name = classes->events[k].name;
            uint64_t sum = 0;
            bool found;
            if (!event_is_first(runtime, i, k, name))
                continue;
            for (unsigned j = i; j < runtime->shard_count; j++)
                sum += event_sum(runtime->shards[j], name, EVENTS_MAX, &found);
            visit(context, name, sum);
        }
    }
}

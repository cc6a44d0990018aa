/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a shard knows of a class: its bounds, whom its activated actors belong to, and its counters.
 *
 * Counters are written by the shard alone and read by anybody, relaxed: a figure may be a moment
 * old.
 */
#ifndef TERN_RUNTIME_CLASS_INTERNAL_H
#define TERN_RUNTIME_CLASS_INTERNAL_H

#include "runtime/actor.h"
#include "runtime/map_internal.h"

#define CLASSES_MAX 256u
#define EVENTS_MAX 1024u
#define MAILBOX_MESSAGES_DEFAULT 1024u
#define MAILBOX_BYTES_DEFAULT (8u << 20)

/* A shard's own counter, read by others for a figure: counter_add pairs with counter_read and with
 * nothing else. Relaxed, for no other memory is read because of what a counter says. */
#define counter_add(counter, n) __atomic_store_n(&(counter), (counter) + (n), __ATOMIC_RELAXED)
#define counter_read(counter) __atomic_load_n(&(counter), __ATOMIC_RELAXED)

struct class_entry {
    const struct actor_class *class;
    uint32_t messages_max, bytes_max;
    struct actor_id server; /* parent of activated actors, see actor_serve_class */
    uint32_t index;
    uint32_t share; /* how many messages an actor of it handles before it is the next one's turn */
    uint64_t actors, spawned, ended, failed, passivated;
    uint64_t arrived, handled; /* in mailboxes: the difference waits there now */
    uint64_t run;              /* by handlers */
    uint64_t refused, dead_letters;
    uint64_t busy_ns; /* in runs, estimated from samples: profile.h */
    /* By message kind, the last for kinds without a handler; NULL until one was sampled. */
    struct profile_samples *samples[];
};

struct profile_samples;

struct event_entry {
    const char *name;
    uint64_t count;
};

struct classes {
    struct class_entry *entries[CLASSES_MAX]; /* filled in order; stable */
    /* Release in classes_enter, acquire by who reads entries: entries below it are whole. */
    uint32_t count;
    struct map by_class;
    struct event_entry *events; /* EVENTS_MAX of them, filled in order */
    uint32_t event_count;       /* release in classes_count_event, acquire by who reads events */
    struct map by_event;
};

void classes_init(struct classes *classes);
void classes_finish(struct classes *classes);
/* The class's entry, made at first need. CHECKs that there are at most CLASSES_MAX. */
struct class_entry *classes_enter(struct classes *classes, const struct actor_class *class);
/* NULL if it never was here. Any thread. */
const struct class_entry *classes_find(const struct classes *classes,
                                       const struct actor_class *class);
/* Events beyond EVENTS_MAX names are counted under the last. */
void classes_count_event(struct classes *classes, const char *name, uint64_t n);

#endif

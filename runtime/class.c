/* SPDX-License-Identifier: Apache-2.0 */
/* Classes and events of a shard. Tables only grow; a reader in another thread sees a prefix of
 * them. */
#include "runtime/class_internal.h"

#include "runtime/scheduler_internal.h"

#include <stdlib.h>

void classes_init(struct classes *classes) {
    *classes = (struct classes){0};
    classes->events = calloc(EVENTS_MAX, sizeof *classes->events);
    CHECK(classes->events);
}

void classes_finish(struct classes *classes) {
    for (uint32_t i = 0; i < classes->count; i++) {
        for (unsigned kind = 0; kind <= classes->entries[i]->class->handler_count; kind++)
            free(classes->entries[i]->samples[kind]);
        free(classes->entries[i]);
    }
    free(classes->events);
    map_finish(&classes->by_class);
    map_finish(&classes->by_event);
}

struct class_entry *classes_enter(struct classes *classes, const struct actor_class *class) {
    struct class_entry *entry = map_get(&classes->by_class, (uintptr_t) class);
    if (entry)
        return entry;
    CHECK(classes->count < CLASSES_MAX);
    CHECK(class->handler_count <= ACTOR_KIND_MAX);
    entry =
        calloc(1, sizeof *entry + (class->handler_count + 1u) * sizeof(struct profile_samples *));
    CHECK(entry);
    entry->class = class;
    entry->index = classes->count;
    entry->share = TURN_ACTOR_MESSAGES_MAX;
    entry->messages_max =
        class->mailbox_messages_max ? class->mailbox_messages_max : MAILBOX_MESSAGES_DEFAULT;
    entry->bytes_max = class->mailbox_bytes_max ? class->mailbox_bytes_max : MAILBOX_BYTES_DEFAULT;
    map_put(&classes->by_class, (uintptr_t) class, entry);
    classes->entries[classes->count] = entry;
    /* Pairs with the acquire in classes_find, runtime_each_class, runtime_class_actors and
     * recorder.c's name. */
    __atomic_store_n(&classes->count, classes->count + 1, __ATOMIC_RELEASE);
    return entry;
}

const struct class_entry *classes_find(const struct classes *classes,
                                       const struct actor_class *class) {
    /* Pairs with the release in classes_enter. */
    uint32_t count = __atomic_load_n(&classes->count, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < count; i++)
        if (classes->entries[i]->class == class)
            return classes->entries[i];
    return NULL;
}

void classes_count_event(struct classes *classes, const char *name, uint64_t n) {
    struct event_entry *event = map_get(&classes->by_event, (uintptr_t)name);
    if (!event && classes->event_count == EVENTS_MAX) {
        event = &classes->events[EVENTS_MAX - 1];
    } else if (!event) {
        event = &classes->events[classes->event_count];
        event->name = name;
        map_put(&classes->by_event, (uintptr_t)name, event);
        /* Pairs with the acquire in event_sum and runtime_events_visit. */
        __atomic_store_n(&classes->event_count, classes->event_count + 1, __ATOMIC_RELEASE);
    }
    counter_add(event->count, n);
}

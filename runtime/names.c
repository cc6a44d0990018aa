/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of the whole node: few, for actors that there is one of. A table under the runtime's lock;
 * nobody waits in it for anything but another look at the table.
 */
#include "runtime/scheduler_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct name_entry *find(struct runtime *runtime, const char *name) {
    for (unsigned i = 0; i < runtime->name_count; i++)
        if (strcmp(runtime->names[i].name, name) == 0)
            return &runtime->names[i];
    return NULL;
}

int actor_register(const char *name) {
    struct shard *shard = shard_of_thread;
    struct actor *self = shard->running.actor;
    struct runtime *runtime = shard->runtime;
    CHECK(self && strlen(name) <= NAME_BYTES_MAX);
    int error = 0;
    pthread_mutex_lock(&runtime->lock);
    const struct name_entry *taken = find(runtime, name);
    if (taken && taken->actor.bits != self->id) {
        error = -EEXIST;
    } else if (!taken && runtime->name_count == NAMES_MAX) {
        error = -ENOSPC;
    } else if (!taken) {
        struct name_entry *entry = &runtime->names[runtime->name_count++];
        memcpy(entry->name, name, strlen(name) + 1);
        entry->actor = actor_id_of(self);
        self->flags |= ACTOR_IS_PUBLISHED;
    }
    pthread_mutex_unlock(&runtime->lock);
    return error;
}

struct actor_id actor_whereis(const char *name) {
    struct runtime *runtime = shard_of_thread->runtime;
    pthread_mutex_lock(&runtime->lock);
    const struct name_entry *entry = find(runtime, name);
    struct actor_id actor = entry ? entry->actor : ACTOR_NOBODY;
    pthread_mutex_unlock(&runtime->lock);
    return actor;
}

void names_remove_all(struct runtime *runtime, struct actor_id actor) {
    pthread_mutex_lock(&runtime->lock);
    for (unsigned i = 0; i < runtime->name_count;) {
        if (runtime->names[i].actor.bits == actor.bits)
            runtime->names[i] = runtime->names[--runtime->name_count];
        else
            i++;
    }
    pthread_mutex_unlock(&runtime->lock);
}

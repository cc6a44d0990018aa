/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of the registry that a shard owns: (class, key) to actor.
 *
 * 256 small tables, so that growing one moves a 256th of the actors and no turn is long.
 */
#ifndef TERN_RUNTIME_REGISTRY_INTERNAL_H
#define TERN_RUNTIME_REGISTRY_INTERNAL_H

#include "runtime/class_internal.h"

#define REGISTRY_TABLES 256u

struct actor;
struct registry_table {
    struct actor **places;
    uint32_t mask; /* places - 1, or 0 while there are none */
    uint32_t count;
};
struct registry {
    struct registry_table tables[REGISTRY_TABLES];
};

void registry_finish(struct registry *registry);
struct actor *registry_find(const struct registry *registry, const struct class_entry *class,
                            uint64_t key);
/* The actor's class and key must not be there. */
void registry_add(struct registry *registry, struct actor *actor);
void registry_remove(struct registry *registry, struct actor *actor);

#endif

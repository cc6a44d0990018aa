/* SPDX-License-Identifier: Apache-2.0 */
/*
 * (class, key) to actor: linear probing, at most three quarters full, entries behind a removed one
 * moved up.
 *
 * The hash is of the key and the class's index in this shard, never of an address.
 */
#include "runtime/registry_internal.h"

#include "runtime/actor_internal.h"

#include <stdlib.h>

#define PLACES_MIN 16u

static uint64_t hash_of(const struct class_entry *class, uint64_t key) {
    return map_mix(key + class->index * 0x9e3779b97f4a7c15u);
}

static uint32_t home_of(const struct registry_table *table, const struct actor *actor) {
    return (uint32_t)hash_of(actor->class, actor->key) & table->mask;
}

void registry_finish(struct registry *registry) {
    for (unsigned i = 0; i < REGISTRY_TABLES; i++)
        free(registry->tables[i].places);
}

struct actor *registry_find(const struct registry *registry, const struct class_entry *class,
                            uint64_t key) {
    uint64_t hash = hash_of(class, key);
    const struct registry_table *table = &registry->tables[hash >> 56];
    if (!table->places)
        return NULL;
    for (uint32_t i = (uint32_t)hash & table->mask;; i = (i + 1) & table->mask) {
        struct actor *actor = table->places[i];
        if (!actor || (actor->key == key && actor->class == class))
            return actor;
    }
}

static void place(struct registry_table *table, struct actor *actor) {
    uint32_t i = home_of(table, actor);
    while (table->places[i])
        i = (i + 1) & table->mask;
    table->places[i] = actor;
}

static void grow(struct registry_table *table) {
    struct registry_table old = *table;
    uint32_t places = old.places ? 2 * (old.mask + 1) : PLACES_MIN;
    table->places = calloc(places, sizeof(struct actor *));
    CHECK(table->places);
    table->mask = places - 1;
    for (uint32_t i = 0; old.places && i <= old.mask; i++)
        if (old.places[i])
            place(table, old.places[i]);
    free(old.places);
}

void registry_add(struct registry *registry, struct actor *actor) {
    struct registry_table *table = &registry->tables[hash_of(actor->class, actor->key) >> 56];
    if (!table->places || 4 * (table->count + 1) > 3 * (table->mask + 1))
        grow(table);
    place(table, actor);
    table->count++;
    actor->flags |= ACTOR_IS_NAMED;
}

void registry_remove(struct registry *registry, struct actor *actor) {
    struct registry_table *table = &registry->tables[hash_of(actor->class, actor->key) >> 56];
    uint32_t hole = home_of(table, actor);
    while (table->places[hole] != actor) {
        CHECK(table->places[hole]);
        hole = (hole + 1) & table->mask;
    }
    for (uint32_t i = (hole + 1) & table->mask; table->places[i]; i = (i + 1) & table->mask) {
        uint32_t home = home_of(table, table->places[i]);
        if (((i - home) & table->mask) >= ((i - hole) & table->mask)) {
            table->places[hole] = table->places[i];
            hole = i;
        }
    }
    table->places[hole] = NULL;
    table->count--;
    actor->flags &= ~(uint32_t)ACTOR_IS_NAMED;
}

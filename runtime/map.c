/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The map: linear probing, at most three quarters full, entries behind a removed one moved up.
 *
 * Invariant: between an entry's home (its hash's place) and where it lies there is no empty place.
 */
#include "runtime/map_internal.h"

#include "runtime/check.h"

#include <stdlib.h>

#define CAPACITY_MIN 16u

void map_finish(struct map *map) {
    free(map->entries);
    *map = (struct map){0};
}

static uint64_t find(const struct map *map, uint64_t key) {
    uint64_t i = map_mix(key) & map->mask;
    while (map->entries[i].key && map->entries[i].key != key)
        i = (i + 1) & map->mask;
    return i;
}

void *map_get(const struct map *map, uint64_t key) {
    return map->entries ? map->entries[find(map, key)].value : NULL;
}

static void grow(struct map *map) {
    struct map old = *map;
    uint64_t capacity = old.entries ? 2 * (old.mask + 1) : CAPACITY_MIN;
    map->entries = calloc(capacity, sizeof *map->entries);
    CHECK(map->entries);
    map->mask = capacity - 1;
    for (uint64_t i = 0; old.entries && i <= old.mask; i++)
        if (old.entries[i].key)
            map->entries[find(map, old.entries[i].key)] = old.entries[i];
    free(old.entries);
}

void map_put(struct map *map, uint64_t key, void *value) {
    CHECK(key && value);
    if (!map->entries || 4 * (map->count + 1) > 3 * (map->mask + 1))
        grow(map);
    struct map_entry *entry = &map->entries[find(map, key)];
    CHECK(!entry->key);
    *entry = (struct map_entry){key, value};
    map->count++;
}

void *map_remove(struct map *map, uint64_t key) {
    if (!map->entries)
        return NULL;
    uint64_t hole = find(map, key);
    void *value = map->entries[hole].value;
    if (!value)
        return NULL;
    for (uint64_t i = (hole + 1) & map->mask; map->entries[i].key; i = (i + 1) & map->mask) {
        uint64_t home = map_mix(map->entries[i].key) & map->mask;
        if (((i - home) & map->mask) >= ((i - hole) & map->mask)) {
            map->entries[hole] = map->entries[i];
            hole = i;
        }
    }
    map->entries[hole] = (struct map_entry){0};
    map->count--;
    return value;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash map from nonzero 64-bit keys to pointers, for one shard: open addressing, no tombstones.
 *
 * It has no iteration, so that no order can come from it.
 */
#ifndef TERN_RUNTIME_MAP_INTERNAL_H
#define TERN_RUNTIME_MAP_INTERNAL_H

#include <stdint.h>

struct map_entry {
    uint64_t key; /* 0: empty */
    void *value;
};
struct map {
    struct map_entry *entries;
    uint64_t mask; /* capacity - 1, or 0 while there is none */
    uint64_t count;
};

/* The finalizer of SplitMix64: every bit of the key reaches every bit of the result. */
static inline uint64_t map_mix(uint64_t key) {
    key = (key ^ (key >> 30)) * 0xbf58476d1ce4e5b9u;
    key = (key ^ (key >> 27)) * 0x94d049bb133111ebu;
    return key ^ (key >> 31);
}

void map_finish(struct map *map);
/* NULL when the key is not there. */
void *map_get(const struct map *map, uint64_t key);
/* The key must not be there. Aborts when memory is out. */
void map_put(struct map *map, uint64_t key, void *value);
/* Takes it out and returns its value; NULL when it is not there. */
void *map_remove(struct map *map, uint64_t key);

#endif

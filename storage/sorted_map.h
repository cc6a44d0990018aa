/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sorted map of byte strings, for the engine in memory: a skip list whose towers come from a
 * seed, so that equal calls build equal maps.
 *
 * Keys sort by memcmp, a prefix before what it begins. Thread: the caller's lock. It aborts when
 * memory runs out (it serves tests and the simulator alone).
 */
#ifndef TERN_STORAGE_SORTED_MAP_H
#define TERN_STORAGE_SORTED_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "storage/batch.h"

struct sorted_map;
struct sorted_node;

/* A value: its bytes belong to whoever holds the pointer. */
struct sorted_value {
    size_t size;
    uint8_t bytes[];
};

struct sorted_map *sorted_map_create(uint64_t seed);
/* Frees its nodes and values. */
void sorted_map_destroy(struct sorted_map *map);

/* A copy of `bytes`; freed with free(). */
struct sorted_value *sorted_value_create(struct engine_bytes bytes);

/*
 * Set `key` to `value`, or remove it when `value` is NULL. The map takes the new value and gives
 * the one it replaced to the caller (NULL: there was none); so a second call with the result undoes
 * the first.
 */
struct sorted_value *sorted_map_swap(struct sorted_map *map, struct engine_bytes key,
                                     struct sorted_value *value);

/* The first node whose key is not below `key` (an empty one: the first of all), or NULL. Nodes are
 * borrowed until the map next changes. */
const struct sorted_node *sorted_map_seek(const struct sorted_map *map, struct engine_bytes key);
const struct sorted_node *sorted_node_next(const struct sorted_node *node);
struct engine_bytes sorted_node_key(const struct sorted_node *node);
struct engine_bytes sorted_node_value(const struct sorted_node *node);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The skip list. A node is one allocation: head, tower of next pointers, key. Tower heights are
 * drawn with a chance of a quarter per level from an xorshift generator of the map's own; contents
 * and order never depend on them.
 */
#include "storage/sorted_map.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/check.h"

#define HEIGHT_MAX 12 /* 4^12 keys */

struct sorted_node {
    struct sorted_value *value;
    size_t key_size;
    unsigned height;
    struct sorted_node *next[]; /* `height` of them, then the key */
};

struct sorted_map {
    uint64_t random;
    struct sorted_node *first[HEIGHT_MAX];
};

static void *allocate(size_t size) {
    void *memory = malloc(size);
    CHECK(memory != NULL);
    return memory;
}

static uint8_t *node_key(const struct sorted_node *node) {
    return (uint8_t *)(node->next + node->height);
}

struct sorted_map *sorted_map_create(uint64_t seed) {
    struct sorted_map *map = allocate(sizeof(*map));
    *map = (struct sorted_map){.random = seed | 1};
    return map;
}

void sorted_map_destroy(struct sorted_map *map) {
    for (struct sorted_node *node = map->first[0]; node;) {
        struct sorted_node *next = node->next[0];
        free(node->value);
        free(node);
        node = next;
    }
    free(map);
}

struct sorted_value *sorted_value_create(struct engine_bytes bytes) {
    struct sorted_value *value = allocate(sizeof(*value) + bytes.size);
    value->size = bytes.size;
    if (bytes.size)
        memcpy(value->bytes, bytes.data, bytes.size);
    return value;
}

static unsigned draw_height(struct sorted_map *map) {
    map->random ^= map->random << 13;
    map->random ^= map->random >> 7;
    map->random ^= map->random << 17;
    unsigned height = 1;
    for (uint64_t bits = map->random; height < HEIGHT_MAX && (bits & 3) == 0; bits >>= 2)
        height++;
    return height;
}

/* Point `links` at the pointer that leads past `key`, on every level. */
static void find_links(struct sorted_map *map, struct engine_bytes key,
                       struct sorted_node **links[HEIGHT_MAX]) {
    struct sorted_node **tower = map->first;
    for (unsigned level = HEIGHT_MAX; level-- > 0;) {
        while (tower[level] && engine_compare(sorted_node_key(tower[level]), key) < 0)
            tower = tower[level]->next;
        links[level] = &tower[level];
    }
}

static struct sorted_value *remove_node(struct sorted_node *node,
                                        struct sorted_node **links[HEIGHT_MAX]) {
    struct sorted_value *old = node->value;
    for (unsigned level = 0; level < node->height; level++) {
        CHECK(*links[level] == node);
        *links[level] = node->next[level];
    }
    free(node);
    return old;
}

static void insert_node(struct sorted_map *map, struct engine_bytes key, struct sorted_value *value,
                        struct sorted_node **links[HEIGHT_MAX]) {
    unsigned height = draw_height(map);
    struct sorted_node *node =
        allocate(sizeof(*node) + height * sizeof(struct sorted_node *) + key.size);
    node->value = value;
    node->key_size = key.size;
    node->height = height;
    memcpy(node_key(node), key.data, key.size);
    for (unsigned level = 0; level < height; level++) {
        node->next[level] = *links[level];
        *links[level] = node;
    }
}

struct sorted_value *sorted_map_swap(struct sorted_map *map, struct engine_bytes key,
                                     struct sorted_value *value) {
    struct sorted_node **links[HEIGHT_MAX];
    find_links(map, key, links);
    struct sorted_node *node = *links[0];
    if (!node || engine_compare(sorted_node_key(node), key) != 0) {
        if (value)
            insert_node(map, key, value, links);
        return NULL;
    }
    if (!value)
        return remove_node(node, links);
    struct sorted_value *old = node->value;
    node->value = value;
    return old;
}

const struct sorted_node *sorted_map_seek(const struct sorted_map *map, struct engine_bytes key) {
    struct sorted_node *const *tower = map->first;
    for (unsigned level = HEIGHT_MAX; level-- > 0;) {
        while (tower[level] && engine_compare(sorted_node_key(tower[level]), key) < 0)
            tower = tower[level]->next;
    }
    return tower[0];
}

const struct sorted_node *sorted_node_next(const struct sorted_node *node) {
    return node->next[0];
}

struct engine_bytes sorted_node_key(const struct sorted_node *node) {
    return (struct engine_bytes){node_key(node), node->key_size};
}

struct engine_bytes sorted_node_value(const struct sorted_node *node) {
    return (struct engine_bytes){node->value->bytes, node->value->size};
}

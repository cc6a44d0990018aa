/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slabs: fixed-size blocks in size classes, for one shard.
 *
 * A pool takes regions of 4 MiB of address space, aligned to their size, so that a block's address
 * names its region and the region names its pool: a block needs no header to find its way home.
 * Memory is populated in steps before its first use, because a page fault costs more than a hundred
 * messages. What is freed is used again by the same class; nothing returns to the system before the
 * pool ends.
 *
 * A block goes home when it is freed elsewhere: other shards hand blocks back by their lanes
 * (lane_internal.h), threads that are no shard push them on `returned`. But what crosses both ways
 * needs no way back: a shard keeps blocks of another for its own use, where they lie warm in its
 * cache, until it has SLAB_ADOPTED_BYTES of free ones in that class. So a shard that only receives
 * gives back all but those.
 */
#ifndef TERN_RUNTIME_SLAB_INTERNAL_H
#define TERN_RUNTIME_SLAB_INTERNAL_H

#include "runtime/check.h"
#include "runtime/stack_internal.h"

#include <sanitizer/asan_interface.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLAB_REGION_BYTES (4u << 20)
#define SLAB_BYTES_MAX 16384u /* larger ones are the heap's */
#define SLAB_CLASSES 38u
#define SLAB_CLASS_HEAP 255u /* says of a block: malloc's */

#define SLAB_ADOPTED_BYTES 65536u

struct shard;
struct runtime;

/* What a free block holds; the rest of it is poisoned under the address sanitizer. */
struct slab_block {
    struct slab_block *next;
    uint64_t class;
};

/* A line that nobody writes once the region is there: whoever frees a block reads it, on any core.
 * So it says itself what its pool and its shard would have to be asked for, on lines that the owner
 * writes all the time. */
struct slab_region {
    _Alignas(64) struct slab_pool *pool;
    struct runtime *runtime; /* the owner's */
    unsigned shard;          /* the owner's index */
    struct slab_region *next;
};
_Static_assert(sizeof(struct slab_region) == 64, "a region's head is one cache line");

struct slab_pool {
    struct slab_block *free[SLAB_CLASSES];
    uint32_t free_count[SLAB_CLASSES];
    uint8_t *unused, *populated_end, *region_end; /* of the newest region */
    struct slab_region *regions;
    uint64_t blocks;         /* ever made */
    struct runtime *runtime; /* the owner's */
    unsigned shard;          /* the owner's index */
    size_t step_bytes;       /* populated next */
    /* Populated in all. Written by the owner, read by others for figures alone: both relaxed. */
    uint64_t bytes;
    /* Pushed by other threads, taken by the owner: stack_internal.h. On a line of its own. */
    _Alignas(64) struct ck_stack returned;
};
_Static_assert(offsetof(struct slab_pool, returned) % 64 == 0,
               "what others push disturbs no line of the owner");

/* 16 to 128 in steps of 16, to 1,024 in steps of 64, then four per doubling. `bytes` in
 * [1, SLAB_BYTES_MAX]. */
static inline unsigned slab_class_of(size_t bytes) {
    size_t last = bytes - 1;
    if (last < 128)
        return (unsigned)(last >> 4);
    if (last < 1024)
        return 6 + (unsigned)(last >> 6);
    unsigned log = 63 - (unsigned)__builtin_clzl(last);
    return 22 + (log - 10) * 4 + (unsigned)((last >> (log - 2)) & 3);
}
/* The same of so many cache lines, at least one. */
static inline unsigned slab_class_of_lines(size_t lines) {
    if (__builtin_expect(lines <= 16, 1))
        return lines == 1 ? 3 : (unsigned)lines + 5;
    return slab_class_of(lines * 64);
}
static inline size_t slab_class_bytes(unsigned class) {
    if (class < 8)
        return (class + 1) * 16ul;
    if (class < 22)
        return (class - 5) * 64ul;
    return (5ul + ((class - 22) & 3)) << (8 + ((class - 22) / 4 & 7)); /* at most 7: the bound */
}

/* Zeroed pages, aligned to a page; all populated at once if asked. NULL when memory is out. */
void *memory_map(size_t bytes, bool populate);
void memory_unmap(void *memory, size_t bytes);

void slab_init(struct slab_pool *pool, struct runtime *runtime, unsigned shard);
/* Gives all regions back to the system. */
void slab_finish(struct slab_pool *pool);

/* Blocks that are somebody's: counts the free ones, so for tests and the end only. A shard that has
 * adopted blocks has as many too few, and their home too many (it may wrap below zero): only the
 * sum over shards is a figure. */
uint64_t slab_in_use(struct slab_pool *pool);

/* Fills an empty class; returns one block. Aborts when memory is out. */
struct slab_block *slab_refill(struct slab_pool *pool, unsigned class);
/* Any thread: the block goes to its pool's `returned`. */
void slab_return(struct slab_block *block, unsigned class);

static inline const struct slab_region *slab_region_of(const void *block) {
    return (void *)((uintptr_t)block & ~(uintptr_t)(SLAB_REGION_BYTES - 1));
}
static inline struct slab_pool *slab_home(const void *block) {
    return slab_region_of(block)->pool;
}

/* Not zeroed. Aligned to 64 when the class's size is a multiple of 64, else to 16. */
static inline void *slab_take(struct slab_pool *pool, unsigned class) {
    struct slab_block *block = pool->free[class];
    if (__builtin_expect(!block, 0))
        block = slab_refill(pool, class);
    pool->free[class] = block->next;
    pool->free_count[class]--;
    ASAN_UNPOISON_MEMORY_REGION(block, slab_class_bytes(class));
    return block;
}

static inline void slab_give(struct slab_pool *pool, void *memory, unsigned class) {
    struct slab_block *block = memory;
    block->next = pool->free[class];
    pool->free[class] = block;
    pool->free_count[class]++;
    ASAN_POISON_MEMORY_REGION(block + 1, slab_class_bytes(class) - sizeof *block);
}

/* Shall the owner keep a block of another shard? */
static inline bool slab_adopts(const struct slab_pool *pool, unsigned class) {
    return pool->free_count[class] * slab_class_bytes(class) < SLAB_ADOPTED_BYTES;
}

#endif

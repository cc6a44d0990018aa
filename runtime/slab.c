/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slabs: regions, populating, and refilling of a size class. The fast paths are in the header.
 *
 * Invariants: every byte between a region's start and `populated_end` has been touched by the
 * kernel; a block is either on exactly one free list, on a chain on its way home, or somebody's.
 */
#include "runtime/slab_internal.h"

#include <errno.h>
#include <sys/mman.h>

#define STEP_BYTES_FIRST (64u << 10)
#define STEP_BYTES_MAX (1u << 20)
#define REFILL_BLOCKS_MAX 64u
#define REFILL_BYTES 16384u

void *memory_map(size_t bytes, bool populate) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | (populate ? MAP_POPULATE : MAP_NORESERVE);
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void memory_unmap(void *memory, size_t bytes) {
    if (memory)
        munmap(memory, bytes);
}

void slab_init(struct slab_pool *pool, struct runtime *runtime, unsigned shard) {
    *pool = (struct slab_pool){.runtime = runtime, .shard = shard, .step_bytes = STEP_BYTES_FIRST};
}

void slab_finish(struct slab_pool *pool) {
    while (pool->regions) {
        struct slab_region *region = pool->regions;
        pool->regions = region->next;
        ASAN_UNPOISON_MEMORY_REGION(region, SLAB_REGION_BYTES);
        munmap(region, SLAB_REGION_BYTES);
    }
}

/* Address space aligned to its own size: twice as much, and the ends given back. */
static uint8_t *region_map(void) {
    size_t bytes = 2ul * SLAB_REGION_BYTES;
    uint8_t *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(memory != MAP_FAILED);
    uintptr_t start = ((uintptr_t)memory + SLAB_REGION_BYTES - 1) & -(uintptr_t)SLAB_REGION_BYTES;
    size_t before = start - (uintptr_t)memory, after = bytes - before - SLAB_REGION_BYTES;
    if (before)
        munmap(memory, before);
    if (after)
        munmap((uint8_t *)start + SLAB_REGION_BYTES, after);
    return (uint8_t *)start;
}

/* One system call for many pages. A kernel that doesn't know it faults them one by one. */
static void populate_step(struct slab_pool *pool) {
    size_t left = (size_t)(pool->region_end - pool->populated_end);
    size_t bytes = pool->step_bytes < left ? pool->step_bytes : left;
    int result = madvise(pool->populated_end, bytes, MADV_POPULATE_WRITE);
    CHECK(result == 0 || errno != ENOMEM);
    pool->populated_end += bytes;
    /* A figure: pairs with runtime_counters_read. */
    __atomic_store_n(&pool->bytes, pool->bytes + bytes, __ATOMIC_RELAXED);
    if (pool->step_bytes < STEP_BYTES_MAX)
        pool->step_bytes *= 2;
}

static void region_add(struct slab_pool *pool) {
    uint8_t *memory = region_map();
    pool->populated_end = memory;
    pool->region_end = memory + SLAB_REGION_BYTES;
    populate_step(pool);
    struct slab_region *region = (struct slab_region *)memory;
    region->pool = pool;
    region->runtime = pool->runtime;
    region->shard = pool->shard;
    region->next = pool->regions;
    pool->regions = region;
    pool->unused = memory + sizeof *region;
}

/* What threads that are no shard have freed; true if there was anything. */
static bool returned_take(struct slab_pool *pool) {
    struct ck_stack_entry *next = stack_take_all(&pool->returned);
    bool any = next != NULL;
    while (next) {
        struct slab_block *block = (struct slab_block *)next;
        next = next->next;
        slab_give(pool, block, (unsigned)block->class);
    }
    return any;
}

struct slab_block *slab_refill(struct slab_pool *pool, unsigned class) {
    CHECK(class < SLAB_CLASSES);
    if (returned_take(pool) && pool->free[class])
        return pool->free[class];
    size_t bytes = slab_class_bytes(class), wanted = REFILL_BYTES / bytes;
    wanted = wanted < 1 ? 1 : wanted > REFILL_BLOCKS_MAX ? REFILL_BLOCKS_MAX : wanted;
    if ((size_t)(pool->region_end - pool->unused) < bytes) /* the rest is less than a block: lost */
        region_add(pool);
    if (bytes % 64 == 0)
        pool->unused = (uint8_t *)(((uintptr_t)pool->unused + 63) & -(uintptr_t)64);
    for (size_t i = 0; i < wanted && (size_t)(pool->region_end - pool->unused) >= bytes; i++) {
        while (pool->unused + bytes > pool->populated_end)
            populate_step(pool);
        slab_give(pool, pool->unused, class);
        pool->blocks++;
        pool->unused += bytes;
    }
    return pool->free[class] ? pool->free[class] : slab_refill(pool, class);
}

uint64_t slab_in_use(struct slab_pool *pool) {
    uint64_t in_use = pool->blocks;
    returned_take(pool);
    for (unsigned class = 0; class < SLAB_CLASSES; class ++)
        for (const struct slab_block *block = pool->free[class]; block; block = block->next)
            in_use--;
    return in_use;
}

void slab_return(struct slab_block *block, unsigned class) {
    struct slab_pool *pool = slab_home(block);
    block->class = class;
    stack_push(&pool->returned, block);
}

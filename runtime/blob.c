/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blobs: bytes with a count of references, and the way home of any block that crosses shards.
 *
 * The count is the only shared word. Whoever takes it to zero frees the blob: on a shard onto its
 * free list, or (another's, and there are enough) into the lane to its home; elsewhere onto the
 * pool's stack.
 */
#include "runtime/blob_internal.h"

#include "runtime/scheduler_internal.h"

#include <stdlib.h>
#include <string.h>

struct blob {
    /* Taken relaxed in blob_hold, by who holds one already; each release in blob_release pairs with
     * the acquire there of the last one. */
    uint32_t references;
    uint32_t home;
    size_t length;
    struct runtime *runtime; /* whose figures it is in, or NULL */
    uint64_t reserved;       /* the bytes begin at a multiple of 32 */
};

void block_release(void *block, uint32_t home) {
    if (home == SLAB_CLASS_HEAP) {
        free(block);
        return;
    }
    struct shard *shard = shard_of_thread;
    const struct slab_region *region = slab_region_of(block);
    bool ours = shard && region->runtime == shard->runtime;
    if (ours && (region->shard == shard->index || slab_adopts(&shard->messages, home))) {
        slab_give(&shard->messages, block, home);
    } else if (ours) {
        lane_push_freed(shard->lanes_out[region->shard], block, home);
    } else {
        slab_return(block, home);
    }
}

static void count_bytes(struct runtime *runtime, uint64_t bytes) {
    struct shard *shard = shard_of_thread;
    if (shard && shard->runtime == runtime)
        counter_add(shard->counters.blob_bytes, bytes);
    else if (runtime)
        /* A figure: pairs with runtime_counters_read. */
        __atomic_fetch_add(&runtime->blob_bytes, bytes, __ATOMIC_RELAXED);
}

struct blob *blob_create(size_t bytes) {
    CHECK(bytes <= BLOB_BYTES_MAX);
    struct shard *shard = shard_of_thread;
    /* Whole cache lines, as what travels between shards is. */
    size_t all = (sizeof(struct blob) + bytes + 63) & ~(size_t)63;
    struct blob *blob;
    uint32_t home = SLAB_CLASS_HEAP;
    if (shard && all <= SLAB_BYTES_MAX) {
        home = slab_class_of(all);
        blob = slab_take(&shard->messages, home);
    } else {
        blob = aligned_alloc(64, all);
        CHECK(blob);
    }
    *blob = (struct blob){.references = 1, .home = home, .length = bytes};
    blob->runtime = shard ? shard->runtime : NULL;
    count_bytes(blob->runtime, bytes);
    return blob;
}

struct blob *blob_copy_of(const void *bytes, size_t length) {
    struct blob *blob = blob_create(length);
    if (length)
        memcpy(blob + 1, bytes, length);
    return blob;
}

struct blob *blob_hold(struct blob *blob) {
    __atomic_fetch_add(&blob->references, 1, __ATOMIC_RELAXED);
    return blob;
}

void blob_release(struct blob *blob) {
    if (!blob)
        return;
    /* Each release pairs with the acquire of the last one: all uses come before the end. Who sees
     * one reference holds the only one. */
    if (__atomic_load_n(&blob->references, __ATOMIC_ACQUIRE) != 1 &&
        __atomic_fetch_sub(&blob->references, 1, __ATOMIC_ACQ_REL) != 1)
        return;
    count_bytes(blob->runtime, -(uint64_t)blob->length);
    block_release(blob, blob->home);
}

uint8_t *blob_bytes(struct blob *blob) {
    return (uint8_t *)(blob + 1);
}

size_t blob_length(const struct blob *blob) {
    return blob->length;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lanes between shards.
 *
 * Invariants: batch n lies in batches[n % LANE_BATCHES], and n is the writer's index in the ring
 * while it is being filled; before n is published the reader has taken n + 2 - LANE_BATCHES, so
 * that it is done with the batch whose memory n + 1 uses; once anything waits in the spill list
 * every message goes behind it, so that order holds; the spill list goes into the ring at every
 * publish; the reader of a lane that is stuck hears of it, since a ring may be full of freed blocks
 * that woke nobody.
 */
#include "runtime/lane_internal.h"

#include "runtime/check.h"
#include "runtime/slab_internal.h"

_Static_assert(offsetof(struct lane, ring.p_tail) % 64 == 0 &&
                   offsetof(struct lane, batch) % 64 == 0 &&
                   offsetof(struct lane, ring.p_tail) >= offsetof(struct lane, ring.c_head) + 64,
               "the reader's index, the writer's, and what is its own lie on lines apart");
_Static_assert((LANE_BATCHES & (LANE_BATCHES - 1)) == 0, "ck_ring wraps by a mask");
_Static_assert(SLAB_CLASSES + 1 <= LANE_TAG_MASK, "a size class fits into the low bits");

void lane_init(struct lane *lane) {
    ck_ring_init(&lane->ring, LANE_BATCHES);
    lane->batch = &lane->batches[0];
}

/* --- the writer
 * ------------------------------------------------------------------------------------- */

/* As far as is known: the reader may have gone on. */
static bool ring_is_full(const struct lane *lane) {
    return ((lane->ring.p_tail - lane->taken) & (LANE_BATCHES - 1)) > LANE_BATCHES - 3;
}

/* The reader writes its index for each batch, so that each look at it costs a cache miss: one look
 * is good for a whole ring. It pairs with the store of the index in lane_take: a batch of which the
 * index says so has been copied. False: the ring is full indeed. */
static bool look_at_reader(struct lane *lane) {
    lane->taken = ck_pr_load_uint(&lane->ring.c_head);
    /* Our writing into the batch stays behind the look. */
    ck_pr_fence_acquire();
    return !ring_is_full(lane);
}

/* False: the ring is full. */
static bool batch_publish(struct lane *lane) {
    struct ck_ring *ring = &lane->ring;
    lane->is_stuck = ring_is_full(lane) && !look_at_reader(lane);
    if (lane->is_stuck)
        return false;
    void **place = &lane->places[ring->p_tail & (LANE_BATCHES - 1)].value;
    uintptr_t only = lane->batch->entries[0];
    if (lane->filled == 1 && !(only & LANE_TAG_MASK))
        *place = (void *)only;
    else
        *place = (void *)((uintptr_t)lane->batch | lane->filled);
    /* A release, with the store of the index that follows: pairs with lane_take's load of it. */
    ck_pr_fence_release();
    ck_ring_enqueue_commit_spsc(ring);
    lane->batch = &lane->batches[ring->p_tail & (LANE_BATCHES - 1)];
    lane->filled = 0;
    lane->has_news |= lane->batch_has_messages;
    lane->batch_has_messages = false;
    return true;
}

static bool entry_push(struct lane *lane, uintptr_t entry) {
    if (lane->filled == LANE_BATCH && !batch_publish(lane))
        return false;
    lane->batch->entries[lane->filled++] = entry;
    return true;
}

static bool message_push(struct lane *lane, struct message *message) {
    if (!entry_push(lane, (uintptr_t)message))
        return false;
    lane->batch_has_messages = true;
    return true;
}

static void spill_drain(struct lane *lane) {
    while (lane->spill_head) {
        struct message *message = lane->spill_head, *next = message->next;
        if (!message_push(lane, message))
            return;
        lane->spill_head = next;
        lane->spill_count--;
    }
    lane->spill_tail = NULL;
}

void lane_push(struct lane *lane, struct message *message) {
    CHECK(((uintptr_t)message & LANE_TAG_MASK) == 0);
    if (!lane->spill_head && message_push(lane, message))
        return;
    message->next = NULL;
    if (lane->spill_head)
        lane->spill_tail->next = message;
    else
        lane->spill_head = message;
    lane->spill_tail = message;
    lane->spill_count++;
}

void lane_push_freed(struct lane *lane, void *memory, unsigned class) {
    struct slab_block *block = memory;
    CHECK(((uintptr_t)block & LANE_TAG_MASK) == 0);
    if (!lane->freed && entry_push(lane, (uintptr_t)block | (class + 1)))
        return;
    block->class = class;
    block->next = lane->freed;
    lane->freed = block;
}

static void freed_drain(struct lane *lane) {
    while (lane->freed) {
        struct slab_block *block = lane->freed, *next = block->next;
        if (!entry_push(lane, (uintptr_t)block | (block->class + 1)))
            return;
        lane->freed = next;
    }
}

bool lane_publish(struct lane *lane) {
    if (lane->spill_head)
        spill_drain(lane);
    if (lane->freed)
        freed_drain(lane);
    if (lane->batch_has_messages || lane->filled == LANE_BATCH)
        batch_publish(lane);
    bool has_news = lane->has_news || lane->is_stuck;
    lane->has_news = false;
    return has_news;
}

/* Destroying a message may push its memory here: what is in the batch comes last. */
static void batch_discard(struct lane *lane) {
    struct lane_batch batch = *lane->batch;
    uint32_t count = lane->filled;
    lane->filled = 0;
    lane->batch_has_messages = false;
    for (uint32_t i = 0; i < count; i++) {
        unsigned class;
        void *block = lane_entry_block(batch.entries[i], &class);
        if (lane_entry_message(batch.entries[i]))
            message_destroy(lane_entry_message(batch.entries[i]));
        else
            slab_return(block, class);
    }
}

void lane_discard_unsent(struct lane *lane) {
    while (lane->spill_head) {
        struct message *message = lane->spill_head;
        lane->spill_head = message->next;
        lane->spill_count--;
        message_destroy(message);
    }
    lane->spill_tail = NULL;
    while (lane->freed) {
        struct slab_block *block = lane->freed;
        lane->freed = block->next;
        slab_return(block, (unsigned)block->class);
    }
    while (lane->filled)
        batch_discard(lane);
}

/* --- the reader
 * ------------------------------------------------------------------------------------- */

uint32_t lane_take(struct lane *lane, uintptr_t entries[LANE_BATCH]) {
    struct ck_ring *ring = &lane->ring;
    void *taken;
    if (lane_is_empty(lane))
        return 0;
    /* The batch that was taken before has been copied, and the store of our index in here, after
     * this fence, makes its memory the writer's again: pairs with batch_publish's look. */
    ck_pr_fence_release();
    CHECK(ck_ring_dequeue_spsc(ring, lane->places, &taken));
    ck_pr_fence_acquire(); /* of its load of the writer's index: pairs with batch_publish */
    uint32_t count = (uintptr_t)taken & LANE_TAG_MASK;
    if (!count) {
        __builtin_prefetch(taken, 1);
        entries[0] = (uintptr_t)taken;
        return 1;
    }
    const struct lane_batch *batch = (void *)((uintptr_t)taken & ~(uintptr_t)LANE_TAG_MASK);
    for (uint32_t i = 8; i < count; i += 8)
        __builtin_prefetch(&batch->entries[i]);
    for (uint32_t i = 0; i < count; i++) {
        entries[i] = batch->entries[i];
        __builtin_prefetch((void *)(entries[i] & ~(uintptr_t)LANE_TAG_MASK), 1);
    }
    return count;
}

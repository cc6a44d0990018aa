/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lanes between shards.
 *
 * Invariants: tail - head <= LANE_PLACES (both wrap at 2^32, a multiple of it); once anything waits
 * in the spill list everything new goes behind it, so that order holds; the spill list goes into
 * the ring at every publish.
 */
#include "runtime/lane_internal.h"

#include "runtime/check.h"
#include "runtime/slab_internal.h"

_Static_assert((LANE_PLACES & (LANE_PLACES - 1)) == 0, "places wrap by a mask");

static bool ring_push(struct lane *lane, uintptr_t entry) {
    if (lane->tail - lane->head_seen == LANE_PLACES) {
        /* Pairs with the release in lane_take: the reader is done with the places before `head`. */
        lane->head_seen = __atomic_load_n(&lane->head, __ATOMIC_ACQUIRE);
        if (lane->tail - lane->head_seen == LANE_PLACES)
            return false;
    }
    lane->places[lane->tail & (LANE_PLACES - 1)] = entry;
    lane->tail++;
    lane->unpublished++;
    return true;
}

static void spill_drain(struct lane *lane) {
    while (lane->spill_head) {
        struct message *message = lane->spill_head, *next = message->next;
        if (!ring_push(lane, (uintptr_t)message))
            return;
        lane->spill_head = next;
        lane->spill_count--;
        lane->has_news = true;
    }
    lane->spill_tail = NULL;
}

void lane_push(struct lane *lane, struct message *message) {
    if (!lane->spill_head && ring_push(lane, (uintptr_t)message)) {
        lane->has_news = true;
        return;
    }
    message->next = NULL;
    if (lane->spill_head)
        lane->spill_tail->next = message;
    else
        lane->spill_head = message;
    lane->spill_tail = message;
    lane->spill_count++;
}

void lane_push_freed(struct lane *lane, struct slab_block *block) {
    block->next = lane->freed;
    lane->freed = block;
    lane->freed_count++;
    if (lane->freed_count >= LANE_BATCH && ring_push(lane, (uintptr_t)lane->freed | 1)) {
        lane->freed = NULL;
        lane->freed_count = 0;
    }
}

bool lane_publish(struct lane *lane) {
    if (lane->spill_head)
        spill_drain(lane);
    if (lane->freed && ring_push(lane, (uintptr_t)lane->freed | 1)) {
        lane->freed = NULL;
        lane->freed_count = 0;
    }
    if (!lane->unpublished)
        return false;
    bool has_news = lane->has_news;
    lane->unpublished = 0;
    lane->has_news = false;
    /* Pairs with the acquire in lane_available: messages and places are seen before the tail. */
    __atomic_store_n(&lane->tail_published, lane->tail, __ATOMIC_RELEASE);
    return has_news;
}

void lane_discard_spill(struct lane *lane) {
    while (lane->spill_head) {
        struct message *message = lane->spill_head;
        lane->spill_head = message->next;
        lane->spill_count--;
        message_destroy(message);
    }
    lane->spill_tail = NULL;
}

uint32_t lane_available(const struct lane *lane) {
    /* Pairs with the release in lane_publish. `head` is the caller's own. */
    return __atomic_load_n(&lane->tail_published, __ATOMIC_ACQUIRE) - lane->head;
}

uint32_t lane_take(struct lane *lane, uintptr_t *entries, uint32_t max) {
    uint32_t count = lane_available(lane), head = lane->head;
    CHECK(count <= LANE_PLACES);
    if (count > max)
        count = max;
    for (uint32_t i = 0; i < count; i++) {
        entries[i] = lane->places[(head + i) & (LANE_PLACES - 1)];
        __builtin_prefetch((void *)(entries[i] & ~(uintptr_t)1), 1);
    }
    /* Pairs with the acquire in ring_push. */
    if (count)
        __atomic_store_n(&lane->head, head + count, __ATOMIC_RELEASE);
    return count;
}

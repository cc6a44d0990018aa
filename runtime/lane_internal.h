/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane: everything that one shard sends to one other, in order.
 *
 * A ck_ring with one writer and one reader. What travels are batches: the writer fills one and
 * publishes it when the turn ends or when it is full, so that the cache lines that both sides touch
 * travel once per batch; the reader takes a batch and prefetches what it names. A single message
 * needs no batch: the ring then carries the message itself, since an idle node sends one at a time
 * and each line that travels is latency.
 *
 * The batches are the lane's own, as many as the ring has places, and are used in turn: number n is
 * the writer's again when the reader has taken number n + 1, for then it has copied n. So nothing
 * has to travel back.
 *
 * When the ring is full, what comes next waits in the writer's spill list, so that nothing that may
 * not be lost is; messages of users are refused when that list is at its bound.
 *
 * An entry is an address, a multiple of 64. Its low bits say what it is: zero, a message; else a
 * freed block on its way home, of the size class one less. The memory of a freed block is not
 * touched on the way (a chain through the blocks would cost its owner a cache miss each).
 */
#ifndef TERN_RUNTIME_LANE_INTERNAL_H
#define TERN_RUNTIME_LANE_INTERNAL_H

#include "runtime/kit_internal.h"
#include "runtime/message.h"

#include <stdbool.h>
#include <stdint.h>

#define LANE_BATCHES 128u /* a power of two */
#define LANE_BATCH 63u    /* entries; the low six bits of a batch's address count them */
#define LANE_TAG_MASK 63u
/* That fit without spilling: all batches but the reader's and one that keeps the two apart, and the
 * one that is being filled. */
#define LANE_ENTRIES_MAX ((LANE_BATCHES - 1) * LANE_BATCH)
#define LANE_SPILL_MAX 65536u

struct slab_block;

struct lane_batch {
    _Alignas(64) uintptr_t entries[LANE_BATCH];
};
_Static_assert(sizeof(struct lane_batch) == 512, "eight cache lines");

struct lane {
    /* Lines of their own: the reader's index, the writer's index, constants. */
    _Alignas(64) struct ck_ring ring;
    /* The writer's own. */
    _Alignas(64) struct lane_batch *batch; /* being filled */
    uint32_t filled;
    uint32_t taken; /* the reader's index when it was last looked at */
    uint32_t spill_count;
    struct message *spill_head, *spill_tail;
    struct slab_block *freed; /* blocks that found the ring full; any order */
    bool is_stuck;            /* the ring was full when it was last asked */
    bool has_news;            /* messages among what was published since it was last asked */
    bool batch_has_messages;  /* the one being filled */
    /* Written by the writer, read by the reader, ordered by the ring. */
    _Alignas(64) struct ck_ring_buffer places[LANE_BATCHES];
    _Alignas(64) struct lane_batch batches[LANE_BATCHES];
};

/* On zeroed memory, before both sides know it. */
void lane_init(struct lane *lane);

/* --- the writer
 * ------------------------------------------------------------------------------------- */

/* The spill list is at its bound: messages of users are to be refused. */
static inline bool lane_is_full(const struct lane *lane) {
    return lane->spill_count >= LANE_SPILL_MAX;
}
/* Takes the message; never refuses. */
void lane_push(struct lane *lane, struct message *message);
/* Takes a freed block whose home is the reader. Its address is a multiple of 64. */
void lane_push_freed(struct lane *lane, void *memory, unsigned class);
/* Makes messages that were pushed visible, and freed blocks if there are many. True if the reader
 * may need a wake: there were messages, or the ring is full. Freed blocks can wait until it runs
 * anyway. */
bool lane_publish(struct lane *lane);
static inline bool lane_batch_is_full(const struct lane *lane) {
    return lane->filled == LANE_BATCH;
}
/* Something waits that the ring had no place for. */
static inline bool lane_is_stuck(const struct lane *lane) {
    return lane->is_stuck || lane->spill_head;
}

/* At the end: frees what was not published. */
void lane_discard_unsent(struct lane *lane);

/* --- the reader
 * ------------------------------------------------------------------------------------- */

static inline bool lane_is_empty(const struct lane *lane) {
    return ck_ring_size(&lane->ring) == 0;
}
/* The same for who looks again and again: the place of what comes next is on its way by then. */
static inline bool lane_awaits(const struct lane *lane) {
    __builtin_prefetch(&lane->places[lane->ring.c_head & (LANE_BATCHES - 1)]);
    return lane_is_empty(lane);
}
/* Copies the next batch; returns how many entries it has, 0 when there is none. */
uint32_t lane_take(struct lane *lane, uintptr_t entries[LANE_BATCH]);

/* What an entry is: NULL, or a message. */
static inline struct message *lane_entry_message(uintptr_t entry) {
    return entry & LANE_TAG_MASK ? NULL : (struct message *)entry;
}
static inline void *lane_entry_block(uintptr_t entry, unsigned *class) {
    *class = (unsigned)(entry & LANE_TAG_MASK) - 1;
    return (void *)(entry & ~(uintptr_t)LANE_TAG_MASK);
}

#endif

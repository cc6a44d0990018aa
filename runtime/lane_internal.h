/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane: everything that one shard sends to one other, in order.
 *
 * A ring of pointers with one writer and one reader. The writer fills places and publishes them
 * once per turn or per LANE_BATCH, so that the cache line with the tail travels once per batch; the
 * reader takes a batch, prefetching. When the ring is full, what comes next waits in the writer's
 * spill list, so that nothing that may not be lost is; messages of users are refused when that list
 * is at its bound.
 *
 * A pointer whose lowest bit is set is a chain of freed blocks on its way home.
 *
 * Why not ck_ring: it publishes every entry, and its fences are invisible to the thread sanitizer.
 */
#ifndef TERN_RUNTIME_LANE_INTERNAL_H
#define TERN_RUNTIME_LANE_INTERNAL_H

#include "runtime/message.h"

#include <stdbool.h>
#include <stdint.h>

#define LANE_PLACES 8192u
#define LANE_BATCH 64u
#define LANE_SPILL_MAX 65536u

struct slab_block;

struct lane {
    /* The writer's own. */
    _Alignas(64) uint32_t tail;
    uint32_t unpublished;
    uint32_t head_seen;
    uint32_t spill_count;
    struct message *spill_head, *spill_tail;
    struct slab_block *freed; /* blocks of the reader's pools, to go home */
    uint32_t freed_count;
    bool has_news; /* messages among what is not published */
    /* Written by the writer (release), read by the reader (acquire). */
    _Alignas(64) uint32_t tail_published;
    /* Written by the reader (release), read by the writer (acquire). */
    _Alignas(64) uint32_t head;
    _Alignas(64) uintptr_t places[LANE_PLACES];
};

/* --- the writer
 * ------------------------------------------------------------------------------------- */

/* The spill list is at its bound: messages of users are to be refused. */
static inline bool lane_is_full(const struct lane *lane) {
    return lane->spill_count >= LANE_SPILL_MAX;
}
/* Takes the message; never refuses. */
void lane_push(struct lane *lane, struct message *message);
/* Takes a freed block whose home is the reader. */
void lane_push_freed(struct lane *lane, struct slab_block *block);
/* Makes what was pushed visible. True if there were messages: then the reader may need a wake (not
 * for freed blocks, which can wait until it runs anyway). */
bool lane_publish(struct lane *lane);
static inline bool lane_batch_is_full(const struct lane *lane) {
    return lane->unpublished >= LANE_BATCH;
}
/* Something waits that the ring had no place for. */
static inline bool lane_has_spill(const struct lane *lane) {
    return lane->spill_head != NULL;
}

/* At the end: frees what was never published. */
void lane_discard_spill(struct lane *lane);

/* --- the reader
 * ------------------------------------------------------------------------------------- */

/* How many entries are there to take. */
uint32_t lane_available(const struct lane *lane);
/* Copies at most `max` entries into `entries`; their places are the writer's again. */
uint32_t lane_take(struct lane *lane, uintptr_t *entries, uint32_t max);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane: everything that one shard sends to one other, in order.
 *
 * A ring of cache lines with one writer and one reader, in which small messages travel themselves,
 * not their addresses: the writer copies the message into the ring and has its block back at once;
 * the reader copies it out into a block of its own. So each side keeps its memory to itself, and
 * what crosses is the least there can be: for a message of one line, one line, which says itself
 * that it is there. There is no index that the reader would have to fetch first, and lines that
 * follow each other come by the processor's own prefetching.
 *
 *   a cell:  head │ the message but for its first word │ lines of its payload     1 to 4 lines
 *            head │ up to 7 entries                                               1 line
 *
 * The head takes the place of the message's `next`. It is never zero in a cell that is there, and
 * zero in the line behind the last one that was published, where the reader looks for what comes
 * next. Cells are published in batches: all but the first are written as they come, behind the
 * reader's back; the first one's head comes last, and says how many lines the batch has. A first
 * message is copied only then: the reader looks at its line all the time, and what is written there
 * in two steps has to travel twice. The first message of a turn is published at once, for its
 * receiver may be looking; the others when the turn ends.
 *
 * What is too large travels by address, in an entry, and so does what comes when a turn has sent
 * many or half of the ring waits to be read: then nobody waits for the single message, and an
 * address is less work. So do freed blocks on their way home. An entry is an address, a multiple of
 * 64; its low bits say what it is: zero, a message; else a freed block, of the size class one less.
 * The memory of a freed block is not touched on the way.
 *
 * When the ring is full, what comes next waits in the writer's spill list, so that nothing that may
 * not be lost is; messages of users are refused when that list is at its bound.
 *
 * Written by us, where the shards' other meeting points are Concurrency Kit's: its rings carry
 * pointers, so that an index, a place, the message and the block's way home are lines that travel
 * one after the other (bench/README.md has the figures of both).
 */
#ifndef TERN_RUNTIME_LANE_INTERNAL_H
#define TERN_RUNTIME_LANE_INTERNAL_H

#include "runtime/message.h"
#include "runtime/slab_internal.h"

#include <stdbool.h>
#include <stdint.h>

#define LANE_LINES 2048u       /* a power of two */
#define LANE_CELL_LINES_MAX 4u /* of a message that is copied */
#define LANE_CELL_ENTRIES 7u
#define LANE_COPIES_MAX 320u  /* in a turn; what comes then goes by address */
#define LANE_BATCH_LINES 32u  /* are published before the turn ends, */
#define LANE_ADDRESS_LINES 9u /* or so many of addresses */
#define LANE_FREED_LINES 8u   /* and so many when all that comes is freed */
#define LANE_TAKE 32u         /* entries that the reader takes at a time */
#define LANE_TAG_MASK 63u
/* Messages that fit without spilling: at most, if all travel by address, and at least. */
#define LANE_ENTRIES_MAX (LANE_LINES * LANE_CELL_ENTRIES)
#define LANE_ENTRIES_LEAST ((LANE_LINES / 2 - 2) * LANE_CELL_ENTRIES)
#define LANE_SPILL_MAX 65536u

union lane_line {
    _Alignas(64) uint64_t head; /* released by the writer, acquired by the reader: lane.c */
    struct message message;     /* but for its first word */
    uintptr_t entries[1 + LANE_CELL_ENTRIES]; /* from 1 */
};
_Static_assert(sizeof(union lane_line) == 64 && sizeof(struct message) == 64, "a cache line");

struct lane {
    /* Lines that the reader has copied, ever: stored by it alone with release, in lane_take; pairs
     * with the acquire in lane.c's has_room. */
    _Alignas(64) uint32_t taken;
    uint32_t batch_end; /* the reader's own: of the batch that it is in */
    /* The writer's own. */
    _Alignas(64) uint32_t written; /* lines, ever */
    uint32_t begun;                /* of these, published */
    uint32_t cleared;              /* if beyond `written`: heads from there up to here are zero */
    uint32_t seen;                 /* `taken`, when it was last looked at */
    uint32_t spill_count;
    struct slab_pool *own; /* of the writer, constant; NULL: it is no shard */
    uint64_t head;         /* of the first cell that is not published, unless it is `first` */
    struct message *first; /* to be copied there when it is */
    struct message *spill_head, *spill_tail;
    struct slab_block *freed; /* blocks that found the ring full; any order */
    uint32_t entry_count;
    uint32_t copied; /* messages, in this turn */
    bool entries_have_messages;
    bool has_news;           /* messages among what was published since it was last asked */
    bool batch_has_messages; /* what is not published */
    _Alignas(64) uintptr_t entries[LANE_CELL_ENTRIES]; /* of the next cell of entries */
    _Alignas(64) union lane_line lines[LANE_LINES];
};

/* On zeroed memory there is nothing to initialise but `own`. */

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
/* At the turn's end: makes messages that were pushed visible, and freed
 * blocks if there are many. True if the reader may need a wake: there were messages since the last
 * time, or the ring is full. Freed blocks can wait until it runs anyway. */
bool lane_publish(struct lane *lane);
/* The same within a turn, when a batch is full. */
bool lane_publish_batch(struct lane *lane);
static inline bool lane_batch_is_full(const struct lane *lane) {
    return lane->written - lane->begun >=
           (lane->copied < LANE_COPIES_MAX ? LANE_BATCH_LINES : LANE_ADDRESS_LINES);
}
/* Something waits that the ring had no place for. */
static inline bool lane_is_stuck(const struct lane *lane) {
    return lane->spill_head || lane->freed;
}

/* At the end: frees what was not written into the ring, and publishes the rest, which is freed by
 * who takes it. */
void lane_discard_unsent(struct lane *lane);

/* --- the reader
 * ------------------------------------------------------------------------------------- */

static inline bool lane_is_empty(const struct lane *lane) {
    /* Orders nothing: who finds something takes it by lane_take. */
    return !__atomic_load_n(&lane->lines[lane->taken & (LANE_LINES - 1)].head, __ATOMIC_RELAXED);
}
/* Takes what comes next; returns how many entries that is, 0 when there is nothing. Messages that
 * were copied are in blocks of the pool, the reader's. */
uint32_t lane_take(struct lane *lane, struct slab_pool *pool, uintptr_t entries[LANE_TAKE]);

/* What an entry is: NULL, or a message. */
static inline struct message *lane_entry_message(uintptr_t entry) {
    return entry & LANE_TAG_MASK ? NULL : (struct message *)entry;
}
static inline void *lane_entry_block(uintptr_t entry, unsigned *class) {
    *class = (unsigned)(entry & LANE_TAG_MASK) - 1;
    return (void *)(entry & ~(uintptr_t)LANE_TAG_MASK);
}

#endif

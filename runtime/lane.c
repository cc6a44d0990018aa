/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lanes between shards.
 *
 * Invariants: lines [taken, begun) of the ring are published and not yet read, [begun, written) are
 * the writer's next batch; the line at `begun` has head zero until it is published; the line at
 * `written` is always free, and when entries are being gathered the next one too. Once anything
 * waits in the spill list every message goes behind it, so that order holds; the spill list goes
 * into the ring at every publish. The reader of a lane that is stuck hears of it, since a ring may
 * be full of freed blocks that woke nobody.
 *
 * The head's release in batch_publish pairs with the acquire in lane_take: the whole batch is
 * there, and the zero behind it. The release of `taken` in lane_take pairs with the acquire in
 * has_room: what it counts was copied, and may be written over.
 */
#include "runtime/lane_internal.h"

#include "runtime/actor_internal.h"
#include "runtime/blob_internal.h"
#include "runtime/check.h"

#include <string.h>

#define MASK (LANE_LINES - 1)
#define PREFETCH_AHEAD 6u /* lines of a batch */
#define CLEAR_AHEAD 4u    /* heads, after publishing: then a small batch need not wait for it */

/* A head: lines of the cell, how many entries it has (0: it is a message), what kind of message,
 * and of a batch's first cell the lines of the batch. */
#define HEAD_LINES_MASK 0xffu
#define HEAD_ENTRIES_SHIFT 8
#define HEAD_IS_SMALL (1u << 16) /* its payload is where `to_class` and `blob` are else */
#define HEAD_BATCH_SHIFT 32

#define SMALL_PAYLOAD_MAX 16u
#define SMALL_HOME 7u /* the size class of two lines */

_Static_assert((LANE_LINES & MASK) == 0, "positions wrap by a mask");
_Static_assert(SLAB_CLASSES + 1 <= LANE_TAG_MASK, "a size class fits into the low bits");
_Static_assert(offsetof(struct message, blob) == offsetof(struct message, to_class) + 8,
               "a small payload lies in both");
_Static_assert(offsetof(struct message, next) == 0, "the head takes its place");
_Static_assert(offsetof(struct lane, lines) % 64 == 0 && offsetof(struct lane, written) % 64 == 0,
               "what the other side writes lies on lines apart");

static union lane_line *line_at(struct lane *lane, uint32_t position) {
    return &lane->lines[position & MASK];
}

/* --- the writer: cells
 * ------------------------------------------------------------------------------ */

/* The head of its cell; 0: it travels by address. */
static uint64_t message_head(const struct message *message) {
    const uint16_t elsewhere = MESSAGE_LENT | MESSAGE_SHARED | MESSAGE_STUB;
    if (message->flags & elsewhere || message->home > SMALL_HOME + LANE_CELL_LINES_MAX - 2)
        return 0;
    if (message->home == SMALL_HOME && message->payload_bytes <= SMALL_PAYLOAD_MAX &&
        !message->to_class && !message->blob && !(message->flags & MESSAGE_MULTICAST))
        return 1 | HEAD_IS_SMALL;
    return slab_class_bytes(message->home) / 64;
}

/* All but the head. */
static void cell_write(struct lane *lane, uint32_t position, const struct message *message,
                       uint64_t head) {
    for (uint32_t i = 1; i < (head & HEAD_LINES_MASK); i++)
        memcpy(line_at(lane, position + i), (const char *)message + 64ul * i, 64);
    struct message *copy = &line_at(lane, position)->message;
    memcpy((char *)copy + 8, (const char *)message + 8, 56);
    if (head & HEAD_IS_SMALL)
        memcpy(&copy->to_class, message + 1, SMALL_PAYLOAD_MAX);
}

/* Within the batch: the reader doesn't look there before the first cell is published. */
static void head_write(struct lane *lane, uint32_t position, uint64_t head) {
    if (position == lane->begun)
        lane->head = head;
    else
        __atomic_store_n(&line_at(lane, position)->head, head, __ATOMIC_RELAXED);
}

/* The message was copied. */
static inline void block_give(const struct lane *lane, struct message *message) {
    if (__builtin_expect(slab_home(message) == lane->own, 1))
        slab_give(lane->own, message, message->home);
    else
        block_release(message, message->home);
}

/* Whether fewer than `lines` are not read yet. The reader's count is a line that travels: one look
 * is good for a whole ring. */
static bool has_room(struct lane *lane, uint32_t lines) {
    if (lane->written - lane->seen < lines)
        return true;
    /* Pairs with the release in lane_take. */
    lane->seen = __atomic_load_n(&lane->taken, __ATOMIC_ACQUIRE);
    return lane->written - lane->seen < lines;
}

/* For copies there is half of the ring, and a turn that sends many need not hurry with each. */
static bool may_copy(struct lane *lane) {
    if (lane->copied >= LANE_COPIES_MAX)
        return false;
    if (has_room(lane, LANE_LINES / 2))
        return true;
    lane->copied = LANE_COPIES_MAX; /* look again in the next turn */
    return false;
}

/* --- the writer: batches
 * ---------------------------------------------------------------------------- */

static void entries_flush(struct lane *lane) {
    uint32_t position = lane->written++;
    union lane_line *line = line_at(lane, position);
    memcpy(line->entries + 1, lane->entries, sizeof lane->entries);
    head_write(lane, position, 1 | (uint64_t)lane->entry_count << HEAD_ENTRIES_SHIFT);
    lane->entry_count = 0;
    lane->batch_has_messages |= lane->entries_have_messages;
    lane->entries_have_messages = false;
}

/* From `written` up to there: at least the one behind the batch, where the reader will look. */
static void clear_heads(struct lane *lane, uint32_t end) {
    if ((int32_t)(lane->written - lane->cleared) > 0)
        lane->cleared = lane->written;
    for (; (int32_t)(end - lane->cleared) > 0; lane->cleared++)
        __atomic_store_n(&line_at(lane, lane->cleared)->head, 0, __ATOMIC_RELAXED);
}

/* There is a batch. Its first cell's lines are written last, in one go. */
static void batch_publish(struct lane *lane) {
    struct message *first = lane->first;
    uint64_t head = lane->head;
    clear_heads(lane, lane->written + 1);
    if (first) {
        head = message_head(first);
        cell_write(lane, lane->begun, first, head);
    }
    head |= (uint64_t)(lane->written - lane->begun) << HEAD_BATCH_SHIFT;
    __atomic_store_n(&line_at(lane, lane->begun)->head, head, __ATOMIC_RELEASE);
    lane->begun = lane->written;
    lane->has_news |= lane->batch_has_messages;
    lane->batch_has_messages = false;
    lane->first = NULL;
    if (lane->written - lane->seen < LANE_LINES - CLEAR_AHEAD)
        clear_heads(lane, lane->written + CLEAR_AHEAD);
    if (first)
        block_give(lane, first);
}

/* False: the ring is full. */
static bool entry_push(struct lane *lane, uintptr_t entry) {
    /* One more cell of entries, and the zero behind it. */
    if (lane->entry_count == 0 && !has_room(lane, LANE_LINES - 1))
        return false;
    lane->entries[lane->entry_count++] = entry;
    lane->entries_have_messages |= !(entry & LANE_TAG_MASK);
    if (lane->entry_count == LANE_CELL_ENTRIES)
        entries_flush(lane);
    return true;
}

/* The same. */
static bool message_push(struct lane *lane, struct message *message) {
    uint64_t head = message_head(message);
    if (!head || !may_copy(lane))
        return entry_push(lane, (uintptr_t)message);
    if (lane->entries_have_messages)
        entries_flush(lane); /* they come first */
    uint32_t position = lane->written;
    lane->written += head & HEAD_LINES_MASK;
    lane->batch_has_messages = true;
    if (position == lane->begun) {
        lane->first = message;
        if (!lane->copied)
            batch_publish(lane);
    } else {
        cell_write(lane, position, message, head);
        head_write(lane, position, head);
        block_give(lane, message);
    }
    lane->copied++;
    return true;
}

static void spill_drain(struct lane *lane) {
    while (lane->spill_head) {
        struct message *message = lane->spill_head, *next = message->next;
        if (!message_push(lane, message))
            return;
        if (lane_batch_is_full(lane))
            batch_publish(lane);
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

static bool freed_push(struct lane *lane, struct slab_block *block, unsigned class) {
    if (!entry_push(lane, (uintptr_t)block | (class + 1)))
        return false;
    if (lane->written - lane->begun >= LANE_FREED_LINES)
        batch_publish(lane);
    return true;
}

void lane_push_freed(struct lane *lane, void *memory, unsigned class) {
    struct slab_block *block = memory;
    CHECK(((uintptr_t)block & LANE_TAG_MASK) == 0);
    if (!lane->freed && freed_push(lane, block, class))
        return;
    block->class = class;
    block->next = lane->freed;
    lane->freed = block;
}

/* A block is off the list while it is pushed: publishing may free another one, which comes here. */
static void freed_drain(struct lane *lane) {
    while (lane->freed) {
        struct slab_block *block = lane->freed;
        lane->freed = block->next;
        if (!freed_push(lane, block, (unsigned)block->class)) {
            block->next = lane->freed;
            lane->freed = block;
            return;
        }
    }
}

bool lane_publish_batch(struct lane *lane) {
    if (lane->spill_head)
        spill_drain(lane);
    if (lane->freed)
        freed_drain(lane);
    if (lane->entries_have_messages)
        entries_flush(lane);
    if (lane->batch_has_messages || lane_batch_is_full(lane))
        batch_publish(lane);
    bool has_news = lane->has_news || lane_is_stuck(lane);
    lane->has_news = false;
    return has_news;
}

bool lane_publish(struct lane *lane) {
    bool has_news = lane_publish_batch(lane);
    lane->copied = 0;
    return has_news;
}

static void entry_discard(uintptr_t entry) {
    unsigned class;
    void *block = lane_entry_block(entry, &class);
    if (lane_entry_message(entry))
        message_destroy(lane_entry_message(entry));
    else
        slab_return(block, class);
}

/* Destroying a message may push its memory here. */
void lane_discard_unsent(struct lane *lane) {
    while (lane->spill_head) {
        struct message *message = lane->spill_head;
        lane->spill_head = message->next;
        lane->spill_count--;
        message_destroy(message);
    }
    lane->spill_tail = NULL;
    while (lane->entry_count) {
        uintptr_t entry = lane->entries[--lane->entry_count];
        lane->entries_have_messages = lane->entry_count != 0;
        entry_discard(entry);
    }
    while (lane->freed) {
        struct slab_block *block = lane->freed;
        lane->freed = block->next;
        slab_return(block, (unsigned)block->class);
    }
    if (lane->written != lane->begun)
        batch_publish(lane);
}

/* --- the reader
 * ------------------------------------------------------------------------------------- */

static struct message *message_take(struct lane *lane, uint32_t position, struct slab_pool *pool,
                                    uint64_t head) {
    const struct message *sent = &line_at(lane, position)->message;
    char *block = slab_take(pool, sent->home);
    struct message *message = (struct message *)block;
    memcpy(block + 8, (const char *)sent + 8, 56);
    message->next = NULL;
    if (head & HEAD_IS_SMALL) {
        memcpy(block + 64, &sent->to_class, SMALL_PAYLOAD_MAX);
        message->to_class = NULL;
        message->blob = NULL;
    }
    for (uint32_t i = 1; i < (head & HEAD_LINES_MASK); i++)
        memcpy(block + 64ul * i, line_at(lane, position + i), 64);
    return message;
}

/* Returns how many there are. */
static uint32_t entries_take(struct lane *lane, uint32_t position, uint64_t head,
                             uintptr_t *entries) {
    const union lane_line *line = line_at(lane, position);
    uint32_t count = head >> HEAD_ENTRIES_SHIFT & 0xff;
    for (uint32_t i = 0; i < count; i++) {
        entries[i] = line->entries[1 + i];
        __builtin_prefetch((void *)(entries[i] & ~(uintptr_t)LANE_TAG_MASK), 1);
    }
    return count;
}

uint32_t lane_take(struct lane *lane, struct slab_pool *pool, uintptr_t entries[LANE_TAKE]) {
    uint32_t count = 0, position = lane->taken;
    while (count <= LANE_TAKE - LANE_CELL_ENTRIES) {
        uint64_t head = __atomic_load_n(&line_at(lane, position)->head, __ATOMIC_ACQUIRE);
        if (!head)
            break;
        if (head >> HEAD_BATCH_SHIFT) {
            lane->batch_end = position + (uint32_t)(head >> HEAD_BATCH_SHIFT);
            for (uint32_t i = 1; i < PREFETCH_AHEAD && position + i != lane->batch_end; i++)
                __builtin_prefetch(line_at(lane, position + i));
        }
        if (lane->batch_end - position > PREFETCH_AHEAD)
            __builtin_prefetch(line_at(lane, position + PREFETCH_AHEAD));
        if (head >> HEAD_ENTRIES_SHIFT & 0xff)
            count += entries_take(lane, position, head, entries + count);
        else
            entries[count++] = (uintptr_t)message_take(lane, position, pool, head);
        position += head & HEAD_LINES_MASK;
        if (position == lane->batch_end)
            break;
    }
    if (position != lane->taken)
        __atomic_store_n(&lane->taken, position, __ATOMIC_RELEASE);
    return count;
}

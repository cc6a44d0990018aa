/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the product measures besides counting: how long things take, and who was there today.
 *
 * A `struct measures` belongs to one shard, which alone writes it; any thread reads it, relaxed,
 * and may see a moment between two of its fields. Memory is fixed: a count per bucket, and for the
 * active users of a day a HyperLogLog sketch (Flajolet, Fusy, Gandouet, Meunier 2007) of 4,096
 * registers, whose standard error is 1.6 %; small numbers are nearly exact. A user is on one shard,
 * but any shard may note it: sketches are merged by the greater register.
 */
#ifndef TERN_ACTORS_MEASURES_H
#define TERN_ACTORS_MEASURES_H

#include "storage/batch.h"
#include "storage/format.h"

#include <stdbool.h>
#include <stdint.h>

struct engine;
struct node;

enum measure_kind {
    MEASURE_RESPONSE_SEND,    /* from a device's frame to its answer */
    MEASURE_RESPONSE_OTHER,   /* the same of any other request */
    MEASURE_DELIVERY_MEMORY,  /* from taking a message to its acknowledgement, never stored */
    MEASURE_DELIVERY_STORAGE, /* the same of one that was stored; to a second */
    MEASURE_KINDS,
};

/* The last bucket takes all that is beyond the bounds. */
#define MEASURE_BOUNDS 20u
extern const uint64_t measure_bounds_ms[MEASURE_BOUNDS]; /* inclusive, rising */

struct measure {
    uint64_t counts[MEASURE_BOUNDS + 1];
    uint64_t sum_ms;
};

struct measures {
    struct measure of[MEASURE_KINDS];
    uint64_t messages_accepted;
    struct record_active days[2]; /* a day's is at `day` modulo 2: today's and yesterday's */
} __attribute__((aligned(64)));

/* One for each shard, or NULL: out of memory. Free with free(). */
struct measures *measures_create(unsigned shards);

/* What was counted of a day before a restart is counted on. Before the runtime starts: BLOCKS. 0,
 * or as meta_read_active; then it begins anew. */
int measures_load(struct measures *measures, struct engine *engine);
/* Appends the sketches that have grown since the last time to the batch; false: none has, or
 * nothing is measured. `saved` is the caller's, zero at first. Any thread. */
struct measures_saved {
    uint64_t sums[2]; /* by the day's parity */
};
bool measures_save(const struct node *node, uint64_t wall_ms, struct measures_saved *saved,
                   struct write_batch *batch);

/* For actors; nothing happens on a node that has no measures. */
void measure_time(enum measure_kind kind, uint64_t ms);
void measure_message_accepted(void);
void measure_user_active(uint64_t user, uint64_t wall_ms);

/* --- reading, any thread ------------------------------------------------------------------------
 */

void measure_read(const struct node *node, enum measure_kind kind, struct measure *sum);
uint64_t measure_messages_accepted(const struct node *node);
/* How many different users were active on this day, estimated; 0 for a day before yesterday. */
uint64_t measure_users_active(const struct node *node, uint64_t day);

/* --- the sketch, pure ---------------------------------------------------------------------------
 */

/* A sketch of an earlier day is emptied first. */
void sketch_add(struct record_active *sketch, uint64_t day, uint64_t user);
/* `into` takes what `from` has, if it is of the same day. */
void sketch_merge(struct record_active *into, const struct record_active *from);
uint64_t sketch_count(const struct record_active *sketch);

#endif

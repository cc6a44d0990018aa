/* SPDX-License-Identifier: Apache-2.0 */
/* The shard's side of inspect.h: queries that it carries out between its turns. */
#ifndef TERN_RUNTIME_INSPECT_INTERNAL_H
#define TERN_RUNTIME_INSPECT_INTERNAL_H

#include "runtime/inspect.h"

struct shard;
struct actor;
struct inspection;

struct control_inspect {
    struct inspect_query query;
    uint64_t reference;
};

struct control_inspect_one {
    uint64_t reference;
};
/* inspect_detail.c */
void inspect_one_on_request(struct shard *shard, struct actor_id of, struct actor_id asker,
                            uint64_t reference);

/* INSPECT_ANSWER's payload; its blob holds the rows. */
struct inspect_answer {
    uint64_t reference;
    uint64_t actors_seen, actors_matched;
    uint64_t scan_ns;
    uint32_t shard;
    uint32_t row_count;
    int error;
};

/* A shard's own. */
struct inspections {
    struct inspection *first;
    uint32_t count;
    uint64_t next_ns; /* when the next second scan is due, on the monotonic clock */
};

/* A query has arrived: begins it, or answers that it can't. */
void inspect_on_request(struct shard *shard, struct actor_id asker,
                        const struct control_inspect *request);
/* A slice of each scan that is due. True: more is due now. */
bool inspect_turn(struct shard *shard);
/* Drops the queries that are left, unanswered. */
void inspect_finish(struct shard *shard);

/* What one actor looks like, but for what is counted within a window: inspect_row.c. */
void inspect_fill_row(const struct shard *shard, const struct actor *actor,
                      struct inspect_row *row);
uint64_t inspect_oldest_ns(const struct shard *shard, const struct actor *actor);
uint64_t inspect_bytes(const struct shard *shard, const struct actor *actor);

#endif

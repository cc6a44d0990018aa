/* SPDX-License-Identifier: Apache-2.0 */
/* Gathers the shards' answers to one query into one list, best first. */
#include "runtime/inspect_internal.h"
#include "runtime/scheduler_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(SHARDS_MAX <= 64 * 4, "a bit per shard in inspect_gather");

int inspect_gather_begin(struct inspect_gather *gather, const struct inspect_query *query) {
    uint64_t reference;
    int error = actor_inspect(query, &reference);
    if (error)
        return error;
    *gather = (struct inspect_gather){
        .reference = reference,
        .shards = shard_of_thread->shard_count,
        .order = query->order,
        .rows_max = query->rows,
        .rows = actor_allocate(query->rows * sizeof(struct inspect_row)),
    };
    for (unsigned i = 0; i < gather->shards; i++)
        gather->shards_missing[i / 64] |= (uint64_t)1 << (i % 64);
    return 0;
}

static uint64_t score_of(enum inspect_order order, const struct inspect_row *row) {
    switch (order) {
    case INSPECT_BY_MAILBOX:
        return row->mailbox_messages;
    case INSPECT_BY_AGE:
        return row->oldest_ns;
    case INSPECT_BY_MESSAGES:
        return row->messages;
    case INSPECT_BY_TIME:
        return row->busy_ns;
    case INSPECT_BY_BYTES:
        return row->bytes;
    }
    return 0;
}

/* Both lists are sorted; the better ones of both, in a new list. */
static void merge(struct inspect_gather *gather, const struct inspect_row *more, uint32_t count) {
    struct inspect_row *merged = actor_allocate(gather->rows_max * sizeof *merged);
    uint32_t mine = 0, theirs = 0, row_count = 0;
    while (row_count < gather->rows_max && (mine < gather->row_count || theirs < count)) {
        bool take_mine = theirs == count || (mine < gather->row_count &&
                                             score_of(gather->order, &gather->rows[mine]) >=
                                                 score_of(gather->order, &more[theirs]));
        merged[row_count++] = take_mine ? gather->rows[mine++] : more[theirs++];
    }
    actor_free(gather->rows);
    gather->rows = merged;
    gather->row_count = row_count;
}

bool inspect_gather_add(struct inspect_gather *gather, struct message *message) {
    const struct inspect_answer *answer = message_as(message, struct inspect_answer);
    uint64_t bit = (uint64_t)1 << (answer->shard % 64);
    if (!gather->reference || answer->reference != gather->reference ||
        !(gather->shards_missing[answer->shard / 64] & bit))
        return false;
    gather->shards_missing[answer->shard / 64] &= ~bit;
    gather->answered++;
    gather->actors_seen += answer->actors_seen;
    gather->actors_matched += answer->actors_matched;
    if (answer->scan_ns > gather->scan_ns_max)
        gather->scan_ns_max = answer->scan_ns;
    if (answer->error && !gather->error)
        gather->error = answer->error;
    if (answer->row_count)
        merge(gather, (const struct inspect_row *)blob_bytes(message->blob), answer->row_count);
    return gather->answered == gather->shards;
}

void inspect_gather_end(struct inspect_gather *gather) {
    if (gather->rows)
        actor_free(gather->rows);
    *gather = (struct inspect_gather){0};
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queries about actors: a shard scans its table of headers in slices, keeps the best rows in a
 * heap, and answers.
 *
 *   asked ─► first scan ─(window 0)──────────────────────────────► answered
 *               └─ counts are noted ─► waits ─► second scan ─► answered
 *
 * With a window the first scan only notes each actor's counts (12 bytes an actor, for as long as
 * the query runs); an actor that began since has counted from zero. A scan reads two cache lines
 * per actor, some 20 ms for a million, and never more than SLICE_SLOTS between two turns.
 */
#include "runtime/inspect.h"

#include "runtime/control_internal.h"
#include "runtime/inspect_internal.h"
#include "runtime/scheduler_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLICE_SLOTS 4096u
#define PREFETCH_SLOTS 8u

/* What an actor had counted at the first scan. */
struct noted {
    uint32_t generation; /* 0: there was none */
    uint32_t handled, busy;
};

/* A row that may make it into the answer. */
struct candidate {
    uint64_t score;
    uint32_t slot;
    uint32_t handled, busy; /* within the window */
};

struct inspection {
    struct inspection *next;
    struct inspect_query query;
    struct actor_id asker;
    uint64_t reference;
    uint64_t due_ns;      /* of the second scan */
    uint32_t cursor, end; /* slots of the scan */
    bool begun;           /* the scan: they are set */
    bool noting;          /* the first scan of two */
    struct noted **noted; /* by chunk */
    uint32_t chunk_count;
    const struct class_entry *class_last; /* what the filter by name said last */
    bool class_last_matches;
    uint64_t seen, matched;
    uint64_t scan_ns; /* that its slices took */
    uint32_t candidate_count;
    struct candidate candidates[]; /* a heap, the worst first; query.rows of them */
};

static size_t inspection_bytes(const struct inspect_query *query) {
    return sizeof(struct inspection) + query->rows * sizeof(struct candidate);
}

static uint32_t generation_of(const struct actor *actor) {
    return (uint32_t)(actor->id & ID_GENERATION_MAX);
}

/* --- the heap of the best
 * ----------------------------------------------------------------------------------- */

static void sift_down(struct candidate *heap, uint32_t count, uint32_t at) {
    for (;;) {
        uint32_t least = at, left = 2 * at + 1;
        for (uint32_t child = left; child < left + 2 && child < count; child++)
            if (heap[child].score < heap[least].score)
                least = child;
        if (least == at)
            return;
        struct candidate other = heap[at];
        heap[at] = heap[least];
        heap[least] = other;
        at = least;
    }
}

static void offer(struct inspection *inspection, struct candidate candidate) {
    struct candidate *heap = inspection->candidates;
    if (inspection->candidate_count < inspection->query.rows) {
        heap[inspection->candidate_count++] = candidate;
        if (inspection->candidate_count == inspection->query.rows)
            for (uint32_t at = inspection->query.rows; at--;)
                sift_down(heap, inspection->query.rows, at);
    } else if (candidate.score > heap[0].score) {
        heap[0] = candidate;
        sift_down(heap, inspection->query.rows, 0);
    }
}

/* --- one actor
 * ---------------------------------------------------------------------------------------------- */

static bool class_matches(struct inspection *inspection, const struct class_entry *class) {
    if (class != inspection->class_last) {
        inspection->class_last = class;
        inspection->class_last_matches =
            strcmp(class->class->name, inspection->query.class_name) == 0;
    }
    return inspection->class_last_matches;
}

static bool matches(const struct shard *shard, struct inspection *inspection,
                    const struct actor *actor) {
    const struct inspect_query *query = &inspection->query;
    if (query->class_name[0] && !class_matches(inspection, actor->class))
        return false;
    if (query->actor.bits && query->actor.bits != actor->id)
        return false;
    if (query->key_given && (!(actor->flags & ACTOR_IS_NAMED) || actor->key != query->key))
        return false;
    if (query->supervisor.bits &&
        (!actor->brood || actor->brood->supervisor.bits != query->supervisor.bits))
        return false;
    return actor->mailbox_count >= query->mailbox_messages_min &&
           inspect_oldest_ns(shard, actor) >= query->oldest_ms_min * (uint64_t)1000000 &&
           (!query->bytes_min || inspect_bytes(shard, actor) >= query->bytes_min);
}

static uint64_t score_of(const struct shard *shard, enum inspect_order order,
                         const struct actor *actor, const struct candidate *candidate) {
    switch (order) {
    case INSPECT_BY_MAILBOX:
        return actor->mailbox_count;
    case INSPECT_BY_AGE:
        return inspect_oldest_ns(shard, actor);
    case INSPECT_BY_MESSAGES:
        return candidate->handled;
    case INSPECT_BY_TIME:
        return candidate->busy;
    case INSPECT_BY_BYTES:
        return inspect_bytes(shard, actor);
    }
    return 0;
}

static void look_at(const struct shard *shard, struct inspection *inspection, uint32_t slot) {
    const struct actor *actor = shard_slot(shard, slot);
    if (actor->id == ID_FREE)
        return;
    inspection->seen++;
    if (!matches(shard, inspection, actor))
        return;
    inspection->matched++;
    struct candidate candidate = {.slot = slot, .handled = actor->handled, .busy = actor->busy};
    uint32_t chunk = slot / ACTOR_CHUNK;
    if (chunk < inspection->chunk_count && inspection->noted[chunk]) {
        const struct noted *noted = &inspection->noted[chunk][slot % ACTOR_CHUNK];
        if (noted->generation == generation_of(actor)) {
            candidate.handled -= noted->handled;
            candidate.busy -= noted->busy;
        }
    }
    candidate.score = score_of(shard, inspection->query.order, actor, &candidate);
    offer(inspection, candidate);
}

/* False: memory is out. */
static bool note(const struct shard *shard, struct inspection *inspection, uint32_t slot) {
    const struct actor *actor = shard_slot(shard, slot);
    if (actor->id == ID_FREE)
        return true;
    struct noted **chunk = &inspection->noted[slot / ACTOR_CHUNK];
    if (!*chunk && !(*chunk = calloc(ACTOR_CHUNK, sizeof **chunk)))
        return false;
    (*chunk)[slot % ACTOR_CHUNK] =
        (struct noted){generation_of(actor), actor->handled, actor->busy};
    return true;
}

/* --- scans
 * ------------------------------------------------------------------------------------------------
 */

static int compare_candidates(const void *a, const void *b) {
    const struct candidate *left = a, *right = b;
    if (left->score != right->score)
        return left->score < right->score ? 1 : -1;
    return left->slot < right->slot ? -1 : left->slot > right->slot;
}

/* The rows of those that still live; `*count` of them. */
static struct blob *make_rows(const struct shard *shard, struct inspection *inspection,
                              uint32_t *count) {
    struct candidate *candidates = inspection->candidates;
    qsort(candidates, inspection->candidate_count, sizeof *candidates, compare_candidates);
    struct blob *blob = blob_create(inspection->candidate_count * sizeof(struct inspect_row));
    struct inspect_row *rows = (struct inspect_row *)blob_bytes(blob);
    *count = 0;
    for (uint32_t i = 0; i < inspection->candidate_count; i++) {
        const struct actor *actor = shard_slot(shard, candidates[i].slot);
        if (actor->id == ID_FREE)
            continue;
        struct inspect_row *row = &rows[(*count)++];
        inspect_fill_row(shard, actor, row);
        row->messages = candidates[i].handled;
        row->busy_ns = (uint64_t)candidates[i].busy * PROFILE_UNIT_NS;
    }
    return blob;
}

static void answer(struct shard *shard, struct actor_id asker, struct inspect_answer body,
                   struct blob *rows) {
    struct message *message = message_create(INSPECT_ANSWER, sizeof body);
    body.shard = shard->index;
    *message_as(message, struct inspect_answer) = body;
    message->blob = rows;
    system_send(shard, asker, message);
}

static void inspection_free(struct shard *shard, struct inspection *inspection) {
    for (uint32_t i = 0; i < inspection->chunk_count; i++)
        free(inspection->noted[i]);
    free(inspection->noted);
    shard_free(shard, inspection, inspection_bytes(&inspection->query));
}

/* Which slots are looked at: one, where the query names it, or all. */
static void scan_begin(const struct shard *shard, struct inspection *inspection) {
    const struct inspect_query *query = &inspection->query;
    inspection->begun = true;
    inspection->cursor = 0;
    inspection->end = shard->slots_used;
    if (query->actor.bits) {
        bool here = shard_actor(shard, query->actor) != NULL;
        inspection->cursor = here ? id_slot(query->actor) : 0;
        inspection->end = here ? inspection->cursor + 1 : 0;
    }
    if (inspection->noting) { /* as many as there are now, not as there were when it was asked */
        inspection->chunk_count = inspection->end / ACTOR_CHUNK + 1;
        inspection->noted = calloc(inspection->chunk_count, sizeof *inspection->noted);
        CHECK(inspection->noted);
    }
}

static void answer_and_free(struct shard *shard, struct inspection *inspection, int error) {
    struct inspect_answer body = {.reference = inspection->reference,
                                  .actors_seen = inspection->seen,
                                  .actors_matched = inspection->matched,
                                  .scan_ns = inspection->scan_ns,
                                  .error = error};
    struct blob *rows = error ? NULL : make_rows(shard, inspection, &body.row_count);
    answer(shard, inspection->asker, body, rows);
    inspection_free(shard, inspection);
}

enum progress { SCANNING, WAITING, DONE };

/* A slice, or nothing if it is not due. `*error` is set with DONE. */
static enum progress advance(struct shard *shard, struct inspection *inspection, int *error) {
    if (inspection->due_ns > shard->now_ns)
        return WAITING;
    if (!inspection->begun)
        scan_begin(shard, inspection);
    for (unsigned left = SLICE_SLOTS; left && inspection->cursor < inspection->end; left--) {
        uint32_t slot = inspection->cursor++;
        if (slot + PREFETCH_SLOTS < inspection->end) {
            const struct actor *later = shard_slot(shard, slot + PREFETCH_SLOTS);
            __builtin_prefetch(later);
            __builtin_prefetch((const uint8_t *)later + 64);
        }
        if (!inspection->noting) {
            look_at(shard, inspection, slot);
        } else if (!note(shard, inspection, slot)) {
            *error = -ENOMEM;
            return DONE;
        }
    }
    if (inspection->cursor < inspection->end)
        return SCANNING;
    if (!inspection->noting)
        return DONE;
    inspection->noting = false;
    inspection->begun = false;
    inspection->due_ns = shard->now_ns + inspection->query.window_ms * (uint64_t)1000000;
    return WAITING;
}

bool inspect_turn(struct shard *shard) {
    struct inspections *inspections = &shard->inspections;
    bool more = false;
    inspections->next_ns = UINT64_MAX;
    for (struct inspection **link = &inspections->first; *link;) {
        struct inspection *inspection = *link;
        int error = 0;
        uint64_t begun_ns = shard->seams->monotonic_ns(shard->seams->context);
        enum progress progress = advance(shard, inspection, &error);
        inspection->scan_ns += shard->seams->monotonic_ns(shard->seams->context) - begun_ns;
        if (progress == DONE) {
            *link = inspection->next;
            inspections->count--;
            answer_and_free(shard, inspection, error);
            more = true; /* the asker may be here */
            continue;
        }
        if (progress == WAITING && inspection->due_ns < inspections->next_ns)
            inspections->next_ns = inspection->due_ns;
        if (progress == SCANNING)
            inspections->next_ns = 0;
        more |= progress == SCANNING;
        link = &inspection->next;
    }
    return more;
}

void inspect_on_request(struct shard *shard, struct actor_id asker,
                        const struct control_inspect *request) {
    struct inspections *inspections = &shard->inspections;
    if (inspections->count == INSPECT_QUERIES_MAX) {
        answer(shard, asker,
               (struct inspect_answer){.reference = request->reference, .error = -EBUSY}, NULL);
        return;
    }
    struct inspection *inspection = shard_allocate(shard, inspection_bytes(&request->query));
    inspection->query = request->query;
    inspection->asker = asker;
    inspection->reference = request->reference;
    inspection->noting = request->query.window_ms != 0;
    inspection->next = inspections->first;
    inspections->first = inspection;
    inspections->count++;
    inspections->next_ns = 0;
}

void inspect_finish(struct shard *shard) {
    while (shard->inspections.first) {
        struct inspection *inspection = shard->inspections.first;
        shard->inspections.first = inspection->next;
        inspection_free(shard, inspection);
    }
}

/* --- the asker's side
 * --------------------------------------------------------------------------------------- */

int actor_inspect(const struct inspect_query *query, uint64_t *reference) {
    struct shard *shard = shard_of_thread;
    if (!query->rows || query->rows > INSPECT_ROWS_MAX ||
        query->window_ms > INSPECT_WINDOW_MS_MAX ||
        !memchr(query->class_name, 0, sizeof query->class_name))
        return -EINVAL;
    struct control_inspect request = {.query = *query, .reference = reference_next(shard)};
    *reference = request.reference;
    for (unsigned i = 0; i < shard->shard_count; i++)
        control_send(shard, i, CONTROL_INSPECT, ACTOR_NOBODY, actor_self(), &request,
                     sizeof request);
    return 0;
}

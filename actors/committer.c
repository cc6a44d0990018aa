/* SPDX-License-Identifier: Apache-2.0 */
/*
 * committer: group commit, one per node.
 *
 * Whoever wants something written sends it COMMITTER_COMMIT with an encoded batch. While one group
 * is being written on the pool, requests gather; then the next group takes them all: one
 * engine_write, one fsync, and COMMITTED to each that wants an answer. Requests are written in the
 * order in which they came, synced and unsynced ones alike, so that an actor's delete never
 * overtakes its put.
 *
 *   idle ──a synced request──► writing ──COMMITTER_WRITTEN──► idle, or writing the next group
 *    └──only unsynced ones: RIDE_MS later, or with the next synced one──► writing
 *
 * Bounds: a group takes GROUP_REQUESTS_MAX and GROUP_BYTES_MAX; what is beyond is deferred and
 * counts in the mailbox's bounds, which refuse.
 *
 * A full disk refuses what grows the store, one batch at a time, with -ENOSPC; node->store_full
 * then tells the mailboxes to take no more mail that has to be stored, until a look at the disk
 * finds space again. Deletes always go on. After any other failure nothing is known about the disk:
 * the process ends, unanswered, and its heart starts it again.
 *
 * When the committer itself fails, the group that is being written is written all the same, but
 * nobody is answered; the senders monitor it and send again, as they do when an answer does not
 * come (their mailbox was full). So whoever wants an answer must be able to write a batch twice.
 * The next committer waits until that group is written (node->commit_running): a record that is
 * older must not come to lie over a newer one.
 */
#include "actors/messages.h"
#include "actors/node.h"
#include "runtime/log.h"
#include "runtime/planted_internal.h"
#include "runtime/runtime.h"
#include "storage/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define GROUP_REQUESTS_MAX 4096u
#define GROUP_BYTES_MAX (8u << 20)
#define RIDE_MS 50       /* how long unsynced requests wait for company */
#define LOOK_MS 1000     /* how often a full disk is looked at */
#define POOL_AGAIN_MS 10 /* the pool's queue was full */
#define EXIT_STORE 74    /* EX_IOERR; the heart restarts after it */
#define REQUESTS_BYTES_MAX (32u << 20)
_Static_assert(GROUP_BYTES_MAX + BLOB_BYTES_MAX <= ENGINE_WRITE_BYTES_MAX,
               "a group can be written");
_Static_assert(GROUP_REQUESTS_MAX <= ENGINE_WRITE_BATCHES_MAX, "a group can be written");

struct committer {
    struct message **requests; /* gathered, in order; GROUP_REQUESTS_MAX of them have room */
    unsigned count;
    size_t bytes;
    bool synced;   /* one of them is */
    bool writing;  /* a group is on the pool */
    bool deferred; /* requests were deferred */
    bool failed;   /* the disk's state is not known: answer nothing more */
    struct actor_timer timer;
    uint64_t timer_ms; /* when it fires */
};

/* What goes to the pool and back. The items lie in the message's blob. While the job has not run,
 * each item holds a reference to its batch: the committer may be gone by then. */
struct group_item {
    struct blob *batch;
    struct actor_id reply_to;
    uint64_t reference;
    int error;
};
struct group {
    struct node *node;
    unsigned count;
    bool sync;
    bool look; /* at the disk's space */
    bool full; /* what was seen */
    int error;
    char text[160]; /* of the error */
};

static struct group_item *group_items(struct message *message) {
    return message->blob ? (struct group_item *)blob_bytes(message->blob) : NULL;
}

/* --- on the pool --- */

static int group_write(struct group *group, struct group_item *items) {
    struct write_batch *batches = calloc(group->count, sizeof(*batches));
    struct write_batch **pointers = calloc(group->count, sizeof(struct write_batch *));
    int error = batches && pointers ? 0 : -ENOMEM;
    unsigned count = 0;
    for (unsigned i = 0; !error && i < group->count; i++) {
        if (!items[i].batch)
            continue; /* it only waits for the others */
        struct engine_bytes bytes = {blob_bytes(items[i].batch), blob_length(items[i].batch)};
        write_batch_view(&batches[i], bytes);
        pointers[count++] = &batches[i];
    }
    if (!error && count)
        error = engine_write(group->node->engine, pointers, count,
                             group->sync ? ENGINE_SYNC : ENGINE_NO_SYNC);
    for (unsigned i = 0; i < group->count; i++) {
        items[i].error = error ? error : batches[i].result;
        group->look |= items[i].error == -ENOSPC;
    }
    free(pointers);
    free(batches);
    return error;
}

static void group_run(struct message *message) {
    struct group *group = message_as(message, struct group);
    struct group_item *items = group_items(message);
    if (group->count)
        group->error = group_write(group, items);
    for (unsigned i = 0; i < group->count; i++)
        blob_release(items[i].batch);
    if (group->error)
        engine_error(group->node->engine, group->text, sizeof(group->text));
    if (group->look) {
        struct engine_gauges gauges;
        engine_gauges(group->node->engine, &gauges);
        group->full =
            group->error == -ENOSPC || gauges.space_free_bytes < gauges.space_reserve_bytes;
    }
    /* Pairs with the acquire in group_start. */
    atomic_store_explicit(&group->node->commit_running, false, memory_order_release);
}

/* --- groups --- */

static void wake_in(struct committer *committer, uint64_t delay_ms) {
    uint64_t at_ms = actor_now_ms() + delay_ms;
    if (committer->timer.bits && committer->timer_ms <= at_ms)
        return;
    actor_timer_cancel(&committer->timer);
    committer->timer_ms = at_ms;
    committer->timer = actor_timer_start(delay_ms, COMMITTER_TICK, 0);
}

static struct message *group_create(struct committer *committer) {
    struct message *message = message_create(COMMITTER_WRITTEN, sizeof(struct group));
    struct group *group = message_as(message, struct group);
    group->node = node_current();
    group->count = committer->count;
    group->sync = committer->synced;
    group->look = atomic_load_explicit(&node_current()->store_full, memory_order_relaxed);
    if (!committer->count)
        return message;
    message->blob = blob_create(committer->count * sizeof(struct group_item));
    struct group_item *items = group_items(message);
    for (unsigned i = 0; i < committer->count; i++) {
        const struct commit_request *request =
            message_as(committer->requests[i], struct commit_request);
        struct blob *batch = committer->requests[i]->blob;
        items[i] = (struct group_item){batch ? blob_hold(batch) : NULL, request->reply_to,
                                       request->reference, 0};
    }
    return message;
}

static void requests_drop(struct committer *committer) {
    for (unsigned i = 0; i < committer->count; i++)
        message_destroy(committer->requests[i]);
    committer->count = 0;
    committer->bytes = 0;
    committer->synced = false;
    if (committer->deferred) {
        committer->deferred = false;
        actor_undefer();
    }
}

static void group_start(struct committer *committer) {
    struct node *node = node_current();
    /* Pairs with the release in group_run: what an earlier committer gave to the pool is written.
     */
    if (atomic_load_explicit(&node->commit_running, memory_order_acquire)) {
        wake_in(committer, POOL_AGAIN_MS);
        return;
    }
    struct message *message = group_create(committer);
    atomic_store_explicit(&node->commit_running, true, memory_order_relaxed);
    if (actor_run_blocking(group_run, &message) == 0) {
        committer->writing = true;
        requests_drop(committer);
        return;
    }
    for (unsigned i = 0; i < committer->count; i++)
        blob_release(group_items(message)[i].batch);
    message_destroy(message);
    atomic_store_explicit(&node->commit_running, false, memory_order_relaxed);
    wake_in(committer, POOL_AGAIN_MS);
}

/* Ends the process in order; nothing is answered any more, so nothing untrue is said. */
static void give_up(struct committer *committer, const struct group *group) {
    log_error("committer: the store failed: %s (%s); the node ends", group->text,
              strerror(-group->error));
    committer->failed = true;
    runtime_stop(runtime_current(), EXIT_STORE);
}

static void note_space(const struct group *group) {
    struct node *node = node_current();
    bool was_full = atomic_load_explicit(&node->store_full, memory_order_relaxed);
    if (!group->look || group->full == was_full)
        return;
    atomic_store_explicit(&node->store_full, group->full, memory_order_relaxed);
    if (group->full)
        log_warning("committer: the disk is nearly full; no more mail is stored");
    else
        log_info("committer: the disk has space again");
}

static void answer(const struct group_item *item) {
    struct message *message = message_create(COMMITTED, sizeof(struct commit_result));
    *message_as(message, struct commit_result) =
        (struct commit_result){item->reference, item->error};
    if (actor_send(item->reply_to, &message)) {
        message_destroy(message); /* its mailbox is full; it asks again when it has waited long */
        actor_count("commit_answers_dropped", 1);
    }
}

/* --- messages --- */

/* Is nothing synced under way, of an earlier committer neither? */
static bool is_clear(const struct committer *committer) {
    return !committer->synced && !committer->writing &&
           /* Pairs with the release in group_run. */
           !atomic_load_explicit(&node_current()->commit_running, memory_order_acquire);
}

static void committer_on_commit(void *state, struct message **message) {
    struct committer *committer = state;
    if (committer->count == GROUP_REQUESTS_MAX || committer->bytes >= GROUP_BYTES_MAX) {
        committer->deferred = true;
        actor_defer(message);
        return;
    }
    const struct commit_request *request = message_as(*message, struct commit_request);
    if (!(*message)->blob && is_clear(committer)) {
        const struct group_item nothing = {NULL, request->reply_to, request->reference, 0};
        if (request->reply_to.bits)
            answer(&nothing);
        return;
    }
    committer->synced |= request->sync != 0;
    committer->bytes += (*message)->blob ? blob_length((*message)->blob) : 0;
    if (PLANTED(ACK_BEFORE_FSYNC) && request->reply_to.bits)
        answer(&(struct group_item){NULL, request->reply_to, request->reference, 0});
    committer->requests[committer->count++] = message_keep(message);
}

static void committer_on_written(void *state, struct message **message) {
    struct committer *committer = state;
    const struct group *group = message_as(*message, struct group);
    const struct group_item *items = group_items(*message);
    committer->writing = false;
    if (group->error && group->error != -ENOSPC) {
        give_up(committer, group);
        return;
    }
    note_space(group);
    for (unsigned i = 0; i < group->count; i++)
        if (items[i].reply_to.bits)
            answer(&items[i]);
    actor_count(group->sync ? "commit_groups_synced" : "commit_groups_unsynced", group->count > 0);
    actor_count("commits", group->count);
}

static void committer_on_tick(void *state, struct message **message) {
    struct committer *committer = state;
    bool full = atomic_load_explicit(&node_current()->store_full, memory_order_relaxed);
    committer->timer.bits = 0;
    if (!committer->writing && !committer->failed && (committer->count || full))
        group_start(committer);
}

static void next_group(struct committer *committer) {
    bool full = atomic_load_explicit(&node_current()->store_full, memory_order_relaxed);
    if (committer->writing || committer->failed)
        return;
    if (committer->synced || committer->deferred)
        group_start(committer);
    else if (committer->count)
        wake_in(committer, RIDE_MS);
    else if (full)
        wake_in(committer, LOOK_MS);
}

/* The drainer waits for what is open. */
static void committer_after_turn(void *state) {
    struct committer *committer = state;
    next_group(committer);
    atomic_store_explicit(&node_current()->commits_open,
                          committer->count + committer->writing + committer->deferred,
                          memory_order_release);
}

/* --- life --- */

static int committer_init(void *state, const void *argument) {
    struct committer *committer = state;
    committer->requests = actor_allocate(GROUP_REQUESTS_MAX * sizeof(struct message *));
    return actor_register(COMMITTER_NAME);
}

/* At an orderly end what still waits is written, unless a group is on the pool, which it could
 * overtake; nobody was told that it is. After a failure its senders send it again. */
static void committer_terminate(void *state, int reason) {
    struct committer *committer = state;
    bool running = atomic_load_explicit(&node_current()->commit_running, memory_order_acquire);
    if (reason != ACTOR_SHUTDOWN || !committer->count || committer->failed || running)
        return;
    committer->synced = true;
    struct message *message = group_create(committer);
    if (actor_run_blocking(group_run, &message) != 0) {
        group_run(message); /* late, but the node is ending anyway */
        message_destroy(message);
    }
}

static const struct actor_handler committer_handlers[] = {
    [COMMITTER_COMMIT] = {"commit", committer_on_commit},
    [COMMITTER_WRITTEN] = {"written", committer_on_written},
    [COMMITTER_TICK] = {"tick", committer_on_tick},
};

const struct actor_class committer_class = {
    .name = "committer",
    .state_bytes = sizeof(struct committer),
    .init = committer_init,
    .terminate = committer_terminate,
    .handlers = committer_handlers,
    .handler_count = sizeof(committer_handlers) / sizeof(committer_handlers[0]),
    .after_turn = committer_after_turn,
    .mailbox_messages_max = 4 * GROUP_REQUESTS_MAX,
    .mailbox_bytes_max = REQUESTS_BYTES_MAX,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* See commit.h. A batch is idempotent, so sending it twice does no harm. */
#include "actors/commit.h"

#include "actors/messages.h"
#include "actors/node.h"

#define COMMIT_AGAIN_MS 20 /* about what the committer's supervisor needs to restart it */

static void commit_send(struct commit *commit) {
    struct actor_id committer = actor_whereis(COMMITTER_NAME);
    struct message *message = message_create(COMMITTER_COMMIT, sizeof(struct commit_request));
    struct commit_request *request = message_as(message, struct commit_request);
    *request = (struct commit_request){actor_self(), commit->reference, 1};
    message->blob = commit->batch ? blob_hold(commit->batch) : NULL;
    if (committer.bits && actor_send(committer, &message) == 0) {
        commit->monitor = actor_monitor(committer);
        return;
    }
    message_destroy(message);
    actor_timer_start(COMMIT_AGAIN_MS, COMMIT_AGAIN, 0);
}

static void open(struct commit *commit, struct blob *batch, uint64_t reference) {
    CHECK(!commit->open);
    commit->open = true;
    commit->batch = batch;
    commit->reference = reference;
    commit_send(commit);
}

void commit_start(struct commit *commit, struct write_batch *batch, uint64_t reference) {
    struct engine_bytes bytes = write_batch_bytes(batch);
    open(commit, blob_copy_of(bytes.data, bytes.size), reference);
}

void commit_barrier(struct commit *commit, uint64_t reference) {
    open(commit, NULL, reference);
}

bool commit_finish(struct commit *commit, struct message *committed, int *error) {
    const struct commit_result *result = message_as(committed, struct commit_result);
    if (!commit->open || result->reference != commit->reference)
        return false;
    *error = result->error;
    if (commit->monitor)
        actor_unmonitor(commit->monitor);
    commit_drop(commit);
    return true;
}

bool commit_interrupted(struct commit *commit, struct message *down) {
    const struct actor_down *what = message_as(down, struct actor_down);
    if (!commit->open || what->reference != commit->monitor)
        return false;
    commit->monitor = 0;
    actor_timer_start(COMMIT_AGAIN_MS, COMMIT_AGAIN, 0);
    return true;
}

void commit_again(struct commit *commit) {
    if (commit->open && !commit->monitor)
        commit_send(commit);
}

void commit_drop(struct commit *commit) {
    blob_release(commit->batch);
    *commit = (struct commit){0};
}

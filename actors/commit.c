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
    message->blob = blob_hold(commit->batch);
    if (committer.bits && actor_send(committer, &message) == 0) {
        commit->monitor = actor_monitor(committer);
        return;
    }
    message_destroy(message);
    actor_timer_start(COMMIT_AGAIN_MS, COMMIT_AGAIN, 0);
}

void commit_start(struct commit *commit, struct write_batch *batch, uint64_t reference) {
    CHECK(!commit->batch);
    struct engine_bytes bytes = write_batch_bytes(batch);
    commit->batch = blob_copy_of(bytes.data, bytes.size);
    commit->reference = reference;
    commit_send(commit);
}

bool commit_finish(struct commit *commit, struct message *committed, int *error) {
    const struct commit_result *result = message_as(committed, struct commit_result);
    if (!commit->batch || result->reference != commit->reference)
        return false;
    *error = result->error;
    if (commit->monitor)
        actor_unmonitor(commit->monitor);
    commit_drop(commit);
    return true;
}

bool commit_interrupted(struct commit *commit, struct message *down) {
    const struct actor_down *what = message_as(down, struct actor_down);
    if (!commit->batch || what->reference != commit->monitor)
        return false;
    commit->monitor = 0;
    actor_timer_start(COMMIT_AGAIN_MS, COMMIT_AGAIN, 0);
    return true;
}

void commit_again(struct commit *commit) {
    if (commit->batch && !commit->monitor)
        commit_send(commit);
}

void commit_drop(struct commit *commit) {
    blob_release(commit->batch);
    *commit = (struct commit){0};
}

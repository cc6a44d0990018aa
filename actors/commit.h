/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the small actors write: one batch at a time to the committer, sent again if the committer
 * fails.
 *
 * `struct commit` is embedded in the state of an actor that waits for one commit at a time. The
 * mailbox, which has many under way, keeps its own account of them.
 */
#ifndef TERN_ACTORS_COMMIT_H
#define TERN_ACTORS_COMMIT_H

#include "runtime/actor.h"
#include "storage/batch.h"

#include <stdbool.h>

struct commit {
    bool open;          /* one is under way */
    struct blob *batch; /* what it writes; NULL: nothing (commit_barrier) */
    uint64_t reference;
    uint64_t monitor; /* of the committer; 0 while it is away */
};

/* Copies the batch and has it written, synced; COMMITTED comes with the reference. One at a time.
 */
void commit_start(struct commit *commit, struct write_batch *batch, uint64_t reference);
/* Writes nothing: COMMITTED comes when all that was given to the committer before, by an actor of
 * this shard, is written or refused. An actor that owns a record waits for this before it reads it:
 * it may follow one that failed while a commit of it was under way, which is written all the same.
 */
void commit_barrier(struct commit *commit, uint64_t reference);
/* For COMMITTED: true, with the result, if it answers this commit, which is then over. */
bool commit_finish(struct commit *commit, struct message *committed, int *error);
/* For ACTOR_DOWN: the committer failed; in a moment COMMIT_AGAIN comes. False: another actor's. */
bool commit_interrupted(struct commit *commit, struct message *down);
/* For COMMIT_AGAIN: sends again what is under way. */
void commit_again(struct commit *commit);
/* For terminate. */
void commit_drop(struct commit *commit);

#endif

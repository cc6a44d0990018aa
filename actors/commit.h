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

struct commit {
    struct blob *batch; /* under way; NULL: none */
    uint64_t reference;
    uint64_t monitor; /* of the committer; 0 while it is away */
};

/* Copies the batch and has it written, synced; COMMITTED comes with the reference. One at a time.
 */
void commit_start(struct commit *commit, struct write_batch *batch, uint64_t reference);
/* For COMMITTED: true, with the result, if it answers this commit, which is then over. */
bool commit_finish(struct commit *commit, struct message *committed, int *error);
/* For ACTOR_DOWN: the committer failed; in a moment COMMIT_AGAIN comes. False: another actor's. */
bool commit_interrupted(struct commit *commit, struct message *down);
/* For COMMIT_AGAIN: sends again what is under way. */
void commit_again(struct commit *commit);
/* For terminate. */
void commit_drop(struct commit *commit);

#endif

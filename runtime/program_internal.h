/* SPDX-License-Identifier: Apache-2.0 */
/* The programs that a shard runs, and who on it wants to hear of signals: program.c and signals.c.
 */
#ifndef TERN_RUNTIME_PROGRAM_INTERNAL_H
#define TERN_RUNTIME_PROGRAM_INTERNAL_H

#include "runtime/program.h"
#include "runtime/shard_internal.h"
#include "runtime/signals.h"

struct program {
    struct program_process *process; /* NULL: the place is free */
    struct actor_id owner;
    uint64_t reference;
    uint64_t due_ns; /* when it is killed; UINT64_MAX: it was */
};

struct signal_subscriber {
    struct actor_id actor; /* nobody: the place is free */
    int signal;
};

struct program_table {
    struct program programs[PROGRAMS_RUNNING_MAX];
    unsigned running;
    uint64_t due_ns; /* not later than the first program's */
    struct signal_source *signals;
    struct signal_subscriber subscribers[SIGNAL_SUBSCRIBERS_MAX];
};

/* Made at the first use. */
struct program_table *program_table_of(struct shard *shard);
/* Kills what has run too long; returns when it wants to be called, UINT64_MAX never. */
uint64_t programs_turn(struct shard *shard, uint64_t now_ns);
/* Kills what runs and frees the table. */
void programs_finish(struct shard *shard);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The blocking pool: threads of its own for what must block (RocksDB, fsync, password hashing).
 *
 * A job is a message: its `run` is called with it on a pool thread, then it goes back to the actor
 * that gave it (actor_run_blocking). The simulator runs jobs at a time of its choosing on its one
 * thread.
 */
#ifndef TERN_RUNTIME_POOL_H
#define TERN_RUNTIME_POOL_H

#include "runtime/message.h"

struct pool; /* the implementation's own */
struct runtime;

typedef void (*pool_run_fn)(struct message *message);

struct pool_ops {
    int (*create)(struct runtime *runtime, unsigned threads, struct pool **pool);
    /* Finishes the jobs that are queued, then ends the threads. */
    void (*destroy)(struct pool *pool);
    /* Any shard's thread. 0: taken, and `*message` is NULL. -ENOBUFS: POOL_JOBS_MAX are waiting. */
    int (*submit)(struct pool *pool, pool_run_fn run, struct message **message);
};

#define POOL_JOBS_MAX 65536u

extern const struct pool_ops pool_threads;

#endif

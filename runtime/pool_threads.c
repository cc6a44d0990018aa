/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The blocking pool on threads: one queue under a lock, results straight into the shards' inboxes.
 *
 * A lock is right here: a job costs tens of microseconds at least, and who waits sleeps. The queue
 * is a ring that grows up to POOL_JOBS_MAX.
 */
#include "runtime/pool.h"

#include "runtime/crash_internal.h"
#include "runtime/scheduler_internal.h"

#include <errno.h>
#include <stdlib.h>

#define JOBS_FIRST 256u
#define THREADS_MAX 256u

struct job {
    pool_run_fn run;
    struct message *message;
};

struct pool {
    struct runtime *runtime;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t work;
    struct job *jobs; /* a ring of `capacity`, a power of two */
    uint32_t capacity, head, count;
    bool ending;
    unsigned thread_count;
    unsigned threads_named; /* each thread adds one, relaxed: it gives out numbers and no more */
    pthread_t threads[];
};

__thread struct blame *blame_of_job;

/* Under the lock. */
static void grow(struct pool *pool) {
    struct job *jobs = malloc(2ul * pool->capacity * sizeof *jobs);
    CHECK(jobs);
    for (uint32_t i = 0; i < pool->count; i++)
        jobs[i] = pool->jobs[(pool->head + i) & (pool->capacity - 1)];
    free(pool->jobs);
    pool->jobs = jobs;
    pool->head = 0;
    pool->capacity *= 2;
}

/* False: the pool ends and nothing is left. */
static bool take(struct pool *pool, struct job *job) {
    pthread_mutex_lock(&pool->lock);
    while (!pool->count && !pool->ending)
        pthread_cond_wait(&pool->work, &pool->lock);
    bool taken = pool->count != 0;
    if (taken) {
        *job = pool->jobs[pool->head];
        pool->head = (pool->head + 1) & (pool->capacity - 1);
        pool->count--;
        /* A gauge, written under the lock: pairs with runtime_counters_read, which has it not. */
        __atomic_store_n(&pool->runtime->pool_queue, pool->count, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&pool->lock);
    return taken;
}

static void *work(void *argument) {
    struct pool *pool = argument;
    struct crash_stack stack;
    struct job job;
    struct blame blame = {0};
    blame_of_job = &blame;
    thread_name("pool", __atomic_fetch_add(&pool->threads_named, 1, __ATOMIC_RELAXED));
    crash_stack_enter(&stack);
    while (take(pool, &job)) {
        job.run(job.message);
        blame.describe = NULL;
        /* A figure: pairs with runtime_counters_read. */
        __atomic_fetch_add(&pool->runtime->pool_jobs, 1, __ATOMIC_RELAXED);
        runtime_send(pool->runtime, job.message->to, &job.message);
    }
    crash_stack_leave(&stack);
    blame_of_job = NULL;
    return NULL;
}

static int submit(struct pool *pool, pool_run_fn run, struct message **message) {
    int error = 0;
    pthread_mutex_lock(&pool->lock);
    if (pool->count == POOL_JOBS_MAX) {
        error = -ENOBUFS;
    } else {
        if (pool->count == pool->capacity)
            grow(pool);
        uint32_t last = (pool->head + pool->count) & (pool->capacity - 1);
        pool->jobs[last] = (struct job){run, *message};
        pool->count++;
        /* As in take. */
        __atomic_store_n(&pool->runtime->pool_queue, pool->count, __ATOMIC_RELAXED);
        *message = NULL;
        pthread_cond_signal(&pool->work);
    }
    pthread_mutex_unlock(&pool->lock);
    return error;
}

static void destroy(struct pool *pool) {
    pthread_mutex_lock(&pool->lock);
    pool->ending = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->thread_count; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    free(pool->jobs);
    free(pool);
}

static int start_threads(struct pool *pool, unsigned threads) {
    int error = 0;
    while (!error && pool->thread_count < threads) {
        error = thread_create_quiet(&pool->threads[pool->thread_count], work, pool);
        if (!error)
            pool->thread_count++;
    }
    return error;
}

static int create(struct runtime *runtime, unsigned threads, struct pool **created) {
    if (threads > THREADS_MAX)
        return -EINVAL;
    struct pool *pool = calloc(1, sizeof *pool + threads * sizeof pool->threads[0]);
    struct job *jobs = malloc(JOBS_FIRST * sizeof *jobs);
    if (!pool || !jobs) {
        free(pool);
        free(jobs);
        return -ENOMEM;
    }
    pool->runtime = runtime;
    pool->jobs = jobs;
    pool->capacity = JOBS_FIRST;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    int error = start_threads(pool, threads);
    if (error)
        destroy(pool);
    else
        *created = pool;
    return error;
}

const struct pool_ops pool_threads = {.create = create, .destroy = destroy, .submit = submit};

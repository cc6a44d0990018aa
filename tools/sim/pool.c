/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/sim/pool.h"

#include "runtime/scheduler_internal.h"
#include "tools/sim/node.h"
#include "tools/sim/world.h"

#include <errno.h>
#include <stdlib.h>

#define RUN_NS_MIN 5000u
#define RUN_NS_MAX 2000000u
#define SLOW_NS_MIN 20000000u
#define SLOW_NS_MAX 3000000000u
#define REPORT_NS_MIN 1000u
#define REPORT_NS_MAX 200000u

struct pool_job {
    pool_run_fn run;
    struct message *message; /* NULL: the place is free */
    bool has_run;
};

struct pool {
    struct runtime *runtime;
    struct sim_node *node;
    struct pool_job *jobs;
    uint32_t count, capacity; /* places */
    uint32_t waiting;
    bool killed;
};

static void job_report(struct world *world, void *subject, uint64_t token);

/* The agenda's token: which job, of which life of the node. */
static uint64_t token_of(const struct pool *pool, uint32_t job) {
    return pool->node->life << 32 | job;
}

static struct pool_job *job_of(const struct sim_node *node, uint64_t token) {
    if (!node->runtime || token >> 32 != node->life)
        return NULL;
    return &node->runtime->pool->jobs[(uint32_t)token];
}

static void job_run(struct world *world, void *subject, uint64_t token) {
    struct sim_node *node = subject;
    struct pool_job *job = job_of(node, token);
    if (!job)
        return;
    sim_node_disk_busy(node, job->message);
    job->run(job->message);
    job->has_run = true;
    journal_add(&world->journal, world->now_ns, "job", node->index, job->message->kind, 0);
    agenda_add(&world->agenda,
               world->now_ns + random_spread(&world->random_disk, REPORT_NS_MIN, REPORT_NS_MAX),
               job_report, node, token);
}

static void job_report(struct world *world, void *subject, uint64_t token) {
    struct sim_node *node = subject;
    struct pool_job *job = job_of(node, token);
    if (!job)
        return;
    struct message *message = job->message;
    job->message = NULL;
    node->runtime->pool->waiting--;
    node->runtime->pool_jobs++;
    runtime_send(node->runtime, message->to, &message);
}

static uint32_t take_place(struct pool *pool) {
    for (uint32_t i = 0; i < pool->count; i++)
        if (!pool->jobs[i].message)
            return i;
    if (pool->count == pool->capacity) {
        pool->capacity = pool->capacity ? 2 * pool->capacity : 16;
        pool->jobs = realloc(pool->jobs, pool->capacity * sizeof(*pool->jobs));
        CHECK(pool->jobs);
    }
    return pool->count++;
}

static int submit(struct pool *pool, pool_run_fn run, struct message **message) {
    struct world *world = pool->node->world;
    if (pool->waiting == POOL_JOBS_MAX)
        return -ENOBUFS;
    if (!pool->killed && world_fault(world, FAULT_POOL_FULL))
        return -ENOBUFS;
    uint32_t place = take_place(pool);
    uint64_t delay = random_spread(&world->random_disk, RUN_NS_MIN, RUN_NS_MAX);
    if (!pool->killed && world_fault(world, FAULT_DISK_SLOW))
        delay += random_spread(&world->random_disk, SLOW_NS_MIN, SLOW_NS_MAX);
    pool->jobs[place] = (struct pool_job){run, *message, false};
    pool->waiting++;
    *message = NULL;
    agenda_add(&world->agenda, world->now_ns + delay, job_run, pool->node, token_of(pool, place));
    return 0;
}

static int create(struct runtime *runtime, unsigned threads, struct pool **created) {
    struct pool *pool = calloc(1, sizeof(*pool));
    CHECK(pool);
    pool->runtime = runtime;
    pool->node = runtime->seams.context;
    *created = pool;
    return 0;
}

void pool_kill(struct pool *pool) {
    pool->killed = true;
}

/* At an orderly end the jobs run; at a crash the store takes nothing any more, and they only free
 * what they hold. */
static void destroy(struct pool *pool) {
    for (uint32_t i = 0; i < pool->count; i++) {
        struct pool_job *job = &pool->jobs[i];
        if (!job->message)
            continue;
        if (!job->has_run)
            job->run(job->message);
        message_destroy(job->message);
    }
    free(pool->jobs);
    free(pool);
}

const struct pool_ops pool_sim = {.create = create, .destroy = destroy, .submit = submit};

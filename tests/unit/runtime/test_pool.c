/* SPDX-License-Identifier: Apache-2.0 */
/* The blocking pool: jobs run elsewhere and come back, whatever became of who asked. */
#include "tests/unit/runtime/fixture.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

enum { ASK = ACTOR_KIND_FIRST, ANSWER, END };

static struct {
    pthread_t shard_thread;
    unsigned ran, answers; /* `ran` is the pool's, atomic */
    uint64_t sum;
    bool gate_open; /* atomic */
} seen;

static void work(struct message *message) {
    while (!__atomic_load_n(&seen.gate_open, __ATOMIC_ACQUIRE))
        usleep(100);
    assert_false(pthread_equal(pthread_self(), seen.shard_thread));
    *message_as(message, uint64_t) *= 2;
    blob_release(message->blob);
    message->blob = blob_create(1000);
    message_destroy(message_create(1, 10));
    __atomic_fetch_add(&seen.ran, 1, __ATOMIC_RELAXED);
}
static void on_ask(void *state, struct message **message) {
    struct message *job = message_of(ANSWER, value_of(*message));
    job->blob = blob_create(50);
    assert_int_equal(actor_run_blocking(work, &job), 0);
    assert_null(job);
}
static void on_answer(void *state, struct message **message) {
    assert_int_equal(blob_length((*message)->blob), 1000);
    seen.answers++;
    seen.sum += value_of(*message);
}
static void on_end(void *state, struct message **message) {
    actor_stop(0);
}
static const struct actor_handler handlers[] = {
    [ASK] = {"ask", on_ask}, [ANSWER] = {"answer", on_answer}, [END] = {"end", on_end}};
static const struct actor_class class = {.name = "asking",
                                         .handlers = handlers,
                                         .handler_count = END + 1,
                                         .mailbox_messages_max = 100000};

static struct runtime *begin(struct actor_id *id) {
    memset(&seen, 0, sizeof seen);
    seen.shard_thread = pthread_self();
    struct runtime *runtime = fixture_create(1);
    assert_int_equal(actor_spawn(&class, NULL, ACTOR_NOBODY, id), 0);
    return runtime;
}
static void open_gate(void) {
    __atomic_store_n(&seen.gate_open, true, __ATOMIC_RELEASE);
}
static void wait_for_jobs(struct runtime *runtime, unsigned count) {
    struct runtime_counters counters = {0};
    while (counters.pool_jobs < count) {
        usleep(100);
        runtime_counters_read(runtime, &counters);
    }
}

static void jobs_run_elsewhere_and_come_back(void **state) {
    struct actor_id id;
    struct runtime *runtime = begin(&id);
    open_gate();
    for (uint64_t i = 1; i <= 1000; i++)
        fixture_send(id, ASK, i);
    while (seen.answers < 1000)
        fixture_run(runtime);
    assert_int_equal(seen.sum, 1000 * 1001);
    fixture_destroy(runtime);
}

static void job_of_an_ended_actor_is_freed(void **state) {
    struct actor_id id;
    struct runtime *runtime = begin(&id);
    fixture_send(id, ASK, 1);
    fixture_send(id, END, 0);
    fixture_run(runtime);
    open_gate();
    wait_for_jobs(runtime, 1);
    struct runtime_counters counters = {0};
    while (!counters.dead_letters) {
        fixture_run(runtime);
        runtime_counters_read(runtime, &counters);
    }
    assert_int_equal(seen.answers, 0);
    assert_int_equal(counters.actors, 0);
    fixture_destroy(runtime);
}

static void jobs_that_wait_at_the_end_are_finished(void **state) {
    struct actor_id id;
    struct runtime *runtime = begin(&id);
    for (uint64_t i = 0; i < 100; i++)
        fixture_send(id, ASK, i);
    fixture_run(runtime);
    open_gate();
    fixture_destroy(runtime);
    assert_int_equal(seen.ran, 100);
}

static void full_queue_leaves_the_job_with_its_actor(void **state) {
    struct actor_id id;
    struct runtime *runtime = begin(&id);
    struct pool *pool = runtime->pool;
    int error = 0;
    unsigned taken = 0;
    for (; !error && taken < POOL_JOBS_MAX + 10; taken += !error) {
        struct message *job = message_of(ANSWER, 0);
        job->to = id;
        error = runtime->seams.pool->submit(pool, work, &job);
        message_destroy(job);
    }
    assert_int_equal(error, -ENOBUFS);
    assert_true(taken >= POOL_JOBS_MAX);
    struct runtime_counters counters;
    runtime_counters_read(runtime, &counters);
    assert_int_equal(counters.pool_queue, POOL_JOBS_MAX);
    open_gate();
    fixture_destroy(runtime);
    assert_int_equal(seen.ran, taken);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_run_elsewhere_and_come_back),
        cmocka_unit_test(job_of_an_ended_actor_is_freed),
        cmocka_unit_test(jobs_that_wait_at_the_end_are_finished),
        cmocka_unit_test(full_queue_leaves_the_job_with_its_actor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* How actors begin, hear, fail and end, on shards that the test drives by hand. */
#include "tests/unit/runtime/fixture.h"

#include <errno.h>
#include <string.h>

enum { ADD = ACTOR_KIND_FIRST, FAIL, STOP, FAIL_RICH, TICK, SIGNAL_SELF };

struct sum {
    uint64_t total;
};
static struct {
    uint64_t total, order[64], count;
    unsigned terminated, released, refused;
    int reason;
    struct actor_id refused_by;
} seen;

static int sum_init(void *state, const void *argument) {
    struct sum *sum = state;
    assert_int_equal(sum->total, 0);
    if (argument)
        sum->total = *(const uint64_t *)argument;
    return 0;
}
static void sum_terminate(void *state, int reason) {
    struct sum *sum = state;
    seen.total = sum->total;
    seen.terminated++;
    seen.reason = reason;
}
static void on_add(void *state, struct message **message) {
    ((struct sum *)state)->total += value_of(*message);
    if (seen.count < 64)
        seen.order[seen.count++] = value_of(*message);
}
static void on_fail(void *state, struct message **message) {
    actor_fail((int)value_of(*message), "told to");
}
static void on_stop(void *state, struct message **message) {
    actor_stop((int)value_of(*message));
}
static void released(struct owned *owned) {
    seen.released++;
}
/* Fails with everything in its hands that an actor can have. */
static void on_fail_rich(void *state, struct message **message) {
    static struct owned owned;
    owned = (struct owned){0};
    owned_add(&owned, released);
    memset(actor_allocate(100), 1, 100);
    memset(actor_reallocate(actor_allocate(10), 100000), 1, 100000);
    actor_timer_start(5, TICK, 0);
    struct message *created = message_create(ADD, 1000);
    created->blob = blob_create(100000);
    message_keep(message);
    actor_defer(&(struct message *){message_create(ADD, 8)});
    actor_monitor(actor_self());
    actor_ensure(created == NULL, 77);
}
static void on_refused(void *state, struct message **message) {
    seen.refused++;
    seen.refused_by = (*message)->from;
}

static const struct actor_handler handlers[] = {
    [ADD] = {"add", on_add},
    [FAIL] = {"fail", on_fail},
    [STOP] = {"stop", on_stop},
    [FAIL_RICH] = {"fail rich", on_fail_rich},
};
static const struct actor_class sum_class = {
    .name = "sum",
    .state_bytes = sizeof(struct sum),
    .init = sum_init,
    .terminate = sum_terminate,
    .handlers = handlers,
    .handler_count = sizeof handlers / sizeof *handlers,
    .refused = on_refused,
};

static struct runtime *begin(unsigned shards) {
    memset(&seen, 0, sizeof seen);
    return fixture_create(shards);
}

static struct actor_id spawn_sum(void) {
    struct actor_id id;
    assert_int_equal(actor_spawn(&sum_class, NULL, ACTOR_NOBODY, &id), 0);
    return id;
}

static void actor_hears_messages_in_order(void **context) {
    struct runtime *runtime = begin(1);
    struct actor_id id = spawn_sum();
    for (uint64_t i = 1; i <= 10; i++)
        fixture_send(id, ADD, i);
    fixture_send(id, STOP, 0);
    fixture_run(runtime);
    assert_int_equal(seen.total, 55);
    for (uint64_t i = 0; i < 10; i++)
        assert_int_equal(seen.order[i], i + 1);
    assert_int_equal(seen.terminated, 1);
    fixture_destroy(runtime);
}

static void init_gets_its_argument(void **context) {
    struct runtime *runtime = begin(1);
    struct actor_id id;
    uint64_t argument = 40;
    assert_int_equal(actor_spawn(&sum_class, &argument, ACTOR_NOBODY, &id), 0);
    fixture_send(id, ADD, 2);
    fixture_send(id, STOP, 0);
    fixture_run(runtime);
    assert_int_equal(seen.total, 42);
    fixture_destroy(runtime);
}

static int init_refuses(void *state, const void *argument) {
    actor_allocate(100);
    return -EPERM;
}
static int init_fails(void *state, const void *argument) {
    actor_allocate(100);
    message_create(ADD, 100);
    actor_fail(9, "in init");
}
static const struct actor_class refusing_class = {
    .name = "refusing", .state_bytes = 8, .init = init_refuses, .terminate = sum_terminate};
static const struct actor_class failing_class = {
    .name = "failing", .state_bytes = 8, .init = init_fails, .terminate = sum_terminate};

static void actor_whose_init_fails_never_was(void **context) {
    struct runtime *runtime = begin(1);
    struct actor_id id = {99};
    assert_int_equal(actor_spawn(&refusing_class, NULL, ACTOR_NOBODY, &id), -EPERM);
    assert_int_equal(actor_spawn(&failing_class, NULL, ACTOR_NOBODY, &id), -ECANCELED);
    assert_int_equal(id.bits, 99);
    assert_int_equal(seen.terminated, 0);
    assert_int_equal(runtime->shards[0]->counters.actors, 0);
    assert_int_equal(fixture_class(runtime, "failing")->failed, 1);
    fixture_destroy(runtime);
}

static void stale_id_is_refused_not_delivered(void **context) {
    struct runtime *runtime = begin(1);
    struct actor_id old = spawn_sum();
    fixture_send(old, STOP, 0);
    fixture_run(runtime);
    struct actor_id young = spawn_sum();
    assert_int_equal(id_slot(young), id_slot(old));
    assert_int_not_equal(young.bits, old.bits);
    fixture_send(old, ADD, 7);
    fixture_run(runtime);
    assert_int_equal(seen.count, 0);
    struct runtime_counters counters;
    runtime_counters_read(runtime, &counters);
    assert_int_equal(counters.dead_letters, 1);
    fixture_destroy(runtime);
}

static void fail_ends_that_actor_only_and_frees_all_it_had(void **context) {
    struct runtime *runtime = begin(1);
    struct actor_id other = spawn_sum(), id = spawn_sum();
    fixture_send(id, FAIL_RICH, 1);
    fixture_send(id, ADD, 5);
    fixture_send(other, ADD, 3);
    fixture_run_ms(runtime, 20);
    assert_int_equal(seen.terminated, 1);
    assert_int_equal(seen.reason, 77);
    assert_int_equal(seen.released, 1);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.order[0], 3);
    struct runtime_counters counters;
    runtime_counters_read(runtime, &counters);
    assert_int_equal(counters.actors, 1);
    assert_int_equal(counters.timers_pending, 0);
    assert_int_equal(counters.memory_blob_bytes, 0);
    assert_int_equal(fixture_class(runtime, "sum")->failed, 1);
    fixture_send(other, STOP, 0);
    fixture_run(runtime);
    assert_int_equal(seen.total, 3);
    fixture_destroy(runtime);
}

static void terminate_fails(void *state, int reason) {
    seen.terminated++;
    actor_fail(3, "in terminate");
}
static const struct actor_class odd_class = {.name = "odd",
                                             .state_bytes = 8,
                                             .handlers = handlers,
                                             .handler_count = STOP + 1,
                                             .terminate = terminate_fails};

static void failure_in_terminate_is_counted_and_skipped(void **context) {
    struct runtime *runtime = begin(1);
    struct actor_id id;
    assert_int_equal(actor_spawn(&odd_class, NULL, ACTOR_NOBODY, &id), 0);
    fixture_send(id, FAIL, 5);
    fixture_run(runtime);
    assert_int_equal(seen.terminated, 1);
    assert_int_equal(fixture_event(runtime, "actor_terminate_failed"), 1);
    assert_int_equal(runtime->shards[0]->counters.actors, 0);
    fixture_destroy(runtime);
}

static void kill_overtakes_the_mailbox(void **context) {
    struct runtime *runtime = begin(1);
    struct actor_id id = spawn_sum();
    fixture_send(id, ADD, 1);
    actor_kill(id, ACTOR_KILLED);
    fixture_run(runtime);
    assert_int_equal(seen.count, 0);
    assert_int_equal(seen.reason, ACTOR_KILLED);
    fixture_destroy(runtime);
}

static void exit_keeps_its_place(void **context) {
    struct runtime *runtime = begin(1);
    struct actor_id id = spawn_sum();
    fixture_send(id, ADD, 1);
    actor_kill(id, 12);
    fixture_send(id, ADD, 2);
    fixture_run(runtime);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.reason, 12);
    fixture_destroy(runtime);
}

static void slots_run_out_with_an_error(void **context) {
    struct runtime_options options = {.shards = 1, .actors_max = 3};
    memset(&seen, 0, sizeof seen);
    struct runtime *runtime = fixture_create_with(&options);
    for (int i = 0; i < 3; i++)
        spawn_sum();
    struct actor_id id;
    assert_int_equal(actor_spawn(&sum_class, NULL, ACTOR_NOBODY, &id), -ENOSPC);
    fixture_destroy(runtime);
    assert_int_equal(seen.terminated, 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(actor_hears_messages_in_order),
        cmocka_unit_test(init_gets_its_argument),
        cmocka_unit_test(actor_whose_init_fails_never_was),
        cmocka_unit_test(stale_id_is_refused_not_delivered),
        cmocka_unit_test(fail_ends_that_actor_only_and_frees_all_it_had),
        cmocka_unit_test(failure_in_terminate_is_counted_and_skipped),
        cmocka_unit_test(kill_overtakes_the_mailbox),
        cmocka_unit_test(exit_keeps_its_place),
        cmocka_unit_test(slots_run_out_with_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

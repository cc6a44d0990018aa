/* SPDX-License-Identifier: Apache-2.0 */
/* Following actors: what is told of them, how much at most, and that it ends by itself. */
#include "runtime/trace.h"

#include "tests/unit/runtime/fixture.h"

#include <errno.h>
#include <string.h>

enum { WORK = ACTOR_KIND_FIRST, PASS_ON, FAIL, START, STOP };
#define EVENTS_KEPT 64u
#define FAILURE 7

static struct actor_id friend;

static void on_work(void *state, struct message **message) {
    fixture_now_ns += 3000;
}
static void on_pass_on(void *state, struct message **message) {
    struct message *copy = message_of(WORK, 0);
    assert_int_equal(actor_send(friend, &copy), 0);
}
static void on_fail(void *state, struct message **message) {
    actor_fail(FAILURE, "asked to");
}
static const struct actor_handler worker_handlers[] = {
    [WORK] = {"work", on_work}, [PASS_ON] = {"pass_on", on_pass_on}, [FAIL] = {"fail", on_fail}};
static const struct actor_class worker_class = {
    .name = "worker", .handlers = worker_handlers, .handler_count = FAIL + 1};
static const struct actor_class other_class = {.name = "other"};

/* --- the asker
 * ---------------------------------------------------------------------------------------------- */

static struct trace_spec spec;
static struct trace_event events[EVENTS_KEPT];
static struct trace_ended endings[8];
static unsigned event_count, ending_count;
static uint64_t reference;
static int start_error;

static void on_start(void *state, struct message **message) {
    start_error = actor_trace_start(&spec, &reference);
}
static void on_stop(void *state, struct message **message) {
    actor_trace_stop(reference);
}
static void on_event(void *state, struct message **message) {
    if (event_count < EVENTS_KEPT)
        events[event_count] = *message_as(*message, struct trace_event);
    event_count++;
}
static void on_ended(void *state, struct message **message) {
    assert_true(ending_count < 8);
    endings[ending_count++] = *message_as(*message, struct trace_ended);
}
static const struct actor_handler asker_handlers[] = {[TRACE_EVENT] = {"event", on_event},
                                                      [TRACE_ENDED] = {"ended", on_ended},
                                                      [START] = {"start", on_start},
                                                      [STOP] = {"stop", on_stop}};
static const struct actor_class asker_class = {
    .name = "asker", .handlers = asker_handlers, .handler_count = STOP + 1};
static struct actor_id asker;

static struct actor_id spawn(const struct actor_class *class) {
    struct actor_id id;
    assert_int_equal(actor_spawn(class, NULL, ACTOR_NOBODY, &id), 0);
    return id;
}

static struct runtime *begin(unsigned shards) {
    struct runtime *runtime = fixture_create(shards);
    spec = (struct trace_spec){.duration_ms = 1000, .per_second = 1000};
    event_count = ending_count = 0;
    asker = spawn(&asker_class);
    return runtime;
}

static void start(struct runtime *runtime) {
    fixture_send(asker, START, 0);
    fixture_run(runtime);
    assert_int_equal(start_error, 0);
}

static void one_actor_is_followed_in_and_out(void **state) {
    struct runtime *runtime = begin(1);
    struct actor_id worker = spawn(&worker_class);
    friend = spawn(&other_class);
    spec.actor = worker;
    start(runtime);
    fixture_send(friend, WORK, 0);
    fixture_send(worker, WORK, 0);
    fixture_send(worker, PASS_ON, 0);
    fixture_run(runtime);
    assert_int_equal(event_count, 3);
    assert_int_equal(events[0].what, TRACE_HANDLED);
    assert_string_equal(events[0].kind_name, "work");
    assert_string_equal(events[0].class_name, "worker");
    assert_int_equal(events[0].took_ns, 3000);
    assert_int_equal(events[0].bytes, sizeof(struct message) + 8);
    assert_int_equal(events[1].what, TRACE_SENT);
    assert_true(actor_id_equal(events[1].other, friend));
    assert_int_equal(events[2].what, TRACE_HANDLED);
    assert_string_equal(events[2].kind_name, "pass_on");
    fixture_destroy(runtime);
}

static void a_class_is_followed_on_every_shard(void **state) {
    struct runtime *runtime = begin(2);
    strcpy(spec.class_name, "worker");
    start(runtime);
    for (unsigned shard = 0; shard < 2; shard++) {
        fixture_enter(runtime, shard);
        fixture_send(spawn(&worker_class), WORK, 0);
        fixture_send(spawn(&other_class), WORK, 0);
    }
    fixture_enter(runtime, 0);
    fixture_run(runtime);
    assert_int_equal(event_count, 2);
    assert_true(events[0].shard != events[1].shard);
    fixture_destroy(runtime);
}

static void a_failure_is_told_with_its_reason(void **state) {
    struct runtime *runtime = begin(1);
    strcpy(spec.class_name, "worker");
    start(runtime);
    fixture_send(spawn(&worker_class), FAIL, 0);
    fixture_run(runtime);
    assert_int_equal(event_count, 1);
    assert_int_equal(events[0].what, TRACE_FAILED);
    assert_int_equal(events[0].reason, FAILURE);
    assert_string_equal(events[0].kind_name, "fail");
    fixture_destroy(runtime);
}

static void it_ends_by_itself(void **state) {
    struct runtime *runtime = begin(2);
    struct actor_id worker = spawn(&worker_class);
    strcpy(spec.class_name, "worker");
    start(runtime);
    fixture_run_ms(runtime, 1001);
    assert_int_equal(ending_count, 2);
    assert_int_equal(endings[0].why, TRACE_OVER_TIME);
    fixture_send(worker, WORK, 0);
    fixture_run(runtime);
    assert_int_equal(event_count, 0);
    spec.events_max = 3;
    start(runtime);
    for (unsigned i = 0; i < 10; i++)
        fixture_send(worker, WORK, 0);
    fixture_run(runtime);
    assert_int_equal(event_count, 3);
    assert_int_equal(ending_count, 3);
    assert_int_equal(endings[2].why, TRACE_OVER_EVENTS);
    fixture_send(asker, STOP, 0);
    fixture_run(runtime);
    assert_int_equal(ending_count, 4);
    assert_int_equal(endings[3].why, TRACE_OVER_STOPPED);
    fixture_destroy(runtime);
}

static void what_is_beyond_the_rate_is_counted(void **state) {
    struct runtime *runtime = begin(1);
    struct actor_id worker = spawn(&worker_class);
    spec.actor = worker;
    spec.per_second = 5;
    spec.duration_ms = 3000;
    start(runtime);
    for (unsigned second = 0; second < 2; second++) {
        for (unsigned i = 0; i < 20; i++)
            fixture_send(worker, WORK, 0);
        fixture_run_ms(runtime, 1100);
    }
    fixture_run_ms(runtime, 1000);
    assert_int_equal(event_count, 10);
    assert_int_equal(ending_count, 1);
    assert_int_equal(endings[0].events, 10);
    assert_int_equal(endings[0].suppressed, 30);
    fixture_destroy(runtime);
}

static void more_than_there_is_room_for_are_refused(void **state) {
    struct runtime *runtime = begin(1);
    strcpy(spec.class_name, "worker");
    for (unsigned i = 0; i < TRACES_MAX; i++)
        start(runtime);
    assert_int_equal(ending_count, 0);
    start(runtime);
    assert_int_equal(ending_count, 1);
    assert_int_equal(endings[0].why, TRACE_OVER_BUSY);
    fixture_destroy(runtime);
}

static void a_spec_out_of_its_range_is_refused(void **state) {
    struct runtime *runtime = begin(1);
    const struct trace_spec wrong[] = {
        {.duration_ms = 1000, .per_second = 10}, /* nobody */
        {.duration_ms = 0, .per_second = 10, .class_name = "worker"},
        {.duration_ms = TRACE_MS_MAX + 1, .per_second = 10, .class_name = "worker"},
        {.duration_ms = 10, .per_second = 0, .class_name = "worker"},
        {.duration_ms = 10, .per_second = 10, .class_name = "worker", .actor = asker},
        {.duration_ms = 10, .per_second = 10, .actor = {UINT64_MAX}},
    };
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        spec = wrong[i];
        fixture_send(asker, START, 0);
        fixture_run(runtime);
        assert_int_equal(start_error, -EINVAL);
    }
    fixture_destroy(runtime);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_actor_is_followed_in_and_out),
        cmocka_unit_test(a_class_is_followed_on_every_shard),
        cmocka_unit_test(a_failure_is_told_with_its_reason),
        cmocka_unit_test(it_ends_by_itself),
        cmocka_unit_test(what_is_beyond_the_rate_is_counted),
        cmocka_unit_test(more_than_there_is_room_for_are_refused),
        cmocka_unit_test(a_spec_out_of_its_range_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The timing wheel: never early, in order, and never after a cancel. */
#include "tests/unit/runtime/fixture.h"

#include <stdlib.h>
#include <string.h>

enum { FIRED = ACTOR_KIND_FIRST, START, CANCEL, START_MANY, CANCEL_AND_WAIT, END };

#define FIRED_MAX 4096
static struct {
    uint64_t argument[FIRED_MAX], at_ns[FIRED_MAX];
    unsigned count;
    struct actor_timer last;
    bool canceled;
} seen;

static void on_fired(void *state, struct message **message) {
    assert_true(seen.count < FIRED_MAX);
    seen.argument[seen.count] = message_as(*message, struct actor_timer_fired)->argument;
    seen.at_ns[seen.count++] = fixture_now_ns;
}
static void on_start(void *state, struct message **message) {
    seen.last = actor_timer_start(value_of(*message), FIRED, value_of(*message));
}
static void on_cancel(void *state, struct message **message) {
    seen.canceled = actor_timer_cancel(&seen.last);
    assert_int_equal(seen.last.bits, 0);
}
static void on_start_many(void *state, struct message **message) {
    for (uint64_t i = 0; i < value_of(*message); i++)
        actor_timer_start(100, FIRED, i);
}
static void on_end(void *state, struct message **message) {
    actor_stop(0);
}
static const struct actor_handler handlers[] = {
    [FIRED] = {"fired", on_fired},    [START] = {"start", on_start},
    [CANCEL] = {"cancel", on_cancel}, [START_MANY] = {"start many", on_start_many},
    [END] = {"end", on_end},
};
static const struct actor_class class = {.name = "timed",
                                         .handlers = handlers,
                                         .handler_count = END + 1,
                                         .mailbox_messages_max = FIRED_MAX};

static struct runtime *begin(struct actor_id *id) {
    memset(&seen, 0, sizeof seen);
    struct runtime *runtime = fixture_create(1);
    assert_int_equal(actor_spawn(&class, NULL, ACTOR_NOBODY, id), 0);
    return runtime;
}

static uint64_t pending(struct runtime *runtime) {
    struct runtime_counters counters;
    runtime_counters_read(runtime, &counters);
    return counters.timers_pending;
}

static void timer_fires_once_and_not_early(void **state) {
    struct actor_id id;
    struct runtime *runtime = begin(&id);
    uint64_t start_ns = fixture_now_ns;
    fixture_send(id, START, 50);
    fixture_run(runtime);
    assert_int_equal(pending(runtime), 1);
    fixture_run_ms(runtime, 49);
    assert_int_equal(seen.count, 0);
    fixture_run_ms(runtime, 200);
    assert_int_equal(seen.count, 1);
    assert_true(seen.at_ns[0] - start_ns >= 50000000);
    assert_true(seen.at_ns[0] - start_ns <= 52000000);
    assert_int_equal(pending(runtime), 0);
    fixture_destroy(runtime);
}

/* Delays of every magnitude, over hours of a clock that jumps as a sleeping shard's does. */
static void timers_of_all_levels_fire_in_order_of_their_deadlines(void **state) {
    struct actor_id id;
    struct runtime *runtime = begin(&id);
    srand(7);
    uint64_t start_ns = fixture_now_ns;
    for (int i = 0; i < 1000; i++)
        fixture_send(id, START, 1 + (uint64_t)rand() % (1ull << (rand() % 24)));
    fixture_run(runtime);
    while (pending(runtime)) {
        uint64_t wait_ns = shard_idle_ns(runtime->shards[0]);
        assert_true(wait_ns > 0 && wait_ns != UINT64_MAX);
        fixture_now_ns += wait_ns;
        fixture_run(runtime);
    }
    assert_int_equal(seen.count, 1000);
    for (int i = 0; i < 1000; i++) {
        uint64_t late_ns = seen.at_ns[i] - start_ns - seen.argument[i] * 1000000;
        assert_true(late_ns <= 2000000);
        assert_true(i == 0 || seen.argument[i - 1] <= seen.argument[i]);
    }
    fixture_destroy(runtime);
}

static void timers_of_one_deadline_fire_as_they_were_started(void **state) {
    struct actor_id id;
    struct runtime *runtime = begin(&id);
    fixture_send(id, START_MANY, 500);
    fixture_run_ms(runtime, 200);
    assert_int_equal(seen.count, 500);
    for (unsigned i = 0; i < 500; i++)
        assert_int_equal(seen.argument[i], i);
    fixture_destroy(runtime);
}

static void canceled_timer_never_fires(void **state) {
    struct actor_id id;
    struct runtime *runtime = begin(&id);
    fixture_send(id, START, 50);
    fixture_run_ms(runtime, 20);
    fixture_send(id, CANCEL, 0);
    fixture_run_ms(runtime, 200);
    assert_int_equal(seen.count, 0);
    assert_true(seen.canceled);
    assert_int_equal(pending(runtime), 0);
    assert_int_equal(shard_idle_ns(runtime->shards[0]), UINT64_MAX);
    fixture_destroy(runtime);
}

/* The cancel is in the mailbox before the timer's message. */
static void cancel_takes_back_a_message_that_waits(void **state) {
    struct actor_id id;
    struct runtime *runtime = begin(&id);
    fixture_send(id, START, 50);
    fixture_run(runtime);
    fixture_advance_ms(60);
    fixture_send(id, CANCEL, 0);
    shard_step(runtime->shards[0]);
    fixture_run(runtime);
    assert_true(seen.canceled);
    assert_int_equal(seen.count, 0);
    fixture_destroy(runtime);
}

static void cancel_after_it_was_handled_says_so(void **state) {
    struct actor_id id;
    struct runtime *runtime = begin(&id);
    fixture_send(id, START, 5);
    fixture_run_ms(runtime, 20);
    struct actor_timer old = seen.last;
    fixture_send(id, START, 5); /* takes the same place in the table */
    fixture_run(runtime);
    struct actor_timer young = seen.last;
    seen.last = old;
    fixture_send(id, CANCEL, 0);
    fixture_run_ms(runtime, 20);
    assert_false(seen.canceled);
    assert_int_not_equal(old.bits, young.bits);
    assert_int_equal(seen.count, 2);
    fixture_destroy(runtime);
}

static void timers_end_with_their_actor(void **state) {
    struct actor_id id, other;
    struct runtime *runtime = begin(&id);
    fixture_send(id, START_MANY, 100);
    fixture_send(id, END, 0);
    fixture_run(runtime);
    assert_int_equal(pending(runtime), 0);
    assert_int_equal(actor_spawn(&class, NULL, ACTOR_NOBODY, &other), 0);
    fixture_run_ms(runtime, 300);
    assert_int_equal(seen.count, 0);
    fixture_destroy(runtime);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timer_fires_once_and_not_early),
        cmocka_unit_test(timers_of_all_levels_fire_in_order_of_their_deadlines),
        cmocka_unit_test(timers_of_one_deadline_fire_as_they_were_started),
        cmocka_unit_test(canceled_timer_never_fires),
        cmocka_unit_test(cancel_takes_back_a_message_that_waits),
        cmocka_unit_test(cancel_after_it_was_handled_says_so),
        cmocka_unit_test(timers_end_with_their_actor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

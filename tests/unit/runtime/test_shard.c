/* SPDX-License-Identifier: Apache-2.0 */
/* A turn ends: after so many messages, and after so long, whatever the handlers do. */
#include "tests/unit/runtime/fixture.h"

#include <string.h>

enum { WORK = ACTOR_KIND_FIRST, GO_ON, LOOK };

static struct {
    uint64_t cost_ns; /* of each message, by the test's clock */
    uint64_t handled, yields;
    unsigned due_at; /* the first message of the turn at which it was due; 0: never */
    uint64_t left;   /* of a long job */
    uint64_t looks, turns_missed;
    uint64_t turn_at_last_look;
} seen;

static void on_work(void *state, struct message **message) {
    seen.handled++;
    fixture_now_ns += seen.cost_ns;
    if (!seen.due_at && actor_yield_due())
        seen.due_at = (unsigned)seen.handled;
}
/* Sends to itself for ever. */
static void on_go_on(void *state, struct message **message) {
    seen.handled++;
    fixture_now_ns += seen.cost_ns;
    assert_int_equal(actor_signal(actor_self(), GO_ON), 0);
}
static const struct actor_handler handlers[] = {
    [WORK] = {"work", on_work}, [GO_ON] = {"go on", on_go_on}};
static const struct actor_class worker_class = {
    .name = "worker", .handlers = handlers, .handler_count = GO_ON + 1};

/* A job of many small parts, as in actor.h. */
static void on_job(void *state, struct message **message) {
    while (seen.left) {
        fixture_now_ns += seen.cost_ns;
        seen.left--;
        if (actor_yield_due()) {
            seen.yields++;
            actor_signal_next_turn(WORK);
            return;
        }
    }
}
static const struct actor_handler job_handlers[] = {[WORK] = {"work", on_job}};
static const struct actor_class job_class = {
    .name = "job", .handlers = job_handlers, .handler_count = WORK + 1};

/* Wants every turn. */
static void on_look(void *state, struct message **message) {
    if (seen.looks++ && actor_turn() != seen.turn_at_last_look + 1)
        seen.turns_missed++;
    seen.turn_at_last_look = actor_turn();
    actor_signal_next_turn(LOOK);
}
static const struct actor_handler bystander_handlers[] = {[LOOK] = {"look", on_look}};
static const struct actor_class bystander_class = {
    .name = "bystander", .handlers = bystander_handlers, .handler_count = LOOK + 1};

static struct runtime *begin(uint64_t cost_ns) {
    memset(&seen, 0, sizeof seen);
    seen.cost_ns = cost_ns;
    return fixture_create(1);
}
static struct actor_id spawn(const struct actor_class *class) {
    struct actor_id id;
    assert_int_equal(actor_spawn(class, NULL, ACTOR_NOBODY, &id), 0);
    return id;
}
static void give(struct actor_id id, unsigned messages) {
    for (unsigned i = 0; i < messages; i++)
        fixture_send(id, WORK, i);
}
/* Runs a turn; how long it was. */
static uint64_t step(struct runtime *runtime) {
    uint64_t begin_ns = fixture_now_ns;
    shard_step(runtime->shards[0]);
    return fixture_now_ns - begin_ns;
}

static void yield_is_due_when_the_share_of_messages_is_used(void **state) {
    struct runtime *runtime = begin(0);
    give(spawn(&worker_class), 200);
    step(runtime);
    assert_int_equal(seen.due_at, TURN_ACTOR_MESSAGES_MAX);
    fixture_destroy(runtime);
}

static void yield_is_due_when_the_turn_has_lasted_long(void **state) {
    struct runtime *runtime = begin(200000);
    give(spawn(&worker_class), 5);
    step(runtime);
    assert_int_equal(seen.due_at, 3); /* 600 µs */
    fixture_destroy(runtime);
}

static void turn_ends_after_so_many_messages(void **state) {
    struct runtime *runtime = begin(0);
    for (unsigned i = 0; i < 100; i++)
        fixture_send(spawn(&worker_class), GO_ON, 0);
    step(runtime);
    assert_in_range(seen.handled, TURN_MESSAGES_MAX / 2,
                    TURN_MESSAGES_MAX + TURN_ACTOR_MESSAGES_MAX);
    fixture_destroy(runtime);
}

/* Between two looks at the clock are 128 messages at most, and the rest of a run. */
static void turn_ends_after_so_long(void **state) {
    const uint64_t cost_ns = 5000;
    struct runtime *runtime = begin(cost_ns);
    for (unsigned i = 0; i < 500; i++)
        give(spawn(&worker_class), 1 + i % 100);
    for (unsigned i = 0; i < 20; i++)
        assert_in_range(step(runtime), TURN_NS_MAX,
                        TURN_NS_MAX + (TURN_CLOCK_UNITS + TURN_ACTOR_MESSAGES_MAX) * cost_ns);
    fixture_destroy(runtime);
}

/* 64 handlers of 2 ms each would be an eighth of a second. */
static void slow_class_gets_turns_of_fewer_messages(void **state) {
    struct runtime *runtime = begin(2000000);
    struct actor_id slow = spawn(&worker_class);
    give(slow, 1000);
    step(runtime); /* nothing is known of it yet */
    step(runtime);
    for (unsigned i = 0; i < 20; i++)
        assert_in_range(step(runtime), 1, 2000000); /* one message: less than one cannot be */

    seen.cost_ns = 1000; /* it was slow for a while only */
    for (unsigned i = 0; i < 5000; i++) {
        give(slow, 1);
        step(runtime);
    }
    uint64_t before = seen.handled;
    give(slow, 200);
    step(runtime);
    assert_in_range(seen.handled - before, TURN_ACTOR_MESSAGES_MAX, 200);
    fixture_destroy(runtime);
}

static void slow_class_does_not_shorten_the_turns_of_others(void **state) {
    struct runtime *runtime = begin(0);
    seen.left = 1000000;
    seen.cost_ns = 1000;
    give(spawn(&job_class), 1);
    while (seen.left)
        step(runtime);
    seen.cost_ns = 0;
    give(spawn(&worker_class), 200);
    uint64_t before = seen.handled;
    step(runtime);
    assert_in_range(seen.handled - before, TURN_ACTOR_MESSAGES_MAX, 200);
    fixture_destroy(runtime);
}

static void long_job_that_yields_holds_up_nobody(void **state) {
    struct runtime *runtime = begin(1000); /* a thousand times half a millisecond */
    seen.left = 500000;
    fixture_send(spawn(&bystander_class), LOOK, 0);
    give(spawn(&job_class), 1);
    while (seen.left)
        assert_in_range(step(runtime), 0, TURN_NS_MAX + 2 * seen.cost_ns);
    assert_in_range(seen.yields, 900, 1100);
    assert_in_range(seen.looks, seen.yields, UINT64_MAX);
    assert_int_equal(seen.turns_missed, 0);
    fixture_destroy(runtime);
}

/* The clock is read once: when the turn before has ended. */
static void turn_that_a_spin_begins_goes_by_the_clock_of_the_spin(void **state) {
    struct runtime *runtime = fixture_create(2);
    struct shard *shard = runtime->shards[1];
    fixture_enter(runtime, 1);
    struct actor_id far = spawn(&worker_class);
    give(far, 1);
    shard_step(shard);
    uint64_t ended_ns = fixture_now_ns;
    fixture_enter(runtime, 0);
    give(far, 1);
    shard_step(runtime->shards[0]);
    fixture_enter(runtime, 1);
    assert_true(shard_await_arrivals(shard, 1000));
    fixture_now_ns += 500;
    shard_step(shard);
    assert_int_equal(shard->now_ns, ended_ns);
    assert_int_equal(shard->ended_ns, fixture_now_ns);
    shard_step(shard); /* no spin was won since */
    assert_int_equal(shard->now_ns, fixture_now_ns);
    fixture_destroy(runtime);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yield_is_due_when_the_share_of_messages_is_used),
        cmocka_unit_test(yield_is_due_when_the_turn_has_lasted_long),
        cmocka_unit_test(turn_ends_after_so_many_messages),
        cmocka_unit_test(turn_ends_after_so_long),
        cmocka_unit_test(slow_class_gets_turns_of_fewer_messages),
        cmocka_unit_test(slow_class_does_not_shorten_the_turns_of_others),
        cmocka_unit_test(long_job_that_yields_holds_up_nobody),
        cmocka_unit_test(turn_that_a_spin_begins_goes_by_the_clock_of_the_spin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

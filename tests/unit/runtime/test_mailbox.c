/* SPDX-License-Identifier: Apache-2.0 */
/* Bounds, what is refused and to whom it comes back, deferring, fairness. */
#include "tests/unit/runtime/fixture.h"

#include <errno.h>
#include <string.h>

enum { NUMBER = ACTOR_KIND_FIRST, FORWARD, DEFER, UNDEFER, END, SPIN, KEEP, WAIT, UNKNOWN };

static struct {
    uint64_t values[4096];
    unsigned count, refused, refused_by_key, turns, spins, result;
    struct actor_id to, refused_by;
    bool deferring;
    struct message *kept;
} seen;

static void on_number(void *state, struct message **message) {
    if (seen.deferring) {
        actor_defer(message);
        assert_null(*message);
        return;
    }
    seen.values[seen.count++ % 4096] = value_of(*message);
}
/* Sends on what it gets, under its own name. */
static void on_forward(void *state, struct message **message) {
    struct message *number = message_of(NUMBER, value_of(*message));
    seen.result = (unsigned)actor_send(seen.to, &number);
    if (number)
        message_destroy(number);
}
static void on_defer(void *state, struct message **message) {
    seen.deferring = true;
}
static void on_undefer(void *state, struct message **message) {
    seen.deferring = false;
    actor_undefer();
}
static void on_end(void *state, struct message **message) {
    actor_stop(0);
}
static void on_spin(void *state, struct message **message) {
    seen.spins++;
    if (seen.spins < 100000)
        actor_send(actor_self(), message);
}
/* Waits for the next turn. */
static void on_wait(void *state, struct message **message) {
    seen.values[seen.count++ % 4096] = actor_turn();
    if (seen.count < 3)
        actor_signal_next_turn(WAIT);
}
static void on_keep(void *state, struct message **message) {
    seen.kept = message_keep(message);
    assert_null(*message);
}
static void on_refused(void *state, struct message **message) {
    assert_true((*message)->flags & MESSAGE_REFUSED);
    seen.refused++;
    seen.refused_by = (*message)->from;
    seen.refused_by_key += (*message)->to_class != NULL;
}
static void after_turn(void *state) {
    seen.turns++;
}
static const struct actor_handler handlers[] = {
    [NUMBER] = {"number", on_number}, [FORWARD] = {"forward", on_forward},
    [DEFER] = {"defer", on_defer},    [UNDEFER] = {"undefer", on_undefer},
    [END] = {"end", on_end},          [SPIN] = {"spin", on_spin},
    [KEEP] = {"keep", on_keep},       [WAIT] = {"wait", on_wait},
};
static const struct actor_class small = {.name = "small",
                                         .handlers = handlers,
                                         .handler_count = WAIT + 1,
                                         .mailbox_messages_max = 10,
                                         .mailbox_bytes_max = 4096,
                                         .refused = on_refused,
                                         .after_turn = after_turn};
static const struct actor_class large = {.name = "large",
                                         .handlers = handlers,
                                         .handler_count = WAIT + 1,
                                         .mailbox_messages_max = 4096,
                                         .refused = on_refused};

static struct actor_id spawn(const struct actor_class *class) {
    struct actor_id id;
    assert_int_equal(actor_spawn(class, NULL, ACTOR_NOBODY, &id), 0);
    return id;
}
static struct runtime *begin(unsigned shards) {
    memset(&seen, 0, sizeof seen);
    return fixture_create(shards);
}

static void local_bound_by_count_leaves_the_message_with_its_sender(void **state) {
    struct runtime *runtime = begin(1);
    struct actor_id id = spawn(&small);
    for (uint64_t i = 0; i < 10; i++)
        fixture_send(id, NUMBER, i);
    struct message *message = message_of(NUMBER, 10);
    assert_int_equal(actor_send(id, &message), -ENOBUFS);
    assert_non_null(message);
    fixture_run(runtime);
    assert_int_equal(actor_send(id, &message), 0);
    fixture_run(runtime);
    assert_int_equal(seen.count, 11);
    fixture_destroy(runtime);
}

static void bound_by_bytes_counts_blobs(void **state) {
    struct runtime *runtime = begin(1);
    struct actor_id id = spawn(&small);
    struct message *message = message_of(NUMBER, 1);
    message->blob = blob_create(5000);
    assert_int_equal(actor_send(id, &message), -ENOBUFS);
    blob_release(message->blob);
    message->blob = blob_create(3000);
    assert_int_equal(actor_send(id, &message), 0);
    message = message_of(NUMBER, 2);
    message->blob = blob_create(3000);
    assert_int_equal(actor_send(id, &message), -ENOBUFS);
    message_destroy(message);
    fixture_run(runtime);
    assert_int_equal(seen.count, 1);
    fixture_destroy(runtime);
}

static void remote_bound_comes_back_as_refused(void **state) {
    struct runtime *runtime = begin(2);
    struct actor_id near = spawn(&large);
    fixture_enter(runtime, 1);
    seen.to = spawn(&small);
    fixture_enter(runtime, 0);
    for (uint64_t i = 0; i < 50; i++)
        fixture_send(near, FORWARD, i);
    fixture_run(runtime);
    assert_int_equal(seen.result, 0);
    assert_int_equal(seen.count, 10);
    assert_int_equal(seen.refused, 40);
    assert_true(actor_id_equal(seen.refused_by, seen.to));
    assert_int_equal(fixture_class(runtime, "small")->refused, 40);
    fixture_destroy(runtime);
}

static void system_messages_are_never_refused(void **state) {
    struct runtime *runtime = begin(1);
    struct actor_id id = spawn(&small);
    for (uint64_t i = 0; i < 1000; i++) {
        struct message *message = message_of(NUMBER, i);
        shard_post(runtime->shards[0], id, &message);
        assert_null(message);
    }
    fixture_run(runtime);
    assert_int_equal(seen.count, 1000);
    fixture_destroy(runtime);
}

static void stale_id_comes_back_to_a_living_sender(void **state) {
    struct runtime *runtime = begin(2);
    struct actor_id near = spawn(&large);
    for (unsigned shard = 0; shard < 2; shard++) {
        fixture_enter(runtime, shard);
        seen.to = spawn(&large);
        fixture_send(seen.to, END, 0);
        fixture_run(runtime);
        fixture_send(near, FORWARD, 1);
        fixture_run(runtime);
        assert_int_equal(seen.refused, shard + 1);
        assert_true(actor_id_equal(seen.refused_by, seen.to));
    }
    assert_int_equal(seen.count, 0);
    fixture_destroy(runtime);
}

static void message_to_nobody_finds_no_free_slot(void **state) {
    struct runtime *runtime = begin(1);
    struct actor_id id = spawn(&large);
    actor_kill(id, ACTOR_KILLED);
    fixture_run(runtime);
    struct message *message = message_of(NUMBER, 1);
    assert_int_equal(actor_send(ACTOR_NOBODY, &message), 0);
    struct runtime_counters counters;
    runtime_counters_read(runtime, &counters);
    assert_int_equal(counters.dead_letters, 1);
    fixture_destroy(runtime);
}

static void mailbox_of_an_ended_actor_comes_back(void **state) {
    struct runtime *runtime = begin(2);
    struct actor_id near = spawn(&large), far;
    fixture_enter(runtime, 1);
    far = seen.to = spawn(&large);
    fixture_enter(runtime, 0);
    fixture_send(far, END, 0); /* nobody's: what it leaves behind is a dead letter */
    fixture_send(far, NUMBER, 1);
    fixture_send(near, FORWARD, 2);
    fixture_run(runtime);
    assert_int_equal(seen.count, 0);
    assert_int_equal(seen.refused, 1);
    assert_int_equal(fixture_class(runtime, "large")->dead_letters, 1);
    fixture_destroy(runtime);
}

/* It ends with messages to itself in its mailbox: nobody is there to take them back. */
static void message_to_oneself_dies_with_oneself(void **state) {
    struct runtime *runtime = begin(1);
    struct actor_id id = seen.to = spawn(&large);
    fixture_send(id, FORWARD, 1);
    fixture_send(id, FORWARD, 2);
    fixture_send(id, END, 0);
    fixture_run(runtime);
    assert_int_equal(seen.refused, 0);
    assert_int_equal(runtime->shards[0]->counters.actors, 0);
    fixture_destroy(runtime);
}

static void deferred_messages_come_first_and_in_order(void **state) {
    struct runtime *runtime = begin(1);
    struct actor_id id = spawn(&large);
    fixture_send(id, DEFER, 0);
    for (uint64_t i = 0; i < 5; i++)
        fixture_send(id, NUMBER, i);
    fixture_send(id, UNDEFER, 0);
    fixture_send(id, NUMBER, 5);
    fixture_run(runtime);
    assert_int_equal(seen.count, 6);
    for (uint64_t i = 0; i < 6; i++)
        assert_int_equal(seen.values[i], i);
    assert_int_equal(fixture_class(runtime, "large")->mailbox_messages, 0);
    fixture_destroy(runtime);
}

static void deferred_messages_count_in_the_bound(void **state) {
    struct runtime *runtime = begin(1);
    struct actor_id id = spawn(&small);
    fixture_send(id, DEFER, 0);
    for (uint64_t i = 0; i < 9; i++)
        fixture_send(id, NUMBER, i);
    fixture_run(runtime);
    fixture_send(id, NUMBER, 9);
    struct message *message = message_of(NUMBER, 10);
    assert_int_equal(actor_send(id, &message), -ENOBUFS);
    message_destroy(message);
    fixture_destroy(runtime);
}

static void kept_message_is_the_actors_and_goes_with_it(void **state) {
    struct runtime *runtime = begin(1);
    struct actor_id id = spawn(&large);
    fixture_send(id, KEEP, 77);
    fixture_run(runtime);
    assert_int_equal(value_of(seen.kept), 77);
    uint64_t populated = runtime->shards[0]->messages.bytes;
    for (int i = 0; i < 1000; i++) { /* what is kept is not used for others */
        fixture_send(id, NUMBER, 1);
        fixture_run(runtime);
    }
    assert_int_equal(value_of(seen.kept), 77);
    assert_int_equal(runtime->shards[0]->messages.bytes, populated);
    fixture_send(id, END, 0);
    fixture_run(runtime);
    fixture_destroy(runtime);
}

static void busy_actor_leaves_turns_to_others(void **state) {
    struct runtime *runtime = begin(1);
    struct actor_id busy = spawn(&large), other = spawn(&large);
    fixture_send(busy, SPIN, 0);
    fixture_send(other, NUMBER, 1);
    shard_step(runtime->shards[0]);
    assert_int_equal(seen.count, 1);
    assert_true(seen.spins <= TURN_MESSAGES_MAX);
    assert_true(seen.spins >= TURN_ACTOR_MESSAGES_MAX);
    fixture_destroy(runtime);
}

static void waiting_for_the_next_turn_takes_one_turn_each(void **state) {
    struct runtime *runtime = begin(1);
    struct actor_id id = spawn(&large);
    fixture_send(id, WAIT, 0);
    for (int i = 0; i < 3; i++) {
        bool more = shard_step(runtime->shards[0]);
        assert_int_equal(seen.count, i + 1);
        assert_int_equal(more, i < 2); /* it must not sleep */
        assert_int_equal(shard_idle_ns(runtime->shards[0]) == 0, i < 2);
    }
    assert_int_equal(seen.values[1], seen.values[0] + 1);
    assert_int_equal(seen.values[2], seen.values[0] + 2);
    fixture_destroy(runtime);
}

static void next_turn_that_never_comes_leaves_nothing(void **state) {
    struct runtime *runtime = begin(1);
    fixture_send(spawn(&large), WAIT, 0);
    shard_step(runtime->shards[0]);
    assert_non_null(runtime->shards[0]->next_turn);
    fixture_destroy(runtime);
}

static void after_turn_comes_once_for_a_turns_messages(void **state) {
    struct runtime *runtime = begin(1);
    struct actor_id id = spawn(&small);
    for (uint64_t i = 0; i < 10; i++)
        fixture_send(id, NUMBER, i);
    fixture_run(runtime);
    assert_int_equal(seen.turns, 1);
    fixture_destroy(runtime);
}

static void unknown_kind_is_counted_and_freed(void **state) {
    struct runtime *runtime = begin(1);
    struct actor_id id = spawn(&small);
    fixture_send(id, UNKNOWN, 0);
    fixture_send(id, 250, 0);
    fixture_run(runtime);
    assert_int_equal(fixture_class(runtime, "small")->dead_letters, 2);
    fixture_destroy(runtime);
}

static void full_lane_refuses_users_only(void **state) {
    struct runtime *runtime = begin(2);
    fixture_enter(runtime, 1);
    struct actor_id far = spawn(&large);
    fixture_enter(runtime, 0);
    uint64_t sent = 0;
    int error = 0;
    while (!error) {
        struct message *message = message_of(NUMBER, sent);
        error = actor_send(far, &message);
        sent += !error;
        message_destroy(message);
    }
    assert_int_equal(error, -ENOBUFS);
    assert_in_range(sent, LANE_SPILL_MAX + LANE_ENTRIES_LEAST, LANE_SPILL_MAX + LANE_ENTRIES_MAX);
    actor_kill(far, ACTOR_KILLED);
    fixture_run(runtime);
    assert_int_equal(runtime->shards[1]->counters.actors, 0);
    fixture_destroy(runtime);
}

static int fault(void *context, const struct actor_class *class, uint16_t kind) {
    return class == &small && kind == NUMBER ? ACTOR_FAULT : 0;
}

static void injected_fault_fails_the_actor_it_names(void **state) {
    struct runtime *runtime = begin(1);
    struct actor_id victim = spawn(&small), other = spawn(&large);
    runtime->shards[0]->fault = fault;
    fixture_send(victim, NUMBER, 1);
    fixture_send(other, NUMBER, 2);
    fixture_run(runtime);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.values[0], 2);
    assert_int_equal(fixture_class(runtime, "small")->failed, 1);
    fixture_destroy(runtime);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(local_bound_by_count_leaves_the_message_with_its_sender),
        cmocka_unit_test(bound_by_bytes_counts_blobs),
        cmocka_unit_test(remote_bound_comes_back_as_refused),
        cmocka_unit_test(system_messages_are_never_refused),
        cmocka_unit_test(stale_id_comes_back_to_a_living_sender),
        cmocka_unit_test(message_to_nobody_finds_no_free_slot),
        cmocka_unit_test(mailbox_of_an_ended_actor_comes_back),
        cmocka_unit_test(message_to_oneself_dies_with_oneself),
        cmocka_unit_test(deferred_messages_come_first_and_in_order),
        cmocka_unit_test(deferred_messages_count_in_the_bound),
        cmocka_unit_test(kept_message_is_the_actors_and_goes_with_it),
        cmocka_unit_test(busy_actor_leaves_turns_to_others),
        cmocka_unit_test(waiting_for_the_next_turn_takes_one_turn_each),
        cmocka_unit_test(next_turn_that_never_comes_leaves_nothing),
        cmocka_unit_test(after_turn_comes_once_for_a_turns_messages),
        cmocka_unit_test(unknown_kind_is_counted_and_freed),
        cmocka_unit_test(full_lane_refuses_users_only),
        cmocka_unit_test(injected_fault_fails_the_actor_it_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

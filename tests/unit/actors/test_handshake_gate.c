/* SPDX-License-Identifier: Apache-2.0 */
/* How many may wait, in which order they compute, and when the others are to come again. */
#include "actors/handshake_gate.h"

#include "tests/unit/actors/mailbox_fixture.h"

#define SECOND_NS 1000000000ull

static void row_is_full_at_its_bound_and_never_without_one(void **state) {
    struct handshake_gate gate = {.new.count = 3, .half_done.count = 9};
    assert_false(handshake_gate_is_full(&gate, 4));
    assert_true(handshake_gate_is_full(&gate, 3));
    assert_false(handshake_gate_is_full(&gate, 0));
}

static void times_to_come_again_are_as_far_apart_as_handshakes_take(void **state) {
    struct handshake_gate gate = {.mean_ns = 1000000};
    uint64_t now_ns = 77 * SECOND_NS;
    unsigned told[5] = {0};
    for (unsigned i = 0; i < 3500; i++) {
        uint32_t seconds = handshake_gate_book(&gate, now_ns);
        assert_in_range(seconds, 1, 4);
        told[seconds]++;
    }
    assert_in_range(told[1], 999, 1001);
    assert_in_range(told[2], 999, 1001);
    assert_in_range(told[3], 999, 1001);
    /* What has passed is not given out again. */
    assert_int_equal(handshake_gate_book(&gate, now_ns + 100 * SECOND_NS), 1);
}

static void who_waits_already_comes_first(void **state) {
    struct handshake_gate gate = {.mean_ns = 1000000, .new.count = 2500, .half_done.count = 1000};
    assert_int_equal(handshake_gate_book(&gate, SECOND_NS), 4);
}

static void nobody_is_sent_away_for_long(void **state) {
    struct handshake_gate gate = {.mean_ns = 100000000};
    for (unsigned i = 0; i < 10000; i++)
        assert_in_range(handshake_gate_book(&gate, SECOND_NS), 1, HANDSHAKE_RETRY_S_MAX);
    assert_int_equal(handshake_gate_book(&gate, SECOND_NS), HANDSHAKE_RETRY_S_MAX);
    assert_int_equal(handshake_gate_book(&gate, 100 * SECOND_NS), 1);
}

static void pace_is_measured_only_while_some_wait(void **state) {
    struct handshake_wait one = {.waits = true};
    struct handshake_gate gate = {.done_ns = SECOND_NS};
    handshake_gate_done(&gate, SECOND_NS + 2000000);
    assert_int_equal(gate.mean_ns, 0);
    gate.new.first = gate.new.last = &one;
    for (unsigned i = 1; i <= 1000; i++)
        handshake_gate_done(&gate, SECOND_NS + 2000000 + i * 3000000ull);
    assert_in_range(gate.mean_ns, 2900000, 3000000);
    handshake_gate_done(&gate, 100 * SECOND_NS); /* it has stood still since */
    assert_in_range(gate.mean_ns, 2900000, 3000000);
}

/* --- who computes -----------------------------------------------------------------------------
 */

enum { BEGIN = TERN_KIND_END, LEAVE };

static struct handshake_gate gate_of_all;
static char computed[8]; /* names, in their order */

struct waiter {
    struct handshake_wait wait;
    char name;
};

static int waiter_init(void *state, const void *argument) {
    *(struct waiter *)state = *(const struct waiter *)argument;
    return 0;
}

/* Each one takes the whole share of its turn. */
static void waiter_otherwise(void *state, struct message **message) {
    struct waiter *waiter = state;
    if ((*message)->kind == LEAVE) {
        actor_stop(ACTOR_NORMAL);
        return;
    }
    if (!handshake_gate_enter(&gate_of_all, &waiter->wait))
        return;
    strncat(computed, &waiter->name, 1);
    handshake_gate_spend(&gate_of_all, HANDSHAKE_TURN_NS);
    handshake_gate_leave(&gate_of_all, &waiter->wait);
}

static void waiter_terminate(void *state, int reason) {
    handshake_gate_leave(&gate_of_all, &((struct waiter *)state)->wait);
}

static const struct actor_class waiter_class = {.name = "waiter",
                                                .state_bytes = sizeof(struct waiter),
                                                .init = waiter_init,
                                                .terminate = waiter_terminate,
                                                .otherwise = waiter_otherwise};

static struct actor_id waiter_spawn(char name, bool is_half_done) {
    const struct waiter waiter = {{.is_half_done = is_half_done}, name};
    struct actor_id id;
    assert_int_equal(actor_spawn(&waiter_class, &waiter, ACTOR_NOBODY, &id), 0);
    return id;
}

static int begin(void **state) {
    hand_setup(state);
    gate_of_all = (struct handshake_gate){0};
    memset(computed, 0, sizeof(computed));
    return 0;
}

static void what_is_half_done_goes_first_and_then_the_oldest(void **state) {
    const struct actor_id ids[] = {waiter_spawn('a', false), waiter_spawn('b', false),
                                   waiter_spawn('c', false), waiter_spawn('d', true),
                                   waiter_spawn('e', true)};
    hand_run();
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(actor_signal(ids[i], BEGIN), 0);
    hand_run();
    assert_string_equal(computed, "adebc");
    assert_int_equal(gate_of_all.new.count + gate_of_all.half_done.count, 0);
}

/* Else the turn that was given to it is lost, and with it all who wait behind. */
static void one_that_ends_when_its_turn_is_on_the_way_gives_it_on(void **state) {
    const struct actor_id first = waiter_spawn('a', false), second = waiter_spawn('b', false),
                          third = waiter_spawn('c', false);
    hand_run();
    assert_int_equal(actor_signal(first, BEGIN), 0);
    assert_int_equal(actor_signal(second, BEGIN), 0);
    assert_int_equal(actor_signal(third, BEGIN), 0);
    assert_int_equal(actor_signal(second, LEAVE), 0);
    hand_run();
    assert_string_equal(computed, "ac");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row_is_full_at_its_bound_and_never_without_one),
        cmocka_unit_test(times_to_come_again_are_as_far_apart_as_handshakes_take),
        cmocka_unit_test(who_waits_already_comes_first),
        cmocka_unit_test(nobody_is_sent_away_for_long),
        cmocka_unit_test(pace_is_measured_only_while_some_wait),
        cmocka_unit_test_setup_teardown(what_is_half_done_goes_first_and_then_the_oldest, begin,
                                        hand_teardown),
        cmocka_unit_test_setup_teardown(one_that_ends_when_its_turn_is_on_the_way_gives_it_on,
                                        begin, hand_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

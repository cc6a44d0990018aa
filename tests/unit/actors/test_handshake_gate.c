/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/handshake_gate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row_is_full_at_its_bound_and_never_without_one),
        cmocka_unit_test(times_to_come_again_are_as_far_apart_as_handshakes_take),
        cmocka_unit_test(who_waits_already_comes_first),
        cmocka_unit_test(nobody_is_sent_away_for_long),
        cmocka_unit_test(pace_is_measured_only_while_some_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

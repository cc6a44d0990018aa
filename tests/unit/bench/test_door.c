/* SPDX-License-Identifier: Apache-2.0 */
/* The door through which people connect: its bound, and the order of the line before it. */
#include "bench/door.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define PEOPLE 7u
#define MOST 3u

static void so_many_are_let_in_and_the_others_in_the_order_in_which_they_came(void **state) {
    struct door door;
    uint32_t next;
    door_init(&door, MOST, PEOPLE);
    for (unsigned round = 0; round < 5; round++) { /* the line's ring goes round */
        for (uint32_t person = 0; person < PEOPLE; person++)
            assert_int_equal(door_enter(&door, person), person < MOST);
        assert_int_equal(door.inside, MOST);
        for (uint32_t person = MOST; person < PEOPLE; person++) {
            assert_true(door_leave(&door, &next));
            assert_int_equal(next, person);
            assert_int_equal(door.inside, MOST);
        }
        for (uint32_t left = MOST; left > 0; left--) {
            assert_int_equal(door.inside, left);
            assert_false(door_leave(&door, &next));
        }
    }
    assert_int_equal(door.waiting_peak, PEOPLE - MOST);
    door_finish(&door);
}

static void who_comes_while_others_wait_does_not_pass_them(void **state) {
    struct door door;
    uint32_t next;
    door_init(&door, 1, PEOPLE);
    assert_true(door_enter(&door, 0));
    assert_false(door_enter(&door, 1));
    assert_true(door_leave(&door, &next));
    assert_int_equal(next, 1);
    assert_false(door_enter(&door, 0)); /* the place is 1's, although 1 does not know it yet */
    assert_true(door_leave(&door, &next));
    assert_int_equal(next, 0);
    door_finish(&door);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(so_many_are_let_in_and_the_others_in_the_order_in_which_they_came),
        cmocka_unit_test(who_comes_while_others_wait_does_not_pass_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

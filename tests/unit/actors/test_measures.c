/* SPDX-License-Identifier: Apache-2.0 */
/* The sketch of active users. What is timed is seen from outside, in
 * tests/scenario/test_metrics.py. */
#include "actors/measures.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define TODAY 20000

static void add_users(struct record_active *sketch, uint64_t first, unsigned count) {
    for (unsigned i = 0; i < count; i++)
        sketch_add(sketch, TODAY, first + i);
}

static void few_users_are_counted_nearly_exactly(void **state) {
    struct record_active sketch = {0};
    add_users(&sketch, 1, 0);
    assert_int_equal(sketch_count(&sketch), 0);
    add_users(&sketch, 1, 1);
    assert_int_equal(sketch_count(&sketch), 1);
    add_users(&sketch, 1, 20);
    assert_in_range(sketch_count(&sketch), 19, 21);
}

static void user_is_counted_once(void **state) {
    struct record_active sketch = {0};
    for (unsigned i = 0; i < 1000; i++)
        sketch_add(&sketch, TODAY, 77);
    assert_int_equal(sketch_count(&sketch), 1);
}

/* Three standard errors, on both sides of where the estimate changes its method. */
static void many_users_are_counted_within_five_percent(void **state) {
    for (unsigned count = 1000; count <= 1000000; count *= 10) {
        struct record_active sketch = {0};
        add_users(&sketch, 1, count);
        assert_in_range(sketch_count(&sketch), count - count / 20, count + count / 20);
    }
    struct record_active sketch = {0};
    add_users(&sketch, 1, 11000);
    assert_in_range(sketch_count(&sketch), 11000 - 550, 11000 + 550);
}

static void merged_sketches_count_a_user_of_both_once(void **state) {
    struct record_active one = {0}, other = {0};
    add_users(&one, 1, 600);
    add_users(&other, 401, 600);
    sketch_merge(&one, &other);
    assert_in_range(sketch_count(&one), 950, 1050);
}

static void another_day_begins_empty(void **state) {
    struct record_active sketch = {0}, sum = {.day = TODAY};
    add_users(&sketch, 1, 500);
    sketch_add(&sketch, TODAY + 2, 7);
    assert_int_equal(sketch_count(&sketch), 1);
    sketch_merge(&sum, &sketch); /* of another day: not added */
    assert_int_equal(sketch_count(&sum), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_users_are_counted_nearly_exactly),
        cmocka_unit_test(user_is_counted_once),
        cmocka_unit_test(many_users_are_counted_within_five_percent),
        cmocka_unit_test(merged_sketches_count_a_user_of_both_once),
        cmocka_unit_test(another_day_begins_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

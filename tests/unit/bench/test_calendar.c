/* SPDX-License-Identifier: Apache-2.0 */
/* The calendar that wakes people: at their time, once, whatever was set before. */
#include "bench/calendar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define BEGIN_MS 1000003u
#define PEOPLE 5000u

static void everybody_is_woken_once_and_at_most_a_slot_late(void **state) {
    struct calendar calendar;
    uint64_t due_ms[PEOPLE];
    uint32_t person, random = 1;
    unsigned woken = 0;
    calendar_init(&calendar, PEOPLE, BEGIN_MS);
    for (uint32_t i = 0; i < PEOPLE; i++) {
        random = random * 1664525 + 1013904223;
        due_ms[i] = BEGIN_MS + random % (uint32_t)CALENDAR_MS_MAX;
        calendar_set(&calendar, i, BEGIN_MS + random / 3 % 100000); /* moved at once: */
        calendar_set(&calendar, i, due_ms[i]);
    }
    for (uint64_t now_ms = BEGIN_MS; now_ms < BEGIN_MS + CALENDAR_MS_MAX + 100; now_ms += 7)
        while ((person = calendar_take(&calendar, now_ms)) != CALENDAR_NOBODY) {
            assert_true(now_ms >= due_ms[person]);
            assert_true(now_ms <= due_ms[person] + 2ull * CALENDAR_SLOT_MS + 7);
            due_ms[person] = UINT64_MAX;
            woken++;
        }
    assert_int_equal(woken, PEOPLE);
    assert_int_equal(calendar.count, 0);
    calendar_finish(&calendar);
}

static void who_is_cleared_is_not_woken(void **state) {
    struct calendar calendar;
    calendar_init(&calendar, 3, BEGIN_MS);
    for (uint32_t i = 0; i < 3; i++)
        calendar_set(&calendar, i, BEGIN_MS + 100);
    calendar_clear(&calendar, 1);
    calendar_clear(&calendar, 1);
    assert_int_equal(calendar_take(&calendar, BEGIN_MS + 90), CALENDAR_NOBODY);
    assert_int_equal(calendar_take(&calendar, BEGIN_MS + 200), 0);
    assert_int_equal(calendar_take(&calendar, BEGIN_MS + 200), 2);
    assert_int_equal(calendar_take(&calendar, BEGIN_MS + 200), CALENDAR_NOBODY);
    calendar_finish(&calendar);
}

static void
what_is_due_already_comes_with_the_next_slot_and_what_is_too_far_at_the_end(void **state) {
    struct calendar calendar;
    calendar_init(&calendar, 2, BEGIN_MS);
    assert_int_equal(calendar_take(&calendar, BEGIN_MS + 5000), CALENDAR_NOBODY);
    calendar_set(&calendar, 0, BEGIN_MS);
    calendar_set(&calendar, 1, BEGIN_MS + 10 * CALENDAR_MS_MAX);
    assert_int_equal(calendar_take(&calendar, BEGIN_MS + 5000), CALENDAR_NOBODY);
    assert_int_equal(calendar_take(&calendar, BEGIN_MS + 5000 + CALENDAR_SLOT_MS), 0);
    assert_int_equal(calendar_take(&calendar, BEGIN_MS + CALENDAR_MS_MAX), CALENDAR_NOBODY);
    assert_int_equal(calendar_take(&calendar, BEGIN_MS + 5100 + CALENDAR_MS_MAX), 1);
    calendar_finish(&calendar);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everybody_is_woken_once_and_at_most_a_slot_late),
        cmocka_unit_test(who_is_cleared_is_not_woken),
        cmocka_unit_test(
            what_is_due_already_comes_with_the_next_slot_and_what_is_too_far_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

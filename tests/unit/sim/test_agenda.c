/* SPDX-License-Identifier: Apache-2.0 */
/* The agenda: by time, then by the order of adding, whatever was added and taken in between. */
#include "tools/sim/agenda.h"

#include "tools/sim/random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void call_a(struct world *world, void *subject, uint64_t token) {
}
static void call_b(struct world *world, void *subject, uint64_t token) {
}

static void empty_agenda_is_never_due(void **state) {
    struct agenda agenda = {0};
    assert_int_equal(agenda_next_ns(&agenda), UINT64_MAX);
    agenda_finish(&agenda);
}

static void entry_comes_back_as_it_was_added(void **state) {
    struct agenda agenda = {0};
    int subject;
    agenda_add(&agenda, 20, call_a, &subject, 7);
    agenda_add(&agenda, 10, call_b, NULL, 8);
    assert_int_equal(agenda_next_ns(&agenda), 10);
    struct agenda_entry entry = agenda_take(&agenda);
    assert_ptr_equal(entry.call, call_b);
    assert_null(entry.subject);
    assert_int_equal(entry.token, 8);
    entry = agenda_take(&agenda);
    assert_int_equal(entry.at_ns, 20);
    assert_ptr_equal(entry.call, call_a);
    assert_ptr_equal(entry.subject, &subject);
    assert_int_equal(entry.token, 7);
    assert_int_equal(agenda_next_ns(&agenda), UINT64_MAX);
    agenda_finish(&agenda);
}

static void same_time_keeps_the_order_of_adding(void **state) {
    struct agenda agenda = {0};
    for (uint64_t i = 0; i < 1000; i++)
        agenda_add(&agenda, 5, call_a, NULL, i);
    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(agenda_take(&agenda).token, i);
    agenda_finish(&agenda);
}

/* Against a list that is searched: 20,000 steps, of times that often are the same. */
static void what_is_taken_is_always_the_first(void **state) {
    enum { MOST = 400 };
    struct agenda agenda = {0};
    struct random random;
    uint64_t times[MOST], tokens[MOST], next = 0;
    size_t count = 0;
    random_init(&random, 1, 0);
    for (unsigned i = 0; i < 20000; i++) {
        if (count < MOST && (!count || random_permille(&random, 520))) {
            times[count] = random_below(&random, 50);
            tokens[count] = next;
            agenda_add(&agenda, times[count++], call_a, NULL, next++);
            continue;
        }
        size_t first = 0;
        for (size_t j = 1; j < count; j++)
            if (times[j] < times[first] || (times[j] == times[first] && tokens[j] < tokens[first]))
                first = j;
        assert_int_equal(agenda_next_ns(&agenda), times[first]);
        struct agenda_entry entry = agenda_take(&agenda);
        assert_int_equal(entry.at_ns, times[first]);
        assert_int_equal(entry.token, tokens[first]);
        times[first] = times[--count];
        tokens[first] = tokens[count];
    }
    assert_int_equal(agenda.count, count);
    agenda_finish(&agenda);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_agenda_is_never_due),
        cmocka_unit_test(entry_comes_back_as_it_was_added),
        cmocka_unit_test(same_time_keeps_the_order_of_adding),
        cmocka_unit_test(what_is_taken_is_always_the_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

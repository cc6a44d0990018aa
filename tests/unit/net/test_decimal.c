/* SPDX-License-Identifier: Apache-2.0 */
#include "net/decimal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define UNTOUCHED 77u

static void digits_are_a_number_up_to_64_bits(void **state) {
    uint64_t number;
    assert_true(decimal_read("0", 0, UINT64_MAX, &number));
    assert_int_equal(number, 0);
    assert_true(decimal_read("007", 0, UINT64_MAX, &number));
    assert_int_equal(number, 7);
    assert_true(decimal_read("18446744073709551615", 0, UINT64_MAX, &number));
    assert_int_equal(number, UINT64_MAX);
}

static void what_is_no_number_leaves_it_untouched(void **state) {
    const char *const texts[] = {"",
                                 "-1",
                                 "+1",
                                 " 1",
                                 "1 ",
                                 "1x",
                                 "0x1",
                                 "1.5",
                                 "1e3",
                                 "x",
                                 "18446744073709551616",
                                 "99999999999999999999999"};
    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        uint64_t number = UNTOUCHED;
        assert_false(decimal_read(texts[i], 0, UINT64_MAX, &number));
        assert_int_equal(number, UNTOUCHED);
    }
}

static void bounds_are_part_of_what_is_allowed(void **state) {
    uint64_t number = UNTOUCHED;
    assert_false(decimal_read("4", 5, 9, &number));
    assert_false(decimal_read("10", 5, 9, &number));
    assert_int_equal(number, UNTOUCHED);
    assert_true(decimal_read("5", 5, 9, &number));
    assert_int_equal(number, 5);
    assert_true(decimal_read("9", 5, 9, &number));
    assert_int_equal(number, 9);
}

static void taking_stops_behind_the_digits(void **state) {
    const char *text = "12/34";
    uint64_t number = 0;
    assert_true(decimal_take(&text, &number));
    assert_int_equal(number, 12);
    assert_string_equal(text, "/34");
    assert_false(decimal_take(&text, &number));
    assert_int_equal(number, 12);
    assert_string_equal(text, "/34");
}

static void taking_refuses_what_64_bits_do_not_hold(void **state) {
    const char *const text = "18446744073709551616/1", *at = text;
    uint64_t number = UNTOUCHED;
    assert_false(decimal_take(&at, &number));
    assert_ptr_equal(at, text);
    assert_int_equal(number, UNTOUCHED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digits_are_a_number_up_to_64_bits),
        cmocka_unit_test(what_is_no_number_leaves_it_untouched),
        cmocka_unit_test(bounds_are_part_of_what_is_allowed),
        cmocka_unit_test(taking_stops_behind_the_digits),
        cmocka_unit_test(taking_refuses_what_64_bits_do_not_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

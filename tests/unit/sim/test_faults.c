/* SPDX-License-Identifier: Apache-2.0 */
/* Faults: what --fault takes, and that each comes about as often as its rate says. */
#include "tools/sim/faults.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define MILLION 1000000u
#define EVENTS 10000u

static int read_one(const char *text, uint64_t *millionths) {
    struct fault_rates rates;
    memset(&rates, 0, sizeof rates);
    int error = fault_rates_read(&rates, text);
    *millionths = rates.millionths[FAULT_RESET];
    return error;
}

static void rates_are_read_without_rounding(void **state) {
    static const struct {
        const char *text;
        uint64_t millionths;
    } good[] = {
        {"reset=0", 0},
        {"reset=1", MILLION},
        {"reset=0.5", MILLION / 2},
        {"reset=.25", MILLION / 4},
        {"reset=3.", 3 * MILLION},
        {"reset=0.000001", 1},
        {"reset=999.999999", 999999999},
        {"reset=1000", 1000 * MILLION},
        {"all=2", 2 * MILLION},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        uint64_t millionths;
        assert_int_equal(read_one(good[i].text, &millionths), 0);
        assert_int_equal(millionths, good[i].millionths);
    }
}

static void what_is_no_rate_is_refused_and_changes_nothing(void **state) {
    static const char *const bad[] = {
        "reset",
        "reset=",
        "=1",
        "reset=-1",
        "reset=1e3",
        "reset=1.2.3",
        "reset=0.0000001",
        "reset=1001",
        "reset=1000.1",
        "rese=1",
        "resets=1",
        "reset =1",
        "reset= 1",
        "reset=18446744073709551617",
        "",
        "al=1",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint64_t millionths;
        assert_int_equal(read_one(bad[i], &millionths), -EINVAL);
        assert_int_equal(millionths, 0);
    }
}

static void all_is_every_fault(void **state) {
    struct fault_rates rates;
    fault_rates_default(&rates);
    for (unsigned i = 0; i < FAULT_KINDS; i++)
        assert_int_not_equal(rates.millionths[i], 0);
    assert_int_equal(fault_rates_read(&rates, "all=0"), 0);
    assert_int_equal(fault_rates_read(&rates, "stall=0.1"), 0);
    for (unsigned i = 0; i < FAULT_KINDS; i++)
        assert_int_equal(rates.millionths[i], i == FAULT_STALL ? MILLION / 10 : 0);
}

static void written_rate_is_read_as_the_same(void **state) {
    static const uint64_t rates[] = {0, 1, 10, 999999, MILLION, MILLION + 100, 1000 * MILLION};
    char text[64] = "reset=";
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        uint64_t millionths;
        assert_true(fault_rate_write(text + 6, sizeof text - 6, rates[i]) > 0);
        assert_int_equal(read_one(text, &millionths), 0);
        assert_int_equal(millionths, rates[i]);
    }
    fault_rate_write(text, sizeof text, MILLION / 2);
    assert_string_equal(text, "0.5");
}

static void each_default_fires_within_the_default_run(void **state) {
    struct fault_rates rates;
    fault_rates_default(&rates);
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct faults faults;
        faults_init(&faults, &rates, seed, EVENTS);
        for (uint64_t event = 0; event < EVENTS; event++)
            for (unsigned i = 0; i < FAULT_KINDS; i++)
                fault_fires(&faults, (enum fault_kind)i, event);
        assert_int_equal(faults_missing(&faults), FAULT_KINDS);
    }
}

static void first_time_lies_in_the_first_half_however_low_the_rate(void **state) {
    struct fault_rates rates;
    for (unsigned i = 0; i < FAULT_KINDS; i++)
        rates.millionths[i] = 1;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct faults faults;
        faults_init(&faults, &rates, seed, EVENTS);
        for (unsigned i = 0; i < FAULT_KINDS; i++)
            assert_true(fault_fires(&faults, (enum fault_kind)i, EVENTS / 2 + 1));
    }
}

static void rate_is_the_number_in_1000_events(void **state) {
    struct fault_rates rates;
    struct faults faults;
    memset(&rates, 0, sizeof rates);
    rates.millionths[FAULT_DELAY] = 5 * MILLION;
    rates.millionths[FAULT_STALL] = 1000 * MILLION;
    faults_init(&faults, &rates, 3, 100 * EVENTS);
    for (uint64_t event = 0; event < 100 * EVENTS; event++)
        for (unsigned i = 0; i < FAULT_KINDS; i++)
            fault_fires(&faults, (enum fault_kind)i, event);
    assert_in_range(faults.fired[FAULT_DELAY], 4500, 5500); /* 5,000 */
    assert_in_range(faults.fired[FAULT_STALL], 500000, 1000000);
    assert_int_equal(faults.fired[FAULT_RESET], 0);
}

/* A fault that has no opportunity for long is not made up for by a burst of them. */
static void late_opportunity_is_one(void **state) {
    struct fault_rates rates;
    struct faults faults;
    memset(&rates, 0, sizeof rates);
    rates.millionths[FAULT_RESET] = 10 * MILLION;
    faults_init(&faults, &rates, 4, EVENTS);
    assert_true(fault_fires(&faults, FAULT_RESET, EVENTS));
    assert_false(fault_fires(&faults, FAULT_RESET, EVENTS));
    assert_int_equal(faults.fired[FAULT_RESET], 1);
}

static void nothing_fires_when_faults_are_over(void **state) {
    struct fault_rates rates;
    struct faults faults;
    memset(&rates, 0, sizeof rates);
    rates.millionths[FAULT_RESET] = 10 * MILLION;
    faults_init(&faults, &rates, 4, EVENTS);
    assert_int_equal(faults_missing(&faults), FAULT_RESET);
    faults.over = true;
    assert_false(fault_fires(&faults, FAULT_RESET, EVENTS));
    faults.over = false;
    assert_true(fault_fires(&faults, FAULT_RESET, EVENTS));
    assert_int_equal(faults_missing(&faults), FAULT_KINDS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_are_read_without_rounding),
        cmocka_unit_test(what_is_no_rate_is_refused_and_changes_nothing),
        cmocka_unit_test(all_is_every_fault),
        cmocka_unit_test(written_rate_is_read_as_the_same),
        cmocka_unit_test(each_default_fires_within_the_default_run),
        cmocka_unit_test(first_time_lies_in_the_first_half_however_low_the_rate),
        cmocka_unit_test(rate_is_the_number_in_1000_events),
        cmocka_unit_test(late_opportunity_is_one),
        cmocka_unit_test(nothing_fires_when_faults_are_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

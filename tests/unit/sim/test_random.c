/* SPDX-License-Identifier: Apache-2.0 */
/* Seeded randomness: the same everywhere, apart by stream, and within what was asked for. */
#include "tools/sim/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define DRAWS 10000

/* xoshiro256** from the state {1, 2, 3, 4}, as its authors' program gives it. */
static void generator_is_the_published_one(void **state) {
    static const uint64_t expected[] = {11520, 0, 1509978240, 1215971899390074240};
    struct random random = {{1, 2, 3, 4}};
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(random_next(&random), expected[i]);
}

/* A seed that is written down today must be the same run next year, on every machine. */
static void seed_gives_the_numbers_that_it_always_gave(void **state) {
    struct random random;
    random_init(&random, 1, 1);
    assert_int_equal(random_next(&random), 0x550e4e55a37114cc);
}

static void streams_and_seeds_differ(void **state) {
    uint64_t seen[64];
    for (unsigned i = 0; i < 64; i++) {
        struct random random;
        random_init(&random, i / 8, i % 8);
        seen[i] = random_next(&random);
        for (unsigned j = 0; j < i; j++)
            assert_int_not_equal(seen[i], seen[j]);
    }
}

static void numbers_are_within_their_bounds_and_meet_both(void **state) {
    struct random random;
    unsigned below[7] = {0}, between[3] = {0};
    random_init(&random, 5, 0);
    for (unsigned i = 0; i < DRAWS; i++) {
        uint64_t number = random_below(&random, 7);
        assert_true(number < 7);
        below[number]++;
        number = random_between(&random, 10, 12);
        assert_in_range(number, 10, 12);
        between[number - 10]++;
    }
    for (unsigned i = 0; i < 7; i++)
        assert_in_range(below[i], DRAWS / 7 * 8 / 10, DRAWS / 7 * 12 / 10);
    for (unsigned i = 0; i < 3; i++)
        assert_in_range(between[i], DRAWS / 3 * 8 / 10, DRAWS / 3 * 12 / 10);
    assert_int_equal(random_below(&random, 0), 0);
    assert_true(random_below(&random, UINT64_MAX) != random_below(&random, UINT64_MAX));
}

static void permille_is_about_that(void **state) {
    struct random random;
    unsigned often = 0;
    random_init(&random, 6, 0);
    for (unsigned i = 0; i < DRAWS; i++) {
        often += random_permille(&random, 250);
        assert_false(random_permille(&random, 0));
        assert_true(random_permille(&random, 1000));
    }
    assert_in_range(often, DRAWS / 4 * 9 / 10, DRAWS / 4 * 11 / 10);
}

/* Each octave about as often as any other, so a half lies far below the middle. */
static void spread_prefers_small_numbers_and_reaches_large_ones(void **state) {
    struct random random;
    unsigned small = 0, large = 0;
    random_init(&random, 7, 0);
    for (unsigned i = 0; i < DRAWS; i++) {
        uint64_t number = random_spread(&random, 100, 100000);
        assert_in_range(number, 100, 100000);
        small += number < 3200;
        large += number > 50000;
    }
    assert_in_range(small, DRAWS * 4 / 10, DRAWS * 6 / 10);
    assert_true(large > DRAWS / 100);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(random_spread(&random, 9, 9), 9);
}

static void filled_bytes_do_not_depend_on_the_byte_order(void **state) {
    struct random random, same;
    uint8_t bytes[11];
    random_init(&random, 8, 0);
    random_init(&same, 8, 0);
    random_fill(&random, bytes, sizeof bytes);
    uint64_t first = random_next(&same), second = random_next(&same);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(bytes[i], (uint8_t)(first >> (8 * i)));
    for (unsigned i = 8; i < sizeof bytes; i++)
        assert_int_equal(bytes[i], (uint8_t)(second >> (8 * (i - 8))));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(generator_is_the_published_one),
        cmocka_unit_test(seed_gives_the_numbers_that_it_always_gave),
        cmocka_unit_test(streams_and_seeds_differ),
        cmocka_unit_test(numbers_are_within_their_bounds_and_meet_both),
        cmocka_unit_test(permille_is_about_that),
        cmocka_unit_test(spread_prefers_small_numbers_and_reaches_large_ones),
        cmocka_unit_test(filled_bytes_do_not_depend_on_the_byte_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

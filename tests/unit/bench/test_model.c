/* SPDX-License-Identifier: Apache-2.0 */
/* The model of people: repeatable, at the rates that were asked for, and of the shape it claims. */
#include "bench/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PEOPLE 10000
#define EVENTS 200000

static struct model *make(uint64_t seed, double messages_per_s, double leaves_per_s) {
    const struct model_options options = {.seed = seed,
                                          .people = PEOPLE,
                                          .messages_per_s = messages_per_s,
                                          .leaves_per_s = leaves_per_s};
    struct model *model = model_create(&options);
    assert_non_null(model);
    return model;
}

static uint64_t fingerprint(uint64_t seed) {
    struct model *model = make(seed, 1000, 50);
    struct model_event event;
    uint64_t sum = 0;
    for (unsigned i = 0; i < EVENTS; i++) {
        assert_true(model_next(model, &event));
        sum = (sum ^ event.at_ns ^ event.what ^ (uint64_t)event.person << 32 ^ event.other) *
              0x100000001b3ull;
    }
    model_destroy(model);
    return sum;
}

static void same_seed_gives_the_same_events(void **state) {
    assert_int_equal(fingerprint(1), fingerprint(1));
    assert_int_not_equal(fingerprint(1), fingerprint(2));
}

static void nobody_writes_to_themselves_and_who_is_away_does_not_write(void **state) {
    struct model *model = make(3, 1000, 200);
    struct model_event event;
    uint8_t *away = calloc(PEOPLE, 1);
    uint64_t last_ns = 0;
    unsigned left = 0, back = 0;
    for (unsigned i = 0; i < EVENTS; i++) {
        assert_true(model_next(model, &event));
        assert_true(event.at_ns >= last_ns);
        assert_true(event.person < PEOPLE);
        last_ns = event.at_ns;
        if (event.what == MODEL_SEND) {
            assert_true(event.other < PEOPLE);
            assert_int_not_equal(event.person, event.other);
        }
        assert_int_equal(away[event.person], event.what == MODEL_RETURN);
        if (event.what == MODEL_LEAVE || event.what == MODEL_RETURN)
            away[event.person] = event.what == MODEL_LEAVE;
        assert_int_equal(model_is_away(model, event.person), away[event.person]);
        left += event.what == MODEL_LEAVE;
        back += event.what == MODEL_RETURN;
    }
    assert_true(left > 100);
    assert_true(back > left / 2);
    free(away);
    model_destroy(model);
}

/* Within a tenth, from the first seconds on. */
static void rates_are_those_asked_for(void **state) {
    struct model *model = make(4, 2000, 20);
    struct model_event event;
    for (unsigned part = 0; part < 5; part++) {
        unsigned sends = 0, goes = 0;
        while (model_next_ns(model) < (part + 1) * 10000000000ull) {
            if (!model_next(model, &event) || event.at_ns >= (part + 1) * 10000000000ull)
                break;
            sends += event.what == MODEL_SEND;
            goes += event.what == MODEL_LEAVE || event.what == MODEL_CUT;
        }
        assert_in_range(sends, 18000, 22000);
        assert_in_range(goes, 150, 250);
    }
    model_destroy(model);
}

static void contacts_are_few_for_most_and_many_for_some(void **state) {
    struct model *model = make(5, 1, 0);
    unsigned few = 0, many = 0;
    for (uint32_t person = 0; person < PEOPLE; person++) {
        uint32_t count = model_contact_count(model, person);
        assert_in_range(count, 2, 200);
        few += count <= 4;
        many += count >= 40;
        for (uint32_t k = 0; k < count; k++)
            assert_int_not_equal(model_contact(model, person, k), person);
    }
    assert_in_range(few, PEOPLE / 3, PEOPLE * 7 / 10); /* 2 / 4 of them are above 4, or so */
    assert_in_range(many, PEOPLE / 40, PEOPLE / 12);   /* 2 / 40 */
    model_destroy(model);
}

static void two_people_write_to_each_other(void **state) {
    const struct model_options options = {.seed = 6, .people = 2, .messages_per_s = 10};
    struct model *model = model_create(&options);
    struct model_event event;
    for (unsigned i = 0; i < 1000; i++) {
        assert_true(model_next(model, &event));
        assert_int_equal(event.what, MODEL_SEND);
        assert_int_equal(event.person + event.other, 1);
    }
    model_destroy(model);
}

static void silence_has_no_events(void **state) {
    struct model *model = make(7, 0, 0);
    struct model_event event;
    assert_true(model_next_ns(model) == UINT64_MAX);
    assert_false(model_next(model, &event));
    model_destroy(model);
}

/* In the long run `visitors` are there, who come and go and begin conversations at times. */
static void visitors_come_and_go_and_write(void **state) {
    const struct model_options options = {.seed = 5,
                                          .people = PEOPLE,
                                          .visitors = 500,
                                          .visits_write_percent = 50,
                                          .visits_cut_permille = 100};
    struct model *model = model_create(&options);
    struct model_event event;
    uint8_t *here = calloc(PEOPLE, 1);
    uint64_t visits = 0, sends = 0, cuts = 0, there = 0, there_sum = 0;
    assert_non_null(model);
    for (unsigned i = 0; i < EVENTS; i++) {
        assert_true(model_next(model, &event));
        assert_int_equal(here[event.person], event.what != MODEL_RETURN);
        assert_int_equal(model_is_away(model, event.person), event.what == MODEL_LEAVE);
        cuts += event.what == MODEL_CUT;
        if (event.what == MODEL_RETURN || event.what == MODEL_LEAVE) {
            here[event.person] = event.what == MODEL_RETURN;
            there += event.what == MODEL_RETURN ? 1 : -1ull;
        }
        visits += event.what == MODEL_RETURN;
        sends += event.what == MODEL_SEND;
        there_sum += i >= EVENTS / 2 ? there : 0;
    }
    assert_in_range(there_sum / (EVENTS / 2), 450, 550);
    assert_in_range(sends * 100 / visits, 35, 60);  /* few are there to answer */
    assert_in_range(cuts * 1000 / visits, 60, 100); /* some have gone by then */
    /* A minute each: visits per second are visitors / 60. */
    assert_in_range(visits * 60000000000ull / event.at_ns, 450, 550);
    free(here);
    model_destroy(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_seed_gives_the_same_events),
        cmocka_unit_test(nobody_writes_to_themselves_and_who_is_away_does_not_write),
        cmocka_unit_test(rates_are_those_asked_for),
        cmocka_unit_test(contacts_are_few_for_most_and_many_for_some),
        cmocka_unit_test(two_people_write_to_each_other),
        cmocka_unit_test(silence_has_no_events),
        cmocka_unit_test(visitors_come_and_go_and_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What handlers take, estimated from samples: the clock is the test's, so the truth is known. */
#include "tests/unit/runtime/fixture.h"

#include <string.h>

enum { QUICK = ACTOR_KIND_FIRST, SLOW, UNKNOWN };
#define QUICK_NS 300u
#define SLOW_NS 40000u
#define ROUNDS 40000u

static void on_quick(void *state, struct message **message) {
    fixture_now_ns += QUICK_NS;
}
static void on_slow(void *state, struct message **message) {
    fixture_now_ns += SLOW_NS;
}
static const struct actor_handler handlers[] = {
    [QUICK] = {"quick", on_quick},
    [SLOW] = {"slow", on_slow},
};
static const struct actor_class worker_class = {
    .name = "worker", .handlers = handlers, .handler_count = SLOW + 1};
static const struct actor_class failing_class = {.name = "failing"};

struct seen {
    struct profile_kind kinds[8];
    unsigned count;
};

static void keep(void *context, const struct profile_kind *kind) {
    struct seen *seen = context;
    assert_true(seen->count < 8);
    seen->kinds[seen->count++] = *kind;
}

static const struct profile_kind *find(const struct seen *seen, const char *name) {
    for (unsigned i = 0; i < seen->count; i++)
        if (seen->kinds[i].kind_name && strcmp(seen->kinds[i].kind_name, name) == 0)
            return &seen->kinds[i];
    fail_msg("%s was not sampled", name);
    return NULL;
}

static void estimates_come_near_the_truth(void **state) {
    struct runtime *runtime = fixture_create(1);
    struct actor_id worker;
    assert_int_equal(actor_spawn(&worker_class, NULL, ACTOR_NOBODY, &worker), 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        fixture_send(worker, i % 10 ? QUICK : SLOW, 0);
        fixture_run(runtime);
    }
    struct seen seen = {.count = 0};
    runtime_profile_visit(runtime, keep, &seen);
    const struct profile_kind *quick = find(&seen, "quick"), *slow = find(&seen, "slow");
    /* 40,000 runs at a distance of 127.5 in the mean. */
    assert_in_range(quick->samples + slow->samples, 280, 350);
    assert_in_range(slow->samples, 15, 50);
    assert_int_equal(quick->sum_ns, quick->samples * QUICK_NS);
    assert_int_equal(slow->max_ns, SLOW_NS);
    assert_int_equal(profile_quantile_ns(slow, 0.5), SLOW_NS);
    assert_in_range(profile_quantile_ns(quick, 0.99), QUICK_NS, QUICK_NS);
    uint64_t truth_ns = (uint64_t)ROUNDS / 10 * (9 * QUICK_NS + SLOW_NS);
    uint64_t estimate_ns = fixture_class(runtime, "worker")->busy_ns;
    assert_in_range(estimate_ns, truth_ns / 2, truth_ns * 3 / 2);
    fixture_destroy(runtime);
}

static void kinds_without_a_handler_are_seen_as_such(void **state) {
    struct runtime *runtime = fixture_create(1);
    struct actor_id worker;
    assert_int_equal(actor_spawn(&failing_class, NULL, ACTOR_NOBODY, &worker), 0);
    for (unsigned i = 0; i < 1000; i++) {
        fixture_send(worker, UNKNOWN, 0);
        fixture_run(runtime);
    }
    struct seen seen = {.count = 0};
    runtime_profile_visit(runtime, keep, &seen);
    assert_int_equal(seen.count, 1);
    assert_null(seen.kinds[0].kind_name);
    assert_string_equal(seen.kinds[0].class_name, "failing");
    fixture_destroy(runtime);
}

static void every_duration_has_a_bucket_that_holds_it(void **state) {
    unsigned last = 0;
    for (uint64_t ns = 0; ns < (uint64_t)1 << 40; ns = ns * 9 / 8 + 1) {
        unsigned bucket = profile_bucket_of(ns);
        assert_true(bucket >= last && bucket < PROFILE_BUCKETS);
        assert_true(bucket == PROFILE_BUCKETS - 1 || ns < profile_bucket_end_ns(bucket));
        assert_true(bucket == 0 || ns >= profile_bucket_end_ns(bucket - 1));
        last = bucket;
    }
    assert_int_equal(last, PROFILE_BUCKETS - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(estimates_come_near_the_truth),
        cmocka_unit_test(kinds_without_a_handler_are_seen_as_such),
        cmocka_unit_test(every_duration_has_a_bucket_that_holds_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* When a shard rests, and until when. */
#include "runtime/rest_internal.h"
#include "tests/unit/runtime/fixture.h"

#define WAIT_NS 200000u
#define FOREVER UINT64_MAX

/* So many events come one by one, `gap_ns` apart, and each finds the shard with nothing to do. What
 * the last one is answered. */
static uint64_t feed(struct rest *rest, uint64_t *now_ns, unsigned events, uint64_t gap_ns) {
    uint64_t answer = 0;
    for (unsigned i = 0; i < events; i++) {
        *now_ns += gap_ns;
        rest->events++;
        answer = rest_ns(rest, *now_ns, FOREVER);
    }
    return answer;
}

static void node_with_little_to_do_never_rests(void **state) {
    struct rest rest = {.wait_ns = WAIT_NS};
    uint64_t now_ns = 1000000000;
    for (unsigned i = 0; i < 1000; i++) /* one event per wait */
        assert_int_equal(feed(&rest, &now_ns, 1, WAIT_NS), 0);
}

static void lone_message_and_what_it_sets_off_is_no_load(void **state) {
    struct rest rest = {.wait_ns = WAIT_NS};
    uint64_t now_ns = 1000000000;
    for (unsigned i = 0; i < 20; i++) {
        now_ns += 50000000;
        assert_int_equal(feed(&rest, &now_ns, 20, 10000), 0);
    }
}

static void shard_rests_while_events_come_fast(void **state) {
    struct rest rest = {.wait_ns = WAIT_NS};
    uint64_t now_ns = 1000000000;
    assert_int_not_equal(feed(&rest, &now_ns, 200, WAIT_NS / 6), 0);
    /* resting now: they are found several at once */
    for (unsigned i = 0; i < 100; i++) {
        now_ns += WAIT_NS;
        rest.events += 6;
        assert_int_not_equal(rest_ns(&rest, now_ns, FOREVER), 0);
    }
}

static void rests_end_when_the_load_has_gone(void **state) {
    struct rest rest = {.wait_ns = WAIT_NS};
    uint64_t now_ns = 1000000000;
    unsigned rests = 0;
    assert_int_not_equal(feed(&rest, &now_ns, 200, WAIT_NS / 6), 0);
    for (uint64_t ns = 1; ns != 0 && rests < 1000; rests++) {
        ns = rest_ns(&rest, now_ns, FOREVER);
        now_ns += ns;
    }
    assert_in_range(rests, 1, 2 * REST_MEMORY);
}

static void rest_is_no_longer_than_it_may_be(void **state) {
    struct rest rest = {.wait_ns = WAIT_NS, .phase_ns = 12345};
    uint64_t now_ns = 1000000000;
    feed(&rest, &now_ns, 200, WAIT_NS / 6);
    for (unsigned i = 0; i < 2000; i++) {
        uint64_t ns = feed(&rest, &now_ns, 1, 997);
        assert_in_range(ns, WAIT_NS / 10, WAIT_NS);
        assert_int_equal(rest_ns(&rest, now_ns, 1000), 1000); /* a timer is due */
    }
}

static void rests_end_on_a_grid(void **state) {
    struct rest rest = {.wait_ns = WAIT_NS};
    uint64_t now_ns = 1000000000, step_ns = WAIT_NS / 9 * 8;
    for (unsigned phase = 0; phase < 2; phase++) {
        rest.phase_ns = phase * 50000;
        for (unsigned i = 0; i < 500; i++) {
            uint64_t ns = feed(&rest, &now_ns, 1, 9973);
            assert_true(ns == 0 || (now_ns + ns + rest.phase_ns) % step_ns == 0);
        }
        assert_true(rest.resting);
    }
}

static void zero_means_never(void **state) {
    struct rest rest = {0};
    uint64_t now_ns = 1000000000;
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(feed(&rest, &now_ns, 1, 100), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(node_with_little_to_do_never_rests),
        cmocka_unit_test(lone_message_and_what_it_sets_off_is_no_load),
        cmocka_unit_test(shard_rests_while_events_come_fast),
        cmocka_unit_test(rests_end_when_the_load_has_gone),
        cmocka_unit_test(rest_is_no_longer_than_it_may_be),
        cmocka_unit_test(rests_end_on_a_grid),
        cmocka_unit_test(zero_means_never),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

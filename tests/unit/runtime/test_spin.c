/* SPDX-License-Identifier: Apache-2.0 */
/* When a shard spins before it sleeps, and for how long. */
#include "runtime/spin_internal.h"
#include "tests/unit/runtime/fixture.h"

/* A lane brings a message, its handler has woken another shard or not, and there is no more to do.
 * If it spins, it wins or loses. For how long it has spun, at most. */
static uint32_t turn(struct spin *spin, bool woke, bool wins) {
    spin->arrived++;
    spin->woke |= woke;
    uint32_t spin_ns = spin_begin(spin);
    if (spin_ns)
        spin_end(spin, wins);
    return spin_ns;
}

/* So many turns. How often it has spun. */
static unsigned turns(struct spin *spin, unsigned count, bool woke, bool wins) {
    unsigned spins = 0;
    while (count--)
        spins += turn(spin, woke, wins) != 0;
    return spins;
}

static void shard_whose_lanes_bring_nothing_never_spins(void **state) {
    struct spin spin = {.allowed = true};
    for (unsigned i = 0; i < 10000; i++) {
        spin.woke = i % 2;
        assert_int_equal(spin_begin(&spin), 0);
    }
    assert_int_equal(turn(&spin, false, true), SPIN_BRIEF_NS);
    assert_int_equal(spin_begin(&spin), 0); /* that one message has had its spin */
}

static void shard_without_a_processor_of_its_own_never_spins(void **state) {
    struct spin spin = {.allowed = false};
    assert_int_equal(turns(&spin, 10000, false, true), 0);
    assert_int_equal(turns(&spin, 10000, true, true), 0);
}

static void shard_that_wins_spins_each_time(void **state) {
    struct spin spin = {.allowed = true};
    assert_int_equal(turns(&spin, 10000, false, true), 10000);
}

static void shard_that_loses_spins_less_and_less(void **state) {
    struct spin spin = {.allowed = true};
    unsigned early = turns(&spin, 512, false, false), late;
    assert_in_range(early, SPIN_LOSSES_FREE + 1, 12);
    late = turns(&spin, 256 * (SPIN_BRIEF_SKIPS_MAX + 1), false, false);
    assert_in_range(late, 1, 257);
}

static void first_spin_that_is_won_ends_the_skipping(void **state) {
    struct spin spin = {.allowed = true};
    turns(&spin, 10000, false, false);
    assert_int_not_equal(turns(&spin, SPIN_BRIEF_SKIPS_MAX + 1, false, true), 0);
    assert_int_equal(turns(&spin, 100, false, true), 100);
}

/* What it wrote to must wake up first: a brief spin would be in vain. */
static void shard_that_woke_another_only_probes(void **state) {
    struct spin spin = {.allowed = true};
    unsigned probes = 0;
    for (unsigned i = 0; i < 64 * (SPIN_PROBE_SKIPS_MAX + 1); i++) {
        uint32_t spin_ns = turn(&spin, true, i % 2);
        assert_true(spin_ns == 0 || spin_ns == SPIN_PROBE_NS);
        probes += spin_ns != 0;
    }
    assert_in_range(probes, 2, 64 + 10);
}

/* Else a probe that finds the answer of a lone request would make the shard probe again and again.
 */
static void probe_is_worth_it_only_if_brief_spins_follow(void **state) {
    struct spin spin = {.allowed = true};
    turns(&spin, 100000, true, true);
    assert_in_range(turns(&spin, SPIN_PROBE_SKIPS_MAX, true, true), 0, 1);
    spin.probe.skips = 0;
    assert_int_equal(turn(&spin, true, true), SPIN_PROBE_NS);
    assert_int_equal(turns(&spin, SPIN_STREAK, false, true), SPIN_STREAK);
    assert_int_equal(turns(&spin, SPIN_LOSSES_FREE, true, true), SPIN_LOSSES_FREE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shard_whose_lanes_bring_nothing_never_spins),
        cmocka_unit_test(shard_without_a_processor_of_its_own_never_spins),
        cmocka_unit_test(shard_that_wins_spins_each_time),
        cmocka_unit_test(shard_that_loses_spins_less_and_less),
        cmocka_unit_test(first_spin_that_is_won_ends_the_skipping),
        cmocka_unit_test(shard_that_woke_another_only_probes),
        cmocka_unit_test(probe_is_worth_it_only_if_brief_spins_follow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What crash records blame: input that was not stored, and who is refused for it. */
#include "tests/unit/actors/quarantine_fixture.h"

static const uint8_t key[32] = {0xab, 1}, other_key[32] = {0xab, 2};
static const uint8_t home[16] = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 1};
static const uint8_t abroad[16] = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 2};

static void blame_input(struct quarantine_input input) {
    char line[CRASH_BLAME_BYTES_MAX] = "";
    quarantine_describe_input(&input, line, sizeof(line) - 1);
    crashes_blame(line);
}

static uint32_t refused(const struct quarantine *quarantine, uint64_t user, uint32_t device,
                        const uint8_t *with_key, const uint8_t *address) {
    uint32_t left = quarantine_refuses_key(quarantine, with_key, crashes_now.monotonic_ms);
    const struct device_address who = {user, device};
    return left ? left
                : quarantine_refuses_device(quarantine, who, address, crashes_now.monotonic_ms);
}

static void a_devices_input_refuses_the_device_alone(void **state) {
    blame_input((struct quarantine_input){{ANN, 1}, key, home, false});
    assert_null(crashes_read());
    blame_input((struct quarantine_input){{ANN, 1}, NULL, NULL, false}); /* by its mailbox */
    struct quarantine *quarantine = crashes_read();
    assert_int_equal(quarantine_refusals(quarantine), 1);
    assert_string_equal(quarantine_refusal(quarantine, 0), "device=100/1");
    assert_true(refused(quarantine, ANN, 1, key, abroad) > 0);
    assert_int_equal(refused(quarantine, ANN, 2, key, home), 0);
    assert_int_equal(refused(quarantine, EVE, 1, key, home), 0);
    assert_int_equal(refused(quarantine, 0, 0, key, home), 0);
    assert_int_equal(quarantine_refuses_address(quarantine, home, crashes_now.monotonic_ms), 0);
    assert_int_equal(quarantine_mails(quarantine), 0);
    quarantine_destroy(quarantine);
}

static void a_strangers_input_refuses_its_key_alone(void **state) {
    for (unsigned i = 0; i < 3; i++)
        blame_input((struct quarantine_input){{0, 0}, key, home, false});
    struct quarantine *quarantine = crashes_read();
    assert_int_equal(quarantine_refusals(quarantine), 1);
    assert_true(refused(quarantine, 0, 0, key, abroad) > 0);
    assert_int_equal(refused(quarantine, 0, 0, other_key, home), 0);
    assert_int_equal(quarantine_refuses_address(quarantine, home, crashes_now.monotonic_ms), 0);
    quarantine_destroy(quarantine);
}

static void a_new_key_for_each_crash_refuses_strangers_at_the_address(void **state) {
    static const uint8_t third_key[32] = {3};
    blame_input((struct quarantine_input){{0, 0}, key, home, false});
    blame_input((struct quarantine_input){{0, 0}, other_key, home, false});
    struct quarantine *quarantine = crashes_read();
    assert_true(refused(quarantine, 0, 0, third_key, home) > 0);
    assert_int_equal(refused(quarantine, 0, 0, third_key, abroad), 0);
    /* Those who have an account come in, from there too. */
    assert_int_equal(refused(quarantine, ANN, 1, third_key, home), 0);
    assert_int_equal(quarantine_refuses_address(quarantine, home, crashes_now.monotonic_ms), 0);
    quarantine_destroy(quarantine);
}

static void what_comes_before_the_account_refuses_its_key_then_its_address(void **state) {
    for (unsigned i = 0; i < 2; i++)
        blame_input((struct quarantine_input){{0, 0}, key, home, true});
    struct quarantine *quarantine = crashes_read();
    assert_true(refused(quarantine, ANN, 1, key, abroad) > 0); /* it is the key, whoever has it */
    assert_int_equal(quarantine_refuses_address(quarantine, home, crashes_now.monotonic_ms), 0);
    quarantine_destroy(quarantine);
    blame_input((struct quarantine_input){{0, 0}, other_key, home, true});
    quarantine = crashes_read();
    assert_true(quarantine_refuses_address(quarantine, home, crashes_now.monotonic_ms) > 0);
    quarantine_destroy(quarantine);
}

static void what_comes_before_any_key_refuses_its_address(void **state) {
    static const uint8_t network[16] = {0x20, 1, 0xd, 0xb8, 0, 1, 0, 2, 9};
    static const uint8_t neighbour[16] = {0x20, 1, 0xd, 0xb8, 0, 1, 0, 2, 8};
    static const uint8_t elsewhere[16] = {0x20, 1, 0xd, 0xb8, 0, 1, 0, 3, 9};
    for (unsigned i = 0; i < 2; i++) {
        blame_input((struct quarantine_input){{0, 0}, NULL, home, false});
        blame_input((struct quarantine_input){{0, 0}, NULL, network, false});
    }
    struct quarantine *quarantine = crashes_read();
    assert_true(quarantine_refuses_address(quarantine, home, crashes_now.monotonic_ms) > 0);
    assert_int_equal(quarantine_refuses_address(quarantine, abroad, crashes_now.monotonic_ms), 0);
    assert_true(quarantine_refuses_address(quarantine, neighbour, crashes_now.monotonic_ms) > 0);
    assert_int_equal(quarantine_refuses_address(quarantine, elsewhere, crashes_now.monotonic_ms),
                     0);
    quarantine_destroy(quarantine);
}

static void a_refusal_ends_ten_minutes_after_the_last_crash(void **state) {
    blame_input((struct quarantine_input){{ANN, 1}, key, home, false}); /* 00:00:00 */
    blame_input((struct quarantine_input){{ANN, 1}, key, home, false}); /* 00:00:01 */
    struct quarantine *quarantine = crashes_read();                     /* 00:01:00 */
    const struct device_address who = {ANN, 1};
    assert_int_equal(refused(quarantine, ANN, 1, key, home), 541000);
    assert_int_equal(
        quarantine_refuses_device(quarantine, who, home, crashes_now.monotonic_ms + 540999), 1);
    assert_int_equal(
        quarantine_refuses_device(quarantine, who, home, crashes_now.monotonic_ms + 541000), 0);
    quarantine_destroy(quarantine);
    struct quarantine_now late = {crashes_now.wall_ms + 541000, 1};
    assert_null(quarantine_read(crashes_directory, late));
    struct quarantine_now early = {crashes_now.wall_ms - 86400000, 1}; /* the clock was set back */
    quarantine = quarantine_read(crashes_directory, early);
    assert_int_equal(quarantine_refuses_device(quarantine, who, home, 1), QUARANTINE_REFUSED_MS);
    quarantine_destroy(quarantine);
    quarantine_destroy(NULL);
    assert_int_equal(quarantine_refuses_device(NULL, who, home, 1), 0);
    assert_int_equal(quarantine_refuses_address(NULL, home, 1), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CRASHES_TEST(a_devices_input_refuses_the_device_alone),
        CRASHES_TEST(a_strangers_input_refuses_its_key_alone),
        CRASHES_TEST(a_new_key_for_each_crash_refuses_strangers_at_the_address),
        CRASHES_TEST(what_comes_before_the_account_refuses_its_key_then_its_address),
        CRASHES_TEST(what_comes_before_any_key_refuses_its_address),
        CRASHES_TEST(a_refusal_ends_ten_minutes_after_the_last_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/address_limits.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct address_limits_options options = {
    .connections_max = 1000, .per_address_max = 3, .accepts_per_second = 5, .secret = "secret"};

static void make_address(uint8_t address[ADDRESS_BYTES], uint8_t last) {
    struct socket_address socket = {.family = AF_INET, .bytes = {192, 0, 2, last}};
    address_of_socket(&socket, address);
}

static void ipv4_is_mapped_into_ipv6(void **state) {
    static const uint8_t mapped[ADDRESS_BYTES] = {[10] = 0xff, 0xff, 192, 0, 2, 7};
    uint8_t address[ADDRESS_BYTES];
    make_address(address, 7);
    assert_memory_equal(address, mapped, sizeof(mapped));
}

static void address_has_so_many_connections_and_others_are_free(void **state) {
    struct address_limits *limits = address_limits_create(&options);
    uint8_t one[ADDRESS_BYTES], other[ADDRESS_BYTES];
    make_address(one, 1);
    make_address(other, 2);
    for (int i = 0; i < 3; i++)
        assert_int_equal(address_limits_enter(limits, one, 1000 * (uint64_t)i), ADDRESS_ALLOWED);
    assert_int_equal(address_limits_enter(limits, one, 9000), ADDRESS_TOO_MANY);
    assert_int_equal(address_limits_enter(limits, other, 9000), ADDRESS_ALLOWED);
    address_limits_leave(limits, one);
    assert_int_equal(address_limits_enter(limits, one, 10000), ADDRESS_ALLOWED);
    assert_int_equal(address_limits_enter(limits, one, 11000), ADDRESS_TOO_MANY);
    address_limits_destroy(limits);
}

static void address_makes_them_only_so_fast(void **state) {
    struct address_limits *limits = address_limits_create(&options);
    uint8_t address[ADDRESS_BYTES];
    make_address(address, 1);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(address_limits_enter(limits, address, 1000), ADDRESS_ALLOWED);
        address_limits_leave(limits, address);
    }
    assert_int_equal(address_limits_enter(limits, address, 1999), ADDRESS_TOO_FAST);
    assert_int_equal(address_limits_enter(limits, address, 2000), ADDRESS_ALLOWED);
    address_limits_destroy(limits);
}

static void ipv6_counts_by_its_network(void **state) {
    struct address_limits *limits = address_limits_create(&options);
    uint8_t address[ADDRESS_BYTES] = {0x20, 0x01, 0x0d, 0xb8};
    for (uint8_t i = 0; i < 3; i++) {
        address[15] = i;
        assert_int_equal(address_limits_enter(limits, address, 0), ADDRESS_ALLOWED);
    }
    address[15] = 99;
    assert_int_equal(address_limits_enter(limits, address, 0), ADDRESS_TOO_MANY);
    address[7] = 1; /* another /64 */
    assert_int_equal(address_limits_enter(limits, address, 0), ADDRESS_ALLOWED);
    address_limits_destroy(limits);
}

static void no_limits_allow_everything(void **state) {
    uint8_t address[ADDRESS_BYTES];
    make_address(address, 1);
    for (int i = 0; i < 100; i++)
        assert_int_equal(address_limits_enter(NULL, address, 0), ADDRESS_ALLOWED);
    address_limits_leave(NULL, address);
}

static void many_addresses_do_not_crowd_out_one(void **state) {
    struct address_limits *limits = address_limits_create(&options);
    uint8_t address[ADDRESS_BYTES] = {[10] = 0xff, 0xff, 10};
    unsigned refused = 0;
    for (unsigned i = 0; i < 1000; i++) { /* as many as the node may have, one each */
        address[14] = (uint8_t)(i >> 8);
        address[15] = (uint8_t)i;
        refused += address_limits_enter(limits, address, i * 1000ull) != ADDRESS_ALLOWED;
    }
    assert_true(refused < 10);
    address_limits_destroy(limits);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ipv4_is_mapped_into_ipv6),
        cmocka_unit_test(address_has_so_many_connections_and_others_are_free),
        cmocka_unit_test(address_makes_them_only_so_fast),
        cmocka_unit_test(ipv6_counts_by_its_network),
        cmocka_unit_test(no_limits_allow_everything),
        cmocka_unit_test(many_addresses_do_not_crowd_out_one),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}

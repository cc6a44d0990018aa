/* SPDX-License-Identifier: Apache-2.0 */
/* Headers of the PROXY protocol, as HAProxy writes them and as nobody should. */
#include "net/proxy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define SIGNATURE_BYTES 12
#define IPV4 "\xc0\x00\x02\x07\x7f\x00\x00\x01\xd4\x31\x1e\x14" /* 192.0.2.7:54321 to 127.0.0.1 */
#define IPV6_FROM "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x09"

static uint8_t bytes[4096];
static size_t length;

static void begin(uint8_t command, uint8_t family, uint16_t rest) {
    const uint8_t fixed[] = {command, family, (uint8_t)(rest >> 8), (uint8_t)rest};
    memset(bytes, 0, sizeof bytes);
    memcpy(bytes, SIGNATURE, SIGNATURE_BYTES);
    memcpy(bytes + SIGNATURE_BYTES, fixed, sizeof fixed);
    length = 16;
}

static void put(const void *what, size_t count) {
    memcpy(bytes + length, what, count);
    length += count;
}

static struct proxy_header header;

static void ipv4_client_is_named(void **state) {
    static const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2, [15] = 7};
    begin(0x21, 0x11, 12);
    put(IPV4, 12);
    put("GET", 3);
    assert_int_equal(proxy_parse(bytes, length, &header), PARSE_COMPLETE);
    assert_int_equal(header.bytes, 28);
    assert_true(header.has_address);
    assert_memory_equal(header.address, mapped, 16);
    assert_int_equal(header.port, 54321);
}

static void ipv6_client_is_named(void **state) {
    begin(0x21, 0x21, 36);
    put(IPV6_FROM, 16);
    put(IPV6_FROM, 16);
    put("\x01\x02\x03\x04", 4);
    assert_int_equal(proxy_parse(bytes, length, &header), PARSE_COMPLETE);
    assert_true(header.has_address);
    assert_memory_equal(header.address, IPV6_FROM, 16);
    assert_int_equal(header.port, 0x0102);
}

static void health_check_of_the_proxy_has_no_address(void **state) {
    begin(0x20, 0x00, 0);
    assert_int_equal(proxy_parse(bytes, length, &header), PARSE_COMPLETE);
    assert_int_equal(header.bytes, 16);
    assert_false(header.has_address);
    begin(0x20, 0x77, 3); /* whatever family it says */
    put("abc", 3);
    assert_int_equal(proxy_parse(bytes, length, &header), PARSE_COMPLETE);
    assert_false(header.has_address);
}

static void client_of_a_unix_socket_has_no_address(void **state) {
    begin(0x21, 0x31, 216);
    length += 216;
    assert_int_equal(proxy_parse(bytes, length, &header), PARSE_COMPLETE);
    assert_false(header.has_address);
}

static void extensions_are_skipped(void **state) {
    begin(0x21, 0x11, 12 + 7);
    put(IPV4, 12);
    put("\x01\x00\x04host", 7);
    assert_int_equal(proxy_parse(bytes, length, &header), PARSE_COMPLETE);
    assert_int_equal(header.bytes, 35);
}

static void every_beginning_wants_more(void **state) {
    begin(0x21, 0x11, 12);
    put(IPV4, 12);
    for (size_t cut = 0; cut < length; cut++)
        assert_int_equal(proxy_parse(bytes, cut, &header), PARSE_MORE);
}

static void first_wrong_byte_is_seen(void **state) {
    for (size_t at = 0; at < SIGNATURE_BYTES; at++) {
        begin(0x21, 0x11, 12);
        bytes[at] ^= 0x20;
        assert_int_equal(proxy_parse(bytes, at, &header), PARSE_MORE);
        assert_int_equal(proxy_parse(bytes, at + 1, &header), PARSE_JUNK);
    }
}

static void other_versions_commands_and_families_are_junk(void **state) {
    static const uint8_t commands[] = {0x11, 0x31, 0x22, 0x2f, 0x00};
    static const uint8_t families[] = {0x01, 0x10, 0x12, 0x22, 0x32, 0x41, 0xff};
    for (unsigned i = 0; i < sizeof commands; i++) {
        begin(commands[i], 0x11, 12);
        assert_int_equal(proxy_parse(bytes, 13, &header), PARSE_JUNK);
    }
    for (unsigned i = 0; i < sizeof families; i++) {
        begin(0x21, families[i], 216);
        assert_int_equal(proxy_parse(bytes, 14, &header), PARSE_JUNK);
    }
}

static void addresses_that_do_not_fit_are_junk(void **state) {
    begin(0x21, 0x11, 11);
    assert_int_equal(proxy_parse(bytes, length, &header), PARSE_JUNK);
    begin(0x21, 0x21, 35);
    assert_int_equal(proxy_parse(bytes, length, &header), PARSE_JUNK);
    begin(0x21, 0x31, 215);
    assert_int_equal(proxy_parse(bytes, length, &header), PARSE_JUNK);
}

static void length_beyond_the_bound_is_refused_at_once(void **state) {
    begin(0x21, 0x11, PROXY_HEADER_BYTES_MAX - 16);
    assert_int_equal(proxy_parse(bytes, length, &header), PARSE_MORE);
    begin(0x21, 0x11, PROXY_HEADER_BYTES_MAX - 15);
    assert_int_equal(proxy_parse(bytes, length, &header), PARSE_TOO_BIG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ipv4_client_is_named),
        cmocka_unit_test(ipv6_client_is_named),
        cmocka_unit_test(health_check_of_the_proxy_has_no_address),
        cmocka_unit_test(client_of_a_unix_socket_has_no_address),
        cmocka_unit_test(extensions_are_skipped),
        cmocka_unit_test(every_beginning_wants_more),
        cmocka_unit_test(first_wrong_byte_is_seen),
        cmocka_unit_test(other_versions_commands_and_families_are_junk),
        cmocka_unit_test(addresses_that_do_not_fit_are_junk),
        cmocka_unit_test(length_beyond_the_bound_is_refused_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

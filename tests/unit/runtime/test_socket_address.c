/* SPDX-License-Identifier: Apache-2.0 */
/* Numeric addresses as text: what is taken, what it means, and what is refused. */
#include "runtime/socket_internal.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define PORT 7700

static void address_text_is_read_and_written(void **state) {
    static const struct {
        const char *text, *written;
    } cases[] = {
        {"127.0.0.1:80", "127.0.0.1:80"},
        {"127.0.0.1", "127.0.0.1:7700"},
        {"0.0.0.0:0", "0.0.0.0:0"},
        {"[::1]:65535", "[::1]:65535"},
        {"[::1]", "[::1]:7700"},
        {"::1", "[::1]:7700"},
        {"[fe80::1%3]:9", "[fe80::1%3]:9"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct socket_address address;
        char text[80];

        assert_int_equal(socket_address_parse(cases[i].text, PORT, &address), 0);
        assert_int_equal(socket_address_format(&address, text, sizeof text),
                         strlen(cases[i].written));
        assert_string_equal(text, cases[i].written);
    }
}

static void address_text_that_is_no_address_is_refused(void **state) {
    static const char *const cases[] = {
        "",
        ":80",
        "localhost:80",
        "1.2.3.4:",
        "1.2.3.4:65536",
        "1.2.3.4:+5",
        "1.2.3.4: 5",
        "1.2.3",
        "[::1",
        "[::1]x",
        "[]:80",
        "[1.2.3.4]:80",
        "fe80::1%",
        "[::1]:99999999999999999999",
        "1111111111111111111111111111111111111111111111111111111111111111111111111111111111",
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct socket_address address = {.port = 1};

        assert_int_equal(socket_address_parse(cases[i], PORT, &address), -EINVAL);
        assert_int_equal(address.port, 1); /* untouched on failure */
    }
}

static void address_survives_the_kernels_form(void **state) {
    static const char *const cases[] = {"192.0.2.7:1234", "[2001:db8::5%2]:443"};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct socket_address before, after;
        union socket_kernel_address kernel;

        assert_int_equal(socket_address_parse(cases[i], PORT, &before), 0);
        assert_true(socket_address_to_kernel(&before, &kernel) > 0);
        socket_address_from_kernel(&kernel, &after);
        assert_memory_equal(&before, &after, sizeof before);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(address_text_is_read_and_written),
        cmocka_unit_test(address_text_that_is_no_address_is_refused),
        cmocka_unit_test(address_survives_the_kernels_form),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

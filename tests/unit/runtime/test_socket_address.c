/* SPDX-License-Identifier: Apache-2.0 */
/* Numeric addresses as text: what is taken, what it means, and what is refused; and sockets that
 * are bound to one. */
#include "runtime/socket_internal.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

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

/* Listens on a port of its own; where, is in *address. */
static int listen_somewhere(struct socket_address *address) {
    union socket_kernel_address kernel = {.any = {.sa_family = AF_INET}};
    socklen_t length = sizeof kernel.ipv4;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    kernel.ipv4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, &kernel.any, length), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, &kernel.any, &length), 0);
    socket_address_from_kernel(&kernel, address);
    return fd;
}

static int connect_bound(const struct socket_address *peer, const struct socket_address *local) {
    union socket_kernel_address kernel;
    socklen_t length = socket_address_to_kernel(peer, &kernel);
    int fd = socket_open_bound(peer, local);

    if (fd >= 0)
        assert_int_equal(connect(fd, &kernel.any, length), 0);
    return fd;
}

static void connections_to_two_peers_may_share_a_port_that_a_listener_may_not(void **state) {
    struct socket_address first, second, local;
    int first_fd = listen_somewhere(&first), second_fd = listen_somewhere(&second);
    int fds[2];

    close(listen_somewhere(&local)); /* a port that is free */
    fds[0] = connect_bound(&first, &local);
    fds[1] = connect_bound(&second, &local);
    assert_true(fds[0] >= 0 && fds[1] >= 0);
    assert_int_equal(socket_open_bound(&first, &second), -EADDRINUSE);
    close(fds[0]);
    close(fds[1]);
    close(first_fd);
    close(second_fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(address_text_is_read_and_written),
        cmocka_unit_test(address_text_that_is_no_address_is_refused),
        cmocka_unit_test(address_survives_the_kernels_form),
        cmocka_unit_test(connections_to_two_peers_may_share_a_port_that_a_listener_may_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets through actors: a real runtime of one shard on each of the real reactors, real clients on
 * loopback. What io_uring alone does is in test_socket_rings.c. */
#include "tests/unit/runtime/fixture.h"
#include "tests/unit/runtime/socket_peer.h"

#include "runtime/socket_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB (1u << 20)

static void accept_reports_each_peers_own_address(void **state) {
    enum { CLIENTS = 40 };
    struct scene scene = {0};
    int fds[CLIENTS];

    scene_start(&scene);
    for (int i = 0; i < CLIENTS; i++) {
        char from[32];
        snprintf(from, sizeof from, "127.0.1.%d", i + 1);
        fds[i] = client_connect(&scene, from);
    }
    for (int i = 0; i < CLIENTS; i++)
        client_write(fds[i], "A", 1);
    for (int i = 0; i < CLIENTS; i++) {
        char want[32], got[64] = {0};
        snprintf(want, sizeof want, "127.0.1.%d:", i + 1);
        client_read(fds[i], got, strlen(want));
        assert_string_equal(got, want);
        close(fds[i]);
    }
    wait_until_none_is_open(&scene);
    scene_stop(&scene);
}

static void echo_serves_thousands_of_connections(void **state) {
    enum { CLIENTS = 3000 };
    struct scene scene = {0};
    int *fds = calloc(CLIENTS, sizeof *fds);

    scene_start(&scene);
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = client_connect(&scene, NULL);
    for (unsigned round = 0; round < 3; round++) {
        for (int i = 0; i < CLIENTS; i++) {
            char text[16];
            int length = snprintf(text, sizeof text, "%s%d.%u", round == 0 ? "E" : "", i, round);
            client_write(fds[i], text, (size_t)length);
        }
        for (int i = 0; i < CLIENTS; i++) {
            char want[16], got[16];
            int length = snprintf(want, sizeof want, "%d.%u", i, round);
            client_read(fds[i], got, (size_t)length);
            assert_memory_equal(got, want, (size_t)length);
        }
    }
    assert_int_equal(scene.accepted, CLIENTS);
    for (int i = 0; i < CLIENTS; i++)
        close(fds[i]);
    wait_until_none_is_open(&scene);
    assert_int_equal(scene.closed, CLIENTS);
    free(fds);
    scene_stop(&scene);
}

/* More messages than the reactor has buffers: receives starve, however many they are, try nothing
 * meanwhile, and go on when buffers come back. */
static void receives_go_on_when_buffers_ran_out(void **state) {
    enum { CLIENTS = 6000, SLOW_TURNS = 300 };
    struct scene scene = {0};
    int *fds = calloc(CLIENTS, sizeof *fds);

    scene_start(&scene);
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = client_connect(&scene, NULL);
        client_write(fds[i], "W", 1);
    }
    while (scene.data_events < CLIENTS)
        usleep(1000);
    for (int i = 0; i < CLIENTS; i++)
        client_write(fds[i], &i, sizeof i);
    while (scene.data_events < CLIENTS + SLOW_TURNS) /* while most of them starve */
        usleep(1000);
    /* Each has found no buffer once at the most, however often the reactor was polled. */
    assert_in_range(fixture_event(scene.runtime, "receive_starved"), 1, CLIENTS);
    for (int i = 0; i < CLIENTS; i += 10) /* some that are served, some that starve */
        close(fds[i]);
    scene.resume = 1;
    for (int i = 0; i < CLIENTS; i++) {
        int got = -1;
        if (i % 10 == 0)
            continue;
        client_read(fds[i], &got, sizeof got);
        assert_int_equal(got, i);
        close(fds[i]);
    }
    wait_until_none_is_open(&scene);
    free(fds);
    scene_stop(&scene);
}

static void large_output_reaches_a_slow_reader_in_order(void **state) {
    const uint64_t total = 20ull * MIB;
    const int window = 16384;
    struct scene scene = {0};
    uint8_t *bytes = malloc(MIB);
    uint64_t position = 0;
    ssize_t got;
    int fd;

    scene_start(&scene);
    fd = client_connect(&scene, NULL);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &window, sizeof window);
    client_write(fd, "S\x14", 2);
    while ((got = recv(fd, bytes, MIB, 0)) > 0) {
        for (ssize_t i = 0; i < got; i++)
            if (bytes[i] != pattern_at(position + (uint64_t)i))
                fail_msg("wrong byte at %llu", (unsigned long long)position + (uint64_t)i);
        position += (uint64_t)got;
        if (position % 7 == 0)
            usleep(1000);
    }
    assert_int_equal(got, 0);
    assert_int_equal(position, total);
    close(fd);
    free(bytes);
    scene_stop(&scene);
}

static void large_input_arrives_whole_and_a_half_closed_peer_is_answered(void **state) {
    const size_t total = 12 * MIB;
    struct scene scene = {0};
    uint8_t *bytes = pattern(total);
    uint64_t counted = 0;
    int fd;

    scene_start(&scene);
    fd = client_connect(&scene, NULL);
    client_write(fd, "R", 1);
    client_write(fd, bytes, total);
    shutdown(fd, SHUT_WR);
    client_read(fd, &counted, sizeof counted);
    assert_int_equal(counted, total);
    assert_int_equal(client_read_end(fd), 0);
    close(fd);
    free(bytes);
    scene_stop(&scene);
}

/* The end arrives while a send is in flight and more was gathered behind it. */
static void half_closed_peer_gets_what_was_gathered(void **state) {
    const size_t total = MIB / 2;
    const int window = 16384;
    struct scene scene = {0};
    uint8_t *bytes = pattern(total), *got = malloc(total);
    int fd;

    scene_start(&scene);
    fd = client_connect(&scene, NULL);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &window, sizeof window);
    client_write(fd, "E", 1);
    client_write(fd, bytes, total);
    shutdown(fd, SHUT_WR);
    client_read(fd, got, total);
    assert_memory_equal(got, bytes, total);
    assert_int_equal(client_read_end(fd), 0);
    assert_int_equal(scene.closed, 1);
    assert_int_equal(scene.error, 0);
    close(fd);
    free(bytes);
    free(got);
    wait_until_none_is_open(&scene);
    scene_stop(&scene);
}

static void pause_holds_the_sender_back(void **state) {
    const size_t total = 32 * MIB;
    struct scene scene = {0};
    uint8_t *bytes = pattern(total);
    uint64_t counted = 0, while_paused;
    size_t written = 0;
    ssize_t n;
    int fd, idle = 0;

    scene_start(&scene);
    fd = client_connect(&scene, NULL);
    client_write(fd, "P", 1);
    while (scene.data_events == 0)
        usleep(1000);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    while (idle < 50) { /* until the kernel's buffers are full for 50 ms */
        n = send(fd, bytes + written, total - written, MSG_NOSIGNAL);
        written += n > 0 ? (size_t)n : 0;
        idle = n > 0 ? 0 : idle + 1;
        if (n <= 0)
            usleep(1000);
    }
    while_paused = scene.received;
    assert_true(written < total); /* it was held back */
    usleep(20000);
    assert_int_equal(scene.received, while_paused);
    scene.resume = 1;
    fcntl(fd, F_SETFL, 0);
    client_write(fd, bytes + written, total - written);
    shutdown(fd, SHUT_WR);
    client_read(fd, &counted, sizeof counted);
    assert_int_equal(counted, total);
    close(fd);
    free(bytes);
    scene_stop(&scene);
}

static void failed_owner_leaks_no_bytes_of_others(void **state) {
    struct scene scene = {0};
    uint8_t *bytes = malloc(MIB);
    const int window = 65536; /* so that 1 MiB does not fit into the kernel's buffers */
    int fds[8];

    scene_start(&scene);
    for (int i = 0; i < 8; i++) {
        fds[i] = client_connect(&scene, NULL);
        setsockopt(fds[i], SOL_SOCKET, SO_RCVBUF, &window, sizeof window);
    }
    for (int i = 0; i < 8; i++) {
        client_write(fds[i], i % 2 == 0 ? "F" : "B", 1);
        while (scene.data_events <= (unsigned)i)
            usleep(1000);
    }
    for (int i = 0; i < 8; i++) {
        client_read(fds[i], bytes, MIB);
        for (unsigned k = 0; k < MIB; k++)
            if (bytes[k] != (i % 2 == 0 ? 'F' : 'B'))
                fail_msg("client %d got a byte %d at %u", i, bytes[k], k);
        if (i % 2 == 0)
            assert_int_equal(client_read_end(fds[i]), 0); /* what was in flight, then the end */
        close(fds[i]);
    }
    free(bytes);
    wait_until_none_is_open(&scene);
    scene_stop(&scene);
}

static void close_sends_what_is_in_flight_although_more_arrives(void **state) {
    struct scene scene = {0};
    uint8_t *bytes = malloc(65536);
    const int window = 16384;
    int fd;

    scene_start(&scene);
    fd = client_connect(&scene, NULL);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &window,
               sizeof window); /* so that some is not here yet */
    client_write(fd, "C", 1);
    while (scene.data_events == 0)
        usleep(1000);
    client_write(fd, bytes, 30000); /* nobody will read it; a reset would destroy the answer */
    usleep(10000);
    client_read(fd, bytes, 65536);
    for (unsigned i = 0; i < 65536; i++)
        assert_int_equal(bytes[i], pattern_at(i));
    assert_int_equal(client_read_end(fd), 0);
    close(fd);
    free(bytes);
    wait_until_none_is_open(&scene);
    scene_stop(&scene);
}

static void abort_resets(void **state) {
    struct scene scene = {0};
    int fd;

    scene_start(&scene);
    fd = client_connect(&scene, NULL);
    client_write(fd, "X", 1);
    assert_int_equal(client_read_end(fd), ECONNRESET);
    close(fd);
    wait_until_none_is_open(&scene);
    scene_stop(&scene);
}

/* Takes the 5 s that a close may last. */
static void peers_that_never_read_hold_up_nobody_and_are_reset(void **state) {
    enum { CLIENTS = 5 };
    struct scene scene = {0};
    const int window = 4096;
    uint8_t *bytes = malloc(MIB);
    ssize_t got;
    int fds[CLIENTS], other;

    scene_start(&scene);
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = client_connect(&scene, NULL);
        setsockopt(fds[i], SOL_SOCKET, SO_RCVBUF, &window, sizeof window);
        client_write(fds[i], "G", 1);
    }
    while (scene.data_events < CLIENTS)
        usleep(1000);
    while (scene.stuck < CLIENTS)
        usleep(1000);
    other = client_connect(&scene, NULL); /* is not held up: served and told the end meanwhile */
    client_write(other, "C", 1);
    client_read(other, bytes, 65536);
    assert_int_equal(client_read_end(other), 0);
    close(other);
    assert_in_range(open_sockets(&scene), CLIENTS, CLIENTS + 1);
    scene.resume = 1; /* until now nobody was given up */
    wait_until_none_is_open(&scene);
    for (int i = 0; i < CLIENTS; i++) {
        do
            got = recv(fds[i], bytes, MIB, 0);
        while (got > 0);
        assert_int_equal(got, -1);
        assert_int_equal(errno, ECONNRESET);
        close(fds[i]);
    }
    free(bytes);
    scene_stop(&scene);
}

static void socket_that_nobody_owns_is_closed(void **state) {
    struct scene scene = {.outstanding = 1, .owns = false};
    int fd;

    scene_start_with(&scene, &listener_class);
    for (unsigned i = 0; i < 3; i++) {
        fd = client_connect(&scene, NULL);
        assert_int_equal(client_read_end(fd), 0);
        close(fd);
    }
    wait_until_none_is_open(&scene);
    assert_int_equal(scene.accepted, 3);
    scene_stop(&scene);
}

static void peers_reset_is_told_with_its_error(void **state) {
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    struct scene scene = {0};
    int fd;

    scene_start(&scene);
    fd = client_connect(&scene, NULL);
    client_write(fd, "D", 1);
    while (scene.data_events == 0)
        usleep(1000);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
    while (scene.closed == 0)
        usleep(1000);
    assert_int_equal(scene.error, -ECONNRESET);
    wait_until_none_is_open(&scene);
    scene_stop(&scene);
}

static void send_refuses_a_second_one_and_what_is_not_the_callers(void **state) {
    struct scene scene = {0};
    char want[64], got[64];
    int first, fd, length;

    scene_start(&scene);
    first = client_connect(&scene, NULL);
    client_write(first, "E1", 2);
    client_read(first, got, 1);
    fd = client_connect(&scene, NULL);
    client_write(fd, "2", 1);
    length = snprintf(want, sizeof want, "----------%d %d %d", -EBUSY, -EPIPE, -EPIPE);
    client_read(fd, got, (size_t)length);
    assert_memory_equal(got, want, (size_t)length);
    client_write(first, "2", 1); /* the other's abort did nothing */
    client_read(first, got, 1);
    assert_int_equal(got[0], '2');
    close(first);
    close(fd);
    scene_stop(&scene);
}

static void listener_that_failed_accepts_again(void **state) {
    struct scene scene = {.fails_at = 3};
    int fds[6];

    scene_start(&scene);
    for (int i = 0; i < 6; i++) {
        fds[i] = client_connect(&scene, NULL);
        client_write(fds[i], "E", 1);
        if (i == 2) /* it failed with this one in its hands */
            assert_int_not_equal(client_read_end(fds[i]), -1);
        else
            say_and_hear(fds[i], "hello");
    }
    for (int i = 0; i < 6; i++) {
        if (i != 2)
            say_and_hear(fds[i], "still");
        close(fds[i]);
    }
    wait_until_none_is_open(&scene);
    scene_stop(&scene);
}

/* --- connecting ------------------------------------------------------------------------------ */

static int caller_init(void *state, const void *argument) {
    struct scene *scene = actor_context();
    struct socket_id socket;

    return socket_connect(&scene->connect_to, NULL, &socket);
}

static void caller_on_connected(void *state, struct message **message) {
    const struct socket_connected *connected = message_as(*message, struct socket_connected);
    struct scene *scene = actor_context();

    if (connected->error == 0) {
        struct socket_buffer *buffer = socket_buffer_create(5);
        memcpy(socket_buffer_bytes(buffer), "hello", 5);
        actor_ensure(socket_send(connected->socket, &buffer, 0, 5) == 0, 1);
    }
    scene->connected = connected->error == 0 ? 1 : connected->error;
}

static const struct actor_handler caller_handlers[] = {
    [SOCKET_CONNECTED] = {"connected", caller_on_connected},
};
static const struct actor_class caller_class = {
    .name = "caller",
    .state_bytes = 1,
    .init = caller_init,
    .handlers = caller_handlers,
    .handler_count = sizeof caller_handlers / sizeof caller_handlers[0],
};

static void connect_reaches_a_listener_and_says_who_refuses(void **state) {
    struct heart_listener target = {0};
    struct scene scene = {0};
    unsigned failed;
    char got[5];
    int fd;

    assert_int_equal(socket_address_parse("127.0.0.1:0", 0, &target.address), 0);
    assert_int_equal(heart_listen(&target, 1, &failed), 0);
    scene.connect_to = target.address;
    scene_start_with(&scene, &caller_class);
    fd = accept(target.fd, NULL, NULL);
    assert_true(fd >= 0);
    client_read(fd, got, 5);
    assert_memory_equal(got, "hello", 5);
    assert_int_equal(scene.connected, 1);
    scene_stop(&scene);
    assert_int_equal(client_read_end(fd), 0); /* its owner ended with the runtime */
    close(fd);
    close(target.fd);

    scene = (struct scene){.connect_to = target.address}; /* nobody listens there any more */
    scene_start_with(&scene, &caller_class);
    while (scene.connected == 0)
        usleep(1000);
    assert_int_equal(scene.connected, -ECONNREFUSED);
    wait_until_none_is_open(&scene);
    scene_stop(&scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accept_reports_each_peers_own_address),
        cmocka_unit_test(echo_serves_thousands_of_connections),
        cmocka_unit_test(receives_go_on_when_buffers_ran_out),
        cmocka_unit_test(large_output_reaches_a_slow_reader_in_order),
        cmocka_unit_test(large_input_arrives_whole_and_a_half_closed_peer_is_answered),
        cmocka_unit_test(half_closed_peer_gets_what_was_gathered),
        cmocka_unit_test(pause_holds_the_sender_back),
        cmocka_unit_test(failed_owner_leaks_no_bytes_of_others),
        cmocka_unit_test(close_sends_what_is_in_flight_although_more_arrives),
        cmocka_unit_test(abort_resets),
        cmocka_unit_test(peers_that_never_read_hold_up_nobody_and_are_reset),
        cmocka_unit_test(socket_that_nobody_owns_is_closed),
        cmocka_unit_test(peers_reset_is_told_with_its_error),
        cmocka_unit_test(send_refuses_a_second_one_and_what_is_not_the_callers),
        cmocka_unit_test(listener_that_failed_accepts_again),
        cmocka_unit_test(connect_reaches_a_listener_and_says_who_refuses),
    };
    int failed = 0;

    limit_descriptors(0);
    scene_reactor = reactor_choose();
    if (scene_reactor == &reactor_uring) /* else it is refused here */
        failed += cmocka_run_group_tests_name("io_uring", tests, NULL, NULL);
    scene_reactor = &reactor_ev;
    failed += cmocka_run_group_tests_name("libev", tests, NULL, NULL);
    return failed;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What the sockets of io_uring do besides (test_socket.c): rings that are added, and polls of quiet
 * connections. */
#include "tests/unit/runtime/fixture.h"
#include "tests/unit/runtime/socket_peer.h"

#include "runtime/socket_internal.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* Echoes on `busy`, so that turns pass, until so many have come to wait by a poll. */
static void wait_until_cooled(struct scene *scene, int busy, uint64_t count) {
    char byte = 'b';

    while (fixture_event(scene->runtime, "receive_cooled") < count) {
        client_write(busy, &byte, 1);
        client_read(busy, &byte, 1);
        usleep(1000);
    }
}

/* Without a receive of their own in the kernel, all goes on as before: little and much input, being
 * told to pause, and the end. */
static void quiet_connections_wait_by_a_poll_and_miss_nothing(void **state) {
    enum { CLIENTS = 40, MUCH = 20000 };
    struct scene scene = {0};
    uint8_t *bytes = pattern(MUCH), *got = malloc(MUCH);
    uint64_t counted;
    int fds[CLIENTS], busy, paused;

    scene_start(&scene);
    busy = client_connect(&scene, NULL);
    client_write(busy, "E", 1);
    paused = client_connect(&scene, NULL);
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = client_connect(&scene, NULL);
        client_write(fds[i], "E", 1);
    }
    wait_until_cooled(&scene, busy, CLIENTS + 1);
    for (int i = 0; i < CLIENTS; i += 4)
        close(fds[i]);
    for (int i = 0; i < CLIENTS; i++) {
        if (i % 4 == 0)
            continue;
        for (size_t bytes_now = 1; bytes_now <= MUCH; bytes_now *= i % 4 == 1 ? MUCH : 100) {
            client_write(fds[i], bytes, bytes_now);
            client_read(fds[i], got, bytes_now);
            assert_memory_equal(got, bytes, bytes_now);
        }
    }
    client_write(paused, "P", 1);
    client_write(paused, bytes, MUCH);
    shutdown(paused, SHUT_WR);
    wait_until_cooled(&scene, busy, CLIENTS + 1 + CLIENTS / 2); /* who got much, once more */
    scene.resume = 1;
    client_read(paused, &counted, sizeof counted);
    assert_int_equal(counted, MUCH);
    for (int i = 0; i < CLIENTS; i++)
        if (i % 4 != 0)
            close(fds[i]);
    close(paused);
    close(busy);
    wait_until_none_is_open(&scene);
    assert_int_equal(scene.closed, CLIENTS + 2);
    free(bytes);
    free(got);
    scene_stop(&scene);
}

static uint64_t rings(struct scene *scene) {
    struct runtime_counters counters;

    runtime_counters_read(scene->runtime, &counters);
    return counters.rings;
}

/* Every connection is spoken to alone, so that each ring must wake a shard that sleeps. */
static void full_descriptor_table_adds_a_ring(void **state) {
    enum { CLIENTS = 500, TABLE = 100 };
    struct scene scene = {0};
    int fds[CLIENTS];

    limit_descriptors(TABLE);
    scene_start(&scene);
    limit_descriptors(0);
    for (unsigned round = 0; round < 2; round++) {
        for (int i = 0; i < CLIENTS; i++) {
            fds[i] = client_connect(&scene, NULL);
            client_write(fds[i], "E", 1);
        }
        for (int i = 0; i < CLIENTS; i++)
            say_and_hear(fds[i], "hello");
        assert_in_range(rings(&scene), 2, CLIENTS / TABLE + 1);
        for (int i = 0; i < CLIENTS; i++)
            close(fds[i]);
        wait_until_none_is_open(&scene);
    }
    scene_stop(&scene);
}

enum { CHATTERS = 2 };

struct chatter {
    pthread_t thread;
    atomic_bool over;
    const int *fds; /* CHATTERS of them */
};

/* Goes on saying something to slow peers, more often than they answer: whenever their shard looks
 * there is more. */
static void *chatter_run(void *argument) {
    struct chatter *chatter = argument;
    char heard[4096];

    while (!atomic_load(&chatter->over)) {
        for (int i = 0; i < CHATTERS; i++) {
            if (send(chatter->fds[i], "x", 1, MSG_DONTWAIT) < 0 && errno != EAGAIN)
                return NULL;
            while (recv(chatter->fds[i], heard, sizeof heard, MSG_DONTWAIT) > 0)
                ;
        }
        usleep(100);
    }
    return NULL;
}

/* In the first ring or in an added one: the shard has something to do in each turn, and looks at
 * the others all the same. */
static void busy_ring_keeps_no_other_from_being_heard(void **state) {
    enum { CLIENTS = 250, TABLE = 100, STEP = 8 };
    struct scene scene = {0};
    int fds[CLIENTS];

    limit_descriptors(TABLE);
    scene_start(&scene);
    limit_descriptors(0);
    for (int i = 0; i < CLIENTS; i++) {
        bool is_slow = i < CHATTERS || i >= CLIENTS - CHATTERS;
        fds[i] = client_connect(&scene, NULL);
        client_write(fds[i], is_slow ? "W" : "E", 1);
    }
    for (int busy = 0; busy < CLIENTS; busy += CLIENTS - CHATTERS) {
        struct chatter chatter = {.fds = fds + busy};
        assert_int_equal(pthread_create(&chatter.thread, NULL, chatter_run, &chatter), 0);
        for (int i = CHATTERS; i < CLIENTS - CHATTERS; i += STEP)
            say_and_hear(fds[i], "hello");
        atomic_store(&chatter.over, true);
        pthread_join(chatter.thread, NULL);
    }
    assert_in_range(rings(&scene), 2, CLIENTS / TABLE + 1);
    for (int i = 0; i < CLIENTS; i++)
        close(fds[i]);
    wait_until_none_is_open(&scene);
    scene_stop(&scene);
}

static void accept_without_room_waits_and_loses_nobody(void **state) {
    enum { CLIENTS = 120, TABLE = 64 };
    struct scene scene = {0};
    int fds[CLIENTS], spare;

    limit_descriptors(TABLE);
    scene_start(&scene);
    limit_descriptors(0);
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = client_socket();
    spare = dup(0);
    close(spare);
    limit_descriptors((rlim_t)spare); /* no ring can be added: it would need a descriptor */
    for (int i = 0; i < CLIENTS; i++)
        client_connect_socket(&scene, fds[i]);
    while (fixture_event(scene.runtime, "accept_no_room") == 0)
        usleep(1000);
    assert_in_range(scene.accepted, 1, TABLE);
    limit_descriptors(0);
    for (int i = 0; i < CLIENTS; i++) {
        client_write(fds[i], "E", 1);
        say_and_hear(fds[i], "hello");
        close(fds[i]);
    }
    assert_int_equal(scene.accepted, CLIENTS);
    wait_until_none_is_open(&scene);
    scene_stop(&scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_descriptor_table_adds_a_ring),
        cmocka_unit_test(busy_ring_keeps_no_other_from_being_heard),
        cmocka_unit_test(accept_without_room_waits_and_loses_nobody),
        cmocka_unit_test(quiet_connections_wait_by_a_poll_and_miss_nothing),
    };
    limit_descriptors(0);
    scene_reactor = reactor_choose();
    if (scene_reactor != &reactor_uring) /* it is refused here */
        return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

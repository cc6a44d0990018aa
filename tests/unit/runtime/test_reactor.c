/* SPDX-License-Identifier: Apache-2.0 */
/* What a reactor does at the limits of the process, how it wakes, and which one is taken. */
#include "tests/unit/runtime/fixture.h"
#include "tests/unit/runtime/socket_peer.h"

#include "runtime/socket_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static int lowest_free_descriptor(void) {
    int fd = dup(0);

    close(fd);
    return fd;
}

static uint64_t now_ms(clockid_t clock) {
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Ten tries a second, and nearly no work between them. */
static void assert_it_waits_patiently(struct scene *scene) {
    uint64_t begin_ms = now_ms(CLOCK_MONOTONIC), cpu_ms = now_ms(CLOCK_PROCESS_CPUTIME_ID);
    uint64_t tries = fixture_event(scene->runtime, "accept_no_room");

    usleep(500000);
    tries = fixture_event(scene->runtime, "accept_no_room") - tries;
    cpu_ms = now_ms(CLOCK_PROCESS_CPUTIME_ID) - cpu_ms;
    begin_ms = now_ms(CLOCK_MONOTONIC) - begin_ms;
    assert_in_range(tries, 1, begin_ms / 100 + 1);
    assert_in_range(cpu_ms, 0, begin_ms / 4);
}

static void echo_and_close(int fd) {
    char got[6];

    client_write(fd, "Ehello", 6);
    client_read(fd, got, 5);
    assert_memory_equal(got, "hello", 5);
    close(fd);
}

static void accept_waits_while_no_descriptor_is_free(void **state) {
    enum { CLIENTS = 100 };
    struct scene scene = {0};
    int fds[CLIENTS];

    scene_start(&scene);
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = client_socket();
    limit_descriptors((rlim_t)lowest_free_descriptor());
    for (int i = 0; i < CLIENTS; i++)
        client_connect_socket(&scene, fds[i]);
    while (fixture_event(scene.runtime, "accept_no_room") == 0)
        usleep(1000);
    assert_it_waits_patiently(&scene);
    assert_int_equal(scene.accepted, 0);
    limit_descriptors(0);
    for (int i = 0; i < CLIENTS; i++)
        echo_and_close(fds[i]);
    assert_int_equal(scene.accepted, CLIENTS);
    scene_stop(&scene);
}

/* The store's files, programs that are started: they must go on when strangers come in crowds. */
static void accept_leaves_the_last_descriptors_to_others(void **state) {
    enum { CLIENTS = 300, LIMIT = 400, LEFT = 12 };
    struct scene scene = {0};
    int fds[CLIENTS], others[LEFT];

    for (int i = 0; i < CLIENTS; i++)
        fds[i] = client_socket();
    limit_descriptors(LIMIT);
    scene_start(&scene);
    for (int i = 0; i < CLIENTS; i++)
        client_connect_socket(&scene, fds[i]);
    while (fixture_event(scene.runtime, "accept_no_room") == 0)
        usleep(1000);
    assert_it_waits_patiently(&scene);
    assert_in_range(scene.accepted, 1, LIMIT - CLIENTS - LEFT);
    for (int i = 0; i < LEFT; i++) {
        others[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert_true(others[i] >= 0);
    }
    for (int i = 0; i < LEFT; i++)
        close(others[i]);
    for (int i = 0; i < CLIENTS; i++) /* each that goes lets another in */
        echo_and_close(fds[i]);
    assert_int_equal(scene.accepted, CLIENTS);
    limit_descriptors(0);
    scene_stop(&scene);
}

/* The heart passes its listeners to a node that may run on another reactor than the one before. */
static void listener_serves_one_reactor_after_another(void **state) {
    static const struct reactor_ops *const turns[] = {&reactor_ev, &reactor_uring, &reactor_ev};
    struct scene scene = {0};

    if (reactor_choose() != &reactor_uring)
        skip();
    for (unsigned i = 0; i < sizeof turns / sizeof turns[0]; i++) {
        int passed_on = i == 0 ? -1 : dup(scene.listener.fd);
        struct heart_listener before = scene.listener;

        if (i > 0)
            scene_stop(&scene);
        scene_reactor = turns[i];
        scene = (struct scene){.outstanding = 4, .owns = true, .listener = before};
        if (i > 0)
            scene.listener.fd = passed_on;
        scene_start_with(&scene, &listener_class);
        for (unsigned k = 0; k < 20; k++)
            echo_and_close(client_connect(&scene, NULL));
        assert_in_range(fixture_event(scene.runtime, "accept_failed"), 0,
                        4); /* it waits, it doesn't spin */
    }
    scene_stop(&scene);
    scene_reactor = &reactor_ev;
}

/* --- waking ---------------------------------------------------------------------------------- */

enum { PING = ACTOR_KIND_FIRST };
static struct actor_id ponger;
static atomic_uint pongs;

static int ponger_init(void *state, const void *argument) {
    ponger = actor_self();
    return 0;
}
static void on_ping(void *state, struct message **message) {
    atomic_fetch_add(&pongs, 1);
}
static const struct actor_handler ponger_handlers[] = {[PING] = {"ping", on_ping}};
static const struct actor_class ponger_class = {.name = "ponger",
                                                .state_bytes = 1,
                                                .init = ponger_init,
                                                .handlers = ponger_handlers,
                                                .handler_count = PING + 1};

/* Each ping meets a shard that is about to sleep, sleeps, or has just been woken. */
static void no_wake_is_lost(void **state) {
    enum { PINGS = 20000 };
    struct scene scene = {0};

    scene_start_with(&scene, &ponger_class);
    pongs = 0;
    for (unsigned i = 0; i < PINGS; i++) {
        struct message *ping = message_create(PING, 0);

        runtime_send(scene.runtime, ponger, &ping);
        while (atomic_load(&pongs) <= i)
            if (i % 3 == 0)
                usleep(1);
        for (volatile unsigned wait = 0; wait < i % 2000; wait++)
            ;
    }
    scene_stop(&scene);
}

/* --- which ----------------------------------------------------------------------------------- */

static void reactor_is_known_by_its_name(void **state) {
    const struct reactor_ops *found = &reactor_ev;
    struct scene scene = {0};

    assert_int_equal(reactor_find("auto", &found), 0);
    assert_null(found);
    assert_int_equal(reactor_find("io_uring", &found), 0);
    assert_ptr_equal(found, &reactor_uring);
    assert_int_equal(reactor_find("libev", &found), 0);
    assert_ptr_equal(found, &reactor_ev);
    assert_int_equal(reactor_find("kqueue", &found), -EINVAL);
    assert_ptr_equal(found, &reactor_ev);
    scene_start(&scene);
    assert_string_equal(runtime_reactor_name(scene.runtime), "libev");
    scene_stop(&scene);
    scene = (struct scene){0};
    scene_reactor = NULL;
    scene_start(&scene);
    assert_string_equal(runtime_reactor_name(scene.runtime), reactor_choose()->name);
    scene_stop(&scene);
    scene_reactor = &reactor_ev;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accept_waits_while_no_descriptor_is_free),
        cmocka_unit_test(accept_leaves_the_last_descriptors_to_others),
        cmocka_unit_test(listener_serves_one_reactor_after_another),
        cmocka_unit_test(no_wake_is_lost),
        cmocka_unit_test(reactor_is_known_by_its_name),
    };

    limit_descriptors(0);
    scene_reactor = &reactor_ev;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

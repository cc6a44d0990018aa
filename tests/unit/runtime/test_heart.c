/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heart with real processes: this one starts a heart, the heart starts children that do as a
 * page of shared memory tells them. Orphans come back to this process, so that their end can be
 * seen.
 */
#include "runtime/heart.h"

#include "runtime/socket_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct scene {
    struct heart_listener listener;
    unsigned aborts;                /* so many children abort at once */
    volatile unsigned starts;       /* by the last child */
    volatile unsigned refused_from; /* the first start that was to refuse strangers */
    volatile pid_t child;           /* the one that lives on */
    volatile unsigned hangups;      /* SIGHUPs that it took */
    int status;                     /* with which it ends after SIGTERM or SIGINT */
    bool ends_at_once;              /* ... or without waiting for one */
    volatile int last_signal;
};
static struct scene *scene;

static int setup(void **state) {
    scene = mmap(NULL, sizeof *scene, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(scene != MAP_FAILED);
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    return 0;
}

static int teardown(void **state) {
    munmap(scene, sizeof *scene);
    return 0;
}

/* Serves one connection with its start's number, if there is a listener. */
static void serve(int fd, unsigned starts) {
    uint8_t answer = (uint8_t)starts;
    int connection = accept(fd, NULL, NULL);

    if (connection >= 0 && write(connection, &answer, 1) != 1)
        _exit(1);
    close(connection);
}

static int child(void *context, const struct heart_start *start) {
    const unsigned starts = start->starts;
    sigset_t signals;

    scene->starts = starts;
    if (start->refuse_strangers && scene->refused_from == 0)
        scene->refused_from = starts;
    if (starts <= scene->aborts)
        raise(SIGKILL);
    if (scene->ends_at_once)
        _exit(scene->status);
    scene->child = getpid();
    if (scene->listener.fd > 0)
        serve(scene->listener.fd, starts);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    for (;;) {
        int raised = 0;
        sigwait(&signals, &raised); /* works only because the heart left them blocked */
        if (raised == SIGHUP) {
            scene->hangups++;
            continue;
        }
        scene->last_signal = raised;
        _exit(scene->status);
    }
}

static pid_t start_heart(void) {
    struct heart_options options = {
        .restarts_max = 3, .backoff_ms_max = 1, .child = child, .context = NULL};
    pid_t heart = fork();

    if (heart == 0)
        _exit(heart_run(&options));
    return heart;
}

static int status_of(pid_t process) {
    int status;

    assert_int_equal(waitpid(process, &status, 0), process);
    return status;
}

static void wait_for_child(void) {
    while (scene->child == 0)
        usleep(1000);
}

static void heart_passes_on_an_orderly_end(void **state) {
    static const int ends[] = {HEART_EXIT_ORDERLY, HEART_EXIT_CONFIGURATION,
                               HEART_EXIT_UNAVAILABLE};

    for (unsigned i = 0; i < 3; i++) {
        scene->status = ends[i];
        scene->ends_at_once = true;
        int status = status_of(start_heart());
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), ends[i]);
        assert_int_equal(scene->starts, 1);
    }
}

static void heart_starts_a_killed_child_again(void **state) {
    pid_t heart, first;

    scene->aborts = 0;
    heart = start_heart();
    wait_for_child();
    first = scene->child;
    scene->child = 0;
    kill(first, SIGKILL);
    wait_for_child();
    assert_int_not_equal(scene->child, first);
    assert_int_equal(scene->starts, 2);
    kill(heart, SIGTERM);
    assert_int_equal(status_of(heart), 0);
}

static void heart_gives_up_after_too_many_crashes(void **state) {
    scene->aborts = 1000;
    int status = status_of(start_heart());
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), HEART_EXIT_GAVE_UP);
    assert_int_equal(scene->starts, 4);       /* restarts_max is 3 */
    assert_int_equal(scene->refused_from, 3); /* after two crashes, half of that */
}

static void heart_forwards_signals_to_the_child(void **state) {
    static const int ends[] = {SIGTERM, SIGINT};

    for (unsigned i = 0; i < 2; i++) {
        scene->child = 0;
        scene->hangups = 0;
        scene->status = 5;
        pid_t heart = start_heart();
        wait_for_child();
        kill(heart, SIGHUP);
        while (scene->hangups == 0)
            usleep(1000);
        kill(heart, ends[i]);
        int status = status_of(heart);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 5); /* no restart: it was told to stop */
        assert_int_equal(scene->last_signal, ends[i]);
        assert_int_equal(scene->starts, 1);
    }
}

static void heart_takes_its_child_with_it(void **state) {
    pid_t heart = start_heart();

    wait_for_child();
    kill(heart, SIGKILL);
    assert_true(WIFSIGNALED(status_of(heart)));
    int status =
        status_of(scene->child); /* it is ours now; without the heart it would wait forever */
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
}

static int connect_to(const struct socket_address *address) {
    union socket_kernel_address kernel;
    socklen_t length = socket_address_to_kernel(address, &kernel);
    int fd = socket_open(address->family);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, &kernel.any, length), 0);
    return fd;
}

static void connection_waits_for_the_next_child(void **state) {
    unsigned failed;
    uint8_t answer = 0;

    assert_int_equal(socket_address_parse("127.0.0.1:0", 0, &scene->listener.address), 0);
    assert_int_equal(heart_listen(&scene->listener, 1, &failed), 0);
    assert_int_not_equal(scene->listener.address.port, 0);
    scene->aborts = 2;
    int connection = connect_to(&scene->listener.address); /* nobody is there to accept */
    pid_t heart = start_heart();
    assert_int_equal(read(connection, &answer, 1), 1);
    assert_int_equal(answer, 3);
    close(connection);
    close(scene->listener.fd);
    kill(heart, SIGTERM);
    assert_int_equal(status_of(heart), 0);
}

static void listener_that_is_taken_is_named(void **state) {
    struct heart_listener first = {0}, two[2] = {0};
    unsigned failed = 9;

    assert_int_equal(socket_address_parse("127.0.0.1:0", 0, &first.address), 0);
    two[0].address = first.address;
    assert_int_equal(heart_listen(&first, 1, &failed), 0);
    assert_int_equal(failed, 9);
    two[1].address = first.address; /* the port that was given */
    assert_int_equal(heart_listen(two, 2, &failed), -EADDRINUSE);
    assert_int_equal(failed, 1);
    close(first.fd);
    assert_int_equal(heart_listen(two, 2, &failed), 0);
    close(two[0].fd);
    close(two[1].fd);
}

#define heart_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        heart_test(heart_passes_on_an_orderly_end),
        heart_test(heart_starts_a_killed_child_again),
        heart_test(heart_gives_up_after_too_many_crashes),
        heart_test(heart_forwards_signals_to_the_child),
        heart_test(heart_takes_its_child_with_it),
        heart_test(connection_waits_for_the_next_child),
        heart_test(listener_that_is_taken_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

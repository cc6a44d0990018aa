/* SPDX-License-Identifier: Apache-2.0 */
/* Programs and signals through actors: real processes of the shell's, a real runtime of one shard.
 */
#include "runtime/program.h"

#include "runtime/reactor.h"
#include "runtime/runtime.h"
#include "runtime/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define RUNS_MAX 64
#define UNSET INT32_MIN

struct run {
    const char *arguments[PROGRAM_ARGUMENTS_MAX + 3];
    const char *input;
    uint32_t timeout_ms;
    int started; /* what program_start said */
    atomic_int status;
};
struct scene {
    struct run runs[RUNS_MAX];
    unsigned count;
    atomic_uint ended;
    int subscribed[3];
    atomic_int raised;
    atomic_uint raised_count;
    struct runtime *runtime;
};

static int starter_init(void *state, const void *argument) {
    struct scene *scene = actor_context();

    for (unsigned i = 0; i < scene->count; i++) {
        struct run *run = &scene->runs[i];
        run->status = UNSET;
        run->started =
            program_start(run->arguments, run->input, run->input != NULL ? strlen(run->input) : 0,
                          run->timeout_ms, i + 1000);
    }
    scene->subscribed[0] = signal_subscribe(SIGUSR1);
    scene->subscribed[1] = signal_subscribe(SIGUSR2);
    scene->subscribed[2] = signal_subscribe(SIGSEGV);
    return 0;
}

static void starter_on_ended(void *state, struct message **message) {
    const struct program_ended *ended = message_as(*message, struct program_ended);
    struct scene *scene = actor_context();

    scene->runs[ended->reference - 1000].status = ended->status;
    scene->ended++;
}

static void starter_on_signal(void *state, struct message **message) {
    struct scene *scene = actor_context();

    scene->raised = message_as(*message, struct signal_raised)->signal;
    scene->raised_count++;
}

static const struct actor_handler starter_handlers[] = {
    [PROGRAM_ENDED] = {"ended", starter_on_ended},
    [SIGNAL_RAISED] = {"raised", starter_on_signal},
};
static const struct actor_class starter_class = {
    .name = "starter",
    .state_bytes = 1,
    .init = starter_init,
    .handlers = starter_handlers,
    .handler_count = sizeof starter_handlers / sizeof starter_handlers[0],
};

static const struct reactor_ops *scene_reactor;

static void scene_start(struct scene *scene) {
    static const struct supervisor_child child = {.class = &starter_class};
    static const struct supervisor_spec root = {
        .name = "root", .restarts_max = 1, .period_ms = 1000, .children = &child, .child_count = 1};
    struct runtime_options options = {
        .shards = 1, .pool_threads = 1, .context = scene, .root = &root, .reactor = scene_reactor};

    assert_int_equal(runtime_start(&options, &scene->runtime), 0);
}

static void scene_stop(struct scene *scene) {
    runtime_stop(scene->runtime, 0);
    assert_int_equal(runtime_wait(scene->runtime), 0);
    runtime_destroy(scene->runtime);
    free(scene);
}

static struct run *add(struct scene *scene, const char *first, const char *second,
                       const char *third, const char *input, uint32_t timeout_ms) {
    struct run *run = &scene->runs[scene->count++];

    *run =
        (struct run){.arguments = {first, second, third}, .input = input, .timeout_ms = timeout_ms};
    return run;
}

static void wait_for_ends(struct scene *scene, unsigned count) {
    while (scene->ended < count)
        usleep(1000);
}

static void program_tells_how_it_ended(void **state) {
    struct scene *scene = calloc(1, sizeof *scene);
    struct run *good = add(scene, "true", NULL, NULL, NULL, 60000);
    struct run *bad = add(scene, "/bin/sh", "-c", "exit 42", NULL, 60000);
    struct run *killed = add(scene, "/bin/sh", "-c", "kill -9 $$", NULL, 60000);
    struct run *missing = add(scene, "/nonexistent/program", NULL, NULL, NULL, 60000);

    scene_start(scene);
    wait_for_ends(scene, 4);
    assert_int_equal(good->status, 0);
    assert_int_equal(bad->status, 42);
    assert_int_equal(killed->status, 256 + SIGKILL);
    assert_int_equal(missing->started, 0);
    assert_int_equal(missing->status, -ENOENT);
    scene_stop(scene);
}

static void program_gets_its_arguments_and_input_without_a_shell(void **state) {
    struct scene *scene = calloc(1, sizeof *scene);
    struct run *run =
        add(scene, "sh", "-c", "read -r code && test \"$code\" = 123456 && test \"$1\" = '$(x); *'",
            "123456\n", 60000);
    struct run *empty = add(scene, "sh", "-c", "! read -r line", NULL, 60000);

    run->arguments[3] = "sh";
    run->arguments[4] = "$(x); *"; /* would mean something to a shell */
    scene_start(scene);
    wait_for_ends(scene, 2);
    assert_int_equal(run->status, 0);
    assert_int_equal(empty->status, 0); /* the input ended */
    scene_stop(scene);
}

/* A descriptor of ours, or a signal blocked or ignored, would be a leak into somebody's script.
 * (The C library has its own signal 32 ignored in what it spawns.) */
static void program_inherits_nothing(void **state) {
    struct scene *scene = calloc(1, sizeof *scene);
    int leak = open("/dev/null", O_RDONLY); /* not closed on exec */
    struct run *run;
    char script[200];

    snprintf(script, sizeof script,
             "! test -e /proc/self/fd/%d && "
             "grep -q '^SigBlk:.0*$' /proc/self/status && "
             "grep -q '^SigIgn:.*[08]0000000$' /proc/self/status",
             leak);
    run = add(scene, "sh", "-c", script, NULL, 60000);
    scene_start(scene);
    wait_for_ends(scene, 1);
    assert_int_equal(run->status, 0);
    close(leak);
    scene_stop(scene);
}

static void program_that_runs_too_long_is_killed_with_its_children(void **state) {
    struct scene *scene = calloc(1, sizeof *scene);
    char path[] = "/tmp/tern-test-program-XXXXXX", script[120], pid[32] = {0};
    int fd = mkstemp(path), status;
    struct run *run;

    /* Its orphan becomes our child, not init's: in a container that may be nobody who waits. */
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    snprintf(script, sizeof script, "sleep 1000 & echo $! >%s; wait", path);
    run = add(scene, "sh", "-c", script, "input that nobody reads", 300);
    scene_start(scene);
    wait_for_ends(scene, 1);
    assert_int_equal(run->status, 256 + SIGKILL);
    assert_true(read(fd, pid, sizeof pid - 1) > 0);
    assert_int_equal(waitpid((pid_t)strtol(pid, NULL, 10), &status, 0), strtol(pid, NULL, 10));
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
    close(fd);
    unlink(path);
    scene_stop(scene);
}

static void program_start_refuses_what_is_beyond_its_limits(void **state) {
    struct scene *scene = calloc(1, sizeof *scene);
    struct run *many = add(scene, "true", "1", "2", NULL, 60000);
    struct run *none = add(scene, NULL, NULL, NULL, NULL, 60000);
    static char input[PROGRAM_INPUT_BYTES_MAX + 2];
    struct run *long_input = add(scene, "true", NULL, NULL, input, 60000);

    memset(input, 'x', sizeof input - 1);
    for (unsigned i = 0; i <= PROGRAM_ARGUMENTS_MAX; i++)
        many->arguments[i] = "true";
    for (unsigned i = 0; i < PROGRAMS_RUNNING_MAX + 2; i++)
        add(scene, "sleep", "0.2", NULL, NULL, 60000);
    scene_start(scene);
    assert_int_equal(many->started, -E2BIG);
    assert_int_equal(none->started, -EINVAL);
    assert_int_equal(long_input->started, -E2BIG);
    for (unsigned i = 0; i < PROGRAMS_RUNNING_MAX + 2; i++)
        assert_int_equal(scene->runs[3 + i].started, i < PROGRAMS_RUNNING_MAX ? 0 : -EAGAIN);
    wait_for_ends(scene, PROGRAMS_RUNNING_MAX);
    scene_stop(scene);
}

/* What still runs when the shard ends is killed, not left as an orphan. */
static void runtime_that_stops_takes_its_programs_with_it(void **state) {
    struct scene *scene = calloc(1, sizeof *scene);
    char path[] = "/tmp/tern-test-program-XXXXXX", script[120], pid[32] = {0};
    int fd = mkstemp(path);

    snprintf(script, sizeof script, "echo $$ >%s; exec sleep 1000", path);
    add(scene, "sh", "-c", script, NULL, 100000);
    scene_start(scene);
    while (read(fd, pid, sizeof pid - 1) <= 0)
        usleep(1000);
    scene_stop(scene);
    assert_int_equal(kill((pid_t)strtol(pid, NULL, 10), 0), -1);
    assert_int_equal(errno, ESRCH);
    close(fd);
    unlink(path);
}

static void signal_becomes_a_message(void **state) {
    struct scene *scene = calloc(1, sizeof *scene);

    scene_start(scene);
    assert_int_equal(scene->subscribed[0], 0);
    assert_int_equal(scene->subscribed[1], 0);
    assert_int_equal(scene->subscribed[2], -EINVAL);
    for (unsigned i = 0; i < 6; i++) {
        int signal = i % 2 == 0 ? SIGUSR1 : SIGUSR2;
        kill(getpid(), signal);
        while (scene->raised_count <= i)
            usleep(1000);
        assert_int_equal(scene->raised, signal);
    }
    assert_int_equal(scene->raised_count, 6);
    scene_stop(scene);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(program_tells_how_it_ended),
        cmocka_unit_test(program_gets_its_arguments_and_input_without_a_shell),
        cmocka_unit_test(program_inherits_nothing),
        cmocka_unit_test(program_that_runs_too_long_is_killed_with_its_children),
        cmocka_unit_test(program_start_refuses_what_is_beyond_its_limits),
        cmocka_unit_test(runtime_that_stops_takes_its_programs_with_it),
        cmocka_unit_test(signal_becomes_a_message),
    };

    signals_block();
    signal(SIGPIPE, SIG_IGN);
    scene_reactor = reactor_choose();
    int failed = cmocka_run_group_tests_name(scene_reactor->name, tests, NULL, NULL);
    if (scene_reactor == &reactor_ev) /* io_uring is refused here */
        return failed;
    scene_reactor = &reactor_ev;
    return failed + cmocka_run_group_tests_name("libev", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The watchdog with handlers that really do not return: what it says of them, how often, and that
 * it lets them go on. What it says is read from standard error, which is a file meanwhile.
 */
#include "tests/unit/runtime/fixture.h"

#include "runtime/watchdog.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINGER = ACTOR_KIND_FIRST, REST, FLOOD };

#define LIMIT_NS 20000000000u /* the test's own */

/* What the handlers are to do and have done; by atomics, relaxed. */
static struct {
    uint64_t overruns_wanted; /* LINGER returns when so many were seen */
    unsigned lingered, rested, flooded;
    bool stop_flood;
} scene;

static uint64_t overruns(struct runtime *runtime) {
    struct runtime_counters counters;
    runtime_counters_read(runtime, &counters);
    return counters.handler_overruns;
}

/* Does not return before the watchdog has seen it. It sleeps in between: the thread sanitizer
 * delivers signals in system calls alone. */
__attribute__((noinline)) static void stay_here_for_long(void) {
    uint64_t start_ns = actor_now_ns();
    uint64_t wanted = __atomic_load_n(&scene.overruns_wanted, __ATOMIC_RELAXED);
    while (overruns(runtime_current()) < wanted && actor_now_ns() - start_ns < LIMIT_NS)
        usleep(500);
    usleep(100000); /* it asks where this is only when it has counted it */
}
static void on_linger(void *state, struct message **message) {
    stay_here_for_long();
    __atomic_fetch_add(&scene.lingered, 1, __ATOMIC_RELAXED);
}
static void on_rest(void *state, struct message **message) {
    usleep(150000);
    __atomic_fetch_add(&scene.rested, 1, __ATOMIC_RELAXED);
}
static void on_flood(void *state, struct message **message) {
    __atomic_fetch_add(&scene.flooded, 1, __ATOMIC_RELAXED);
    if (!__atomic_load_n(&scene.stop_flood, __ATOMIC_RELAXED))
        actor_send(actor_self(), message);
}
static int init_quick(void *state, const void *argument) {
    return 0;
}
static const struct actor_handler handlers[] = {
    [LINGER] = {"linger", on_linger}, [REST] = {"rest", on_rest}, [FLOOD] = {"flood", on_flood}};
static const struct actor_class slow = {
    .name = "slow", .init = init_quick, .handlers = handlers, .handler_count = FLOOD + 1};
static const struct supervisor_child children[] = {{.class = &slow, .dynamic = true}};
static const struct supervisor_spec tree = {.name = "root", .children = children, .child_count = 1};

static char log_path[64];
static int stderr_before;
static char text[65536];

static struct runtime *begin(unsigned shards, uint32_t budget_ms) {
    struct runtime *runtime;
    const struct runtime_options options = {.shards = shards,
                                            .root = &tree,
                                            .seams = fixture_seams_threads(),
                                            .watchdog_budget_ms = budget_ms};
    memset(&scene, 0, sizeof scene);
    strcpy(log_path, "/tmp/tern-watchdog-XXXXXX");
    int fd = mkstemp(log_path);
    assert_true(fd >= 0);
    stderr_before = dup(STDERR_FILENO);
    dup2(fd, STDERR_FILENO);
    close(fd);
    assert_int_equal(runtime_start(&options, &runtime), 0);
    return runtime;
}

/* To the actor `key` of this shard. */
static void tell(struct runtime *runtime, unsigned shard, uint64_t key, uint16_t kind) {
    struct message *message = message_create(kind, 0);
    message->flags = MESSAGE_NAMED;
    message->to = (struct actor_id){key};
    message->to_class = &slow;
    shard_inbox_push(runtime->shards[shard], message);
}

/* What was logged is in `text`. */
static void end(struct runtime *runtime) {
    runtime_stop(runtime, 0);
    runtime_wait(runtime);
    fixture_destroy(runtime);
    dup2(stderr_before, STDERR_FILENO);
    close(stderr_before);
    int fd = open(log_path, O_RDONLY);
    ssize_t length = read(fd, text, sizeof text - 1);
    assert_true(length >= 0);
    text[length] = '\0';
    close(fd);
    unlink(log_path);
}

static void wait_for(const unsigned *count, unsigned wanted) {
    while (__atomic_load_n(count, __ATOMIC_RELAXED) < wanted)
        usleep(1000);
}

static unsigned count_of(const char *part) {
    unsigned count = 0;
    for (const char *at = text; (at = strstr(at, part)); at++)
        count++;
    return count;
}
static void has(const char *part) {
    if (!strstr(text, part))
        fail_msg("no \"%s\" in:\n%s", part, text);
}

static void it_says_who_what_and_where(void **state) {
    struct runtime *runtime = begin(2, 0);
    scene.overruns_wanted = 1;
    tell(runtime, 1, 7, LINGER);
    wait_for(&scene.lingered, 1);
    assert_int_equal(overruns(runtime), 1);
    end(runtime);
    has("shard 1: actor 0x");
    has(" of class slow has not returned for ");
    has(" from message linger (32)");
    has("shard 1: it is at ");
    has(" < on_linger+0x");
    has("stay_here_for_long+0x");
}

static void the_same_is_said_once_and_the_rest_counted(void **state) {
    struct runtime *runtime = begin(1, 10);
    for (unsigned i = 1; i <= 3; i++) {
        __atomic_store_n(&scene.overruns_wanted, i, __ATOMIC_RELAXED);
        tell(runtime, 0, i, LINGER);
        wait_for(&scene.lingered, i);
    }
    struct runtime_counters counters;
    runtime_counters_read(runtime, &counters);
    assert_int_equal(counters.handler_overruns, 3);
    assert_int_equal(counters.handler_overruns_unreported, 2);
    __atomic_store_n(&scene.overruns_wanted, 0, __ATOMIC_RELAXED);
    tell(runtime, 0, 1, REST); /* another kind is said */
    wait_for(&scene.rested, 1);
    end(runtime);
    assert_int_equal(count_of("from message linger"), 1);
    assert_int_equal(count_of("from message rest"), 1);
}

static void a_budget_is_kept_to_and_none_is_none(void **state) {
    struct runtime *runtime = begin(1, 15000);
    tell(runtime, 0, 1, REST);
    wait_for(&scene.rested, 1);
    assert_int_equal(overruns(runtime), 0);
    end(runtime);
    assert_int_equal(count_of("has not returned"), 0);
    runtime = begin(1, WATCHDOG_OFF);
    assert_null(runtime->watchdog);
    tell(runtime, 0, 1, REST);
    wait_for(&scene.rested, 1);
    assert_int_equal(overruns(runtime), 0);
    end(runtime);
}

/* Another actor never stops; on its shard and on the other one, messages come without end. */
static void it_finds_the_slow_one_under_load(void **state) {
    struct runtime *runtime = begin(2, 0);
    tell(runtime, 0, 1, FLOOD);
    tell(runtime, 1, 2, FLOOD);
    wait_for(&scene.flooded, 1000);
    uint64_t before = overruns(runtime); /* a busy machine may stop a thread for long */
    __atomic_store_n(&scene.overruns_wanted, before + 1, __ATOMIC_RELAXED);
    tell(runtime, 0, 3, LINGER);
    wait_for(&scene.lingered, 1);
    unsigned flooded = __atomic_load_n(&scene.flooded, __ATOMIC_RELAXED);
    wait_for(&scene.flooded, flooded + 1000); /* and the shard goes on */
    __atomic_store_n(&scene.stop_flood, true, __ATOMIC_RELAXED);
    end(runtime);
    has(" from message linger (32)");
    has(" < on_linger+0x");
}

static void a_signal_without_a_question_is_harmless(void **state) {
    struct runtime *runtime = begin(1, 0);
    for (unsigned i = 0; i < 100; i++)
        pthread_kill(runtime->shards[0]->thread, WATCHDOG_SIGNAL);
    tell(runtime, 0, 1, REST);
    wait_for(&scene.rested, 1);
    end(runtime);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_says_who_what_and_where),
        cmocka_unit_test(the_same_is_said_once_and_the_rest_counted),
        cmocka_unit_test(a_budget_is_kept_to_and_none_is_none),
        cmocka_unit_test(it_finds_the_slow_one_under_load),
        cmocka_unit_test(a_signal_without_a_question_is_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

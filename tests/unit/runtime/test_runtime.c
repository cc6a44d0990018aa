/* SPDX-License-Identifier: Apache-2.0 */
/* Whole runtimes with threads: start, order across shards, stop, two in one process. */
#include "tests/unit/runtime/fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NUMBER = ACTOR_KIND_FIRST, BEGIN, RETURNED };
#define NUMBERS 100000u

/* What the actors of a test report to; written by them, read by the test after the end. */
struct context {
    unsigned started, ended, order[16], first_id;
    uint64_t numbers[2], out_of_order;
    int init_error;
    unsigned jobs;
};

static struct context *context_of(void) {
    return actor_context();
}

/* --- children that say when they begin and end
 * ----------------------------------------------------- */

static int child_init(void *state, const void *argument) {
    struct context *context = context_of();
    *(unsigned *)state = *(const unsigned *)argument;
    if (context->init_error && *(unsigned *)state == 3)
        return context->init_error;
    __atomic_fetch_add(&context->started, 1, __ATOMIC_RELAXED);
    return 0;
}
static void child_terminate(void *state, int reason) {
    struct context *context = context_of();
    unsigned place = __atomic_fetch_add(&context->ended, 1, __ATOMIC_RELAXED);
    context->order[place] = *(unsigned *)state;
}
static const struct actor_class child_class = {.name = "child",
                                               .state_bytes = sizeof(unsigned),
                                               .init = child_init,
                                               .terminate = child_terminate};
static const unsigned one = 1, two = 2, three = 3;

static int run_tree(const struct supervisor_spec *spec, struct context *context, unsigned shards,
                    struct runtime **runtime) {
    struct runtime_options options = {.shards = shards,
                                      .seams = fixture_seams_threads(),
                                      .root = spec,
                                      .context = context,
                                      .pool_threads = 2,
                                      .actors_max = 100000};
    return runtime_start(&options, runtime);
}

static int stop(struct runtime *runtime, int code) {
    runtime_stop(runtime, code);
    code = runtime_wait(runtime);
    fixture_destroy(runtime);
    return code;
}

static void children_stop_in_reverse_order(void **state) {
    static const struct supervisor_child children[] = {
        {.class = &child_class, .argument = &one},
        {.class = &child_class, .argument = &two, .every_shard = true},
        {.class = &child_class, .argument = &three},
    };
    static const struct supervisor_spec spec = {
        .name = "root", .restarts_max = 1, .children = children, .child_count = 3};
    struct context context = {0};
    struct runtime *runtime;
    assert_int_equal(run_tree(&spec, &context, 2, &runtime), 0);
    assert_int_equal(context.started, 4);
    assert_int_equal(stop(runtime, 5), 5);
    assert_int_equal(context.ended, 4);
    assert_int_equal(context.order[0], 3);
    assert_int_equal(context.order[1], 2);
    assert_int_equal(context.order[2], 2);
    assert_int_equal(context.order[3], 1);
}

static void start_fails_with_what_a_child_returned(void **state) {
    static const struct supervisor_child below[] = {{.class = &child_class, .argument = &three}};
    static const struct supervisor_spec inner = {
        .name = "inner", .restarts_max = 1, .children = below, .child_count = 1};
    static const struct supervisor_child children[] = {{.class = &child_class, .argument = &one},
                                                       {.supervisor = &inner}};
    static const struct supervisor_spec spec = {
        .name = "root", .restarts_max = 1, .children = children, .child_count = 2};
    struct context context = {.init_error = -EADDRINUSE};
    struct runtime *runtime;
    assert_int_equal(run_tree(&spec, &context, 2, &runtime), -EADDRINUSE);
    assert_int_equal(context.started, 1);
    assert_int_equal(context.ended, 1);
}

/* --- order across shards
 * ------------------------------------------------------------------------------ */

static const struct actor_class receiver_class, sender_class;

static int receiver_init(void *state, const void *argument) {
    char name[16];
    snprintf(name, sizeof name, "receiver %u", actor_shard());
    return actor_register(name);
}
static void receiver_number(void *state, struct message **message) {
    uint64_t *next = state;
    struct context *context = context_of();
    if (value_of(*message) != *next)
        context->out_of_order++;
    ++*next;
    context->numbers[actor_shard()] = *next;
    if (*next == NUMBERS)
        __atomic_fetch_add(&context->started, 1, __ATOMIC_RELAXED);
}
static const struct actor_handler receiver_handlers[] = {[NUMBER] = {"number", receiver_number}};
static const struct actor_class receiver_class = {.name = "receiver",
                                                  .state_bytes = 8,
                                                  .init = receiver_init,
                                                  .handlers = receiver_handlers,
                                                  .handler_count = NUMBER + 1,
                                                  .mailbox_messages_max = NUMBERS};

static int sender_init(void *state, const void *argument) {
    return actor_signal(actor_self(), BEGIN);
}
static void sender_begin(void *state, struct message **message) {
    uint64_t *next = state;
    struct actor_id to = actor_whereis(actor_shard() == 0 ? "receiver 1" : "receiver 0");
    for (unsigned i = 0; i < 1000 && *next < NUMBERS; i++) {
        struct message *number = message_of(NUMBER, *next);
        if (actor_send(to, &number) == -ENOBUFS) {
            message_destroy(number);
            break;
        }
        ++*next;
    }
    if (*next < NUMBERS)
        actor_send(actor_self(), message);
}
static const struct actor_handler sender_handlers[] = {[BEGIN] = {"begin", sender_begin}};
static const struct actor_class sender_class = {.name = "sender",
                                                .state_bytes = 8,
                                                .init = sender_init,
                                                .handlers = sender_handlers,
                                                .handler_count = BEGIN + 1};

static void senders_order_holds_across_shards(void **state) {
    static const struct supervisor_child children[] = {
        {.class = &receiver_class, .every_shard = true},
        {.class = &sender_class, .every_shard = true}};
    static const struct supervisor_spec spec = {
        .name = "root", .restarts_max = 1, .children = children, .child_count = 2};
    struct context context = {0};
    struct runtime *runtime;
    assert_int_equal(run_tree(&spec, &context, 2, &runtime), 0);
    while (__atomic_load_n(&context.started, __ATOMIC_RELAXED) < 2)
        usleep(1000);
    struct runtime_counters counters;
    runtime_counters_read(runtime, &counters);
    assert_true(counters.messages_cross_shard >= 2 * NUMBERS);
    assert_int_equal(counters.dead_letters, 0);
    assert_int_equal(stop(runtime, 0), 0);
    assert_int_equal(context.numbers[0], NUMBERS);
    assert_int_equal(context.numbers[1], NUMBERS);
    assert_int_equal(context.out_of_order, 0);
}

static void two_runtimes_live_in_one_process(void **state) {
    static const struct supervisor_child children[] = {
        {.class = &receiver_class, .every_shard = true},
        {.class = &sender_class, .every_shard = true}};
    static const struct supervisor_spec spec = {
        .name = "root", .restarts_max = 1, .children = children, .child_count = 2};
    struct context contexts[2] = {{0}, {0}};
    struct runtime *runtimes[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(run_tree(&spec, &contexts[i], 2, &runtimes[i]), 0);
    for (int i = 0; i < 2; i++)
        while (__atomic_load_n(&contexts[i].started, __ATOMIC_RELAXED) < 2)
            usleep(1000);
    assert_int_equal(stop(runtimes[0], 7), 7);
    assert_int_equal(stop(runtimes[1], 8), 8);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(contexts[i].numbers[0], NUMBERS);
        assert_int_equal(contexts[i].numbers[1], NUMBERS);
        assert_int_equal(contexts[i].out_of_order, 0);
    }
}

/* --- giving up
 * ------------------------------------------------------------------------------------------ */

static int doomed_init(void *state, const void *argument) {
    actor_timer_start(1, BEGIN, 0);
    return 0;
}
static void doomed_begin(void *state, struct message **message) {
    actor_fail(4, "doomed");
}
static const struct actor_handler doomed_handlers[] = {[BEGIN] = {"begin", doomed_begin}};
static const struct actor_class doomed_class = {
    .name = "doomed", .init = doomed_init, .handlers = doomed_handlers, .handler_count = BEGIN + 1};

static void runtime_ends_when_the_root_gives_up(void **state) {
    static const struct supervisor_child children[] = {
        {.class = &child_class, .argument = &one}, {.class = &doomed_class, .every_shard = true}};
    static const struct supervisor_spec spec = {.name = "root",
                                                .restarts_max = 3,
                                                .period_ms = 60000,
                                                .backoff_ms_min = 1,
                                                .backoff_ms_max = 2,
                                                .children = children,
                                                .child_count = 2};
    struct context context = {0};
    struct runtime *runtime;
    assert_int_equal(run_tree(&spec, &context, 2, &runtime), 0);
    assert_int_equal(runtime_wait(runtime), RUNTIME_EXIT_ESCALATED);
    struct runtime_counters counters;
    runtime_counters_read(runtime, &counters);
    assert_int_equal(counters.supervisors_restarts, 3);
    assert_int_equal(counters.actors, 0);
    fixture_destroy(runtime);
    assert_int_equal(context.ended, 1);
}

/* --- from outside
 * ---------------------------------------------------------------------------------------- */

static void parked_shard_hears_a_thread(void **state) {
    static const struct supervisor_child children[] = {
        {.class = &receiver_class, .every_shard = true}};
    static const struct supervisor_spec spec = {
        .name = "root", .restarts_max = 1, .children = children, .child_count = 1};
    struct context context = {0};
    struct runtime *runtime;
    assert_int_equal(run_tree(&spec, &context, 2, &runtime), 0);
    struct actor_id to = {0};
    for (unsigned i = 0; i < runtime->name_count; i++)
        if (id_shard(runtime->names[i].actor) == 1)
            to = runtime->names[i].actor;
    for (uint64_t i = 0; i < NUMBERS / 100; i++) {
        struct message *number = message_of(NUMBER, i);
        runtime_send(runtime, to, &number);
        assert_null(number);
        while (i % 100 == 0 && fixture_class(runtime, "receiver")->messages <= i)
            usleep(100); /* it has parked or is about to */
    }
    while (fixture_class(runtime, "receiver")->messages < NUMBERS / 100)
        usleep(100);
    assert_int_equal(stop(runtime, 0), 0);
    assert_int_equal(context.numbers[1], NUMBERS / 100);
    assert_int_equal(context.out_of_order, 0);
}

/* A message that is published while nobody would wake the shard is found at the end of its rest. */
static void resting_shard_finds_what_came(void **state) {
    static const struct supervisor_child children[] = {
        {.class = &receiver_class, .every_shard = true}};
    static const struct supervisor_spec spec = {
        .name = "root", .restarts_max = 1, .children = children, .child_count = 1};
    struct context context = {0};
    struct runtime_options options = {.shards = 1,
                                      .seams = fixture_seams_threads(),
                                      .root = &spec,
                                      .context = &context,
                                      .pool_threads = 1,
                                      .actors_max = 1000,
                                      .batch_wait_us = 1000};
    struct runtime_counters counters = {0};
    struct runtime *runtime;
    uint64_t sent = 0;
    assert_int_equal(runtime_start(&options, &runtime), 0);
    struct actor_id to = runtime->names[0].actor;
    while (counters.rests < 100 && sent < NUMBERS) {
        for (unsigned i = 0; i < 10; i++) {
            struct message *number = message_of(NUMBER, sent++);
            runtime_send(runtime, to, &number);
        }
        while (fixture_class(runtime, "receiver")->messages < sent)
            usleep(10);
        runtime_counters_read(runtime, &counters);
    }
    assert_int_equal(stop(runtime, 0), 0);
    assert_in_range(counters.rests, 100, UINT32_MAX);
    assert_int_equal(context.numbers[0], sent);
}

/* --- the watchdog
 * ----------------------------------------------------------------------------------------- */

/* Does not return before the watchdog has seen it; 20 s are the test's own limit. */
static void slow_begin(void *state, struct message **message) {
    struct context *context = context_of();
    struct runtime_counters counters = {0};
    uint64_t start_ns = actor_now_ns();
    while (!counters.handler_overruns && actor_now_ns() - start_ns < 20000000000u)
        runtime_counters_read(runtime_current(), &counters);
    __atomic_store_n(&context->jobs, counters.handler_overruns, __ATOMIC_RELAXED);
    __atomic_fetch_add(&context->started, 1, __ATOMIC_RELAXED);
}
static const struct actor_handler slow_handlers[] = {[BEGIN] = {"begin", slow_begin}};
static const struct actor_class slow_class = {
    .name = "slow", .init = sender_init, .handlers = slow_handlers, .handler_count = BEGIN + 1};

static void watchdog_sees_a_handler_that_does_not_return(void **state) {
    static const struct supervisor_child children[] = {{.class = &slow_class}};
    static const struct supervisor_spec spec = {
        .name = "root", .restarts_max = 1, .children = children, .child_count = 1};
    struct context context = {0};
    struct runtime *runtime;
    assert_int_equal(run_tree(&spec, &context, 2, &runtime), 0);
    while (!__atomic_load_n(&context.started, __ATOMIC_RELAXED))
        usleep(1000);
    assert_int_equal(stop(runtime, 0), 0);
    assert_int_equal(context.jobs, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(children_stop_in_reverse_order),
        cmocka_unit_test(start_fails_with_what_a_child_returned),
        cmocka_unit_test(senders_order_holds_across_shards),
        cmocka_unit_test(two_runtimes_live_in_one_process),
        cmocka_unit_test(runtime_ends_when_the_root_gives_up),
        cmocka_unit_test(parked_shard_hears_a_thread),
        cmocka_unit_test(resting_shard_finds_what_came),
        cmocka_unit_test(watchdog_sees_a_handler_that_does_not_return),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

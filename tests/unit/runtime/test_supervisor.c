/* SPDX-License-Identifier: Apache-2.0 */
/* Supervisors: what is restarted, when, how often, in which order, and how it all stops. */
#include "tests/unit/runtime/fixture.h"

#include "runtime/control_internal.h"

#include <errno.h>
#include <string.h>

enum { FAIL = ACTOR_KIND_FIRST, END, SPAWN, HANG };

#define CHILDREN 8
/* What children do and say, by their number. */
static struct {
    struct actor_id ids[CHILDREN];
    unsigned born[CHILDREN], ended[CHILDREN], events;
    int order[256]; /* number when born, minus number when ended */
    int reasons[CHILDREN];
    uint64_t born_ms[CHILDREN][64];
    unsigned init_failures[CHILDREN]; /* left */
    bool hangs[CHILDREN];             /* ignores the request to stop */
    unsigned dynamic_born, dynamic_ended, dynamic_shards;
    int dynamic_reason, spawn_error;
} seen;

struct child {
    int number;
};
static int child_init(void *state, const void *argument) {
    struct child *child = state;
    child->number = *(const int *)argument;
    if (seen.init_failures[child->number]) {
        seen.init_failures[child->number]--;
        return -EAGAIN;
    }
    seen.ids[child->number] = actor_self();
    seen.born_ms[child->number][seen.born[child->number]++ % 64] = actor_now_ms();
    seen.order[seen.events++ % 256] = child->number;
    return 0;
}
static void child_terminate(void *state, int reason) {
    const struct child *child = state;
    seen.ended[child->number]++;
    seen.reasons[child->number] = reason;
    seen.order[seen.events++ % 256] = -child->number;
}
static void on_fail(void *state, struct message **message) {
    actor_fail((int)value_of(*message), "told to");
}
static void on_end(void *state, struct message **message) {
    actor_stop((int)value_of(*message));
}
static void on_stop(void *state, struct message **message) {
    const struct child *child = state;
    if (!seen.hangs[child->number])
        actor_stop(ACTOR_SHUTDOWN);
}
static const struct actor_handler child_handlers[] = {
    [ACTOR_STOP] = {"stop", on_stop}, [FAIL] = {"fail", on_fail}, [END] = {"end", on_end}};
static const struct actor_class child_class = {.name = "child",
                                               .state_bytes = sizeof(struct child),
                                               .init = child_init,
                                               .terminate = child_terminate,
                                               .handlers = child_handlers,
                                               .handler_count = END + 1};

static int dynamic_init(void *state, const void *argument) {
    seen.dynamic_born++;
    seen.dynamic_shards |= 1u << actor_shard();
    return 0;
}
static void dynamic_terminate(void *state, int reason) {
    seen.dynamic_ended++;
    seen.dynamic_reason = reason;
}
static const struct actor_handler dynamic_handlers[] = {
    [FAIL] = {"fail", on_fail}, [END] = {"end", on_end}};
static const struct actor_class dynamic_class = {.name = "dynamic",
                                                 .state_bytes = 8,
                                                 .init = dynamic_init,
                                                 .terminate = dynamic_terminate,
                                                 .handlers = dynamic_handlers,
                                                 .handler_count = END + 1};

static const int n1 = 1, n2 = 2, n3 = 3, n4 = 4;
#define CHILD(n, ...) \
    { .class = &child_class, .argument = &n, ##__VA_ARGS__ }

static struct runtime *begin(const struct supervisor_spec *spec, unsigned shards) {
    struct runtime_options options = {.shards = shards, .root = spec, .actors_max = 100000};
    memset(&seen, 0, sizeof seen);
    struct runtime *runtime = fixture_create_with(&options);
    assert_int_equal(runtime_start_root(runtime), 0);
    fixture_run(runtime);
    return runtime;
}
static void tell(struct runtime *runtime, struct actor_id to, uint16_t kind, uint64_t value) {
    fixture_send(to, kind, value);
    fixture_run(runtime);
}
/* Stops the tree and the runtime; the root has ended in order. */
static void stop_all(struct runtime *runtime, int reason) {
    if (runtime->root_id.bits) {
        struct message *message = message_create(ACTOR_STOP, 0);
        shard_post(runtime->shards[0], runtime->root_id, &message);
    }
    fixture_run_ms(runtime, 20000);
    assert_true(runtime->root_ended);
    assert_int_equal(runtime->root_reason, reason);
    for (unsigned i = 0; i < runtime->shard_count; i++)
        assert_int_equal(runtime->shards[i]->counters.actors, 0);
    fixture_destroy(runtime);
}
static void assert_order(const int *expected, unsigned count) {
    assert_int_equal(seen.events, count);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(seen.order[i], expected[i]);
}

/* --- start and stop
 * ---------------------------------------------------------------------------------- */

static const struct supervisor_child three[] = {CHILD(n1), CHILD(n2), CHILD(n3)};
static const struct supervisor_child inner_children[] = {CHILD(n2), CHILD(n3)};
static const struct supervisor_spec inner = {.name = "inner",
                                             .restarts_max = 1,
                                             .period_ms = 10000,
                                             .children = inner_children,
                                             .child_count = 2};

static void children_start_in_order_and_stop_in_reverse(void **state) {
    static const struct supervisor_child children[] = {
        CHILD(n1), {.supervisor = &inner}, CHILD(n4)};
    static const struct supervisor_spec spec = {
        .name = "root", .restarts_max = 1, .children = children, .child_count = 3};
    struct runtime *runtime = begin(&spec, 1);
    assert_true(runtime->root_started);
    assert_int_equal(runtime->start_error, 0);
    stop_all(runtime, ACTOR_SHUTDOWN);
    assert_order((int[]){1, 2, 3, 4, -4, -3, -2, -1}, 8);
}

static void child_that_does_not_stop_in_time_is_killed(void **state) {
    static const struct supervisor_child children[] = {CHILD(n1), CHILD(n2, .shutdown_ms = 200),
                                                       CHILD(n3)};
    static const struct supervisor_spec spec = {
        .name = "root", .restarts_max = 1, .children = children, .child_count = 3};
    struct runtime *runtime = begin(&spec, 1);
    seen.hangs[2] = true;
    struct message *message = message_create(ACTOR_STOP, 0);
    shard_post(runtime->shards[0], runtime->root_id, &message);
    fixture_run_ms(runtime, 190);
    assert_int_equal(seen.ended[3], 1);
    assert_int_equal(seen.ended[2], 0);
    assert_int_equal(seen.ended[1], 0);
    fixture_run_ms(runtime, 20);
    assert_int_equal(seen.reasons[2], ACTOR_KILLED);
    assert_int_equal(seen.ended[1], 1);
    stop_all(runtime, ACTOR_SHUTDOWN);
}

static void child_to_be_killed_at_once_is_not_asked(void **state) {
    static const struct supervisor_child children[] = {CHILD(n1),
                                                       CHILD(n2, .shutdown_ms = SHUTDOWN_AT_ONCE)};
    static const struct supervisor_spec spec = {
        .name = "root", .restarts_max = 1, .children = children, .child_count = 2};
    struct runtime *runtime = begin(&spec, 1);
    struct message *message = message_create(ACTOR_STOP, 0);
    shard_post(runtime->shards[0], runtime->root_id, &message);
    fixture_run(runtime);
    assert_int_equal(seen.reasons[2], ACTOR_KILLED);
    assert_int_equal(seen.reasons[1], ACTOR_SHUTDOWN);
    assert_order((int[]){1, 2, -2, -1}, 4);
    stop_all(runtime, ACTOR_SHUTDOWN);
}

static void child_without_a_limit_may_take_an_hour(void **state) {
    static const struct supervisor_child children[] = {
        CHILD(n1), CHILD(n2, .shutdown_ms = SHUTDOWN_UNLIMITED)};
    static const struct supervisor_spec spec = {
        .name = "root", .restarts_max = 1, .children = children, .child_count = 2};
    struct runtime *runtime = begin(&spec, 1);
    seen.hangs[2] = true;
    struct message *message = message_create(ACTOR_STOP, 0);
    shard_post(runtime->shards[0], runtime->root_id, &message);
    fixture_run(runtime);
    fixture_advance_ms(3600000);
    fixture_run(runtime);
    assert_int_equal(seen.ended[2], 0);
    tell(runtime, seen.ids[2], END, ACTOR_NORMAL);
    assert_int_equal(seen.reasons[2], ACTOR_NORMAL);
    stop_all(runtime, ACTOR_SHUTDOWN);
}

/* --- restarts
 * -------------------------------------------------------------------------------------------- */

static const struct supervisor_spec one_for_one = {.name = "root",
                                                   .restarts_max = 3,
                                                   .period_ms = 10000,
                                                   .backoff_ms_min = 10,
                                                   .backoff_ms_max = 1000,
                                                   .children = three,
                                                   .child_count = 3};

static void failed_child_alone_is_restarted_after_a_backoff(void **state) {
    struct runtime *runtime = begin(&one_for_one, 1);
    uint64_t failed_ms = actor_now_ms();
    tell(runtime, seen.ids[2], FAIL, 1);
    assert_int_equal(seen.born[2], 1);
    fixture_run_ms(runtime, 20);
    assert_int_equal(seen.born[1], 1);
    assert_int_equal(seen.born[2], 2);
    assert_int_equal(seen.born[3], 1);
    assert_true(seen.born_ms[2][1] - failed_ms >= 5);
    assert_int_equal(runtime->shards[0]->counters.restarts, 1);
    stop_all(runtime, ACTOR_SHUTDOWN);
}

static void permanent_child_is_restarted_after_a_normal_end(void **state) {
    struct runtime *runtime = begin(&one_for_one, 1);
    tell(runtime, seen.ids[1], END, ACTOR_NORMAL);
    fixture_run_ms(runtime, 20);
    assert_int_equal(seen.born[1], 2);
    stop_all(runtime, ACTOR_SHUTDOWN);
}

static void transient_and_temporary_children_are_restarted_as_they_say(void **state) {
    static const struct supervisor_child children[] = {CHILD(n1, .restart = RESTART_TRANSIENT),
                                                       CHILD(n2, .restart = RESTART_TRANSIENT),
                                                       CHILD(n3, .restart = RESTART_TEMPORARY)};
    static const struct supervisor_spec spec = {
        .name = "root", .restarts_max = 3, .children = children, .child_count = 3};
    struct runtime *runtime = begin(&spec, 1);
    tell(runtime, seen.ids[1], END, ACTOR_NORMAL);
    tell(runtime, seen.ids[2], FAIL, 1);
    tell(runtime, seen.ids[3], FAIL, 1);
    fixture_run_ms(runtime, 100);
    assert_int_equal(seen.born[1], 1);
    assert_int_equal(seen.born[2], 2);
    assert_int_equal(seen.born[3], 1);
    stop_all(runtime, ACTOR_SHUTDOWN);
}

static void backoff_doubles_with_jitter_up_to_its_maximum(void **state) {
    static const struct supervisor_child children[] = {CHILD(n1)};
    static const struct supervisor_spec spec = {.name = "root",
                                                .restarts_max = 100,
                                                .period_ms = 1000000,
                                                .backoff_ms_min = 16,
                                                .backoff_ms_max = 300,
                                                .children = children,
                                                .child_count = 1};
    struct runtime *runtime = begin(&spec, 1);
    uint64_t expected = 16;
    for (unsigned i = 1; i <= 10; i++) {
        uint64_t failed_ms = actor_now_ms();
        tell(runtime, seen.ids[1], FAIL, 1);
        fixture_run_ms(runtime, 310);
        assert_int_equal(seen.born[1], i + 1);
        uint64_t delay_ms = seen.born_ms[1][i] - failed_ms;
        assert_true(delay_ms >= expected / 2 && delay_ms <= expected + 2);
        expected = expected * 2 > 300 ? 300 : expected * 2;
    }
    stop_all(runtime, ACTOR_SHUTDOWN);
}

static void too_many_restarts_within_the_period_end_the_supervisor(void **state) {
    struct runtime *runtime = begin(&one_for_one, 1);
    for (int i = 0; i < 3; i++) {
        tell(runtime, seen.ids[2], FAIL, 1);
        fixture_run_ms(runtime, 100);
    }
    assert_int_equal(seen.born[2], 4);
    assert_false(runtime->root_ended);
    tell(runtime, seen.ids[2], FAIL, 1);
    stop_all(runtime, SUPERVISOR_ESCALATED);
    assert_int_equal(seen.born[2], 4);
    assert_int_equal(seen.ended[1], 1);
    assert_int_equal(seen.reasons[3], ACTOR_SHUTDOWN);
}

static void restarts_spread_over_more_than_the_period_are_endured(void **state) {
    struct runtime *runtime = begin(&one_for_one, 1);
    for (int i = 0; i < 12; i++) {
        tell(runtime, seen.ids[2], FAIL, 1);
        fixture_run_ms(runtime, 4000);
    }
    assert_int_equal(seen.born[2], 13);
    assert_false(runtime->root_ended);
    stop_all(runtime, ACTOR_SHUTDOWN);
}

static void init_that_fails_in_a_restart_is_tried_again(void **state) {
    struct runtime *runtime = begin(&one_for_one, 1);
    seen.init_failures[1] = 2;
    tell(runtime, seen.ids[1], FAIL, 1);
    fixture_run_ms(runtime, 200);
    assert_int_equal(seen.init_failures[1], 0);
    assert_int_equal(seen.born[1], 2);
    stop_all(runtime, ACTOR_SHUTDOWN);
}

static void child_that_cannot_start_ends_those_before_it(void **state) {
    for (int below = 0; below < 2; below++) { /* of the root; of a supervisor below it */
        static const struct supervisor_child nested[] = {CHILD(n1), {.supervisor = &inner}};
        struct supervisor_spec spec = one_for_one;
        struct runtime_options options = {.shards = 1, .root = &spec, .actors_max = 1000};
        memset(&seen, 0, sizeof seen);
        seen.init_failures[3] = 1;
        if (below) {
            spec.children = nested;
            spec.child_count = 2;
        }
        struct runtime *runtime = fixture_create_with(&options);
        runtime_start_root(runtime);
        fixture_run_ms(runtime, 100);
        assert_int_equal(runtime->start_error, -EAGAIN);
        if (below)
            assert_order((int[]){1, 2, -1, -2}, 4);
        else
            assert_order((int[]){1, 2, -2, -1}, 4);
        assert_int_equal(seen.reasons[2], below ? ACTOR_KILLED : ACTOR_SHUTDOWN);
        stop_all(runtime, SUPERVISOR_ESCALATED);
    }
}

static void inner_supervisor_that_gives_up_is_restarted_by_the_outer(void **state) {
    static const struct supervisor_child children[] = {CHILD(n1), {.supervisor = &inner}};
    static const struct supervisor_spec spec = {
        .name = "root", .restarts_max = 5, .children = children, .child_count = 2};
    struct runtime *runtime = begin(&spec, 1);
    tell(runtime, seen.ids[3], FAIL, 1);
    fixture_run_ms(runtime, 100);
    tell(runtime, seen.ids[3], FAIL, 1);
    fixture_run_ms(runtime, 100);
    assert_int_equal(seen.born[1], 1);
    assert_int_equal(seen.born[2], 2); /* with its whole family */
    assert_int_equal(seen.born[3], 3);
    stop_all(runtime, ACTOR_SHUTDOWN);
}

static void one_for_all_restarts_all_in_order(void **state) {
    struct supervisor_spec spec = one_for_one;
    spec.strategy = SUPERVISE_ONE_FOR_ALL;
    struct runtime *runtime = begin(&spec, 1);
    tell(runtime, seen.ids[2], FAIL, 1);
    fixture_run_ms(runtime, 100);
    assert_order((int[]){1, 2, 3, -2, -3, -1, 1, 2, 3}, 9);
    stop_all(runtime, ACTOR_SHUTDOWN);
}

static void rest_for_one_restarts_those_behind(void **state) {
    struct supervisor_spec spec = one_for_one;
    spec.strategy = SUPERVISE_REST_FOR_ONE;
    struct runtime *runtime = begin(&spec, 1);
    tell(runtime, seen.ids[2], FAIL, 1);
    fixture_run_ms(runtime, 100);
    assert_order((int[]){1, 2, 3, -2, -3, 2, 3}, 7);
    stop_all(runtime, ACTOR_SHUTDOWN);
}

static void temporary_child_does_not_come_back_with_its_group(void **state) {
    static const struct supervisor_child children[] = {
        CHILD(n1), CHILD(n2, .restart = RESTART_TEMPORARY), CHILD(n3, .restart = RESTART_TRANSIENT),
        CHILD(n4)};
    static const struct supervisor_spec spec = {.name = "root",
                                                .strategy = SUPERVISE_ONE_FOR_ALL,
                                                .restarts_max = 3,
                                                .children = children,
                                                .child_count = 4};
    struct runtime *runtime = begin(&spec, 1);
    tell(runtime, seen.ids[3], END, ACTOR_NORMAL); /* it comes back: its place is kept */
    tell(runtime, seen.ids[1], FAIL, 1);
    fixture_run_ms(runtime, 100);
    assert_order((int[]){1, 2, 3, 4, -3, -1, -4, -2, 1, 3, 4}, 11);
    tell(runtime, seen.ids[1], FAIL, 1);
    fixture_run_ms(runtime, 100);
    assert_int_equal(seen.born[2], 1);
    assert_int_equal(seen.born[4], 3);
    stop_all(runtime, ACTOR_SHUTDOWN);
}

static void no_restart_is_endured_where_none_is_allowed(void **state) {
    struct supervisor_spec spec = one_for_one;
    spec.restarts_max = 0;
    struct runtime *runtime = begin(&spec, 1);
    tell(runtime, seen.ids[2], FAIL, 1);
    stop_all(runtime, SUPERVISOR_ESCALATED);
    assert_int_equal(seen.born[2], 1);
    assert_order((int[]){1, 2, 3, -2, -3, -1}, 6);
}

/* --- significant children
 * --------------------------------------------------------------------------------------- */

static const struct supervisor_child significant[] = {
    CHILD(n1), CHILD(n2, .restart = RESTART_TRANSIENT, .significant = true),
    CHILD(n3, .restart = RESTART_TEMPORARY, .significant = true),
    CHILD(n4, .restart = RESTART_TEMPORARY)};

static struct runtime *begin_significant(enum supervisor_auto_shutdown auto_shutdown) {
    static struct supervisor_spec spec;
    spec = (struct supervisor_spec){.name = "root",
                                    .auto_shutdown = auto_shutdown,
                                    .restarts_max = 3,
                                    .children = significant,
                                    .child_count = 4};
    return begin(&spec, 1);
}

static void end_of_any_significant_child_can_end_the_supervisor(void **state) {
    struct runtime *runtime = begin_significant(AUTO_SHUTDOWN_ANY);
    tell(runtime, seen.ids[4], END, ACTOR_NORMAL); /* not significant */
    tell(runtime, seen.ids[2], FAIL, 1);           /* restarted: not its end */
    fixture_run_ms(runtime, 100);
    assert_int_equal(seen.born[2], 2);
    assert_false(runtime->root_ended);
    tell(runtime, seen.ids[2], END, ACTOR_NORMAL);
    assert_true(runtime->root_ended);
    assert_int_equal(seen.reasons[1], ACTOR_SHUTDOWN);
    stop_all(runtime, ACTOR_SHUTDOWN);
}

static void end_of_all_significant_children_can_end_the_supervisor(void **state) {
    struct runtime *runtime = begin_significant(AUTO_SHUTDOWN_ALL);
    tell(runtime, seen.ids[3], FAIL, 1); /* temporary: this is its end */
    assert_false(runtime->root_ended);
    tell(runtime, seen.ids[2], END, ACTOR_SHUTDOWN);
    stop_all(runtime, ACTOR_SHUTDOWN);
}

static void significant_children_end_nobody_unless_asked(void **state) {
    struct runtime *runtime = begin_significant(AUTO_SHUTDOWN_NEVER);
    tell(runtime, seen.ids[3], END, ACTOR_NORMAL);
    tell(runtime, seen.ids[2], END, ACTOR_NORMAL);
    assert_false(runtime->root_ended);
    stop_all(runtime, ACTOR_SHUTDOWN);
}

static void permanent_child_cannot_be_significant(void **state) {
    static const struct supervisor_child children[] = {CHILD(n1, .significant = true)};
    static const struct supervisor_spec spec = {
        .name = "root", .restarts_max = 1, .children = children, .child_count = 1};
    struct runtime_options options = {.shards = 1, .root = &spec, .actors_max = 1000};
    struct runtime *runtime = fixture_create_with(&options);
    assert_int_equal(runtime_start_root(runtime), -EINVAL);
    fixture_destroy(runtime);
}

/* --- every shard
 * ------------------------------------------------------------------------------------------ */

static const struct supervisor_child every[] = {CHILD(n1, .every_shard = true),
                                                CHILD(n2, .every_shard = true)};

static void child_on_every_shard_starts_and_restarts_there(void **state) {
    static const struct supervisor_spec spec = {
        .name = "root", .restarts_max = 3, .children = every, .child_count = 2};
    struct runtime *runtime = begin(&spec, 3);
    assert_true(runtime->root_started);
    assert_order((int[]){1, 1, 1, 2, 2, 2}, 6);
    assert_int_equal(id_shard(seen.ids[2]), 2);
    tell(runtime, seen.ids[2], FAIL, 1);
    fixture_run_ms(runtime, 100);
    assert_int_equal(seen.born[2], 4);
    assert_int_equal(id_shard(seen.ids[2]), 2);
    stop_all(runtime, ACTOR_SHUTDOWN);
    assert_int_equal(seen.ended[1], 3);
    assert_int_equal(seen.ended[2], 4);
}

static void child_on_every_shard_that_cannot_start_stops_all(void **state) {
    static const struct supervisor_spec spec = {
        .name = "root", .restarts_max = 3, .children = every, .child_count = 2};
    struct runtime_options options = {.shards = 3, .root = &spec, .actors_max = 1000};
    memset(&seen, 0, sizeof seen);
    struct runtime *runtime = fixture_create_with(&options);
    seen.init_failures[2] = 1;
    runtime_start_root(runtime);
    fixture_run_ms(runtime, 100);
    assert_true(runtime->root_started);
    assert_int_equal(runtime->start_error, -EAGAIN);
    stop_all(runtime, SUPERVISOR_ESCALATED);
    assert_int_equal(seen.ended[1], 3);
}

/* --- dynamic children
 * ---------------------------------------------------------------------------------------- */

static const struct supervisor_child with_dynamic[] = {
    CHILD(n1), {.class = &dynamic_class, .dynamic = true}, CHILD(n2)};
static const struct supervisor_spec dynamic_spec = {.name = "root",
                                                    .restarts_max = 2,
                                                    .period_ms = 10000,
                                                    .children = with_dynamic,
                                                    .child_count = 3};

static struct actor_id spawn_dynamic(struct runtime *runtime, unsigned shard) {
    struct actor_id id = {0};
    fixture_enter(runtime, shard);
    seen.spawn_error = actor_spawn(&dynamic_class, NULL, runtime->root_id, &id);
    fixture_enter(runtime, 0);
    return id;
}

static void dynamic_children_are_counted_and_stopped_everywhere(void **state) {
    struct runtime *runtime = begin(&dynamic_spec, 2);
    for (int i = 0; i < 5000; i++)
        spawn_dynamic(runtime, (unsigned)i % 2);
    assert_int_equal(seen.dynamic_shards, 3);
    fixture_run(runtime);
    const struct brood *brood = map_get(&runtime->shards[0]->broods, runtime->root_id.bits);
    while (brood->class == NULL)
        brood = brood->next;
    assert_int_equal(brood->count, 2500);
    stop_all(runtime, ACTOR_SHUTDOWN);
    assert_int_equal(seen.dynamic_ended, 5000);
    assert_int_equal(seen.dynamic_reason, ACTOR_SHUTDOWN);
}

static void named_actors_are_dynamic_children_and_not_restarted(void **state) {
    struct runtime *runtime = begin(&dynamic_spec, 1);
    struct message *message = message_of(FAIL, 7);
    assert_int_equal(actor_send_named(&dynamic_class, 5, &message), 0);
    fixture_run_ms(runtime, 100);
    assert_int_equal(seen.dynamic_born, 1);
    assert_int_equal(seen.dynamic_reason, 7);
    message = message_of(END, 0);
    assert_int_equal(actor_send_named(&dynamic_class, 5, &message), 0);
    fixture_run_ms(runtime, 100);
    assert_int_equal(seen.dynamic_born, 2);
    stop_all(runtime, ACTOR_SHUTDOWN);
}

static void failures_of_dynamic_children_count(void **state) {
    struct runtime *runtime = begin(&dynamic_spec, 2);
    for (unsigned i = 0; i < 2; i++)
        tell(runtime, spawn_dynamic(runtime, i), FAIL, 7);
    for (unsigned i = 0; i < 10; i++)
        tell(runtime, spawn_dynamic(runtime, i % 2), END, ACTOR_NORMAL);
    assert_false(runtime->root_ended);
    tell(runtime, spawn_dynamic(runtime, 1), FAIL, 7);
    stop_all(runtime, SUPERVISOR_ESCALATED);
}

static void supervisor_that_stops_takes_no_children(void **state) {
    struct runtime *runtime = begin(&dynamic_spec, 1);
    struct actor_id root = runtime->root_id;
    seen.hangs[1] = true;
    struct message *message = message_create(ACTOR_STOP, 0);
    shard_post(runtime->shards[0], root, &message);
    fixture_run(runtime);
    spawn_dynamic(runtime, 0);
    assert_int_equal(seen.spawn_error, -ESRCH);
    stop_all(runtime, ACTOR_SHUTDOWN);
}

static void children_of_a_killed_supervisor_end_on_every_shard(void **state) {
    struct runtime *runtime = begin(&dynamic_spec, 2);
    for (unsigned i = 0; i < 10; i++)
        spawn_dynamic(runtime, i % 2);
    actor_kill(runtime->root_id, ACTOR_KILLED);
    stop_all(runtime, ACTOR_KILLED);
    assert_int_equal(seen.dynamic_ended, 10);
    assert_int_equal(seen.ended[1], 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(children_start_in_order_and_stop_in_reverse),
        cmocka_unit_test(child_that_does_not_stop_in_time_is_killed),
        cmocka_unit_test(child_to_be_killed_at_once_is_not_asked),
        cmocka_unit_test(child_without_a_limit_may_take_an_hour),
        cmocka_unit_test(failed_child_alone_is_restarted_after_a_backoff),
        cmocka_unit_test(permanent_child_is_restarted_after_a_normal_end),
        cmocka_unit_test(transient_and_temporary_children_are_restarted_as_they_say),
        cmocka_unit_test(backoff_doubles_with_jitter_up_to_its_maximum),
        cmocka_unit_test(too_many_restarts_within_the_period_end_the_supervisor),
        cmocka_unit_test(restarts_spread_over_more_than_the_period_are_endured),
        cmocka_unit_test(init_that_fails_in_a_restart_is_tried_again),
        cmocka_unit_test(child_that_cannot_start_ends_those_before_it),
        cmocka_unit_test(inner_supervisor_that_gives_up_is_restarted_by_the_outer),
        cmocka_unit_test(one_for_all_restarts_all_in_order),
        cmocka_unit_test(rest_for_one_restarts_those_behind),
        cmocka_unit_test(temporary_child_does_not_come_back_with_its_group),
        cmocka_unit_test(no_restart_is_endured_where_none_is_allowed),
        cmocka_unit_test(end_of_any_significant_child_can_end_the_supervisor),
        cmocka_unit_test(end_of_all_significant_children_can_end_the_supervisor),
        cmocka_unit_test(significant_children_end_nobody_unless_asked),
        cmocka_unit_test(permanent_child_cannot_be_significant),
        cmocka_unit_test(child_on_every_shard_starts_and_restarts_there),
        cmocka_unit_test(child_on_every_shard_that_cannot_start_stops_all),
        cmocka_unit_test(dynamic_children_are_counted_and_stopped_everywhere),
        cmocka_unit_test(named_actors_are_dynamic_children_and_not_restarted),
        cmocka_unit_test(failures_of_dynamic_children_count),
        cmocka_unit_test(supervisor_that_stops_takes_no_children),
        cmocka_unit_test(children_of_a_killed_supervisor_end_on_every_shard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

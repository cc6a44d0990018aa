/* SPDX-License-Identifier: Apache-2.0 */
/* What others ask of a supervisor: how many, which, and to stop or start one child. */
#include "tests/unit/runtime/fixture.h"

#include "runtime/control_internal.h"

#include <errno.h>
#include <string.h>

enum { FAIL = ACTOR_KIND_FIRST, ASK, GO };

static struct {
    unsigned born[8], ended[8];
    bool fails[8]; /* init does */
    bool hangs;    /* ignores the request to stop */
    int reason;
    struct actor_id ids[8];
    /* of the asker */
    struct actor_id asker, supervisor;
    uint64_t reference;
    unsigned answers, unanswered;
    struct supervisor_answer answer;
    struct supervisor_row rows[16];
} seen;

/* --- children */

static int child_init(void *state, const void *argument) {
    int number = *(int *)state = argument ? *(const int *)argument : 0;
    if (seen.fails[number])
        return -EIO;
    seen.born[number]++;
    seen.ids[number] = actor_self();
    return 0;
}
static void child_terminate(void *state, int reason) {
    seen.ended[*(int *)state]++;
    seen.reason = reason;
}
static void on_fail(void *state, struct message **message) {
    actor_fail(1, "told to");
}
static void on_stop(void *state, struct message **message) {
    if (!seen.hangs)
        actor_stop(ACTOR_SHUTDOWN);
}
static const struct actor_handler child_handlers[] = {
    [ACTOR_STOP] = {"stop", on_stop}, [FAIL] = {"fail", on_fail}};
static const struct actor_class child_class = {.name = "child",
                                               .state_bytes = sizeof(int),
                                               .init = child_init,
                                               .terminate = child_terminate,
                                               .handlers = child_handlers,
                                               .handler_count = FAIL + 1};
static const struct actor_class dynamic_class = {.name = "dynamic"};

/* --- who asks */

struct question {
    enum supervisor_question question;
    uint32_t place;
};
static void on_ask(void *state, struct message **message) {
    const struct question *question = message_as(*message, struct question);
    assert_int_equal(supervisor_ask(seen.supervisor, question->question, question->place, 60000,
                                    &seen.reference),
                     0);
}
static void on_answer(void *state, struct message **message) {
    const struct supervisor_answer *answer = message_as(*message, struct supervisor_answer);
    assert_int_equal(message_reference(*message), seen.reference);
    seen.answers++;
    seen.answer = *answer;
    assert_in_range(answer->row_count, 0, 16);
    memcpy(seen.rows, answer->rows, answer->row_count * sizeof *answer->rows);
}
static void on_unanswered(void *state, struct message **message) {
    seen.unanswered++;
}
static const struct actor_handler asker_handlers[] = {
    [SUPERVISOR_ANSWER] = {"answer", on_answer},
    [ACTOR_UNANSWERED] = {"unanswered", on_unanswered},
    [ASK] = {"ask", on_ask},
};
static const struct actor_class asker_class = {
    .name = "asker", .handlers = asker_handlers, .handler_count = ASK + 1};

/* --- the tree */

static const int n1 = 1, n2 = 2, n3 = 3;
static const struct supervisor_child inner_children[] = {{.class = &child_class, .argument = &n3}};
static const struct supervisor_spec inner = {
    .name = "inner", .restarts_max = 1, .children = inner_children, .child_count = 1};
static const struct supervisor_child children[] = {
    {.class = &child_class, .argument = &n1},
    {.class = &child_class, .argument = &n2, .every_shard = true, .shutdown_ms = 200},
    {.supervisor = &inner},
    {.class = &dynamic_class, .dynamic = true},
};
static const struct supervisor_spec spec = {.name = "root",
                                            .restarts_max = 3,
                                            .backoff_ms_min = 100,
                                            .children = children,
                                            .child_count = 4};
/* Places: 0 the first; 1 and 2 the second, on each shard; 3 the supervisor; 4 the pool. */

static struct runtime *begin(void) {
    struct runtime_options options = {.shards = 2, .root = &spec, .actors_max = 10000};
    memset(&seen, 0, sizeof seen);
    struct runtime *runtime = fixture_create_with(&options);
    assert_int_equal(runtime_start_root(runtime), 0);
    fixture_run(runtime);
    seen.supervisor = runtime->root_id;
    fixture_enter(runtime, 1);
    assert_int_equal(actor_spawn(&asker_class, NULL, ACTOR_NOBODY, &seen.asker), 0);
    fixture_enter(runtime, 0);
    return runtime;
}

static void ask_only(struct runtime *runtime, enum supervisor_question question, uint32_t place) {
    struct message *message = message_create(ASK, sizeof(struct question));
    *message_as(message, struct question) = (struct question){question, place};
    assert_int_equal(actor_send(seen.asker, &message), 0);
    fixture_run(runtime);
}

/* And has it answered. */
static int ask(struct runtime *runtime, enum supervisor_question question, uint32_t place) {
    unsigned before = seen.answers;
    ask_only(runtime, question, place);
    assert_int_equal(seen.answers, before + 1);
    assert_int_equal(seen.answer.question, question);
    return seen.answer.error;
}

static void finish(struct runtime *runtime) {
    struct message *message = message_create(ACTOR_STOP, 0);
    seen.hangs = false;
    shard_post(runtime->shards[0], runtime->root_id, &message);
    fixture_run_ms(runtime, 1000);
    assert_true(runtime->root_ended);
    fixture_destroy(runtime);
}

/* --- tests */

static void children_are_counted_on_all_shards(void **state) {
    struct runtime *runtime = begin();
    for (unsigned i = 0; i < 30; i++) {
        fixture_enter(runtime, i % 3 ? 1 : 0);
        assert_int_equal(actor_spawn(&dynamic_class, NULL, runtime->root_id, NULL), 0);
    }
    fixture_enter(runtime, 0);
    fixture_run(runtime);
    assert_int_equal(ask(runtime, SUPERVISOR_COUNT, 0), 0);
    assert_int_equal(seen.answer.counts.places, 4);
    assert_int_equal(seen.answer.counts.running, 4);
    assert_int_equal(seen.answer.counts.supervisors, 1);
    assert_int_equal(seen.answer.counts.waiting, 0);
    assert_int_equal(seen.answer.counts.dynamic, 30);
    fixture_send(seen.ids[1], FAIL, 0);
    fixture_run(runtime);
    assert_int_equal(ask(runtime, SUPERVISOR_COUNT, 0), 0);
    assert_int_equal(seen.answer.counts.running, 3);
    assert_int_equal(seen.answer.counts.waiting, 1);
    finish(runtime);
}

static void children_are_listed_in_start_order(void **state) {
    struct runtime *runtime = begin();
    fixture_send(seen.ids[1], FAIL, 0);
    fixture_run(runtime);
    assert_int_equal(ask(runtime, SUPERVISOR_LIST, 0), 0);
    assert_int_equal(seen.answer.row_count, 5);
    assert_int_equal(seen.rows[0].state, SUPERVISED_WAITING);
    assert_int_equal(seen.rows[0].actor.bits, 0);
    for (unsigned i = 1; i < 5; i++) {
        assert_int_equal(seen.rows[i].place, i);
        assert_int_equal(seen.rows[i].state, SUPERVISED_RUNNING);
        assert_int_equal(seen.rows[i].shard, i == 2);
        assert_int_equal(seen.rows[i].is_supervisor, i == 3);
        assert_int_equal(seen.rows[i].is_dynamic, i == 4);
    }
    assert_int_equal(seen.rows[2].actor.bits, seen.ids[2].bits);
    assert_string_equal(seen.rows[2].name, "child");
    assert_string_equal(seen.rows[3].name, "inner");
    assert_string_equal(seen.rows[4].name, "dynamic");
    assert_int_equal(ask(runtime, SUPERVISOR_LIST, 4), 0);
    assert_int_equal(seen.answer.row_count, 1);
    assert_int_equal(seen.rows[0].place, 4);
    assert_int_equal(ask(runtime, SUPERVISOR_LIST, 5), 0);
    assert_int_equal(seen.answer.row_count, 0);
    finish(runtime);
}

static void supervisor_below_can_be_asked_too(void **state) {
    struct runtime *runtime = begin();
    assert_int_equal(ask(runtime, SUPERVISOR_LIST, 3), 0);
    seen.supervisor = seen.rows[0].actor;
    assert_int_equal(ask(runtime, SUPERVISOR_LIST, 0), 0);
    assert_int_equal(seen.answer.row_count, 1);
    assert_int_equal(seen.rows[0].actor.bits, seen.ids[3].bits);
    finish(runtime);
}

static void child_that_was_ended_stays_so_until_it_is_resumed(void **state) {
    struct runtime *runtime = begin();
    for (uint32_t place = 0; place < 3; place++) { /* here and on the other shard */
        int number = place == 0 ? 1 : 2;
        unsigned born = seen.born[number], ended = seen.ended[number];
        assert_int_equal(ask(runtime, SUPERVISOR_END, place), 0);
        assert_int_equal(seen.ended[number], ended + 1);
        assert_int_equal(seen.reason, ACTOR_SHUTDOWN);
        fixture_run_ms(runtime, 300);
        assert_int_equal(seen.born[number], born);
        assert_int_equal(ask(runtime, SUPERVISOR_END, place), 0); /* it is, already */
        assert_int_equal(ask(runtime, SUPERVISOR_RESUME, place), 0);
        assert_int_equal(seen.born[number], born + 1);
        assert_int_equal(ask(runtime, SUPERVISOR_RESUME, place), -EEXIST);
    }
    fixture_send(seen.ids[1], FAIL, 0); /* as before it is restarted */
    fixture_run_ms(runtime, 150);
    assert_int_equal(seen.born[1], 3);
    finish(runtime);
}

static void end_is_answered_when_the_child_has_ended(void **state) {
    struct runtime *runtime = begin();
    seen.hangs = true;
    ask_only(runtime, SUPERVISOR_END, 1);
    fixture_run_ms(runtime, 190);
    assert_int_equal(seen.answers, 0);
    assert_int_equal(ask(runtime, SUPERVISOR_RESUME, 1), -EBUSY);
    unsigned answers = seen.answers;
    seen.reference--; /* of the first question */
    fixture_run_ms(runtime, 20);
    assert_int_equal(seen.answers, answers + 1);
    assert_int_equal(seen.answer.question, SUPERVISOR_END);
    assert_int_equal(seen.answer.error, 0);
    assert_int_equal(seen.reason, ACTOR_KILLED);
    finish(runtime);
}

static void child_that_waits_for_its_restart_can_be_ended(void **state) {
    struct runtime *runtime = begin();
    fixture_send(seen.ids[1], FAIL, 0);
    fixture_run(runtime);
    assert_int_equal(ask(runtime, SUPERVISOR_RESUME, 0), -EAGAIN);
    assert_int_equal(ask(runtime, SUPERVISOR_END, 0), 0);
    fixture_run_ms(runtime, 1000);
    assert_int_equal(seen.born[1], 1);
    finish(runtime);
}

static void child_that_cannot_be_resumed_is_not_tried_again(void **state) {
    struct runtime *runtime = begin();
    seen.fails[1] = seen.fails[2] = true;
    for (uint32_t place = 0; place < 3; place++) {
        assert_int_equal(ask(runtime, SUPERVISOR_END, place), 0);
        assert_int_equal(ask(runtime, SUPERVISOR_RESUME, place), -EIO);
    }
    fixture_run_ms(runtime, 1000);
    assert_false(runtime->root_ended);
    assert_int_equal(seen.born[1], 1);
    assert_int_equal(seen.born[2], 2);
    seen.fails[1] = false;
    assert_int_equal(ask(runtime, SUPERVISOR_RESUME, 0), 0);
    assert_int_equal(ask(runtime, SUPERVISOR_END, 99), -ENOENT);
    finish(runtime);
}

static void pool_that_was_ended_takes_children_again_when_resumed(void **state) {
    struct runtime *runtime = begin();
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(actor_spawn(&dynamic_class, NULL, runtime->root_id, NULL), 0);
    assert_int_equal(ask(runtime, SUPERVISOR_END, 4), 0);
    assert_int_equal(fixture_class(runtime, "dynamic")->actors, 0);
    assert_int_equal(actor_spawn(&dynamic_class, NULL, runtime->root_id, NULL), -ESRCH);
    assert_int_equal(ask(runtime, SUPERVISOR_RESUME, 4), 0);
    assert_int_equal(actor_spawn(&dynamic_class, NULL, runtime->root_id, NULL), 0);
    finish(runtime);
}

static void stop_of_all_waits_for_a_child_that_is_being_ended(void **state) {
    struct runtime *runtime = begin();
    seen.hangs = true;
    ask_only(runtime, SUPERVISOR_END, 0);
    struct message *message = message_create(ACTOR_STOP, 0);
    shard_post(runtime->shards[0], runtime->root_id, &message);
    fixture_run_ms(runtime, 1000);
    assert_false(runtime->root_ended);
    fixture_run_ms(runtime, 12000);
    assert_true(runtime->root_ended);
    assert_int_equal(seen.ended[1], 1);
    assert_int_equal(seen.answers + seen.unanswered, 1);
    fixture_destroy(runtime);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(children_are_counted_on_all_shards),
        cmocka_unit_test(children_are_listed_in_start_order),
        cmocka_unit_test(supervisor_below_can_be_asked_too),
        cmocka_unit_test(child_that_was_ended_stays_so_until_it_is_resumed),
        cmocka_unit_test(end_is_answered_when_the_child_has_ended),
        cmocka_unit_test(child_that_waits_for_its_restart_can_be_ended),
        cmocka_unit_test(child_that_cannot_be_resumed_is_not_tried_again),
        cmocka_unit_test(pool_that_was_ended_takes_children_again_when_resumed),
        cmocka_unit_test(stop_of_all_waits_for_a_child_that_is_being_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

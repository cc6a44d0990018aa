/* SPDX-License-Identifier: Apache-2.0 */
/* Requests: every call is answered once, by the reply, the deadline, or the callee's end; and
 * nothing is left of it afterwards. */
#include "tests/unit/runtime/fixture.h"

#include <errno.h>
#include <string.h>

enum { ASK = ACTOR_KIND_FIRST, REQUEST, REPLY, CANCEL, END, RELEASE, OTHER };

static struct {
    /* the caller */
    struct actor_id to;
    bool by_name, fails;
    uint64_t timeout_ms, reference;
    int result;
    unsigned replies, failures;
    uint64_t reply_value, reply_reference;
    struct actor_down failure;
    /* the callee */
    enum { ANSWER, HOLD, IGNORE, ANSWER_TWICE, PASS_ON, DIE, PUT_OFF, PASSIVATE } habit;
    struct actor_caller waiting[8];
    unsigned requests;
    struct actor_id helper;
    bool deferred;
} seen;

static void reply(struct actor_caller caller, uint64_t value) {
    struct message *answer = message_of(REPLY, value);
    actor_reply(caller, &answer);
    assert_null(answer);
}

/* --- the caller --- */

static void on_ask(void *state, struct message **message) {
    struct message *request = message_of(REQUEST, value_of(*message));
    if (seen.by_name)
        seen.result = actor_call_named((const struct actor_class *)seen.to.bits, 7, &request,
                                       seen.timeout_ms, &seen.reference);
    else
        seen.result = actor_call(seen.to, &request, seen.timeout_ms, &seen.reference);
    assert_int_equal(seen.result == 0, request == NULL);
    if (seen.fails)
        actor_fail(3, "with a call open");
}
static void on_reply(void *state, struct message **message) {
    seen.replies++;
    seen.reply_value = value_of(*message);
    seen.reply_reference = message_reference(*message);
}
static void on_unanswered(void *state, struct message **message) {
    seen.failures++;
    seen.failure = *message_as(*message, struct actor_down);
}
static void on_cancel(void *state, struct message **message) {
    actor_call_cancel(seen.reference);
}
static void on_end(void *state, struct message **message) {
    actor_stop(5);
}
static const struct actor_handler caller_handlers[] = {
    [ACTOR_UNANSWERED] = {"unanswered", on_unanswered},
    [ASK] = {"ask", on_ask},
    [REPLY] = {"reply", on_reply},
    [CANCEL] = {"cancel", on_cancel},
    [END] = {"end", on_end}};
static const struct actor_class caller_class = {.name = "caller",
                                                .handlers = caller_handlers,
                                                .handler_count = END + 1,
                                                .mailbox_messages_max = 8192};

/* --- the callee --- */

static void on_request(void *state, struct message **message) {
    struct actor_caller caller = actor_caller_of(*message);
    uint64_t value = value_of(*message);
    if (seen.habit == PUT_OFF && !seen.deferred) {
        seen.deferred = true;
        actor_defer(message);
        return;
    }
    seen.waiting[seen.requests++ % 8] = caller;
    switch (seen.habit) {
    case ANSWER:
    case PUT_OFF:
        reply(caller, value + 1);
        break;
    case ANSWER_TWICE:
        reply(caller, value + 1);
        reply(caller, value + 2);
        break;
    case PASS_ON: {
        struct message *work = message_create(OTHER, sizeof caller);
        *message_as(work, struct actor_caller) = caller;
        assert_int_equal(actor_send(seen.helper, &work), 0);
        break;
    }
    case DIE:
        actor_fail(9, "before it replied");
    case PASSIVATE:
        if (seen.requests == 1)
            actor_stop(ACTOR_PASSIVATED);
        else
            reply(caller, value + 1);
        break;
    case HOLD:
    case IGNORE:
        break;
    }
}
static void on_release(void *state, struct message **message) {
    if (seen.habit == PUT_OFF)
        actor_undefer();
    else
        reply(seen.waiting[0], 100);
}
static void on_other(void *state, struct message **message) {
    reply(*message_as(*message, struct actor_caller), 50);
}
static const struct actor_handler callee_handlers[] = {[REQUEST] = {"request", on_request},
                                                       [END] = {"end", on_end},
                                                       [RELEASE] = {"release", on_release},
                                                       [OTHER] = {"other", on_other}};
static const struct actor_class callee_class = {.name = "callee",
                                                .handlers = callee_handlers,
                                                .handler_count = OTHER + 1,
                                                .mailbox_messages_max = 8};

/* --- the tests --- */

static struct runtime *runtime;
static struct actor_id caller;

static struct actor_id spawn(unsigned shard, const struct actor_class *class) {
    struct actor_id id;
    fixture_enter(runtime, shard);
    assert_int_equal(actor_spawn(class, NULL, ACTOR_NOBODY, &id), 0);
    fixture_enter(runtime, 0);
    return id;
}
/* The caller on shard 0, the callee on `shard`. */
static void begin(unsigned shard) {
    memset(&seen, 0, sizeof seen);
    seen.timeout_ms = 100;
    runtime = fixture_create(2);
    caller = spawn(0, &caller_class);
    seen.to = spawn(shard, &callee_class);
}
static void ask(uint64_t value) {
    fixture_send(caller, ASK, value);
    fixture_run(runtime);
}
/* Both have messages and wait to run on shard 0. */
static void caller_runs_first(void) {
    struct shard *shard = runtime->shards[0];
    shard->run_head = shard->run_tail = NULL;
    shard_enqueue(shard, shard_actor(shard, caller));
    shard_enqueue(shard, shard_actor(shard, seen.to));
}
/* Nothing is left of any call. */
static void end(void) {
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(runtime->shards[i]->calls.count, 0);
        assert_int_equal(runtime->shards[i]->watched.count, 0);
        assert_int_equal(runtime->shards[i]->wheel.pending, 0);
    }
    fixture_destroy(runtime);
}
static void expect_failure(int reason) {
    assert_int_equal(seen.failures, 1);
    assert_int_equal(seen.replies, 0);
    assert_int_equal(seen.failure.reason, reason);
    assert_int_equal(seen.failure.reference, seen.reference);
}

static void reply_comes_with_its_reference(void **state) {
    for (unsigned shard = 0; shard < 2; shard++) {
        begin(shard);
        ask(41);
        assert_int_equal(seen.replies, 1);
        assert_int_equal(seen.reply_value, 42);
        assert_int_equal(seen.reply_reference, seen.reference);
        fixture_run_ms(runtime, 200);
        assert_int_equal(seen.failures, 0);
        end();
    }
}

static void deadline_answers_and_a_late_reply_is_dropped(void **state) {
    for (unsigned shard = 0; shard < 2; shard++) {
        begin(shard);
        seen.habit = HOLD;
        ask(1);
        fixture_run_ms(runtime, 98);
        assert_int_equal(seen.failures, 0);
        fixture_run_ms(runtime, 10);
        expect_failure(ACTOR_TIMEOUT);
        assert_true(actor_id_equal(seen.failure.actor, seen.to));
        fixture_send(seen.to, RELEASE, 0);
        fixture_run(runtime);
        expect_failure(ACTOR_TIMEOUT);
        assert_int_equal(fixture_event(runtime, "call_late_reply"), 1);
        assert_int_equal(fixture_event(runtime, "call_timeout"), 1);
        end();
    }
}

static void a_reply_that_is_unread_at_the_deadline_wins(void **state) {
    begin(0);
    seen.habit = HOLD;
    ask(1);
    fixture_advance_ms(99);
    fixture_send(seen.to, RELEASE, 0);
    shard_step(runtime->shards[0]); /* the reply lies in the caller's mailbox */
    fixture_advance_ms(50);
    fixture_run(runtime);
    assert_int_equal(seen.replies, 1);
    assert_int_equal(seen.failures, 0);
    end();
}

static void callee_that_ends_answers(void **state) {
    for (unsigned shard = 0; shard < 2; shard++) {
        begin(shard);
        seen.habit = DIE;
        ask(1);
        expect_failure(9);
        assert_true(actor_id_equal(seen.failure.actor, seen.to));
        fixture_run_ms(runtime, 200);
        expect_failure(9);
        end();
    }
}

static void callee_that_ends_with_the_request_unread_answers(void **state) {
    for (unsigned shard = 0; shard < 2; shard++) {
        begin(shard);
        fixture_send(seen.to, END, 0);
        fixture_send(caller, ASK, 1);
        if (shard == 0)
            caller_runs_first();
        fixture_run(runtime);
        expect_failure(5);
        fixture_run_ms(runtime, 200);
        assert_int_equal(seen.failures, 1);
        end();
    }
}

static void callee_that_is_no_more_answers(void **state) {
    for (unsigned shard = 0; shard < 2; shard++) {
        begin(shard);
        actor_kill(seen.to, ACTOR_KILLED);
        fixture_run(runtime);
        ask(1);
        assert_int_equal(seen.result, 0);
        expect_failure(ACTOR_NOT_FOUND);
        end();
    }
    begin(0);
    seen.to = ACTOR_NOBODY;
    ask(1);
    expect_failure(ACTOR_NOT_FOUND);
    end();
}

static void full_callee_here_leaves_the_request(void **state) {
    begin(0);
    for (unsigned i = 0; i < 8; i++)
        fixture_send(seen.to, OTHER + 1, 0);
    fixture_send(caller, ASK, 1);
    caller_runs_first();
    fixture_run(runtime);
    assert_int_equal(seen.result, -ENOBUFS);
    assert_int_equal(seen.failures + seen.replies, 0);
    end();
}

static void full_callee_elsewhere_answers(void **state) {
    begin(1);
    seen.habit = IGNORE;
    fixture_enter(runtime, 1);
    for (unsigned i = 0; i < 8; i++)
        fixture_send(seen.to, OTHER + 1, 0);
    fixture_enter(runtime, 0);
    ask(1);
    expect_failure(-ENOBUFS);
    assert_int_equal(fixture_class(runtime, "callee")->refused, 1);
    end();
}

static void second_reply_is_dropped(void **state) {
    for (unsigned shard = 0; shard < 2; shard++) {
        begin(shard);
        seen.habit = ANSWER_TWICE;
        ask(1);
        assert_int_equal(seen.replies, 1);
        assert_int_equal(seen.reply_value, 2);
        assert_int_equal(fixture_event(runtime, "call_late_reply"), 1);
        end();
    }
}

static void another_actor_may_reply(void **state) {
    for (unsigned shard = 0; shard < 2; shard++) { /* of the helper: with the callee, or not */
        begin(1);
        seen.helper = spawn(shard, &callee_class);
        seen.habit = PASS_ON;
        ask(1);
        assert_int_equal(seen.replies, 1);
        assert_int_equal(seen.reply_value, 50);
        end();
    }
}

static void deferred_request_is_still_a_request(void **state) {
    begin(1);
    seen.habit = PUT_OFF;
    ask(7);
    assert_int_equal(seen.replies, 0);
    fixture_send(seen.to, RELEASE, 0);
    fixture_run(runtime);
    assert_int_equal(seen.reply_value, 8);
    end();
}

static void canceled_call_is_never_heard(void **state) {
    for (unsigned shard = 0; shard < 2; shard++) {
        begin(shard);
        seen.habit = HOLD;
        ask(1);
        fixture_send(caller, CANCEL, 0);
        fixture_run(runtime);
        fixture_send(seen.to, RELEASE, 0);
        fixture_run_ms(runtime, 200);
        assert_int_equal(seen.replies + seen.failures, 0);
        assert_int_equal(fixture_event(runtime, "call_late_reply"), 1);
        end();
    }
}

static void nobody_cancels_the_call_of_another(void **state) {
    begin(1);
    seen.habit = HOLD;
    ask(1);
    fixture_send(spawn(0, &caller_class), CANCEL, 0);
    fixture_run(runtime);
    fixture_send(seen.to, RELEASE, 0);
    fixture_run(runtime);
    assert_int_equal(seen.replies, 1);
    end();
}

static void calls_go_with_their_caller(void **state) {
    for (unsigned shard = 0; shard < 2; shard++) {
        begin(shard);
        seen.habit = HOLD;
        seen.fails = true;
        ask(1);
        assert_int_equal(runtime->shards[shard]->watched.count, 0);
        fixture_send(seen.to, RELEASE, 0);
        fixture_run(runtime);
        assert_int_equal(seen.requests, 1);
        assert_int_equal(seen.replies, 0);
        end();
    }
}

static void open_calls_are_bounded(void **state) {
    begin(1);
    seen.habit = HOLD;
    for (unsigned i = 0; i < ACTOR_CALLS_MAX; i++)
        ask(i);
    assert_int_equal(seen.result, 0);
    ask(1);
    assert_int_equal(seen.result, -EAGAIN);
    fixture_run_ms(runtime, 200);
    assert_int_equal(seen.failures, ACTOR_CALLS_MAX);
    seen.habit = ANSWER;
    ask(1);
    assert_int_equal(seen.result, 0);
    assert_int_equal(seen.replies, 1);
    end();
}

/* The key that the caller asks for, 7, lies on one of the two shards; so the caller is moved. */
static void call_by_name_activates(void **state) {
    for (unsigned shard = 0; shard < 2; shard++) {
        begin(0);
        caller = spawn(shard, &caller_class);
        seen.by_name = true;
        seen.to.bits = (uint64_t)(uintptr_t)&callee_class;
        ask(1);
        assert_int_equal(seen.result, 0);
        assert_int_equal(seen.reply_value, 2);
        seen.habit = DIE;
        ask(1);
        assert_int_equal(seen.failures, 1);
        assert_int_equal(seen.failure.reason, 9);
        end();
    }
}

static void unread_request_waits_for_the_next_activation(void **state) {
    for (unsigned shard = 0; shard < 2; shard++) {
        begin(0);
        caller = spawn(shard, &caller_class);
        seen.by_name = true;
        seen.habit = PASSIVATE;
        seen.to.bits = (uint64_t)(uintptr_t)&callee_class;
        fixture_enter(runtime, shard);
        fixture_send(caller, ASK, 10);
        fixture_send(caller, ASK, 20);
        fixture_run(runtime);
        assert_int_equal(seen.failures, 1); /* the first, which was read */
        assert_int_equal(seen.failure.reason, ACTOR_PASSIVATED);
        assert_int_equal(seen.replies, 1);
        assert_int_equal(seen.reply_value, 21);
        end();
    }
}

static void reply_to_what_was_no_call_is_counted(void **state) {
    begin(0);
    fixture_send(seen.to, REQUEST, 1);
    fixture_run(runtime);
    struct runtime_counters counters;
    runtime_counters_read(runtime, &counters);
    assert_int_equal(counters.dead_letters, 1);
    end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reply_comes_with_its_reference),
        cmocka_unit_test(deadline_answers_and_a_late_reply_is_dropped),
        cmocka_unit_test(a_reply_that_is_unread_at_the_deadline_wins),
        cmocka_unit_test(callee_that_ends_answers),
        cmocka_unit_test(callee_that_ends_with_the_request_unread_answers),
        cmocka_unit_test(callee_that_is_no_more_answers),
        cmocka_unit_test(full_callee_here_leaves_the_request),
        cmocka_unit_test(full_callee_elsewhere_answers),
        cmocka_unit_test(second_reply_is_dropped),
        cmocka_unit_test(another_actor_may_reply),
        cmocka_unit_test(deferred_request_is_still_a_request),
        cmocka_unit_test(canceled_call_is_never_heard),
        cmocka_unit_test(nobody_cancels_the_call_of_another),
        cmocka_unit_test(calls_go_with_their_caller),
        cmocka_unit_test(open_calls_are_bounded),
        cmocka_unit_test(call_by_name_activates),
        cmocka_unit_test(unread_request_waits_for_the_next_activation),
        cmocka_unit_test(reply_to_what_was_no_call_is_counted),
    };
    return cmocka_run_group_tests_name("call", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at actors from an actor: what is counted, what is chosen, and what it costs the others.
 */
#include "runtime/inspect.h"

#include "tests/unit/runtime/fixture.h"

#include <errno.h>
#include <string.h>

enum { WORK = ACTOR_KIND_FIRST, ASK, ASK_ONE };
#define WORK_NS 50000u

static void on_work(void *state, struct message **message) {
    fixture_now_ns += value_of(*message);
}
static const struct actor_handler worker_handlers[] = {[WORK] = {"work", on_work}};
static const struct actor_class worker_class = {.name = "worker",
                                                .state_bytes = 40,
                                                .handlers = worker_handlers,
                                                .handler_count = WORK + 1,
                                                .mailbox_messages_max = 10000};
static const struct actor_class other_class = {.name = "other"};

/* --- the asker
 * ---------------------------------------------------------------------------------------------- */

static struct inspect_query query;
static struct inspect_gather gather;
static bool is_complete;
static int ask_error;

static void on_ask(void *state, struct message **message) {
    ask_error = inspect_gather_begin(&gather, &query);
}
static void on_answer(void *state, struct message **message) {
    is_complete |= inspect_gather_add(&gather, *message);
}
static struct actor_id looked_at;
static struct inspect_detail detail;
static struct inspect_message waiting[INSPECT_DETAIL_MAX];
static struct inspect_relation relations[INSPECT_DETAIL_MAX];

static void on_ask_one(void *state, struct message **message) {
    uint64_t reference;
    if (value_of(*message)) {
        actor_monitor(looked_at);
        actor_link(looked_at);
    }
    ask_error = actor_inspect_detail(looked_at, &reference);
}
static void on_detail(void *state, struct message **message) {
    detail = *message_as(*message, struct inspect_detail);
    memcpy(waiting, inspect_detail_messages(*message), sizeof waiting);
    memcpy(relations, inspect_detail_relations(*message), sizeof relations);
}
static const struct actor_handler asker_handlers[] = {[INSPECT_ANSWER] = {"answer", on_answer},
                                                      [INSPECT_DETAIL] = {"detail", on_detail},
                                                      [ASK] = {"ask", on_ask},
                                                      [ASK_ONE] = {"ask one", on_ask_one}};
static const struct actor_class asker_class = {
    .name = "asker", .handlers = asker_handlers, .handler_count = ASK_ONE + 1};
static struct actor_id asker;

static struct runtime *begin(unsigned shards) {
    struct runtime *runtime = fixture_create(shards);
    query = (struct inspect_query){.rows = 10};
    gather = (struct inspect_gather){0};
    is_complete = false;
    assert_int_equal(actor_spawn(&asker_class, NULL, ACTOR_NOBODY, &asker), 0);
    return runtime;
}

static void ask(struct runtime *runtime) {
    is_complete = false;
    fixture_send(asker, ASK, 0);
    fixture_run(runtime);
    assert_int_equal(ask_error, 0);
}

static struct actor_id spawn(const struct actor_class *class) {
    struct actor_id id;
    assert_int_equal(actor_spawn(class, NULL, ACTOR_NOBODY, &id), 0);
    return id;
}

static void the_longest_mailboxes_of_all_shards_come_first(void **state) {
    struct runtime *runtime = begin(2);
    struct actor_id workers[2][20];
    for (unsigned shard = 0; shard < 2; shard++) {
        fixture_enter(runtime, shard);
        for (unsigned i = 0; i < 20; i++)
            workers[shard][i] = spawn(&worker_class);
    }
    fixture_enter(runtime, 0);
    query.rows = 4;
    query.class_name[0] = 0;
    fixture_send(asker, ASK, 0);
    /* They wait while the query is carried out: nothing of theirs runs before. */
    for (unsigned shard = 0; shard < 2; shard++) {
        fixture_enter(runtime, shard);
        for (unsigned i = 0; i < 20; i++)
            for (unsigned k = 0; k < 10 * i + shard; k++)
                fixture_send(workers[shard][i], WORK, 0);
    }
    fixture_enter(runtime, 0);
    fixture_run(runtime);
    assert_true(is_complete);
    assert_int_equal(gather.actors_seen, 41);
    assert_int_equal(gather.row_count, 4);
    assert_true(gather.rows[0].mailbox_messages >= gather.rows[1].mailbox_messages);
    assert_string_equal(gather.rows[3].class_name, "worker");
    fixture_destroy(runtime);
}

static void a_window_counts_only_what_happens_in_it(void **state) {
    struct runtime *runtime = begin(1);
    struct actor_id before = spawn(&worker_class), within = spawn(&worker_class);
    for (unsigned i = 0; i < 500; i++) {
        fixture_send(before, WORK, 0);
        fixture_run(runtime);
    }
    query.order = INSPECT_BY_MESSAGES;
    query.window_ms = 1000;
    ask(runtime);
    assert_false(is_complete);
    for (unsigned i = 0; i < 100; i++) {
        fixture_send(within, WORK, 0);
        fixture_run(runtime);
    }
    struct actor_id newcomer = spawn(&worker_class);
    for (unsigned i = 0; i < 50; i++)
        fixture_send(newcomer, WORK, 0);
    fixture_run_ms(runtime, 1001);
    assert_true(is_complete);
    assert_true(actor_id_equal(gather.rows[0].actor, within));
    assert_int_equal(gather.rows[0].messages, 100);
    assert_true(actor_id_equal(gather.rows[1].actor, newcomer));
    assert_int_equal(gather.rows[1].messages, 50);
    for (unsigned i = 0; i < gather.row_count; i++)
        if (actor_id_equal(gather.rows[i].actor, before))
            assert_int_equal(gather.rows[i].messages, 0);
    fixture_destroy(runtime);
}

static void time_in_handlers_is_found(void **state) {
    struct runtime *runtime = begin(1);
    struct actor_id busy = spawn(&worker_class), quick = spawn(&worker_class);
    query.order = INSPECT_BY_TIME;
    query.window_ms = 1000;
    ask(runtime);
    for (unsigned i = 0; i < 10000; i++) {
        fixture_send(quick, WORK, 100);
        if (i % 4 == 0)
            fixture_send(busy, WORK, WORK_NS);
        fixture_run(runtime);
    }
    fixture_run_ms(runtime, 1001);
    assert_true(is_complete);
    assert_true(actor_id_equal(gather.rows[0].actor, busy));
    assert_in_range(gather.rows[0].busy_ns, 2500 * WORK_NS / 2, 2500 * WORK_NS * 3 / 2);
    fixture_destroy(runtime);
}

static void only_what_is_asked_for_is_answered(void **state) {
    struct runtime *runtime = begin(2);
    struct actor_id one = spawn(&other_class);
    for (unsigned i = 0; i < 30; i++)
        spawn(&worker_class);
    strcpy(query.class_name, "other");
    ask(runtime);
    assert_true(is_complete);
    assert_int_equal(gather.actors_matched, 1);
    assert_int_equal(gather.row_count, 1);
    assert_true(actor_id_equal(gather.rows[0].actor, one));
    query = (struct inspect_query){.rows = 1, .actor = one};
    ask(runtime);
    assert_int_equal(gather.actors_seen, 1); /* found without a scan */
    assert_int_equal(gather.row_count, 1);
    assert_int_equal(gather.rows[0].state, INSPECT_IDLE);
    actor_kill(one, ACTOR_KILLED);
    fixture_run(runtime);
    ask(runtime);
    assert_true(is_complete);
    assert_int_equal(gather.row_count, 0);
    query = (struct inspect_query){.rows = 1, .bytes_min = 1 << 20};
    ask(runtime);
    assert_int_equal(gather.row_count, 0);
    fixture_destroy(runtime);
}

static void a_query_beyond_its_bounds_is_refused(void **state) {
    struct runtime *runtime = begin(1);
    const struct inspect_query wrong[] = {
        {.rows = 0},
        {.rows = INSPECT_ROWS_MAX + 1},
        {.rows = 1, .window_ms = INSPECT_WINDOW_MS_MAX + 1},
    };
    for (unsigned i = 0; i < 3; i++) {
        query = wrong[i];
        fixture_send(asker, ASK, 0);
        fixture_run(runtime);
        assert_int_equal(ask_error, -EINVAL);
    }
    query = (struct inspect_query){.rows = 1, .window_ms = 60000};
    for (unsigned i = 0; i < INSPECT_QUERIES_MAX; i++)
        ask(runtime);
    assert_false(is_complete);
    ask(runtime);
    assert_true(is_complete);
    assert_int_equal(gather.error, -EBUSY);
    fixture_destroy(runtime); /* with eight that wait: nothing is lost */
}

static void a_scan_of_many_actors_is_spread_over_turns(void **state) {
    struct runtime *runtime = begin(1);
    for (unsigned i = 0; i < 20000; i++)
        spawn(&other_class);
    struct actor_id worker = spawn(&worker_class);
    query.order = INSPECT_BY_MESSAGES;
    fixture_send(asker, ASK, 0);
    shard_step(shard_current());
    unsigned turns = 0;
    while (!is_complete) {
        fixture_send(worker, WORK, 0);
        shard_step(shard_current());
        turns++;
        assert_true(turns < 100);
    }
    assert_true(turns >= 20000 / 4096);
    assert_true(actor_id_equal(gather.rows[0].actor, worker));
    assert_true(gather.rows[0].messages >= 4);
    fixture_run(runtime);
    fixture_destroy(runtime);
}

static void what_waits_for_one_actor_and_whom_it_knows_is_told(void **state) {
    struct runtime *runtime = begin(1);
    looked_at = spawn(&worker_class);
    fixture_send(asker, ASK_ONE, 1);
    for (unsigned i = 0; i < INSPECT_DETAIL_MAX + 8; i++)
        fixture_send(looked_at, i == 1 ? WORK + 1 : WORK, 0);
    fixture_run(runtime);
    assert_int_equal(ask_error, 0);
    assert_string_equal(detail.class_name, "worker");
    assert_int_equal(detail.messages_in_all, INSPECT_DETAIL_MAX + 8);
    assert_int_equal(detail.message_count, INSPECT_DETAIL_MAX);
    assert_string_equal(waiting[0].kind_name, "work");
    assert_null(waiting[1].kind_name);
    assert_int_equal(waiting[1].kind, WORK + 1);
    assert_true(waiting[0].bytes >= sizeof(struct message) + sizeof(uint64_t));
    assert_int_equal(detail.relation_count, 2);
    assert_int_equal(relations[0].kind, INSPECT_MONITORED_BY);
    assert_int_equal(relations[1].kind, INSPECT_LINKED);
    assert_true(actor_id_equal(relations[0].other, asker));
    fixture_destroy(runtime);
}

static void an_actor_of_another_shard_that_is_no_more_is_said_so(void **state) {
    struct runtime *runtime = begin(2);
    fixture_enter(runtime, 1);
    looked_at = spawn(&worker_class);
    actor_kill(looked_at, ACTOR_KILLED);
    fixture_run(runtime);
    detail.class_name = "unanswered";
    fixture_send(asker, ASK_ONE, 0);
    fixture_run(runtime);
    assert_null(detail.class_name);
    assert_int_equal(detail.message_count + detail.relation_count, 0);
    fixture_destroy(runtime);
}

/* The first scan notes as many as there are when it begins, and not when it was asked for. */
static void many_actors_that_begin_before_the_first_scan_are_noted(void **state) {
    struct runtime *runtime = begin(1);
    struct actor_id last = ACTOR_NOBODY;
    query.order = INSPECT_BY_MESSAGES;
    query.window_ms = 100;
    fixture_send(asker, ASK, 0);
    shard_step(shard_current());
    for (unsigned i = 0; i < 64 * ACTOR_CHUNK; i++)
        last = spawn(&worker_class);
    for (unsigned i = 0; i < 100; i++)
        fixture_send(last, WORK, 0);
    fixture_run(runtime);
    assert_false(is_complete);
    fixture_send(last, WORK, 0);
    fixture_run_ms(runtime, 101);
    assert_true(is_complete);
    assert_int_equal(gather.error, 0);
    assert_true(actor_id_equal(gather.rows[0].actor, last));
    assert_int_equal(gather.actors_seen, 64 * ACTOR_CHUNK + 1);
    fixture_destroy(runtime);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_mailboxes_of_all_shards_come_first),
        cmocka_unit_test(a_window_counts_only_what_happens_in_it),
        cmocka_unit_test(time_in_handlers_is_found),
        cmocka_unit_test(only_what_is_asked_for_is_answered),
        cmocka_unit_test(a_query_beyond_its_bounds_is_refused),
        cmocka_unit_test(what_waits_for_one_actor_and_whom_it_knows_is_told),
        cmocka_unit_test(an_actor_of_another_shard_that_is_no_more_is_said_so),
        cmocka_unit_test(a_scan_of_many_actors_is_spread_over_turns),
        cmocka_unit_test(many_actors_that_begin_before_the_first_scan_are_noted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

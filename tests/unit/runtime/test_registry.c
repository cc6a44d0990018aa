/* SPDX-License-Identifier: Apache-2.0 */
/* Names: (class, key) with activation and passivation, and names of the whole node. */
#include "tests/unit/runtime/fixture.h"

#include <errno.h>
#include <string.h>

enum { NUMBER = ACTOR_KIND_FIRST, ASK, END, REGISTER, STAY, GO };

static struct {
    unsigned born, ended, refused, refused_by_key, asked, count;
    uint64_t key, refused_key, refused_key_sum, values[64];
    int reason, init_error, registered;
    bool stays, sends_to_itself, fails_in_init;
    const char *name;
} seen;
static const struct actor_class user_class;

static int user_init(void *state, const void *argument) {
    assert_null(argument);
    if (seen.fails_in_init)
        actor_fail(4, "in init");
    if (seen.init_error)
        return seen.init_error;
    seen.born++;
    seen.key = actor_key();
    return 0;
}
static void user_terminate(void *state, int reason) {
    seen.ended++;
    seen.reason = reason;
    if (seen.sends_to_itself) {
        struct message *message = message_of(NUMBER, 1000);
        seen.sends_to_itself = false;
        assert_int_equal(actor_send_named(&user_class, actor_key(), &message), 0);
    }
}
static void on_number(void *state, struct message **message) {
    assert_true(seen.born > seen.ended);
    seen.values[seen.count++ % 64] = value_of(*message);
}
static void on_end(void *state, struct message **message) {
    actor_stop(0);
}
static void on_stay(void *state, struct message **message) {
    actor_stay(true);
}
static void on_go(void *state, struct message **message) {
    actor_stay(false);
}
static bool may_passivate(void *state) {
    seen.asked++;
    return !seen.stays;
}
static const struct actor_handler user_handlers[] = {[NUMBER] = {"number", on_number},
                                                     [END] = {"end", on_end},
                                                     [STAY] = {"stay", on_stay},
                                                     [GO] = {"go", on_go}};
static const struct actor_class user_class = {.name = "user",
                                              .state_bytes = 16,
                                              .init = user_init,
                                              .terminate = user_terminate,
                                              .handlers = user_handlers,
                                              .handler_count = GO + 1,
                                              .idle_ms = 100,
                                              .may_passivate = may_passivate};

static void asker_ask(void *state, struct message **message) {
    struct message *number = message_of(NUMBER, value_of(*message));
    assert_int_equal(actor_send_named(&user_class, value_of(*message), &number), 0);
}
static void asker_refused(void *state, struct message **message) {
    seen.refused++;
    seen.refused_by_key += (*message)->to_class == &user_class;
    seen.refused_key = (*message)->from.bits;
    seen.refused_key_sum += seen.refused_key;
}
static void asker_register(void *state, struct message **message) {
    seen.registered = actor_register(seen.name);
}
static const struct actor_handler asker_handlers[] = {
    [ASK] = {"ask", asker_ask}, [END] = {"end", on_end}, [REGISTER] = {"register", asker_register}};
static const struct actor_class asker_class = {.name = "asker",
                                               .handlers = asker_handlers,
                                               .handler_count = REGISTER + 1,
                                               .refused = asker_refused};

static struct runtime *begin(unsigned shards) {
    memset(&seen, 0, sizeof seen);
    return fixture_create(shards);
}
static struct actor_id spawn_asker(void) {
    struct actor_id id;
    assert_int_equal(actor_spawn(&asker_class, NULL, ACTOR_NOBODY, &id), 0);
    return id;
}
static void send_named(uint64_t key, uint16_t kind, uint64_t value) {
    struct message *message = message_of(kind, value);
    assert_int_equal(actor_send_named(&user_class, key, &message), 0);
    assert_null(message);
}

static void first_message_activates_the_actor(void **state) {
    struct runtime *runtime = begin(1);
    for (uint64_t i = 0; i < 3; i++)
        send_named(42, NUMBER, i);
    fixture_run(runtime);
    assert_int_equal(seen.born, 1);
    assert_int_equal(seen.key, 42);
    assert_int_equal(seen.count, 3);
    fixture_destroy(runtime);
}

static void names_are_owned_by_one_shard_each(void **state) {
    struct runtime *runtime = begin(2);
    unsigned on_first = 0;
    for (uint64_t key = 1; key <= 200; key++) {
        on_first += actor_shard_of(&user_class, key) == 0;
        send_named(key, NUMBER, key);
        fixture_enter(runtime, 1);
        send_named(key, NUMBER, key);
        fixture_enter(runtime, 0);
    }
    fixture_run(runtime);
    assert_int_equal(seen.born, 200);
    assert_int_equal(seen.count, 400);
    assert_true(on_first > 60 && on_first < 140);
    assert_int_equal(runtime->shards[0]->counters.actors, on_first);
    fixture_destroy(runtime);
}

static void activation_that_fails_refuses_the_message(void **state) {
    struct runtime *runtime = begin(2);
    struct actor_id asker = spawn_asker();
    seen.init_error = -EIO;
    for (uint64_t key = 1; key <= 10; key++)
        fixture_send(asker, ASK, key);
    fixture_run(runtime);
    assert_int_equal(seen.refused, 10);
    assert_int_equal(seen.refused_by_key, 10);
    assert_int_equal(seen.refused_key_sum, 55);
    seen.fails_in_init = true;
    fixture_send(asker, ASK, 3);
    fixture_run(runtime);
    assert_int_equal(seen.refused, 11);
    assert_int_equal(seen.refused_key, 3);
    assert_int_equal(seen.ended, 0);
    seen.fails_in_init = false;
    seen.init_error = 0;
    fixture_send(asker, ASK, 3);
    fixture_run(runtime);
    assert_int_equal(seen.count, 1);
    fixture_destroy(runtime);
}

static void idle_actor_is_passivated_and_comes_back(void **state) {
    struct runtime *runtime = begin(1);
    send_named(7, NUMBER, 1);
    fixture_run_ms(runtime, 95);
    assert_int_equal(seen.ended, 0);
    send_named(7, NUMBER, 2);
    fixture_run_ms(runtime, 95);
    assert_int_equal(seen.ended, 0); /* the message began its time anew */
    fixture_run_ms(runtime, 200);
    assert_int_equal(seen.ended, 1);
    assert_int_equal(seen.reason, ACTOR_PASSIVATED);
    assert_int_equal(fixture_class(runtime, "user")->passivated, 1);
    assert_int_equal(fixture_class(runtime, "user")->actors, 0);
    send_named(7, NUMBER, 3);
    fixture_run(runtime);
    assert_int_equal(seen.born, 2);
    assert_int_equal(seen.count, 3);
    fixture_destroy(runtime);
}

static void actor_that_does_not_agree_stays(void **state) {
    struct runtime *runtime = begin(1);
    seen.stays = true;
    send_named(7, NUMBER, 1);
    fixture_run_ms(runtime, 1000);
    assert_int_equal(seen.ended, 0);
    assert_true(seen.asked >= 3 && seen.asked <= 11);
    fixture_destroy(runtime);
}

static void actor_that_stays_is_not_asked_until_it_says_otherwise(void **state) {
    struct runtime *runtime = begin(1);
    send_named(7, STAY, 0);
    send_named(8, NUMBER, 1);
    fixture_run_ms(runtime, 1000);
    assert_int_equal(seen.asked, 1); /* the other one */
    assert_int_equal(seen.ended, 1);
    send_named(7, STAY, 0);
    send_named(7, GO, 0);
    fixture_run_ms(runtime, 95);
    assert_int_equal(seen.ended, 1); /* its idle time began when it let go */
    fixture_run_ms(runtime, 200);
    assert_int_equal(seen.ended, 2);
    assert_int_equal(seen.reason, ACTOR_PASSIVATED);
    fixture_destroy(runtime);
}

/* Neither the next one of that name nor the next one in its place is bound by it. */
static void who_stayed_and_ended_leaves_nothing_behind(void **state) {
    struct runtime *runtime = begin(1);
    send_named(7, STAY, 0);
    send_named(7, END, 0);
    fixture_run(runtime);
    assert_int_equal(seen.ended, 1);
    send_named(7, NUMBER, 1);
    send_named(9, NUMBER, 1);
    fixture_run_ms(runtime, 300);
    assert_int_equal(seen.born, 3);
    assert_int_equal(seen.ended, 3);
    assert_int_equal(seen.asked, 2);
    fixture_destroy(runtime);
}

static void message_that_arrives_while_it_ends_activates_a_new_one(void **state) {
    struct runtime *runtime = begin(1);
    seen.sends_to_itself = true;
    send_named(7, NUMBER, 1);
    fixture_run_ms(runtime, 250);
    assert_true(seen.ended >= 1);
    assert_int_equal(seen.born, 2);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.values[1], 1000);
    fixture_destroy(runtime);
}

static void many_idle_actors_are_all_passivated(void **state) {
    struct runtime *runtime = begin(1);
    enum { COUNT = 20000 };
    for (uint64_t key = 1; key <= COUNT; key++)
        send_named(key, NUMBER, key);
    fixture_run(runtime);
    assert_int_equal(seen.born, COUNT);
    for (int i = 0; i < 3000 && seen.ended < COUNT; i++)
        fixture_run_ms(runtime, 1);
    assert_int_equal(seen.ended, COUNT);
    struct runtime_counters counters;
    runtime_counters_read(runtime, &counters);
    assert_int_equal(counters.actors, 0);
    fixture_destroy(runtime);
}

/* Beyond SWEEP_SLOTS_MAX in a part the parts are smaller, not the times between them alone: else a
 * table of a million would be walked again and again. */
static void a_large_table_is_walked_once_in_the_idle_time(void **state) {
    struct runtime *runtime = begin(1);
    const struct shard *shard = runtime->shards[0];
    enum { COUNT = 90000 };
    _Static_assert(COUNT > SWEEP_PARTS * SWEEP_SLOTS_MAX, "a part does not fit into a turn");
    uint64_t walked = 0;
    seen.stays = true;
    for (uint64_t key = 1; key <= COUNT; key++) {
        send_named(key, NUMBER, key);
        if (key % 1000 == 0)
            fixture_run(runtime);
    }
    for (unsigned ms = 0; ms < user_class.idle_ms; ms++) {
        uint32_t before = shard->sweep_cursor, slots = shard->slots_used;
        fixture_run_ms(runtime, 1);
        walked += (shard->sweep_cursor + slots - before) % slots;
    }
    assert_true(walked > COUNT / 2);
    assert_true(walked < 3 * (uint64_t)COUNT / 2);
    fixture_destroy(runtime);
}

static void activated_actors_belong_to_who_serves_the_class(void **state) {
    struct runtime *runtime = begin(1);
    struct actor_id asker = spawn_asker();
    actor_serve_class(&user_class, asker);
    send_named(1, NUMBER, 1);
    fixture_run(runtime);
    assert_int_equal(seen.born, 1);
    fixture_send(asker, END, 0); /* its children go with it */
    fixture_run(runtime);
    assert_int_equal(seen.ended, 1);
    assert_int_equal(seen.reason, ACTOR_KILLED);
    asker = spawn_asker();
    fixture_send(asker, ASK, 1); /* nobody serves the class any more */
    fixture_run(runtime);
    assert_int_equal(seen.refused, 1);
    fixture_destroy(runtime);
}

static void name_of_the_node_is_found_from_any_shard_until_its_actor_ends(void **state) {
    struct runtime *runtime = begin(2);
    struct actor_id first = spawn_asker(), second = spawn_asker();
    seen.name = "committer";
    fixture_send(first, REGISTER, 0);
    fixture_run(runtime);
    assert_int_equal(seen.registered, 0);
    fixture_enter(runtime, 1);
    assert_true(actor_id_equal(actor_whereis("committer"), first));
    assert_int_equal(actor_whereis("other").bits, 0);
    fixture_enter(runtime, 0);
    fixture_send(second, REGISTER, 0);
    fixture_run(runtime);
    assert_int_equal(seen.registered, -EEXIST);
    fixture_send(first, END, 0);
    fixture_run(runtime);
    assert_int_equal(actor_whereis("committer").bits, 0);
    fixture_send(second, REGISTER, 0);
    fixture_run(runtime);
    assert_int_equal(seen.registered, 0);
    fixture_destroy(runtime);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_message_activates_the_actor),
        cmocka_unit_test(names_are_owned_by_one_shard_each),
        cmocka_unit_test(activation_that_fails_refuses_the_message),
        cmocka_unit_test(idle_actor_is_passivated_and_comes_back),
        cmocka_unit_test(actor_that_does_not_agree_stays),
        cmocka_unit_test(actor_that_stays_is_not_asked_until_it_says_otherwise),
        cmocka_unit_test(who_stayed_and_ended_leaves_nothing_behind),
        cmocka_unit_test(message_that_arrives_while_it_ends_activates_a_new_one),
        cmocka_unit_test(many_idle_actors_are_all_passivated),
        cmocka_unit_test(a_large_table_is_walked_once_in_the_idle_time),
        cmocka_unit_test(activated_actors_belong_to_who_serves_the_class),
        cmocka_unit_test(name_of_the_node_is_found_from_any_shard_until_its_actor_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Pools: which dynamic children come back, and that a million of them hold up nobody. */
#include "tests/unit/runtime/fixture.h"

#include "runtime/control_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { END = ACTOR_KIND_FIRST, BREAK, LOOK };

#if defined(__SANITIZE_THREAD__) /* its own stack of calls grows with each actor_fail */
#define MANY 10000u
#elif defined(__SANITIZE_ADDRESS__)
#define MANY 100000u
#else
#define MANY 1000000u
#endif

static struct {
    struct actor_id ids[16]; /* by key, of the few */
    unsigned born[16], shards[16];
    unsigned init_failures; /* left */
    uint64_t born_ms;
    uint64_t alive, births, ends;
    uint64_t looks, moves_max; /* births and ends between two looks of the bystander */
} seen;

static int worker_init(void *state, const void *argument) {
    uint64_t key = actor_key();
    assert_null(argument);
    if (seen.init_failures) {
        seen.init_failures--;
        return -EAGAIN;
    }
    seen.births++;
    seen.alive++;
    seen.born_ms = actor_now_ms();
    *(uint64_t *)state = key;
    if (key < 16) {
        seen.ids[key] = actor_self();
        seen.born[key]++;
        seen.shards[key] = actor_shard();
    }
    return 0;
}
static void worker_terminate(void *state, int reason) {
    seen.alive--;
    seen.ends++;
}
static void on_end(void *state, struct message **message) {
    actor_stop((int)value_of(*message));
}
static void on_break(void *state, struct message **message) {
    actor_fail(1, "told to");
}
static const struct actor_handler worker_handlers[] = {
    [END] = {"end", on_end}, [BREAK] = {"break", on_break}};
#define WORKER(its_name)                                                                       \
    {                                                                                          \
        .name = (its_name), .state_bytes = sizeof(uint64_t), .init = worker_init,              \
        .terminate = worker_terminate, .handlers = worker_handlers, .handler_count = BREAK + 1 \
    }
static const struct actor_class permanent = WORKER("permanent");
static const struct actor_class transient = WORKER("transient");
static const struct actor_class temporary = WORKER("temporary");

static const struct supervisor_child pools[] = {
    {.class = &permanent, .dynamic = true, .restart = RESTART_PERMANENT},
    {.class = &transient, .dynamic = true, .restart = RESTART_TRANSIENT},
    {.class = &temporary, .dynamic = true, .restart = RESTART_TEMPORARY},
};
static const struct supervisor_spec few = {.name = "few",
                                           .restarts_max = 4,
                                           .period_ms = 10000,
                                           .backoff_ms_min = 16,
                                           .children = pools,
                                           .child_count = 3};

static struct runtime *begin(const struct supervisor_spec *spec, unsigned shards) {
    struct runtime_options options = {.shards = shards, .root = spec, .actors_max = MANY + 1000};
    memset(&seen, 0, sizeof seen);
    struct runtime *runtime = fixture_create_with(&options);
    assert_int_equal(runtime_start_root(runtime), 0);
    fixture_run(runtime);
    return runtime;
}

static void stop(struct runtime *runtime) {
    struct message *message = message_create(ACTOR_STOP, 0);
    shard_post(runtime->shards[0], runtime->root_id, &message);
    fixture_run(runtime);
}

static void finish(struct runtime *runtime, int reason) {
    assert_true(runtime->root_ended);
    assert_int_equal(runtime->root_reason, reason);
    assert_int_equal(seen.alive, 0);
    for (unsigned i = 0; i < runtime->shard_count; i++)
        assert_int_equal(runtime->shards[i]->counters.actors, 0);
    fixture_destroy(runtime);
}

static void spawn(struct runtime *runtime, const struct actor_class *class, uint64_t key,
                  unsigned shard) {
    fixture_enter(runtime, shard);
    assert_int_equal(supervisor_spawn(class, key, runtime->root_id, NULL), 0);
    fixture_enter(runtime, 0);
    fixture_run(runtime);
}

static void tell(struct runtime *runtime, uint64_t key, uint16_t kind, int reason) {
    fixture_send(seen.ids[key], kind, (uint64_t)reason);
    fixture_run_ms(runtime, 30);
}

/* --- few */

static void children_come_back_as_their_spec_says(void **state) {
    struct runtime *runtime = begin(&few, 1);
    spawn(runtime, &permanent, 1, 0);
    spawn(runtime, &transient, 2, 0);
    spawn(runtime, &transient, 3, 0);
    spawn(runtime, &temporary, 4, 0);
    tell(runtime, 1, END, ACTOR_NORMAL);
    tell(runtime, 2, END, ACTOR_NORMAL);
    tell(runtime, 3, BREAK, 0);
    tell(runtime, 4, BREAK, 0);
    assert_int_equal(seen.born[1], 2);
    assert_int_equal(seen.born[2], 1);
    assert_int_equal(seen.born[3], 2);
    assert_int_equal(seen.born[4], 1);
    assert_int_equal(runtime->shards[0]->counters.restarts, 2);
    tell(runtime, 3, END, ACTOR_SHUTDOWN); /* how somebody else takes one out of a pool */
    assert_int_equal(seen.born[3], 2);
    stop(runtime);
    finish(runtime, ACTOR_SHUTDOWN);
}

static void child_comes_back_on_its_shard_with_its_key_after_a_backoff(void **state) {
    struct runtime *runtime = begin(&few, 3);
    spawn(runtime, &permanent, 5, 2);
    struct actor_id first = seen.ids[5];
    uint64_t failed_ms = actor_now_ms();
    tell(runtime, 5, BREAK, 0);
    assert_int_equal(seen.born[5], 2);
    assert_int_equal(seen.shards[5], 2);
    assert_false(actor_id_equal(first, seen.ids[5]));
    assert_in_range(seen.born_ms - failed_ms, 8, 17);
    stop(runtime);
    finish(runtime, ACTOR_SHUTDOWN);
}

static void child_whose_init_fails_is_tried_again_later_and_later(void **state) {
    struct runtime *runtime = begin(&few, 2);
    spawn(runtime, &permanent, 5, 1);
    seen.init_failures = 2;
    uint64_t failed_ms = actor_now_ms();
    tell(runtime, 5, BREAK, 0);
    fixture_run_ms(runtime, 100);
    assert_int_equal(seen.born[5], 2);
    assert_in_range(seen.born_ms - failed_ms, 8 + 16 + 32, 16 + 32 + 64 + 3);
    stop(runtime);
    finish(runtime, ACTOR_SHUTDOWN);
}

static void init_that_fails_at_first_is_the_spawners_to_know(void **state) {
    struct runtime *runtime = begin(&few, 1);
    seen.init_failures = 1;
    assert_int_equal(supervisor_spawn(&permanent, 1, runtime->root_id, NULL), -EAGAIN);
    fixture_run_ms(runtime, 1000);
    assert_int_equal(seen.births, 0);
    stop(runtime);
    finish(runtime, ACTOR_SHUTDOWN);
}

static void too_many_restarts_end_the_pool_and_what_waits_for_its_time(void **state) {
    struct runtime *runtime = begin(&few, 2);
    for (unsigned i = 0; i < 10; i++)
        spawn(runtime, &permanent, i, i % 2);
    for (unsigned i = 0; i < 5; i++)
        fixture_send(seen.ids[i], BREAK, 0);
    fixture_run(runtime);
    finish(runtime, SUPERVISOR_ESCALATED);
    assert_int_equal(seen.births, 10);
}

/* One-for-all with a fixed child beside the pool: the pool is empty after a restart of the group,
 * also of what had failed just before. */
static void pool_is_empty_after_its_group_was_restarted(void **state) {
    static const struct supervisor_child children[] = {{.class = &permanent, .dynamic = true},
                                                       {.class = &transient}};
    static const struct supervisor_spec group = {.name = "group",
                                                 .strategy = SUPERVISE_ONE_FOR_ALL,
                                                 .restarts_max = 4,
                                                 .backoff_ms_min = 16,
                                                 .children = children,
                                                 .child_count = 2};
    struct runtime *runtime = begin(&group, 1);
    struct actor_id fixed = seen.ids[0];
    spawn(runtime, &permanent, 1, 0);
    spawn(runtime, &permanent, 2, 0);
    fixture_send(seen.ids[1], BREAK, 0);
    fixture_send(fixed, BREAK, 0);
    fixture_run_ms(runtime, 100);
    assert_int_equal(seen.born[0], 2);
    assert_int_equal(seen.born[1] + seen.born[2], 2);
    spawn(runtime, &permanent, 3, 0);
    tell(runtime, 3, BREAK, 0);
    assert_int_equal(seen.born[3], 2);
    stop(runtime);
    finish(runtime, ACTOR_SHUTDOWN);
}

/* --- a million */

static uint64_t moves_at_last_look;

/* It asks for its next turn again and again: what happens between two of its turns is what a shard
 * does at most before it looks at its sockets again. */
static void on_look(void *state, struct message **message) {
    uint64_t moves = seen.births + seen.ends;
    if (seen.looks++ && moves - moves_at_last_look > seen.moves_max)
        seen.moves_max = moves - moves_at_last_look;
    moves_at_last_look = moves;
    if (seen.alive)
        actor_signal_next_turn(LOOK);
}
static const struct actor_handler bystander_handlers[] = {[LOOK] = {"look", on_look}};
static const struct actor_class bystander_class = {
    .name = "bystander", .handlers = bystander_handlers, .handler_count = LOOK + 1};

static void a_million_children_start_fail_come_back_and_stop(void **state) {
    static const struct supervisor_spec many = {.name = "many",
                                                .restarts_max = MANY / 2,
                                                .period_ms = 60000,
                                                .children = pools,
                                                .child_count = 3};
    struct runtime *runtime = begin(&many, 1);
    struct actor_id bystander, *ids = malloc(MANY * sizeof *ids);
    assert_int_equal(actor_spawn(&bystander_class, NULL, ACTOR_NOBODY, &bystander), 0);
    for (uint64_t i = 0; i < MANY; i++)
        assert_int_equal(supervisor_spawn(&permanent, i, runtime->root_id, &ids[i]), 0);
    assert_int_equal(seen.alive, MANY);
    const struct brood *brood = map_get(&runtime->shards[0]->broods, runtime->root_id.bits);
    assert_int_equal(brood->count, MANY);

    for (uint64_t i = 0; i < MANY; i += 2)
        assert_int_equal(actor_signal(ids[i], BREAK), 0);
    fixture_send(bystander, LOOK, 0);
    while (seen.births < MANY + MANY / 2) {
        fixture_advance_ms(1);
        shard_step(runtime->shards[0]);
    }
    assert_int_equal(seen.alive, MANY);
    assert_int_equal(brood->count, MANY);
    assert_int_equal(runtime->shards[0]->counters.restarts, MANY / 2);
    assert_false(runtime->root_ended);

    stop(runtime);
    assert_true(runtime->root_ended);
    assert_int_equal(seen.alive, 0);
    assert_int_equal(seen.births, MANY + MANY / 2);
    assert_in_range(seen.looks, MANY / TURN_MESSAGES_MAX, UINT64_MAX);
    assert_in_range(seen.moves_max, 1, 2 * TURN_MESSAGES_MAX);
    actor_kill(bystander, ACTOR_KILLED);
    fixture_run(runtime);
    free(ids);
    finish(runtime, ACTOR_SHUTDOWN);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(children_come_back_as_their_spec_says),
        cmocka_unit_test(child_comes_back_on_its_shard_with_its_key_after_a_backoff),
        cmocka_unit_test(child_whose_init_fails_is_tried_again_later_and_later),
        cmocka_unit_test(init_that_fails_at_first_is_the_spawners_to_know),
        cmocka_unit_test(too_many_restarts_end_the_pool_and_what_waits_for_its_time),
        cmocka_unit_test(pool_is_empty_after_its_group_was_restarted),
        cmocka_unit_test(a_million_children_start_fail_come_back_and_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Monitors and links: who hears of an end, when, and who doesn't. On one shard and across two. */
#include "tests/unit/runtime/fixture.h"

#include <string.h>

enum { NUMBER = ACTOR_KIND_FIRST, WATCH, UNWATCH, LINK, UNLINK, TRAP, END, FAIL, SEND_AND_END };

static struct {
    struct actor_id target, watcher, down[16];
    uint64_t reference, down_reference[16], numbers_before_down;
    unsigned numbers, downs, exits, ended;
    int down_reason[16], exit_reason, reasons[16];
} seen;

static void on_number(void *state, struct message **message) {
    seen.numbers++;
}
static void on_down(void *state, struct message **message) {
    const struct actor_down *down = message_as(*message, struct actor_down);
    seen.numbers_before_down = seen.numbers;
    seen.down[seen.downs] = down->actor;
    seen.down_reference[seen.downs] = down->reference;
    seen.down_reason[seen.downs++] = down->reason;
}
static void on_exit(void *state, struct message **message) {
    const struct actor_down *down = message_as(*message, struct actor_down);
    assert_int_equal(down->reference, 0);
    seen.exits++;
    seen.exit_reason = down->reason;
}
static void on_watch(void *state, struct message **message) {
    seen.reference = actor_monitor(seen.target);
}
static void on_unwatch(void *state, struct message **message) {
    actor_unmonitor(seen.reference);
}
static void on_link(void *state, struct message **message) {
    actor_link(seen.target);
}
static void on_unlink(void *state, struct message **message) {
    actor_unlink(seen.target);
}
static void on_trap(void *state, struct message **message) {
    actor_trap_exits(true);
}
static void on_end(void *state, struct message **message) {
    actor_stop((int)value_of(*message));
}
static void on_fail(void *state, struct message **message) {
    actor_fail((int)value_of(*message), "told to");
}
static void on_send_and_end(void *state, struct message **message) {
    for (uint64_t i = 0; i < 100; i++)
        fixture_send(seen.watcher, NUMBER, i);
    actor_stop(9);
}
static void terminate(void *state, int reason) {
    seen.reasons[seen.ended++ % 16] = reason;
}
static const struct actor_handler handlers[] = {
    [ACTOR_DOWN] = {"down", on_down},
    [ACTOR_EXIT] = {"exit", on_exit},
    [NUMBER] = {"number", on_number},
    [WATCH] = {"watch", on_watch},
    [UNWATCH] = {"unwatch", on_unwatch},
    [LINK] = {"link", on_link},
    [UNLINK] = {"unlink", on_unlink},
    [TRAP] = {"trap", on_trap},
    [END] = {"end", on_end},
    [FAIL] = {"fail", on_fail},
    [SEND_AND_END] = {"send and end", on_send_and_end},
};
static const struct actor_class class = {.name = "watched",
                                         .state_bytes = 8,
                                         .terminate = terminate,
                                         .handlers = handlers,
                                         .handler_count = SEND_AND_END + 1};

/* seen.watcher on shard 0 and seen.target on another or the same. */
static struct runtime *begin(unsigned target_shard) {
    memset(&seen, 0, sizeof seen);
    struct runtime *runtime = fixture_create(2);
    assert_int_equal(actor_spawn(&class, NULL, ACTOR_NOBODY, &seen.watcher), 0);
    fixture_enter(runtime, target_shard);
    assert_int_equal(actor_spawn(&class, NULL, ACTOR_NOBODY, &seen.target), 0);
    fixture_enter(runtime, 0);
    return runtime;
}
static void tell(struct runtime *runtime, struct actor_id to, uint16_t kind, uint64_t value) {
    fixture_send(to, kind, value);
    fixture_run(runtime);
}
static void nothing_is_left(struct runtime *runtime) {
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(runtime->shards[i]->watching.count, 0);
        assert_int_equal(runtime->shards[i]->watched.count, 0);
    }
}

static void down_tells_who_ended_and_why(void **state) {
    for (unsigned shard = 0; shard < 2; shard++) {
        struct runtime *runtime = begin(shard);
        tell(runtime, seen.watcher, WATCH, 0);
        tell(runtime, seen.target, FAIL, 33);
        assert_int_equal(seen.downs, 1);
        assert_true(actor_id_equal(seen.down[0], seen.target));
        assert_int_equal(seen.down_reference[0], seen.reference);
        assert_int_equal(seen.down_reason[0], 33);
        nothing_is_left(runtime);
        fixture_destroy(runtime);
    }
}

static void down_comes_behind_what_the_dying_actor_sent(void **state) {
    for (unsigned shard = 0; shard < 2; shard++) {
        struct runtime *runtime = begin(shard);
        tell(runtime, seen.watcher, WATCH, 0);
        tell(runtime, seen.target, SEND_AND_END, 0);
        assert_int_equal(seen.downs, 1);
        assert_int_equal(seen.numbers_before_down, 100);
        fixture_destroy(runtime);
    }
}

static void monitor_of_the_dead_is_heard_at_once(void **state) {
    for (unsigned shard = 0; shard < 2; shard++) {
        struct runtime *runtime = begin(shard);
        tell(runtime, seen.target, END, 0);
        tell(runtime, seen.watcher, WATCH, 0);
        assert_int_equal(seen.downs, 1);
        assert_int_equal(seen.down_reason[0], ACTOR_NOT_FOUND);
        nothing_is_left(runtime);
        fixture_destroy(runtime);
    }
}

static void canceled_monitor_is_never_heard(void **state) {
    for (unsigned shard = 0; shard < 2; shard++) {
        struct runtime *runtime = begin(shard);
        tell(runtime, seen.watcher, WATCH, 0);
        tell(runtime, seen.watcher, UNWATCH, 0);
        tell(runtime, seen.target, END, 0);
        assert_int_equal(seen.downs, 0);
        nothing_is_left(runtime);
        fixture_destroy(runtime);
    }
}

/* The message is in the watcher's mailbox already when it cancels. */
static void cancel_takes_back_a_down_that_waits(void **state) {
    struct runtime *runtime = begin(0);
    tell(runtime, seen.watcher, WATCH, 0);
    fixture_send(seen.watcher, UNWATCH, 0);
    actor_kill(seen.target, ACTOR_KILLED);
    fixture_run(runtime);
    assert_int_equal(seen.downs, 0);
    assert_int_equal(seen.ended, 1);
    nothing_is_left(runtime);
    fixture_destroy(runtime);
}

static void two_monitors_are_heard_twice(void **state) {
    struct runtime *runtime = begin(1);
    tell(runtime, seen.watcher, WATCH, 0);
    uint64_t first = seen.reference;
    tell(runtime, seen.watcher, WATCH, 0);
    assert_int_not_equal(first, seen.reference);
    tell(runtime, seen.target, END, 0);
    assert_int_equal(seen.downs, 2);
    fixture_destroy(runtime);
}

static void watcher_that_ends_leaves_nothing_behind(void **state) {
    for (unsigned shard = 0; shard < 2; shard++) {
        struct runtime *runtime = begin(shard);
        tell(runtime, seen.watcher, WATCH, 0);
        tell(runtime, seen.watcher, END, 0);
        nothing_is_left(runtime);
        tell(runtime, seen.target, END, 0);
        assert_int_equal(seen.downs, 0);
        fixture_destroy(runtime);
    }
}

static void linked_actors_end_together(void **state) {
    for (unsigned shard = 0; shard < 2; shard++) {
        struct runtime *runtime = begin(shard);
        tell(runtime, seen.watcher, LINK, 0);
        tell(runtime, seen.target, FAIL, 5);
        assert_int_equal(seen.ended, 2);
        assert_int_equal(seen.reasons[0], 5);
        assert_int_equal(seen.reasons[1], 5);
        fixture_destroy(runtime);
        runtime = begin(shard); /* a link has no direction */
        tell(runtime, seen.watcher, LINK, 0);
        tell(runtime, seen.watcher, FAIL, 6);
        assert_int_equal(seen.ended, 2);
        fixture_destroy(runtime);
    }
}

static void trapped_exit_is_a_message(void **state) {
    for (unsigned shard = 0; shard < 2; shard++) {
        struct runtime *runtime = begin(shard);
        tell(runtime, seen.watcher, TRAP, 0);
        tell(runtime, seen.watcher, LINK, 0);
        tell(runtime, seen.target, FAIL, 5);
        assert_int_equal(seen.ended, 1);
        assert_int_equal(seen.exits, 1);
        assert_int_equal(seen.exit_reason, 5);
        fixture_destroy(runtime);
    }
}

static void unlinked_actors_live_on(void **state) {
    for (unsigned shard = 0; shard < 2; shard++) {
        struct runtime *runtime = begin(shard);
        tell(runtime, seen.watcher, LINK, 0);
        tell(runtime, seen.watcher, UNLINK, 0);
        tell(runtime, seen.target, FAIL, 5);
        assert_int_equal(seen.ended, 1);
        fixture_destroy(runtime);
    }
}

static void link_to_the_dead_ends_the_living(void **state) {
    for (unsigned shard = 0; shard < 2; shard++) {
        struct runtime *runtime = begin(shard);
        tell(runtime, seen.target, END, 0);
        tell(runtime, seen.watcher, LINK, 0);
        assert_int_equal(seen.ended, 2);
        assert_int_equal(seen.reasons[1], ACTOR_NOT_FOUND);
        fixture_destroy(runtime);
    }
}

static void kill_cannot_be_trapped_and_exit_can(void **state) {
    struct runtime *runtime = begin(1);
    tell(runtime, seen.target, TRAP, 0);
    actor_kill(seen.target, 8);
    fixture_run(runtime);
    assert_int_equal(seen.exits, 1);
    assert_int_equal(seen.ended, 0);
    actor_kill(seen.target, ACTOR_KILLED);
    fixture_run(runtime);
    assert_int_equal(seen.ended, 1);
    fixture_destroy(runtime);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(down_tells_who_ended_and_why),
        cmocka_unit_test(down_comes_behind_what_the_dying_actor_sent),
        cmocka_unit_test(monitor_of_the_dead_is_heard_at_once),
        cmocka_unit_test(canceled_monitor_is_never_heard),
        cmocka_unit_test(cancel_takes_back_a_down_that_waits),
        cmocka_unit_test(two_monitors_are_heard_twice),
        cmocka_unit_test(watcher_that_ends_leaves_nothing_behind),
        cmocka_unit_test(linked_actors_end_together),
        cmocka_unit_test(trapped_exit_is_a_message),
        cmocka_unit_test(unlinked_actors_live_on),
        cmocka_unit_test(link_to_the_dead_ends_the_living),
        cmocka_unit_test(kill_cannot_be_trapped_and_exit_can),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

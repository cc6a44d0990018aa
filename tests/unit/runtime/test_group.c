/* SPDX-License-Identifier: Apache-2.0 */
/* Groups: every shard comes to know the same members, an actor that ends has left, and what is sent
 * to a group reaches all of it. */
#include "runtime/group.h"
#include "tests/unit/runtime/fixture.h"

#include <errno.h>
#include <string.h>

enum { JOIN = ACTOR_KIND_FIRST, LEAVE, WATCH, UNWATCH, SEND, NUMBER, END };

static struct {
    int result;
    unsigned numbers, joined, left, anew;
    uint64_t last;
    struct group_changed change;
} seen;
static struct runtime *runtime;

static void on_join(void *state, struct message **message) {
    seen.result = actor_group_join("room", value_of(*message));
}
static void on_leave(void *state, struct message **message) {
    actor_group_leave("room", value_of(*message));
}
static void on_watch(void *state, struct message **message) {
    seen.result = actor_group_monitor("room", value_of(*message));
}
static void on_unwatch(void *state, struct message **message) {
    actor_group_unmonitor("room", value_of(*message));
}
static void on_send(void *state, struct message **message) {
    struct message *number = message_of(NUMBER, 5);
    seen.result = actor_group_send("room", value_of(*message), &number);
    message_destroy(number);
}
static void on_number(void *state, struct message **message) {
    seen.numbers++;
    seen.last = value_of(*message);
}
static void on_end(void *state, struct message **message) {
    actor_fail(4, "as told");
}
static void on_changed(void *state, struct message **message) {
    seen.change = *message_as(*message, struct group_changed);
    if (!seen.change.actor.bits)
        seen.anew++;
    else if (seen.change.joined)
        seen.joined++;
    else
        seen.left++;
}
static const struct actor_handler handlers[] = {[GROUP_CHANGED] = {"changed", on_changed},
                                                [JOIN] = {"join", on_join},
                                                [LEAVE] = {"leave", on_leave},
                                                [WATCH] = {"watch", on_watch},
                                                [UNWATCH] = {"unwatch", on_unwatch},
                                                [SEND] = {"send", on_send},
                                                [NUMBER] = {"number", on_number},
                                                [END] = {"end", on_end}};
static const struct actor_class class = {
    .name = "guest", .handlers = handlers, .handler_count = END + 1};

static struct actor_id spawn(unsigned shard) {
    struct actor_id id;
    fixture_enter(runtime, shard);
    assert_int_equal(actor_spawn(&class, NULL, ACTOR_NOBODY, &id), 0);
    fixture_enter(runtime, 0);
    return id;
}
static void tell(struct actor_id id, uint16_t kind, uint64_t value) {
    fixture_send(id, kind, value);
    fixture_run(runtime);
}
static struct actor_id spawn_in(unsigned shard, uint64_t key) {
    struct actor_id id = spawn(shard);
    tell(id, JOIN, key);
    assert_int_equal(seen.result, 0);
    return id;
}
static void begin(void) {
    memset(&seen, 0, sizeof seen);
    runtime = fixture_create(3);
}
/* All shards see so many. */
static void expect_members(uint64_t key, size_t count) {
    for (unsigned i = 0; i < 3; i++) {
        fixture_enter(runtime, i);
        assert_int_equal(actor_group_members("room", key, NULL, 0), count);
    }
    fixture_enter(runtime, 0);
}
/* No group is left on any shard. */
static void end(void) {
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(runtime->shards[i]->groups.count, 0);
    fixture_destroy(runtime);
}

static void every_shard_knows_the_members_its_own_first(void **state) {
    struct actor_id ids[9], found[9];
    begin();
    for (unsigned i = 0; i < 9; i++)
        ids[i] = spawn_in(i % 3, 1);
    for (unsigned shard = 0; shard < 3; shard++) {
        fixture_enter(runtime, shard);
        assert_int_equal(actor_group_members("room", 1, found, 9), 9);
        for (unsigned i = 0; i < 9; i++) {
            unsigned times = 0;
            assert_int_equal(id_shard(found[i]) == shard, i < 3);
            for (unsigned k = 0; k < 9; k++)
                times += actor_id_equal(found[k], ids[i]);
            assert_int_equal(times, 1);
        }
        assert_int_equal(id_shard(actor_group_closest("room", 1)), shard);
    }
    fixture_enter(runtime, 0);
    assert_int_equal(actor_group_members("room", 2, NULL, 0), 0);
    for (unsigned i = 0; i < 9; i++)
        tell(ids[(i * 4) % 9], LEAVE, 1);
    end();
}

static void members_that_end_have_left_everywhere(void **state) {
    begin();
    struct actor_id ids[] = {spawn_in(0, 1), spawn_in(1, 1), spawn_in(2, 1)};
    tell(ids[1], JOIN, 2);
    tell(ids[1], JOIN, 2); /* once more is nothing */
    expect_members(1, 3);
    expect_members(2, 1);
    tell(ids[1], END, 0);
    expect_members(1, 2);
    expect_members(2, 0);
    tell(ids[0], LEAVE, 1);
    tell(ids[0], LEAVE, 1);
    expect_members(1, 1);
    actor_kill(ids[2], ACTOR_KILLED);
    fixture_run(runtime);
    expect_members(1, 0);
    end();
}

static void monitors_hear_of_each_change(void **state) {
    begin();
    struct actor_id watcher = spawn(0);
    tell(watcher, WATCH, 1); /* also of a group that has no members yet */
    struct actor_id near = spawn_in(0, 1), far = spawn_in(2, 1);
    assert_int_equal(seen.joined, 2);
    assert_string_equal(seen.change.name, "room");
    assert_int_equal(seen.change.key, 1);
    assert_int_equal(seen.change.members, 2);
    assert_true(actor_id_equal(seen.change.actor, far));
    tell(far, END, 0);
    assert_int_equal(seen.left, 1);
    assert_true(actor_id_equal(seen.change.actor, far));
    tell(watcher, UNWATCH, 1);
    tell(near, LEAVE, 1);
    assert_int_equal(seen.left, 1);
    end();
}

static void a_watcher_that_ends_watches_no_more(void **state) {
    begin();
    struct actor_id watcher = spawn_in(1, 1), second = spawn(1);
    tell(watcher, WATCH, 1);
    tell(second, WATCH, 1);
    tell(watcher, END, 0);
    assert_int_equal(seen.left, 1); /* the second heard it */
    tell(second, END, 0);
    expect_members(1, 0);
    end();
}

static void send_reaches_all_members_and_their_shards_once(void **state) {
    begin();
    struct actor_id ids[30];
    for (unsigned i = 0; i < 30; i++)
        ids[i] = spawn_in(i % 3, 7);
    struct runtime_counters before, after;
    runtime_counters_read(runtime, &before);
    struct actor_id sender = spawn(0);
    tell(sender, SEND, 7);
    runtime_counters_read(runtime, &after);
    assert_int_equal(seen.result, 0);
    assert_int_equal(seen.numbers, 30);
    assert_int_equal(seen.last, 5);
    assert_int_equal(after.messages_cross_shard - before.messages_cross_shard, 2);
    tell(sender, SEND, 8);
    assert_int_equal(seen.result, -ESRCH);
    for (unsigned i = 0; i < 30; i++)
        tell(ids[i], END, 0);
    end();
}

static void a_large_group_is_sent_to_in_parts(void **state) {
    enum { COUNT = ACTOR_MULTICAST_MAX + 100 };
    static struct actor_id ids[COUNT];
    begin();
    for (unsigned i = 0; i < COUNT; i++) {
        ids[i] = spawn(i % 3);
        fixture_send(ids[i], JOIN, 1);
    }
    fixture_run(runtime);
    expect_members(1, COUNT);
    tell(spawn(0), SEND, 1);
    assert_int_equal(seen.numbers, COUNT);
    for (unsigned i = 0; i < COUNT; i++)
        actor_kill(ids[i], ACTOR_KILLED);
    fixture_run(runtime);
    end();
}

static void random_comes_to_every_member(void **state) {
    begin();
    struct actor_id ids[] = {spawn_in(0, 1), spawn_in(1, 1), spawn_in(2, 1)};
    unsigned times[3] = {0};
    for (unsigned i = 0; i < 100; i++)
        times[id_shard(actor_group_random("room", 1))]++;
    assert_true(times[0] && times[1] && times[2]);
    tell(ids[0], LEAVE, 1);
    assert_int_not_equal(id_shard(actor_group_closest("room", 1)), 0);
    assert_int_equal(actor_group_random("hall", 1).bits, 0);
    tell(ids[1], LEAVE, 1);
    tell(ids[2], LEAVE, 1);
    assert_int_equal(actor_group_closest("room", 1).bits, 0);
    end();
}

static void a_watcher_that_is_behind_is_told_to_look_anew(void **state) {
    enum { MEMBERS = GROUP_CHANGES_MAX + 150 };
    begin();
    struct actor_id ids[MEMBERS];
    tell(spawn(1), WATCH, 7);
    for (unsigned i = 0; i < MEMBERS; i++)
        fixture_send(ids[i] = spawn(0), JOIN, 7);
    while (shard_step(runtime->shards[0])) /* all join before the watcher's shard hears of it */
        ;
    fixture_run(runtime);
    assert_int_equal(seen.joined, GROUP_CHANGES_MAX);
    assert_int_equal(seen.anew, 1);
    assert_int_equal(seen.change.members, MEMBERS);
    assert_int_equal(fixture_event(runtime, "group_changes_left_out"), MEMBERS - GROUP_CHANGES_MAX);
    tell(ids[0], LEAVE, 7); /* from here on as before */
    assert_int_equal(seen.left, 1);
    assert_int_equal(seen.anew, 1);
    fixture_destroy(runtime);
}

static void nothing_is_heard_after_unmonitor(void **state) {
    begin();
    struct actor_id watcher = spawn(0), member = spawn(0);
    tell(watcher, WATCH, 7);
    fixture_send(member, JOIN, 7);
    fixture_send(watcher, UNWATCH, 7); /* is in its mailbox before the change */
    fixture_run(runtime);
    assert_int_equal(seen.joined, 0);
    fixture_send(member, LEAVE, 7);
    fixture_send(watcher, WATCH, 7);
    fixture_run(runtime);
    assert_int_equal(seen.left, 0);
    tell(member, JOIN, 7);
    assert_int_equal(seen.joined, 1);
    tell(member, END, 0);
    tell(watcher, END, 0);
    end();
}

static void ties_of_one_actor_are_bounded(void **state) {
    begin();
    struct actor_id id = spawn(0);
    for (uint64_t key = 1; key <= GROUP_TIES_MAX; key++)
        tell(id, JOIN, key);
    assert_int_equal(seen.result, 0);
    tell(id, JOIN, GROUP_TIES_MAX + 1);
    assert_int_equal(seen.result, -ENOSPC);
    tell(id, LEAVE, 1);
    tell(id, WATCH, GROUP_TIES_MAX + 1);
    assert_int_equal(seen.result, 0);
    tell(id, END, 0);
    end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_shard_knows_the_members_its_own_first),
        cmocka_unit_test(members_that_end_have_left_everywhere),
        cmocka_unit_test(monitors_hear_of_each_change),
        cmocka_unit_test(a_watcher_that_ends_watches_no_more),
        cmocka_unit_test(send_reaches_all_members_and_their_shards_once),
        cmocka_unit_test(a_large_group_is_sent_to_in_parts),
        cmocka_unit_test(random_comes_to_every_member),
        cmocka_unit_test(a_watcher_that_is_behind_is_told_to_look_anew),
        cmocka_unit_test(nothing_is_heard_after_unmonitor),
        cmocka_unit_test(ties_of_one_actor_are_bounded),
    };
    return cmocka_run_group_tests_name("group", tests, NULL, NULL);
}

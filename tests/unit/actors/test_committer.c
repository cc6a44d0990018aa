/* SPDX-License-Identifier: Apache-2.0 */
/* Group commit: one sync for many, in order, unsynced ones in company, answers only when durable.
 */
#include "tests/unit/actors/mailbox_fixture.h"

static struct phone client;

/* An actor whose messages we see; its COMMITTEDs are what counts. */
static int begin(void **state) {
    struct phone *argument = &client;
    hand_setup(state);
    client.heard = calloc(HAND_HEARD_MAX, sizeof(*client.heard));
    hand.phones[hand.phone_count++] = &client;
    assert_int_equal(actor_spawn(&probe_class, &argument, ACTOR_NOBODY, &client.connection), 0);
    return 0;
}

static struct engine_gauges gauges(void) {
    struct engine_gauges gauges;
    engine_gauges(hand.node.engine, &gauges);
    return gauges;
}

static void commit(uint64_t reference, const char *key, const char *value, bool sync) {
    struct write_batch batch;
    write_batch_init(&batch, 4096);
    struct engine_bytes key_bytes = {key, strlen(key)};
    if (value)
        write_batch_put(&batch, ENGINE_META, key_bytes,
                        (struct engine_bytes){value, strlen(value)});
    else
        write_batch_delete(&batch, ENGINE_META, key_bytes);
    struct engine_bytes bytes = write_batch_bytes(&batch);
    struct message *message = message_create(COMMITTER_COMMIT, sizeof(struct commit_request));
    *message_as(message, struct commit_request) =
        (struct commit_request){client.connection, reference, sync};
    message->blob = blob_copy_of(bytes.data, bytes.size);
    write_batch_finish(&batch);
    assert_int_equal(actor_send(actor_whereis(COMMITTER_NAME), &message), 0);
}

/* The result of this commit, or 1: not yet. */
static int result_of(uint64_t reference) {
    hand_run();
    for (unsigned i = 0; i < client.count; i++) {
        const struct commit_result *result = (const struct commit_result *)client.heard[i].payload;
        if (client.heard[i].kind == COMMITTED && result->reference == reference)
            return result->error;
    }
    return 1;
}

static bool has(const char *key, const char *value) {
    char found[64];
    size_t size;
    if (engine_get(hand.node.engine, ENGINE_META, (struct engine_bytes){key, strlen(key)}, found,
                   sizeof(found), &size) != 0)
        return value == NULL;
    return value && size == strlen(value) && memcmp(found, value, size) == 0;
}

static void many_commits_share_one_sync(void **state) {
    uint64_t before = gauges().syncs;
    for (uint64_t i = 1; i <= 100; i++)
        commit(i, "key", "value", true);
    for (uint64_t i = 1; i <= 100; i++)
        assert_int_equal(result_of(i), 0);
    assert_in_range(gauges().syncs - before, 1, 3);
}

static void what_comes_while_writing_goes_with_the_next_group(void **state) {
    hand.pool_held = true;
    commit(1, "a", "1", true);
    hand_run();
    for (uint64_t i = 2; i <= 50; i++)
        commit(i, "b", "2", true);
    assert_int_equal(hand.job_count, 1);
    assert_int_equal(result_of(2), 1);
    uint64_t before = gauges().writes;
    hand.pool_held = false;
    assert_int_equal(result_of(50), 0);
    assert_int_equal(gauges().writes - before, 2);
}

static void answers_wait_for_the_sync(void **state) {
    hand.pool_held = true;
    commit(1, "a", "1", true);
    hand_pass_ms(1000);
    assert_int_equal(result_of(1), 1);
    hand.pool_held = false;
    assert_int_equal(result_of(1), 0);
    engine_memory_crash(hand.node.engine, ENGINE_CRASH_DROP, 1);
    assert_true(has("a", "1"));
}

static void commits_keep_their_order(void **state) {
    commit(1, "a", "1", true);
    commit(2, "a", NULL, false);
    commit(3, "a", "3", true);
    commit(4, "b", "4", true);
    commit(5, "b", NULL, false);
    assert_int_equal(result_of(5), 0);
    assert_true(has("a", "3"));
    assert_true(has("b", NULL));
}

static void unsynced_commits_wait_for_company_but_not_for_long(void **state) {
    uint64_t before = gauges().syncs;
    commit(1, "a", "1", false);
    hand_pass_ms(20);
    assert_int_equal(result_of(1), 1);
    commit(2, "b", "2", true);
    assert_int_equal(result_of(1), 0);
    assert_int_equal(gauges().syncs - before, 1);
    commit(3, "c", "3", false);
    hand_pass_ms(60);
    assert_int_equal(result_of(3), 0);
    assert_int_equal(gauges().syncs - before, 1);
}

static void a_full_disk_refuses_some_and_writes_the_others(void **state) {
    struct engine_memory_fault full = {.space_bytes = 1, .sync_fails_after = -1};
    commit(1, "a", "1", true);
    assert_int_equal(result_of(1), 0);
    engine_memory_fault(hand.node.engine, &full);
    commit(2, "b", "2", true);
    commit(3, "a", NULL, true);
    assert_int_equal(result_of(2), -ENOSPC);
    assert_int_equal(result_of(3), 0);
    assert_true(has("a", NULL));
    assert_true(hand.node.store_full);
    hand_pass_ms(2500);
    assert_true(hand.node.store_full);
    engine_memory_fault(hand.node.engine, NULL);
    hand_pass_ms(1500);
    assert_false(hand.node.store_full);
}

static void a_new_committer_waits_for_what_the_old_one_is_writing(void **state) {
    hand.pool_held = true;
    commit(1, "a", "old", true);
    hand_run();
    assert_int_equal(hand.job_count, 1);
    actor_kill(hand.committer, ACTOR_KILLED);
    hand_run();
    assert_int_equal(actor_spawn(&committer_class, NULL, ACTOR_NOBODY, &hand.committer), 0);
    commit(2, "a", "new", true);
    hand_pass_ms(100);
    assert_int_equal(hand.job_count, 1); /* on several threads the second could be first */
    hand.pool_held = false;
    hand_pass_ms(100);
    assert_int_equal(result_of(2), 0);
    assert_true(has("a", "new"));
}

static void barrier(uint64_t reference) {
    struct message *message = message_create(COMMITTER_COMMIT, sizeof(struct commit_request));
    *message_as(message, struct commit_request) =
        (struct commit_request){client.connection, reference, 1};
    assert_int_equal(actor_send(actor_whereis(COMMITTER_NAME), &message), 0);
}

static void a_barrier_waits_for_what_came_before_it(void **state) {
    uint64_t syncs = gauges().syncs;
    barrier(1);
    assert_int_equal(result_of(1), 0);
    assert_int_equal(gauges().syncs, syncs);
    hand.pool_held = true;
    commit(2, "a", "1", true);
    barrier(3);
    hand_run();
    barrier(4);
    hand_pass_ms(100);
    assert_int_equal(result_of(3), 1);
    assert_int_equal(result_of(4), 1);
    hand.pool_held = false;
    hand_pass_ms(100);
    assert_int_equal(result_of(3), 0);
    assert_int_equal(result_of(4), 0);
    assert_true(has("a", "1"));
}

static void a_barrier_waits_for_what_an_old_committer_is_writing(void **state) {
    hand.pool_held = true;
    commit(1, "a", "old", true);
    hand_run();
    actor_kill(hand.committer, ACTOR_KILLED);
    hand_run();
    assert_int_equal(actor_spawn(&committer_class, NULL, ACTOR_NOBODY, &hand.committer), 0);
    barrier(2);
    hand_pass_ms(100);
    assert_int_equal(result_of(2), 1);
    hand.pool_held = false;
    hand_pass_ms(100);
    assert_int_equal(result_of(2), 0);
    assert_true(has("a", "old"));
}

static void a_full_pool_only_delays(void **state) {
    hand.pool_full = true;
    commit(1, "a", "1", true);
    hand_pass_ms(50);
    assert_int_equal(result_of(1), 1);
    hand.pool_full = false;
    hand_pass_ms(20);
    assert_int_equal(result_of(1), 0);
}

static void more_than_a_group_is_written_in_several(void **state) {
    hand.pool_held = true;
    commit(1, "a", "1", true);
    hand_run();
    for (uint64_t i = 2; i <= 6000; i++) {
        commit(i, "a", "1", false);
        if (i % 500 == 0)
            hand_run();
    }
    commit(6001, "b", "2", true);
    hand.pool_held = false;
    assert_int_equal(result_of(6001), 0);
    assert_int_equal(result_of(6000), 0);
}

static void what_waits_is_written_at_an_orderly_end(void **state) {
    commit(1, "a", "1", false);
    hand_run();
    hand_restart();
    assert_true(has("a", "1"));
}

static void a_failed_sync_is_never_answered(void **state) {
    struct engine_memory_fault fault = {.sync_fails_after = 0};
    engine_memory_fault(hand.node.engine, &fault);
    commit(1, "a", "1", true);
    hand_pass_ms(100);
    assert_int_equal(result_of(1), 1);
    assert_int_equal(hand.runtime->exit_code, 74);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, hand_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(many_commits_share_one_sync),
        TEST(what_comes_while_writing_goes_with_the_next_group),
        TEST(answers_wait_for_the_sync),
        TEST(commits_keep_their_order),
        TEST(unsynced_commits_wait_for_company_but_not_for_long),
        TEST(a_full_disk_refuses_some_and_writes_the_others),
        TEST(a_new_committer_waits_for_what_the_old_one_is_writing),
        TEST(a_barrier_waits_for_what_came_before_it),
        TEST(a_barrier_waits_for_what_an_old_committer_is_writing),
        TEST(a_full_pool_only_delays),
        TEST(more_than_a_group_is_written_in_several),
        TEST(what_waits_is_written_at_an_orderly_end),
        TEST(a_failed_sync_is_never_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

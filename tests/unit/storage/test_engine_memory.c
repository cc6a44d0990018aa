/* SPDX-License-Identifier: Apache-2.0 */
/* What only the engine in memory has: crashes that forget, faults, hashes. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "storage/engine_memory.h"
#include "tests/unit/storage/store.h"

#define ALL ((struct engine_bytes){NULL, 0})

static struct engine *engine;

static int open_engine(void **state) {
    struct engine_memory_options options = {.seed = 11, .reserve_bytes = 4000};
    return engine_memory_open(&options, &engine);
}

static int close_engine(void **state) {
    engine_close(engine);
    return 0;
}

/* Write what `key` names: one key, or deleting all up to it. */
static int write_one(char key, bool delete_up_to, enum engine_sync sync) {
    struct write_batch batch;
    write_batch_init(&batch, 4096);
    if (delete_up_to)
        write_batch_delete_range(&batch, ENGINE_META, TEXT("A"), (struct engine_bytes){&key, 1});
    else
        write_batch_put(&batch, ENGINE_META, (struct engine_bytes){&key, 1}, TEXT("v"));
    struct write_batch *batches[] = {&batch};
    int error = engine_write(engine, batches, 1, sync);
    write_batch_finish(&batch);
    return error ? error : batch.result;
}

static const char *keys(void) {
    return store_list(engine, ENGINE_META, ALL, ALL, 100);
}

static void crash_forgets_what_was_not_synced(void **state) {
    assert_int_equal(write_one('a', false, ENGINE_SYNC), 0);
    assert_int_equal(write_one('b', false, ENGINE_NO_SYNC), 0);
    assert_int_equal(write_one('c', false, ENGINE_NO_SYNC), 0);
    assert_int_equal(write_one('b', true, ENGINE_NO_SYNC), 0);
    assert_string_equal(keys(), "b,c");
    engine_memory_crash(engine, ENGINE_CRASH_DROP, 0);
    assert_string_equal(keys(), "a");
}

static void crash_keeps_what_a_later_sync_covered(void **state) {
    assert_int_equal(write_one('a', false, ENGINE_NO_SYNC), 0);
    assert_int_equal(write_one('b', false, ENGINE_SYNC), 0);
    assert_int_equal(write_one('c', false, ENGINE_NO_SYNC), 0);
    assert_int_equal(engine_write(engine, NULL, 0, ENGINE_SYNC), 0);
    engine_memory_crash(engine, ENGINE_CRASH_DROP, 0);
    assert_string_equal(keys(), "a,b,c");
}

static void killed_process_keeps_everything(void **state) {
    assert_int_equal(write_one('a', false, ENGINE_NO_SYNC), 0);
    engine_memory_crash(engine, ENGINE_CRASH_KEEP, 0);
    assert_string_equal(keys(), "a");
    engine_memory_crash(engine, ENGINE_CRASH_DROP, 0);
    assert_string_equal(keys(), "a");
}

static void torn_crash_keeps_some_prefix_and_every_prefix_happens(void **state) {
    static const char *const prefixes[] = {"", "a", "a,b", "a,b,c"};
    bool seen[4] = {false};
    for (uint64_t seed = 0; seed < 100; seed++) {
        for (const char *key = "abc"; *key; key++)
            assert_int_equal(write_one(*key, false, ENGINE_NO_SYNC), 0);
        engine_memory_crash(engine, ENGINE_CRASH_TORN, seed);
        size_t which = 0;
        while (which < 4 && strcmp(prefixes[which], keys()) != 0)
            which++;
        assert_true(which < 4);
        seen[which] = true;
        assert_int_equal(write_one('z', true, ENGINE_SYNC), 0);
    }
    assert_true(seen[0] && seen[1] && seen[2] && seen[3]);
}

static void failed_sync_is_an_error_and_the_end_of_writing(void **state) {
    struct engine_memory_fault fault = {.sync_fails_after = 1};
    engine_memory_fault(engine, &fault);
    assert_int_equal(write_one('a', false, ENGINE_SYNC), 0);
    assert_int_equal(write_one('b', false, ENGINE_SYNC), -EIO);
    assert_string_equal(keys(), "a");
    assert_int_equal(write_one('c', false, ENGINE_SYNC), -EIO);
    assert_int_equal(write_one('c', false, ENGINE_NO_SYNC), -EIO);
    char text[64];
    engine_error(engine, text, sizeof(text));
    assert_string_equal(text, "a simulated sync failed");
    engine_memory_crash(engine, ENGINE_CRASH_DROP, 0);
    assert_string_equal(keys(), "a");
    assert_int_equal(write_one('c', false, ENGINE_SYNC), 0);
}

static void write_whose_sync_failed_may_be_there_after_a_crash(void **state) {
    bool found[2] = {false};
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct engine_memory_fault fault = {.sync_fails_after = 0};
        engine_memory_fault(engine, &fault);
        assert_int_equal(write_one('b', false, ENGINE_SYNC), -EIO);
        engine_memory_crash(engine, ENGINE_CRASH_TORN, seed);
        found[keys()[0] == 'b'] = true;
        assert_int_equal(write_one('z', true, ENGINE_SYNC), 0);
    }
    assert_true(found[0] && found[1]);
    engine_memory_fault(engine, &(struct engine_memory_fault){.sync_fails_after = 0});
    assert_int_equal(write_one('b', false, ENGINE_SYNC), -EIO);
    engine_memory_crash(engine, ENGINE_CRASH_KEEP, 0);
    assert_string_equal(keys(), "b");
}

static void full_disk_refuses_by_urgency_and_recovers(void **state) {
    static char value[1000];
    struct engine_memory_fault fault = {.space_bytes = 10000, .sync_fails_after = -1};
    engine_memory_fault(engine, &fault);
    struct write_batch grows;
    struct write_batch essential;
    struct write_batch deletes;
    write_batch_init(&grows, 4096);
    write_batch_init(&essential, 4096);
    write_batch_init(&deletes, 4096);
    struct engine_bytes bytes = {value, sizeof(value)};
    for (const char *key = "abcdef"; *key; key++) {
        write_batch_clear(&grows);
        write_batch_put(&grows, ENGINE_META, (struct engine_bytes){key, 1}, bytes);
        struct write_batch *batches[] = {&grows};
        assert_int_equal(engine_write(engine, batches, 1, ENGINE_SYNC), 0);
        if (grows.result)
            break;
    }
    assert_int_equal(grows.result, -ENOSPC);
    assert_string_equal(keys(), "a,b,c,d,e"); /* 5 KB used, 5 KB free, 4 KB of them reserve */
    write_batch_put(&essential, ENGINE_ACCOUNT, TEXT("e"), bytes);
    essential.urgency = WRITE_ESSENTIAL;
    write_batch_delete(&deletes, ENGINE_META, TEXT("a"));
    struct write_batch *batches[] = {&grows, &essential, &deletes};
    assert_int_equal(engine_write(engine, batches, 3, ENGINE_SYNC), 0);
    assert_int_equal(grows.result, -ENOSPC);
    assert_int_equal(essential.result, 0);
    assert_int_equal(deletes.result, 0);
    struct engine_gauges gauges;
    engine_gauges(engine, &gauges);
    assert_int_equal(gauges.refused_batches, 2);
    engine_memory_fault(engine, NULL);
    assert_int_equal(engine_write(engine, batches, 1, ENGINE_SYNC), 0);
    assert_int_equal(grows.result, 0);
    assert_string_equal(keys(), "b,c,d,e,f");
    write_batch_finish(&grows);
    write_batch_finish(&essential);
    write_batch_finish(&deletes);
}

static int pauses[4];

static void note_pause(void *context, enum engine_call call) {
    pauses[call]++;
    if (call == ENGINE_CALL_SYNC)
        *(bool *)context = store_get(engine, ENGINE_META, TEXT("k")) == NULL;
}

static void pause_comes_before_a_write_is_seen(void **state) {
    bool unseen = false;
    struct engine_memory_fault fault = {
        .sync_fails_after = -1, .pause = note_pause, .pause_context = &unseen};
    engine_memory_fault(engine, &fault);
    store_put(engine, ENGINE_META, TEXT("k"), TEXT("v"));
    assert_true(unseen);
    assert_non_null(store_get(engine, ENGINE_META, TEXT("k")));
    keys();
    assert_int_equal(pauses[ENGINE_CALL_WRITE], 1);
    assert_int_equal(pauses[ENGINE_CALL_SYNC], 1);
    assert_int_equal(pauses[ENGINE_CALL_GET], 2);
    assert_int_equal(pauses[ENGINE_CALL_SCAN], 1);
}

static void hash_tells_contents_and_not_their_history(void **state) {
    uint64_t empty = engine_memory_hash(engine);
    write_one('a', false, ENGINE_SYNC);
    uint64_t one = engine_memory_hash(engine);
    assert_true(one != empty);
    write_one('b', false, ENGINE_NO_SYNC);
    assert_true(engine_memory_hash(engine) != one);
    engine_memory_crash(engine, ENGINE_CRASH_DROP, 0);
    assert_true(engine_memory_hash(engine) == one);
    write_one('z', true, ENGINE_SYNC);
    assert_true(engine_memory_hash(engine) == empty);
}

#define WITH_ENGINE(name) cmocka_unit_test_setup_teardown(name, open_engine, close_engine)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_ENGINE(crash_forgets_what_was_not_synced),
        WITH_ENGINE(crash_keeps_what_a_later_sync_covered),
        WITH_ENGINE(killed_process_keeps_everything),
        WITH_ENGINE(torn_crash_keeps_some_prefix_and_every_prefix_happens),
        WITH_ENGINE(failed_sync_is_an_error_and_the_end_of_writing),
        WITH_ENGINE(write_whose_sync_failed_may_be_there_after_a_crash),
        WITH_ENGINE(full_disk_refuses_by_urgency_and_recovers),
        WITH_ENGINE(pause_comes_before_a_write_is_seen),
        WITH_ENGINE(hash_tells_contents_and_not_their_history),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

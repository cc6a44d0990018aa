/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "storage/engine_memory.h"
#include "storage/format.h"
#include "storage/meta.h"
#include "tests/unit/storage/store.h"

static void meta_counts_starts_and_none_comes_twice(void **state) {
    struct store store;
    store_open(&store, STORE_ROCKSDB);
    for (uint64_t start = 1; start <= 3; start++) {
        struct meta meta;
        uint64_t format = 0;
        assert_int_equal(meta_begin(store.engine, &meta, &format), 0);
        assert_int_equal(meta.boot, start);
        assert_int_equal(meta.user_high, 0);
        assert_int_equal(format, FORMAT_VERSION);
        store_reopen(&store);
    }
    store_close(&store);
}

static void meta_boot_is_durable_before_it_is_used(void **state) {
    struct store store;
    store_open(&store, STORE_MEMORY);
    struct meta meta;
    assert_int_equal(meta_begin(store.engine, &meta, NULL), 0);
    engine_memory_crash(store.engine, ENGINE_CRASH_DROP, 1);
    assert_int_equal(meta_begin(store.engine, &meta, NULL), 0);
    assert_int_equal(meta.boot, 2);
    store_close(&store);
}

static void meta_starts_on_a_nearly_full_disk(void **state) {
    struct engine_memory_options options = {.space_bytes = 1500, .reserve_bytes = 4000};
    struct engine *engine;
    assert_int_equal(engine_memory_open(&options, &engine), 0);
    struct meta meta;
    assert_int_equal(meta_begin(engine, &meta, NULL), 0);
    engine_close(engine);
}

static void meta_keeps_the_high_mark_of_users(void **state) {
    struct store store;
    store_open(&store, STORE_MEMORY);
    struct write_batch batch;
    write_batch_init(&batch, 4096);
    assert_int_equal(meta_put_user_high(&batch, 5 + META_USER_BLOCK), 0);
    store_commit(store.engine, &batch);
    struct meta meta;
    assert_int_equal(meta_begin(store.engine, &meta, NULL), 0);
    assert_int_equal(meta.user_high, 5 + META_USER_BLOCK);
    store_close(&store);
}

static void meta_refuses_a_newer_store_and_leaves_it_alone(void **state) {
    struct store store;
    store_open(&store, STORE_MEMORY);
    uint8_t number[RECORD_NUMBER_SIZE];
    record_number_encode(FORMAT_VERSION + 1, number);
    store_put(store.engine, ENGINE_META, TEXT("format"),
              (struct engine_bytes){number, sizeof(number)});
    uint64_t before = engine_memory_hash(store.engine);
    struct meta meta;
    uint64_t format = 0;
    assert_int_equal(meta_begin(store.engine, &meta, &format), -EPROTONOSUPPORT);
    assert_int_equal(format, FORMAT_VERSION + 1);
    assert_true(engine_memory_hash(store.engine) == before);
    store_close(&store);
}

static void meta_refuses_damage(void **state) {
    struct store store;
    store_open(&store, STORE_MEMORY);
    store_put(store.engine, ENGINE_META, TEXT("boot"), TEXT("\0012"));
    struct meta meta;
    assert_int_equal(meta_begin(store.engine, &meta, NULL), -EBADMSG);
    store_put(store.engine, ENGINE_META, TEXT("boot"), TEXT("\001234567890"));
    assert_int_equal(meta_begin(store.engine, &meta, NULL), -EBADMSG);
    store_close(&store);
}

static void meta_keeps_who_was_active_on_two_days(void **state) {
    struct store store;
    static struct record_active day, found;
    store_open(&store, STORE_MEMORY);
    assert_int_equal(meta_read_active(store.engine, 1, &found), 0);
    assert_int_equal(found.day, 0);
    for (uint64_t number = 100; number < 103; number++) {
        struct write_batch batch;
        write_batch_init(&batch, 1 << 16);
        day.day = number;
        day.registers[number] = 9;
        assert_int_equal(meta_put_active(&batch, &day), 0);
        store_commit(store.engine, &batch);
    }
    assert_int_equal(meta_read_active(store.engine, 0, &found), 0);
    assert_int_equal(found.day, 102);
    assert_int_equal(found.registers[102], 9);
    assert_int_equal(meta_read_active(store.engine, 1, &found), 0);
    assert_int_equal(found.day, 101);
    assert_int_equal(found.registers[102], 0);
    store_put(store.engine, ENGINE_META, TEXT("active/1"), TEXT("\001234567890"));
    assert_int_equal(meta_read_active(store.engine, 1, &found), -EBADMSG);
    store_close(&store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(meta_counts_starts_and_none_comes_twice),
        cmocka_unit_test(meta_boot_is_durable_before_it_is_used),
        cmocka_unit_test(meta_starts_on_a_nearly_full_disk),
        cmocka_unit_test(meta_keeps_the_high_mark_of_users),
        cmocka_unit_test(meta_refuses_a_newer_store_and_leaves_it_alone),
        cmocka_unit_test(meta_refuses_damage),
        cmocka_unit_test(meta_keeps_who_was_active_on_two_days),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

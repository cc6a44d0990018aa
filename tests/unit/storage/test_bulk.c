/* SPDX-License-Identifier: Apache-2.0 */
/* Accounts in bulk: all are found, ids follow each other and are reserved before they are given. */
#include "storage/bulk.h"
#include "storage/engine_memory.h"
#include "storage/meta.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT 5000

static struct engine *engine;

static int open_engine(void **state) {
    return engine_memory_open(&(struct engine_memory_options){.seed = 1}, &engine);
}

static int close_engine(void **state) {
    engine_close(engine);
    return 0;
}

static void key_of(unsigned i, uint8_t key[FORMAT_KEY_BYTES]) {
    memset(key, 0, FORMAT_KEY_BYTES);
    memcpy(key, &i, sizeof i);
    key[31] = 1;
}

static int add(struct bulk *bulk, unsigned i) {
    char digits[FORMAT_PHONE_DIGITS_MAX + 1];
    uint8_t key[FORMAT_KEY_BYTES];
    key_of(i, key);
    snprintf(digits, sizeof digits, "99955%08u", i);
    return bulk_add(bulk, digits, "somebody", key);
}

static void all_are_found_and_their_ids_follow_each_other(void **state) {
    struct meta meta;
    struct bulk bulk;
    unsigned writes = 0;
    assert_int_equal(meta_begin(engine, &meta, NULL), 0);
    bulk_begin(&bulk, engine, 41, 1000);
    for (unsigned i = 0; i < COUNT; i++) {
        int result = add(&bulk, i);
        assert_in_range(result, 0, 1);
        writes += result == 1;
    }
    assert_in_range(writes, 1, COUNT / 100); /* they gather */
    assert_int_equal(bulk_end(&bulk), 0);
    engine_memory_crash(engine, ENGINE_CRASH_DROP, 1);
    for (unsigned i = 0; i < COUNT; i++) {
        uint8_t key[FORMAT_KEY_BYTES];
        uint64_t user;
        uint32_t device;
        key_of(i, key);
        assert_int_equal(account_find_key(engine, key, &user, &device), 0);
        assert_int_equal(user, 42 + i);
        assert_int_equal(device, 1);
    }
    assert_int_equal(meta_begin(engine, &meta, NULL), 0);
    assert_true(meta.user_high >= 41 + COUNT);
}

static void ids_are_reserved_before_they_are_found(void **state) {
    struct meta meta;
    struct bulk bulk;
    assert_int_equal(meta_begin(engine, &meta, NULL), 0);
    bulk_begin(&bulk, engine, 0, 1000);
    assert_int_equal(add(&bulk, 0), 0);
    assert_int_equal(bulk_write(&bulk, ENGINE_NO_SYNC), 0);
    assert_int_equal(meta_begin(engine, &meta, NULL), 0);
    assert_true(meta.user_high >= 1);
    assert_int_equal(bulk_end(&bulk), 0);
}

static void phone_that_is_none_is_refused_and_takes_no_id(void **state) {
    const uint8_t key[FORMAT_KEY_BYTES] = {1};
    struct bulk bulk;
    bulk_begin(&bulk, engine, 0, 1000);
    assert_int_equal(bulk_add(&bulk, "12", "somebody", key), -EINVAL);
    assert_int_equal(bulk.user_next, 1);
    assert_int_equal(add(&bulk, 7), 0);
    assert_int_equal(bulk_end(&bulk), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_are_found_and_their_ids_follow_each_other, open_engine,
                                        close_engine),
        cmocka_unit_test_setup_teardown(ids_are_reserved_before_they_are_found, open_engine,
                                        close_engine),
        cmocka_unit_test_setup_teardown(phone_that_is_none_is_refused_and_takes_no_id, open_engine,
                                        close_engine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

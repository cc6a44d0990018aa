/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "storage/account.h"
#include "storage/mail.h"
#include "tests/unit/storage/store.h"

static const uint8_t key_old[32] = {1};
static const uint8_t key_new[32] = {2};
static const uint8_t key_other[32] = {3};

#define DAY_MS 86400000u

static struct store store;

static int open_store(void **state) {
    store_open(&store, STORE_MEMORY);
    return 0;
}

static int close_store(void **state) {
    store_close(&store);
    return 0;
}

static struct record_account create(uint64_t user, const char *digits, const uint8_t key[32]) {
    struct record_account account;
    struct write_batch batch;
    write_batch_init(&batch, 1 << 16);
    assert_int_equal(account_create(&batch, user, digits, "Ann", key, 3 * DAY_MS + 5, &account), 0);
    store_commit(store.engine, &batch);
    return account;
}

static void assert_key_leads_to(const uint8_t key[32], uint64_t user, uint32_t device) {
    uint64_t found_user = 0;
    uint32_t found_device = 0;
    assert_int_equal(account_find_key(store.engine, key, &found_user, &found_device), 0);
    assert_int_equal(found_user, user);
    assert_int_equal(found_device, device);
}

static void assert_key_leads_nowhere(const uint8_t key[32]) {
    uint64_t user;
    uint32_t device;
    assert_int_equal(account_find_key(store.engine, key, &user, &device), -ENOENT);
}

static void account_is_found_by_user_phone_and_key(void **state) {
    create(42, "15550001000", key_old);
    create(43, "15550002000", key_other);
    struct record_account account;
    assert_int_equal(account_read(store.engine, 42, &account), 0);
    assert_string_equal(account.phone, "15550001000");
    assert_string_equal(account.name, "Ann");
    assert_int_equal(account.devices_count, 1);
    assert_int_equal(account.devices[0].device, 1);
    assert_int_equal(account.devices[0].last_seen_day, 3);
    assert_int_equal(account.list_version, 1);
    uint64_t user = 0;
    assert_int_equal(account_find_phone(store.engine, "15550001000", &user), 0);
    assert_int_equal(user, 42);
    assert_key_leads_to(key_old, 42, 1);
    assert_key_leads_to(key_other, 43, 1);
    assert_int_equal(account_find_phone(store.engine, "15550003000", &user), -ENOENT);
    assert_int_equal(account_find_phone(store.engine, "nonsense", &user), -ENOENT);
    assert_int_equal(account_read(store.engine, 44, &account), -ENOENT);
    assert_key_leads_nowhere(key_new);
}

static void account_replacing_its_device_takes_a_new_id(void **state) {
    struct record_account account = create(42, "15550001000", key_old);
    struct write_batch batch;
    write_batch_init(&batch, 1 << 16);
    struct record_queue queue = {.sequence_reserved = 100};
    mail_put_queue(&batch, 42, 1, &queue);
    store_commit(store.engine, &batch);

    uint32_t device = 0;
    assert_int_equal(account_replace_devices(&batch, &account, key_new, DAY_MS, &device), 0);
    store_commit(store.engine, &batch);
    assert_int_equal(device, 2);
    assert_key_leads_nowhere(key_old);
    assert_key_leads_to(key_new, 42, 2);
    assert_int_equal(mail_read_queue(store.engine, 42, 1, &queue), -ENOENT);
    struct record_account read;
    assert_int_equal(account_read(store.engine, 42, &read), 0);
    assert_int_equal(read.devices_count, 1);
    assert_int_equal(read.devices[0].device, 2);
    assert_int_equal(read.list_version, 2);
    assert_int_equal(read.device_next, 3);
}

static void account_replacing_its_device_by_the_same_key_keeps_the_key(void **state) {
    struct record_account account = create(42, "15550001000", key_old);
    struct write_batch batch;
    write_batch_init(&batch, 1 << 16);
    uint32_t device = 0;
    assert_int_equal(account_replace_devices(&batch, &account, key_old, DAY_MS, &device), 0);
    store_commit(store.engine, &batch);
    assert_key_leads_to(key_old, 42, 2);
}

static void account_adds_and_removes_devices(void **state) {
    struct record_account account = create(42, "15550001000", key_old);
    struct write_batch batch;
    write_batch_init(&batch, 1 << 16);
    uint32_t device = 0;
    assert_int_equal(account_add_device(&batch, &account, key_new, DAY_MS, &device), 0);
    assert_int_equal(device, 2);
    assert_int_equal(account_remove_device(&batch, &account, 1), 0);
    assert_int_equal(account_remove_device(&batch, &account, 1), -ENOENT);
    store_commit(store.engine, &batch);
    assert_key_leads_nowhere(key_old);
    assert_key_leads_to(key_new, 42, 2);
    assert_int_equal(account_read(store.engine, 42, &account), 0);
    assert_int_equal(account.devices_count, 1);
    assert_null(account_device(&account, 1));
    assert_memory_equal(account_device(&account, 2)->key, key_new, 32);
}

static void account_has_a_bound_on_its_devices(void **state) {
    struct record_account account = create(42, "15550001000", key_old);
    struct write_batch batch;
    write_batch_init(&batch, 1 << 16);
    uint32_t device;
    uint8_t key[32] = {9};
    for (uint8_t i = 1; i < FORMAT_DEVICES_MAX; i++) {
        key[1] = i;
        assert_int_equal(account_add_device(&batch, &account, key, DAY_MS, &device), 0);
    }
    assert_int_equal(account_add_device(&batch, &account, key_new, DAY_MS, &device), -EMLINK);
    store_commit(store.engine, &batch);
    assert_key_leads_nowhere(key_new);
    assert_int_equal(account_read(store.engine, 42, &account), 0);
    assert_int_equal(account.devices_count, FORMAT_DEVICES_MAX);
}

static void account_refuses_a_false_phone_or_a_long_name(void **state) {
    struct record_account account;
    struct write_batch batch;
    write_batch_init(&batch, 1 << 16);
    char name[FORMAT_NAME_BYTES_MAX + 2];
    memset(name, 'n', sizeof(name));
    name[FORMAT_NAME_BYTES_MAX + 1] = '\0';
    assert_int_equal(account_create(&batch, 42, "15550001000", name, key_old, 0, &account),
                     -EINVAL);
    assert_int_equal(account_create(&batch, 42, "+15550001000", "Ann", key_old, 0, &account),
                     -EINVAL);
    assert_int_equal(batch.operations, 0);
    name[FORMAT_NAME_BYTES_MAX] = '\0';
    assert_int_equal(account_create(&batch, 42, "15550001000", name, key_old, 0, &account), 0);
    write_batch_finish(&batch);
}

static void account_change_that_does_not_fit_says_so(void **state) {
    struct record_account account;
    char buffer[200];
    struct write_batch batch;
    write_batch_init_at(&batch, buffer, sizeof(buffer));
    assert_int_equal(account_create(&batch, 42, "15550001000", "Ann", key_old, 0, &account),
                     -E2BIG);
    struct write_batch *batches[] = {&batch};
    assert_int_equal(engine_write(store.engine, batches, 1, ENGINE_SYNC), 0);
    assert_int_equal(batch.result, -E2BIG);
    assert_key_leads_nowhere(key_old);
}

#define WITH_STORE(name) cmocka_unit_test_setup_teardown(name, open_store, close_store)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_STORE(account_is_found_by_user_phone_and_key),
        WITH_STORE(account_replacing_its_device_takes_a_new_id),
        WITH_STORE(account_replacing_its_device_by_the_same_key_keeps_the_key),
        WITH_STORE(account_adds_and_removes_devices),
        WITH_STORE(account_has_a_bound_on_its_devices),
        WITH_STORE(account_refuses_a_false_phone_or_a_long_name),
        WITH_STORE(account_change_that_does_not_fit_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

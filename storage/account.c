/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accounts. Each change appends the whole record and whatever of its indexes moved to one batch, so
 * that record and indexes never disagree in the store.
 */
#include "storage/account.h"

#include <errno.h>
#include <string.h>

#include "runtime/check.h"

static int put(struct write_batch *batch, struct format_key key, const void *value, size_t size) {
    return write_batch_put(batch, ENGINE_ACCOUNT, format_key_bytes(&key),
                           (struct engine_bytes){value, size});
}

static int remove_key(struct write_batch *batch, struct format_key key) {
    return write_batch_delete(batch, ENGINE_ACCOUNT, format_key_bytes(&key));
}

int account_put(struct write_batch *batch, const struct record_account *account) {
    uint8_t bytes[RECORD_ACCOUNT_SIZE_MAX];
    size_t size = record_account_encode(account, bytes);
    return put(batch, format_key_account(account->user), bytes, size);
}

/* ---- devices: the record in memory, and the index in the batch ----------------------------- */

static void append_device(struct write_batch *batch, struct record_account *account,
                          const uint8_t key[FORMAT_KEY_BYTES], uint64_t now_ms) {
    CHECK(account->devices_count < FORMAT_DEVICES_MAX);
    struct record_device *device = &account->devices[account->devices_count++];
    *device = (struct record_device){
        .device = account->device_next++,
        .added_ms = now_ms,
        .last_seen_day = (uint32_t)(now_ms / 86400000u),
    };
    memcpy(device->key, key, FORMAT_KEY_BYTES);
    uint8_t bytes[RECORD_DEVICE_KEY_SIZE];
    record_device_key_encode(account->user, device->device, bytes);
    put(batch, format_key_device_key(key), bytes, sizeof(bytes));
}

/* What else the store knows of a device; its mail is the mailbox's. */
static void forget_device(struct write_batch *batch, uint64_t user,
                          const struct record_device *device) {
    remove_key(batch, format_key_device_key(device->key));
    remove_key(batch, format_key_queue(user, device->device));
}

/* The list has changed: the record follows. The batch remembers whatever failed on the way. */
static int put_new_list(struct write_batch *batch, struct record_account *account) {
    account->list_version++;
    account_put(batch, account);
    return batch->error;
}

int account_create(struct write_batch *batch, uint64_t user, const char *digits, const char *name,
                   const uint8_t key[FORMAT_KEY_BYTES], uint64_t now_ms,
                   struct record_account *account) {
    size_t name_size = strnlen(name, FORMAT_NAME_BYTES_MAX + 1);
    if (!format_phone_valid(digits) || name_size > FORMAT_NAME_BYTES_MAX)
        return -EINVAL;
    *account = (struct record_account){.user = user, .created_ms = now_ms, .device_next = 1};
    memcpy(account->phone, digits, strlen(digits) + 1);
    memcpy(account->name, name, name_size);
    uint8_t bytes[RECORD_PHONE_SIZE];
    record_phone_encode(user, bytes);
    put(batch, format_key_phone(digits), bytes, sizeof(bytes));
    append_device(batch, account, key, now_ms);
    return put_new_list(batch, account);
}

int account_replace_devices(struct write_batch *batch, struct record_account *account,
                            const uint8_t key[FORMAT_KEY_BYTES], uint64_t now_ms,
                            uint32_t *device) {
    for (uint32_t i = 0; i < account->devices_count; i++)
        forget_device(batch, account->user, &account->devices[i]);
    account->devices_count = 0;
    append_device(batch, account, key, now_ms);
    *device = account->devices[0].device;
    return put_new_list(batch, account);
}

int account_add_device(struct write_batch *batch, struct record_account *account,
                       const uint8_t key[FORMAT_KEY_BYTES], uint64_t now_ms, uint32_t *device) {
    if (account->devices_count == FORMAT_DEVICES_MAX)
        return -EMLINK;
    append_device(batch, account, key, now_ms);
    *device = account->devices[account->devices_count - 1].device;
    return put_new_list(batch, account);
}

int account_remove_device(struct write_batch *batch, struct record_account *account,
                          uint32_t device) {
    const struct record_device *found = account_device(account, device);
    if (!found)
        return -ENOENT;
    forget_device(batch, account->user, found);
    size_t at = (size_t)(found - account->devices);
    account->devices_count--;
    memmove(&account->devices[at], &account->devices[at + 1],
            (account->devices_count - at) * sizeof(account->devices[0]));
    return put_new_list(batch, account);
}

const struct record_device *account_device(const struct record_account *account, uint32_t device) {
    for (uint32_t i = 0; i < account->devices_count; i++) {
        if (account->devices[i].device == device)
            return &account->devices[i];
    }
    return NULL;
}

/* ---- look-ups ------------------------------------------------------------------------------ */

typedef int get_fn(struct engine *engine, enum engine_family family, struct engine_bytes key,
                   void *buffer, size_t capacity, size_t *size);

/* A value that is larger than any version writes is damaged. */
static int get_by(get_fn *engine_getter, struct engine *engine, struct format_key key,
                  uint8_t *buffer, size_t capacity, struct engine_bytes *value) {
    size_t size = 0;
    int error =
        engine_getter(engine, ENGINE_ACCOUNT, format_key_bytes(&key), buffer, capacity, &size);
    if (error == -ENOBUFS)
        return -EBADMSG;
    *value = (struct engine_bytes){buffer, size};
    return error;
}

static int get(struct engine *engine, struct format_key key, uint8_t *buffer, size_t capacity,
               struct engine_bytes *value) {
    return get_by(engine_get, engine, key, buffer, capacity, value);
}

int account_read(struct engine *engine, uint64_t user, struct record_account *account) {
    uint8_t buffer[RECORD_ACCOUNT_SIZE_MAX];
    struct engine_bytes value;
    int error = get(engine, format_key_account(user), buffer, sizeof(buffer), &value);
    return error ? error : record_account_decode(user, value, account);
}

int account_find_phone(struct engine *engine, const char *digits, uint64_t *user) {
    if (!format_phone_valid(digits))
        return -ENOENT;
    uint8_t buffer[RECORD_PHONE_SIZE];
    struct engine_bytes value;
    int error = get(engine, format_key_phone(digits), buffer, sizeof(buffer), &value);
    return error ? error : record_phone_decode(value, user);
}

static int find_key(get_fn *engine_getter, struct engine *engine,
                    const uint8_t key[FORMAT_KEY_BYTES], uint64_t *user, uint32_t *device) {
    uint8_t buffer[RECORD_DEVICE_KEY_SIZE];
    struct engine_bytes value;
    int error =
        get_by(engine_getter, engine, format_key_device_key(key), buffer, sizeof(buffer), &value);
    return error ? error : record_device_key_decode(value, user, device);
}

int account_find_key(struct engine *engine, const uint8_t key[FORMAT_KEY_BYTES], uint64_t *user,
                     uint32_t *device) {
    return find_key(engine_get, engine, key, user, device);
}

int account_find_key_cached(struct engine *engine, const uint8_t key[FORMAT_KEY_BYTES],
                            uint64_t *user, uint32_t *device) {
    return find_key(engine_get_cached, engine, key, user, device);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contacts: who is who, and which devices they have.
 *
 * `devices` is a row of (number, 4 bytes big-endian; key, 32 bytes).
 */
#include "tools/chat/store_internal.h"

#include <stdio.h>
#include <string.h>

#define DEVICE_BYTES 36
#define COLUMNS "user, phone, name, profile_wanted, devices_wanted, version, devices"

static void copy_text(char *out, size_t capacity, sqlite3_stmt *row, int column) {
    const char *text = (const char *)sqlite3_column_text(row, column);
    snprintf(out, capacity, "%s", text != NULL ? text : "");
}

static void read_devices(struct store_contact *contact, const uint8_t *bytes, size_t length) {
    for (; length >= DEVICE_BYTES && contact->device_count < STORE_DEVICES_MAX;
         bytes += DEVICE_BYTES, length -= DEVICE_BYTES) {
        struct store_device *device = &contact->devices[contact->device_count++];
        device->device = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 |
                         (uint32_t)bytes[2] << 8 | bytes[3];
        memcpy(device->key, bytes + 4, sizeof device->key);
    }
}

static void read_contact(sqlite3_stmt *row, struct store_contact *contact) {
    contact->user = (uint64_t)sqlite3_column_int64(row, 0);
    copy_text(contact->phone, sizeof contact->phone, row, 1);
    copy_text(contact->name, sizeof contact->name, row, 2);
    contact->profile_wanted = sqlite3_column_int(row, 3) != 0;
    contact->devices_wanted = sqlite3_column_int(row, 4) != 0;
    contact->version = (uint64_t)sqlite3_column_int64(row, 5);
    contact->device_count = 0;
    const uint8_t *devices = sqlite3_column_blob(row, 6);
    if (devices != NULL)
        read_devices(contact, devices, (size_t)sqlite3_column_bytes(row, 6));
}

bool store_contact(struct store *store, uint64_t user, struct store_contact *contact) {
    sqlite3_stmt *statement = store_keep(store, STATEMENT_CONTACT_DEVICES,
                                         "SELECT " COLUMNS " FROM contact WHERE user = ?");
    store_bind(statement, 1, user);
    bool found = store_step(store, statement);
    if (found)
        read_contact(statement, contact);
    if (statement != NULL)
        sqlite3_reset(statement);
    return found;
}

void store_contact_add(struct store *store, uint64_t user) {
    sqlite3_stmt *statement =
        store_keep(store, STATEMENT_CONTACT_ADD,
                   "INSERT OR IGNORE INTO contact (user, profile_wanted, devices_wanted)"
                   " VALUES (?, 1, 1)");
    store_bind(statement, 1, user);
    store_run(store, statement);
}

/* The only user that the statement finds, or 0. */
static uint64_t find_one(struct store *store, const char *sql, const char *text) {
    sqlite3_stmt *statement = store_prepare(store, sql);
    store_bind_text(statement, 1, text);
    uint64_t user = 0;
    if (store_step(store, statement)) {
        user = (uint64_t)sqlite3_column_int64(statement, 0);
        if (store_step(store, statement))
            user = 0;
    }
    sqlite3_finalize(statement);
    return user;
}

uint64_t store_contact_by_phone(struct store *store, const char *phone) {
    return find_one(store, "SELECT user FROM contact WHERE phone = ?", phone);
}

uint64_t store_contact_by_name(struct store *store, const char *name) {
    return find_one(store, "SELECT user FROM contact WHERE name = ?", name);
}

void store_contact_set_phone(struct store *store, uint64_t user, const char *phone) {
    sqlite3_stmt *statement =
        store_prepare(store, "UPDATE contact SET phone = NULL WHERE phone = ? AND user <> ?");
    store_bind_text(statement, 1, phone);
    store_bind(statement, 2, user);
    store_run_once(store, statement);
    store_contact_add(store, user);
    statement = store_prepare(store, "UPDATE contact SET phone = ? WHERE user = ?");
    store_bind_text(statement, 1, phone);
    store_bind(statement, 2, user);
    store_run_once(store, statement);
}

void store_contact_set_profile(struct store *store, uint64_t user, const char *phone,
                               const char *name) {
    if (phone[0] != 0)
        store_contact_set_phone(store, user, phone);
    sqlite3_stmt *statement =
        store_prepare(store, "UPDATE contact SET name = ?, profile_wanted = 0 WHERE user = ?");
    store_bind_text(statement, 1, name);
    store_bind(statement, 2, user);
    store_run_once(store, statement);
}

void store_contact_set_devices(struct store *store, uint64_t user, uint64_t version,
                               const struct store_device *devices, uint32_t count) {
    uint8_t bytes[STORE_DEVICES_MAX * DEVICE_BYTES];
    size_t length = 0;
    for (uint32_t i = 0; i < count && i < STORE_DEVICES_MAX; i++) {
        uint32_t device = devices[i].device;
        for (int j = 0; j < 4; j++)
            bytes[length++] = (uint8_t)(device >> (24 - 8 * j));
        memcpy(bytes + length, devices[i].key, sizeof devices[i].key);
        length += sizeof devices[i].key;
    }
    store_contact_add(store, user);
    sqlite3_stmt *statement =
        store_prepare(store, "UPDATE contact SET version = ?, devices = ?, devices_wanted = 0"
                             " WHERE user = ?");
    store_bind(statement, 1, version);
    store_bind_bytes(statement, 2, bytes, length);
    store_bind(statement, 3, user);
    store_run_once(store, statement);
}

void store_contact_want(struct store *store, uint64_t user) {
    sqlite3_stmt *statement = store_prepare(
        store, "UPDATE contact SET profile_wanted = 1, devices_wanted = 1 WHERE user = ?");
    store_bind(statement, 1, user);
    store_run_once(store, statement);
}

static const char *const queries[] = {
    [STORE_CONTACTS_ALL] = "SELECT " COLUMNS " FROM contact"
                           " WHERE user <> (SELECT coalesce(max(value), 0) FROM setting"
                           "                WHERE name = 'user')"
                           " ORDER BY name, phone",
    [STORE_CONTACTS_PROFILE_WANTED] =
        "SELECT " COLUMNS " FROM contact WHERE profile_wanted LIMIT 32",
    [STORE_CONTACTS_DEVICES_WANTED] =
        "SELECT " COLUMNS " FROM contact WHERE devices_wanted AND (user IN (SELECT chat FROM"
        " message WHERE own AND state = 0 AND number IS NULL)"
        " OR user = (SELECT value FROM setting WHERE name = 'user')) LIMIT 32",
};

void store_each_contact(struct store *store, enum store_contacts which, store_contact_fn visit,
                        void *context) {
    struct store_contact contact;
    sqlite3_stmt *statement = store_prepare(store, queries[which]);
    while (store_step(store, statement)) {
        read_contact(statement, &contact);
        visit(context, &contact);
    }
    sqlite3_finalize(statement);
}

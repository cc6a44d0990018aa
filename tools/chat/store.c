/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file itself: opening, its schema, transactions, settings.
 *
 * The schema's version is SQLite's user_version. A file of an older version is brought forward here
 * when there is one; a newer one is refused, untouched.
 */
#include "tools/chat/store_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUSY_MS 5000 /* another program may look into the file */

/* message.number is set while a send has no final answer. message.state, code, receipt: see
 * struct store_message. heard.n: the last count heard of a sending device in a chat. */
static const char schema[] =
    "CREATE TABLE setting (name TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE contact ("
    " user INTEGER PRIMARY KEY, phone TEXT, name TEXT,"
    " profile_wanted INTEGER NOT NULL, devices_wanted INTEGER NOT NULL,"
    " version INTEGER NOT NULL DEFAULT 0, devices BLOB,"
    " lamport INTEGER NOT NULL DEFAULT 0, n INTEGER NOT NULL DEFAULT 0);"
    "CREATE INDEX contact_phone ON contact (phone);"
    "CREATE TABLE heard (chat INTEGER, sender INTEGER, device INTEGER, n INTEGER NOT NULL,"
    " PRIMARY KEY (chat, sender, device)) WITHOUT ROWID;"
    "CREATE TABLE message ("
    " row INTEGER PRIMARY KEY AUTOINCREMENT, own INTEGER NOT NULL, chat INTEGER NOT NULL,"
    " phone TEXT, sender INTEGER NOT NULL, device INTEGER NOT NULL, id BLOB NOT NULL,"
    " number INTEGER, sequence INTEGER NOT NULL, time_ms INTEGER NOT NULL,"
    " lamport INTEGER, n INTEGER, missing INTEGER NOT NULL DEFAULT 0, text BLOB, content BLOB,"
    " state INTEGER NOT NULL DEFAULT 0, code INTEGER NOT NULL DEFAULT 0,"
    " shown INTEGER NOT NULL, receipt INTEGER NOT NULL DEFAULT 0);"
    "CREATE UNIQUE INDEX message_identity ON message (sender, device, id);"
    "CREATE INDEX message_id ON message (id) WHERE own;"
    "CREATE UNIQUE INDEX message_number ON message (number) WHERE number IS NOT NULL;"
    "CREATE INDEX message_waiting ON message (row) WHERE own AND state = 0 AND number IS NULL;"
    "CREATE INDEX message_unshown ON message (row) WHERE NOT own AND NOT shown;"
    "CREATE INDEX message_unread ON message (chat, row) WHERE NOT own AND receipt = 0;"
    "CREATE INDEX message_owed ON message (chat, row) WHERE receipt = 1;"
    "CREATE INDEX message_chat ON message (chat, lamport, sender, device, id);"
    "PRAGMA user_version = 1;";

/* ---------------------------------------------------------------- failures and statements */

void store_note_failure(struct store *store) {
    store->failed = true;
    snprintf(store->why, sizeof store->why, "%s", sqlite3_errmsg(store->database));
}

const char *store_why(const struct store *store) {
    return store->why;
}

sqlite3_stmt *store_prepare(struct store *store, const char *sql) {
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(store->database, sql, -1, &statement, NULL) != SQLITE_OK)
        store_note_failure(store);
    return statement;
}

sqlite3_stmt *store_keep(struct store *store, enum store_statement which, const char *sql) {
    sqlite3_stmt **kept = &store->kept[which];
    if (*kept == NULL && sqlite3_prepare_v3(store->database, sql, -1, SQLITE_PREPARE_PERSISTENT,
                                            kept, NULL) != SQLITE_OK)
        store_note_failure(store);
    if (*kept != NULL) {
        sqlite3_reset(*kept);
        sqlite3_clear_bindings(*kept);
    }
    return *kept;
}

bool store_step(struct store *store, sqlite3_stmt *statement) {
    if (statement == NULL)
        return false;
    int result = sqlite3_step(statement);
    if (result != SQLITE_ROW && result != SQLITE_DONE)
        store_note_failure(store);
    return result == SQLITE_ROW;
}

void store_run(struct store *store, sqlite3_stmt *statement) {
    store_begin(store);
    store_step(store, statement);
    if (statement != NULL)
        sqlite3_reset(statement);
}

void store_run_once(struct store *store, sqlite3_stmt *statement) {
    store_run(store, statement);
    sqlite3_finalize(statement);
}

void store_bind(sqlite3_stmt *statement, int place, uint64_t value) {
    if (statement != NULL)
        sqlite3_bind_int64(statement, place, (sqlite3_int64)value);
}

void store_bind_text(sqlite3_stmt *statement, int place, const char *text) {
    if (statement != NULL)
        sqlite3_bind_text(statement, place, text, -1, SQLITE_STATIC);
}

void store_bind_bytes(sqlite3_stmt *statement, int place, const void *bytes, size_t length) {
    if (statement != NULL)
        sqlite3_bind_blob64(statement, place, length > 0 ? bytes : "", length, SQLITE_STATIC);
}

/* ---------------------------------------------------------------- transactions */

void store_begin(struct store *store) {
    if (store->begun)
        return;
    sqlite3_stmt *begin = store_keep(store, STATEMENT_BEGIN, "BEGIN IMMEDIATE");
    store->begun = true;
    store_step(store, begin);
    if (begin != NULL)
        sqlite3_reset(begin);
}

void store_undo(struct store *store) {
    if (store->begun)
        sqlite3_exec(store->database, "ROLLBACK", NULL, NULL, NULL);
    store->begun = store->failed = false;
}

int store_commit(struct store *store) {
    if (store->begun && !store->failed &&
        sqlite3_exec(store->database, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
        store_note_failure(store);
    if (store->failed) {
        store_undo(store);
        return -EIO;
    }
    store->begun = false;
    return 0;
}

/* ---------------------------------------------------------------- life */

static bool execute(struct store *store, const char *sql) {
    if (sqlite3_exec(store->database, sql, NULL, NULL, NULL) == SQLITE_OK)
        return true;
    store_note_failure(store);
    return false;
}

static int64_t read_version(struct store *store) {
    sqlite3_stmt *statement = store_prepare(store, "PRAGMA user_version");
    int64_t version = store_step(store, statement) ? sqlite3_column_int64(statement, 0) : -1;
    sqlite3_finalize(statement);
    return version;
}

static int make_schema(struct store *store) {
    store_begin(store);
    int64_t version = read_version(store); /* inside, so that it stays true */
    if (version > STORE_VERSION) {
        store_undo(store);
        snprintf(store->why, sizeof store->why, "it was made by a newer tern-chat");
        return -EPROTONOSUPPORT;
    }
    if (version == 0)
        execute(store, schema);
    return store_commit(store);
}

static int prepare_file(struct store *store, const char *path) {
    if (sqlite3_open_v2(path, &store->database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) !=
        SQLITE_OK) {
        store_note_failure(store);
        return -EIO;
    }
    sqlite3_busy_timeout(store->database, BUSY_MS);
    if (!execute(store, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                        "PRAGMA temp_store=MEMORY; PRAGMA secure_delete=ON;"))
        return -EIO;
    return make_schema(store);
}

int store_open(const char *home, struct store **out, char why[STORE_WHY_CHARS_MAX]) {
    char path[4096];
    if (snprintf(path, sizeof path, "%s/%s", home, STORE_FILE) >= (int)sizeof path) {
        snprintf(why, STORE_WHY_CHARS_MAX, "its name is too long");
        return -ENAMETOOLONG;
    }
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL) {
        snprintf(why, STORE_WHY_CHARS_MAX, "out of memory");
        return -ENOMEM;
    }
    int error = prepare_file(store, path);
    if (error != 0) {
        snprintf(why, STORE_WHY_CHARS_MAX, "%s", store->why);
        store_close(store);
        return error;
    }
    *out = store;
    return 0;
}

void store_close(struct store *store) {
    if (store == NULL)
        return;
    store_undo(store);
    for (int i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(store->kept[i]);
    sqlite3_close(store->database);
    free(store);
}

/* ---------------------------------------------------------------- settings */

/* The statement stands on the value; reset it. NULL: there is none. */
static sqlite3_stmt *find_setting(struct store *store, const char *name) {
    sqlite3_stmt *statement =
        store_keep(store, STATEMENT_SETTING_READ, "SELECT value FROM setting WHERE name = ?");
    store_bind_text(statement, 1, name);
    if (store_step(store, statement))
        return statement;
    if (statement != NULL)
        sqlite3_reset(statement);
    return NULL;
}

static sqlite3_stmt *write_setting(struct store *store, const char *name) {
    sqlite3_stmt *statement =
        store_keep(store, STATEMENT_SETTING_WRITE, "INSERT OR REPLACE INTO setting VALUES (?, ?)");
    store_bind_text(statement, 1, name);
    return statement;
}

uint64_t store_number(struct store *store, const char *name) {
    sqlite3_stmt *found = find_setting(store, name);
    if (found == NULL)
        return 0;
    uint64_t value = (uint64_t)sqlite3_column_int64(found, 0);
    sqlite3_reset(found);
    return value;
}

void store_set_number(struct store *store, const char *name, uint64_t value) {
    sqlite3_stmt *statement = write_setting(store, name);
    store_bind(statement, 2, value);
    store_run(store, statement);
}

bool store_text(struct store *store, const char *name, char *out, size_t capacity) {
    sqlite3_stmt *found = find_setting(store, name);
    out[0] = 0;
    if (found == NULL)
        return false;
    const char *text = (const char *)sqlite3_column_text(found, 0);
    bool fits = text != NULL && strlen(text) < capacity;
    if (fits)
        memcpy(out, text, strlen(text) + 1);
    sqlite3_reset(found);
    return fits;
}

void store_set_text(struct store *store, const char *name, const char *value) {
    sqlite3_stmt *statement = write_setting(store, name);
    store_bind_text(statement, 2, value);
    store_run(store, statement);
}

bool store_bytes(struct store *store, const char *name, void *out, size_t length) {
    sqlite3_stmt *found = find_setting(store, name);
    if (found == NULL)
        return false;
    const void *bytes = sqlite3_column_blob(found, 0);
    bool fits = bytes != NULL && (size_t)sqlite3_column_bytes(found, 0) == length;
    if (fits)
        memcpy(out, bytes, length);
    sqlite3_reset(found);
    return fits;
}

void store_set_bytes(struct store *store, const char *name, const void *value, size_t length) {
    sqlite3_stmt *statement = write_setting(store, name);
    store_bind_bytes(statement, 2, value, length);
    store_run(store, statement);
}

void store_forget(struct store *store, const char *name) {
    sqlite3_stmt *statement = store_prepare(store, "DELETE FROM setting WHERE name = ?");
    store_bind_text(statement, 1, name);
    store_run_once(store, statement);
}

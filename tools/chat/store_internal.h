/* SPDX-License-Identifier: Apache-2.0 */
/* What the store*.c files share: the struct, and the statements that are prepared once and kept. */
#ifndef TERN_TOOLS_CHAT_STORE_INTERNAL_H
#define TERN_TOOLS_CHAT_STORE_INTERNAL_H

#include "tools/chat/store.h"

#include <sqlite3.h>

/* Those that are used for each message that comes or goes. */
enum store_statement {
    STATEMENT_BEGIN,
    STATEMENT_SETTING_READ,
    STATEMENT_SETTING_WRITE,
    STATEMENT_CONTACT_ADD,
    STATEMENT_CONTACT_DEVICES,
    STATEMENT_CLOCK_READ,
    STATEMENT_CLOCK_WRITE,
    STATEMENT_HEARD_READ,
    STATEMENT_HEARD_WRITE,
    STATEMENT_MESSAGE_ADD,
    STATEMENT_MESSAGE_HAS,
    STATEMENT_SHOWN,
    STATEMENT_RECEIPT,
    STATEMENT_STATE_READ,
    STATEMENT_STATE_WRITE,
    STATEMENT_NUMBERED,
    STATEMENT_ANSWERED,
    STATEMENT_COUNT,
};

struct store {
    sqlite3 *database;
    sqlite3_stmt *kept[STATEMENT_COUNT]; /* NULL until it is needed */
    bool begun;                          /* a transaction is open */
    bool failed;                         /* since the last commit */
    int64_t changed[STORE_CHANGED_MAX];  /* own messages whose state has, until they are taken */
    unsigned changed_count;
    bool changed_lost; /* there was no room for one */
    char why[STORE_WHY_CHARS_MAX];
};

/* Remembers what SQLite has to say. */
void store_note_failure(struct store *store);
/* Opens the transaction, if none is. */
void store_begin(struct store *store);

/* A kept statement, reset and without values. NULL: failed, noted. */
sqlite3_stmt *store_keep(struct store *store, enum store_statement which, const char *sql);
/* A statement of one's own: sqlite3_finalize it. NULL: failed, noted. */
sqlite3_stmt *store_prepare(struct store *store, const char *sql);
/* Steps: true: a row is there. Failures are noted. NULL is allowed, and false. */
bool store_step(struct store *store, sqlite3_stmt *statement);
/* Runs a kept statement that gives no row, inside the transaction, and resets it. */
void store_run(struct store *store, sqlite3_stmt *statement);
/* The same with one of one's own, which is finalized. */
void store_run_once(struct store *store, sqlite3_stmt *statement);

/* Binding to NULL statements is nothing. Bytes are borrowed until the statement is reset. */
void store_bind(sqlite3_stmt *statement, int place, uint64_t value);
void store_bind_text(sqlite3_stmt *statement, int place, const char *text);
void store_bind_bytes(sqlite3_stmt *statement, int place, const void *bytes, size_t length);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages come in, are written, and are read back.
 *
 * A chat's logical clock lies with the contact. Messages without a place in it yet (lamport NULL)
 * stand at the chat's end.
 */
#include "tools/chat/store_internal.h"

#include "net/device.h"

#include <stdio.h>
#include <string.h>

#define COLUMNS                                                                         \
    "row, own, chat, phone, sender, device, id, number, sequence, time_ms, lamport, n," \
    " missing, text, content, state, code, shown, receipt"

/* ---------------------------------------------------------------- reading */

static struct wire_bytes column_bytes(sqlite3_stmt *row, int column) {
    const void *bytes = sqlite3_column_blob(row, column);
    return (struct wire_bytes){.bytes = bytes,
                               .length = (uint32_t)sqlite3_column_bytes(row, column)};
}

static uint64_t column(sqlite3_stmt *row, int place) {
    return (uint64_t)sqlite3_column_int64(row, place);
}

static void read_message(sqlite3_stmt *row, struct store_message *message) {
    const char *phone = (const char *)sqlite3_column_text(row, 3);
    struct wire_bytes id = column_bytes(row, 6);
    *message = (struct store_message){
        .row = sqlite3_column_int64(row, 0),
        .own = sqlite3_column_int(row, 1) != 0,
        .chat = column(row, 2),
        .sender = column(row, 4),
        .device = (uint32_t)column(row, 5),
        .number = column(row, 7),
        .sequence = column(row, 8),
        .time_ms = column(row, 9),
        .lamport = column(row, 10),
        .n = column(row, 11),
        .missing = column(row, 12),
        .readable = sqlite3_column_type(row, 13) != SQLITE_NULL,
        .text = column_bytes(row, 13),
        .content = column_bytes(row, 14),
        .state = (unsigned)column(row, 15),
        .code = (unsigned)column(row, 16),
        .shown = sqlite3_column_int(row, 17) != 0,
        .receipt = (uint8_t)column(row, 18),
    };
    snprintf(message->phone, sizeof message->phone, "%s", phone != NULL ? phone : "");
    if (id.length == WIRE_ID_BYTES)
        memcpy(message->id.bytes, id.bytes, WIRE_ID_BYTES);
}

/* Shows rows until the visitor has enough, and finalizes. Returns whether there were any. */
static bool visit_rows(struct store *store, sqlite3_stmt *statement, store_message_fn visit,
                       void *context) {
    struct store_message message;
    bool any = false;
    while (store_step(store, statement)) {
        any = true;
        if (visit == NULL)
            break;
        read_message(statement, &message);
        if (!visit(context, &message))
            break;
    }
    sqlite3_finalize(statement);
    return any;
}

bool store_message(struct store *store, int64_t row, store_message_fn visit, void *context) {
    sqlite3_stmt *statement = store_prepare(store, "SELECT " COLUMNS " FROM message WHERE row = ?");
    store_bind(statement, 1, (uint64_t)row);
    return visit_rows(store, statement, visit, context);
}

bool store_message_by_id(struct store *store, const struct wire_id *id, store_message_fn visit,
                         void *context) {
    sqlite3_stmt *statement =
        store_prepare(store, "SELECT " COLUMNS " FROM message WHERE own AND id = ?");
    store_bind_bytes(statement, 1, id->bytes, WIRE_ID_BYTES);
    return visit_rows(store, statement, visit, context);
}

bool store_message_by_number(struct store *store, uint64_t number, store_message_fn visit,
                             void *context) {
    sqlite3_stmt *statement =
        store_prepare(store, "SELECT " COLUMNS " FROM message WHERE number = ?");
    store_bind(statement, 1, number);
    return visit_rows(store, statement, visit, context);
}

/* ?1: the chat, ?2: the limit, -1: none. */
static const char *const queries[] = {
    [STORE_UNSHOWN] = "SELECT " COLUMNS " FROM message WHERE NOT own AND NOT shown"
                      " ORDER BY row LIMIT ?2",
    [STORE_UNREAD] = "SELECT " COLUMNS " FROM message WHERE NOT own AND receipt = 0 AND chat = ?1"
                     " ORDER BY row LIMIT ?2",
    [STORE_OWED] = "SELECT " COLUMNS " FROM message WHERE receipt = 1 ORDER BY chat, row LIMIT ?2",
    [STORE_NUMBERED] = "SELECT " COLUMNS " FROM message WHERE number IS NOT NULL"
                       " ORDER BY number LIMIT ?2",
    [STORE_WAITING] = "SELECT " COLUMNS " FROM message"
                      " WHERE own AND state = 0 AND number IS NULL ORDER BY row LIMIT ?2",
    [STORE_CHAT] = "SELECT " COLUMNS " FROM (SELECT * FROM message WHERE chat = ?1"
                   " ORDER BY lamport IS NULL DESC, lamport DESC, sender DESC, device DESC,"
                   " id DESC, row DESC LIMIT ?2)"
                   " ORDER BY lamport IS NULL, lamport, sender, device, id, row",
    [STORE_ON_THE_WAY] = "SELECT " COLUMNS " FROM message WHERE own AND state < 3"
                         " ORDER BY row DESC LIMIT ?2",
    [STORE_RECENT] = "SELECT " COLUMNS " FROM (SELECT * FROM message ORDER BY row DESC LIMIT ?2)"
                     " ORDER BY row",
};

void store_each_message(struct store *store, enum store_messages which, uint64_t chat,
                        unsigned limit, store_message_fn visit, void *context) {
    sqlite3_stmt *statement = store_prepare(store, queries[which]);
    if (which == STORE_UNREAD || which == STORE_CHAT)
        store_bind(statement, 1, chat);
    store_bind(statement, 2, limit > 0 ? limit : UINT64_MAX);
    visit_rows(store, statement, visit, context);
}

bool store_has(struct store *store, uint64_t sender, uint32_t device, const struct wire_id *id) {
    sqlite3_stmt *statement =
        store_keep(store, STATEMENT_MESSAGE_HAS,
                   "SELECT 1 FROM message WHERE sender = ? AND device = ? AND id = ?");
    store_bind(statement, 1, sender);
    store_bind(statement, 2, device);
    store_bind_bytes(statement, 3, id->bytes, WIRE_ID_BYTES);
    bool found = store_step(store, statement);
    if (statement != NULL)
        sqlite3_reset(statement);
    return found;
}

uint64_t store_send_low(struct store *store) {
    sqlite3_stmt *statement =
        store_prepare(store, "SELECT min(number) FROM message WHERE number IS NOT NULL");
    uint64_t low = store_step(store, statement) ? column(statement, 0) : 0;
    sqlite3_finalize(statement);
    return low;
}

bool store_has_unshown(struct store *store) {
    sqlite3_stmt *statement =
        store_prepare(store, "SELECT 1 FROM message WHERE NOT own AND NOT shown LIMIT 1");
    return visit_rows(store, statement, NULL, NULL);
}

/* ---------------------------------------------------------------- clocks */

static struct device_clock read_clock(struct store *store, uint64_t chat) {
    struct device_clock clock = {0};
    sqlite3_stmt *statement =
        store_keep(store, STATEMENT_CLOCK_READ, "SELECT lamport, n FROM contact WHERE user = ?");
    store_bind(statement, 1, chat);
    if (store_step(store, statement))
        clock = (struct device_clock){.lamport = column(statement, 0), .n = column(statement, 1)};
    if (statement != NULL)
        sqlite3_reset(statement);
    return clock;
}

static void write_clock(struct store *store, uint64_t chat, const struct device_clock *clock) {
    sqlite3_stmt *statement = store_keep(store, STATEMENT_CLOCK_WRITE,
                                         "UPDATE contact SET lamport = ?, n = ? WHERE user = ?");
    store_bind(statement, 1, clock->lamport);
    store_bind(statement, 2, clock->n);
    store_bind(statement, 3, chat);
    store_run(store, statement);
}

/* The sender's count in this chat goes on; how many of it were left out before this one. A device
 * that was never heard from begins anywhere: this one may be the newer of the two. */
static uint64_t note_heard(struct store *store, const struct wire_mail *mail) {
    sqlite3_stmt *statement =
        store_keep(store, STATEMENT_HEARD_READ,
                   "SELECT n FROM heard WHERE chat = ? AND sender = ? AND device = ?");
    store_bind(statement, 1, mail->chat);
    store_bind(statement, 2, mail->sender);
    store_bind(statement, 3, mail->sender_device);
    uint64_t last = store_step(store, statement) ? column(statement, 0) : 0;
    if (statement != NULL)
        sqlite3_reset(statement);
    if (mail->n <= last)
        return 0;
    statement = store_keep(store, STATEMENT_HEARD_WRITE,
                           "INSERT OR REPLACE INTO heard VALUES (?, ?, ?, ?)");
    store_bind(statement, 1, mail->chat);
    store_bind(statement, 2, mail->sender);
    store_bind(statement, 3, mail->sender_device);
    store_bind(statement, 4, mail->n);
    store_run(store, statement);
    return last > 0 ? mail->n - last - 1 : 0;
}

/* ---------------------------------------------------------------- writing */

static void bind_if(sqlite3_stmt *statement, int place, uint64_t value) {
    if (value != 0)
        store_bind(statement, place, value);
}

static int64_t add(struct store *store, const struct store_message *message) {
    sqlite3_stmt *statement =
        store_keep(store, STATEMENT_MESSAGE_ADD,
                   "INSERT INTO message (own, chat, phone, sender, device, id, sequence, time_ms,"
                   " lamport, n, missing, text, content, state, shown)"
                   " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    store_bind(statement, 1, message->own);
    store_bind(statement, 2, message->chat);
    if (message->phone[0] != 0)
        store_bind_text(statement, 3, message->phone);
    store_bind(statement, 4, message->sender);
    store_bind(statement, 5, message->device);
    store_bind_bytes(statement, 6, message->id.bytes, WIRE_ID_BYTES);
    store_bind(statement, 7, message->sequence);
    store_bind(statement, 8, message->time_ms);
    bind_if(statement, 9, message->lamport);
    bind_if(statement, 10, message->n);
    store_bind(statement, 11, message->missing);
    if (message->readable)
        store_bind_bytes(statement, 12, message->text.bytes, message->text.length);
    else
        store_bind_bytes(statement, 13, message->content.bytes, message->content.length);
    store_bind(statement, 14, message->state);
    store_bind(statement, 15, message->own);
    store_run(store, statement);
    return store->failed ? 0 : sqlite3_last_insert_rowid(store->database);
}

int64_t store_add_own(struct store *store, const struct store_message *message) {
    return add(store, message);
}

int64_t store_add_mail(struct store *store, const struct wire_mail *mail, uint64_t own_user,
                       const struct wire_bytes *text) {
    store_contact_add(store, mail->chat);
    struct device_clock clock = read_clock(store, mail->chat);
    device_clock_hear(&clock, mail);
    write_clock(store, mail->chat, &clock);
    struct store_message message = {
        .own = mail->sender == own_user,
        .chat = mail->chat,
        .sender = mail->sender,
        .device = mail->sender_device,
        .id = mail->id,
        .sequence = mail->sequence,
        .time_ms = mail->time_ms,
        .lamport = mail->lamport < INT64_MAX ? mail->lamport : INT64_MAX,
        .n = mail->n < INT64_MAX ? mail->n : INT64_MAX,
        .missing = note_heard(store, mail),
        .readable = text != NULL,
        .content = mail->ciphertext.length > 0 ? mail->ciphertext : mail->external,
        .state = mail->sender == own_user ? WIRE_STATE_SENT : 0,
    };
    if (text != NULL)
        message.text = *text;
    return add(store, &message);
}

bool store_cancel(struct store *store, int64_t row) {
    sqlite3_stmt *statement =
        store_prepare(store, "DELETE FROM message WHERE row = ? AND own AND state = 0"
                             " AND number IS NULL");
    store_bind(statement, 1, (uint64_t)row);
    store_run_once(store, statement);
    return sqlite3_changes(store->database) > 0;
}

void store_set_numbered(struct store *store, int64_t row, uint64_t number) {
    sqlite3_stmt *statement = store_prepare(store, "SELECT chat FROM message WHERE row = ?");
    store_bind(statement, 1, (uint64_t)row);
    uint64_t chat = store_step(store, statement) ? column(statement, 0) : 0;
    sqlite3_finalize(statement);
    struct device_clock clock = read_clock(store, chat);
    struct wire_send send = {0};
    device_clock_send(&clock, &send);
    write_clock(store, chat, &clock);
    statement = store_keep(store, STATEMENT_NUMBERED,
                           "UPDATE message SET number = ?, lamport = ?, n = ? WHERE row = ?");
    store_bind(statement, 1, number);
    store_bind(statement, 2, send.lamport);
    store_bind(statement, 3, send.n);
    store_bind(statement, 4, (uint64_t)row);
    store_run(store, statement);
}

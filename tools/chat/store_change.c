/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens to messages later: shown, read, answered, delivered.
 *
 * The states of an own message only go forward, by rank: the news of different devices, and the
 * answer to the send, come in any order.
 */
#include "tools/chat/store_internal.h"

void store_set_shown(struct store *store, int64_t row) {
    sqlite3_stmt *statement =
        store_keep(store, STATEMENT_SHOWN, "UPDATE message SET shown = 1 WHERE row = ?");
    store_bind(statement, 1, (uint64_t)row);
    store_run(store, statement);
}

void store_set_receipt(struct store *store, int64_t row, enum store_receipt receipt) {
    sqlite3_stmt *statement =
        store_keep(store, STATEMENT_RECEIPT,
                   "UPDATE message SET receipt = max(receipt, ?) WHERE row = ? AND NOT own");
    store_bind(statement, 1, receipt);
    store_bind(statement, 2, (uint64_t)row);
    store_run(store, statement);
}

void store_resolve_phone(struct store *store, const char *phone, uint64_t user) {
    sqlite3_stmt *statement =
        store_prepare(store, "UPDATE message SET chat = ? WHERE own AND chat = 0 AND phone = ?");
    store_bind(statement, 1, user);
    store_bind_text(statement, 2, phone);
    store_run_once(store, statement);
}

/* ---------------------------------------------------------------- states */

static void note_changed(struct store *store, int64_t row) {
    if (store->changed_count < STORE_CHANGED_MAX)
        store->changed[store->changed_count++] = row;
    else
        store->changed_lost = true;
}

int64_t store_next_changed(struct store *store, bool *lost) {
    *lost = store->changed_lost;
    if (store->changed_count > 0)
        return store->changed[--store->changed_count];
    store->changed_lost = false;
    return 0;
}

bool store_state_reached(unsigned state, unsigned goal) {
    return wire_state_rank(state) >= wire_state_rank(goal) &&
           (wire_state_rank(state) != 2 || state == goal);
}

/* The row of an own message, and its state; 0: there is none. */
static uint64_t find_own(struct store *store, const struct wire_id *id, unsigned *state) {
    sqlite3_stmt *statement = store_keep(store, STATEMENT_STATE_READ,
                                         "SELECT row, state FROM message WHERE own AND id = ?");
    uint64_t row = 0;
    store_bind_bytes(statement, 1, id->bytes, WIRE_ID_BYTES);
    if (store_step(store, statement)) {
        row = (uint64_t)sqlite3_column_int64(statement, 0);
        *state = (unsigned)sqlite3_column_int(statement, 1);
    }
    if (statement != NULL)
        sqlite3_reset(statement);
    return row;
}

unsigned store_state(struct store *store, const struct wire_id *id) {
    unsigned state = 0;
    return find_own(store, id, &state) != 0 ? state : 0;
}

void store_advance(struct store *store, const struct wire_id *id, unsigned state) {
    unsigned old = 0;
    uint64_t row = find_own(store, id, &old);
    if (row == 0 || wire_state_rank(state) <= wire_state_rank(old))
        return;
    sqlite3_stmt *statement =
        store_keep(store, STATEMENT_STATE_WRITE, "UPDATE message SET state = ? WHERE row = ?");
    store_bind(statement, 1, state);
    store_bind(statement, 2, row);
    store_run(store, statement);
    note_changed(store, (int64_t)row);
}

static bool note_row(void *context, const struct store_message *message) {
    note_changed(context, message->row);
    return false;
}

void store_set_answered(struct store *store, uint64_t number, unsigned state, unsigned code,
                        uint64_t time_ms, uint64_t sequence) {
    store_message_by_number(store, number, note_row, store);
    sqlite3_stmt *statement =
        store_keep(store, STATEMENT_ANSWERED,
                   "UPDATE message SET number = NULL, code = ?2,"
                   " state = CASE WHEN state = 0 THEN ?1 ELSE state END,"
                   " time_ms = CASE WHEN ?3 > 0 THEN ?3 ELSE time_ms END, sequence = ?4"
                   " WHERE number = ?5");
    store_bind(statement, 1, state);
    store_bind(statement, 2, code);
    store_bind(statement, 3, time_ms);
    store_bind(statement, 4, sequence);
    store_bind(statement, 5, number);
    store_run(store, statement);
}

void store_fail_phone(struct store *store, const char *phone, unsigned code) {
    sqlite3_stmt *statement =
        store_prepare(store, "UPDATE message SET state = ?, code = ? WHERE own AND state = 0"
                             " AND number IS NULL AND chat = 0 AND phone = ?");
    store_bind(statement, 1, WIRE_STATE_FAILED);
    store_bind(statement, 2, code);
    store_bind_text(statement, 3, phone);
    store_run_once(store, statement);
    store->changed_lost = true; /* any of them */
}

void store_fail_chat(struct store *store, uint64_t chat, unsigned code) {
    sqlite3_stmt *statement =
        store_prepare(store, "UPDATE message SET state = ?, code = ? WHERE own AND state = 0"
                             " AND number IS NULL AND chat = ?");
    store_bind(statement, 1, WIRE_STATE_FAILED);
    store_bind(statement, 2, code);
    store_bind(statement, 3, chat);
    store_run_once(store, statement);
    store->changed_lost = true;
}

/* ---------------------------------------------------------------- registration */

void store_become_device(struct store *store, uint64_t user, uint32_t device) {
    store_set_number(store, "user", user);
    store_set_number(store, "device", device);
    store_set_number(store, "epoch", 0);
    store_set_number(store, "cursor", 0);
    store_set_number(store, "next_send", 0);
    store_run_once(store, store_prepare(store, "UPDATE message SET number = NULL"
                                               " WHERE number IS NOT NULL"));
    sqlite3_stmt *statement =
        store_prepare(store, "UPDATE message SET lamport = NULL, n = NULL, sender = ?, device = ?"
                             " WHERE own AND state = 0");
    store_bind(statement, 1, user);
    store_bind(statement, 2, device);
    store_run_once(store, statement);
    store_run_once(store, store_prepare(store, "UPDATE contact SET n = 0, devices_wanted = 1"));
    store_contact_add(store, user);
}

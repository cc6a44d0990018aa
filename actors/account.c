/* SPDX-License-Identifier: Apache-2.0 */
/*
 * account: a user's profile and devices, while somebody needs them.
 *
 * Connections ask for device lists and profiles; the number actor replaces the user's device after
 * a code was right. It owns the account's record, read at activation and written through the
 * committer; since there is one account actor per user, and it reads the record when all that an
 * earlier one had given to the committer is written, no two changes start from the same old record.
 *
 *   loading ──COMMITTED (a barrier), ACCOUNT_LOADED──► serving ◄──COMMITTED── replacing
 *                                  └──ACCOUNT_REPLACE_DEVICE──► replacing
 *
 * While loading or replacing, what else arrives is deferred.
 */
#include "storage/account.h"
#include "actors/answer.h"
#include "actors/commit.h"
#include "actors/messages.h"
#include "actors/node.h"
#include "net/wire.h"
#include "runtime/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct account {
    bool loading;
    int error; /* of the last load: 0, -ENOENT (no such user), or the store's */
    struct record_account *record;
    struct commit commit;
    struct device_replaced replaced; /* what the number is told when it is durable */
    struct actor_id number;
};

struct account_load {
    struct engine *engine;
    uint64_t user;
    int error;
    struct record_account record;
};

static void account_load_run(struct message *message) {
    struct account_load *load = message_as(message, struct account_load);
    load->error = account_read(load->engine, load->user, &load->record);
}

/* An earlier actor of this account may have failed while its commit was under way. */
static void account_load_start(struct account *account) {
    account->loading = true;
    commit_barrier(&account->commit, 0);
}

static void account_load(struct account *account) {
    struct message *message = message_create(ACCOUNT_LOADED, sizeof(struct account_load));
    struct account_load *load = message_as(message, struct account_load);
    load->engine = node_current()->engine;
    load->user = actor_key();
    if (actor_run_blocking(account_load_run, &message)) {
        message_destroy(message);
        actor_fail(-ENOBUFS, "the pool is full");
    }
}

static int account_init(void *state, const void *argument) {
    account_load_start(state);
    return 0;
}

static void account_terminate(void *state, int reason) {
    struct account *account = state;
    commit_drop(&account->commit);
}

static void account_on_loaded(void *state, struct message **message) {
    struct account *account = state;
    const struct account_load *load = message_as(*message, struct account_load);
    account->loading = false;
    account->error = load->error;
    if (load->error == 0) {
        if (!account->record)
            account->record = actor_allocate(sizeof(*account->record));
        *account->record = load->record;
    } else if (load->error != -ENOENT) {
        log_error("account: reading user %llu: %s", (unsigned long long)actor_key(),
                  strerror(-load->error));
    }
    actor_undefer();
}

static bool account_busy(struct account *account, struct message **message) {
    if (!account->loading && !account->commit.open)
        return false;
    actor_defer(message);
    return true;
}

/* Answers by name when there is nothing to read from. */
static bool account_missing(const struct account *account, struct answer_to to) {
    if (account->error == 0)
        return false;
    if (account->error == -ENOENT)
        answer_code(to, WIRE_CODE_NOT_FOUND, 0);
    else
        answer_code(to, WIRE_CODE_UNAVAILABLE, 1000);
    return true;
}

static void account_on_devices(void *state, struct message **message) {
    struct account *account = state;
    const struct account_request *request = message_as(*message, struct account_request);
    struct answer_to to = {request->connection, request->ref};
    if (account_busy(account, message) || account_missing(account, to))
        return;
    struct wire_device_key keys[FORMAT_DEVICES_MAX];
    const struct record_account *record = account->record;
    for (uint32_t i = 0; i < record->devices_count; i++)
        keys[i] = (struct wire_device_key){record->devices[i].device,
                                           {record->devices[i].key, FORMAT_KEY_BYTES}};
    struct wire_devices_body body = {
        record->user, record->list_version, {.items = keys, .count = record->devices_count}};
    uint8_t bytes[64 + 48 * FORMAT_DEVICES_MAX];
    struct wire_writer writer = {.bytes = bytes, .capacity = sizeof(bytes)};
    CHECK(wire_write_devices_body(&writer, &body) == 0);
    answer_body(to, bytes, writer.length);
}

static void account_on_profile(void *state, struct message **message) {
    struct account *account = state;
    const struct account_request *request = message_as(*message, struct account_request);
    struct answer_to to = {request->connection, request->ref};
    if (account_busy(account, message) || account_missing(account, to))
        return;
    const struct record_account *record = account->record;
    char phone[FORMAT_PHONE_DIGITS_MAX + 2];
    snprintf(phone, sizeof(phone), "+%s", record->phone);
    struct wire_profile_body body = {
        record->user,
        {(const uint8_t *)phone, (uint32_t)strlen(phone)},
        {(const uint8_t *)record->name, (uint32_t)strlen(record->name)}};
    uint8_t bytes[WIRE_SMALL_BODY_BYTES_MAX];
    struct wire_writer writer = {.bytes = bytes, .capacity = sizeof(bytes)};
    CHECK(wire_write_profile_body(&writer, &body) == 0);
    answer_body(to, bytes, writer.length);
}

static void account_tell_number(struct actor_id number, const struct device_replaced *replaced) {
    struct message *message = message_create(NUMBER_DEVICE_REPLACED, sizeof(*replaced));
    *message_as(message, struct device_replaced) = *replaced;
    if (actor_send(number, &message))
        message_destroy(message); /* the person asks again; the key then leads to the account */
}

static void account_on_replace_device(void *state, struct message **message) {
    struct account *account = state;
    if (account_busy(account, message))
        return;
    const struct account_replace_device *request =
        message_as(*message, struct account_replace_device);
    account->number = request->number;
    account->replaced = (struct device_replaced){.reference = request->reference};
    account->replaced.error = account->error;
    if (account->error) {
        account_tell_number(account->number, &account->replaced);
        return;
    }
    uint8_t buffer[8192];
    struct write_batch batch;
    write_batch_init_at(&batch, buffer, sizeof(buffer));
    if (request->name[0])
        memcpy(account->record->name, request->name, sizeof(request->name));
    uint32_t device = 0;
    int error =
        account_replace_devices(&batch, account->record, request->key, actor_wall_ms(), &device);
    actor_ensure(error == 0, error);
    account->replaced.address = (struct device_address){actor_key(), device};
    commit_start(&account->commit, &batch, request->reference);
    write_batch_finish(&batch);
}

static void account_on_committed(void *state, struct message **message) {
    struct account *account = state;
    int error;
    if (!commit_finish(&account->commit, *message, &error))
        return;
    if (account->loading) {
        account_load(account);
        return;
    }
    account->replaced.error = error;
    account_tell_number(account->number, &account->replaced);
    if (error) { /* the record in memory is ahead of the store */
        account_load_start(account);
        return;
    }
    struct message *changed =
        message_create(MAILBOX_DEVICES_CHANGED, sizeof(struct devices_changed));
    message_as(changed, struct devices_changed)->version = account->record->list_version;
    if (actor_send_named(&mailbox_class, actor_key(), &changed)) {
        message_destroy(changed);
        actor_fail(-ENOBUFS, "the mailbox could not be told of a new device");
    }
    actor_undefer();
}

static void account_on_down(void *state, struct message **message) {
    struct account *account = state;
    commit_interrupted(&account->commit, *message);
}

static void account_on_commit_again(void *state, struct message **message) {
    struct account *account = state;
    commit_again(&account->commit);
}

static bool account_may_passivate(void *state) {
    const struct account *account = state;
    return !account->loading && !account->commit.open;
}

static const struct actor_handler account_handlers[] = {
    [ACTOR_DOWN] = {"down", account_on_down},
    [ACCOUNT_LOADED] = {"loaded", account_on_loaded},
    [ACCOUNT_DEVICES] = {"devices", account_on_devices},
    [ACCOUNT_PROFILE] = {"profile", account_on_profile},
    [ACCOUNT_REPLACE_DEVICE] = {"replace_device", account_on_replace_device},
    [COMMITTED] = {"committed", account_on_committed},
    [COMMIT_AGAIN] = {"commit_again", account_on_commit_again},
};

const struct actor_class account_class = {
    .name = "account",
    .state_bytes = sizeof(struct account),
    .init = account_init,
    .terminate = account_terminate,
    .handlers = account_handlers,
    .handler_count = sizeof(account_handlers) / sizeof(account_handlers[0]),
    .idle_ms = 30000,
    .may_passivate = account_may_passivate,
};

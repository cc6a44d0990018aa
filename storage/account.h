/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accounts in the store: the record, and its two indexes (by phone, by device key).
 *
 * Changes are appended to a write batch (not blocking, any thread) and become true with it, record
 * and indexes together. Look-ups BLOCK (pool job). Who may change an account is above: one account
 * actor per user, one number actor per phone, so that two changes of one account are never built
 * from the same old record.
 */
#ifndef TERN_STORAGE_ACCOUNT_H
#define TERN_STORAGE_ACCOUNT_H

#include <stdint.h>

#include "storage/engine.h"
#include "storage/format.h"

/*
 * Fill `account` for a new user with one device, number 1, and append it with its indexes.
 * `digits` has passed format_phone_valid(). -EINVAL when the phone is not one or the name is
 * longer than FORMAT_NAME_BYTES_MAX; otherwise as write_batch_put(). That the phone and the key are
 * free is for the caller to know.
 */
int account_create(struct write_batch *batch, uint64_t user, const char *digits, const char *name,
                   const uint8_t key[FORMAT_KEY_BYTES], uint64_t now_ms,
                   struct record_account *account);

/*
 * Replace all devices of `account` by one new device with `key`, in the record (in place) and in
 * the store: the old keys lead nowhere, the old devices' queue states go; a new id is taken. The
 * old devices' mail is the mailbox's (mail_drop_queue()). `*device` is the new id.
 */
int account_replace_devices(struct write_batch *batch, struct record_account *account,
                            const uint8_t key[FORMAT_KEY_BYTES], uint64_t now_ms, uint32_t *device);

/* Add a device. -EMLINK when the account has FORMAT_DEVICES_MAX. */
int account_add_device(struct write_batch *batch, struct record_account *account,
                       const uint8_t key[FORMAT_KEY_BYTES], uint64_t now_ms, uint32_t *device);

/* Remove one device, its key and its queue state. -ENOENT when it is not there. */
int account_remove_device(struct write_batch *batch, struct record_account *account,
                          uint32_t device);

/* Append the record alone, after a change of name or of days. */
int account_put(struct write_batch *batch, const struct record_account *account);

/* -ENOENT when there is no such account, phone or key. */
int account_read(struct engine *engine, uint64_t user, struct record_account *account);
int account_find_phone(struct engine *engine, const char *digits, uint64_t *user);
int account_find_key(struct engine *engine, const uint8_t key[FORMAT_KEY_BYTES], uint64_t *user,
                     uint32_t *device);
/* The same without blocking, or -EAGAIN. */
int account_find_key_cached(struct engine *engine, const uint8_t key[FORMAT_KEY_BYTES],
                            uint64_t *user, uint32_t *device);

/* The device in the record, or NULL. */
const struct record_device *account_device(const struct record_account *account, uint32_t device);

#endif

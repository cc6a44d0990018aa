/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accounts by the million, into a store that nobody else writes meanwhile: an import.
 *
 *     bulk_begin ─► bulk_add, a million times ─► bulk_end
 *
 * They gather in batches that are written without sync; bulk_end makes all of them durable. After a
 * crash a prefix of them is there. User ids follow each other, reserved a block at a time in the
 * batch of the first account that needs it. All BLOCKS; one thread.
 */
#ifndef TERN_STORAGE_BULK_H
#define TERN_STORAGE_BULK_H

#include "storage/account.h"

struct bulk {
    struct engine *engine; /* borrowed */
    struct write_batch batch;
    uint64_t user_next, user_reserved;
    uint64_t now_ms;
};

/* `user_high` is meta.user_high; `now_ms` (Unix time) is when the accounts are made. */
void bulk_begin(struct bulk *bulk, struct engine *engine, uint64_t user_high, uint64_t now_ms);
/* Appends an account with one device. 1: what there is so far was written with it, and look-ups see
 * it; 0: not yet; or a negative errno, of account_create or of the engine: end it. */
int bulk_add(struct bulk *bulk, const char *digits, const char *name,
             const uint8_t key[FORMAT_KEY_BYTES]);
/* Writes what has gathered. 0, or as the engine. */
int bulk_write(struct bulk *bulk, enum engine_sync sync);
/* Makes all durable, also after a failure of bulk_add, and frees. 0, or as the engine. */
int bulk_end(struct bulk *bulk);

#endif

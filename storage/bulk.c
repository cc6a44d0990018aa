/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/bulk.h"

#include "storage/meta.h"

#define BATCH_BYTES_MAX (4u << 20)
#define BATCH_BYTES_FULL (256u << 10)

void bulk_begin(struct bulk *bulk, struct engine *engine, uint64_t user_high, uint64_t now_ms) {
    *bulk = (struct bulk){.engine = engine,
                          .user_next = user_high + 1,
                          .user_reserved = user_high + 1,
                          .now_ms = now_ms};
    write_batch_init(&bulk->batch, BATCH_BYTES_MAX);
}

int bulk_write(struct bulk *bulk, enum engine_sync sync) {
    struct write_batch *batches[] = {&bulk->batch};
    int error = engine_write(bulk->engine, batches, 1, sync);
    if (error == 0)
        error = bulk->batch.result;
    write_batch_clear(&bulk->batch);
    return error;
}

int bulk_add(struct bulk *bulk, const char *digits, const char *name,
             const uint8_t key[FORMAT_KEY_BYTES]) {
    struct record_account account;
    int error = 0;
    if (bulk->user_next == bulk->user_reserved) {
        bulk->user_reserved += META_USER_BLOCK;
        error = meta_put_user_high(&bulk->batch, bulk->user_reserved - 1);
    }
    if (!error)
        error = account_create(&bulk->batch, bulk->user_next, digits, name, key, bulk->now_ms,
                               &account);
    if (error)
        return error;
    bulk->user_next++;
    if (bulk->batch.size < BATCH_BYTES_FULL)
        return 0;
    error = bulk_write(bulk, ENGINE_NO_SYNC);
    return error ? error : 1;
}

int bulk_end(struct bulk *bulk) {
    int error = bulk_write(bulk, ENGINE_SYNC);
    write_batch_finish(&bulk->batch);
    return error;
}

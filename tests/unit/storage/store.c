/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/storage/store.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "storage/engine_memory.h"
#include "storage/engine_rocksdb.h"

static uint64_t clock_ns(void *context) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void store_make_directory(char path[64]) {
    const char *base = getenv("TMPDIR");
    int length = snprintf(path, 64, "%s/tern-store-XXXXXX", base ? base : "/tmp");
    assert_true(length > 0 && length < 64);
    assert_non_null(mkdtemp(path));
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *ftw) {
    return remove(path);
}

void store_remove_directory(const char *path) {
    assert_int_equal(nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static void open_rocksdb(struct store *store) {
    struct engine_rocksdb_options options = {
        .memory_bytes_max = 8 << 20, .reserve_bytes = 1 << 20, .clock_ns = clock_ns};
    char error[256] = "";
    if (engine_rocksdb_open(store->path, &options, &store->engine, error, sizeof(error)) != 0)
        fail_msg("cannot open: %s", error);
}

void store_open(struct store *store, enum store_kind kind) {
    *store = (struct store){.kind = kind};
    if (kind == STORE_ROCKSDB) {
        store_make_directory(store->path);
        open_rocksdb(store);
        return;
    }
    struct engine_memory_options options = {.seed = 7, .clock_ns = clock_ns};
    assert_int_equal(engine_memory_open(&options, &store->engine), 0);
}

void store_reopen(struct store *store) {
    if (store->kind == STORE_MEMORY) {
        engine_memory_crash(store->engine, ENGINE_CRASH_KEEP, 0);
        return;
    }
    engine_close(store->engine);
    open_rocksdb(store);
}

void store_close(struct store *store) {
    engine_close(store->engine);
    if (store->kind == STORE_ROCKSDB)
        store_remove_directory(store->path);
}

void store_commit(struct engine *engine, struct write_batch *batch) {
    struct write_batch *batches[] = {batch};
    assert_int_equal(engine_write(engine, batches, 1, ENGINE_SYNC), 0);
    assert_int_equal(batch->result, 0);
    write_batch_finish(batch);
}

void store_put(struct engine *engine, enum engine_family family, struct engine_bytes key,
               struct engine_bytes value) {
    struct write_batch batch;
    write_batch_init(&batch, 1 << 20);
    assert_int_equal(write_batch_put(&batch, family, key, value), 0);
    store_commit(engine, &batch);
}

struct listing {
    char text[4096];
    size_t length;
};

static int list_key(void *context, struct engine_bytes key, struct engine_bytes value) {
    struct listing *listing = context;
    assert_true(listing->length + key.size + 2 < sizeof(listing->text));
    if (listing->length)
        listing->text[listing->length++] = ',';
    memcpy(listing->text + listing->length, key.data, key.size);
    listing->length += key.size;
    return 0;
}

const char *store_list(struct engine *engine, enum engine_family family, struct engine_bytes from,
                       struct engine_bytes to, size_t limit) {
    static struct listing listing;
    listing = (struct listing){.length = 0};
    assert_true(engine_scan(engine, family, from, to, limit, list_key, &listing) >= 0);
    return listing.text;
}

const char *store_get(struct engine *engine, enum engine_family family, struct engine_bytes key) {
    static char value[4096];
    size_t size = 0;
    int error = engine_get(engine, family, key, value, sizeof(value) - 1, &size);
    if (error == -ENOENT)
        return NULL;
    assert_int_equal(error, 0);
    value[size] = '\0';
    return value;
}

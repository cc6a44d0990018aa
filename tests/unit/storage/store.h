/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of storage share: a directory that goes away, an engine of either kind on it, and
 * short ways to put, get and list.
 */
#ifndef TERN_TESTS_UNIT_STORAGE_STORE_H
#define TERN_TESTS_UNIT_STORAGE_STORE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "storage/engine.h"

/* A string literal or array of char as bytes, without its terminator. */
#define TEXT(string) ((struct engine_bytes){(string), sizeof(string) - 1})

enum store_kind { STORE_ROCKSDB, STORE_MEMORY };

struct store {
    enum store_kind kind;
    char path[64];
    struct engine *engine;
};

void store_open(struct store *store, enum store_kind kind);
/* Close and open again, as a node that was stopped in good order and started. */
void store_reopen(struct store *store);
/* Close and remove the directory. */
void store_close(struct store *store);

void store_make_directory(char path[64]);
void store_remove_directory(const char *path);

/* Write one batch with sync; fails the test unless it was written. Finishes the batch. */
void store_commit(struct engine *engine, struct write_batch *batch);
void store_put(struct engine *engine, enum engine_family family, struct engine_bytes key,
               struct engine_bytes value);

/* The keys of [from, to), joined by commas, into a static buffer. */
const char *store_list(struct engine *engine, enum engine_family family, struct engine_bytes from,
                       struct engine_bytes to, size_t limit);

/* The value as a string in a static buffer, or NULL when there is none. */
const char *store_get(struct engine *engine, enum engine_family family, struct engine_bytes key);

#endif

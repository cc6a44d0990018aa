/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of the RocksDB engine share: keys (engine_rocksdb.c) and whole ranges
 * (engine_rocksdb_range.c). */
#ifndef TERN_STORAGE_ENGINE_ROCKSDB_INTERNAL_H
#define TERN_STORAGE_ENGINE_ROCKSDB_INTERNAL_H

#include <rocksdb/c.h>

#include "storage/engine_internal.h"

struct engine_rocksdb {
    struct engine head;
    char *path;
    rocksdb_t *db;
    rocksdb_cache_t *cache;
    rocksdb_column_family_handle_t *families[ENGINE_FAMILIES];
    rocksdb_options_t *options[ENGINE_FAMILIES]; /* the first is also the database's */
    rocksdb_readoptions_t *read;
    rocksdb_readoptions_t *read_cached; /* from memory alone */
    rocksdb_writeoptions_t *write_synced;
    rocksdb_writeoptions_t *write_unsynced;
    rocksdb_writebatch_t *batch; /* under the head's write lock */
};

static inline struct engine_rocksdb *rocksdb_from_head(struct engine *engine) {
    return (struct engine_rocksdb *)engine; /* the head is the first field */
}

/* Keep, translate and free RocksDB's text; 0 when there was none. */
int rocksdb_take_error(struct engine_rocksdb *rocksdb, char *text);

int rocksdb_engine_export(struct engine *engine, struct engine_bytes from, struct engine_bytes to,
                          engine_export_fn *visit, void *context);
int rocksdb_engine_replace(struct engine *engine, enum engine_family family,
                           struct engine_bytes from, struct engine_bytes to,
                           struct engine_source *source);

#endif

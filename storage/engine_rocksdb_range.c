/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole ranges of the RocksDB engine: how a partition leaves a node and comes to another.
 *
 * Export: iterators over all families, created in one call, see one moment. Replace: a sorted file
 * with a range tombstone and the new keys is written beside the store and ingested, which is one
 * atomic step for RocksDB; the tombstone and the keys get one sequence number, and keys win over
 * it. The log is synced first, so that what was written before the replacement is never lost behind
 * it.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "runtime/check.h"
#include "storage/engine_rocksdb_internal.h"

/* ---- export ------------------------------------------------------------------------------------
 */

/* Visit what an iterator finds from `from` on; its upper bound ends it. */
static int export_family(struct engine_rocksdb *rocksdb, rocksdb_iterator_t *at,
                         enum engine_family family, struct engine_bytes from,
                         engine_export_fn *visit, void *context) {
    int verdict = 0;
    for (rocksdb_iter_seek(at, from.data, from.size); verdict == 0 && rocksdb_iter_valid(at);
         rocksdb_iter_next(at)) {
        struct engine_bytes key;
        struct engine_bytes value;
        key.data = rocksdb_iter_key(at, &key.size);
        value.data = rocksdb_iter_value(at, &value.size);
        verdict = visit(context, family, key, value);
    }
    char *text = NULL;
    rocksdb_iter_get_error(at, &text);
    int error = rocksdb_take_error(rocksdb, text);
    return error ? error : verdict;
}

int rocksdb_engine_export(struct engine *engine, struct engine_bytes from, struct engine_bytes to,
                          engine_export_fn *visit, void *context) {
    struct engine_rocksdb *rocksdb = rocksdb_from_head(engine);
    rocksdb_readoptions_t *read = rocksdb_readoptions_create();
    rocksdb_readoptions_set_total_order_seek(read, 1);
    rocksdb_readoptions_set_fill_cache(read, 0); /* read once: it must not push out what is used */
    rocksdb_readoptions_set_iterate_upper_bound(read, to.data, to.size);
    rocksdb_iterator_t *iterators[ENGINE_FAMILIES] = {NULL};
    char *text = NULL;
    rocksdb_create_iterators(rocksdb->db, read, rocksdb->families, iterators, ENGINE_FAMILIES,
                             &text);
    int verdict = rocksdb_take_error(rocksdb, text);
    for (int family = 0; family < ENGINE_FAMILIES; family++) {
        if (family != ENGINE_META && verdict == 0)
            verdict = export_family(rocksdb, iterators[family], (enum engine_family)family, from,
                                    visit, context);
        if (iterators[family])
            rocksdb_iter_destroy(iterators[family]);
    }
    rocksdb_readoptions_destroy(read);
    return verdict < 0 ? verdict : 0;
}

/* ---- replace -----------------------------------------------------------------------------------
 */

/* Write the file: first the tombstone, then what the source gives. */
static int write_file(struct engine_rocksdb *rocksdb, rocksdb_sstfilewriter_t *writer,
                      const char *path, struct engine_bytes from, struct engine_bytes to,
                      struct engine_source *source) {
    char *text = NULL;
    rocksdb_sstfilewriter_open(writer, path, &text);
    if (!text)
        rocksdb_sstfilewriter_delete_range(writer, from.data, from.size, to.data, to.size, &text);
    int got = 0;
    struct engine_bytes key;
    struct engine_bytes value;
    while (!text && (got = engine_source_next(source, &key, &value)) > 0)
        rocksdb_sstfilewriter_put(writer, key.data, key.size, value.data, value.size, &text);
    if (!text && got == 0)
        rocksdb_sstfilewriter_finish(writer, &text);
    int error = rocksdb_take_error(rocksdb, text);
    return error ? error : got;
}

static int ingest_file(struct engine_rocksdb *rocksdb, enum engine_family family,
                       const char *path) {
    char *text = NULL;
    rocksdb_flush_wal(rocksdb->db, 1, &text);
    int error = rocksdb_take_error(rocksdb, text);
    if (error)
        return error;
    text = NULL;
    rocksdb_ingestexternalfileoptions_t *options = rocksdb_ingestexternalfileoptions_create();
    rocksdb_ingestexternalfileoptions_set_move_files(options, 1);
    const char *files[] = {path};
    rocksdb_ingest_external_file_cf(rocksdb->db, rocksdb->families[family], files, 1, options,
                                    &text);
    rocksdb_ingestexternalfileoptions_destroy(options);
    return rocksdb_take_error(rocksdb, text);
}

int rocksdb_engine_replace(struct engine *engine, enum engine_family family,
                           struct engine_bytes from, struct engine_bytes to,
                           struct engine_source *source) {
    struct engine_rocksdb *rocksdb = rocksdb_from_head(engine);
    char path[4096];
    int length = snprintf(path, sizeof(path), "%s/replace.tmp", rocksdb->path);
    if (length < 0 || (size_t)length >= sizeof(path))
        return -ENAMETOOLONG;
    rocksdb_envoptions_t *environment = rocksdb_envoptions_create();
    rocksdb_sstfilewriter_t *writer =
        rocksdb_sstfilewriter_create(environment, rocksdb->options[family]);
    int error = write_file(rocksdb, writer, path, from, to, source);
    rocksdb_sstfilewriter_destroy(writer);
    rocksdb_envoptions_destroy(environment);
    if (!error)
        error = ingest_file(rocksdb, family, path);
    unlink(path); /* gone already when it was taken */
    return error;
}

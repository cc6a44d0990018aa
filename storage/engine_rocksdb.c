/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine on RocksDB.
 *
 * Durability: the write-ahead log is on and not buffered by us; a synced write is appended to it,
 * fdatasync'ed, and only then put into the memtable, so nobody reads what is not durable. Sorted
 * files are written and synced by RocksDB's background threads and matter to no answer. After a
 * crash the log is replayed up to the first record that is not whole (point in time): what follows
 * such a record was never synced. Refusing to start instead would turn every torn tail of several
 * pages into a visit by an operator.
 *
 * Full disk: RocksDB goes read-only when it meets ENOSPC and its C API cannot resume it, so
 * engine.c looks at the free space first and keeps a reserve for what flushes and compactions still
 * write.
 *
 * Memory: `memory_bytes_max` is split in four: one part memtables of all families together, one
 * their log's and flushes' slack, two one LRU cache in which indexes and filters are counted too.
 *
 * Memtables have filters, too: most reads are of accounts that were written long ago, and to look
 * for them in vain among the recent ones costs more than all else.
 *
 * ENGINE_MAIL is a crowd of short queues, written at one end, scanned and deleted at the other.
 * It has no whole-key filter (nobody gets one key) but one by queue (the key's first 14 bytes), so
 * that the scan of an empty queue touches no file; no compression (ciphertext has no redundancy).
 * Its deletes are plain ones. Single deletes would spare a fifth of the work of a long queue [M],
 * but RocksDB then brings a key back that was put twice, and a sender who missed its answer does
 * that.
 */
#include "storage/engine_rocksdb.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "runtime/check.h"
#include "storage/engine_internal.h"
#include "storage/engine_rocksdb_internal.h"

#define MEMORY_BYTES_DEFAULT (64ull << 20)
#define MEMORY_BYTES_MIN (8ull << 20)
#define OPEN_FILES_DEFAULT 256
#define BACKGROUND_JOBS 2
/* Keep the buffer of a write batch between writes unless it grew beyond this. */
#define BATCH_KEEP_BYTES (4u << 20)
/* Files whose entries hold this many deletes among this many neighbours are compacted early. */
#define DELETION_WINDOW 1024
#define DELETION_TRIGGER 512

static const char *const family_names[ENGINE_FAMILIES] = {"default", "account", "mail"};

/* ---- errors -------------------------------------------------------------------------------- */

/* The C API gives errors as text alone ("IO error: No space left on device: ..."). */
static int error_from_text(const char *text) {
    static const struct {
        const char *part;
        int error;
    } table[] = {
        {"lock hold by current process", -EBUSY},
        {"While lock file", -EBUSY},
        {"No space left on device", -ENOSPC},
        {"Disk quota exceeded", -ENOSPC},
        {"Space limit reached", -ENOSPC},
        {"Permission denied", -EACCES},
        {"Read-only file system", -EROFS},
        {"Corruption", -EBADMSG},
        {"Invalid argument", -EINVAL},
        {"No such file or directory", -ENOENT},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (strstr(text, table[i].part))
            return table[i].error;
    }
    return -EIO;
}

int rocksdb_take_error(struct engine_rocksdb *rocksdb, char *text) {
    if (!text)
        return 0;
    int error = error_from_text(text);
    engine_set_error(&rocksdb->head, text);
    rocksdb_free(text);
    return error;
}

/* ---- writing ------------------------------------------------------------------------------- */

static void add_operation(struct engine_rocksdb *rocksdb, const struct write_operation *operation) {
    rocksdb_column_family_handle_t *family = rocksdb->families[operation->family];
    const char *first = operation->first.data;
    const char *second = operation->second.data;
    switch (operation->kind) {
    case WRITE_PUT:
        rocksdb_writebatch_put_cf(rocksdb->batch, family, first, operation->first.size, second,
                                  operation->second.size);
        break;
    case WRITE_DELETE:
        rocksdb_writebatch_delete_cf(rocksdb->batch, family, first, operation->first.size);
        break;
    case WRITE_DELETE_RANGE:
        rocksdb_writebatch_delete_range_cf(rocksdb->batch, family, first, operation->first.size,
                                           second, operation->second.size);
        break;
    }
}

/* Empty the reused batch; an unusually big one gives its memory back. */
static void reset_batch(struct engine_rocksdb *rocksdb) {
    size_t size = 0;
    rocksdb_writebatch_data(rocksdb->batch, &size);
    if (size <= BATCH_KEEP_BYTES) {
        rocksdb_writebatch_clear(rocksdb->batch);
        return;
    }
    rocksdb_writebatch_destroy(rocksdb->batch);
    rocksdb->batch = rocksdb_writebatch_create();
}

static int rocksdb_engine_write(struct engine *engine, struct write_batch *const batches[],
                                size_t count, enum engine_sync sync) {
    struct engine_rocksdb *rocksdb = rocksdb_from_head(engine);
    char *text = NULL;
    for (size_t i = 0; i < count; i++) {
        struct write_operation operation;
        size_t offset = 0;
        while (batches[i]->result == 0 && write_batch_next(batches[i], &offset, &operation))
            add_operation(rocksdb, &operation);
    }
    if (rocksdb_writebatch_count(rocksdb->batch) > 0)
        rocksdb_write(rocksdb->db,
                      sync == ENGINE_SYNC ? rocksdb->write_synced : rocksdb->write_unsynced,
                      rocksdb->batch, &text);
    else if (sync == ENGINE_SYNC)
        rocksdb_flush_wal(rocksdb->db, 1, &text);
    reset_batch(rocksdb);
    int error = rocksdb_take_error(rocksdb, text);
    return error == 0 || error == -ENOSPC ? error : -EIO;
}

/* ---- reading ------------------------------------------------------------------------------- */

static int read_value(struct engine_rocksdb *rocksdb, const rocksdb_readoptions_t *options,
                      enum engine_family family, struct engine_bytes key, void *buffer,
                      size_t capacity, size_t *size) {
    char *text = NULL;
    rocksdb_pinnableslice_t *slice = rocksdb_get_pinned_cf(
        rocksdb->db, options, rocksdb->families[family], key.data, key.size, &text);
    if (text && strstr(text, "Result incomplete")) { /* not in memory, of a cached read */
        rocksdb_free(text);
        return -EAGAIN;
    }
    if (text)
        return rocksdb_take_error(rocksdb, text);
    if (!slice)
        return -ENOENT;
    size_t value_size = 0;
    const char *value = rocksdb_pinnableslice_value(slice, &value_size);
    int error = value_size <= capacity ? 0 : -ENOBUFS;
    if (!error && value_size)
        memcpy(buffer, value, value_size);
    *size = value_size;
    rocksdb_pinnableslice_destroy(slice);
    return error;
}

static int rocksdb_engine_get(struct engine *engine, enum engine_family family,
                              struct engine_bytes key, void *buffer, size_t capacity,
                              size_t *size) {
    struct engine_rocksdb *rocksdb = rocksdb_from_head(engine);
    return read_value(rocksdb, rocksdb->read, family, key, buffer, capacity, size);
}

static int rocksdb_engine_get_cached(struct engine *engine, enum engine_family family,
                                     struct engine_bytes key, void *buffer, size_t capacity,
                                     size_t *size) {
    struct engine_rocksdb *rocksdb = rocksdb_from_head(engine);
    return read_value(rocksdb, rocksdb->read_cached, family, key, buffer, capacity, size);
}

/* Whether all keys of [from, to) belong to one queue, so that its filter may answer. */
static bool within_one_queue(enum engine_family family, struct engine_bytes from,
                             struct engine_bytes to) {
    return family == ENGINE_MAIL && from.size >= ENGINE_MAIL_QUEUE_BYTES &&
           to.size >= ENGINE_MAIL_QUEUE_BYTES &&
           memcmp(from.data, to.data, ENGINE_MAIL_QUEUE_BYTES) == 0;
}

static int rocksdb_engine_scan(struct engine *engine, enum engine_family family,
                               struct engine_bytes from, struct engine_bytes to, size_t limit,
                               engine_visit_fn *visit, void *context) {
    struct engine_rocksdb *rocksdb = rocksdb_from_head(engine);
    rocksdb_readoptions_t *read = rocksdb_readoptions_create();
    rocksdb_readoptions_set_total_order_seek(read, !within_one_queue(family, from, to));
    if (to.size)
        rocksdb_readoptions_set_iterate_upper_bound(read, to.data, to.size);
    rocksdb_iterator_t *at =
        rocksdb_create_iterator_cf(rocksdb->db, read, rocksdb->families[family]);
    int visited = 0;
    int verdict = 0;
    if (limit == 0)
        ;
    else if (from.size)
        rocksdb_iter_seek(at, from.data, from.size);
    else
        rocksdb_iter_seek_to_first(at);
    while (verdict == 0 && (size_t)visited < limit && rocksdb_iter_valid(at)) {
        struct engine_bytes key;
        struct engine_bytes value;
        key.data = rocksdb_iter_key(at, &key.size);
        value.data = rocksdb_iter_value(at, &value.size);
        verdict = visit(context, key, value);
        visited++;
        if (verdict == 0 && (size_t)visited < limit)
            rocksdb_iter_next(at);
    }
    char *text = NULL;
    rocksdb_iter_get_error(at, &text);
    int error = rocksdb_take_error(rocksdb, text);
    rocksdb_iter_destroy(at);
    rocksdb_readoptions_destroy(read);
    if (error)
        return error;
    return verdict < 0 ? verdict : visited;
}

/* ---- space --------------------------------------------------------------------------------- */

/* A trigger of one file turns every flush into a compaction, which is what drops deleted keys. */
#define LEVEL0_TRIGGER_USUAL "4"
#define LEVEL0_TRIGGER_LOW "1"

static uint64_t property_sum(struct engine_rocksdb *rocksdb, const char *name) {
    uint64_t sum = 0;
    for (size_t i = 0; i < ENGINE_FAMILIES; i++) {
        uint64_t value = 0;
        if (rocksdb_property_int_cf(rocksdb->db, rocksdb->families[i], name, &value) == 0)
            sum += value;
    }
    return sum;
}

/* Whether background work is under way that may give space back by itself. */
static bool is_making_space(struct engine_rocksdb *rocksdb) {
    return property_sum(rocksdb, "rocksdb.num-running-compactions") > 0 ||
           property_sum(rocksdb, "rocksdb.num-running-flushes") > 0 ||
           property_sum(rocksdb, "rocksdb.compaction-pending") > 0 ||
           property_sum(rocksdb, "rocksdb.mem-table-flush-pending") > 0;
}

static void set_level0_trigger(struct engine_rocksdb *rocksdb, const char *trigger) {
    static const char *const name[] = {"level0_file_num_compaction_trigger"};
    const char *const value[] = {trigger};
    for (size_t i = 0; i < ENGINE_FAMILIES; i++) {
        char *text = NULL;
        rocksdb_set_options_cf(rocksdb->db, rocksdb->families[i], 1, name, value, &text);
        rocksdb_take_error(rocksdb, text); /* kept to be read; the writes tell what matters */
    }
}

/* Begin to move deletes to where what they delete lies: out of memory, then a level at each call,
 * until all is in the last one. Everything happens on RocksDB's threads. */
static void rocksdb_engine_reclaim(struct engine *engine, bool low, uint64_t deletes) {
    struct engine_rocksdb *rocksdb = rocksdb_from_head(engine);
    if (!low || deletes)
        set_level0_trigger(rocksdb, low ? LEVEL0_TRIGGER_LOW : LEVEL0_TRIGGER_USUAL);
    if (!low || (!deletes && is_making_space(rocksdb)))
        return;
    rocksdb_flushoptions_t *flush = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(flush, 0);
    for (size_t i = 0; i < ENGINE_FAMILIES; i++) {
        char *text = NULL;
        if (deletes)
            rocksdb_flush_cf(rocksdb->db, flush, rocksdb->families[i], &text);
        else
            rocksdb_suggest_compact_range_cf(rocksdb->db, rocksdb->families[i], NULL, 0, NULL, 0,
                                             &text);
        rocksdb_take_error(rocksdb, text);
    }
    rocksdb_flushoptions_destroy(flush);
}

/* ---- gauges -------------------------------------------------------------------------------- */

static uint64_t rocksdb_engine_space_free(struct engine *engine) {
    struct statvfs space;
    if (statvfs(rocksdb_from_head(engine)->path, &space) != 0)
        return UINT64_MAX; /* then the write itself will tell */
    return (uint64_t)space.f_bavail * space.f_frsize;
}

static void rocksdb_engine_gauges(struct engine *engine, struct engine_gauges *gauges) {
    struct engine_rocksdb *rocksdb = rocksdb_from_head(engine);
    gauges->memtable_bytes = property_sum(rocksdb, "rocksdb.cur-size-all-mem-tables");
    gauges->table_bytes = property_sum(rocksdb, "rocksdb.estimate-table-readers-mem");
    gauges->disk_bytes = property_sum(rocksdb, "rocksdb.total-sst-files-size");
    gauges->compaction_pending_bytes =
        property_sum(rocksdb, "rocksdb.estimate-pending-compaction-bytes");
    gauges->cache_bytes = rocksdb_cache_get_usage(rocksdb->cache);
    gauges->stalled = property_sum(rocksdb, "rocksdb.is-write-stopped") > 0 ||
                      property_sum(rocksdb, "rocksdb.actual-delayed-write-rate") > 0;
    gauges->compacting = is_making_space(rocksdb);
    for (unsigned i = 0; i < ENGINE_FAMILIES; i++) {
        const struct {
            const char *name;
            uint64_t *value;
        } properties[] = {
            {"rocksdb.estimate-num-keys", &gauges->families[i].keys},
            {"rocksdb.total-sst-files-size", &gauges->families[i].disk_bytes},
            {"rocksdb.cur-size-all-mem-tables", &gauges->families[i].memtable_bytes},
        };
        for (unsigned k = 0; k < sizeof(properties) / sizeof(properties[0]); k++)
            rocksdb_property_int_cf(rocksdb->db, rocksdb->families[i], properties[k].name,
                                    properties[k].value);
    }
    rocksdb_property_int_cf(rocksdb->db, rocksdb->families[ENGINE_MAIL],
                            "rocksdb.estimate-num-keys", &gauges->mail_keys);
}

/* ---- opening and closing ------------------------------------------------------------------- */

static void destroy(struct engine_rocksdb *rocksdb) {
    for (size_t i = 0; i < ENGINE_FAMILIES; i++) {
        if (rocksdb->families[i])
            rocksdb_column_family_handle_destroy(rocksdb->families[i]);
    }
    if (rocksdb->db)
        rocksdb_close(rocksdb->db);
    for (size_t i = 0; i < ENGINE_FAMILIES; i++)
        rocksdb_options_destroy(rocksdb->options[i]);
    rocksdb_writebatch_destroy(rocksdb->batch);
    rocksdb_writeoptions_destroy(rocksdb->write_unsynced);
    rocksdb_writeoptions_destroy(rocksdb->write_synced);
    rocksdb_readoptions_destroy(rocksdb->read);
    rocksdb_readoptions_destroy(rocksdb->read_cached);
    rocksdb_cache_destroy(rocksdb->cache);
    engine_head_finish(&rocksdb->head);
    free(rocksdb->path);
    free(rocksdb);
}

static void rocksdb_engine_close(struct engine *engine) {
    struct engine_rocksdb *rocksdb = rocksdb_from_head(engine);
    char *text = NULL;
    if (!engine->failed)
        rocksdb_flush_wal(rocksdb->db, 1, &text);
    rocksdb_free(text);
    destroy(rocksdb);
}

static const struct engine_ops rocksdb_ops = {
    .close = rocksdb_engine_close,
    .write = rocksdb_engine_write,
    .get = rocksdb_engine_get,
    .get_cached = rocksdb_engine_get_cached,
    .scan = rocksdb_engine_scan,
    .space_free = rocksdb_engine_space_free,
    .export_range = rocksdb_engine_export,
    .replace_range = rocksdb_engine_replace,
    .reclaim = rocksdb_engine_reclaim,
    .gauges = rocksdb_engine_gauges,
};

/* Sorted files of one family: filters as it is read, everything counted in the one cache. */
static void set_table(rocksdb_options_t *options, enum engine_family family,
                      rocksdb_cache_t *cache) {
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(table, cache);
    rocksdb_block_based_options_set_block_size(table, 8 * 1024);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, 1);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(table, 1);
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(table, 1);
    rocksdb_block_based_options_set_format_version(table, 5);
    rocksdb_block_based_options_set_filter_policy(table,
                                                  rocksdb_filterpolicy_create_bloom_full(10));
    rocksdb_block_based_options_set_whole_key_filtering(table, family != ENGINE_MAIL);
    rocksdb_options_set_block_based_table_factory(options, table);
    rocksdb_block_based_options_destroy(table);
}

static rocksdb_options_t *family_options(enum engine_family family, uint64_t memory_bytes,
                                         rocksdb_cache_t *cache) {
    rocksdb_options_t *options = rocksdb_options_create();
    uint64_t memtable_bytes = memory_bytes / 8;
    rocksdb_options_set_write_buffer_size(options, memtable_bytes);
    rocksdb_options_set_max_write_buffer_number(options, 3);
    rocksdb_options_set_compression(options, rocksdb_no_compression);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(options, 1);
    rocksdb_options_set_target_file_size_base(options, memtable_bytes);
    rocksdb_options_set_max_bytes_for_level_base(options, 4 * memtable_bytes);
    /* What one compaction takes on top of what is there comes out of the disk's reserve. */
    rocksdb_options_set_max_compaction_bytes(options, 4 * memtable_bytes);
    rocksdb_options_set_level0_slowdown_writes_trigger(options, 12);
    rocksdb_options_set_level0_stop_writes_trigger(options, 20);
    set_table(options, family, cache);
    rocksdb_options_set_memtable_prefix_bloom_size_ratio(options, 0.02);
    rocksdb_options_set_memtable_whole_key_filtering(options, family != ENGINE_MAIL);
    if (family == ENGINE_MAIL) {
        rocksdb_options_set_prefix_extractor(
            options, rocksdb_slicetransform_create_fixed_prefix(ENGINE_MAIL_QUEUE_BYTES));
        rocksdb_options_add_compact_on_deletion_collector_factory(options, DELETION_WINDOW,
                                                                  DELETION_TRIGGER);
    }
    return options;
}

static void set_database(rocksdb_options_t *options, uint64_t memory_bytes, uint32_t open_files) {
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_create_missing_column_families(options, 1);
    rocksdb_options_set_paranoid_checks(options, 1);
    rocksdb_options_set_use_fsync(options, 0); /* fdatasync; sizes are synced by it too */
    rocksdb_options_set_wal_recovery_mode(options, rocksdb_point_in_time_recovery);
    rocksdb_options_set_db_write_buffer_size(options, memory_bytes / 4);
    rocksdb_options_set_max_total_wal_size(options, memory_bytes / 2);
    rocksdb_options_set_max_open_files(options, (int)open_files);
    rocksdb_options_set_max_background_jobs(options, BACKGROUND_JOBS);
    rocksdb_options_set_max_subcompactions(options, 1);
    rocksdb_options_set_bytes_per_sync(options, 1 << 20); /* no burst of write-back by a flush */
    /* One writer at a time: what lets several into the memtable only costs. */
    rocksdb_options_set_allow_concurrent_memtable_write(options, 0);
    rocksdb_options_set_enable_write_thread_adaptive_yield(options, 0);
    rocksdb_options_set_info_log_level(options, 2); /* warnings */
    rocksdb_options_set_keep_log_file_num(options, 2);
    rocksdb_options_set_max_log_file_size(options, 1 << 20);
    rocksdb_options_set_max_manifest_file_size(options, 4 << 20);
    rocksdb_options_set_stats_dump_period_sec(options, 0);
    rocksdb_options_set_stats_persist_period_sec(options, 0);
    rocksdb_options_set_skip_stats_update_on_db_open(options, 1);
}

static void create_options(struct engine_rocksdb *rocksdb,
                           const struct engine_rocksdb_options *options) {
    uint64_t memory_bytes =
        options->memory_bytes_max ? options->memory_bytes_max : MEMORY_BYTES_DEFAULT;
    uint32_t open_files = options->open_files_max ? options->open_files_max : OPEN_FILES_DEFAULT;
    rocksdb->cache = rocksdb_cache_create_lru(memory_bytes / 2);
    for (size_t i = 0; i < ENGINE_FAMILIES; i++) {
        rocksdb->options[i] = family_options((enum engine_family)i, memory_bytes, rocksdb->cache);
        set_database(rocksdb->options[i], memory_bytes, open_files);
    }
    rocksdb->read = rocksdb_readoptions_create();
    rocksdb->read_cached = rocksdb_readoptions_create();
    rocksdb_readoptions_set_read_tier(rocksdb->read_cached, 1); /* kBlockCacheTier */
    rocksdb->write_synced = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(rocksdb->write_synced, 1);
    rocksdb->write_unsynced = rocksdb_writeoptions_create();
    rocksdb->batch = rocksdb_writebatch_create();
}

static int open_database(struct engine_rocksdb *rocksdb, char *error, size_t error_capacity) {
    char *text = NULL;
    rocksdb->db = rocksdb_open_column_families(
        rocksdb->options[0], rocksdb->path, ENGINE_FAMILIES, family_names,
        (const rocksdb_options_t *const *)rocksdb->options, rocksdb->families, &text);
    if (!text)
        return 0;
    int code = error_from_text(text);
    if (error && code == -EBUSY)
        snprintf(error, error_capacity, "another process has %s open", rocksdb->path);
    else if (error)
        snprintf(error, error_capacity, "%s", text);
    rocksdb_free(text);
    return code;
}

static int make_directory(const char *path, char *error, size_t error_capacity) {
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return 0;
    int code = -errno;
    if (error)
        snprintf(error, error_capacity, "cannot make the directory %s: %s", path, strerror(-code));
    return code;
}

int engine_rocksdb_open(const char *path, const struct engine_rocksdb_options *options,
                        struct engine **engine, char *error, size_t error_capacity) {
    if (options->memory_bytes_max && options->memory_bytes_max < MEMORY_BYTES_MIN)
        return -EINVAL;
    int code = make_directory(path, error, error_capacity);
    if (code)
        return code;
    struct engine_rocksdb *rocksdb = calloc(1, sizeof(*rocksdb));
    char *copy = strdup(path);
    if (!rocksdb || !copy) {
        free(rocksdb);
        free(copy);
        return -ENOMEM;
    }
    rocksdb->path = copy;
    engine_head_init(&rocksdb->head, &rocksdb_ops, options->reserve_bytes, options->clock_ns,
                     options->clock_context);
    create_options(rocksdb, options);
    code = open_database(rocksdb, error, error_capacity);
    if (code) {
        destroy(rocksdb);
        return code;
    }
    *engine = &rocksdb->head;
    return 0;
}

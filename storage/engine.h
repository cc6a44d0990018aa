/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store's seam: ordered maps from bytes to bytes that survive a crash.
 *
 * Every call BLOCKS and is meant for a thread of the runtime's pool: asynchrony is above it (the
 * committer gathers the batches of many actors into one engine_write(); a read is a pool job).
 * Calls may come from several threads at once; writes are taken one after the other.
 *
 * The one durable point is engine_write() with ENGINE_SYNC: when it returns 0, that write and every
 * write before it survive the machine. A write with ENGINE_NO_SYNC may be lost with the ones after
 * it, but never without them: what is found after a crash is a prefix of what was written.
 *
 * Implementations: engine_rocksdb.h, the real one; engine_memory.h, for tests and the simulator.
 * One suite, tests/unit/storage/test_engine.c, runs on both.
 *
 * Errors, of all calls: 0 or a negative errno, a text with engine_error().
 *   -ENOSPC  the disk is (nearly) full; nothing of it was written, reads and deletes go on, and
 *            the same write succeeds once there is space.
 *   -EIO     a write or an fsync failed. What is on disk is not known; every later write fails.
 *            The caller must end the process: only a restart, which reads the disk, tells.
 *   -EBADMSG what was read is damaged.
 */
#ifndef TERN_STORAGE_ENGINE_H
#define TERN_STORAGE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/batch.h"

struct engine;

enum engine_sync { ENGINE_NO_SYNC, ENGINE_SYNC };

/* One engine_write() takes at most this many batches and bytes. */
#define ENGINE_WRITE_BATCHES_MAX 65536
#define ENGINE_WRITE_BYTES_MAX (32 * 1024 * 1024)
/* One engine_scan() visits at most this many keys. */
#define ENGINE_SCAN_LIMIT_MAX (1 << 20)

/* Close and free. Writes without sync are made durable on the way when that is possible. */
void engine_close(struct engine *engine);

/*
 * Write all `batches` as one atomic change, in order, with at most one sync for all of them.
 *
 * A batch with a sticky error, or refused for want of space, is left out, and its `result` says
 * why; the others have `result` 0 and are written. Free space is looked at before anything is
 * written, so that the engine under it never meets a full disk: below the reserve WRITE_GROWS is
 * refused, below a quarter of it WRITE_ESSENTIAL too; a batch without puts always goes through.
 *
 * Returns 0 when every batch was either written or given a result; otherwise nothing is promised
 * to be written and every `result` is the returned error: -EIO; -ENOSPC; -E2BIG or -EINVAL beyond
 * the bounds above. Borrows the batches.
 */
int engine_write(struct engine *engine, struct write_batch *const batches[], size_t count,
                 enum engine_sync sync);

/*
 * Copy the value of `key` into `buffer` and its size into `*size`. -ENOENT when there is none;
 * -ENOBUFS when the buffer is too small: `*size` then says what is needed.
 */
int engine_get(struct engine *engine, enum engine_family family, struct engine_bytes key,
               void *buffer, size_t capacity, size_t *size);
/* The same, if it can be told from memory alone; else -EAGAIN. A few microseconds, never blocks on
 * the disk: for threads that may not, which spares them a hand-over. */
int engine_get_cached(struct engine *engine, enum engine_family family, struct engine_bytes key,
                      void *buffer, size_t capacity, size_t *size);

/* Sees one key and value, borrowed until it returns. 0: go on; 1: stop here; a negative errno:
 * stop, and the scan returns it. Must not call the engine. */
typedef int engine_visit_fn(void *context, struct engine_bytes key, struct engine_bytes value);

/*
 * Visit the keys in [from, to) in order, at most `limit` (<= ENGINE_SCAN_LIMIT_MAX), as they were
 * at one moment. An empty `to` means: to the end. Returns how many were visited (the one that
 * stopped it included), or a negative errno.
 */
int engine_scan(struct engine *engine, enum engine_family family, struct engine_bytes from,
                struct engine_bytes to, size_t limit, engine_visit_fn *visit, void *context);

/* As engine_visit_fn, of an export. */
typedef int engine_export_fn(void *context, enum engine_family family, struct engine_bytes key,
                             struct engine_bytes value);

/*
 * Visit every key in [from, to) of every family but ENGINE_META, family by family, all as they were
 * at one moment: a partition, to be sent to another node. No bound: it is as long as the range, and
 * keeps what is deleted meanwhile on disk. 0, or a negative errno; the visitor's 1 ends it with 0.
 */
int engine_export_range(struct engine *engine, struct engine_bytes from, struct engine_bytes to,
                        engine_export_fn *visit, void *context);

/* Gives the next key and value, borrowed until the next call: 1, or 0 at the end, or a negative
 * errno. Must not call the engine. */
typedef int engine_next_fn(void *context, struct engine_bytes *key, struct engine_bytes *value);

/*
 * Replace all that [from, to) of one family holds by what `next` gives, keys rising within the
 * range. Durable and atomic: after a crash the range is the old one or the new one. Holds up
 * writers while it lasts. -EINVAL: a key out of order or range; -ENOSPC: less than the reserve is
 * free; in these cases, and when `next` fails, nothing has changed.
 */
int engine_replace_range(struct engine *engine, enum engine_family family, struct engine_bytes from,
                         struct engine_bytes to, engine_next_fn *next, void *context);

/* Bucket i counts durable writes that took less than 2^i µs; the last one all that took longer. */
#define ENGINE_LATENCY_BUCKETS 24

struct engine_gauges {
    /* levels, bytes */
    uint64_t memtable_bytes;
    uint64_t cache_bytes;
    uint64_t table_bytes; /* indexes and filters outside the cache */
    uint64_t disk_bytes;  /* sorted files; the log of recent writes is not in it */
    uint64_t compaction_pending_bytes;
    uint64_t space_free_bytes;
    uint64_t space_reserve_bytes;
    uint64_t stalled;    /* 1 while the engine slows or stops writers to let compaction catch up */
    uint64_t compacting; /* 1 while a flush or a compaction runs or is due */
    uint64_t mail_keys;  /* keys of ENGINE_MAIL, estimated: overwrites and ranges put it off */
    /* by family: keys are estimated; those of the log of recent writes are in memtable_bytes */
    struct {
        uint64_t keys, disk_bytes, memtable_bytes;
    } families[ENGINE_FAMILIES];
    /* counters since open */
    uint64_t writes;          /* engine_write() calls that were written */
    uint64_t batches;         /* batches in them */
    uint64_t operations;      /* operations in those */
    uint64_t written_bytes;   /* bytes of those */
    uint64_t refused_batches; /* left out for want of space */
    uint64_t failed_writes;
    uint64_t gets;
    uint64_t scans;
    uint64_t scanned_keys;
    uint64_t syncs;
    uint64_t sync_ns; /* total time of durable writes, when the engine was given a clock */
    uint64_t sync_ns_peak;
    uint64_t sync_latency[ENGINE_LATENCY_BUCKETS];
};

/* Read the gauges; cheap enough for once a second. */
void engine_gauges(struct engine *engine, struct engine_gauges *gauges);

/* Copy the text of the last error into `text`, always terminated; "" when there was none. */
void engine_error(struct engine *engine, char *text, size_t capacity);

#endif

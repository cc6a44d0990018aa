/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real engine: RocksDB 7.8 by its C API, one instance in one directory, a column family per
 * engine_family. Tuned for queues that are written, read once and deleted; memory is capped.
 */
#ifndef TERN_STORAGE_ENGINE_ROCKSDB_H
#define TERN_STORAGE_ENGINE_ROCKSDB_H

#include <stddef.h>
#include <stdint.h>

#include "storage/engine.h"

/* The first bytes of an ENGINE_MAIL key that name its queue (partition, user, device); a scan whose
 * two ends share them is answered by a filter when the queue is empty. */
#define ENGINE_MAIL_QUEUE_BYTES 14

struct engine_rocksdb_options {
    /* Memtables and cache together; 0: 64 MiB. At least 8 MiB. */
    uint64_t memory_bytes_max;
    /* Free disk space that new mail may not use up; 0: 128 MiB. See engine_write(). */
    uint64_t reserve_bytes;
    /* Open files kept; 0: 256. */
    uint32_t open_files_max;
    /* Monotonic nanoseconds for the latency gauges; NULL: they stay 0. Called on the pool's
     * threads. */
    uint64_t (*clock_ns)(void *context);
    void *clock_context;
};

/*
 * Open the store in directory `path`, making it (not its parent) when it is missing. A crash's
 * log is replayed here, so this may take a while.
 *
 * -EBUSY: another process has it open. -ENOENT, -EACCES, -ENOSPC: the directory. -EBADMSG: damaged.
 * On failure `error` (of `error_capacity` bytes, may be NULL) has a sentence for the operator.
 */
int engine_rocksdb_open(const char *path, const struct engine_rocksdb_options *options,
                        struct engine **engine, char *error, size_t error_capacity);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the engines share: the table that an implementation fills, and the head that it embeds.
 * The common half (engine.c) checks arguments, refuses for want of space, takes writes one after
 * the other and counts; an implementation only stores.
 */
#ifndef TERN_STORAGE_ENGINE_INTERNAL_H
#define TERN_STORAGE_ENGINE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "storage/engine.h"

#define ENGINE_MAGIC 0x656e6731u /* "eng1" */
#define ENGINE_ERROR_BYTES 256

/* What a range is replaced by: engine_next_fn with its keys checked. */
struct engine_source {
    engine_next_fn *next;
    void *context;
    struct engine_bytes from;
    struct engine_bytes to;
    size_t last_size; /* of the key before, 0 at first */
    uint8_t last[ENGINE_KEY_BYTES_MAX];
};

/* As engine_next_fn; -EINVAL for a key that does not rise or is not in the range. */
int engine_source_next(struct engine_source *source, struct engine_bytes *key,
                       struct engine_bytes *value);

struct engine_ops {
    void (*close)(struct engine *engine);
    /* Write those batches whose `result` is 0; one call at a time. */
    int (*write)(struct engine *engine, struct write_batch *const batches[], size_t count,
                 enum engine_sync sync);
    int (*get)(struct engine *engine, enum engine_family family, struct engine_bytes key,
               void *buffer, size_t capacity, size_t *size);
    /* The same from memory alone, else -EAGAIN. NULL: there is no such way. */
    int (*get_cached)(struct engine *engine, enum engine_family family, struct engine_bytes key,
                      void *buffer, size_t capacity, size_t *size);
    int (*scan)(struct engine *engine, enum engine_family family, struct engine_bytes from,
                struct engine_bytes to, size_t limit, engine_visit_fn *visit, void *context);
    int (*export_range)(struct engine *engine, struct engine_bytes from, struct engine_bytes to,
                        engine_export_fn *visit, void *context);
    /* One call at a time, and none of `write` meanwhile. */
    int (*replace_range)(struct engine *engine, enum engine_family family, struct engine_bytes from,
                         struct engine_bytes to, struct engine_source *source);
    /* Free space of the disk in bytes; UINT64_MAX when unbounded or unknown. */
    uint64_t (*space_free)(struct engine *engine);
    /* Something was refused for want of space: give back, in the background, what deleted keys
     * still take; `deletes` were written since the last such call. Or (not `low`) space is there
     * again: as usual. Under the write lock. May be NULL. */
    void (*reclaim)(struct engine *engine, bool low, uint64_t deletes);
    /* Fill the levels; the counters are already there. */
    void (*gauges)(struct engine *engine, struct engine_gauges *gauges);
};

struct engine {
    uint32_t magic;
    const struct engine_ops *ops;
    uint64_t reserve_bytes;
    uint64_t (*clock_ns)(void *context);
    void *clock_context;
    pthread_mutex_t write_lock; /* held over a whole engine_write() */
    /* under write_lock */
    bool failed; /* after -EIO */
    bool low;    /* something was refused for want of space, nothing admitted since */
    uint64_t deletes_unclaimed; /* operations other than puts since `reclaim` was last called */
    pthread_mutex_t state_lock; /* over the fields below, never over a call of `ops` */
    struct engine_gauges counters;
    char error[ENGINE_ERROR_BYTES];
    atomic_uint_fast64_t gets; /* statistics alone: relaxed, pair with nothing */
    atomic_uint_fast64_t scans;
    atomic_uint_fast64_t scanned_keys;
};

/* Initialise the head of an implementation's struct; engine_head_finish() undoes it. */
void engine_head_init(struct engine *engine, const struct engine_ops *ops, uint64_t reserve_bytes,
                      uint64_t (*clock_ns)(void *), void *clock_context);
void engine_head_finish(struct engine *engine);

/* Keep a text for engine_error(). */
void engine_set_error(struct engine *engine, const char *text);

#define ENGINE_RESERVE_BYTES_DEFAULT (128ull << 20)

#endif

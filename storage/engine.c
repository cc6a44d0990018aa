/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The half of an engine that does not depend on how it stores: argument checks, admission by free
 * space, one write at a time, counters, the last error's text.
 *
 * Writes are serialised here rather than left to the engines' own group commit: the committer is
 * the one writer and has grouped already; a second writer (an import) only has to be correct.
 */
#include "storage/engine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "runtime/check.h"
#include "storage/engine_internal.h"

void engine_head_init(struct engine *engine, const struct engine_ops *ops, uint64_t reserve_bytes,
                      uint64_t (*clock_ns)(void *), void *clock_context) {
    engine->magic = ENGINE_MAGIC;
    engine->ops = ops;
    engine->reserve_bytes = reserve_bytes ? reserve_bytes : ENGINE_RESERVE_BYTES_DEFAULT;
    engine->clock_ns = clock_ns;
    engine->clock_context = clock_context;
    engine->failed = false;
    engine->low = false;
    engine->deletes_unclaimed = 0;
    CHECK(pthread_mutex_init(&engine->write_lock, NULL) == 0);
    CHECK(pthread_mutex_init(&engine->state_lock, NULL) == 0);
    engine->counters = (struct engine_gauges){0};
    engine->error[0] = '\0';
    atomic_init(&engine->gets, 0);
    atomic_init(&engine->scans, 0);
    atomic_init(&engine->scanned_keys, 0);
}

void engine_head_finish(struct engine *engine) {
    CHECK(engine->magic == ENGINE_MAGIC);
    engine->magic = 0;
    pthread_mutex_destroy(&engine->write_lock);
    pthread_mutex_destroy(&engine->state_lock);
}

void engine_set_error(struct engine *engine, const char *text) {
    pthread_mutex_lock(&engine->state_lock);
    snprintf(engine->error, sizeof(engine->error), "%s", text);
    pthread_mutex_unlock(&engine->state_lock);
}

void engine_error(struct engine *engine, char *text, size_t capacity) {
    CHECK(engine->magic == ENGINE_MAGIC && capacity > 0);
    pthread_mutex_lock(&engine->state_lock);
    snprintf(text, capacity, "%s", engine->error);
    pthread_mutex_unlock(&engine->state_lock);
}

void engine_close(struct engine *engine) {
    CHECK(engine->magic == ENGINE_MAGIC);
    engine->ops->close(engine);
}

/* ---- writing ------------------------------------------------------------------------------- */

struct admission {
    size_t admitted;
    size_t refused; /* for want of space alone */
    size_t growing; /* admitted although they need all of the reserve to stay free */
    uint64_t operations;
    uint64_t puts;
    uint64_t bytes;
};

/* What must stay free for a batch to be written. */
static uint64_t floor_bytes(const struct engine *engine, const struct write_batch *batch) {
    if (batch->puts == 0)
        return 0;
    return batch->urgency == WRITE_ESSENTIAL ? engine->reserve_bytes / 4 : engine->reserve_bytes;
}

/* Give each batch its result before anything is written. */
static void admit(struct engine *engine, struct write_batch *const batches[], size_t count,
                  struct admission *admission) {
    uint64_t space = engine->ops->space_free(engine);
    for (size_t i = 0; i < count; i++) {
        struct write_batch *batch = batches[i];
        uint64_t floor = floor_bytes(engine, batch);
        uint64_t needed = admission->bytes + batch->size;
        batch->result = batch->error;
        if (!batch->result && floor && (space < floor || space - floor < needed)) {
            batch->result = -ENOSPC;
            admission->refused++;
        }
        if (batch->result)
            continue;
        admission->admitted++;
        admission->growing += floor == engine->reserve_bytes;
        admission->operations += batch->operations;
        admission->puts += batch->puts;
        admission->bytes += batch->size;
    }
}

static unsigned latency_bucket(uint64_t ns) {
    uint64_t us = ns / 1000;
    unsigned bucket = us ? 64u - (unsigned)__builtin_clzll(us) : 0;
    return bucket < ENGINE_LATENCY_BUCKETS ? bucket : ENGINE_LATENCY_BUCKETS - 1;
}

static void count_write(struct engine *engine, const struct admission *admission, int error,
                        enum engine_sync sync, uint64_t ns) {
    pthread_mutex_lock(&engine->state_lock);
    struct engine_gauges *counters = &engine->counters;
    counters->refused_batches += admission->refused;
    if (error) {
        counters->failed_writes++;
    } else if (admission->admitted) {
        counters->writes++;
        counters->batches += admission->admitted;
        counters->operations += admission->operations;
        counters->written_bytes += admission->bytes;
        if (sync == ENGINE_SYNC) {
            counters->syncs++;
            counters->sync_ns += ns;
            counters->sync_latency[latency_bucket(ns)]++;
            if (ns > counters->sync_ns_peak)
                counters->sync_ns_peak = ns;
        }
    }
    if (admission->refused)
        snprintf(engine->error, sizeof(engine->error), "the disk is nearly full");
    pthread_mutex_unlock(&engine->state_lock);
}

/* Let the engine make space as long as it refuses for want of it. */
static void follow_space(struct engine *engine, const struct admission *admission) {
    engine->deletes_unclaimed += admission->operations - admission->puts;
    if (!engine->ops->reclaim)
        return;
    if (admission->refused) {
        engine->low = true;
        engine->ops->reclaim(engine, true, engine->deletes_unclaimed);
        engine->deletes_unclaimed = 0;
    } else if (engine->low && admission->growing) {
        engine->low = false;
        engine->ops->reclaim(engine, false, 0);
    }
}

static uint64_t now_ns(struct engine *engine) {
    return engine->clock_ns ? engine->clock_ns(engine->clock_context) : 0;
}

static int set_results(struct write_batch *const batches[], size_t count, int error) {
    for (size_t i = 0; i < count; i++)
        batches[i]->result = error;
    return error;
}

static int check_bounds(struct write_batch *const batches[], size_t count) {
    if (count > ENGINE_WRITE_BATCHES_MAX)
        return -E2BIG;
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += batches[i]->size;
        if (bytes > ENGINE_WRITE_BYTES_MAX)
            return -E2BIG;
    }
    return 0;
}

int engine_write(struct engine *engine, struct write_batch *const batches[], size_t count,
                 enum engine_sync sync) {
    CHECK(engine->magic == ENGINE_MAGIC);
    int error = check_bounds(batches, count);
    if (error)
        return set_results(batches, count, error);
    pthread_mutex_lock(&engine->write_lock);
    struct admission admission = {0};
    uint64_t began_ns = 0;
    uint64_t took_ns = 0;
    if (engine->failed) {
        error = -EIO;
    } else {
        admit(engine, batches, count, &admission);
        began_ns = now_ns(engine);
        if (admission.admitted || sync == ENGINE_SYNC)
            error = engine->ops->write(engine, batches, count, sync);
        took_ns = now_ns(engine) - began_ns;
        engine->failed = error == -EIO;
        if (!error)
            follow_space(engine, &admission);
    }
    count_write(engine, &admission, error, sync, took_ns);
    pthread_mutex_unlock(&engine->write_lock);
    return error ? set_results(batches, count, error) : 0;
}

/* ---- reading ------------------------------------------------------------------------------- */

int engine_get(struct engine *engine, enum engine_family family, struct engine_bytes key,
               void *buffer, size_t capacity, size_t *size) {
    CHECK(engine->magic == ENGINE_MAGIC);
    CHECK((unsigned)family < ENGINE_FAMILIES && key.size > 0);
    atomic_fetch_add_explicit(&engine->gets, 1, memory_order_relaxed);
    return engine->ops->get(engine, family, key, buffer, capacity, size);
}

int engine_get_cached(struct engine *engine, enum engine_family family, struct engine_bytes key,
                      void *buffer, size_t capacity, size_t *size) {
    CHECK(engine->magic == ENGINE_MAGIC);
    CHECK((unsigned)family < ENGINE_FAMILIES && key.size > 0);
    if (!engine->ops->get_cached)
        return -EAGAIN;
    int error = engine->ops->get_cached(engine, family, key, buffer, capacity, size);
    if (error != -EAGAIN)
        atomic_fetch_add_explicit(&engine->gets, 1, memory_order_relaxed);
    return error;
}

int engine_scan(struct engine *engine, enum engine_family family, struct engine_bytes from,
                struct engine_bytes to, size_t limit, engine_visit_fn *visit, void *context) {
    CHECK(engine->magic == ENGINE_MAGIC);
    CHECK((unsigned)family < ENGINE_FAMILIES && limit <= ENGINE_SCAN_LIMIT_MAX);
    atomic_fetch_add_explicit(&engine->scans, 1, memory_order_relaxed);
    int visited = engine->ops->scan(engine, family, from, to, limit, visit, context);
    if (visited > 0)
        atomic_fetch_add_explicit(&engine->scanned_keys, (uint64_t)visited, memory_order_relaxed);
    return visited;
}

/* ---- whole ranges ------------------------------------------------------------------------------
 */

int engine_source_next(struct engine_source *source, struct engine_bytes *key,
                       struct engine_bytes *value) {
    int got = source->next(source->context, key, value);
    if (got <= 0)
        return got;
    struct engine_bytes last = {source->last, source->last_size};
    if (key->size == 0 || key->size > ENGINE_KEY_BYTES_MAX ||
        value->size > ENGINE_VALUE_BYTES_MAX || engine_compare(*key, last) <= 0 ||
        engine_compare(*key, source->from) < 0 || engine_compare(*key, source->to) >= 0)
        return -EINVAL;
    memcpy(source->last, key->data, key->size);
    source->last_size = key->size;
    return 1;
}

int engine_export_range(struct engine *engine, struct engine_bytes from, struct engine_bytes to,
                        engine_export_fn *visit, void *context) {
    CHECK(engine->magic == ENGINE_MAGIC && from.size > 0 && to.size > 0);
    return engine->ops->export_range(engine, from, to, visit, context);
}

int engine_replace_range(struct engine *engine, enum engine_family family, struct engine_bytes from,
                         struct engine_bytes to, engine_next_fn *next, void *context) {
    CHECK(engine->magic == ENGINE_MAGIC && (unsigned)family < ENGINE_FAMILIES);
    if (!from.size || from.size > ENGINE_KEY_BYTES_MAX || to.size > ENGINE_KEY_BYTES_MAX ||
        engine_compare(from, to) >= 0)
        return -EINVAL;
    struct engine_source source = {.next = next, .context = context, .from = from, .to = to};
    int error = -EIO;
    pthread_mutex_lock(&engine->write_lock);
    if (!engine->failed) {
        error = -ENOSPC;
        if (engine->ops->space_free(engine) >= engine->reserve_bytes)
            error = engine->ops->replace_range(engine, family, from, to, &source);
        engine->failed = error == -EIO;
    }
    pthread_mutex_unlock(&engine->write_lock);
    return error;
}

/* ---- gauges -------------------------------------------------------------------------------------
 */

void engine_gauges(struct engine *engine, struct engine_gauges *gauges) {
    CHECK(engine->magic == ENGINE_MAGIC);
    pthread_mutex_lock(&engine->state_lock);
    *gauges = engine->counters;
    pthread_mutex_unlock(&engine->state_lock);
    gauges->gets = atomic_load_explicit(&engine->gets, memory_order_relaxed);
    gauges->scans = atomic_load_explicit(&engine->scans, memory_order_relaxed);
    gauges->scanned_keys = atomic_load_explicit(&engine->scanned_keys, memory_order_relaxed);
    gauges->space_reserve_bytes = engine->reserve_bytes;
    gauges->space_free_bytes = engine->ops->space_free(engine);
    engine->ops->gauges(engine, gauges);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine in memory: a sorted map per family, an undo list since the last sync, and the batch
 * whose sync failed ("limbo": on a disk it may or may not be).
 *
 * Invariants: undoing the whole list gives what the last sync saw; `used_bytes` is the sum of all
 * keys' and values' sizes; the map lock is never held while a pause runs, so a test may look at the
 * store while a sync is slow.
 */
#include "storage/engine_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/check.h"
#include "storage/engine_internal.h"
#include "storage/sorted_map.h"

/* Beyond this much that was never synced the simulated system has written it back by itself. */
#define UNSYNCED_BYTES_MAX (64u << 20)

struct undo {
    uint64_t write; /* which write since the last sync, from 0 */
    enum engine_family family;
    struct sorted_value *key;
    struct sorted_value *old; /* NULL: the key was not there */
};

struct engine_memory {
    struct engine head;
    struct engine_memory_options options;
    pthread_mutex_t map_lock; /* over everything below */
    struct sorted_map *maps[ENGINE_FAMILIES];
    uint64_t used_bytes;
    struct undo *undo;
    size_t undo_count;
    size_t undo_capacity;
    uint64_t undo_bytes;
    uint64_t writes_unsynced;
    struct write_batch limbo;
    struct engine_memory_fault fault;
};

static struct engine_memory *from_head(struct engine *engine) {
    return (struct engine_memory *)engine; /* the head is the first field */
}

/* ---- changes and undoing them -------------------------------------------------------------- */

/* Change one key; the sizes follow. The replaced value is the caller's. */
static struct sorted_value *change(struct engine_memory *memory, enum engine_family family,
                                   struct engine_bytes key, struct sorted_value *value) {
    if (value)
        memory->used_bytes += key.size + value->size;
    struct sorted_value *old = sorted_map_swap(memory->maps[family], key, value);
    if (old)
        memory->used_bytes -= key.size + old->size;
    return old;
}

static void remember(struct engine_memory *memory, enum engine_family family,
                     struct engine_bytes key, struct sorted_value *old) {
    if (memory->undo_count == memory->undo_capacity) {
        memory->undo_capacity = memory->undo_capacity ? memory->undo_capacity * 2 : 64;
        memory->undo = realloc(memory->undo, memory->undo_capacity * sizeof(memory->undo[0]));
        CHECK(memory->undo != NULL);
    }
    memory->undo[memory->undo_count++] =
        (struct undo){memory->writes_unsynced, family, sorted_value_create(key), old};
    memory->undo_bytes += sizeof(struct undo) + key.size + (old ? old->size : 0);
}

static void forget_undo(struct engine_memory *memory) {
    for (size_t i = 0; i < memory->undo_count; i++) {
        free(memory->undo[i].key);
        free(memory->undo[i].old);
    }
    memory->undo_count = 0;
    memory->undo_bytes = 0;
    memory->writes_unsynced = 0;
}

/* Take back every write from number `kept` on. */
static void unwind(struct engine_memory *memory, uint64_t kept) {
    while (memory->undo_count && memory->undo[memory->undo_count - 1].write >= kept) {
        struct undo *undo = &memory->undo[--memory->undo_count];
        struct engine_bytes key = {undo->key->bytes, undo->key->size};
        free(change(memory, undo->family, key, undo->old));
        free(undo->key);
    }
}

static void apply_one(struct engine_memory *memory, enum engine_family family,
                      struct engine_bytes key, struct sorted_value *value) {
    remember(memory, family, key, change(memory, family, key, value));
}

static void apply_range(struct engine_memory *memory, const struct write_operation *operation) {
    struct sorted_map *map = memory->maps[operation->family];
    for (;;) {
        const struct sorted_node *node = sorted_map_seek(map, operation->first);
        if (!node || engine_compare(sorted_node_key(node), operation->second) >= 0)
            return;
        /* The node goes with the change, so its key is copied before. */
        struct sorted_value *key = sorted_value_create(sorted_node_key(node));
        apply_one(memory, operation->family, (struct engine_bytes){key->bytes, key->size}, NULL);
        free(key);
    }
}

static void apply(struct engine_memory *memory, const struct write_batch *batch) {
    struct write_operation operation;
    for (size_t offset = 0; write_batch_next(batch, &offset, &operation);) {
        if (operation.kind == WRITE_DELETE_RANGE)
            apply_range(memory, &operation);
        else if (operation.kind == WRITE_PUT)
            apply_one(memory, operation.family, operation.first,
                      sorted_value_create(operation.second));
        else
            apply_one(memory, operation.family, operation.first, NULL);
    }
}

/* ---- the table ----------------------------------------------------------------------------- */

static void pause_call(struct engine_memory *memory, enum engine_call call) {
    pthread_mutex_lock(&memory->map_lock);
    struct engine_memory_fault fault = memory->fault;
    pthread_mutex_unlock(&memory->map_lock);
    if (fault.pause)
        fault.pause(fault.pause_context, call);
}

/* Whether this sync is the one that fails; counts it. */
static bool sync_fails(struct engine_memory *memory) {
    int64_t *left = &memory->fault.sync_fails_after;
    if (*left < 0)
        return false;
    return (*left)-- == 0;
}

static void put_in_limbo(struct engine_memory *memory, struct write_batch *const batches[],
                         size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (batches[i]->result == 0)
            CHECK(write_batch_append(&memory->limbo, batches[i]) == 0);
    }
}

static int memory_write(struct engine *engine, struct write_batch *const batches[], size_t count,
                        enum engine_sync sync) {
    struct engine_memory *memory = from_head(engine);
    pause_call(memory, ENGINE_CALL_WRITE);
    if (sync == ENGINE_SYNC)
        pause_call(memory, ENGINE_CALL_SYNC);
    int error = 0;
    pthread_mutex_lock(&memory->map_lock);
    if (memory->fault.gone) {
        error = -EIO;
    } else if (sync == ENGINE_SYNC && sync_fails(memory)) {
        put_in_limbo(memory, batches, count);
        error = -EIO;
    } else {
        for (size_t i = 0; i < count; i++) {
            if (batches[i]->result == 0)
                apply(memory, batches[i]);
        }
        memory->writes_unsynced++;
        if (sync == ENGINE_SYNC || memory->undo_bytes > UNSYNCED_BYTES_MAX)
            forget_undo(memory);
    }
    pthread_mutex_unlock(&memory->map_lock);
    if (error)
        engine_set_error(engine, "a simulated sync failed");
    return error;
}

static int memory_get(struct engine *engine, enum engine_family family, struct engine_bytes key,
                      void *buffer, size_t capacity, size_t *size) {
    struct engine_memory *memory = from_head(engine);
    pause_call(memory, ENGINE_CALL_GET);
    int error = -ENOENT;
    pthread_mutex_lock(&memory->map_lock);
    const struct sorted_node *node = sorted_map_seek(memory->maps[family], key);
    if (node && engine_compare(sorted_node_key(node), key) == 0) {
        struct engine_bytes value = sorted_node_value(node);
        error = value.size <= capacity ? 0 : -ENOBUFS;
        if (!error && value.size)
            memcpy(buffer, value.data, value.size);
        *size = value.size;
    }
    pthread_mutex_unlock(&memory->map_lock);
    return error;
}

static int memory_scan(struct engine *engine, enum engine_family family, struct engine_bytes from,
                       struct engine_bytes to, size_t limit, engine_visit_fn *visit,
                       void *context) {
    struct engine_memory *memory = from_head(engine);
    pause_call(memory, ENGINE_CALL_SCAN);
    int visited = 0;
    int verdict = 0;
    pthread_mutex_lock(&memory->map_lock);
    const struct sorted_node *node = sorted_map_seek(memory->maps[family], from);
    for (; node && verdict == 0 && (size_t)visited < limit; node = sorted_node_next(node)) {
        struct engine_bytes key = sorted_node_key(node);
        if (to.size && engine_compare(key, to) >= 0)
            break;
        verdict = visit(context, key, sorted_node_value(node));
        visited++;
    }
    pthread_mutex_unlock(&memory->map_lock);
    return verdict < 0 ? verdict : visited;
}

static int memory_export(struct engine *engine, struct engine_bytes from, struct engine_bytes to,
                         engine_export_fn *visit, void *context) {
    struct engine_memory *memory = from_head(engine);
    pause_call(memory, ENGINE_CALL_SCAN);
    int verdict = 0;
    pthread_mutex_lock(&memory->map_lock);
    for (int family = ENGINE_META + 1; family < ENGINE_FAMILIES && verdict == 0; family++) {
        const struct sorted_node *node = sorted_map_seek(memory->maps[family], from);
        for (; node && verdict == 0; node = sorted_node_next(node)) {
            struct engine_bytes key = sorted_node_key(node);
            if (engine_compare(key, to) >= 0)
                break;
            verdict = visit(context, (enum engine_family)family, key, sorted_node_value(node));
        }
    }
    pthread_mutex_unlock(&memory->map_lock);
    return verdict < 0 ? verdict : 0;
}

/* All of the source is read into a batch before anything changes. */
static int memory_replace(struct engine *engine, enum engine_family family,
                          struct engine_bytes from, struct engine_bytes to,
                          struct engine_source *source) {
    struct write_batch batch;
    write_batch_init(&batch, SIZE_MAX / 2);
    write_batch_delete_range(&batch, family, from, to);
    struct engine_bytes key;
    struct engine_bytes value;
    int got;
    while ((got = engine_source_next(source, &key, &value)) > 0)
        write_batch_put(&batch, family, key, value);
    struct write_batch *batches[] = {&batch};
    int error = got < 0 ? got : batch.error;
    if (!error)
        error = memory_write(engine, batches, 1, ENGINE_SYNC);
    write_batch_finish(&batch);
    return error;
}

static uint64_t memory_space_free(struct engine *engine) {
    struct engine_memory *memory = from_head(engine);
    pthread_mutex_lock(&memory->map_lock);
    uint64_t space = memory->fault.space_bytes;
    uint64_t used = memory->used_bytes;
    pthread_mutex_unlock(&memory->map_lock);
    if (!space)
        return UINT64_MAX;
    return used < space ? space - used : 0;
}

static void memory_gauges(struct engine *engine, struct engine_gauges *gauges) {
    struct engine_memory *memory = from_head(engine);
    pthread_mutex_lock(&memory->map_lock);
    gauges->memtable_bytes = memory->used_bytes;
    const struct sorted_node *node =
        sorted_map_seek(memory->maps[ENGINE_MAIL], (struct engine_bytes){NULL, 0});
    for (; node; node = sorted_node_next(node))
        gauges->mail_keys++;
    pthread_mutex_unlock(&memory->map_lock);
}

static void memory_close(struct engine *engine) {
    struct engine_memory *memory = from_head(engine);
    forget_undo(memory);
    free(memory->undo);
    for (size_t i = 0; i < ENGINE_FAMILIES; i++)
        sorted_map_destroy(memory->maps[i]);
    write_batch_finish(&memory->limbo);
    pthread_mutex_destroy(&memory->map_lock);
    engine_head_finish(engine);
    free(memory);
}

static const struct engine_ops memory_ops = {
    .close = memory_close,
    .write = memory_write,
    .get = memory_get,
    .scan = memory_scan,
    .export_range = memory_export,
    .replace_range = memory_replace,
    .space_free = memory_space_free,
    .gauges = memory_gauges,
};

static void clear_faults(struct engine_memory *memory) {
    memory->fault = (struct engine_memory_fault){
        .space_bytes = memory->options.space_bytes,
        .sync_fails_after = -1,
    };
}

int engine_memory_open(const struct engine_memory_options *options, struct engine **engine) {
    struct engine_memory *memory = calloc(1, sizeof(*memory));
    if (!memory)
        return -ENOMEM;
    engine_head_init(&memory->head, &memory_ops, options->reserve_bytes, options->clock_ns,
                     options->clock_context);
    memory->options = *options;
    CHECK(pthread_mutex_init(&memory->map_lock, NULL) == 0);
    for (size_t i = 0; i < ENGINE_FAMILIES; i++)
        memory->maps[i] = sorted_map_create(options->seed + i);
    write_batch_init(&memory->limbo, SIZE_MAX / 2); /* a range may be longer than a write */
    clear_faults(memory);
    *engine = &memory->head;
    return 0;
}

/* ---- crashes, faults ----------------------------------------------------------------------- */

static uint64_t mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

void engine_memory_crash(struct engine *engine, enum engine_crash mode, uint64_t seed) {
    struct engine_memory *memory = from_head(engine);
    CHECK(engine->ops == &memory_ops);
    uint64_t total = memory->writes_unsynced + (memory->limbo.operations ? 1 : 0);
    uint64_t kept = mode == ENGINE_CRASH_KEEP ? total : 0;
    if (mode == ENGINE_CRASH_TORN)
        kept = mix(seed) % (total + 1);
    unwind(memory, kept);
    if (kept > memory->writes_unsynced)
        apply(memory, &memory->limbo);
    forget_undo(memory);
    write_batch_clear(&memory->limbo);
    clear_faults(memory);
    engine_head_finish(engine);
    engine_head_init(engine, &memory_ops, memory->options.reserve_bytes, memory->options.clock_ns,
                     memory->options.clock_context);
}

void engine_memory_fault(struct engine *engine, const struct engine_memory_fault *fault) {
    struct engine_memory *memory = from_head(engine);
    CHECK(engine->ops == &memory_ops);
    pthread_mutex_lock(&memory->map_lock);
    if (fault)
        memory->fault = *fault;
    else
        clear_faults(memory);
    pthread_mutex_unlock(&memory->map_lock);
}

static uint64_t hash_bytes(uint64_t hash, struct engine_bytes bytes) {
    hash = mix(hash ^ bytes.size);
    const uint8_t *at = bytes.data;
    for (size_t i = 0; i < bytes.size; i++)
        hash = (hash ^ at[i]) * 0x100000001b3u;
    return hash;
}

uint64_t engine_memory_hash(struct engine *engine) {
    struct engine_memory *memory = from_head(engine);
    CHECK(engine->ops == &memory_ops);
    uint64_t hash = 0xcbf29ce484222325u;
    pthread_mutex_lock(&memory->map_lock);
    for (size_t i = 0; i < ENGINE_FAMILIES; i++) {
        const struct sorted_node *node = sorted_map_seek(memory->maps[i], (struct engine_bytes){0});
        for (hash = mix(hash + i); node; node = sorted_node_next(node)) {
            hash = hash_bytes(hash, sorted_node_key(node));
            hash = hash_bytes(hash, sorted_node_value(node));
        }
    }
    pthread_mutex_unlock(&memory->map_lock);
    return hash;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits are words of the node that its shards read without a lock: each is stored at once and
 * whole, and takes effect where it is read next.
 */
#include "tools/node/live_config.h"

#include "runtime/log.h"
#include "tools/node/config_keys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_BYTES 256u

void log_level_apply(const char *name) {
    static const char *const names[] = {[LOG_DEBUG] = "debug",
                                        [LOG_INFO] = "info",
                                        [LOG_WARNING] = "warning",
                                        [LOG_ERROR] = "error"};
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(names[i], name) == 0)
            log_level_set((enum log_level)i);
}

static bool is_limit(const struct config_key *key) {
    size_t begin = offsetof(struct config, limits);
    return key->offset >= begin && key->offset < begin + sizeof(struct node_limits);
}

static bool is_live(const struct config_key *key) {
    if (strcmp(key->name, "connections_per_address") == 0 ||
        strcmp(key->name, "accepts_per_second") == 0)
        return false; /* their table is made at the start */
    return is_limit(key) || strcmp(key->name, "log_level") == 0;
}

/* Takes the key's value over from `from`, into what is in force and the node that runs. */
static void apply(struct live_config *live, const struct config_key *key,
                  const struct config *from) {
    const char *source = (const char *)from + key->offset;
    memcpy((char *)&live->in_force + key->offset, source, key->bytes);
    if (!is_limit(key)) {
        log_level_apply(live->in_force.log_level);
        return;
    }
    char *field = (char *)&live->node->limits + (key->offset - offsetof(struct config, limits));
    if (key->bytes == sizeof(uint64_t))
        __atomic_store_n((uint64_t *)field, *(const uint64_t *)source, __ATOMIC_RELAXED);
    else if (key->bytes == sizeof(uint32_t))
        __atomic_store_n((uint32_t *)field, *(const uint32_t *)source, __ATOMIC_RELAXED);
    else
        __atomic_store_n((bool *)field, *(const bool *)source, __ATOMIC_RELAXED);
}

/* What the file says now, on the heap: it is large. NULL: it can't be read, and `said` says why. */
static struct config *read_file(const struct live_config *live, char *said, size_t bytes) {
    struct config *config = calloc(1, sizeof(*config));
    CHECK(config);
    if (config_read(live->path, live->node_name, config, said, bytes) == 0)
        return config;
    free(config);
    return NULL;
}

static int list(void *context, void (*visit)(void *visitor, const struct node_config_key *key),
                void *visitor, char *said, size_t bytes) {
    struct live_config *live = context;
    char value[VALUE_BYTES], file_value[VALUE_BYTES];
    struct config *file = read_file(live, said, bytes);
    pthread_mutex_lock(&live->lock);
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        config_value_text(key, &live->in_force, value, sizeof(value));
        if (file)
            config_value_text(key, file, file_value, sizeof(file_value));
        const struct node_config_key shown = {key->name, value, file ? file_value : NULL,
                                              is_live(key)};
        visit(visitor, &shown);
    }
    pthread_mutex_unlock(&live->lock);
    free(file);
    return 0;
}

static int change(struct live_config *live, const struct config_key *key, const char *text,
                  char *said, size_t bytes) {
    struct config *changed = malloc(sizeof(*changed));
    char before[VALUE_BYTES], after[VALUE_BYTES];
    CHECK(changed);
    *changed = live->in_force;
    const char *reason = config_value_set(key, text, changed);
    if (!reason && changed->limits.hold_ms_min > changed->limits.hold_ms_max)
        reason = "hold_min would be greater than hold_max";
    if (reason) {
        snprintf(said, bytes, "%s: %s", key->name, reason);
    } else {
        config_value_text(key, &live->in_force, before, sizeof(before));
        config_value_text(key, changed, after, sizeof(after));
        apply(live, key, changed);
        snprintf(said, bytes, "%s was %s and is %s until the node ends; the file keeps its own",
                 key->name, before, after);
    }
    free(changed);
    return reason ? -EINVAL : 0;
}

static int set(void *context, const char *name, const char *text, char *said, size_t bytes) {
    struct live_config *live = context;
    const struct config_key *key = config_key_find(name);
    if (!key) {
        snprintf(said, bytes, "there is no setting \"%.64s\"; \"config\" lists them", name);
        return -ENOENT;
    }
    if (!is_live(key)) {
        snprintf(said, bytes, "%s is fixed while the node runs: change the file and restart it",
                 key->name);
        return -EPERM;
    }
    pthread_mutex_lock(&live->lock);
    int error = change(live, key, text, said, bytes);
    pthread_mutex_unlock(&live->lock);
    return error;
}

static bool differs(const struct config_key *key, const struct config *a, const struct config *b) {
    char first[VALUE_BYTES], second[VALUE_BYTES];
    config_value_text(key, a, first, sizeof(first));
    config_value_text(key, b, second, sizeof(second));
    return strcmp(first, second) != 0;
}

static int reload(void *context, char *said, size_t bytes) {
    struct live_config *live = context;
    struct config *file = read_file(live, said, bytes);
    unsigned changed = 0, waiting = 0;
    size_t used = 0;
    if (!file)
        return -EINVAL;
    pthread_mutex_lock(&live->lock);
    said[0] = '\0';
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        if (!differs(key, &live->in_force, file))
            continue;
        waiting += !is_live(key);
        if (!is_live(key))
            continue;
        apply(live, key, file);
        if (used < bytes)
            used += (size_t)snprintf(said + used, bytes - used, "%s%s",
                                     changed ? ", " : "changed: ", key->name);
        changed++;
    }
    pthread_mutex_unlock(&live->lock);
    free(file);
    if (!changed)
        used = (size_t)snprintf(said, bytes, "nothing was changed");
    if (waiting && used < bytes)
        snprintf(said + used, bytes - used, "; %u more need a restart of the node, see \"config\"",
                 waiting);
    return 0;
}

void live_config_begin(struct live_config *live, const struct config *config, const char *path,
                       const char *node_name, struct node *node) {
    *live = (struct live_config){.in_force = *config,
                                 .path = path,
                                 .node_name = node_name,
                                 .node = node,
                                 .ops = {live, list, set, reload}};
    pthread_mutex_init(&live->lock, NULL);
    node->config = &live->ops;
}

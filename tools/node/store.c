/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/node/store.h"

#include "storage/engine_rocksdb.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define BUSY_TRIES 40
#define BUSY_PAUSE_MS 50

static uint64_t clock_ns(void *context) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Every missing folder of the path, as mkdir -p does. */
static int folder_make(const char *path) {
    char part[CONFIG_PATH_MAX];
    snprintf(part, sizeof(part), "%s", path);
    for (char *slash = part + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        if (mkdir(part, 0700) && errno != EEXIST)
            return -errno;
        *slash = '/';
    }
    return mkdir(part, 0700) && errno != EEXIST ? -errno : 0;
}

int store_open(const struct config *config, struct engine **engine, struct meta *meta, char *error,
               size_t error_bytes) {
    char path[CONFIG_PATH_MAX + 8], text[256] = "";
    int result = folder_make(config->data);
    if (result) {
        snprintf(error, error_bytes, "%s can't be made: %s", config->data, strerror(-result));
        return result;
    }
    snprintf(path, sizeof(path), "%s/store", config->data);
    struct engine_rocksdb_options options = {
        .memory_bytes_max = config->store_memory_bytes,
        .reserve_bytes = config->store_reserve_bytes,
        .clock_ns = clock_ns,
    };
    result = engine_rocksdb_open(path, &options, engine, text, sizeof(text));
    /* A node that was killed a moment ago may not have left yet. */
    const struct timespec pause = {0, BUSY_PAUSE_MS * 1000000};
    for (unsigned i = 0; result == -EBUSY && i < BUSY_TRIES; i++) {
        nanosleep(&pause, NULL);
        result = engine_rocksdb_open(path, &options, engine, text, sizeof(text));
    }
    if (result == -EBUSY)
        snprintf(error, error_bytes, "%s is in use by another node", config->data);
    else if (result)
        snprintf(error, error_bytes, "the store in %s can't be opened: %s", config->data,
                 text[0] ? text : strerror(-result));
    if (result)
        return result;
    uint64_t format = 0;
    result = meta_begin(*engine, meta, &format);
    if (result == 0)
        return 0;
    if (result == -EPROTONOSUPPORT)
        snprintf(error, error_bytes, "%s was written by a newer version (format %" PRIu64 ")",
                 config->data, format);
    else
        snprintf(error, error_bytes, "the store in %s can't be read: %s", config->data,
                 strerror(-result));
    engine_close(*engine);
    return result;
}

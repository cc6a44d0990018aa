/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/node/import.h"

#include "storage/bulk.h"
#include "storage/meta.h"
#include "tools/node/store.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES_MAX 4096
#define PROGRESS_LINES 10000

struct import {
    const char *path;
    FILE *file;
    struct bulk bulk;
    uint64_t lines, accounts, skipped;
    /* What this batch holds already, since look-ups see only what is written. */
    struct import_seen *seen;
    size_t seen_count;
    bool progress;
};

struct import_seen {
    uint8_t key[FORMAT_KEY_BYTES];
    char phone[FORMAT_PHONE_DIGITS_MAX + 1];
};
#define SEEN_MAX 2048

/* The account of one line; NULL or the reason why there is none. */
static const char *line_parse(const char *line, struct import_seen *who, char *name,
                              size_t name_bytes) {
    json_error_t at;
    const char *phone, *text, *key, *reason = NULL;
    size_t key_bytes;
    json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, &at);
    if (!object)
        return "no JSON object";
    if (json_unpack(object, "{s:s, s:s, s:s}", "phone", &phone, "name", &text, "device_public_key",
                    &key))
        reason = "phone, name and device_public_key are wanted, as strings";
    else if (phone[0] != '+' || !format_phone_valid(phone + 1))
        reason = "the phone is not '+' and 7 to 15 digits";
    else if (strlen(text) >= name_bytes)
        reason = "the name is longer than 100 bytes";
    else if (sodium_hex2bin(who->key, sizeof(who->key), key, strlen(key), NULL, &key_bytes, NULL) ||
             key_bytes != sizeof(who->key) || strlen(key) != 2 * sizeof(who->key))
        reason = "device_public_key is not 64 hex digits";
    if (!reason) {
        snprintf(who->phone, sizeof(who->phone), "%s", phone + 1);
        snprintf(name, name_bytes, "%s", text);
    }
    json_decref(object);
    return reason;
}

static bool import_known(const struct import *import, const struct import_seen *who) {
    uint64_t user;
    uint32_t device;
    for (size_t i = 0; i < import->seen_count; i++)
        if (memcmp(import->seen[i].key, who->key, sizeof(who->key)) == 0 ||
            strcmp(import->seen[i].phone, who->phone) == 0)
            return true;
    return account_find_phone(import->bulk.engine, who->phone, &user) != -ENOENT ||
           account_find_key(import->bulk.engine, who->key, &user, &device) != -ENOENT;
}

static int refused(const struct import *import, int error) {
    if (error)
        fprintf(stderr, "tern-node: %s:%" PRIu64 ": the store refuses: %s\n", import->path,
                import->lines, strerror(-error));
    return error;
}

static int import_add(struct import *import, const struct import_seen *who, const char *name) {
    int result = bulk_add(&import->bulk, who->phone, name, who->key);
    if (result < 0)
        return refused(import, result);
    import->accounts++;
    import->seen[import->seen_count++] = *who;
    if (result == 0 && import->seen_count == SEEN_MAX) {
        result = bulk_write(&import->bulk, ENGINE_NO_SYNC);
        if (result)
            return refused(import, result);
        result = 1;
    }
    if (result)
        import->seen_count = 0;
    return 0;
}

static int import_lines(struct import *import) {
    char line[LINE_BYTES_MAX], name[101];
    while (fgets(line, sizeof(line), import->file)) {
        import->lines++;
        if (line[strspn(line, " \t\r\n")] == '\0')
            continue;
        struct import_seen who = {0};
        const char *reason = strlen(line) == sizeof(line) - 1
                                 ? "the line is too long"
                                 : line_parse(line, &who, name, sizeof(name));
        if (reason) {
            fprintf(stderr, "tern-node: %s:%" PRIu64 ": %s\n", import->path, import->lines, reason);
            return -EINVAL;
        }
        int error = 0;
        if (import_known(import, &who))
            import->skipped++;
        else
            error = import_add(import, &who, name);
        if (error)
            return error;
        if (import->progress && import->lines % PROGRESS_LINES == 0)
            fprintf(stderr, "\r%" PRIu64 " lines, %" PRIu64 " accounts", import->lines,
                    import->accounts);
    }
    return ferror(import->file) ? -EIO : 0;
}

static int import_all(struct import *import) {
    import->seen = calloc(SEEN_MAX, sizeof(*import->seen));
    if (!import->seen)
        abort();
    int error = import_lines(import);
    int flushed = refused(import, bulk_end(&import->bulk));
    if (import->progress)
        fprintf(stderr, "\r\033[K");
    printf("%" PRIu64 " accounts imported, %" PRIu64 " skipped (known already)\n", import->accounts,
           import->skipped);
    free(import->seen);
    return error ? error : flushed;
}

int import_run(const struct config *config, const char *path) {
    struct import import = {.path = path, .progress = isatty(STDERR_FILENO)};
    struct meta meta;
    char error[512];
    import.file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (!import.file) {
        fprintf(stderr, "tern-node: %s: %s\n", path, strerror(errno));
        return 66; /* EX_NOINPUT */
    }
    struct engine *engine;
    int result = store_open(config, &engine, &meta, error, sizeof(error));
    if (result) {
        fprintf(stderr, "tern-node: %s%s\n", error,
                result == -EBUSY ? "; stop it for the import" : "");
        return 69; /* EX_UNAVAILABLE */
    }
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    bulk_begin(&import.bulk, engine, meta.user_high,
               (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000);
    result = import_all(&import);
    engine_close(engine);
    fclose(import.file);
    return result ? 65 : 0; /* EX_DATAERR */
}

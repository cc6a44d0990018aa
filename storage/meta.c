/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node's own numbers, in ENGINE_META under text keys, so that a person who looks finds them.
 */
#include "storage/meta.h"

#include <errno.h>
#include <string.h>

#include "runtime/check.h"
#include "storage/format.h"

static const char key_format[] = "format";
static const char key_boot[] = "boot";
static const char key_user_high[] = "user_high";

static struct engine_bytes text(const char *key) {
    return (struct engine_bytes){key, strlen(key)};
}

/* A number, 0 when it is not there yet. */
static int read_number(struct engine *engine, const char *key, uint64_t *number) {
    uint8_t bytes[RECORD_NUMBER_SIZE];
    size_t size = 0;
    int error = engine_get(engine, ENGINE_META, text(key), bytes, sizeof(bytes), &size);
    if (error == -ENOENT) {
        *number = 0;
        return 0;
    }
    if (error == -ENOBUFS)
        return -EBADMSG;
    return error ? error : record_number_decode((struct engine_bytes){bytes, size}, number);
}

static int put_number(struct write_batch *batch, const char *key, uint64_t number) {
    uint8_t bytes[RECORD_NUMBER_SIZE];
    record_number_encode(number, bytes);
    return write_batch_put(batch, ENGINE_META, text(key),
                           (struct engine_bytes){bytes, sizeof(bytes)});
}

int meta_put_user_high(struct write_batch *batch, uint64_t high) {
    return put_number(batch, key_user_high, high);
}

static struct engine_bytes active_key(unsigned parity) {
    return text(parity ? "active/1" : "active/0");
}

int meta_put_active(struct write_batch *batch, const struct record_active *active) {
    uint8_t bytes[RECORD_ACTIVE_SIZE];
    record_active_encode(active, bytes);
    return write_batch_put(batch, ENGINE_META, active_key(active->day % 2),
                           (struct engine_bytes){bytes, sizeof(bytes)});
}

int meta_read_active(struct engine *engine, unsigned parity, struct record_active *active) {
    uint8_t bytes[RECORD_ACTIVE_SIZE];
    size_t size = 0;
    int error = engine_get(engine, ENGINE_META, active_key(parity), bytes, sizeof(bytes), &size);
    if (error == -ENOENT) {
        *active = (struct record_active){0};
        return 0;
    }
    if (error == -ENOBUFS)
        return -EBADMSG;
    return error ? error : record_active_decode((struct engine_bytes){bytes, size}, active);
}

/* Make the start and, in a new store, the format durable. A nearly full disk must not keep a node
 * from starting, since only a running one can hand out and delete mail. */
static int write_boot(struct engine *engine, uint64_t boot) {
    uint8_t buffer[256];
    struct write_batch batch;
    write_batch_init_at(&batch, buffer, sizeof(buffer));
    batch.urgency = WRITE_ESSENTIAL;
    put_number(&batch, key_format, FORMAT_VERSION);
    put_number(&batch, key_boot, boot);
    CHECK(batch.error == 0);
    struct write_batch *batches[] = {&batch};
    int error = engine_write(engine, batches, 1, ENGINE_SYNC);
    return error ? error : batch.result;
}

int meta_begin(struct engine *engine, struct meta *meta, uint64_t *format) {
    uint64_t found_format;
    struct meta found;
    int error = read_number(engine, key_format, &found_format);
    if (error)
        return error;
    if (found_format > FORMAT_VERSION) {
        if (format)
            *format = found_format;
        return -EPROTONOSUPPORT;
    }
    if ((error = read_number(engine, key_boot, &found.boot)) != 0 ||
        (error = read_number(engine, key_user_high, &found.user_high)) != 0)
        return error;
    found.boot++;
    error = write_boot(engine, found.boot);
    if (error)
        return error;
    *meta = found;
    if (format)
        *format = FORMAT_VERSION;
    return 0;
}

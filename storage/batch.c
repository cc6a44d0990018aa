/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Write batches: a head, then operations back to back in one growable buffer, each a small head of
 * its own and the bytes of its key and value. Byte order is the machine's: it never leaves the
 * process. The head repeats the struct's counts, so that the bytes alone can be a batch again.
 *
 * The head has fixed sizes, so an operation can be checked against the bound before a byte is
 * copied, and read back without parsing. The buffer doubles from WRITE_BATCH_FIRST bytes, since
 * most batches are one mail.
 */
#include "storage/batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/check.h"

#define WRITE_BATCH_FIRST 512

#define WRITE_BATCH_MAGIC 0x77626131u /* "wba1" */

struct batch_head {
    uint32_t magic;
    uint32_t operations;
    uint32_t puts;
    uint32_t urgency;
};
_Static_assert(sizeof(struct batch_head) == WRITE_BATCH_HEAD_BYTES, "no padding in a batch");

struct operation_head {
    uint8_t kind;
    uint8_t family;
    uint16_t first_size;
    uint32_t second_size;
};
_Static_assert(sizeof(struct operation_head) == 8, "no padding in a batch");
_Static_assert(ENGINE_KEY_BYTES_MAX <= UINT16_MAX, "a key's size fits its field");

void write_batch_init(struct write_batch *batch, size_t bytes_max) {
    *batch = (struct write_batch){.bytes_max = bytes_max};
}

void write_batch_init_at(struct write_batch *batch, void *buffer, size_t capacity) {
    *batch = (struct write_batch){
        .bytes = buffer, .capacity = capacity, .bytes_max = capacity, .borrowed = true};
}

void write_batch_finish(struct write_batch *batch) {
    if (!batch->borrowed)
        free(batch->bytes);
    *batch = (struct write_batch){.bytes_max = batch->bytes_max, .result = batch->result};
}

struct engine_bytes write_batch_bytes(struct write_batch *batch) {
    CHECK(batch->error == 0);
    if (!batch->operations)
        return (struct engine_bytes){NULL, 0};
    struct batch_head head = {WRITE_BATCH_MAGIC, batch->operations, batch->puts, batch->urgency};
    memcpy(batch->bytes, &head, sizeof(head));
    return (struct engine_bytes){batch->bytes, batch->size};
}

void write_batch_view(struct write_batch *batch, struct engine_bytes bytes) {
    *batch = (struct write_batch){.borrowed = true};
    if (!bytes.size)
        return;
    struct batch_head head;
    CHECK(bytes.size > sizeof(head));
    memcpy(&head, bytes.data, sizeof(head));
    CHECK(head.magic == WRITE_BATCH_MAGIC && head.urgency <= WRITE_ESSENTIAL);
    batch->bytes = (uint8_t *)bytes.data; /* only read: a view has no room to add */
    batch->size = bytes.size;
    batch->capacity = bytes.size;
    batch->bytes_max = bytes.size;
    batch->operations = head.operations;
    batch->puts = head.puts;
    batch->urgency = (enum write_urgency)head.urgency;
}

void write_batch_clear(struct write_batch *batch) {
    batch->size = 0;
    batch->operations = 0;
    batch->puts = 0;
    batch->urgency = WRITE_GROWS;
    batch->error = 0;
    batch->result = 0;
}

static int fail(struct write_batch *batch, int error) {
    batch->error = error;
    return error;
}

/* Make room for `size` more bytes, and for the head before the first. */
static int reserve(struct write_batch *batch, size_t size) {
    CHECK(batch->size <= batch->bytes_max);
    size_t begin = batch->size ? batch->size : WRITE_BATCH_HEAD_BYTES;
    if (begin > batch->bytes_max || size > batch->bytes_max - begin)
        return fail(batch, -E2BIG);
    size_t needed = begin + size;
    if (needed > batch->capacity) {
        size_t capacity = batch->capacity ? batch->capacity * 2 : WRITE_BATCH_FIRST;
        if (capacity < needed)
            capacity = needed;
        if (capacity > batch->bytes_max)
            capacity = batch->bytes_max;
        uint8_t *bytes = realloc(batch->bytes, capacity);
        if (!bytes)
            return fail(batch, -ENOMEM);
        batch->bytes = bytes;
        batch->capacity = capacity;
    }
    batch->size = begin;
    return 0;
}

static void copy_in(struct write_batch *batch, const void *data, size_t size) {
    if (size)
        memcpy(batch->bytes + batch->size, data, size);
    batch->size += size;
}

static bool key_acceptable(struct engine_bytes key) {
    return key.data && key.size > 0 && key.size <= ENGINE_KEY_BYTES_MAX;
}

static int append(struct write_batch *batch, enum write_kind kind, enum engine_family family,
                  struct engine_bytes first, const struct engine_bytes *parts, size_t parts_count) {
    if (batch->error)
        return batch->error;
    if ((unsigned)family >= ENGINE_FAMILIES || !key_acceptable(first))
        return fail(batch, -EINVAL);
    size_t second_size = 0;
    for (size_t i = 0; i < parts_count; i++) {
        if (parts[i].size > ENGINE_VALUE_BYTES_MAX - second_size)
            return fail(batch, -EINVAL);
        second_size += parts[i].size;
    }
    struct operation_head head = {(uint8_t)kind, (uint8_t)family, (uint16_t)first.size,
                                  (uint32_t)second_size};
    int error = reserve(batch, sizeof(head) + first.size + second_size);
    if (error)
        return error;
    copy_in(batch, &head, sizeof(head));
    copy_in(batch, first.data, first.size);
    for (size_t i = 0; i < parts_count; i++)
        copy_in(batch, parts[i].data, parts[i].size);
    batch->operations++;
    batch->puts += kind == WRITE_PUT;
    return 0;
}

int write_batch_put(struct write_batch *batch, enum engine_family family, struct engine_bytes key,
                    struct engine_bytes value) {
    return append(batch, WRITE_PUT, family, key, &value, 1);
}

int write_batch_put_parts(struct write_batch *batch, enum engine_family family,
                          struct engine_bytes key, const struct engine_bytes *parts,
                          size_t parts_count) {
    return append(batch, WRITE_PUT, family, key, parts, parts_count);
}

int write_batch_delete(struct write_batch *batch, enum engine_family family,
                       struct engine_bytes key) {
    return append(batch, WRITE_DELETE, family, key, NULL, 0);
}

int engine_compare(struct engine_bytes a, struct engine_bytes b) {
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common ? memcmp(a.data, b.data, common) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

int write_batch_delete_range(struct write_batch *batch, enum engine_family family,
                             struct engine_bytes from, struct engine_bytes to) {
    if (batch->error)
        return batch->error;
    if (!key_acceptable(from) || !key_acceptable(to) || engine_compare(from, to) >= 0)
        return fail(batch, -EINVAL);
    return append(batch, WRITE_DELETE_RANGE, family, from, &to, 1);
}

int write_batch_append(struct write_batch *batch, const struct write_batch *other) {
    CHECK(batch != other);
    if (batch->error)
        return batch->error;
    if (other->error)
        return fail(batch, other->error);
    if (!other->operations)
        return 0;
    size_t size = other->size - WRITE_BATCH_HEAD_BYTES;
    int error = reserve(batch, size);
    if (error)
        return error;
    if (!batch->operations || other->urgency < batch->urgency)
        batch->urgency = other->urgency;
    copy_in(batch, other->bytes + WRITE_BATCH_HEAD_BYTES, size);
    batch->operations += other->operations;
    batch->puts += other->puts;
    return 0;
}

bool write_batch_next(const struct write_batch *batch, size_t *offset,
                      struct write_operation *operation) {
    if (*offset == 0)
        *offset = WRITE_BATCH_HEAD_BYTES;
    if (*offset >= batch->size)
        return false;
    struct operation_head head;
    CHECK(batch->size - *offset >= sizeof(head));
    const uint8_t *at = batch->bytes + *offset;
    memcpy(&head, at, sizeof(head));
    size_t size = sizeof(head) + head.first_size + head.second_size;
    CHECK(batch->size - *offset >= size);
    *operation = (struct write_operation){
        .kind = head.kind,
        .family = head.family,
        .first = {at + sizeof(head), head.first_size},
        .second = {at + sizeof(head) + head.first_size, head.second_size},
    };
    *offset += size;
    return true;
}

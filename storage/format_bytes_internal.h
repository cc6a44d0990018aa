/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Big-endian integers at a cursor, for the encoders and decoders of records. A reader that runs
 * past its end, or meets what its caller calls damage, turns `damaged` and gives zeroes from then
 * on, so that a decoder can read on and ask once.
 */
#ifndef TERN_STORAGE_FORMAT_BYTES_INTERNAL_H
#define TERN_STORAGE_FORMAT_BYTES_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "storage/batch.h"

struct reader {
    const uint8_t *at;
    size_t left;
    bool damaged;
};

static inline struct reader reader_of(struct engine_bytes bytes) {
    return (struct reader){bytes.data, bytes.size, false};
}

/* The next `size` bytes, borrowed, or NULL. */
static inline const uint8_t *read_bytes(struct reader *reader, size_t size) {
    if (reader->damaged || size > reader->left) {
        reader->damaged = true;
        return NULL;
    }
    const uint8_t *bytes = reader->at;
    reader->at += size;
    reader->left -= size;
    return bytes;
}

static inline uint64_t read_number(struct reader *reader, size_t size) {
    const uint8_t *bytes = read_bytes(reader, size);
    uint64_t number = 0;
    for (size_t i = 0; bytes && i < size; i++)
        number = number << 8 | bytes[i];
    return number;
}

static inline void read_copy(struct reader *reader, void *to, size_t size) {
    const uint8_t *bytes = read_bytes(reader, size);
    if (bytes)
        memcpy(to, bytes, size);
}

/* Write `number` in `size` bytes; returns what follows. */
static inline uint8_t *write_number(uint8_t *at, uint64_t number, size_t size) {
    for (size_t i = size; i-- > 0; number >>= 8)
        at[i] = (uint8_t)number;
    return at + size;
}

static inline uint8_t *write_bytes(uint8_t *at, const void *bytes, size_t size) {
    memcpy(at, bytes, size);
    return at + size;
}

#endif

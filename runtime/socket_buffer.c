/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buffers for what is sent.
 *
 * A buffer is its actor's until socket_send, so that it goes when the actor fails, and the
 * reactor's from then on, so that an actor that fails cannot free bytes which the kernel still
 * reads: they go back into the pool when the send has completed, however it did.
 *
 * Pools of one shard, by powers of two; each keeps at most POOL_BYTES_MAX of free buffers, the rest
 * goes back to the heap. Sends in flight are bounded by the sockets, one each.
 */
#include "runtime/socket_table_internal.h"

#include <stdlib.h>

#define CLASS_BYTES_MIN 128u
#define POOL_BYTES_MAX (1u << 20)

_Static_assert(CLASS_BYTES_MIN << (SOCKET_BUFFER_CLASSES - 1) == SOCKET_BUFFER_MAX,
               "the last class is the largest buffer");

static unsigned class_of(size_t capacity) {
    unsigned class = 0;

    while ((size_t)CLASS_BYTES_MIN << class < capacity)
        class ++;
    return class;
}

static void release(struct owned *owned) {
    socket_buffer_free(socket_table_of(shard_current()), (struct socket_buffer *)owned);
}

struct socket_buffer *socket_buffer_create(size_t capacity) {
    struct socket_table *table = socket_table_of(shard_current());
    struct socket_buffer *buffer;
    unsigned class;

    CHECK(capacity <= SOCKET_BUFFER_MAX);
    class = class_of(capacity);
    buffer = table->buffers_free[class];
    if (buffer != NULL) {
        table->buffers_free[class] = buffer->next_free;
        table->buffers_free_count[class]--;
    } else {
        size_t bytes = (size_t)CLASS_BYTES_MIN << class;
        buffer = malloc(sizeof *buffer + bytes);
        CHECK(buffer != NULL);
        buffer->capacity = (uint32_t)bytes;
        buffer->class = class;
        socket_table_gauge(&table->memory_bytes, (int64_t)(sizeof *buffer + bytes));
    }
    buffer->owned = (struct owned){0};
    buffer->offset = 0;
    buffer->length = 0;
    owned_add(&buffer->owned, release);
    return buffer;
}

uint8_t *socket_buffer_bytes(struct socket_buffer *buffer) {
    return buffer->bytes;
}

size_t socket_buffer_capacity(const struct socket_buffer *buffer) {
    return buffer->capacity;
}

void socket_buffer_destroy(struct socket_buffer *buffer) {
    if (buffer == NULL)
        return;
    owned_remove(&buffer->owned);
    socket_buffer_free(socket_table_of(shard_current()), buffer);
}

void socket_buffer_free(struct socket_table *table, struct socket_buffer *buffer) {
    unsigned class = buffer->class;

    if ((table->buffers_free_count[class] + 1) * (uint64_t)buffer->capacity > POOL_BYTES_MAX) {
        socket_table_gauge(&table->memory_bytes, -(int64_t)(sizeof *buffer + buffer->capacity));
        free(buffer);
        return;
    }
    buffer->next_free = table->buffers_free[class];
    table->buffers_free[class] = buffer;
    table->buffers_free_count[class]++;
}

void socket_buffers_finish(struct socket_table *table) {
    for (unsigned class = 0; class < SOCKET_BUFFER_CLASSES; class ++) {
        struct socket_buffer *buffer;
        while ((buffer = table->buffers_free[class]) != NULL) {
            table->buffers_free[class] = buffer->next_free;
            free(buffer);
        }
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages, and the lists of those that an actor has not given away.
 *
 * A message that an actor creates or keeps lies on a list of its shard while the handler runs, then
 * on one of the actor's, until it is sent or destroyed: that is how an actor that fails leaves none
 * behind.
 */
#include "runtime/message.h"

#include "runtime/blob_internal.h"
#include "runtime/scheduler_internal.h"

#include <stdlib.h>
#include <string.h>

#define CLEAR_INLINE_BYTES_MAX 512u

/* Most payloads are a line or two: too short to call memset for, and much too short for the `rep
 * stos` that the compiler makes of one assignment of a whole line. */
static inline void payload_clear(struct message *message, size_t bytes) {
    struct part {
        uint64_t low, high;
    } *part = (struct part *)(message + 1);
    const struct part *end = (struct part *)((uint8_t *)message + bytes);
    if (__builtin_expect(bytes > CLEAR_INLINE_BYTES_MAX, 0)) {
        memset(message + 1, 0, bytes - sizeof *message);
        return;
    }
    for (; part < end; part += 4) {
        part[0] = (struct part){0, 0};
        part[1] = (struct part){0, 0};
        part[2] = (struct part){0, 0};
        part[3] = (struct part){0, 0};
    }
}

struct message *message_create(uint16_t kind, size_t payload_bytes) {
    CHECK(payload_bytes <= MESSAGE_PAYLOAD_MAX);
    struct shard *shard = shard_of_thread;
    size_t bytes = (sizeof(struct message) + payload_bytes + 63) & ~(size_t)63;
    struct message *message;
    uint32_t home = SLAB_CLASS_HEAP;
    if (shard && bytes <= SLAB_BYTES_MAX) {
        home = slab_class_of(bytes);
        message = slab_take(&shard->messages, home);
    } else {
        message = aligned_alloc(64, bytes);
        CHECK(message);
    }
    *message = (struct message){
        .payload_bytes = (uint32_t)payload_bytes,
        .kind = kind,
        .home = home,
    };
    payload_clear(message, bytes);
    if (shard && shard->running.actor)
        message_hold(&shard->running.fresh, message);
    return message;
}

void message_destroy(struct message *message) {
    if (!message)
        return;
    message_unhold(message);
    if (__builtin_expect(message->flags & MESSAGE_LENT, 0)) {
        struct shard *shard = shard_of_thread;
        CHECK(shard && shard->giver);
        shard->giver(shard, message);
    }
    if (message->blob)
        blob_release(message->blob);
    block_release(message, message->home);
}

void *message_payload_checked(struct message *message, size_t bytes) {
    CHECK(message->payload_bytes >= bytes);
    return message + 1;
}

void message_hold(struct message **list, struct message *message) {
    CHECK(!(message->flags & MESSAGE_HELD));
    message->flags |= MESSAGE_HELD;
    message->next = *list;
    message->to.bits = (uint64_t)list;
    if (*list)
        (*list)->to.bits = (uint64_t)&message->next;
    *list = message;
}

void message_held_move(struct message **from, struct message **to) {
    struct message *first = *from, *last = first;
    if (!first)
        return;
    while (last->next)
        last = last->next;
    last->next = *to;
    if (*to)
        (*to)->to.bits = (uint64_t)&last->next;
    *to = first;
    first->to.bits = (uint64_t)to;
    *from = NULL;
}

struct message *message_keep(struct message **message) {
    struct shard *shard = shard_of_thread;
    struct message *kept = *message;
    CHECK(shard && shard->running.actor && !(kept->flags & MESSAGE_LENT));
    if (!(kept->flags & MESSAGE_HELD))
        message_hold(&shard->running.fresh, kept);
    *message = NULL;
    return kept;
}

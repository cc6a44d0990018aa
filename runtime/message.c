/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages, and the lists of those that an actor has not given away.
 *
 * A message that an actor creates or keeps lies on a list of its shard while the handler runs, then
 * on one of the actor's, until it is sent or destroyed: that is how an actor that fails leaves none
 * behind. Nearly always it is sent before another one is made: so the newest is not on the list but
 * in a place of its own, `running.newest`, which costs a store and a comparison.
 */
#include "runtime/message.h"

#include "runtime/blob_internal.h"
#include "runtime/scheduler_internal.h"

#include <stdlib.h>
#include <string.h>

#define CLEAR_INLINE_BYTES_MAX 512u

/* In parts of 16 bytes, as many as the payload has: the rest of its lines is not touched. Most
 * payloads are too short to call memset for, and much too short for the `rep stos` that the
 * compiler makes of one assignment of a whole line. */
static inline void payload_clear(struct message *message, size_t payload_bytes) {
    struct part {
        uint64_t low, high;
    } *part = (struct part *)(message + 1);
    const struct part *end = (struct part *)((uint8_t *)part + payload_bytes);
    if (__builtin_expect(payload_bytes > CLEAR_INLINE_BYTES_MAX, 0)) {
        memset(part, 0, payload_bytes);
        return;
    }
    for (; part < end; part++)
        *part = (struct part){0, 0};
}

static __attribute__((noinline, cold)) struct message *allocate_from_heap(size_t bytes) {
    struct message *message = aligned_alloc(64, bytes);
    CHECK(message);
    return message;
}

/* In whole cache lines; on a shard's thread from its pool. */
static inline struct message *allocate(struct shard *shard, size_t bytes, uint32_t *home) {
    if (__builtin_expect(shard && bytes <= SLAB_BYTES_MAX, 1)) {
        *home = slab_class_of_lines(bytes / 64);
        return slab_take(&shard->messages, *home);
    }
    *home = SLAB_CLASS_HEAP;
    return allocate_from_heap(bytes);
}

static inline size_t whole_lines(size_t bytes) {
    return (bytes + 63) & ~(size_t)63;
}

/* The header is written field by field, in whole words: the compiler would clear it first. */
struct message *message_create(uint16_t kind, size_t payload_bytes) {
    CHECK(payload_bytes <= MESSAGE_PAYLOAD_MAX);
    struct shard *shard = shard_of_thread;
    uint32_t home;
    struct message *message =
        allocate(shard, whole_lines(sizeof(struct message) + payload_bytes), &home);
    message->next = NULL;
    message->to = message->from = ACTOR_NOBODY;
    message->to_class = NULL;
    message->blob = NULL;
    message->sent_ns = 0;
    message->payload_bytes = (uint32_t)payload_bytes;
    message->kind = kind;
    message->flags = 0;
    message->allocated_bytes = 0;
    message->home = home;
    payload_clear(message, payload_bytes);
    if (__builtin_expect(shard && shard->running.actor, 1)) {
        if (shard->running.newest)
            message_hold(&shard->running.fresh, shard->running.newest);
        shard->running.newest = message;
    }
    return message;
}

struct message *message_allocate(size_t payload_bytes, size_t behind) {
    uint32_t home;
    struct message *message = allocate(
        shard_of_thread, whole_lines(sizeof(struct message) + payload_bytes + behind), &home);
    *message = (struct message){.payload_bytes = (uint32_t)payload_bytes, .home = home};
    return message;
}

struct message *message_copy(struct message *message, size_t behind) {
    struct message *copy = message_allocate(message->payload_bytes, behind);
    uint32_t home = copy->home;
    memcpy(copy, message, sizeof *message + message->payload_bytes);
    copy->next = NULL;
    copy->flags = 0;
    copy->home = home;
    if (copy->blob)
        blob_hold(copy->blob);
    return copy;
}

void message_own(struct message **message) {
    struct message *shared = *message;
    CHECK(!(shared->flags & MESSAGE_LENT));
    if (!(shared->flags & MESSAGE_SHARED))
        return;
    *message = message_copy(shared, 0); /* the last receiver's is not shared: multicast_open */
    message_destroy(shared);
}

/* False: it is not to be freed, others have it. */
static bool let_go(struct message *message) {
    if (message->flags & MESSAGE_STUB) {
        message_destroy(multicast_open(message));
        return false;
    }
    if (message->flags & MESSAGE_SHARED)
        return --message->to.bits == 0;
    struct shard *shard = shard_of_thread;
    CHECK(shard && shard->giver);
    shard->giver(shard, message);
    return true;
}

void message_destroy_special(struct message *message) {
    const uint16_t special = MESSAGE_LENT | MESSAGE_SHARED | MESSAGE_STUB;
    message_unhold(message);
    if (message->flags & special && !let_go(message))
        return;
    if (message->blob)
        blob_release(message->blob);
    block_release(message, message->home);
}

void message_destroy(struct message *message) {
    struct shard *shard = shard_of_thread;
    if (!message)
        return;
    if (__builtin_expect(shard != NULL, 1))
        message_free(shard, message);
    else
        message_destroy_special(message);
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
    CHECK(shard && shard->running.actor);
    message_claim(&kept);
    if (!(kept->flags & MESSAGE_HELD) && shard->running.newest != kept)
        message_hold(&shard->running.fresh, kept);
    *message = NULL;
    return kept;
}

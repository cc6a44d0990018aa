/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of every send and every arrival, for the files in which many things are sent or arrive.
 */
#ifndef TERN_RUNTIME_MAILBOX_INTERNAL_H
#define TERN_RUNTIME_MAILBOX_INTERNAL_H

#include "runtime/scheduler_internal.h"

/* What every message bears that the running actor sends; whoever sends it adds what its kind has.
 * `bytes` are message_bytes of it. */
static inline void mailbox_sign_sized(struct shard *shard, struct message *message,
                                      struct actor_id to, uint16_t flags, uint32_t bytes) {
    message_unhold_here(shard, message);
    message->to = to;
    message->from.bits = shard->running.actor ? shard->running.actor->id : 0;
    message->sent_ns = shard->now_ns;
    message->flags = flags;
    message->allocated_bytes = bytes;
}
static inline void mailbox_sign(struct shard *shard, struct message *message, struct actor_id to,
                                uint16_t flags) {
    mailbox_sign_sized(shard, message, to, flags, message_bytes(message));
}

/* Would a message of so many bytes be beyond a bound? */
static inline bool mailbox_is_full(const struct actor *actor, uint32_t bytes) {
    return actor->mailbox_count >= actor->class->messages_max ||
           actor->mailbox_bytes + (uint64_t)bytes > actor->class->bytes_max;
}

/* Appends it; its `allocated_bytes` are set. */
static inline void mailbox_put(struct shard *shard, struct actor *actor, struct message *message) {
    message->next = NULL;
    if (actor->tail)
        actor->tail->next = message;
    else
        actor->head = message;
    actor->tail = message;
    actor->mailbox_count++;
    actor->mailbox_bytes += message->allocated_bytes;
    counter_add(actor->class->arrived, 1);
    if (!(actor->flags & ACTOR_IS_QUEUED))
        shard_enqueue(shard, actor);
}

#endif

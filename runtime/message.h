/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages and blobs: what actors give to each other.
 *
 * A message is one allocation: a header of one cache line, then its payload. It has one owner at a
 * time; sending gives it away. A small payload lies inline. Something large lies in a blob, which
 * is immutable once shared and counted by reference across shards; a message owns at most one blob
 * and releases it when it is freed, so that whoever drops a message drops all of it.
 */
#ifndef TERN_RUNTIME_MESSAGE_H
#define TERN_RUNTIME_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

/* Node, shard, slot and generation in 64 bits. Zero is nobody. A stale id is refused by its shard.
 */
struct actor_id {
    uint64_t bits;
};

#define ACTOR_NOBODY ((struct actor_id){0})

static inline int actor_id_equal(struct actor_id a, struct actor_id b) {
    return a.bits == b.bits;
}

struct actor_class;
struct blob;

enum message_flags {
    MESSAGE_SYSTEM =
        1, /* never refused by a bound: down, exit, timers, socket events, pool results */
    MESSAGE_NAMED = 2, /* `to.bits` is a key, `to_class` the class: resolved by the owning shard */
    MESSAGE_REFUSED = 4,    /* comes back to its sender: the mailbox it was for was full or is gone.
                             * `from` is then whom it was for: an id, or a key if `to_class` is set */
    MESSAGE_REQUEST = 2048, /* by actor_call: wants an answer */
    MESSAGE_ANSWER = 4096,  /* by actor_reply */
};

/* One cache line; the payload follows. `next`, `to` and the flags belong to the runtime. */
struct message {
    struct message *next;
    struct actor_id to;
    struct actor_id from; /* the sending actor, or nobody */
    union {
        const struct actor_class *to_class;
        uint64_t reference; /* of a request that has arrived, or of an answer: message_reference */
    };
    union {
        struct blob *blob; /* owned; may be NULL */
        struct message
            *shared; /* the runtime's: what a receiver's place in its mailbox stands for */
    };
    uint64_t sent_ns; /* monotonic, coarse (the shard's clock of this turn) */
    uint32_t payload_bytes;
    uint16_t kind;
    uint16_t flags;
    uint32_t allocated_bytes; /* what the bound by bytes counts, the blob's size included on send */
    uint32_t home;            /* the pool that it came from */
};
_Static_assert(sizeof(struct message) == 64, "a message header is one cache line");

/* Which call an answer belongs to, in the handler that is given it; 0: it is none. */
static inline uint64_t message_reference(const struct message *message) {
    return message->flags & MESSAGE_ANSWER ? message->reference : 0;
}

/* A zeroed payload of `payload_bytes` (at most MESSAGE_PAYLOAD_MAX). Aborts when memory is out.
 * On a shard's thread, or on any other (then from the heap). */
#define MESSAGE_PAYLOAD_MAX 65536u
struct message *message_create(uint16_t kind, size_t payload_bytes);
/* Frees it and releases its blob. NULL is allowed. Any thread. */
void message_destroy(struct message *message);

/* Takes the message that the running handler was given, to be kept beyond it: nulls the pointer and
 * returns it. It is freed with the actor unless it is sent or destroyed before. (A message that an
 * actor created needs no keeping: until it is given away it is freed with the actor anyway.) */
struct message *message_keep(struct message **message);

static inline void *message_payload(struct message *message) {
    return message + 1;
}

/* A message of actor_multicast is one for all its receivers on a shard: read it, don't write it. To
 * write, own it first: *message is then the handler's alone, a copy if others still have it (the
 * blob stays shared). Sending, keeping, deferring and actor_run_blocking own it by themselves. */
void message_own(struct message **message);

/* The payload as TYPE, after a check of its size: `message_as(m, struct down)`. */
#define message_as(message, type) ((type *)message_payload_checked(message, sizeof(type)))
void *message_payload_checked(struct message *message, size_t bytes);

/* Immutable once shared. `blob_create` returns it with one reference and writable bytes. Any
 * thread. The count is the only field that is written after sharing. */
#define BLOB_BYTES_MAX (1u << 24)
struct blob *blob_create(size_t bytes);
struct blob *blob_copy_of(const void *bytes, size_t length);
struct blob *blob_hold(struct blob *blob); /* one more reference; returns its argument */
void blob_release(struct blob *blob);      /* NULL is allowed */
uint8_t *blob_bytes(struct blob *blob);
size_t blob_length(const struct blob *blob);

#endif

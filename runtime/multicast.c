/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multicast: one message, many mailboxes.
 *
 *   actor_multicast ─┬─ here ───────────────────────────────────► a stub in each mailbox ─┐
 *                    └─ elsewhere: a copy with its ids, by lane ─► a stub in each mailbox ─┴─► the
 *                                                                  message, shared, handled in turn
 *
 * What lies in a mailbox is a stub: a header without payload that points to the shared message. All
 * who share it are actors of one shard, so its count of receivers, in `to.bits`, needs no atomic.
 * The last receiver has it as if it had been sent to it alone. Only a blob is shared between
 * shards.
 *
 * Between shards the ids lie behind the payload, in the same allocation, so that an envelope that
 * is never delivered is freed like any message.
 */
#include "runtime/mailbox_internal.h"

#include <errno.h>
#include <string.h>

#define PREFETCH_AHEAD 4u

/* Who doesn't get it. The report is made when the first one is met. */
struct report {
    struct message *message;
    uint16_t capacity;
    unsigned full, gone;
};

static void report_add(struct report *report, const struct message *about, struct actor_id id,
                       bool full) {
    report->full += full;
    report->gone += !full;
    if (!(about->flags & MESSAGE_TELLS))
        return;
    struct actor_undelivered *undelivered;
    if (!report->message) {
        size_t bytes = sizeof *undelivered + report->capacity * sizeof undelivered->actors[0];
        report->message = message_create(ACTOR_UNDELIVERED, bytes);
        undelivered = message_payload(report->message);
        undelivered->kind = about->kind;
    }
    undelivered = message_payload(report->message);
    undelivered->full += full;
    undelivered->actors[undelivered->count++] = id;
}

static void report_finish(struct shard *shard, struct report *report, struct actor_id to) {
    if (report->gone)
        counter_add(shard->counters.dead_letters, report->gone);
    if (report->message)
        system_send(shard, to, report->message);
}

/* --- on one shard
 * ---------------------------------------------------------------------------------------- */

#define STUB_BYTES sizeof(struct message)

/* Made and freed on one shard: it needs no way home. */
static inline struct message *stub_make(struct shard *shard, struct message *shared,
                                        struct actor_id receiver) {
    struct message *stub = slab_take(&shard->messages, slab_class_of(STUB_BYTES));
    *stub = (struct message){
        .from = receiver, /* `to` is a key if it has to wait for another activation */
        .shared = shared,
        .sent_ns = shared->sent_ns,
        .kind = shared->kind,
        .flags = MESSAGE_STUB,
        .allocated_bytes = shared->allocated_bytes,
    };
    return stub;
}

static bool is_elsewhere(const struct shard *shard, struct actor_id id) {
    return id_place(id) != shard->place && id_node(id) == shard->place >> ID_SHARD_BITS &&
           id_shard(id) < shard->shard_count;
}

static void actor_prefetch(const struct shard *shard, struct actor_id id) {
    uint32_t slot = id_slot(id);
    if (id_place(id) == shard->place && slot < shard->slots_used)
        __builtin_prefetch(shard_slot(shard, slot), 1);
}

/* True if it is in the actor's mailbox now. */
static inline bool deliver_to(struct shard *shard, struct message *shared, struct actor_id id,
                              struct report *report) {
    struct actor *actor = shard_actor(shard, id);
    if (__builtin_expect(actor && !mailbox_is_full(actor, shared->allocated_bytes), 1)) {
        mailbox_put(shard, actor, stub_make(shard, shared, id));
        return true;
    }
    if (actor)
        counter_add(actor->class->refused, 1);
    report_add(report, shared, id, actor != NULL);
    return false;
}

/* To those of this shard; returns how many are of others. */
static unsigned deliver(struct shard *shard, const struct actor_id *ids, size_t count,
                        struct message *shared, struct report *report, unsigned *delivered) {
    unsigned elsewhere = 0, here = 0;
    for (size_t i = 0; i < count; i++) {
        if (i + PREFETCH_AHEAD < count)
            actor_prefetch(shard, ids[i + PREFETCH_AHEAD]);
        if (is_elsewhere(shard, ids[i]))
            elsewhere++;
        else
            here += deliver_to(shard, shared, ids[i], report);
    }
    *delivered = here;
    return elsewhere;
}

/* Delivered to so many of this shard's actors: it is theirs. */
static void share_among(struct message *message, unsigned receivers) {
    if (receivers) {
        message->flags = MESSAGE_SHARED | (message->flags & MESSAGE_TELLS);
        message->to.bits = receivers;
    } else {
        message->flags = 0;
        message_destroy(message);
    }
}

struct message *multicast_open(struct message *stub) {
    struct message *shared = stub->shared;
    slab_give(&shard_of_thread->messages, stub, slab_class_of(STUB_BYTES));
    if (shared->to.bits == 1)
        shared->flags = 0;
    return shared;
}

void multicast_refuse(struct shard *shard, struct class_entry *class, struct message *stub) {
    struct report report = {.capacity = 1};
    if (class)
        counter_add(class->dead_letters, 1);
    report_add(&report, stub->shared, stub->from, false);
    report_finish(shard, &report, stub->shared->from);
    message_destroy(stub);
}

/* --- between shards
 * -------------------------------------------------------------------------------------- */

static size_t ids_offset(const struct message *message) {
    return (message->payload_bytes + 7ul) & ~7ul;
}

static struct actor_id *ids_behind(struct message *envelope) {
    return (struct actor_id *)((uint8_t *)message_payload(envelope) + ids_offset(envelope));
}

static struct message *envelope_make(struct message *message, unsigned count) {
    size_t padding = ids_offset(message) - message->payload_bytes;
    struct message *envelope = message_copy(message, padding + count * sizeof(struct actor_id));
    envelope->flags = MESSAGE_CONTROL | MESSAGE_MULTICAST | (message->flags & MESSAGE_TELLS);
    envelope->to.bits = 0;
    return envelope;
}

/* One envelope to each shard but this one that has receivers. */
static void send_elsewhere(struct shard *shard, const struct actor_id *ids, size_t count,
                           struct message *message, struct report *report) {
    struct message *envelopes[SHARDS_MAX];
    uint16_t counts[SHARDS_MAX];
    memset(envelopes, 0, shard->shard_count * sizeof *envelopes);
    memset(counts, 0, shard->shard_count * sizeof *counts);
    for (size_t i = 0; i < count; i++)
        if (is_elsewhere(shard, ids[i]))
            counts[id_shard(ids[i])]++;
    for (size_t i = 0; i < count; i++) {
        if (!is_elsewhere(shard, ids[i]))
            continue;
        unsigned to = id_shard(ids[i]);
        if (lane_is_full(shard->lanes_out[to])) {
            report_add(report, message, ids[i], true);
            continue;
        }
        if (!envelopes[to])
            envelopes[to] = envelope_make(message, counts[to]);
        ids_behind(envelopes[to])[envelopes[to]->to.bits++] = ids[i];
    }
    for (unsigned i = 0; i < shard->shard_count; i++)
        if (envelopes[i])
            shard_send_remote(shard, i, envelopes[i]);
}

void multicast_arrive(struct shard *shard, struct message *envelope) {
    const struct actor_id *ids = ids_behind(envelope);
    struct report report = {.capacity = (uint16_t)envelope->to.bits};
    unsigned delivered;
    deliver(shard, ids, envelope->to.bits, envelope, &report, &delivered);
    report_finish(shard, &report, envelope->from);
    share_among(envelope, delivered);
}

/* --- the sender
 * ---------------------------------------------------------------------------------------- */

/* As its receivers will see it. */
static struct message *sign(struct shard *shard, struct message *message) {
    const struct actor *self = shard->running.actor;
    mailbox_sign(shard, message, ACTOR_NOBODY, 0);
    message->to_class = NULL;
    if (self && self->class->class->handler_count > ACTOR_UNDELIVERED &&
        self->class->class->handlers[ACTOR_UNDELIVERED].handle)
        message->flags = MESSAGE_TELLS;
    if (shard->traces.count)
        trace_sent(shard, message);
    return message;
}

int actor_multicast(const struct actor_id *ids, size_t count, struct message **message) {
    struct shard *shard = shard_of_thread;
    if (count > ACTOR_MULTICAST_MAX)
        return -E2BIG;
    message_claim(message);
    struct message *sent = sign(shard, *message);
    *message = NULL;
    struct report report = {.capacity = (uint16_t)count};
    unsigned delivered;
    if (deliver(shard, ids, count, sent, &report, &delivered))
        send_elsewhere(shard, ids, count, sent, &report);
    report_finish(shard, &report, sent->from);
    share_among(sent, delivered);
    return (int)(report.full + report.gone);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mailboxes: a plain list per actor, and the run of its messages.
 *
 * Arriving is append and enqueue, without an atomic and without a clock. Whatever is refused has
 * one of three ways: it stays the sender's (a bound of this shard), it comes back to the sender
 * (MESSAGE_REFUSED), or it is counted as a dead letter and freed.
 */
#include "runtime/control_internal.h"
#include "runtime/mailbox_internal.h"
#include "runtime/planted_internal.h"

#include <errno.h>

#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

void mailbox_append(struct shard *shard, struct actor *actor, struct message *message) {
    message->allocated_bytes = message_bytes(message);
    mailbox_put(shard, actor, message);
}

static void count_dead(struct shard *shard, struct class_entry *class, struct message *message) {
    counter_add(shard->counters.dead_letters, 1);
    if (class)
        counter_add(class->dead_letters, 1);
    message_destroy(message);
}

void mailbox_refuse(struct shard *shard, struct class_entry *class, struct message *message) {
    if (message->flags & MESSAGE_STUB) {
        multicast_refuse(shard, class, message);
        return;
    }
    if (message->flags & MESSAGE_REQUEST) {
        call_refuse(shard, class, message, ACTOR_NOT_FOUND);
        return;
    }
    if ((message->flags & MESSAGE_SYSTEM) || !message->from.bits) {
        count_dead(shard, class, message);
        return;
    }
    if (class)
        counter_add(class->refused, 1);
    struct actor_id sender = message->from;
    message->from = message->to;
    message->flags = MESSAGE_REFUSED;
    system_send(shard, sender, message);
}

void system_send(struct shard *shard, struct actor_id to, struct message *message) {
    message_unhold(message);
    message->to = to;
    message->flags |= MESSAGE_SYSTEM;
    message->sent_ns = shard->now_ns;
    message->allocated_bytes = message_bytes(message);
    if (id_place(to) == shard->place)
        mailbox_arrive(shard, message);
    else if (id_node(to) == shard->place >> ID_SHARD_BITS && id_shard(to) < shard->shard_count)
        shard_send_remote(shard, id_shard(to), message);
    else
        count_dead(shard, NULL, message);
}

/* --- arriving
 * ---------------------------------------------------------------------------------------- */

/* An actor whose init runs in its first turn. NULL: none can be made. */
static struct actor *activate(struct shard *shard, struct class_entry *class, uint64_t key) {
    struct actor *actor;
    if (actor_create(shard, class, class->server, false, &actor))
        return NULL;
    actor->key = key;
    actor->flags |= ACTOR_IS_UNBORN;
    registry_add(&shard->registry, actor);
    uint32_t idle_ms = class->class->idle_ms;
    shard_ask_idle(shard, actor, idle_ms != 0);
    if (idle_ms && (!shard->idle_ms_min || idle_ms < shard->idle_ms_min))
        shard->idle_ms_min = idle_ms;
    return actor;
}

struct actor *mailbox_find_named(struct shard *shard, struct class_entry *class, uint64_t key) {
    struct actor *actor = registry_find(&shard->registry, class, key);
    return actor ? actor : activate(shard, class, key);
}

void mailbox_arrive(struct shard *shard, struct message *message) {
    struct class_entry *class = NULL;
    struct actor *actor;
    if (unlikely(message->flags & (MESSAGE_NAMED | MESSAGE_REQUEST))) {
        if (message->flags & MESSAGE_REQUEST) {
            call_arrive(shard, message);
            return;
        }
        class = classes_enter(&shard->classes, message->to_class);
        actor = mailbox_find_named(shard, class, message->to.bits);
    } else {
        actor = shard_actor(shard, message->to);
    }
    if (unlikely(!actor || (!(message->flags & MESSAGE_SYSTEM) &&
                            mailbox_is_full(actor, message->allocated_bytes)))) {
        if (PLANTED(MAILBOX_DROPS) && actor)
            message_destroy(message);
        else
            mailbox_refuse(shard, actor ? actor->class : class, message);
        return;
    }
    message->flags &= (uint16_t)~MESSAGE_NAMED;
    mailbox_put(shard, actor, message);
}

/* --- sending
 * ----------------------------------------------------------------------------------------- */

static inline void sign(struct shard *shard, struct message *message, struct actor_id to,
                        const struct actor_class *class) {
    mailbox_sign(shard, message, to, class ? MESSAGE_NAMED : 0);
    message->to_class = class;
    if (unlikely(shard->traces.count))
        trace_sent(shard, message);
}

static int send_elsewhere(struct shard *shard, unsigned to_shard, struct actor_id to,
                          const struct actor_class *class, struct message **message) {
    if (lane_is_full(shard->lanes_out[to_shard]))
        return -ENOBUFS;
    message_claim(message);
    struct message *sent = *message;
    *message = NULL;
    sign(shard, sent, to, class);
    shard_send_remote(shard, to_shard, sent);
    return 0;
}

static int send_stale(struct shard *shard, struct actor_id to, struct message **message) {
    message_claim(message);
    struct message *sent = *message;
    *message = NULL;
    sign(shard, sent, to, NULL);
    mailbox_refuse(shard, NULL, sent);
    return 0;
}

int actor_send(struct actor_id to, struct message **message) {
    struct shard *shard = shard_of_thread;
    struct message *sent = *message;
    struct actor *actor = shard_actor(shard, to);
    if (unlikely(!actor)) {
        bool elsewhere = id_node(to) == shard->place >> ID_SHARD_BITS &&
                         id_shard(to) != shard->index && id_shard(to) < shard->shard_count;
        return elsewhere ? send_elsewhere(shard, id_shard(to), to, NULL, message)
                         : send_stale(shard, to, message);
    }
    uint32_t bytes = message_bytes(sent);
    if (unlikely(mailbox_is_full(actor, bytes)))
        return -ENOBUFS;
    /* Its own address is no local variable's: those whose address is taken live in memory. */
    message_claim(message);
    sent = *message;
    *message = NULL;
    mailbox_sign_sized(shard, sent, to, 0, bytes);
    sent->to_class = NULL;
    if (unlikely(shard->traces.count))
        trace_sent(shard, sent);
    mailbox_put(shard, actor, sent);
    return 0;
}

int actor_send_named(const struct actor_class *class, uint64_t key, struct message **message) {
    struct shard *shard = shard_of_thread;
    unsigned owner = actor_shard_of(class, key);
    struct actor_id to = {key};
    if (owner != shard->index)
        return send_elsewhere(shard, owner, to, class, message);
    struct class_entry *entry = classes_enter(&shard->classes, class);
    struct actor *actor = mailbox_find_named(shard, entry, key);
    if (actor && mailbox_is_full(actor, message_bytes(*message)))
        return -ENOBUFS;
    message_claim(message);
    struct message *sent = *message;
    *message = NULL;
    sign(shard, sent, to, class);
    if (actor) {
        sent->flags = 0;
        mailbox_put(shard, actor, sent);
    } else {
        mailbox_refuse(shard, entry, sent);
    }
    return 0;
}

int actor_signal(struct actor_id to, uint16_t kind) {
    struct message *message = message_create(kind, 0);
    int error = actor_send(to, &message);
    message_destroy(message);
    return error;
}

void actor_signal_next_turn(uint16_t kind) {
    struct shard *shard = shard_of_thread;
    struct message *message = message_create(kind, 0);
    message_unhold(message);
    message->to = message->from = actor_self();
    message->next = NULL;
    *shard->next_turn_end = message;
    shard->next_turn_end = &message->next;
}

void actor_signal_system(struct actor_id to, uint16_t kind) {
    struct shard *shard = shard_of_thread;
    struct message *message = message_create(kind, 0);
    message->from = actor_self();
    system_send(shard, to, message);
}

/* --- deferring
 * --------------------------------------------------------------------------------------- */

void actor_defer(struct message **message) {
    struct shard *shard = shard_of_thread;
    struct actor *actor = shard->running.actor;
    CHECK(actor);
    message_claim(message);
    struct message *deferred = *message;
    struct relations *relations = actor_relations(shard, actor);
    message_unhold(deferred);
    *message = NULL;
    deferred->next = NULL;
    if (relations->deferred_tail)
        relations->deferred_tail->next = deferred;
    else
        relations->deferred_head = deferred;
    relations->deferred_tail = deferred;
    actor->mailbox_count++;
    actor->mailbox_bytes += deferred->allocated_bytes;
    counter_add(actor->class->arrived, 1);
}

static void undefer(struct shard *shard, struct actor *actor) {
    struct relations *relations = actor->relations;
    if (!relations || !relations->deferred_head)
        return;
    relations->deferred_tail->next = actor->head;
    if (!actor->head)
        actor->tail = relations->deferred_tail;
    actor->head = relations->deferred_head;
    relations->deferred_head = relations->deferred_tail = NULL;
    actor_relations_rest(shard, actor);
    if (!(actor->flags & ACTOR_IS_QUEUED))
        shard_enqueue(shard, actor);
}

void actor_undefer(void) {
    struct shard *shard = shard_of_thread;
    undefer(shard, shard->running.actor);
}

void mailbox_empty(struct shard *shard, struct actor *actor, bool reactivate) {
    struct class_entry *class = actor->class;
    uint64_t key = actor->key, id = actor->id;
    undefer(shard, actor);
    actor->id = ID_FREE; /* what comes back to it is stale */
    struct message *message = actor->head;
    actor->head = actor->tail = NULL;
    counter_add(class->handled, actor->mailbox_count); /* so that arrived - handled is what waits */
    actor->mailbox_count = 0;
    actor->mailbox_bytes = 0;
    while (message) {
        struct message *next = message->next;
        if (reactivate && !(message->flags & MESSAGE_SYSTEM)) {
            call_address_by_name(message, class->class, key);
            mailbox_arrive(shard, message);
        } else {
            mailbox_refuse(shard, class, message);
        }
        message = next;
    }
    actor->id = id;
}

/* --- running
 * ----------------------------------------------------------------------------------------- */

/* What the runtime has a word in before the class does. False: it goes no further. */
static bool pass_special(struct shard *shard, struct actor *actor, struct message *message) {
    const struct actor_class *class = actor->class->class;
    if (message->flags & MESSAGE_STUB) {
        shard->running.handling = multicast_open(message);
        return true;
    }
    if (message->flags & MESSAGE_REFUSED) {
        if (class->refused)
            class->refused(actor->state, &shard->running.handling);
        else
            counter_add(actor->class->dead_letters, 1);
        return false;
    }
    message->flags &= (uint16_t)~MESSAGE_VERIFY;
    if (message->flags & MESSAGE_ANSWER || message->kind == CALL_DUE)
        return call_claim(shard, message);
    if (message->kind == ACTOR_DOWN || message->kind == ACTOR_EXIT)
        return relations_claim(shard, actor, message);
    if (message->kind == GROUP_CHANGED)
        return group_claim(shard, actor, message);
    if (message->kind == SOCKET_CLOSED)
        return socket_claim_end(shard, message);
    return timer_claim(shard, message_as(message, struct actor_timer_fired)->timer);
}

static void handle_unknown(struct shard *shard, struct actor *actor, struct message *message) {
    const struct actor_class *class = actor->class->class;
    if (message->kind == ACTOR_STOP)
        actor_end_soon(shard, actor, ACTOR_SHUTDOWN);
    else if (class->otherwise)
        class->otherwise(actor->state, &shard->running.handling);
    else
        counter_add(actor->class->dead_letters, 1);
}

static inline void handle(struct shard *shard, struct actor *actor, struct message *message) {
    const struct actor_class *class = actor->class->class;
    if (unlikely(message->flags & (MESSAGE_VERIFY | MESSAGE_REFUSED | MESSAGE_STUB))) {
        if (!pass_special(shard, actor, message))
            return;
        message = shard->running.handling;
    }
    if (unlikely(shard->fault != NULL)) {
        int reason = shard->fault(shard->seams->context, class, message->kind);
        if (reason)
            actor_fail(reason, "fault injected");
    }
    message_fn function =
        likely(message->kind < class->handler_count) ? class->handlers[message->kind].handle : NULL;
    if (likely(function != NULL))
        function(actor->state, &shard->running.handling);
    else
        handle_unknown(shard, actor, message);
}

static uint64_t observe(struct shard *shard, struct actor *actor, uint16_t kind,
                        uint64_t begun_ns) {
    uint64_t now_ns = shard->seams->monotonic_ns(shard->seams->context);
    profile_handled(actor->class, kind, now_ns - begun_ns);
    if (shard->traces.count)
        trace_handled(shard, actor, now_ns);
    return now_ns;
}

/* `at_ns` is NULL unless the run is observed; then the clock when the next message begins. An
 * observed run can be ended in time by that clock; others by their share, see turn_share_adapt. */
static inline __attribute__((always_inline)) unsigned run(struct shard *shard, struct actor *actor,
                                                          unsigned max, uint64_t *at_ns) {
    struct message *message;
    const uint64_t end_ns = at_ns ? *at_ns + TURN_NS_MAX : 0;
    const uint64_t what = recorder_what(shard->now_ms, actor->class->index, RECORDER_MESSAGE);
    while (shard->actor_messages < max && (message = actor->head)) {
        actor->head = message->next;
        if (!actor->head)
            actor->tail = NULL;
        else
            __builtin_prefetch(actor->head, 1);
        actor->mailbox_count--;
        actor->mailbox_bytes -= message->allocated_bytes;
        shard->running.handling = message;
        shard->actor_messages++;
        uint16_t kind = message->kind;
        recorder_note(&shard->recorder, actor->id, what | kind);
        if (at_ns)
            trace_begin(shard, message, *at_ns);
        handle(shard, actor, message);
        if (at_ns)
            *at_ns = observe(shard, actor, kind, *at_ns);
        if (shard->running.handling) {
            message_free(shard, shard->running.handling);
            shard->running.handling = NULL;
        }
        if (unlikely(actor->flags & ACTOR_IS_STOPPING))
            break;
        if (at_ns && *at_ns >= end_ns)
            break;
    }
    return shard->actor_messages;
}

unsigned mailbox_run(struct shard *shard, struct actor *actor, unsigned max) {
    return run(shard, actor, max, NULL);
}

unsigned mailbox_run_observed(struct shard *shard, struct actor *actor, unsigned max,
                              uint64_t begun_ns) {
    return run(shard, actor, max, &begun_ns);
}

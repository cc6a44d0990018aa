/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests and their answers.
 *
 *   open ──answer──► its handler          The record of an open call lies with its caller, found by
 *    ├──deadline───► ACTOR_UNANSWERED     the call's reference. Whatever takes it away first is the
 *    ├──callee ends, or refuses it ──► "  answer; the rest finds no record and is dropped.
 *    └──caller cancels or ends
 *
 * The request is its own monitor: where it arrives the callee is watched under the call's reference
 * (monitor.c), so that a call costs no message beside the request. A reply takes the watch away
 * where it lies; every other end of the call has it taken away by a control message.
 *
 * The reference travels in the request's header in the place of `to_class`, and while a request to
 * a name needs that, in the place of `sent_ns`.
 */
#include "runtime/control_internal.h"
#include "runtime/mailbox_internal.h"

#include <errno.h>

struct call {
    struct call *next;
    struct call **link;
    uint64_t reference;
    uint64_t caller;        /* its id */
    struct actor_id callee; /* nobody: called by name */
    struct actor_timer deadline;
    unsigned at_shard; /* where the callee is watched */
};

static uint64_t *reference_place(struct message *request) {
    return request->flags & MESSAGE_NAMED ? &request->sent_ns : &request->reference;
}

/* --- the caller: making
 * ---------------------------------------------------------------------------------- */

static uint64_t call_open(struct shard *shard, struct actor_id callee, unsigned at_shard,
                          uint64_t timeout_ms) {
    struct relations *relations = actor_relations(shard, shard->running.actor);
    uint64_t reference = reference_next(shard);
    struct actor_timer deadline = actor_timer_start(timeout_ms, CALL_DUE, reference);
    struct call *call = shard_allocate(shard, sizeof *call);
    *call = (struct call){.next = relations->calls,
                          .link = &relations->calls,
                          .reference = reference,
                          .caller = shard->running.actor->id,
                          .callee = callee,
                          .deadline = deadline,
                          .at_shard = at_shard};
    if (call->next)
        call->next->link = &call->next;
    relations->calls = call;
    relations->call_count++;
    map_put(&shard->calls, reference, call);
    return reference;
}

static bool has_too_many(const struct actor *caller) {
    return caller->relations && caller->relations->call_count >= ACTOR_CALLS_MAX;
}

/* The request as it travels. */
static struct message *sign(struct shard *shard, struct message **request, struct actor_id to,
                            const struct actor_class *class, uint64_t reference) {
    message_claim(request);
    struct message *sent = *request;
    *request = NULL;
    mailbox_sign(shard, sent, to, MESSAGE_REQUEST);
    sent->reference = reference;
    if (class)
        call_address_by_name(sent, class, to.bits);
    if (__builtin_expect(shard->traces.count != 0, 0))
        trace_sent(shard, sent);
    return sent;
}

void call_address_by_name(struct message *message, const struct actor_class *class, uint64_t key) {
    if (message->flags & MESSAGE_REQUEST)
        message->sent_ns = message->reference;
    message->flags |= MESSAGE_NAMED;
    message->to.bits = key;
    message->to_class = class;
}

int actor_call(struct actor_id to, struct message **request, uint64_t timeout_ms,
               uint64_t *reference) {
    struct shard *shard = shard_of_thread;
    struct actor *callee = shard_actor(shard, to);
    CHECK(shard->running.actor);
    bool elsewhere = is_of_this_node(shard, to) && id_shard(to) != shard->index;
    if (has_too_many(shard->running.actor))
        return -EAGAIN;
    if ((callee && mailbox_is_full(callee, message_bytes(*request))) ||
        (elsewhere && lane_is_full(shard->lanes_out[id_shard(to)])))
        return -ENOBUFS;
    *reference = call_open(shard, to, elsewhere ? id_shard(to) : shard->index, timeout_ms);
    struct message *sent = sign(shard, request, to, NULL, *reference);
    if (elsewhere)
        shard_send_remote(shard, id_shard(to), sent);
    else
        call_arrive(shard, sent);
    return 0;
}

int actor_call_named(const struct actor_class *class, uint64_t key, struct message **request,
                     uint64_t timeout_ms, uint64_t *reference) {
    struct shard *shard = shard_of_thread;
    unsigned owner = actor_shard_of(class, key);
    CHECK(shard->running.actor);
    if (has_too_many(shard->running.actor))
        return -EAGAIN;
    if (owner != shard->index && lane_is_full(shard->lanes_out[owner]))
        return -ENOBUFS;
    if (owner == shard->index) {
        struct class_entry *entry = classes_enter(&shard->classes, class);
        struct actor *callee = mailbox_find_named(shard, entry, key);
        if (callee && mailbox_is_full(callee, message_bytes(*request)))
            return -ENOBUFS;
    }
    *reference = call_open(shard, ACTOR_NOBODY, owner, timeout_ms);
    struct message *sent = sign(shard, request, (struct actor_id){key}, class, *reference);
    if (owner != shard->index)
        shard_send_remote(shard, owner, sent);
    else
        call_arrive(shard, sent);
    return 0;
}

/* --- the caller: ending
 * ---------------------------------------------------------------------------------- */

/* Takes the record away; false: there was none. `watched`: the callee may still be. */
static bool call_close(struct shard *shard, uint64_t reference, bool watched) {
    struct call *call = map_remove(&shard->calls, reference);
    if (!call)
        return false;
    struct control_monitor request = {reference};
    if (watched)
        control_send(shard, call->at_shard, CONTROL_UNMONITOR, ACTOR_NOBODY, ACTOR_NOBODY, &request,
                     sizeof request);
    actor_timer_cancel(&call->deadline);
    *call->link = call->next;
    if (call->next)
        call->next->link = call->link;
    shard_free(shard, call, sizeof *call);
    return true;
}

void actor_call_cancel(uint64_t reference) {
    struct shard *shard = shard_of_thread;
    struct actor *self = shard->running.actor;
    const struct call *call = reference ? map_get(&shard->calls, reference) : NULL;
    if (call && call->caller == self->id && call_close(shard, reference, true))
        self->relations->call_count--;
}

void call_end_all(struct shard *shard, struct actor *actor) {
    while (actor->relations->calls)
        call_close(shard, actor->relations->calls->reference, true);
}

static bool claim_answer(struct shard *shard, const struct message *answer) {
    const struct call *call = map_get(&shard->calls, answer->reference);
    bool watched =
        call && (!is_of_this_node(shard, answer->from) || id_shard(answer->from) != call->at_shard);
    if (call_close(shard, answer->reference, watched))
        return true;
    classes_count_event(&shard->classes, "call_late_reply", 1);
    return false;
}

static bool claim_deadline(struct shard *shard, struct message *due) {
    struct actor_timer_fired fired = *message_as(due, struct actor_timer_fired);
    const struct call *call = map_get(&shard->calls, fired.argument);
    if (!timer_claim(shard, fired.timer) || !call)
        return false;
    struct message *message = message_create(ACTOR_UNANSWERED, sizeof(struct actor_down));
    struct actor_down *down = message_payload(message);
    *down = (struct actor_down){call->callee, fired.argument, ACTOR_TIMEOUT};
    message_unhold(message);
    message->from = call->callee;
    message_destroy(due);
    shard->running.handling = message;
    classes_count_event(&shard->classes, "call_timeout", 1);
    return call_close(shard, fired.argument, true);
}

bool call_claim(struct shard *shard, struct message *message) {
    bool wanted;
    if (message->flags & MESSAGE_ANSWER) {
        wanted = claim_answer(shard, message);
    } else if (message->kind == CALL_DUE) {
        wanted = claim_deadline(shard, message);
    } else {
        wanted = call_close(shard, message_as(message, struct actor_down)->reference, false);
        message->kind = ACTOR_UNANSWERED;
    }
    if (wanted)
        shard->running.actor->relations->call_count--;
    return wanted;
}

/* --- the callee
 * ------------------------------------------------------------------------------------------ */

void call_refuse(struct shard *shard, struct class_entry *class, struct message *request,
                 int reason) {
    struct actor_id callee = request->flags & MESSAGE_NAMED ? ACTOR_NOBODY : request->to;
    if (class)
        counter_add(class->refused, 1);
    relations_tell_end(shard, request->from, ACTOR_DOWN, callee, *reference_place(request), reason);
    message_destroy(request);
}

void call_arrive(struct shard *shard, struct message *request) {
    uint64_t reference = *reference_place(request);
    struct class_entry *class = NULL;
    struct actor *callee;
    if (request->flags & MESSAGE_NAMED) {
        class = classes_enter(&shard->classes, request->to_class);
        callee = mailbox_find_named(shard, class, request->to.bits);
    } else {
        callee = shard_actor(shard, request->to);
    }
    if (!callee || mailbox_is_full(callee, request->allocated_bytes)) {
        call_refuse(shard, callee ? callee->class : class, request,
                    callee ? -ENOBUFS : ACTOR_NOT_FOUND);
        return;
    }
    request->flags = MESSAGE_REQUEST;
    request->reference = reference;
    request->to = actor_id_of(callee);
    request->sent_ns = shard->now_ns;
    monitor_on_request(shard, request->to, request->from, reference);
    mailbox_put(shard, callee, request);
}

static void forget_unread(struct shard *shard, struct message *message) {
    for (; message; message = message->next)
        if (message->flags & MESSAGE_REQUEST)
            monitor_on_cancel(shard, message->reference);
}

void call_forget_unread(struct shard *shard, struct actor *actor) {
    forget_unread(shard, actor->head);
    if (actor->relations)
        forget_unread(shard, actor->relations->deferred_head);
}

struct actor_caller actor_caller_of(const struct message *request) {
    if (!(request->flags & MESSAGE_REQUEST))
        return (struct actor_caller){ACTOR_NOBODY, 0};
    return (struct actor_caller){request->from, request->reference};
}

void actor_reply(struct actor_caller caller, struct message **reply) {
    struct shard *shard = shard_of_thread;
    message_claim(reply);
    struct message *sent = *reply;
    *reply = NULL;
    message_unhold(sent);
    sent->from = actor_self();
    sent->reference = caller.reference;
    sent->flags = MESSAGE_ANSWER | MESSAGE_VERIFY;
    if (!caller.actor.bits) {
        counter_add(shard->counters.dead_letters, 1);
        message_destroy(sent);
        return;
    }
    monitor_on_cancel(shard, caller.reference);
    system_send(shard, caller.actor, sent);
}

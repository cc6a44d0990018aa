/* SPDX-License-Identifier: Apache-2.0 */
/* Traces: who is followed on this shard, and the events about them; see trace.h. */
#include "runtime/trace.h"

#include "runtime/control_internal.h"
#include "runtime/scheduler_internal.h"

#include <errno.h>
#include <string.h>

#define SECOND_NS 1000000000u

/* --- beginning and ending
 * ----------------------------------------------------------------------------------- */

static void set_next(struct traces *traces) {
    traces->next_ns = UINT64_MAX;
    for (unsigned i = 0; i < TRACES_MAX; i++)
        if (traces->active[i].reference && traces->active[i].end_ns < traces->next_ns)
            traces->next_ns = traces->active[i].end_ns;
}

static void tell_end(struct shard *shard, const struct trace *trace, enum trace_end why) {
    struct message *message = message_create(TRACE_ENDED, sizeof(struct trace_ended));
    *message_as(message, struct trace_ended) = (struct trace_ended){
        .reference = trace->reference,
        .events = trace->events,
        .suppressed = trace->suppressed,
        .shard = (uint16_t)shard->index,
        .why = why,
    };
    system_send(shard, trace->asker, message);
}

static void end(struct shard *shard, struct trace *trace, enum trace_end why) {
    tell_end(shard, trace, why);
    trace->reference = 0;
    shard->traces.count--;
    set_next(&shard->traces);
}

void trace_on_request(struct shard *shard, struct actor_id asker,
                      const struct control_trace *request) {
    struct trace *place = NULL;
    for (unsigned i = 0; i < TRACES_MAX && !place; i++)
        if (!shard->traces.active[i].reference)
            place = &shard->traces.active[i];
    struct trace trace = {
        .spec = request->spec,
        .reference = request->reference,
        .asker = asker,
        .end_ns = shard->now_ns + request->spec.duration_ms * (uint64_t)1000000,
        .second_ns = shard->now_ns,
    };
    if (!place) {
        tell_end(shard, &trace, TRACE_OVER_BUSY);
        return;
    }
    *place = trace;
    shard->traces.count++;
    set_next(&shard->traces);
    profile_observe_next(&shard->profile);
}

void trace_on_stop(struct shard *shard, uint64_t reference) {
    for (unsigned i = 0; i < TRACES_MAX; i++)
        if (shard->traces.active[i].reference == reference)
            end(shard, &shard->traces.active[i], TRACE_OVER_STOPPED);
}

void trace_turn(struct shard *shard) {
    for (unsigned i = 0; i < TRACES_MAX; i++)
        if (shard->traces.active[i].reference && shard->traces.active[i].end_ns <= shard->now_ns)
            end(shard, &shard->traces.active[i], TRACE_OVER_TIME);
}

/* --- events
 * -------------------------------------------------------------------------------------------------
 */

static bool follows(const struct trace *trace, const struct actor *actor) {
    if (!trace->reference || trace->asker.bits == actor->id)
        return false;
    if (trace->spec.actor.bits)
        return trace->spec.actor.bits == actor->id;
    return strcmp(trace->spec.class_name, actor->class->class->name) == 0;
}

static bool may_tell(struct trace *trace, uint64_t now_ns) {
    if (now_ns - trace->second_ns >= SECOND_NS) {
        trace->second_ns = now_ns;
        trace->in_second = 0;
    }
    return trace->in_second++ < trace->spec.per_second;
}

/* From nobody, so that one that is refused doesn't come back to the actor that is followed. */
static int send_from_nobody(struct shard *shard, struct actor_id to, struct message **message) {
    struct actor *running = shard->running.actor;
    uint32_t count = shard->traces.count;
    shard->running.actor = NULL;
    shard->traces.count = 0;
    int error = actor_send(to, message);
    shard->traces.count = count;
    shard->running.actor = running;
    return error;
}

static void tell(struct shard *shard, const struct actor *actor, struct trace_event *event) {
    const struct actor_class *class = actor->class->class;
    event->actor = actor_id_of(actor);
    event->key = actor->flags & ACTOR_IS_NAMED ? actor->key : 0;
    event->class_name = class->name;
    event->shard = (uint16_t)shard->index;
    for (unsigned i = 0; i < TRACES_MAX; i++) {
        struct trace *trace = &shard->traces.active[i];
        if (!follows(trace, actor))
            continue;
        event->reference = trace->reference;
        struct message *message = NULL;
        if (may_tell(trace, event->at_ns)) {
            message = message_create(TRACE_EVENT, sizeof *event);
            *message_as(message, struct trace_event) = *event;
        }
        if (!message || send_from_nobody(shard, trace->asker, &message))
            trace->suppressed++;
        else
            trace->events++;
        message_destroy(message);
        if (trace->spec.events_max && trace->events >= trace->spec.events_max)
            end(shard, trace, TRACE_OVER_EVENTS);
    }
}

static const char *kind_name(const struct actor *actor, uint16_t kind) {
    const struct actor_class *class = actor->class->class;
    return kind < class->handler_count ? class->handlers[kind].name : NULL;
}

void trace_begin(struct shard *shard, const struct message *message, uint64_t now_ns) {
    bool stub = message->flags & MESSAGE_STUB;
    shard->traces.note = (struct trace_note){.from = stub ? message->shared->from : message->from,
                                             .sent_ns = message->sent_ns,
                                             .begun_ns = now_ns,
                                             .bytes = message->allocated_bytes,
                                             .kind = message->kind};
}

static struct trace_event event_of(const struct trace_note *note, const struct actor *actor,
                                   uint64_t now_ns) {
    return (struct trace_event){
        .at_ns = now_ns,
        .kind_name = kind_name(actor, note->kind),
        .other = note->from,
        .waited_ns = note->begun_ns > note->sent_ns ? note->begun_ns - note->sent_ns : 0,
        .took_ns = now_ns - note->begun_ns,
        .bytes = note->bytes,
        .kind = note->kind,
    };
}

void trace_handled(struct shard *shard, const struct actor *actor, uint64_t now_ns) {
    struct trace_event event = event_of(&shard->traces.note, actor, now_ns);
    event.what = TRACE_HANDLED;
    tell(shard, actor, &event);
}

void trace_failed(struct shard *shard, const struct actor *actor, int reason) {
    uint64_t now_ns = shard->seams->monotonic_ns(shard->seams->context);
    struct trace_event event = event_of(&shard->traces.note, actor, now_ns);
    event.what = TRACE_FAILED;
    event.reason = reason;
    tell(shard, actor, &event);
}

void trace_sent(struct shard *shard, const struct message *message) {
    const struct actor *actor = shard->running.actor;
    if (!actor)
        return;
    bool named = message->flags & MESSAGE_NAMED;
    struct trace_event event = {
        .at_ns = shard->seams->monotonic_ns(shard->seams->context),
        .other = named ? ACTOR_NOBODY : message->to,
        .other_class = named ? message->to_class->name : NULL,
        .other_key = named ? message->to.bits : 0,
        .bytes = message->allocated_bytes,
        .kind = message->kind,
        .what = TRACE_SENT,
    };
    if (named && message->kind < message->to_class->handler_count)
        event.kind_name = message->to_class->handlers[message->kind].name;
    tell(shard, actor, &event);
}

/* --- the asker's side
 * --------------------------------------------------------------------------------------- */

static void tell_shards(struct shard *shard, enum control_kind kind,
                        const struct control_trace *request) {
    for (unsigned i = 0; i < shard->shard_count; i++)
        control_send(shard, i, kind, ACTOR_NOBODY, actor_self(), request, sizeof *request);
}

int actor_trace_start(const struct trace_spec *spec, uint64_t *reference) {
    struct shard *shard = shard_of_thread;
    bool one = spec->actor.bits != 0;
    if (!spec->duration_ms || spec->duration_ms > TRACE_MS_MAX || !spec->per_second ||
        spec->per_second > TRACE_PER_SECOND_MAX ||
        !memchr(spec->class_name, 0, sizeof spec->class_name) || one == (spec->class_name[0] != 0))
        return -EINVAL;
    if (one && (id_node(spec->actor) != shard->place >> ID_SHARD_BITS ||
                id_shard(spec->actor) >= shard->shard_count))
        return -EINVAL;
    struct control_trace request = {.spec = *spec, .reference = reference_next(shard)};
    *reference = request.reference;
    tell_shards(shard, CONTROL_TRACE, &request);
    return 0;
}

void actor_trace_stop(uint64_t reference) {
    struct control_trace request = {.reference = reference};
    tell_shards(shard_of_thread, CONTROL_TRACE_STOP, &request);
}

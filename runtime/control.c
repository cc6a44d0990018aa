/* SPDX-License-Identifier: Apache-2.0 */
/* Control messages: made, sent, and given to whom they concern. */
#include "runtime/control_internal.h"

#include "runtime/scheduler_internal.h"

#include <string.h>

void control_send(struct shard *shard, unsigned to_shard, enum control_kind kind,
                  struct actor_id to, struct actor_id from, const void *payload, size_t bytes) {
    struct message *message = message_create((uint16_t)kind, bytes);
    message_unhold(message);
    message->flags = MESSAGE_SYSTEM | MESSAGE_CONTROL;
    message->to = to;
    message->from = from;
    if (bytes)
        memcpy(message_payload(message), payload, bytes);
    if (to_shard == shard->index)
        control_carry_out(shard, message);
    else
        shard_send_remote(shard, to_shard, message);
}

static void kill_on_request(struct shard *shard, struct actor_id to, int reason) {
    struct actor *actor = shard_actor(shard, to);
    if (actor)
        actor_end_soon(shard, actor, reason);
}

static void spawn_on_request(struct shard *shard, struct actor_id supervisor,
                             const struct control_spawn *spawn) {
    struct child_started started = {
        .attempt = spawn->attempt, .shard = shard->index, .again = spawn->again};
    started.error = supervisor_start_child(shard, spawn, supervisor, &started.child);
    if (spawn->again.class && !started.error)
        return; /* there is nothing that its supervisor would do */
    struct message *answer = message_create(SUPERVISOR_CHILD_STARTED, sizeof started);
    *message_as(answer, struct child_started) = started;
    system_send(shard, supervisor, answer);
}

/* Whoever was watched may have no relations left. */
static void rest_of(struct shard *shard, struct actor_id id) {
    struct actor *actor = shard_actor(shard, id);
    if (actor)
        actor_relations_rest(shard, actor);
}

void control_carry_out(struct shard *shard, struct message *message) {
    if (message->flags & MESSAGE_MULTICAST) {
        multicast_arrive(shard, message);
        return;
    }
    void *payload = message_payload(message);
    const struct control_brood *brood = payload;
    switch ((enum control_kind)message->kind) {
    case CONTROL_MONITOR:
        monitor_on_request(shard, message->to, message->from,
                           message_as(message, struct control_monitor)->reference);
        break;
    case CONTROL_UNMONITOR:
        monitor_on_cancel(shard, message_as(message, struct control_monitor)->reference);
        rest_of(shard, message->to);
        break;
    case CONTROL_LINK:
        link_on_request(shard, message->to, message->from);
        break;
    case CONTROL_UNLINK:
        link_on_cancel(shard, message->to, message->from);
        break;
    case CONTROL_GROUP_JOIN:
    case CONTROL_GROUP_LEAVE:
        group_on_change(shard, message_as(message, struct control_group), message->from,
                        message->kind == CONTROL_GROUP_JOIN);
        break;
    case CONTROL_KILL:
        kill_on_request(shard, message->to, message_as(message, struct control_kill)->reason);
        break;
    case CONTROL_SPAWN:
        spawn_on_request(shard, message->from, message_as(message, struct control_spawn));
        break;
    case CONTROL_BROOD_OPEN:
        brood_on_open(shard, message->to, brood->shard);
        break;
    case CONTROL_BROOD_ORDER:
        brood_on_order(shard, message->from, brood->class, brood->order);
        break;
    case CONTROL_BROOD_COUNT:
        brood_on_count(shard, message->from, brood->census);
        break;
    case CONTROL_BROOD_KILL:
        brood_on_kill(shard, message->from);
        break;
    case CONTROL_INSPECT:
        inspect_on_request(shard, message->from, message_as(message, struct control_inspect));
        break;
    case CONTROL_INSPECT_ONE:
        inspect_one_on_request(shard, message->to, message->from,
                               message_as(message, struct control_inspect_one)->reference);
        break;
    case CONTROL_TRACE:
        trace_on_request(shard, message->from, message_as(message, struct control_trace));
        break;
    case CONTROL_TRACE_STOP:
        trace_on_stop(shard, message_as(message, struct control_trace)->reference);
        break;
    default:
        CHECK(!"a control kind");
    }
    message_destroy(message);
}

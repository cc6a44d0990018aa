/* SPDX-License-Identifier: Apache-2.0 */
/* What waits in one actor's mailbox, and whom it watches: read by its own shard, between turns. */
#include "runtime/control_internal.h"
#include "runtime/inspect_internal.h"
#include "runtime/scheduler_internal.h"

#include <errno.h>

/* The answer's blob: the messages, then the relations, each with room for all. */
#define RELATIONS_OFFSET (INSPECT_DETAIL_MAX * sizeof(struct inspect_message))
#define BLOB_BYTES (RELATIONS_OFFSET + INSPECT_DETAIL_MAX * sizeof(struct inspect_relation))

struct filling {
    const struct shard *shard;
    const struct actor_class *class;
    struct inspect_detail *detail;
    struct inspect_message *messages;
    struct inspect_relation *relations;
};

static void add_messages(struct filling *to, const struct message *first, bool deferred) {
    for (const struct message *at = first; at && to->detail->message_count < INSPECT_DETAIL_MAX;
         at = at->next) {
        const struct message *message = at->flags & MESSAGE_STUB ? at->shared : at;
        uint16_t kind = message->kind;
        bool known = kind < to->class->handler_count;
        to->messages[to->detail->message_count++] = (struct inspect_message){
            .kind_name = known ? to->class->handlers[kind].name : NULL,
            .from = message->from,
            .age_ns =
                message->sent_ns < to->shard->now_ns ? to->shard->now_ns - message->sent_ns : 0,
            .bytes = message->allocated_bytes,
            .kind = kind,
            .deferred = deferred,
        };
    }
}

static void add_relation(struct filling *to, enum inspect_relation_kind kind,
                         struct actor_id other) {
    if (to->detail->relation_count < INSPECT_DETAIL_MAX)
        to->relations[to->detail->relation_count++] = (struct inspect_relation){other, kind};
}

static void fill(struct filling *to, const struct actor *actor) {
    const struct relations *relations = actor->relations;
    to->detail->messages_in_all = actor->mailbox_count;
    if (relations)
        add_messages(to, relations->deferred_head, true);
    add_messages(to, actor->head, false);
    if (!relations)
        return;
    for (const struct monitor *at = relations->watching; at; at = at->next)
        add_relation(to, INSPECT_MONITORS, at->other);
    for (const struct monitor *at = relations->watchers; at; at = at->next)
        add_relation(to, INSPECT_MONITORED_BY, at->other);
    for (const struct link *at = relations->links; at; at = at->next)
        add_relation(to, INSPECT_LINKED, at->other);
}

void inspect_one_on_request(struct shard *shard, struct actor_id of, struct actor_id asker,
                            uint64_t reference) {
    struct message *message = message_create(INSPECT_DETAIL, sizeof(struct inspect_detail));
    struct inspect_detail *detail = message_payload(message);
    const struct actor *actor = shard_actor(shard, of);
    *detail = (struct inspect_detail){.reference = reference, .actor = of};
    message->blob = blob_create(BLOB_BYTES);
    if (actor) {
        struct filling to = {
            .shard = shard,
            .class = actor->class->class,
            .detail = detail,
            .messages = (struct inspect_message *)blob_bytes(message->blob),
            .relations = (struct inspect_relation *)(blob_bytes(message->blob) + RELATIONS_OFFSET),
        };
        detail->class_name = to.class->name;
        fill(&to, actor);
    }
    system_send(shard, asker, message);
}

int actor_inspect_detail(struct actor_id actor, uint64_t *reference) {
    struct shard *shard = shard_of_thread;
    struct control_inspect_one request = {.reference = reference_next(shard)};
    if (!is_of_this_node(shard, actor))
        return -EINVAL;
    *reference = request.reference;
    control_send(shard, id_shard(actor), CONTROL_INSPECT_ONE, actor, actor_self(), &request,
                 sizeof request);
    return 0;
}

const struct inspect_message *inspect_detail_messages(const struct message *detail) {
    return (const struct inspect_message *)blob_bytes(detail->blob);
}

const struct inspect_relation *inspect_detail_relations(const struct message *detail) {
    return (const struct inspect_relation *)(blob_bytes(detail->blob) + RELATIONS_OFFSET);
}

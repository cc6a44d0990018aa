/* SPDX-License-Identifier: Apache-2.0 */
/* What one actor looks like at this moment; read by its own shard. */
#include "runtime/control_internal.h"
#include "runtime/inspect_internal.h"
#include "runtime/scheduler_internal.h"

/* Lists are walked so far; an actor that has more shows this many. */
#define WALK_MAX 1024u

#define count_list(head, next)                                                    \
    __extension__({                                                               \
        uint32_t count_ = 0;                                                      \
        for (__auto_type at_ = (head); at_ && count_ < WALK_MAX; at_ = at_->next) \
            count_++;                                                             \
        count_;                                                                   \
    })

static uint64_t allocated_bytes(const struct actor *actor) {
    uint64_t bytes = 0;
    unsigned left = WALK_MAX;
    for (const struct arena_block *block = actor->arena; block && left--; block = block->next)
        bytes += block->bytes;
    return bytes;
}

uint64_t inspect_bytes(const struct shard *shard, const struct actor *actor) {
    return sizeof *actor + actor->class->class->state_bytes + allocated_bytes(actor) +
           actor->mailbox_bytes;
}

uint64_t inspect_oldest_ns(const struct shard *shard, const struct actor *actor) {
    const struct message *oldest = actor->head;
    if (actor->relations && actor->relations->deferred_head)
        oldest = actor->relations->deferred_head;
    return oldest && oldest->sent_ns < shard->now_ns ? shard->now_ns - oldest->sent_ns : 0;
}

static enum inspect_state state_of(const struct actor *actor) {
    if (actor->flags & (ACTOR_IS_ENDING | ACTOR_IS_STOPPING))
        return INSPECT_ENDING;
    if (actor->flags & ACTOR_IS_UNBORN)
        return INSPECT_STARTING;
    return actor->flags & ACTOR_IS_QUEUED ? INSPECT_QUEUED : INSPECT_IDLE;
}

void inspect_fill_row(const struct shard *shard, const struct actor *actor,
                      struct inspect_row *row) {
    const struct relations *relations = actor->relations;
    bool stopping = actor->flags & ACTOR_IS_STOPPING; /* then there is no last_active_ms */
    *row = (struct inspect_row){
        .actor = actor_id_of(actor),
        .supervisor = actor->brood ? actor->brood->supervisor : ACTOR_NOBODY,
        .class_name = actor->class->class->name,
        .key = actor->flags & ACTOR_IS_NAMED ? actor->key : 0,
        .messages = actor->handled,
        .busy_ns = (uint64_t)actor->busy * PROFILE_UNIT_NS,
        .oldest_ns = inspect_oldest_ns(shard, actor),
        .bytes = inspect_bytes(shard, actor),
        .state_bytes = actor->class->class->state_bytes,
        .allocated_bytes = allocated_bytes(actor),
        .mailbox_messages = actor->mailbox_count,
        .mailbox_bytes = actor->mailbox_bytes,
        .idle_ms = stopping ? 0 : (uint32_t)shard->now_ms - actor->last_active_ms,
        .timers = count_list(actor->timers, actor_next),
        .sockets_and_programs = count_list(actor->owned, next),
        .state = state_of(actor),
        .named = actor->flags & ACTOR_IS_NAMED,
        .published = actor->flags & ACTOR_IS_PUBLISHED,
    };
    if (!relations)
        return;
    row->monitors = count_list(relations->watching, next);
    row->watchers = count_list(relations->watchers, next);
    row->links = count_list(relations->links, next);
}

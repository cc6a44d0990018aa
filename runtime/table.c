/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of a shard's actors: chunks that never move, slots used again in the order they became
 * free.
 *
 * A free slot keeps its generation in `key`. A slot whose generations are used up is retired, so
 * that no id ever means two actors.
 */
#include "runtime/scheduler_internal.h"

#include <string.h>

static struct actor *slot_make(struct shard *shard) {
    if (shard->slots_used == shard->slots_max)
        return NULL;
    uint32_t slot = shard->slots_used;
    if (slot == shard->chunk_count * ACTOR_CHUNK) {
        struct actor *chunk = memory_map(ACTOR_CHUNK * sizeof(struct actor), true);
        if (!chunk)
            return NULL;
        shard->chunks[shard->chunk_count] = chunk;
        counter_add(shard->chunk_count, 1);
    }
    shard->slots_used++;
    return shard_slot(shard, slot);
}

static uint64_t id_of(const struct shard *shard, uint32_t slot, uint64_t generation) {
    return ((uint64_t)shard->place << ID_SLOT_BITS | slot) << ID_GENERATION_BITS | generation;
}

struct actor *actor_slot_take(struct shard *shard) {
    struct actor *actor = shard->free_head;
    if (actor) {
        uint64_t id = actor->key; /* the next one, see actor_slot_give */
        shard->free_head = actor->run_next;
        if (!shard->free_head)
            shard->free_tail = NULL;
        memset(actor, 0, sizeof *actor);
        actor->id = id;
        return actor;
    }
    uint32_t slot = shard->slots_used;
    actor = slot_make(shard);
    if (actor)
        actor->id = id_of(shard, slot, 1);
    return actor;
}

static void slot_link(struct shard *shard, struct actor *actor) {
    actor->run_next = NULL;
    if (shard->free_tail)
        shard->free_tail->run_next = actor;
    else
        shard->free_head = actor;
    shard->free_tail = actor;
}

void actor_slot_give(struct shard *shard, struct actor *actor) {
    uint64_t generation = actor->id & ID_GENERATION_MAX;
    CHECK(actor->id != ID_FREE && !actor->head);
    actor->key = generation == ID_GENERATION_MAX ? 0 : actor->id + 1;
    actor->id = ID_FREE;
    actor->flags = (actor->flags & ACTOR_IS_QUEUED) | ACTOR_IS_FREE;
    if (!(actor->flags & ACTOR_IS_QUEUED))
        actor_slot_unqueued(shard, actor);
}

void actor_slot_unqueued(struct shard *shard, struct actor *actor) {
    actor->flags = ACTOR_IS_FREE;
    if (actor->key)
        slot_link(shard, actor);
}

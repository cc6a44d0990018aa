/* SPDX-License-Identifier: Apache-2.0 */
/* A shard's making and unmaking, and what the files around the reactor may ask of it. */
#include "runtime/control_internal.h"
#include "runtime/scheduler_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define END_PASSES_MAX 8u /* actors whose terminate makes others */

__thread struct shard *shard_of_thread;

static size_t asked_bytes(const struct shard *shard) {
    return (shard->slots_max / 64 + 1) * sizeof *shard->asked;
}

int shard_create(struct runtime *runtime, unsigned index, uint32_t actors_max,
                 struct shard **created) {
    struct shard *shard = aligned_alloc(64, sizeof *shard);
    if (!shard)
        return -ENOMEM;
    memset(shard, 0, sizeof *shard);
    shard->runtime = runtime;
    shard->seams = &runtime->seams;
    shard->fault = runtime->seams.fault;
    shard->index = index;
    shard->place = (uint32_t)runtime->node << ID_SHARD_BITS | index;
    shard->slots_max = actors_max;
    profile_init(&shard->profile, index);
    shard->inspections.next_ns = shard->traces.next_ns = UINT64_MAX;
    shard->next_turn_end = &shard->next_turn;
    shard->shard_count = runtime->shard_count;
    shard->chunks = calloc(actors_max / ACTOR_CHUNK + 1, sizeof *shard->chunks);
    shard->lanes_in = calloc(runtime->shard_count, sizeof(struct lane *));
    shard->lanes_out = calloc(runtime->shard_count, sizeof(struct lane *));
    shard->asked = memory_map(asked_bytes(shard), false);
    CHECK(shard->chunks && shard->asked && shard->lanes_in && shard->lanes_out);
    for (unsigned i = 0; i < runtime->shard_count; i++) {
        if (i == index)
            continue;
        shard->lanes_out[i] = &runtime->lanes[index * runtime->shard_count + i];
        shard->lanes_out[i]->own = &shard->messages;
        shard->lanes_in[i] = &runtime->lanes[i * runtime->shard_count + index];
    }
    shard->now_ns = runtime->seams.monotonic_ns(runtime->seams.context);
    shard->now_ms = shard->now_ns / 1000000;
    slab_init(&shard->messages, runtime, index);
    slab_init(&shard->memory, runtime, index);
    classes_init(&shard->classes);
    shard->rest.wait_ns = runtime->batch_wait_ns;
    shard->rest.phase_ns = runtime->batch_wait_ns * index / runtime->shard_count;
    shard->spin.allowed = runtime->spins;
    timer_wheel_init(&shard->wheel, shard->now_ns);
    *created = shard;
    return 0;
}

void shard_destroy(struct shard *shard) {
    CHECK(!shard->next_turn);
    timer_wheel_finish(&shard->wheel);
    registry_finish(&shard->registry);
    classes_finish(&shard->classes);
    groups_finish(shard);
    map_finish(&shard->watching);
    map_finish(&shard->watched);
    map_finish(&shard->calls);
    map_finish(&shard->broods);
    slab_finish(&shard->messages);
    slab_finish(&shard->memory);
    for (uint32_t i = 0; i < shard->chunk_count; i++)
        memory_unmap(shard->chunks[i], ACTOR_CHUNK * sizeof(struct actor));
    memory_unmap(shard->asked, asked_bytes(shard));
    free(shard->chunks);
    free(shard->lanes_in);
    free(shard->lanes_out);
    free(shard);
}

void shard_enter(struct shard *shard) {
    shard_of_thread = shard;
}

void shard_end_actors(struct shard *shard) {
    inspect_finish(shard);
    for (unsigned pass = 0; shard->counters.actors && pass < END_PASSES_MAX; pass++)
        for (uint32_t slot = 0; slot < shard->slots_used; slot++) {
            struct actor *actor = shard_slot(shard, slot);
            if (actor->id != ID_FREE)
                actor_end(shard, actor, ACTOR_SHUTDOWN);
        }
}

/* --- shard_internal.h
 * ---------------------------------------------------------------------------------- */

struct shard *shard_current(void) {
    return shard_of_thread;
}

unsigned shard_index(const struct shard *shard) {
    return shard->index;
}

struct runtime *shard_runtime(const struct shard *shard) {
    return shard->runtime;
}

const struct seams *shard_seams(const struct shard *shard) {
    return shard->seams;
}

struct reactor *shard_reactor(const struct shard *shard) {
    return shard->reactor;
}

uint64_t shard_now_ns(const struct shard *shard) {
    return shard->now_ns;
}

struct socket_table **shard_sockets(struct shard *shard) {
    return &shard->sockets;
}

struct program_table **shard_programs(struct shard *shard) {
    return &shard->programs;
}

void shard_note(struct shard *shard, struct actor_id id, enum recorder_event event, int detail) {
    const struct actor *actor = shard_actor(shard, id);
    uint32_t class = actor ? actor->class->index : 0;
    recorder_note(&shard->recorder, actor ? id.bits : 0,
                  recorder_what(shard->now_ms, class, event) | (uint16_t)detail);
}

void shard_count(struct shard *shard, const char *name, uint64_t n) {
    classes_count_event(&shard->classes, name, n);
}

void shard_post(struct shard *shard, struct actor_id to, struct message **message) {
    struct message *posted = *message;
    *message = NULL;
    message_unhold(posted);
    posted->to = to;
    posted->to_class = NULL;
    posted->sent_ns = shard->now_ns;
    posted->flags |= MESSAGE_SYSTEM;
    posted->allocated_bytes = message_bytes(posted);
    mailbox_arrive(shard, posted);
}

bool shard_actor_lives(const struct shard *shard, struct actor_id actor) {
    return shard_actor(shard, actor) != NULL;
}

void shard_lend(struct shard *shard, struct message *message, shard_give_back_fn giver) {
    CHECK(!shard->giver || shard->giver == giver);
    shard->giver = giver;
    message->flags |= MESSAGE_LENT;
}

void *shard_allocate(struct shard *shard, size_t bytes) {
    if (bytes > SLAB_BYTES_MAX) {
        void *memory = calloc(1, bytes);
        CHECK(memory);
        return memory;
    }
    void *memory = slab_take(&shard->memory, slab_class_of(bytes));
    memset(memory, 0, bytes);
    return memory;
}

void shard_free(struct shard *shard, void *memory, size_t bytes) {
    if (!memory)
        return;
    if (bytes > SLAB_BYTES_MAX)
        free(memory);
    else
        slab_give(&shard->memory, memory, slab_class_of(bytes));
}

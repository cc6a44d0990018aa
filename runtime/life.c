/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How actors begin and end.
 *
 *   create ─► be_born (init) ──0──► lives ──► end: terminate, then everything that it owned goes
 *                   └── error or actor_fail ──► discard: it never was
 *
 * The order of an end is part of the contract: terminate may still send; then timers, handles,
 * memory and kept messages go; then watchers, links and the supervisor hear of it, behind all that
 * it had sent; last its mailbox is emptied and its id is stale.
 */
#include "runtime/control_internal.h"
#include "runtime/log.h"
#include "runtime/scheduler_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_MAGIC 0x616374726d656d31u

/* --- beginning
 * --------------------------------------------------------------------------------------- */

struct relations *actor_relations(struct shard *shard, struct actor *actor) {
    if (!actor->relations)
        actor->relations = shard_allocate(shard, sizeof *actor->relations);
    return actor->relations;
}

void actor_relations_rest(struct shard *shard, struct actor *actor) {
    static const struct relations none;
    if (!actor->relations || (actor->flags & ACTOR_IS_ENDING) ||
        memcmp(actor->relations, &none, sizeof none) != 0)
        return;
    shard_free(shard, actor->relations, sizeof none);
    actor->relations = NULL;
}

int actor_create(struct shard *shard, struct class_entry *class, struct actor_id supervisor,
                 bool fixed, struct actor **created) {
    struct actor *actor = actor_slot_take(shard);
    if (!actor)
        return -ENOSPC;
    actor->class = class;
    actor->last_active_ms = (uint32_t)(shard->now_ns / 1000000);
    int error = brood_join(shard, actor, supervisor, fixed);
    if (error) {
        actor_slot_give(shard, actor);
        return error;
    }
    if (class->class->state_bytes)
        actor->state = shard_allocate(shard, class->class->state_bytes);
    counter_add(class->actors, 1);
    counter_add(class->spawned, 1);
    counter_add(shard->counters.actors, 1);
    *created = actor;
    return 0;
}

struct birth {
    const void *argument;
    int error;
};

static void run_init(struct actor *actor, void *argument) {
    struct birth *birth = argument;
    const struct actor_class *class = actor->class->class;
    birth->error = class->init ? class->init(actor->state, birth->argument) : 0;
}

static void note(struct shard *shard, const struct actor *actor, enum recorder_event event,
                 int reason) {
    recorder_note(&shard->recorder, actor->id,
                  recorder_what(shard->now_ms, actor->class->index, event) | (uint16_t)reason);
}

int actor_be_born(struct shard *shard, struct actor *actor, const void *argument) {
    struct birth birth = {.argument = argument};
    note(shard, actor, RECORDER_SPAWN, 0);
    if (shard_guard(shard, actor, run_init, &birth)) {
        counter_add(actor->class->failed, 1);
        log_warning("%s failed in its init: %s (reason %d)", actor->class->class->name,
                    shard->fail_why, shard->fail_reason);
        return -ECANCELED;
    }
    return birth.error;
}

/* `key` is NULL but for a kept one. */
static int spawn(struct shard *shard, struct class_entry *class, const void *argument,
                 struct actor_id supervisor, bool fixed, const uint64_t *key, struct actor_id *id) {
    struct actor *actor;
    if (shard->spawn_depth >= SPAWN_DEPTH_MAX)
        return -ELOOP;
    int error = actor_create(shard, class, supervisor, fixed, &actor);
    if (error)
        return error;
    if (key) {
        actor->key = *key;
        actor->flags |= ACTOR_IS_KEPT;
    }
    shard->spawn_depth++;
    error = actor_be_born(shard, actor, argument);
    shard->spawn_depth--;
    if (error) {
        actor_discard(shard, actor, error);
        return error;
    }
    if (id)
        *id = actor_id_of(actor);
    if ((actor->flags & (ACTOR_IS_STOPPING | ACTOR_IS_QUEUED)) == ACTOR_IS_STOPPING)
        shard_enqueue(shard, actor); /* ends in its first turn, when who spawned it knows its id */
    return 0;
}

int actor_spawn(const struct actor_class *class, const void *argument, struct actor_id supervisor,
                struct actor_id *id) {
    struct shard *shard = shard_of_thread;
    CHECK(shard);
    return spawn(shard, classes_enter(&shard->classes, class), argument, supervisor, false, NULL,
                 id);
}

int actor_spawn_fixed(struct shard *shard, const struct actor_class *class, const void *argument,
                      struct actor_id supervisor, struct actor_id *id) {
    return spawn(shard, classes_enter(&shard->classes, class), argument, supervisor, true, NULL,
                 id);
}

int actor_spawn_kept(struct shard *shard, const struct actor_class *class, uint64_t key,
                     struct actor_id supervisor, struct actor_id *id) {
    return spawn(shard, classes_enter(&shard->classes, class), NULL, supervisor, false, &key, id);
}

/* --- ending
 * ------------------------------------------------------------------------------------------ */

static void arena_free_all(struct shard *shard, struct actor *actor) {
    while (actor->arena) {
        struct arena_block *block = actor->arena;
        actor->arena = block->next;
        CHECK(block->magic == ARENA_MAGIC);
        block->magic = 0;
        shard_free(shard, block, block->bytes);
    }
}

static void owned_release_all(struct actor *actor) {
    while (actor->owned) {
        struct owned *owned = actor->owned;
        owned_remove(owned);
        owned->release(owned);
    }
}

/* Everything that the actor owned, but for its mailbox and its name. */
static void release_possessions(struct shard *shard, struct actor *actor) {
    timer_cancel_all(shard, actor);
    owned_release_all(actor);
    arena_free_all(shard, actor);
    if (actor->relations)
        while (actor->relations->held)
            message_destroy(actor->relations->held);
    if (actor->state)
        shard_free(shard, actor->state, actor->class->class->state_bytes);
    actor->state = NULL;
}

/* The last step of both ways to end. */
static void bury(struct shard *shard, struct actor *actor, bool reactivate) {
    if (actor->flags & ACTOR_IS_NAMED) {
        registry_remove(&shard->registry, actor);
        shard_ask_idle(shard, actor, false);
    }
    if (actor->flags & ACTOR_IS_PUBLISHED)
        names_remove_all(shard->runtime, actor_id_of(actor));
    struct class_entry *class = actor->class;
    mailbox_empty(shard, actor, reactivate);
    if (actor->relations)
        shard_free(shard, actor->relations, sizeof *actor->relations);
    actor->relations = NULL;
    counter_add(class->actors, -(uint64_t)1);
    counter_add(shard->counters.actors, -(uint64_t)1);
    actor_slot_give(shard, actor);
}

void actor_discard(struct shard *shard, struct actor *actor, int reason) {
    actor->flags |= ACTOR_IS_ENDING;
    note(shard, actor, RECORDER_EXIT, reason);
    release_possessions(shard, actor);
    relations_end(shard, actor, reason);
    brood_end_all(shard, actor);
    brood_leave(shard, actor, reason, false);
    bury(shard, actor, false);
}

static void run_terminate(struct actor *actor, void *argument) {
    actor->class->class->terminate(actor->state, *(int *)argument);
}

static void count_end(struct shard *shard, struct actor *actor, int reason) {
    struct class_entry *class = actor->class;
    if (reason == ACTOR_PASSIVATED)
        counter_add(class->passivated, 1);
    else
        counter_add(class->ended, 1);
    if (!(actor->flags & ACTOR_HAS_FAILED))
        return;
    counter_add(class->failed, 1);
    log_warning("%s failed: %s (reason %d)", class->class->name,
                shard->fail_why ? shard->fail_why : "", reason);
}

void actor_end(struct shard *shard, struct actor *actor, int reason) {
    CHECK(!(actor->flags & (ACTOR_IS_ON_STACK | ACTOR_IS_ENDING)));
    actor->flags = (actor->flags & ~(uint32_t)ACTOR_IS_STOPPING) | ACTOR_IS_ENDING;
    count_end(shard, actor, reason);
    note(shard, actor, RECORDER_EXIT, reason);
    bool was_born = !(actor->flags & ACTOR_IS_UNBORN);
    if (was_born && actor->class->class->terminate &&
        shard_guard(shard, actor, run_terminate, &reason))
        classes_count_event(&shard->classes, "actor_terminate_failed", 1);
    release_possessions(shard, actor);
    if (reason == ACTOR_PASSIVATED)
        call_forget_unread(shard, actor);
    relations_end(shard, actor, reason);
    brood_end_all(shard, actor);
    brood_leave(shard, actor, reason, true);
    bury(shard, actor, reason == ACTOR_PASSIVATED);
}

void actor_end_soon(struct shard *shard, struct actor *actor, int reason) {
    if (actor->flags & ACTOR_IS_ENDING)
        return;
    if (!(actor->flags & ACTOR_IS_ON_STACK) && !shard->running.actor) {
        actor_end(shard, actor, reason);
        return;
    }
    if (!(actor->flags & ACTOR_IS_STOPPING) || reason == ACTOR_KILLED) {
        actor->flags |= ACTOR_IS_STOPPING;
        actor->stop_reason = reason;
    }
    if (!(actor->flags & (ACTOR_IS_ON_STACK | ACTOR_IS_QUEUED)))
        shard_enqueue(shard, actor);
}

void actor_stop(int reason) {
    struct shard *shard = shard_of_thread;
    actor_end_soon(shard, shard->running.actor, reason);
}

void actor_stay(bool stays) {
    struct shard *shard = shard_of_thread;
    const struct actor *actor = shard->running.actor;
    CHECK(actor);
    if ((actor->flags & ACTOR_IS_NAMED) && actor->class->class->idle_ms)
        shard_ask_idle(shard, actor, !stays);
}

void actor_fail(int reason, const char *why) {
    struct shard *shard = shard_of_thread;
    CHECK(shard && shard->running.actor && shard->escape);
    note(shard, shard->running.actor, RECORDER_FAIL, reason);
    shard->fail_reason = reason;
    shard->fail_why = why;
    _longjmp(shard->escape->environment, 1);
}

/* --- what an actor owns
 * ------------------------------------------------------------------------------ */

void owned_add(struct owned *owned, void (*release)(struct owned *owned)) {
    struct actor *actor = shard_of_thread->running.actor;
    CHECK(actor && !owned->link);
    owned->release = release;
    owned->next = actor->owned;
    owned->link = &actor->owned;
    if (actor->owned)
        actor->owned->link = &owned->next;
    actor->owned = owned;
}

void owned_remove(struct owned *owned) {
    if (!owned->link)
        return;
    *owned->link = owned->next;
    if (owned->next)
        owned->next->link = owned->link;
    owned->link = NULL;
    owned->next = NULL;
}

void *actor_allocate(size_t bytes) {
    struct shard *shard = shard_of_thread;
    struct actor *actor = shard->running.actor;
    CHECK(actor && bytes <= ACTOR_ALLOCATION_MAX);
    struct arena_block *block = shard_allocate(shard, sizeof *block + bytes);
    block->bytes = sizeof *block + bytes;
    block->magic = ARENA_MAGIC;
    block->next = actor->arena;
    block->link = &actor->arena;
    if (actor->arena)
        actor->arena->link = &block->next;
    actor->arena = block;
    return block + 1;
}

void actor_free(void *memory) {
    if (!memory)
        return;
    struct arena_block *block = (struct arena_block *)memory - 1;
    CHECK(block->magic == ARENA_MAGIC);
    block->magic = 0;
    *block->link = block->next;
    if (block->next)
        block->next->link = block->link;
    shard_free(shard_of_thread, block, block->bytes);
}

void *actor_reallocate(void *memory, size_t bytes) {
    if (!memory)
        return actor_allocate(bytes);
    struct arena_block *block = (struct arena_block *)memory - 1;
    CHECK(block->magic == ARENA_MAGIC);
    size_t old = block->bytes - sizeof *block, all = bytes + sizeof *block;
    if (all <= SLAB_BYTES_MAX && block->bytes <= SLAB_BYTES_MAX &&
        slab_class_of(all) == slab_class_of(block->bytes)) {
        block->bytes = all; /* there is room for it where it is */
        return memory;
    }
    void *grown = actor_allocate(bytes);
    memcpy(grown, memory, old < bytes ? old : bytes);
    actor_free(memory);
    return grown;
}

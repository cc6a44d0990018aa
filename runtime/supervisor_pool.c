/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pools: dynamic children that come back.
 *
 * A child of supervisor_spawn costs its supervisor nothing while it lives: what is needed to start
 * it again, class and key, lies in the child itself and comes with the word of its end. Then it is
 * one timer and one small record, until it has been started again, on its own shard. So each end is
 * O(1), whatever the number of children, and a million ends are a million short messages.
 */
#include "runtime/log.h"
#include "runtime/scheduler_internal.h"
#include "runtime/supervisor_internal.h"

#include <errno.h>

/* One that waits for its time. In the supervisor's memory: it goes with it. */
struct comeback {
    struct control_spawn spawn;
    unsigned shard;
};

/* Where the spec says what to do about children of that class. */
static struct place *pool_of(struct supervisor *supervisor, const struct actor_class *class) {
    for (uint32_t i = 0; i < supervisor->place_count; i++)
        if (supervisor->places[i].child->dynamic && supervisor->places[i].child->class == class)
            return &supervisor->places[i];
    return NULL;
}

static void come_back_later(struct supervisor *supervisor, const struct control_spawn *spawn,
                            unsigned shard) {
    struct comeback *comeback = actor_allocate(sizeof *comeback);
    *comeback = (struct comeback){*spawn, shard};
    counter_add(shard_of_thread->counters.restarts, 1);
    actor_timer_start(supervisor_backoff_ms(supervisor, spawn->again.failures), SUPERVISOR_POOL_DUE,
                      (uint64_t)(uintptr_t)comeback);
}

void supervisor_pool_ended(struct supervisor *supervisor, const struct child_ended *ended) {
    struct place *pool = pool_of(supervisor, ended->class);
    bool again = ended->kept && pool && supervisor_wants_restart(pool->child, ended->reason);
    if (pool && reason_is_failure(ended->reason)) {
        pool->ends++;
        pool->last_reason = ended->reason;
    }
    if (supervisor->phase == STOPPING || (!again && !reason_is_failure(ended->reason)))
        return;
    if (!supervisor_may_go_on(supervisor) || !again)
        return;
    struct control_spawn spawn = {.attempt = pool->attempt,
                                  .again = {.class = ended->class, .key = ended->key}};
    come_back_later(supervisor, &spawn, id_shard(ended->child));
}

/* The pool may have been closed, or opened anew, since it ended. */
static bool is_wanted(struct supervisor *supervisor, const struct actor_class *class,
                      uint32_t attempt) {
    const struct place *pool = pool_of(supervisor, class);
    return pool->state == PLACE_RUNNING && pool->attempt == attempt;
}

void supervisor_pool_started(struct supervisor *supervisor, const struct child_started *started) {
    struct control_spawn spawn = {.attempt = started->attempt, .again = started->again};
    if (!is_wanted(supervisor, started->again.class, started->attempt))
        return;
    log_error("supervisor %s could not start a %s again: %d", supervisor->spec->name,
              started->again.class->name, started->error);
    if (!supervisor_may_go_on(supervisor))
        return;
    spawn.again.failures++;
    come_back_later(supervisor, &spawn, started->shard);
}

void supervisor_pool_due(struct supervisor *supervisor, uint64_t argument) {
    struct comeback *comeback = (struct comeback *)(uintptr_t)argument;
    if (is_wanted(supervisor, comeback->spawn.again.class, comeback->spawn.attempt))
        control_send(shard_of_thread, comeback->shard, CONTROL_SPAWN, ACTOR_NOBODY, actor_self(),
                     &comeback->spawn, sizeof comeback->spawn);
    actor_free(comeback);
}

int supervisor_spawn(const struct actor_class *class, uint64_t key, struct actor_id supervisor,
                     struct actor_id *id) {
    CHECK(shard_of_thread);
    return actor_spawn_kept(shard_of_thread, class, key, supervisor, id);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Broods: the children that one supervisor has on one shard.
 *
 * Each actor with a supervisor is on the list of its brood, by slots, so that a child costs eight
 * bytes and joining, leaving and counting are O(1). Telling a million to stop is done a part per
 * turn. A supervisor on another shard is told once that this one has children of its, so that it
 * can reach them when it stops.
 *
 * A brood lives from its first child until its supervisor is no more and its last child has gone.
 */
#include "runtime/control_internal.h"
#include "runtime/scheduler_internal.h"

#include <errno.h>

#define TELL_PER_TURN 1024u

static struct brood *brood_find(struct shard *shard, struct actor_id supervisor,
                                const struct class_entry *class) {
    struct brood *brood = shard->brood_last;
    if (brood && brood->supervisor.bits == supervisor.bits && brood->class == class)
        return brood;
    brood = map_get(&shard->broods, supervisor.bits);
    while (brood && brood->class != class)
        brood = brood->next;
    if (brood)
        shard->brood_last = brood;
    return brood;
}

static struct brood *brood_make(struct shard *shard, struct actor_id supervisor,
                                struct class_entry *class) {
    struct brood *brood = shard_allocate(shard, sizeof *brood);
    struct brood *first = map_remove(&shard->broods, supervisor.bits);
    brood->supervisor = supervisor;
    brood->class = class;
    brood->next = first;
    map_put(&shard->broods, supervisor.bits, brood);
    if (!first) {
        struct control_brood open = {.shard = shard->index};
        control_send(shard, id_shard(supervisor), CONTROL_BROOD_OPEN, supervisor, ACTOR_NOBODY,
                     &open, sizeof open);
    }
    return brood;
}

static void brood_free(struct shard *shard, struct brood *brood) {
    uint64_t supervisor = brood->supervisor.bits;
    struct brood *first = map_remove(&shard->broods, supervisor), **link = &first;
    while (*link != brood)
        link = &(*link)->next;
    *link = brood->next;
    if (first)
        map_put(&shard->broods, supervisor, first);
    if (shard->brood_last == brood)
        shard->brood_last = NULL;
    shard_free(shard, brood, sizeof *brood);
}

/* Supervisors of other nodes, and those of this shard that have gone, have no children. */
static bool may_have_children(const struct shard *shard, struct actor_id supervisor) {
    if (id_place(supervisor) != shard->place)
        return id_node(supervisor) == shard->place >> ID_SHARD_BITS &&
               id_shard(supervisor) < shard->shard_count;
    struct actor *actor = shard_actor(shard, supervisor);
    return actor && !(actor->flags & ACTOR_IS_ENDING);
}

int brood_join(struct shard *shard, struct actor *actor, struct actor_id supervisor, bool fixed) {
    if (!supervisor.bits)
        return 0;
    struct class_entry *class = fixed ? NULL : actor->class;
    struct brood *brood = brood_find(shard, supervisor, class);
    if (!brood) {
        if (!may_have_children(shard, supervisor))
            return -ESRCH;
        brood = brood_make(shard, supervisor, class);
    }
    if (brood->stopping)
        return -ESRCH;
    uint32_t place = actor_slot(actor) + 1;
    actor->brood = brood;
    actor->sibling_next = brood->first;
    if (brood->first)
        shard_slot(shard, brood->first - 1)->sibling_previous = place;
    brood->first = place;
    brood->count++;
    if (fixed)
        actor->flags |= ACTOR_IS_FIXED;
    return 0;
}

static void unlink_child(struct shard *shard, struct brood *brood, struct actor *actor) {
    uint32_t next = actor->sibling_next, previous = actor->sibling_previous;
    if (brood->cursor == actor_slot(actor) + 1)
        brood->cursor = next;
    if (previous)
        shard_slot(shard, previous - 1)->sibling_next = next;
    else
        brood->first = next;
    if (next)
        shard_slot(shard, next - 1)->sibling_previous = previous;
    brood->count--;
    actor->brood = NULL;
}

static void tell_empty(struct shard *shard, struct actor_id supervisor,
                       const struct actor_class *class) {
    struct message *message = message_create(SUPERVISOR_BROOD_EMPTY, sizeof(struct control_brood));
    struct control_brood *empty = message_payload(message);
    empty->class = class;
    empty->shard = shard->index;
    system_send(shard, supervisor, message);
}

static void tell_child_ended(struct shard *shard, const struct brood *brood,
                             const struct actor *child, int reason) {
    struct message *message = message_create(SUPERVISOR_CHILD_ENDED, sizeof(struct child_ended));
    struct child_ended *ended = message_payload(message);
    *ended = (struct child_ended){.child = actor_id_of(child),
                                  .class = brood->class ? brood->class->class : NULL,
                                  .key = child->key,
                                  .reason = reason,
                                  .kept = child->flags & ACTOR_IS_KEPT};
    system_send(shard, brood->supervisor, message);
}

bool reason_is_failure(int reason) {
    return reason != ACTOR_NORMAL && reason != ACTOR_SHUTDOWN && reason != ACTOR_PASSIVATED;
}

void brood_leave(struct shard *shard, struct actor *actor, int reason, bool was_born) {
    struct brood *brood = actor->brood;
    if (!brood)
        return;
    unlink_child(shard, brood, actor);
    if (brood->orphaned) {
        if (!brood->count && !brood->at_work)
            brood_free(shard, brood);
        return;
    }
    if (!brood->class) {
        if (was_born)
            tell_child_ended(shard, brood, actor, reason);
    } else if (brood->stopping) {
        if (!brood->count)
            tell_empty(shard, brood->supervisor, brood->class->class);
    } else if (was_born && (reason_is_failure(reason) || actor->flags & ACTOR_IS_KEPT)) {
        tell_child_ended(shard, brood, actor, reason);
    }
}

/* --- stopping a brood
 * ---------------------------------------------------------------------------------- */

static void stop_begin(struct shard *shard, struct brood *brood, bool kill) {
    brood->stopping = true;
    brood->kill = kill;
    brood->cursor = brood->first;
    if (!brood->at_work && brood->cursor) {
        brood->at_work = true;
        brood->work_next = shard->brood_work;
        shard->brood_work = brood;
    }
}

static void tell_stop(struct shard *shard, struct brood *brood, struct actor *actor) {
    if (brood->kill) {
        actor_end_soon(shard, actor, ACTOR_KILLED);
        return;
    }
    struct message *message = message_create(ACTOR_STOP, 0);
    message->from = brood->supervisor;
    system_send(shard, actor_id_of(actor), message);
}

bool brood_work(struct shard *shard) {
    struct brood *brood = shard->brood_work;
    for (unsigned i = 0; i < TELL_PER_TURN && brood->cursor; i++) {
        struct actor *actor = shard_slot(shard, brood->cursor - 1);
        brood->cursor = actor->sibling_next;
        tell_stop(shard, brood, actor);
    }
    if (!brood->cursor) {
        shard->brood_work = brood->work_next;
        brood->at_work = false;
        if (brood->orphaned && !brood->count)
            brood_free(shard, brood);
    }
    return shard->brood_work != NULL;
}

void brood_on_order(struct shard *shard, struct actor_id supervisor,
                    const struct actor_class *class, enum brood_order order) {
    struct class_entry *entry = classes_enter(&shard->classes, class);
    struct brood *brood = brood_find(shard, supervisor, entry);
    if (order == BROOD_RESUME) {
        if (brood)
            brood->stopping = false;
        return;
    }
    if (!brood)
        brood = brood_make(shard, supervisor, entry); /* so that no new child comes */
    stop_begin(shard, brood, order == BROOD_KILL);
    if (!brood->count)
        tell_empty(shard, supervisor, class);
}

void brood_on_count(struct shard *shard, struct actor_id supervisor, uint32_t census) {
    struct message *message =
        message_create(SUPERVISOR_BROOD_COUNTED, sizeof(struct control_brood));
    struct control_brood *counted = message_payload(message);
    const struct brood *brood = map_get(&shard->broods, supervisor.bits);
    counted->shard = shard->index;
    counted->census = census;
    for (; brood; brood = brood->next)
        counted->count += brood->class ? brood->count : 0;
    system_send(shard, supervisor, message);
}

void brood_on_kill(struct shard *shard, struct actor_id supervisor) {
    struct brood *brood = map_get(&shard->broods, supervisor.bits);
    while (brood) {
        struct brood *next = brood->next;
        brood->orphaned = true;
        stop_begin(shard, brood, true);
        if (!brood->count && !brood->at_work)
            brood_free(shard, brood);
        brood = next;
    }
}

void brood_on_open(struct shard *shard, struct actor_id supervisor, unsigned at_shard) {
    struct actor *actor = shard_actor(shard, supervisor);
    if (actor && !(actor->flags & ACTOR_IS_ENDING))
        actor_relations(shard, actor)->brood_shards[at_shard / 64] |= 1ull << at_shard % 64;
    else
        control_send(shard, at_shard, CONTROL_BROOD_KILL, ACTOR_NOBODY, supervisor, NULL, 0);
}

void brood_end_all(struct shard *shard, struct actor *supervisor) {
    struct relations *relations = supervisor->relations;
    for (uint32_t i = 0; relations && i < shard->shard_count; i++)
        if (relations->brood_shards[i / 64] & 1ull << i % 64)
            control_send(shard, i, CONTROL_BROOD_KILL, ACTOR_NOBODY, actor_id_of(supervisor), NULL,
                         0);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Monitors and links.
 *
 * A monitor has two records with one reference: in `watching` of the watcher's shard and in
 * `watched` of the other's, each also on its actor's list. The watcher's record is what makes an
 * ACTOR_DOWN wanted: it goes when the message is handled or when the monitor is canceled, so a
 * canceled monitor is never heard.
 *
 * A link is a record on each side; an exit is heard only while its receiver has the record (or if
 * nobody was linked: actor_kill with a reason that can be trapped).
 */
#include "runtime/control_internal.h"
#include "runtime/scheduler_internal.h"

#define REFERENCE_SHARD_SHIFT 48

bool is_of_this_node(const struct shard *shard, struct actor_id id) {
    return id.bits && id_node(id) == shard->place >> ID_SHARD_BITS &&
           id_shard(id) < shard->shard_count;
}

void relations_tell_end(struct shard *shard, struct actor_id to, uint16_t kind,
                        struct actor_id about, uint64_t reference, int reason) {
    struct message *message = message_create(kind, sizeof(struct actor_down));
    struct actor_down *down = message_payload(message);
    *down = (struct actor_down){.actor = about, .reference = reference, .reason = reason};
    message->from = about;
    message->flags = (message->flags & MESSAGE_HELD) | MESSAGE_VERIFY;
    system_send(shard, to, message);
}

/* --- monitors
 * ---------------------------------------------------------------------------------------- */

static void monitor_add(struct shard *shard, struct map *map, struct monitor **list,
                        struct actor_id other, uint64_t reference) {
    struct monitor *monitor = shard_allocate(shard, sizeof *monitor);
    monitor->reference = reference;
    monitor->other = other;
    monitor->next = *list;
    monitor->link = list;
    if (*list)
        (*list)->link = &monitor->next;
    *list = monitor;
    map_put(map, reference, monitor);
}

/* The other side of a monitor that is no more; nobody: there was none. */
static struct actor_id monitor_remove(struct shard *shard, struct map *map, uint64_t reference) {
    struct monitor *monitor = map_remove(map, reference);
    if (!monitor)
        return ACTOR_NOBODY;
    struct actor_id other = monitor->other;
    *monitor->link = monitor->next;
    if (monitor->next)
        monitor->next->link = monitor->link;
    shard_free(shard, monitor, sizeof *monitor);
    return other;
}

void monitor_on_request(struct shard *shard, struct actor_id target, struct actor_id watcher,
                        uint64_t reference) {
    struct actor *actor = shard_actor(shard, target);
    if (actor)
        monitor_add(shard, &shard->watched, &actor_relations(shard, actor)->watchers, watcher,
                    reference);
    else
        relations_tell_end(shard, watcher, ACTOR_DOWN, target, reference, ACTOR_NOT_FOUND);
}

void monitor_on_cancel(struct shard *shard, uint64_t reference) {
    monitor_remove(shard, &shard->watched, reference);
}

uint64_t reference_next(struct shard *shard) {
    return (uint64_t)(shard->index + 1) << REFERENCE_SHARD_SHIFT | ++shard->reference_last;
}

uint64_t actor_monitor(struct actor_id target) {
    struct shard *shard = shard_of_thread;
    struct actor *self = shard->running.actor;
    CHECK(self);
    uint64_t reference = reference_next(shard);
    monitor_add(shard, &shard->watching, &actor_relations(shard, self)->watching, target,
                reference);
    struct control_monitor request = {reference};
    if (is_of_this_node(shard, target))
        control_send(shard, id_shard(target), CONTROL_MONITOR, target, actor_id_of(self), &request,
                     sizeof request);
    else
        relations_tell_end(shard, actor_id_of(self), ACTOR_DOWN, target, reference,
                           ACTOR_NOT_FOUND);
    return reference;
}

static void monitor_forget(struct shard *shard, uint64_t reference) {
    struct actor_id target = monitor_remove(shard, &shard->watching, reference);
    struct control_monitor request = {reference};
    if (is_of_this_node(shard, target))
        control_send(shard, id_shard(target), CONTROL_UNMONITOR, target, ACTOR_NOBODY, &request,
                     sizeof request);
}

void actor_unmonitor(uint64_t reference) {
    struct shard *shard = shard_of_thread;
    if (!reference)
        return;
    monitor_forget(shard, reference);
    if (shard->running.actor)
        actor_relations_rest(shard, shard->running.actor);
}

/* --- links
 * ------------------------------------------------------------------------------------------- */

static struct link *link_find(const struct actor *actor, struct actor_id other) {
    struct link *link = actor->relations ? actor->relations->links : NULL;
    while (link && !actor_id_equal(link->other, other))
        link = link->next;
    return link;
}

static void link_add(struct shard *shard, struct actor *actor, struct actor_id other) {
    if (link_find(actor, other))
        return;
    struct link **list = &actor_relations(shard, actor)->links;
    struct link *link = shard_allocate(shard, sizeof *link);
    link->other = other;
    link->next = *list;
    link->link = list;
    if (*list)
        (*list)->link = &link->next;
    *list = link;
}

static bool link_remove(struct shard *shard, struct actor *actor, struct actor_id other) {
    struct link *link = link_find(actor, other);
    if (!link)
        return false;
    *link->link = link->next;
    if (link->next)
        link->next->link = link->link;
    shard_free(shard, link, sizeof *link);
    return true;
}

void link_on_request(struct shard *shard, struct actor_id to, struct actor_id from) {
    struct actor *actor = shard_actor(shard, to);
    if (actor)
        link_add(shard, actor, from);
    else
        relations_tell_end(shard, from, ACTOR_EXIT, to, EXIT_BY_LINK, ACTOR_NOT_FOUND);
}

void link_on_cancel(struct shard *shard, struct actor_id to, struct actor_id from) {
    struct actor *actor = shard_actor(shard, to);
    if (actor)
        link_remove(shard, actor, from);
}

void actor_link(struct actor_id other) {
    struct shard *shard = shard_of_thread;
    struct actor *self = shard->running.actor;
    CHECK(self);
    if (actor_id_equal(other, actor_id_of(self)) || link_find(self, other))
        return;
    link_add(shard, self, other);
    if (is_of_this_node(shard, other))
        control_send(shard, id_shard(other), CONTROL_LINK, other, actor_id_of(self), NULL, 0);
    else
        relations_tell_end(shard, actor_id_of(self), ACTOR_EXIT, other, EXIT_BY_LINK,
                           ACTOR_NOT_FOUND);
}

void actor_unlink(struct actor_id other) {
    struct shard *shard = shard_of_thread;
    struct actor *self = shard->running.actor;
    if (link_remove(shard, self, other) && is_of_this_node(shard, other))
        control_send(shard, id_shard(other), CONTROL_UNLINK, other, actor_id_of(self), NULL, 0);
}

void actor_trap_exits(bool trap) {
    struct actor *self = shard_of_thread->running.actor;
    if (trap)
        self->flags |= ACTOR_TRAPS_EXITS;
    else
        self->flags &= ~(uint32_t)ACTOR_TRAPS_EXITS;
}

void actor_kill(struct actor_id target, int reason) {
    struct shard *shard = shard_of_thread;
    struct actor *self = shard->running.actor;
    struct control_kill request = {reason};
    if (!is_of_this_node(shard, target))
        return;
    if (reason == ACTOR_KILLED)
        control_send(shard, id_shard(target), CONTROL_KILL, target, ACTOR_NOBODY, &request,
                     sizeof request);
    else
        relations_tell_end(shard, target, ACTOR_EXIT, self ? actor_id_of(self) : ACTOR_NOBODY, 0,
                           reason);
}

/* --- ends
 * -------------------------------------------------------------------------------------------- */

bool relations_claim(struct shard *shard, struct actor *actor, struct message *message) {
    struct actor_down *down = message_as(message, struct actor_down);
    if (message->kind == ACTOR_DOWN) {
        if (!monitor_remove(shard, &shard->watching, down->reference).bits)
            return call_claim(shard, message);
        actor_relations_rest(shard, actor);
        return true;
    }
    if (down->reference == EXIT_BY_LINK && !link_remove(shard, actor, down->actor))
        return false;
    down->reference = 0;
    if (actor->flags & ACTOR_TRAPS_EXITS)
        return true;
    actor_end_soon(shard, actor, down->reason);
    return false;
}

void relations_end(struct shard *shard, struct actor *actor, int reason) {
    struct relations *relations = actor->relations;
    if (!relations)
        return;
    struct actor_id self = actor_id_of(actor);
    call_end_all(shard, actor);
    group_leave_all(shard, actor);
    while (relations->watching)
        monitor_forget(shard, relations->watching->reference);
    while (relations->watchers) {
        uint64_t reference = relations->watchers->reference;
        struct actor_id watcher = monitor_remove(shard, &shard->watched, reference);
        relations_tell_end(shard, watcher, ACTOR_DOWN, self, reference, reason);
    }
    while (relations->links) {
        struct actor_id other = relations->links->other;
        link_remove(shard, actor, other);
        if (is_of_this_node(shard, other))
            relations_tell_end(shard, other, ACTOR_EXIT, self, EXIT_BY_LINK, reason);
    }
}

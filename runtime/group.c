/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups: a table of all of them on each shard.
 *
 * An actor's joins and leaves are told by its own shard, in order, so that every shard comes to the
 * same members whatever the order between different actors. A tie joins an actor of this shard to a
 * group that it is in or watches; it is what goes when the actor ends.
 *
 * Invariants: members[0 .. here) are of this shard; `places` says where in `members` an actor is,
 * plus one; a group without members and watchers is no more.
 */
#include "runtime/group.h"

#include "runtime/control_internal.h"
#include "runtime/scheduler_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MEMBERS_MIN 4u
#define BUCKETS 16384u

struct group {
    struct group *next; /* of its bucket */
    struct control_group name;
    struct actor_id *members;
    uint32_t count, capacity, here;
    struct map places;
    struct group_tie *watchers;
};

struct group_tie {
    struct group_tie *next; /* of its actor */
    struct group *group;
    struct group_tie *watch_next;
    struct group_tie **watch_link; /* NULL: doesn't watch */
    struct actor_id actor;
    uint64_t watch;   /* which watching of it this is; in its messages as `reference` */
    uint32_t unread;  /* of those messages */
    bool missed_some; /* since there were too many */
    bool is_member;
};

/* --- the table
 * --------------------------------------------------------------------------------------- */

static struct control_group name_of(const char *name, uint64_t key) {
    struct control_group group = {.key = key};
    size_t length = strlen(name);
    CHECK(length <= GROUP_NAME_BYTES_MAX);
    memcpy(group.name, name, length);
    return group;
}

static struct group **bucket_of(struct shard *shard, const struct control_group *name) {
    uint64_t hash = name->key, word;
    for (size_t i = 0; i < sizeof name->name; i += sizeof word) {
        memcpy(&word, name->name + i, sizeof word);
        hash = map_mix(hash + word + i);
    }
    return &shard->groups.buckets[hash % BUCKETS];
}

static struct group *find(struct shard *shard, const struct control_group *name) {
    if (!shard->groups.buckets)
        return NULL;
    struct group *group = *bucket_of(shard, name);
    while (group && memcmp(&group->name, name, sizeof *name) != 0)
        group = group->next;
    return group;
}

static struct group *find_or_make(struct shard *shard, const struct control_group *name) {
    struct group *group = find(shard, name);
    if (group)
        return group;
    if (!shard->groups.buckets) {
        shard->groups.buckets = calloc(BUCKETS, sizeof(struct group *));
        CHECK(shard->groups.buckets);
    }
    struct group **bucket = bucket_of(shard, name);
    group = shard_allocate(shard, sizeof *group);
    group->name = *name;
    group->next = *bucket;
    *bucket = group;
    shard->groups.count++;
    return group;
}

static void group_free(struct shard *shard, struct group *group) {
    map_finish(&group->places);
    free(group->members);
    shard_free(shard, group, sizeof *group);
    shard->groups.count--;
}

static void free_if_unused(struct shard *shard, struct group *group) {
    if (group->count || group->watchers)
        return;
    struct group **link = bucket_of(shard, &group->name);
    while (*link != group)
        link = &(*link)->next;
    *link = group->next;
    group_free(shard, group);
}

void groups_finish(struct shard *shard) {
    for (unsigned i = 0; shard->groups.buckets && i < BUCKETS; i++)
        while (shard->groups.buckets[i]) {
            struct group *group = shard->groups.buckets[i];
            shard->groups.buckets[i] = group->next;
            group_free(shard, group);
        }
    free(shard->groups.buckets);
    shard->groups.buckets = NULL;
}

/* --- members
 * ----------------------------------------------------------------------------------------- */

static void tell(struct shard *shard, struct group_tie *tie, struct actor_id actor, bool joined) {
    const struct group *group = tie->group;
    struct message *message = message_create(GROUP_CHANGED, sizeof(struct group_changed));
    struct group_changed *changed = message_payload(message);
    memcpy(changed->name, group->name.name, sizeof changed->name);
    changed->key = group->name.key;
    changed->actor = actor;
    changed->members = group->count;
    changed->joined = joined;
    message->flags |= MESSAGE_VERIFY; /* group_claim */
    message->reference = tie->watch;
    tie->unread++;
    system_send(shard, tie->actor, message);
}

static void tell_watchers(struct shard *shard, struct group *group, struct actor_id actor,
                          bool joined) {
    for (struct group_tie *tie = group->watchers; tie; tie = tie->watch_next) {
        tie->missed_some |= tie->unread >= GROUP_CHANGES_MAX;
        if (tie->missed_some)
            classes_count_event(&shard->classes, "group_changes_left_out", 1);
        else
            tell(shard, tie, actor, joined);
    }
}

static void put(struct group *group, uint32_t place, struct actor_id actor) {
    map_remove(&group->places, actor.bits);
    map_put(&group->places, actor.bits, (void *)(uintptr_t)(place + 1));
    group->members[place] = actor;
}

static void member_add(struct shard *shard, struct group *group, struct actor_id actor) {
    if (group->count == group->capacity) {
        group->capacity = group->capacity ? 2 * group->capacity : MEMBERS_MIN;
        group->members = realloc(group->members, group->capacity * sizeof *group->members);
        CHECK(group->members);
    }
    uint32_t place = group->count++;
    if (id_place(actor) == shard->place) { /* where the first of the others is, which goes last */
        uint32_t first = group->here++;
        if (first != place)
            put(group, place, group->members[first]);
        place = first;
    }
    put(group, place, actor);
    tell_watchers(shard, group, actor, true);
}

static void member_remove(struct shard *shard, struct group *group, struct actor_id actor) {
    uint32_t hole = (uint32_t)(uintptr_t)map_remove(&group->places, actor.bits);
    if (!hole)
        return;
    hole--;
    if (hole < group->here) { /* the last of this shard fills it, and leaves a hole behind */
        uint32_t last = --group->here;
        if (last != hole)
            put(group, hole, group->members[last]);
        hole = last;
    }
    uint32_t last = --group->count;
    if (last != hole)
        put(group, hole, group->members[last]);
    tell_watchers(shard, group, actor, false);
}

void group_on_change(struct shard *shard, const struct control_group *name, struct actor_id actor,
                     bool joined) {
    struct group *group = joined ? find_or_make(shard, name) : find(shard, name);
    if (!group)
        return;
    if (joined)
        member_add(shard, group, actor);
    else
        member_remove(shard, group, actor);
    free_if_unused(shard, group);
}

static void tell_shards(struct shard *shard, const struct control_group *name,
                        struct actor_id actor, bool joined) {
    enum control_kind kind = joined ? CONTROL_GROUP_JOIN : CONTROL_GROUP_LEAVE;
    for (unsigned i = 0; i < shard->shard_count; i++)
        if (i != shard->index)
            control_send(shard, i, kind, ACTOR_NOBODY, actor, name, sizeof *name);
}

/* --- ties
 * -------------------------------------------------------------------------------------------- */

static struct group_tie *tie_find(const struct actor *actor, const struct group *group) {
    struct group_tie *tie = actor->relations ? actor->relations->ties : NULL;
    while (tie && tie->group != group)
        tie = tie->next;
    return tie;
}

/* NULL: a bound is reached. */
static struct group_tie *tie_make(struct shard *shard, const struct control_group *name) {
    struct actor *self = shard->running.actor;
    CHECK(self);
    struct relations *relations = actor_relations(shard, self);
    struct group *group = find(shard, name);
    struct group_tie *tie = group ? tie_find(self, group) : NULL;
    if (tie)
        return tie;
    if (relations->tie_count == GROUP_TIES_MAX || (!group && shard->groups.count >= GROUPS_MAX))
        return NULL;
    tie = shard_allocate(shard, sizeof *tie);
    tie->group = find_or_make(shard, name);
    tie->actor = actor_id_of(self);
    tie->next = relations->ties;
    relations->ties = tie;
    relations->tie_count++;
    return tie;
}

bool group_claim(struct shard *shard, const struct actor *actor, const struct message *message) {
    const struct group_changed *changed = message_payload((struct message *)message);
    struct control_group name = name_of(changed->name, changed->key);
    const struct group *group = find(shard, &name);
    struct group_tie *tie = group ? tie_find(actor, group) : NULL;
    if (!tie || !tie->watch_link || tie->watch != message->reference)
        return false;
    tie->unread--;
    if (!tie->unread && tie->missed_some) {
        tie->missed_some = false;
        tell(shard, tie, ACTOR_NOBODY, false);
    }
    return true;
}

static void unwatch(struct group_tie *tie) {
    if (!tie->watch_link)
        return;
    *tie->watch_link = tie->watch_next;
    if (tie->watch_next)
        tie->watch_next->watch_link = tie->watch_link;
    tie->watch_link = NULL;
}

static void leave(struct shard *shard, struct group_tie *tie) {
    if (!tie->is_member)
        return;
    tie->is_member = false;
    member_remove(shard, tie->group, tie->actor);
    tell_shards(shard, &tie->group->name, tie->actor, false);
}

static void tie_free_if_unused(struct shard *shard, struct actor *actor, struct group_tie *tie) {
    if (tie->is_member || tie->watch_link)
        return;
    struct group_tie **link = &actor->relations->ties;
    while (*link != tie)
        link = &(*link)->next;
    *link = tie->next;
    actor->relations->tie_count--;
    free_if_unused(shard, tie->group);
    shard_free(shard, tie, sizeof *tie);
}

void group_leave_all(struct shard *shard, struct actor *actor) {
    while (actor->relations->ties) {
        struct group_tie *tie = actor->relations->ties;
        unwatch(tie);
        leave(shard, tie);
        tie_free_if_unused(shard, actor, tie);
    }
}

/* --- group.h
 * ----------------------------------------------------------------------------------------- */

int actor_group_join(const char *name, uint64_t key) {
    struct shard *shard = shard_of_thread;
    struct control_group wanted = name_of(name, key);
    struct group_tie *tie = tie_make(shard, &wanted);
    if (!tie)
        return -ENOSPC;
    if (tie->is_member)
        return 0;
    if (tie->group->count >= GROUP_MEMBERS_MAX) {
        tie_free_if_unused(shard, shard->running.actor, tie);
        return -ENOSPC;
    }
    tie->is_member = true;
    member_add(shard, tie->group, tie->actor);
    tell_shards(shard, &wanted, tie->actor, true);
    return 0;
}

static struct group_tie *own_tie(struct shard *shard, const char *name, uint64_t key) {
    struct control_group wanted = name_of(name, key);
    const struct group *group = find(shard, &wanted);
    return group ? tie_find(shard->running.actor, group) : NULL;
}

void actor_group_leave(const char *name, uint64_t key) {
    struct shard *shard = shard_of_thread;
    struct group_tie *tie = own_tie(shard, name, key);
    if (!tie)
        return;
    leave(shard, tie);
    tie_free_if_unused(shard, shard->running.actor, tie);
}

int actor_group_monitor(const char *name, uint64_t key) {
    struct shard *shard = shard_of_thread;
    struct control_group wanted = name_of(name, key);
    struct group_tie *tie = tie_make(shard, &wanted);
    if (!tie)
        return -ENOSPC;
    if (tie->watch_link)
        return 0;
    tie->watch = reference_next(shard);
    tie->unread = 0;
    tie->missed_some = false;
    struct group_tie **first = &tie->group->watchers;
    tie->watch_next = *first;
    tie->watch_link = first;
    if (*first)
        (*first)->watch_link = &tie->watch_next;
    *first = tie;
    return 0;
}

void actor_group_unmonitor(const char *name, uint64_t key) {
    struct shard *shard = shard_of_thread;
    struct group_tie *tie = own_tie(shard, name, key);
    if (!tie)
        return;
    unwatch(tie);
    tie_free_if_unused(shard, shard->running.actor, tie);
}

size_t actor_group_members(const char *name, uint64_t key, struct actor_id *ids, size_t max) {
    struct control_group wanted = name_of(name, key);
    const struct group *group = find(shard_of_thread, &wanted);
    if (!group)
        return 0;
    size_t copied = group->count < max ? group->count : max;
    if (copied)
        memcpy(ids, group->members, copied * sizeof *ids);
    return group->count;
}

struct actor_id actor_group_random(const char *name, uint64_t key) {
    struct control_group wanted = name_of(name, key);
    const struct group *group = find(shard_of_thread, &wanted);
    if (!group || !group->count)
        return ACTOR_NOBODY;
    return group->members[actor_random_below(group->count)];
}

struct actor_id actor_group_closest(const char *name, uint64_t key) {
    struct control_group wanted = name_of(name, key);
    const struct group *group = find(shard_of_thread, &wanted);
    if (!group || !group->count)
        return ACTOR_NOBODY;
    return group->members[actor_random_below(group->here ? group->here : group->count)];
}

int actor_group_send(const char *name, uint64_t key, struct message **message) {
    struct control_group wanted = name_of(name, key);
    const struct group *group = find(shard_of_thread, &wanted);
    int refused = 0;
    if (!group || !group->count)
        return -ESRCH;
    message_claim(message);
    for (uint32_t first = 0; first < group->count; first += ACTOR_MULTICAST_MAX) {
        uint32_t left = group->count - first;
        struct message *part = *message;
        if (left > ACTOR_MULTICAST_MAX) {
            left = ACTOR_MULTICAST_MAX;
            part = message_copy(part, 0);
        } else {
            *message = NULL;
        }
        refused += actor_multicast(group->members + first, left, &part);
    }
    return refused;
}

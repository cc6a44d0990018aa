/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups: actors found by what they do instead of by who they are.
 *
 * A group has a name and a key ("room", 42; key 0 where one is enough) and exists while it has
 * members. Any actor of the node may join any group; when it ends it has left. Every shard knows
 * all members, so looking one up is a look into the shard's own table; a join or a leave costs a
 * message to each other shard, and is seen there when that arrives: shards agree on who is in, not
 * on the moment. What a member sent before it left arrives before the leave does.
 *
 * For the running actor, on its shard's thread. Names are at most GROUP_NAME_BYTES_MAX bytes and
 * are copied. The idea is that of Erlang's pg.
 */
#ifndef TERN_RUNTIME_GROUP_H
#define TERN_RUNTIME_GROUP_H

#include "runtime/actor.h"

#define GROUP_NAME_BYTES_MAX 31u
#define GROUP_MEMBERS_MAX 65536u /* of one group, as this shard sees it */
#define GROUPS_MAX 65536u        /* of the node, as this shard sees it */
#define GROUP_TIES_MAX 1024u     /* groups that one actor may be in or watch */
#define GROUP_CHANGES_MAX 256u   /* of one group, that a watcher has not handled yet */

/* Becomes a member; is one already: nothing happens. -ENOSPC: one of the bounds above. */
int actor_group_join(const char *name, uint64_t key);
/* Nothing happens if it is none. */
void actor_group_leave(const char *name, uint64_t key);

/* GROUP_CHANGED with struct group_changed from now on, for each actor that joins or leaves, as this
 * shard hears of it; also while the group has no members. -ENOSPC.
 *
 * A watcher that is behind by GROUP_CHANGES_MAX is not told of further changes (counted:
 * group_changes_left_out) until it has handled those; then one GROUP_CHANGED about nobody says that
 * some were left out, and how many members there are: to be looked up anew. After unmonitor nothing
 * more is heard, also of what had happened before. */
int actor_group_monitor(const char *name, uint64_t key);
void actor_group_unmonitor(const char *name, uint64_t key);
struct group_changed {
    char name[GROUP_NAME_BYTES_MAX + 1];
    uint64_t key;
    struct actor_id actor; /* nobody: several changes were left out */
    uint32_t members;      /* now */
    bool joined;           /* else it left, or ended */
};

/* How many there are; the first `max` of them into `ids`, those of this shard first, else in no
 * order. */
size_t actor_group_members(const char *name, uint64_t key, struct actor_id *ids, size_t max);
/* One by chance; nobody if there are none. */
struct actor_id actor_group_random(const char *name, uint64_t key);
/* One of this shard by chance, else one by chance: what it is sent stays in this core's cache. */
struct actor_id actor_group_closest(const char *name, uint64_t key);

/* To all members, the sender too if it is one: as actor_multicast, which says what becomes of those
 * that have no room. -ESRCH: there are none and the message is still yours. */
int actor_group_send(const char *name, uint64_t key, struct message **message);

#endif

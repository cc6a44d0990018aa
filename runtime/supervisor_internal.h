/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a supervisor, for the files that make it: supervisor.c (fixed children, in order),
 * supervisor_pool.c (dynamic ones that come back) and supervisor_ask.c (what others ask and order).
 */
#ifndef TERN_RUNTIME_SUPERVISOR_INTERNAL_H
#define TERN_RUNTIME_SUPERVISOR_INTERNAL_H

#include "runtime/control_internal.h"

enum place_state {
    PLACE_EMPTY,    /* not started, or ended: a restart of a group starts it */
    PLACE_STARTING, /* asked of another shard */
    PLACE_RUNNING,
    PLACE_WAITING, /* for its restart */
    PLACE_STOPPING,
    PLACE_OVER, /* was a temporary child's: never started again */
};
enum phase { STARTING, RUNNING, RESTARTING, STOPPING };

struct place {
    const struct supervisor_child *child;
    struct actor_id actor;
    struct actor_timer timer; /* to restart it, or to kill it when it doesn't stop */
    enum supervisor_question asked;
    struct actor_caller asker; /* who waits for its start or its end */
    /* Shards whose dynamic children have not ended yet. */
    uint64_t broods_left[SHARDS_MAX / 64];
    uint64_t started_ms;
    unsigned shard;
    uint16_t state;
    uint16_t failures; /* in a row: doubles the backoff */
    uint32_t ends;     /* that nobody had asked for, and the reason of the last */
    int last_reason;
    uint32_t
        attempt; /* of a start on another shard, so that an old answer is not taken for a new one */
};

struct supervisor {
    const struct supervisor_spec *spec;
    struct place *places;
    uint32_t place_count;
    bool is_root;
    bool told_start; /* the runtime knows how the root's start went */
    enum phase phase;
    uint32_t next;  /* STARTING: the place to start next */
    uint32_t floor; /* RESTARTING: the lowest place to stop and start again */
    uint32_t attempts;
    int reason;              /* to end with, when STOPPING */
    struct census *censuses; /* counts that wait for other shards */
    uint32_t census_count, census_last;
    uint64_t *restarts_ms; /* when the last restarts_max were, a ring */
    uint64_t restart_count;
};

/* --- supervisor.c */

/* A child has failed: false when too many have; then the supervisor is on its way to its own end.
 */
bool supervisor_may_go_on(struct supervisor *supervisor);
bool supervisor_wants_restart(const struct supervisor_child *child, int reason);
/* After so many failures in a row. Half of it is certain and half is chance, so that what failed
 * together doesn't come back together. */
uint64_t supervisor_backoff_ms(const struct supervisor *supervisor, unsigned failures);

/* 0 also when it only has been asked of another shard. */
int supervisor_start_place(struct supervisor *supervisor, struct place *place);
void supervisor_stop_place(struct supervisor *supervisor, struct place *place);
void place_is_empty(struct place *place);
const char *place_name(const struct place *place);

/* --- supervisor_ask.c */

void supervisor_on_question(void *state, struct message **message);
void supervisor_on_counted(void *state, struct message **message);
/* What SUPERVISOR_END or SUPERVISOR_RESUME began is done; nothing if nobody waits for it. */
void supervisor_tell_asker(struct place *place, int error);

/* --- supervisor_pool.c */

/* A dynamic child has ended, or could not be started again. */
void supervisor_pool_ended(struct supervisor *supervisor, const struct child_ended *ended);
void supervisor_pool_started(struct supervisor *supervisor, const struct child_started *started);
/* SUPERVISOR_POOL_DUE: one is to be started again. */
void supervisor_pool_due(struct supervisor *supervisor, uint64_t argument);

#endif

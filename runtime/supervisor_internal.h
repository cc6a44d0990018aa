/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a supervisor, for the files that make it: supervisor.c (fixed children, in order)
 * and supervisor_pool.c (dynamic ones that come back). */
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
    struct actor_timer restart;
    uint64_t started_ms;
    unsigned shard;
    uint16_t state;
    uint16_t failures; /* in a row: doubles the backoff */
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
    /* Shards whose dynamic children have not ended yet, of the one class that stops now. */
    uint64_t broods_left[SHARDS_MAX / 64];
    uint32_t attempts;
    int reason; /* to end with, when STOPPING */
    struct actor_timer shutdown;
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

/* --- supervisor_pool.c */

/* A dynamic child has ended, or could not be started again. */
void supervisor_pool_ended(struct supervisor *supervisor, const struct child_ended *ended);
void supervisor_pool_started(struct supervisor *supervisor, const struct child_started *started);
/* SUPERVISOR_POOL_DUE: one is to be started again. */
void supervisor_pool_due(struct supervisor *supervisor, uint64_t argument);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Supervisors: actors that start, watch and restart others.
 *
 * A supervisor is given a constant spec: its fixed children in start order, the classes whose
 * dynamic children (actor_spawn, or (class, key) activation) it parents, a strategy, and how many
 * restarts within which period it endures before it fails itself and lets its own supervisor
 * decide. Restarts are delayed by a backoff with jitter. It never blocks, and it counts dynamic
 * children in O(1).
 */
#ifndef TERN_RUNTIME_SUPERVISOR_H
#define TERN_RUNTIME_SUPERVISOR_H

#include "runtime/actor.h"

enum supervisor_strategy { SUPERVISE_ONE_FOR_ONE, SUPERVISE_ONE_FOR_ALL, SUPERVISE_REST_FOR_ONE };

enum supervisor_restart {
    RESTART_PERMANENT, /* always */
    RESTART_TRANSIENT, /* unless it ended with ACTOR_NORMAL, ACTOR_SHUTDOWN */
    RESTART_TEMPORARY, /* never, nor with others that are restarted as a group */
};

/* For shutdown_ms. */
#define SHUTDOWN_AT_ONCE UINT32_MAX /* is not asked: killed */
#define SHUTDOWN_UNLIMITED (UINT32_MAX - 1)

/* When a supervisor ends by itself, with ACTOR_SHUTDOWN and its other children stopped in order:
 * never, when one of its significant children has ended, or when the last has. */
enum supervisor_auto_shutdown { AUTO_SHUTDOWN_NEVER, AUTO_SHUTDOWN_ANY, AUTO_SHUTDOWN_ALL };

struct supervisor_child {
    const struct actor_class *class;          /* an actor ... */
    const struct supervisor_spec *supervisor; /* ... or a supervisor below this one */
    const void *argument;                     /* to init; lives as long as the spec */
    enum supervisor_restart restart;
    /* How long it may take to stop before it is killed; 0: 5,000, or for a supervisor as long as
     * its children need. Or one of SHUTDOWN_ below. */
    uint32_t shutdown_ms;
    /* Its own end, if it is not restarted, counts for the supervisor's auto_shutdown. Not for a
     * permanent or dynamic one (-EINVAL at the start). */
    bool significant;
    /* This spec is no child but the class of dynamic children: (class, key) actors activated on
     * this shard, and actors spawned under this supervisor. Those of supervisor_spawn are restarted
     * as `restart` says; others are not (an actor with a name comes back with the next message to
     * it), but their failures count as restarts do. */
    bool dynamic;
    bool every_shard; /* one child on each shard (children of the root supervisor only) */
};

#define SUPERVISOR_RESTARTS_MAX (1u << 20)

struct supervisor_spec {
    const char *name;
    enum supervisor_strategy strategy;
    enum supervisor_auto_shutdown auto_shutdown;
    /* Within period_ms; more end the supervisor. 0: the first does. Up to SUPERVISOR_RESTARTS_MAX,
     * each of which costs eight bytes. */
    uint32_t restarts_max;
    uint32_t period_ms;                      /* 0: 60,000 */
    uint32_t backoff_ms_min, backoff_ms_max; /* 0: 10 and 5,000; doubled each time, with jitter */
    const struct supervisor_child *children;
    uint16_t child_count;
};

/* The supervisor on the running shard that parents the dynamic children of `class`, or nobody. For
 * actor_spawn by an actor that is not itself the supervisor (a listener spawns connections). */
struct actor_id supervisor_of_class(const struct actor_class *class);

/* Spawns a dynamic child on this shard that its supervisor starts again when it ends, as the spec
 * of its class says (`restart`), after a backoff, on the same shard and with the same key: init is
 * given no argument but actor_key(). Its id is another then. A million of them cost the supervisor
 * nothing while they live. Fails as actor_spawn does; such a failure is not tried again, but one to
 * start it again is. When the supervisor restarts its children as a group, dynamic ones end and do
 * not come back. */
int supervisor_spawn(const struct actor_class *class, uint64_t key, struct actor_id supervisor,
                     struct actor_id *id);

/* --- asking a supervisor
 *
 * Questions are calls (actor.h): each is answered by one SUPERVISOR_ANSWER, or by
 * ACTOR_UNANSWERED. A place is where a child of the spec lives: counted from 0 in start order, a
 * child on every shard having one for each. */

enum supervisor_question {
    SUPERVISOR_COUNT,  /* how many children there are: `counts` */
    SUPERVISOR_LIST,   /* which, from `place` on, at most SUPERVISOR_ROWS_MAX: `rows` */
    SUPERVISOR_END,    /* stop the child of a place as at the end; it stays so but for RESUME and
                        * restarts of a    group: `error` */
    SUPERVISOR_RESUME, /* start the child of a place that has none: `error` */
};
#define SUPERVISOR_ROWS_MAX 1024u

/* As actor_call; in no order with questions by other actors. */
int supervisor_ask(struct actor_id supervisor, enum supervisor_question question, uint32_t place,
                   uint64_t timeout_ms, uint64_t *reference);

enum supervisor_place_state {
    SUPERVISED_ENDED, /* not there: ended for good, or stopped by SUPERVISOR_END */
    SUPERVISED_STARTING,
    SUPERVISED_RUNNING,
    SUPERVISED_WAITING, /* for its restart */
    SUPERVISED_STOPPING,
};
struct supervisor_counts {
    uint32_t places, running; /* the dynamic ones' places not counted */
    uint32_t waiting;         /* places whose child will be restarted */
    uint32_t supervisors;     /* of those running */
    uint64_t dynamic;         /* dynamic children on all shards, as each shard counts when asked */
};
struct supervisor_row {
    struct actor_id actor; /* nobody: dynamic, or not running */
    const char *name;      /* of the class, or of the supervisor's spec */
    uint32_t place;
    uint16_t shard;
    uint8_t state; /* enum supervisor_place_state */
    bool is_supervisor, is_dynamic;
    /* How often a child of the place has ended by itself, and why the last one did; of a dynamic
     * class those that failed. */
    uint32_t ends;
    int last_reason;
};
struct supervisor_answer {
    enum supervisor_question question;
    /* 0. END and RESUME: -ENOENT, there is no such place; -EBUSY: it, or the supervisor as a whole,
     * is starting or stopping. RESUME: -EEXIST, it runs; -EAGAIN, it will be restarted anyway; or
     * why it could not be started, and then that is not tried again. COUNT: -EAGAIN, too many ask.
     */
    int error;
    struct supervisor_counts counts;
    uint32_t row_count;
    struct supervisor_row rows[];
};

/* --- the end */

/* A supervisor handles ACTOR_STOP by stopping its children in reverse; one that is a child is given
 * as long as they need unless shutdown_ms says otherwise. One that is killed takes its children
 * with it. */
#define SUPERVISOR_ESCALATED 1 /* reason: too many restarts */

#endif

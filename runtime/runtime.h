/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A runtime: shards (one scheduler thread per core), a blocking pool, and the seams they stand on.
 *
 * `runtime_start` makes the shards, starts the supervision tree on shard 0, and returns; the
 * caller's thread goes on (it usually calls runtime_wait). Everything is per runtime; there is no
 * global state but the thread-local "current shard".
 */
#ifndef TERN_RUNTIME_RUNTIME_H
#define TERN_RUNTIME_RUNTIME_H

#include "runtime/seams.h"
#include "runtime/supervisor.h"

struct runtime;

struct runtime_options {
    unsigned shards;           /* 0: one per core */
    unsigned pool_threads;     /* 0: 4 */
    uint16_t node;             /* this node's number in ids; 0 is fine alone */
    uint32_t actors_max;       /* per shard; 0: 16 M */
    const struct seams *seams; /* NULL: seams_system() */
    /* reactor.h: &reactor_uring, &reactor_ev. NULL: as the seams say; if they don't, io_uring where
     * it is allowed and libev elsewhere, which the log says. */
    const struct reactor_ops *reactor;
    const struct supervisor_spec *root;
    void *context;    /* for actor_context() */
    bool pin_threads; /* a shard to a core */
    /* Where crash records go (crash.h); NULL: none are written. Not being able to make it is
     * logged, no reason not to start. One runtime per process may have it. */
    const char *crash_directory;
    const char *crash_version; /* constant text for the records */
    /* While events come fast, a shard with nothing to do lets them gather for as long as this
     * before it looks at them: fewer wakes, later by as much. 0: never. See rest_internal.h. */
    unsigned batch_wait_us;
    /* A handler that runs longer is reported (watchdog.h). 0: 25; WATCHDOG_OFF: none is. */
    uint32_t watchdog_budget_ms;
};

/* 0 or a negative errno. The root supervisor's fixed children are started before it returns. */
int runtime_start(const struct runtime_options *options, struct runtime **runtime);
/* runtime_wait's result when the root supervisor gave up and nobody had asked for a stop. */
#define RUNTIME_EXIT_ESCALATED 70
/* From any thread: stops the tree in reverse start order, then the shards. Returns at once. */
void runtime_stop(struct runtime *runtime, int exit_code);
/* Blocks until it has stopped; returns the exit code. Then runtime_destroy. */
int runtime_wait(struct runtime *runtime);
void runtime_destroy(struct runtime *runtime);

/* For threads that are no shard (pool threads, main). Never refused by a bound. Takes the message.
 * On a shard it is how a message waits for the next turn: it is behind all of this turn's. */
void runtime_send(struct runtime *runtime, struct actor_id to, struct message **message);

/* Which reactor is in force: "io_uring", "libev". Any thread. */
const char *runtime_reactor_name(const struct runtime *runtime);

/* The runtime of the running actor. */
struct runtime *runtime_current(void);

/* --- inspection: read from any thread without stopping a shard --- */

struct runtime_class_counters {
    const char *name;
    uint64_t actors, spawned, ended, failed, passivated;
    uint64_t messages, refused, dead_letters;
    uint64_t mailbox_messages; /* waiting now, sampled */
    uint64_t busy_ns;          /* in handlers, estimated from samples: profile.h */
};
struct runtime_counters {
    uint64_t turns, messages, messages_cross_shard, wakes, timers_pending;
    uint64_t actors, supervisors_restarts, pool_jobs, pool_queue;
    uint64_t dead_letters;
    uint64_t handler_overruns, handler_overruns_unreported; /* of the watchdog */
    uint64_t memory_message_bytes, memory_actor_bytes, memory_blob_bytes, memory_socket_bytes;
    uint64_t busy_ns, sockets, rings;
    uint64_t rests; /* of shards that let events gather: batch_wait_us */
    /* Before a shard sleeps it may look for a moment longer: something came meanwhile, or not. */
    uint64_t spins_won, spins_lost;
};
void runtime_counters_read(struct runtime *runtime, struct runtime_counters *counters);
struct runtime_shard_counters {
    unsigned shard;
    uint64_t turns, messages, actors;
    uint64_t busy_ns; /* in turns that had something to run */
};
/* Calls `visit` once per shard / per class / per event name counted with actor_count. */
void runtime_shards_visit(struct runtime *runtime,
                          void (*visit)(void *context, const struct runtime_shard_counters *),
                          void *context);
void runtime_classes_visit(struct runtime *runtime,
                           void (*visit)(void *context, const struct runtime_class_counters *),
                           void *context);
/* How many actors of this class live on this shard. */
uint64_t runtime_class_actors(struct runtime *runtime, const char *class_name, unsigned shard);
/* The root supervisor, or nobody: it has ended. */
struct actor_id runtime_root(struct runtime *runtime);
void runtime_events_visit(struct runtime *runtime,
                          void (*visit)(void *context, const char *name, uint64_t count),
                          void *context);

#endif

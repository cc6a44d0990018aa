/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of a shard and of a runtime, for the files that make the scheduler.
 *
 * Everything in a shard is its thread's own, but for the fields that say otherwise.
 */
#ifndef TERN_RUNTIME_SCHEDULER_INTERNAL_H
#define TERN_RUNTIME_SCHEDULER_INTERNAL_H

#include "runtime/actor_internal.h"
#include "runtime/class_internal.h"
#include "runtime/crash.h"
#include "runtime/inspect_internal.h"
#include "runtime/lane_internal.h"
#include "runtime/map_internal.h"
#include "runtime/pool.h"
#include "runtime/profile_internal.h"
#include "runtime/reactor.h"
#include "runtime/recorder_internal.h"
#include "runtime/registry_internal.h"
#include "runtime/rest_internal.h"
#include "runtime/slab_internal.h"
#include "runtime/spin_internal.h"
#include "runtime/stack_internal.h"
#include "runtime/timer_internal.h"
#include "runtime/trace_internal.h"
#include "runtime/watchdog.h"

#include <pthread.h>
#include <setjmp.h>

#define TURN_MESSAGES_MAX 2048u     /* then the reactor is polled */
#define TURN_ACTOR_MESSAGES_MAX 64u /* then it is the next actor's turn */
#define TURN_NS_MAX 500000u         /* of all its actors; and of one, see turn_share_adapt */
#define TURN_CLOCK_UNITS 128u       /* messages and runs between two looks at the clock */
#define TURN_ARRIVALS_MAX 1024u     /* per lane */
#define SPAWN_DEPTH_MAX 64u         /* init that spawns whose init spawns ... */
#define SWEEP_PARTS 16u             /* of the table, in the shortest idle_ms */
#define SWEEP_NS_MIN 1000000u
#define SWEEP_SLOTS_MAX 4096u /* in one turn */
#define NAMES_MAX 4096u       /* of the node */
#define NAME_BYTES_MAX 31u

/* Where actor_fail goes. */
struct escape {
    jmp_buf environment;
    struct escape *outer;
};

/* What runs, so that a nested init or terminate can put it back. */
struct running {
    struct actor *actor;
    struct message *handling; /* the handler's `*message` */
    /* Created or kept, and not given away: the last one that was created, and the others' list. */
    struct message *newest, *fresh;
};

/* What the running handler works on, for a crash record. */
struct blame {
    crash_describe_fn describe; /* NULL: nobody is to blame */
    const void *of;
    unsigned message; /* of this turn of the actor: another one's blame is void */
};

struct stuck; /* watchdog_thread.c's own */

struct shard_counters { /* written by the shard, read by others, relaxed */
    uint64_t turns, messages, messages_cross_shard, busy_ns, rests;
    uint64_t spins_won, spins_lost;
    uint64_t actors, restarts, dead_letters;
    uint64_t blob_bytes; /* may wrap below zero: only the sum over shards is a figure */
};

struct group;
struct groups {
    struct group **buckets; /* made at first need */
    uint32_t count;
};

struct shard {
    struct runtime *runtime;
    const struct seams *seams;
    int (*fault)(void *context, const struct actor_class *class, uint16_t kind);
    uint32_t place; /* node and shard as in ids */
    uint32_t index;
    uint64_t now_ns, now_ms; /* the monotonic clock, read once per turn */
    uint64_t ended_ns;  /* the clock when the last turn's actors had run; what a spin begins at */
    uint64_t looked_ns; /* the clock as a spin that was won last read it; 0: none was */
    struct running running;
    struct blame blame;
    struct escape *escape;
    struct actor *run_head, *run_tail;
    unsigned turn_budget;    /* messages left in this turn */
    unsigned turn_clock_at;  /* what is left when the clock is asked */
    unsigned actor_messages; /* of the running actor in this turn */
    unsigned spawn_depth;
    struct profile profile;
    struct message *next_turn, **next_turn_end; /* to be posted when it begins, in order */
    int fail_reason;                            /* from actor_fail to the escape */
    const char *fail_why;

    struct actor **chunks;
    uint32_t chunk_count, slots_used, slots_max;
    struct actor *free_head, *free_tail; /* used again in order, so that generations last */

    struct slab_pool messages; /* messages and blobs: freed anywhere */
    struct slab_pool memory;   /* states, arenas, relations: freed here */
    struct classes classes;
    struct registry registry;
    struct timer_wheel wheel;
    struct map watching; /* reference to struct monitor of the watcher */
    struct map watched;  /* reference to struct monitor of the watched */
    struct map calls;    /* reference to struct call of the caller */
    struct map broods;   /* supervisor to its first struct brood */
    struct brood *brood_last;
    struct brood *brood_work;
    struct groups groups;
    uint64_t reference_last;
    struct inspections inspections;
    struct traces traces;
    /* A bit for each slot: it is asked whether it may passivate. Apart from the headers, so that
     * the sweep touches none of those who stay. */
    uint64_t *asked;
    uint32_t sweep_cursor; /* slot at which the search for idle actors goes on */
    uint32_t idle_ms_min;  /* of the classes that passivate; 0: none does */
    uint64_t sweep_next_ns;

    struct lane **lanes_out; /* by shard; own is NULL */
    struct lane **lanes_in;
    uint32_t shard_count;

    struct rest rest;
    struct spin spin;
    uint64_t polled_ns; /* the turn after which the reactor was last polled */
    struct reactor *reactor;
    struct socket_table *sockets;
    struct program_table *programs;
    uint64_t io_next_ns; /* when io_turn wants to be called next */
    shard_give_back_fn giver;
    struct shard_counters counters;
    pthread_t thread;

    /* For the watchdog: the class of what runs, NULL between actors. Stored by the shard in
     * run_actor, turn_leave and shard_guard; pairs with the load in watchdog_thread.c's look_at.
     * Both relaxed, for a class is constant from before any thread was. Whether it is still the
     * same handler, the recorder's count says. */
    const struct actor_class *watch_class;
    struct stuck *stuck; /* the watchdog's, for this shard's signal handler; NULL: none */
    pid_t thread_id; /* stored by its thread, loaded by watchdog_thread.c's ask, relaxed; 0: not yet
                      */
    uintptr_t stack_end; /* the thread's, above everything; 0: unknown */
    _Alignas(64) struct recorder recorder;

    /* What other threads write. */
    _Alignas(64) struct ck_stack inbox; /* messages of threads that are no shard */
    /* 1 while the shard waits in poll, or is about to. Set by it, cleared by it or by who wakes it;
     * the fence in shard_park pairs with the one in shard_wake_if_asleep. The watchdog's look at it
     * pairs with nothing: it only decides how soon it looks again. */
    _Alignas(64) uint32_t asleep;
};
_Static_assert(offsetof(struct shard, inbox) % 64 == 0 &&
                   offsetof(struct shard, asleep) == offsetof(struct shard, inbox) + 64 &&
                   sizeof(struct shard) == offsetof(struct shard, asleep) + 64,
               "what others write lies on lines that the shard's own fields are not on");

/* A name of the whole node. */
struct name_entry {
    char name[NAME_BYTES_MAX + 1];
    struct actor_id actor;
};

struct runtime {
    struct seams seams;
    void *context;
    unsigned shard_count;
    uint16_t node;
    bool pin_threads;
    bool spins;           /* each shard can have a processor of its own */
    bool crash_installed; /* by this runtime */
    uint64_t batch_wait_ns;
    struct shard **shards;
    struct lane *lanes; /* shard_count squared: from by to */
    struct pool *pool;
    struct watchdog *watchdog;
    const struct supervisor_spec *root;
    struct actor_id root_id; /* under `lock` */

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    unsigned shards_ready, shards_ended;
    int start_error;
    bool root_started, root_ended;
    int root_reason;
    struct name_entry *names;
    unsigned name_count;

    unsigned threads_started;
    bool is_quiet; /* all shards have ended and the pool has: under `lock` */
    uint32_t watchdog_budget_ms;

    /* Looked at by each shard in each turn, and written once: a line apart from what is written. */
    /* Written by runtime_stop and runtime_root_ended, read by runtime_wait, all relaxed: the lock
     * under which shards say that they have ended brings it to the reader. */
    _Alignas(64) int exit_code;
    /* Written by runtime_stop, read and taken back by shard 0, all relaxed. A parked shard 0 sees
     * it by the fences of shard_wake_if_asleep and shard_park, and it brings nothing else along. */
    bool stop_requested;
    /* Set with release by begin_stopping; pairs with the acquire in loop and runtime_wants: shards
     * end their actors and their threads. */
    bool stopping;

    /* Figures: added to by whom each says, read by runtime_counters_read, all relaxed. Nothing is
     * published by them, so they pair with nothing but each other. */
    _Alignas(64) uint64_t pool_jobs;        /* pool threads */
    uint64_t pool_queue;                    /* who holds the pool's lock */
    uint64_t overruns, overruns_unreported; /* the watchdog */
    uint64_t wakes;                         /* who wakes */
    uint64_t blob_bytes;                    /* threads that are no shard */
};
_Static_assert(offsetof(struct runtime, pool_jobs) >= offsetof(struct runtime, stopping) + 1 &&
                   offsetof(struct runtime, pool_jobs) % 64 == 0 &&
                   offsetof(struct runtime, exit_code) % 64 == 0,
               "what shards look at in each turn lies on a line that nobody writes");

extern __thread struct shard *shard_of_thread;
/* What the pool job of this thread works on; NULL: no thread of a pool. Only a crash reads it. */
extern __thread struct blame *blame_of_job;

/* --- shard.c
 * ----------------------------------------------------------------------------------------- */

int shard_create(struct runtime *runtime, unsigned index, uint32_t actors_max,
                 struct shard **shard);
void shard_destroy(struct shard *shard);
/* Makes it the thread's current one; NULL: none. */
void shard_enter(struct shard *shard);
/* Publishes what waits in the lanes and wakes who sleeps. */
void shard_publish(struct shard *shard);
/* The same without waking anybody: what is freed at the end finds it there. */
void shard_publish_quietly(struct shard *shard);
/* Ends every actor that is left. */
void shard_end_actors(struct shard *shard);
/* Destroys what has arrived and will not be handled any more. */
void shard_discard_arrivals(struct shard *shard);
/* True if nothing is there to be done; then other threads will wake the reactor for what they send.
 * Undone by shard_unpark. */
bool shard_park(struct shard *shard);
void shard_unpark(struct shard *shard);
/* Looks for arrivals for at most so long; true if there are some. */
bool shard_await_arrivals(struct shard *shard, uint64_t ns);
/* Any thread: a message for an actor or a control message; wakes the shard. */
void shard_inbox_push(struct shard *shard, struct message *message);
/* Any thread: after something was published for it. True if it slept. */
bool shard_wake_if_asleep(struct shard *shard);
static inline void shard_enqueue(struct shard *shard, struct actor *actor) {
    actor->flags |= ACTOR_IS_QUEUED;
    actor->run_next = NULL;
    if (shard->run_tail)
        shard->run_tail->run_next = actor;
    else
        shard->run_head = actor;
    shard->run_tail = actor;
}
/* The lane to another shard takes the message. */
void shard_send_remote(struct shard *shard, unsigned to, struct message *message);

/* Runs `function(shard, actor, argument)` as `actor` where actor_fail comes back. 0, or 1: it
 * failed and shard->fail_reason says why. */
int shard_guard(struct shard *shard, struct actor *actor,
                void (*function)(struct actor *actor, void *argument), void *argument);

static inline struct actor *shard_slot(const struct shard *shard, uint32_t slot) {
    return &shard->chunks[slot / ACTOR_CHUNK][slot % ACTOR_CHUNK];
}
/* Whether the sweep asks this actor if it may passivate. */
static inline void shard_ask_idle(struct shard *shard, const struct actor *actor, bool asked) {
    uint32_t slot = actor_slot(actor);
    if (asked)
        shard->asked[slot / 64] |= 1ull << slot % 64;
    else
        shard->asked[slot / 64] &= ~(1ull << slot % 64);
}
/* NULL when the id is stale or of another shard. */
static inline struct actor *shard_actor(const struct shard *shard, struct actor_id id) {
    uint32_t slot = id_slot(id);
    if (__builtin_expect(id_place(id) != shard->place || slot >= shard->slots_used, 0))
        return NULL;
    struct actor *actor = shard_slot(shard, slot);
    return __builtin_expect(actor->id == id.bits, 1) ? actor : NULL;
}

/* --- messages that an actor holds (message.c), on the way of each message
 * --------------------------------------------------------------------- */

/* Off the list that it is on, if it is on one. */
static inline void message_unlist(struct message *message) {
    if (message->flags & MESSAGE_HELD) {
        struct message **link = (struct message **)message->to.bits; /* what points to it */
        *link = message->next;
        if (message->next)
            message->next->to.bits = (uint64_t)link;
        message->flags &= (uint16_t)~MESSAGE_HELD;
    }
}

/* Off what holds it: it is given away, or put elsewhere. On the shard's own thread. */
static inline void message_unhold_here(struct shard *shard, struct message *message) {
    if (__builtin_expect(shard->running.newest == message, 1))
        shard->running.newest = NULL;
    else
        message_unlist(message);
}
/* The same on any thread. */
static inline void message_unhold(struct message *message) {
    struct shard *shard = shard_of_thread;
    if (__builtin_expect(shard != NULL, 1))
        message_unhold_here(shard, message);
    else
        message_unlist(message);
}

/* message_destroy on a shard's thread. */
static inline void message_free(struct shard *shard, struct message *message) {
    const uint16_t special = MESSAGE_HELD | MESSAGE_LENT | MESSAGE_SHARED | MESSAGE_STUB;
    if (__builtin_expect((message->flags & special) || message->blob ||
                             message->home == SLAB_CLASS_HEAP ||
                             slab_home(message) != &shard->messages,
                         0)) {
        message_destroy_special(message);
        return;
    }
    if (shard->running.newest == message)
        shard->running.newest = NULL;
    slab_give(&shard->messages, message, message->home);
}

/* --- runtime.c
 * --------------------------------------------------------------------------------------- */

/* A runtime whose shards have no threads: for the simulator and for tests. The tree is not started.
 */
int runtime_create(const struct runtime_options *options, struct runtime **runtime);
/* runtime_destroy in two steps: everything ends and is freed but the pools themselves; then they.
 */
void runtime_finish(struct runtime *runtime);
void runtime_free(struct runtime *runtime);
/* On shard 0's thread. */
int runtime_start_root(struct runtime *runtime);
/* The root supervisor says: all fixed children are started (0) or one could not be. */
void runtime_root_started(struct runtime *runtime, int error);
void runtime_root_ended(struct runtime *runtime, int reason);

/* Between turns: if a stop was asked for, shard 0 tells the root. */
void runtime_heed(struct shard *shard);
/* True when there is something that the runtime wants of this shard: a stop. */
bool runtime_wants(struct shard *shard);

/* --- thread.c
 * ---------------------------------------------------------------------------------------- */

/* The calling thread's name, "shard 3", for those who look at the process. */
void thread_name(const char *kind, unsigned index);
/* Where the calling thread's stack ends, above everything on it; 0: unknown. */
uintptr_t thread_stack_end(void);
/* A thread with all signals blocked but those of its own faults. 0 or a negative errno. */
int thread_create_quiet(pthread_t *thread, void *(*run)(void *argument), void *argument);

/* --- counters.c
 * -------------------------------------------------------------------------------------- */

/* Once per class that some shard has met. Any thread. */
void runtime_each_class(struct runtime *runtime,
                        void (*visit)(void *context, const struct actor_class *class),
                        void *context);

/* --- names of the node: names.c
 * ---------------------------------------------------------------------- */

void names_remove_all(struct runtime *runtime, struct actor_id actor);

#endif

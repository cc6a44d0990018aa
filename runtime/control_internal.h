/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control messages: what one shard asks of another about its actors. They travel in the lanes
 * between the messages that were sent before and after, and are carried out when they arrive.
 */
#ifndef TERN_RUNTIME_CONTROL_INTERNAL_H
#define TERN_RUNTIME_CONTROL_INTERNAL_H

#include "runtime/actor_internal.h"
#include "runtime/inspect_internal.h"
#include "runtime/supervisor.h"
#include "runtime/trace_internal.h"

enum control_kind {
    CONTROL_MONITOR,   /* struct control_monitor: `to` is to be watched by `from` */
    CONTROL_UNMONITOR, /* struct control_monitor */
    CONTROL_LINK,      /* `to` and `from` are to end together */
    CONTROL_UNLINK,
    CONTROL_GROUP_JOIN, /* struct control_group: `from` is in it now */
    CONTROL_GROUP_LEAVE,
    CONTROL_KILL,        /* struct control_kill: `to` ends now */
    CONTROL_SPAWN,       /* struct control_spawn: a child of supervisor `from` */
    CONTROL_BROOD_OPEN,  /* struct control_brood: that shard has children of supervisor `to` */
    CONTROL_BROOD_ORDER, /* struct control_brood: to the dynamic children of supervisor `from` */
    CONTROL_BROOD_KILL,  /* the same, all of them, at once: supervisor `from` is no more */
    CONTROL_BROOD_COUNT, /* struct control_brood: how many dynamic children has `from` there? */
    CONTROL_INSPECT,     /* struct control_inspect: a query of `from` */
    CONTROL_INSPECT_ONE, /* struct control_inspect_one: what waits for `to`, and whom it knows */
    CONTROL_TRACE,       /* struct control_trace: `from` wants to follow actors */
    CONTROL_TRACE_STOP,  /* the same, only its reference: no more */
};

/* A group's name as it is compared: zeros behind the text. */
struct control_group {
    char name[32];
    uint64_t key;
};
struct control_monitor {
    uint64_t reference;
};
struct control_kill {
    int reason;
};
/* A dynamic child that is started again. */
struct spawn_again {
    const struct actor_class *class; /* NULL: it is a fixed child */
    uint64_t key;
    uint32_t failures; /* to start it, in a row */
};
struct control_spawn {
    const struct supervisor_child *child; /* NULL: a dynamic one */
    uint32_t attempt;                     /* given back in the answer, as the next is */
    struct spawn_again again;
};
/* To a brood of dynamic children: no new ones and end in order, or at once; or take new ones again.
 */
enum brood_order { BROOD_END, BROOD_KILL, BROOD_RESUME };
struct control_brood {
    const struct actor_class *class;
    uint32_t shard;
    enum brood_order order;
    uint32_t census; /* which count it is for */
    uint64_t count;
};

/* Carries it out on that shard: now if it is this one, else when it arrives there. */
void control_send(struct shard *shard, unsigned to_shard, enum control_kind kind,
                  struct actor_id to, struct actor_id from, const void *payload, size_t bytes);
/* One that has arrived; takes it. */
void control_carry_out(struct shard *shard, struct message *message);

/* --- monitors and links: monitor.c
 * ------------------------------------------------------------------ */

struct monitor {
    struct monitor *next;
    struct monitor **link;
    uint64_t reference;
    struct actor_id other;
};
struct link {
    struct link *next;
    struct link **link;
    struct actor_id other;
};

/* In struct actor_down of an ACTOR_EXIT on its way: it comes by a link, not from actor_kill. */
#define EXIT_BY_LINK 1u

bool is_of_this_node(const struct shard *shard, struct actor_id id);
/* ACTOR_DOWN or ACTOR_EXIT about `about`, in order behind what it has sent. */
void relations_tell_end(struct shard *shard, struct actor_id to, uint16_t kind,
                        struct actor_id about, uint64_t reference, int reason);
/* An actor ends: whoever watches it or is linked to it hears, whomever it watches forgets it. */
void relations_end(struct shard *shard, struct actor *actor, int reason);
/* ACTOR_DOWN or ACTOR_EXIT is about to be handled: false if nobody wants it any more, or if the
 * exit has ended the actor instead. */
bool relations_claim(struct shard *shard, struct actor *actor, struct message *message);
/* Unlike all others of this runtime; never 0. */
uint64_t reference_next(struct shard *shard);
void monitor_on_request(struct shard *shard, struct actor_id target, struct actor_id watcher,
                        uint64_t reference);
void monitor_on_cancel(struct shard *shard, uint64_t reference);
void link_on_request(struct shard *shard, struct actor_id to, struct actor_id from);
void link_on_cancel(struct shard *shard, struct actor_id to, struct actor_id from);

/* --- groups: group.c
 * ----------------------------------------------------------------------------------------- */

/* An actor of another shard has joined or left. */
void group_on_change(struct shard *shard, const struct control_group *name, struct actor_id actor,
                     bool joined);
void group_leave_all(struct shard *shard, struct actor *actor);
void groups_finish(struct shard *shard);

/* --- children: brood.c
 * ------------------------------------------------------------------------------- */

/* The children that one supervisor has on this shard: its fixed ones, or those of one dynamic
 * class. */
struct brood {
    struct actor_id supervisor;
    struct class_entry *class; /* NULL: the fixed ones */
    uint64_t count;
    uint32_t first;  /* slot + 1 */
    uint32_t cursor; /* of those that are told to stop: slot + 1 */
    bool stopping;
    bool kill;          /* not told but ended */
    bool orphaned;      /* the supervisor is no more: the brood goes with its last child */
    bool at_work;       /* on the shard's list of broods with a cursor */
    struct brood *next; /* of the same supervisor */
    struct brood *work_next;
};

/* 0, or -ESRCH: the supervisor is no more or stops such children. Nobody as supervisor is 0. */
int brood_join(struct shard *shard, struct actor *actor, struct actor_id supervisor, bool fixed);
/* An end that counts for a supervisor that has no other reason to care. */
bool reason_is_failure(int reason);
/* The actor has ended: its supervisor hears what concerns it. */
void brood_leave(struct shard *shard, struct actor *actor, int reason, bool was_born);
void brood_on_open(struct shard *shard, struct actor_id supervisor, unsigned at_shard);
void brood_on_order(struct shard *shard, struct actor_id supervisor,
                    const struct actor_class *class, enum brood_order order);
void brood_on_count(struct shard *shard, struct actor_id supervisor, uint32_t census);
void brood_on_kill(struct shard *shard, struct actor_id supervisor);
/* A supervisor ends: its children everywhere are ended. */
void brood_end_all(struct shard *shard, struct actor *supervisor);
/* Tells the next of those that are to stop, a bounded number. True if there are more. */
bool brood_work(struct shard *shard);

/* --- supervisors: supervisor.c
 * ----------------------------------------------------------------------- */

enum supervisor_kind {
    SUPERVISOR_CHILD_ENDED = SUPERVISOR_KIND_FIRST, /* struct child_ended */
    SUPERVISOR_CHILD_STARTED, /* struct child_started; of a dynamic one only if it could not be */
    SUPERVISOR_BROOD_EMPTY,   /* struct control_brood */
    SUPERVISOR_RESTART_DUE,   /* a timer; argument: index of the child */
    SUPERVISOR_SHUTDOWN_DUE,  /* a timer */
    SUPERVISOR_START,         /* the root, to itself */
    SUPERVISOR_POOL_DUE,      /* a timer: a dynamic child is to be started again */
    SUPERVISOR_QUESTION,      /* struct supervisor_request */
    SUPERVISOR_BROOD_COUNTED, /* struct control_brood */
};
_Static_assert((int)SUPERVISOR_BROOD_COUNTED < (int)SUPERVISOR_ANSWER, "kinds are told apart");
struct supervisor_request {
    enum supervisor_question question;
    uint32_t place;
};
struct child_ended {
    struct actor_id child;
    const struct actor_class *class; /* of a dynamic one, else NULL */
    uint64_t key;
    int reason;
    bool kept; /* from supervisor_spawn: it may be started again */
};
struct child_started {
    struct actor_id child;
    uint32_t attempt;
    unsigned shard;
    int error;
    struct spawn_again again;
};

extern const struct actor_class supervisor_class;
struct supervisor_argument {
    const struct supervisor_spec *spec;
    bool root;
};
/* Starts it on this shard. */
int supervisor_start_child(struct shard *shard, const struct control_spawn *spawn,
                           struct actor_id supervisor, struct actor_id *id);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Actors: a class, a small state, a mailbox, and nothing shared.
 *
 *   actor_spawn ─► init(state, argument) ─► handlers, one by one ─► terminate(state, reason)
 *
 * An actor lives on one shard for its life. Its handlers run on that shard's thread, to completion,
 * one at a time; they may not block. All functions here are for the current actor's own thread
 * unless said otherwise: the runtime knows which actor is running, so `self` is never passed.
 *
 * A handler is given the address of the message's pointer. It may read it, give it on (`actor_send`
 * nulls the pointer), keep it (`message_keep`), or leave it: what is left is freed after the
 * handler.
 *
 * What an actor owns goes when it ends, however it ends: its state, its memory from
 * `actor_allocate`, its timers, its sockets, its monitors and its names. Buffers that the kernel
 * still reads belong to the reactor, never to an actor.
 */
#ifndef TERN_RUNTIME_ACTOR_H
#define TERN_RUNTIME_ACTOR_H

#include "runtime/check.h"
#include "runtime/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef void (*message_fn)(void *state, struct message **message);

struct actor_handler {
    const char *name; /* the message kind's name, for traces */
    message_fn handle;
};

/* One per kind of actor, constant, shared by all shards. */
struct actor_class {
    const char *name;
    size_t state_bytes;
    /* 0, or a negative errno: then the actor never was, and terminate is not called. `argument` is
     * borrowed for the call. For a (class, key) actor `actor_key()` is set and argument is NULL. */
    int (*init)(void *state, const void *argument);
    /* May send; may not fail. Optional. Also runs after actor_fail, on a state that may be odd. */
    void (*terminate)(void *state, int reason);
    /* Indexed by message kind; kinds with no handler go to `otherwise`, or are counted and freed.
     */
    const struct actor_handler *handlers;
    uint16_t handler_count;
    message_fn otherwise;
    /* A message of ours that came back (MESSAGE_REFUSED set). Optional: counted and freed. */
    message_fn refused;
    /* After the messages of one turn, if any was handled: the place to flush what they gathered. */
    void (*after_turn)(void *state);
    /* Passivation of (class, key) actors: after `idle_ms` without a message (0: never) the actor is
     * asked, and ends with ACTOR_PASSIVATED if it agrees. Optional. A message that arrives while it
     * ends activates a new one. */
    uint32_t idle_ms;
    bool (*may_passivate)(void *state); /* not asked of one that stays: actor_stay */
    /* Bounds of the mailbox; 0 takes the defaults (1,024 messages, 8 MiB). */
    uint32_t mailbox_messages_max;
    uint32_t mailbox_bytes_max;
};

/* Kinds of the runtime's own messages. A product's kinds begin at ACTOR_KIND_FIRST. */
enum {
    ACTOR_DOWN = 1, /* struct actor_down: a monitored actor ended */
    ACTOR_EXIT = 2, /* struct actor_down: a linked actor ended and this one traps exits */
    /* A supervisor asks. A class that handles it ends by actor_stop when it is ready (in time, else
     * it is killed); any other actor is ended with ACTOR_SHUTDOWN. */
    ACTOR_STOP = 3,
    SOCKET_ACCEPTED = 4, /* struct socket_accepted (socket.h) */
    SOCKET_DATA = 5,     /* struct socket_data */
    SOCKET_SENT = 6,     /* struct socket_sent */
    SOCKET_CLOSED = 7,   /* struct socket_closed */
    SOCKET_CONNECTED = 8,
    PROGRAM_ENDED = 9, /* struct program_ended (program.h) */
    SIGNAL_RAISED = 10,
    ACTOR_UNDELIVERED = 11, /* struct actor_undelivered: who didn't get a multicast */
    /* struct actor_down: a call gets no reply. `reason`: ACTOR_TIMEOUT; -ENOBUFS, its mailbox was
     * full; else why the callee ended. `actor` is the callee as far as it is known. */
    ACTOR_UNANSWERED = 12,
    TRACE_EVENT = 13,    /* struct trace_event (trace.h) */
    TRACE_ENDED = 14,    /* struct trace_ended */
    INSPECT_ANSWER = 15, /* inspect.h */
    SUPERVISOR_KIND_FIRST = 16,
    SUPERVISOR_ANSWER = 27, /* struct supervisor_answer (supervisor.h) */
    GROUP_CHANGED = 28,     /* struct group_changed (group.h) */
    CREDIT_GRANTED = 29,    /* struct credit_grant (credit.h) */
    LOCAL_WAITS = 30,       /* struct local_waits (local.h) */
    INSPECT_DETAIL = 31,    /* struct inspect_detail (inspect.h) */
    ACTOR_KIND_FIRST = 32,
    ACTOR_KIND_MAX = 256,
};

/* Reasons to end. Positive values are the classes' own, to be named by them. */
enum {
    ACTOR_NORMAL = 0,
    ACTOR_SHUTDOWN = -1,   /* asked by its supervisor */
    ACTOR_KILLED = -2,     /* by an operator or a link */
    ACTOR_NOT_FOUND = -3,  /* monitor of an actor that is no more */
    ACTOR_PASSIVATED = -4, /* idle; comes back when it is needed */
    ACTOR_FAULT = -5,      /* injected by a test build */
    ACTOR_TIMEOUT = -6,    /* of a call */
};

struct actor_down {
    struct actor_id actor;
    uint64_t reference; /* what actor_monitor or actor_call returned; 0 for links */
    int reason;
};

struct actor_undelivered {
    uint16_t kind;  /* of the message */
    uint16_t count; /* of `actors`, in the order of the ids */
    uint16_t full;  /* so many of them had no room; the others are no more */
    struct actor_id actors[];
};

/* --- sending --- */

/* Gives the message to an actor. 0: it is no longer yours (*message is NULL), also when the id
 * turns out to be stale (then it comes back as refused if the sender is an actor, else it is
 * counted and freed). -ENOBUFS: a bound is reached and it is still yours. Order is kept per sender
 * and receiver. From a thread that is no shard use runtime_send. */
int actor_send(struct actor_id to, struct message **message);
/* The same to (class, key): activates it where the placement puts it. */
int actor_send_named(const struct actor_class *class, uint64_t key, struct message **message);
/* One message to many: at most ACTOR_MULTICAST_MAX ids, an actor named twice gets it twice. Costs a
 * line per receiver and one envelope per other shard; those on one shard share the message itself,
 * so they may read it but not write it without message_own. A blob is shared by all. Order is kept
 * with what else the sender sends to each of them, and each one's bounds are asked as for
 * actor_send.
 *
 * Returns how many are known at once not to get it (0 if none is), or -E2BIG: too many ids, and it
 * is still yours; else the message is no longer yours. Who doesn't get it, now or later (its
 * mailbox or the lane is full, or it is no more), is counted as with actor_send, and if the
 * sender's class has a handler for ACTOR_UNDELIVERED it is told so, once per receiver: in one
 * message per shard, or, for one that ends with it unread, in a message of its own. The message
 * itself doesn't come back. */
#define ACTOR_MULTICAST_MAX 4096u
int actor_multicast(const struct actor_id *ids, size_t count, struct message **message);
/* Shorthand: a message without payload. */
int actor_signal(struct actor_id to, uint16_t kind);
/* The same to oneself in the shard's next turn, after its reactor was asked: to wait for a turn
 * without being run again and again in this one. Never refused. */
void actor_signal_next_turn(uint16_t kind);

/* --- asking: a request, and one answer in time ---
 *
 *   caller                                          callee
 *   actor_call(to, &request, 500, &reference) ────► on_request: actor_caller_of(*message)
 *   on_reply: message_reference(*message)     ◄──── actor_reply(caller, &reply), now or later
 *
 * Nothing waits. Each call is answered exactly once: by the reply, a message of the kind that the
 * callee gave it, or by ACTOR_UNANSWERED. What comes later is counted (call_late_reply) and freed.
 * When the caller ends, its calls are no more. */

/* Gives the request to the callee. 0: it is no longer yours and *reference names the call.
 * -ENOBUFS: a bound of the callee or of the lane is reached, and -EAGAIN: this actor has
 * ACTOR_CALLS_MAX calls open; then no call was made and the request is still yours. */
#define ACTOR_CALLS_MAX 4096u
int actor_call(struct actor_id to, struct message **request, uint64_t timeout_ms,
               uint64_t *reference);
/* The same to (class, key): activates it where the placement puts it. */
int actor_call_named(const struct actor_class *class, uint64_t key, struct message **request,
                     uint64_t timeout_ms, uint64_t *reference);
/* Takes it back: nothing of it will be heard, though the callee may still handle the request. */
void actor_call_cancel(uint64_t reference);

/* Who waits for an answer to this message; `actor` is nobody if it came by actor_send. To be asked
 * before the message is given on; may itself be given to another actor, who then replies. */
struct actor_caller {
    struct actor_id actor;
    uint64_t reference;
};
struct actor_caller actor_caller_of(const struct message *request);
/* Takes the reply. Never refused: the caller's open calls are its bound. */
void actor_reply(struct actor_caller caller, struct message **reply);

/* --- putting aside --- */

/* Puts the message aside, in order, until actor_undefer puts all of them in front of the mailbox:
 * for an actor that waits (for its state from storage, say). Counted in the mailbox's bounds. */
void actor_defer(struct message **message);
void actor_undefer(void);

/* --- life --- */

/* On this shard, as a child of `supervisor` (nobody: no supervisor; its failure is only counted).
 * Fails with what init returned, or -ENOMEM, -ENOSPC (no slot). */
int actor_spawn(const struct actor_class *class, const void *argument, struct actor_id supervisor,
                struct actor_id *id);

struct actor_id actor_self(void);
uint64_t actor_key(void); /* of a (class, key) actor or one of supervisor_spawn, else 0 */
/* The running shard's index, and the shard that owns (class, key). */
unsigned actor_shard(void);
unsigned actor_shard_of(const struct actor_class *class, uint64_t key);

/* Leaves the handler at once and ends this actor only. `why` is a constant string, for the log. */
__attribute__((noreturn)) void actor_fail(int reason, const char *why);
#define actor_ensure(condition, reason) \
    (__builtin_expect(!!(condition), 1) ? (void)0 : actor_fail(reason, #condition))
/* Ends this actor in order when the handler returns. */
void actor_stop(int reason);
/* Ends another: ACTOR_KILLED cannot be trapped and overtakes its mailbox. */
void actor_kill(struct actor_id actor, int reason);

/* A message ACTOR_DOWN when it ends; at once if it is no more. Returns a reference for unmonitor.
 */
uint64_t actor_monitor(struct actor_id actor);
void actor_unmonitor(uint64_t reference);
/* Ends together unless one traps exits; actors on any shard. */
void actor_link(struct actor_id actor);
void actor_unlink(struct actor_id actor);
void actor_trap_exits(bool trap);

/* For a (class, key) actor whose class has `idle_ms`: while it stays, it is not asked whether it
 * may passivate, and costs nothing by being idle, however many they are; for one that knows why it
 * is needed (somebody is connected) and when that ends. `false`: asked again once it has been idle
 * for `idle_ms`, counted from the end of this handler. Saying the same again changes nothing; no
 * effect on other actors. Not inherited by its next activation. */
void actor_stay(bool stays);

/* --- names --- */

/* Makes `supervisor` the parent of the (class, key) actors of this shard. */
void actor_serve_class(const struct actor_class *class, struct actor_id supervisor);
/* Publishes the running actor under a name of the whole node; actor_whereis from any shard.
 * -EEXIST if another living actor has it. A name is at most 31 bytes. */
int actor_register(const char *name);
struct actor_id actor_whereis(const char *name);

/* --- memory, time, long work --- */

/* Zeroed; owned by the running actor; freed with it at the latest. At most ACTOR_ALLOCATION_MAX. */
#define ACTOR_ALLOCATION_MAX (64u << 20)
void *actor_allocate(size_t bytes);
void *actor_reallocate(void *memory, size_t bytes); /* grown bytes are not zeroed */
void actor_free(void *memory);

/* A message of `kind` with struct actor_timer_fired after delay_ms, once. Canceled with the actor.
 */
struct actor_timer {
    uint64_t bits; /* zero: none */
};
struct actor_timer_fired {
    struct actor_timer timer;
    uint64_t argument;
};
struct actor_timer actor_timer_start(uint64_t delay_ms, uint16_t kind, uint64_t argument);
/* True if it had not fired and never will. Sets *timer to none. A fired timer whose message is
 * still in the mailbox is taken back too: after cancel its message is never handled. */
bool actor_timer_cancel(struct actor_timer *timer);

uint64_t actor_now_ms(void);                   /* monotonic; read once per turn */
uint64_t actor_now_ns(void);                   /* monotonic; read now */
uint64_t actor_wall_ms(void);                  /* Unix time in milliseconds */
void actor_random(void *bytes, size_t length); /* cryptographic, through the seam */
uint64_t actor_random_below(uint64_t bound);   /* uniform in [0, bound) */

/* The shard's count of turns: what is to happen so often per turn is told apart by it. */
uint64_t actor_turn(void);
/* True when this actor has handled its share of messages in this turn (64), or when the shard's
 * turn has lasted half a millisecond. For a handler with much to do; work comes before the
 * question, so that each turn gets on:
 *
 *     while (more(state)) {
 *         do_a_little(state);
 *         if (actor_yield_due()) {
 *             actor_signal_next_turn(GO_ON); // others have their turn, sockets are looked at
 *             return;
 *         }
 *     }
 *
 * Reads the clock: some 25 ns. It ends nothing by itself: a handler that does not ask holds its
 * shard, and the watchdog names it (watchdog.h). */
bool actor_yield_due(void);

/* What must block: `run` is called with the message on a pool thread, then the message comes back
 * to this actor as it is (its kind chosen by the caller), in no order with other jobs. -ENOBUFS:
 * the pool's queue is full and the message is still yours. `run` may read and write the message and
 * what it points to, nothing of the actor. If the actor has ended meanwhile, the message is freed.
 */
int actor_run_blocking(void (*run)(struct message *message), struct message **message);

/* Counts an event of this class under a constant name; seen in /metrics as
 * tern_events_total{name=}. */
void actor_count(const char *name, uint64_t n);
/* One log line, rate-limited per place; printf-like; levels as in log.h. See log.h for macros. */

/* The value given to runtime_start as `context`: the product's per-node state. */
void *actor_context(void);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an actor is inside its shard: a header of two cache lines in a table that never moves, its
 * state beside it, and, only if it needs them, its relations (monitors, links, messages that it
 * keeps).
 *
 *   slot free ─spawn─► on stack (init) ─► idle ◄─► queued ─► on stack (handlers)
 *                                          └── stop, fail, kill, passivate ──► ending (terminate)
 * ─► free
 *
 * A slot that ends while it lies in the run queue is free only when the run queue has let go of it.
 */
#ifndef TERN_RUNTIME_ACTOR_INTERNAL_H
#define TERN_RUNTIME_ACTOR_INTERNAL_H

#include "runtime/actor.h"
#include "runtime/shard_internal.h"

#define ID_GENERATION_BITS 22
#define ID_SLOT_BITS 24
#define ID_SHARD_BITS 8
#define ID_NODE_BITS 10
#define ID_GENERATION_MAX ((1u << ID_GENERATION_BITS) - 1)
#define ID_SLOTS_MAX (1u << ID_SLOT_BITS)
#define SHARDS_MAX (1u << ID_SHARD_BITS)
/* What a free slot has as its id: of the last slot, which no shard uses. Not zero, for that is how
 * nobody would be found in the first slot of all. */
#define ID_FREE UINT64_MAX

/* Node and shard of an id as one number: what tells a local id from others. */
static inline uint32_t id_place(struct actor_id id) {
    return (uint32_t)(id.bits >> (ID_GENERATION_BITS + ID_SLOT_BITS));
}
static inline unsigned id_shard(struct actor_id id) {
    return id_place(id) & (SHARDS_MAX - 1);
}
static inline unsigned id_node(struct actor_id id) {
    return id_place(id) >> ID_SHARD_BITS;
}
static inline uint32_t id_slot(struct actor_id id) {
    return (uint32_t)(id.bits >> ID_GENERATION_BITS) & (ID_SLOTS_MAX - 1);
}

/* Flags of messages beside those of message.h. */
enum {
    MESSAGE_VERIFY = 8,   /* tells of something: handled only if that is still wanted */
    MESSAGE_CONTROL = 16, /* for the shard, not for a mailbox (control_internal.h) */
    MESSAGE_LENT = 32,    /* points into a buffer of the reactor */
    MESSAGE_HELD = 64,    /* on a list of an actor that has not given it away; `to` is the link */
    MESSAGE_SHARED = 128, /* of a multicast, for `to.bits` receivers here: multicast.c */
    MESSAGE_STUB = 256,   /* in a mailbox: stands for `shared` */
    MESSAGE_MULTICAST = 512, /* with MESSAGE_CONTROL: for `to.bits` ids behind its payload */
    MESSAGE_TELLS = 1024,    /* of a multicast: the sender wants to hear of what is refused */
};

enum actor_flag {
    ACTOR_IS_QUEUED = 1,
    ACTOR_IS_ON_STACK = 2,   /* its init, a handler or terminate is running: it cannot end now */
    ACTOR_IS_UNBORN = 4,     /* activated; init runs in its first turn */
    ACTOR_IS_ENDING = 8,     /* terminate has begun */
    ACTOR_IS_STOPPING = 16,  /* ends, with `stop_reason`, when what runs returns */
    ACTOR_IS_NAMED = 32,     /* in the registry by (class, key) */
    ACTOR_IS_PUBLISHED = 64, /* has names of the whole node */
    ACTOR_TRAPS_EXITS = 128,
    ACTOR_IS_FIXED = 256,   /* a supervisor's child from its spec */
    ACTOR_HAS_FAILED = 512, /* ends by actor_fail */
    ACTOR_IS_FREE = 1024,
    ACTOR_IS_KEPT =
        2048, /* from supervisor_spawn: has a key, and its supervisor hears of any end */
};

struct class_entry;
struct brood;
struct timer;
struct monitor;
struct link;
struct call;
struct group_tie;

/* An allocation of actor_allocate; the bytes follow. */
struct arena_block {
    struct arena_block *next;
    struct arena_block **link;
    uint64_t bytes; /* in all */
    uint64_t magic;
};

/* What few actors have. From the shard's pool at first need. */
struct relations {
    struct message *deferred_head, *deferred_tail;
    struct message *held;     /* kept or not yet given away: freed with the actor */
    struct monitor *watching; /* monitors of this actor on others */
    struct monitor *watchers; /* others' on this one */
    struct link *links;
    struct call *calls;     /* that wait for their answer */
    struct group_tie *ties; /* groups that it is in or watches */
    uint32_t call_count, tie_count;
    /* A supervisor's: the shards on which it may have children. */
    uint64_t brood_shards[SHARDS_MAX / 64];
};

struct actor {
    /* Touched by each message. */
    struct message *head, *tail;
    struct actor *run_next; /* in the run queue; also links free slots */
    void *state;
    struct class_entry *class;
    uint32_t mailbox_count;
    uint32_t mailbox_bytes;
    uint64_t id; /* ID_FREE while free */
    uint32_t flags;
    union {
        uint32_t last_active_ms; /* the shard's clock, low bits */
        int32_t stop_reason;     /* while ACTOR_IS_STOPPING */
    };
    /* Touched by what else it does. */
    uint64_t key;
    struct brood *brood;
    uint32_t sibling_next, sibling_previous; /* slots + 1 */
    uint32_t handled;                        /* messages, modulo 2^32: readers take differences */
    uint32_t busy; /* in its runs, estimated, in PROFILE_UNIT_NS, modulo 2^32 */
    struct owned *owned;
    struct arena_block *arena;
    struct relations *relations;
    struct timer *timers;
} __attribute__((aligned(128)));
_Static_assert(sizeof(struct actor) == 128, "an actor's header is two cache lines");

static inline struct actor_id actor_id_of(const struct actor *actor) {
    return (struct actor_id){actor->id};
}
static inline uint32_t actor_slot(const struct actor *actor) {
    return id_slot(actor_id_of(actor));
}

/* --- the table of a shard: table.c
 * ------------------------------------------------------------------ */

#define ACTOR_CHUNK 1024u /* headers: 128 KiB */

/* A slot with its id set, or NULL: none is left. */
struct actor *actor_slot_take(struct shard *shard);
/* Its id is stale from here on; the slot is used again when the run queue has let go of it. */
void actor_slot_give(struct shard *shard, struct actor *actor);
/* The run queue has let go of a slot that was given back while it was queued. */
void actor_slot_unqueued(struct shard *shard, struct actor *actor);

/* --- life: life.c
 * ------------------------------------------------------------------------------------ */

struct relations *actor_relations(struct shard *shard, struct actor *actor);
/* Gives them back if there are none any more, unless it ends: then they go with it. To be asked
 * where the last may have gone. */
void actor_relations_rest(struct shard *shard, struct actor *actor);
/* A slot with its state, its brood joined; init has not run. -ENOSPC, or -ESRCH: the supervisor is
 * no more or stops its children. */
int actor_create(struct shard *shard, struct class_entry *class, struct actor_id supervisor,
                 bool fixed, struct actor **actor);
/* Runs init, guarded. Nonzero: it must be undone by actor_discard. */
int actor_be_born(struct shard *shard, struct actor *actor, const void *argument);
/* The actor never was: no terminate, nobody hears. */
void actor_discard(struct shard *shard, struct actor *actor, int reason);
/* Spawns a supervisor's fixed child. */
int actor_spawn_fixed(struct shard *shard, const struct actor_class *class, const void *argument,
                      struct actor_id supervisor, struct actor_id *id);
/* Spawns a dynamic child that may be started again with its key. */
int actor_spawn_kept(struct shard *shard, const struct actor_class *class, uint64_t key,
                     struct actor_id supervisor, struct actor_id *id);
/* Ends it now: it may not be on the stack. */
void actor_end(struct shard *shard, struct actor *actor, int reason);
/* Ends it now; or, when it or another is running, in its next turn, before its mailbox: ends that
 * cause ends don't nest. */
void actor_end_soon(struct shard *shard, struct actor *actor, int reason);

/* --- mailbox.c
 * --------------------------------------------------------------------------------------- */

/* What a mailbox's bound counts of it. */
static inline uint32_t message_bytes(const struct message *message) {
    size_t bytes = sizeof *message + message->payload_bytes;
    if (message->blob)
        bytes += blob_length(message->blob);
    return (uint32_t)bytes;
}
/* Appends without asking a bound. */
void mailbox_append(struct shard *shard, struct actor *actor, struct message *message);
/* What arrives for an actor of this shard, by id or by name, from here or from elsewhere. Whoever
 * sent it has set `allocated_bytes`, since there its blob is at hand. A message that cannot be
 * delivered goes back to its sender or is counted and freed. */
void mailbox_arrive(struct shard *shard, struct message *message);
/* The actor of that name on this shard; activated if there is none. NULL: none can be made. */
struct actor *mailbox_find_named(struct shard *shard, struct class_entry *class, uint64_t key);
/* Back to its sender if there is one to hear of it, else counted and freed. `class` may be NULL. */
void mailbox_refuse(struct shard *shard, struct class_entry *class, struct message *message);
/* Everything that waits in an ended actor's mailbox and among its deferred messages. */
void mailbox_empty(struct shard *shard, struct actor *actor, bool reactivate);
/* Runs at most `max` messages of the actor, in its shard's escape; returns how many. */
unsigned mailbox_run(struct shard *shard, struct actor *actor, unsigned max);
/* The same, and the clock is asked after each: of one run in many. `begun_ns` is now. */
unsigned mailbox_run_observed(struct shard *shard, struct actor *actor, unsigned max,
                              uint64_t begun_ns);

/* A system message without payload, from the running actor. */
void actor_signal_system(struct actor_id to, uint16_t kind);
/* System messages to any actor anywhere, in order with what was sent before. */
void system_send(struct shard *shard, struct actor_id to, struct message *message);

/* --- one message for many: multicast.c
 * ------------------------------------------------------------------------------------ */

/* What has come for many actors of this shard; takes it. */
void multicast_arrive(struct shard *shard, struct message *envelope);
/* A stub leaves its mailbox: it is freed, and what it stood for is returned, still shared unless
 * this was the last. */
struct message *multicast_open(struct message *stub);
/* A stub that no handler will get: counted, told to its sender, freed. `class` may be NULL. */
void multicast_refuse(struct shard *shard, struct class_entry *class, struct message *stub);

/* --- requests and their answers: call.c
 * ------------------------------------------------------------------------------------ */

/* Kind of the timer that ends a call. */
#define CALL_DUE (ACTOR_KIND_FIRST - 1)

/* A request has come for an actor of this shard; takes it. */
void call_arrive(struct shard *shard, struct message *request);
/* It can't be delivered: told to its caller, counted, freed. `class` may be NULL. */
void call_refuse(struct shard *shard, struct class_entry *class, struct message *request,
                 int reason);
/* The actor passivates: requests that it hasn't read are not failed but wait for the next
 * activation. To be asked before its watchers are told. */
void call_forget_unread(struct shard *shard, struct actor *actor);
/* Writes what mailbox_arrive wants to know of a message to a name; it keeps its reference. */
void call_address_by_name(struct message *request, const struct actor_class *class, uint64_t key);
/* An answer, a deadline, an ACTOR_DOWN that no monitor wants: false if it is not wanted either. It
 * is in the running handler's hands, and may be another message then. */
bool call_claim(struct shard *shard, struct message *message);
/* All calls of an actor that ends. */
void call_end_all(struct shard *shard, struct actor *actor);

/* GROUP_CHANGED is about to be handled: false if the actor doesn't watch the group any more. */
bool group_claim(struct shard *shard, const struct actor *actor, const struct message *message);
/* SOCKET_CLOSED is about to be handled: false if it has to come later (socket.c). */
bool socket_claim_end(struct shard *shard, struct message *message);

/* --- messages that an actor holds: message.c
 * ---------------------------------------------------------- */

/* One that is nobody's yet, its payload not cleared, with `behind` more bytes after the payload. */
struct message *message_allocate(size_t payload_bytes, size_t behind);
/* A copy with the same header fields and payload that holds the same blob; flags are none. */
struct message *message_copy(struct message *message, size_t behind);
/* Before a message is given away: as message_own. Lent ones can't be. */
static inline void message_claim(struct message **message) {
    if (__builtin_expect((*message)->flags & (MESSAGE_LENT | MESSAGE_SHARED), 0))
        message_own(message);
}

/* Onto a list; all of one list onto another; and off the one that it is on. */
void message_hold(struct message **list, struct message *message);
void message_held_move(struct message **from, struct message **to);
/* message_destroy of one that is held, lent, shared, a stub, or has a blob; or on any thread. */
void message_destroy_special(struct message *message);

#endif

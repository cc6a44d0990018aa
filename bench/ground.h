/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ground of actors: the node's real actors and simulated users in one runtime of the bench.
 *
 *     root ─┬─ what actors/tree.c lists: committer, mailboxes, connections, ...
 *           ├─ crowd (each shard)            makes the users, and hands out their orders
 *           └─ people (each shard) ─ user    one per person, whether or not they are there
 *
 * There is no listener's socket and no handshake: users are linked to the node's connections
 * (link.h). The store is a real one: RocksDB in a fresh directory, or the engine in memory; its
 * accounts are written as an import does (storage/bulk.h). Mailboxes come and go as in a node; only
 * the time after which an idle one goes is shorter (GROUND_IDLE_MS), since people are, too.
 *
 * The main thread conducts: it gives orders and reads counters, which each shard writes for itself.
 */
#ifndef TERN_BENCH_GROUND_H
#define TERN_BENCH_GROUND_H

#include "actors/node.h"
#include "bench/histogram.h"
#include "bench/load.h"
#include "runtime/runtime.h"
#include "runtime/signals.h"
#include "storage/engine.h"

#include <limits.h>
#include <stdatomic.h>

#define GROUND_PEOPLE_MAX 20000000u
#define GROUND_FIRST_USER 1u    /* the user id of person 0; the others follow */
#define GROUND_IDLE_MS 1000u    /* mailbox_idle; a node asks them every 5 s */
#define GROUND_BODY_BYTES 100u  /* of each message */
#define GROUND_READ_PERCENT 50u /* of the mail is read at once, and its sender told */
#define GROUND_FAILURE_BYTES 160

/* Written by one shard, read by the main thread. */
struct ground_counters {
    _Atomic uint64_t people;    /* actors that were made */
    _Atomic uint64_t done;      /* orders that were carried out, or came to nothing */
    _Atomic uint64_t not_sent;  /* those of them that were too many for one user */
    _Atomic uint64_t connected; /* users who are welcomed now */
    _Atomic uint64_t logins;    /* welcomes */
    _Atomic uint64_t lost;      /* connections that the users didn't end */
    _Atomic uint64_t sent, accepted, delivered, repeated;
    _Atomic uint64_t retried; /* answers that ask to come again */
    _Atomic uint64_t read;    /* told to their senders */
    /* Sums over messages of a number that is each message's own (ground_message_number): when as
     * many were delivered as accepted, and the sums are the same, it was each of them once. */
    _Atomic uint64_t accepted_sum, delivered_sum;
    _Atomic uint64_t failures;
} __attribute__((aligned(64)));

struct ground_shard {
    struct ground_counters counters;
    struct histogram latency; /* the shard's own, until CROWD_TAKE */
    struct actor_id crowd;
};

struct ground_options {
    unsigned people;
    bool memory;        /* the store: in memory; else RocksDB */
    const char *parent; /* of the store's directory */
    unsigned shards;    /* 0: one per core */
};

struct ground {
    struct node node; /* actor_context() */
    struct ground_options options;
    struct runtime *runtime;
    struct supervisor_child *root_children;
    struct supervisor_spec root;
    struct seams seams;
    char directory[PATH_MAX]; /* "": none */
    uint8_t certificate[16];
    struct actor_id *people;
    struct ground_shard *shards;
    uint32_t run; /* makes the ids of this run its own */
    /* What the timeline looks at: counters are summed into it, latencies are taken by it. */
    struct load load;
    _Atomic bool failing, failed;       /* the first one takes `failing`, then writes */
    char failure[GROUND_FAILURE_BYTES]; /* the first one's words */
};

/* --- the main thread: 0, or negative after it has said on standard error what went wrong --- */

/* Opens the store and writes the accounts. `step` (may be NULL) is called now and then with how
 * many there are; negative: stop. */
int ground_open(struct ground *ground, const struct ground_options *options,
                int (*step)(void *context, unsigned accounts), void *context);
/* Starts the runtime; nobody is there yet. */
int ground_start(struct ground *ground);
/* Makes the users' actors; counters.people tells how many there are so far. */
void ground_make_people(struct ground *ground);
/* Ends all, and removes the directory. May be called after any failure, and twice. */
void ground_close(struct ground *ground);

enum ground_what { GROUND_WRITE, GROUND_COME, GROUND_GO, GROUND_CUT };
struct ground_order {
    uint32_t person, other;
    uint32_t what;
};
#define GROUND_ORDERS_MAX 256u /* at a time */
/* Orders for people of one shard. */
void ground_give(struct ground *ground, unsigned shard, const struct ground_order *orders,
                 unsigned count);
static inline unsigned ground_shard_of(const struct ground *ground, uint32_t person) {
    return person % ground->node.shards;
}
/* Sums the counters up into `sum`, and what the timeline wants into ground->load. */
void ground_count(struct ground *ground, struct ground_counters *sum);
/* Has anything failed? Says what. */
int ground_check(struct ground *ground);
/* Actors of the node's class: how many there are, were made, and passivated. */
struct ground_class {
    uint64_t actors, spawned, passivated, failed, busy_ns;
};
void ground_class_read(struct ground *ground, const char *name, struct ground_class *counts);
/* What of mail lies in the store: how many messages, and the sum of their numbers. BLOCKS. */
int ground_waiting(struct ground *ground, uint64_t *messages, uint64_t *sum);

#endif

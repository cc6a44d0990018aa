/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking at actors while they run, without stopping a shard.
 *
 * An actor asks; each shard looks at its own actors, a slice between two turns, and answers with a
 * message; the asker gathers the answers. So no lock is taken, no memory is read that another
 * thread writes, and a shard that hangs is seen by its answer that doesn't come (set a timer). What
 * is seen of each actor is true at one moment, of all of them not at the same.
 *
 *   actor_inspect(&query) ─► each shard: scan ─(window)─► scan again ─► INSPECT_ANSWER
 *
 * A shard carries out INSPECT_QUERIES_MAX queries at a time; more are answered -EBUSY. All
 * functions are for the asking actor's thread.
 */
#ifndef TERN_RUNTIME_INSPECT_H
#define TERN_RUNTIME_INSPECT_H

#include "runtime/actor.h"

#define INSPECT_QUERIES_MAX 8u
#define INSPECT_ROWS_MAX 1000u
#define INSPECT_WINDOW_MS_MAX 60000u
#define INSPECT_CLASS_BYTES 32u

enum inspect_order {
    INSPECT_BY_MAILBOX,  /* messages that wait */
    INSPECT_BY_AGE,      /* of the oldest message that waits */
    INSPECT_BY_MESSAGES, /* handled within the window, or ever if that is 0 */
    INSPECT_BY_TIME,     /* in handlers, the same; estimated from samples (profile.h) */
    INSPECT_BY_BYTES,    /* state, allocations and mailbox */
};

enum inspect_state { INSPECT_IDLE, INSPECT_QUEUED, INSPECT_STARTING, INSPECT_ENDING };

struct inspect_query {
    enum inspect_order order;
    uint32_t rows;      /* at most so many actors; 1 to INSPECT_ROWS_MAX */
    uint32_t window_ms; /* counts are those of this time; 0: since each actor's start */
    /* Only these; zeros and an empty name take all. */
    char class_name[INSPECT_CLASS_BYTES];
    struct actor_id actor;
    struct actor_id supervisor; /* its children */
    bool key_given;             /* only the (class, key) actor `key` */
    uint64_t key;
    uint32_t mailbox_messages_min;
    uint32_t oldest_ms_min;
    uint64_t bytes_min;
};

struct inspect_row {
    struct actor_id actor;
    struct actor_id supervisor; /* or nobody */
    const char *class_name;     /* constant */
    uint64_t key;               /* of a (class, key) actor, else 0 */
    uint64_t messages;          /* handled; without a window modulo 2^32 */
    uint64_t busy_ns;           /* in handlers, estimated; without a window modulo 4.8 hours */
    uint64_t oldest_ns;         /* age of the oldest message that waits; 0: none does */
    uint64_t bytes;             /* header, state, allocations and mailbox */
    uint64_t state_bytes, allocated_bytes;
    uint32_t mailbox_messages, mailbox_bytes;
    uint32_t idle_ms; /* since it last ran */
    uint32_t monitors, watchers, links, timers, sockets_and_programs;
    enum inspect_state state;
    bool named, published; /* by (class, key); by a name of the node */
};

/* Asks. 0 and a reference that the answers bear; -EINVAL: a row count or a window beyond what is
 * allowed. Each shard's INSPECT_ANSWER follows, at once or when the window is over. */
int actor_inspect(const struct inspect_query *query, uint64_t *reference);

/* --- one actor, closer --- */

/* A message that waits: never what it holds. */
struct inspect_message {
    const char *kind_name; /* constant; NULL: its class has no handler for it */
    struct actor_id from;  /* or nobody */
    uint64_t age_ns;
    uint32_t bytes; /* header, payload and blob */
    uint16_t kind;
    bool deferred; /* put aside by the actor */
};
enum inspect_relation_kind { INSPECT_MONITORS, INSPECT_MONITORED_BY, INSPECT_LINKED };
struct inspect_relation {
    struct actor_id other;
    enum inspect_relation_kind kind;
};
#define INSPECT_DETAIL_MAX 512u
struct inspect_detail {
    uint64_t reference;
    struct actor_id actor;
    const char *class_name; /* constant; NULL: the actor is no more */
    uint32_t messages_in_all;
    uint32_t message_count;  /* of `messages`, the next to be handled first; at most
                              * INSPECT_DETAIL_MAX */
    uint32_t relation_count; /* the same bound; those beyond are left out */
};
/* One INSPECT_DETAIL follows. -EINVAL: no actor of this node. */
int actor_inspect_detail(struct actor_id actor, uint64_t *reference);
/* The lists of an INSPECT_DETAIL, borrowed from it. */
const struct inspect_message *inspect_detail_messages(const struct message *detail);
const struct inspect_relation *inspect_detail_relations(const struct message *detail);

/* What gathers the answers to one query in the asking actor's state. */
struct inspect_gather {
    uint64_t reference;
    uint32_t shards;            /* that were asked */
    uint32_t answered;          /* that have answered */
    uint64_t shards_missing[4]; /* a bit each */
    int error;                  /* the first that a shard answered */
    uint64_t actors_seen, actors_matched;
    uint64_t scan_ns_max; /* what the scan took of the shard where it took most: to ask seldom */
    enum inspect_order order;
    uint32_t rows_max, row_count;
    struct inspect_row *rows; /* from actor_allocate; best first */
};
/* Asks, and prepares `gather` for the answers. As actor_inspect. */
int inspect_gather_begin(struct inspect_gather *gather, const struct inspect_query *query);
/* An INSPECT_ANSWER: true if it was one of this query and the last. */
bool inspect_gather_add(struct inspect_gather *gather, struct message *answer);
/* Frees the rows. Answers that come later are not this query's any more. */
void inspect_gather_end(struct inspect_gather *gather);

#endif

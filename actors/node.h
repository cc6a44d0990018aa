/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's own state, shared by its actors: what is fixed at start, and a few atomic gauges.
 *
 * `actor_context()` is a `struct node`. It is made before the runtime starts and outlives it; its
 * plain fields are constant from then on, but for `limits`: words that an operator may change, each
 * at once and whole. Several nodes can live in one process (the simulator does
 * it).
 */
#ifndef TERN_ACTORS_NODE_H
#define TERN_ACTORS_NODE_H

#include "actors/handshake_gate.h"
#include "runtime/actor.h"
#include "runtime/socket.h"

#include <stdatomic.h>

struct address_limits; /* address_limits.h */
struct connection;
struct engine;
struct measures;
struct quarantine;

/* Limits and times, from the cluster file; defaults in node_limits_default (node.c). A running
 * node's are changed by the shell and by SIGHUP while its shards read them (live_config.c), so each
 * is atomic: one is read whole, the old or the new; two are not read at one moment. */
struct node_limits {
    _Atomic uint32_t connections_max;             /* of the node */
    _Atomic uint32_t connections_per_address_max; /* 0: none */
    _Atomic uint32_t accepts_per_second_max;      /* per address; 0: none */
    _Atomic uint32_t handshake_timeout_ms;        /* from accept to a known or registering device */
    _Atomic uint32_t handshakes_waiting_max; /* per shard, not begun; 0: none (handshake_gate.h) */
    _Atomic uint32_t heartbeat_ms;           /* the shortest interval (node_heartbeat_ms) */
    _Atomic uint32_t heartbeats_per_second_max; /* of all devices together; 0: it never grows */
    _Atomic uint32_t mail_in_flight_max;
    _Atomic uint32_t mail_in_flight_bytes_max;
    _Atomic uint32_t sends_in_flight_max;
    _Atomic uint32_t queue_messages_max; /* per device */
    _Atomic uint64_t queue_bytes_max;
    _Atomic uint32_t sender_share_percent; /* of a queue, for one sender: 10 */
    _Atomic uint64_t mail_expiry_ms;       /* 30 days */
    _Atomic uint32_t hold_ms_min, hold_ms_max;
    _Atomic bool hold; /* off: store at once */
    _Atomic uint32_t mailbox_idle_ms;
    _Atomic uint32_t code_expiry_ms, code_attempts_max;
    _Atomic uint32_t codes_per_number_hour, codes_per_prefix_hour, codes_per_address_hour,
        codes_per_hour;
    _Atomic uint32_t drain_ms; /* SIGTERM: at most this long */
};

/* What the connections of one shard share. Zero at first; touched by that shard's thread alone. */
#define NODE_SHARDS_MAX 64
struct node_shard {
    /* Those that have been told of a drain, and those that have not (connection.c). */
    struct connection *connections, *told;
    struct handshake_gate gate;
} __attribute__((aligned(64)));

/* A setting of the cluster file, in words. */
struct node_config_key {
    const char *name, *value;
    const char *file_value; /* what the file says now; NULL: it can't be read */
    bool live;              /* it can be changed while the node runs */
};
/* How the shell reaches what only the program knows. All functions block, are for any thread, and
 * return 0 or a negative errno with a sentence in `said`. */
struct node_config {
    void *context;
    int (*list)(void *context, void (*visit)(void *visitor, const struct node_config_key *key),
                void *visitor, char *said, size_t bytes);
    /* In force at once, until the node ends. -ENOENT: no such setting. */
    int (*set)(void *context, const char *name, const char *value, char *said, size_t bytes);
    /* Takes over what the file says now, of what can be changed. */
    int (*reload)(void *context, char *said, size_t bytes);
};

struct node {
    const char *name;
    const char *cluster, *region, *version; /* for the metrics; NULL: not said */
    const char *data;                       /* directory */
    unsigned shards;                        /* of the runtime, at most NODE_SHARDS_MAX */
    struct engine *engine;
    uint64_t boot;       /* durable before use; the high half of epochs */
    unsigned starts;     /* of the process by its heart, this one included */
    uint64_t started_ms; /* Unix time */
    struct node_limits limits;

    uint8_t noise_secret[32], noise_public[32];
    uint8_t cluster_public[32];
    const uint8_t *certificate; /* encoded, net/certificate.h */
    size_t certificate_bytes;
    const char *home_address; /* what `welcome` names, "ws://host:port" */
    const char *sms_command;  /* NULL: registration is refused with a reason */

    struct address_limits *addresses; /* address_limits_create; NULL: no limits per address */
    const int *listening_fds;         /* from the heart */
    unsigned listening_count;
    const uint8_t (*proxies)[16]; /* addresses (address_limits.h) that speak for others, ... */
    unsigned proxy_count;         /* ... and begin with a PROXY header (net/proxy.h) */
    const int *metrics_fds;
    unsigned metrics_count;
    const int *admin_fds;             /* local.h: for shells */
    unsigned admin_count;             /* 0 or 1 */
    const struct node_config *config; /* NULL: the configuration is not to be asked */

    /* Until then (monotonic) keys that no account has are refused: the node crashed too often. */
    uint64_t strangers_refused_until_ms;
    struct quarantine *quarantine; /* quarantine.h; NULL: nothing is listed */
    struct measures *measures;     /* measures.h, one per shard; NULL: nothing is measured */

    struct node_shard shard[NODE_SHARDS_MAX];

    /* Gauges and flags that several shards write. */
    _Atomic uint64_t activations; /* of mailboxes in this boot; the low half of epochs */
    /* User ids: those in [user_next, users_reserved) are ours to give. Whoever takes the last of a
     * quarter reserves the next block (user_id.h). */
    _Atomic uint64_t user_next, users_reserved, users_reserving;
    _Atomic uint32_t connections;
    _Atomic uint32_t handshakes_now;
    _Atomic uint32_t commits_open; /* the committer's: 0 when all it was given is written */
    _Atomic bool commit_running;   /* a group of this or an earlier committer is on the pool */
    _Atomic bool draining;
    _Atomic bool store_full; /* the committer saw -ENOSPC; cleared by the next success */
};

static inline struct node *node_current(void) {
    return actor_context();
}

static inline struct node_shard *node_shard_current(void) {
    return &node_current()->shard[actor_shard()];
}

bool node_is_proxy(const struct node *node, const uint8_t address[16]);

void node_limits_default(struct node_limits *limits);

/* The interval for a device that comes now: the limits' own, or as much longer as it takes for all
 * connections together to stay below `heartbeats_per_second_max`; at most HEARTBEAT_MS_GROWN_MAX,
 * since address translators forget a silent TCP connection (RFC 5382 section 5 lets them after 2
 * hours 4 minutes, mobile carriers' do after some 5 minutes), unless the limits' is more. Any
 * thread. */
#define HEARTBEAT_MS_GROWN_MAX 280000u
uint32_t node_heartbeat_ms(const struct node *node);

/* The classes, for actor_send_named and the tree. */
extern const struct actor_class listener_class;   /* one on every shard */
extern const struct actor_class connection_class; /* argument: connection.h */
extern const struct actor_class mailbox_class;    /* key: user id */
extern const struct actor_class account_class;    /* key: user id */
extern const struct actor_class number_class;     /* key: the E.164 digits as a number */
extern const struct actor_class limits_class;
extern const struct actor_class committer_class;
extern const struct actor_class expirer_class;
extern const struct actor_class quarantine_class;
extern const struct actor_class metrics_class;
extern const struct actor_class drainer_class;

/* The registered names of actors that are one per node. */
#define COMMITTER_NAME "committer"
#define LIMITS_NAME "limits"
#define DRAINER_NAME "drainer"
#define QUARANTINE_NAME "quarantine"
#define LISTENER_NAME "listener/%u" /* one per shard */

/* The supervision tree, in one table (tree.c). */
extern const struct supervisor_spec tern_tree;

#endif

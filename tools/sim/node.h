/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A simulated node: the node's own actors under its own supervision tree, on simulated seams.
 *
 *     DOWN ──start──► UP ──crash, or its own end──► DOWN ──after a while──► UP ...
 *
 * What survives from one life to the next is the engine, by its model of a disk, and the keys that
 * a node has in files. All else is made anew at each start, as tools/node/serve.c does it.
 */
#ifndef TERN_TOOLS_SIM_NODE_H
#define TERN_TOOLS_SIM_NODE_H

#include "actors/node.h"
#include "net/certificate.h"
#include "runtime/runtime.h"
#include "runtime/seams.h"
#include "storage/engine_memory.h"

#define SIM_SHARDS_MAX 4

struct program_process;
struct reactor;
struct world;

struct sim_shard {
    struct shard *shard;
    struct reactor *reactor;
    bool parked;         /* waits in its reactor */
    uint64_t due_ns;     /* when it wants to run without being woken */
    uint64_t stalled_ns; /* until when it does not run */
};

struct sim_node {
    struct world *world;
    unsigned index;
    uint64_t life; /* of how many starts this is */
    struct seams seams;
    struct runtime *runtime; /* NULL: down */
    struct node *node;
    unsigned shard_count;
    struct sim_shard shards[SIM_SHARDS_MAX];
    struct engine *engine;
    struct shard *signal_shard; /* whose subscribers hear of signals */
    bool stopping;              /* it was told to */
    bool fsync_fails;           /* the next one */
    uint64_t disk_full_until_ns;
    struct program_process *processes; /* that were ever started: registration.c */
    /* its files */
    uint8_t cluster_public[32];
    uint8_t noise_secret[32], noise_public[32];
    uint8_t certificate[CERTIFICATE_BYTES_MAX];
    size_t certificate_bytes;
    struct node_limits limits;
};

/* The engine and the keys; the node is down. */
void sim_node_init(struct sim_node *node, struct world *world, unsigned index);
void sim_node_finish(struct sim_node *node);
static inline bool sim_node_is_up(const struct sim_node *node) {
    return node->runtime != NULL;
}

void sim_node_start(struct sim_node *node);
/* The process is gone at once, and with it everything but the store, of which `mode` says what is
 * left of what was not synced. It starts again by itself after a while. */
void sim_node_crash(struct sim_node *node, enum engine_crash mode);
/* SIGTERM. */
void sim_node_tell_to_stop(struct sim_node *node);

/* May this shard run now? */
bool sim_node_shard_ready(const struct sim_node *node, unsigned shard);
/* When it will want to, as far as it knows; UINT64_MAX: when it is woken. */
uint64_t sim_node_shard_due_ns(const struct sim_node *node, unsigned shard);
/* Polls and runs one turn. When that was the node's last, it ends. */
void sim_node_turn(struct sim_node *node, unsigned shard);

/* A pool job is about to run: the moment at which an fsync may be made to fail. */
void sim_node_disk_busy(struct sim_node *node, const struct message *message);
/* The disk has little space for a while. */
void sim_node_disk_fill(struct sim_node *node, uint64_t until_ns);
/* From now on a device's queue takes so many messages. The node is up. */
void sim_node_queue_bound(struct sim_node *node, uint32_t messages);
/* Undelivered mail and whatever else waits in queues, in keys. */
uint64_t sim_node_mail_keys(struct sim_node *node);

#endif

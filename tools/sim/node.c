/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/sim/node.h"

#include "actors/messages.h"
#include "actors/user_id.h"
#include "runtime/scheduler_internal.h"
#include "runtime/shard_internal.h"
#include "storage/meta.h"
#include "tools/sim/pool.h"
#include "tools/sim/probe.h"
#include "tools/sim/reactor.h"
#include "tools/sim/registration.h"
#include "tools/sim/seams.h"
#include "tools/sim/world.h"

#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define LISTENING_FD 3 /* a number that means something to this reactor alone: any */
#define RESERVE_BYTES (16u << 20)
#define CERTIFICATE_VALID_MS (400ull * 24 * 3600 * 1000)
#define RESTART_NS_MIN 50000000u
#define RESTART_NS_MAX 3000000000u

static const int listening_fds[] = {LISTENING_FD};

/* --- what it has in files -----------------------------------------------------------------------
 */

static void make_identity(struct sim_node *node) {
    struct world *world = node->world;
    uint8_t seed[32], secret[crypto_sign_SECRETKEYBYTES];
    struct certificate certificate = {.expiry_ms = world_wall_ms(world) + CERTIFICATE_VALID_MS,
                                      .name = "simulated"};
    random_fill(&world->random_node, seed, sizeof(seed));
    crypto_sign_seed_keypair(node->cluster_public, secret, seed);
    random_fill(&world->random_node, node->noise_secret, sizeof(node->noise_secret));
    crypto_scalarmult_base(node->noise_public, node->noise_secret);
    memcpy(certificate.node_key, node->noise_public, sizeof(certificate.node_key));
    int length = certificate_sign(node->certificate, &certificate, secret);
    CHECK(length > 0);
    node->certificate_bytes = (size_t)length;
}

/* Not what a node does by default, but what it may be told: small bounds are met sooner. */
static void draw_limits(struct sim_node *node) {
    struct random *random = &node->world->random_knobs;
    struct node_limits *limits = &node->limits;
    node_limits_default(limits);
    limits->hold = random_permille(random, 800);
    limits->heartbeat_ms = (uint32_t)random_spread(random, 2000, 30000);
    limits->mailbox_idle_ms = (uint32_t)random_spread(random, 200, 60000);
    limits->mail_in_flight_max = (uint32_t)random_spread(random, 2, 256);
    limits->sends_in_flight_max = (uint32_t)random_spread(random, 8, 64);
    limits->codes_per_number_hour = (uint32_t)random_spread(random, 5, 100);
    limits->drain_ms = 3000;
}

void sim_node_init(struct sim_node *node, struct world *world, unsigned index) {
    struct engine_memory_options options = {.seed = world->seed, .reserve_bytes = RESERVE_BYTES};
    *node = (struct sim_node){.world = world, .index = index};
    CHECK(engine_memory_open(&options, &node->engine) == 0);
    make_identity(node);
    draw_limits(node);
    node->shard_count = 1 + (unsigned)random_below(&world->random_knobs, 3);
    sim_seams_init(&node->seams, node);
}

/* --- the disk -----------------------------------------------------------------------------------
 */

static void set_faults(struct sim_node *node, bool gone) {
    struct engine_memory_fault fault = {.sync_fails_after = node->fsync_fails ? 0 : -1,
                                        .gone = gone};
    if (node->disk_full_until_ns > node->world->now_ns)
        fault.space_bytes = node->disk_full_until_ns % 2 ? RESERVE_BYTES / 2 : RESERVE_BYTES / 8;
    engine_memory_fault(node->engine, &fault);
}

void sim_node_disk_busy(struct sim_node *node, const struct message *message) {
    if (message->kind == COMMITTER_WRITTEN && !node->fsync_fails &&
        world_fault(node->world, FAULT_DISK_ERROR)) {
        node->fsync_fails = true;
        set_faults(node, false);
    }
}

static void disk_freed(struct world *world, void *subject, uint64_t token) {
    struct sim_node *node = subject;
    if (node->disk_full_until_ns <= world->now_ns)
        set_faults(node, false);
}

void sim_node_queue_bound(struct sim_node *node, uint32_t messages) {
    node->limits.queue_messages_max = node->node->limits.queue_messages_max = messages;
}

void sim_node_disk_fill(struct sim_node *node, uint64_t until_ns) {
    node->disk_full_until_ns = until_ns;
    set_faults(node, false);
    agenda_add(&node->world->agenda, until_ns, disk_freed, node, 0);
}

static int count_key(void *context, struct engine_bytes key, struct engine_bytes value) {
    ++*(uint64_t *)context;
    return 0;
}

uint64_t sim_node_mail_keys(struct sim_node *node) {
    uint64_t keys = 0;
    engine_scan(node->engine, ENGINE_MAIL, (struct engine_bytes){0}, (struct engine_bytes){0},
                ENGINE_SCAN_LIMIT_MAX, count_key, &keys);
    return keys;
}

/* --- starting -----------------------------------------------------------------------------------
 */

static void fill_node(struct sim_node *simulated, const struct meta *meta) {
    struct node *node = simulated->node;
    *node = (struct node){
        .name = "simulated",
        .data = "/nowhere",
        .shards = simulated->shard_count,
        .engine = simulated->engine,
        .boot = meta->boot,
        .limits = simulated->limits,
        .certificate = simulated->certificate,
        .certificate_bytes = simulated->certificate_bytes,
        .home_address = "",
        .sms_command = "sms",
        .listening_fds = listening_fds,
        .listening_count = 1,
    };
    memcpy(node->noise_secret, simulated->noise_secret, sizeof(node->noise_secret));
    memcpy(node->noise_public, simulated->noise_public, sizeof(node->noise_public));
    memcpy(node->cluster_public, simulated->cluster_public, sizeof(node->cluster_public));
}

/* As tools/node/serve.c. False: the disk fails. */
static bool reserve_users(struct sim_node *simulated, const struct meta *meta) {
    struct node *node = simulated->node;
    struct write_batch batch, *batches[] = {&batch};
    uint8_t buffer[256];
    atomic_store(&node->user_next, meta->user_high + 1);
    atomic_store(&node->users_reserved, meta->user_high + 1);
    atomic_store(&node->users_reserving, meta->user_high + 1);
    write_batch_init_at(&batch, buffer, sizeof(buffer));
    uint64_t end = user_id_reserve(node, &batch);
    int error = engine_write(simulated->engine, batches, 1, ENGINE_SYNC);
    if (!error && !batch.result)
        user_id_reserved(node, end);
    else
        user_id_not_reserved(node, end);
    write_batch_finish(&batch);
    return !error || error == -ENOSPC;
}

static void start_shards(struct sim_node *node) {
    for (unsigned i = 0; i < node->shard_count; i++) {
        struct shard *shard = node->runtime->shards[i];
        shard_enter(shard);
        CHECK(reactor_sim.create(shard, &shard->reactor) == 0);
        node->shards[i] = (struct sim_shard){.shard = shard, .reactor = shard->reactor};
    }
    shard_enter(node->runtime->shards[0]);
    CHECK(runtime_start_root(node->runtime) == 0);
    probes_start();
    shard_enter(NULL);
}

static void start_again(struct world *world, void *subject, uint64_t token) {
    struct sim_node *node = subject;
    if (!node->runtime && token == node->life)
        sim_node_start(node);
}

void sim_node_start(struct sim_node *node) {
    struct world *world = node->world;
    struct meta meta = {0};
    int error = meta_begin(node->engine, &meta, NULL);
    journal_add(&world->journal, world->now_ns, "start", node->index, (uint64_t)-error, meta.boot);
    if (error) { /* the disk is too full for even that; its heart tries again */
        node->life++;
        agenda_add(&world->agenda, world->now_ns + RESTART_NS_MAX, start_again, node, node->life);
        return;
    }
    node->life++;
    node->stopping = false;
    node->node = aligned_alloc(64, sizeof(*node->node));
    CHECK(node->node);
    fill_node(node, &meta);
    CHECK(reserve_users(node, &meta)); /* no fsync fails but one that waits on the pool */
    struct runtime_options options = {
        .shards = node->shard_count,
        .pool_threads = 1,
        .node = (uint16_t)node->index,
        .actors_max = 1u << 16,
        .root = &tern_tree,
        .context = node->node,
        .seams = &node->seams,
    };
    CHECK(runtime_create(&options, &node->runtime) == 0);
    start_shards(node);
}

/* --- ending -------------------------------------------------------------------------------------
 */

/* As a process's memory goes: nothing that is done on the way reaches a socket or the disk, unless
 * the end is in order. */
static void take_down(struct sim_node *node, bool in_order) {
    struct runtime *runtime = node->runtime;
    if (!in_order) {
        set_faults(node, true);
        pool_kill(runtime->pool);
        for (unsigned i = 0; i < node->shard_count; i++)
            reactor_kill(node->shards[i].reactor);
    }
    for (unsigned i = 0; i < node->shard_count; i++) {
        shard_enter(node->shards[i].shard);
        shard_end_actors(node->shards[i].shard);
        reactor_kill(node->shards[i].reactor);
        shard_publish_quietly(node->shards[i].shard);
    }
    shard_enter(NULL);
    runtime_finish(runtime);
    for (unsigned i = 0; i < node->shard_count; i++) {
        shard_enter(node->shards[i].shard);
        reactor_sim.destroy(node->shards[i].reactor);
        io_finish(node->shards[i].shard);
        node->shards[i] = (struct sim_shard){0};
    }
    shard_enter(NULL);
    node->runtime = NULL;
    runtime_free(runtime);
    free(node->node);
    node->node = NULL;
    node->signal_shard = NULL;
}

static void go_down(struct sim_node *node, bool in_order, enum engine_crash mode, bool machine) {
    struct world *world = node->world;
    checker_crash(world);
    take_down(node, in_order);
    engine_memory_crash(node->engine, mode, random_next(&world->random_disk));
    node->fsync_fails = false;
    set_faults(node, false);
    journal_add(&world->journal, world->now_ns, "down", node->index, mode,
                engine_memory_hash(node->engine));
    network_node_gone(world, node, machine);
    agenda_add(&world->agenda,
               world->now_ns + random_spread(&world->random_node, RESTART_NS_MIN, RESTART_NS_MAX),
               start_again, node, node->life);
}

void sim_node_crash(struct sim_node *node, enum engine_crash mode) {
    CHECK(node->runtime);
    go_down(node, false, mode, mode != ENGINE_CRASH_KEEP);
}

void sim_node_tell_to_stop(struct sim_node *node) {
    if (!node->runtime || !node->signal_shard)
        return;
    node->stopping = true;
    reactor_raise(shard_reactor(node->signal_shard), SIGTERM);
}

/* The tree has ended: after a signal, or because the store failed. What a failed fsync has left on
 * the disk only the next start sees. */
static void has_ended(struct sim_node *node) {
    static const enum engine_crash modes[] = {ENGINE_CRASH_KEEP, ENGINE_CRASH_DROP,
                                              ENGINE_CRASH_TORN};
    bool failed = node->fsync_fails;
    go_down(node, !failed, failed ? modes[random_below(&node->world->random_disk, 3)] : 0, false);
}

void sim_node_finish(struct sim_node *node) {
    if (node->runtime)
        take_down(node, false);
    registration_forget_programs(node);
    engine_close(node->engine);
}

/* --- turns --------------------------------------------------------------------------------------
 */

uint64_t sim_node_shard_due_ns(const struct sim_node *node, unsigned index) {
    const struct sim_shard *shard = &node->shards[index];
    bool now = !shard->parked || reactor_has_work(shard->reactor);
    uint64_t due_ns = now ? 0 : shard->due_ns;
    return due_ns < shard->stalled_ns ? shard->stalled_ns : due_ns;
}

bool sim_node_shard_ready(const struct sim_node *node, unsigned index) {
    return sim_node_shard_due_ns(node, index) <= node->world->now_ns;
}

void sim_node_turn(struct sim_node *node, unsigned index) {
    struct world *world = node->world;
    struct sim_shard *at = &node->shards[index];
    struct shard *shard = at->shard;
    journal_add(&world->journal, world->now_ns, "turn", node->index, index, 0);
    shard_enter(shard);
    runtime_heed(shard);
    reactor_sim.poll(at->reactor, 0);
    shard_unpark(shard);
    uint64_t idle_ns = shard_step(shard) ? 0 : shard_idle_ns(shard);
    at->parked = idle_ns && shard_park(shard);
    at->due_ns = idle_ns == UINT64_MAX ? UINT64_MAX : world->now_ns + idle_ns;
    shard_enter(NULL);
    if (node->runtime->stopping)
        has_ended(node);
}

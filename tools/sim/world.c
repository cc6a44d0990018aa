/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/sim/world.h"

#include "runtime/check.h"
#include "storage/account.h"
#include "storage/meta.h"
#include "tools/sim/client.h"
#include "tools/sim/scenery.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define START_NS 1000000000000u
#define WALL_MS 1790000000000u /* in September 2026 */
#define KEYS_EVERY 64u         /* events between two looks at how much the store holds */
#define SETTLE_NS_MAX 600000000000u
#define SETTLE_EVENTS_MAX 40u /* as often as the run had events, with some more */
#define QUIET_LOOK_EVERY 256u

enum {
    STREAM_SCHEDULE = 1,
    STREAM_NETWORK,
    STREAM_DISK,
    STREAM_NODE,
    STREAM_CLIENTS,
    STREAM_KNOBS,
    STREAM_PROBES
};

uint64_t world_wall_ms(const struct world *world) {
    return (uint64_t)((int64_t)(WALL_MS + world->now_ns / 1000000) + world->wall_jump_ms);
}

bool world_fault(struct world *world, enum fault_kind kind) {
    if (!fault_fires(&world->faults, kind, world->events))
        return false;
    journal_add(&world->journal, world->now_ns, fault_name(kind), kind, 0, 0);
    return true;
}

/* --- making -------------------------------------------------------------------------------------
 */

static void add_user(struct world *world, unsigned *next, unsigned devices) {
    struct sim_user *user = &world->users[world->user_count++];
    while (devices--)
        user->devices[user->device_count++] = (*next)++;
}

/* Three users in four have one device, the others two. Strangers are the last. */
static void make_people(struct world *world) {
    unsigned strangers = world->client_count >= SIM_STRANGERS_FROM ? SIM_STRANGERS : 0;
    unsigned known = world->client_count - strangers, index = 0;
    world->users = calloc(world->client_count, sizeof(*world->users));
    world->clients = calloc(world->client_count, sizeof(*world->clients));
    CHECK(world->users && world->clients);
    while (index < known) {
        bool two = random_permille(&world->random_knobs, 250) && index + 1 < known;
        add_user(world, &index, two ? 2 : 1);
        world->users[world->user_count - 1].id = world->user_count;
    }
    world->imported_count = world->user_count;
    if (strangers) {
        add_user(world, &index, 1);
        add_user(world, &index, 2);
        world->users[world->user_count - 1].silent = true;
    }
    for (unsigned i = 0; i < world->user_count; i++)
        for (unsigned j = 0; j < world->users[i].device_count; j++)
            client_init(&world->clients[world->users[i].devices[j]], world,
                        world->users[i].devices[j], i);
    for (unsigned i = 0; i < SIM_PHONES && strangers; i++) {
        const struct sim_user *user = &world->users[world->imported_count + i];
        snprintf(world->phones[i].digits, sizeof(world->phones[i].digits), "1666%07u", i);
        for (unsigned j = 0; j < user->device_count; j++)
            world->clients[user->devices[j]].registration.phone = &world->phones[i];
    }
}

static void write_account(struct world *world, unsigned index, struct write_batch *batch) {
    struct sim_user *user = &world->users[index];
    struct record_account account;
    char digits[24];
    snprintf(digits, sizeof(digits), "1555%07u", index);
    CHECK(account_create(batch, user->id, digits, "Somebody",
                         world->clients[user->devices[0]].keys.public_key, world_wall_ms(world),
                         &account) == 0);
    world->clients[user->devices[0]].number = account.devices[0].device;
    for (unsigned i = 1; i < user->device_count; i++) {
        struct client *client = &world->clients[user->devices[i]];
        CHECK(account_add_device(batch, &account, client->keys.public_key, world_wall_ms(world),
                                 &client->number) == 0);
    }
    user->list_version = account.list_version;
}

/* As `tern-node import` would. */
static void write_accounts(struct world *world) {
    struct write_batch batch, *batches[] = {&batch};
    write_batch_init(&batch, 16u << 20);
    for (unsigned i = 0; i < world->imported_count; i++)
        write_account(world, i, &batch);
    CHECK(meta_put_user_high(&batch, world->imported_count) == 0);
    CHECK(engine_write(world->nodes[0].engine, batches, 1, ENGINE_SYNC) == 0 && batch.result == 0);
    write_batch_finish(&batch);
}

static void init_randoms(struct world *world) {
    random_init(&world->random_schedule, world->seed, STREAM_SCHEDULE);
    random_init(&world->random_network, world->seed, STREAM_NETWORK);
    random_init(&world->random_disk, world->seed, STREAM_DISK);
    random_init(&world->random_node, world->seed, STREAM_NODE);
    random_init(&world->random_clients, world->seed, STREAM_CLIENTS);
    random_init(&world->random_knobs, world->seed, STREAM_KNOBS);
    random_init(&world->random_probes, world->seed, STREAM_PROBES);
}

struct world *world_create(const struct world_options *options) {
    struct world *world = calloc(1, sizeof(*world));
    CHECK(world && options->clients >= 2);
    world->seed = options->seed;
    world->events_max = options->events_max;
    world->client_count = options->clients;
    world->now_ns = START_NS;
    init_randoms(world);
    journal_init(&world->journal, world->seed, options->trace);
    faults_init(&world->faults, &options->rates, world->seed, options->events_max);
    network_init(&world->network, world);
    make_people(world);
    world->node_count = 1;
    sim_node_init(&world->nodes[0], world, 0);
    write_accounts(world);
    sim_node_start(&world->nodes[0]);
    for (unsigned i = 0; i < world->client_count; i++)
        client_start(&world->clients[i]);
    return world;
}

void world_destroy(struct world *world) {
    for (unsigned i = 0; i < world->node_count; i++)
        sim_node_finish(&world->nodes[i]);
    for (unsigned i = 0; i < world->client_count; i++)
        client_finish(&world->clients[i]);
    network_finish(&world->network);
    agenda_finish(&world->agenda);
    checker_finish(&world->checker);
    free(world->clients);
    free(world->users);
    free(world);
}

/* --- the scheduler ------------------------------------------------------------------------------
 */

/* The n-th of the things that may happen now. */
static void do_one(struct world *world, uint64_t choice) {
    for (unsigned i = 0; i < world->node_count; i++)
        for (unsigned j = 0; sim_node_is_up(&world->nodes[i]) && j < world->nodes[i].shard_count;
             j++)
            if (sim_node_shard_ready(&world->nodes[i], j) && choice-- == 0) {
                sim_node_turn(&world->nodes[i], j);
                return;
            }
    struct agenda_entry entry = agenda_take(&world->agenda);
    entry.call(world, entry.subject, entry.token);
}

/* How many things may happen now; if none, when the first will. */
static uint64_t count_choices(struct world *world, uint64_t *next_ns) {
    uint64_t count = 0;
    *next_ns = agenda_next_ns(&world->agenda);
    count += *next_ns <= world->now_ns;
    for (unsigned i = 0; i < world->node_count; i++)
        for (unsigned j = 0; sim_node_is_up(&world->nodes[i]) && j < world->nodes[i].shard_count;
             j++) {
            uint64_t due_ns = sim_node_shard_due_ns(&world->nodes[i], j);
            count += due_ns <= world->now_ns;
            if (due_ns < *next_ns)
                *next_ns = due_ns;
        }
    return count;
}

static void step(struct world *world) {
    uint64_t next_ns, count = count_choices(world, &next_ns);
    if (!count) {
        CHECK(next_ns != UINT64_MAX);
        world->now_ns = next_ns;
        count = count_choices(world, &next_ns);
    }
    do_one(world, random_below(&world->random_schedule, count));
    world->events++;
}

static void look_at_store(struct world *world) {
    uint64_t keys = sim_node_mail_keys(&world->nodes[0]);
    if (keys > world->checker.stored_keys_peak)
        world->checker.stored_keys_peak = keys;
}

static bool is_quiet(struct world *world) {
    return checker_is_settled(world) && sim_node_is_up(&world->nodes[0]) &&
           sim_node_mail_keys(&world->nodes[0]) == 0;
}

static void run_until_quiet(struct world *world) {
    uint64_t end_ns = world->now_ns + SETTLE_NS_MAX;
    uint64_t end = world->events + SETTLE_EVENTS_MAX * (world->events_max + 1000);
    while (world->now_ns < end_ns && world->events < end) {
        if (world->events % QUIET_LOOK_EVERY == 0 && is_quiet(world)) {
            world->quiet = true;
            return;
        }
        step(world);
    }
}

/* Faults are over, everybody comes, and the world runs until nothing is left to be done. A delete
 * that went with an actor which failed leaves mail that every device has; the next incarnation of
 * its mailbox delivers that once more and is told so (actors/mailbox_store.c). So when nothing but
 * such keys is left, the node gets one. */
static void settle(struct world *world) {
    world->faults.over = true;
    world->settling = true;
    scenery_clear(world);
    journal_add(&world->journal, world->now_ns, "settle", world->events, 0, 0);
    run_until_quiet(world);
    if (world->quiet || !checker_is_settled(world) || !sim_node_is_up(&world->nodes[0]))
        return;
    journal_add(&world->journal, world->now_ns, "another life", world->events, 0, 0);
    sim_node_tell_to_stop(&world->nodes[0]);
    run_until_quiet(world);
}

void world_run(struct world *world) {
    while (world->events < world->events_max) {
        step(world);
        if (world->events >= world->faults.due_first)
            scenery_faults(world);
        if (world->events % KEYS_EVERY == 0)
            look_at_store(world);
    }
    settle(world);
    world->events_settling = world->events - world->events_max;
    checker_conclude(world);
    journal_add(&world->journal, world->now_ns, "end", world->events, world->checker.count,
                engine_memory_hash(world->nodes[0].engine));
}

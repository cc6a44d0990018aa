/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/sim/scenery.h"

#include "tools/sim/client.h"
#include "tools/sim/world.h"

#define CUT_NS_MIN 50000000u
#define CUT_NS_MAX 40000000000u
#define STALL_NS_MIN 1000000u
#define STALL_NS_MAX 1000000000u
#define FULL_NS_MIN 100000000u
#define FULL_NS_MAX 10000000000u
#define AWAY_NS_MIN 100000000u
#define AWAY_NS_MAX 30000000000u
#define JUMP_MS_MAX 3600000
#define MONTH_MS (31ull * 24 * 3600 * 1000) /* mail lives for 30 days */
#define MONTH_NS 4000000000000u /* on the monotonic clock: all that waits for minutes is due */
#define MONTHS_MAX 10u          /* the node's certificate lives for a year */
#define SMALL_QUEUE_MIN 24
#define SMALL_QUEUE_MAX 1000

/* --- the network --------------------------------------------------------------------------------
 */

/* A third of the devices, at least one. */
static void cut(struct world *world, bool up, bool down) {
    struct random *random = &world->random_network;
    uint64_t until_ns = world->now_ns + random_spread(random, CUT_NS_MIN, CUT_NS_MAX);
    uint64_t chosen = random_below(random, world->client_count);
    for (unsigned i = 0; i < world->client_count; i++) {
        struct path *path = &world->clients[i].path;
        if (i != chosen && !random_permille(random, 333))
            continue;
        if (up && path->up_ns < until_ns)
            path->up_ns = until_ns;
        if (down && path->down_ns < until_ns)
            path->down_ns = until_ns;
    }
}

static void read_again(struct world *world, void *subject, uint64_t token) {
    network_read_again(world, subject);
}

static void slow_reader(struct world *world) {
    struct random *random = &world->random_network;
    struct client *client = &world->clients[random_below(random, world->client_count)];
    client->path.reads_ns = world->now_ns + random_spread(random, CUT_NS_MIN, CUT_NS_MAX);
    agenda_add(&world->agenda, client->path.reads_ns, read_again, &client->path, 0);
}

/* These wait for a connection to do it to. */
static void break_links(struct world *world) {
    struct faults *faults = &world->faults;
    if (world->events < faults->due[FAULT_RESET] && world->events < faults->due[FAULT_VANISH])
        return;
    struct link *link = network_draw_open(world);
    if (!link)
        return;
    if (world_fault(world, FAULT_RESET))
        link_break(world, link);
    else if (world_fault(world, FAULT_VANISH))
        client_vanish(link->path->user);
}

static void network_faults(struct world *world) {
    break_links(world);
    if (world_fault(world, FAULT_PARTITION))
        cut(world, true, true);
    if (world_fault(world, FAULT_CUT_TO_NODE))
        cut(world, true, false);
    if (world_fault(world, FAULT_CUT_TO_DEVICE))
        cut(world, false, true);
    if (world_fault(world, FAULT_SLOW_READER))
        slow_reader(world);
}

/* --- the node -----------------------------------------------------------------------------------
 */

static void node_faults(struct world *world) {
    struct sim_node *node = &world->nodes[0];
    struct random *random = &world->random_node;
    if (!sim_node_is_up(node))
        return;
    if (world_fault(world, FAULT_DISK_FULL))
        sim_node_disk_fill(node, world->now_ns +
                                     random_spread(&world->random_disk, FULL_NS_MIN, FULL_NS_MAX));
    if (world_fault(world, FAULT_SMALL_QUEUE))
        sim_node_queue_bound(node,
                             (uint32_t)random_spread(random, SMALL_QUEUE_MIN, SMALL_QUEUE_MAX));
    if (world_fault(world, FAULT_STALL))
        node->shards[random_below(random, node->shard_count)].stalled_ns =
            world->now_ns + random_spread(random, STALL_NS_MIN, STALL_NS_MAX);
    if (!node->stopping && node->signal_shard && world_fault(world, FAULT_STOP))
        sim_node_tell_to_stop(node);
    if (world_fault(world, FAULT_CRASH_KEPT))
        sim_node_crash(node, ENGINE_CRASH_KEEP);
    else if (world_fault(world, FAULT_CRASH_DROPPED))
        sim_node_crash(node, ENGINE_CRASH_DROP);
    else if (world_fault(world, FAULT_CRASH_TORN))
        sim_node_crash(node, ENGINE_CRASH_TORN);
}

/* --- devices ------------------------------------------------------------------------------------
 */

static void device_faults(struct world *world) {
    struct random *random = &world->random_clients;
    struct client *client = &world->clients[random_below(random, world->client_count)];
    if (client->device && world_fault(world, FAULT_DEVICE_CRASH))
        client_crash(client);
    else if (client->device && client->link && !client->leaving &&
             world_fault(world, FAULT_DEVICE_AWAY))
        client_leave(client, world->now_ns + random_spread(random, AWAY_NS_MIN, AWAY_NS_MAX));
}

/* The wall clock goes on by a month, so that mail is old. The other by an hour alone: nothing of
 * what happens meanwhile is of interest, but the expirer's next round, and whatever else waits for
 * that long, is due. */
static void month_passes(struct world *world) {
    world->months++;
    world->wall_jump_ms += (int64_t)MONTH_MS;
    world->now_ns += MONTH_NS;
    checker_month(world);
}

void scenery_faults(struct world *world) {
    network_faults(world);
    node_faults(world);
    device_faults(world);
    if (world->months < MONTHS_MAX && world_fault(world, FAULT_MONTH))
        month_passes(world);
    if (world_fault(world, FAULT_WALL_JUMP))
        world->wall_jump_ms +=
            (int64_t)random_below(&world->random_node, 2 * JUMP_MS_MAX + 1) - JUMP_MS_MAX;
}

void scenery_clear(struct world *world) {
    sim_node_disk_fill(&world->nodes[0], world->now_ns);
    for (unsigned i = 0; i < world->client_count; i++) {
        struct path *path = &world->clients[i].path;
        path->up_ns = path->down_ns = path->reads_ns = 0;
        network_read_again(world, path);
        client_hurry(&world->clients[i]);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A simulated world: nodes and devices, the network between them, one clock, and what goes wrong.
 *
 * All of it runs in one thread and is drawn from one seed. The scheduler takes, again and again,
 * one of the things that may happen now (a turn of a shard, a call of the agenda) at random; when
 * none may, the clock goes on to the next. After `events_max` of them faults end, the devices send
 * nothing new, and the world runs on until all is quiet; then the promises are looked at.
 */
#ifndef TERN_TOOLS_SIM_WORLD_H
#define TERN_TOOLS_SIM_WORLD_H

#include "tools/sim/agenda.h"
#include "tools/sim/checker.h"
#include "tools/sim/faults.h"
#include "tools/sim/journal.h"
#include "tools/sim/network.h"
#include "tools/sim/node.h"
#include "tools/sim/random.h"
#include "tools/sim/registration.h"

#define WORLD_NODES_MAX 1

struct client;

struct world_options {
    uint64_t seed;
    uint64_t events_max;
    unsigned clients; /* devices */
    struct fault_rates rates;
    bool trace; /* to standard error */
};

struct world {
    uint64_t seed;
    uint64_t events_max, events, events_settling;
    uint64_t now_ns;
    int64_t wall_jump_ms;
    unsigned months;   /* that have passed: FAULT_MONTH */
    uint64_t handlers; /* that have run */
    bool settling, quiet;
    /* One stream for each part, so that a change of one leaves the others' numbers. */
    struct random random_schedule, random_network, random_disk, random_node, random_clients,
        random_knobs, random_probes;
    struct agenda agenda;
    struct journal journal;
    struct faults faults;
    struct network network;
    unsigned node_count;
    struct sim_node nodes[WORLD_NODES_MAX];
    unsigned client_count;
    struct client *clients;
    unsigned user_count, imported_count; /* the first of them are in the store from the start */
    struct sim_user *users;
    struct sim_phone phones[SIM_PHONES];
    struct checker checker;
};

struct sim_user {
    uint64_t id; /* the node's; 0: not registered yet */
    bool silent; /* nobody writes to or from it: registration.h */
    uint64_t list_version;
    unsigned device_count;
    unsigned devices[2]; /* clients */
};

struct world *world_create(const struct world_options *options);
/* To the end. */
void world_run(struct world *world);
void world_destroy(struct world *world);

uint64_t world_wall_ms(const struct world *world);
static inline uint64_t world_now_ms(const struct world *world) {
    return world->now_ns / 1000000;
}
/* An opportunity for a fault: true when it is to happen now. */
bool world_fault(struct world *world, enum fault_kind kind);

#endif

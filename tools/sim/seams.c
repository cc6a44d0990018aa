/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/sim/seams.h"

#include "runtime/actor.h"
#include "runtime/shard_internal.h"
#include "runtime/signals.h"
#include "tools/sim/node.h"
#include "tools/sim/pool.h"
#include "tools/sim/reactor.h"
#include "tools/sim/registration.h"
#include "tools/sim/world.h"

#include <string.h>

#define HANDLER_NS_MIN 300u
#define HANDLER_NS_MAX 40000u

static uint64_t sim_monotonic_ns(void *context) {
    const struct sim_node *node = context;
    return node->world->now_ns;
}

static uint64_t sim_wall_ms(void *context) {
    const struct sim_node *node = context;
    return world_wall_ms(node->world);
}

static void sim_random_bytes(void *context, void *bytes, size_t length) {
    struct sim_node *node = context;
    random_fill(&node->world->random_node, bytes, length);
}

static bool class_is(const struct actor_class *class, const char *name) {
    return strcmp(class->name, name) == 0;
}

/* Supervisors are the runtime's, and probes ours. */
static bool is_the_products(const struct actor_class *class) {
    return !class_is(class, "supervisor") && !class_is(class, "probe") &&
           !class_is(class, "probe_sink");
}

/* Before each handler: it costs time, it is traced, and it may be made to fail. */
static int sim_before_handler(void *context, const struct actor_class *class, uint16_t kind) {
    static const struct {
        const char *class;
        enum fault_kind fault;
    } failing[] = {{"mailbox", FAULT_FAIL_MAILBOX},
                   {"connection", FAULT_FAIL_CONNECTION},
                   {"committer", FAULT_FAIL_COMMITTER},
                   {"listener", FAULT_FAIL_LISTENER}};
    struct sim_node *node = context;
    struct world *world = node->world;
    journal_number(&world->journal, journal_hash_bytes(class->name, strlen(class->name)) ^ kind);
    world->handlers++;
    world->now_ns += random_spread(&world->random_schedule, HANDLER_NS_MIN, HANDLER_NS_MAX);
    if (world->events < world->faults.due_first)
        return 0;
    for (size_t i = 0; i < sizeof(failing) / sizeof(failing[0]); i++)
        if (class_is(class, failing[i].class))
            return world_fault(world, failing[i].fault) ? ACTOR_FAULT : 0;
    return is_the_products(class) && world_fault(world, FAULT_FAIL_OTHER) ? ACTOR_FAULT : 0;
}

/* --- signals ------------------------------------------------------------------------------------
 */

static int signal_listen(struct shard *shard, int signal, struct signal_source **source) {
    struct sim_node *node = shard_seams(shard)->context;
    node->signal_shard = shard;
    return 0;
}

static void signal_forget(struct signal_source *source) {
}

static const struct signal_ops signals_sim = {
    .name = "simulator", .listen = signal_listen, .forget = signal_forget};

void sim_seams_init(struct seams *seams, struct sim_node *node) {
    *seams = (struct seams){
        .context = node,
        .monotonic_ns = sim_monotonic_ns,
        .wall_ms = sim_wall_ms,
        .random_bytes = sim_random_bytes,
        .reactor = &reactor_sim,
        .pool = &pool_sim,
        .program = &program_sim,
        .signals = &signals_sim,
        .fault = sim_before_handler,
    };
}

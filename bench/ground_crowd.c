/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crowd: one per shard, between the main thread and the users of its shard. It makes them, a part
 * at a time, gives orders on, and gathers latencies.
 */
#include "bench/ground_internal.h"

#include "runtime/supervisor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define PART 256u

enum { CROWD_MAKE = CROWD_TAKE + 1, CROWD_ORDERS };

struct crowd {
    uint32_t next; /* whose actor is made next; they are `shards` apart */
};

/* --- the main thread --- */

void ground_make_people(struct ground *ground) {
    for (unsigned s = 0; s < ground->node.shards; s++) {
        struct message *message = message_create(CROWD_MAKE, 0);
        runtime_send(ground->runtime, ground->shards[s].crowd, &message);
    }
}

void ground_give(struct ground *ground, unsigned shard, const struct ground_order *orders,
                 unsigned count) {
    CHECK(count <= GROUND_ORDERS_MAX);
    struct message *message = message_create(CROWD_ORDERS, count * sizeof *orders);
    memcpy(message_payload(message), orders, count * sizeof *orders);
    runtime_send(ground->runtime, ground->shards[shard].crowd, &message);
}

/* --- the shard --- */

void ground_fail(uint32_t person, const char *format, ...) {
    struct ground *ground = ground_current();
    struct ground_shard *shard = ground_shard_current();
    ground_tally(&shard->counters.failures, 1);
    if (atomic_exchange_explicit(&ground->failing, true, memory_order_relaxed))
        return;
    va_list arguments;
    int length = snprintf(ground->failure, sizeof ground->failure, "person %u: ", person);
    va_start(arguments, format);
    vsnprintf(ground->failure + length, sizeof ground->failure - (size_t)length, format, arguments);
    va_end(arguments);
    /* Pairs with ground_check: then the words are there. */
    atomic_store_explicit(&ground->failed, true, memory_order_release);
}

static void crowd_on_make(void *state, struct message **message) {
    struct crowd *crowd = state;
    struct ground *ground = ground_current();
    struct ground_shard *shard = ground_shard_current();
    struct actor_id supervisor = supervisor_of_class(&ground_user_class);
    do {
        for (unsigned i = 0; i < PART && crowd->next < ground->options.people; i++) {
            int error = actor_spawn(&ground_user_class, &crowd->next, supervisor,
                                    &ground->people[crowd->next]);
            if (error) {
                ground_fail(crowd->next, "no actor can be made: %s", strerror(-error));
                return;
            }
            crowd->next += ground->node.shards;
            ground_tally(&shard->counters.people, 1);
        }
        if (crowd->next >= ground->options.people)
            return;
    } while (!actor_yield_due());
    actor_signal_next_turn(CROWD_MAKE);
}

static void crowd_on_orders(void *state, struct message **message) {
    const struct ground_order *orders = message_payload(*message);
    size_t count = (*message)->payload_bytes / sizeof *orders;
    struct ground *ground = ground_current();
    for (size_t i = 0; i < count; i++) {
        struct message *order = message_create(USER_ORDER, sizeof *orders);
        *message_as(order, struct ground_order) = orders[i];
        if (actor_send(ground->people[orders[i].person], &order) == 0)
            continue;
        message_destroy(order);
        ground_fail(orders[i].person, "too many orders");
    }
}

/* From crowd to crowd; the last one says that it is done. */
static void crowd_on_take(void *state, struct message **message) {
    struct ground *ground = ground_current();
    struct ground_shard *shard = ground_shard_current();
    struct load *load = &ground->load;
    if (actor_shard() == 0)
        histogram_clear(&load->taken);
    histogram_add(&load->taken, &shard->latency);
    histogram_clear(&shard->latency);
    if (actor_shard() + 1 == ground->node.shards)
        atomic_store_explicit(&load->is_taken, true, memory_order_release);
    else if (actor_send(ground->shards[actor_shard() + 1].crowd, message) != 0)
        ground_fail(0, "a crowd's mailbox is full");
}

static int crowd_init(void *state, const void *argument) {
    struct ground *ground = ground_current();
    struct crowd *crowd = state;
    crowd->next = actor_shard();
    ground_shard_current()->crowd = actor_self();
    if (actor_shard() == 0)
        ground->load.crowd = actor_self();
    return 0;
}

static const struct actor_handler handlers[] = {
    [CROWD_TAKE] = {"take", crowd_on_take},
    [CROWD_MAKE] = {"make", crowd_on_make},
    [CROWD_ORDERS] = {"orders", crowd_on_orders},
};

const struct actor_class ground_crowd_class = {
    .name = "crowd",
    .state_bytes = sizeof(struct crowd),
    .init = crowd_init,
    .handlers = handlers,
    .handler_count = sizeof handlers / sizeof handlers[0],
};

static const struct supervisor_child people_children[] = {
    {.class = &ground_user_class, .dynamic = true, .restart = RESTART_TEMPORARY},
};

const struct supervisor_spec ground_people = {
    .name = "people",
    .strategy = SUPERVISE_ONE_FOR_ONE,
    .restarts_max = 1,
    .period_ms = 1000,
    .children = people_children,
    .child_count = 1,
};

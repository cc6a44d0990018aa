/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The drainer: one per node; ends it in order when SIGTERM or SIGINT comes.
 *
 *     waiting ─(SIGTERM, SIGINT)─► draining ─(nothing is open, or drain_ms)─► runtime_stop
 *
 * Draining: /readyz says no; the listeners stop accepting and tell their shards' connections, a
 * number per turn; each connection tells its device, takes nothing new, and closes when what it has
 * open is answered. A mailbox whose connection goes writes what it held. A second signal ends it at
 * once: the store is as safe then as after any crash.
 */
#include "actors/messages.h"
#include "actors/node.h"
#include "runtime/log.h"
#include "runtime/runtime.h"
#include "runtime/signals.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define DRAIN_TICK_MS 20
/* In a row: what a closed connection has told its mailbox takes a few turns to become a commit. */
#define QUIET_TICKS 4

struct drainer {
    bool draining;
    unsigned quiet_ticks;
    uint64_t deadline_ms;
};

static void tell_listeners(void) {
    const struct node *node = node_current();
    for (unsigned shard = 0; shard < node->shards; shard++) {
        char name[32];
        snprintf(name, sizeof(name), LISTENER_NAME, shard);
        struct actor_id listener = actor_whereis(name);
        if (listener.bits && actor_signal(listener, LISTENER_DRAIN) != 0)
            actor_count("drain_untold", 1);
    }
}

static bool is_quiet(struct node *node) {
    return atomic_load_explicit(&node->connections, memory_order_acquire) == 0 &&
           atomic_load_explicit(&node->commits_open, memory_order_acquire) == 0;
}

static void finish(const char *how) {
    log_info("drain: %s", how);
    runtime_stop(runtime_current(), 0);
    actor_stop(ACTOR_NORMAL);
}

static void begin(struct drainer *drainer) {
    struct node *node = node_current();
    drainer->draining = true;
    drainer->deadline_ms = actor_now_ms() + node->limits.drain_ms;
    atomic_store_explicit(&node->draining, true, memory_order_release);
    log_info("drain: %u connections are told; at most %u ms",
             atomic_load_explicit(&node->connections, memory_order_relaxed), node->limits.drain_ms);
    tell_listeners();
    actor_timer_start(DRAIN_TICK_MS, DRAIN_TICK, 0);
}

static void drainer_on_signal(void *state, struct message **message) {
    struct drainer *drainer = state;
    if (drainer->draining)
        finish("asked a second time");
    else
        begin(drainer);
}

static void drainer_on_begin(void *state, struct message **message) {
    struct drainer *drainer = state;
    if (!drainer->draining)
        begin(drainer);
}

static void drainer_on_tick(void *state, struct message **message) {
    struct drainer *drainer = state;
    drainer->quiet_ticks = is_quiet(node_current()) ? drainer->quiet_ticks + 1 : 0;
    if (drainer->quiet_ticks == QUIET_TICKS) {
        finish("done");
    } else if (actor_now_ms() >= drainer->deadline_ms) {
        actor_count("drain_overdue", 1);
        finish("not all was closed in time");
    } else {
        actor_timer_start(DRAIN_TICK_MS, DRAIN_TICK, 0);
    }
}

static int drainer_init(void *state, const void *argument) {
    int error = actor_register(DRAINER_NAME);
    if (!error)
        error = signal_subscribe(SIGTERM);
    if (!error)
        error = signal_subscribe(SIGINT);
    if (error) {
        log_error("drain: cannot listen to signals: %s", strerror(-error));
        return error;
    }
    /* It failed while it drained: it goes on where it was. */
    if (atomic_load_explicit(&node_current()->draining, memory_order_relaxed))
        begin(state);
    return 0;
}

static const struct actor_handler handlers[] = {
    [SIGNAL_RAISED] = {"signal", drainer_on_signal},
    [DRAIN_BEGIN] = {"begin", drainer_on_begin},
    [DRAIN_TICK] = {"tick", drainer_on_tick},
};

const struct actor_class drainer_class = {
    .name = "drainer",
    .state_bytes = sizeof(struct drainer),
    .init = drainer_init,
    .handlers = handlers,
    .handler_count = sizeof(handlers) / sizeof(handlers[0]),
};

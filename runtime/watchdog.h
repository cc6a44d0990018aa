/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The watchdog seam: sees a handler that runs over its budget while it still runs, and says which.
 *
 * C has no preemption: a handler that does not return holds its shard. The watchdog cannot help
 * that, it names it: a warning with class and message kind, and runtime_counters.handler_overruns.
 */
#ifndef TERN_RUNTIME_WATCHDOG_H
#define TERN_RUNTIME_WATCHDOG_H

#include <stdint.h>

struct runtime;
struct watchdog; /* the implementation's own */

#define WATCHDOG_BUDGET_NS 25000000u

struct watchdog_ops {
    /* 0 or a negative errno. After the shards are made, before their threads are. */
    int (*create)(struct runtime *runtime, struct watchdog **watchdog);
    /* After the shards' threads have ended. */
    void (*destroy)(struct watchdog *watchdog);
};

extern const struct watchdog_ops watchdog_thread;

#endif

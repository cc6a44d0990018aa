/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The watchdog seam: sees a handler that runs over its budget while it still runs, and says which.
 *
 * C has no preemption: a handler that does not return holds its shard. The watchdog cannot help
 * that, it names it: a warning with actor, class, message kind and a backtrace of where it is, at
 * most one per class and kind in WATCHDOG_PERIOD_MS, the next one saying how many were left out;
 * runtime_counters.handler_overruns counts all. A handler that begins while all shards sleep may
 * run WATCHDOG_ASLEEP_MS longer before it is seen.
 *
 * The stuck thread is asked by a realtime signal, WATCHDOG_SIGNAL, and answers from its handler. A
 * program that has a handler of its own for it gets reports without backtraces.
 */
#ifndef TERN_RUNTIME_WATCHDOG_H
#define TERN_RUNTIME_WATCHDOG_H

#include <signal.h>
#include <stdint.h>

struct runtime;
struct watchdog; /* the implementation's own */

#define WATCHDOG_BUDGET_MS 25u    /* runtime_options.watchdog_budget_ms is 0 */
#define WATCHDOG_OFF UINT32_MAX   /* as a budget: no watchdog */
#define WATCHDOG_PERIOD_MS 10000u /* a report per class and kind */
#define WATCHDOG_ASLEEP_MS 100u
#define WATCHDOG_SIGNAL (SIGRTMIN + 7)

struct watchdog_ops {
    /* 0 or a negative errno. After the shards are made, before their threads are. */
    int (*create)(struct runtime *runtime, uint32_t budget_ms, struct watchdog **watchdog);
    /* After the shards' threads have ended. */
    void (*destroy)(struct watchdog *watchdog);
};

/* The last reports, kept to be looked at. */
#define WATCHDOG_REPORTS_MAX 32u
struct watchdog_report {
    uint64_t time_ms;       /* Unix */
    uint64_t actor;         /* its id's bits */
    const char *class_name; /* constant */
    unsigned shard;
    unsigned ran_ms; /* when it was seen; it may have run on */
    unsigned more;   /* of the same class and kind that were not reported before this one */
    char what[96];   /* "message deliver (52)", "its init" */
    char trace[704]; /* where it was, the innermost first; empty: its thread did not answer */
};
/* Any thread; the newest first. Returns how many; 0 without a watchdog of this kind. */
unsigned runtime_overruns_read(struct runtime *runtime,
                               struct watchdog_report reports[WATCHDOG_REPORTS_MAX]);

extern const struct watchdog_ops watchdog_thread;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seams: everything by which the world enters a runtime, as tables of functions.
 *
 * A simulator gives other tables. Nothing in runtime/, net/, storage/ or actors/ reads a clock,
 * draws a random byte, does I/O, starts a program or meets a signal but through these.
 */
#ifndef TERN_RUNTIME_SEAMS_H
#define TERN_RUNTIME_SEAMS_H

#include <stddef.h>
#include <stdint.h>

struct message;
struct actor_class;
struct reactor_ops;  /* reactor.h: one reactor per shard */
struct pool_ops;     /* pool.h: blocking jobs */
struct program_ops;  /* program.h: child processes (sms_command) */
struct watchdog_ops; /* watchdog.h: handlers over their budget */
struct signal_ops;   /* signals.h: SIGTERM and its like */

struct seams {
    void *context; /* given to the functions of this table */
    uint64_t (*monotonic_ns)(void *context);
    uint64_t (*wall_ms)(void *context);
    void (*random_bytes)(void *context, void *bytes, size_t length);
    const struct reactor_ops *reactor; /* NULL: chosen at the start, see reactor_choose */
    const struct pool_ops *pool;
    const struct program_ops *program;
    const struct signal_ops *signals;
    const struct watchdog_ops *watchdog; /* NULL: none */
    /* Asked before each handler runs; nonzero makes the actor fail with that reason. NULL in every
     * release; a test build's faults (actors/fault.c) live here. */
    int (*fault)(void *context, const struct actor_class *class, uint16_t kind);
};

/* The real ones: clock_gettime, getrandom, io_uring or libev, threads, posix_spawn. */
const struct seams *seams_system(void);

#endif

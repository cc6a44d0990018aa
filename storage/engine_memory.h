/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine of tests and of the simulator: sorted maps in memory that forget, on a simulated
 * crash, what was not synced. Deterministic: the same calls and the same seed give the same
 * contents.
 *
 * How it forgets: every change pushes what it replaced on an undo list; a sync empties the list; a
 * crash unwinds it, whole or (torn) down to a seeded point between two writes, since a real log
 * keeps a prefix.
 */
#ifndef TERN_STORAGE_ENGINE_MEMORY_H
#define TERN_STORAGE_ENGINE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/engine.h"

struct engine_memory_options {
    uint64_t seed;
    /* Size of the simulated disk; 0: unbounded. */
    uint64_t space_bytes;
    /* As in engine_rocksdb_options. */
    uint64_t reserve_bytes;
    uint64_t (*clock_ns)(void *context);
    void *clock_context;
};

int engine_memory_open(const struct engine_memory_options *options, struct engine **engine);

enum engine_crash {
    ENGINE_CRASH_KEEP, /* a killed process: the system still writes out all it was given */
    ENGINE_CRASH_DROP, /* a lost machine: nothing that was not synced is there */
    ENGINE_CRASH_TORN, /* a lost machine: a prefix of what was not synced is there */
};

/*
 * Crash and come back, in place: `engine` is then as freshly opened, faults cleared. `seed` picks
 * how much a torn crash keeps. A write that failed with -EIO is found or not, as on a disk: KEEP
 * finds it, DROP loses it, TORN lets the seed say. No other call may be under way.
 */
void engine_memory_crash(struct engine *engine, enum engine_crash mode, uint64_t seed);

enum engine_call { ENGINE_CALL_WRITE, ENGINE_CALL_SYNC, ENGINE_CALL_GET, ENGINE_CALL_SCAN };

struct engine_memory_fault {
    /* The disk's size from now on, as engine_memory_options; 0: unbounded. */
    uint64_t space_bytes;
    /* Fail the next sync after this many good ones; negative: never. */
    int64_t sync_fails_after;
    /* Whoever writes is dying: no write does anything any more, all fail with -EIO. */
    bool gone;
    /* Called before each call does its work; where a test waits and the simulator moves its clock.
     * May be NULL. */
    void (*pause)(void *context, enum engine_call call);
    void *pause_context;
};

/* Replace the faults in force; NULL ends all of them (the disk gets its first size back). */
void engine_memory_fault(struct engine *engine, const struct engine_memory_fault *fault);

/* A hash over every family's keys and values, in order: equal stores have equal hashes. */
uint64_t engine_memory_hash(struct engine *engine);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node has used so far: read before and after a measured stretch, and subtracted.
 *
 * CPU and resident memory are those of the node's whole process tree (the heart, the serving child,
 * programs it started), from /proc; the store's operations are from its /metrics. The load's own
 * CPU stands beside them, so that a reader sees how the machine was shared.
 */
#ifndef TERN_BENCH_SAMPLE_H
#define TERN_BENCH_SAMPLE_H

#include "runtime/socket.h"

#include <stdbool.h>
#include <sys/types.h>

struct sample;
struct sample_source {
    pid_t pid;                     /* the tree's root; 0: unknown */
    bool has_metrics;              /* `metrics` is known */
    struct socket_address metrics; /* IPv4 */
    double available_bytes_min;    /* with less left on the machine a run ends */
    /* NULL, or: says what is the node's of what is the load's, when one process is both. */
    void (*fill)(void *context, struct sample *sample);
    void *fill_context;
};

struct sample {
    uint64_t at_ns;
    double cpu_us, load_cpu_us;
    double resident_bytes, load_resident_bytes;
    double
        kernel_bytes; /* of the whole machine: slab and page tables, what connections take there */
    double available_bytes;  /* that the whole machine has left */
    double store_operations; /* keys written or deleted since the node's start */
    double boot, restarts;   /* how often the node was started, and its actors again */
};

/* What isn't known is zero. */
void sample_take(const struct sample_source *source, struct sample *sample);
/* Without the store's operations, and without walking the page tables for resident memory: the
 * kernel's running count, which may be off by some pages per thread. For every second. */
void sample_take_quick(const struct sample_source *source, struct sample *sample);

/* With less memory left on the machine a run ends, before the kernel kills somebody. */
#define SAMPLE_AVAILABLE_MB_MIN 1200u
double sample_available_bytes(void);

uint64_t clock_ns(void); /* monotonic */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happened second by second: for the progress line, and for the report.
 *
 * Points are kept for as long as the run; at TIMELINE_POINTS_MAX every other one goes, and from
 * then on each stands for twice the time.
 */
#ifndef TERN_BENCH_TIMELINE_H
#define TERN_BENCH_TIMELINE_H

#include "bench/load.h"
#include "bench/sample.h"

#define TIMELINE_POINTS_MAX 4096
#define TIMELINE_PHASES_MAX 8

struct timeline_point {
    double at_s; /* since the timeline's begin */
    double connected, messages_per_s, logins_per_s;
    double p50_ms, p99_ms;     /* of what came in this time; 0: nothing did */
    double node_cpu, load_cpu; /* cores */
    double node_bytes, load_bytes, kernel_bytes;
};

struct timeline_phase {
    const char *name; /* constant text */
    double at_s;
};

struct timeline {
    const struct sample_source *source;
    struct load *load;
    const char *phase;
    struct histogram latency; /* since timeline_latency_clear */
    struct timeline_phase phases[TIMELINE_PHASES_MAX];
    unsigned phase_count;
    struct timeline_point *points;
    unsigned count, thinned; /* each point stands for 2^thinned seconds */
    uint64_t begin_ns, due_ns;
    struct sample last;
    uint64_t last_delivered, last_logins;
    double base_kernel_bytes;
};

/* 0 or -ENOMEM. `source` and `load` are borrowed. */
int timeline_begin(struct timeline *timeline, const struct sample_source *source,
                   struct load *load);
void timeline_end(struct timeline *timeline);
void timeline_enter(struct timeline *timeline, const char *phase);
/* Adds a point and shows it when a second has passed; call it often. 0, -EINTR, or -ENOMEM: the
 * machine has too little memory left, which has been said on standard error. */
int timeline_tick(struct timeline *timeline);
void timeline_latency_clear(struct timeline *timeline);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is measured: each scenario starts a node (or uses the one that was named), brings people
 * online, measures, checks that nothing was lost or shown twice, and adds its figures. README.md
 * defines every figure.
 *
 * They answer 0, or negative after it has been said on standard error what went wrong; -EINTR: a
 * signal ended it.
 */
#ifndef TERN_BENCH_SCENARIOS_H
#define TERN_BENCH_SCENARIOS_H

#include "bench/load.h"
#include "bench/node_process.h"

#include <stdbool.h>

#define COST_AT_MAX 8u

struct bench_options {
    bool json;
    unsigned runs, pairs, window, body_bytes; /* window 0: 1, then 8 */
    double seconds, warm_seconds;             /* measured, and before it */
    unsigned rate;                            /* 0: no open loop */
    bool offline;
    unsigned senders, receivers, each;
    unsigned idle; /* 0: no idle connections */

    /* users (users.c) */
    unsigned connections, storm; /* storm: so many are cut at once; 0: none */
    unsigned connecting;         /* at a time, the others wait */
    unsigned leaves_per_hour;    /* of each 100 people */
    unsigned seed;
    unsigned memory_left_mb; /* with less left on the machine a run ends; of both grounds */
    const char *report;      /* directory; NULL: none */
    unsigned cost_at[COST_AT_MAX], cost_at_count; /* users_cost.c: so many connections, ascending */

    /* users on the ground of actors (users_ground.c) */
    bool ground_actors, store_in_memory;
    unsigned people, online; /* online: at a time; 0: a hundredth of them */
    unsigned writes_percent; /* of the visits begin with a conversation */
    unsigned activations;    /* of mailboxes, then the run ends; 0: --seconds alone */

    const char *server; /* NULL: a node of our own */
    const char *accounts;
    struct socket_address server_address;
    struct sample_source source; /* of the node that was named */
    struct node_options node;
};

int scenario_online(const struct bench_options *options);
int scenario_rate(const struct bench_options *options);
int scenario_offline(const struct bench_options *options);
int scenario_idle(const struct bench_options *options);
int scenario_users(const struct bench_options *options);
int scenario_users_cost(const struct bench_options *options);
int scenario_users_ground(const struct bench_options *options);

/* --- what they share (scenario.c) --- */

struct scenario {
    const struct bench_options *options;
    struct accounts *accounts;
    struct node_process node;
    struct sample_source source;
    struct load load;
};

/* `load`: how many people, and their manners; where they connect and what they are called is filled
 * in. */
int scenario_begin(struct scenario *scenario, const struct bench_options *options,
                   const struct load_options *load);
void scenario_end(struct scenario *scenario);

/* A measured stretch: what the node used, and what arrived, between two samples. */
struct stretch {
    struct sample before, after;
    uint64_t messages; /* delivered */
};
void stretch_begin(struct scenario *scenario, struct stretch *stretch);
void stretch_end(struct scenario *scenario, struct stretch *stretch);
double stretch_seconds(const struct stretch *stretch);
/* CPU of the node per message, in microseconds; `count` 0: nothing. */
double stretch_cpu_us(const struct stretch *stretch, uint64_t count);

/* "online_w8_cpu_us"; CPU only when the node's pid is known. */
void figure_add_cpu(const struct scenario *scenario, const char *name, double value);
/* Waits for options' seconds, and shows it. */
int scenario_measure(const struct scenario *scenario, const char *what);
double scenario_quantile_us(const struct scenario *scenario, double share);

#endif

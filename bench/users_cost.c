/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a message costs as connections become more: many users, so many at a time in turn, each time
 * on a fresh node. What grows with the connections and not with the messages stands beside it, for
 * it is in `cpu_us`: heartbeats above all.
 */
#include "bench/figures.h"
#include "bench/scenarios.h"

#include <errno.h>
#include <stdio.h>

#define RATE 2000u

struct cost {
    double cpu_us, p50_us, p99_us;
    double heartbeats, receipts; /* per message */
};

/* Takes out of the users' figures what the table is of. */
static int measure(const struct bench_options *options, unsigned connections, struct cost *cost) {
    struct bench_options own = *options;
    unsigned mark = figures_mark();
    own.connections = connections;
    own.rate = options->rate > 0 ? options->rate : RATE;
    int error = scenario_users(&own);
    double messages_per_s = error == 0 ? figure_value("messages_per_s") : 0;
    if (error == 0 && messages_per_s <= 0) {
        fprintf(stderr,
                "tern-bench: no message came in time: a higher --rate, or more --seconds\n");
        error = -ENODATA;
    }
    if (error == 0) {
        *cost = (struct cost){
            .cpu_us = figure_value("cpu_us"),
            .p50_us = figure_value("p50_us"),
            .p99_us = figure_value("p99_us"),
            .heartbeats = figure_value("heartbeats_per_s") / messages_per_s,
            .receipts = figure_value("reads_per_s") / messages_per_s,
        };
    }
    figures_forget(mark);
    return error;
}

static void add(unsigned connections, const char *what, const char *unit, double value) {
    char name[48];
    snprintf(name, sizeof name, "at_%u_%s", connections, what);
    figure_add(name, unit, value);
}

int scenario_users_cost(const struct bench_options *options) {
    struct cost costs[COST_AT_MAX];
    double least_us = 0, most_us = 0;
    for (unsigned i = 0; i < options->cost_at_count; i++) {
        int error = measure(options, options->cost_at[i], &costs[i]);
        if (error)
            return error;
        least_us = i == 0 || costs[i].cpu_us < least_us ? costs[i].cpu_us : least_us;
        most_us = costs[i].cpu_us > most_us ? costs[i].cpu_us : most_us;
    }
    for (unsigned i = 0; i < options->cost_at_count; i++) {
        add(options->cost_at[i], "cpu_us", "us", costs[i].cpu_us);
        add(options->cost_at[i], "heartbeats", "1", costs[i].heartbeats);
        add(options->cost_at[i], "receipts", "1", costs[i].receipts);
        add(options->cost_at[i], "p50_us", "us", costs[i].p50_us);
        add(options->cost_at[i], "p99_us", "us", costs[i].p99_us);
    }
    figure_add("cost_ratio", "1", most_us / least_us);
    return 0;
}

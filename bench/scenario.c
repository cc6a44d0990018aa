/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/figures.h"
#include "bench/interrupt.h"
#include "bench/scenarios.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP_MS 250

static int begin(struct scenario *scenario, struct load_options load) {
    const struct bench_options *options = scenario->options;
    unsigned people = load.count;
    load.server = options->server_address;
    load.body_bytes = options->body_bytes;
    int error = 0;
    if (options->server != NULL) {
        scenario->source = options->source;
        error = accounts_read(options->accounts, options->node.parent, people, &scenario->accounts);
        if (error)
            fprintf(stderr, "tern-bench: %s: %s (%u accounts are needed)\n", options->accounts,
                    strerror(-error), people);
    } else {
        progress("starting a node with %u accounts", people);
        error = accounts_make(options->node.parent, people, &scenario->accounts);
        if (error)
            fprintf(stderr, "tern-bench: accounts can't be made: %s\n", strerror(-error));
        else
            error = node_process_start(&scenario->node, &options->node, scenario->accounts);
        scenario->source = scenario->node.source;
        load.server = scenario->node.server;
    }
    scenario->source.available_bytes_min = options->memory_left_mb * 1e6;
    load.accounts = scenario->accounts;
    return error ? error : load_start(&scenario->load, &load);
}

int scenario_begin(struct scenario *scenario, const struct bench_options *options,
                   const struct load_options *load) {
    memset(scenario, 0, sizeof *scenario);
    scenario->options = options;
    int error = begin(scenario, *load);
    if (error)
        scenario_end(scenario);
    return error;
}

void scenario_end(struct scenario *scenario) {
    load_stop(&scenario->load);
    node_process_stop(&scenario->node);
    accounts_close(scenario->accounts);
    scenario->accounts = NULL;
}

void stretch_begin(struct scenario *scenario, struct stretch *stretch) {
    sample_take(&scenario->source, &stretch->before);
    stretch->messages = atomic_load(&scenario->load.counters.delivered);
    histogram_clear(&scenario->load.latency);
    atomic_store(&scenario->load.recording, true);
}

void stretch_end(struct scenario *scenario, struct stretch *stretch) {
    atomic_store(&scenario->load.recording, false);
    stretch->messages = atomic_load(&scenario->load.counters.delivered) - stretch->messages;
    sample_take(&scenario->source, &stretch->after);
}

double stretch_seconds(const struct stretch *stretch) {
    return (double)(stretch->after.at_ns - stretch->before.at_ns) / 1e9;
}

double stretch_cpu_us(const struct stretch *stretch, uint64_t count) {
    return count > 0 ? (stretch->after.cpu_us - stretch->before.cpu_us) / (double)count : 0;
}

void figure_add_cpu(const struct scenario *scenario, const char *name, double value) {
    if (scenario->source.pid > 0)
        figure_add(name, "us", value);
}

int scenario_measure(const struct scenario *scenario, const char *what) {
    unsigned ms = (unsigned)(scenario->options->seconds * 1000);
    for (unsigned passed = 0; passed < ms; passed += STEP_MS) {
        progress("%s: %.1f of %.1f s", what, passed / 1000.0, ms / 1000.0);
        int error = interruptible_sleep_ms(ms - passed < STEP_MS ? ms - passed : STEP_MS);
        if (error)
            return error;
    }
    return 0;
}

double scenario_quantile_us(const struct scenario *scenario, double share) {
    return (double)histogram_quantile(&scenario->load.latency, share) / 1000;
}

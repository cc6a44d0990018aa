/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The closed loop: pairs of people who are online, `window` messages in flight per pair; whoever
 * gets a message sends one back. As the peers' load does it.
 */
#include "bench/figures.h"
#include "bench/interrupt.h"
#include "bench/scenarios.h"

#include <stdio.h>
#include <string.h>

#define LOGINS_AT_ONCE 50
#define OUTBOX_MESSAGES 128

static const char *name_of(unsigned window, const char *what) {
    static char name[48];
    snprintf(name, sizeof name, "online_w%u_%s", window, what);
    return name;
}

static void add_figures(const struct scenario *scenario, const struct stretch *stretch,
                        unsigned window) {
    double messages = (double)stretch->messages;
    double load_us = stretch->after.load_cpu_us - stretch->before.load_cpu_us;
    figure_add_cpu(scenario, name_of(window, "cpu_us"), stretch_cpu_us(stretch, stretch->messages));
    figure_add(name_of(window, "per_s"), "1/s", messages / stretch_seconds(stretch));
    figure_add(name_of(window, "load_cpu_us"), "us", load_us / messages);
    figure_add(name_of(window, "p50_us"), "us", scenario_quantile_us(scenario, .5));
    figure_add(name_of(window, "p99_us"), "us", scenario_quantile_us(scenario, .99));
    figure_add(name_of(window, "p999_us"), "us", scenario_quantile_us(scenario, .999));
    double operations = stretch->after.store_operations - stretch->before.store_operations;
    if (scenario->source.has_metrics)
        figure_add(name_of(window, "store_writes"), "1/message", operations / messages);
    if (scenario->options->window == 0 && window != 8)
        return;
    figure_add("online_p50_us", "us", scenario_quantile_us(scenario, .5));
    figure_add("online_p99_us", "us", scenario_quantile_us(scenario, .99));
    figure_add("online_p999_us", "us", scenario_quantile_us(scenario, .999));
    if (scenario->source.has_metrics)
        figure_add("online_store_writes", "1/message", operations / messages);
}

static int run_window(struct scenario *scenario, unsigned window) {
    struct load *load = &scenario->load;
    struct stretch stretch;
    char what[48];
    snprintf(what, sizeof what, "%u pairs, window %u", scenario->options->pairs, window);
    atomic_store(&load->answering, true);
    for (unsigned i = 0; i < scenario->options->pairs; i++)
        load_send(load, 2 * i, 2 * i + 1, window, 0);
    progress("%s: warming up", what);
    int error = interruptible_sleep_ms((unsigned)(scenario->options->warm_seconds * 1000));
    if (error)
        return error;
    stretch_begin(scenario, &stretch);
    error = scenario_measure(scenario, what);
    stretch_end(scenario, &stretch);
    if (error == 0)
        error = load_settle(load);
    if (error == 0)
        add_figures(scenario, &stretch, window);
    return error;
}

int scenario_online(const struct bench_options *options) {
    struct scenario scenario;
    unsigned people = 2 * options->pairs;
    const struct load_options load = {.count = people, .outbox_messages = OUTBOX_MESSAGES};
    int error = scenario_begin(&scenario, options, &load);
    if (error)
        return error;
    progress("%u people come online", people);
    error = load_login(&scenario.load, 0, people, LOGINS_AT_ONCE);
    if (error == 0 && options->window != 0)
        error = run_window(&scenario, options->window);
    if (error == 0 && options->window == 0)
        error = run_window(&scenario, 1);
    if (error == 0 && options->window == 0)
        error = run_window(&scenario, 8);
    scenario_end(&scenario);
    return error;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mail for people who aren't there: every sender writes to its share of the receivers, round after
 * round; then the receivers come online and drain it. Accepted means *sent* was told: fsynced.
 */
#include "bench/figures.h"
#include "bench/interrupt.h"
#include "bench/scenarios.h"

#define LOGINS_AT_ONCE 50
#define SETTLE_MS 1000

/* A power of two that holds all of one sender's messages. */
static unsigned outbox_messages(const struct bench_options *options) {
    unsigned messages = (options->receivers / options->senders + 1) * options->each, size = 64;
    while (size < messages)
        size *= 2;
    return size;
}

static int store(struct scenario *scenario, uint64_t total) {
    const struct bench_options *options = scenario->options;
    struct load *load = &scenario->load;
    struct stretch stretch;
    progress("%llu messages to people offline", (unsigned long long)total);
    stretch_begin(scenario, &stretch);
    for (unsigned round = 0; round < options->each; round++)
        for (unsigned i = 0; i < options->receivers; i++)
            load_send(load, i % options->senders, options->senders + i, 1, 0);
    int error = load_wait(load, &load->counters.accepted, total);
    stretch_end(scenario, &stretch);
    if (error)
        return error;
    double operations = stretch.after.store_operations - stretch.before.store_operations;
    figure_add("offline_accepted_per_s", "1/s", (double)total / stretch_seconds(&stretch));
    figure_add_cpu(scenario, "offline_cpu_us", stretch_cpu_us(&stretch, total));
    if (scenario->source.has_metrics)
        figure_add("offline_store_writes", "1/message", operations / (double)total);
    return 0;
}

static int drain(struct scenario *scenario, uint64_t total) {
    const struct bench_options *options = scenario->options;
    struct load *load = &scenario->load;
    struct stretch stretch;
    progress("%u people come and fetch their mail", options->receivers);
    stretch_begin(scenario, &stretch);
    int error = load_login(load, options->senders, options->receivers, LOGINS_AT_ONCE);
    if (error == 0)
        error = load_wait(load, &load->counters.delivered, total);
    stretch_end(scenario, &stretch);
    if (error)
        return error;
    figure_add("drained_per_s", "1/s", (double)stretch.messages / stretch_seconds(&stretch));
    figure_add_cpu(scenario, "drained_cpu_us", stretch_cpu_us(&stretch, stretch.messages));
    return 0;
}

int scenario_offline(const struct bench_options *options) {
    struct scenario scenario;
    unsigned people = options->senders + options->receivers;
    uint64_t total = (uint64_t)options->receivers * options->each;
    const struct load_options load = {.count = people, .outbox_messages = outbox_messages(options)};
    int error = scenario_begin(&scenario, options, &load);
    if (error)
        return error;
    progress("%u senders come online", options->senders);
    error = load_login(&scenario.load, 0, options->senders, LOGINS_AT_ONCE);
    if (error == 0)
        error = load_find(&scenario.load, options->senders, options->receivers);
    if (error == 0)
        error = interruptible_sleep_ms(SETTLE_MS);
    if (error == 0)
        error = store(&scenario, total);
    if (error == 0)
        error = interruptible_sleep_ms(SETTLE_MS);
    if (error == 0)
        error = drain(&scenario, total);
    if (error == 0)
        error = load_settle(&scenario.load);
    scenario_end(&scenario);
    return error;
}

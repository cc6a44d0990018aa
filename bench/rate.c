/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The open loop: so many messages a second, from people chosen at random, whether the node keeps up
 * or not. A latency counts from when the message was due, so that a node (or a load) that falls
 * behind cannot hide it.
 */
#include "bench/figures.h"
#include "bench/interrupt.h"
#include "bench/scenarios.h"

#include <sys/prctl.h>
#include <time.h>

#define LOGINS_AT_ONCE 50
#define OUTBOX_MESSAGES 1024
#define TIMER_SLACK_NS 1000ul

static void sleep_until(uint64_t at_ns) {
    struct timespec at = {.tv_sec = (time_t)(at_ns / 1000000000),
                          .tv_nsec = (long)(at_ns % 1000000000)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

/* Messages at their times until `end_ns`. */
static int pace(struct scenario *scenario, uint64_t *next_ns, uint64_t end_ns, uint32_t *random) {
    const struct bench_options *options = scenario->options;
    uint64_t gap_ns = 1000000000 / options->rate;
    for (; *next_ns < end_ns; *next_ns += gap_ns) {
        if (*next_ns > clock_ns())
            sleep_until(*next_ns);
        if (interrupted())
            return interruptible_sleep_ms(0);
        *random = *random * 1103515245 + 12345;
        unsigned from = (*random >> 8) % (2 * options->pairs);
        load_send(&scenario->load, from, from ^ 1, 1, *next_ns);
    }
    return load_check(&scenario->load);
}

static int run(struct scenario *scenario) {
    const struct bench_options *options = scenario->options;
    struct stretch stretch;
    uint32_t random = 1;
    progress("%u messages a second", options->rate);
    uint64_t next_ns = clock_ns();
    int error =
        pace(scenario, &next_ns, next_ns + (uint64_t)(options->warm_seconds * 1e9), &random);
    if (error)
        return error;
    stretch_begin(scenario, &stretch);
    next_ns = clock_ns();
    error = pace(scenario, &next_ns, next_ns + (uint64_t)(options->seconds * 1e9), &random);
    stretch_end(scenario, &stretch);
    if (error == 0)
        error = load_settle(&scenario->load);
    if (error)
        return error;
    double operations = stretch.after.store_operations - stretch.before.store_operations;
    figure_add_cpu(scenario, "rate_cpu_us", stretch_cpu_us(&stretch, stretch.messages));
    figure_add("rate_per_s", "1/s", (double)stretch.messages / stretch_seconds(&stretch));
    figure_add("rate_p50_us", "us", scenario_quantile_us(scenario, .5));
    figure_add("rate_p99_us", "us", scenario_quantile_us(scenario, .99));
    figure_add("rate_p999_us", "us", scenario_quantile_us(scenario, .999));
    if (scenario->source.has_metrics)
        figure_add("rate_store_writes", "1/message", operations / (double)stretch.messages);
    return 0;
}

int scenario_rate(const struct bench_options *options) {
    struct scenario scenario;
    const struct load_options load = {.count = 2 * options->pairs,
                                      .outbox_messages = OUTBOX_MESSAGES};
    int error = scenario_begin(&scenario, options, &load);
    if (error)
        return error;
    prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS);
    progress("%u people come online", 2 * options->pairs);
    error = load_login(&scenario.load, 0, 2 * options->pairs, LOGINS_AT_ONCE);
    if (error == 0)
        error = run(&scenario);
    scenario_end(&scenario);
    return error;
}

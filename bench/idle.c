/* SPDX-License-Identifier: Apache-2.0 */
/*
 * People who come online and say nothing: what a login costs, and what an idle connection holds.
 */
#include "bench/figures.h"
#include "bench/interrupt.h"
#include "bench/scenarios.h"

#define LOGINS_AT_ONCE 100
#define OUTBOX_MESSAGES 64
#define SETTLE_MS 2000

/* So many more come, `settled` says what is held when they are idle. */
static int come_online(struct scenario *scenario, unsigned from, unsigned to,
                       struct stretch *stretch, struct sample *settled) {
    progress("%u people come online", to);
    stretch_begin(scenario, stretch);
    int error = load_login(&scenario->load, from, to - from, LOGINS_AT_ONCE);
    stretch_end(scenario, stretch);
    progress("%u people are idle", to);
    if (error == 0)
        error = interruptible_sleep_ms(SETTLE_MS);
    if (error == 0)
        error = load_check(&scenario->load);
    if (error == 0)
        sample_take(&scenario->source, settled);
    return error;
}

/* One half comes, then the other: the difference is what people cost, without what is held for
 * nobody (pages of code, pools, the store's cache) and was made for the first of them. */
static int run(struct scenario *scenario) {
    unsigned all = scenario->options->idle, half = all / 2, more = all - half;
    struct stretch stretch;
    struct sample first = {0}, second;
    int error = half > 0 ? come_online(scenario, 0, half, &stretch, &first) : 0;
    if (error == 0)
        error = come_online(scenario, half, all, &stretch, &second);
    if (error)
        return error;
    double bytes = (second.resident_bytes - first.resident_bytes) / more;
    figure_add_cpu(scenario, "login_cpu_us", stretch_cpu_us(&stretch, more));
    figure_add("login_per_s", "1/s", more / stretch_seconds(&stretch));
    if (scenario->source.pid > 0) {
        figure_add("idle_connection_bytes", "B", bytes);
        figure_add("idle_fixed_bytes", "B", first.resident_bytes - bytes * half);
    }
    figure_add("idle_kernel_bytes", "B", (second.kernel_bytes - first.kernel_bytes) / more);
    return 0;
}

int scenario_idle(const struct bench_options *options) {
    struct scenario scenario;
    const struct load_options load = {.count = options->idle, .outbox_messages = OUTBOX_MESSAGES};
    int error = scenario_begin(&scenario, options, &load);
    if (error)
        return error;
    error = run(&scenario);
    scenario_end(&scenario);
    return error;
}

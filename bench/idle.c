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
#define WARM_LOGINS_MAX 200u

/* A few come first, so that what the first login alone costs (pages of code, pools) is counted to
 * nobody. */
static int run(struct scenario *scenario) {
    unsigned count = scenario->options->idle;
    unsigned warm = count / 10 < WARM_LOGINS_MAX ? count / 10 : WARM_LOGINS_MAX;
    struct load *load = &scenario->load;
    struct stretch stretch;
    struct sample settled;
    int error = warm > 0 ? load_login(load, 0, warm, LOGINS_AT_ONCE) : 0;
    if (error == 0)
        error = interruptible_sleep_ms(SETTLE_MS / 2);
    if (error)
        return error;
    progress("%u people come online", count);
    stretch_begin(scenario, &stretch);
    error = load_login(load, warm, count - warm, LOGINS_AT_ONCE);
    stretch_end(scenario, &stretch);
    progress("%u people are idle", count);
    if (error == 0)
        error = interruptible_sleep_ms(SETTLE_MS);
    if (error == 0)
        error = load_check(load);
    if (error)
        return error;
    sample_take(&scenario->source, &settled);
    double logins = count - warm;
    figure_add_cpu(scenario, "login_cpu_us", stretch_cpu_us(&stretch, count - warm));
    figure_add("login_per_s", "1/s", logins / stretch_seconds(&stretch));
    if (scenario->source.pid > 0)
        figure_add("idle_connection_bytes", "B",
                   (settled.resident_bytes - stretch.before.resident_bytes) / logins);
    figure_add("idle_kernel_bytes", "B",
               (settled.kernel_bytes - stretch.before.kernel_bytes) / logins);
    return 0;
}

int scenario_idle(const struct bench_options *options) {
    struct scenario scenario;
    int error = scenario_begin(&scenario, options, options->idle, OUTBOX_MESSAGES);
    if (error)
        return error;
    error = run(&scenario);
    scenario_end(&scenario);
    return error;
}

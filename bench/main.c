/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tern-bench: load on a real node, and a line per figure. The scenarios are in files of their own;
 * here is which of them run, and in what order.
 */
#include "bench/figures.h"
#include "bench/interrupt.h"
#include "bench/options.h"
#include "runtime/log.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

typedef int (*scenario_fn)(const struct bench_options *options);

static int run(const struct bench_options *options, scenario_fn scenario, const char *heading) {
    int error = 0;
    for (unsigned i = 0; i < options->runs && error == 0; i++)
        error = scenario(options);
    if (error == 0)
        figures_print(heading);
    return error;
}

static int run_mail(const struct bench_options *options) {
    bool online = options->rate == 0 && !options->offline && options->idle == 0;
    int error = 0;
    if (online)
        error = run(options, scenario_online, "People online who write to each other");
    if (error == 0 && options->rate != 0)
        error = run(options, scenario_rate, "So many messages a second");
    if (error == 0 && options->offline)
        error = run(options, scenario_offline, "Mail for people who come later");
    if (error == 0 && options->idle != 0)
        error = run(options, scenario_idle, "People who say nothing");
    return error;
}

static int run_users(const struct bench_options *options) {
    if (options->ground_actors)
        return run(options, scenario_users_ground, "Many users, as actors");
    if (options->cost_at_count > 0)
        return run(options, scenario_users_cost, "What a message costs, at so many connections");
    return run(options, scenario_users, "Many users, on sockets");
}

/* Every scenario, each short. */
static int run_quick(struct bench_options *options) {
    options->seconds = 3;
    int error = run_mail(options);
    options->rate = 8000;
    options->offline = true;
    options->each = 50;
    options->idle = 5000;
    return error ? error : run_mail(options);
}

/* Each connection needs a descriptor, here and in the node, which inherits the limit. */
static void descriptors_raise(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int write_accounts(const struct arguments *arguments) {
    struct accounts *accounts = NULL;
    int error = accounts_make(NULL, arguments->accounts_count, &accounts);
    if (error == 0)
        error = accounts_write(arguments->accounts_file, accounts);
    if (error)
        fprintf(stderr, "tern-bench: %s: %s\n", arguments->accounts_file, strerror(-error));
    return error;
}

int main(int count, char **values) {
    static struct arguments arguments;
    int error = 0;
    arguments_read(count, values, &arguments);
    if (arguments.command == BENCH_DONE)
        return arguments.status;
    if (sodium_init() < 0)
        return 1;
    if (arguments.command == BENCH_ACCOUNTS)
        return write_accounts(&arguments) ? 1 : 0;
    log_level_set(LOG_ERROR);
    interrupt_catch();
    descriptors_raise();
    figures_begin(arguments.bench.json);
    if (arguments.command == BENCH_QUICK)
        error = run_quick(&arguments.bench);
    else if (arguments.command == BENCH_USERS)
        error = run_users(&arguments.bench);
    else if (arguments.command == BENCH_ACTORS)
        error = scenario_actors(&arguments.actors);
    else
        error = run_mail(&arguments.bench);
    progress("%s", "");
    if (interrupted())
        return 130;
    return error ? 1 : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Which measurements there are, and a process for each. */
#include "bench/actors.h"

#include "bench/figures.h"
#include "bench/interrupt.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define BENCH_SECONDS_MAX 120u
#define RATE "1/s"

static const struct actors_bench benches[] = {
    {{"idle_bytes"}, {"B"}, 1, bench_idle},
    {{"idle_bytes_10m"}, {"B"}, 1, bench_idle_10m},
    {{"spawn"}, {RATE}, 1, bench_spawn},
    {{"spawn_exit"}, {RATE}, 1, bench_spawn_exit},
    {{"fork_join"}, {RATE}, 1, bench_fork_join},
    {{"ping_pong"}, {RATE}, 1, bench_ping_pong},
    {{"line_floor_cross"}, {RATE}, 0, bench_line_floor},
    {{"ping_pong_cross"}, {RATE}, 2, bench_ping_pong_cross},
    {{"thread_ring"}, {RATE}, 1, bench_thread_ring},
    {{"counting"}, {RATE}, 1, bench_counting},
    {{"counting_cross"}, {RATE}, 2, bench_counting_cross},
    {{"big"}, {RATE}, 1, bench_big},
    {{"big_cross"}, {RATE}, 2, bench_big},
    {{"many_to_one_8"}, {RATE}, 1, bench_many_to_one_8},
    {{"many_to_one_64"}, {RATE}, 1, bench_many_to_one_64},
    {{"many_to_one_cross"}, {RATE}, 2, bench_many_to_one_cross},
    {{"multicast_256"}, {RATE}, 1, bench_multicast_256},
    {{"timer_bytes", "timer_start_cancel"}, {"B", RATE}, 1, bench_timers},
    {{"wake_p50_us", "wake_p99_us"}, {"us", "us"}, 2, bench_wake},
    {{"skew"}, {"share"}, 1, bench_skew},
    {{"top_1m_ms", "top_1m_cost"}, {"ms", "share"}, 2, bench_top},
};
#define BENCH_COUNT (sizeof benches / sizeof benches[0])

static bool is_wanted(const struct actors_options *options, const char *name) {
    for (unsigned i = 0; i < options->only_count; i++)
        if (strcmp(options->only[i], name) == 0)
            return true;
    return options->only_count == 0;
}

static bool bench_has(const struct actors_bench *bench, const char *name) {
    for (unsigned i = 0; i < 2; i++)
        if (bench->figures[i] != NULL && strcmp(bench->figures[i], name) == 0)
            return true;
    return false;
}

static bool bench_is_wanted(const struct actors_options *options,
                            const struct actors_bench *bench) {
    return is_wanted(options, bench->figures[0]) ||
           (bench->figures[1] != NULL && is_wanted(options, bench->figures[1]));
}

static int check_names(const struct actors_options *options) {
    for (unsigned i = 0; i < options->only_count; i++) {
        unsigned k = 0;
        while (k < BENCH_COUNT && !bench_has(&benches[k], options->only[i]))
            k++;
        if (k < BENCH_COUNT)
            continue;
        fprintf(stderr, "tern-bench: %s: there is no such figure; there are:", options->only[i]);
        for (k = 0; k < BENCH_COUNT; k++)
            fprintf(stderr, " %s %s", benches[k].figures[0],
                    benches[k].figures[1] != NULL ? benches[k].figures[1] : "\b");
        fputc('\n', stderr);
        return -EINVAL;
    }
    return 0;
}

/* Returns how many figures there were. */
static unsigned figures_read(const struct actors_options *options, const struct actors_bench *bench,
                             int descriptor) {
    struct stage_figure figure;
    unsigned count = 0;
    while (read(descriptor, &figure, sizeof figure) == sizeof figure && figure.which < 2) {
        count++;
        if (is_wanted(options, bench->figures[figure.which]))
            figure_add(bench->figures[figure.which], bench->units[figure.which], figure.value);
    }
    close(descriptor);
    return count;
}

/* The child ends with its parent, with a signal, and on its own after a time. */
static void child_run(const struct actors_options *options, const struct actors_bench *bench,
                      int descriptor) {
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(BENCH_SECONDS_MAX);
    _exit(stage_run(bench, options, descriptor) == 0 ? 0 : 1);
}

static int bench_run(const struct actors_options *options, const struct actors_bench *bench) {
    int ends[2], status = 0;
    progress("%s", bench->figures[0]);
    if (pipe(ends) != 0)
        return -errno;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        child_run(options, bench, ends[1]);
    }
    close(ends[1]);
    if (child < 0) {
        close(ends[0]);
        return -errno;
    }
    unsigned count = figures_read(options, bench, ends[0]);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        if (interrupted())
            kill(child, SIGTERM);
    if (status == 0 && count > 0)
        return 0;
    fprintf(stderr, "tern-bench: %s: it has failed (status %d)\n", bench->figures[0], status);
    return -ECHILD;
}

int scenario_actors(const struct actors_options *options) {
    int error = check_names(options);
    for (unsigned i = 0; i < options->runs && !error; i++)
        for (unsigned k = 0; k < BENCH_COUNT && !error && !interrupted(); k++)
            if (bench_is_wanted(options, &benches[k]))
                error = bench_run(options, &benches[k]);
    figures_print("Actors, no sockets");
    return error;
}

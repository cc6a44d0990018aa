/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of tern-bench. */
#ifndef TERN_BENCH_OPTIONS_H
#define TERN_BENCH_OPTIONS_H

#include "bench/actors.h"
#include "bench/scenarios.h"

enum bench_command {
    BENCH_MAIL,
    BENCH_ACTORS,
    BENCH_USERS,
    BENCH_QUICK,
    BENCH_ACCOUNTS, /* writes a file of accounts for a node that is measured with --server */
    BENCH_DONE,     /* there is nothing to do: exit with `status` */
};

struct arguments {
    enum bench_command command;
    int status;
    const char *accounts_file;
    unsigned accounts_count;
    bool quick;
    struct actors_options actors;
    struct bench_options bench;
};

/* Complains on standard error, and then says BENCH_DONE with status 64. */
void arguments_read(int count, char **values, struct arguments *arguments);

#endif

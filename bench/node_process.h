/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tern-node of the bench's own: a data directory that is new and goes with it, free ports on
 * loopback, accounts by `tern-node import`, everything else as in the cluster file's defaults
 * (authentication, fsync and hold are on).
 *
 * It is killed with the bench, however that ends (PR_SET_PDEATHSIG).
 */
#ifndef TERN_BENCH_NODE_PROCESS_H
#define TERN_BENCH_NODE_PROCESS_H

#include "bench/accounts.h"
#include "bench/sample.h"

#include <limits.h>

#define NODE_SETTINGS_MAX 16

struct node_options {
    const char *program; /* NULL: the tern-node beside this program */
    const char *parent;  /* where its directory is made; NULL: TMPDIR, or /var/tmp,
                            for /tmp may be memory that has no fsync */
    const char *settings[NODE_SETTINGS_MAX]; /* more lines for its cluster file, "hold = off" */
    unsigned setting_count;
};

struct node_process {
    pid_t pid;
    char directory[PATH_MAX];
    struct socket_address server;
    struct sample_source source;
};

/* 0, or negative after it has said on standard error what went wrong and cleaned up. */
int node_process_start(struct node_process *node, const struct node_options *options,
                       const struct accounts *accounts);
/* Ends it in order (kills it after a while) and removes its directory. */
void node_process_stop(struct node_process *node);

#endif

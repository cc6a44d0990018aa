/* SPDX-License-Identifier: Apache-2.0 */
/* The running node: what the heart's child does from its first breath to its exit status. */
#ifndef TERN_TOOLS_NODE_SERVE_H
#define TERN_TOOLS_NODE_SERVE_H

#include "runtime/heart.h"
#include "tools/node/config.h"

struct serve {
    const struct config *config;
    const char *config_path, *config_node; /* of the file, to be read again; NULL: its only node */
    struct heart_listener *listeners; /* config->listen_count of them, then metrics if it is on */
    unsigned listener_count;
    char crashes[CONFIG_PATH_MAX + 16]; /* where crash records go: in the data directory */
};

#define NODE_VERSION "tern-node 0.1"

/* A heart_options.child; `context` is a struct serve. */
int serve_run(void *context, const struct heart_start *start);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration of a node that runs: what is in force, what the file says now, and changing the
 * settings that can be changed: the limits (but for those of addresses, whose tables were made at
 * the start) and the log's level.
 */
#ifndef TERN_TOOLS_NODE_LIVE_CONFIG_H
#define TERN_TOOLS_NODE_LIVE_CONFIG_H

#include "tools/node/config.h"

#include <pthread.h>

struct live_config {
    struct node_config ops; /* for the node; its context is this */
    pthread_mutex_t lock;   /* of `in_force`: shells may change it at the same time */
    struct config in_force;
    const char *path, *node_name; /* of the file; NULL: the only node in it */
    struct node *node;
};

/* `path` and `node_name` live as long. */
void live_config_begin(struct live_config *live, const struct config *config, const char *path,
                       const char *node_name, struct node *node);
/* "debug", ... as log.h's level; the config's table allows no other. */
void log_level_apply(const char *name);

#endif

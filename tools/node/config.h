/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cluster file: what a node is told at its start.
 *
 * One `key = value` a line; keys at the top hold for every node, keys inside `node NAME { ... }`
 * for that node alone. Keys, types, bounds and defaults stand in one table (config_keys.c), from
 * which the parser (libconfuse), the reference (`tern-node --help-config`) and the test of the
 * sample are made. An unknown key, a wrong type or a value out of bounds is a mistake that names
 * file, line and reason.
 */
#ifndef TERN_TOOLS_NODE_CONFIG_H
#define TERN_TOOLS_NODE_CONFIG_H

#include "actors/address_limits.h"
#include "actors/node.h"

#define CONFIG_PATH_MAX 4096
#define CONFIG_ADDRESSES_MAX 8
#define CONFIG_NODES_MAX 64
#define CONFIG_NAME_MAX 64

struct config {
    char name[CONFIG_NAME_MAX + 1];
    char cluster[CONFIG_NAME_MAX + 1];
    char region[CONFIG_NAME_MAX + 1]; /* empty: none */
    struct socket_address listen[CONFIG_ADDRESSES_MAX];
    unsigned listen_count;
    uint8_t proxies[CONFIG_ADDRESSES_MAX][ADDRESS_BYTES]; /* whose PROXY headers are believed */
    unsigned proxy_count;
    struct socket_address metrics;
    bool metrics_on;
    char home_address[256]; /* what devices are told to come back to; empty: the address they came
                               to */
    char data[CONFIG_PATH_MAX];
    char sms_command[CONFIG_PATH_MAX]; /* empty: none */
    uint64_t shards, pool_threads;     /* 0: by the number of cores */
    uint64_t batch_wait_us;            /* 0: no event waits for others */
    uint64_t store_memory_bytes;
    uint64_t store_reserve_bytes;
    uint64_t watchdog_budget_ms; /* 0: no watchdog */
    char log_level[16];
    char reactor[16];
    struct node_limits limits;
};

/* Reads `path` for the node `name` (NULL: the only one). 0, or -EINVAL after it has written one
 * line "FILE:LINE: reason" into `error`; -errno if the file can't be read. `config` is untouched on
 * failure. Relative paths in the file are relative to the file's folder; "~/" is the home folder.
 */
int config_read(const char *path, const char *name, struct config *config, char *error,
                size_t error_bytes);

/* Writes the reference of all keys (name, type, default, meaning), a key a paragraph. */
void config_print_reference(void);
/* Writes the values in force as a cluster file. */
void config_print(const struct config *config);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The table of the cluster file's keys: one row each, read by config.c alone. */
#ifndef TERN_TOOLS_NODE_CONFIG_KEYS_H
#define TERN_TOOLS_NODE_CONFIG_KEYS_H

#include <stddef.h>
#include <stdint.h>

enum config_type {
    CONFIG_TEXT,      /* at most `max` bytes */
    CONFIG_PATH,      /* made absolute */
    CONFIG_PROGRAM,   /* a path if it has a slash, else looked for in PATH */
    CONFIG_ADDRESS,   /* "127.0.0.1:7700", "[::1]:7700", or "off" */
    CONFIG_ADDRESSES, /* a list of them */
    CONFIG_PROXIES,   /* a list of addresses without ports; empty: none */
    CONFIG_COUNT,     /* 0, 250, 10000 */
    CONFIG_SIZE,      /* bytes: "64MiB" */
    CONFIG_DURATION,  /* milliseconds: "30s" */
    CONFIG_SWITCH,    /* on, off */
    CONFIG_WORD,      /* one of a few, see config_words */
};

struct config_key {
    const char *name;
    enum config_type type;
    const char *fallback; /* as it would be written in the file */
    uint64_t min, max;
    size_t offset; /* in struct config */
    size_t bytes;  /* of the field: 1, 4 or 8 for numbers; the capacity for text */
    const char *help;
};

/* What a CONFIG_WORD may be, separated by one space; the key's `min` says which of these. */
enum config_words { CONFIG_WORDS_LOG_LEVEL, CONFIG_WORDS_REACTOR };
extern const char *const config_words[];

struct config;
/* The value in force as a cluster file has it. */
void config_value_text(const struct config_key *key, const struct config *config, char *text,
                       size_t bytes);
/* NULL, or why `text` is no value for this key; then `config` is as it was. Not for lists. */
const char *config_value_set(const struct config_key *key, const char *text, struct config *config);
const struct config_key *config_key_find(const char *name);

extern const struct config_key config_keys[];
extern const size_t config_key_count;

#endif

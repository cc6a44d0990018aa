/* SPDX-License-Identifier: Apache-2.0 */
/* What was typed behind tern-chat. */
#ifndef TERN_TOOLS_CHAT_ARGUMENTS_H
#define TERN_TOOLS_CHAT_ARGUMENTS_H

#include "tools/chat/home.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define ARGUMENTS_SECONDS_MAX 86400
#define ARGUMENTS_TIMEOUT_DEFAULT 30

enum arguments_verb {
    VERB_CHAT, /* none: the line mode */
    VERB_REGISTER,
    VERB_VERIFY,
    VERB_SEND,
    VERB_RECEIVE,
    VERB_STATUS,
    VERB_HISTORY,
    VERB_CONTACTS,
    VERB_ECHO,
    VERB_HELP,
    VERB_VERSION,
};

/* Borrowed from argv; NULL where nothing was said. */
struct arguments {
    enum arguments_verb verb;
    char home[HOME_PATH_CHARS_MAX];
    const char *ca; /* "system": that of the system again */
    const char *server, *phone, *name, *code, *to, *with, *cluster_key;
    const char *operand; /* send: the text; status: the id */
    unsigned goal;       /* send: the enum wire_state to wait for */
    bool goal_given;     /* by --wait */
    uint32_t wait_ms;    /* receive */
    uint32_t timeout_ms; /* for all of the command */
    uint32_t limit;      /* history: messages; 0: all */
    bool json, queue, unread, offline;
};

/* 0, or CHAT_USAGE after a sentence on standard error. */
int arguments_parse(struct arguments *arguments, int argc, char **argv);
void arguments_print_help(FILE *out);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* A shell: one line in, one answer out; what main, the editor and the live screen share. */
#ifndef TERN_TOOLS_SHELL_SHELL_H
#define TERN_TOOLS_SHELL_SHELL_H

#include "tools/shell/client.h"
#include "tools/shell/render.h"

/* Exit statuses, in the man page and in --help. */
#define EXIT_REFUSED 1     /* the node refused the command, or the actor is not there */
#define EXIT_USAGE 64      /* EX_USAGE: a mistake in the command line or in the command */
#define EXIT_NO_NODE 69    /* EX_UNAVAILABLE */
#define EXIT_PROTOCOL 76   /* EX_PROTOCOL: the node went away, or speaks another version */
#define EXIT_PERMISSION 77 /* EX_NOPERM */
#define EXIT_CONFIGURATION 78

struct shell {
    struct client client;
    const char *path; /* of the socket */
    bool json;
    bool interactive; /* at a prompt: mistakes don't end it */
    bool terminal;    /* standard output is one */
    struct render_options options;
    bool quit;
    bool watching; /* `top` is shown once */
};

/* Carries out one line; 0 or an exit status. Errors go to standard error. */
int shell_line(struct shell *shell, const char *line);
/* Opens the connection if it is closed. 0 or an exit status, after it has said why. */
int shell_connect(struct shell *shell);
/* Says a mistake on standard error, as JSON if that is asked for. */
void shell_complain(const struct shell *shell, const char *code, const char *text);
/* Prompts until the end; the exit status. */
int shell_prompt(struct shell *shell);
/* The live screen of `top`, until it is left. 0, or a negative errno of the connection. */
int shell_top(struct shell *shell, const struct parsed_command *parsed);
/* Repeats a view; 0 or an exit status. */
int shell_watch(struct shell *shell, const struct parsed_command *parsed);
void shell_help(const struct shell *shell, const char *name);
/* Asks the person; false: no. */
bool shell_confirm(const char *question);

#endif

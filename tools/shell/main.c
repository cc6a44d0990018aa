/* SPDX-License-Identifier: Apache-2.0 */
/* tern-shell: looks into a running node, and turns it. */
#include "tools/node/config.h"
#include "tools/options/options.h"
#include "tools/shell/shell.h"

#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "Usage: tern-shell [--data DIR | --socket PATH | --config FILE [--node NAME]] [--json]\n"
    "                  [-c COMMAND]... [--no-colour]\n"
    "\n"
    "Looks into a running tern-node by the admin socket in its data directory (default\n"
    "~/.local/share/tern/node). Without -c it prompts; \"help\" there says what can be asked.\n"
    "\n"
    "  -d, --data DIR       the node's data directory\n"
    "  -s, --socket PATH    its admin socket\n"
    "      --config FILE    its cluster file, which names the data directory; --node says which "
    "node\n"
    "  -c, --command LINE   carry out this command and leave; may be said several times\n"
    "      --json           answers as arrays of objects, [] where there is nothing\n"
    "      --no-colour      also with the environment's NO_COLOR\n"
    "\n"
    "Exit status: 0 done; 1 the node refused it, or what was named is not there; 64 a mistake in "
    "what\n"
    "was asked; 69 no node is running there; 76 it went away or speaks another version; 77 "
    "permission\n"
    "denied; 78 a mistake in the cluster file.\n";

#define COMMANDS_MAX 64u

struct arguments {
    const char *data, *socket, *config, *node;
    const char *commands[COMMANDS_MAX];
    unsigned command_count;
    bool json, no_colour;
};

static int take_command(void *fields, const char *value) {
    struct arguments *arguments = fields;
    if (arguments->command_count == COMMANDS_MAX) {
        fprintf(stderr, "tern-shell: at most %u commands at once\n", COMMANDS_MAX);
        return EXIT_USAGE;
    }
    arguments->commands[arguments->command_count++] = value;
    return OPTIONS_CONTINUE;
}

/* For bash's completion. */
static int print_commands(void *fields, const char *value) {
    for (unsigned i = 0; i < command_count; i++)
        puts(commands[i].name);
    return 0;
}

static int print_version(void *fields, const char *value) {
    printf("tern-shell 0.1, admin protocol %u\n", ADMIN_VERSION);
    return 0;
}

#define FIELD(name) .field = offsetof(struct arguments, name)

static const struct options_entry options[] = {
    {"data", 'd', OPTIONS_TEXT, FIELD(data)},
    {"socket", 's', OPTIONS_TEXT, FIELD(socket)},
    {"command", 'c', OPTIONS_VALUE, .act = take_command},
    {"config", 0, OPTIONS_TEXT, FIELD(config)},
    {"node", 0, OPTIONS_TEXT, FIELD(node)},
    {"json", 0, OPTIONS_FLAG, FIELD(json)},
    {"no-colour", 0, OPTIONS_FLAG, FIELD(no_colour)},
    {"no-color", 0, OPTIONS_FLAG, FIELD(no_colour)},
    {"commands", 0, OPTIONS_ACT, .act = print_commands},
    {"version", 0, OPTIONS_ACT, .act = print_version},
    {NULL},
};

/* OPTIONS_CONTINUE, or the exit status. */
static int arguments_read(int count, char **values, struct arguments *arguments) {
    int status = options_read(count, values, options, usage, arguments);
    if (status != OPTIONS_CONTINUE)
        return status;
    if (optind != count) {
        fprintf(stderr, "tern-shell: what is \"%s\" meant to be? A command goes behind -c.\n%s",
                values[optind], usage);
        return EXIT_USAGE;
    }
    if ((arguments->data != NULL) + (arguments->socket != NULL) + (arguments->config != NULL) > 1) {
        fprintf(stderr, "tern-shell: --data, --socket and --config all say where; give one\n");
        return EXIT_USAGE;
    }
    return OPTIONS_CONTINUE;
}

/* Where the socket is. 0 or an exit status, after it has said why. */
static int path_of(const struct arguments *arguments, char *path, size_t bytes) {
    static struct config config;
    char error[CONFIG_PATH_MAX + 256];
    const char *home = getenv("HOME");
    if (arguments->socket) {
        snprintf(path, bytes, "%s", arguments->socket);
    } else if (arguments->config) {
        if (config_read(arguments->config, arguments->node, &config, error, sizeof(error))) {
            fprintf(stderr, "%s\n", error);
            return EXIT_CONFIGURATION;
        }
        snprintf(path, bytes, "%s/admin.sock", config.data);
    } else if (arguments->data) {
        snprintf(path, bytes, "%s/admin.sock", arguments->data);
    } else if (home && home[0]) {
        snprintf(path, bytes, "%s/.local/share/tern/node/admin.sock", home);
    } else {
        fprintf(stderr, "tern-shell: where is the node's data? --data DIR (there is no HOME)\n");
        return EXIT_USAGE;
    }
    return 0;
}

/* Interrupts what waits for the node, so that it can be canceled. */
static void on_interrupt(int signal) {
    (void)signal;
}

int main(int count, char **values) {
    static struct arguments arguments;
    static char path[CONFIG_PATH_MAX + 16];
    struct shell shell = {.client.fd = -1, .path = path};
    struct sigaction action = {.sa_handler = on_interrupt};
    int status = arguments_read(count, values, &arguments);
    if (status == OPTIONS_CONTINUE)
        status = path_of(&arguments, path, sizeof(path)) ?: OPTIONS_CONTINUE;
    if (status != OPTIONS_CONTINUE)
        return status;
    sigaction(SIGINT, &action, NULL);
    shell.json = arguments.json;
    shell.terminal = isatty(STDOUT_FILENO);
    const char *terminal = getenv("TERM");
    shell.options.colour = shell.terminal && !arguments.no_colour && !getenv("NO_COLOR") &&
                           terminal && strcmp(terminal, "dumb") != 0;
    status = 0;
    for (unsigned i = 0; i < arguments.command_count && !shell.quit; i++) {
        int result = shell_line(&shell, arguments.commands[i]);
        status = result ? result : status;
    }
    if (!arguments.command_count) {
        status = shell_connect(&shell);
        if (!status)
            status = shell_prompt(&shell);
    }
    client_close(&shell.client);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tern-node: reads the cluster file, opens the listening sockets, and hands over to the heart,
 * which keeps a child alive that serves (serve.c). `tern-node import` loads accounts in bulk
 * (import.c), `tern-node quarantine` looks after what was set aside (quarantine.c).
 */
#include "net/wire.h"
#include "runtime/log.h"
#include "tools/node/import.h"
#include "tools/node/live_config.h"
#include "tools/node/quarantine.h"
#include "tools/node/serve.h"
#include "tools/options/options.h"

#include <errno.h>
#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

static const char usage[] =
    "Usage: tern-node --config FILE [--node NAME]     run a node\n"
    "       tern-node --check-config FILE             say whether a cluster file is right\n"
    "       tern-node --print-config --config FILE    print all values in force\n"
    "       tern-node --help-config                   list the keys of a cluster file\n"
    "       tern-node import FILE --config FILE       load accounts: JSON lines of phone, name,\n"
    "                                                 device_public_key (64 hex digits)\n"
    "       tern-node quarantine list --config FILE   what was set aside; the node must not run\n"
    "       tern-node quarantine show|release|drop ENTRY --config FILE\n"
    "       tern-node --version | --help\n"
    "\n"
    "A sample cluster file with explanations is tools/tern.conf.\n"
    "Exit status: 0 after SIGTERM and an orderly end; 64 wrong usage; 69 the port is taken or the\n"
    "data is in use; 78 a mistake in the configuration.\n";

struct arguments {
    const char *config, *node, *import;
    const char *verb, *entry; /* of quarantine */
    bool check, print;
};

static int check_config(void *fields, const char *value) {
    struct arguments *arguments = fields;
    arguments->config = value;
    arguments->check = true;
    return OPTIONS_CONTINUE;
}

static int print_reference(void *fields, const char *value) {
    config_print_reference();
    return 0;
}

static int print_version(void *fields, const char *value) {
    printf(NODE_VERSION ", protocol tern.v%d\n", WIRE_VERSION);
    return 0;
}

#define FIELD(name) .field = offsetof(struct arguments, name)

static const struct options_entry options[] = {
    {"config", 'c', OPTIONS_TEXT, FIELD(config)},
    {"node", 'n', OPTIONS_TEXT, FIELD(node)},
    {"check-config", 0, OPTIONS_VALUE, .act = check_config},
    {"print-config", 0, OPTIONS_FLAG, FIELD(print)},
    {"help-config", 0, OPTIONS_ACT, .act = print_reference},
    {"version", 0, OPTIONS_ACT, .act = print_version},
    {NULL},
};

/* OPTIONS_CONTINUE, or the exit status. */
static int arguments_read(int count, char **values, struct arguments *arguments) {
    int status = options_read(count, values, options, usage, arguments);
    if (status != OPTIONS_CONTINUE)
        return status;
    if (optind + 2 == count && strcmp(values[optind], "import") == 0) {
        arguments->import = values[optind + 1];
    } else if (optind + 1 < count && optind + 3 >= count &&
               strcmp(values[optind], "quarantine") == 0) {
        arguments->verb = values[optind + 1];
        arguments->entry = optind + 2 < count ? values[optind + 2] : NULL;
    } else if (optind != count) {
        fprintf(stderr, "tern-node: what is \"%s\" meant to be?\n%s", values[optind], usage);
        return OPTIONS_USAGE;
    }
    if (!arguments->config) {
        fprintf(stderr, "tern-node: which cluster file? --config FILE\n%s", usage);
        return OPTIONS_USAGE;
    }
    return OPTIONS_CONTINUE;
}

/* As many as the operator allows: a connection may need one (libev), and a ring's table is as large
 * as this limit (io_uring). */
static void descriptors_raise(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int node_run(const struct config *config, const struct arguments *arguments) {
    struct heart_listener listeners[HEART_LISTENERS_MAX + 1] = {0};
    unsigned count = 0, failed = 0;
    for (; count < config->listen_count; count++)
        listeners[count] = (struct heart_listener){config->listen[count], 4096, -1};
    if (config->metrics_on)
        listeners[count++] = (struct heart_listener){config->metrics, 64, -1};
    if (count > HEART_LISTENERS_MAX) {
        fprintf(stderr, "tern-node: at most %d addresses, metrics included\n", HEART_LISTENERS_MAX);
        return HEART_EXIT_CONFIGURATION;
    }
    int error = heart_listen(listeners, count, &failed);
    if (error) {
        char address[80];
        socket_address_format(&listeners[failed].address, address, sizeof(address));
        fprintf(stderr, "tern-node: can't listen on %s: %s\n", address,
                error == -EADDRINUSE ? "something else is listening there" : strerror(-error));
        return error == -EADDRINUSE ? HEART_EXIT_UNAVAILABLE : HEART_EXIT_CONFIGURATION;
    }
    descriptors_raise();
    struct serve serve = {.config_path = arguments->config,
                          .config_node = arguments->node,
                          .config = config,
                          .listeners = listeners,
                          .listener_count = count};
    snprintf(serve.crashes, sizeof(serve.crashes), "%s/crashes", config->data);
    struct heart_options heart = {
        .listeners = listeners,
        .listener_count = count,
        .child = serve_run,
        .context = &serve,
        .crash_directory = serve.crashes,
    };
    return heart_run(&heart);
}

int main(int count, char **values) {
    struct arguments arguments = {0};
    static struct config config;
    char error[CONFIG_PATH_MAX + 256];
    int status = arguments_read(count, values, &arguments);
    if (status != OPTIONS_CONTINUE)
        return status;
    if (sodium_init() < 0) {
        fprintf(stderr, "tern-node: libsodium can't be started\n");
        return HEART_EXIT_CONFIGURATION;
    }
    if (config_read(arguments.config, arguments.node, &config, error, sizeof(error))) {
        fprintf(stderr, "%s\n", error);
        return HEART_EXIT_CONFIGURATION;
    }
    log_level_apply(config.log_level);
    log_service_set("tern-node", config.name);
    if (arguments.check) {
        printf("%s: it is right (node \"%s\")\n", arguments.config, config.name);
        return 0;
    }
    if (arguments.print) {
        config_print(&config);
        return 0;
    }
    if (arguments.verb)
        return quarantine_run(&config, arguments.verb, arguments.entry);
    if (arguments.import)
        return import_run(&config, arguments.import);
    return node_run(&config, &arguments);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/options.h"

#include "bench/ground.h"
#include "net/decimal.h"
#include "net/url.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_USAGE 64 /* EX_USAGE of sysexits.h */

static const char usage[] =
    "Usage: tern-bench --quick                 the essential figures, within a minute\n"
    "       tern-bench mail [options]          people online who write to each other (1, then 8\n"
    "                                          messages in flight per pair)\n"
    "       tern-bench mail --rate N           so many messages a second, whatever comes back\n"
    "       tern-bench mail --offline          mail for people who come later\n"
    "       tern-bench mail --idle N           people who come online and say nothing\n"
    "       tern-bench users [options]         many users, each with a connection of its own\n"
    "       tern-bench users --ground actors   people by the million, without sockets\n"
    "       tern-bench actors [options]        what the runtime itself does\n"
    "       tern-bench accounts FILE --count N accounts for `tern-node import`, and for "
    "--accounts\n"
    "\n"
    "  --pairs N      pairs of people online (500)     --window N    messages in flight per pair\n"
    "  --body BYTES   of each message (100)            --seconds S   measured (5)\n"
    "  --senders N, --receivers N, --each N            of --offline (100, 1000, 100)\n"
    "  --connections N  users (10000)                  --rate N      messages a second (1 % of "
    "them)\n"
    "  --leaves PERCENT of the users lose their network or go away, per hour (0)\n"
    "  --storm N      cut so many connections at once at the end\n"
    "  --connecting N so many of the users connect at a time (1024), the others wait for their\n"
    "                 turn: one thread does it for all; phones that come back are not bound so\n"
    "  --cost-at N,N  what a message costs at so many connections in turn, each on a fresh node;\n"
    "                 at 2000 messages a second without --rate\n"
    "  --seed N       of users: the same people, who do the same (1)\n"
    "  --memory-left MB  of users: the run ends when the machine has less left (1200)\n"
    "  --report DIR   of users: a page with plots over time\n"
    "  --people N     of the ground of actors: people (10000)\n"
    "  --online N     of them there at a time (1 % of them)\n"
    "  --writes PERCENT of the visits begin with a conversation (50)\n"
    "  --activations N  of mailboxes, then the run ends; else after --seconds\n"
    "  --store rocksdb|memory  what the mailboxes read (rocksdb)\n"
    "  --runs N       so often; the median is shown    --json        one object a line\n"
    "  --only NAME    of actors: this figure (may be repeated)\n"
    "  --quick        of actors: a twentieth of everything\n"
    "  --cpu-time     of actors: rates per second of CPU, for a machine that is shared\n"
    "\n"
    "A node of the bench's own is measured: the tern-node beside this program, with a fresh data\n"
    "directory on a disk, authentication, encryption, fsync and hold on.\n"
    "  --node FILE    another tern-node                --data DIR    where its directory is made\n"
    "  --set 'K = V'  a line more for its cluster file\n"
    "  --server ws://HOST:PORT --accounts FILE [--pid PID] [--metrics HOST:PORT]\n"
    "                 a node that runs already (numeric, IPv4) and has these accounts; without\n"
    "                 its pid the figures of CPU and memory are left out\n";

enum {
    OPTION_PAIRS = 256,
    OPTION_WINDOW,
    OPTION_BODY,
    OPTION_SECONDS,
    OPTION_RATE,
    OPTION_OFFLINE,
    OPTION_SENDERS,
    OPTION_RECEIVERS,
    OPTION_EACH,
    OPTION_IDLE,
    OPTION_CONNECTIONS,
    OPTION_LEAVES,
    OPTION_STORM,
    OPTION_CONNECTING,
    OPTION_COST_AT,
    OPTION_SEED,
    OPTION_MEMORY_LEFT,
    OPTION_REPORT,
    OPTION_GROUND,
    OPTION_STORE,
    OPTION_PEOPLE,
    OPTION_ONLINE,
    OPTION_WRITES,
    OPTION_ACTIVATIONS,
    OPTION_RUNS,
    OPTION_JSON,
    OPTION_QUICK,
    OPTION_ONLY,
    OPTION_CPU_TIME,
    OPTION_NODE,
    OPTION_DATA,
    OPTION_SET,
    OPTION_SERVER,
    OPTION_ACCOUNTS,
    OPTION_PID,
    OPTION_METRICS,
    OPTION_COUNT,
};

static const struct option options[] = {
    {"pairs", required_argument, NULL, OPTION_PAIRS},
    {"window", required_argument, NULL, OPTION_WINDOW},
    {"body", required_argument, NULL, OPTION_BODY},
    {"seconds", required_argument, NULL, OPTION_SECONDS},
    {"rate", required_argument, NULL, OPTION_RATE},
    {"offline", no_argument, NULL, OPTION_OFFLINE},
    {"senders", required_argument, NULL, OPTION_SENDERS},
    {"receivers", required_argument, NULL, OPTION_RECEIVERS},
    {"each", required_argument, NULL, OPTION_EACH},
    {"idle", required_argument, NULL, OPTION_IDLE},
    {"connections", required_argument, NULL, OPTION_CONNECTIONS},
    {"leaves", required_argument, NULL, OPTION_LEAVES},
    {"storm", required_argument, NULL, OPTION_STORM},
    {"connecting", required_argument, NULL, OPTION_CONNECTING},
    {"cost-at", required_argument, NULL, OPTION_COST_AT},
    {"seed", required_argument, NULL, OPTION_SEED},
    {"memory-left", required_argument, NULL, OPTION_MEMORY_LEFT},
    {"report", required_argument, NULL, OPTION_REPORT},
    {"ground", required_argument, NULL, OPTION_GROUND},
    {"store", required_argument, NULL, OPTION_STORE},
    {"people", required_argument, NULL, OPTION_PEOPLE},
    {"online", required_argument, NULL, OPTION_ONLINE},
    {"writes", required_argument, NULL, OPTION_WRITES},
    {"activations", required_argument, NULL, OPTION_ACTIVATIONS},
    {"runs", required_argument, NULL, OPTION_RUNS},
    {"json", no_argument, NULL, OPTION_JSON},
    {"quick", no_argument, NULL, OPTION_QUICK},
    {"only", required_argument, NULL, OPTION_ONLY},
    {"cpu-time", no_argument, NULL, OPTION_CPU_TIME},
    {"node", required_argument, NULL, OPTION_NODE},
    {"data", required_argument, NULL, OPTION_DATA},
    {"set", required_argument, NULL, OPTION_SET},
    {"server", required_argument, NULL, OPTION_SERVER},
    {"accounts", required_argument, NULL, OPTION_ACCOUNTS},
    {"pid", required_argument, NULL, OPTION_PID},
    {"metrics", required_argument, NULL, OPTION_METRICS},
    {"count", required_argument, NULL, OPTION_COUNT},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

/* The options that are a number: where it goes, and what is allowed. */
static bool number_take(int option, struct arguments *arguments) {
    struct bench_options *bench = &arguments->bench;
    const struct {
        int option;
        unsigned *value, least, most;
    } numbers[] = {
        {OPTION_PAIRS, &bench->pairs, 1, ACCOUNTS_MAX / 2},
        {OPTION_WINDOW, &bench->window, 1, DEVICE_SENDS_MAX},
        {OPTION_BODY, &bench->body_bytes, LOAD_BODY_BYTES_MIN, LOAD_BODY_BYTES_MAX},
        {OPTION_RATE, &bench->rate, 1, 1000000},
        {OPTION_SENDERS, &bench->senders, 1, 100000},
        {OPTION_RECEIVERS, &bench->receivers, 1, 1000000},
        {OPTION_EACH, &bench->each, 1, 1000},
        {OPTION_IDLE, &bench->idle, 1, ACCOUNTS_MAX},
        {OPTION_CONNECTIONS, &bench->connections, 2, ACCOUNTS_MAX},
        {OPTION_LEAVES, &bench->leaves_per_hour, 0, 100000},
        {OPTION_STORM, &bench->storm, 1, ACCOUNTS_MAX},
        {OPTION_CONNECTING, &bench->connecting, 1, ACCOUNTS_MAX},
        {OPTION_SEED, &bench->seed, 0, UINT32_MAX},
        {OPTION_MEMORY_LEFT, &bench->memory_left_mb, 100, 1000000},
        {OPTION_PEOPLE, &bench->people, 10, GROUND_PEOPLE_MAX},
        {OPTION_ONLINE, &bench->online, 1, GROUND_PEOPLE_MAX / 2},
        {OPTION_WRITES, &bench->writes_percent, 0, 100},
        {OPTION_ACTIVATIONS, &bench->activations, 1, UINT32_MAX},
        {OPTION_RUNS, &bench->runs, 1, 99},
        {OPTION_COUNT, &arguments->accounts_count, 1, ACCOUNTS_MAX},
    };
    for (unsigned i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        uint64_t value;
        if (numbers[i].option != option)
            continue;
        if (!decimal_read(optarg, numbers[i].least, numbers[i].most, &value)) {
            fprintf(stderr, "tern-bench: %s: a number from %u to %u is wanted\n", optarg,
                    numbers[i].least, numbers[i].most);
            return false;
        }
        *numbers[i].value = (unsigned)value;
        return true;
    }
    return false;
}

static bool address_take(const char *text, struct socket_address *address) {
    if (socket_address_parse(text, 0, address) == 0 && address->family == AF_INET &&
        address->port != 0)
        return true;
    fprintf(stderr, "tern-bench: %s: a numeric IPv4 address with its port is wanted\n", text);
    return false;
}

static bool server_take(struct bench_options *bench) {
    const char *text = strncmp(optarg, "ws://", 5) == 0 ? optarg + 5 : optarg;
    bench->server = optarg;
    return address_take(text, &bench->server_address);
}

static bool seconds_take(struct bench_options *bench) {
    char *end;
    bench->seconds = strtod(optarg, &end);
    if (*end == '\0' && bench->seconds >= 0.1 && bench->seconds <= 3600)
        return true;
    fprintf(stderr, "tern-bench: %s: 0.1 to 3600 seconds are wanted\n", optarg);
    return false;
}

static bool pid_take(struct bench_options *bench) {
    uint64_t pid;
    if (!decimal_read(optarg, 1, INT_MAX, &pid))
        return false;
    bench->source.pid = (pid_t)pid;
    return true;
}

static bool setting_take(struct node_options *node) {
    if (node->setting_count == NODE_SETTINGS_MAX)
        return false;
    node->settings[node->setting_count++] = optarg;
    return true;
}

/* One of two words; the second one sets it. */
static bool word_take(const char *option, const char *first, const char *second, bool *is_second) {
    *is_second = strcmp(optarg, second) == 0;
    if (*is_second || strcmp(optarg, first) == 0)
        return true;
    fprintf(stderr, "tern-bench: %s %s: %s or %s is wanted\n", option, optarg, first, second);
    return false;
}

/* Ascending numbers with commas between them. */
static bool cost_at_take(struct bench_options *bench) {
    uint64_t value, before = 1;
    const char *at = optarg;
    for (bench->cost_at_count = 0; bench->cost_at_count < COST_AT_MAX; at++) {
        if (!decimal_take(&at, &value) || value <= before || value > ACCOUNTS_MAX)
            break;
        bench->cost_at[bench->cost_at_count++] = (unsigned)value;
        before = value;
        if (*at == '\0')
            return true;
        if (*at != ',')
            break;
    }
    fprintf(stderr,
            "tern-bench: --cost-at %s: at most %u numbers from 2 to %u are wanted, ascending, with "
            "commas between them\n",
            optarg, COST_AT_MAX, ACCOUNTS_MAX);
    return false;
}

static bool only_take(struct actors_options *actors) {
    if (actors->only_count == ACTORS_ONLY_MAX)
        return false;
    actors->only[actors->only_count++] = optarg;
    return true;
}

static bool option_take(int option, struct arguments *arguments) {
    struct bench_options *bench = &arguments->bench;
    switch (option) {
    case OPTION_SECONDS:
        return seconds_take(bench);
    case OPTION_OFFLINE:
        bench->offline = true;
        return true;
    case OPTION_JSON:
        bench->json = true;
        return true;
    case OPTION_QUICK:
        arguments->quick = true;
        return true;
    case OPTION_REPORT:
        bench->report = optarg;
        return true;
    case OPTION_GROUND:
        return word_take("--ground", "sockets", "actors", &bench->ground_actors);
    case OPTION_STORE:
        return word_take("--store", "rocksdb", "memory", &bench->store_in_memory);
    case OPTION_ONLY:
        return only_take(&arguments->actors);
    case OPTION_COST_AT:
        return cost_at_take(bench);
    case OPTION_CPU_TIME:
        arguments->actors.cpu_time = true;
        return true;
    case OPTION_NODE:
        bench->node.program = optarg;
        return true;
    case OPTION_DATA:
        bench->node.parent = optarg;
        return true;
    case OPTION_SET:
        return setting_take(&bench->node);
    case OPTION_SERVER:
        return server_take(bench);
    case OPTION_ACCOUNTS:
        bench->accounts = optarg;
        return true;
    case OPTION_PID:
        return pid_take(bench);
    case OPTION_METRICS:
        bench->source.has_metrics = true;
        return address_take(optarg, &bench->source.metrics);
    default:
        return number_take(option, arguments);
    }
}

/* What stands there without dashes. */
static bool command_take(int count, char **values, struct arguments *arguments) {
    if (optind + 1 == count && strcmp(values[optind], "actors") == 0) {
        arguments->command = BENCH_ACTORS;
        arguments->actors.runs = arguments->bench.runs;
        arguments->actors.quick = arguments->quick;
        return true;
    }
    if (arguments->actors.only_count > 0 || arguments->actors.cpu_time)
        return false;
    if (arguments->quick) {
        arguments->command = BENCH_QUICK;
        return optind == count;
    }
    if (optind + 1 == count && strcmp(values[optind], "users") == 0) {
        arguments->command = BENCH_USERS;
        return true;
    }
    if (optind + 1 == count && strcmp(values[optind], "mail") == 0) {
        arguments->command = BENCH_MAIL;
        return true;
    }
    arguments->command = BENCH_ACCOUNTS;
    arguments->accounts_file = optind + 2 == count ? values[optind + 1] : NULL;
    return arguments->accounts_file != NULL && strcmp(values[optind], "accounts") == 0 &&
           arguments->accounts_count > 0;
}

/* It needs fresh nodes, and has no page. */
static bool cost_at_fits(const struct arguments *arguments) {
    const struct bench_options *bench = &arguments->bench;
    return bench->cost_at_count == 0 ||
           (arguments->command == BENCH_USERS && !bench->ground_actors && bench->server == NULL &&
            bench->report == NULL);
}

void arguments_read(int count, char **values, struct arguments *arguments) {
    int option;
    *arguments = (struct arguments){
        .command = BENCH_MAIL,
        .bench = {.runs = 1,
                  .pairs = 500,
                  .body_bytes = 100,
                  .seconds = 5,
                  .warm_seconds = 1,
                  .senders = 100,
                  .receivers = 1000,
                  .each = 100,
                  .connections = 10000,
                  .connecting = LOAD_CONNECTING_MAX,
                  .people = 10000,
                  .writes_percent = 50,
                  .seed = 1,
                  .memory_left_mb = SAMPLE_AVAILABLE_MB_MIN},
    };
    bool good = true;
    while (good && (option = getopt_long(count, values, "h", options, NULL)) != -1) {
        if (option == 'h') {
            fputs(usage, stdout);
            arguments->command = BENCH_DONE;
            return;
        }
        good = option_take(option, arguments);
    }
    good = good && command_take(count, values, arguments) &&
           (arguments->bench.server == NULL) == (arguments->bench.accounts == NULL) &&
           cost_at_fits(arguments);
    if (good)
        return;
    fputs(usage, stderr);
    arguments->command = BENCH_DONE;
    arguments->status = EXIT_USAGE;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tern-sim: the node, its store and many devices in one thread under a seed (README.md).
 */
#include "net/decimal.h"
#include "runtime/log.h"
#include "tools/sim/report.h"
#include "tools/sim/world.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define EXIT_BROKEN 1
#define EXIT_USAGE 64 /* EX_USAGE of sysexits.h */
#define CLIENTS_MAX 1000u
#define EVENTS_DEFAULT 10000u
#define CLIENTS_DEFAULT 12u

static const char usage[] =
    "Usage: tern-sim --seed N [--seeds K] [--events N] [--clients N] [--fault NAME=RATE ...]\n"
    "                [--json] [--log] [--trace]\n"
    "       tern-sim --list-faults | --help\n"
    "\n"
    "Runs the node and its devices in one thread, all of it drawn from the seed, lets go wrong "
    "what\n"
    "can, and says whether the promises hold.\n"
    "\n"
    "  --seed N           what everything is drawn from\n"
    "  --seeds K          run the seeds N to N + K - 1 (1)\n"
    "  --events N         how much happens before faults end and all comes to rest (10000)\n"
    "  --clients N        devices (12)\n"
    "  --fault NAME=RATE  how often in 1,000 events; 0: never; \"all\" is every fault\n"
    "  --list-faults      what can go wrong, and how often it does by default\n"
    "  --json             an object a line for each seed\n"
    "  --log              the node's log, on standard error\n"
    "  --trace            every event, on standard error\n"
    "\n"
    "Exit status: 0 all promises that were exercised held; 1 one was broken, or a fault that is\n"
    "enabled never fired; 64 wrong usage.\n";

struct arguments {
    struct world_options world;
    uint64_t seeds;
    bool has_seed, json, log;
};

enum {
    OPTION_SEED = 256,
    OPTION_SEEDS,
    OPTION_EVENTS,
    OPTION_CLIENTS,
    OPTION_FAULT,
    OPTION_LIST,
    OPTION_JSON,
    OPTION_LOG,
    OPTION_TRACE
};

static const struct option options[] = {
    {"seed", required_argument, NULL, OPTION_SEED},
    {"seeds", required_argument, NULL, OPTION_SEEDS},
    {"events", required_argument, NULL, OPTION_EVENTS},
    {"clients", required_argument, NULL, OPTION_CLIENTS},
    {"fault", required_argument, NULL, OPTION_FAULT},
    {"list-faults", no_argument, NULL, OPTION_LIST},
    {"json", no_argument, NULL, OPTION_JSON},
    {"log", no_argument, NULL, OPTION_LOG},
    {"trace", no_argument, NULL, OPTION_TRACE},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

/* --- libsodium's randomness: it has one for the process, so the world that runs lends its own ----
 */

static struct random sodium_random;

static const char *sodium_name(void) {
    return "simulator";
}

static void sodium_buffer(void *const bytes, const size_t length) {
    random_fill(&sodium_random, bytes, length);
}

static uint32_t sodium_number(void) {
    return (uint32_t)random_next(&sodium_random);
}

static struct randombytes_implementation sodium_implementation = {
    .implementation_name = sodium_name, .random = sodium_number, .buf = sodium_buffer};

/* --- arguments ----------------------------------------------------------------------------------
 */

static int number_read(const char *text, uint64_t min, uint64_t max, uint64_t *number) {
    return decimal_read(text, min, max, number) ? 0 : -EINVAL;
}

static void list_faults(void) {
    struct fault_rates rates;
    char rate[32];
    fault_rates_default(&rates);
    printf("%-15s %7s  %s\n", "NAME", "DEFAULT",
           "WHAT HAPPENS (the rate: how often in 1,000 events)");
    for (unsigned i = 0; i < FAULT_KINDS; i++) {
        fault_rate_write(rate, sizeof(rate), rates.millionths[i]);
        printf("%-15s %7s  %s\n", fault_name((enum fault_kind)i), rate,
               fault_explanation((enum fault_kind)i));
    }
}

static int option_take(int option, struct arguments *arguments) {
    uint64_t clients = arguments->world.clients;
    int error = 0;
    switch (option) {
    case OPTION_SEED:
        error = number_read(optarg, 0, UINT64_MAX, &arguments->world.seed);
        arguments->has_seed = true;
        break;
    case OPTION_SEEDS:
        error = number_read(optarg, 1, UINT32_MAX, &arguments->seeds);
        break;
    case OPTION_EVENTS:
        error = number_read(optarg, 1, 1000000000, &arguments->world.events_max);
        break;
    case OPTION_CLIENTS:
        error = number_read(optarg, 2, CLIENTS_MAX, &clients);
        arguments->world.clients = (unsigned)clients;
        break;
    case OPTION_FAULT:
        error = fault_rates_read(&arguments->world.rates, optarg);
        break;
    case OPTION_JSON:
        arguments->json = true;
        break;
    case OPTION_LOG:
        arguments->log = true;
        break;
    case OPTION_TRACE:
        arguments->world.trace = true;
        break;
    default:
        return -EINVAL;
    }
    if (error)
        fprintf(stderr, "tern-sim: not understood: %s\n", optarg);
    return error;
}

/* -1: go on; else the exit status. */
static int arguments_read(int count, char *values[], struct arguments *arguments) {
    int option;
    while ((option = getopt_long(count, values, "h", options, NULL)) != -1) {
        if (option == 'h') {
            fputs(usage, stdout);
            return 0;
        }
        if (option == OPTION_LIST) {
            list_faults();
            return 0;
        }
        if (option_take(option, arguments) != 0)
            return EXIT_USAGE;
    }
    if (arguments->has_seed && optind == count)
        return -1;
    fputs(usage, stderr);
    return EXIT_USAGE;
}

/* --- running ------------------------------------------------------------------------------------
 */

static bool run(const struct arguments *arguments, uint64_t seed) {
    struct world_options how = arguments->world;
    how.seed = seed;
    random_init(&sodium_random, seed, UINT64_MAX);
    struct world *world = world_create(&how);
    world_run(world);
    bool good = report_is_good(world);
    if (arguments->json)
        report_json(world, &how);
    else
        report_text(world, &how, arguments->seeds > 1);
    world_destroy(world);
    return good;
}

int main(int count, char *values[]) {
    struct arguments arguments = {
        .world = {.events_max = EVENTS_DEFAULT, .clients = CLIENTS_DEFAULT}, .seeds = 1};
    uint64_t bad = 0;
    fault_rates_default(&arguments.world.rates);
    int status = arguments_read(count, values, &arguments);
    if (status >= 0)
        return status;
    log_level_set(arguments.log ? LOG_INFO : (enum log_level)(LOG_ERROR + 1));
    random_init(&sodium_random, arguments.world.seed, UINT64_MAX);
    if (randombytes_set_implementation(&sodium_implementation) != 0 || sodium_init() < 0) {
        fprintf(stderr, "tern-sim: libsodium can't be used\n");
        return EXIT_USAGE;
    }
    for (uint64_t i = 0; i < arguments.seeds; i++)
        bad += !run(&arguments, arguments.world.seed + i);
    if (!arguments.json && arguments.seeds > 1)
        printf("%" PRIu64 " seeds, %" PRIu64 " not good\n", arguments.seeds, bad);
    return bad ? EXIT_BROKEN : 0;
}

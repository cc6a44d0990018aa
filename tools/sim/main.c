/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tern-sim: the node, its store and many devices in one thread under a seed (README.md).
 */
#include "net/decimal.h"
#include "runtime/log.h"
#include "tools/options/options.h"
#include "tools/sim/report.h"
#include "tools/sim/world.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define EXIT_BROKEN 1
#define CLIENTS_MAX 1000u
#define EVENTS_DEFAULT 10000u
#define EVENTS_MAX 1000000000u
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
    uint64_t seeds, clients;
    bool has_seed, json, log;
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

static int list_faults(void *fields, const char *value) {
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
    return 0;
}

static int take_seed(void *fields, const char *value) {
    struct arguments *arguments = fields;
    arguments->has_seed = decimal_read(value, 0, UINT64_MAX, &arguments->world.seed);
    if (arguments->has_seed)
        return OPTIONS_CONTINUE;
    fprintf(stderr, "tern-sim: a seed is a number, not \"%s\"\n", value);
    return OPTIONS_USAGE;
}

static int take_fault(void *fields, const char *value) {
    struct arguments *arguments = fields;
    if (fault_rates_read(&arguments->world.rates, value) == 0)
        return OPTIONS_CONTINUE;
    fprintf(stderr, "tern-sim: --fault takes NAME=RATE, not \"%s\"\n", value);
    return OPTIONS_USAGE;
}

#define FIELD(name) .field = offsetof(struct arguments, name)

static const struct options_entry options[] = {
    {"seed", 0, OPTIONS_VALUE, .act = take_seed},
    {"seeds", 0, OPTIONS_NUMBER, FIELD(seeds), .min = 1, .max = UINT32_MAX},
    {"events", 0, OPTIONS_NUMBER, FIELD(world.events_max), .min = 1, .max = EVENTS_MAX},
    {"clients", 0, OPTIONS_NUMBER, FIELD(clients), .min = 2, .max = CLIENTS_MAX},
    {"fault", 0, OPTIONS_VALUE, .act = take_fault},
    {"list-faults", 0, OPTIONS_ACT, .act = list_faults},
    {"json", 0, OPTIONS_FLAG, FIELD(json)},
    {"log", 0, OPTIONS_FLAG, FIELD(log)},
    {"trace", 0, OPTIONS_FLAG, FIELD(world.trace)},
    {NULL},
};

/* OPTIONS_CONTINUE, or the exit status. */
static int arguments_read(int count, char *values[], struct arguments *arguments) {
    int status = options_read(count, values, options, usage, arguments);
    if (status != OPTIONS_CONTINUE)
        return status;
    arguments->world.clients = (unsigned)arguments->clients;
    if (arguments->has_seed && optind == count)
        return OPTIONS_CONTINUE;
    fputs(usage, stderr);
    return OPTIONS_USAGE;
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
        .world = {.events_max = EVENTS_DEFAULT}, .seeds = 1, .clients = CLIENTS_DEFAULT};
    uint64_t bad = 0;
    fault_rates_default(&arguments.world.rates);
    int status = arguments_read(count, values, &arguments);
    if (status != OPTIONS_CONTINUE)
        return status;
    log_level_set(arguments.log ? LOG_INFO : (enum log_level)(LOG_ERROR + 1));
    random_init(&sodium_random, arguments.world.seed, UINT64_MAX);
    if (randombytes_set_implementation(&sodium_implementation) != 0 || sodium_init() < 0) {
        fprintf(stderr, "tern-sim: libsodium can't be used\n");
        return OPTIONS_USAGE;
    }
    for (uint64_t i = 0; i < arguments.seeds; i++)
        bad += !run(&arguments, arguments.world.seed + i);
    if (!arguments.json && arguments.seeds > 1)
        printf("%" PRIu64 " seeds, %" PRIu64 " not good\n", arguments.seeds, bad);
    return bad ? EXIT_BROKEN : 0;
}

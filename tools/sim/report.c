/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/sim/report.h"

#include "tools/sim/client.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const verdicts[] = {[VERDICT_NOT_EXERCISED] = "not exercised",
                                       [VERDICT_HELD] = "held",
                                       [VERDICT_BROKEN] = "BROKEN"};

struct totals {
    uint64_t told_sent, shown, connections, device_crashes, node_starts;
};

static struct totals count_totals(const struct world *world) {
    struct totals totals = {.node_starts = world->nodes[0].life};
    for (uint32_t i = 0; i < world->checker.count; i++) {
        const struct message_record *message = &world->checker.messages[i];
        totals.told_sent += message->code == WIRE_CODE_OK;
        for (unsigned j = 0; j < message->target_count; j++)
            totals.shown += message->targets[j].shown;
    }
    for (unsigned i = 0; i < world->client_count; i++) {
        totals.connections += world->clients[i].connection;
        totals.device_crashes += world->clients[i].crashes;
    }
    return totals;
}

bool report_is_good(const struct world *world) {
    for (unsigned i = 0; i < PROMISE_KINDS; i++)
        if (world->checker.promises[i].broken)
            return false;
    return faults_missing(&world->faults) == FAULT_KINDS;
}

/* The command that replays it: rates only where they are not the default. */
static void print_command(const struct world *world, const struct world_options *options) {
    struct fault_rates defaults;
    char rate[32];
    fault_rates_default(&defaults);
    printf("build/bin/tern-sim --seed %" PRIu64 " --events %" PRIu64 " --clients %u", world->seed,
           options->events_max, options->clients);
    for (unsigned i = 0; i < FAULT_KINDS; i++) {
        if (options->rates.millionths[i] == defaults.millionths[i])
            continue;
        fault_rate_write(rate, sizeof(rate), options->rates.millionths[i]);
        printf(" --fault %s=%s", fault_name((enum fault_kind)i), rate);
    }
}

/* --- text ---------------------------------------------------------------------------------------
 */

static void print_long(const struct world *world) {
    struct totals totals = count_totals(world);
    printf("  messages   %" PRIu32 " written, %" PRIu64 " told sent, %" PRIu64
           " refused, shown %" PRIu64 " times; %" PRIu64 " receipts came late\n",
           world->checker.count, totals.told_sent, world->checker.refused, totals.shown,
           world->checker.receipts_late);
    printf("  node       %" PRIu64 " starts, %" PRIu64 " handlers\n", totals.node_starts,
           world->handlers);
    printf("  devices    %u of %u users, %" PRIu64 " connections, %" PRIu64 " crashes\n",
           world->client_count, world->user_count, totals.connections, totals.device_crashes);
    printf("  events     %" PRIu64 ", and %" PRIu64 " until all was quiet; %" PRIu64 " ms\n",
           world->events_max, world->events_settling, (world->now_ns - 1000000000000u) / 1000000);
    printf("  faults    ");
    for (unsigned i = 0; i < FAULT_KINDS; i++)
        if (world->faults.rates.millionths[i])
            printf(" %s %" PRIu64, fault_name((enum fault_kind)i), world->faults.fired[i]);
    printf("\n");
    for (unsigned i = 0; i < PROMISE_KINDS; i++) {
        const struct promise *promise = &world->checker.promises[i];
        printf("  %-18s %-14s %6" PRIu64 "  %s\n", promise_name((enum promise_kind)i),
               verdicts[promise_verdict(promise)], promise->exercised,
               promise->broken ? promise->first : promise_text((enum promise_kind)i));
    }
}

void report_text(const struct world *world, const struct world_options *options, bool brief) {
    bool good = report_is_good(world);
    enum fault_kind missing = faults_missing(&world->faults);
    printf("seed %" PRIu64 "  trace %016" PRIx64 "  %s\n", world->seed, world->journal.hash,
           good ? "good" : "NOT GOOD");
    if (!brief || !good)
        print_long(world);
    if (missing != FAULT_KINDS)
        printf("  the fault %s is enabled and never fired: more events, or a higher rate\n",
               fault_name(missing));
    if (!good) {
        printf("  to replay: ");
        print_command(world, options);
        printf("\n");
    }
    fflush(stdout);
}

/* --- JSON ---------------------------------------------------------------------------------------
 */

/* The texts are ours: letters, digits, spaces and marks that JSON takes as they are. */
void report_json(const struct world *world, const struct world_options *options) {
    struct totals totals = count_totals(world);
    printf("{\"seed\":%" PRIu64 ",\"trace\":\"%016" PRIx64 "\",\"good\":%s,\"events\":%" PRIu64
           ",\"events_settling\":%" PRIu64 ",\"simulated_ms\":%" PRIu64
           ",\"messages\":{\"written\":%" PRIu32 ",\"sent\":%" PRIu64 ",\"refused\":%" PRIu64
           ",\"shown\":%" PRIu64 "},\"node_starts\":%" PRIu64 ",\"device_crashes\":%" PRIu64
           ",\"connections\":%" PRIu64 ",\"faults\":{",
           world->seed, world->journal.hash, report_is_good(world) ? "true" : "false",
           world->events_max, world->events_settling, (world->now_ns - 1000000000000u) / 1000000,
           world->checker.count, totals.told_sent, world->checker.refused, totals.shown,
           totals.node_starts, totals.device_crashes, totals.connections);
    for (unsigned i = 0; i < FAULT_KINDS; i++)
        printf("%s\"%s\":%" PRIu64, i ? "," : "", fault_name((enum fault_kind)i),
               world->faults.fired[i]);
    printf("},\"promises\":{");
    for (unsigned i = 0; i < PROMISE_KINDS; i++) {
        const struct promise *promise = &world->checker.promises[i];
        printf("%s\"%s\":{\"verdict\":\"%s\",\"exercised\":%" PRIu64 "%s%s%s}", i ? "," : "",
               promise_name((enum promise_kind)i),
               promise->broken ? "broken" : verdicts[promise_verdict(promise)], promise->exercised,
               promise->broken ? ",\"first\":\"" : "", promise->broken ? promise->first : "",
               promise->broken ? "\"" : "");
    }
    printf("},\"replay\":\"");
    print_command(world, options);
    printf("\"}\n");
    fflush(stdout);
}

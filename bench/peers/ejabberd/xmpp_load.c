/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xmpp-load: the scenarios of tern-bench for an XMPP server, with the same shapes of load and the
 * same names of figures, so that the two can be set side by side (bench/compare).
 *
 *     xmpp-load PORT PID online PAIRS WINDOW SECONDS
 *     xmpp-load PORT PID rate PAIRS RATE SECONDS
 *     xmpp-load PORT PID offline SENDERS RECEIVERS EACH
 *     xmpp-load PORT PID idle COUNT
 *
 * The users u0, u1, ... with the password "p" must exist. PID: the server's process, for its CPU
 * and its memory.
 */
#include "bench/figures.h"
#include "bench/histogram.h"
#include "bench/peers/ejabberd/xmpp_client.h"
#include "bench/sample.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define WARM_NS 1000000000ull
#define LOGINS_AT_ONCE 50
#define IDLE_AT_ONCE 100
#define OFFLINE_WRITE_BYTES 16384
#define OFFLINE_TURN_EVERY 64

struct load {
    struct xmpp_crowd crowd;
    struct sample_source source;
    struct sample before;
    uint64_t delivered;
    bool answering, recording;
    struct histogram latency;
};

static void on_message(struct xmpp_client *client, uint64_t sent_ns) {
    struct load *load = client->crowd->context;
    uint64_t now_ns = clock_ns();
    load->delivered++;
    if (load->recording)
        histogram_record(&load->latency, now_ns > sent_ns ? now_ns - sent_ns : 0);
    if (load->answering)
        xmpp_send(client, client->index ^ 1, now_ns);
}

static void spend(struct load *load, double seconds) {
    uint64_t end_ns = clock_ns() + (uint64_t)(seconds * 1e9);
    while (clock_ns() < end_ns)
        xmpp_turn(&load->crowd, 20);
}

/* --- a measured stretch --- */

static void stretch_begin(struct load *load) {
    sample_take(&load->source, &load->before);
    load->delivered = 0;
    load->recording = true;
}

/* Adds the figures that all have: CPU per `what`, and how many a second. */
static void stretch_end(struct load *load, uint64_t count, const char *cpu_name,
                        const char *rate_name) {
    struct sample after;
    sample_take(&load->source, &after);
    load->recording = false;
    figure_add(cpu_name, "us", (after.cpu_us - load->before.cpu_us) / (double)count);
    figure_add(rate_name, "1/s", (double)count * 1e9 / (double)(after.at_ns - load->before.at_ns));
}

static void add_latencies(const struct load *load, const char *prefix) {
    static const struct {
        const char *name;
        double share;
    } shares[] = {{"p50_us", .5}, {"p99_us", .99}, {"p999_us", .999}};
    char name[48];
    for (unsigned i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        snprintf(name, sizeof name, "%s_%s", prefix, shares[i].name);
        figure_add(name, "us", (double)histogram_quantile(&load->latency, shares[i].share) / 1000);
    }
}

/* --- scenarios --- */

static void run_online(struct load *load, unsigned pairs, unsigned window, double seconds) {
    char prefix[24], cpu[48], rate[48];
    snprintf(prefix, sizeof prefix, "online_w%u", window);
    snprintf(cpu, sizeof cpu, "%s_cpu_us", prefix);
    snprintf(rate, sizeof rate, "%s_per_s", prefix);
    xmpp_login(&load->crowd, 0, 2 * pairs, LOGINS_AT_ONCE);
    spend(load, 1);
    load->answering = true;
    for (unsigned i = 0; i < 2 * pairs; i += 2) {
        for (unsigned n = 0; n < window; n++)
            xmpp_send(&load->crowd.clients[i], i + 1, clock_ns());
        xmpp_flush(&load->crowd.clients[i]);
    }
    spend(load, 1);
    stretch_begin(load);
    spend(load, seconds);
    stretch_end(load, load->delivered, cpu, rate);
    add_latencies(load, prefix);
}

static void run_rate(struct load *load, unsigned pairs, unsigned rate, double seconds) {
    uint32_t random = 1;
    xmpp_login(&load->crowd, 0, 2 * pairs, LOGINS_AT_ONCE);
    spend(load, 1);
    uint64_t gap_ns = 1000000000 / (rate ? rate : 1), next_ns = clock_ns(),
             warm_ns = next_ns + WARM_NS;
    uint64_t end_ns = warm_ns + (uint64_t)(seconds * 1e9);
    for (uint64_t now_ns = clock_ns(); now_ns < end_ns; now_ns = clock_ns()) {
        if (!load->recording && now_ns >= warm_ns)
            stretch_begin(load);
        for (; next_ns <= now_ns; next_ns += gap_ns) {
            random = random * 1103515245 + 12345;
            struct xmpp_client *from = &load->crowd.clients[(random >> 8) % (2 * pairs)];
            xmpp_send(from, from->index ^ 1, next_ns);
            xmpp_flush(from);
        }
        xmpp_turn(&load->crowd, 1);
    }
    stretch_end(load, load->delivered, "rate_cpu_us", "rate_per_s");
    add_latencies(load, "rate");
}

static void store(struct load *load, unsigned senders, unsigned receivers, unsigned each) {
    struct xmpp_crowd *crowd = &load->crowd;
    unsigned written = 0;
    stretch_begin(load);
    for (unsigned round = 0; round < each; round++)
        for (unsigned i = 0; i < receivers; i++) {
            struct xmpp_client *from = &crowd->clients[i % senders];
            xmpp_send(from, senders + i, clock_ns());
            if (from->output.length - from->output.begin > OFFLINE_WRITE_BYTES)
                xmpp_flush(from);
            if (++written % OFFLINE_TURN_EVERY == 0)
                xmpp_turn(crowd, 0);
        }
    for (unsigned i = 0; i < senders; i++)
        xmpp_ping(&crowd->clients[i]);
    while (crowd->pongs < senders)
        xmpp_turn(crowd, 100);
    stretch_end(load, (uint64_t)receivers * each, "offline_cpu_us", "offline_accepted_per_s");
}

static void run_offline(struct load *load, unsigned senders, unsigned receivers, unsigned each) {
    uint64_t total = (uint64_t)receivers * each;
    xmpp_login(&load->crowd, 0, senders, LOGINS_AT_ONCE);
    spend(load, 1);
    store(load, senders, receivers, each);
    spend(load, 1);
    stretch_begin(load);
    xmpp_login(&load->crowd, senders, receivers, LOGINS_AT_ONCE);
    while (load->delivered < total)
        xmpp_turn(&load->crowd, 100);
    stretch_end(load, total, "drained_cpu_us", "drained_per_s");
}

static void run_idle(struct load *load, unsigned count) {
    struct sample settled;
    stretch_begin(load);
    xmpp_login(&load->crowd, 0, count, IDLE_AT_ONCE);
    stretch_end(load, count, "login_cpu_us", "login_per_s");
    spend(load, 2);
    sample_take(&load->source, &settled);
    figure_add("idle_connection_bytes", "B",
               (settled.resident_bytes - load->before.resident_bytes) / count);
    figure_add("idle_kernel_bytes", "B",
               (settled.kernel_bytes - load->before.kernel_bytes) / count);
}

/* --- */

static unsigned number(char **values, int count, int index) {
    return index < count ? (unsigned)strtoul(values[index], NULL, 10) : 0;
}

int main(int count, char **values) {
    static struct load load;
    const char *scenario = count > 3 ? values[3] : "";
    unsigned first = number(values, count, 4), second = number(values, count, 5);
    unsigned third = number(values, count, 6);
    bool idle = strcmp(scenario, "idle") == 0, offline = strcmp(scenario, "offline") == 0;
    struct rlimit files;
    if (first == 0 || (!idle && (second == 0 || third == 0)) || sodium_init() < 0)
        xmpp_die("see the head of xmpp_load.c for how it is called");
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    figures_begin(true);
    xmpp_crowd_init(&load.crowd, (uint16_t)number(values, count, 1),
                    idle      ? first
                    : offline ? first + second
                              : 2 * first);
    load.crowd.context = &load;
    load.crowd.message = on_message;
    load.source.pid = (pid_t)number(values, count, 2);
    if (strcmp(scenario, "online") == 0)
        run_online(&load, first, second, third);
    else if (strcmp(scenario, "rate") == 0)
        run_rate(&load, first, second, third);
    else if (offline)
        run_offline(&load, first, second, third);
    else if (idle)
        run_idle(&load, first);
    else
        xmpp_die("%s: no such scenario", scenario);
    figures_print(scenario);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The product's half of the metrics: what an operator alerts on and what the business asks for.
 *
 * Much of it is sums of events that actors count by name anyway (COUNTERS.md): the tables below say
 * of which. A sum is there from the start, as 0, since a rate needs a first value; the events
 * themselves follow at the end, each once it has happened. A layering test holds the names in the
 * tables against those that are counted.
 */
#include "actors/measures.h"
#include "actors/metrics_text.h"
#include "actors/node.h"
#include "actors/quarantine.h"
#include "runtime/runtime.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define DAY_MS 86400000ull
#define EVENTS_MAX 1024u /* as many as the runtime tells apart */
#define SUM_EVENTS_MAX 14u

struct event {
    const char *name;
    uint64_t count;
};
struct events {
    unsigned count;
    struct event items[EVENTS_MAX];
};

/* One line: the sum of these events, under this value of the metric's label. */
struct sum {
    const char *value; /* NULL: the metric has no labels */
    const char *events[SUM_EVENTS_MAX];
};
struct summed {
    const char *name, *label, *help;
    const struct sum *sums;
    size_t sum_count;
};

#define EVENTS(...) \
    { __VA_ARGS__ }
#define SUMS(sums) sums, sizeof(sums) / sizeof((sums)[0])

static const struct sum tried[] = {
    {NULL, EVENTS("websocket_tried", "proxy_junk", "accept_connections_max", "accept_table_full",
                  "accept_failed")}};
static const struct sum succeeded[] = {{NULL, EVENTS("handshake_done")}};
static const struct sum registrations[] = {{NULL, EVENTS("registered")}};
static const struct sum codes[] = {{NULL, EVENTS("code_sent")}};

static const struct sum delivery_failures[] = {
    {"expired", EVENTS("mail_expired")},
    {"set_aside", EVENTS("mail_set_aside")},
    {"abandoned", EVENTS("mail_abandoned")},
    {"vanished", EVENTS("mail_vanished")},
    {"unusable", EVENTS("mail_acknowledged_with_error")},
    {"full", EVENTS("deliver_refused_full")},
    {"overloaded", EVENTS("deliver_refused_overloaded", "deliver_unsent", "send_too_many_peers")},
    {"unavailable", EVENTS("send_overdue")},
};

static const struct sum sheds[] = {
    {"connection",
     EVENTS("accept_connections_max", "accept_address_max", "accept_address_rate", "accept_no_room",
            "accept_table_full", "accept_address_blamed", "connection_blamed", "stranger_refused")},
    {"request", EVENTS("request_limited", "request_overloaded", "discover_limited")},
    {"send", EVENTS("send_limited", "send_too_many_peers", "deliver_unsent", "deliver_refused_full",
                    "deliver_refused_overloaded")},
    {"code", EVENTS("code_limit_all", "code_limit_number", "code_limit_prefix",
                    "code_limit_address", "code_displaced")},
    {"commit", EVENTS("commit_refused", "commit_refused_full")},
    {"status", EVENTS("status_dropped", "status_reporters_too_many")},
};

static const struct sum errors[] = {
    {"accept", EVENTS("accept_failed", "accept_no_room", "accept_table_full", "accept_nobody")},
    {"handshake",
     EVENTS("http_refused", "handshake_failed", "handshake_too_big", "hello_junk", "hello_version",
            "lookup_failed", "connection_timeout_http", "connection_timeout_handshake",
            "connection_timeout_lookup", "connection_timeout_attach")},
    {"protocol", EVENTS("websocket_junk", "websocket_too_big", "websocket_text", "noise_forged",
                        "frames_too_big", "frame_junk", "frame_unwanted", "frame_too_big",
                        "ack_junk", "request_junk", "receipt_junk")},
    {"connection", EVENTS("connection_lost", "connection_silent", "connection_slow",
                          "connection_behind", "connection_send_failed", "mailbox_down")},
    {"request",
     EVENTS("request_unavailable", "request_overdue", "request_overloaded", "reply_unsendable")},
    {"delivery",
     EVENTS("mail_expired", "mail_set_aside", "mail_abandoned", "mail_vanished",
            "mail_acknowledged_with_error", "deliver_refused_full", "deliver_refused_overloaded",
            "deliver_unsent", "send_too_many_peers", "send_overdue")},
    {"registration", EVENTS("code_not_sent", "program_timeout", "answer_dropped")},
    {"store", EVENTS("commit_overdue", "commit_refused_full", "commit_answers_dropped",
                     "mail_deletes_lost")},
};

static const struct summed metrics[] = {
    {"handshakes_tried_total", NULL,
     "WebSocket handshakes that were begun, with those that were no valid request and those of "
     "connections for which there was no place.",
     SUMS(tried)},
    {"handshakes_succeeded_total", NULL, "Those that ended with a device that had proven its key.",
     SUMS(succeeded)},
    {"registrations_total", NULL, "Devices that became a phone number's device.",
     SUMS(registrations)},
    {"registration_codes_total", NULL, "Registration codes that were sent.", SUMS(codes)},
    {"delivery_failures_total", "reason",
     "Messages that did not reach a device: refused to their sender, or given up.",
     SUMS(delivery_failures)},
    {"sheds_total", "what", "What was turned away because a bound was reached.", SUMS(sheds)},
};
static const struct summed errors_metric = {
    "errors_total", "kind", "What went wrong, by kind and by the node's region.", SUMS(errors)};

/* --- sums of events ---
 */

static void note_event(void *context, const char *name, uint64_t count) {
    struct events *events = context;
    if (events->count < EVENTS_MAX)
        events->items[events->count++] = (struct event){name, count};
}

static uint64_t sum_of(const struct events *events, const struct sum *sum) {
    uint64_t result = 0;
    for (unsigned i = 0; i < SUM_EVENTS_MAX && sum->events[i]; i++)
        for (unsigned k = 0; k < events->count; k++)
            if (strcmp(events->items[k].name, sum->events[i]) == 0)
                result += events->items[k].count;
    return result;
}

/* `labels`: what every line has before its own label, with a comma behind it. */
static void write_sums(struct metrics_text *text, const struct summed *metric, const char *labels,
                       const struct events *events) {
    metrics_head(text, metric->name, "counter", metric->help);
    for (size_t i = 0; i < metric->sum_count; i++) {
        const struct sum *sum = &metric->sums[i];
        if (metric->label)
            metrics_line(text, "tern_%s{%s%s=\"%s\"} %" PRIu64 "\n", metric->name, labels,
                         metric->label, sum->value, sum_of(events, sum));
        else
            metrics_line(text, "tern_%s %" PRIu64 "\n", metric->name, sum_of(events, sum));
    }
}

static void write_errors(struct metrics_text *text, const struct node *node,
                         const struct events *events) {
    char region[METRICS_LABEL_BYTES_MAX], labels[METRICS_LABEL_BYTES_MAX + 16];
    snprintf(labels, sizeof(labels), "region=\"%s\",", metrics_label(node->region, region));
    write_sums(text, &errors_metric, labels, events);
}

static void write_events(struct metrics_text *text, const struct events *events) {
    metrics_head(text, "events_total", "counter",
                 "What was counted by name; actors/COUNTERS.md explains each.");
    for (unsigned i = 0; i < events->count; i++)
        metrics_line(text, "tern_events_total{name=\"%s\"} %" PRIu64 "\n", events->items[i].name,
                     events->items[i].count);
}

/* --- what is measured ---
 */

/* The lines of one histogram under one value of the metric's label. */
static void write_histogram(struct metrics_text *text, const struct node *node, const char *name,
                            const char *label, enum measure_kind kind) {
    struct measure measure;
    uint64_t count = 0;
    measure_read(node, kind, &measure);
    for (unsigned i = 0; i < MEASURE_BOUNDS; i++) {
        count += measure.counts[i];
        metrics_line(text, "tern_%s_bucket{%s,le=\"%g\"} %" PRIu64 "\n", name, label,
                     (double)measure_bounds_ms[i] / 1000, count);
    }
    count += measure.counts[MEASURE_BOUNDS];
    metrics_line(text,
                 "tern_%s_bucket{%s,le=\"+Inf\"} %" PRIu64 "\n"
                 "tern_%s_sum{%s} %" PRIu64 ".%03" PRIu64 "\n"
                 "tern_%s_count{%s} %" PRIu64 "\n",
                 name, label, count, name, label, measure.sum_ms / 1000, measure.sum_ms % 1000,
                 name, label, count);
}

static void write_measures(struct metrics_text *text, const struct node *node, uint64_t wall_ms) {
    uint64_t day = wall_ms / DAY_MS;
    metrics_head(text, "response_duration_seconds", "histogram",
                 "From a device's request to its answer, inside the node.");
    write_histogram(text, node, "response_duration_seconds", "request=\"send\"",
                    MEASURE_RESPONSE_SEND);
    write_histogram(text, node, "response_duration_seconds", "request=\"other\"",
                    MEASURE_RESPONSE_OTHER);
    metrics_head(text, "delivery_duration_seconds", "histogram",
                 "From taking a message to its device's acknowledgement: of mail that was never on "
                 "disk, and (to a second) of mail that was.");
    write_histogram(text, node, "delivery_duration_seconds", "from=\"memory\"",
                    MEASURE_DELIVERY_MEMORY);
    write_histogram(text, node, "delivery_duration_seconds", "from=\"storage\"",
                    MEASURE_DELIVERY_STORAGE);
    metrics_figure(text, "messages_accepted_total", "counter", measure_messages_accepted(node),
                   "Messages of devices that were accepted: told that they are sent.");
    metrics_head(text, "active_users", "gauge",
                 "Different users who connected, sent or acknowledged on that day (UTC); an "
                 "estimate within 2 %.");
    metrics_line(text,
                 "tern_active_users{day=\"today\"} %" PRIu64
                 "\ntern_active_users{day=\"yesterday\"} %" PRIu64 "\n",
                 measure_users_active(node, day), measure_users_active(node, day - 1));
}

static void write_blamed(struct metrics_text *text, const struct node *node) {
    metrics_head(text, "blamed", "gauge",
                 "What two crash records name, as of this start: mail that is set aside when it "
                 "comes up, and whose input is refused for ten minutes.");
    metrics_line(text, "tern_blamed{what=\"mail\"} %u\ntern_blamed{what=\"input\"} %u\n",
                 quarantine_mails(node->quarantine), quarantine_refusals(node->quarantine));
}

void metrics_product_write(struct metrics_text *text, const struct node *node,
                           struct runtime *runtime, uint64_t wall_ms) {
    struct events events = {0};
    runtime_events_visit(runtime, note_event, &events);
    for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++)
        write_sums(text, &metrics[i], "", &events);
    write_errors(text, node, &events);
    write_measures(text, node, wall_ms);
    write_blamed(text, node);
    write_events(text, &events);
}

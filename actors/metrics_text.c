/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/metrics_text.h"

#include "actors/node.h"
#include "runtime/runtime.h"
#include "storage/engine.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

__attribute__((format(printf, 2, 3))) static void line(struct metrics_text *text,
                                                       const char *format, ...) {
    va_list arguments;
    size_t room = text->capacity - text->length;
    va_start(arguments, format);
    int length = vsnprintf(text->bytes + text->length, room, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= room)
        text->cut = true;
    else if (!text->cut)
        text->length += (size_t)length;
}

static void figure(struct metrics_text *text, const char *name, const char *type, uint64_t value) {
    line(text, "# TYPE tern_%s %s\ntern_%s %" PRIu64 "\n", name, type, name, value);
}

static void gauge(struct metrics_text *text, const char *name, uint64_t value) {
    figure(text, name, "gauge", value);
}

static void counter(struct metrics_text *text, const char *name, uint64_t value) {
    figure(text, name, "counter", value);
}

static void write_node(struct metrics_text *text, struct node *node) {
    gauge(text, "connections", atomic_load(&node->connections));
    gauge(text, "handshakes_now", atomic_load(&node->handshakes_now));
    gauge(text, "draining", atomic_load(&node->draining));
    gauge(text, "store_full", atomic_load(&node->store_full));
    gauge(text, "boot", node->boot);
    counter(text, "mailbox_activations_total", atomic_load(&node->activations));
}

static void write_runtime(struct metrics_text *text, struct runtime *runtime) {
    struct runtime_counters counters = {0};
    runtime_counters_read(runtime, &counters);
    gauge(text, "actors", counters.actors);
    gauge(text, "sockets", counters.sockets);
    gauge(text, "rings", counters.rings);
    line(text, "# TYPE tern_reactor gauge\ntern_reactor{name=\"%s\"} 1\n",
         runtime_reactor_name(runtime));
    gauge(text, "timers_pending", counters.timers_pending);
    gauge(text, "pool_queue", counters.pool_queue);
    gauge(text, "memory_message_bytes", counters.memory_message_bytes);
    gauge(text, "memory_actor_bytes", counters.memory_actor_bytes);
    gauge(text, "memory_blob_bytes", counters.memory_blob_bytes);
    gauge(text, "memory_socket_bytes", counters.memory_socket_bytes);
    counter(text, "turns_total", counters.turns);
    counter(text, "messages_total", counters.messages);
    counter(text, "messages_cross_shard_total", counters.messages_cross_shard);
    counter(text, "wakes_total", counters.wakes);
    counter(text, "rests_total", counters.rests);
    counter(text, "pool_jobs_total", counters.pool_jobs);
    counter(text, "supervisor_restarts_total", counters.supervisors_restarts);
    counter(text, "busy_ns_total", counters.busy_ns);
    counter(text, "handler_overruns_total", counters.handler_overruns);
    counter(text, "handler_overruns_unreported_total", counters.handler_overruns_unreported);
}

/* One metric of all classes stands together, as the format wants it. */
struct class_metric {
    const char *name, *type;
    size_t offset;
    struct metrics_text *text;
};

static void write_class(void *context, const struct runtime_class_counters *counters) {
    const struct class_metric *metric = context;
    uint64_t value = *(const uint64_t *)((const char *)counters + metric->offset);
    line(metric->text, "tern_class_%s{class=\"%s\"} %" PRIu64 "\n", metric->name, counters->name,
         value);
}

static void write_classes(struct metrics_text *text, struct runtime *runtime) {
#define METRIC(field, suffix, type) \
    { #field suffix, type, offsetof(struct runtime_class_counters, field), text }
    struct class_metric metrics[] = {
        METRIC(actors, "", "gauge"),
        METRIC(mailbox_messages, "", "gauge"),
        METRIC(spawned, "_total", "counter"),
        METRIC(ended, "_total", "counter"),
        METRIC(failed, "_total", "counter"),
        METRIC(passivated, "_total", "counter"),
        METRIC(messages, "_total", "counter"),
        METRIC(refused, "_total", "counter"),
        METRIC(dead_letters, "_total", "counter"),
    };
#undef METRIC
    for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
        line(text, "# TYPE tern_class_%s %s\n", metrics[i].name, metrics[i].type);
        runtime_classes_visit(runtime, write_class, &metrics[i]);
    }
}

static void write_event(void *context, const char *name, uint64_t count) {
    line(context, "tern_events_total{name=\"%s\"} %" PRIu64 "\n", name, count);
}

static void write_engine(struct metrics_text *text, struct engine *engine) {
    struct engine_gauges gauges = {0};
    engine_gauges(engine, &gauges);
    gauge(text, "engine_memtable_bytes", gauges.memtable_bytes);
    gauge(text, "engine_cache_bytes", gauges.cache_bytes);
    gauge(text, "engine_table_bytes", gauges.table_bytes);
    gauge(text, "engine_disk_bytes", gauges.disk_bytes);
    gauge(text, "engine_compaction_pending_bytes", gauges.compaction_pending_bytes);
    gauge(text, "engine_space_free_bytes", gauges.space_free_bytes);
    gauge(text, "engine_space_reserve_bytes", gauges.space_reserve_bytes);
    gauge(text, "engine_stalled", gauges.stalled);
    gauge(text, "engine_compacting", gauges.compacting);
    gauge(text, "engine_sync_ns_peak", gauges.sync_ns_peak);
    counter(text, "engine_writes_total", gauges.writes);
    counter(text, "engine_batches_total", gauges.batches);
    counter(text, "engine_operations_total", gauges.operations);
    counter(text, "engine_written_bytes_total", gauges.written_bytes);
    counter(text, "engine_refused_batches_total", gauges.refused_batches);
    counter(text, "engine_failed_writes_total", gauges.failed_writes);
    counter(text, "engine_gets_total", gauges.gets);
    counter(text, "engine_scans_total", gauges.scans);
    counter(text, "engine_scanned_keys_total", gauges.scanned_keys);
    counter(text, "engine_syncs_total", gauges.syncs);
    counter(text, "engine_sync_ns_total", gauges.sync_ns);
}

void metrics_text_write(struct metrics_text *text, struct node *node, struct runtime *runtime) {
    write_node(text, node);
    write_runtime(text, runtime);
    write_classes(text, runtime);
    if (node->engine)
        write_engine(text, node->engine);
    line(text, "# TYPE tern_events_total counter\n");
    runtime_events_visit(runtime, write_event, text);
}

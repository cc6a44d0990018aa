/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's half: the process, its shards, classes of actors and the store. */
#include "actors/metrics_text.h"

#include "actors/node.h"
#include "runtime/log.h"
#include "runtime/runtime.h"
#include "storage/engine.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define NS_PER_S ((uint64_t)1000000000)
#define SECONDS "%" PRIu64 ".%09" PRIu64

void metrics_line(struct metrics_text *text, const char *format, ...) {
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

void metrics_head(struct metrics_text *text, const char *name, const char *type, const char *help) {
    metrics_line(text, "# HELP tern_%s %s\n# TYPE tern_%s %s\n", name, help, name, type);
}

void metrics_figure(struct metrics_text *text, const char *name, const char *type, uint64_t value,
                    const char *help) {
    metrics_head(text, name, type, help);
    metrics_line(text, "tern_%s %" PRIu64 "\n", name, value);
}

const char *metrics_label(const char *text, char out[METRICS_LABEL_BYTES_MAX]) {
    size_t used = 0;
    for (; text && *text && used + 3 < METRICS_LABEL_BYTES_MAX; text++) {
        if (*text == '"' || *text == '\\' || *text == '\n')
            out[used++] = '\\';
        out[used++] = *text == '\n' ? 'n' : *text;
    }
    out[used] = 0;
    return out;
}

static void gauge(struct metrics_text *text, const char *name, uint64_t value, const char *help) {
    metrics_figure(text, name, "gauge", value, help);
}

static void counter(struct metrics_text *text, const char *name, uint64_t value, const char *help) {
    metrics_figure(text, name, "counter", value, help);
}

static void seconds(struct metrics_text *text, const char *name, const char *type, uint64_t ns,
                    const char *help) {
    metrics_head(text, name, type, help);
    metrics_line(text, "tern_%s " SECONDS "\n", name, ns / NS_PER_S, ns % NS_PER_S);
}

/* --- the node ----------------------------------------------------------------------------------
 */

static void write_node(struct metrics_text *text, struct node *node) {
    char cluster[METRICS_LABEL_BYTES_MAX], name[METRICS_LABEL_BYTES_MAX];
    char region[METRICS_LABEL_BYTES_MAX], version[METRICS_LABEL_BYTES_MAX];
    metrics_head(text, "node_info", "gauge", "Always 1; its labels say which node this is.");
    metrics_line(text,
                 "tern_node_info{cluster=\"%s\",node=\"%s\",region=\"%s\",version=\"%s\"} 1\n",
                 metrics_label(node->cluster, cluster), metrics_label(node->name, name),
                 metrics_label(node->region, region), metrics_label(node->version, version));
    gauge(text, "node_start_time_seconds", node->started_ms / 1000,
          "When this process began to serve, in Unix time.");
    counter(text, "node_crashes_total", node->starts > 1 ? node->starts - 1 : 0,
            "How often the heart had to start the node again since the heart began.");
    gauge(text, "connections", atomic_load(&node->connections), "Connections that are open.");
    gauge(text, "handshakes_in_progress", atomic_load(&node->handshakes_now),
          "Connections whose device is not known yet.");
    gauge(text, "draining", atomic_load(&node->draining), "1 while the node drains.");
    gauge(text, "store_full", atomic_load(&node->store_full),
          "1 while the disk is nearly full and new mail is refused.");
    gauge(text, "boot", node->boot, "How often the node was started on its data.");
    counter(text, "mailbox_activations_total", atomic_load(&node->activations),
            "Mailboxes that were brought into memory.");
}

/* --- the runtime -------------------------------------------------------------------------------
 */

static void write_memory(struct metrics_text *text, const struct runtime_counters *counters,
                         const struct engine_gauges *gauges) {
    const struct {
        const char *purpose;
        uint64_t bytes;
    } purposes[] = {
        {"messages", counters->memory_message_bytes}, {"actors", counters->memory_actor_bytes},
        {"blobs", counters->memory_blob_bytes},       {"sockets", counters->memory_socket_bytes},
        {"store_memtables", gauges->memtable_bytes},  {"store_cache", gauges->cache_bytes},
        {"store_tables", gauges->table_bytes},
    };
    metrics_head(text, "memory_bytes", "gauge", "Memory in use, by what it is used for.");
    for (unsigned i = 0; i < sizeof(purposes) / sizeof(purposes[0]); i++)
        metrics_line(text, "tern_memory_bytes{purpose=\"%s\"} %" PRIu64 "\n", purposes[i].purpose,
                     purposes[i].bytes);
}

static void write_runtime(struct metrics_text *text, struct runtime *runtime,
                          const struct runtime_counters *counters) {
    gauge(text, "actors", counters->actors, "Actors that live.");
    gauge(text, "sockets", counters->sockets, "Sockets that are open.");
    gauge(text, "rings", counters->rings, "Rings of io_uring; 0 with libev.");
    metrics_head(text, "reactor", "gauge", "Always 1; its label says how sockets are served.");
    metrics_line(text, "tern_reactor{name=\"%s\"} 1\n", runtime_reactor_name(runtime));
    gauge(text, "timers_pending", counters->timers_pending, "Timers that are set.");
    gauge(text, "pool_queue", counters->pool_queue, "Blocking jobs that wait for a thread.");
    counter(text, "messages_cross_shard_total", counters->messages_cross_shard,
            "Messages from one shard to another.");
    counter(text, "wakes_total", counters->wakes, "Shards that had to be woken.");
    counter(text, "rests_total", counters->rests, "Waits in which events gather.");
    counter(text, "spins_won_total", counters->spins_won,
            "Looks of an idle shard, before it sleeps, that found a message.");
    counter(text, "spins_lost_total", counters->spins_lost, "Those that found nothing.");
    counter(text, "pool_jobs_total", counters->pool_jobs, "Blocking jobs that were run.");
    counter(text, "supervisor_restarts_total", counters->supervisors_restarts,
            "Actors that a supervisor started again.");
    counter(text, "handler_overruns_total", counters->handler_overruns,
            "Handlers that ran over their budget.");
    counter(text, "handler_overruns_unreported_total", counters->handler_overruns_unreported,
            "Overruns of which the log has no report.");
}

static void write_log(struct metrics_text *text) {
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    struct log_counters counters;
    log_counters_read(&counters);
    metrics_head(text, "log_lines_total", "counter", "Lines that the process logged.");
    for (unsigned level = LOG_DEBUG; level <= LOG_ERROR; level++)
        metrics_line(text, "tern_log_lines_total{level=\"%s\"} %" PRIu64 "\n", levels[level],
                     counters.written[level]);
    counter(text, "log_lines_suppressed_total", counters.suppressed,
            "Lines that were not logged because their place logged too many.");
    counter(text, "log_lines_dropped_total", counters.dropped,
            "Lines that were not logged because whoever reads them does not keep up.");
}

/* --- rows: one metric of all shards or classes stands together, as the format wants it ---
 */

struct row_metric {
    const char *name, *type, *help;
    size_t offset;
    bool is_time; /* in nanoseconds */
    struct metrics_text *text;
};

static void write_value(const struct row_metric *metric, const void *counters) {
    uint64_t value = *(const uint64_t *)((const char *)counters + metric->offset);
    if (metric->is_time)
        metrics_line(metric->text, SECONDS "\n", value / NS_PER_S, value % NS_PER_S);
    else
        metrics_line(metric->text, "%" PRIu64 "\n", value);
}

static void write_shard(void *context, const struct runtime_shard_counters *counters) {
    const struct row_metric *metric = context;
    metrics_line(metric->text, "tern_%s{shard=\"%u\"} ", metric->name, counters->shard);
    write_value(metric, counters);
}

static void write_shards(struct metrics_text *text, struct runtime *runtime) {
#define FIELD(member) offsetof(struct runtime_shard_counters, member)
    struct row_metric metrics[] = {
        {"shard_actors", "gauge", "Actors that live.", FIELD(actors), false, text},
        {"shard_turns_total", "counter", "Turns that had something to run.", FIELD(turns), false,
         text},
        {"shard_messages_total", "counter", "Messages that were handled.", FIELD(messages), false,
         text},
        {"shard_busy_seconds_total", "counter",
         "Time in turns that had something to run; its rate is the shard's utilisation.",
         FIELD(busy_ns), true, text},
    };
#undef FIELD
    for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
        metrics_head(text, metrics[i].name, metrics[i].type, metrics[i].help);
        runtime_shards_visit(runtime, write_shard, &metrics[i]);
    }
}

static void write_class(void *context, const struct runtime_class_counters *counters) {
    const struct row_metric *metric = context;
    metrics_line(metric->text, "tern_%s{class=\"%s\"} ", metric->name, counters->name);
    write_value(metric, counters);
}

static void write_classes(struct metrics_text *text, struct runtime *runtime) {
#define FIELD(member) offsetof(struct runtime_class_counters, member)
    struct row_metric metrics[] = {
        {"class_actors", "gauge", "Actors that live.", FIELD(actors), false, text},
        {"class_mailbox_messages", "gauge", "Messages that wait in the actors' mailboxes.",
         FIELD(mailbox_messages), false, text},
        {"class_spawned_total", "counter", "Actors that began.", FIELD(spawned), false, text},
        {"class_ended_total", "counter", "Actors that ended.", FIELD(ended), false, text},
        {"class_failed_total", "counter", "Actors that failed.", FIELD(failed), false, text},
        {"class_passivated_total", "counter", "Actors that left memory, being idle.",
         FIELD(passivated), false, text},
        {"class_messages_total", "counter", "Messages that were handled.", FIELD(messages), false,
         text},
        {"class_refused_total", "counter", "Messages that a full mailbox refused.", FIELD(refused),
         false, text},
        {"class_dead_letters_total", "counter", "Messages to actors that were gone.",
         FIELD(dead_letters), false, text},
        {"class_busy_seconds_total", "counter", "Time in handlers, estimated from samples.",
         FIELD(busy_ns), true, text},
    };
#undef FIELD
    for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
        metrics_head(text, metrics[i].name, metrics[i].type, metrics[i].help);
        runtime_classes_visit(runtime, write_class, &metrics[i]);
    }
}

/* --- the store ---------------------------------------------------------------------------------
 */

static void write_syncs(struct metrics_text *text, const struct engine_gauges *gauges) {
    uint64_t count = 0;
    metrics_head(text, "engine_sync_duration_seconds", "histogram",
                 "How long durable writes took, their fsync included.");
    for (unsigned i = 0; i + 1 < ENGINE_LATENCY_BUCKETS; i++) {
        count += gauges->sync_latency[i];
        metrics_line(text, "tern_engine_sync_duration_seconds_bucket{le=\"%.6f\"} %" PRIu64 "\n",
                     (double)(1ull << i) / 1e6, count);
    }
    count += gauges->sync_latency[ENGINE_LATENCY_BUCKETS - 1];
    metrics_line(text,
                 "tern_engine_sync_duration_seconds_bucket{le=\"+Inf\"} %" PRIu64 "\n"
                 "tern_engine_sync_duration_seconds_sum " SECONDS "\n"
                 "tern_engine_sync_duration_seconds_count %" PRIu64 "\n",
                 count, gauges->sync_ns / NS_PER_S, gauges->sync_ns % NS_PER_S, count);
}

static void write_engine(struct metrics_text *text, const struct engine_gauges *gauges) {
    gauge(text, "engine_disk_bytes", gauges->disk_bytes, "Size of the store's sorted files.");
    gauge(text, "mail_stored", gauges->mail_keys,
          "Messages and statuses in the store that wait for their devices, estimated.");
    gauge(text, "engine_compaction_pending_bytes", gauges->compaction_pending_bytes,
          "What the store has yet to compact.");
    gauge(text, "engine_space_free_bytes", gauges->space_free_bytes,
          "Free space on the store's disk.");
    gauge(text, "engine_space_reserve_bytes", gauges->space_reserve_bytes,
          "New mail is refused when less is free.");
    gauge(text, "engine_stalled", gauges->stalled, "1 while the store holds writers up.");
    gauge(text, "engine_compacting", gauges->compacting, "1 while the store compacts.");
    seconds(text, "engine_sync_peak_seconds", "gauge", gauges->sync_ns_peak,
            "The longest durable write since the start.");
    write_syncs(text, gauges);
    counter(text, "engine_writes_total", gauges->writes, "Groups of batches that were written.");
    counter(text, "engine_batches_total", gauges->batches, "Batches in them.");
    counter(text, "engine_operations_total", gauges->operations, "Puts and deletes in those.");
    counter(text, "engine_written_bytes_total", gauges->written_bytes, "Bytes of those.");
    counter(text, "engine_refused_batches_total", gauges->refused_batches,
            "Batches that were refused for want of space.");
    counter(text, "engine_failed_writes_total", gauges->failed_writes, "Writes that failed.");
    counter(text, "engine_gets_total", gauges->gets, "Reads of one key.");
    counter(text, "engine_scans_total", gauges->scans, "Reads of ranges.");
    counter(text, "engine_scanned_keys_total", gauges->scanned_keys, "Keys in those.");
}

void metrics_text_write(struct metrics_text *text, struct node *node, struct runtime *runtime,
                        uint64_t wall_ms) {
    struct runtime_counters counters = {0};
    struct engine_gauges gauges = {0};
    runtime_counters_read(runtime, &counters);
    if (node->engine)
        engine_gauges(node->engine, &gauges);
    write_node(text, node);
    metrics_product_write(text, node, runtime, wall_ms);
    write_memory(text, &counters, &gauges);
    write_runtime(text, runtime, &counters);
    write_log(text);
    write_shards(text, runtime);
    write_classes(text, runtime);
    if (node->engine)
        write_engine(text, &gauges);
}

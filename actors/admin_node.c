/* SPDX-License-Identifier: Apache-2.0 */
/* The shell's commands about the node as a whole: what it is, its shards, classes and events. */
#include "actors/admin_internal.h"
#include "storage/engine.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* --- node --------------------------------------------------------------------------------------
 */

/* "VmRSS" and the like of this process, in bytes; 0: unknown. A read of procfs never blocks. */
static uint64_t resident_bytes(void) {
    char line[256];
    uint64_t kib = 0;
    FILE *status = fopen("/proc/self/status", "re");
    if (!status)
        return 0;
    while (fgets(line, sizeof(line), status))
        if (strncmp(line, "VmRSS:", 6) == 0)
            kib = strtoull(line + 6, NULL, 10);
    fclose(status);
    return kib * 1024;
}

/* Since Linux 6.2 the folder's size is their number; before, it is 0 and we don't count a million.
 */
static uint64_t descriptors_open(void) {
    struct stat folder;
    return stat("/proc/self/fd", &folder) == 0 ? (uint64_t)folder.st_size : 0;
}

static void put_unless_zero(struct admin_writer *row, const char *name, uint64_t value) {
    if (value)
        admin_put_uint(row, name, value);
    else
        admin_put_nil(row, name);
}

static void put_identity(struct admin_writer *row, const struct node *node) {
    struct rlimit limit = {0};
    getrlimit(RLIMIT_NOFILE, &limit);
    admin_put_text(row, "node", node->name);
    admin_put_text(row, "cluster", node->cluster);
    admin_put_text(row, "region", node->region);
    admin_put_text(row, "version", node->version);
    admin_put_uint(row, "uptime_ms", actor_wall_ms() - node->started_ms);
    admin_put_uint(row, "started_time_ms", node->started_ms);
    admin_put_uint(row, "starts", node->starts);
    admin_put_uint(row, "boot", node->boot);
    admin_put_bool(row, "draining", atomic_load(&node->draining));
    admin_put_text(row, "data", node->data);
    admin_put_text(row, "reactor", runtime_reactor_name(runtime_current()));
    put_unless_zero(row, "descriptors", descriptors_open());
    admin_put_uint(row, "descriptors_max", limit.rlim_cur);
}

static void put_work(struct admin_writer *row, const struct node *node,
                     const struct runtime_counters *counters) {
    admin_put_uint(row, "shards", node->shards);
    admin_put_uint(row, "rings", counters->rings);
    admin_put_uint(row, "sockets", counters->sockets);
    admin_put_uint(row, "connections", atomic_load(&node->connections));
    admin_put_uint(row, "handshakes", atomic_load(&node->handshakes_now));
    admin_put_uint(row, "actors", counters->actors);
    admin_put_uint(row, "messages_total", counters->messages);
    admin_put_uint(row, "timers", counters->timers_pending);
    admin_put_uint(row, "pool_queue", counters->pool_queue);
    admin_put_uint(row, "restarts_total", counters->supervisors_restarts);
    admin_put_uint(row, "slow_total", counters->handler_overruns);
    admin_put_uint(row, "dead_letters_total", counters->dead_letters);
}

static void put_memory(struct admin_writer *row, const struct node *node,
                       const struct runtime_counters *counters) {
    struct engine_gauges gauges = {0};
    if (node->engine)
        engine_gauges(node->engine, &gauges);
    put_unless_zero(row, "memory_resident_bytes", resident_bytes());
    admin_put_uint(row, "memory_actors_bytes", counters->memory_actor_bytes);
    admin_put_uint(row, "memory_messages_bytes", counters->memory_message_bytes);
    admin_put_uint(row, "memory_blobs_bytes", counters->memory_blob_bytes);
    admin_put_uint(row, "memory_sockets_bytes", counters->memory_socket_bytes);
    admin_put_uint(row, "memory_store_bytes",
                   gauges.memtable_bytes + gauges.cache_bytes + gauges.table_bytes);
}

void admin_node(struct admin_session *session, const struct admin_request *request) {
    const struct node *node = node_current();
    struct runtime_counters counters = {0};
    runtime_counters_read(runtime_current(), &counters);
    struct admin_writer *row = admin_row(session);
    put_identity(row, node);
    put_work(row, node, &counters);
    put_memory(row, node, &counters);
    admin_row_end(session);
    admin_end(session);
    admin_end_send(session);
}

/* --- shards, classes, events -------------------------------------------------------------------
 */

static void put_shard(void *context, const struct runtime_shard_counters *counters) {
    struct admin_writer *row = admin_row(context);
    admin_put_uint(row, "shard", counters->shard);
    admin_put_uint(row, "actors", counters->actors);
    admin_put_uint(row, "messages_total", counters->messages);
    admin_put_uint(row, "turns_total", counters->turns);
    admin_put_uint(row, "busy_ns", counters->busy_ns);
    admin_row_end(context);
}

/* What the shards had counted when the window began. */
struct admin_shards_before {
    uint64_t at_ns;
    struct runtime_shard_counters shards[NODE_SHARDS_MAX];
};

static void note_shard(void *context, const struct runtime_shard_counters *counters) {
    struct admin_shards_before *before = context;
    CHECK(counters->shard < NODE_SHARDS_MAX);
    before->shards[counters->shard] = *counters;
}

static void put_shard_window(void *context, const struct runtime_shard_counters *now) {
    struct admin_session *session = context;
    const struct admin_shards_before *before = session->work.shards_before;
    const struct runtime_shard_counters *then = &before->shards[now->shard];
    uint64_t window_ns = actor_now_ns() - before->at_ns ?: 1;
    uint64_t messages = now->messages - then->messages, busy_ns = now->busy_ns - then->busy_ns;
    struct admin_writer *row = admin_row(session);
    admin_put_uint(row, "shard", now->shard);
    admin_put_uint(row, "actors", now->actors);
    admin_put_uint(row, "messages", messages);
    admin_put_uint(row, "messages_per_second",
                   (uint64_t)((double)messages * 1e9 / (double)window_ns));
    admin_put_uint(row, "turns", now->turns - then->turns);
    admin_put_uint(row, "busy_ns", busy_ns);
    admin_put_uint(row, "busy_percent", busy_ns < window_ns ? busy_ns * 100 / window_ns : 100);
    admin_row_end(session);
}

void admin_shards(struct admin_session *session, const struct admin_request *request) {
    uint64_t window_ms = 0;
    if (!admin_take_uint(session, request, "window_ms", 0, INSPECT_WINDOW_MS_MAX, &window_ms))
        return;
    if (window_ms) {
        session->work.shards_before = actor_allocate(sizeof(struct admin_shards_before));
        session->work.shards_before->at_ns = actor_now_ns();
        runtime_shards_visit(runtime_current(), note_shard, session->work.shards_before);
        session->deadline = actor_timer_start(window_ms, ADMIN_TICK, 0);
        return;
    }
    runtime_shards_visit(runtime_current(), put_shard, session);
    admin_end(session);
    admin_end_send(session);
}

void admin_shards_on_message(struct admin_session *session, struct message **message) {
    if ((*message)->kind != ADMIN_TICK)
        return;
    runtime_shards_visit(runtime_current(), put_shard_window, session);
    admin_end(session);
    admin_end_send(session);
}

static void put_class(void *context, const struct runtime_class_counters *counters) {
    struct admin_writer *row = admin_row(context);
    admin_put_text(row, "class", counters->name);
    admin_put_uint(row, "actors", counters->actors);
    admin_put_uint(row, "mailbox_messages", counters->mailbox_messages);
    admin_put_uint(row, "messages_total", counters->messages);
    admin_put_uint(row, "busy_ns", counters->busy_ns);
    admin_put_uint(row, "spawned", counters->spawned);
    admin_put_uint(row, "ended", counters->ended);
    admin_put_uint(row, "failed", counters->failed);
    admin_put_uint(row, "passivated", counters->passivated);
    admin_put_uint(row, "refused", counters->refused);
    admin_row_end(context);
}

void admin_classes(struct admin_session *session, const struct admin_request *request) {
    runtime_classes_visit(runtime_current(), put_class, session);
    admin_end(session);
    admin_end_send(session);
}

static void put_event(void *context, const char *name, uint64_t count) {
    struct admin_writer *row = admin_row(context);
    admin_put_text(row, "event", name);
    admin_put_uint(row, "count", count);
    admin_row_end(context);
}

void admin_events(struct admin_session *session, const struct admin_request *request) {
    runtime_events_visit(runtime_current(), put_event, session);
    admin_end(session);
    admin_end_send(session);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens the store, makes the node's state, starts the runtime with the supervision tree, says that
 * it is ready, and waits for its end.
 */
#include "tools/node/serve.h"

#include "actors/address_limits.h"
#include "actors/admin.h"
#include "actors/measures.h"
#include "actors/quarantine.h"
#include "actors/user_id.h"
#include "net/key_text.h"
#include "runtime/local.h"
#include "runtime/log.h"
#include "runtime/reactor.h"
#include "runtime/runtime.h"
#include "runtime/watchdog.h"
#include "storage/meta.h"
#include "tools/node/identity.h"
#include "tools/node/live_config.h"
#include "tools/node/node_seams.h"
#include "tools/node/store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STRANGERS_REFUSED_MS 60000 /* the heart's period: then it has forgotten the crashes */

struct served {
    struct node node;
    struct identity identity;
    struct engine *engine;
    struct quarantine *quarantine;
    int fds[HEART_LISTENERS_MAX];
    int admin_fd;
    struct live_config config;
    char home_address[sizeof(((struct config *)0)->home_address)];
};

/* User ids are reserved before the first is given. */
static int users_reserve(struct node *node, const struct meta *meta) {
    struct write_batch batch, *batches[] = {&batch};
    atomic_store(&node->user_next, meta->user_high + 1);
    atomic_store(&node->users_reserved, meta->user_high + 1);
    atomic_store(&node->users_reserving, meta->user_high + 1);
    uint8_t buffer[256];
    write_batch_init_at(&batch, buffer, sizeof(buffer));
    uint64_t end = user_id_reserve(node, &batch);
    int error = engine_write(node->engine, batches, 1, ENGINE_SYNC);
    if (error == 0)
        error = batch.result;
    if (error == 0)
        user_id_reserved(node, end);
    else
        user_id_not_reserved(node, end); /* full: registrations wait, mail goes on */
    write_batch_finish(&batch);
    return error == -ENOSPC ? 0 : error;
}

static unsigned cores_count(void) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (cores < 1)
        return 1;
    return cores > NODE_SHARDS_MAX ? NODE_SHARDS_MAX : (unsigned)cores;
}

static void node_fill(struct served *served, const struct serve *serve, const struct meta *meta,
                      unsigned starts) {
    const struct config *config = serve->config;
    struct node *node = &served->node;
    for (unsigned i = 0; i < serve->listener_count; i++)
        served->fds[i] = serve->listeners[i].fd;
    *node = (struct node){
        .name = config->name,
        .cluster = config->cluster,
        .region = config->region,
        .version = NODE_VERSION,
        .starts = starts,
        .started_ms = seams_system()->wall_ms(seams_system()->context),
        .data = config->data,
        .shards = config->shards ? (unsigned)config->shards : cores_count(),
        .engine = served->engine,
        .boot = meta->boot,
        .limits = config->limits,
        .certificate = served->identity.certificate,
        .certificate_bytes = served->identity.certificate_bytes,
        .home_address = config->home_address,
        .sms_command = config->sms_command[0] ? config->sms_command : NULL,
        .listening_fds = served->fds,
        .listening_count = config->listen_count,
        .proxies = config->proxies,
        .proxy_count = config->proxy_count,
        .metrics_fds = served->fds + config->listen_count,
        .metrics_count = serve->listener_count - config->listen_count,
    };
    node->measures = measures_create(node->shards); /* NULL: then nothing is measured */
    struct address_limits_options limits = {
        .connections_max = node->limits.connections_max,
        .per_address_max = node->limits.connections_per_address_max,
        .accepts_per_second = node->limits.accepts_per_second_max,
    };
    seams_system()->random_bytes(seams_system()->context, limits.secret, sizeof(limits.secret));
    if (limits.per_address_max || limits.accepts_per_second)
        node->addresses = address_limits_create(&limits);
    memcpy(node->noise_secret, served->identity.noise_secret, sizeof(node->noise_secret));
    memcpy(node->noise_public, served->identity.noise_public, sizeof(node->noise_public));
    memcpy(node->cluster_public, served->identity.cluster_public, sizeof(node->cluster_public));
}

static void ready_print(const struct serve *serve, const struct served *served, const char *reactor,
                        unsigned starts) {
    char key[KEY_TEXT_CHARS + 1], address[80];
    key_text_format(key, served->identity.cluster_public);
    printf("tern-node: %s is ready%s, on %s\n", served->node.name, starts > 1 ? " again" : "",
           reactor);
    for (unsigned i = 0; i < serve->listener_count; i++) {
        socket_address_format(&serve->listeners[i].address, address, sizeof(address));
        printf("  %-12s %s%s%s\n", i < served->node.listening_count ? "listening" : "metrics",
               i < served->node.listening_count ? "ws://" : "http://", address,
               i < served->node.listening_count ? "" : "/metrics");
    }
    printf("  %-12s %s\n  %-12s %s\n", "data", served->node.data, "cluster key", key);
    fflush(stdout);
}

static int exit_status_of(int error) {
    return error == -EBUSY || error == -EADDRINUSE ? HEART_EXIT_UNAVAILABLE
                                                   : HEART_EXIT_CONFIGURATION;
}

static int serve_open(struct served *served, const struct serve *serve, unsigned starts) {
    char error[512];
    struct meta meta;
    int result = store_open(serve->config, &served->engine, &meta, error, sizeof(error));
    if (result) {
        fprintf(stderr, "tern-node: %s\n", error);
        return result;
    }
    uint64_t now_ms = seams_system()->wall_ms(seams_system()->context);
    result = identity_load(serve->config->data, serve->config->name, now_ms, &served->identity,
                           error, sizeof(error));
    if (result) {
        fprintf(stderr, "tern-node: %s\n", error);
        return result;
    }
    node_fill(served, serve, &meta, starts);
    result = users_reserve(&served->node, &meta);
    if (result)
        fprintf(stderr, "tern-node: the store can't be written: %s\n", strerror(-result));
    return result;
}

/* Only this process has the data directory's lock, so the socket is its to make. A node that nobody
 * can look into serves all the same. */
static void admin_open(struct served *served) {
    char path[CONFIG_PATH_MAX + sizeof(ADMIN_SOCKET_NAME) + 1];
    snprintf(path, sizeof(path), "%s/" ADMIN_SOCKET_NAME, served->node.data);
    served->admin_fd = local_listen(path, ADMIN_SESSIONS_MAX);
    if (served->admin_fd < 0) {
        log_error("tern-shell will find nobody: %s: %s", path, strerror(-served->admin_fd));
        return;
    }
    served->node.admin_fds = &served->admin_fd;
    served->node.admin_count = 1;
}

/* For a while, and only if the node would do something for one: nobody is cut off. */
static void strangers_refuse(struct node *node) {
    const struct seams *seams = seams_system();
    node->strangers_refused_until_ms =
        seams->monotonic_ns(seams->context) / 1000000 + STRANGERS_REFUSED_MS;
    log_warning("nobody can register for %d s: the node crashed too often",
                STRANGERS_REFUSED_MS / 1000);
}

static void quarantine_begin(struct served *served, const char *crashes) {
    const struct seams *seams = seams_system();
    struct quarantine_now now = {seams->wall_ms(seams->context),
                                 seams->monotonic_ns(seams->context) / 1000000};
    int unread = served->node.measures ? measures_load(served->node.measures, served->engine) : 0;
    if (unread)
        log_warning("who was active before is not known: %s", strerror(-unread));
    served->quarantine = quarantine_read(crashes, now);
    served->node.quarantine = served->quarantine;
    if (quarantine_mails(served->quarantine))
        log_warning("%u mails that brought the node down twice are set aside when they come up",
                    quarantine_mails(served->quarantine));
    for (unsigned i = 0; i < quarantine_refusals(served->quarantine); i++)
        log_warning("%s brought the node down twice with its input: refused for up to %u s",
                    quarantine_refusal(served->quarantine, i), QUARANTINE_REFUSED_MS / 1000);
}

int serve_run(void *context, const struct heart_start *start) {
    const struct serve *serve = context;
    struct served *served = calloc(1, sizeof(*served));
    if (!served)
        abort();
    int result = serve_open(served, serve, start->starts);
    if (result)
        return exit_status_of(result);
    admin_open(served);
    live_config_begin(&served->config, serve->config, serve->config_path, serve->config_node,
                      &served->node);
    quarantine_begin(served, serve->crashes);
    if (start->refuse_strangers)
        strangers_refuse(&served->node);
    const uint64_t watchdog_budget_ms = serve->config->watchdog_budget_ms;
    struct runtime_options options = {
        .shards = served->node.shards,
        .pool_threads = (unsigned)serve->config->pool_threads,
        .root = &tern_tree,
        .context = &served->node,
        .seams = node_seams(),
        .crash_directory = serve->crashes,
        .crash_version = NODE_VERSION,
        .batch_wait_us = (unsigned)serve->config->batch_wait_us,
        .watchdog_budget_ms = watchdog_budget_ms ? (uint32_t)watchdog_budget_ms : WATCHDOG_OFF,
    };
    CHECK(!reactor_find(serve->config->reactor, &options.reactor)); /* the file's words are these */
    struct runtime *runtime;
    result = runtime_start(&options, &runtime);
    if (result) {
        fprintf(stderr, "tern-node: the runtime can't be started: %s\n", strerror(-result));
        return HEART_EXIT_CONFIGURATION;
    }
    ready_print(serve, served, runtime_reactor_name(runtime), start->starts);
    log_info("serving, start %u of this heart, boot %" PRIu64, start->starts, served->node.boot);
    result = runtime_wait(runtime);
    runtime_destroy(runtime);
    engine_close(served->engine);
    address_limits_destroy(served->node.addresses);
    free(served->node.measures);
    quarantine_destroy(served->quarantine);
    free(served);
    return result;
}

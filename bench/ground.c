/* SPDX-License-Identifier: Apache-2.0 */
/* Opens, starts, reads and ends the ground; its actors are in ground_crowd.c and ground_user.c. */
#include "bench/ground_internal.h"

#include "bench/figures.h"
#include "bench/sample.h"
#include "storage/bulk.h"
#include "storage/engine_memory.h"
#include "storage/engine_rocksdb.h"
#include "storage/meta.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* RocksDB's memory: as much as a node has by default, and room for the accounts of those who come.
 */
#define STORE_BYTES_LEAST (64ull << 20)
#define STORE_BYTES_PER_PERSON 300ull
#define STORE_FILES_MAX 4096
#define STEP_PEOPLE 4096u
#define SCAN_KEYS 65536u

uint64_t ground_message_number(uint32_t from, uint32_t number, uint32_t to) {
    uint64_t value = ((uint64_t)from << 32 | number) * 0x9e3779b97f4a7c15ull + to;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9ull;
    value = (value ^ value >> 27) * 0x94d049bb133111ebull;
    return value ^ value >> 31;
}

void ground_key(uint32_t person, uint8_t key[32]) {
    for (unsigned i = 0; i < 4; i++) {
        uint64_t part = ground_message_number(person, i, UINT32_MAX);
        memcpy(key + 8 * i, &part, sizeof part);
    }
}

/* --- the store --- */

static uint64_t engine_clock(void *context) {
    return clock_ns();
}

static int directory_make(struct ground *ground) {
    if (snprintf(ground->directory, sizeof ground->directory, "%s/tern-bench-XXXXXX",
                 accounts_directory(ground->options.parent)) >= (int)sizeof ground->directory)
        return -ENAMETOOLONG;
    if (mkdtemp(ground->directory) != NULL)
        return 0;
    int error = -errno;
    ground->directory[0] = '\0';
    return error;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *where) {
    return remove(path);
}

static int store_open(struct ground *ground) {
    if (ground->options.memory) {
        const struct engine_memory_options options = {.seed = 1, .clock_ns = engine_clock};
        return engine_memory_open(&options, &ground->node.engine);
    }
    const struct engine_rocksdb_options options = {
        .memory_bytes_max =
            STORE_BYTES_LEAST + STORE_BYTES_PER_PERSON * (uint64_t)ground->options.people,
        .open_files_max = STORE_FILES_MAX,
        .clock_ns = engine_clock,
    };
    char text[256] = "", path[PATH_MAX + 8];
    int error = directory_make(ground);
    if (error)
        return error;
    snprintf(path, sizeof path, "%s/store", ground->directory);
    error = engine_rocksdb_open(path, &options, &ground->node.engine, text, sizeof text);
    if (error && text[0] != '\0')
        fprintf(stderr, "tern-bench: %s\n", text);
    return error;
}

static int account_add(struct bulk *bulk, uint32_t person) {
    char digits[FORMAT_PHONE_DIGITS_MAX + 1];
    uint8_t key[FORMAT_KEY_BYTES];
    ground_key(person, key);
    snprintf(digits, sizeof digits, "99955%08u", person);
    return bulk_add(bulk, digits, "simulated", key);
}

static int accounts_write_all(struct ground *ground, const struct meta *meta,
                              int (*step)(void *, unsigned), void *context) {
    struct bulk bulk;
    struct node *node = &ground->node;
    const struct seams *seams = seams_system();
    int error = 0;
    bulk_begin(&bulk, node->engine, meta->user_high, seams->wall_ms(seams->context));
    CHECK(bulk.user_next == GROUND_FIRST_USER);
    for (uint32_t i = 0; i < ground->options.people && error >= 0; i++) {
        error = account_add(&bulk, i);
        if (error >= 0 && i % STEP_PEOPLE == 0 && step != NULL)
            error = step(context, i);
    }
    atomic_store(&node->user_next, bulk.user_reserved); /* nobody registers here */
    atomic_store(&node->users_reserved, bulk.user_reserved);
    atomic_store(&node->users_reserving, bulk.user_reserved);
    int ended = bulk_end(&bulk);
    return error < 0 ? error : ended;
}

static int said(int error, const char *what) {
    if (error && error != -EINTR && error != -ECANCELED) { /* `step` has said why */
        progress("%s", "");
        fprintf(stderr, "tern-bench: %s: %s\n", what, strerror(-error));
    }
    return error;
}

/* --- the node --- */

static unsigned cores_count(void) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1 : cores > NODE_SHARDS_MAX ? NODE_SHARDS_MAX : (unsigned)cores;
}

/* The bench takes signals itself; the node's drainer hears of none. */
static int signals_listen(struct shard *shard, int signal, struct signal_source **source) {
    return 0;
}
static void signals_forget(struct signal_source *source) {
}
static const struct signal_ops signals_none = {
    .name = "none", .listen = signals_listen, .forget = signals_forget};

static void node_fill(struct ground *ground) {
    struct node *node = &ground->node;
    node->name = "bench";
    node->data = ground->directory;
    node->shards = ground->options.shards > 0 ? ground->options.shards : cores_count();
    node->started_ms = seams_system()->wall_ms(seams_system()->context);
    node_limits_default(&node->limits);
    node->limits.mailbox_idle_ms = GROUND_IDLE_MS;
    node->limits.connections_max = ground->options.people;
    node->certificate = ground->certificate;
    node->certificate_bytes = sizeof ground->certificate;
    node->home_address = "";
}

int ground_open(struct ground *ground, const struct ground_options *options,
                int (*step)(void *context, unsigned accounts), void *context) {
    struct meta meta;
    memset(ground, 0, sizeof *ground);
    ground->options = *options;
    ground->seams = *seams_system();
    ground->seams.signals = &signals_none;
    CHECK(options->people >= 2 && options->people <= GROUND_PEOPLE_MAX);
    node_fill(ground);
    ground->run = (uint32_t)clock_ns();
    ground->people = calloc(options->people, sizeof *ground->people);
    ground->shards = aligned_alloc(64, ground->node.shards * sizeof *ground->shards);
    CHECK(ground->people != NULL && ground->shards != NULL);
    memset(ground->shards, 0, ground->node.shards * sizeof *ground->shards);
    int error = said(store_open(ground), "the store can't be opened");
    if (error == 0)
        error = said(meta_begin(ground->node.engine, &meta, NULL), "the store can't be read");
    if (error == 0)
        error =
            said(accounts_write_all(ground, &meta, step, context), "the accounts can't be written");
    if (error == 0)
        ground->node.boot = meta.boot;
    return error;
}

/* The node's tree, and ours behind it. */
static void tree_make(struct ground *ground) {
    const struct supervisor_child own[] = {
        {.supervisor = &ground_people, .restart = RESTART_TEMPORARY, .every_shard = true},
        {.class = &ground_crowd_class, .restart = RESTART_TEMPORARY, .every_shard = true},
    };
    unsigned nodes = tern_tree.child_count, count = nodes + 2;
    ground->root_children = calloc(count, sizeof *ground->root_children);
    CHECK(ground->root_children != NULL);
    memcpy(ground->root_children, tern_tree.children, nodes * sizeof *ground->root_children);
    memcpy(ground->root_children + nodes, own, sizeof own);
    ground->root = tern_tree;
    ground->root.children = ground->root_children;
    ground->root.child_count = (uint16_t)count;
}

int ground_start(struct ground *ground) {
    tree_make(ground);
    const struct runtime_options options = {
        .shards = ground->node.shards,
        .root = &ground->root,
        .context = &ground->node,
        .seams = &ground->seams,
    };
    int error = runtime_start(&options, &ground->runtime);
    ground->load.runtime = ground->runtime;
    return said(error, "the runtime can't be started");
}

void ground_close(struct ground *ground) {
    if (ground->runtime != NULL) {
        runtime_stop(ground->runtime, 0);
        runtime_wait(ground->runtime);
        runtime_destroy(ground->runtime);
    }
    if (ground->node.engine != NULL)
        engine_close(ground->node.engine);
    if (ground->directory[0] != '\0')
        nftw(ground->directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(ground->root_children);
    free(ground->people);
    free(ground->shards);
    memset(ground, 0, sizeof *ground);
}

/* --- reading --- */

void ground_count(struct ground *ground, struct ground_counters *sum) {
    _Atomic uint64_t *to = (_Atomic uint64_t *)sum;
    memset(sum, 0, sizeof *sum);
    for (unsigned s = 0; s < ground->node.shards; s++) {
        _Atomic uint64_t *from = (_Atomic uint64_t *)&ground->shards[s].counters;
        for (size_t i = 0; i < sizeof *sum / sizeof *to; i++)
            to[i] += atomic_load_explicit(&from[i], memory_order_acquire);
    }
    atomic_store(&ground->load.counters.connected, sum->connected);
    atomic_store(&ground->load.counters.logins, sum->logins);
    atomic_store(&ground->load.counters.delivered, sum->delivered);
}
_Static_assert(sizeof(struct ground_counters) % sizeof(uint64_t) == 0, "counters, all of them");

int ground_check(struct ground *ground) {
    if (!atomic_load_explicit(&ground->failed, memory_order_acquire))
        return 0;
    progress("%s", "");
    fprintf(stderr, "tern-bench: the run failed: %s\n", ground->failure);
    return -EPROTO;
}

struct class_question {
    const char *name;
    struct ground_class *counts;
};

static void class_visit(void *context, const struct runtime_class_counters *class) {
    const struct class_question *question = context;
    if (strcmp(class->name, question->name) == 0)
        *question->counts = (struct ground_class){class->actors, class->spawned, class->passivated,
                                                  class->failed, class->busy_ns};
}

void ground_class_read(struct ground *ground, const char *name, struct ground_class *counts) {
    struct class_question question = {name, counts};
    *counts = (struct ground_class){0};
    runtime_classes_visit(ground->runtime, class_visit, &question);
}

/* --- what waits --- */

struct waiting {
    uint64_t messages, sum;
    uint8_t last[ENGINE_KEY_BYTES_MAX];
    size_t last_bytes;
};

static int visit_waiting(void *context, struct engine_bytes key, struct engine_bytes value) {
    struct waiting *waiting = context;
    struct record_queued queued;
    struct ground_body body;
    uint64_t user;
    uint32_t device;
    waiting->last_bytes = key.size;
    memcpy(waiting->last, key.data, key.size);
    if (format_key_mail_owner(key, &user, &device) != 0 || record_queued_decode(value, &queued))
        return -EBADMSG;
    if (queued.entry != RECORD_MAIL)
        return 0;
    if (queued.mail.ciphertext_bytes != GROUND_BODY_BYTES)
        return -EBADMSG;
    memcpy(&body, queued.ciphertext, sizeof body);
    waiting->messages++;
    waiting->sum +=
        ground_message_number(body.from, body.number, (uint32_t)(user - GROUND_FIRST_USER));
    return 0;
}

int ground_waiting(struct ground *ground, uint64_t *messages, uint64_t *sum) {
    struct waiting waiting = {0};
    int count;
    do { /* from behind the last key on: the key with a zero behind it */
        uint8_t from[ENGINE_KEY_BYTES_MAX + 1];
        memcpy(from, waiting.last, waiting.last_bytes);
        from[waiting.last_bytes] = 0;
        struct engine_bytes begin = {from, waiting.last_bytes > 0 ? waiting.last_bytes + 1 : 0};
        count = engine_scan(ground->node.engine, ENGINE_MAIL, begin, (struct engine_bytes){0},
                            SCAN_KEYS, visit_waiting, &waiting);
    } while (count == (int)SCAN_KEYS);
    *messages = waiting.messages;
    *sum = waiting.sum;
    return said(count < 0 ? count : 0, "the mail that waits can't be read");
}

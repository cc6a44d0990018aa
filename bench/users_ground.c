/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many users on the ground of actors (ground.h): people by the million, of whom a part is there at
 * a time.
 *
 *     accounts ─► people ─► warm up ─► hold ─► settle
 *
 * The model's people (model.h) look in, write, read and go. Their time goes as fast as the node
 * does: an event is given out when fewer than ORDERS_OPEN_MAX orders are open, so that nothing
 * gathers and the rates are what the machine can do. warm up: until caches and pools are as large
 * as they get; hold: what is measured; settle: all leave, all mailboxes passivate, and what was
 * accepted is delivered or lies in the store, each once.
 */
#include "bench/figures.h"
#include "bench/ground.h"
#include "bench/interrupt.h"
#include "bench/model.h"
#include "bench/report.h"
#include "bench/scenarios.h"
#include "bench/timeline.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#define ORDERS_OPEN_MAX 8192u
#define PAUSE_NS 200000
#define WARM_SHARE 0.25 /* of the seconds, before them */
#define STILL_S_MAX 60u
#define MEMORY_LOOK_NS 250000000ull

struct batch {
    struct ground_order orders[GROUND_ORDERS_MAX];
    unsigned count;
};

struct run {
    struct ground ground;
    const struct bench_options *options;
    struct sample_source source;
    struct timeline timeline;
    struct model *model;
    struct batch *batches; /* one per shard */
    uint64_t given;        /* orders, ever */
    uint64_t model_ns, memory_due_ns;
    double empty_bytes, people_bytes; /* resident, before and behind the users' actors */
};

/* What has been, at a moment. */
struct moment {
    struct sample sample;
    struct ground_counters counters;
    struct ground_class mailboxes, connections, users;
    uint64_t model_ns;
    double store_bytes; /* of the node's memory, what its engine's own bound holds */
};

static double store_bytes(const struct run *run) {
    struct engine_gauges gauges;
    engine_gauges(run->ground.node.engine, &gauges);
    return (double)(gauges.memtable_bytes + gauges.cache_bytes + gauges.table_bytes);
}

static void moment_take(struct run *run, struct moment *moment) {
    sample_take_quick(&run->source, &moment->sample);
    ground_count(&run->ground, &moment->counters);
    ground_class_read(&run->ground, "mailbox", &moment->mailboxes);
    ground_class_read(&run->ground, "connection", &moment->connections);
    ground_class_read(&run->ground, "user", &moment->users);
    moment->model_ns = run->model_ns;
    moment->store_bytes = store_bytes(run);
}

/* --- while it runs --- */

/* Before there is a timeline, which looks at it then. */
static int memory_look(struct run *run) {
    uint64_t now_ns = clock_ns();
    if (now_ns < run->memory_due_ns)
        return 0;
    run->memory_due_ns = now_ns + MEMORY_LOOK_NS;
    double bytes = sample_available_bytes();
    if (bytes >= run->source.available_bytes_min)
        return 0;
    progress("%s", "");
    fprintf(stderr,
            "tern-bench: only %.0f MB of memory are left, so the run ends here: fewer --people, or "
            "--store rocksdb\n",
            bytes / 1e6);
    return -ECANCELED;
}

/* To be called often; negative: stop. */
static int watch(struct run *run) {
    struct ground_counters sum;
    int error = interrupted() ? -EINTR : ground_check(&run->ground);
    if (error)
        return error;
    if (run->timeline.points == NULL)
        return memory_look(run);
    ground_count(&run->ground, &sum);
    return timeline_tick(&run->timeline);
}

static int on_accounts(void *context, unsigned accounts) {
    struct run *run = context;
    progress("accounts: %u of %u", accounts, run->options->people);
    return interrupted() ? -EINTR : memory_look(run);
}

/* What the timeline calls the node's: all that came after the users' actors. */
static void sample_fill(void *context, struct sample *sample) {
    const struct run *run = context;
    double node_bytes = run->people_bytes > 0 ? sample->load_resident_bytes - run->people_bytes : 0;
    sample->resident_bytes = node_bytes > 0 ? node_bytes : 0;
    sample->load_resident_bytes -= sample->resident_bytes;
    sample->cpu_us = sample->load_cpu_us; /* of both: they share the shards */
    sample->load_cpu_us = 0;
}

/* --- orders --- */

static void flush(struct run *run, unsigned shard) {
    struct batch *batch = &run->batches[shard];
    if (batch->count > 0)
        ground_give(&run->ground, shard, batch->orders, batch->count);
    run->given += batch->count;
    batch->count = 0;
}

static void order(struct run *run, enum ground_what what, uint32_t person, uint32_t other) {
    unsigned shard = ground_shard_of(&run->ground, person);
    struct batch *batch = &run->batches[shard];
    batch->orders[batch->count++] = (struct ground_order){person, other, what};
    if (batch->count == GROUND_ORDERS_MAX)
        flush(run, shard);
}

static void play(struct run *run, const struct model_event *event) {
    static const enum ground_what whats[] = {
        [MODEL_SEND] = GROUND_WRITE,
        [MODEL_CUT] = GROUND_CUT,
        [MODEL_LEAVE] = GROUND_GO,
        [MODEL_RETURN] = GROUND_COME,
    };
    order(run, whats[event->what], event->person, event->other);
    run->model_ns = event->at_ns;
}

static uint64_t done_so_far(struct run *run) {
    struct ground_counters sum;
    ground_count(&run->ground, &sum);
    return sum.done;
}

/* Gives out as many events as there is room for. */
static void feed(struct run *run) {
    uint64_t open = run->given - done_so_far(run);
    struct model_event event;
    for (; open < ORDERS_OPEN_MAX && model_next(run->model, &event); open++)
        play(run, &event);
    for (unsigned s = 0; s < run->ground.node.shards; s++)
        flush(run, s);
}

/* Until the time, or until there were so many activations (0: any number). */
static int play_until(struct run *run, uint64_t end_ns, uint64_t activations) {
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    _Atomic uint64_t *so_far = &run->ground.node.activations;
    int error = 0;
    while (error == 0 && clock_ns() < end_ns &&
           (activations == 0 || atomic_load(so_far) < activations)) {
        feed(run);
        nanosleep(&pause, NULL);
        error = watch(run);
    }
    return error;
}

/* --- phases --- */

static int make_people(struct run *run) {
    struct ground_counters sum = {0};
    struct sample sample;
    int error = 0;
    sample_take_quick(&run->source, &sample);
    run->empty_bytes = sample.load_resident_bytes;
    ground_make_people(&run->ground);
    while (error == 0 && sum.people < run->options->people) {
        error = interruptible_sleep_ms(10);
        if (error == 0)
            error = watch(run);
        ground_count(&run->ground, &sum);
        progress("people: %llu of %u", (unsigned long long)sum.people, run->options->people);
    }
    sample_take_quick(&run->source, &sample);
    run->people_bytes = sample.load_resident_bytes;
    figure_add("users", "1", (double)sum.people);
    figure_add("user_bytes", "B", (run->people_bytes - run->empty_bytes) / run->options->people);
    return error;
}

static double seconds_between(const struct moment *from, const struct moment *to) {
    return (double)(to->sample.at_ns - from->sample.at_ns) / 1e9;
}

static void add_figures(const struct run *run, const struct moment *from, const struct moment *to) {
    double seconds = seconds_between(from, to);
    double cpu_us = to->sample.cpu_us - from->sample.cpu_us;
    uint64_t activations = to->mailboxes.spawned - from->mailboxes.spawned;
    uint64_t messages = to->counters.delivered - from->counters.delivered;
    const struct histogram *latency = &run->timeline.latency;
    figure_add("held_seconds", "s", seconds);
    figure_add("people_hours", "h", (double)(to->model_ns - from->model_ns) / 3600e9);
    figure_add("connected", "1", (double)to->counters.connected);
    figure_add("mailboxes_awake", "1", (double)to->mailboxes.actors);
    figure_add("activations_per_s", "1/s", (double)activations / seconds);
    figure_add("logins_per_s", "1/s",
               (double)(to->counters.logins - from->counters.logins) / seconds);
    figure_add("messages_per_s", "1/s", (double)messages / seconds);
    figure_add("reads_per_s", "1/s", (double)(to->counters.read - from->counters.read) / seconds);
    if (messages > 0)
        figure_add("cpu_us", "us", cpu_us / (double)messages);
    if (activations > 0)
        figure_add("activation_cpu_us", "us", cpu_us / (double)activations);
    figure_add("p50_us", "us", (double)histogram_quantile(latency, .5) / 1000);
    figure_add("p99_us", "us", (double)histogram_quantile(latency, .99) / 1000);
    figure_add("node_begin_bytes", "B", from->sample.resident_bytes);
    figure_add("node_end_bytes", "B", to->sample.resident_bytes);
    figure_add("store_begin_bytes", "B", from->store_bytes);
    figure_add("store_end_bytes", "B", to->store_bytes);
}

/* Warms up, then measures. */
static int hold(struct run *run) {
    const struct bench_options *options = run->options;
    uint64_t measured_ns = (uint64_t)(options->seconds * 1e9);
    struct moment begin, end;
    timeline_enter(&run->timeline, "warm up");
    int error = play_until(run, clock_ns() + (uint64_t)((double)measured_ns * WARM_SHARE),
                           options->activations);
    timeline_enter(&run->timeline, "hold");
    timeline_latency_clear(&run->timeline);
    moment_take(run, &begin);
    if (error == 0)
        error = play_until(run, clock_ns() + measured_ns, options->activations);
    moment_take(run, &end);
    if (error == 0)
        add_figures(run, &begin, &end);
    return error;
}

/* What still goes on. */
struct unrest {
    uint64_t orders, mailboxes, commits;
};

static struct unrest unrest_of(struct run *run) {
    struct ground_class mailboxes;
    ground_class_read(&run->ground, "mailbox", &mailboxes);
    return (struct unrest){run->given - done_so_far(run), mailboxes.actors,
                           atomic_load(&run->ground.node.commits_open)};
}

/* Until no order is open, no mailbox awake and no commit under way. */
static int grow_quiet(struct run *run) {
    uint64_t seen = UINT64_MAX, end_ns = 0;
    int error = 0;
    while (error == 0) {
        struct unrest unrest = unrest_of(run);
        uint64_t now = unrest.orders + unrest.mailboxes + unrest.commits;
        if (now == 0)
            return 0;
        if (now != seen)
            end_ns = clock_ns() + STILL_S_MAX * 1000000000ull;
        seen = now;
        if (clock_ns() > end_ns) {
            progress("%s", "");
            fprintf(stderr,
                    "tern-bench: %llu orders are open and %llu mailboxes awake, and nothing moved "
                    "for %u s\n",
                    (unsigned long long)unrest.orders, (unsigned long long)unrest.mailboxes,
                    STILL_S_MAX);
            return -ETIMEDOUT;
        }
        error = interruptible_sleep_ms(20);
        if (error == 0)
            error = watch(run);
    }
    return error;
}

/* What was accepted is delivered or waits in the store: as many, and the same ones. */
static int check(struct run *run) {
    struct moment end;
    uint64_t waiting, waiting_sum;
    int error = ground_waiting(&run->ground, &waiting, &waiting_sum);
    if (error)
        return error;
    moment_take(run, &end);
    const struct ground_counters *counters = &end.counters;
    figure_add("activations", "1", (double)end.mailboxes.spawned);
    figure_add("passivations", "1", (double)end.mailboxes.passivated);
    figure_add("accepted", "1", (double)counters->accepted);
    figure_add("delivered", "1", (double)counters->delivered);
    figure_add("waiting", "1", (double)waiting);
    figure_add("repeated", "1", (double)counters->repeated);
    figure_add("retried", "1", (double)counters->retried);
    figure_add("skipped", "1", (double)(counters->not_sent + model_skipped(run->model)));
    figure_add("lost", "1", (double)counters->lost);
    uint64_t failed = end.mailboxes.failed + end.connections.failed;
    bool same = counters->accepted_sum == counters->delivered_sum + waiting_sum;
    if (counters->sent == counters->accepted &&
        counters->accepted == counters->delivered + waiting && same && failed == 0)
        return 0;
    progress("%s", "");
    fprintf(
        stderr,
        "tern-bench: of %llu messages sent %llu were accepted, %llu delivered, %llu wait; these "
        "are%s the same; %llu actors failed\n",
        (unsigned long long)counters->sent, (unsigned long long)counters->accepted,
        (unsigned long long)counters->delivered, (unsigned long long)waiting, same ? "" : " not",
        (unsigned long long)failed);
    return -EPROTO;
}

static int settle(struct run *run) {
    timeline_enter(&run->timeline, "settle");
    for (uint32_t i = 0; i < run->options->people; i++)
        if (!model_is_away(run->model, i))
            order(run, GROUND_GO, i, 0);
    for (unsigned s = 0; s < run->ground.node.shards; s++)
        flush(run, s);
    int error = grow_quiet(run);
    return error ? error : check(run);
}

/* --- all of it --- */

static int play_all(struct run *run) {
    int error = ground_start(&run->ground);
    if (error == 0)
        error = make_people(run);
    if (error == 0)
        error = timeline_begin(&run->timeline, &run->source, &run->ground.load);
    if (error == 0)
        error = hold(run);
    if (error == 0)
        error = settle(run);
    if (run->timeline.points == NULL || run->options->report == NULL)
        return error;
    /* Of a run that failed, too: it shows how far it came. */
    int written = report_write(run->options->report, &run->timeline);
    return error ? error : written;
}

static struct model *people_of(const struct bench_options *options) {
    unsigned visitors = options->online > 0 ? options->online : options->people / 100;
    const struct model_options model = {
        .seed = options->seed,
        .people = options->people,
        .visitors = visitors > 0 ? visitors : 1,
        .visits_write_percent = options->writes_percent,
        .visits_cut_permille = options->leaves_per_hour * 10 / 60, /* a visit is a minute */
    };
    if (model.visitors >= model.people / 2) {
        fprintf(stderr, "tern-bench: --online %u: fewer than half of the %u people are wanted\n",
                visitors, options->people);
        return NULL;
    }
    return model_create(&model);
}

int scenario_users_ground(const struct bench_options *options) {
    const struct ground_options how = {.people = options->people,
                                       .memory = options->store_in_memory,
                                       .parent = options->node.parent};
    struct run *run = calloc(1, sizeof *run);
    CHECK(run != NULL);
    run->options = options;
    run->source = (struct sample_source){.fill = sample_fill,
                                         .fill_context = run,
                                         .available_bytes_min = options->memory_left_mb * 1e6};
    prctl(PR_SET_TIMERSLACK, 1000ul);
    figures_ground(options->store_in_memory ? "actors, store in memory" : "actors, store RocksDB");
    run->model = people_of(options);
    int error = run->model == NULL ? -EINVAL : 0;
    if (error == 0)
        error = ground_open(&run->ground, &how, on_accounts, run);
    if (error == 0) {
        run->batches = calloc(run->ground.node.shards, sizeof *run->batches);
        CHECK(run->batches != NULL);
        error = play_all(run);
    }
    progress("%s", "ending");
    timeline_end(&run->timeline);
    ground_close(&run->ground);
    model_destroy(run->model);
    free(run->batches);
    free(run);
    return error;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many users on real sockets: TCP on loopback from many source addresses, WebSocket, Noise, with
 * authentication, each with a connection of its own.
 *
 *     log in ─► hello ─► hold ─► storm ─► settle
 *
 * hello: each person writes one message to somebody else, so that each connection has sent and
 * received; hold: the model's people (model.h) for so many seconds, with everybody connected;
 * storm: so many connections are cut at once, and come back; settle: everybody is back, and all
 * that was sent was accepted and delivered, once.
 */
#include "bench/figures.h"
#include "bench/interrupt.h"
#include "bench/model.h"
#include "bench/report.h"
#include "bench/scenarios.h"
#include "bench/timeline.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#define LOGINS_AT_ONCE 200
#define OUTBOX_MESSAGES 64
#define HELLOS_AT_ONCE 512u
#define SETTLE_MS 2000u
#define PACE_NS 1000000ull /* events are given out once a millisecond */
#define READ_PERCENT 50
#define BACK_S_MAX 300u
#define BACK_PER_S_MIN 200u /* and a second more for so many people */
#define SPARE_CONNECTIONS 1000

struct users {
    struct scenario scenario;
    struct timeline timeline;
    struct model *model;
    unsigned count;
    uint64_t begin_ns;                /* of the model's time */
    bool all_stay;                    /* nobody leaves any more */
    struct sample alone, empty, idle; /* alone: before there was a load or a node */
};

static int watch(void *context) {
    return timeline_tick(&((struct users *)context)->timeline);
}

/* --- phases --- */

static int log_in(struct users *users) {
    struct load *load = &users->scenario.load;
    struct stretch stretch;
    timeline_enter(&users->timeline, "log in");
    stretch_begin(&users->scenario, &stretch);
    users->empty = stretch.before;
    int error = load_login(load, 0, users->count, LOGINS_AT_ONCE);
    if (error)
        return error;
    stretch_end(&users->scenario, &stretch);
    figure_add_cpu(&users->scenario, "login_cpu_us", stretch_cpu_us(&stretch, users->count));
    figure_add("login_per_s", "1/s", users->count / stretch_seconds(&stretch));
    return 0;
}

/* For so long, with the timeline running. */
static int linger(struct users *users, unsigned ms) {
    for (uint64_t end_ns = clock_ns() + ms * 1000000ull; clock_ns() < end_ns;) {
        int error = interruptible_sleep_ms(20);
        if (error == 0)
            error = load_check(&users->scenario.load);
        if (error == 0)
            error = timeline_tick(&users->timeline);
        if (error)
            return error;
    }
    return 0;
}

static int measure_idle(struct users *users) {
    struct scenario *scenario = &users->scenario;
    timeline_enter(&users->timeline, "idle");
    int error = linger(users, SETTLE_MS);
    sample_take(&scenario->source, &users->idle);
    double count = users->count;
    figure_add("connections", "1", (double)atomic_load(&scenario->load.counters.connected));
    if (scenario->source.pid > 0)
        figure_add("idle_connection_bytes", "B",
                   (users->idle.resident_bytes - users->empty.resident_bytes) / count);
    figure_add("idle_kernel_bytes", "B",
               (users->idle.kernel_bytes - users->empty.kernel_bytes) / count);
    figure_add("load_connection_bytes", "B",
               (users->idle.load_resident_bytes - users->empty.load_resident_bytes) / count);
    figure_add("load_person_bytes", "B",
               (users->idle.load_resident_bytes - users->alone.load_resident_bytes) / count);
    return error;
}

/* Everybody writes to the person half way round, so that each has sent and received one. */
static int say_hello(struct users *users) {
    struct load *load = &users->scenario.load;
    timeline_enter(&users->timeline, "hello");
    for (unsigned i = 0; i < users->count; i += HELLOS_AT_ONCE) {
        uint64_t delivered = atomic_load(&load->counters.delivered);
        unsigned part = users->count - i < HELLOS_AT_ONCE ? users->count - i : HELLOS_AT_ONCE;
        for (unsigned j = i; j < i + part; j++)
            load_send(load, j, (unsigned)((j + (uint64_t)users->count / 2) % users->count), 1, 0);
        int error = load_wait(load, &load->counters.delivered, delivered + part);
        if (error)
            return error;
    }
    int error = load_wait(load, &load->counters.senders, users->count);
    if (error == 0)
        error = load_wait(load, &load->counters.receivers, users->count);
    if (error == 0)
        figure_add("sent_and_received", "1", users->count); /* people, one message at least */
    return error;
}

static void play(struct users *users, const struct model_event *event) {
    struct load *load = &users->scenario.load;
    if (event->what == MODEL_SEND)
        load_send(load, event->person, event->other, 1, users->begin_ns + event->at_ns);
    else if (event->what == MODEL_RETURN)
        load_return(load, event->person);
    else if (event->what == MODEL_CUT && !users->all_stay)
        load_cut(load, event->person);
    else if (event->what == MODEL_LEAVE && !users->all_stay)
        load_leave(load, event->person);
}

/* The model's events at their times. */
static int play_until(struct users *users, uint64_t end_ns) {
    const struct timespec pause = {.tv_nsec = PACE_NS};
    struct model_event event;
    for (uint64_t now_ns = clock_ns(); now_ns < end_ns; now_ns = clock_ns()) {
        while (model_next_ns(users->model) <= now_ns - users->begin_ns &&
               model_next(users->model, &event))
            play(users, &event);
        nanosleep(&pause, NULL);
        int error = interrupted() ? -EINTR : load_check(&users->scenario.load);
        if (error == 0)
            error = timeline_tick(&users->timeline);
        if (error)
            return error;
    }
    return 0;
}

static int hold(struct users *users) {
    struct scenario *scenario = &users->scenario;
    struct load_counters *counters = &scenario->load.counters;
    struct stretch stretch;
    timeline_enter(&users->timeline, "hold");
    uint64_t heartbeats = atomic_load(&counters->heartbeats), read = atomic_load(&counters->read);
    uint64_t lost = atomic_load(&counters->lost);
    stretch_begin(scenario, &stretch);
    timeline_latency_clear(&users->timeline);
    int error = play_until(users, clock_ns() + (uint64_t)(scenario->options->seconds * 1e9));
    if (error)
        return error;
    uint64_t connected = atomic_load(&counters->connected);
    stretch.messages = atomic_load(&counters->delivered) - stretch.messages;
    sample_take(&scenario->source, &stretch.after);
    const struct histogram *latency = &users->timeline.latency;
    figure_add("held_connections", "1", (double)connected);
    figure_add("held_seconds", "s", stretch_seconds(&stretch));
    figure_add("held_lost", "1", (double)(atomic_load(&counters->lost) - lost));
    figure_add("held_heartbeats", "1", (double)(atomic_load(&counters->heartbeats) - heartbeats));
    figure_add("heartbeats_per_s", "1/s",
               (double)(atomic_load(&counters->heartbeats) - heartbeats) /
                   stretch_seconds(&stretch));
    figure_add("messages_per_s", "1/s", (double)stretch.messages / stretch_seconds(&stretch));
    figure_add("reads_per_s", "1/s",
               (double)(atomic_load(&counters->read) - read) / stretch_seconds(&stretch));
    figure_add_cpu(scenario, "cpu_us", stretch_cpu_us(&stretch, stretch.messages));
    figure_add("p50_us", "us", (double)histogram_quantile(latency, .5) / 1000);
    figure_add("p99_us", "us", (double)histogram_quantile(latency, .99) / 1000);
    figure_add("p999_us", "us", (double)histogram_quantile(latency, .999) / 1000);
    return 0;
}

/* Until everybody is connected; messages go on. */
static int all_back(struct users *users) {
    const struct load *load = &users->scenario.load;
    unsigned seconds_max = BACK_S_MAX + users->count / BACK_PER_S_MIN;
    uint64_t end_ns = clock_ns() + seconds_max * 1000000000ull;
    int error = 0;
    for (unsigned i = 0; i < users->count && !users->all_stay; i++)
        if (model_is_away(users->model, i))
            load_return(&users->scenario.load, i);
    users->all_stay = true;
    while (error == 0 && atomic_load(&load->counters.connected) < users->count) {
        if (clock_ns() > end_ns) {
            progress("%s", "");
            fprintf(stderr, "tern-bench: %llu of %u people are back after %u s\n",
                    (unsigned long long)atomic_load(&load->counters.connected), users->count,
                    seconds_max);
            return -ETIMEDOUT;
        }
        error = play_until(users, clock_ns() + 20000000);
    }
    return error;
}

/* `lost`: connections since the storm began, those that were cut and those that had to be tried
 * again. */
static void figure_add_storm(struct users *users, unsigned cut, uint64_t lost,
                             const struct sample *before) {
    struct sample after;
    sample_take_quick(&users->scenario.source, &after);
    double seconds = (double)(after.at_ns - before->at_ns) / 1e9;
    figure_add("storm_connections", "1", cut);
    figure_add("storm_seconds", "s", seconds);
    figure_add("storm_logins_per_s", "1/s", cut / seconds);
    figure_add_cpu(&users->scenario, "storm_login_cpu_us", (after.cpu_us - before->cpu_us) / cut);
    figure_add("storm_load_cpu_us", "us", (after.load_cpu_us - before->load_cpu_us) / cut);
    figure_add("storm_retries", "1", (double)(lost - cut));
    figure_add("storm_waiting_peak", "1", users->scenario.load.door.waiting_peak);
    figure_add("storm_p99_us", "us",
               (double)histogram_quantile(&users->timeline.latency, .99) / 1000);
}

/* The network of so many people, evenly spread, fails at once; all go on writing to one another. */
static int storm(struct users *users) {
    unsigned wanted = users->scenario.options->storm;
    unsigned cut = wanted < users->count ? wanted : users->count;
    struct load *load = &users->scenario.load;
    struct sample before;
    timeline_enter(&users->timeline, "storm");
    int error = all_back(users);
    if (error)
        return error;
    uint64_t lost = atomic_load(&load->counters.lost);
    timeline_latency_clear(&users->timeline);
    sample_take_quick(&users->scenario.source, &before);
    for (unsigned i = 0; i < cut; i++)
        load_cut(load, (unsigned)((uint64_t)i * users->count / cut));
    error = load_wait(load, &load->counters.lost, lost + cut);
    if (error == 0)
        error = all_back(users);
    if (error == 0)
        figure_add_storm(users, cut, atomic_load(&load->counters.lost) - lost, &before);
    return error;
}

/* Everybody is back, nothing is missing, and nothing of the node had to be restarted. */
static int settle(struct users *users) {
    struct scenario *scenario = &users->scenario;
    const struct load_counters *counters = &scenario->load.counters;
    struct sample end;
    timeline_enter(&users->timeline, "settle");
    int error = all_back(users);
    if (error == 0)
        error = load_settle(&scenario->load);
    if (error)
        return error;
    sample_take(&scenario->source, &end);
    figure_add("sent", "1", (double)atomic_load(&counters->sent));
    figure_add("delivered", "1", (double)atomic_load(&counters->delivered));
    figure_add("repeated", "1", (double)atomic_load(&counters->repeated));
    figure_add("skipped", "1",
               (double)(atomic_load(&counters->not_sent) + model_skipped(users->model)));
    if (!scenario->source.has_metrics)
        return 0;
    figure_add("node_restarts", "1", end.boot - users->empty.boot);
    figure_add("actor_restarts", "1", end.restarts - users->empty.restarts);
    return 0;
}

static int run(struct users *users) {
    const struct bench_options *options = users->scenario.options;
    int error = log_in(users);
    if (error == 0)
        error = measure_idle(users);
    if (error == 0)
        error = say_hello(users);
    users->begin_ns = clock_ns();
    if (error == 0)
        error = hold(users);
    if (error == 0 && options->storm > 0)
        error = storm(users);
    if (error == 0)
        error = settle(users);
    /* Of a run that failed, too: it shows how far it came. */
    int written = options->report != NULL ? report_write(options->report, &users->timeline) : 0;
    return error ? error : written;
}

static int begin(struct users *users, const struct bench_options *options) {
    const struct load_options load = {
        .count = users->count,
        .outbox_messages = OUTBOX_MESSAGES,
        .several_senders = true,
        .reconnect = true,
        .read_percent = READ_PERCENT,
        .connecting_max = options->connecting,
    };
    const struct model_options model = {
        .seed = options->seed,
        .people = users->count,
        .messages_per_s = options->rate > 0 ? options->rate : users->count / 100.0,
        .leaves_per_s = users->count / 100.0 * options->leaves_per_hour / 3600.0,
    };
    sample_take(&(struct sample_source){0}, &users->alone);
    users->model = model_create(&model);
    int error = users->model == NULL ? -ENOMEM : 0;
    if (error == 0)
        error = scenario_begin(&users->scenario, options, &load);
    if (error)
        return error;
    users->scenario.load.watch = watch;
    users->scenario.load.watch_context = users;
    return timeline_begin(&users->timeline, &users->scenario.source, &users->scenario.load);
}

int scenario_users(const struct bench_options *options) {
    struct bench_options own = *options;
    struct users *users = calloc(1, sizeof *users);
    char setting[64];
    CHECK(users != NULL);
    users->count = options->connections;
    snprintf(setting, sizeof setting, "connections_max = %u", users->count + SPARE_CONNECTIONS);
    if (own.node.setting_count < NODE_SETTINGS_MAX)
        own.node.settings[own.node.setting_count++] = setting;
    prctl(PR_SET_TIMERSLACK, 1000ul);
    figures_ground("sockets");
    int error = begin(users, &own);
    if (error == 0) {
        error = run(users);
        timeline_end(&users->timeline);
        scenario_end(&users->scenario);
    }
    model_destroy(users->model);
    free(users);
    return error;
}

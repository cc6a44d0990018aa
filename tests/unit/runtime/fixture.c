/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/runtime/fixture.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* --- driven by hand
 * -------------------------------------------------------------------------------- */

uint64_t fixture_now_ns;

static uint64_t now_ns(void *context) {
    return fixture_now_ns;
}

static uint64_t wall_ms(void *context) {
    return 1700000000000u + fixture_now_ns / 1000000;
}

static void random_bytes(void *context, void *bytes, size_t length) {
    static uint64_t state = 1;
    for (size_t i = 0; i < length; i++) {
        state = map_mix(state + 0x9e3779b97f4a7c15u);
        ((uint8_t *)bytes)[i] = (uint8_t)state;
    }
}

static void no_wake(struct reactor *reactor) {
}

static const struct reactor_ops reactor_none = {.name = "none", .wake = no_wake};

struct runtime *fixture_create_with(const struct runtime_options *options) {
    static struct seams seams;
    struct runtime_options own = *options;
    struct runtime *runtime;
    if (!own.seams) {
        seams = (struct seams){.monotonic_ns = now_ns,
                               .wall_ms = wall_ms,
                               .random_bytes = random_bytes,
                               .reactor = &reactor_none,
                               .pool = &pool_threads};
        own.seams = &seams;
    }
    own.pool_threads = 1;
    fixture_now_ns = 123456789012;
    assert_int_equal(runtime_create(&own, &runtime), 0);
    shard_enter(runtime->shards[0]);
    return runtime;
}

struct runtime *fixture_create(unsigned shards) {
    struct runtime_options options = {.shards = shards, .actors_max = 100000};
    return fixture_create_with(&options);
}

void fixture_destroy(struct runtime *runtime) {
    shard_enter(NULL);
    uint64_t in_use = 0;
    runtime_finish(runtime);
    for (unsigned i = 0; i < runtime->shard_count; i++)
        in_use += slab_in_use(&runtime->shards[i]->messages);
    assert_int_equal(in_use, 0);
    runtime_free(runtime);
}

void fixture_advance_ms(uint64_t ms) {
    fixture_now_ns += ms * 1000000;
}

void fixture_enter(struct runtime *runtime, unsigned shard) {
    shard_enter(runtime->shards[shard]);
}

void fixture_run(struct runtime *runtime) {
    for (bool more = true; more;) {
        more = false;
        for (unsigned i = 0; i < runtime->shard_count; i++) {
            fixture_enter(runtime, i);
            shard_step(runtime->shards[i]);
        }
        for (unsigned i = 0; i < runtime->shard_count; i++)
            more |= shard_idle_ns(runtime->shards[i]) == 0;
    }
    fixture_enter(runtime, 0);
}

void fixture_run_ms(struct runtime *runtime, uint64_t ms) {
    fixture_run(runtime);
    while (ms--) {
        fixture_advance_ms(1);
        fixture_run(runtime);
    }
}

void fixture_send(struct actor_id to, uint16_t kind, uint64_t value) {
    struct message *message = message_of(kind, value);
    assert_int_equal(actor_send(to, &message), 0);
    assert_null(message);
}

struct search {
    const char *name;
    struct runtime_class_counters found;
    uint64_t count;
};

static void class_visit(void *context, const struct runtime_class_counters *counters) {
    struct search *search = context;
    if (strcmp(counters->name, search->name) == 0)
        search->found = *counters;
}

const struct runtime_class_counters *fixture_class(struct runtime *runtime, const char *name) {
    static struct search search;
    search = (struct search){.name = name};
    runtime_classes_visit(runtime, class_visit, &search);
    return &search.found;
}

static void event_visit(void *context, const char *name, uint64_t count) {
    struct search *search = context;
    if (strcmp(name, search->name) == 0)
        search->count = count;
}

uint64_t fixture_event(struct runtime *runtime, const char *name) {
    struct search search = {.name = name};
    runtime_events_visit(runtime, event_visit, &search);
    return search.count;
}

/* --- a reactor that waits and wakes
 * ------------------------------------------------------------------ */

struct reactor {
    int event_fd;
};

static int waiting_create(struct shard *shard, struct reactor **reactor) {
    *reactor = malloc(sizeof **reactor);
    (*reactor)->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return (*reactor)->event_fd < 0 ? -errno : 0;
}

static void waiting_destroy(struct reactor *reactor) {
    close(reactor->event_fd);
    free(reactor);
}

static unsigned waiting_poll(struct reactor *reactor, uint64_t timeout_ns) {
    if (!timeout_ns)
        return 0;
    struct pollfd event = {.fd = reactor->event_fd, .events = POLLIN};
    struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / 1000000000u),
                               .tv_nsec = (long)(timeout_ns % 1000000000u)};
    uint64_t count;
    if (ppoll(&event, 1, timeout_ns == UINT64_MAX ? NULL : &timeout, NULL) == 1)
        return read(reactor->event_fd, &count, sizeof count) == sizeof count;
    return 0;
}

static unsigned waiting_rest(struct reactor *reactor, uint64_t timeout_ns) {
    struct timespec timeout = {.tv_nsec = (long)timeout_ns};
    nanosleep(&timeout, NULL);
    return waiting_poll(reactor, 1);
}

static void waiting_wake(struct reactor *reactor) {
    uint64_t one = 1;
    assert_int_equal(write(reactor->event_fd, &one, sizeof one), sizeof one);
}

const struct reactor_ops reactor_waiting = {.name = "waiting",
                                            .create = waiting_create,
                                            .destroy = waiting_destroy,
                                            .poll = waiting_poll,
                                            .rest = waiting_rest,
                                            .wake = waiting_wake};

static uint64_t real_now_ns(void *context) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t real_wall_ms(void *context) {
    return (uint64_t)time(NULL) * 1000;
}

const struct seams *fixture_seams_threads(void) {
    static const struct seams seams = {.monotonic_ns = real_now_ns,
                                       .wall_ms = real_wall_ms,
                                       .random_bytes = random_bytes,
                                       .reactor = &reactor_waiting,
                                       .pool = &pool_threads,
                                       .watchdog = &watchdog_thread};
    return &seams;
}

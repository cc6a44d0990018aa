/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A runtime's start, its threads, and its end.
 *
 *   start: shards made ─► each thread makes its reactor ─► all ready ─► root on shard 0 ─► tree
 * started stop:  root is told ─► tree ended in reverse order ─► `stopping` ─► each shard ends what
 * actors are left, then its thread ─► pool finishes its jobs ─► what is still on its way is freed
 *
 * Reactors live from their thread's beginning to its end: a ring belongs to one thread.
 */
#include "runtime/runtime.h"

#include "runtime/control_internal.h"
#include "runtime/crash_internal.h"
#include "runtime/log.h"
#include "runtime/scheduler_internal.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POOL_THREADS 4u
#define DISCARD_PASSES 4u
#define LANES_POPULATE_MAX 8u /* shards; with more, lanes that nobody uses cost a page each */
/* Turns that a spin has joined go by without a poll for so long. */
#define POLL_NS_MAX 20000u
#define CLOSING_NS_MAX 1000000000u
#define CLOSING_POLL_NS 10000000u

/* --- making
 * ------------------------------------------------------------------------------------------- */

static size_t lanes_bytes(const struct runtime *runtime) {
    return sizeof(struct lane) * runtime->shard_count * runtime->shard_count;
}

void runtime_free(struct runtime *runtime) {
    for (unsigned i = 0; i < runtime->shard_count; i++)
        if (runtime->shards[i])
            shard_destroy(runtime->shards[i]);
    pthread_cond_destroy(&runtime->changed);
    pthread_mutex_destroy(&runtime->lock);
    free(runtime->names);
    memory_unmap(runtime->lanes, lanes_bytes(runtime));
    free(runtime->shards);
    free(runtime);
}

static int make_shards(struct runtime *runtime, uint32_t actors_max) {
    runtime->shards = calloc(runtime->shard_count, sizeof(struct shard *));
    runtime->lanes = memory_map(lanes_bytes(runtime), runtime->shard_count <= LANES_POPULATE_MAX);
    runtime->names = calloc(NAMES_MAX, sizeof(struct name_entry));
    CHECK(runtime->shards && runtime->lanes && runtime->names);
    for (unsigned i = 0; i < runtime->shard_count; i++) {
        int error = shard_create(runtime, i, actors_max, &runtime->shards[i]);
        if (error)
            return error;
    }
    return 0;
}

static bool have_processors(unsigned shards) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 && shards <= (unsigned)CPU_COUNT(&set);
}

int runtime_create(const struct runtime_options *options, struct runtime **created) {
    struct runtime *runtime = aligned_alloc(64, sizeof *runtime);
    if (!runtime)
        return -ENOMEM;
    memset(runtime, 0, sizeof *runtime);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned threads = options->pool_threads ? options->pool_threads : POOL_THREADS;
    uint32_t actors_max = options->actors_max ? options->actors_max : ID_SLOTS_MAX - 1;
    runtime->seams = options->seams ? *options->seams : *seams_system();
    if (options->reactor)
        runtime->seams.reactor = options->reactor;
    if (!runtime->seams.reactor)
        runtime->seams.reactor = reactor_choose();
    runtime->context = options->context;
    runtime->shard_count = options->shards ? options->shards : cores > 0 ? (unsigned)cores : 1;
    runtime->node = options->node;
    runtime->pin_threads = options->pin_threads;
    runtime->spins = runtime->shard_count > 1 && have_processors(runtime->shard_count);
    runtime->root = options->root;
    runtime->batch_wait_ns = options->batch_wait_us * (uint64_t)1000;
    runtime->watchdog_budget_ms =
        options->watchdog_budget_ms ? options->watchdog_budget_ms : WATCHDOG_BUDGET_MS;
    if (runtime->shard_count > SHARDS_MAX || runtime->node >= 1u << ID_NODE_BITS ||
        actors_max >= ID_SLOTS_MAX) {
        free(runtime);
        return -EINVAL;
    }
    pthread_mutex_init(&runtime->lock, NULL);
    pthread_cond_init(&runtime->changed, NULL);
    int error = make_shards(runtime, actors_max);
    if (!error)
        error = runtime->seams.pool->create(runtime, threads, &runtime->pool);
    if (error)
        runtime_free(runtime);
    else
        *created = runtime;
    return error;
}

/* --- the tree
 * ------------------------------------------------------------------------------------------- */

int runtime_start_root(struct runtime *runtime) {
    struct actor_id root;
    struct supervisor_argument argument = {.spec = runtime->root, .root = true};
    if (!runtime->root) {
        runtime_root_started(runtime, 0);
        return 0;
    }
    int error = actor_spawn(&supervisor_class, &argument, ACTOR_NOBODY, &root);
    if (error) {
        runtime_root_started(runtime, error);
        return error;
    }
    pthread_mutex_lock(&runtime->lock);
    runtime->root_id = root;
    pthread_mutex_unlock(&runtime->lock);
    return 0;
}

struct actor_id runtime_root(struct runtime *runtime) {
    pthread_mutex_lock(&runtime->lock);
    struct actor_id root = runtime->root_id;
    pthread_mutex_unlock(&runtime->lock);
    return root;
}

void runtime_root_started(struct runtime *runtime, int error) {
    pthread_mutex_lock(&runtime->lock);
    runtime->root_started = true;
    runtime->start_error = error;
    pthread_cond_broadcast(&runtime->changed);
    pthread_mutex_unlock(&runtime->lock);
}

static void wake_all(struct runtime *runtime) {
    for (unsigned i = 0; i < runtime->shard_count; i++)
        shard_wake_if_asleep(runtime->shards[i]);
}

static void begin_stopping(struct runtime *runtime) {
    /* Pairs with the acquire in loop and runtime_wants. */
    __atomic_store_n(&runtime->stopping, true, __ATOMIC_RELEASE);
    wake_all(runtime);
}

void runtime_root_ended(struct runtime *runtime, int reason) {
    pthread_mutex_lock(&runtime->lock);
    runtime->root_ended = true;
    runtime->root_reason = reason;
    runtime->root_id = ACTOR_NOBODY;
    pthread_cond_broadcast(&runtime->changed);
    pthread_mutex_unlock(&runtime->lock);
    if (reason != ACTOR_SHUTDOWN && !__atomic_load_n(&runtime->exit_code, __ATOMIC_RELAXED))
        __atomic_store_n(&runtime->exit_code, RUNTIME_EXIT_ESCALATED, __ATOMIC_RELAXED);
    begin_stopping(runtime);
}

/* When a stop was asked for. */
static void tell_root(struct shard *shard) {
    struct runtime *runtime = shard->runtime;
    __atomic_store_n(&runtime->stop_requested, false, __ATOMIC_RELAXED);
    pthread_mutex_lock(&runtime->lock);
    struct actor_id root = runtime->root_id;
    pthread_mutex_unlock(&runtime->lock);
    if (!root.bits) {
        begin_stopping(runtime);
        return;
    }
    struct message *message = message_create(ACTOR_STOP, 0);
    system_send(shard, root, message);
}

void runtime_heed(struct shard *shard) {
    if (shard->index == 0 && __atomic_load_n(&shard->runtime->stop_requested, __ATOMIC_RELAXED))
        tell_root(shard);
}

bool runtime_wants(struct shard *shard) {
    const struct runtime *runtime = shard->runtime;
    return __atomic_load_n(&runtime->stopping, __ATOMIC_ACQUIRE) ||
           (shard->index == 0 && __atomic_load_n(&runtime->stop_requested, __ATOMIC_RELAXED));
}

void runtime_stop(struct runtime *runtime, int exit_code) {
    __atomic_store_n(&runtime->exit_code, exit_code, __ATOMIC_RELAXED);
    __atomic_store_n(&runtime->stop_requested, true, __ATOMIC_RELAXED);
    shard_wake_if_asleep(runtime->shards[0]);
}

/* --- threads
 * --------------------------------------------------------------------------------------------- */

static void pin(unsigned index) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(index % (unsigned)(cores > 0 ? cores : 1), &set);
    pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

/* Waits until all shards are as far, or one has failed; returns the error if so. */
static int wait_for_others(struct runtime *runtime, int error) {
    pthread_mutex_lock(&runtime->lock);
    runtime->shards_ready++;
    if (error && !runtime->start_error)
        runtime->start_error = error;
    pthread_cond_broadcast(&runtime->changed);
    while (runtime->shards_ready < runtime->shard_count && !runtime->start_error)
        pthread_cond_wait(&runtime->changed, &runtime->lock);
    error = runtime->start_error;
    pthread_mutex_unlock(&runtime->lock);
    return error;
}

/* Returns how many have come. While it rests nobody need wake it: it looks again soon. */
static unsigned wait_for_events(struct shard *shard, uint64_t wait_ns) {
    const struct reactor_ops *reactor = shard->seams->reactor;
    uint64_t now_ns = shard->seams->monotonic_ns(shard->seams->context);
    uint64_t resting_ns = reactor->rest ? rest_ns(&shard->rest, now_ns, wait_ns) : 0;
    unsigned events;
    if (resting_ns) {
        counter_add(shard->counters.rests, 1);
        return reactor->rest(shard->reactor, resting_ns);
    }
    events = reactor->poll(shard->reactor, shard_park(shard) ? wait_ns : 0);
    shard_unpark(shard);
    return events;
}

/* True if the next turn is to begin at once: something came, and the reactor was polled lately. */
static bool spin(struct shard *shard) {
    uint32_t spin_ns = shard->rest.resting ? 0 : spin_begin(&shard->spin);
    if (!spin_ns)
        return false;
    bool won = shard_await_arrivals(shard, spin_ns);
    spin_end(&shard->spin, won);
    if (won)
        counter_add(shard->counters.spins_won, 1);
    else
        counter_add(shard->counters.spins_lost, 1);
    return won && shard->now_ns - shard->polled_ns < POLL_NS_MAX;
}

static void loop(struct shard *shard) {
    struct runtime *runtime = shard->runtime;
    const struct reactor_ops *reactor = shard->seams->reactor;
    /* Pairs with the release in begin_stopping. */
    while (!__atomic_load_n(&runtime->stopping, __ATOMIC_ACQUIRE)) {
        runtime_heed(shard);
        bool more = shard_step(shard);
        if (!more && spin(shard))
            continue;
        shard->looked_ns = 0; /* a poll may take longer than a look */
        uint64_t wait_ns = more ? 0 : shard_idle_ns(shard);
        shard->polled_ns = shard->now_ns;
        shard->rest.events +=
            wait_ns ? wait_for_events(shard, wait_ns) : reactor->poll(shard->reactor, 0);
    }
}

/* Lets sockets that were closed send their last bytes. */
static void finish_io(struct shard *shard) {
    const struct seams *seams = shard->seams;
    uint64_t end_ns = seams->monotonic_ns(seams->context) + CLOSING_NS_MAX;
    while (io_closing(shard) && shard->now_ns < end_ns) {
        seams->reactor->poll(shard->reactor, CLOSING_POLL_NS);
        shard->now_ns = seams->monotonic_ns(seams->context);
        io_turn(shard);
    }
}

/* Its reactor stays until nobody can be about to wake it: not another shard, not the pool. */
static void say_ended_and_wait(struct runtime *runtime) {
    pthread_mutex_lock(&runtime->lock);
    runtime->shards_ended++;
    pthread_cond_broadcast(&runtime->changed);
    while (!runtime->is_quiet)
        pthread_cond_wait(&runtime->changed, &runtime->lock);
    pthread_mutex_unlock(&runtime->lock);
}

static void *thread_run(void *argument) {
    struct shard *shard = argument;
    struct runtime *runtime = shard->runtime;
    struct crash_stack stack;
    thread_name("shard", shard->index);
    crash_stack_enter(&stack);
    shard->stack_end = thread_stack_end();
    /* Pairs with the load in watchdog_thread.c's ask. */
    __atomic_store_n(&shard->thread_id, gettid(), __ATOMIC_RELAXED);
    shard_enter(shard);
    if (runtime->pin_threads)
        pin(shard->index);
    int error = runtime->seams.reactor->create(shard, &shard->reactor);
    if (!wait_for_others(runtime, error)) {
        if (shard->index == 0)
            runtime_start_root(runtime);
        loop(shard);
        shard_end_actors(shard);
        finish_io(shard);
    }
    shard_publish_quietly(shard);
    say_ended_and_wait(runtime);
    if (shard->reactor)
        runtime->seams.reactor->destroy(shard->reactor);
    io_finish(shard);
    crash_stack_leave(&stack);
    return NULL;
}

static int start_threads(struct runtime *runtime) {
    int error = 0;
    if (runtime->seams.watchdog && runtime->watchdog_budget_ms != WATCHDOG_OFF)
        error = runtime->seams.watchdog->create(runtime, runtime->watchdog_budget_ms,
                                                &runtime->watchdog);
    while (!error && runtime->threads_started < runtime->shard_count) {
        struct shard *shard = runtime->shards[runtime->threads_started];
        error = thread_create_quiet(&shard->thread, thread_run, shard);
        runtime->threads_started += !error;
    }
    if (error)
        wait_for_others(runtime, error); /* those that were started end */
    return error;
}

/* Before any thread of the runtime is there. */
static bool install_crash(const struct runtime_options *options) {
    struct crash_options crash = {.directory = options->crash_directory,
                                  .version = options->crash_version};
    if (!crash.directory)
        return false;
    int error = crash_install(&crash);
    if (error)
        log_warning("crashes will leave no record in %s: %s", crash.directory, strerror(-error));
    return !error;
}

int runtime_start(const struct runtime_options *options, struct runtime **started) {
    struct runtime *runtime;
    bool crash_installed = install_crash(options);
    int error = runtime_create(options, &runtime);
    if (error && crash_installed)
        crash_uninstall();
    if (error)
        return error;
    runtime->crash_installed = crash_installed;
    error = start_threads(runtime);
    pthread_mutex_lock(&runtime->lock);
    while (!error && !runtime->root_started && !runtime->start_error)
        pthread_cond_wait(&runtime->changed, &runtime->lock);
    error = error ? error : runtime->start_error;
    pthread_mutex_unlock(&runtime->lock);
    if (!error) {
        *started = runtime;
        return 0;
    }
    runtime_stop(runtime, 0);
    runtime_wait(runtime);
    runtime_destroy(runtime);
    return error;
}

int runtime_wait(struct runtime *runtime) {
    pthread_mutex_lock(&runtime->lock);
    while (runtime->shards_ended < runtime->threads_started)
        pthread_cond_wait(&runtime->changed, &runtime->lock);
    pthread_mutex_unlock(&runtime->lock);
    return __atomic_load_n(&runtime->exit_code, __ATOMIC_RELAXED);
}

/* Lets the threads go that wait in say_ended_and_wait. */
static void join_threads(struct runtime *runtime) {
    pthread_mutex_lock(&runtime->lock);
    runtime->is_quiet = true;
    pthread_cond_broadcast(&runtime->changed);
    pthread_mutex_unlock(&runtime->lock);
    for (unsigned i = 0; i < runtime->threads_started; i++)
        pthread_join(runtime->shards[i]->thread, NULL);
    if (runtime->watchdog)
        runtime->seams.watchdog->destroy(runtime->watchdog);
}

/* What is freed on one shard may go home to another, and that may be looked at already. */
static void discard_all(struct runtime *runtime) {
    for (unsigned pass = 0; pass < DISCARD_PASSES; pass++)
        for (unsigned i = 0; i < runtime->shard_count; i++) {
            shard_enter(runtime->shards[i]);
            shard_discard_arrivals(runtime->shards[i]);
            shard_publish_quietly(runtime->shards[i]);
        }
}

void runtime_finish(struct runtime *runtime) {
    struct shard *before = shard_of_thread;
    for (unsigned i = 0; i < runtime->shard_count; i++) {
        shard_enter(runtime->shards[i]);
        shard_end_actors(runtime->shards[i]); /* of a runtime without threads */
    }
    shard_enter(NULL);
    runtime->seams.pool->destroy(runtime->pool);
    join_threads(runtime);
    discard_all(runtime);
    shard_enter(before);
}

void runtime_destroy(struct runtime *runtime) {
    bool crash_installed = runtime->crash_installed;
    runtime_finish(runtime);
    runtime_free(runtime);
    if (crash_installed)
        crash_uninstall();
}

const char *runtime_reactor_name(const struct runtime *runtime) {
    return runtime->seams.reactor->name;
}

void runtime_send(struct runtime *runtime, struct actor_id to, struct message **message) {
    struct message *sent = *message;
    *message = NULL;
    message_unhold(sent);
    sent->to = to;
    sent->to_class = NULL;
    sent->from = ACTOR_NOBODY;
    sent->flags = MESSAGE_SYSTEM;
    sent->allocated_bytes = message_bytes(sent);
    if (id_node(to) == runtime->node && id_shard(to) < runtime->shard_count)
        shard_inbox_push(runtime->shards[id_shard(to)], sent);
    else
        message_destroy(sent);
}

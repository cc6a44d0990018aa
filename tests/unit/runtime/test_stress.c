/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything at once on two shards: actors that send, spawn, monitor, link, kill, fail, start
 * timers, ask the pool and reach each other by name, at random; then the books must balance. Two
 * seconds, or as many as TERN_STRESS_SECONDS says; the seed is TERN_STRESS_SEED, else the time, and
 * is printed.
 */
#include "tests/unit/runtime/fixture.h"

#include "runtime/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CHAOS = ACTOR_KIND_FIRST, NOTE, JOB, ALARM, RELATIVE };
#define WORKERS 64u
#define NAMED_KEYS 500u

struct context {
    uint64_t seed;
    uint64_t made, destroyed; /* states: init and terminate, atomic */
    uint64_t stopping;        /* atomic */
};
struct worker {
    uint64_t random;
    uint64_t reference;
    struct actor_id friend;
    struct actor_timer timer;
    uint8_t *memory;
    struct message *kept;
};
static const struct actor_class worker_class, named_class;

static uint64_t draw(struct worker *worker, uint64_t below) {
    worker->random = map_mix(worker->random + 0x9e3779b97f4a7c15u);
    return worker->random % below;
}
static struct context *context_of(void) {
    return actor_context();
}
static int worker_init(void *state, const void *argument) {
    struct worker *worker = state;
    worker->random = map_mix(context_of()->seed ^ actor_self().bits);
    if (draw(worker, 20) == 0)
        return -EAGAIN;
    if (draw(worker, 20) == 0)
        actor_fail(1, "init");
    __atomic_fetch_add(&context_of()->made, 1, __ATOMIC_RELAXED);
    actor_trap_exits(draw(worker, 2));
    return 0;
}
static void worker_terminate(void *state, int reason) {
    struct worker *worker = state;
    __atomic_fetch_add(&context_of()->destroyed, 1, __ATOMIC_RELAXED);
    if (draw(worker, 50) == 0)
        actor_fail(2, "terminate");
}
static void job_run(struct message *message) {
    memset(message_payload(message), 1, message->payload_bytes);
}

static void give(struct message *message, int error) {
    if (error)
        message_destroy(message);
}
static void say_by_name(struct worker *worker) {
    struct message *note = message_create(NOTE, draw(worker, 300));
    if (draw(worker, 4) == 0)
        note->blob = blob_create(draw(worker, 20000));
    give(note, actor_send_named(&named_class, 1 + draw(worker, NAMED_KEYS), &note) && note);
}
static void introduce(struct worker *worker) {
    struct message *note = message_create(RELATIVE, sizeof(struct actor_id));
    *message_as(note, struct actor_id) = actor_self();
    int error = actor_send_named(&named_class, 1 + draw(worker, NAMED_KEYS), &note);
    if (error)
        message_destroy(note);
}
static void ask_pool(struct worker *worker) {
    struct message *job = message_create(JOB, 1 + draw(worker, 1000));
    if (actor_run_blocking(job_run, &job))
        message_destroy(job);
}
static void be_friends(struct worker *worker) {
    switch (draw(worker, 6)) {
    case 0:
        worker->reference = actor_monitor(worker->friend);
        break;
    case 1:
        actor_unmonitor(worker->reference);
        break;
    case 2:
        actor_link(worker->friend);
        break;
    case 3:
        actor_unlink(worker->friend);
        break;
    case 4:
        if (draw(worker, 10) == 0)
            actor_kill(worker->friend, draw(worker, 2) ? ACTOR_KILLED : 5);
        break;
    default:
        give(NULL, actor_signal(worker->friend, NOTE));
    }
}
static void use_memory(struct worker *worker) {
    size_t bytes = 1 + draw(worker, 5000);
    worker->memory = actor_reallocate(worker->memory, bytes);
    memset(worker->memory, 3, bytes);
    if (draw(worker, 3) == 0) {
        actor_free(worker->memory);
        worker->memory = NULL;
    }
}

static void chaos(struct worker *worker, struct message **message) {
    switch (draw(worker, 12)) {
    case 0:
        introduce(worker);
        break;
    case 1:
        ask_pool(worker);
        break;
    case 2:
        actor_timer_cancel(&worker->timer);
        worker->timer = actor_timer_start(draw(worker, 20), ALARM, 0);
        break;
    case 3:
        actor_defer(&(struct message *){message_create(NOTE, 10)});
        actor_undefer();
        break;
    case 4:
        message_destroy(worker->kept);
        worker->kept = message_keep(message);
        break;
    case 5:
        use_memory(worker);
        break;
    case 6:
        if (draw(worker, 30) == 0)
            actor_fail(3, "chaos");
        break;
    case 7:
        actor_spawn(&named_class, NULL, ACTOR_NOBODY, &worker->friend);
        break;
    default:
        say_by_name(worker);
    }
    if (worker->friend.bits)
        be_friends(worker);
}
static void on_chaos(void *state, struct message **message) {
    struct worker *worker = state;
    for (unsigned i = 0; i < 8; i++)
        if (*message)
            chaos(worker, message);
    if (!__atomic_load_n(&context_of()->stopping, __ATOMIC_RELAXED))
        actor_timer_start(draw(worker, 3), CHAOS, 0);
}
static void on_note(void *state, struct message **message) {
    struct worker *worker = state;
    if (draw(worker, 8) == 0)
        chaos(worker, message);
    if (draw(worker, 40) == 0)
        actor_stop(ACTOR_NORMAL);
}
static void on_relative(void *state, struct message **message) {
    ((struct worker *)state)->friend = *message_as(*message, struct actor_id);
}
static bool may_passivate(void *state) {
    return draw(state, 2);
}
static const struct actor_handler handlers[] = {
    [ACTOR_DOWN] = {"down", on_note},
    [ACTOR_EXIT] = {"exit", on_note},
    [CHAOS] = {"chaos", on_chaos},
    [NOTE] = {"note", on_note},
    [JOB] = {"job", on_note},
    [ALARM] = {"alarm", on_note},
    [RELATIVE] = {"relative", on_relative},
};
#define WORKER_CLASS                                                                          \
    .state_bytes = sizeof(struct worker), .init = worker_init, .terminate = worker_terminate, \
    .handlers = handlers, .handler_count = RELATIVE + 1, .mailbox_messages_max = 32
static const struct actor_class named_class = {
    .name = "named", WORKER_CLASS, .idle_ms = 5, .may_passivate = may_passivate};

/* Starts workers anew, so that there is always somebody. */
static int breeder_init(void *state, const void *argument) {
    actor_timer_start(1, CHAOS, 0);
    return 0;
}
static void breeder_chaos(void *state, struct message **message) {
    struct context *context = context_of();
    struct message *chaos_message = message_create(CHAOS, 8);
    struct actor_id id;
    if (__atomic_load_n(&context->stopping, __ATOMIC_RELAXED))
        return message_destroy(chaos_message);
    if (actor_spawn(&worker_class, NULL, actor_self(), &id) == 0 &&
        actor_send(id, &chaos_message) == 0)
        actor_count("stress_workers", 1);
    message_destroy(chaos_message);
    actor_timer_start(1, CHAOS, 0);
}
static const struct actor_class worker_class = {.name = "worker", WORKER_CLASS};
static const struct actor_handler breeder_handlers[] = {[CHAOS] = {"chaos", breeder_chaos}};
static const struct actor_class breeder_class = {.name = "breeder",
                                                 .init = breeder_init,
                                                 .handlers = breeder_handlers,
                                                 .handler_count = CHAOS + 1};

static const struct supervisor_child children[] = {{.class = &named_class, .dynamic = true},
                                                   {.class = &breeder_class, .every_shard = true}};
static const struct supervisor_spec spec = {
    .name = "root", .restarts_max = 60000, .period_ms = 1, .children = children, .child_count = 2};

static uint64_t from_environment(const char *name, uint64_t standard) {
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 0) : standard;
}

/* `state`: the reactor, which each shard sleeps in; NULL: the fixture's own. */
static void books_balance_after_chaos(void **state) {
    struct context context = {.seed = from_environment("TERN_STRESS_SEED", (uint64_t)time(NULL))};
    struct runtime_options options = {.shards = 2,
                                      .seams = fixture_seams_threads(),
                                      .reactor = *state,
                                      .root = &spec,
                                      .context = &context,
                                      .pool_threads = 2,
                                      .actors_max = 100000};
    struct runtime *runtime;
    struct runtime_counters counters;
    log_level_set(LOG_ERROR);
    print_message("TERN_STRESS_SEED=%lu\n", (unsigned long)context.seed);
    assert_int_equal(runtime_start(&options, &runtime), 0);
    sleep((unsigned)from_environment("TERN_STRESS_SECONDS", 2));
    __atomic_store_n(&context.stopping, 1, __ATOMIC_RELAXED);
    runtime_stop(runtime, 0);
    assert_int_equal(runtime_wait(runtime), 0);
    runtime_counters_read(runtime, &counters);
    const struct runtime_class_counters *named = fixture_class(runtime, "named");
    print_message("%lu messages, %lu across, %lu named spawned, %lu failed, %lu passivated\n",
                  counters.messages, counters.messages_cross_shard, named->spawned, named->failed,
                  named->passivated);
    assert_int_equal(counters.actors, 0);
    assert_int_equal(named->actors, 0);
    assert_int_equal(named->mailbox_messages, 0);
    assert_int_equal(counters.timers_pending, 0);
    assert_true(named->failed > 0 && named->passivated > 0);
    assert_true(counters.messages_cross_shard > 0 && counters.pool_jobs > 0);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(runtime->shards[i]->watching.count, 0);
    fixture_destroy(runtime);
    assert_int_equal(context.made, context.destroyed);
}

int main(void) {
    static struct reactor_ops libev;
    libev = reactor_ev;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(books_balance_after_chaos),
        {"books_balance_on_libev", books_balance_after_chaos, NULL, NULL, &libev},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

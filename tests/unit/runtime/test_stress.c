/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything at once on two shards: actors that send, multicast, spawn, monitor, link, kill, fail,
 * start timers, ask the pool, join groups and reach each other by name, at random; lookers inspect
 * and trace them; threads outside and the pool's send to them and read the counters. Then the books
 * must balance. Two seconds, or as many as TERN_STRESS_SECONDS says; the seed is TERN_STRESS_SEED,
 * else the time, and is printed.
 */
#include "tests/unit/runtime/fixture.h"

#include "runtime/group.h"
#include "runtime/inspect.h"
#include "runtime/log.h"
#include "runtime/trace.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CHAOS = ACTOR_KIND_FIRST, NOTE, JOB, ALARM, RELATIVE };
#define WORKERS 64u
#define NAMED_KEYS 500u
#define KNOWN 256u
#define MULTICAST_MAX 16u
#define GROUPS 8u

/* But for the seed all is atomic and relaxed. */
struct context {
    uint64_t seed;
    uint64_t made, destroyed; /* states: init and terminate */
    uint64_t stopping;
    struct runtime *runtime; /* once it has started */
    uint64_t known[KNOWN];   /* ids of actors that were there once */
    uint64_t multicasts, undelivered, outside, read, looked, rows, traced, traces;
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
static void count(uint64_t *counter, uint64_t n) {
    __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}
static struct actor_id known(const struct context *context, uint64_t which) {
    return (struct actor_id){__atomic_load_n(&context->known[which % KNOWN], __ATOMIC_RELAXED)};
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
    __atomic_store_n(&context_of()->known[draw(worker, KNOWN)], actor_self().bits,
                     __ATOMIC_RELAXED);
    return 0;
}
static void worker_terminate(void *state, int reason) {
    struct worker *worker = state;
    __atomic_fetch_add(&context_of()->destroyed, 1, __ATOMIC_RELAXED);
    if (draw(worker, 50) == 0)
        actor_fail(2, "terminate");
}
/* On a pool thread, which may send by itself, too. */
struct job {
    struct context *context;
    struct actor_id to;
    uint8_t bytes[];
};
static void job_run(struct message *message) {
    struct job *job = message_as(message, struct job);
    struct runtime *runtime = __atomic_load_n(&job->context->runtime, __ATOMIC_ACQUIRE);
    memset(job->bytes, 1, message->payload_bytes - sizeof(*job));
    if (!runtime || !job->to.bits)
        return;
    struct message *note = message_create(NOTE, 50);
    note->blob = blob_create(3000);
    runtime_send(runtime, job->to, &note);
    count(&job->context->outside, 1);
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
    struct message *job = message_create(JOB, sizeof(struct job) + draw(worker, 1000));
    *message_as(job, struct job) = (struct job){context_of(), ACTOR_NOBODY};
    if (draw(worker, 4) == 0)
        message_as(job, struct job)->to = known(context_of(), draw(worker, KNOWN));
    if (actor_run_blocking(job_run, &job))
        message_destroy(job);
}
static void tell_many(struct worker *worker) {
    struct actor_id ids[MULTICAST_MAX];
    size_t ids_count = 1 + draw(worker, MULTICAST_MAX);
    struct message *note = message_create(NOTE, 1 + draw(worker, 300));
    for (size_t i = 0; i < ids_count; i++)
        ids[i] = known(context_of(), draw(worker, KNOWN));
    if (draw(worker, 2) == 0)
        note->blob = blob_create(draw(worker, 20000));
    if (actor_multicast(ids, ids_count, &note) < 0)
        message_destroy(note);
    count(&context_of()->multicasts, 1);
}
static void meet(struct worker *worker) {
    struct message *note;
    uint64_t key = draw(worker, GROUPS);
    switch (draw(worker, 4)) {
    case 0:
        actor_group_leave("stress", key);
        break;
    case 1:
        note = message_create(NOTE, 20);
        if (actor_group_send("stress", key, &note) < 0)
            message_destroy(note);
        break;
    default:
        actor_group_join("stress", key);
    }
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
    switch (draw(worker, 15)) {
    case 12:
    case 13:
        tell_many(worker);
        break;
    case 14:
        meet(worker);
        break;
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
static void on_undelivered(void *state, struct message **message) {
    const struct actor_undelivered *undelivered = message_as(*message, struct actor_undelivered);
    count(&context_of()->undelivered, undelivered->count);
}
static bool may_passivate(void *state) {
    return draw(state, 2);
}
static const struct actor_handler handlers[] = {
    [ACTOR_DOWN] = {"down", on_note},
    [ACTOR_EXIT] = {"exit", on_note},
    [ACTOR_UNDELIVERED] = {"undelivered", on_undelivered},
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

/* --- looking at them */

struct looker {
    struct worker worker; /* for draw */
    struct inspect_gather gather;
    uint64_t trace;
};
static int looker_init(void *state, const void *argument) {
    struct looker *looker = state;
    looker->worker.random = map_mix(context_of()->seed + actor_self().bits);
    actor_timer_start(1, CHAOS, 0);
    return 0;
}
static void look(struct looker *looker) {
    struct worker *worker = &looker->worker;
    struct inspect_query query = {
        .order = (enum inspect_order)draw(worker, INSPECT_BY_BYTES + 1),
        .rows = 1 + (uint32_t)draw(worker, 50),
        .window_ms = draw(worker, 2) ? 0 : (uint32_t)draw(worker, 30),
    };
    const char *names[] = {"named", "worker", "", ""};
    snprintf(query.class_name, sizeof(query.class_name), "%s", names[draw(worker, 4)]);
    if (draw(worker, 4) == 0)
        query.actor = known(context_of(), draw(worker, KNOWN));
    assert_int_equal(inspect_gather_begin(&looker->gather, &query), 0);
}
static void trace(struct looker *looker) {
    struct worker *worker = &looker->worker;
    struct trace_spec traced = {.class_name = "named",
                                .duration_ms = 1 + (uint32_t)draw(worker, 20),
                                .per_second = 1 + (uint32_t)draw(worker, 10000)};
    if (looker->trace && draw(worker, 3) == 0)
        actor_trace_stop(looker->trace);
    else
        actor_trace_start(&traced, &looker->trace);
}
static void looker_chaos(void *state, struct message **message) {
    struct looker *looker = state;
    if (__atomic_load_n(&context_of()->stopping, __ATOMIC_RELAXED))
        return;
    trace(looker);
    if (looker->gather.shards && draw(&looker->worker, 3))
        inspect_gather_end(&looker->gather); /* perhaps before all have answered */
    if (!looker->gather.shards || !looker->gather.reference)
        look(looker);
    actor_timer_start(draw(&looker->worker, 20), CHAOS, 0);
}
static void looker_answer(void *state, struct message **message) {
    struct looker *looker = state;
    struct inspect_gather *gather = &looker->gather;
    if (!inspect_gather_add(gather, *message))
        return;
    CHECK(gather->row_count <= gather->rows_max);
    for (uint32_t i = 0; i < gather->row_count; i++)
        CHECK(gather->rows[i].actor.bits && gather->rows[i].class_name[0]);
    count(&context_of()->looked, 1);
    count(&context_of()->rows, gather->row_count);
    inspect_gather_end(gather);
    look(looker);
}
static void looker_event(void *state, struct message **message) {
    CHECK(message_as(*message, struct trace_event)->class_name);
    count(&context_of()->traced, 1);
}
static void looker_ended(void *state, struct message **message) {
    count(&context_of()->traces, 1);
}
static const struct actor_handler looker_handlers[] = {
    [CHAOS] = {"chaos", looker_chaos},
    [INSPECT_ANSWER] = {"answer", looker_answer},
    [TRACE_EVENT] = {"event", looker_event},
    [TRACE_ENDED] = {"ended", looker_ended},
};
static const struct actor_class looker_class = {.name = "looker",
                                                .state_bytes = sizeof(struct looker),
                                                .init = looker_init,
                                                .handlers = looker_handlers,
                                                .handler_count = CHAOS + 1};

static const struct supervisor_child children[] = {{.class = &named_class, .dynamic = true},
                                                   {.class = &breeder_class, .every_shard = true},
                                                   {.class = &looker_class, .every_shard = true}};
static const struct supervisor_spec spec = {
    .name = "root", .restarts_max = 60000, .period_ms = 1, .children = children, .child_count = 3};

/* --- from outside */

static void pause_us(long us) {
    nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

/* Sends until the runtime is being stopped, and a little into that. */
static void *send_from_outside(void *argument) {
    struct context *context = argument;
    uint64_t number = context->seed;
    for (unsigned late = 0; late < 100;) {
        number = map_mix(number + 1);
        struct message *note = message_create(NOTE, number % 200);
        if (number % 3 == 0)
            note->blob = blob_create(number % 9000);
        runtime_send(context->runtime, known(context, number >> 32), &note);
        count(&context->outside, 1);
        if (number % 4 == 0)
            pause_us(200);
        late += __atomic_load_n(&context->stopping, __ATOMIC_RELAXED) != 0;
    }
    return NULL;
}

static void see_shard(void *context, const struct runtime_shard_counters *counters) {
    *(uint64_t *)context += counters->messages;
}
static void see_class(void *context, const struct runtime_class_counters *counters) {
    *(uint64_t *)context += counters->spawned + (uint64_t)counters->name[0];
}
static void see_event(void *context, const char *name, uint64_t n) {
    *(uint64_t *)context += n + (uint64_t)name[0];
}
static void *read_from_outside(void *argument) {
    struct context *context = argument;
    while (!__atomic_load_n(&context->stopping, __ATOMIC_RELAXED)) {
        struct runtime_counters counters;
        uint64_t sum = 0;
        runtime_counters_read(context->runtime, &counters);
        runtime_shards_visit(context->runtime, see_shard, &sum);
        runtime_classes_visit(context->runtime, see_class, &sum);
        runtime_events_visit(context->runtime, see_event, &sum);
        count(&context->read, sum != 0);
        pause_us(500);
    }
    return NULL;
}

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
    pthread_t sender, reader;
    assert_int_equal(runtime_start(&options, &runtime), 0);
    __atomic_store_n(&context.runtime, runtime, __ATOMIC_RELEASE);
    assert_int_equal(pthread_create(&sender, NULL, send_from_outside, &context), 0);
    assert_int_equal(pthread_create(&reader, NULL, read_from_outside, &context), 0);
    sleep((unsigned)from_environment("TERN_STRESS_SECONDS", 2));
    __atomic_store_n(&context.stopping, 1, __ATOMIC_RELAXED);
    runtime_stop(runtime, 0);
    pthread_join(sender, NULL);
    pthread_join(reader, NULL);
    assert_int_equal(runtime_wait(runtime), 0);
    runtime_counters_read(runtime, &counters);
    const struct runtime_class_counters *named = fixture_class(runtime, "named");
    print_message("%lu messages, %lu across, %lu named spawned, %lu failed, %lu passivated\n",
                  counters.messages, counters.messages_cross_shard, named->spawned, named->failed,
                  named->passivated);
    print_message("%lu multicasts, %lu undelivered, %lu from outside, %lu looks with %lu rows, %lu "
                  "traces with %lu events\n",
                  context.multicasts, context.undelivered, context.outside, context.looked,
                  context.rows, context.traces, context.traced);
    assert_true(context.multicasts && context.undelivered && context.outside && context.read);
    assert_true(context.looked && context.rows && context.traces && context.traced);
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

/* SPDX-License-Identifier: Apache-2.0 */
/*
 *     probe ─NUMBER─► sink ...              now and then many at once; the sink's mailbox takes few
 *     probe ◄─(refused)─ ...
 *     probe ─COUNT─► sink ─COUNTED─► probe  a system message, never refused
 *
 * Order is kept from each sender to each receiver, so with COUNTED everything is known: each number
 * was handled, or refused at once, or has come back.
 *
 * A round also starts a timer and cancels it in the next turn. The handler that starts it is slow:
 * often the timer has fired when it is canceled, and its message waits behind.
 */
#include "tools/sim/probe.h"

#include "runtime/actor.h"
#include "runtime/scheduler_internal.h"
#include "runtime/shard_internal.h"
#include "tools/sim/world.h"

#include <errno.h>
#include <inttypes.h>

#define PROBES 2u
#define ROUND_MS_MIN 100u
#define ROUND_MS_MAX 2000u
#define NUMBERS_MAX 24u
#define SINK_MESSAGES_MAX 8u
#define TIMER_MS_MAX 10u
#define SLOW_NS_MAX 12000000u

enum {
    PROBE_START = ACTOR_KIND_FIRST,
    PROBE_ROUND,
    PROBE_CANCEL,
    PROBE_FIRED,
    PROBE_MEET, /* a sink: whoever sent it wants to know its id */
    PROBE_MET,
    PROBE_NUMBER, /* struct probe_number */
    PROBE_COUNT,
    PROBE_COUNTED, /* struct probe_number: how many it has handled */
};

struct probe_number {
    uint64_t number;
};

struct probe {
    struct actor_id sink;
    bool counting;       /* COUNTED is to come */
    uint64_t sent, back; /* numbers that actor_send took; those of them that came back */
    struct actor_timer timer;
    uint64_t started, canceled; /* timers so far; the last of them that was canceled */
};

struct sink {
    uint64_t handled;
};

static const struct actor_class probe_class, sink_class;

static struct world *world_here(void) {
    const struct sim_node *node = shard_seams(shard_of_thread)->context;
    return node->world;
}

static struct message *make(uint16_t kind, uint64_t number) {
    struct message *message = message_create(kind, sizeof(struct probe_number));
    message_as(message, struct probe_number)->number = number;
    return message;
}

/* --- a mailbox that is full ---------------------------------------------------------------------
 */

static void send_numbers(struct probe *probe) {
    struct world *world = world_here();
    uint64_t count = random_between(&world->random_probes, 1, NUMBERS_MAX);
    for (uint64_t i = 0; i < count; i++) {
        struct message *message = make(PROBE_NUMBER, i);
        if (actor_send(probe->sink, &message) == 0) {
            probe->sent++;
        } else {
            message_destroy(message);
            checker_exercised(world, PROMISE_GIVEN_BACK);
        }
    }
    probe->counting = true;
    actor_signal_system(probe->sink, PROBE_COUNT);
}

static void probe_on_refused(void *state, struct message **message) {
    struct probe *probe = state;
    if ((*message)->kind != PROBE_NUMBER)
        return;
    probe->back++;
    checker_exercised(world_here(), PROMISE_GIVEN_BACK);
}

static void probe_on_counted(void *state, struct message **message) {
    struct probe *probe = state;
    uint64_t handled = message_as(*message, struct probe_number)->number;
    probe->counting = false;
    if (probe->sent != handled + probe->back)
        checker_broken(world_here(), PROMISE_GIVEN_BACK,
                       "of %" PRIu64 " messages to an actor it has handled %" PRIu64 ", %" PRIu64
                       " came back, and the others did not",
                       probe->sent, handled, probe->back);
}

static void sink_on_meet(void *state, struct message **message) {
    if (actor_signal((*message)->from, PROBE_MET) != 0)
        actor_fail(-ENOBUFS, "a probe's mailbox is full");
}

static void sink_on_number(void *state, struct message **message) {
    ((struct sink *)state)->handled++;
}

static void sink_on_count(void *state, struct message **message) {
    struct message *counted = make(PROBE_COUNTED, ((struct sink *)state)->handled);
    if (actor_send((*message)->from, &counted) != 0)
        message_destroy(counted); /* the probe asks no more, which the promise's count shows */
}

/* --- a timer that is canceled -------------------------------------------------------------------
 */

static void start_timer(struct probe *probe) {
    struct world *world = world_here();
    struct random *random = &world->random_probes;
    probe->timer =
        actor_timer_start(random_between(random, 1, TIMER_MS_MAX), PROBE_FIRED, ++probe->started);
    actor_signal_next_turn(PROBE_CANCEL);
    world->now_ns += random_below(random, SLOW_NS_MAX);
}

static void probe_on_cancel(void *state, struct message **message) {
    struct probe *probe = state;
    if (!actor_timer_cancel(&probe->timer))
        return;
    probe->canceled = probe->started;
    checker_exercised(world_here(), PROMISE_CANCELED);
}

static void probe_on_fired(void *state, struct message **message) {
    struct probe *probe = state;
    uint64_t which = message_as(*message, struct actor_timer_fired)->argument;
    probe->timer.bits = 0;
    if (which <= probe->canceled)
        checker_broken(world_here(), PROMISE_CANCELED,
                       "timer %" PRIu64 " fires, which was canceled", which);
}

/* --- life ---------------------------------------------------------------------------------------
 */

static void round_in_a_while(void) {
    actor_timer_start(random_spread(&world_here()->random_probes, ROUND_MS_MIN, ROUND_MS_MAX),
                      PROBE_ROUND, 0);
}

/* The first probe has its sink on another shard, if there is one, the second on its own. */
static uint64_t sink_key(void) {
    uint64_t key = actor_key() * 100;
    bool other = actor_key() == 1 && shard_of_thread->shard_count > 1;
    while ((actor_shard_of(&sink_class, key) != actor_shard()) != other)
        key++;
    return key;
}

static void probe_on_start(void *state, struct message **message) {
    struct message *meet = message_create(PROBE_MEET, 0);
    if (actor_send_named(&sink_class, sink_key(), &meet) != 0)
        actor_fail(-ENOBUFS, "a sink's mailbox is full before anything was sent");
}

static void probe_on_met(void *state, struct message **message) {
    ((struct probe *)state)->sink = (*message)->from;
    round_in_a_while();
}

static void probe_on_round(void *state, struct message **message) {
    struct probe *probe = state;
    if (!probe->counting)
        send_numbers(probe);
    if (!probe->timer.bits)
        start_timer(probe);
    round_in_a_while();
}

static const struct actor_handler probe_handlers[] = {
    [PROBE_START] = {"start", probe_on_start},    [PROBE_ROUND] = {"round", probe_on_round},
    [PROBE_CANCEL] = {"cancel", probe_on_cancel}, [PROBE_FIRED] = {"fired", probe_on_fired},
    [PROBE_MET] = {"met", probe_on_met},          [PROBE_COUNTED] = {"counted", probe_on_counted},
};

static const struct actor_class probe_class = {
    .name = "probe",
    .state_bytes = sizeof(struct probe),
    .handlers = probe_handlers,
    .handler_count = sizeof(probe_handlers) / sizeof(probe_handlers[0]),
    .refused = probe_on_refused,
};

static const struct actor_handler sink_handlers[] = {
    [PROBE_MEET] = {"meet", sink_on_meet},
    [PROBE_NUMBER] = {"number", sink_on_number},
    [PROBE_COUNT] = {"count", sink_on_count},
};

static const struct actor_class sink_class = {
    .name = "probe_sink",
    .state_bytes = sizeof(struct sink),
    .handlers = sink_handlers,
    .handler_count = sizeof(sink_handlers) / sizeof(sink_handlers[0]),
    .mailbox_messages_max = SINK_MESSAGES_MAX,
};

void probes_start(void) {
    for (uint64_t key = 1; key <= PROBES; key++) {
        struct message *start = message_create(PROBE_START, 0);
        CHECK(actor_send_named(&probe_class, key, &start) == 0);
    }
}

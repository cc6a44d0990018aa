/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Actors that write to each other: ping-pong, counting and many to one, thread ring, big,
 * multicast, skew.
 *
 * Messages are as the peers' are: a ping names its sender (as every message does), an increment and
 * a token carry a number. Each is made by who sends it and freed by who gets it, but for the token,
 * which is passed on.
 */
#include "bench/actors.h"

#define PINGS 2000000u
#define PINGS_CROSS 500000u /* a second or two even if each hop wakes a core */
#define INCREMENTS 2048000u
#define WINDOW 256u
#define SENDERS_MAX 64u
#define RING 100u
#define HOPS 4000000u
#define BIG 1000u
#define BIG_PINGS 2000u
#define RECEIVERS 256u
#define DELIVERIES 2048000u
#define LIGHT 999u
#define LIGHT_MESSAGES 2000000u

enum { GO = ACTOR_KIND_FIRST, PING, PONG, INCREMENT, SYNC, ACKNOWLEDGE, TOKEN, KINDS };

/* Of one measurement, which is one process. Written by shard 0 before others are told. */
static struct {
    struct actor_id ids[BIG];
    struct actor_id sink;
    uint64_t senders, all;
    uint64_t waiting; /* for so many; atomic */
    uint64_t light, light_max, tokens;
    struct actor_id hot;
    double light_rate;
} play;

static struct actor_id spawn(const struct actor_class *class, const void *argument) {
    struct actor_id id;
    CHECK(actor_spawn(class, argument, ACTOR_NOBODY, &id) == 0);
    return id;
}

static void signal(struct actor_id to, uint16_t kind) {
    CHECK(actor_signal(to, kind) == 0);
}

static void send_number(struct actor_id to, uint16_t kind, uint64_t number) {
    struct message *message = message_create(kind, sizeof number);
    *message_as(message, uint64_t) = number;
    CHECK(actor_send(to, &message) == 0);
}

static void finish(uint64_t events) {
    stage_end();
    stage_report(0, stage_rate(events));
    stage_done();
}

/* True for the last one. */
static bool one_is_ready(void) {
    return __atomic_sub_fetch(&play.waiting, 1, __ATOMIC_ACQ_REL) == 0;
}

/* --- ping-pong ------------------------------------------------------------------------------- */

static void pong_on_ping(void *state, struct message **message) {
    signal((*message)->from, PONG);
}

static const struct actor_handler pong_handlers[] = {[PING] = {"ping", pong_on_ping}};
static const struct actor_class pong_class = {
    .name = "pong",
    .handlers = pong_handlers,
    .handler_count = KINDS - 1,
};

struct ping {
    struct actor_id pong;
    uint64_t left;
};

static int ping_init(void *state, const void *argument) {
    *(struct ping *)state = *(const struct ping *)argument;
    return 0;
}

static void ping_on_go(void *state, struct message **message) {
    const struct ping *ping = state;
    stage_begin();
    signal(ping->pong, PING);
}

static void ping_on_pong(void *state, struct message **message) {
    struct ping *ping = state;
    if (--ping->left)
        signal(ping->pong, PING);
    else
        finish(2 * play.all);
}

static const struct actor_handler ping_handlers[] = {
    [GO] = {"go", ping_on_go},
    [PONG] = {"pong", ping_on_pong},
};
static const struct actor_class ping_class = {
    .name = "ping",
    .state_bytes = sizeof(struct ping),
    .init = ping_init,
    .handlers = ping_handlers,
    .handler_count = sizeof ping_handlers / sizeof ping_handlers[0],
};

static void ping_start(uint64_t pong) {
    struct ping ping = {{pong}, play.all};
    signal(spawn(&ping_class, &ping), GO);
}

static void pong_start(uint64_t zero) {
    stage_call(0, ping_start, spawn(&pong_class, NULL).bits);
}

void bench_ping_pong(uint64_t zero) {
    play.all = stage_size(PINGS);
    ping_start(spawn(&pong_class, NULL).bits);
}

void bench_ping_pong_cross(uint64_t zero) {
    play.all = stage_size(PINGS_CROSS);
    stage_call(1, pong_start, 0);
}

/* --- counting and many to one: 256 messages, then wait for an acknowledgement ------------------
 */

static void sink_on_increment(void *state, struct message **message) {
    uint64_t *left = state;
    if (--*left == 0)
        finish(play.all);
}

static void sink_on_sync(void *state, struct message **message) {
    signal((*message)->from, ACKNOWLEDGE);
}

static int sink_init(void *state, const void *argument) {
    *(uint64_t *)state = play.all;
    return 0;
}

static const struct actor_handler sink_handlers[] = {
    [INCREMENT] = {"increment", sink_on_increment},
    [SYNC] = {"sync", sink_on_sync},
};
static const struct actor_class sink_class = {
    .name = "sink",
    .state_bytes = sizeof(uint64_t),
    .init = sink_init,
    .handlers = sink_handlers,
    .handler_count = sizeof sink_handlers / sizeof sink_handlers[0],
    .mailbox_messages_max = SENDERS_MAX * (WINDOW + 1),
};

static int sender_init(void *state, const void *argument) {
    *(uint64_t *)state = play.all / play.senders;
    return 0;
}

static void sender_burst(void *state, struct message **message) {
    uint64_t *left = state;
    if (!*left)
        return;
    for (unsigned i = 0; i < WINDOW && *left; i++)
        send_number(play.sink, INCREMENT, (*left)--);
    signal(play.sink, SYNC);
}

static const struct actor_handler sender_handlers[] = {
    [GO] = {"go", sender_burst},
    [ACKNOWLEDGE] = {"acknowledge", sender_burst},
};
static const struct actor_class sender_class = {
    .name = "sender",
    .state_bytes = sizeof(uint64_t),
    .init = sender_init,
    .handlers = sender_handlers,
    .handler_count = sizeof sender_handlers / sizeof sender_handlers[0],
};

/* On the shard of the senders. */
static void senders_start(uint64_t zero) {
    for (unsigned i = 0; i < play.senders; i++)
        play.ids[i] = spawn(&sender_class, NULL);
    stage_begin();
    for (unsigned i = 0; i < play.senders; i++)
        signal(play.ids[i], GO);
}

static void sink_start(unsigned senders, unsigned senders_shard) {
    play.senders = senders;
    play.all = stage_size(INCREMENTS) / senders * senders;
    play.sink = spawn(&sink_class, NULL);
    stage_call(senders_shard, senders_start, 0);
}

void bench_counting(uint64_t zero) {
    sink_start(1, 0);
}
void bench_counting_cross(uint64_t zero) {
    sink_start(1, 1);
}
void bench_many_to_one_8(uint64_t zero) {
    sink_start(8, 0);
}
void bench_many_to_one_64(uint64_t zero) {
    sink_start(SENDERS_MAX, 0);
}
void bench_many_to_one_cross(uint64_t zero) {
    sink_start(SENDERS_MAX, 1);
}

/* --- thread ring -------------------------------------------------------------------------------
 */

static int ring_init(void *state, const void *argument) {
    *(unsigned *)state = *(const unsigned *)argument;
    return 0;
}

static void ring_on_token(void *state, struct message **message) {
    unsigned index = *(unsigned *)state;
    uint64_t *left = message_as(*message, uint64_t);
    if (*left == 0) {
        finish(play.all);
        return;
    }
    --*left;
    CHECK(actor_send(play.ids[(index + 1) % RING], message) == 0);
}

static const struct actor_handler ring_handlers[] = {[TOKEN] = {"token", ring_on_token}};
static const struct actor_class ring_class = {
    .name = "ring",
    .state_bytes = sizeof(unsigned),
    .init = ring_init,
    .handlers = ring_handlers,
    .handler_count = TOKEN + 1,
};

void bench_thread_ring(uint64_t zero) {
    play.all = stage_size(HOPS);
    for (unsigned i = 0; i < RING; i++)
        play.ids[i] = spawn(&ring_class, &i);
    stage_begin();
    send_number(play.ids[0], TOKEN, play.all);
}

/* --- big: each pings one at random, and answers whoever pings it --------------------------------
 */

struct big {
    uint64_t left, random;
};

static int big_init(void *state, const void *argument) {
    *(struct big *)state = *(const struct big *)argument;
    return 0;
}

static void big_ping(struct big *big) {
    big->random = big->random * 48271 % 2147483647;
    signal(play.ids[big->random % BIG], PING);
}

static void big_on_go(void *state, struct message **message) {
    big_ping(state);
}

static void big_on_ping(void *state, struct message **message) {
    signal((*message)->from, PONG);
}

static void big_on_pong(void *state, struct message **message) {
    struct big *big = state;
    if (--big->left)
        big_ping(big);
    else if (one_is_ready())
        finish(2 * BIG * play.all);
}

static const struct actor_handler big_handlers[] = {
    [GO] = {"go", big_on_go},
    [PING] = {"ping", big_on_ping},
    [PONG] = {"pong", big_on_pong},
};
static const struct actor_class big_class = {
    .name = "big",
    .state_bytes = sizeof(struct big),
    .init = big_init,
    .handlers = big_handlers,
    .handler_count = sizeof big_handlers / sizeof big_handlers[0],
};

static void big_start(uint64_t zero) {
    play.waiting = BIG;
    stage_begin();
    for (unsigned i = 0; i < BIG; i++)
        signal(play.ids[i], GO);
}

/* Every actor that is to live on this shard. */
static void big_make(uint64_t shard) {
    for (unsigned i = (unsigned)shard; i < BIG; i += stage_shards()) {
        struct big big = {play.all, i + 1};
        play.ids[i] = spawn(&big_class, &big);
    }
    if (one_is_ready())
        stage_call(0, big_start, 0);
}

void bench_big(uint64_t zero) {
    play.all = stage_size(BIG_PINGS);
    play.waiting = stage_shards();
    for (unsigned i = 0; i < stage_shards(); i++)
        stage_call(i, big_make, i);
}

/* --- multicast: one message to 256, the next one when all have handled it --------------------- */

static void receiver_on_ping(void *state, struct message **message) {
    uint64_t *received = state;
    ++*received;
}

static const struct actor_handler receiver_handlers[] = {[PING] = {"ping", receiver_on_ping}};
static const struct actor_class receiver_class = {
    .name = "receiver",
    .state_bytes = sizeof(uint64_t),
    .handlers = receiver_handlers,
    .handler_count = PING + 1,
};

static void multicast_more(uint64_t rounds) {
    if (rounds == 0) {
        finish(play.all);
        return;
    }
    struct message *message = message_create(PING, sizeof rounds);
    *message_as(message, uint64_t) = rounds;
    CHECK(actor_multicast(play.ids, RECEIVERS, &message) == 0);
    stage_next_turn(multicast_more, rounds - 1);
}

void bench_multicast_256(uint64_t zero) {
    uint64_t rounds = stage_size(DELIVERIES) / RECEIVERS;
    play.all = rounds * RECEIVERS;
    for (unsigned i = 0; i < RECEIVERS; i++)
        play.ids[i] = spawn(&receiver_class, NULL);
    stage_begin();
    multicast_more(rounds);
}

/* --- skew: 999 that pass on a token each, without and with one that gets as many as all of them -
 */

static void light_on_token(void *state, struct message **message);

static void hot_on_ping(void *state, struct message **message) {
}

static const struct actor_handler skew_handlers[] = {
    [PING] = {"ping", hot_on_ping},
    [TOKEN] = {"token", light_on_token},
};
static const struct actor_class skew_class = {
    .name = "skew",
    .state_bytes = sizeof(unsigned),
    .init = ring_init,
    .handlers = skew_handlers,
    .handler_count = sizeof skew_handlers / sizeof skew_handlers[0],
};

static void skew_go(void) {
    play.light = 0;
    play.tokens = LIGHT;
    stage_begin();
    for (unsigned i = 0; i < LIGHT; i++)
        send_number(play.ids[i], TOKEN, i);
}

static void skew_end_phase(void) {
    stage_end();
    if (play.hot.bits) {
        stage_report(0, stage_rate(play.all) / play.light_rate);
        stage_done();
        return;
    }
    play.light_rate = stage_rate(play.all);
    play.hot = spawn(&skew_class, &(unsigned){0});
    skew_go();
}

/* What the hot one's mailbox has no room for is refused, and dropped here. */
static void light_on_token(void *state, struct message **message) {
    unsigned index = *(unsigned *)state;
    if (play.light == play.all) {
        if (--play.tokens == 0)
            skew_end_phase();
        return;
    }
    play.light++;
    if (play.hot.bits)
        actor_signal(play.hot, PING);
    CHECK(actor_send(play.ids[(index + 1) % LIGHT], message) == 0);
}

void bench_skew(uint64_t zero) {
    play.all = stage_size(LIGHT_MESSAGES);
    for (unsigned i = 0; i < LIGHT; i++)
        play.ids[i] = spawn(&skew_class, &i);
    skew_go();
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the device has asked and not heard: a small table of refs.
 *
 * Every frame that asks for an answer gets one: from whom it was given to, or `unavailable` when
 * that one went down or said nothing for OPEN_TIMEOUT_MS. The table is bounded by
 * sends_in_flight_max; beyond it the device is told `limited`.
 *
 * It also knows the lowest send number without a final answer, which the next incarnation of the
 * mailbox must be told: below it, it will not take what it has forgotten. Too high would lose a
 * message, too low would wait for one that never comes. `send_low` and the 64 bits of `send_done`
 * are that mark and what was answered above it; a number that is farther ahead moves the mark (a
 * device has no more than that in flight), and what the mark has passed without a final answer is
 * in the table until it has one (`failed`: it was told to try again).
 */
#include "actors/connection_internal.h"
#include "actors/node.h"

#define OPEN_CAPACITY_LEAST 8u
#define SEND_WINDOW 64u /* bits of send_done */
#define RETRY_AFTER_LIMITED_MS 1000
#define RETRY_AFTER_OVERDUE_MS 1000

static bool grow(struct connection_work *work, uint32_t count_max) {
    if (work->open_count < work->open_capacity)
        return true;
    uint32_t capacity = work->open_capacity ? 2u * work->open_capacity : OPEN_CAPACITY_LEAST;
    capacity = capacity > count_max ? count_max : capacity;
    if (capacity > UINT16_MAX || capacity <= work->open_capacity)
        return false;
    work->open = work->open ? actor_reallocate(work->open, capacity * sizeof(work->open[0]))
                            : actor_allocate(capacity * sizeof(work->open[0]));
    work->open_capacity = (uint16_t)capacity;
    return true;
}

static void take_off(struct connection_work *work, unsigned at) {
    work->open[at] = work->open[--work->open_count];
}

/* A failed send that the device tries again makes room for itself. */
static void forget_failed(struct connection_work *work, uint64_t number) {
    for (unsigned i = 0; i < work->open_count; i++)
        if (work->open[i].failed && work->open[i].number == number) {
            take_off(work, i);
            return;
        }
}

/* Moves the mark so that this number has its bit. */
static void reach(struct connection *connection, uint64_t number) {
    if (number < connection->send_low || number - connection->send_low < SEND_WINDOW)
        return;
    uint64_t by = number - connection->send_low - (SEND_WINDOW - 1);
    connection->send_done = by < SEND_WINDOW ? connection->send_done >> by : 0;
    connection->send_low += by;
}

static void mark_done(struct connection *connection, uint64_t number) {
    uint64_t ahead = number - connection->send_low;
    if (number < connection->send_low || ahead >= SEND_WINDOW)
        return;
    connection->send_done |= 1ull << ahead;
    while (connection->send_done & 1) {
        connection->send_done >>= 1;
        connection->send_low++;
    }
}

/* Had the send its final answer? Below the mark all have, but those in the table. */
static bool is_over(const struct connection *connection, uint64_t number) {
    const struct connection_work *work = connection->work;
    if (number >= connection->send_low)
        return false;
    for (unsigned i = 0; i < work->open_count; i++)
        if (work->open[i].kind == OPEN_SEND && work->open[i].number == number &&
            !work->open[i].over)
            return false;
    return true;
}

bool connection_open_add(struct connection *connection, enum open_kind kind, uint32_t ref,
                         uint64_t number) {
    struct connection_work *work = connection_work(connection);
    bool over = kind == OPEN_SEND && is_over(connection, number);
    if (kind == OPEN_SEND)
        forget_failed(work, number);
    if (!grow(work, node_current()->limits.sends_in_flight_max)) {
        actor_count("request_limited", 1);
        connection_reply(connection, ref, WIRE_CODE_LIMITED, RETRY_AFTER_LIMITED_MS, NULL, 0);
        return false;
    }
    if (kind == OPEN_SEND)
        reach(connection, number);
    struct open_request *request = &work->open[work->open_count++];
    *request = (struct open_request){.number = number,
                                     .ref = ref,
                                     .due_ms = connection_ms_after(OPEN_TIMEOUT_MS),
                                     .kind = (uint8_t)kind,
                                     .over = over};
    connection_wake_by(connection, request->due_ms);
    return true;
}

/* The entry has got this answer: it goes, or stays as failed. */
static void settle(struct connection *connection, unsigned at, int code) {
    struct open_request *request = &connection->work->open[at];
    bool final = wire_code_ends_send(code);
    if (request->kind == OPEN_SEND && final)
        mark_done(connection, request->number);
    if (request->kind == OPEN_SEND && !final && !request->over &&
        request->number < connection->send_low)
        request->failed = 1;
    else
        take_off(connection->work, at);
}

/* A device that asked again for a send before it was answered has several refs for it; the mailbox
 * answers the last. Its end is theirs too: an entry that stayed would hold `send_low` down for
 * good. */
static void end_repeated(struct connection *connection, uint64_t number,
                         const struct wire_reply *reply) {
    struct connection_work *work = connection->work;
    for (unsigned i = work->open_count; i-- > 0;) {
        struct open_request request = work->open[i];
        if (request.kind != OPEN_SEND || request.number != number)
            continue;
        take_off(work, i);
        if (!request.failed)
            connection_reply(connection, request.ref, reply->code, 0, reply->body.bytes,
                             reply->body.length);
    }
}

void connection_open_answer(struct connection *connection, uint64_t ref, int code,
                            uint32_t retry_after_ms, const uint8_t *body, size_t body_bytes) {
    struct connection_work *work = connection->work;
    for (unsigned i = 0; work && i < work->open_count; i++) {
        if (work->open[i].failed || work->open[i].ref != ref)
            continue;
        struct open_request request = work->open[i];
        bool verified = request.kind == OPEN_VERIFY && code == WIRE_CODE_OK;
        settle(connection, i, code);
        connection_reply(connection, (uint32_t)ref, code, retry_after_ms, body, body_bytes);
        if (request.kind == OPEN_SEND && wire_code_ends_send(code))
            end_repeated(connection, request.number,
                         &(struct wire_reply){(uint16_t)code, 0, {body, (uint32_t)body_bytes}});
        if (verified && connection->state == CONNECTION_UNREGISTERED)
            connection_look_up(connection);
        connection_drain_on(connection);
        return;
    }
    if (ref)
        actor_count("answer_late", 1);
}

void connection_open_fail_mailbox(struct connection *connection, uint32_t retry_after_ms) {
    struct connection_work *work = connection->work;
    for (unsigned i = work ? work->open_count : 0; i-- > 0;) {
        struct open_request request = work->open[i];
        if (request.failed || (request.kind != OPEN_SEND && request.kind != OPEN_RECEIPT))
            continue;
        settle(connection, i, WIRE_CODE_UNAVAILABLE);
        connection_reply(connection, request.ref, WIRE_CODE_UNAVAILABLE, retry_after_ms, NULL, 0);
    }
}

uint32_t connection_open_tick(struct connection *connection) {
    struct connection_work *work = connection->work;
    uint32_t next_ms = 0;
    for (unsigned i = work ? work->open_count : 0; i-- > 0;) {
        struct open_request request = work->open[i];
        if (request.failed)
            continue;
        if (connection_ms_until(request.due_ms) > 0) {
            if (!next_ms || (int32_t)(request.due_ms - next_ms) < 0)
                next_ms = request.due_ms;
            continue;
        }
        actor_count("request_overdue", 1);
        settle(connection, i, WIRE_CODE_UNAVAILABLE);
        connection_reply(connection, request.ref, WIRE_CODE_UNAVAILABLE, RETRY_AFTER_OVERDUE_MS,
                         NULL, 0);
    }
    connection_drain_on(connection);
    return next_ms;
}

unsigned connection_open_waiting(const struct connection *connection) {
    const struct connection_work *work = connection->work;
    unsigned waiting = 0;
    for (unsigned i = 0; work && i < work->open_count; i++)
        waiting += !work->open[i].failed;
    return waiting;
}

uint64_t connection_send_low(const struct connection *connection) {
    const struct connection_work *work = connection->work;
    uint64_t low = connection->send_low;
    for (unsigned i = 0; work && i < work->open_count; i++)
        if (work->open[i].kind == OPEN_SEND && !work->open[i].over && work->open[i].number < low)
            low = work->open[i].number;
    return low;
}

void connection_open_free(struct connection *connection) {
    struct connection_work *work = connection->work;
    if (!work)
        return;
    actor_free(work->open);
    work->open = NULL;
    work->open_count = work->open_capacity = 0;
    if (work->held_ack)
        message_destroy(work->held_ack);
    work->held_ack = NULL;
}

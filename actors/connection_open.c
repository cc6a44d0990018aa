/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the device has asked and not heard: a small table of refs.
 *
 * Every frame that asks for an answer gets one: from whom it was given to, or `unavailable` when
 * that one went down or said nothing for OPEN_TIMEOUT_MS. The table is bounded by
 * sends_in_flight_max; beyond it the device is told `limited`.
 *
 * Which of its sends the device still wants an answer to only the device knows: an answer that was
 * written to the socket may never be heard. So once a send has had its final answer here, the next
 * incarnation of the mailbox is met on a new connection, whose hello says it (`told_end`).
 */
#include "actors/connection_internal.h"
#include "actors/measures.h"
#include "actors/node.h"

#define OPEN_CAPACITY_LEAST 8u
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

bool connection_open_add(struct connection *connection, enum open_kind kind, uint32_t ref,
                         uint64_t number) {
    struct connection_work *work = connection_work(connection);
    if (!grow(work, node_current()->limits.sends_in_flight_max)) {
        actor_count("request_limited", 1);
        connection_reply(connection, ref, WIRE_CODE_LIMITED, RETRY_AFTER_LIMITED_MS, NULL, 0);
        return false;
    }
    struct open_request *request = &work->open[work->open_count++];
    *request = (struct open_request){.number = number,
                                     .ref = ref,
                                     .due_ms = connection_ms_after(OPEN_TIMEOUT_MS),
                                     .kind = (uint8_t)kind};
    connection_wake_by(connection, request->due_ms);
    return true;
}

/* The entry has got this answer. */
static void settle(struct connection *connection, unsigned at, int code) {
    const struct open_request *request = &connection->work->open[at];
    bool send = request->kind == OPEN_SEND;
    int32_t took_ms = OPEN_TIMEOUT_MS - connection_ms_until(request->due_ms);
    measure_time(send ? MEASURE_RESPONSE_SEND : MEASURE_RESPONSE_OTHER,
                 took_ms > 0 ? (uint64_t)took_ms : 0);
    connection->told_end |= send && wire_code_ends_send(code);
    take_off(connection->work, at);
}

/* A device that asked again for a send before it was answered has several refs for it; the mailbox
 * answers the last. Its end is theirs too. */
static void end_repeated(struct connection *connection, uint64_t number,
                         const struct wire_reply *reply) {
    struct connection_work *work = connection->work;
    for (unsigned i = work->open_count; i-- > 0;) {
        struct open_request request = work->open[i];
        if (request.kind != OPEN_SEND || request.number != number)
            continue;
        take_off(work, i);
        connection_reply(connection, request.ref, reply->code, 0, reply->body.bytes,
                         reply->body.length);
    }
}

void connection_open_answer(struct connection *connection, uint64_t ref, int code,
                            uint32_t retry_after_ms, const uint8_t *body, size_t body_bytes) {
    struct connection_work *work = connection->work;
    for (unsigned i = 0; work && i < work->open_count; i++) {
        if (work->open[i].ref != ref)
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
        if (request.kind != OPEN_SEND && request.kind != OPEN_RECEIPT)
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
    return connection->work ? connection->work->open_count : 0;
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

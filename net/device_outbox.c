/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbered sends and requests go out, their answers come in.
 *
 * The messages stay with the owner; here are three sets of bits over the window that begins at
 * send_low, the lowest number without a final answer:
 *
 *     answered   final; when the lowest is, the window moves up
 *     waiting    on its way on this connection
 *     held       stale, until the owner has encrypted it anew
 *     (none)     to be sent: the lowest such number goes next, and only when nothing above it waits
 *
 * That last rule is all of go-back-N: when a node refuses a number for now, those sent behind it
 * come back as conflicts, leave `waiting`, and go again in order, after retry_ms. A number keeps
 * its ref on every try, so that a late answer to an earlier try finds it.
 *
 * A request goes out once, at once, or not at all; its answer is told, or that there will be none.
 */
#include "net/device_internal.h"

#include <errno.h>
#include <string.h>

#define RETRY_MS_MIN 100 /* a node that says "later" and not when */
#define CONFLICT_MS 1000 /* a node that contradicts itself */
#define RETRY_MS_MAX 60000

static uint64_t bit(const struct device *device, uint64_t number) {
    return 1ull << (number - device->send_low);
}

/* Numbers of the window: [send_low, this). */
static uint64_t window_end(const struct device *device) {
    uint64_t end = device->send_low + device->sends_max;
    return end < device->send_end ? end : device->send_end;
}

void device_outbox_load(struct device *device, const struct device_saved *saved) {
    device->send_end = saved->next_send > 0 ? saved->next_send : 1;
    device->send_low = saved->send_low > 0 && saved->send_low < device->send_end ? saved->send_low
                                                                                 : device->send_end;
    device->request_low = device->request_next = 1;
    device->sends_max = DEVICE_SENDS_MAX;
    device->waiting = device->answered = device->held = 0;
}

/* A node that waits for a number beyond ours knows of sends that we have forgotten: an old backup,
 * or an owner without storage. Using such a number again would pass for a retry, and the message be
 * lost without a word; so new ones begin where the node is. */
void device_outbox_welcome(struct device *device, uint64_t next_send) {
    device->waiting = 0;
    device->retry_ms = 0;
    if (next_send <= device->send_end)
        return;
    if (device->send_low == device->send_end) {
        device->send_low = next_send;
        device->answered = device->held = 0;
    }
    device->send_end = next_send;
}

uint64_t device_next_send(const struct device *device) {
    return device->send_end;
}

int device_send(struct device *device, uint64_t number) {
    if (number != device->send_end)
        return -ESTALE;
    device->send_end++;
    return 0;
}

void device_retry(struct device *device, uint64_t number) {
    if (number >= device->send_low && number - device->send_low < DEVICE_SENDS_MAX)
        device->held &= ~bit(device, number);
}

uint64_t device_sends_open(const struct device *device) {
    return device->send_end - device->send_low - (uint64_t)__builtin_popcountll(device->answered);
}

/* A final answer: the window moves up as far as it can. */
static void settle(struct device *device, uint64_t number) {
    device->answered |= bit(device, number);
    device->waiting &= ~bit(device, number);
    device->held &= ~bit(device, number);
    while (device->answered & 1) {
        device->answered >>= 1;
        device->waiting >>= 1;
        device->held >>= 1;
        device->send_low++;
    }
}

/* ---------------------------------------------------------------- sending */

/* The number to send next, or 0: none may go now. */
static uint64_t next_to_send(const struct device *device) {
    uint64_t free = ~(device->answered | device->waiting);
    if (free == 0)
        return 0;
    unsigned first = (unsigned)__builtin_ctzll(free);
    uint64_t number = device->send_low + first;
    if (number >= window_end(device) || (device->held >> first & 1) != 0 ||
        device->waiting >> first != 0)
        return 0;
    return number;
}

static void tell_answer(struct device *device, uint64_t number, const struct wire_reply *reply,
                        const struct wire_sent_body *sent, const struct wire_stale_body *stale) {
    device->dirty = true;
    if (device->config->events->answered != NULL)
        device->config->events->answered(device->context, number, reply, sent, stale);
}

/* Ours to refuse: the node would, or could not even read it. */
static void refuse_too_big(struct device *device, uint64_t number) {
    struct wire_reply reply = {.code = WIRE_CODE_TOO_BIG};
    settle(device, number);
    tell_answer(device, number, &reply, NULL, NULL);
}

/* Fetches the message and writes it. 0, or -ENOSPC: the Noise message is full. */
static int send_number(struct device *device, uint64_t number) {
    struct wire_frame frame;
    bool first = device_output_is_empty(device);
    memset(&frame, 0, sizeof frame);
    frame.kind = WIRE_SEND;
    frame.ref = DEVICE_REF_SEND | (uint32_t)(number & DEVICE_REF_MASK);
    if (device->config->storage->outbox_read == NULL ||
        device->config->storage->outbox_read(device->context, number, &frame.send) != 0) {
        settle(device, number);
        return 0;
    }
    frame.send.number = number;
    frame.send.send_low = device->send_low; /* durable: an input is committed before output */
    int error = wire_content_bytes(&frame.send) > WIRE_CONTENT_BYTES_MAX
                    ? -EMSGSIZE
                    : device_output_frame(device, &frame);
    if (error == -EMSGSIZE || (error == -ENOSPC && first))
        refuse_too_big(device, number);
    else if (error != 0)
        return error;
    else
        device->waiting |= bit(device, number);
    return 0;
}

int device_outbox_pump(struct device *device, uint64_t now_ms) {
    uint64_t number;
    if (!device->registered || now_ms < device->retry_ms)
        return 0;
    while ((number = next_to_send(device)) != 0) {
        int error = send_number(device, number);
        if (error != 0)
            return error;
    }
    return device_inbox_commit(device); /* refuse_too_big may have told something */
}

uint64_t device_outbox_deadline_ms(const struct device *device) {
    return device->registered && next_to_send(device) != 0 ? device->retry_ms : DEVICE_NEVER;
}

/* ---------------------------------------------------------------- answers to sends */

static void retry_after(struct device *device, uint64_t now_ms, uint32_t after_ms) {
    if (after_ms < RETRY_MS_MIN)
        after_ms = RETRY_MS_MIN;
    if (after_ms > RETRY_MS_MAX)
        after_ms = RETRY_MS_MAX;
    uint64_t at_ms = now_ms + after_ms + device_random(device, after_ms / 4);
    if (at_ms > device->retry_ms)
        device->retry_ms = at_ms;
}

static int answer_stale(struct device *device, uint64_t number, const struct wire_reply *reply) {
    struct wire_stale_body stale;
    if (wire_read_stale_body(reply->body.bytes, reply->body.length, &stale) != PARSE_COMPLETE)
        return device_fail(device, DEVICE_END_PROTOCOL, 0, WIRE_CLOSE_BAD_FRAME);
    device->held |= bit(device, number);
    tell_answer(device, number, reply, NULL, &stale);
    return 0;
}

/* The node waits for another number first. It is one that goes again before this one, as it has
 * been refused itself; or one that is settled here, and then only a new hello can say so. */
static int answer_conflict(struct device *device, uint64_t number, const struct wire_reply *reply,
                           uint64_t now_ms) {
    struct wire_conflict_body conflict;
    if (wire_read_conflict_body(reply->body.bytes, reply->body.length, &conflict) != PARSE_COMPLETE)
        return device_fail(device, DEVICE_END_PROTOCOL, 0, WIRE_CLOSE_BAD_FRAME);
    uint64_t missing = conflict.missing;
    if (missing < device->send_low)
        return device_fail(device, DEVICE_END_PROTOCOL, 0, WEBSOCKET_CLOSE_GOING_AWAY);
    if (missing == number) {
        retry_after(device, now_ms, CONFLICT_MS);
    } else if (missing > number) { /* it has forgotten what became of this one */
        settle(device, number);
        tell_answer(device, number, reply, NULL, NULL);
    } else if ((device->answered & bit(device, missing)) != 0) {
        return device_fail(device, DEVICE_END_PROTOCOL, 0, WEBSOCKET_CLOSE_GOING_AWAY);
    } else {
        device->waiting &= ~bit(device, missing);
    }
    return 0;
}

static int answer_final(struct device *device, uint64_t number, const struct wire_reply *reply) {
    struct wire_sent_body sent;
    bool ok = reply->code == WIRE_CODE_OK;
    if (ok && wire_read_sent_body(reply->body.bytes, reply->body.length, &sent) != PARSE_COMPLETE)
        return device_fail(device, DEVICE_END_PROTOCOL, 0, WIRE_CLOSE_BAD_FRAME);
    settle(device, number);
    tell_answer(device, number, reply, ok ? &sent : NULL, NULL);
    return 0;
}

static int answer_send(struct device *device, uint32_t ref, const struct wire_reply *reply,
                       uint64_t now_ms) {
    uint32_t index = (ref - (uint32_t)device->send_low) & DEVICE_REF_MASK;
    uint64_t number = device->send_low + index;
    if (number >= window_end(device) || (device->answered >> index & 1) != 0)
        return 0; /* answered before */
    bool waits = (device->waiting >> index & 1) != 0;
    device->waiting &= ~bit(device, number);
    if (!waits && !wire_code_ends_send(reply->code))
        return 0; /* about an earlier try; it goes again anyway */
    switch (reply->code) {
    case WIRE_CODE_STALE:
        return answer_stale(device, number, reply);
    case WIRE_CODE_CONFLICT:
        return answer_conflict(device, number, reply, now_ms);
    case WIRE_CODE_LIMITED:
    case WIRE_CODE_OVERLOADED:
    case WIRE_CODE_UNAVAILABLE:
    case WIRE_CODE_INTERNAL:
        retry_after(device, now_ms, reply->retry_after_ms);
        return 0;
    default:
        return answer_final(device, number, reply);
    }
}

/* ---------------------------------------------------------------- requests */

static bool is_request(unsigned kind) {
    switch (kind) {
    case WIRE_RECEIPT:
    case WIRE_REGISTER_PHONE:
    case WIRE_VERIFY:
    case WIRE_DISCOVER:
    case WIRE_DEVICES:
    case WIRE_PROFILE:
        return true;
    default:
        return false;
    }
}

int device_request(struct device *device, const struct wire_frame *frame) {
    if (!is_request(frame->kind))
        return -EINVAL;
    if (device->state != DEVICE_ONLINE)
        return -ENOTCONN;
    if (device->request_next - device->request_low >= device->requests_max)
        return -EBUSY;
    if (device->request_next == DEVICE_REF_SEND) { /* all of these refs have been used */
        if (device->requests_open != 0)
            return -EBUSY;
        device->request_low = device->request_next = 1;
    }
    struct wire_frame request = *frame;
    request.ref = device->request_next;
    int error = device_output_frame(device, &request);
    if (error != 0)
        return error == -ENOSPC ? -EBUSY : error;
    device->requests_open |= 1u << (request.ref - device->request_low);
    device->request_next++;
    return (int)request.ref;
}

static void tell_reply(struct device *device, uint32_t ref, const struct wire_reply *reply) {
    device->requests_open &= ~(1u << (ref - device->request_low));
    while (device->request_low < device->request_next && (device->requests_open & 1) == 0) {
        device->requests_open >>= 1;
        device->request_low++;
    }
    device->dirty = true;
    if (device->config->events->replied != NULL)
        device->config->events->replied(device->context, ref, reply);
}

int device_outbox_reply(struct device *device, uint32_t ref, const struct wire_reply *reply,
                        uint64_t now_ms) {
    if ((ref & DEVICE_REF_SEND) != 0)
        return answer_send(device, ref, reply, now_ms);
    uint32_t index = ref - device->request_low;
    if (index < DEVICE_REQUESTS_MAX && (device->requests_open >> index & 1) != 0)
        tell_reply(device, ref, reply);
    return 0;
}

void device_outbox_disconnected(struct device *device) {
    struct wire_reply reply = {.code = WIRE_CODE_UNAVAILABLE};
    device->waiting = 0;
    device->retry_ms = 0;
    while (device->requests_open != 0)
        tell_reply(device, device->request_low + (uint32_t)__builtin_ctz(device->requests_open),
                   &reply);
    device->request_low = device->request_next;
}

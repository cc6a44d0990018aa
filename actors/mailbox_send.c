/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this user's devices send.
 *
 * Each device numbers its sends by one, and they are taken in that order:
 *
 *   expected ──SEND──► OPEN ──all of it settled, or refused for good──► SETTLED ──► ANSWERED
 *      (next)           └──refused for now──► RETRYABLE ──the same number and id──► OPEN
 *
 * An open send is delivered to the peer's mailbox first and, when that is settled, to one's own
 * other devices. While a number is RETRYABLE nothing above it is taken, so that a sender's messages
 * keep their order. The answers of the last numbers are kept, so that a retry gets the same one.
 *
 * Final answers are given in the order of the numbers. So what a device still wants an answer to is
 * all from its send_low on, and after a failure it sends all of that again, without a gap that the
 * next incarnation could not tell from a loss.
 *
 * A refusal because there was no room (`full`) is final, and known here alone until the device has
 * heard: if this mailbox fails before that, the number comes again and is taken then. Nothing that
 * was sent behind it may have been delivered by that time. So each send says up to where its device
 * has heard (`send_low`: the device has stored the answers of all below), and what is behind a
 * `full` that was not heard is refused for now (mailbox_sends_bar), here and, when it was on its
 * way already, by the recipient (mailbox_deliver.c) or when it would be delivered again. Nothing is
 * written for that, so it holds for a failed mailbox as for a lost node. The other refusals need
 * none of this: they say what is so of the message or the person, and would be the same again. And
 * a number that comes again to a new mailbox may have been delivered by the old one, which nobody
 * but the recipient's device can tell: it is taken even where there is no room any more
 * (mailbox_deliver.c), so that `full` is only said of what no device has. A device that does not
 * tell its send_low is not held up, and its order in that one case not kept.
 *
 * A message that was acknowledged while it was held is delivered as soon as it is sent. The status
 * that says so is in memory alone for a while, and nobody would say it again if this mailbox failed
 * then; so the answer says it, too. One's own other devices have it in their queues before the copy
 * of the message, and the answer waits for that.
 *
 * `ok_below` is the mark that is made durable, with whatever else is written: all below was
 * answered ok or is settled for the device, so a retry of it is answered ok. It may lag: then a
 * message is delivered once more, and dropped by the device that has it. It must lag behind an
 * answer that said *delivered* and was not heard yet, for the mark does not say that again
 * (mailbox_sends_mark).
 */
#include "actors/mailbox_internal.h"
#include "actors/measures.h"
#include "net/wire.h"

#include <string.h>

#define RING_FIRST 1u /* most people write one message at a time */
#define RING_KEPT 64u /* so many exact answers are kept in any case */
#define RING_MAX 1024u
#define WINDOW_MAX 64u /* a device has no more on its way (net/device.h) */
#define NUMBER_BITS 48
#define NUMBER_MAX ((1ull << NUMBER_BITS) - 1)
#define RETRY_AFTER_MS 500
#define RETRY_AFTER_REFUSAL_MS 100
#define SHORT_BODY_BYTES_MAX 32u /* a body of three numbers, at most 24 */

/* --- the window --- */

static struct sent *ring_at(const struct sends *sends, uint64_t number) {
    return &sends->ring[number & (sends->capacity - 1)];
}

uint64_t mailbox_sends_low(const struct sends *sends) {
    return sends->next > sends->capacity ? sends->next - sends->capacity : 1;
}

struct sent *mailbox_sent_find(const struct sends *sends, uint64_t number) {
    if (!sends->ring || number >= sends->next)
        return NULL;
    struct sent *sent = ring_at(sends, number);
    return sent->number == number && sent->state != SENT_UNKNOWN ? sent : NULL;
}

static void ring_grow(struct sends *sends) {
    struct sends grown = *sends;
    grown.capacity = sends->capacity ? 2 * sends->capacity : RING_FIRST;
    grown.ring = actor_allocate(grown.capacity * sizeof(*grown.ring));
    for (uint64_t number = mailbox_sends_low(sends); sends->ring && number < sends->next; number++)
        if (ring_at(sends, number)->number == number)
            *ring_at(&grown, number) = *ring_at(sends, number);
    actor_free(sends->ring);
    *sends = grown;
}

/* The place of a new number. NULL: every place is needed. */
static struct sent *ring_place(struct sends *sends, uint64_t number) {
    for (;;) {
        struct sent *sent = sends->ring ? ring_at(sends, number) : NULL;
        bool unused = sent && sent->state == SENT_UNKNOWN;
        bool over = sent && sent->state == SENT_ANSWERED &&
                    (sends->capacity == RING_MAX ||
                     (sends->capacity >= RING_KEPT && sent->number < sends->ok_below));
        if (unused || over)
            return sent;
        if (sends->capacity == RING_MAX)
            return NULL;
        ring_grow(sends);
    }
}

static void find_retry_low(struct sends *sends) {
    uint64_t number = sends->retry_low ? sends->retry_low : mailbox_sends_low(sends);
    sends->retry_low = 0;
    for (; number < sends->next && !sends->retry_low; number++) {
        const struct sent *sent = mailbox_sent_find(sends, number);
        if (sent && sent->state == SENT_RETRYABLE)
            sends->retry_low = number;
    }
}

/* An answer that is so old has long been heard: a device has so many sends open at most. */
static bool is_long_heard(const struct sends *sends, uint64_t number) {
    return sends->next - number > 2ull * node_current()->limits.sends_in_flight_max;
}

static void advance_ok(struct sends *sends) {
    while (sends->ok_below < sends->next) {
        const struct sent *sent = mailbox_sent_find(sends, sends->ok_below);
        bool ok = !sent || (sent->state == SENT_ANSWERED &&
                            (sent->code == WIRE_CODE_OK || is_long_heard(sends, sends->ok_below)));
        if (!ok)
            return;
        sends->ok_below++;
    }
}

uint64_t mailbox_sends_mark(const struct sends *sends) {
    uint64_t number = mailbox_sends_low(sends);
    number = number > sends->heard_below ? number : sends->heard_below;
    for (; sends->ring && number < sends->ok_below; number++) {
        const struct sent *sent = mailbox_sent_find(sends, number);
        if (sent && sent->delivered && !is_long_heard(sends, number))
            return number;
    }
    return sends->ok_below;
}

/* Below `send_end` (0: not told) the device may have sent before, to an earlier mailbox; but no
 * more than its window was on its way at a time. */
static void note_again(struct sends *sends, uint64_t send_end) {
    uint32_t window = node_current()->limits.sends_in_flight_max;
    window = window > WINDOW_MAX ? window : WINDOW_MAX; /* it may have been larger than it is now */
    if ((!send_end && !sends->again_below) || send_end > sends->next + window)
        send_end = sends->next + window;
    if (send_end > sends->again_below)
        sends->again_below = send_end;
}

void mailbox_sends_attach(struct device *device, uint64_t send_low, uint64_t send_end) {
    struct sends *sends = &device->sends;
    send_low = send_low > NUMBER_MAX ? NUMBER_MAX : send_low;
    while (sends->ring && send_low > sends->next && sends->capacity < RING_KEPT)
        ring_grow(sends); /* it leaves numbers out: what is open below them has its place still */
    if (send_low > sends->next)
        sends->next = send_low;
    note_again(sends, send_end);
    for (uint64_t number = mailbox_sends_low(sends); number < send_low; number++) {
        struct sent *sent = mailbox_sent_find(sends, number);
        if (sent && sent->state == SENT_RETRYABLE)
            sent->state = SENT_ANSWERED; /* the device knows its end from an earlier time */
    }
    if (send_low > sends->ok_below)
        sends->ok_below = send_low;
    if (send_low > sends->told_below)
        sends->told_below = send_low;
    if (send_low > sends->heard_below)
        sends->heard_below = send_low;
    find_retry_low(sends);
    advance_ok(sends);
}

bool mailbox_sends_bar(struct sends *sends, uint64_t number) {
    if (sends->retry_low && sends->retry_low < number)
        return true;
    uint64_t low = mailbox_sends_low(sends);
    low = low > sends->ok_below ? low : sends->ok_below;
    for (; sends->some_full && low < sends->next; low++) {
        const struct sent *sent = mailbox_sent_find(sends, low);
        bool ended = sent && (sent->state == SENT_SETTLED || sent->state == SENT_ANSWERED);
        if (ended && sent->code == WIRE_CODE_FULL)
            return low < number;
    }
    sends->some_full = 0;
    return false;
}

/* --- references --- */

uint64_t mailbox_open_reference(const struct mailbox *mailbox, const struct device *device,
                                const struct sent *sent) {
    uint64_t slot = (uint64_t)(device - mailbox->devices);
    return slot << 56 | (uint64_t)sent->attempt << NUMBER_BITS | sent->number;
}

struct sent *mailbox_open_find(struct mailbox *mailbox, uint64_t open, struct device **device) {
    unsigned slot = open >> 56;
    uint8_t attempt = (uint8_t)(open >> NUMBER_BITS);
    if (slot >= mailbox->slots)
        return NULL;
    struct device *found = &mailbox->devices[slot];
    struct sent *sent = mailbox_sent_find(&found->sends, open & NUMBER_MAX);
    if (!sent || sent->state != SENT_OPEN || sent->attempt != attempt)
        return NULL;
    *device = found;
    return sent;
}

/* --- answers --- */

static void answer_with(const struct message *send, struct message *message,
                        struct connection_answer answer) {
    const struct mailbox_send *to = message_as((struct message *)send, struct mailbox_send);
    answer.ref = to->ref;
    *message_as(message, struct connection_answer) = answer;
    if (to->ref == 0 || actor_send(to->connection, &message) != 0)
        message_destroy(message); /* the device sends it again */
}

/* `body` may be NULL; takes it. */
static void answer(const struct message *send, int code, uint32_t retry_after_ms,
                   struct blob *body) {
    struct message *message = message_create(CONNECTION_ANSWER, sizeof(struct connection_answer));
    message->blob = body;
    answer_with(send, message,
                (struct connection_answer){.code = code, .retry_after_ms = retry_after_ms});
}

/* An answer whose body is written into the message itself. */
static struct message *short_answer(struct wire_writer *writer) {
    struct message *message =
        message_create(CONNECTION_ANSWER, sizeof(struct connection_answer) + SHORT_BODY_BYTES_MAX);
    *writer = (struct wire_writer){
        .bytes = (uint8_t *)(message_as(message, struct connection_answer) + 1),
        .capacity = SHORT_BODY_BYTES_MAX};
    return message;
}

static void answer_ok(const struct message *send, uint64_t time_ms, uint64_t sequence,
                      uint32_t delivered) {
    struct wire_writer writer;
    struct message *message = short_answer(&writer);
    struct wire_sent_body body = {
        .time_ms = time_ms, .sequence = sequence, .delivered_device = delivered};
    CHECK(wire_write_sent_body(&writer, &body) == 0);
    answer_with(
        send, message,
        (struct connection_answer){.code = WIRE_CODE_OK, .body_bytes = (uint32_t)writer.length});
}

static void answer_conflict(const struct message *send, uint64_t missing) {
    struct wire_writer writer;
    struct message *message = short_answer(&writer);
    struct wire_conflict_body body = {.missing = missing};
    CHECK(wire_write_conflict_body(&writer, &body) == 0);
    actor_count("send_conflict", 1);
    answer_with(send, message,
                (struct connection_answer){.code = WIRE_CODE_CONFLICT,
                                           .body_bytes = (uint32_t)writer.length});
}

/* --- the end of an open send --- */

static void close(struct sends *sends, struct sent *sent, int state) {
    message_destroy(sent->send);
    sent->send = NULL;
    sent->state = (uint8_t)state;
}

/* Gives the final answers that have nothing open before them. */
static void tell(struct sends *sends) {
    for (; sends->told_below < sends->next; sends->told_below++) {
        struct sent *sent = mailbox_sent_find(sends, sends->told_below);
        if (!sent || sent->state == SENT_ANSWERED)
            continue;
        if (sent->state != SENT_SETTLED)
            break;
        if (sent->code == WIRE_CODE_OK)
            answer_ok(sent->send, sent->time_ms, sent->sequence, sent->delivered);
        else
            answer(sent->send, sent->code, 0, NULL);
        close(sends, sent, SENT_ANSWERED);
        sends->settled--;
    }
    advance_ok(sends);
}

/* Its end is known. The content is not needed any more. */
static void settle(struct device *device, struct sent *sent, int code) {
    blob_release(sent->send->blob);
    sent->send->blob = NULL;
    sent->state = SENT_SETTLED;
    sent->code = (uint8_t)code;
    sent->waits = 0;
    device->sends.some_full |= code == WIRE_CODE_FULL;
    device->sends.open--;
    device->sends.settled++;
    tell(&device->sends);
}

static void settle_ok(const struct mailbox *mailbox, struct device *device, struct sent *sent) {
    measure_message_accepted();
    measure_user_active(mailbox->user, sent->time_ms);
    settle(device, sent, WIRE_CODE_OK);
}

static void leave_peer(struct mailbox *mailbox, const struct sent *sent, bool refused) {
    if (sent->phase == SENT_TO_PEER)
        mailbox_peer_settled(mailbox, message_as(sent->send, struct mailbox_send)->chat, refused);
}

static void deliver_own(struct mailbox *mailbox, struct device *device, struct sent *sent) {
    sent->phase = SENT_TO_OWN;
    struct message *message = mailbox_deliver_create(mailbox, device, sent);
    struct mailbox_deliver *deliver = message_as(message, struct mailbox_deliver);
    const struct mailbox_send *send = message_as(sent->send, struct mailbox_send);
    deliver->chat = send->chat;
    deliver->version = send->own_version;
    deliver->content_kind = WIRE_MAIL_COPY;
    mailbox_deliver(mailbox, &message, device);
    message_destroy(message);
}

/* One's own other devices get what is sent in its order, each when the peer has it. */
static void deliver_own_in_order(struct mailbox *mailbox, struct device *device) {
    struct sends *sends = &device->sends;
    for (uint64_t number = sends->told_below; number < sends->next; number++) {
        struct sent *sent = mailbox_sent_find(sends, number);
        if (!sent)
            continue;
        if (sent->state == SENT_RETRYABLE ||
            (sent->state == SENT_OPEN && sent->phase == SENT_TO_PEER))
            return;
        if (sent->state == SENT_OPEN && sent->phase == SENT_WAITS_FOR_OWN)
            deliver_own(mailbox, device, sent);
    }
}

void mailbox_send_refuse(struct mailbox *mailbox, struct device *device, struct sent *sent,
                         int code, uint32_t retry_after_ms, struct blob *body) {
    struct sends *sends = &device->sends;
    bool retryable = !wire_code_ends_send(code);
    leave_peer(mailbox, sent, retryable || code == WIRE_CODE_FULL);
    actor_count("send_refused", 1);
    if (!retryable) {
        settle(device, sent, code);
        deliver_own_in_order(mailbox, device);
        return;
    }
    answer(sent->send, code, retry_after_ms, body ? blob_hold(body) : NULL);
    close(sends, sent, SENT_RETRYABLE);
    sent->waits = 0;
    sends->open--;
    if (!sends->retry_low || sent->number < sends->retry_low)
        sends->retry_low = sent->number;
}

void mailbox_settled(struct mailbox *mailbox, const struct mailbox_settled *settled,
                     struct blob *body) {
    struct device *device;
    struct sent *sent = mailbox_open_find(mailbox, settled->open, &device);
    unsigned phase = settled->recipient.user == mailbox->user ? SENT_TO_OWN : SENT_TO_PEER;
    if (!sent || sent->phase != phase) {
        actor_count("settled_late", 1);
        return;
    }
    if (settled->code != WIRE_CODE_OK) {
        mailbox_send_refuse(mailbox, device, sent, settled->code, settled->retry_after_ms, body);
        return;
    }
    if (settled->sequence && !sent->sequence)
        sent->sequence = settled->sequence;
    if (sent->phase == SENT_TO_OWN) {
        settle_ok(mailbox, device, sent);
        return;
    }
    leave_peer(mailbox, sent, false);
    if (settled->acknowledged)
        sent->delivered = settled->recipient.device;
    if (settled->acknowledged)
        mailbox_status_own(mailbox, WIRE_STATE_DELIVERED, settled->recipient.user,
                           settled->recipient, actor_wall_ms(), sent->id);
    if (mailbox_devices_present(mailbox) == 1) {
        settle_ok(mailbox, device, sent);
        return;
    }
    sent->phase = SENT_WAITS_FOR_OWN;
    deliver_own_in_order(mailbox, device);
}

/* --- taking one --- */

/* Only to the chat's person and to one's own devices. */
static bool recipients_are_right(const struct mailbox *mailbox, const struct message *message) {
    const struct mailbox_send *send = message_as((struct message *)message, struct mailbox_send);
    struct wire_recipient_list rest = {
        .bytes = message->blob ? blob_bytes(message->blob) : NULL,
        .length = send->spans.recipients_bytes,
        .count = send->spans.recipients_count,
    };
    struct wire_recipient recipient;
    if (send->chat == 0 || send->spans.recipients_count > 2 * FORMAT_DEVICES_MAX)
        return false;
    while (wire_next_recipient(&rest, &recipient))
        if (recipient.user != send->chat && recipient.user != mailbox->user)
            return false;
    return true;
}

static void start(struct mailbox *mailbox, struct device *device, struct sent *sent) {
    const struct mailbox_send *send = message_as(sent->send, struct mailbox_send);
    if (send->refusal || !recipients_are_right(mailbox, sent->send)) {
        int code = send->refusal ? send->refusal : WIRE_CODE_BAD_REQUEST;
        sent->phase = SENT_TO_OWN;
        mailbox_send_refuse(mailbox, device, sent, code, 0, NULL);
        return;
    }
    if (mailbox_devices_present(mailbox) > 1 &&
        (send->own_version != mailbox->list_version ||
         !mailbox_list_matches(mailbox, sent->send, send->spans, device))) {
        struct blob *body = mailbox_stale_body(mailbox);
        sent->phase = SENT_TO_OWN;
        mailbox_send_refuse(mailbox, device, sent, WIRE_CODE_STALE, 0, body);
        blob_release(body);
        return;
    }
    if (mailbox_own_room(mailbox, sent->send, send->spans, device, sent->again)) {
        sent->phase = SENT_TO_OWN;
        mailbox_send_refuse(mailbox, device, sent, WIRE_CODE_FULL, 0, NULL);
        return;
    }
    if (send->chat == mailbox->user && mailbox_devices_present(mailbox) == 1) {
        sent->phase = SENT_TO_OWN;
        settle_ok(mailbox, device, sent);
        return;
    }
    if (send->chat == mailbox->user) {
        sent->phase = SENT_WAITS_FOR_OWN;
        deliver_own_in_order(mailbox, device);
        return;
    }
    sent->phase = SENT_TO_PEER;
    int code = mailbox_peer_deliver(mailbox, device, sent);
    if (code)
        mailbox_send_refuse(mailbox, device, sent, code, RETRY_AFTER_MS, NULL);
    else
        mailbox_tick_in(mailbox, MAILBOX_TICK_MS);
}

/* The number's turn has come, for the first time or again. */
static void take(struct mailbox *mailbox, struct device *device, struct sent *sent,
                 struct message **message) {
    struct sends *sends = &device->sends;
    const struct mailbox_send *send = message_as(*message, struct mailbox_send);
    bool again = sent->state == SENT_RETRYABLE;
    uint8_t attempt = again ? (uint8_t)(sent->attempt + 1) : 0;
    *sent = (struct sent){
        .number = send->number,
        .time_ms = actor_wall_ms(),
        .opened_ms = mailbox_now(),
        .state = SENT_OPEN,
        .attempt = attempt,
        .again = again || send->number < sends->again_below,
    };
    memcpy(sent->id, send->id, sizeof(sent->id));
    sent->send = message_keep(message);
    sends->open++;
    device->busy = true;
    if (sends->retry_low == sent->number)
        find_retry_low(sends);
    start(mailbox, device, sent);
}

/* Says that it must come again, when what was refused before it was heard. */
static void limit(struct message **message) {
    actor_count("send_behind_refusal", 1);
    answer(*message, WIRE_CODE_LIMITED, RETRY_AFTER_REFUSAL_MS, NULL);
}

static void take_new(struct mailbox *mailbox, struct device *device, struct message **message) {
    struct sends *sends = &device->sends;
    if (message_as(*message, struct mailbox_send)->send_low &&
        mailbox_sends_bar(sends, sends->next)) {
        limit(message);
        return;
    }
    if (sends->open + sends->settled >= node_current()->limits.sends_in_flight_max) {
        actor_count("send_limited", 1);
        answer(*message, WIRE_CODE_LIMITED, RETRY_AFTER_MS, NULL);
        return;
    }
    struct sent *sent = ring_place(sends, sends->next);
    if (!sent) {
        actor_count("send_limited", 1);
        answer(*message, WIRE_CODE_LIMITED, RETRY_AFTER_MS, NULL);
        return;
    }
    sent->state = SENT_UNKNOWN;
    sends->next++;
    take(mailbox, device, sent, message);
}

/* A number that was seen before. */
static void take_known(struct mailbox *mailbox, struct device *device, struct message **message) {
    struct sends *sends = &device->sends;
    const struct mailbox_send *send = message_as(*message, struct mailbox_send);
    struct sent *sent = mailbox_sent_find(sends, send->number);
    actor_count("send_repeated", 1);
    if (!sent && send->number < sends->ok_below) {
        answer_ok(*message, actor_wall_ms(), 0, 0);
    } else if (!sent) {
        answer(*message, WIRE_CODE_EXPIRED, 0, NULL);
    } else if (memcmp(sent->id, send->id, sizeof(sent->id)) != 0) {
        answer(*message, WIRE_CODE_BAD_REQUEST, 0, NULL);
    } else if (sent->state == SENT_OPEN || sent->state == SENT_SETTLED) {
        struct mailbox_send *open = message_as(sent->send, struct mailbox_send);
        open->connection = send->connection;
        open->ref = send->ref;
    } else if (sent->state == SENT_ANSWERED && sent->code == WIRE_CODE_OK) {
        answer_ok(*message, sent->time_ms, sent->sequence, sent->delivered);
    } else if (sent->state == SENT_ANSWERED) {
        answer(*message, sent->code, 0, NULL);
    } else if (sends->retry_low < send->number) {
        answer_conflict(*message, sends->retry_low);
    } else if (send->send_low && mailbox_sends_bar(sends, send->number)) {
        limit(message);
    } else {
        take(mailbox, device, sent, message);
    }
}

void mailbox_send(struct mailbox *mailbox, struct message **message) {
    const struct mailbox_send *send = message_as(*message, struct mailbox_send);
    struct device *device = mailbox_device(mailbox, send->device);
    if (!device || !device->present || !actor_id_equal(device->connection, send->connection)) {
        answer(*message, WIRE_CODE_UNAVAILABLE, RETRY_AFTER_MS, NULL);
        return;
    }
    struct sends *sends = &device->sends;
    if (send->send_low > sends->heard_below && send->send_low <= sends->told_below)
        sends->heard_below = send->send_low;
    if (sends->heard_below > sends->ok_below)
        sends->ok_below = sends->heard_below;
    if (send->number == 0 || send->number >= NUMBER_MAX)
        answer(*message, WIRE_CODE_BAD_REQUEST, 0, NULL);
    else if (send->number > sends->next)
        answer_conflict(*message, sends->retry_low ? sends->retry_low : sends->next);
    else if (send->number < sends->next)
        take_known(mailbox, device, message);
    else if (sends->retry_low)
        answer_conflict(*message, sends->retry_low);
    else
        take_new(mailbox, device, message);
}

/* --- time --- */

static void overdue(struct mailbox *mailbox, struct device *device, struct sent *sent) {
    actor_count("send_overdue", 1);
    if (sent->phase == SENT_TO_PEER)
        mailbox_peer_overdue(mailbox, device, sent);
    else
        mailbox_send_refuse(mailbox, device, sent, WIRE_CODE_UNAVAILABLE, RETRY_AFTER_MS, NULL);
}

void mailbox_sends_tick(struct mailbox *mailbox, struct device *device) {
    struct sends *sends = &device->sends;
    uint64_t number = mailbox_sends_low(sends);
    for (; sends->open && number < sends->next; number++) {
        struct sent *sent = mailbox_sent_find(sends, number);
        if (sent && sent->state == SENT_OPEN &&
            mailbox_now() - sent->opened_ms >= MAILBOX_PATIENCE_MS)
            overdue(mailbox, device, sent);
    }
    bool quiet = !device->busy && !sends->open && !sends->settled && !sends->retry_low &&
                 store_is_idle(mailbox) && !(device->queue && device->queue->held);
    if (quiet && sends->ring && sends->ok_below == sends->next) {
        mailbox_sends_rest(sends);
        actor_free(sends->ring);
        sends->ring = NULL;
        sends->capacity = 0;
    }
}

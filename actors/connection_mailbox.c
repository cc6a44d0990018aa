/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection and its user's mailbox: attaching, what the mailbox sends to the device, and what is
 * done when it goes down or is full.
 *
 * The mailbox is reached by name to attach, by its id from then on, and says when it ends. Then
 * every open send is answered `unavailable`, and the connection attaches to its next
 * incarnation, telling what the device has acknowledged and the lowest send number that it has no
 * answer for; the device gets a new `welcome` and starts over from it. What the old incarnation had
 * sent and was not written to the socket is dropped: the new one sends it again.
 *
 * That lowest number is what the device said in its hello. Once a send has had its final answer on
 * this connection nobody here knows it any more, since the answer may not be heard; and one that is
 * too high has the next incarnation take for delivered what it never saw. Then the device is asked
 * to come again (WIRE_CLOSE_INTERNAL), and says it itself.
 */
#include "actors/connection_internal.h"
#include "actors/node.h"
#include "runtime/check.h"

#include <string.h>

#define ATTACH_TIMEOUT_MS 5000u
/* After a failure: the next mailbox may have failed at the very request. */
#define REATTACH_TIMEOUT_MS 100u
#define ATTACH_BACKOFF_MS 50u
#define ATTACH_BACKOFF_MS_MAX 5000u
#define RETRY_AFTER_DOWN_MS 50
#define RETRY_AFTER_FULL_MS 500
#define ACK_AGAIN_MS 20
/* More than any of these frames is, without what is counted apart. */
#define WELCOME_BYTES_MAX 512u
#define MAIL_FIELDS_BYTES_MAX 192u
#define STATUS_FIELDS_BYTES_MAX 128u

/* --- attaching ---------------------------------------------------------------------------------
 */

static void attach_later(struct connection *connection, uint32_t delay_ms) {
    struct connection_work *work = connection_work(connection);
    work->retry_ms = connection_ms_after(delay_ms);
    connection_wake_by(connection, work->retry_ms);
}

/* 50 ms, doubled with each try, a half of it by chance. */
static uint32_t backoff(struct connection *connection) {
    unsigned tries = connection->attach_tries < 7 ? connection->attach_tries : 7;
    uint32_t delay = ATTACH_BACKOFF_MS << tries;
    delay = delay > ATTACH_BACKOFF_MS_MAX ? ATTACH_BACKOFF_MS_MAX : delay;
    return delay / 2 + (uint32_t)actor_random_below(delay / 2 + 1);
}

static uint32_t patience(const struct connection *connection) {
    unsigned tries = connection->attach_tries < 6 ? connection->attach_tries : 6;
    uint32_t timeout = REATTACH_TIMEOUT_MS << tries;
    return connection->state == CONNECTION_ATTACHING || timeout > ATTACH_TIMEOUT_MS
               ? ATTACH_TIMEOUT_MS
               : timeout;
}

void connection_attach(struct connection *connection) {
    struct message *message = message_create(MAILBOX_ATTACH, sizeof(struct mailbox_attach));
    struct mailbox_attach *attach = message_as(message, struct mailbox_attach);
    attach->connection = connection->self;
    attach->device = connection->device;
    memcpy(attach->key, connection->key, sizeof(attach->key));
    attach->resume_epoch = connection->resume_epoch;
    attach->resume_cursor = connection->resume_cursor;
    attach->send_low = connection->send_low;
    attach->send_end = connection_send_end(connection);
    if (connection->attach_tries < UINT8_MAX)
        connection->attach_tries++;
    if (actor_send_named(&mailbox_class, connection->user, &message) == 0) {
        attach_later(connection, patience(connection));
        return;
    }
    message_destroy(message);
    actor_count("attach_refused", 1);
    attach_later(connection, backoff(connection));
}

static void attach_failed(struct connection *connection, const struct mailbox_attached *attached) {
    if (attached->code == WIRE_CODE_UNAUTHORIZED) {
        connection_say_and_close(connection, WIRE_NOTICE_UNLINKED, WIRE_CLOSE_UNLINKED,
                                 "connection_unlinked");
        return;
    }
    actor_count("attach_failed", 1);
    uint32_t delay = backoff(connection);
    attach_later(connection, attached->retry_after_ms > delay ? attached->retry_after_ms : delay);
}

/* It came too late: the mailbox is told so at once. */
static void decline(struct connection *connection, const struct mailbox_attached *attached) {
    struct message *message = message_create(MAILBOX_DETACH, sizeof(struct mailbox_detach));
    *message_as(message, struct mailbox_detach) =
        (struct mailbox_detach){.connection = connection->self, .device = connection->device};
    if (attached->code != WIRE_CODE_OK || actor_send(attached->mailbox, &message) != 0)
        message_destroy(message);
}

void connection_attached(struct connection *connection, const struct mailbox_attached *attached) {
    if (connection->state != CONNECTION_ATTACHING && connection->state != CONNECTION_REATTACHING &&
        connection->state != CONNECTION_OPEN) {
        decline(connection, attached);
        return;
    }
    if (attached->code != WIRE_CODE_OK) {
        attach_failed(connection, attached);
        return;
    }
    connection->mailbox = attached->mailbox;
    connection->epoch = attached->epoch;
    connection->attach_tries = 0;
    if (connection->work)
        connection->work->retry_ms = 0;
    connection->heard_ms = connection->welcomed ? connection->heard_ms : connection_ms_after(0);
    connection_enter(connection, CONNECTION_OPEN);
    connection_welcome(connection, attached);
    connection_input_resume(connection);
    connection_drain_on(connection);
}

void connection_mailbox_down(struct connection *connection) {
    connection->mailbox = ACTOR_NOBODY;
    if (connection->state != CONNECTION_OPEN)
        return;
    actor_count("mailbox_down", 1);
    if (connection->told_end) {
        connection_close(connection, WIRE_CLOSE_INTERNAL, "mailbox_down_after_answers");
        return;
    }
    connection_enter(connection, CONNECTION_REATTACHING);
    connection_output_drop_mail(connection);
    if (connection->work && connection->work->held_ack) {
        message_destroy(connection->work->held_ack); /* it is of an epoch that is over */
        connection->work->held_ack = NULL;
    }
    connection_open_fail_mailbox(connection, RETRY_AFTER_DOWN_MS);
    connection_attach(connection);
    connection_drain_on(connection);
}

void connection_welcome(struct connection *connection, const struct mailbox_attached *attached) {
    const struct node_limits *limits = &node_current()->limits;
    struct wire_writer writer;
    struct wire_welcome welcome = {
        .version = WIRE_VERSION,
        .registered = attached != NULL,
        .user = connection->user,
        .device = connection->device,
        .frame_bytes_max = WIRE_FRAMES_BYTES_MAX,
        .mail_in_flight_max = limits->mail_in_flight_max,
        .mail_in_flight_bytes_max = limits->mail_in_flight_bytes_max,
        .sends_in_flight_max = limits->sends_in_flight_max,
        .queue_messages_max = limits->queue_messages_max,
        .heartbeat_ms = connection->heartbeat_ms,
        .next_send = 1,
        .time_ms = actor_wall_ms(),
        .discover_phones_max = DISCOVER_PHONES_MAX,
    };
    if (attached) {
        welcome.mail_in_flight_max = attached->mail_in_flight_max;
        welcome.mail_in_flight_bytes_max = attached->mail_in_flight_bytes_max;
        welcome.queue_messages_max = attached->queue_messages_max;
        welcome.epoch = attached->epoch;
        welcome.resume = attached->resume;
        welcome.next_send = attached->next_send;
        connection->welcomed = true;
    }
    connection_handshake_over(connection);
    /* Urgent, and mail of this epoch is sent after it: the mail lane is empty or of this epoch. */
    if (!connection_output_room(connection, OUTPUT_URGENT, WELCOME_BYTES_MAX, &writer))
        return;
    CHECK(wire_write_welcome(&writer, 0, &welcome) == 0);
    connection_output_commit(connection, OUTPUT_URGENT, &writer);
}

/* --- to the device -----------------------------------------------------------------------------
 */

/* True for what the present incarnation sends to a device that can take it. */
static bool is_current(const struct connection *connection, uint64_t epoch) {
    if (connection->state == CONNECTION_OPEN && epoch == connection->epoch)
        return true;
    actor_count("mail_of_old_epoch", 1);
    return false;
}

static bool span_fits(uint32_t offset, uint32_t bytes, size_t length) {
    return offset <= length && bytes <= length - offset;
}

void connection_send_mail(struct connection *connection, struct message *message) {
    const struct connection_mail *mail = message_as(message, struct connection_mail);
    if (!is_current(connection, mail->epoch))
        return;
    const uint8_t *content = message->blob ? blob_bytes(message->blob) : NULL;
    size_t content_bytes = message->blob ? blob_length(message->blob) : 0;
    size_t bytes = MAIL_FIELDS_BYTES_MAX + (size_t)mail->ciphertext_bytes + mail->external_bytes;
    struct wire_writer writer;
    actor_ensure(span_fits(mail->ciphertext_offset, mail->ciphertext_bytes, content_bytes) &&
                     span_fits(mail->external_offset, mail->external_bytes, content_bytes) &&
                     bytes <= WIRE_FRAMES_BYTES_MAX,
                 CONNECTION_REASON_BROKEN);
    struct wire_mail frame = {
        .cursor = mail->cursor,
        .chat = mail->chat,
        .sender = mail->sender.user,
        .sender_device = mail->sender.device,
        .sequence = mail->sequence,
        .time_ms = mail->time_ms,
        .kind = mail->content_kind,
        .ciphertext = {content + mail->ciphertext_offset, mail->ciphertext_bytes},
        .external = {content + mail->external_offset, mail->external_bytes},
        .lamport = mail->lamport,
        .n = mail->chat_n,
        .attempt = mail->attempt,
    };
    memcpy(frame.id.bytes, mail->id, sizeof(frame.id.bytes));
    if (!connection_output_room(connection, OUTPUT_MAIL, bytes, &writer))
        return;
    actor_ensure(wire_write_mail(&writer, 0, &frame) == 0, CONNECTION_REASON_BROKEN);
    connection_output_commit(connection, OUTPUT_MAIL, &writer);
}

void connection_send_status(struct connection *connection, struct message *message) {
    const struct connection_status *status = message_as(message, struct connection_status);
    size_t ids_bytes = (size_t)status->id_count * WIRE_ID_BYTES;
    size_t bytes = STATUS_FIELDS_BYTES_MAX + (size_t)status->id_count * (WIRE_ID_BYTES + 2);
    struct wire_writer writer;
    if (!is_current(connection, status->epoch))
        return;
    actor_ensure(message->payload_bytes >= sizeof(*status) + ids_bytes &&
                     bytes <= WIRE_FRAMES_BYTES_MAX,
                 CONNECTION_REASON_BROKEN);
    struct wire_status frame = {
        .cursor = status->cursor,
        .state = status->state,
        .chat = status->chat,
        .user = status->peer.user,
        .device = status->peer.device,
        .time_ms = status->time_ms,
        .ids = {.items = (const struct wire_id *)(status + 1), .count = status->id_count},
    };
    if (!connection_output_room(connection, OUTPUT_MAIL, bytes, &writer))
        return;
    actor_ensure(wire_write_status(&writer, 0, &frame) == 0, CONNECTION_REASON_BROKEN);
    connection_output_commit(connection, OUTPUT_MAIL, &writer);
}

void connection_send_empty(struct connection *connection) {
    struct wire_writer writer;
    struct wire_empty frame = {};
    if (connection->state != CONNECTION_OPEN ||
        !connection_output_room(connection, OUTPUT_MAIL, 16, &writer))
        return;
    CHECK(wire_write_empty(&writer, 0, &frame) == 0);
    connection_output_commit(connection, OUTPUT_MAIL, &writer);
}

/* --- to the mailbox, which may be full ---------------------------------------------------------
 */

static bool is_plain(struct message *message) {
    const struct mailbox_ack *ack = message_as(message, struct mailbox_ack);
    return ack->single_count == 0 && ack->error_count == 0;
}

/* One ack waits until the mailbox has room; a cumulative one stands for those before it. */
static void hold_ack(struct connection *connection, struct message **message) {
    struct connection_work *work = connection_work(connection);
    struct message *ack = *message;
    *message = NULL;
    actor_count("ack_refused", 1);
    if (work->held_ack && is_plain(work->held_ack) && is_plain(ack)) {
        struct mailbox_ack *held = message_as(work->held_ack, struct mailbox_ack);
        const struct mailbox_ack *newer = message_as(ack, struct mailbox_ack);
        if (newer->epoch != held->epoch || newer->up_to > held->up_to)
            *held = *newer;
        message_destroy(ack);
        return;
    }
    if (work->held_ack) {
        message_destroy(ack); /* the mail that it was for will come again */
        connection_close(connection, WIRE_CLOSE_OVERLOADED, "connection_ack_overflow");
        return;
    }
    work->held_ack = ack;
    work->recheck_ms = connection_ms_after(ACK_AGAIN_MS);
    connection_wake_by(connection, work->recheck_ms);
}

void connection_retry_ack(struct connection *connection) {
    struct connection_work *work = connection->work;
    if (!work || !work->held_ack)
        return;
    if (connection_ms_until(work->recheck_ms) > 0) {
        connection_wake_by(connection, work->recheck_ms);
        return;
    }
    struct message *ack = work->held_ack;
    work->held_ack = NULL;
    connection_to_mailbox(connection, &ack);
}

void connection_to_mailbox(struct connection *connection, struct message **message) {
    if (connection->mailbox.bits && actor_send(connection->mailbox, message) == 0)
        return;
    connection_refused(connection, message);
    if (*message)
        message_destroy(*message);
    *message = NULL;
}

void connection_refused(struct connection *connection, struct message **message) {
    struct message *refused = *message;
    uint64_t ref = 0;
    switch (refused->kind) {
    case MAILBOX_ACK:
        if (connection->mailbox.bits && connection->state == CONNECTION_OPEN)
            hold_ack(connection, message);
        return;
    case MAILBOX_ATTACH:
        if (connection->state == CONNECTION_ATTACHING ||
            connection->state == CONNECTION_REATTACHING)
            attach_later(connection, backoff(connection));
        actor_count("attach_refused", 1);
        return;
    case MAILBOX_SEND:
        ref = message_as(refused, struct mailbox_send)->ref;
        break;
    case MAILBOX_RECEIPT:
        ref = message_as(refused, struct mailbox_receipt)->ref;
        break;
    case NUMBER_REGISTER:
        ref = message_as(refused, struct number_register)->ref;
        break;
    case NUMBER_VERIFY:
        ref = message_as(refused, struct number_verify)->ref;
        break;
    case ACCOUNT_DEVICES:
    case ACCOUNT_PROFILE:
        ref = message_as(refused, struct account_request)->ref;
        break;
    default:
        return;
    }
    actor_count("request_overloaded", 1);
    connection_open_answer(connection, ref, WIRE_CODE_OVERLOADED, RETRY_AFTER_FULL_MS, NULL, 0);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of a device whose key is proven: decrypted, read, and given to whom they concern.
 *
 * The table of frames says which kinds a device may send, and which of them before it is
 * registered. Everything here is from outside: a frame that makes no sense is answered by name when
 * it has a ref, and counted; only what cannot be frames at all ends the connection.
 */
#include "actors/connection_internal.h"
#include "actors/node.h"
#include "runtime/check.h"
#include "storage/account.h"
#include "storage/format.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_AFTER_AWAY_MS 100
#define RETRY_AFTER_BUSY_MS 500
#define CODE_DIGITS_MAX 7

typedef void (*frame_fn)(struct connection *connection, const struct wire_frame *frame);

struct frame_row {
    frame_fn take;
    bool from_anybody; /* also from a key that no account has */
};

static void refuse(struct connection *connection, const struct wire_frame *frame, int code,
                   const char *why) {
    actor_count(why, 1);
    connection_reply(connection, frame->ref, code, 0, NULL, 0);
}

static void refuse_for_now(struct connection *connection, const struct wire_frame *frame) {
    actor_count("request_unavailable", 1);
    connection_reply(connection, frame->ref, WIRE_CODE_UNAVAILABLE, RETRY_AFTER_AWAY_MS, NULL, 0);
}

/* The mailbox is there, and new work may begin. */
static bool takes_work(const struct connection *connection) {
    return connection->state == CONNECTION_OPEN && !connection->draining;
}

/* --- ping, pong, reply -------------------------------------------------------------------------
 */

/* Whoever came when there were few would else go on with a short interval for as long as it stays.
 * 0: it is about what the device knows. */
static uint32_t grown_heartbeat_ms(const struct connection *connection) {
    uint32_t interval_ms = node_heartbeat_ms(node_current());
    return interval_ms > connection->heartbeat_ms + connection->heartbeat_ms / 4 ? interval_ms : 0;
}

static void take_ping(struct connection *connection, const struct wire_frame *frame) {
    struct wire_writer writer;
    struct wire_pong pong = {.token = frame->ping.token,
                             .heartbeat_ms = grown_heartbeat_ms(connection)};
    if (!connection_output_room(connection, OUTPUT_URGENT, 32, &writer))
        return;
    CHECK(wire_write_pong(&writer, frame->ref, &pong) == 0);
    connection_output_commit(connection, OUTPUT_URGENT, &writer);
    if (pong.heartbeat_ms)
        connection->heartbeat_ms = pong.heartbeat_ms;
}

static void take_and_ignore(struct connection *connection, const struct wire_frame *frame) {
    (void)connection;
    (void)frame;
}

/* --- send --------------------------------------------------------------------------------------
 */

static uint32_t saturated(uint64_t number) {
    return number > UINT32_MAX ? UINT32_MAX : (uint32_t)number;
}

static struct message *make_send(const struct connection *connection,
                                 const struct wire_frame *frame) {
    const struct wire_send *send = &frame->send;
    struct message *message = message_create(MAILBOX_SEND, sizeof(struct mailbox_send));
    struct mailbox_send *to = message_as(message, struct mailbox_send);
    *to = (struct mailbox_send){
        .connection = connection->self,
        .device = connection->device,
        .flags = send->flags,
        .ref = frame->ref,
        .number = send->number,
        .chat = send->chat,
        .version = saturated(send->version),
        .own_version = saturated(send->own_version),
        .lamport = send->lamport,
        .chat_n = send->n,
        .send_low = send->send_low,
        .spans = {.recipients_bytes = send->recipients.length,
                  .recipients_count = send->recipients.count,
                  .external_bytes = send->external.length},
    };
    memcpy(to->id, send->id.bytes, sizeof(to->id));
    return message;
}

static struct blob *copy_content(const struct wire_send *send) {
    struct blob *blob = blob_create((size_t)send->recipients.length + send->external.length);
    uint8_t *content = blob_bytes(blob);
    if (send->recipients.length)
        memcpy(content, send->recipients.bytes, send->recipients.length);
    if (send->external.length)
        memcpy(content + send->recipients.length, send->external.bytes, send->external.length);
    return blob;
}

/* Opens it and gives it to the mailbox; with a refusal, without its content. */
static void give_send(struct connection *connection, const struct wire_frame *frame, int refusal) {
    const struct wire_send *send = &frame->send;
    if (!frame->ref || !send->number) {
        refuse(connection, frame, refusal ? refusal : WIRE_CODE_BAD_REQUEST, "send_without_number");
        return;
    }
    if (!takes_work(connection)) {
        refuse_for_now(connection, frame);
        return;
    }
    if (!connection_open_add(connection, OPEN_SEND, frame->ref, send->number))
        return;
    if (connection->send_span && connection_send_end(connection) <= send->number)
        connection_set_send_end(connection, send->number + 1);
    struct message *message = make_send(connection, frame);
    if (refusal) {
        struct mailbox_send *to = message_as(message, struct mailbox_send);
        to->refusal = (uint8_t)refusal;
        to->spans = (struct content_spans){0};
        actor_count("send_too_big", 1);
    } else {
        message->blob = copy_content(send);
    }
    connection_to_mailbox(connection, &message);
}

static void take_send(struct connection *connection, const struct wire_frame *frame) {
    bool fits = wire_content_bytes(&frame->send) <= WIRE_CONTENT_BYTES_MAX;
    give_send(connection, frame, fits ? 0 : WIRE_CODE_TOO_BIG);
}

/* --- ack, receipt ------------------------------------------------------------------------------
 */

/* What the next incarnation of the mailbox will be told. */
static void remember_ack(struct connection *connection, const struct wire_ack *ack) {
    if (ack->epoch != connection->epoch)
        return;
    if (connection->resume_epoch != ack->epoch) {
        connection->resume_epoch = ack->epoch;
        connection->resume_cursor = 0;
    }
    if (ack->up_to > connection->resume_cursor)
        connection->resume_cursor = ack->up_to;
}

static struct message *make_ack(const struct connection *connection, const struct wire_ack *ack) {
    size_t singles_bytes = ack->singles.count * sizeof(uint64_t);
    size_t errors_bytes = ack->errors.count * sizeof(struct mailbox_ack_error);
    struct message *message =
        message_create(MAILBOX_ACK, sizeof(struct mailbox_ack) + singles_bytes + errors_bytes);
    struct mailbox_ack *to = message_as(message, struct mailbox_ack);
    *to = (struct mailbox_ack){
        .connection = connection->self,
        .device = connection->device,
        .epoch = ack->epoch,
        .up_to = ack->up_to,
        .single_count = (uint16_t)ack->singles.count,
        .error_count = (uint16_t)ack->errors.count,
    };
    uint64_t *singles = (uint64_t *)(to + 1);
    struct wire_number_list numbers = ack->singles;
    while (wire_next_number(&numbers, singles))
        singles++;
    struct mailbox_ack_error *errors = (struct mailbox_ack_error *)singles;
    struct wire_ack_error_list list = ack->errors;
    struct wire_ack_error error;
    while (wire_next_ack_error(&list, &error))
        *errors++ = (struct mailbox_ack_error){.cursor = error.cursor, .error = error.error};
    return message;
}

static void take_ack(struct connection *connection, const struct wire_frame *frame) {
    remember_ack(connection, &frame->ack);
    if (connection->state != CONNECTION_OPEN || frame->ack.epoch != connection->epoch) {
        actor_count("ack_of_old_epoch", 1);
        return;
    }
    struct message *message = make_ack(connection, &frame->ack);
    connection_to_mailbox(connection, &message);
}

static void take_receipt(struct connection *connection, const struct wire_frame *frame) {
    const struct wire_receipt *receipt = &frame->receipt;
    if ((receipt->state != WIRE_STATE_READ && receipt->state != WIRE_STATE_PLAYED) ||
        !receipt->chat || !receipt->ids.count) {
        refuse(connection, frame, WIRE_CODE_BAD_REQUEST, "receipt_junk");
        return;
    }
    if (!takes_work(connection)) {
        refuse_for_now(connection, frame);
        return;
    }
    if (frame->ref && !connection_open_add(connection, OPEN_RECEIPT, frame->ref, 0))
        return;
    struct message *message =
        message_create(MAILBOX_RECEIPT,
                       sizeof(struct mailbox_receipt) + (size_t)receipt->ids.count * WIRE_ID_BYTES);
    struct mailbox_receipt *to = message_as(message, struct mailbox_receipt);
    *to = (struct mailbox_receipt){
        .connection = connection->self,
        .ref = frame->ref,
        .device = connection->device,
        .state = (uint8_t)receipt->state,
        .chat = receipt->chat,
        .id_count = (uint16_t)receipt->ids.count,
    };
    struct wire_id *ids = (struct wire_id *)(to + 1);
    struct wire_identity_list list = receipt->ids;
    while (wire_next_identity(&list, ids))
        ids++;
    connection_to_mailbox(connection, &message);
}

/* --- register, verify --------------------------------------------------------------------------
 */

/* E.164: "+15550001000" → "15550001000" (ITU-T E.164 section 6: at most 15 digits). */
static bool read_phone(struct wire_bytes text, char digits[20]) {
    if (text.length < 2 || text.length > FORMAT_PHONE_DIGITS_MAX + 1 || text.bytes[0] != '+' ||
        memchr(text.bytes, 0, text.length))
        return false;
    memcpy(digits, text.bytes + 1, text.length - 1);
    digits[text.length - 1] = 0;
    return format_phone_valid(digits);
}

static bool read_text(struct wire_bytes text, char *out, size_t capacity) {
    if (text.length >= capacity || (text.length && memchr(text.bytes, 0, text.length)))
        return false;
    if (text.length)
        memcpy(out, text.bytes, text.length);
    out[text.length] = 0;
    return true;
}

/* Opens the request and gives it to (class, key). */
static void ask(struct connection *connection, const struct wire_frame *frame, enum open_kind kind,
                const struct actor_class *class, uint64_t key, struct message *message) {
    if (connection->draining) {
        message_destroy(message);
        refuse_for_now(connection, frame);
        return;
    }
    if (!connection_open_add(connection, kind, frame->ref, 0)) {
        message_destroy(message);
        return;
    }
    if (actor_send_named(class, key, &message) != 0) {
        connection_refused(connection, &message);
        message_destroy(message);
    }
}

static bool may_register(struct connection *connection, const struct wire_frame *frame) {
    uint64_t until_ms = node_current()->strangers_refused_until_ms;
    if (connection->state != CONNECTION_UNREGISTERED) {
        refuse(connection, frame, WIRE_CODE_CONFLICT, "register_again");
        return false;
    }
    if (until_ms <= actor_now_ms())
        return true;
    actor_count("stranger_refused", 1);
    connection_reply(connection, frame->ref, WIRE_CODE_UNAVAILABLE,
                     (uint32_t)(until_ms - actor_now_ms()), NULL, 0);
    return false;
}

static void take_register(struct connection *connection, const struct wire_frame *frame) {
    char digits[20];
    if (!may_register(connection, frame))
        return;
    if (!frame->ref || !read_phone(frame->register_phone.phone, digits)) {
        refuse(connection, frame, WIRE_CODE_BAD_REQUEST, "phone_junk");
        return;
    }
    struct message *message = message_create(NUMBER_REGISTER, sizeof(struct number_register));
    struct number_register *to = message_as(message, struct number_register);
    to->connection = connection->self;
    to->ref = frame->ref;
    memcpy(to->key, connection->key, sizeof(to->key));
    memcpy(to->peer_address, connection->address, sizeof(to->peer_address));
    memcpy(to->phone, digits, sizeof(to->phone));
    ask(connection, frame, OPEN_REQUEST, &number_class, strtoull(digits, NULL, 10), message);
}

static void take_verify(struct connection *connection, const struct wire_frame *frame) {
    char digits[20] = {0};
    char code[CODE_DIGITS_MAX + 1] = {0};
    if (!may_register(connection, frame))
        return;
    struct message *message = message_create(NUMBER_VERIFY, sizeof(struct number_verify));
    struct number_verify *to = message_as(message, struct number_verify);
    if (!frame->ref || !read_phone(frame->verify.phone, digits) ||
        !read_text(frame->verify.code, code, sizeof(code)) ||
        !read_text(frame->verify.name, to->name, sizeof(to->name))) {
        message_destroy(message);
        refuse(connection, frame, WIRE_CODE_BAD_REQUEST, "verify_junk");
        return;
    }
    to->connection = connection->self;
    to->ref = frame->ref;
    memcpy(to->key, connection->key, sizeof(to->key));
    memcpy(to->phone, digits, sizeof(to->phone));
    memcpy(to->code, code, sizeof(to->code));
    ask(connection, frame, OPEN_VERIFY, &number_class, strtoull(digits, NULL, 10), message);
}

/* --- devices, profile --------------------------------------------------------------------------
 */

static void ask_account(struct connection *connection, const struct wire_frame *frame,
                        uint64_t user, uint16_t kind) {
    if (!frame->ref || !user) {
        refuse(connection, frame, WIRE_CODE_BAD_REQUEST, "request_junk");
        return;
    }
    struct message *message = message_create(kind, sizeof(struct account_request));
    *message_as(message, struct account_request) = (struct account_request){
        .connection = connection->self, .ref = frame->ref, .asking_user = connection->user};
    ask(connection, frame, OPEN_REQUEST, &account_class, user, message);
}

static void take_devices(struct connection *connection, const struct wire_frame *frame) {
    ask_account(connection, frame, frame->devices.user, ACCOUNT_DEVICES);
}

static void take_profile(struct connection *connection, const struct wire_frame *frame) {
    ask_account(connection, frame, frame->profile.user, ACCOUNT_PROFILE);
}

/* --- discover ----------------------------------------------------------------------------------
 */

/* On the pool: looks the phones up and encodes the reply's body. */
static void find_phones(struct message *message) {
    struct connection_discovered *job = message_as(message, struct connection_discovered);
    struct wire_person people[DISCOVER_PHONES_MAX];
    uint32_t found = 0;
    for (uint32_t i = 0; i < job->count; i++) {
        const char *phone = job->phones[i];
        uint64_t user;
        int error = account_find_phone(job->engine, phone + 1, &user);
        if (error == -ENOENT)
            continue;
        job->error = error;
        if (error)
            return;
        people[found++] = (struct wire_person){
            .phone = {(const uint8_t *)phone, (uint32_t)strlen(phone)}, .user = user};
    }
    struct wire_discover_body body = {.people = {.items = people, .count = found}};
    uint8_t bytes[DISCOVER_PHONES_MAX * 40 + 16];
    struct wire_writer writer = {.bytes = bytes, .capacity = sizeof(bytes)};
    job->error = wire_write_discover_body(&writer, &body);
    if (!job->error)
        message->blob = blob_copy_of(bytes, writer.length);
}

/* Copies the phones that are some; others cannot be found anyway. */
static void copy_phones(struct connection_discovered *job, struct wire_text_list phones) {
    struct wire_bytes text;
    char digits[20];
    while (wire_next_text(&phones, &text)) {
        if (!read_phone(text, digits))
            continue;
        memcpy(job->phones[job->count], text.bytes, text.length);
        job->phones[job->count++][text.length] = 0;
    }
}

static void take_discover(struct connection *connection, const struct wire_frame *frame) {
    if (!frame->ref) {
        refuse(connection, frame, WIRE_CODE_BAD_REQUEST, "request_junk");
        return;
    }
    if (frame->discover.phones.count > DISCOVER_PHONES_MAX) {
        refuse(connection, frame, WIRE_CODE_TOO_BIG, "discover_too_big");
        return;
    }
    if (connection->draining) {
        refuse_for_now(connection, frame);
        return;
    }
    if (connection->discovering) {
        actor_count("discover_limited", 1);
        connection_reply(connection, frame->ref, WIRE_CODE_LIMITED, RETRY_AFTER_BUSY_MS, NULL, 0);
        return;
    }
    if (!connection_open_add(connection, OPEN_REQUEST, frame->ref, 0))
        return;
    struct message *message =
        message_create(CONNECTION_DISCOVERED, sizeof(struct connection_discovered));
    struct connection_discovered *job = message_as(message, struct connection_discovered);
    job->engine = node_current()->engine;
    job->ref = frame->ref;
    copy_phones(job, frame->discover.phones);
    if (actor_run_blocking(find_phones, &message) == 0) {
        connection->discovering = true;
        return;
    }
    message_destroy(message);
    connection_open_answer(connection, frame->ref, WIRE_CODE_OVERLOADED, RETRY_AFTER_BUSY_MS, NULL,
                           0);
}

void connection_discovered(struct connection *connection, struct message *message) {
    const struct connection_discovered *job = message_as(message, struct connection_discovered);
    connection->discovering = false;
    if (job->error || !message->blob)
        connection_open_answer(connection, job->ref, WIRE_CODE_UNAVAILABLE, RETRY_AFTER_BUSY_MS,
                               NULL, 0);
    else
        connection_open_answer(connection, job->ref, WIRE_CODE_OK, 0, blob_bytes(message->blob),
                               blob_length(message->blob));
}

/* --- frames ------------------------------------------------------------------------------------
 */

static const struct frame_row rows[] = {
    [WIRE_REPLY] = {take_and_ignore, true},
    [WIRE_PING] = {take_ping, true},
    [WIRE_PONG] = {take_and_ignore, true},
    [WIRE_SEND] = {take_send, false},
    [WIRE_ACK] = {take_ack, false},
    [WIRE_RECEIPT] = {take_receipt, false},
    [WIRE_REGISTER_PHONE] = {take_register, true},
    [WIRE_VERIFY] = {take_verify, true},
    [WIRE_DISCOVER] = {take_discover, false},
    [WIRE_DEVICES] = {take_devices, false},
    [WIRE_PROFILE] = {take_profile, false},
};

static bool is_of_nodes(uint16_t kind) {
    switch (kind) {
    case WIRE_HELLO: /* a device's, but only in the handshake */
    case WIRE_WELCOME:
    case WIRE_NOTICE:
    case WIRE_MAIL:
    case WIRE_EMPTY:
    case WIRE_STATUS:
        return true;
    default:
        return false;
    }
}

static void take_frame(struct connection *connection, const struct wire_frame *frame) {
    const struct frame_row *row =
        frame->kind < sizeof(rows) / sizeof(rows[0]) ? &rows[frame->kind] : &rows[0];
    if (is_of_nodes(frame->kind))
        connection_close(connection, WIRE_CLOSE_UNWANTED, "frame_unwanted");
    else if (!row->take)
        refuse(connection, frame, WIRE_CODE_BAD_REQUEST, "frame_unknown");
    else if (!row->from_anybody && connection->state == CONNECTION_UNREGISTERED)
        refuse(connection, frame, WIRE_CODE_UNAUTHORIZED, "frame_unauthorized");
    else
        row->take(connection, frame);
}

/* A send's number comes first, so it is known; the mailbox takes it, lest later ones wait for it.
 */
static void take_too_big(struct connection *connection, const struct wire_frame *frame) {
    if (frame->kind == WIRE_SEND && connection->state != CONNECTION_UNREGISTERED)
        give_send(connection, frame, WIRE_CODE_TOO_BIG);
    else
        refuse(connection, frame, WIRE_CODE_TOO_BIG, "frame_too_big");
}

void connection_take_session(struct connection *connection, uint8_t *bytes, size_t length) {
    size_t plain_bytes;
    if (noise_decrypt(&connection->transport.receive, bytes, length, &plain_bytes) != 0) {
        connection_close(connection, WIRE_CLOSE_HANDSHAKE, "noise_forged");
        return;
    }
    if (plain_bytes > WIRE_FRAMES_BYTES_MAX) {
        connection_close(connection, WEBSOCKET_CLOSE_TOO_BIG, "frames_too_big");
        return;
    }
    connection_take_frames(connection, bytes, plain_bytes);
}

void connection_take_frames(struct connection *connection, const uint8_t *bytes, size_t length) {
    struct wire_reader reader;
    struct wire_frame frame;
    wire_reader_init(&reader, bytes, length);
    while (connection_is_in_session(connection)) {
        /* What a frame that is too big has not set. */
        frame.send = (struct wire_send){0};
        enum parse_result result = wire_read_frame(&reader, &frame);
        if (result == PARSE_MORE)
            return;
        if (result == PARSE_COMPLETE)
            take_frame(connection, &frame);
        else if (result == PARSE_TOO_BIG)
            take_too_big(connection, &frame);
        else
            connection_close(connection, WIRE_CLOSE_BAD_FRAME, "frame_junk");
    }
}

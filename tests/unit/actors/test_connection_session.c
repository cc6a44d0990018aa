/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/actors/edge_fixture.h"

static void ask(struct peer *peer, const struct wire_frame *frame, int code) {
    struct wire_frame reply;
    peer_send_frame(peer, frame);
    assert_int_equal(peer_expect_reply(peer, frame->ref, &reply), code);
}

static struct wire_bytes text(const char *words) {
    return (struct wire_bytes){(const uint8_t *)words, (uint32_t)strlen(words)};
}

/* A send of `number` with ref 1000 + number. */
static void send_message(struct peer *peer, uint64_t number) {
    static const struct wire_recipient recipient = {
        .user = 5, .device = 1, .ciphertext = {(const uint8_t *)"sealed", 6}};
    struct wire_frame frame = {.kind = WIRE_SEND,
                               .ref = (uint32_t)(1000 + number),
                               .send = {.number = number,
                                        .chat = 5,
                                        .version = 2,
                                        .own_version = 3,
                                        .recipients = {.items = &recipient, .count = 1},
                                        .external = {(const uint8_t *)"outside", 7},
                                        .lamport = 11,
                                        .n = 12}};
    memset(frame.send.id.bytes, (int)number, WIRE_ID_BYTES);
    peer_send_frame(peer, &frame);
}

/* --- sending -----------------------------------------------------------------------------------
 */

static void send_goes_to_the_mailbox_and_its_answer_back(void **state) {
    struct wire_frame frame;
    struct wire_sent_body body;
    edge_start();
    struct peer *peer = edge_login();
    send_message(peer, 1);
    assert_int_equal(peer_expect_reply(peer, 1001, &frame), WIRE_CODE_OK);
    assert_int_equal(wire_read_sent_body(frame.reply.body.bytes, frame.reply.body.length, &body),
                     PARSE_COMPLETE);
    assert_int_equal(body.sequence, 1);
    struct edge_seen seen = edge_await(MAILBOX_SEND, 0);
    const struct mailbox_send *send = (const void *)seen.payload;
    assert_int_equal(send->device, EDGE_DEVICE);
    assert_int_equal(send->number, 1);
    assert_int_equal(send->chat, 5);
    assert_int_equal(send->version, 2);
    assert_int_equal(send->own_version, 3);
    assert_int_equal(send->lamport, 11);
    assert_int_equal(send->chat_n, 12);
    assert_int_equal(send->spans.recipients_count, 1);
    assert_int_equal(send->spans.external_bytes, 7);
    assert_int_equal(seen.content_bytes, send->spans.recipients_bytes + 7);
    assert_memory_equal(seen.content + send->spans.recipients_bytes, "outside", 7);
    struct wire_recipient recipient;
    struct wire_recipient_list list = {
        .bytes = seen.content, .length = send->spans.recipients_bytes, .count = 1};
    assert_true(wire_next_recipient(&list, &recipient));
    assert_int_equal(recipient.user, 5);
    assert_memory_equal(recipient.ciphertext.bytes, "sealed", 6);
    peer_destroy(peer);
}

static void send_one_byte_too_long_is_too_big(void **state) {
    static uint8_t content[WIRE_CONTENT_BYTES_MAX];
    struct wire_recipient recipient = {.user = 5, .device = 1, .ciphertext = {content, 1}};
    struct wire_frame frame = {.kind = WIRE_SEND,
                               .ref = 9,
                               .send = {.number = 1,
                                        .chat = 5,
                                        .recipients = {.items = &recipient, .count = 1},
                                        .external = {content, WIRE_CONTENT_BYTES_MAX}}};
    edge_start();
    struct peer *peer = edge_login();
    ask(peer, &frame, WIRE_CODE_TOO_BIG);
    struct edge_seen seen = edge_await(MAILBOX_SEND, 0); /* which takes its number */
    assert_int_equal(((const struct mailbox_send *)(const void *)seen.payload)->number, 1);
    assert_int_equal(seen.content_bytes, 0);
    frame.send.external.length--;
    ask(peer, &frame, WIRE_CODE_OK);
    peer_destroy(peer);
}

/* A device that follows the protocol cannot even write it. */
static void send_with_a_field_too_long_is_too_big(void **state) {
    static uint8_t bytes[61600] = {0x98, 10, 77, 5, 0xc4, 16, [22] = 5, 0, 0, 0x91, 0x93, 5, 1};
    struct wire_writer writer = {.bytes = bytes};
    struct wire_frame frame;
    uint8_t *at = bytes + 29;
    *at++ = 0xc5; /* bin 16, 61,441 bytes */
    *at++ = 61441 >> 8;
    *at++ = 61441 & 0xff;
    writer.length = (size_t)(at - bytes) + 61441;
    edge_start();
    struct peer *peer = edge_login();
    peer_send(peer, &writer);
    assert_int_equal(peer_expect_reply(peer, 77, &frame), WIRE_CODE_TOO_BIG);
    struct edge_seen seen = edge_await(MAILBOX_SEND, 0);
    const struct mailbox_send *send = (const void *)seen.payload;
    assert_int_equal(send->number, 5);
    assert_int_equal(send->refusal, WIRE_CODE_TOO_BIG);
    peer_destroy(peer);
}

static void sends_beyond_the_window_are_limited(void **state) {
    struct wire_frame frame;
    edge.node.limits.sends_in_flight_max = 4;
    edge.silent = true;
    edge_start();
    struct peer *peer = edge_login();
    for (uint64_t number = 1; number <= 5; number++)
        send_message(peer, number);
    assert_int_equal(peer_expect_reply(peer, 1005, &frame), WIRE_CODE_LIMITED);
    assert_true(frame.reply.retry_after_ms > 0);
    edge_await(MAILBOX_SEND, 3);
    assert_int_equal(edge_seen_of(MAILBOX_SEND), 4);
    peer_destroy(peer);
}

static void refused_frames_are_named_and_the_connection_goes_on(void **state) {
    edge_start();
    struct peer *peer = edge_login();
    ask(peer, &(struct wire_frame){.kind = WIRE_SEND, .ref = 1}, WIRE_CODE_BAD_REQUEST);
    ask(peer, &(struct wire_frame){.kind = WIRE_RECEIPT, .ref = 2}, WIRE_CODE_BAD_REQUEST);
    ask(peer, &(struct wire_frame){.kind = WIRE_DEVICES, .ref = 3}, WIRE_CODE_BAD_REQUEST);
    ask(peer,
        &(struct wire_frame){
            .kind = WIRE_REGISTER_PHONE, .ref = 4, .register_phone = {text("+15550001000")}},
        WIRE_CODE_CONFLICT); /* this key has an account */
    uint8_t unknown[] = {0x92, 0xcd, 0x0f, 0xff, 0x05};
    struct wire_writer writer = {.bytes = unknown, .length = sizeof(unknown)};
    struct wire_frame reply;
    peer_send(peer, &writer);
    assert_int_equal(peer_expect_reply(peer, 5, &reply), WIRE_CODE_BAD_REQUEST);
    assert_int_equal(edge_count("frame_unknown"), 1);
    peer_destroy(peer);
}

/* --- the end by what comes ---------------------------------------------------------------------
 */

static void junk_inside_the_session_ends_it(void **state) {
    uint8_t junk[] = {0xc1, 0xff};
    struct wire_writer writer = {.bytes = junk, .length = sizeof(junk)};
    edge_start();
    struct peer *peer = edge_login();
    peer_send(peer, &writer);
    assert_int_equal(peer_expect_close(peer), WIRE_CLOSE_BAD_FRAME);
    assert_int_equal(edge_count("frame_junk"), 1);
    peer_destroy(peer);
}

static void frame_of_a_node_ends_it(void **state) {
    edge_start();
    struct peer *peer = edge_login();
    peer_send_frame(peer, &(struct wire_frame){.kind = WIRE_MAIL});
    assert_int_equal(peer_expect_close(peer), WIRE_CLOSE_UNWANTED);
    peer_destroy(peer);
}

static void forged_message_ends_it(void **state) {
    uint8_t forged[64] = {0};
    edge_start();
    struct peer *peer = edge_login();
    peer_write_frame(peer, WEBSOCKET_BINARY, forged, sizeof(forged));
    assert_int_equal(peer_expect_close(peer), WIRE_CLOSE_HANDSHAKE);
    assert_int_equal(edge_count("noise_forged"), 1);
    peer_destroy(peer);
}

static void message_beyond_noise_ends_it(void **state) {
    static uint8_t bytes[NOISE_MESSAGE_BYTES_MAX + 1];
    edge_start();
    struct peer *peer = edge_login();
    peer_write_frame(peer, WEBSOCKET_BINARY, bytes, sizeof(bytes));
    assert_int_equal(peer_expect_close(peer), WEBSOCKET_CLOSE_TOO_BIG);
    peer_destroy(peer);
}

static void more_frames_than_one_message_may_hold_end_it(void **state) {
    static uint8_t frames[WIRE_FRAMES_BYTES_MAX + 3];
    struct wire_writer writer = {.bytes = frames, .length = sizeof(frames)};
    edge_start();
    struct peer *peer = edge_login();
    memset(frames, 0x90, sizeof(frames));
    peer_send(peer, &writer);
    assert_int_equal(peer_expect_close(peer), WEBSOCKET_CLOSE_TOO_BIG);
    peer_destroy(peer);
}

/* --- mail --------------------------------------------------------------------------------------
 */

static void send_three_mails(struct fake_mailbox *mailbox) {
    for (int i = 0; i < 3; i++)
        fake_mailbox_mail(mailbox, 100);
    actor_signal(mailbox->connection, CONNECTION_EMPTY);
}

static void mail_comes_in_order_and_its_ack_goes_back(void **state) {
    struct wire_frame frame;
    static const uint64_t singles[] = {9, 11};
    static const struct wire_ack_error error = {.cursor = 12, .error = WIRE_REFUSAL_REJECTED};
    edge_start();
    struct peer *peer = edge_login();
    edge_call(send_three_mails);
    for (uint64_t cursor = 1; cursor <= 3; cursor++) {
        peer_expect(peer, WIRE_MAIL, &frame);
        assert_int_equal(frame.mail.cursor, cursor);
        assert_int_equal(frame.mail.ciphertext.length, 100);
        assert_int_equal(frame.mail.external.length, 0);
        assert_int_equal(frame.mail.sender, 5);
    }
    peer_expect(peer, WIRE_EMPTY, &frame);
    peer_send_frame(peer, &(struct wire_frame){.kind = WIRE_ACK,
                                               .ack = {.epoch = 101,
                                                       .up_to = 3,
                                                       .singles = {.items = singles, .count = 2},
                                                       .errors = {.items = &error, .count = 1}}});
    struct edge_seen seen = edge_await(MAILBOX_ACK, 0);
    const struct mailbox_ack *ack = (const void *)seen.payload;
    assert_int_equal(ack->device, EDGE_DEVICE);
    assert_int_equal(ack->epoch, 101);
    assert_int_equal(ack->up_to, 3);
    assert_int_equal(ack->single_count, 2);
    assert_int_equal(ack->error_count, 1);
    const uint64_t *numbers = (const uint64_t *)(ack + 1);
    assert_int_equal(numbers[0], 9);
    assert_int_equal(numbers[1], 11);
    const struct mailbox_ack_error *refused = (const void *)(numbers + 2);
    assert_int_equal(refused->cursor, 12);
    assert_int_equal(refused->error, WIRE_REFUSAL_REJECTED);
    peer_destroy(peer);
}

static void send_status(struct fake_mailbox *mailbox) {
    struct message *message =
        message_create(CONNECTION_STATUS, sizeof(struct connection_status) + 32);
    struct connection_status *status = message_as(message, struct connection_status);
    status->epoch = mailbox->epoch;
    status->cursor = 1;
    status->state = WIRE_STATE_READ;
    status->id_count = 2;
    memset(status + 1, 'i', 32);
    if (actor_send(mailbox->connection, &message) != 0)
        message_destroy(message);
}

static void status_and_receipt_carry_their_ids(void **state) {
    struct wire_frame frame;
    struct wire_id id;
    edge_start();
    struct peer *peer = edge_login();
    edge_call(send_status);
    peer_expect(peer, WIRE_STATUS, &frame);
    assert_int_equal(frame.status.state, WIRE_STATE_READ);
    assert_int_equal(frame.status.ids.count, 2);
    memset(&id, 'r', sizeof(id));
    peer_send_frame(peer, &(struct wire_frame){.kind = WIRE_RECEIPT,
                                               .receipt = {.chat = 5,
                                                           .state = WIRE_STATE_READ,
                                                           .ids = {.items = &id, .count = 1}}});
    struct edge_seen seen = edge_await(MAILBOX_RECEIPT, 0);
    const struct mailbox_receipt *receipt = (const void *)seen.payload;
    assert_int_equal(receipt->chat, 5);
    assert_int_equal(receipt->id_count, 1);
    assert_memory_equal(receipt + 1, &id, sizeof(id));
    peer_destroy(peer);
}

static void cut(struct fake_mailbox *mailbox) {
    struct message *message = message_create(CONNECTION_CUT, sizeof(struct connection_cut));
    *message_as(message, struct connection_cut) =
        (struct connection_cut){WIRE_NOTICE_REPLACED, WIRE_CLOSE_REPLACED};
    if (actor_send(mailbox->connection, &message) != 0)
        message_destroy(message);
}

static void cut_says_why(void **state) {
    struct wire_frame frame;
    edge_start();
    struct peer *peer = edge_login();
    edge_call(cut);
    peer_expect(peer, WIRE_NOTICE, &frame);
    assert_int_equal(frame.notice.kind, WIRE_NOTICE_REPLACED);
    assert_int_equal(peer_expect_close(peer), WIRE_CLOSE_REPLACED);
    peer_destroy(peer);
    edge_await_connections(0);
}

/* --- the mailbox goes down ---------------------------------------------------------------------
 */

static void die(struct fake_mailbox *mailbox) {
    actor_fail(1, "asked to");
}

static void mailbox_down_is_told_and_the_next_one_knows_where_it_was(void **state) {
    struct wire_frame frame;
    edge_start();
    struct peer *peer = edge_login();
    peer_send_frame(peer,
                    &(struct wire_frame){.kind = WIRE_ACK, .ack = {.epoch = 101, .up_to = 8}});
    edge_await(MAILBOX_ACK, 0);
    pthread_mutex_lock(&edge.lock);
    edge.silent = true;
    pthread_mutex_unlock(&edge.lock);
    send_message(peer, 1);
    send_message(peer, 2);
    edge_await(MAILBOX_SEND, 1);
    edge_call(die);
    assert_true(peer_next(peer, &frame)); /* both, before the welcome, in whatever order */
    assert_int_equal(frame.kind, WIRE_REPLY);
    assert_int_equal(frame.reply.code, WIRE_CODE_UNAVAILABLE);
    assert_true(frame.reply.retry_after_ms > 0);
    assert_true(peer_next(peer, &frame));
    assert_int_equal(frame.reply.code, WIRE_CODE_UNAVAILABLE);
    assert_true(peer_next(peer, &frame));
    assert_int_equal(frame.kind, WIRE_WELCOME);
    assert_int_equal(frame.welcome.epoch, 102);
    struct edge_seen seen = edge_await(MAILBOX_ATTACH, 1);
    const struct mailbox_attach *attach = (const void *)seen.payload;
    assert_int_equal(attach->resume_epoch, 101);
    assert_int_equal(attach->resume_cursor, 8);
    assert_int_equal(attach->send_low, 1);
    edge_call(die); /* the device has not tried again yet */
    seen = edge_await(MAILBOX_ATTACH, 2);
    assert_int_equal(((const struct mailbox_attach *)(const void *)seen.payload)->send_low, 1);
    peer_destroy(peer);
}

static void answer_third_only(struct fake_mailbox *mailbox) {
    answer_code((struct answer_to){mailbox->connection, 1003}, WIRE_CODE_OK, 0);
}

/* What was written to the socket may not be heard: only the device knows what it still wants an
 * answer to. */
static void after_an_answer_a_device_whose_mailbox_fails_is_asked_to_come_again(void **state) {
    struct wire_frame frame;
    edge.silent = true;
    edge_start();
    struct peer *peer = edge_login();
    for (uint64_t number = 1; number <= 3; number++)
        send_message(peer, number);
    edge_await(MAILBOX_SEND, 2);
    edge_call(answer_third_only);
    assert_int_equal(peer_expect_reply(peer, 1003, &frame), WIRE_CODE_OK);
    edge_call(die);
    assert_int_equal(peer_expect_close(peer), WIRE_CLOSE_INTERNAL);
    assert_int_equal(edge_count("mailbox_down_after_answers"), 1);
    assert_int_equal(edge_seen_of(MAILBOX_ATTACH), 1); /* with what it cannot know, to nobody */
    peer_destroy(peer);
}

static void limit_all(struct fake_mailbox *mailbox) {
    answer_code((struct answer_to){mailbox->connection, 1001}, WIRE_CODE_LIMITED, 10);
}

static void a_refusal_that_is_tried_again_is_no_answer(void **state) {
    struct wire_frame frame;
    edge.silent = true;
    edge_start();
    struct peer *peer = edge_login();
    send_message(peer, 1);
    edge_await(MAILBOX_SEND, 0);
    edge_call(limit_all);
    assert_int_equal(peer_expect_reply(peer, 1001, &frame), WIRE_CODE_LIMITED);
    edge_call(die);
    struct edge_seen seen = edge_await(MAILBOX_ATTACH, 1);
    assert_int_equal(((const struct mailbox_attach *)(const void *)seen.payload)->send_low, 1);
    peer_destroy(peer);
}

static void sends_are_unavailable_while_the_mailbox_is_away(void **state) {
    struct wire_frame frame;
    edge_start();
    struct peer *peer = edge_login();
    pthread_mutex_lock(&edge.lock);
    edge.attach_code = WIRE_CODE_UNAVAILABLE;
    pthread_mutex_unlock(&edge.lock);
    edge_call(die);
    edge_await(MAILBOX_ATTACH, 1);
    send_message(peer, 1);
    assert_int_equal(peer_expect_reply(peer, 1001, &frame), WIRE_CODE_UNAVAILABLE);
    pthread_mutex_lock(&edge.lock);
    edge.attach_code = WIRE_CODE_OK;
    pthread_mutex_unlock(&edge.lock);
    peer_expect(peer, WIRE_WELCOME, &frame); /* it tried again by itself */
    send_message(peer, 1);
    assert_int_equal(peer_expect_reply(peer, 1001, &frame), WIRE_CODE_OK);
    peer_destroy(peer);
}

static void device_that_was_replaced_meanwhile_is_unlinked(void **state) {
    struct wire_frame frame;
    edge.attach_code = WIRE_CODE_UNAUTHORIZED;
    edge_start();
    struct peer *peer = peer_login(edge.port, EDGE_IDENTITY);
    peer_expect(peer, WIRE_NOTICE, &frame);
    assert_int_equal(frame.notice.kind, WIRE_NOTICE_UNLINKED);
    assert_int_equal(peer_expect_close(peer), WIRE_CLOSE_UNLINKED);
    peer_destroy(peer);
}

/* --- the mailbox is full -----------------------------------------------------------------------
 */

static void go_on(struct fake_mailbox *mailbox) {
    actor_undefer();
}

static void full_mailbox_overloads_sends_and_gets_the_acks_later(void **state) {
    struct wire_frame frame;
    edge.defers = true;
    edge_start();
    struct peer *peer = edge_login();
    for (uint64_t cursor = 1; cursor <= EDGE_MAILBOX_MAX + 10; cursor++)
        peer_send_frame(
            peer, &(struct wire_frame){.kind = WIRE_ACK, .ack = {.epoch = 101, .up_to = cursor}});
    edge_await_count("ack_refused", 1);
    send_message(peer, 1);
    assert_int_equal(peer_expect_reply(peer, 1001, &frame), WIRE_CODE_OVERLOADED);
    assert_true(frame.reply.retry_after_ms > 0);
    pthread_mutex_lock(&edge.lock);
    edge.defers = false;
    pthread_mutex_unlock(&edge.lock);
    edge_call(go_on);
    struct edge_seen seen = {0};
    for (unsigned i = 0;
         ((struct mailbox_ack *)(void *)seen.payload)->up_to < EDGE_MAILBOX_MAX + 10; i++)
        seen = edge_await(MAILBOX_ACK, i); /* the last one comes, however it was held */
    send_message(peer, 1);
    assert_int_equal(peer_expect_reply(peer, 1001, &frame), WIRE_CODE_OK);
    peer_destroy(peer);
}

/* --- a connection fails ------------------------------------------------------------------------
 */

static void send_impossible_mail(struct fake_mailbox *mailbox) {
    struct message *message = message_create(CONNECTION_MAIL, sizeof(struct connection_mail));
    struct connection_mail *mail = message_as(message, struct connection_mail);
    mail->epoch = mailbox->epoch;
    mail->ciphertext_bytes = 100; /* and no blob */
    if (actor_send(mailbox->connection, &message) != 0)
        message_destroy(message);
}

static void connection_that_fails_takes_nobody_with_it(void **state) {
    struct wire_frame frame;
    edge_start();
    struct peer *other = peer_login(edge.port, EDGE_STRANGER);
    struct peer *peer = edge_login();
    peer_expect(other, WIRE_WELCOME, &frame);
    edge_call(send_impossible_mail);
    assert_int_equal(peer_expect_close(peer), 0); /* it could not even say so */
    edge_await_connections(1);
    struct edge_seen seen = edge_await(MAILBOX_DETACH, 0);
    assert_false(((struct mailbox_detach *)(void *)seen.payload)->device_left); /* it was us */
    peer_send_frame(other, &(struct wire_frame){.kind = WIRE_PING});
    peer_expect(other, WIRE_PONG, &frame);
    peer_destroy(other);
    peer_destroy(peer);
}

/* --- registering -------------------------------------------------------------------------------
 */

static void stranger_may_only_register(void **state) {
    struct wire_frame frame;
    edge_start();
    struct peer *peer = peer_login(edge.port, EDGE_STRANGER);
    peer_expect(peer, WIRE_WELCOME, &frame);
    send_message(peer, 1);
    assert_int_equal(peer_expect_reply(peer, 1001, &frame), WIRE_CODE_UNAUTHORIZED);
    ask(peer, &(struct wire_frame){.kind = WIRE_DEVICES, .ref = 2, .devices = {.user = 42}},
        WIRE_CODE_UNAUTHORIZED);
    peer_send_frame(peer, &(struct wire_frame){.kind = WIRE_ACK, .ack = {.up_to = 1}});
    peer_send_frame(peer, &(struct wire_frame){.kind = WIRE_PING, .ping = {.token = 3}});
    peer_expect(peer, WIRE_PONG, &frame);
    assert_int_equal(edge_seen_of(MAILBOX_ACK), 0);
    peer_destroy(peer);
}

static void phones_are_checked_by_their_shape(void **state) {
    static const char *const junk[] = {"",          "15550001000",   "+",
                                       "+123456",   "+0123456789",   "+1234567890123456",
                                       "+1555000a", "+1555 0001000", "+15550001000 "};
    edge_start();
    struct peer *peer = peer_login(edge.port, EDGE_STRANGER);
    for (uint32_t i = 0; i < sizeof(junk) / sizeof(junk[0]); i++) {
        struct wire_frame frame = {
            .kind = WIRE_REGISTER_PHONE, .ref = i + 1, .register_phone = {.phone = text(junk[i])}};
        if (strlen(junk[i]) > 16)
            continue;
        ask(peer, &frame, WIRE_CODE_BAD_REQUEST);
    }
    assert_int_equal(edge_seen_of(NUMBER_REGISTER), 0);
    peer_destroy(peer);
}

static void verified_key_is_welcomed_again(void **state) {
    struct wire_frame frame;
    edge_start();
    struct peer *peer = peer_login(edge.port, EDGE_STRANGER);
    peer_expect(peer, WIRE_WELCOME, &frame);
    ask(peer,
        &(struct wire_frame){
            .kind = WIRE_REGISTER_PHONE, .ref = 1, .register_phone = {text("+15550002000")}},
        WIRE_CODE_OK);
    struct edge_seen seen = edge_await(NUMBER_REGISTER, 0);
    const struct number_register *request = (const void *)seen.payload;
    assert_string_equal(request->phone, "15550002000");
    assert_memory_equal(request->key, peer->public, 32);
    assert_int_equal(request->peer_address[12], 127);
    ask(peer,
        &(struct wire_frame){.kind = WIRE_VERIFY,
                             .ref = 2,
                             .verify = {text("+15550002000"), text("123456"), text("Bob")}},
        WIRE_CODE_OK);
    peer_expect(peer, WIRE_WELCOME, &frame);
    assert_true(frame.welcome.registered);
    assert_int_equal(frame.welcome.user, EDGE_USER + 1);
    seen = edge_await(NUMBER_VERIFY, 0);
    assert_string_equal(((const struct number_verify *)(const void *)seen.payload)->name, "Bob");
    send_message(peer, 1);
    assert_int_equal(peer_expect_reply(peer, 1001, &frame), WIRE_CODE_OK);
    peer_destroy(peer);
}

static void discover_finds_who_is_there(void **state) {
    struct wire_bytes phones[] = {text("+15559999999"), text("+15550001000"), text("junk")};
    struct wire_frame frame;
    struct wire_discover_body body;
    struct wire_person person;
    edge_start();
    struct peer *peer = edge_login();
    ask(peer,
        &(struct wire_frame){
            .kind = WIRE_DISCOVER, .ref = 7, .discover = {.phones = {.items = phones, .count = 3}}},
        WIRE_CODE_OK);
    peer_send_frame(peer, &(struct wire_frame){.kind = WIRE_DISCOVER,
                                               .ref = 8,
                                               .discover = {{.items = phones, .count = 3}}});
    assert_int_equal(peer_expect_reply(peer, 8, &frame), WIRE_CODE_OK);
    assert_int_equal(
        wire_read_discover_body(frame.reply.body.bytes, frame.reply.body.length, &body),
        PARSE_COMPLETE);
    assert_int_equal(body.people.count, 1);
    assert_true(wire_next_person(&body.people, &person));
    assert_int_equal(person.user, EDGE_USER);
    assert_memory_equal(person.phone.bytes, "+15550001000", 12);
    peer_destroy(peer);
}

static void discover_takes_as_many_as_welcome_says(void **state) {
    struct wire_bytes phones[DISCOVER_PHONES_MAX + 1];
    struct wire_frame frame;
    for (unsigned i = 0; i <= DISCOVER_PHONES_MAX; i++)
        phones[i] = text("+15550001000");
    edge_start();
    struct peer *peer = peer_login(edge.port, EDGE_IDENTITY);
    peer_expect(peer, WIRE_WELCOME, &frame);
    uint32_t count_max = frame.welcome.discover_phones_max;
    assert_int_equal(count_max, DISCOVER_PHONES_MAX);
    peer_send_frame(peer,
                    &(struct wire_frame){.kind = WIRE_DISCOVER,
                                         .ref = 7,
                                         .discover = {{.items = phones, .count = count_max}}});
    assert_int_equal(peer_expect_reply(peer, 7, &frame), WIRE_CODE_OK);
    peer_send_frame(peer,
                    &(struct wire_frame){.kind = WIRE_DISCOVER,
                                         .ref = 8,
                                         .discover = {{.items = phones, .count = count_max + 1}}});
    assert_int_equal(peer_expect_reply(peer, 8, &frame), WIRE_CODE_TOO_BIG);
    peer_destroy(peer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        EDGE_TEST(send_goes_to_the_mailbox_and_its_answer_back),
        EDGE_TEST(send_one_byte_too_long_is_too_big),
        EDGE_TEST(send_with_a_field_too_long_is_too_big),
        EDGE_TEST(sends_beyond_the_window_are_limited),
        EDGE_TEST(refused_frames_are_named_and_the_connection_goes_on),
        EDGE_TEST(junk_inside_the_session_ends_it),
        EDGE_TEST(frame_of_a_node_ends_it),
        EDGE_TEST(forged_message_ends_it),
        EDGE_TEST(message_beyond_noise_ends_it),
        EDGE_TEST(more_frames_than_one_message_may_hold_end_it),
        EDGE_TEST(mail_comes_in_order_and_its_ack_goes_back),
        EDGE_TEST(status_and_receipt_carry_their_ids),
        EDGE_TEST(cut_says_why),
        EDGE_TEST(mailbox_down_is_told_and_the_next_one_knows_where_it_was),
        EDGE_TEST(after_an_answer_a_device_whose_mailbox_fails_is_asked_to_come_again),
        EDGE_TEST(a_refusal_that_is_tried_again_is_no_answer),
        EDGE_TEST(sends_are_unavailable_while_the_mailbox_is_away),
        EDGE_TEST(device_that_was_replaced_meanwhile_is_unlinked),
        EDGE_TEST(full_mailbox_overloads_sends_and_gets_the_acks_later),
        EDGE_TEST(connection_that_fails_takes_nobody_with_it),
        EDGE_TEST(stranger_may_only_register),
        EDGE_TEST(phones_are_checked_by_their_shape),
        EDGE_TEST(verified_key_is_welcomed_again),
        EDGE_TEST(discover_finds_who_is_there),
        EDGE_TEST(discover_takes_as_many_as_welcome_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

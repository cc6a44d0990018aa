/* SPDX-License-Identifier: Apache-2.0 */
/* A linked device: its frames reach the mailbox as over a socket, and what can't be is refused. */
#include "tests/unit/actors/edge_fixture.h"

#include "actors/connection.h"
#include "runtime/supervisor.h"

#include <errno.h>

#define HEARD_BYTES (256u << 10)

/* The device's end: all that it was sent, in one piece. */
static struct {
    uint8_t bytes[HEARD_BYTES]; /* under edge.lock, as all here */
    size_t length;
    unsigned ended;
    bool deaf;
    struct actor_id connection;
} device;

static int take(struct actor_id id, const uint8_t *frames, size_t length) {
    pthread_mutex_lock(&edge.lock);
    int error = device.deaf || device.length + length > HEARD_BYTES ? -ENOBUFS : 0;
    if (!error) {
        memcpy(device.bytes + device.length, frames, length);
        device.length += length;
    }
    pthread_mutex_unlock(&edge.lock);
    return error;
}

static void note_end(struct actor_id id) {
    pthread_mutex_lock(&edge.lock);
    device.ended++;
    pthread_mutex_unlock(&edge.lock);
}

static const struct connection_link link_of_test = {.send = take, .ended = note_end};

static void spawn(struct fake_mailbox *mailbox) {
    struct connection_linked linked = {.link = &link_of_test,
                                       .device = actor_self(),
                                       .address = {EDGE_USER, EDGE_DEVICE},
                                       .resume_epoch = 7,
                                       .resume_cursor = 9,
                                       .send_low = 5,
                                       .send_end = 6};
    const struct connection_argument argument = {.linked = &linked};
    memset(linked.key, 0x6b, sizeof(linked.key));
    pthread_mutex_lock(&edge.lock);
    CHECK(actor_spawn(&connection_class, &argument, supervisor_of_class(&connection_class),
                      &device.connection) == 0);
    pthread_mutex_unlock(&edge.lock);
}

/* The nth frame (from 0) that the device was sent, when it is there. */
static struct wire_frame expect(uint16_t kind, unsigned nth) {
    static uint8_t bytes[HEARD_BYTES];
    struct wire_frame frame;
    for (int i = 0; i < PEER_SECONDS * 500; i++) {
        struct wire_reader reader;
        unsigned left = nth;
        pthread_mutex_lock(&edge.lock);
        size_t length = device.length;
        memcpy(bytes, device.bytes, length);
        pthread_mutex_unlock(&edge.lock);
        wire_reader_init(&reader, bytes, length);
        while (wire_read_frame(&reader, &frame) == PARSE_COMPLETE)
            if (left-- == 0) {
                assert_int_equal(frame.kind, kind);
                return frame;
            }
        edge_pause();
    }
    fail_msg("frame %u did not come", nth);
    return frame;
}

static void give(const uint8_t *bytes, size_t length) {
    struct message *message = message_create(CONNECTION_FRAMES, length);
    memcpy(message_payload(message), bytes, length);
    runtime_send(edge.runtime, device.connection, &message);
}

static void hang_up(void) {
    struct message *message = message_create(CONNECTION_HUNG_UP, 0);
    runtime_send(edge.runtime, device.connection, &message);
}

static void await_end(void) {
    edge_await_connections(0);
    for (int i = 0; i < PEER_SECONDS * 500 && device.ended == 0; i++)
        edge_pause();
    pthread_mutex_lock(&edge.lock);
    assert_int_equal(device.ended, 1);
    pthread_mutex_unlock(&edge.lock);
}

/* A socket's device first, whose mailbox then spawns the linked one. */
static void link_up(bool deaf) {
    edge_start();
    memset(&device, 0, sizeof(device));
    device.deaf = deaf;
    struct peer *peer = edge_login();
    peer_destroy(peer);
    edge_await_connections(0);
    edge_call(spawn);
}

static void linked_device_is_attached_and_welcomed(void **state) {
    link_up(false);
    struct wire_frame frame = expect(WIRE_WELCOME, 0);
    assert_true(frame.welcome.registered);
    assert_int_equal(frame.welcome.user, EDGE_USER);
    assert_int_equal(frame.welcome.device, EDGE_DEVICE);
    assert_int_equal(atomic_load(&edge.node.connections), 1);
    assert_int_equal(atomic_load(&edge.node.handshakes_now), 0);
    struct edge_seen seen = edge_await(MAILBOX_ATTACH, 1);
    const struct mailbox_attach *attach = (const void *)seen.payload;
    assert_int_equal(attach->device, EDGE_DEVICE);
    assert_int_equal(attach->key[31], 0x6b);
    assert_int_equal(attach->resume_epoch, 7);
    assert_int_equal(attach->resume_cursor, 9);
    assert_int_equal(attach->send_low, 5);
    assert_int_equal(attach->send_end, 6);
    hang_up();
    await_end();
    edge_await(MAILBOX_DETACH, 1); /* the socket's was the first */
}

static void frames_arrive_in_their_order(void **state) {
    static const char text[] = "hello";
    const struct wire_recipient recipient = {
        .user = 5, .device = 1, .ciphertext = {(const uint8_t *)text, sizeof(text)}};
    uint8_t bytes[1024];
    struct wire_writer writer = {.bytes = bytes, .capacity = sizeof(bytes)};
    struct wire_send send = {
        .chat = 5, .version = 1, .recipients = {.items = &recipient, .count = 1}};
    link_up(false);
    uint64_t epoch = expect(WIRE_WELCOME, 0).welcome.epoch;
    for (send.number = 5; send.number < 8; send.number++)
        assert_int_equal(wire_write_send(&writer, (uint32_t)send.number, &send), 0);
    assert_int_equal(wire_write_ack(&writer, 0, &(struct wire_ack){.epoch = epoch, .up_to = 3}), 0);
    give(bytes, writer.length);
    for (unsigned i = 0; i < 3; i++) {
        struct edge_seen seen = edge_await(MAILBOX_SEND, i);
        const struct mailbox_send *got = (const void *)seen.payload;
        assert_int_equal(got->number, 5 + i);
        assert_non_null(memmem(seen.content, seen.content_bytes, text, sizeof(text)));
        struct wire_frame frame = expect(WIRE_REPLY, 1 + i);
        assert_int_equal(frame.ref, 5 + i);
        assert_int_equal(frame.reply.code, WIRE_CODE_OK);
    }
    struct edge_seen seen = edge_await(MAILBOX_ACK, 0);
    assert_int_equal(((const struct mailbox_ack *)(const void *)seen.payload)->up_to, 3);
}

static void send_three_mails(struct fake_mailbox *mailbox) {
    for (size_t bytes = 100; bytes < 103; bytes++)
        fake_mailbox_mail(mailbox, bytes);
}

static void mail_reaches_the_device_in_its_order(void **state) {
    link_up(false);
    expect(WIRE_WELCOME, 0);
    edge_call(send_three_mails);
    for (unsigned i = 0; i < 3; i++) {
        struct wire_frame frame = expect(WIRE_MAIL, 1 + i);
        assert_int_equal(frame.mail.cursor, 1 + i);
        assert_int_equal(frame.mail.ciphertext.length, 100 + i);
        assert_int_equal(frame.mail.ciphertext.bytes[99], 'x');
    }
}

static void send_more_than_one_message_holds(struct fake_mailbox *mailbox) {
    for (unsigned i = 0; i < 3; i++)
        fake_mailbox_mail(mailbox, 40000);
}

static void mail_that_needs_several_sendings_comes_at_once(void **state) {
    link_up(false);
    expect(WIRE_WELCOME, 0);
    edge_call(send_more_than_one_message_holds);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(expect(WIRE_MAIL, 1 + i).mail.ciphertext.length, 40000);
}

static void junk_ends_it(void **state) {
    static const uint8_t junk[] = {0xc1, 0xff, 0x00};
    link_up(false);
    expect(WIRE_WELCOME, 0);
    give(junk, sizeof(junk));
    await_end();
    assert_int_equal(edge_count("frame_junk"), 1);
}

static void frame_that_only_a_node_sends_ends_it(void **state) {
    uint8_t bytes[64];
    struct wire_writer writer = {.bytes = bytes, .capacity = sizeof(bytes)};
    link_up(false);
    expect(WIRE_WELCOME, 0);
    assert_int_equal(wire_write_empty(&writer, 0, &(struct wire_empty){}), 0);
    give(bytes, writer.length);
    await_end();
    assert_int_equal(edge_count("frame_unwanted"), 1);
}

static void device_that_takes_no_more_loses_it(void **state) {
    link_up(true);
    await_end();
    assert_int_equal(edge_count("connection_send_failed"), 1);
}

/* Its next incarnation is met by the same connection. */
static void fail_mailbox(struct fake_mailbox *mailbox) {
    actor_fail(1, "for the test");
}

static void linked_device_is_welcomed_again_when_its_mailbox_comes_back(void **state) {
    link_up(false);
    uint64_t epoch = expect(WIRE_WELCOME, 0).welcome.epoch;
    edge_call(fail_mailbox);
    assert_int_not_equal(expect(WIRE_WELCOME, 1).welcome.epoch, epoch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        EDGE_TEST(linked_device_is_attached_and_welcomed),
        EDGE_TEST(frames_arrive_in_their_order),
        EDGE_TEST(mail_reaches_the_device_in_its_order),
        EDGE_TEST(mail_that_needs_several_sendings_comes_at_once),
        EDGE_TEST(junk_ends_it),
        EDGE_TEST(frame_that_only_a_node_sends_ends_it),
        EDGE_TEST(device_that_takes_no_more_loses_it),
        EDGE_TEST(linked_device_is_welcomed_again_when_its_mailbox_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

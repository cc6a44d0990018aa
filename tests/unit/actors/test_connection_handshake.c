/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/actors/edge_fixture.h"

static const struct wire_hello hello = {.version_min = 1, .version_max = 1, .send_low = 1};

static struct peer *upgraded(void) {
    struct peer *peer = peer_create(edge.port, EDGE_IDENTITY);
    peer_upgrade(peer);
    return peer;
}

/* Both sides are after message 2. */
static struct peer *half_way(void) {
    struct peer *peer = upgraded();
    uint8_t message[256];
    size_t length = peer_make_first(peer, message, sizeof(message));
    peer_write_frame(peer, WEBSOCKET_BINARY, message, length);
    assert_true(peer_read_second(peer));
    return peer;
}

static void known_key_is_welcomed(void **state) {
    edge_start();
    struct peer *peer = peer_login(edge.port, EDGE_IDENTITY);
    struct wire_frame frame;
    peer_expect(peer, WIRE_WELCOME, &frame);
    assert_true(frame.welcome.registered);
    assert_int_equal(frame.welcome.user, EDGE_USER);
    assert_int_equal(frame.welcome.device, EDGE_DEVICE);
    assert_int_equal(frame.welcome.version, 1);
    assert_int_equal(frame.welcome.epoch, 101);
    assert_int_equal(frame.welcome.resume, WIRE_RESUME_REPLAY);
    assert_int_equal(frame.welcome.heartbeat_ms, 30000);
    assert_memory_equal(peer->node_key, edge.node.noise_public, 32);
    assert_int_equal(peer->certificate_bytes, sizeof(edge.certificate));
    assert_memory_equal(peer->certificate, edge.certificate, sizeof(edge.certificate));
    peer_destroy(peer);
    struct edge_seen seen = edge_await(MAILBOX_DETACH, 0);
    assert_true(((struct mailbox_detach *)(void *)seen.payload)->device_left);
    edge_await_connections(0);
    assert_int_equal(atomic_load(&edge.node.handshakes_now), 0);
}

static void hello_is_given_to_the_mailbox(void **state) {
    struct wire_hello resuming = hello;
    edge_start();
    struct peer *peer = upgraded();
    resuming.epoch = 77;
    resuming.cursor = 5;
    resuming.send_low = 9;
    peer_handshake(peer, &resuming);
    struct edge_seen seen = edge_await(MAILBOX_ATTACH, 0);
    const struct mailbox_attach *attach = (const void *)seen.payload;
    assert_int_equal(attach->device, EDGE_DEVICE);
    assert_int_equal(attach->resume_epoch, 77);
    assert_int_equal(attach->resume_cursor, 5);
    assert_int_equal(attach->send_low, 9);
    assert_memory_equal(attach->key, peer->public, 32);
    peer_destroy(peer);
}

static void unknown_key_is_not_registered(void **state) {
    edge_start();
    struct peer *peer = peer_login(edge.port, EDGE_STRANGER);
    struct wire_frame frame;
    peer_expect(peer, WIRE_WELCOME, &frame);
    assert_false(frame.welcome.registered);
    assert_int_equal(edge_seen_of(MAILBOX_ATTACH), 0);
    peer_destroy(peer);
}

static void all_of_it_works_byte_by_byte(void **state) {
    edge_start();
    struct peer *peer = peer_create(edge.port, EDGE_IDENTITY);
    struct wire_frame frame;
    peer->byte_by_byte = true;
    peer_upgrade(peer);
    peer_handshake(peer, &hello);
    peer_expect(peer, WIRE_WELCOME, &frame);
    assert_true(frame.welcome.registered);
    peer_send_frame(peer, &(struct wire_frame){.kind = WIRE_PING, .ping = {.token = 99}});
    peer_expect(peer, WIRE_PONG, &frame);
    assert_int_equal(frame.pong.token, 99);
    peer_destroy(peer);
}

static void frames_right_behind_the_handshake_wait_for_the_mailbox(void **state) {
    edge_start();
    struct peer *peer = half_way();
    uint8_t third[1024];
    struct wire_frame frame;
    size_t length = peer_make_third(peer, &hello, third, sizeof(third));
    peer_write_frame(peer, WEBSOCKET_BINARY, third, length);
    for (uint64_t token = 1; token <= 3; token++)
        peer_send_frame(peer, &(struct wire_frame){.kind = WIRE_PING, .ping = {.token = token}});
    peer_expect(peer, WIRE_WELCOME, &frame);
    for (uint64_t token = 1; token <= 3; token++) {
        peer_expect(peer, WIRE_PONG, &frame);
        assert_int_equal(frame.pong.token, token);
    }
    peer_destroy(peer);
}

static void too_much_before_the_welcome_is_refused(void **state) {
    static uint8_t bytes[40000];
    edge.attach_code = WIRE_CODE_UNAVAILABLE; /* it never gets there */
    edge_start();
    struct peer *peer = half_way();
    uint8_t third[1024];
    size_t length = peer_make_third(peer, &hello, third, sizeof(third));
    peer_write_frame(peer, WEBSOCKET_BINARY, third, length);
    edge_await(MAILBOX_ATTACH, 0);
    for (int i = 0; i < 400 && !edge_count("connection_too_early"); i++)
        peer_write_frame(peer, WEBSOCKET_BINARY, bytes, sizeof(bytes));
    /* The socket is paused: either it is refused, or the rest stays in the kernel. */
    peer_destroy(peer);
    edge_await_connections(0);
}

static void many_at_once_get_their_share_in_turn(void **state) {
    enum { PEERS = 60 };
    struct peer *peers[PEERS];
    struct wire_frame frame;
    edge_start();
    for (int i = 0; i < PEERS; i++) {
        peers[i] = peer_create(edge.port, (uint8_t)(EDGE_STRANGER + 1 + i));
        peer_upgrade(peers[i]);
    }
    for (int i = 0; i < PEERS; i++) { /* all first messages wait at the same time */
        uint8_t message[256];
        size_t length = peer_make_first(peers[i], message, sizeof(message));
        peer_write_frame(peers[i], WEBSOCKET_BINARY, message, length);
    }
    peer_destroy(peers[0]); /* one that goes does not keep the others waiting */
    for (int i = 1; i < PEERS; i++) {
        uint8_t message[1024];
        assert_true(peer_read_second(peers[i]));
        size_t length = peer_make_third(peers[i], &hello, message, sizeof(message));
        peer_write_frame(peers[i], WEBSOCKET_BINARY, message, length);
    }
    for (int i = 1; i < PEERS; i++) {
        peer_expect(peers[i], WIRE_WELCOME, &frame);
        assert_false(frame.welcome.registered);
        peer_destroy(peers[i]);
    }
    edge_await_connections(0);
}

/* Some are told that the node has too much to do; they come again, and everybody is welcomed. */
static void those_beyond_the_row_come_again(void **state) {
    enum { PEERS = 60, ROUNDS = 200 };
    struct peer *peers[PEERS];
    struct wire_frame frame;
    edge.node.limits.handshakes_waiting_max = 2;
    edge_start();
    unsigned left = PEERS;
    for (unsigned round = 0; left > 0; round++) {
        unsigned refused = 0;
        assert_true(round < ROUNDS);
        for (unsigned i = 0; i < left; i++)
            peers[i] = upgraded();
        for (unsigned i = 0; i < left; i++) {
            uint8_t message[256];
            size_t length = peer_make_first(peers[i], message, sizeof(message));
            peer_write_frame(peers[i], WEBSOCKET_BINARY, message, length);
        }
        for (unsigned i = 0; i < left; i++) {
            uint8_t message[1024];
            if (!peer_read_second(peers[i])) {
                assert_int_equal(peers[i]->close_code, WIRE_CLOSE_OVERLOADED);
                refused++;
            } else {
                size_t length = peer_make_third(peers[i], &hello, message, sizeof(message));
                peer_write_frame(peers[i], WEBSOCKET_BINARY, message, length);
                peer_expect(peers[i], WIRE_WELCOME, &frame);
            }
            peer_destroy(peers[i]);
        }
        assert_true(refused < left); /* what was begun was finished */
        left = refused;
    }
    assert_true(edge_count("handshake_overloaded") > 0);
    edge_await_connections(0);
}

static void replayed_third_message_is_refused(void **state) {
    edge_start();
    struct peer *honest = half_way();
    uint8_t third[1024];
    size_t length = peer_make_third(honest, &hello, third, sizeof(third));
    struct peer *thief = half_way();
    peer_write_frame(thief, WEBSOCKET_BINARY, third, length);
    assert_int_equal(peer_expect_close(thief), WIRE_CLOSE_HANDSHAKE);
    assert_int_equal(edge_count("handshake_failed"), 1);
    assert_int_equal(edge_seen_of(MAILBOX_ATTACH), 0);
    peer_destroy(thief);
    peer_destroy(honest);
}

static void forged_third_message_is_refused(void **state) {
    edge_start();
    struct peer *peer = half_way();
    uint8_t third[1024];
    size_t length = peer_make_third(peer, &hello, third, sizeof(third));
    third[40] ^= 1;
    peer_write_frame(peer, WEBSOCKET_BINARY, third, length);
    assert_int_equal(peer_expect_close(peer), WIRE_CLOSE_HANDSHAKE);
    peer_destroy(peer);
}

static void low_order_key_is_refused(void **state) {
    static const uint8_t zero[32];
    edge_start();
    struct peer *peer = upgraded();
    peer_write_frame(peer, WEBSOCKET_BINARY, zero, sizeof(zero));
    assert_int_equal(peer_expect_close(peer), WIRE_CLOSE_HANDSHAKE);
    peer_destroy(peer);
}

static void short_first_message_is_refused(void **state) {
    edge_start();
    struct peer *peer = upgraded();
    peer_write_frame(peer, WEBSOCKET_BINARY, "short", 5);
    assert_int_equal(peer_expect_close(peer), WIRE_CLOSE_HANDSHAKE);
    peer_destroy(peer);
}

static void long_first_message_is_refused_before_it_is_there(void **state) {
    static uint8_t header[14];
    edge_start();
    struct peer *peer = upgraded();
    size_t length = websocket_write_header(header, WEBSOCKET_CLIENT, WEBSOCKET_BINARY, 60000,
                                           (const uint8_t *)"mask");
    peer_write(peer, header, length);
    assert_int_equal(peer_expect_close(peer), WEBSOCKET_CLOSE_TOO_BIG);
    assert_int_equal(edge_count("websocket_too_big"), 1);
    peer_destroy(peer);
}

static void hello_of_no_common_version_is_refused(void **state) {
    struct wire_hello late = hello;
    late.version_min = late.version_max = 9;
    edge_start();
    struct peer *peer = upgraded();
    peer_handshake(peer, &late);
    assert_int_equal(peer_expect_close(peer), WIRE_CLOSE_VERSION);
    peer_destroy(peer);
}

static void unmasked_frame_is_refused(void **state) {
    edge_start();
    struct peer *peer = upgraded();
    peer_write(peer, "\x82\x05hello", 7);
    assert_int_equal(peer_expect_close(peer), WEBSOCKET_CLOSE_PROTOCOL_ERROR);
    assert_int_equal(edge_count("websocket_junk"), 1);
    peer_destroy(peer);
}

static void text_is_unsupported(void **state) {
    edge_start();
    struct peer *peer = upgraded();
    peer_write_frame(peer, WEBSOCKET_TEXT, "hello", 5);
    assert_int_equal(peer_expect_close(peer), WEBSOCKET_CLOSE_UNSUPPORTED);
    peer_destroy(peer);
}

static void websocket_ping_is_answered_during_the_handshake(void **state) {
    edge_start();
    struct peer *peer = upgraded();
    struct websocket_message message;
    peer_write_frame(peer, WEBSOCKET_PING, "tick", 4);
    assert_true(peer_read_message(peer, &message));
    assert_int_equal(message.opcode, WEBSOCKET_PONG);
    assert_int_equal(message.length, 4);
    assert_memory_equal(message.payload, "tick", 4);
    peer_destroy(peer);
}

static void close_is_answered_with_its_code(void **state) {
    edge_start();
    struct peer *peer = edge_login();
    peer_write_frame(peer, WEBSOCKET_CLOSE, "\x03\xe8", 2);
    assert_int_equal(peer_expect_close(peer), WEBSOCKET_CLOSE_NORMAL);
    peer_destroy(peer);
    edge_await_connections(0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        EDGE_TEST(known_key_is_welcomed),
        EDGE_TEST(hello_is_given_to_the_mailbox),
        EDGE_TEST(unknown_key_is_not_registered),
        EDGE_TEST(all_of_it_works_byte_by_byte),
        EDGE_TEST(frames_right_behind_the_handshake_wait_for_the_mailbox),
        EDGE_TEST(too_much_before_the_welcome_is_refused),
        EDGE_TEST(many_at_once_get_their_share_in_turn),
        EDGE_TEST(those_beyond_the_row_come_again),
        EDGE_TEST(replayed_third_message_is_refused),
        EDGE_TEST(forged_third_message_is_refused),
        EDGE_TEST(low_order_key_is_refused),
        EDGE_TEST(short_first_message_is_refused),
        EDGE_TEST(long_first_message_is_refused_before_it_is_there),
        EDGE_TEST(hello_of_no_common_version_is_refused),
        EDGE_TEST(unmasked_frame_is_refused),
        EDGE_TEST(text_is_unsupported),
        EDGE_TEST(websocket_ping_is_answered_during_the_handshake),
        EDGE_TEST(close_is_answered_with_its_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

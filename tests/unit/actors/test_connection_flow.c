/* SPDX-License-Identifier: Apache-2.0 */
/* Time and flow: heartbeats, peers that do not read, draining. */
#include "tests/unit/actors/edge_fixture.h"

#include "runtime/signals.h"

#include <signal.h>

static void silent_device_is_asked_then_closed(void **state) {
    struct wire_frame frame;
    edge.node.limits.heartbeat_ms = 80;
    edge_start();
    struct peer *peer = edge_login();
    peer_expect(peer, WIRE_PING, &frame);
    assert_int_equal(peer_expect_close(peer), WIRE_CLOSE_SILENT);
    assert_int_equal(edge_count("connection_silent"), 1);
    peer_destroy(peer);
}

static void device_that_answers_stays(void **state) {
    struct wire_frame frame;
    edge.node.limits.heartbeat_ms = 200;
    edge_start();
    struct peer *peer = edge_login();
    for (int i = 0; i < 5; i++) {
        peer_expect(peer, WIRE_PING, &frame);
        peer_send_frame(
            peer, &(struct wire_frame){.kind = WIRE_PONG, .pong = {.token = frame.ping.token}});
    }
    assert_int_equal(edge_count("connection_silent"), 0);
    peer_destroy(peer);
}

/* As if half a million others were there. */
static void interval_grows_with_connections(void **state) {
    struct node *node = &edge.node;
    edge_start();
    assert_int_equal(node_heartbeat_ms(node), 30000);
    node->connections += 100000;
    assert_int_equal(node_heartbeat_ms(node), 50000);
    node->limits.heartbeats_per_second_max = 4000;
    assert_int_equal(node_heartbeat_ms(node), 30000);
    node->limits.heartbeats_per_second_max = 2000;
    node->connections += 4000000;
    assert_int_equal(node_heartbeat_ms(node), HEARTBEAT_MS_GROWN_MAX);
    node->limits.heartbeat_ms = 600000;
    assert_int_equal(node_heartbeat_ms(node), 600000);
    node->limits.heartbeat_ms = 0;
    assert_int_equal(node_heartbeat_ms(node), 0);
    node->connections -= 4100000;
}

static void device_is_told_the_grown_interval(void **state) {
    struct wire_frame frame;
    edge_start();
    edge.node.connections += 199999; /* it is the next one */
    struct peer *peer = peer_login(edge.port, EDGE_IDENTITY);
    peer_expect(peer, WIRE_WELCOME, &frame);
    assert_int_equal(frame.welcome.heartbeat_ms, 100000);
    edge.node.connections -= 199999;
    peer_destroy(peer);
}

static uint32_t told_by_pong(struct peer *peer) {
    struct wire_frame frame;
    peer_send_frame(peer, &(struct wire_frame){.kind = WIRE_PING, .ping = {.token = 5}});
    peer_expect(peer, WIRE_PONG, &frame);
    assert_int_equal(frame.pong.token, 5);
    return frame.pong.heartbeat_ms;
}

static void device_that_came_early_is_told_that_the_interval_has_grown(void **state) {
    edge_start();
    struct peer *peer = edge_login();
    assert_int_equal(told_by_pong(peer), 0);
    edge.node.connections += 71999; /* 36 s: not worth a word */
    assert_int_equal(told_by_pong(peer), 0);
    edge.node.connections += 128000;
    assert_int_equal(told_by_pong(peer), 100000);
    assert_int_equal(told_by_pong(peer), 0); /* it knows */
    edge.node.connections -= 199999;
    assert_int_equal(told_by_pong(peer), 0); /* a shorter one is for those who come now */
    peer_destroy(peer);
}

static void send_much_mail(struct fake_mailbox *mailbox) {
    for (int i = 0; i < 256; i++)
        fake_mailbox_mail(mailbox, 4000);
}

static void whole_window_of_mail_comes_in_order(void **state) {
    struct wire_frame frame;
    edge_start();
    struct peer *peer = edge_login();
    edge_call(send_much_mail);
    for (uint64_t cursor = 1; cursor <= 256; cursor++) {
        peer_expect(peer, WIRE_MAIL, &frame);
        assert_int_equal(frame.mail.cursor, cursor);
        assert_int_equal(frame.mail.ciphertext.length, 4000);
    }
    peer_destroy(peer);
}

/* More than any window allows, to a device that does not read. */
static void send_too_much_mail(struct fake_mailbox *mailbox) {
    for (int i = 0; i < 1200; i++)
        fake_mailbox_mail(mailbox, 60000);
}

static void device_that_does_not_read_is_bounded(void **state) {
    edge.node.limits.heartbeat_ms = 1000;
    edge_start();
    struct peer *peer = edge_login();
    edge_call(send_too_much_mail);
    edge_await_count("connection_behind", 1);
    edge_await_connections(0);
    peer_destroy(peer);
}

static void send_a_bit_much_mail(struct fake_mailbox *mailbox) {
    for (int i = 0; i < 100; i++)
        fake_mailbox_mail(mailbox, 60000);
}

static void device_that_does_not_read_is_slow(void **state) {
    edge.node.limits.heartbeat_ms = 200;
    edge.node.limits.mail_in_flight_bytes_max = 8 << 20;
    edge_start();
    struct peer *peer = edge_login();
    struct wire_writer writer = {.bytes = (uint8_t[32]){0}, .capacity = 32};
    assert_int_equal(wire_write_ping(&writer, 0, &(struct wire_ping){.token = 1}), 0);
    edge_call(send_a_bit_much_mail);
    while (!edge_count("connection_slow")) { /* it speaks, but doesn't read */
        peer_send(peer, &writer);
        edge_pause();
    }
    edge_await_connections(0);
    peer_destroy(peer);
}

static void pings_without_reading_are_bounded(void **state) {
    static uint8_t pings[60000];
    struct wire_writer writer = {.bytes = pings, .capacity = sizeof(pings)};
    edge_start();
    struct peer *peer = edge_login();
    while (wire_write_ping(&writer, 0, &(struct wire_ping){.token = UINT64_MAX}) == 0)
        continue;
    edge_call(send_a_bit_much_mail); /* so that nothing gets on */
    for (int i = 0; i < 1000 && !edge_count("connection_behind"); i++)
        peer_send(peer, &writer);
    edge_await_count("connection_behind", 1);
    peer_destroy(peer);
}

/* And less than a connection's mailbox: all of it gets there. */
static void send_more_than_the_kernel_holds(struct fake_mailbox *mailbox) {
    for (int i = 0; i < 130; i++)
        fake_mailbox_mail(mailbox, 60000);
}

static void replies_overtake_mail(void **state) {
    struct wire_frame frame;
    unsigned mails = 0;
    edge.node.limits.mail_in_flight_bytes_max = 16 << 20;
    edge_start();
    struct peer *peer = edge_login();
    edge_call(send_more_than_the_kernel_holds);
    peer_expect(peer, WIRE_MAIL, &frame); /* it has begun */
    peer_send_frame(peer, &(struct wire_frame){.kind = WIRE_PING, .ping = {.token = 1}});
    peer_send_frame(peer, &(struct wire_frame){.kind = WIRE_ACK, .ack = {.epoch = 101}});
    edge_await(MAILBOX_ACK, 0); /* so the ping has been taken as well */
    do {
        assert_true(peer_next(peer, &frame));
        mails += frame.kind == WIRE_MAIL;
    } while (frame.kind != WIRE_PONG);
    assert_true(mails < 100);
    peer_destroy(peer);
}

/* A socket's number in the kernel is used again at once: what ends one must not reach the next. */
static void ending_one_connection_leaves_the_next_alone(void **state) {
    struct wire_frame frame;
    edge.node.shards = 1;
    edge_start();
    for (int i = 0; i < 600; i++) { /* in all ways of ending */
        struct peer *peer = peer_login(edge.port, EDGE_STRANGER);
        peer_expect(peer, WIRE_WELCOME, &frame);
        if (i & 1)
            peer_write_frame(peer, WEBSOCKET_BINARY, "no such cipher text", 19);
        if (i & 2)
            shutdown(peer->fd, SHUT_WR);
        if ((i & 3) && i % 3)
            peer_expect_close(peer);
        peer_destroy(peer);
    }
}

/* --- draining ----------------------------------------------------------------------------------
 */

static void send_late(struct fake_mailbox *mailbox) {
    answer_code((struct answer_to){mailbox->connection, 1}, WIRE_CODE_OK, 0);
}

static struct wire_frame a_send(uint32_t ref) {
    return (struct wire_frame){.kind = WIRE_SEND, .ref = ref, .send = {.number = ref, .chat = 5}};
}

static void drain_tells_everybody_and_ends(void **state) {
    struct wire_frame frame;
    edge.drains = true;
    edge.silent = true;
    edge_start();
    struct peer *stranger = peer_login(edge.port, EDGE_STRANGER);
    struct peer *half = peer_create(edge.port, EDGE_STRANGER);
    struct peer *peer = edge_login();
    peer_expect(stranger, WIRE_WELCOME, &frame);
    peer_upgrade(half);
    frame = a_send(1);
    peer_send_frame(peer, &frame);
    edge_await(MAILBOX_SEND, 0);
    assert_int_equal(kill(getpid(), SIGTERM), 0);
    peer_expect(stranger, WIRE_NOTICE, &frame);
    assert_int_equal(frame.notice.kind, WIRE_NOTICE_DRAINING);
    assert_int_equal(peer_expect_close(stranger), WIRE_CLOSE_DRAINING);
    assert_int_equal(peer_expect_close(half), WIRE_CLOSE_DRAINING);
    peer_expect(peer, WIRE_NOTICE, &frame);
    frame = a_send(2);
    peer_send_frame(peer, &frame); /* nothing new */
    assert_int_equal(peer_expect_reply(peer, 2, &frame), WIRE_CODE_UNAVAILABLE);
    edge_call(send_late);
    assert_int_equal(peer_expect_reply(peer, 1, &frame), WIRE_CODE_OK);
    assert_int_equal(peer_expect_close(peer), WIRE_CLOSE_DRAINING);
    assert_int_equal(runtime_wait(edge.runtime), 0); /* by itself */
    assert_int_equal(atomic_load(&edge.node.connections), 0);
    peer_destroy(stranger);
    peer_destroy(half);
    peer_destroy(peer);
}

static void drain_ends_at_its_deadline(void **state) {
    struct wire_frame frame = a_send(1);
    edge.drains = true;
    edge.silent = true;
    edge.node.limits.drain_ms = 200;
    edge_start();
    struct peer *peer = edge_login();
    peer_send_frame(peer, &frame);
    edge_await(MAILBOX_SEND, 0);
    assert_int_equal(kill(getpid(), SIGTERM), 0);
    assert_int_equal(peer_expect_close(peer), WIRE_CLOSE_DRAINING);
    assert_int_equal(runtime_wait(edge.runtime), 0);
    peer_destroy(peer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        EDGE_TEST(silent_device_is_asked_then_closed),
        EDGE_TEST(device_that_answers_stays),
        EDGE_TEST(interval_grows_with_connections),
        EDGE_TEST(device_is_told_the_grown_interval),
        EDGE_TEST(device_that_came_early_is_told_that_the_interval_has_grown),
        EDGE_TEST(whole_window_of_mail_comes_in_order),
        EDGE_TEST(device_that_does_not_read_is_bounded),
        EDGE_TEST(device_that_does_not_read_is_slow),
        EDGE_TEST(pings_without_reading_are_bounded),
        EDGE_TEST(replies_overtake_mail),
        EDGE_TEST(ending_one_connection_leaves_the_next_alone),
        EDGE_TEST(drain_tells_everybody_and_ends),
        EDGE_TEST(drain_ends_at_its_deadline),
    };
    signals_block();
    return cmocka_run_group_tests(tests, NULL, NULL);
}

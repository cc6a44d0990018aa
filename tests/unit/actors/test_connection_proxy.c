/* SPDX-License-Identifier: Apache-2.0 */
/* A node behind load balancers: whose headers it believes, and what it takes from them. Here
 * loopback is the proxy, unless a test says otherwise. */
#include "actors/address_limits.h"
#include "tests/unit/actors/edge_fixture.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: node\r\n\r\n"
#define HEADER_BYTES 28u

static const uint8_t loopback[1][ADDRESS_BYTES] = {
    {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};

static void start_behind_loopback(void) {
    edge.node.proxies = loopback;
    edge.node.proxy_count = 1;
    edge_start();
}

/* For a client 192.0.2.`last`. */
static void write_header(uint8_t out[HEADER_BYTES], uint8_t last) {
    static const uint8_t header[HEADER_BYTES + 1] =
        "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\x00\x02\x00\x7f\0\0\x01\xd4\x31\x1e\x14";
    memcpy(out, header, HEADER_BYTES);
    out[19] = last;
}

static struct peer *come_as(uint8_t last) {
    uint8_t header[HEADER_BYTES];
    struct peer *peer = peer_create(edge.port, EDGE_STRANGER);
    write_header(header, last);
    peer_write(peer, header, sizeof header);
    return peer;
}

static void client_is_served_behind_its_header(void **state) {
    start_behind_loopback();
    struct peer *peer = come_as(7);
    peer_write_text(peer, GET("/healthz"));
    assert_int_equal(peer_read_status(peer, NULL, 0), 200);
    peer_destroy(peer);
}

static void header_may_come_with_the_request_or_in_pieces(void **state) {
    uint8_t bytes[512];
    size_t length = HEADER_BYTES + strlen(GET("/healthz"));
    start_behind_loopback();
    write_header(bytes, 7);
    memcpy(bytes + HEADER_BYTES, GET("/healthz"), length - HEADER_BYTES);
    for (int pieces = 0; pieces < 2; pieces++) {
        struct peer *peer = peer_create(edge.port, EDGE_STRANGER);
        peer->byte_by_byte = pieces;
        peer_write(peer, bytes, length);
        assert_int_equal(peer_read_status(peer, NULL, 0), 200);
        peer_destroy(peer);
    }
}

static void session_begins_behind_a_header(void **state) {
    start_behind_loopback();
    struct peer *peer = come_as(7);
    struct wire_hello hello = {.version_min = 1, .version_max = 1, .send_low = 1};
    struct wire_frame frame;
    peer_upgrade(peer);
    peer_handshake(peer, &hello);
    peer_expect(peer, WIRE_WELCOME, &frame);
    peer_destroy(peer);
    edge_await_connections(0);
}

static void proxy_that_says_nothing_of_a_client_is_served_itself(void **state) {
    start_behind_loopback();
    struct peer *peer = peer_create(edge.port, EDGE_STRANGER);
    peer_write(peer, "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", 16);
    peer_write_text(peer, GET("/readyz"));
    assert_int_equal(peer_read_status(peer, NULL, 0), 200);
    peer_destroy(peer);
    edge_await_connections(0);
}

static void proxy_without_a_header_is_closed(void **state) {
    start_behind_loopback();
    struct peer *peer = peer_create(edge.port, EDGE_STRANGER);
    peer_write_text(peer, GET("/healthz"));
    assert_int_equal(peer_expect_close(peer), 0);
    assert_int_equal(edge_count("proxy_junk"), 1);
    peer_destroy(peer);
    edge_await_connections(0);
}

static void header_of_somebody_else_is_not_believed(void **state) {
    edge_start(); /* nobody is a proxy */
    struct peer *peer = come_as(7);
    peer_write_text(peer, GET("/healthz"));
    assert_int_equal(peer_read_status(peer, NULL, 0), 400);
    peer_destroy(peer);
}

static void limits_are_for_the_client_not_for_its_proxy(void **state) {
    struct address_limits_options options = {.connections_max = 100, .per_address_max = 1};
    edge.node.addresses = address_limits_create(&options);
    start_behind_loopback();
    struct peer *seven = come_as(7), *eight = come_as(8);
    peer_upgrade(seven);
    peer_upgrade(eight);
    struct peer *again = come_as(7);
    assert_int_equal(peer_expect_close(again), 0);
    assert_int_equal(edge_count("proxy_refused"), 1);
    assert_int_equal(edge_count("accept_address_max"), 1);
    peer_destroy(again);
    peer_destroy(seven);
    edge_await_connections(1);
    seven = come_as(7); /* its place was given back */
    peer_upgrade(seven);
    peer_destroy(seven);
    peer_destroy(eight);
    edge_await_connections(0);
    address_limits_destroy(edge.node.addresses);
}

static void registration_is_asked_for_by_the_client(void **state) {
    static const uint8_t client[ADDRESS_BYTES] = {
        [10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2, [15] = 7};
    start_behind_loopback();
    struct peer *peer = come_as(7);
    struct wire_hello hello = {.version_min = 1, .version_max = 1, .send_low = 1};
    struct wire_frame frame;
    peer_upgrade(peer);
    peer_handshake(peer, &hello);
    peer_expect(peer, WIRE_WELCOME, &frame);
    frame = (struct wire_frame){.kind = WIRE_REGISTER_PHONE,
                                .ref = 1,
                                .register_phone = {.phone = {(const uint8_t *)"+15550001000", 12}}};
    peer_send_frame(peer, &frame);
    struct edge_seen seen = edge_await(NUMBER_REGISTER, 0);
    const struct number_register *asked = (const struct number_register *)seen.payload;
    assert_memory_equal(asked->peer_address, client, sizeof client);
    peer_destroy(peer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        EDGE_TEST(client_is_served_behind_its_header),
        EDGE_TEST(header_may_come_with_the_request_or_in_pieces),
        EDGE_TEST(session_begins_behind_a_header),
        EDGE_TEST(proxy_that_says_nothing_of_a_client_is_served_itself),
        EDGE_TEST(proxy_without_a_header_is_closed),
        EDGE_TEST(header_of_somebody_else_is_not_believed),
        EDGE_TEST(limits_are_for_the_client_not_for_its_proxy),
        EDGE_TEST(registration_is_asked_for_by_the_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/actors/edge_fixture.h"

static unsigned ask(const char *request) {
    edge_start();
    struct peer *peer = peer_create(edge.port, EDGE_STRANGER);
    peer_write_text(peer, request);
    unsigned status = peer_read_status(peer, NULL, 0);
    while (recv(peer->fd, peer->bytes, sizeof(peer->bytes), 0) > 0)
        continue; /* and the node closes */
    peer_destroy(peer);
    edge_await_connections(0);
    return status;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: node\r\n\r\n"

static void health_is_answered(void **state) {
    assert_int_equal(ask(GET("/healthz")), 200);
}

static void readiness_is_yes_when_all_is_well(void **state) {
    assert_int_equal(ask(GET("/readyz")), 200);
}

static void readiness_is_no_while_the_store_is_full(void **state) {
    atomic_store(&edge.node.store_full, true);
    assert_int_equal(ask(GET("/readyz")), 503);
}

static void unknown_path_is_not_found(void **state) {
    assert_int_equal(ask(GET("/elsewhere")), 404);
}

static void upgrade_is_required_on_the_protocol_path(void **state) {
    assert_int_equal(ask(GET("/v1")), 426);
}

static void other_methods_are_not_allowed(void **state) {
    assert_int_equal(ask("POST /healthz HTTP/1.1\r\nHost: node\r\n\r\n"), 405);
}

static void junk_is_a_bad_request(void **state) {
    assert_int_equal(ask("\x16\x03\x01 is no HTTP\r\n\r\n"), 400);
    assert_int_equal(edge_count("http_refused"), 1);
}

static void endless_head_is_refused(void **state) {
    char head[16384] = "GET / HTTP/1.1\r\nHost: ";
    memset(head + strlen(head), 'a', sizeof(head) - strlen(head) - 1);
    assert_int_equal(ask(head), 431);
}

static void asker_that_ends_its_half_gets_its_answer(void **state) {
    edge_start();
    struct peer *peer = peer_create(edge.port, EDGE_STRANGER);
    peer_write_text(peer, GET("/healthz"));
    assert_int_equal(shutdown(peer->fd, SHUT_WR), 0);
    assert_int_equal(peer_read_status(peer, NULL, 0), 200);
    peer_destroy(peer);
}

static void silence_is_closed_at_the_deadline(void **state) {
    edge.node.limits.handshake_timeout_ms = 50;
    edge_start();
    struct peer *peer = peer_create(edge.port, EDGE_STRANGER);
    peer_write_text(peer, "GET /healthz HT");
    assert_int_equal(peer_expect_close(peer), 0);
    edge_await_count("connection_timeout_http", 1);
    peer_destroy(peer);
}

static void silence_after_the_upgrade_is_closed_at_the_deadline(void **state) {
    edge.node.limits.handshake_timeout_ms = 100;
    edge_start();
    struct peer *peer = peer_create(edge.port, EDGE_STRANGER);
    peer_upgrade(peer);
    assert_int_equal(peer_expect_close(peer), WIRE_CLOSE_TIMEOUT);
    assert_int_equal(edge_count("connection_timeout_handshake"), 1);
    peer_destroy(peer);
    edge_await_connections(0);
    assert_int_equal(atomic_load(&edge.node.handshakes_now), 0);
}

static void connections_beyond_the_limit_are_closed(void **state) {
    edge.node.limits.connections_max = 2;
    edge_start();
    struct peer *first = peer_create(edge.port, EDGE_STRANGER);
    struct peer *second = peer_create(edge.port, EDGE_STRANGER);
    peer_upgrade(first);
    peer_upgrade(second);
    struct peer *third = peer_create(edge.port, EDGE_STRANGER);
    assert_int_equal(peer_expect_close(third), 0);
    edge_await_count("accept_connections_max", 1);
    peer_destroy(third);
    peer_destroy(first);
    edge_await_connections(1);
    third = peer_create(edge.port, EDGE_STRANGER); /* there is room again */
    peer_upgrade(third);
    peer_destroy(second);
    peer_destroy(third);
}

static void metrics_tell_what_was_counted(void **state) {
    static char text[65536];
    edge_start();
    struct peer *device = peer_create(edge.port, EDGE_STRANGER);
    peer_upgrade(device);
    struct peer *peer = peer_create(edge.metrics_port, EDGE_STRANGER);
    size_t length = 0;
    ssize_t got;
    peer_write_text(peer, GET("/metrics"));
    while ((got = recv(peer->fd, text + length, sizeof(text) - 1 - length, 0)) > 0)
        length += (size_t)got;
    assert_memory_equal(text, "HTTP/1.1 200", 12);
    assert_non_null(strstr(text, "\ntern_connections 1\n"));
    assert_non_null(strstr(text, "\ntern_events_total{name=\"accepted\"} 1\n"));
    assert_non_null(strstr(text, "\ntern_class_actors{class=\"connection\"} 1\n"));
    peer_destroy(peer);
    peer_destroy(device);
}

static void metrics_know_nothing_else(void **state) {
    edge_start();
    struct peer *peer = peer_create(edge.metrics_port, EDGE_STRANGER);
    peer_write_text(peer, GET("/healthz"));
    assert_int_equal(peer_read_status(peer, NULL, 0), 404);
    peer_destroy(peer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        EDGE_TEST(health_is_answered),
        EDGE_TEST(readiness_is_yes_when_all_is_well),
        EDGE_TEST(readiness_is_no_while_the_store_is_full),
        EDGE_TEST(unknown_path_is_not_found),
        EDGE_TEST(upgrade_is_required_on_the_protocol_path),
        EDGE_TEST(other_methods_are_not_allowed),
        EDGE_TEST(junk_is_a_bad_request),
        EDGE_TEST(endless_head_is_refused),
        EDGE_TEST(asker_that_ends_its_half_gets_its_answer),
        EDGE_TEST(silence_is_closed_at_the_deadline),
        EDGE_TEST(silence_after_the_upgrade_is_closed_at_the_deadline),
        EDGE_TEST(connections_beyond_the_limit_are_closed),
        EDGE_TEST(metrics_tell_what_was_counted),
        EDGE_TEST(metrics_know_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

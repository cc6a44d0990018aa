/* SPDX-License-Identifier: Apache-2.0 */
/* Heads of requests and replies: what is served, what is refused with which status, and both ends
 * together. */
#include "net/http.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define HOST "Host: h\r\n"
#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define KEY_LINE "Sec-WebSocket-Key: " KEY "\r\n"
#define VERSION_LINE "Sec-WebSocket-Version: 13\r\n"
#define PROTOCOL_LINE "Sec-WebSocket-Protocol: tern.v1\r\n"
#define GOOD_FIELDS HOST UPGRADE KEY_LINE VERSION_LINE PROTOCOL_LINE
#define GOOD_REQUEST "GET /v1 HTTP/1.1\r\n" GOOD_FIELDS "\r\n"

/* Parses an exact copy, so that a sanitizer sees a read past its end; keeps the last one alive. */
static enum parse_result parse(const void *bytes, size_t length, struct http_request *request) {
    static uint8_t *copy;
    free(copy);
    copy = malloc(length + 1);
    assert_non_null(copy);
    memcpy(copy + 1, bytes, length);
    return http_parse_request(copy + 1, length, request);
}

static enum parse_result parse_text(const char *text, struct http_request *request) {
    return parse(text, strlen(text), request);
}

static void check_status(const char *text, enum parse_result result, unsigned status) {
    struct http_request request;
    if (parse_text(text, &request) != result || request.status != status)
        fail_msg("%s: status %u", text, request.status);
    assert_int_equal(request.kind == HTTP_REQUEST_REFUSED, status >= 400);
}

static void upgrade_is_recognised_and_says_its_length(void **state) {
    struct http_request request;
    size_t length = sizeof GOOD_REQUEST - 1;
    assert_int_equal(parse_text(GOOD_REQUEST "frames", &request), PARSE_COMPLETE);
    assert_int_equal(request.kind, HTTP_REQUEST_UPGRADE);
    assert_int_equal(request.status, 101);
    assert_int_equal(request.head_bytes, length);
    assert_memory_equal(request.key, KEY, WEBSOCKET_KEY_CHARS);
    assert_int_equal(request.path_length, 3);
    assert_memory_equal(request.path, "/v1", 3);
}

static void every_shorter_head_asks_for_more(void **state) {
    struct http_request request;
    for (size_t length = 0; length < sizeof GOOD_REQUEST - 1; length++)
        assert_int_equal(parse(GOOD_REQUEST, length, &request), PARSE_MORE);
}

static void upgrade_is_recognised_as_browsers_and_proxies_write_it(void **state) {
    check_status("GET /v1?x=1 HTTP/1.1\r\nhost: [::1]:7700\r\nUPGRADE:WebSocket\r\n"
                 "connection: keep-alive ,\tupgrade\r\nsec-websocket-key:" KEY "  \r\n"
                 "Sec-WebSocket-Version:13\r\nSec-WebSocket-Protocol: chat, tern.v1\r\n"
                 "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
                 "Origin: http://example.org\r\nUser-Agent: M\xC3\xBCller (x; y)\r\nEmpty:\r\n\r\n",
                 PARSE_COMPLETE, 101);
    check_status("GET /v1 HTTP/1.1\r\n" HOST "Upgrade: h2c, websocket\r\nConnection: a\r\n"
                 "Connection: upgrade\r\n" KEY_LINE VERSION_LINE
                 "Sec-WebSocket-Protocol: other\r\n" PROTOCOL_LINE "\r\n",
                 PARSE_COMPLETE, 101);
    check_status("GET http://h:80/v1 HTTP/1.1\r\n" GOOD_FIELDS "\r\n", PARSE_COMPLETE, 101);
}

static void plain_requests_are_told_apart(void **state) {
    struct http_request request;
    assert_int_equal(parse_text("GET /healthz?verbose HTTP/1.1\r\n" HOST "\r\n", &request),
                     PARSE_COMPLETE);
    assert_int_equal(request.kind, HTTP_REQUEST_GET);
    assert_int_equal(request.path_length, 8);
    assert_memory_equal(request.path, "/healthz", 8);
    assert_int_equal(parse_text("HEAD /readyz HTTP/1.0\r\n\r\n", &request), PARSE_COMPLETE);
    assert_int_equal(request.kind, HTTP_REQUEST_HEAD);
    assert_int_equal(request.status, 200);
    check_status("GET / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", PARSE_COMPLETE, 200);
}

static void requests_that_are_not_served_get_their_status(void **state) {
    static const struct {
        const char *text;
        unsigned status;
    } cases[] = {
        {"GET /v1 HTTP/1.1\r\n" HOST "\r\n", 426},
        {"GET /v1 HTTP/1.1\r\n" HOST "Upgrade: websocket\r\n" KEY_LINE VERSION_LINE "\r\n", 426},
        {"GET /v1 HTTP/1.0\r\n" GOOD_FIELDS "\r\n", 426},
        {"GET /v1 HTTP/1.1\r\n" HOST UPGRADE KEY_LINE PROTOCOL_LINE
         "Sec-WebSocket-Version: 8\r\n\r\n",
         426},
        {"GET /v1 HTTP/1.1\r\n" HOST UPGRADE KEY_LINE PROTOCOL_LINE "\r\n", 400},
        {"GET /v1 HTTP/1.1\r\n" HOST UPGRADE VERSION_LINE PROTOCOL_LINE "\r\n", 400},
        {"GET /v1 HTTP/1.1\r\n" HOST UPGRADE VERSION_LINE PROTOCOL_LINE
         "Sec-WebSocket-Key: x\r\n\r\n",
         400},
        {"GET /v1 HTTP/1.1\r\n" HOST UPGRADE KEY_LINE VERSION_LINE "\r\n", 400},
        {"GET /v1 HTTP/1.1\r\n" HOST UPGRADE KEY_LINE VERSION_LINE
         "Sec-WebSocket-Protocol: TERN.V1, tern.v11\r\n\r\n",
         400},
        {"GET /v2 HTTP/1.1\r\n" GOOD_FIELDS "\r\n", 404},
        {"POST /v1 HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello", 405},
        {"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 405},
        {"CONNECT h:443 HTTP/1.1\r\n" HOST "\r\n", 405},
        {"get / HTTP/1.1\r\n" HOST "\r\n", 405},
        {"GET / HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\nx", 413},
        {"GET / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999999\r\n\r\n", 413},
        {"GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", 413},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_status(cases[i].text, PARSE_COMPLETE, cases[i].status);
}

static void malformed_heads_are_junk(void **state) {
    static const char *const heads[] = {
        "GET / HTTP/1.1\n" HOST "\r\n",       /* bare LF */
        "GET / HTTP/1.1\r" HOST "\r\n",       /* bare CR */
        "\r\nGET / HTTP/1.1\r\n" HOST "\r\n", /* an empty line before */
        " GET / HTTP/1.1\r\n" HOST "\r\n",
        "GET / HTTP/1.1\r\n" HOST "A: b\r\n c\r\n\r\n", /* folded */
        "GET / HTTP/1.1\r\n" HOST "A: b\r\n\tc\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "A : b\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "A b\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST ": b\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "A\x80: b\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "A: \x01\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "A: \x7F\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n", /* no Host */
        "GET / HTTP/1.1\r\n" HOST HOST "\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: u@h\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST KEY_LINE KEY_LINE "\r\n",
        "GET / HTTP/1.1\r\n" HOST VERSION_LINE VERSION_LINE "\r\n",
        "GET / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "Content-Length: +1\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET  / HTTP/1.1\r\n" HOST "\r\n",
        "GET /  HTTP/1.1\r\n" HOST "\r\n",
        "GET / HTTP/1.1 \r\n" HOST "\r\n",
        "GET / http/1.1\r\n" HOST "\r\n",
        "GET / HTTP/1.x\r\n" HOST "\r\n",
        "GET /\r\n" HOST "\r\n",
        "GET\r\n\r\n",
        "G(T / HTTP/1.1\r\n" HOST "\r\n",
        "GET * HTTP/1.1\r\n" HOST "\r\n",
        "GET healthz HTTP/1.1\r\n" HOST "\r\n",
        "GET http:///v1 HTTP/1.1\r\n" HOST "\r\n",
        "GET http://h HTTP/1.1\r\n" HOST "\r\n",
        "GET /#a HTTP/1.1\r\n" HOST "\r\n",
        "GET /\xC3\xA9 HTTP/1.1\r\n" HOST "\r\n",
        "GET /%2 HTTP/1.1\r\n" HOST "\r\n",
        "GET /%2g HTTP/1.1\r\n" HOST "\r\n",
    };
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        check_status(heads[i], PARSE_JUNK, 400);
    check_status("GET / HTTP/2.0\r\n", PARSE_JUNK, 505);
    check_status("GET / HTTP/0.9\r\n", PARSE_JUNK, 505);
}

static void wrong_bytes_are_refused_before_the_head_ends(void **state) {
    check_status("\x16\x03\x01", PARSE_JUNK, 400); /* a TLS client */
    check_status("SSH-2.0-OpenSSH_9.2\r\n", PARSE_JUNK, 400);
    check_status("GET / HTTP/1.1\r\nA: b\n", PARSE_JUNK, 400);
    check_status("GET / HTTP/2.0\r\nA: b\n", PARSE_JUNK,
                 505); /* the same answer however it is cut */
    struct http_request request;
    assert_int_equal(parse("GET / HTTP/1.1\r\nA: \0", 20, &request), PARSE_JUNK);
}

/* A request with a field that brings it to `length` bytes. */
static enum parse_result parse_of_length(size_t length, struct http_request *request) {
    static const char start[] = "GET / HTTP/1.1\r\n" HOST "X: ";
    char *text = malloc(length);
    assert_non_null(text);
    memset(text, 'x', length);
    memcpy(text, start, sizeof start - 1);
    memcpy(text + length - 4, "\r\n\r\n", 4);
    enum parse_result result = parse(text, length, request);
    free(text);
    return result;
}

static void heads_are_bounded_in_bytes(void **state) {
    struct http_request request;
    assert_int_equal(parse_of_length(HTTP_HEAD_BYTES_MAX, &request), PARSE_COMPLETE);
    assert_int_equal(parse_of_length(HTTP_HEAD_BYTES_MAX + 1, &request), PARSE_TOO_BIG);
    assert_int_equal(request.status, 431);
    static uint8_t start[HTTP_HEAD_BYTES_MAX];
    memset(start, 'G', sizeof start);
    assert_int_equal(parse(start, sizeof start - 1, &request), PARSE_MORE);
    assert_int_equal(parse(start, sizeof start, &request), PARSE_TOO_BIG);
}

static enum parse_result parse_with_fields(unsigned count, struct http_request *request) {
    char text[HTTP_HEAD_BYTES_MAX];
    int length = snprintf(text, sizeof text, "GET / HTTP/1.1\r\n" HOST);
    for (unsigned i = 1; i < count; i++)
        length += snprintf(text + length, sizeof text - (size_t)length, "F%u: v\r\n", i);
    length += snprintf(text + length, sizeof text - (size_t)length, "\r\n");
    return parse(text, (size_t)length, request);
}

static void heads_are_bounded_in_fields(void **state) {
    struct http_request request;
    assert_int_equal(parse_with_fields(HTTP_FIELDS_MAX, &request), PARSE_COMPLETE);
    assert_int_equal(parse_with_fields(HTTP_FIELDS_MAX + 1, &request), PARSE_TOO_BIG);
    assert_int_equal(request.status, 431);
}

static void device_and_node_understand_each_other(void **state) {
    struct url url;
    char text[HTTP_REQUEST_BYTES_MAX], key[WEBSOCKET_KEY_CHARS + 1];
    struct http_request request;
    struct http_reply reply;
    assert_int_equal(url_parse("ws://[::1]:7700", &url), 0);
    websocket_make_key(key, (const uint8_t *)"sixteen letters.");
    int length = http_write_request(text, sizeof text, &url, key);
    assert_true(length > 0);
    assert_int_equal(parse(text, (size_t)length, &request), PARSE_COMPLETE);
    assert_int_equal(request.kind, HTTP_REQUEST_UPGRADE);
    assert_int_equal(request.head_bytes, length);
    assert_non_null(strstr(text, "Host: [::1]:7700\r\n"));
    length = http_write_upgrade(text, sizeof text, request.key);
    assert_true(length > 0 && length <= HTTP_RESPONSE_HEAD_BYTES_MAX);
    for (int cut = 0; cut < length; cut++)
        assert_int_equal(http_parse_reply((uint8_t *)text, (size_t)cut, key, &reply), PARSE_MORE);
    assert_int_equal(http_parse_reply((uint8_t *)text, sizeof text, key, &reply), PARSE_COMPLETE);
    assert_int_equal(reply.status, 101);
    assert_int_equal(reply.head_bytes, length);
}

static enum parse_result parse_reply(const char *text, struct http_reply *reply) {
    return http_parse_reply((const uint8_t *)text, strlen(text), KEY, reply);
}

#define ACCEPT_LINE "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
#define SWITCHING "HTTP/1.1 101 Switching Protocols\r\n"

static void a_reply_that_does_not_fit_is_junk(void **state) {
    static const char *const replies[] = {
        SWITCHING UPGRADE PROTOCOL_LINE "\r\n",
        SWITCHING UPGRADE PROTOCOL_LINE
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOp=\r\n\r\n",
        SWITCHING UPGRADE PROTOCOL_LINE ACCEPT_LINE ACCEPT_LINE "\r\n",
        SWITCHING UPGRADE ACCEPT_LINE "\r\n",
        SWITCHING UPGRADE ACCEPT_LINE "Sec-WebSocket-Protocol: tern.v2\r\n\r\n",
        SWITCHING UPGRADE ACCEPT_LINE "Sec-WebSocket-Protocol: tern.v1, x\r\n\r\n",
        SWITCHING "Upgrade: websocket\r\n" PROTOCOL_LINE ACCEPT_LINE "\r\n",
        SWITCHING "Connection: Upgrade\r\n" PROTOCOL_LINE ACCEPT_LINE "\r\n",
        SWITCHING UPGRADE PROTOCOL_LINE ACCEPT_LINE "Sec-WebSocket-Extensions: x\r\n\r\n",
        "HTTP/1.0 101 Switching Protocols\r\n" UPGRADE PROTOCOL_LINE ACCEPT_LINE "\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 600 X\r\n\r\n",
        "HTTP/1.1 20 OK\r\n",
        "HTTP/1.1 2000 OK\r\n",
        "HTTP/1.1 2x0 OK\r\n",
        "HTTP/2.0 200 OK\r\n",
        "ICY 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nA b\r\n\r\n",
        "HTTP/1.1 200 OK\n",
    };
    struct http_reply reply;
    assert_int_equal(parse_reply(SWITCHING UPGRADE PROTOCOL_LINE ACCEPT_LINE "\r\n", &reply),
                     PARSE_COMPLETE);
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        if (parse_reply(replies[i], &reply) != PARSE_JUNK)
            fail_msg("%s", replies[i]);
    }
}

static void a_refusal_says_its_status_and_when_to_come_back(void **state) {
    struct http_reply reply;
    assert_int_equal(parse_reply("HTTP/1.1 503\r\nRetry-After: 17\r\n\r\n", &reply),
                     PARSE_COMPLETE);
    assert_int_equal(reply.status, 503);
    assert_int_equal(reply.retry_after_s, 17);
    assert_int_equal(parse_reply("HTTP/1.1 503 X Y\r\nRetry-After: 99999999999\r\n\r\n", &reply),
                     PARSE_COMPLETE);
    assert_int_equal(reply.retry_after_s, 24 * 3600);
    assert_int_equal(parse_reply("HTTP/1.0 404 X\r\nRetry-After: Fri, 31 Dec\r\n\r\n", &reply),
                     PARSE_COMPLETE);
    assert_int_equal(reply.retry_after_s, 0);
}

static void reply_heads_are_bounded(void **state) {
    static uint8_t text[HTTP_HEAD_BYTES_MAX];
    struct http_reply reply;
    memset(text, 'x', sizeof text);
    memcpy(text, "HTTP/1.1 200 OK\r\nX: ", 20);
    assert_int_equal(http_parse_reply(text, sizeof text - 1, KEY, &reply), PARSE_MORE);
    assert_int_equal(http_parse_reply(text, sizeof text, KEY, &reply), PARSE_TOO_BIG);
}

static void every_answer_is_a_head_that_closes_and_fits(void **state) {
    static const unsigned statuses[] = {200, 400, 404, 405, 413, 426, 431, 503, 505};
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        char text[HTTP_RESPONSE_HEAD_BYTES_MAX], again[HTTP_RESPONSE_HEAD_BYTES_MAX], line[64];
        struct http_reply reply;
        int length = http_write_answer(text, sizeof text, statuses[i], 9, false);
        assert_in_range(length, 1, sizeof text - 1);
        assert_int_equal(http_parse_reply((uint8_t *)text, (size_t)length, KEY, &reply),
                         PARSE_COMPLETE);
        assert_int_equal(reply.status, statuses[i]);
        assert_int_equal(reply.retry_after_s, 9);
        snprintf(line, sizeof line, "Content-Length: %zu\r\n", (size_t)length - reply.head_bytes);
        assert_non_null(strstr(text, line));
        assert_non_null(strstr(text, "close\r\n"));
        assert_int_equal(http_write_answer(again, sizeof again, statuses[i], 9, true),
                         reply.head_bytes);
        for (int capacity = 0; capacity <= length; capacity++)
            assert_int_equal(http_write_answer(again, (size_t)capacity, statuses[i], 9, false),
                             -ENOSPC);
    }
}

static void each_status_says_what_it_must(void **state) {
    char text[HTTP_RESPONSE_HEAD_BYTES_MAX];
    http_write_answer(text, sizeof text, 405, 0, false);
    assert_non_null(strstr(text, "\r\nAllow: GET, HEAD\r\n"));
    assert_null(strstr(text, "Retry-After"));
    http_write_answer(text, sizeof text, 426, 0, false);
    assert_non_null(strstr(text, "\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n"));
    assert_non_null(strstr(text, "\r\nSec-WebSocket-Version: 13\r\n"));
}

static void a_body_of_ones_own_is_announced(void **state) {
    char text[HTTP_RESPONSE_HEAD_BYTES_MAX];
    struct http_response response = {
        .status = 200, .content_type = "text/plain; version=0.0.4", .body_bytes = 123456};
    int length = http_write_head(text, sizeof text, &response);
    assert_int_equal(length, strlen(text));
    assert_non_null(strstr(text, "Content-Type: text/plain; version=0.0.4\r\n"));
    assert_non_null(strstr(text, "Content-Length: 123456\r\n"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(upgrade_is_recognised_and_says_its_length),
        cmocka_unit_test(every_shorter_head_asks_for_more),
        cmocka_unit_test(upgrade_is_recognised_as_browsers_and_proxies_write_it),
        cmocka_unit_test(plain_requests_are_told_apart),
        cmocka_unit_test(requests_that_are_not_served_get_their_status),
        cmocka_unit_test(malformed_heads_are_junk),
        cmocka_unit_test(wrong_bytes_are_refused_before_the_head_ends),
        cmocka_unit_test(heads_are_bounded_in_bytes),
        cmocka_unit_test(heads_are_bounded_in_fields),
        cmocka_unit_test(device_and_node_understand_each_other),
        cmocka_unit_test(a_reply_that_does_not_fit_is_junk),
        cmocka_unit_test(a_refusal_says_its_status_and_when_to_come_back),
        cmocka_unit_test(reply_heads_are_bounded),
        cmocka_unit_test(every_answer_is_a_head_that_closes_and_fits),
        cmocka_unit_test(each_status_says_what_it_must),
        cmocka_unit_test(a_body_of_ones_own_is_announced),
    };
    return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}

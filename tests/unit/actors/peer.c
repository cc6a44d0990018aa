/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/actors/peer.h"

#include "net/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define MASK ((const uint8_t *)"mask")
#define KEY "dGhlIHNhbXBsZSBub25jZQ=="

struct peer *peer_create(uint16_t port, uint8_t identity) {
    struct peer *peer = calloc(1, sizeof(*peer));
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    assert_non_null(peer);
    peer->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(peer->fd >= 0);
    if (connect(peer->fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        struct pollfd ready = {.fd = peer->fd, .events = POLLOUT};
        assert_int_equal(errno, EINTR); /* it goes on by itself */
        while (poll(&ready, 1, -1) != 1)
            continue;
    }
    assert_int_equal(setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), 0);
    memset(peer->secret, identity, sizeof(peer->secret));
    struct noise_keypair pair;
    noise_keypair_from_private(&pair, peer->secret);
    memcpy(peer->public, pair.public_key, sizeof(peer->public));
    websocket_parser_init(&peer->parser, WEBSOCKET_CLIENT, NOISE_MESSAGE_BYTES_MAX);
    return peer;
}

void peer_destroy(struct peer *peer) {
    if (!peer)
        return;
    close(peer->fd);
    free(peer);
}

/* --- bytes -------------------------------------------------------------------------------------
 */

void peer_write(struct peer *peer, const void *bytes, size_t length) {
    const uint8_t *next = bytes;
    while (length) {
        size_t step = peer->byte_by_byte ? 1 : length;
        ssize_t sent = send(peer->fd, next, step, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
            return; /* the node has closed: what follows is read by the test */
        assert_true(sent > 0);
        next += sent;
        length -= (size_t)sent;
    }
}

void peer_write_text(struct peer *peer, const char *text) {
    peer_write(peer, text, strlen(text));
}

/* Waits for more bytes; false: the end. */
static bool fill(struct peer *peer) {
    struct pollfd ready = {.fd = peer->fd, .events = POLLIN};
    assert_true(peer->length < sizeof(peer->bytes));
    int result;
    do /* a fuzzer's alarm interrupts */
        result = poll(&ready, 1, PEER_SECONDS * 1000);
    while (result < 0 && errno == EINTR);
    if (result != 1)
        fail_msg("nothing came within %d s", PEER_SECONDS);
    ssize_t got = recv(peer->fd, peer->bytes + peer->length, sizeof(peer->bytes) - peer->length,
                       MSG_DONTWAIT);
    if (got <= 0) {
        peer->ended = true;
        return false;
    }
    peer->length += (size_t)got;
    return true;
}

static void drop(struct peer *peer, size_t length) {
    memmove(peer->bytes, peer->bytes + length, peer->length - length);
    peer->length -= length;
}

/* --- HTTP --------------------------------------------------------------------------------------
 */

unsigned peer_read_status(struct peer *peer, char *text, size_t capacity) {
    uint8_t *end = NULL;
    while (!(end = memmem(peer->bytes, peer->length, "\r\n\r\n", 4)))
        if (!fill(peer))
            return 0;
    size_t head = (size_t)(end - peer->bytes) + 4;
    peer->bytes[head - 1] = 0;
    assert_memory_equal(peer->bytes, "HTTP/1.1 ", 9);
    unsigned status = (unsigned)strtoul((char *)peer->bytes + 9, NULL, 10);
    if (text)
        snprintf(text, capacity, "%s", (char *)peer->bytes);
    drop(peer, head);
    return status;
}

void peer_upgrade(struct peer *peer) {
    peer_write_text(peer, "GET /v1 HTTP/1.1\r\nHost: node\r\nUpgrade: websocket\r\n"
                          "Connection: Upgrade\r\nSec-WebSocket-Key: " KEY "\r\n"
                          "Sec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Protocol: " HTTP_SUBPROTOCOL "\r\n\r\n");
    assert_int_equal(peer_read_status(peer, NULL, 0), 101);
}

/* --- WebSocket ---------------------------------------------------------------------------------
 */

void peer_write_frame(struct peer *peer, enum websocket_opcode opcode, const void *payload,
                      size_t length) {
    uint8_t *frame = malloc(WEBSOCKET_HEADER_BYTES_MAX + length);
    assert_non_null(frame);
    size_t header = websocket_write_header(frame, WEBSOCKET_CLIENT, opcode, length, MASK);
    if (length)
        memcpy(frame + header, payload, length);
    websocket_mask(frame + header, length, MASK);
    peer_write(peer, frame, header + length);
    free(frame);
}

bool peer_read_message(struct peer *peer, struct websocket_message *message) {
    static uint8_t payload[PEER_BUFFER_BYTES];
    for (;;) {
        enum parse_result result =
            websocket_parse(&peer->parser, peer->bytes, peer->length, message);
        assert_true(result == PARSE_COMPLETE || result == PARSE_MORE);
        if (result == PARSE_COMPLETE)
            break;
        /* Not the parser's way to be used, but simple: nothing is dropped before it is complete. */
        drop(peer, peer->length - message->length);
        if (!fill(peer))
            return false;
    }
    memcpy(payload, message->payload, message->length);
    message->payload = payload;
    if (message->opcode == WEBSOCKET_CLOSE) {
        peer->close_code = message->close_code;
        return false;
    }
    return true;
}

/* --- Noise -------------------------------------------------------------------------------------
 */

size_t peer_make_first(struct peer *peer, uint8_t *out, size_t capacity) {
    struct noise_keypair pair;
    uint8_t ephemeral[32];
    size_t length;
    noise_keypair_from_private(&pair, peer->secret);
    randombytes_buf(ephemeral, sizeof(ephemeral));
    noise_handshake_init(&peer->handshake, NOISE_INITIATOR, &pair, ephemeral,
                         (const uint8_t *)WIRE_PROLOGUE, strlen(WIRE_PROLOGUE));
    assert_int_equal(noise_handshake_write(&peer->handshake, NULL, 0, out, capacity, &length), 0);
    return length;
}

bool peer_read_second(struct peer *peer) {
    struct websocket_message message;
    uint8_t *payload;
    size_t length;
    if (!peer_read_message(peer, &message))
        return false;
    assert_int_equal(message.opcode, WEBSOCKET_BINARY);
    assert_int_equal(
        noise_handshake_read(&peer->handshake, message.payload, message.length, &payload, &length),
        0);
    assert_true(length <= sizeof(peer->certificate));
    memcpy(peer->certificate, payload, length);
    peer->certificate_bytes = length;
    memcpy(peer->node_key, noise_handshake_remote_static(&peer->handshake), sizeof(peer->node_key));
    return true;
}

size_t peer_make_third(struct peer *peer, const struct wire_hello *hello, uint8_t *out,
                       size_t capacity) {
    uint8_t frame[512];
    size_t length;
    struct wire_writer writer = {.bytes = frame, .capacity = sizeof(frame)};
    assert_int_equal(wire_write_hello(&writer, 0, hello), 0);
    assert_int_equal(
        noise_handshake_write(&peer->handshake, frame, writer.length, out, capacity, &length), 0);
    assert_int_equal(noise_handshake_split(&peer->handshake, &peer->transport), 0);
    return length;
}

void peer_handshake(struct peer *peer, const struct wire_hello *hello) {
    uint8_t message[1024];
    size_t length = peer_make_first(peer, message, sizeof(message));
    peer_write_frame(peer, WEBSOCKET_BINARY, message, length);
    assert_true(peer_read_second(peer));
    length = peer_make_third(peer, hello, message, sizeof(message));
    peer_write_frame(peer, WEBSOCKET_BINARY, message, length);
}

struct peer *peer_login(uint16_t port, uint8_t identity) {
    struct peer *peer = peer_create(port, identity);
    struct wire_hello hello = {.version_min = 1, .version_max = 1, .send_low = 1};
    peer_upgrade(peer);
    peer_handshake(peer, &hello);
    return peer;
}

/* --- frames ------------------------------------------------------------------------------------
 */

void peer_send(struct peer *peer, const struct wire_writer *writer) {
    uint8_t *message = malloc(writer->length + NOISE_TAG_BYTES);
    assert_non_null(message);
    memcpy(message, writer->bytes, writer->length);
    assert_int_equal(noise_encrypt(&peer->transport.send, message, writer->length), 0);
    peer_write_frame(peer, WEBSOCKET_BINARY, message, writer->length + NOISE_TAG_BYTES);
    free(message);
}

void peer_send_frame(struct peer *peer, const struct wire_frame *frame) {
    static uint8_t bytes[70000];
    struct wire_writer writer = {.bytes = bytes, .capacity = sizeof(bytes)};
    assert_int_equal(wire_write_frame(&writer, frame), 0);
    peer_send(peer, &writer);
}

bool peer_next(struct peer *peer, struct wire_frame *frame) {
    struct websocket_message message;
    for (;;) {
        enum parse_result result =
            peer->reader.at ? wire_read_frame(&peer->reader, frame) : PARSE_MORE;
        if (result == PARSE_COMPLETE)
            return true;
        assert_int_equal(result, PARSE_MORE);
        if (!peer_read_message(peer, &message))
            return false;
        if (message.opcode != WEBSOCKET_BINARY)
            continue;
        size_t plain_bytes;
        assert_true(message.length <= sizeof(peer->plain));
        memcpy(peer->plain, message.payload, message.length);
        assert_int_equal(
            noise_decrypt(&peer->transport.receive, peer->plain, message.length, &plain_bytes), 0);
        wire_reader_init(&peer->reader, peer->plain, plain_bytes);
    }
}

void peer_expect(struct peer *peer, enum wire_kind kind, struct wire_frame *frame) {
    do {
        if (!peer_next(peer, frame))
            fail_msg("the end came (close code %u) before %s", peer->close_code,
                     wire_kind_name(kind));
    } while (frame->kind != kind);
}

int peer_expect_reply(struct peer *peer, uint32_t ref, struct wire_frame *frame) {
    do {
        peer_expect(peer, WIRE_REPLY, frame);
    } while (frame->ref != ref);
    return frame->reply.code;
}

unsigned peer_expect_close(struct peer *peer) {
    struct wire_frame frame;
    struct websocket_message message;
    if (peer->transport.receive.nonce || peer->reader.at) {
        while (peer_next(peer, &frame))
            continue;
    } else {
        while (peer_read_message(peer, &message))
            continue;
    }
    return peer->close_code;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/net/fake_node.h"

#include "net/http.h"
#include "net/parse.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void fake_node_init(struct fake_node *node) {
    uint8_t seed[32] = {7}, private_key[32] = {9};
    assert_true(sodium_init() >= 0);
    memset(node, 0, sizeof *node);
    crypto_sign_seed_keypair(node->cluster_key, node->cluster_secret, seed);
    noise_keypair_from_private(&node->keypair, private_key);
    node->certificate_expiry_ms = UINT64_MAX;
    node->bytes = malloc(FAKE_NODE_BYTES_MAX);
    node->in = malloc(FAKE_NODE_BYTES_MAX);
    node->out = malloc(FAKE_NODE_BYTES_MAX);
    assert_true(node->bytes != NULL && node->in != NULL && node->out != NULL);
}

void fake_node_finish(struct fake_node *node) {
    free(node->bytes);
    free(node->in);
    free(node->out);
}

void fake_node_clear(struct fake_node *node) {
    node->frame_count = node->message_count = 0;
    node->bytes_used = 0;
}

void fake_node_reset(struct fake_node *node) {
    fake_node_clear(node);
    node->in_length = node->out_length = 0;
    node->stage = FAKE_HTTP;
    node->close_code = 0;
    node->websocket_pongs = 0;
}

/* ---------------------------------------------------------------- saying */

static void put(struct fake_node *node, const void *bytes, size_t length) {
    assert_true(node->out_length + length <= FAKE_NODE_BYTES_MAX);
    if (length > 0)
        memcpy(node->out + node->out_length, bytes, length);
    node->out_length += length;
}

void fake_node_say_raw(struct fake_node *node, enum websocket_opcode opcode, const uint8_t *bytes,
                       size_t length) {
    uint8_t header[WEBSOCKET_HEADER_BYTES_MAX];
    put(node, header, websocket_write_header(header, WEBSOCKET_SERVER, opcode, length, NULL));
    put(node, bytes, length);
}

void fake_node_say_plain(struct fake_node *node, const uint8_t *bytes, size_t length) {
    static uint8_t message[NOISE_MESSAGE_BYTES_MAX];
    memcpy(message, bytes, length);
    assert_int_equal(noise_encrypt(&node->transport.send, message, length), 0);
    fake_node_say_raw(node, WEBSOCKET_BINARY, message, length + NOISE_TAG_BYTES);
}

void fake_node_say_all(struct fake_node *node, const struct wire_frame *frames, unsigned count) {
    static uint8_t bytes[WIRE_FRAMES_BYTES_MAX];
    struct wire_writer writer = {.bytes = bytes, .capacity = sizeof bytes};
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(wire_write_frame(&writer, &frames[i]), 0);
    fake_node_say_plain(node, bytes, writer.length);
}

void fake_node_say(struct fake_node *node, const struct wire_frame *frame) {
    fake_node_say_all(node, frame, 1);
}

void fake_node_say_close(struct fake_node *node, uint16_t code) {
    uint8_t bytes[WEBSOCKET_CONTROL_BYTES_MAX];
    put(node, bytes, websocket_write_close(bytes, WEBSOCKET_SERVER, code, NULL, NULL));
}

/* ---------------------------------------------------------------- hearing */

static void answer_upgrade(struct fake_node *node) {
    struct http_request request = {0};
    char head[HTTP_RESPONSE_HEAD_BYTES_MAX];
    enum parse_result result = http_parse_request(node->in, node->in_length, &request);
    if (result == PARSE_MORE)
        return;
    assert_int_equal(result, PARSE_COMPLETE);
    assert_int_equal(request.kind, HTTP_REQUEST_UPGRADE);
    int length = node->refuse_status != 0
                     ? http_write_answer(head, sizeof head, node->refuse_status,
                                         node->refuse_retry_after_s, false)
                     : http_write_upgrade(head, sizeof head, request.key);
    assert_true(length > 0);
    put(node, head, (size_t)length);
    node->in_length -= request.head_bytes;
    memmove(node->in, node->in + request.head_bytes, node->in_length);
    node->stage = node->refuse_status != 0 ? FAKE_CLOSED : FAKE_MESSAGE_1;
    websocket_parser_init(&node->parser, WEBSOCKET_SERVER, NOISE_MESSAGE_BYTES_MAX);
}

static void answer_message_1(struct fake_node *node, uint8_t *message, size_t length) {
    uint8_t ephemeral[32] = {3}, out[512], *payload;
    uint8_t certificate_bytes[CERTIFICATE_BYTES_MAX];
    size_t payload_bytes, out_bytes;
    struct certificate certificate = {.expiry_ms = node->certificate_expiry_ms, .name = "fake"};
    memcpy(certificate.node_key, node->keypair.public_key, 32);
    int certificate_length =
        certificate_sign(certificate_bytes, &certificate, node->cluster_secret);
    assert_true(certificate_length > 0);
    if (node->forge_certificate)
        certificate_bytes[certificate_length - 1] ^= 1;
    noise_handshake_init(&node->handshake, NOISE_RESPONDER, &node->keypair, ephemeral,
                         (const uint8_t *)"tern/1", 6);
    assert_int_equal(
        noise_handshake_read(&node->handshake, message, length, &payload, &payload_bytes), 0);
    assert_int_equal(payload_bytes, 0);
    assert_int_equal(noise_handshake_write(&node->handshake, certificate_bytes,
                                           (size_t)certificate_length, out, sizeof out, &out_bytes),
                     0);
    fake_node_say_raw(node, WEBSOCKET_BINARY, out, out_bytes);
    node->stage = FAKE_MESSAGE_3;
}

static uint8_t *keep_bytes(struct fake_node *node, const uint8_t *bytes, size_t length) {
    assert_true(node->bytes_used + length <= FAKE_NODE_BYTES_MAX);
    uint8_t *kept = node->bytes + node->bytes_used;
    memcpy(kept, bytes, length);
    node->bytes_used += length;
    return kept;
}

static void take_frames(struct fake_node *node, const uint8_t *bytes, size_t length) {
    struct wire_reader reader;
    enum parse_result result;
    wire_reader_init(&reader, keep_bytes(node, bytes, length), length);
    node->message_count++;
    for (;;) {
        assert_true(node->frame_count < FAKE_NODE_FRAMES_MAX);
        result = wire_read_frame(&reader, &node->frames[node->frame_count]);
        if (result != PARSE_COMPLETE)
            break;
        node->frame_count++;
    }
    assert_int_equal(result, PARSE_MORE);
}

static void take_message_3(struct fake_node *node, uint8_t *message, size_t length) {
    uint8_t *payload;
    size_t payload_bytes;
    assert_int_equal(
        noise_handshake_read(&node->handshake, message, length, &payload, &payload_bytes), 0);
    memcpy(node->device_key, noise_handshake_remote_static(&node->handshake), 32);
    take_frames(node, payload, payload_bytes);
    assert_int_equal(node->frame_count, 1);
    assert_int_equal(node->frames[0].kind, WIRE_HELLO);
    node->hello = node->frames[0].hello;
    fake_node_clear(node);
    assert_int_equal(noise_handshake_split(&node->handshake, &node->transport), 0);
    node->stage = FAKE_OPEN;
}

static void take_binary(struct fake_node *node, uint8_t *payload, size_t length) {
    size_t plain;
    switch (node->stage) {
    case FAKE_MESSAGE_1:
        answer_message_1(node, payload, length);
        break;
    case FAKE_MESSAGE_3:
        take_message_3(node, payload, length);
        break;
    default:
        assert_int_equal(node->stage, FAKE_OPEN);
        assert_int_equal(noise_decrypt(&node->transport.receive, payload, length, &plain), 0);
        take_frames(node, payload, plain);
    }
}

static void take_message(struct fake_node *node, const struct websocket_message *message) {
    switch (message->opcode) {
    case WEBSOCKET_BINARY:
        take_binary(node, message->payload, message->length);
        break;
    case WEBSOCKET_PONG:
        node->websocket_pongs++;
        break;
    default:
        assert_int_equal(message->opcode, WEBSOCKET_CLOSE);
        node->close_code = message->close_code;
        node->stage = FAKE_CLOSED;
    }
}

void fake_node_receive(struct fake_node *node, const uint8_t *bytes, size_t length) {
    struct websocket_message message;
    enum parse_result result;
    assert_true(node->in_length + length <= FAKE_NODE_BYTES_MAX);
    memcpy(node->in + node->in_length, bytes, length);
    node->in_length += length;
    if (node->stage == FAKE_HTTP)
        answer_upgrade(node);
    if (node->stage == FAKE_HTTP || node->stage == FAKE_CLOSED)
        return;
    while ((result = websocket_parse(&node->parser, node->in, node->in_length, &message)) ==
           PARSE_COMPLETE)
        take_message(node, &message);
    assert_int_equal(result, PARSE_MORE);
    memmove(node->in, message.payload, message.length);
    node->in_length = message.length;
}

unsigned fake_node_count(const struct fake_node *node, unsigned kind) {
    unsigned count = 0;
    for (unsigned i = 0; i < node->frame_count; i++)
        count += node->frames[i].kind == kind;
    return count;
}

const struct wire_frame *fake_node_frame(const struct fake_node *node, unsigned kind,
                                         unsigned index) {
    for (unsigned i = 0; i < node->frame_count; i++)
        if (node->frames[i].kind == kind && index-- == 0)
            return &node->frames[i];
    fail_msg("the device has not said %s", wire_kind_name(kind));
    return NULL;
}

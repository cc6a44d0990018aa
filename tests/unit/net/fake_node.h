/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node of one connection for tests of the device: the server's side of HTTP, WebSocket, Noise and
 * wire, made of the same codecs, without any product behind it. A test says what it says.
 */
#ifndef TERN_TESTS_UNIT_NET_FAKE_NODE_H
#define TERN_TESTS_UNIT_NET_FAKE_NODE_H

#include "net/certificate.h"
#include "net/noise.h"
#include "net/websocket.h"
#include "net/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAKE_NODE_FRAMES_MAX 256
#define FAKE_NODE_BYTES_MAX (1u << 20)

enum fake_node_stage { FAKE_HTTP, FAKE_MESSAGE_1, FAKE_MESSAGE_3, FAKE_OPEN, FAKE_CLOSED };

struct fake_node {
    /* set by a test before the connection, or left as fake_node_init made them */
    uint8_t cluster_key[32], cluster_secret[64];
    struct noise_keypair keypair;
    uint64_t certificate_expiry_ms;
    unsigned refuse_status; /* 0: upgrade */
    unsigned refuse_retry_after_s;
    bool forge_certificate;

    enum fake_node_stage stage;
    struct noise_handshake handshake;
    struct noise_transport transport;
    struct websocket_parser parser;
    uint8_t device_key[32];
    struct wire_hello hello;
    uint16_t close_code; /* what the device closed with */
    unsigned websocket_pongs;

    /* what came since fake_node_clear; the frames point into `bytes` */
    struct wire_frame frames[FAKE_NODE_FRAMES_MAX];
    unsigned frame_count;
    unsigned message_count; /* Noise messages */
    uint8_t *bytes;
    size_t bytes_used;

    uint8_t *in; /* not parsed yet */
    size_t in_length;
    uint8_t *out; /* for the device; the test takes it and sets out_length to 0 */
    size_t out_length;
};

void fake_node_init(struct fake_node *node);
void fake_node_finish(struct fake_node *node);
/* A new connection to the same node. */
void fake_node_reset(struct fake_node *node);
void fake_node_receive(struct fake_node *node, const uint8_t *bytes, size_t length);
/* Forgets the frames that came. */
void fake_node_clear(struct fake_node *node);

/* Says one frame, in a Noise message of its own; or several frames in one. */
void fake_node_say(struct fake_node *node, const struct wire_frame *frame);
void fake_node_say_all(struct fake_node *node, const struct wire_frame *frames, unsigned count);
/* Says these bytes as the plaintext of a Noise message; as a WebSocket message without Noise. */
void fake_node_say_plain(struct fake_node *node, const uint8_t *bytes, size_t length);
void fake_node_say_raw(struct fake_node *node, enum websocket_opcode opcode, const uint8_t *bytes,
                       size_t length);
void fake_node_say_close(struct fake_node *node, uint16_t code);

/* How many frames of this kind came, and the index-th of them. */
unsigned fake_node_count(const struct fake_node *node, unsigned kind);
const struct wire_frame *fake_node_frame(const struct fake_node *node, unsigned kind,
                                         unsigned index);

#endif

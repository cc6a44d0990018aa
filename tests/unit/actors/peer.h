/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device's end of one connection for tests, on a real socket, a step at a time, so that a test
 * can do each of them wrong. Blocking; what doesn't come within PEER_SECONDS fails the test.
 */
#ifndef TERN_TESTS_PEER_H
#define TERN_TESTS_PEER_H

#include "net/noise.h"
#include "net/websocket.h"
#include "net/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PEER_SECONDS 20
#define PEER_BUFFER_BYTES (256u * 1024)

struct peer {
    int fd;
    bool byte_by_byte; /* everything is sent one byte at a time */
    uint8_t secret[32], public[32];
    uint8_t node_key[32];
    uint8_t certificate[512];
    size_t certificate_bytes;
    struct noise_handshake handshake;
    struct noise_transport transport;
    struct websocket_parser parser;
    uint8_t bytes[PEER_BUFFER_BYTES]; /* not yet read */
    size_t length;
    uint8_t plain[70000]; /* the last message's frames */
    struct wire_reader reader;
    uint16_t close_code; /* of the close frame that came, or 0 */
    bool ended;          /* the socket was closed or reset */
};

/* Connects; the device's key is made of `identity`. */
struct peer *peer_create(uint16_t port, uint8_t identity);
void peer_destroy(struct peer *peer);

void peer_write(struct peer *peer, const void *bytes, size_t length);
void peer_write_text(struct peer *peer, const char *text);
/* Reads an HTTP answer's head (and what came of the body with it) as text; returns its status. */
unsigned peer_read_status(struct peer *peer, char *text, size_t capacity);

/* A well-formed request for the upgrade, answered with 101. */
void peer_upgrade(struct peer *peer);
/* One masked frame. */
void peer_write_frame(struct peer *peer, enum websocket_opcode opcode, const void *payload,
                      size_t length);
/* The next WebSocket message of any opcode; false: the end came (close_code says how). */
bool peer_read_message(struct peer *peer, struct websocket_message *message);

/* The handshake's steps. */
size_t peer_make_first(struct peer *peer, uint8_t *out, size_t capacity);
bool peer_read_second(struct peer *peer);
size_t peer_make_third(struct peer *peer, const struct wire_hello *hello, uint8_t *out,
                       size_t capacity);
/* All of them; then the transport is there. */
void peer_handshake(struct peer *peer, const struct wire_hello *hello);
/* Connect, upgrade, handshake. */
struct peer *peer_login(uint16_t port, uint8_t identity);

/* Encrypts and sends frames that were written into `writer`. */
void peer_send(struct peer *peer, const struct wire_writer *writer);
/* Any one frame. */
void peer_send_frame(struct peer *peer, const struct wire_frame *frame);
/* The next frame; false: the end came. What it points to lies in `plain`. */
bool peer_next(struct peer *peer, struct wire_frame *frame);
/* The next frame of this kind; others are skipped. Fails the test at the end. */
void peer_expect(struct peer *peer, enum wire_kind kind, struct wire_frame *frame);
/* The reply to this ref; returns its code. */
int peer_expect_reply(struct peer *peer, uint32_t ref, struct wire_frame *frame);
/* Reads until the close; returns its code, 0 for an end without one. */
unsigned peer_expect_close(struct peer *peer);

#endif

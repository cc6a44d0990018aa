/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WebSocket frames (RFC 6455) for both ends: a parser that works in place, and an encoder.
 *
 * Made for a server with a million connections: a parser is 20 bytes, an idle connection needs no
 * buffer, and a frame that arrives whole is unmasked and handed out where it lies, without a copy.
 *
 * How to receive. The caller gives all bytes that it has kept plus those that came behind them, and
 * calls websocket_parse with the same bytes until it no longer answers PARSE_COMPLETE:
 *
 *     while ((result = websocket_parse(&parser, bytes, length, &message)) == PARSE_COMPLETE)
 *         ... message.opcode, message.payload[0, message.length) ...
 *
 * A payload stays valid while the bytes do and may be overwritten (decrypted in place). The bytes
 * may move between two calls as long as their content stays. In the end:
 *
 * - PARSE_MORE: keep message.payload[0, message.length), which is nothing while the connection is
 *   idle, and put what arrives next behind it. No progress before message.bytes_needed bytes are
 *   there, at most websocket_kept_bytes_max(message_bytes_max).
 * - PARSE_JUNK, PARSE_TOO_BIG: fail the connection with the close code in message.close_code.
 *
 * Fragments are joined by the parser inside these bytes, so that the caller always sees whole
 * messages; control frames between them come out in order. After a close frame nothing more is
 * parsed: PARSE_MORE, nothing kept.
 *
 * Both directions refuse what the RFC refuses: lengths that are not minimal, reserved bits and
 * opcodes, masks missing (to the server) or present (to the client), control frames that are long
 * or fragmented, close codes that may not be sent, text and close reasons that are no UTF-8.
 *
 * Pure: no allocation, no clock, no randomness (a client passes its masking keys in). Any thread.
 */
#ifndef TERN_NET_WEBSOCKET_H
#define TERN_NET_WEBSOCKET_H

#include "net/parse.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum websocket_role { WEBSOCKET_SERVER, WEBSOCKET_CLIENT }; /* which end this is */

/* RFC 6455 section 5.2. */
enum websocket_opcode {
    WEBSOCKET_CONTINUATION = 0,
    WEBSOCKET_TEXT = 1,
    WEBSOCKET_BINARY = 2,
    WEBSOCKET_CLOSE = 8,
    WEBSOCKET_PING = 9,
    WEBSOCKET_PONG = 10,
};

/* RFC 6455 section 7.4.1; 4000 to 4999 are the protocol's own (wire.def). */
enum websocket_close_code {
    WEBSOCKET_CLOSE_NORMAL = 1000,
    WEBSOCKET_CLOSE_GOING_AWAY = 1001,
    WEBSOCKET_CLOSE_PROTOCOL_ERROR = 1002,
    WEBSOCKET_CLOSE_UNSUPPORTED = 1003, /* what we answer to text */
    WEBSOCKET_CLOSE_NO_CODE = 1005,     /* never sent: a close frame that was empty */
    WEBSOCKET_CLOSE_INVALID_DATA = 1007,
    WEBSOCKET_CLOSE_POLICY = 1008,
    WEBSOCKET_CLOSE_TOO_BIG = 1009,
    WEBSOCKET_CLOSE_INTERNAL = 1011,
};

#define WEBSOCKET_MASK_BYTES 4
#define WEBSOCKET_HEADER_BYTES_MAX 14
#define WEBSOCKET_CONTROL_PAYLOAD_MAX 125
/* A whole control frame: 2 bytes of header, the mask, the payload. */
#define WEBSOCKET_CONTROL_BYTES_MAX (2 + WEBSOCKET_MASK_BYTES + WEBSOCKET_CONTROL_PAYLOAD_MAX)
#define WEBSOCKET_REASON_BYTES_MAX (WEBSOCKET_CONTROL_PAYLOAD_MAX - 2)
#define WEBSOCKET_MESSAGE_BYTES_LIMIT (1u << 30) /* the largest message_bytes_max */

/* Only websocket.c looks inside. The offsets count from the first byte given to websocket_parse. */
struct websocket_parser {
    uint32_t message_bytes_max;
    uint32_t joined_at;    /* where the fragments so far were joined */
    uint32_t joined_bytes; /* how many bytes they are */
    uint32_t next_at;      /* where the next frame begins; joined_bytes between calls */
    uint8_t role;
    uint8_t fragmented; /* text or binary while its continuation is awaited, else 0 */
    uint16_t
        ended; /* close code of the failure, WEBSOCKET_CLOSE_NORMAL after a close frame, or 0 */
};
_Static_assert(sizeof(struct websocket_parser) <= 24, "a million idle connections rest on it");

struct websocket_message {
    uint8_t opcode;      /* COMPLETE: never WEBSOCKET_CONTINUATION */
    uint16_t close_code; /* COMPLETE and WEBSOCKET_CLOSE: theirs, or WEBSOCKET_CLOSE_NO_CODE;
                            JUNK, TOO_BIG: what to close with */
    uint8_t *payload;    /* COMPLETE: unmasked (of a close frame: the reason); MORE: what to keep */
    size_t length;       /* of payload */
    size_t bytes_needed; /* MORE: kept bytes and new ones together, at least this many */
};

/* `message_bytes_max`: the largest message payload, 125 to WEBSOCKET_MESSAGE_BYTES_LIMIT. */
void websocket_parser_init(struct websocket_parser *parser, enum websocket_role role,
                           uint32_t message_bytes_max);

/* Takes the next message out of bytes[0, length); see the head of this file. Writes into
 * the bytes. */
enum parse_result websocket_parse(struct websocket_parser *parser, uint8_t *bytes, size_t length,
                                  struct websocket_message *message);

/* The most that PARSE_MORE ever asks to have together: a message, and a header and a control frame
 * beside it. */
size_t websocket_kept_bytes_max(uint32_t message_bytes_max);

/* Bytes of the header in front of a payload of this length: 2, 4 or 10, and 4 more for a client's
 * mask. */
size_t websocket_header_bytes(enum websocket_role role, size_t payload_bytes);

/* Writes the header of one unfragmented frame and returns its length, websocket_header_bytes(). A
 * client then masks the payload behind it with the same key (websocket_mask); a server passes NULL.
 * Payloads of any length for text and binary; at most WEBSOCKET_CONTROL_PAYLOAD_MAX for control
 * opcodes. */
size_t websocket_write_header(uint8_t *out, enum websocket_role role, enum websocket_opcode opcode,
                              size_t payload_bytes, const uint8_t *mask_key);

/* Masks or unmasks in place (the same operation). The masking key must be unpredictable (RFC
 * 6455 10.3). */
void websocket_mask(uint8_t *bytes, size_t length, const uint8_t mask_key[WEBSOCKET_MASK_BYTES]);

/* Writes a whole ping or pong with at most WEBSOCKET_CONTROL_PAYLOAD_MAX bytes of payload; returns
 * the frame's length. `mask_key` NULL for a server. `payload` may not overlap `out`. */
size_t websocket_write_control(uint8_t out[WEBSOCKET_CONTROL_BYTES_MAX], enum websocket_role role,
                               enum websocket_opcode opcode, const uint8_t *payload,
                               size_t payload_bytes, const uint8_t *mask_key);

/* Writes a whole close frame; returns its length. `code`: one that may be sent, or
 * WEBSOCKET_CLOSE_NO_CODE for an empty frame. `reason`: UTF-8 for people, cut at a character's end
 * to fit; may be NULL. */
size_t websocket_write_close(uint8_t out[WEBSOCKET_CONTROL_BYTES_MAX], enum websocket_role role,
                             uint16_t code, const char *reason, const uint8_t *mask_key);

/* May this code stand in a close frame? (RFC 6455 section 7.4: 1000 to 1003, 1007 to 1014, 3000 to
 * 4999.) */
bool websocket_close_code_is_valid(uint16_t code);

/* The opening handshake (RFC 6455 section 4): Sec-WebSocket-Key from 16 random bytes, and
 * Sec-WebSocket-Accept from that key. Both are written with a closing NUL. */
#define WEBSOCKET_KEY_RANDOM_BYTES 16
#define WEBSOCKET_KEY_CHARS 24
#define WEBSOCKET_ACCEPT_CHARS 28
void websocket_make_key(char key[WEBSOCKET_KEY_CHARS + 1],
                        const uint8_t random[WEBSOCKET_KEY_RANDOM_BYTES]);
void websocket_make_accept(char accept[WEBSOCKET_ACCEPT_CHARS + 1],
                           const char key[WEBSOCKET_KEY_CHARS]);
/* Is it base64 of 16 bytes, exactly? */
bool websocket_key_is_valid(const char *key, size_t length);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RFC 6455 frames: the parser (how it is used is at the head of websocket.h), then the writers.
 *
 * A frame is looked at when it is whole: until then only its header is read again at each call,
 * which is a handful of instructions, and no half-done unmasking has to be remembered. A frame that
 * is a whole message is handed out where it lies. Payloads of fragments are moved together, each
 * once:
 *
 *     bytes   ... [joined_at: joined_bytes] gap [next_at: frames not looked at yet ...] length
 *
 * The gap is the headers and control frames between; it is closed once per call, when PARSE_MORE is
 * answered, so that a chunk of tiny fragments costs its length and not its square.
 *
 * Invariants (where joined_bytes or fragmented is not 0):
 *   1. joined_at + joined_bytes <= next_at <= length.
 *   2. joined_bytes <= message_bytes_max.
 *   3. Between calls, after PARSE_MORE, joined_at is 0 and next_at is joined_bytes.
 */
#include "net/websocket.h"

#include "net/sha1.h"
#include "net/utf8.h"
#include "runtime/check.h"

#include <sodium.h>
#include <string.h>

#define FINAL_BIT 0x80
#define RESERVED_BITS 0x70
#define OPCODE_BITS 0x0F
#define CONTROL_BIT 0x08
#define MASK_BIT 0x80
#define LENGTH_BITS 0x7F
#define LENGTH_16 126 /* the length is in the two bytes that follow */
#define LENGTH_64 127 /* or in eight */

struct frame {
    uint8_t opcode;
    bool final;
    unsigned header_bytes; /* known from the first two bytes on */
    uint64_t payload_bytes;
};

void websocket_parser_init(struct websocket_parser *parser, enum websocket_role role,
                           uint32_t message_bytes_max) {
    CHECK(message_bytes_max >= WEBSOCKET_CONTROL_PAYLOAD_MAX);
    CHECK(message_bytes_max <= WEBSOCKET_MESSAGE_BYTES_LIMIT);
    *parser =
        (struct websocket_parser){.role = (uint8_t)role, .message_bytes_max = message_bytes_max};
}

size_t websocket_kept_bytes_max(uint32_t message_bytes_max) {
    return (size_t)message_bytes_max + WEBSOCKET_HEADER_BYTES_MAX + WEBSOCKET_CONTROL_PAYLOAD_MAX;
}

static enum parse_result fail(struct websocket_parser *parser, struct websocket_message *message,
                              uint16_t code) {
    parser->ended = code;
    *message = (struct websocket_message){.close_code = code};
    return code == WEBSOCKET_CLOSE_TOO_BIG ? PARSE_TOO_BIG : PARSE_JUNK;
}

/* Closes the gap and says which bytes to keep. */
static enum parse_result ask_for_more(struct websocket_parser *parser, uint8_t *bytes,
                                      size_t length, uint64_t frame_bytes,
                                      struct websocket_message *message) {
    size_t rest = length - parser->next_at;
    uint8_t *kept = bytes + parser->next_at;
    if (parser->joined_bytes > 0) {
        kept = bytes + parser->joined_at;
        if (parser->joined_at + parser->joined_bytes != parser->next_at)
            memmove(kept + parser->joined_bytes, bytes + parser->next_at, rest);
    }
    *message = (struct websocket_message){
        .payload = kept,
        .length = parser->joined_bytes + rest,
        .bytes_needed = parser->joined_bytes + (size_t)frame_bytes,
    };
    parser->joined_at = 0;
    parser->next_at = parser->joined_bytes;
    return PARSE_MORE;
}

/* The rules of sections 5.1 to 5.5 that the first two bytes can break. */
static bool frame_start_is_valid(const struct websocket_parser *parser, const uint8_t *header) {
    uint8_t opcode = header[0] & OPCODE_BITS;
    bool final = header[0] & FINAL_BIT;
    bool masked = header[1] & MASK_BIT;
    if (header[0] & RESERVED_BITS || masked != (parser->role == WEBSOCKET_SERVER))
        return false;
    switch (opcode) {
    case WEBSOCKET_CONTINUATION:
        return parser->fragmented != 0;
    case WEBSOCKET_TEXT:
    case WEBSOCKET_BINARY:
        return parser->fragmented == 0;
    case WEBSOCKET_CLOSE:
    case WEBSOCKET_PING:
    case WEBSOCKET_PONG:
        return final && (header[1] & LENGTH_BITS) <= WEBSOCKET_CONTROL_PAYLOAD_MAX;
    default:
        return false;
    }
}

static uint64_t load_big_endian(const uint8_t *bytes, unsigned count) {
    uint64_t value = 0;
    for (unsigned i = 0; i < count; i++)
        value = value << 8 | bytes[i];
    return value;
}

/* Reads the header at the front of `length` bytes; its own length is known from two bytes on. */
static enum parse_result read_header(const struct websocket_parser *parser, const uint8_t *header,
                                     size_t length, struct frame *frame) {
    frame->header_bytes = 2;
    frame->payload_bytes = 0;
    if (length < 2)
        return PARSE_MORE;
    if (!frame_start_is_valid(parser, header))
        return PARSE_JUNK;

    uint8_t short_length = header[1] & LENGTH_BITS;
    unsigned extended_bytes = short_length == LENGTH_16 ? 2 : short_length == LENGTH_64 ? 8 : 0;
    frame->opcode = header[0] & OPCODE_BITS;
    frame->final = header[0] & FINAL_BIT;
    frame->header_bytes = 2 + extended_bytes;
    if (parser->role == WEBSOCKET_SERVER)
        frame->header_bytes += WEBSOCKET_MASK_BYTES;
    if (length < frame->header_bytes)
        return PARSE_MORE;

    frame->payload_bytes =
        extended_bytes > 0 ? load_big_endian(header + 2, extended_bytes) : short_length;
    if (short_length == LENGTH_16 && frame->payload_bytes < LENGTH_16)
        return PARSE_JUNK;
    if (short_length == LENGTH_64 && (frame->payload_bytes <= UINT16_MAX || header[2] & 0x80))
        return PARSE_JUNK;
    bool counts = !(frame->opcode & CONTROL_BIT);
    if (counts && frame->payload_bytes > parser->message_bytes_max - parser->joined_bytes)
        return PARSE_TOO_BIG;
    return length - frame->header_bytes < frame->payload_bytes ? PARSE_MORE : PARSE_COMPLETE;
}

static enum parse_result take_close(struct websocket_parser *parser,
                                    struct websocket_message *message) {
    message->close_code = WEBSOCKET_CLOSE_NO_CODE;
    if (message->length > 0) {
        if (message->length < 2)
            return fail(parser, message, WEBSOCKET_CLOSE_PROTOCOL_ERROR);
        message->close_code = (uint16_t)load_big_endian(message->payload, 2);
        message->payload += 2;
        message->length -= 2;
        if (!websocket_close_code_is_valid(message->close_code))
            return fail(parser, message, WEBSOCKET_CLOSE_PROTOCOL_ERROR);
        if (!utf8_is_valid(message->payload, message->length))
            return fail(parser, message, WEBSOCKET_CLOSE_INVALID_DATA);
    }
    parser->ended = WEBSOCKET_CLOSE_NORMAL;
    return PARSE_COMPLETE;
}

/* Puts a fragment's payload behind those before it. */
static void join_fragment(struct websocket_parser *parser, uint8_t *bytes, size_t payload_at,
                          size_t payload_bytes) {
    if (parser->joined_bytes == 0)
        parser->joined_at = (uint32_t)payload_at;
    memmove(bytes + parser->joined_at + parser->joined_bytes, bytes + payload_at, payload_bytes);
    parser->joined_bytes += (uint32_t)payload_bytes;
}

/* Takes one whole frame, whose payload is unmasked. COMPLETE: it ended a message; MORE: it did not.
 */
static enum parse_result take_frame(struct websocket_parser *parser, uint8_t *bytes,
                                    const struct frame *frame, size_t payload_at,
                                    struct websocket_message *message) {
    *message = (struct websocket_message){
        .opcode = frame->opcode,
        .payload = bytes + payload_at,
        .length = (size_t)frame->payload_bytes,
    };
    if (frame->opcode == WEBSOCKET_CLOSE)
        return take_close(parser, message);
    if (frame->opcode & CONTROL_BIT)
        return PARSE_COMPLETE;

    if (!frame->final || frame->opcode == WEBSOCKET_CONTINUATION) {
        join_fragment(parser, bytes, payload_at, message->length);
        if (frame->opcode != WEBSOCKET_CONTINUATION)
            parser->fragmented = frame->opcode;
        if (!frame->final)
            return PARSE_MORE;
        message->opcode = parser->fragmented;
        message->payload = bytes + parser->joined_at;
        message->length = parser->joined_bytes;
        parser->joined_at = parser->joined_bytes = parser->fragmented = 0;
    }
    if (message->opcode == WEBSOCKET_TEXT && !utf8_is_valid(message->payload, message->length))
        return fail(parser, message, WEBSOCKET_CLOSE_INVALID_DATA);
    return PARSE_COMPLETE;
}

static enum parse_result answer_ended(struct websocket_parser *parser, uint8_t *bytes,
                                      struct websocket_message *message) {
    if (parser->ended != WEBSOCKET_CLOSE_NORMAL)
        return fail(parser, message, parser->ended);
    parser->joined_at = parser->joined_bytes = parser->next_at = 0;
    *message = (struct websocket_message){.payload = bytes, .bytes_needed = 1};
    return PARSE_MORE;
}

enum parse_result websocket_parse(struct websocket_parser *parser, uint8_t *bytes, size_t length,
                                  struct websocket_message *message) {
    if (parser->ended != 0)
        return answer_ended(parser, bytes, message);
    CHECK(length >= parser->next_at && length <= UINT32_MAX);
    for (;;) { /* each turn takes a frame of at least two bytes out of `length` */
        uint8_t *header = bytes + parser->next_at;
        size_t rest = length - parser->next_at;
        struct frame frame;
        enum parse_result result = read_header(parser, header, rest, &frame);
        if (result == PARSE_JUNK)
            return fail(parser, message, WEBSOCKET_CLOSE_PROTOCOL_ERROR);
        if (result == PARSE_TOO_BIG)
            return fail(parser, message, WEBSOCKET_CLOSE_TOO_BIG);
        if (result == PARSE_MORE)
            return ask_for_more(parser, bytes, length, frame.header_bytes + frame.payload_bytes,
                                message);

        size_t payload_at = parser->next_at + frame.header_bytes;
        if (parser->role == WEBSOCKET_SERVER)
            websocket_mask(bytes + payload_at, (size_t)frame.payload_bytes,
                           bytes + payload_at - WEBSOCKET_MASK_BYTES);
        parser->next_at = (uint32_t)(payload_at + frame.payload_bytes);
        result = take_frame(parser, bytes, &frame, payload_at, message);
        if (result != PARSE_MORE)
            return result;
    }
}

void websocket_mask(uint8_t *bytes, size_t length, const uint8_t mask_key[WEBSOCKET_MASK_BYTES]) {
    uint8_t key[8];
    uint64_t wide_key;
    memcpy(key, mask_key, WEBSOCKET_MASK_BYTES);
    memcpy(key + WEBSOCKET_MASK_BYTES, mask_key, WEBSOCKET_MASK_BYTES);
    memcpy(&wide_key, key, sizeof wide_key);
    size_t at = 0;
    for (; length - at >= sizeof wide_key; at += sizeof wide_key) {
        uint64_t word;
        memcpy(&word, bytes + at, sizeof word);
        word ^= wide_key;
        memcpy(bytes + at, &word, sizeof word);
    }
    for (size_t i = 0; at + i < length; i++)
        bytes[at + i] ^= key[i];
}

size_t websocket_header_bytes(enum websocket_role role, size_t payload_bytes) {
    size_t mask_bytes = role == WEBSOCKET_CLIENT ? WEBSOCKET_MASK_BYTES : 0;
    size_t length_bytes = payload_bytes < LENGTH_16 ? 0 : payload_bytes <= UINT16_MAX ? 2 : 8;
    return 2 + length_bytes + mask_bytes;
}

size_t websocket_write_header(uint8_t *out, enum websocket_role role, enum websocket_opcode opcode,
                              size_t payload_bytes, const uint8_t *mask_key) {
    CHECK((mask_key != NULL) == (role == WEBSOCKET_CLIENT));
    CHECK(!(opcode & CONTROL_BIT) || payload_bytes <= WEBSOCKET_CONTROL_PAYLOAD_MAX);
    uint8_t mask_bit = role == WEBSOCKET_CLIENT ? MASK_BIT : 0;
    unsigned length_bytes = 0;
    out[0] = (uint8_t)(FINAL_BIT | opcode);
    if (payload_bytes < LENGTH_16) {
        out[1] = (uint8_t)(mask_bit | payload_bytes);
    } else if (payload_bytes <= UINT16_MAX) {
        length_bytes = 2;
        out[1] = mask_bit | LENGTH_16;
    } else {
        length_bytes = 8;
        out[1] = mask_bit | LENGTH_64;
    }
    for (unsigned i = 0; i < length_bytes; i++)
        out[2 + i] = (uint8_t)((uint64_t)payload_bytes >> 8 * (length_bytes - 1 - i));
    if (mask_key == NULL)
        return 2 + length_bytes;
    memcpy(out + 2 + length_bytes, mask_key, WEBSOCKET_MASK_BYTES);
    return 2 + length_bytes + WEBSOCKET_MASK_BYTES;
}

size_t websocket_write_control(uint8_t out[WEBSOCKET_CONTROL_BYTES_MAX], enum websocket_role role,
                               enum websocket_opcode opcode, const uint8_t *payload,
                               size_t payload_bytes, const uint8_t *mask_key) {
    size_t header_bytes = websocket_write_header(out, role, opcode, payload_bytes, mask_key);
    if (payload_bytes > 0)
        memcpy(out + header_bytes, payload, payload_bytes);
    if (mask_key != NULL)
        websocket_mask(out + header_bytes, payload_bytes, mask_key);
    return header_bytes + payload_bytes;
}

/* How much of the reason fits, in whole characters. */
static size_t reason_bytes(const char *reason) {
    size_t length = reason == NULL ? 0 : strnlen(reason, WEBSOCKET_REASON_BYTES_MAX + 1);
    if (length <= WEBSOCKET_REASON_BYTES_MAX)
        return length;
    length = WEBSOCKET_REASON_BYTES_MAX;
    while (length > 0 && ((uint8_t)reason[length] & 0xC0) == 0x80)
        length--;
    return length;
}

size_t websocket_write_close(uint8_t out[WEBSOCKET_CONTROL_BYTES_MAX], enum websocket_role role,
                             uint16_t code, const char *reason, const uint8_t *mask_key) {
    uint8_t payload[WEBSOCKET_CONTROL_PAYLOAD_MAX];
    size_t length = 0;
    if (code != WEBSOCKET_CLOSE_NO_CODE) {
        CHECK(websocket_close_code_is_valid(code));
        payload[0] = (uint8_t)(code >> 8);
        payload[1] = (uint8_t)code;
        length = reason_bytes(reason);
        if (length > 0)
            memcpy(payload + 2, reason, length);
        length += 2;
    }
    return websocket_write_control(out, role, WEBSOCKET_CLOSE, payload, length, mask_key);
}

bool websocket_close_code_is_valid(uint16_t code) {
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

void websocket_make_key(char key[WEBSOCKET_KEY_CHARS + 1],
                        const uint8_t random[WEBSOCKET_KEY_RANDOM_BYTES]) {
    sodium_bin2base64(key, WEBSOCKET_KEY_CHARS + 1, random, WEBSOCKET_KEY_RANDOM_BYTES,
                      sodium_base64_VARIANT_ORIGINAL);
}

void websocket_make_accept(char accept[WEBSOCKET_ACCEPT_CHARS + 1],
                           const char key[WEBSOCKET_KEY_CHARS]) {
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* section 1.3 */
    uint8_t joined[WEBSOCKET_KEY_CHARS + sizeof guid - 1];
    uint8_t digest[SHA1_BYTES];
    memcpy(joined, key, WEBSOCKET_KEY_CHARS);
    memcpy(joined + WEBSOCKET_KEY_CHARS, guid, sizeof guid - 1);
    sha1(digest, joined, sizeof joined);
    sodium_bin2base64(accept, WEBSOCKET_ACCEPT_CHARS + 1, digest, sizeof digest,
                      sodium_base64_VARIANT_ORIGINAL);
}

bool websocket_key_is_valid(const char *key, size_t length) {
    uint8_t nonce[WEBSOCKET_KEY_RANDOM_BYTES];
    size_t nonce_bytes;
    return length == WEBSOCKET_KEY_CHARS &&
           sodium_base642bin(nonce, sizeof nonce, key, length, NULL, &nonce_bytes, NULL,
                             sodium_base64_VARIANT_ORIGINAL) == 0 &&
           nonce_bytes == sizeof nonce;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The WebSocket parser under any bytes, as server and as client: fed at once and fed in pieces it
 * must say the same, ask for bounded space and make progress.
 *
 * Covers: net/websocket.c net/utf8.c net/sha1.c
 */
#include "net/websocket.h"
#include "runtime/check.h"

#include <stdlib.h>
#include <string.h>

#define MESSAGE_MAX 300

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a stream amounted to: messages folded into one number, and how it ended. */
struct outcome {
    uint64_t digest;
    unsigned messages;
    enum parse_result result;
    uint16_t close_code;
};

static void fold(struct outcome *outcome, const void *bytes, size_t length) {
    for (size_t i = 0; i < length; i++)
        outcome->digest = (outcome->digest ^ ((const uint8_t *)bytes)[i]) * 0x100000001B3u;
}

static void take(struct outcome *outcome, const struct websocket_message *message) {
    CHECK(message->opcode != WEBSOCKET_CONTINUATION && message->length <= MESSAGE_MAX);
    CHECK(message->opcode == WEBSOCKET_CLOSE || message->close_code == 0);
    fold(outcome, &message->opcode, 1);
    fold(outcome, &message->length, sizeof message->length);
    fold(outcome, message->payload, message->length);
    outcome->messages++;
}

static struct outcome feed(enum websocket_role role, const uint8_t *data, size_t size,
                           size_t piece) {
    struct outcome outcome = {.result = PARSE_MORE};
    struct websocket_parser parser;
    uint8_t *kept = malloc(1);
    size_t kept_bytes = 0;
    websocket_parser_init(&parser, role, MESSAGE_MAX);
    for (size_t at = 0; at < size && outcome.result == PARSE_MORE; at += piece) {
        size_t bytes = size - at < piece ? size - at : piece;
        uint8_t *buffer = malloc(kept_bytes + bytes);
        struct websocket_message message;
        CHECK(kept != NULL && buffer != NULL);
        memcpy(buffer, kept, kept_bytes);
        memcpy(buffer + kept_bytes, data + at, bytes);
        while ((outcome.result = websocket_parse(&parser, buffer, kept_bytes + bytes, &message)) ==
               PARSE_COMPLETE)
            take(&outcome, &message);
        free(kept);
        outcome.close_code = message.close_code;
        kept_bytes = outcome.result == PARSE_MORE ? message.length : 0;
        CHECK(outcome.result != PARSE_MORE || message.bytes_needed > kept_bytes);
        CHECK(message.bytes_needed <= websocket_kept_bytes_max(MESSAGE_MAX));
        kept = malloc(kept_bytes + 1);
        CHECK(kept != NULL);
        memcpy(kept, kept_bytes > 0 ? message.payload : buffer, kept_bytes);
        free(buffer);
    }
    free(kept);
    return outcome;
}

static void check_same(enum websocket_role role, const uint8_t *data, size_t size, size_t piece) {
    struct outcome whole = feed(role, data, size, size), cut = feed(role, data, size, piece);
    CHECK(whole.result == cut.result && whole.messages == cut.messages);
    CHECK(whole.digest == cut.digest && whole.close_code == cut.close_code);
}

/* What the encoder writes, the other end reads. */
static void check_written(const uint8_t *data, size_t size) {
    uint8_t frame[WEBSOCKET_HEADER_BYTES_MAX + MESSAGE_MAX],
        mask_key[WEBSOCKET_MASK_BYTES] = "mask";
    char text[WEBSOCKET_ACCEPT_CHARS + 1], key[WEBSOCKET_KEY_CHARS + 1] = {0};
    struct websocket_message message;
    struct websocket_parser parser;
    size_t length = size < MESSAGE_MAX ? size : MESSAGE_MAX;
    size_t header =
        websocket_write_header(frame, WEBSOCKET_CLIENT, WEBSOCKET_BINARY, length, mask_key);
    memcpy(frame + header, data, length);
    websocket_mask(frame + header, length, mask_key);
    websocket_parser_init(&parser, WEBSOCKET_SERVER, MESSAGE_MAX);
    CHECK(websocket_parse(&parser, frame, header + length, &message) == PARSE_COMPLETE);
    CHECK(message.length == length && memcmp(message.payload, data, length) == 0);

    memcpy(key, data, size < sizeof key ? size : sizeof key - 1);
    if (websocket_key_is_valid(key, strlen(key)))
        websocket_make_accept(text, key);
    length = websocket_write_close(frame, WEBSOCKET_SERVER, 1000, key, NULL);
    websocket_parser_init(&parser, WEBSOCKET_CLIENT, MESSAGE_MAX);
    CHECK(websocket_parse(&parser, frame, length, &message) != PARSE_MORE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    size_t piece = 1 + data[0] % 32;
    check_same(WEBSOCKET_SERVER, data + 1, size - 1, piece);
    check_same(WEBSOCKET_CLIENT, data + 1, size - 1, piece);
    check_written(data + 1, size - 1);
    return 0;
}

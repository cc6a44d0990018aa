/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RFC 6455 frames: the examples of section 5.7, each rule a peer can break, and fragments cut at
 * every byte.
 */
#include "net/websocket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MESSAGE_MAX 1000

static const uint8_t mask_key[WEBSOCKET_MASK_BYTES] = {0x37, 0xFA, 0x21, 0x3D};

static struct websocket_parser parser_for(enum websocket_role role) {
    struct websocket_parser parser;
    websocket_parser_init(&parser, role, MESSAGE_MAX);
    return parser;
}

/* One frame as the other end of `role` would send it, with any first byte. Returns its length. */
static size_t frame_to(enum websocket_role role, uint8_t *out, uint8_t first, const char *payload,
                       size_t length) {
    enum websocket_role sender = role == WEBSOCKET_SERVER ? WEBSOCKET_CLIENT : WEBSOCKET_SERVER;
    const uint8_t *key = sender == WEBSOCKET_CLIENT ? mask_key : NULL;
    size_t header = websocket_write_header(out, sender, WEBSOCKET_BINARY, length, key);
    out[0] = first;
    memcpy(out + header, payload, length);
    if (key != NULL)
        websocket_mask(out + header, length, key);
    return header + length;
}

/* What a fresh parser says of these bytes. */
static enum parse_result parse_once(enum websocket_role role, const void *bytes, size_t length,
                                    struct websocket_message *message) {
    static uint8_t copy[1 << 18];
    struct websocket_parser parser = parser_for(role);
    assert_true(length <= sizeof copy);
    memcpy(copy, bytes, length);
    return websocket_parse(&parser, copy, length, message);
}

static void check_refused(enum websocket_role role, const void *bytes, size_t length,
                          uint16_t code) {
    struct websocket_message message;
    enum parse_result result = parse_once(role, bytes, length, &message);
    assert_int_equal(result, code == WEBSOCKET_CLOSE_TOO_BIG ? PARSE_TOO_BIG : PARSE_JUNK);
    assert_int_equal(message.close_code, code);
}

#define REFUSED(role, code, bytes) check_refused(role, bytes, sizeof(bytes) - 1, code)

static void frame_is_taken_in_place(void **state) {
    uint8_t bytes[] = {0x82, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58};
    struct websocket_parser parser = parser_for(WEBSOCKET_SERVER);
    struct websocket_message message;
    assert_int_equal(websocket_parse(&parser, bytes, sizeof bytes, &message), PARSE_COMPLETE);
    assert_int_equal(message.opcode, WEBSOCKET_BINARY);
    assert_ptr_equal(message.payload, bytes + 6);
    assert_int_equal(message.length, 5);
    assert_memory_equal(message.payload, "Hello", 5);
    assert_int_equal(websocket_parse(&parser, bytes, sizeof bytes, &message), PARSE_MORE);
    assert_int_equal(message.length, 0);
    assert_int_equal(message.bytes_needed, 2);
}

static void client_takes_an_unmasked_text(void **state) {
    struct websocket_message message;
    assert_int_equal(parse_once(WEBSOCKET_CLIENT, "\x81\x05Hello", 7, &message), PARSE_COMPLETE);
    assert_int_equal(message.opcode, WEBSOCKET_TEXT);
    assert_memory_equal(message.payload, "Hello", 5);
}

static void masks_are_required_from_clients_and_forbidden_from_servers(void **state) {
    REFUSED(WEBSOCKET_SERVER, WEBSOCKET_CLOSE_PROTOCOL_ERROR, "\x82\x01x");
    REFUSED(WEBSOCKET_CLIENT, WEBSOCKET_CLOSE_PROTOCOL_ERROR, "\x82\x81....x");
}

static void reserved_bits_and_opcodes_are_junk(void **state) {
    for (unsigned first = 0; first < 256; first++) {
        unsigned opcode = first & 0x0F;
        bool final = first & 0x80;
        bool known = opcode == 1 || opcode == 2 || (opcode >= 8 && opcode <= 10 && final);
        const uint8_t bytes[] = {(uint8_t)first, 0};
        struct websocket_message message;
        enum parse_result result = parse_once(WEBSOCKET_CLIENT, bytes, sizeof bytes, &message);
        if (!known || first & 0x70)
            assert_int_equal(result, PARSE_JUNK);
        else
            assert_int_equal(result, final ? PARSE_COMPLETE : PARSE_MORE);
    }
}

static void lengths_must_be_minimal(void **state) {
    REFUSED(WEBSOCKET_CLIENT, WEBSOCKET_CLOSE_PROTOCOL_ERROR, "\x82\x7E\x00\x7D");
    REFUSED(WEBSOCKET_CLIENT, WEBSOCKET_CLOSE_PROTOCOL_ERROR, "\x82\x7F\0\0\0\0\0\0\xFF\xFF");
    REFUSED(WEBSOCKET_CLIENT, WEBSOCKET_CLOSE_PROTOCOL_ERROR, "\x82\x7F\x80\0\0\0\0\1\0\0");
}

static void every_length_form_goes_both_ways(void **state) {
    static const size_t lengths[] = {0, 1, 125, 126, 127, 65535, 65536, 70000};
    static uint8_t payload[70000], bytes[70000 + WEBSOCKET_HEADER_BYTES_MAX];
    for (size_t i = 0; i < sizeof payload; i++)
        payload[i] = (uint8_t)(i * 7);
    for (unsigned role = WEBSOCKET_SERVER; role <= WEBSOCKET_CLIENT; role++) {
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            struct websocket_parser parser;
            struct websocket_message message;
            websocket_parser_init(&parser, role, sizeof payload);
            size_t length = frame_to(role, bytes, 0x82, (const char *)payload, lengths[i]);
            assert_int_equal(length - lengths[i], websocket_header_bytes(!role, lengths[i]));
            assert_int_equal(websocket_parse(&parser, bytes, length, &message), PARSE_COMPLETE);
            assert_int_equal(message.length, lengths[i]);
            assert_memory_equal(message.payload, payload, lengths[i]);
        }
    }
}

static void a_length_beyond_the_maximum_is_too_big_from_its_header_on(void **state) {
    struct websocket_message message;
    REFUSED(WEBSOCKET_CLIENT, WEBSOCKET_CLOSE_TOO_BIG, "\x82\x7E\x03\xE9");
    REFUSED(WEBSOCKET_CLIENT, WEBSOCKET_CLOSE_TOO_BIG, "\x82\x7F\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF");
    assert_int_equal(parse_once(WEBSOCKET_CLIENT, "\x82\x7E\x03\xE8", 4, &message), PARSE_MORE);
    assert_int_equal(message.bytes_needed, 4 + MESSAGE_MAX);
}

static void fragments_together_beyond_the_maximum_are_too_big(void **state) {
    char payload[600] = {0};
    uint8_t bytes[1300];
    size_t length = frame_to(WEBSOCKET_SERVER, bytes, 0x02, payload, 600);
    length += frame_to(WEBSOCKET_SERVER, bytes + length, 0x80, payload, 401);
    check_refused(WEBSOCKET_SERVER, bytes, length, WEBSOCKET_CLOSE_TOO_BIG);
}

static void control_frames_are_short_and_whole(void **state) {
    REFUSED(WEBSOCKET_CLIENT, WEBSOCKET_CLOSE_PROTOCOL_ERROR, "\x89\x7E\x00\x7E");
    REFUSED(WEBSOCKET_CLIENT, WEBSOCKET_CLOSE_PROTOCOL_ERROR, "\x09\x00");
    REFUSED(WEBSOCKET_CLIENT, WEBSOCKET_CLOSE_PROTOCOL_ERROR, "\x88\x7F");
}

static void continuations_come_after_a_beginning_only(void **state) {
    REFUSED(WEBSOCKET_CLIENT, WEBSOCKET_CLOSE_PROTOCOL_ERROR, "\x80\x01x");
    REFUSED(WEBSOCKET_CLIENT, WEBSOCKET_CLOSE_PROTOCOL_ERROR, "\x02\x01x\x82\x01y");
    REFUSED(WEBSOCKET_CLIENT, WEBSOCKET_CLOSE_PROTOCOL_ERROR, "\x02\x01x\x01\x01y");
}

/* What came out of a stream, as text: "p:ping b:Hello c:1000". */
struct transcript {
    char text[2048];
    size_t kept_peak;
};

static void note(struct transcript *transcript, const struct websocket_message *message) {
    static const char names[16] = {[1] = 't', [2] = 'b', [8] = 'c', [9] = 'p', [10] = 'q'};
    char *end = transcript->text + strlen(transcript->text);
    size_t room = sizeof transcript->text - (size_t)(end - transcript->text);
    int written = snprintf(end, room, "%c:%.*s ", names[message->opcode], (int)message->length,
                           (const char *)message->payload);
    assert_in_range(written, 1, room - 1);
}

/* Feeds a stream in pieces as a connection does: keeps what it is told to keep, appends the next
 * piece. */
static enum parse_result feed(struct websocket_parser *parser, const uint8_t *stream, size_t length,
                              size_t piece, struct transcript *transcript) {
    uint8_t *kept = NULL;
    size_t kept_bytes = 0;
    enum parse_result result = PARSE_MORE;
    *transcript = (struct transcript){0};
    for (size_t at = 0; at < length && result == PARSE_MORE; at += piece) {
        size_t bytes = length - at < piece ? length - at : piece;
        uint8_t *buffer = malloc(kept_bytes + bytes); /* exact, so that a sanitizer sees overruns */
        assert_non_null(buffer);
        if (kept_bytes > 0)
            memcpy(buffer, kept, kept_bytes);
        memcpy(buffer + kept_bytes, stream + at, bytes);
        free(kept);
        struct websocket_message message;
        do {
            result = websocket_parse(parser, buffer, kept_bytes + bytes, &message);
            if (result == PARSE_COMPLETE)
                note(transcript, &message);
        } while (result == PARSE_COMPLETE);
        kept_bytes = 0;
        kept = NULL;
        if (result == PARSE_MORE && message.length > 0) {
            assert_true(message.bytes_needed > message.length);
            assert_true(message.bytes_needed <= websocket_kept_bytes_max(MESSAGE_MAX));
            kept = malloc(message.length);
            assert_non_null(kept);
            memcpy(kept, message.payload, message.length);
            kept_bytes = message.length;
        }
        free(buffer);
        if (kept_bytes > transcript->kept_peak)
            transcript->kept_peak = kept_bytes;
    }
    free(kept);
    return result;
}

static void fragments_with_control_frames_between_join_however_they_are_cut(void **state) {
    uint8_t stream[512];
    size_t length = 0;
    length += frame_to(WEBSOCKET_SERVER, stream + length, 0x82, "whole", 5);
    length += frame_to(WEBSOCKET_SERVER, stream + length, 0x02, "", 0);
    length += frame_to(WEBSOCKET_SERVER, stream + length, 0x00, "Hel", 3);
    length += frame_to(WEBSOCKET_SERVER, stream + length, 0x89, "ping", 4);
    length += frame_to(WEBSOCKET_SERVER, stream + length, 0x00, "lo, wor", 7);
    length += frame_to(WEBSOCKET_SERVER, stream + length, 0x8A, "", 0);
    length += frame_to(WEBSOCKET_SERVER, stream + length, 0x80, "ld", 2);
    length += frame_to(WEBSOCKET_SERVER, stream + length, 0x01, "\xE2\x82", 2);
    length += frame_to(WEBSOCKET_SERVER, stream + length, 0x80, "\xAC", 1);
    length += frame_to(WEBSOCKET_SERVER, stream + length, 0x82, "after", 5);
    length += frame_to(WEBSOCKET_SERVER, stream + length, 0x88,
                       "\x03\xE8"
                       "bye",
                       5);
    length += frame_to(WEBSOCKET_SERVER, stream + length, 0x82, "ignored", 7);
    for (size_t piece = 1; piece <= length; piece++) {
        struct websocket_parser parser = parser_for(WEBSOCKET_SERVER);
        struct transcript transcript;
        assert_int_equal(feed(&parser, stream, length, piece, &transcript), PARSE_MORE);
        assert_string_equal(transcript.text,
                            "b:whole p:ping q: b:Hello, world t:\xE2\x82\xAC b:after c:bye ");
        assert_true(transcript.kept_peak < 40);
    }
}

static void a_parser_keeps_nothing_between_whole_messages(void **state) {
    uint8_t stream[64];
    size_t length = frame_to(WEBSOCKET_SERVER, stream, 0x02, "ab", 2);
    length += frame_to(WEBSOCKET_SERVER, stream + length, 0x80, "cd", 2);
    struct websocket_parser parser = parser_for(WEBSOCKET_SERVER), fresh = parser;
    struct transcript transcript;
    feed(&parser, stream, length, length, &transcript);
    assert_memory_equal(&parser, &fresh, sizeof parser);
}

static void a_failed_parser_stays_failed(void **state) {
    uint8_t bytes[] = {0x83, 0x00, 0x82, 0x00};
    struct websocket_parser parser = parser_for(WEBSOCKET_CLIENT);
    struct websocket_message message;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(websocket_parse(&parser, bytes, sizeof bytes, &message), PARSE_JUNK);
        assert_int_equal(message.close_code, WEBSOCKET_CLOSE_PROTOCOL_ERROR);
    }
}

static void text_must_be_utf8_also_across_fragments(void **state) {
    REFUSED(WEBSOCKET_CLIENT, WEBSOCKET_CLOSE_INVALID_DATA, "\x81\x02\xC0\x80");
    REFUSED(WEBSOCKET_CLIENT, WEBSOCKET_CLOSE_INVALID_DATA, "\x01\x02\xE2\x82\x80\x01(");
    struct websocket_message message; /* binary may be anything */
    assert_int_equal(parse_once(WEBSOCKET_CLIENT, "\x82\x02\xC0\x80", 4, &message), PARSE_COMPLETE);
}

static void close_frames_carry_valid_codes_and_reasons(void **state) {
    struct websocket_message message;
    assert_int_equal(parse_once(WEBSOCKET_CLIENT, "\x88\x00", 2, &message), PARSE_COMPLETE);
    assert_int_equal(message.close_code, WEBSOCKET_CLOSE_NO_CODE);
    assert_int_equal(parse_once(WEBSOCKET_CLIENT, "\x88\x04\x0F\xA0ok", 6, &message),
                     PARSE_COMPLETE);
    assert_int_equal(message.close_code, 4000);
    assert_int_equal(message.length, 2);
    assert_memory_equal(message.payload, "ok", 2);
    REFUSED(WEBSOCKET_CLIENT, WEBSOCKET_CLOSE_PROTOCOL_ERROR, "\x88\x01\x03");
    REFUSED(WEBSOCKET_CLIENT, WEBSOCKET_CLOSE_PROTOCOL_ERROR, "\x88\x02\x03\xED");
    REFUSED(WEBSOCKET_CLIENT, WEBSOCKET_CLOSE_INVALID_DATA, "\x88\x03\x03\xE8\xFF");
}

static void close_codes_are_those_of_the_rfc(void **state) {
    static const struct {
        uint16_t first, last;
    } valid[] = {{1000, 1003}, {1007, 1014}, {3000, 4999}};
    for (uint32_t code = 0; code <= UINT16_MAX; code++) {
        bool expected = false;
        for (size_t i = 0; i < sizeof valid / sizeof *valid; i++)
            expected |= code >= valid[i].first && code <= valid[i].last;
        assert_int_equal(websocket_close_code_is_valid((uint16_t)code), expected);
    }
}

static void close_is_written_and_read_back(void **state) {
    uint8_t bytes[WEBSOCKET_CONTROL_BYTES_MAX];
    struct websocket_message message;
    size_t length = websocket_write_close(bytes, WEBSOCKET_SERVER, 1009, "too big", NULL);
    assert_int_equal(parse_once(WEBSOCKET_CLIENT, bytes, length, &message), PARSE_COMPLETE);
    assert_int_equal(message.close_code, 1009);
    assert_memory_equal(message.payload, "too big", 7);
    length = websocket_write_close(bytes, WEBSOCKET_CLIENT, WEBSOCKET_CLOSE_NO_CODE, "x", mask_key);
    assert_int_equal(length, 6);
    assert_int_equal(parse_once(WEBSOCKET_SERVER, bytes, length, &message), PARSE_COMPLETE);
    assert_int_equal(message.close_code, WEBSOCKET_CLOSE_NO_CODE);
}

static void a_long_close_reason_is_cut_between_characters(void **state) {
    uint8_t bytes[WEBSOCKET_CONTROL_BYTES_MAX];
    char reason[200];
    struct websocket_message message;
    for (size_t skip = 0; skip < 3; skip++) { /* 123 is a multiple of three: shift by ASCII */
        memset(reason, 'a', skip);
        for (size_t i = 0; i < 60; i++)
            memcpy(reason + skip + 3 * i, "\xE2\x82\xAC", 4);
        size_t length = websocket_write_close(bytes, WEBSOCKET_SERVER, 1000, reason, NULL);
        assert_int_equal(parse_once(WEBSOCKET_CLIENT, bytes, length, &message), PARSE_COMPLETE);
        assert_int_equal(message.length, skip == 0 ? 123 : 120 + skip);
    }
}

static void ping_is_written_and_read_back(void **state) {
    uint8_t bytes[WEBSOCKET_CONTROL_BYTES_MAX], payload[WEBSOCKET_CONTROL_PAYLOAD_MAX];
    struct websocket_message message;
    memset(payload, 0xAB, sizeof payload);
    size_t length = websocket_write_control(bytes, WEBSOCKET_CLIENT, WEBSOCKET_PING, payload,
                                            sizeof payload, mask_key);
    assert_int_equal(length, WEBSOCKET_CONTROL_BYTES_MAX);
    assert_int_equal(parse_once(WEBSOCKET_SERVER, bytes, length, &message), PARSE_COMPLETE);
    assert_int_equal(message.opcode, WEBSOCKET_PING);
    assert_int_equal(message.length, sizeof payload);
    assert_memory_equal(message.payload, payload, sizeof payload);
    length = websocket_write_control(bytes, WEBSOCKET_SERVER, WEBSOCKET_PONG, NULL, 0, NULL);
    assert_int_equal(length, 2);
    assert_memory_equal(bytes, "\x8A\x00", 2);
}

static void mask_touches_its_bytes_only_at_every_length_and_alignment(void **state) {
    for (size_t offset = 1; offset < 9; offset++) {
        for (size_t length = 0; length < 40; length++) {
            uint8_t bytes[64] = {0};
            websocket_mask(bytes + offset, length, mask_key);
            for (size_t i = 0; i < sizeof bytes; i++) {
                bool inside = i >= offset && i < offset + length;
                assert_int_equal(bytes[i], inside ? mask_key[(i - offset) % 4] : 0);
            }
        }
    }
}

static void accept_is_that_of_rfc_6455_section_1_3(void **state) {
    char accept[WEBSOCKET_ACCEPT_CHARS + 1], key[WEBSOCKET_KEY_CHARS + 1];
    websocket_make_key(key, (const uint8_t *)"the sample nonce");
    assert_string_equal(key, "dGhlIHNhbXBsZSBub25jZQ==");
    websocket_make_accept(accept, key);
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

static void keys_are_base64_of_sixteen_bytes(void **state) {
    assert_true(websocket_key_is_valid("dGhlIHNhbXBsZSBub25jZQ==", 24));
    assert_false(websocket_key_is_valid("dGhlIHNhbXBsZSBub25jZQ=", 23));
    assert_false(websocket_key_is_valid("dGhlIHNhbXBsZSBub25jZQAA", 24)); /* 18 bytes */
    assert_false(websocket_key_is_valid("dGhlIHNhbXBsZSBub25jZQA=", 24)); /* 17 bytes */
    assert_false(websocket_key_is_valid("dGhlIHNhbXBsZSBub25j====", 24));
    assert_false(websocket_key_is_valid("dGhlIHNhbXBsZ!Bub25jZQ==", 24));
    assert_false(websocket_key_is_valid("dGhlIHNhbXBsZSBub25jZR==", 24)); /* loose bits */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frame_is_taken_in_place),
        cmocka_unit_test(client_takes_an_unmasked_text),
        cmocka_unit_test(masks_are_required_from_clients_and_forbidden_from_servers),
        cmocka_unit_test(reserved_bits_and_opcodes_are_junk),
        cmocka_unit_test(lengths_must_be_minimal),
        cmocka_unit_test(every_length_form_goes_both_ways),
        cmocka_unit_test(a_length_beyond_the_maximum_is_too_big_from_its_header_on),
        cmocka_unit_test(fragments_together_beyond_the_maximum_are_too_big),
        cmocka_unit_test(control_frames_are_short_and_whole),
        cmocka_unit_test(continuations_come_after_a_beginning_only),
        cmocka_unit_test(fragments_with_control_frames_between_join_however_they_are_cut),
        cmocka_unit_test(a_parser_keeps_nothing_between_whole_messages),
        cmocka_unit_test(a_failed_parser_stays_failed),
        cmocka_unit_test(text_must_be_utf8_also_across_fragments),
        cmocka_unit_test(close_frames_carry_valid_codes_and_reasons),
        cmocka_unit_test(close_codes_are_those_of_the_rfc),
        cmocka_unit_test(close_is_written_and_read_back),
        cmocka_unit_test(a_long_close_reason_is_cut_between_characters),
        cmocka_unit_test(ping_is_written_and_read_back),
        cmocka_unit_test(mask_touches_its_bytes_only_at_every_length_and_alignment),
        cmocka_unit_test(accept_is_that_of_rfc_6455_section_1_3),
        cmocka_unit_test(keys_are_base64_of_sixteen_bytes),
    };
    return cmocka_run_group_tests_name("websocket", tests, NULL, NULL);
}

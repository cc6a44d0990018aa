/* SPDX-License-Identifier: Apache-2.0 */
/* The codec of frames, held against msgpack-c's own unpacker where it can be. */
#include "net/wire.h"

#include <errno.h>
#include <msgpack.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BUFFER_BYTES 66000

static uint8_t buffer[BUFFER_BYTES];

static struct wire_writer writer_over(uint8_t *bytes, size_t capacity) {
    return (struct wire_writer){.bytes = bytes, .capacity = capacity};
}

static struct wire_bytes text(const char *string) {
    return (struct wire_bytes){(const uint8_t *)string, (uint32_t)strlen(string)};
}

static bool bytes_equal(struct wire_bytes a, struct wire_bytes b) {
    return a.length == b.length && (a.length == 0 || memcmp(a.bytes, b.bytes, a.length) == 0);
}

static enum parse_result read_one(const uint8_t *bytes, size_t length, struct wire_frame *frame) {
    struct wire_reader reader;
    wire_reader_init(&reader, bytes, length);
    return wire_read_frame(&reader, frame);
}

/* ---------------------------------------------------------------- round trips */

static const struct wire_id id_a = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
static const struct wire_id id_b = {{0xff}};

static struct wire_send example_send(void) {
    static const struct wire_recipient recipients[] = {
        {.user = 7, .device = 1, .ciphertext = {(const uint8_t *)"first", 5}},
        {.user = UINT64_MAX, .device = UINT32_MAX, .ciphertext = {(const uint8_t *)"second", 6}},
    };
    return (struct wire_send){
        .number = 300,
        .id = id_a,
        .chat = 1ull << 40,
        .version = 3,
        .own_version = 70000,
        .recipients = {.items = recipients, .count = 2},
        .external = text("beside"),
        .lamport = 12,
        .n = 128,
    };
}

static void send_comes_back_as_it_was(void **state) {
    (void)state;
    struct wire_send send = example_send();
    struct wire_writer writer = writer_over(buffer, sizeof buffer);
    assert_int_equal(wire_write_send(&writer, 9, &send), 0);

    struct wire_frame frame;
    assert_int_equal(read_one(buffer, writer.length, &frame), PARSE_COMPLETE);
    assert_int_equal(frame.kind, WIRE_SEND);
    assert_int_equal(frame.ref, 9);
    assert_int_equal(frame.send.number, 300);
    assert_memory_equal(frame.send.id.bytes, id_a.bytes, WIRE_ID_BYTES);
    assert_int_equal(frame.send.chat, 1ull << 40);
    assert_int_equal(frame.send.version, 3);
    assert_int_equal(frame.send.own_version, 70000);
    assert_true(bytes_equal(frame.send.external, text("beside")));
    assert_int_equal(frame.send.lamport, 12);
    assert_int_equal(frame.send.n, 128);
    assert_int_equal(wire_content_bytes(&frame.send), 5 + 6 + 6);

    struct wire_recipient_list rest = frame.send.recipients;
    struct wire_recipient recipient;
    assert_int_equal(rest.count, 2);
    assert_true(wire_next_recipient(&rest, &recipient));
    assert_true(recipient.user == 7 && recipient.device == 1);
    assert_true(bytes_equal(recipient.ciphertext, text("first")));
    assert_true(wire_next_recipient(&rest, &recipient));
    assert_true(recipient.user == UINT64_MAX && recipient.device == UINT32_MAX);
    assert_true(bytes_equal(recipient.ciphertext, text("second")));
    assert_false(wire_next_recipient(&rest, &recipient));
}

static void list_that_was_read_is_written_as_it_was(void **state) {
    (void)state;
    uint8_t again[512];
    struct wire_send send = example_send();
    struct wire_writer first = writer_over(buffer, sizeof buffer);
    struct wire_writer second = writer_over(again, sizeof again);
    struct wire_frame frame;
    assert_int_equal(wire_write_send(&first, 9, &send), 0);
    assert_int_equal(read_one(buffer, first.length, &frame), PARSE_COMPLETE);
    assert_int_equal(wire_write_frame(&second, &frame), 0);
    assert_int_equal(first.length, second.length);
    assert_memory_equal(buffer, again, first.length);
}

static void kept_bytes_of_a_list_are_walked_to_their_end(void **state) {
    (void)state;
    struct wire_send send = example_send();
    struct wire_writer writer = writer_over(buffer, sizeof buffer);
    struct wire_frame frame;
    assert_int_equal(wire_write_send(&writer, 9, &send), 0);
    assert_int_equal(read_one(buffer, writer.length, &frame), PARSE_COMPLETE);
    struct wire_recipient_list kept = frame.send.recipients;
    struct wire_recipient recipient;
    int seen = 0;
    for (kept.count = UINT32_MAX; wire_next_recipient(&kept, &recipient);)
        seen++;
    assert_int_equal(seen, 2);
}

static void ack_carries_singles_and_errors(void **state) {
    (void)state;
    static const uint64_t singles[] = {12, 1ull << 33};
    static const struct wire_ack_error errors[] = {{.cursor = 15, .error = WIRE_REFUSAL_REJECTED}};
    struct wire_ack ack = {.epoch = 4,
                           .up_to = 10,
                           .singles = {.items = singles, .count = 2},
                           .errors = {.items = errors, .count = 1}};
    struct wire_writer writer = writer_over(buffer, sizeof buffer);
    struct wire_frame frame;
    uint64_t number;
    struct wire_ack_error error;
    assert_int_equal(wire_write_ack(&writer, 0, &ack), 0);
    assert_int_equal(read_one(buffer, writer.length, &frame), PARSE_COMPLETE);
    assert_true(frame.ack.epoch == 4 && frame.ack.up_to == 10);
    assert_true(wire_next_number(&frame.ack.singles, &number) && number == 12);
    assert_true(wire_next_number(&frame.ack.singles, &number) && number == 1ull << 33);
    assert_false(wire_next_number(&frame.ack.singles, &number));
    assert_true(wire_next_ack_error(&frame.ack.errors, &error));
    assert_true(error.cursor == 15 && error.error == WIRE_REFUSAL_REJECTED);
    assert_false(wire_next_ack_error(&frame.ack.errors, &error));
}

static void list_of_items_is_walked_without_writing_it(void **state) {
    (void)state;
    const struct wire_id ids[] = {id_a, id_b};
    struct wire_identity_list list = {.items = ids, .count = 2};
    struct wire_id id;
    assert_true(wire_next_identity(&list, &id) && wire_id_compare(&id, &id_a) == 0);
    assert_true(wire_next_identity(&list, &id) && wire_id_compare(&id, &id_b) == 0);
    assert_false(wire_next_identity(&list, &id));
    assert_true(wire_id_compare(&id_a, &id_b) < 0);
}

static void every_frame_of_zeros_comes_back(void **state) {
    (void)state;
    static const uint16_t kinds[] = {
#define FRAME(upper, name, number, direction, doc) WIRE_##upper,
#include "net/wire.def"
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct wire_frame frame, read;
        uint8_t again[256];
        struct wire_writer first = writer_over(buffer, sizeof buffer);
        struct wire_writer second = writer_over(again, sizeof again);
        memset(&frame, 0, sizeof frame);
        memset(&read, 0xa5, sizeof read);
        frame.kind = kinds[i];
        assert_int_equal(wire_write_frame(&first, &frame), 0);
        assert_int_equal(read_one(buffer, first.length, &read), PARSE_COMPLETE);
        assert_int_equal(read.kind, kinds[i]);
        assert_int_equal(wire_write_frame(&second, &read), 0);
        assert_int_equal(first.length, second.length);
        assert_memory_equal(buffer, again, first.length);
    }
}

static void bodies_come_back(void **state) {
    (void)state;
    uint8_t key[32] = {5};
    struct wire_device_key devices[] = {{.device = 2, .key = {key, sizeof key}}};
    struct wire_stale_body stale = {
        .user = 9, .version = 4, .devices = {.items = devices, .count = 1}};
    struct wire_writer writer = writer_over(buffer, sizeof buffer);
    assert_int_equal(wire_write_stale_body(&writer, &stale), 0);

    struct wire_stale_body read;
    struct wire_device_key device;
    assert_int_equal(wire_read_stale_body(buffer, writer.length, &read), PARSE_COMPLETE);
    assert_true(read.user == 9 && read.version == 4);
    assert_true(wire_next_device_key(&read.devices, &device));
    assert_int_equal(device.device, 2);
    assert_memory_equal(device.key.bytes, key, sizeof key);

    assert_int_equal(wire_read_stale_body(buffer, writer.length - 1, &read), PARSE_JUNK);
    buffer[writer.length] = 0;
    assert_int_equal(wire_read_stale_body(buffer, writer.length + 1, &read), PARSE_JUNK);
}

static void no_body_at_all_is_the_defaults(void **state) {
    (void)state;
    struct wire_register_body body;
    assert_int_equal(wire_read_register_body(NULL, 0, &body), PARSE_COMPLETE);
    assert_int_equal(body.digits, 6);
    assert_int_equal(body.expires_ms, 0);
}

static void several_frames_follow_each_other(void **state) {
    (void)state;
    struct wire_writer writer = writer_over(buffer, sizeof buffer);
    struct wire_reader reader;
    struct wire_frame frame;
    assert_int_equal(wire_write_ping(&writer, 0, &(struct wire_ping){.token = 77}), 0);
    assert_int_equal(wire_write_empty(&writer, 0, &(struct wire_empty){}), 0);
    wire_reader_init(&reader, buffer, writer.length);
    assert_int_equal(wire_read_frame(&reader, &frame), PARSE_COMPLETE);
    assert_true(frame.kind == WIRE_PING && frame.ping.token == 77);
    assert_int_equal(wire_read_frame(&reader, &frame), PARSE_COMPLETE);
    assert_int_equal(frame.kind, WIRE_EMPTY);
    assert_int_equal(wire_read_frame(&reader, &frame), PARSE_MORE);
}

/* ---------------------------------------------------------------- growing */

static void missing_fields_take_their_defaults(void **state) {
    (void)state;
    static const uint8_t bytes[] = {0x91, WIRE_WELCOME};
    struct wire_frame frame;
    memset(&frame, 0xa5, sizeof frame);
    assert_int_equal(read_one(bytes, sizeof bytes, &frame), PARSE_COMPLETE);
    assert_int_equal(frame.ref, 0);
    assert_int_equal(frame.welcome.version, 1);
    assert_false(frame.welcome.registered);
    assert_int_equal(frame.welcome.heartbeat_ms, 30000);
    assert_int_equal(frame.welcome.home_address.length, 0);
}

static void extra_fields_are_ignored(void **state) {
    (void)state;
    /* [ping, 0, 5, {1: [2, "x"]}, nil, bin, ext, float] and an empty behind it */
    static const uint8_t bytes[] = {0x98, WIRE_PING, 0, 5, 0x81, 1,    0x92, 2,         0xa1, 'x',
                                    0xc0, 0xc4,      2, 9, 9,    0xd6, 1,    0,         0,    0,
                                    0,    0xca,      1, 2, 3,    4,    0x91, WIRE_EMPTY};
    struct wire_reader reader;
    struct wire_frame frame;
    wire_reader_init(&reader, bytes, sizeof bytes);
    assert_int_equal(wire_read_frame(&reader, &frame), PARSE_COMPLETE);
    assert_int_equal(frame.ping.token, 5);
    assert_int_equal(wire_read_frame(&reader, &frame), PARSE_COMPLETE);
    assert_int_equal(frame.kind, WIRE_EMPTY);
}

static void unknown_kind_is_passed_over_with_its_ref(void **state) {
    (void)state;
    static const uint8_t bytes[] = {0x93, 0xcd, 0x03, 0xe8, 42, 0x90, 0x91, WIRE_EMPTY};
    struct wire_reader reader;
    struct wire_frame frame;
    wire_reader_init(&reader, bytes, sizeof bytes);
    assert_int_equal(wire_read_frame(&reader, &frame), PARSE_COMPLETE);
    assert_true(frame.kind == 1000 && frame.ref == 42);
    assert_int_equal(wire_read_frame(&reader, &frame), PARSE_COMPLETE);
    assert_int_equal(frame.kind, WIRE_EMPTY);
}

static void defaults_at_the_end_are_left_out(void **state) {
    (void)state;
    struct wire_writer writer = writer_over(buffer, sizeof buffer);
    assert_int_equal(wire_write_pong(&writer, 0, &(struct wire_pong){.token = 0}), 0);
    static const uint8_t expected[] = {0x91, WIRE_PONG};
    assert_int_equal(writer.length, sizeof expected);
    assert_memory_equal(buffer, expected, sizeof expected);
}

/* ---------------------------------------------------------------- bounds */

static void field_beyond_its_bound_is_too_big_and_the_next_frame_is_read(void **state) {
    (void)state;
    struct wire_reader reader;
    struct wire_frame frame;
    msgpack_sbuffer bytes;
    msgpack_packer packer;
    char phone[17];
    memset(phone, '1', sizeof phone);
    msgpack_sbuffer_init(&bytes);
    msgpack_packer_init(&packer, &bytes, msgpack_sbuffer_write);
    msgpack_pack_array(&packer, 3);
    msgpack_pack_int(&packer, WIRE_REGISTER_PHONE);
    msgpack_pack_int(&packer, 8);
    msgpack_pack_str_with_body(&packer, phone, sizeof phone);
    msgpack_pack_array(&packer, 1);
    msgpack_pack_int(&packer, WIRE_EMPTY);
    wire_reader_init(&reader, (const uint8_t *)bytes.data, bytes.size);
    assert_int_equal(wire_read_frame(&reader, &frame), PARSE_TOO_BIG);
    assert_true(frame.kind == WIRE_REGISTER_PHONE && frame.ref == 8);
    assert_int_equal(wire_read_frame(&reader, &frame), PARSE_COMPLETE);
    assert_int_equal(frame.kind, WIRE_EMPTY);
    msgpack_sbuffer_destroy(&bytes);
}

static void number_beyond_its_type_is_too_big(void **state) {
    (void)state;
    static const uint8_t bytes[] = {0x93, WIRE_HELLO, 0, 0xce, 0, 1, 0, 0};
    static const uint8_t fits[] = {0x93, WIRE_HELLO, 0, 0xce, 0, 0, 0xff, 0xff};
    struct wire_frame frame;
    assert_int_equal(read_one(bytes, sizeof bytes, &frame), PARSE_TOO_BIG);
    assert_int_equal(read_one(fits, sizeof fits, &frame), PARSE_COMPLETE);
    assert_int_equal(frame.hello.version_min, 65535);
}

static void count_beyond_the_bytes_that_are_left_is_junk(void **state) {
    (void)state;
    static const uint8_t bomb[] = {0xdd, 0xff, 0xff, 0xff, 0xff, 1};
    static const uint8_t list[] = {0x95, WIRE_ACK, 0, 1, 2, 0xdd, 0xff, 0xff, 0xff, 0xff};
    static const uint8_t skipped[] = {0x93, 100, 0, 0xdf, 0xff, 0xff, 0xff, 0xff, 0};
    static const uint8_t nested[] = {0x93, 100, 0, 0xdd, 0, 0, 0, 2, 0xdd, 0xff, 0xff, 0xff, 0xff};
    struct wire_frame frame;
    assert_int_equal(read_one(bomb, sizeof bomb, &frame), PARSE_JUNK);
    assert_int_equal(read_one(list, sizeof list, &frame), PARSE_JUNK);
    assert_int_equal(read_one(skipped, sizeof skipped, &frame), PARSE_JUNK);
    assert_int_equal(read_one(nested, sizeof nested, &frame), PARSE_JUNK);
}

static void deep_nesting_is_passed_over(void **state) {
    (void)state;
    struct wire_frame frame;
    memset(buffer, 0x91, 65000);
    buffer[0] = 0x93;
    buffer[1] = 100;
    buffer[2] = 0;
    assert_int_equal(read_one(buffer, 65000, &frame), PARSE_JUNK);
    buffer[64999] = 0xc0;
    assert_int_equal(read_one(buffer, 65000, &frame), PARSE_COMPLETE);
}

static void list_longer_than_its_bound_is_too_big(void **state) {
    (void)state;
    struct wire_frame frame;
    uint8_t *at = buffer;
    static const uint8_t begin[] = {0x95, WIRE_ACK, 3, 1, 2, 0xdc, 513 >> 8, 513 & 255};
    memcpy(at, begin, sizeof begin);
    memset(at + sizeof begin, 1, 513);
    assert_int_equal(read_one(buffer, sizeof begin + 513, &frame), PARSE_TOO_BIG);
    assert_int_equal(frame.ref, 3);
    buffer[7] = 512 & 255;
    assert_int_equal(read_one(buffer, sizeof begin + 512, &frame), PARSE_COMPLETE);
    assert_int_equal(frame.ack.singles.count, 512);
}

static void every_truncation_is_junk(void **state) {
    (void)state;
    struct wire_send send = example_send();
    struct wire_writer writer = writer_over(buffer, sizeof buffer);
    assert_int_equal(wire_write_send(&writer, 9, &send), 0);
    for (size_t length = 1; length < writer.length; length++) {
        uint8_t *copy = malloc(length); /* its own block: the sanitizer sees a read beyond it */
        struct wire_frame frame;
        assert_non_null(copy);
        memcpy(copy, buffer, length);
        assert_int_equal(read_one(copy, length, &frame), PARSE_JUNK);
        free(copy);
    }
}

static void wrong_types_are_junk(void **state) {
    (void)state;
    static const struct {
        const char *what;
        uint8_t bytes[24];
        size_t length;
    } cases[] = {
        {"no array", {0x05}, 1},
        {"a map", {0x81, 1, 1}, 3},
        {"an empty array", {0x90}, 1},
        {"a kind that is a text", {0x91, 0xa1, 'x'}, 3},
        {"a negative kind", {0x91, 0xff}, 2},
        {"a kind beyond 16 bits", {0x91, 0xce, 0, 1, 0, 0}, 6},
        {"a negative ref", {0x92, WIRE_EMPTY, 0xd0, 0x80}, 4},
        {"a number that is nil", {0x93, WIRE_PING, 0, 0xc0}, 4},
        {"a negative number", {0x93, WIRE_PING, 0, 0xd1, 0xff, 0xfe}, 6},
        {"a float", {0x93, WIRE_PING, 0, 0xca, 0, 0, 0, 0}, 8},
        {"a text that is bytes", {0x93, WIRE_REGISTER_PHONE, 1, 0xc4, 1, '1'}, 6},
        {"bytes that are a text", {0x95, WIRE_REPLY, 1, 0, 0, 0xa1, 'x'}, 7},
        {"a text that is no UTF-8", {0x93, WIRE_REGISTER_PHONE, 1, 0xa1, 0xff}, 5},
        {"a switch that is a number", {0x95, WIRE_WELCOME, 0, 1, 0, 1}, 6},
        {"an id too short", {0x94, WIRE_SEND, 0, 1, 0xc4, 2, 0, 0}, 8},
        {"a list that is a number", {0x95, WIRE_ACK, 0, 1, 1, 7}, 6},
        {"a record that is a number", {0x96, WIRE_ACK, 0, 1, 1, 0x90, 0x91, 7}, 8},
        {"the format that is never used", {0x93, WIRE_EMPTY, 0, 0xc1}, 4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct wire_frame frame;
        if (read_one(cases[i].bytes, cases[i].length, &frame) != PARSE_JUNK)
            fail_msg("%s was not refused", cases[i].what);
    }
}

static void numbers_are_read_in_every_form(void **state) {
    (void)state;
    static const struct {
        uint8_t bytes[9];
        size_t length;
        uint64_t value;
    } cases[] = {
        {{0x7f}, 1, 127},
        {{0xcc, 0xff}, 2, 255},
        {{0xcd, 0xff, 0xfe}, 3, 65534},
        {{0xce, 0xff, 0xff, 0xff, 0xfd}, 5, 0xfffffffd},
        {{0xcf, 0xff, 0, 0, 0, 0, 0, 0, 1}, 9, 0xff00000000000001},
        {{0xcf, 0, 0, 0, 0, 0, 0, 0, 1}, 9, 1},
        {{0xd0, 0x7f}, 2, 127},
        {{0xd1, 0x7f, 0xff}, 3, 32767},
        {{0xd2, 0x7f, 0, 0, 0}, 5, 0x7f000000},
        {{0xd3, 0x7f, 0, 0, 0, 0, 0, 0, 2}, 9, 0x7f00000000000002},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t bytes[12] = {0x93, WIRE_PONG, 0};
        struct wire_frame frame;
        memcpy(bytes + 3, cases[i].bytes, cases[i].length);
        assert_int_equal(read_one(bytes, 3 + cases[i].length, &frame), PARSE_COMPLETE);
        assert_true(frame.pong.token == cases[i].value);
    }
}

/* Bytes and texts in the 8, 16 and 32 bit forms, as msgpack-c packs them. */
static void lengths_are_read_in_every_form(void **state) {
    (void)state;
    static const uint32_t lengths[] = {0, 31, 32, 63, 255, 256, 61440};
    static uint8_t content[61440];
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct wire_writer writer = writer_over(buffer, sizeof buffer);
        struct wire_mail mail = {.cursor = 1, .ciphertext = {content, lengths[i]}, .attempt = 2};
        struct wire_frame frame;
        assert_int_equal(wire_write_mail(&writer, 0, &mail), 0);
        assert_int_equal(read_one(buffer, writer.length, &frame), PARSE_COMPLETE);
        assert_int_equal(frame.mail.ciphertext.length, lengths[i]);
        assert_int_equal(frame.mail.attempt, 2);
    }
    static const uint8_t text32[] = {0x93, WIRE_REGISTER_PHONE, 1, 0xdb, 0, 0, 0, 2, '+', '1'};
    static const uint8_t text16[] = {0x93, WIRE_REGISTER_PHONE, 1, 0xda, 0, 2, '+', '1'};
    static const uint8_t text8[] = {0x93, WIRE_REGISTER_PHONE, 1, 0xd9, 2, '+', '1'};
    struct wire_frame frame;
    assert_int_equal(read_one(text32, sizeof text32, &frame), PARSE_COMPLETE);
    assert_true(bytes_equal(frame.register_phone.phone, text("+1")));
    assert_int_equal(read_one(text16, sizeof text16, &frame), PARSE_COMPLETE);
    assert_true(bytes_equal(frame.register_phone.phone, text("+1")));
    assert_int_equal(read_one(text8, sizeof text8, &frame), PARSE_COMPLETE);
    assert_true(bytes_equal(frame.register_phone.phone, text("+1")));
}

/* ---------------------------------------------------------------- writing */

static void frame_that_does_not_fit_leaves_the_writer_as_it_was(void **state) {
    (void)state;
    struct wire_send send = example_send();
    struct wire_writer whole = writer_over(buffer, sizeof buffer);
    assert_int_equal(wire_write_send(&whole, 9, &send), 0);
    for (size_t capacity = 2; capacity < whole.length + 2; capacity++) {
        uint8_t *bytes = malloc(capacity);
        struct wire_writer writer = writer_over(bytes, capacity);
        assert_int_equal(wire_write_empty(&writer, 0, &(struct wire_empty){}), 0);
        assert_int_equal(wire_write_send(&writer, 9, &send), -ENOSPC);
        assert_int_equal(writer.length, 2);
        free(bytes);
    }
}

static void field_beyond_its_bound_is_not_written(void **state) {
    (void)state;
    uint8_t long_text[300];
    memset(long_text, 'x', sizeof long_text);
    uint64_t numbers[513] = {0};
    struct wire_writer writer = writer_over(buffer, sizeof buffer);
    struct wire_register_phone phone = {.phone = {long_text, 17}};
    struct wire_ack ack = {.singles = {.items = numbers, .count = 513}};
    struct wire_bytes name = {long_text, WIRE_LIST_TEXT_BYTES_MAX + 1};
    struct wire_discover discover = {.phones = {.items = &name, .count = 1}};
    struct wire_profile_body profile = {.name = {long_text, 129}};
    struct wire_frame unknown = {.kind = 999};
    assert_int_equal(wire_write_register_phone(&writer, 1, &phone), -EMSGSIZE);
    assert_int_equal(wire_write_ack(&writer, 0, &ack), -EMSGSIZE);
    assert_int_equal(wire_write_discover(&writer, 1, &discover), -EMSGSIZE);
    assert_int_equal(wire_write_profile_body(&writer, &profile), -EMSGSIZE);
    assert_int_equal(wire_write_frame(&writer, &unknown), -EINVAL);
    assert_int_equal(writer.length, 0);
}

static void msgpack_c_reads_what_we_write(void **state) {
    (void)state;
    struct wire_send send = example_send();
    struct wire_writer writer = writer_over(buffer, sizeof buffer);
    assert_int_equal(wire_write_send(&writer, 9, &send), 0);
    msgpack_unpacked unpacked;
    size_t offset = 0;
    msgpack_unpacked_init(&unpacked);
    assert_int_equal(msgpack_unpack_next(&unpacked, (const char *)buffer, writer.length, &offset),
                     MSGPACK_UNPACK_SUCCESS);
    assert_int_equal(offset, writer.length);
    assert_int_equal(unpacked.data.type, MSGPACK_OBJECT_ARRAY);
    const msgpack_object *fields = unpacked.data.via.array.ptr;
    assert_int_equal(unpacked.data.via.array.size, 12);
    assert_int_equal(fields[0].via.u64, WIRE_SEND);
    assert_int_equal(fields[2].via.u64, 300);
    assert_int_equal(fields[3].type, MSGPACK_OBJECT_BIN);
    assert_int_equal(fields[7].via.array.size, 2);
    assert_int_equal(fields[7].via.array.ptr[1].via.array.ptr[2].via.bin.size, 6);
    msgpack_unpacked_destroy(&unpacked);
}

/* ---------------------------------------------------------------- names */

static void names_and_traces_name_everything(void **state) {
    (void)state;
    assert_string_equal(wire_kind_name(WIRE_SEND), "send");
    assert_string_equal(wire_kind_name(999), "unknown");
    assert_string_equal(wire_code_name(WIRE_CODE_CONFLICT), "conflict");
    assert_string_equal(wire_code_name(999), "unknown");
    assert_string_equal(wire_close_name(4004), "replaced");
    assert_string_equal(wire_state_name(WIRE_STATE_READ), "read");

    char line[512];
    struct wire_frame frame = {.kind = WIRE_SEND, .ref = 9};
    frame.send = example_send();
    int length = wire_print_frame(&frame, line, sizeof line);
    assert_string_equal(line,
                        "send ref=9 number=300 id=0102030405060708090a0b0c0d0e0f10 "
                        "chat=1099511627776 version=3 own_version=70000 recipients=2 external=6B "
                        "flags=0 lamport=12 n=128 send_low=0");
    assert_int_equal(length, strlen(line));
    assert_int_equal(wire_print_frame(&frame, line, 10), length);
    assert_string_equal(line, "send ref=");
    frame = (struct wire_frame){.kind = WIRE_WELCOME};
    wire_print_frame(&frame, line, sizeof line);
    assert_non_null(strstr(line, "registered=no"));
    assert_non_null(strstr(line, "resume=resumed"));
    frame = (struct wire_frame){.kind = 999};
    wire_print_frame(&frame, line, sizeof line);
    assert_string_equal(line, "unknown kind=999");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(send_comes_back_as_it_was),
        cmocka_unit_test(list_that_was_read_is_written_as_it_was),
        cmocka_unit_test(kept_bytes_of_a_list_are_walked_to_their_end),
        cmocka_unit_test(ack_carries_singles_and_errors),
        cmocka_unit_test(list_of_items_is_walked_without_writing_it),
        cmocka_unit_test(every_frame_of_zeros_comes_back),
        cmocka_unit_test(bodies_come_back),
        cmocka_unit_test(no_body_at_all_is_the_defaults),
        cmocka_unit_test(several_frames_follow_each_other),
        cmocka_unit_test(missing_fields_take_their_defaults),
        cmocka_unit_test(extra_fields_are_ignored),
        cmocka_unit_test(unknown_kind_is_passed_over_with_its_ref),
        cmocka_unit_test(defaults_at_the_end_are_left_out),
        cmocka_unit_test(field_beyond_its_bound_is_too_big_and_the_next_frame_is_read),
        cmocka_unit_test(number_beyond_its_type_is_too_big),
        cmocka_unit_test(count_beyond_the_bytes_that_are_left_is_junk),
        cmocka_unit_test(deep_nesting_is_passed_over),
        cmocka_unit_test(list_longer_than_its_bound_is_too_big),
        cmocka_unit_test(every_truncation_is_junk),
        cmocka_unit_test(wrong_types_are_junk),
        cmocka_unit_test(numbers_are_read_in_every_form),
        cmocka_unit_test(lengths_are_read_in_every_form),
        cmocka_unit_test(frame_that_does_not_fit_leaves_the_writer_as_it_was),
        cmocka_unit_test(field_beyond_its_bound_is_not_written),
        cmocka_unit_test(msgpack_c_reads_what_we_write),
        cmocka_unit_test(names_and_traces_name_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

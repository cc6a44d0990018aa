/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arbitrary bytes as the plaintext of a Noise message, and as the body of a reply.
 *
 * Properties: what is read can be written, and what was written is read as the same (the second
 * writing equals the first); lists hold as many elements as they say; and msgpack-c, which shares
 * no code with our reader, sees an array of the same extent wherever ours sees a frame.
 *
 * Covers: net/wire_read.c
 */
#include "net/wire.h"

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_MAX 70000

#define MUST(condition)   \
    do {                  \
        if (!(condition)) \
            abort();      \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t first[BYTES_MAX], second[BYTES_MAX];

/* Each list of a frame has as many elements as it says. */
#define FRAME(upper, name, number, direction, doc)             \
    static void walk_##name(const struct wire_##name *value) { \
        (void)value;
#define FRAME_END(name) }
#define RECORD(name, doc)                                                              \
    __attribute__((unused)) static void walk_##name(const struct wire_##name *value) { \
        (void)value;
#define RECORD_END(name) }
#define BODY(name, doc) FRAME(, name, , , doc)
#define BODY_END(name) }
#define TYPE_number uint64_t
#define TYPE_identity struct wire_id
#define TYPE_text struct wire_bytes
#define TYPE_recipient struct wire_recipient
#define TYPE_ack_error struct wire_ack_error
#define TYPE_device_key struct wire_device_key
#define TYPE_person struct wire_person
#define LIST(element, name, count_max, doc)                                           \
    {                                                                                 \
        struct wire_##element##_list list = value->name;                              \
        TYPE_##element item;                                                          \
        uint32_t count = 0;                                                           \
        while (wire_next_##element(&list, &item))                                     \
            count++;                                                                  \
        MUST(count == value->name.count && count <= (count_max) && list.length == 0); \
    }
#include "net/wire.def"

static void walk(const struct wire_frame *frame) {
    switch (frame->kind) {
#define FRAME(upper, name, number, direction, doc) \
    case WIRE_##upper:                             \
        walk_##name(&frame->name);                 \
        break;
#include "net/wire.def"
    default:
        break;
    }
}

/* msgpack-c refuses what nests deeper than its stack, and has no other reason to differ. */
static void compare_with_msgpack_c(const uint8_t *begin, const uint8_t *end, const uint8_t *used) {
    size_t offset = 0;
    msgpack_zone zone;
    msgpack_object object;
    MUST(msgpack_zone_init(&zone, 8192));
    msgpack_unpack_return result =
        msgpack_unpack((const char *)begin, (size_t)(end - begin), &offset, &zone, &object);
    if (result == MSGPACK_UNPACK_SUCCESS || result == MSGPACK_UNPACK_EXTRA_BYTES) {
        MUST(object.type == MSGPACK_OBJECT_ARRAY);
        MUST(offset == (size_t)(used - begin));
    }
    msgpack_zone_destroy(&zone);
}

static void write_and_read_again(const struct wire_frame *frame) {
    struct wire_writer writer = {.bytes = first, .capacity = sizeof first};
    struct wire_writer again = {.bytes = second, .capacity = sizeof second};
    struct wire_reader reader;
    struct wire_frame copy;
    int error = wire_write_frame(&writer, frame);
    if (error != 0) {
        MUST(strcmp(wire_kind_name(frame->kind), "unknown") == 0);
        return;
    }
    wire_reader_init(&reader, first, writer.length);
    MUST(wire_read_frame(&reader, &copy) == PARSE_COMPLETE);
    MUST(copy.kind == frame->kind && copy.ref == frame->ref);
    MUST(wire_write_frame(&again, &copy) == 0);
    MUST(writer.length == again.length && memcmp(first, second, again.length) == 0);
    writer.capacity = writer.length > 0 ? writer.length - 1 : 0;
    writer.length = 0;
    MUST(wire_write_frame(&writer, frame) != 0 && writer.length == 0);
}

static void read_frames(const uint8_t *data, size_t size) {
    struct wire_reader reader;
    struct wire_frame frame;
    enum parse_result result;
    wire_reader_init(&reader, data, size);
    do {
        const uint8_t *begin = reader.at;
        char line[256];
        result = wire_read_frame(&reader, &frame);
        if (result != PARSE_COMPLETE && result != PARSE_TOO_BIG)
            break;
        MUST(reader.at > begin && reader.at <= reader.end);
        compare_with_msgpack_c(begin, reader.end, reader.at);
        if (result == PARSE_TOO_BIG)
            continue;
        walk(&frame);
        wire_print_frame(&frame, line, sizeof line);
        if (frame.kind == WIRE_SEND)
            MUST(wire_content_bytes(&frame.send) <= size);
        write_and_read_again(&frame);
    } while (true);
    MUST(result == PARSE_JUNK || reader.at == reader.end);
}

static void read_body(uint8_t which, const uint8_t *data, size_t size) {
    int index = 0;
#define BODY(name, doc)                                                            \
    if (index++ == which) {                                                        \
        struct wire_##name body, copy;                                             \
        struct wire_writer writer = {.bytes = first, .capacity = sizeof first};    \
        if (wire_read_##name(data, size, &body) == PARSE_COMPLETE) {               \
            walk_##name(&body);                                                    \
            MUST(wire_write_##name(&writer, &body) == 0);                          \
            MUST(wire_read_##name(first, writer.length, &copy) == PARSE_COMPLETE); \
        }                                                                          \
    }
#include "net/wire.def"
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0 || size > BYTES_MAX / 2)
        return 0;
    if (data[0] < 16)
        read_body(data[0], data + 1, size - 1);
    else
        read_frames(data + 1, size - 1);
    return 0;
}

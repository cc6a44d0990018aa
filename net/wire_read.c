/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads frames: a strict reader of msgpack, and one function per frame, record and body, made from
 * wire.def.
 *
 * Frames are written by msgpack-c (wire_write.c), but not read by it: its unpacker builds a tree of
 * objects in a zone that grows by the counts found in the input (six bytes can ask for 8 GB), and
 * it loses where a list's bytes lie, which the mailbox passes on without copying. Here nothing is
 * allocated, so a count costs nothing until as many elements have been read, each of them at least
 * one byte that is really there; nothing recurses, so depth costs nothing either. The unit tests
 * and the fuzzer hold this reader against msgpack-c's.
 *
 * Any msgpack form of a value is taken, also a longer one than needed. A cut-off value is JUNK,
 * never MORE: a Noise message is whole.
 */
#include "net/wire.h"

#include "net/utf8.h"

#include <string.h>

enum format { /* the first byte of a value (msgpack specification, "Formats") */
              FORMAT_FIXMAP = 0x80,
              FORMAT_FIXARRAY = 0x90,
              FORMAT_FIXSTR = 0xa0,
              FORMAT_NIL = 0xc0,
              FORMAT_UNUSED = 0xc1,
              FORMAT_FALSE = 0xc2,
              FORMAT_TRUE = 0xc3,
              FORMAT_BIN8 = 0xc4,
              FORMAT_BIN32 = 0xc6,
              FORMAT_EXT8 = 0xc7,
              FORMAT_EXT32 = 0xc9,
              FORMAT_FLOAT32 = 0xca,
              FORMAT_FLOAT64 = 0xcb,
              FORMAT_UINT8 = 0xcc,
              FORMAT_UINT64 = 0xcf,
              FORMAT_INT8 = 0xd0,
              FORMAT_INT64 = 0xd3,
              FORMAT_FIXEXT1 = 0xd4,
              FORMAT_FIXEXT16 = 0xd8,
              FORMAT_STR8 = 0xd9,
              FORMAT_STR32 = 0xdb,
              FORMAT_ARRAY16 = 0xdc,
              FORMAT_ARRAY32 = 0xdd,
              FORMAT_MAP16 = 0xde,
              FORMAT_MAP32 = 0xdf,
              FORMAT_NEGATIVE = 0xe0,
};

void wire_reader_init(struct wire_reader *reader, const uint8_t *bytes, size_t length) {
    reader->at = bytes;
    reader->end = length > 0 ? bytes + length : bytes; /* nothing may be NULL */
}

static size_t left(const struct wire_reader *reader) {
    return (size_t)(reader->end - reader->at);
}

/* The big-endian number of 1, 2, 4 or 8 bytes at the reader, if they are there. */
static bool take_big_endian(struct wire_reader *reader, unsigned bytes, uint64_t *number) {
    uint64_t value = 0;
    if (left(reader) < bytes)
        return false;
    for (unsigned i = 0; i < bytes; i++)
        value = value << 8 | reader->at[i];
    reader->at += bytes;
    *number = value;
    return true;
}

/* ---------------------------------------------------------------- skipping */

/* What stands behind a format byte: bytes to pass over, and values that follow. */
static bool measure(struct wire_reader *reader, uint8_t format, uint64_t *bytes, uint64_t *values) {
    uint64_t number = 0;
    *bytes = *values = 0;
    if (format < FORMAT_FIXMAP || format >= FORMAT_NEGATIVE) {
        return true;
    } else if (format < FORMAT_FIXARRAY) {
        *values = 2 * (uint64_t)(format & 15);
    } else if (format < FORMAT_FIXSTR) {
        *values = format & 15;
    } else if (format < FORMAT_NIL) {
        *bytes = format & 31;
    } else if (format <= FORMAT_TRUE) {
        return format != FORMAT_UNUSED;
    } else if (format <= FORMAT_BIN32) {
        return take_big_endian(reader, 1u << (format - FORMAT_BIN8), bytes);
    } else if (format <= FORMAT_EXT32) {
        if (!take_big_endian(reader, 1u << (format - FORMAT_EXT8), &number))
            return false;
        *bytes = number + 1; /* its type */
    } else if (format <= FORMAT_FLOAT64) {
        *bytes = 4u << (format - FORMAT_FLOAT32);
    } else if (format <= FORMAT_INT64) {
        *bytes = 1u << ((format - FORMAT_UINT8) & 3);
    } else if (format <= FORMAT_FIXEXT16) {
        *bytes = 1 + (1u << (format - FORMAT_FIXEXT1));
    } else if (format <= FORMAT_STR32) {
        return take_big_endian(reader, 1u << (format - FORMAT_STR8), bytes);
    } else if (format <= FORMAT_ARRAY32) {
        return take_big_endian(reader, 2u << (format - FORMAT_ARRAY16), values);
    } else {
        if (!take_big_endian(reader, 2u << (format - FORMAT_MAP16), &number))
            return false;
        *values = 2 * number;
    }
    return true;
}

/* Passes over `values` values and all that they hold. Each takes at least a byte, so that the loop
 * is bounded by the bytes that are left. */
static enum parse_result skip(struct wire_reader *reader, uint64_t values) {
    while (values > 0) {
        uint64_t bytes, inner;
        if (values > left(reader))
            return PARSE_JUNK;
        uint8_t format = *reader->at++;
        if (!measure(reader, format, &bytes, &inner) || bytes > left(reader))
            return PARSE_JUNK;
        reader->at += bytes;
        values += inner - 1;
    }
    return PARSE_COMPLETE;
}

/* ---------------------------------------------------------------- values */

static enum parse_result read_number(struct wire_reader *reader, uint64_t max, uint64_t *number) {
    uint64_t value;
    if (reader->at == reader->end)
        return PARSE_JUNK;
    uint8_t format = *reader->at++;
    if (format < FORMAT_FIXMAP) {
        value = format;
    } else if (format >= FORMAT_UINT8 && format <= FORMAT_UINT64) {
        if (!take_big_endian(reader, 1u << (format - FORMAT_UINT8), &value))
            return PARSE_JUNK;
    } else if (format >= FORMAT_INT8 && format <= FORMAT_INT64) {
        unsigned bytes = 1u << (format - FORMAT_INT8);
        if (!take_big_endian(reader, bytes, &value) || value >> (8 * bytes - 1) != 0)
            return PARSE_JUNK;
    } else {
        return PARSE_JUNK;
    }
    if (value > max)
        return PARSE_TOO_BIG;
    *number = value;
    return PARSE_COMPLETE;
}

/* The common end of texts and bytes: `length` bytes lie at the reader. */
static enum parse_result take_bytes(struct wire_reader *reader, uint64_t length, uint32_t max,
                                    struct wire_bytes *value) {
    if (length > left(reader))
        return PARSE_JUNK;
    if (length > max)
        return PARSE_TOO_BIG;
    value->bytes = reader->at;
    value->length = (uint32_t)length;
    reader->at += length;
    return PARSE_COMPLETE;
}

static enum parse_result read_bytes(struct wire_reader *reader, uint32_t max,
                                    struct wire_bytes *value) {
    uint64_t length;
    if (reader->at == reader->end)
        return PARSE_JUNK;
    uint8_t format = *reader->at++;
    if (format < FORMAT_BIN8 || format > FORMAT_BIN32 ||
        !take_big_endian(reader, 1u << (format - FORMAT_BIN8), &length))
        return PARSE_JUNK;
    return take_bytes(reader, length, max, value);
}

static enum parse_result read_text(struct wire_reader *reader, uint32_t max,
                                   struct wire_bytes *value) {
    uint64_t length;
    if (reader->at == reader->end)
        return PARSE_JUNK;
    uint8_t format = *reader->at++;
    if (format >= FORMAT_FIXSTR && format < FORMAT_NIL)
        length = format & 31;
    else if (format < FORMAT_STR8 || format > FORMAT_STR32 ||
             !take_big_endian(reader, 1u << (format - FORMAT_STR8), &length))
        return PARSE_JUNK;
    enum parse_result result = take_bytes(reader, length, max, value);
    if (result == PARSE_COMPLETE && !utf8_is_valid(value->bytes, value->length))
        return PARSE_JUNK;
    return result;
}

static enum parse_result read_identity(struct wire_reader *reader, struct wire_id *id) {
    struct wire_bytes value;
    enum parse_result result = read_bytes(reader, WIRE_ID_BYTES, &value);
    if (result != PARSE_COMPLETE)
        return result;
    if (value.length != WIRE_ID_BYTES)
        return PARSE_JUNK;
    memcpy(id->bytes, value.bytes, WIRE_ID_BYTES);
    return PARSE_COMPLETE;
}

static enum parse_result read_switch(struct wire_reader *reader, bool *value) {
    if (reader->at == reader->end || (*reader->at != FORMAT_FALSE && *reader->at != FORMAT_TRUE))
        return PARSE_JUNK;
    *value = *reader->at++ == FORMAT_TRUE;
    return PARSE_COMPLETE;
}

/* An array's header; as many bytes as it has values are there. */
static enum parse_result read_array(struct wire_reader *reader, uint32_t *count) {
    uint64_t number;
    if (reader->at == reader->end)
        return PARSE_JUNK;
    uint8_t format = *reader->at++;
    if (format >= FORMAT_FIXARRAY && format < FORMAT_FIXSTR)
        number = format & 15;
    else if (format < FORMAT_ARRAY16 || format > FORMAT_ARRAY32 ||
             !take_big_endian(reader, 2u << (format - FORMAT_ARRAY16), &number))
        return PARSE_JUNK;
    if (number > left(reader))
        return PARSE_JUNK;
    *count = (uint32_t)number;
    return PARSE_COMPLETE;
}

/* ---------------------------------------------------------------- lists */

static enum parse_result read_list_header(struct wire_reader *reader, uint32_t max,
                                          uint32_t *count) {
    enum parse_result result = read_array(reader, count);
    if (result == PARSE_COMPLETE && *count > max)
        return PARSE_TOO_BIG;
    return result;
}

/*
 * For an element with a function read_element_<name>(reader, &item): reading a whole list, which
 * proves it to its last element, and walking it.
 */
#define DEFINE_LIST(element, type)                                                         \
    static enum parse_result read_list_##element(struct wire_reader *reader, uint32_t max, \
                                                 struct wire_##element##_list *list) {     \
        uint32_t count;                                                                    \
        enum parse_result result = read_list_header(reader, max, &count);                  \
        const uint8_t *begin = reader->at;                                                 \
        for (uint32_t i = 0; i < count && result == PARSE_COMPLETE; i++) {                 \
            type item;                                                                     \
            result = read_element_##element(reader, &item);                                \
        }                                                                                  \
        if (result == PARSE_COMPLETE)                                                      \
            *list = (struct wire_##element##_list){                                        \
                .bytes = begin, .length = (uint32_t)(reader->at - begin), .count = count}; \
        return result;                                                                     \
    }                                                                                      \
    bool wire_next_##element(struct wire_##element##_list *list, type *item) {             \
        if (list->count == 0 || (list->items == NULL && list->length == 0))                \
            return false;                                                                  \
        list->count--;                                                                     \
        if (list->items != NULL) {                                                         \
            *item = *list->items++;                                                        \
            return true;                                                                   \
        }                                                                                  \
        struct wire_reader reader = {list->bytes, list->bytes + list->length};             \
        if (read_element_##element(&reader, item) != PARSE_COMPLETE) {                     \
            list->count = 0;                                                               \
            return false;                                                                  \
        }                                                                                  \
        list->bytes = reader.at;                                                           \
        list->length = (uint32_t)(reader.end - reader.at);                                 \
        return true;                                                                       \
    }

static enum parse_result read_element_number(struct wire_reader *reader, uint64_t *number) {
    return read_number(reader, UINT64_MAX, number);
}

static enum parse_result read_element_identity(struct wire_reader *reader, struct wire_id *id) {
    return read_identity(reader, id);
}

static enum parse_result read_element_text(struct wire_reader *reader, struct wire_bytes *text) {
    return read_text(reader, WIRE_LIST_TEXT_BYTES_MAX, text);
}

/* ---------------------------------------------------------------- frames, records, bodies */

/* Each function reads `count` values that stand for the fields in their order: the next field is
 * read while there are values left, or else gets its default; values without a field are skipped.
 */
#define BEGIN(name)                                                                         \
    static enum parse_result read_fields_##name(struct wire_reader *reader, uint32_t count, \
                                                struct wire_##name *value) {                \
        enum parse_result result;                                                           \
        (void)result;                                                                       \
        (void)value;
#define FIELD(read, absent)           \
    if (count > 0) {                  \
        count--;                      \
        result = read;                \
        if (result != PARSE_COMPLETE) \
            return result;            \
    } else {                          \
        absent;                       \
    }
#define END                     \
    return skip(reader, count); \
    }

#define FIELD_NUMBER(type, name, default_)                        \
    {                                                             \
        uint64_t number = (default_);                             \
        FIELD(read_number(reader, (type)~0ull, &number), (void)0) \
        value->name = (type)number;                               \
    }
#define NUMBER(type, name, default_, doc) FIELD_NUMBER(type##_t, name, default_)
#define SELECT(choices, name, default_, doc) FIELD_NUMBER(uint16_t, name, default_)
#define SWITCH(name, default_, doc) \
    FIELD(read_switch(reader, &value->name), value->name = (default_))
#define IDENTITY(name, doc) \
    FIELD(read_identity(reader, &value->name), value->name = (struct wire_id){{0}})
#define TEXT(name, bytes_max, doc) \
    FIELD(read_text(reader, bytes_max, &value->name), value->name = (struct wire_bytes){0})
#define BYTES(name, bytes_max, doc) \
    FIELD(read_bytes(reader, bytes_max, &value->name), value->name = (struct wire_bytes){0})
#define LIST(element, name, count_max, doc)                     \
    FIELD(read_list_##element(reader, count_max, &value->name), \
          value->name = (struct wire_##element##_list){0})

#define RECORD(name, doc) BEGIN(name)
#define RECORD_END(name)                                                                     \
    END static enum parse_result read_element_##name(struct wire_reader *reader,             \
                                                     struct wire_##name *value) {            \
        uint32_t count;                                                                      \
        enum parse_result result = read_array(reader, &count);                               \
        return result != PARSE_COMPLETE ? result : read_fields_##name(reader, count, value); \
    }                                                                                        \
    DEFINE_LIST(name, struct wire_##name)
#define FRAME(upper, name, number, direction, doc) BEGIN(name)
#define FRAME_END(name) END
#define BODY(name, doc) BEGIN(name)
#define BODY_END(name)                                                                         \
    END enum parse_result wire_read_##name(const uint8_t *bytes, size_t length,                \
                                           struct wire_##name *body) {                         \
        struct wire_reader reader;                                                             \
        uint32_t count = 0;                                                                    \
        wire_reader_init(&reader, bytes, length);                                              \
        enum parse_result result = length == 0 ? PARSE_COMPLETE : read_array(&reader, &count); \
        if (result == PARSE_COMPLETE)                                                          \
            result = read_fields_##name(&reader, count, body);                                 \
        return result == PARSE_COMPLETE && left(&reader) != 0 ? PARSE_JUNK : result;           \
    }

DEFINE_LIST(number, uint64_t)
DEFINE_LIST(identity, struct wire_id)
DEFINE_LIST(text, struct wire_bytes)
#include "net/wire.def"

static enum parse_result read_fields(struct wire_reader *reader, uint32_t count,
                                     struct wire_frame *frame) {
    switch (frame->kind) {
#define FRAME(upper, name, number, direction, doc) \
    case WIRE_##upper:                             \
        return read_fields_##name(reader, count, &frame->name);
#include "net/wire.def"
    default:
        return skip(reader, count);
    }
}

enum parse_result wire_read_frame(struct wire_reader *reader, struct wire_frame *frame) {
    const uint8_t *begin = reader->at;
    uint32_t count;
    uint64_t kind, ref = 0;
    if (begin == reader->end)
        return PARSE_MORE;
    if (read_array(reader, &count) != PARSE_COMPLETE || count == 0 ||
        read_number(reader, UINT16_MAX, &kind) != PARSE_COMPLETE ||
        (count > 1 && read_number(reader, UINT32_MAX, &ref) != PARSE_COMPLETE))
        return PARSE_JUNK;
    frame->kind = (uint16_t)kind;
    frame->ref = (uint32_t)ref;
    enum parse_result result = read_fields(reader, count > 1 ? count - 2 : 0, frame);
    if (result == PARSE_TOO_BIG) {
        reader->at = begin;
        if (skip(reader, 1) != PARSE_COMPLETE)
            return PARSE_JUNK;
    }
    return result;
}

size_t wire_content_bytes(const struct wire_send *send) {
    struct wire_recipient_list rest = send->recipients;
    struct wire_recipient recipient;
    size_t bytes = send->external.length;
    while (wire_next_recipient(&rest, &recipient))
        bytes += recipient.ciphertext.length;
    return bytes;
}

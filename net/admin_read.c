/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads frames of the admin socket. As with the wire (wire_read.c) nothing is allocated and nothing
 * recurses, so that a count or a depth found in the input costs nothing.
 */
#include "net/admin.h"

#include "net/utf8.h"

#include <string.h>

struct reader {
    const uint8_t *at, *end;
};

static size_t left(const struct reader *reader) {
    return (size_t)(reader->end - reader->at);
}

static bool take_number(struct reader *reader, unsigned bytes, uint64_t *number) {
    if (left(reader) < bytes)
        return false;
    *number = 0;
    for (unsigned i = 0; i < bytes; i++)
        *number = *number << 8 | *reader->at++;
    return true;
}

static bool take_byte(struct reader *reader, uint8_t *byte) {
    if (left(reader) == 0)
        return false;
    *byte = *reader->at++;
    return true;
}

/* A count or length whose short form is `fix` with `fix_max` in it, and whose long ones are
 * `first`, `first` + 1, ... with 1 << (`width` + i) bytes. */
static bool take_count(struct reader *reader, uint8_t fix, uint8_t fix_max, uint8_t first,
                       unsigned width, uint64_t *count) {
    uint8_t format;
    if (!take_byte(reader, &format))
        return false;
    if (format >= fix && format <= fix + fix_max) {
        *count = format - fix;
        return true;
    }
    for (unsigned i = 0; width + i <= 2; i++)
        if (format == first + i)
            return take_number(reader, 1u << (width + i), count);
    return false;
}

static bool take_text(struct reader *reader, struct admin_text *text) {
    uint64_t length;
    if (!take_count(reader, 0xa0, 31, 0xd9, 0, &length) || length > left(reader))
        return false;
    *text = (struct admin_text){(const char *)reader->at, (uint32_t)length};
    reader->at += length;
    return utf8_is_valid((const uint8_t *)text->bytes, text->length);
}

static bool take_name(struct reader *reader, struct admin_text *name) {
    return take_text(reader, name) && name->length > 0 && name->length <= ADMIN_NAME_BYTES_MAX &&
           memchr(name->bytes, '\0', name->length) == NULL;
}

static bool take_unsigned(struct reader *reader, uint64_t *number) {
    uint8_t format;
    if (!take_byte(reader, &format))
        return false;
    if (format < 0x80) {
        *number = format;
        return true;
    }
    return format >= 0xcc && format <= 0xcf && take_number(reader, 1u << (format - 0xcc), number);
}

static bool take_signed(struct reader *reader, uint8_t format, struct admin_value *value) {
    unsigned bytes = 1u << (format - 0xd0);
    uint64_t number;
    if (!take_number(reader, bytes, &number))
        return false;
    if (bytes < 8 && number >> (8 * bytes - 1))
        number |= UINT64_MAX << (8 * bytes);
    if ((int64_t)number >= 0)
        *value = (struct admin_value){.kind = ADMIN_UINT, .number = number};
    else
        *value = (struct admin_value){.kind = ADMIN_INT, .negative = (int64_t)number};
    return true;
}

static bool take_list(struct reader *reader, struct admin_value *value) {
    uint64_t count;
    struct admin_text text;
    if (!take_count(reader, 0x90, 15, 0xdc, 1, &count) || count > ADMIN_LIST_MAX)
        return false;
    const uint8_t *begin = reader->at;
    for (uint64_t i = 0; i < count; i++)
        if (!take_text(reader, &text))
            return false;
    *value = (struct admin_value){.kind = ADMIN_LIST};
    value->list.at = begin;
    value->list.bytes = (uint32_t)(reader->at - begin);
    value->list.count = (uint32_t)count;
    return true;
}

static bool take_value(struct reader *reader, struct admin_value *value) {
    if (left(reader) == 0)
        return false;
    uint8_t format = *reader->at;
    if (format < 0x80 || (format >= 0xcc && format <= 0xcf)) {
        *value = (struct admin_value){.kind = ADMIN_UINT};
        return take_unsigned(reader, &value->number);
    }
    if ((format >= 0xa0 && format < 0xc0) || (format >= 0xd9 && format <= 0xdb)) {
        *value = (struct admin_value){.kind = ADMIN_TEXT};
        return take_text(reader, &value->text);
    }
    if ((format >= 0x90 && format < 0xa0) || format == 0xdc || format == 0xdd)
        return take_list(reader, value);
    reader->at++;
    if (format >= 0xe0)
        *value = (struct admin_value){.kind = ADMIN_INT, .negative = (int8_t)format};
    else if (format == 0xc0)
        *value = (struct admin_value){.kind = ADMIN_NIL};
    else if (format == 0xc2 || format == 0xc3)
        *value = (struct admin_value){.kind = ADMIN_BOOL, .truth = format == 0xc3};
    else
        return format >= 0xd0 && format <= 0xd3 && take_signed(reader, format, value);
    return true;
}

static bool take_fields(struct reader *reader, struct admin_fields *fields) {
    uint64_t count;
    if (!take_count(reader, 0x80, 15, 0xde, 1, &count) || count > ADMIN_FIELDS_MAX)
        return false;
    fields->count = 0;
    for (; fields->count < count; fields->count++)
        if (!take_name(reader, &fields->items[fields->count].name) ||
            !take_value(reader, &fields->items[fields->count].value))
            return false;
    return true;
}

static bool take_three(struct reader *reader) {
    uint64_t count;
    return take_count(reader, 0x90, 15, 0xdc, 1, &count) && count == 3;
}

enum parse_result admin_frame_find(const uint8_t *bytes, size_t length, size_t max,
                                   const uint8_t **frame, size_t *frame_bytes, size_t *used) {
    struct reader reader = {bytes, length > 0 ? bytes + length : bytes};
    uint64_t size;
    if (!take_number(&reader, ADMIN_HEAD_BYTES, &size))
        return PARSE_MORE;
    if (size == 0 || size > max)
        return PARSE_TOO_BIG;
    if (left(&reader) < size)
        return PARSE_MORE;
    *frame = reader.at;
    *frame_bytes = (size_t)size;
    *used = ADMIN_HEAD_BYTES + (size_t)size;
    return PARSE_COMPLETE;
}

enum parse_result admin_request_read(const uint8_t *frame, size_t length,
                                     struct admin_request *request) {
    struct reader reader = {frame, length > 0 ? frame + length : frame};
    bool good = take_three(&reader) && take_unsigned(&reader, &request->id) && request->id != 0 &&
                take_name(&reader, &request->command) &&
                take_fields(&reader, &request->arguments) && left(&reader) == 0;
    return good ? PARSE_COMPLETE : PARSE_JUNK;
}

enum parse_result admin_reply_read(const uint8_t *frame, size_t length, struct admin_reply *reply) {
    struct reader reader = {frame, length > 0 ? frame + length : frame};
    uint64_t kind;
    bool good = take_three(&reader) && take_unsigned(&reader, &reply->id) &&
                take_unsigned(&reader, &kind) && kind < ADMIN_REPLY_KINDS &&
                take_fields(&reader, &reply->fields) && left(&reader) == 0;
    if (!good)
        return PARSE_JUNK;
    reply->kind = (enum admin_reply_kind)kind;
    return PARSE_COMPLETE;
}

bool admin_text_equal(struct admin_text text, const char *other) {
    return strlen(other) == text.length && memcmp(text.bytes, other, text.length) == 0;
}

const struct admin_value *admin_field_find(const struct admin_fields *fields, const char *name) {
    for (unsigned i = 0; i < fields->count; i++)
        if (admin_text_equal(fields->items[i].name, name))
            return &fields->items[i].value;
    return NULL;
}

bool admin_list_next(struct admin_value *list, struct admin_text *text) {
    struct reader reader = {list->list.at, list->list.at + list->list.bytes};
    if (list->kind != ADMIN_LIST || list->list.count == 0 || !take_text(&reader, text))
        return false;
    list->list.at = reader.at;
    list->list.bytes = (uint32_t)left(&reader);
    list->list.count--;
    return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes frames with msgpack-c's packer into the caller's buffer: one function per frame, record
 * and body, made from wire.def.
 *
 * The packer's callback appends while there is room. What cannot be written whole is taken back, so
 * that a writer always ends with a whole frame. Fields at the end that have their default are left
 * out, as the reader puts them back.
 */
#include "net/wire.h"

#include <errno.h>
#include <msgpack.h>
#include <string.h>

static int append(void *data, const char *bytes, size_t length) {
    struct wire_writer *writer = data;
    if (length > writer->capacity - writer->length)
        return -ENOSPC;
    if (length > 0)
        memcpy(writer->bytes + writer->length, bytes, length);
    writer->length += length;
    return 0;
}

/* ---------------------------------------------------------------- values */

static int put_number(msgpack_packer *packer, uint64_t number) {
    return msgpack_pack_uint64(packer, number);
}

static int put_switch(msgpack_packer *packer, bool value) {
    return value ? msgpack_pack_true(packer) : msgpack_pack_false(packer);
}

static int put_identity(msgpack_packer *packer, const struct wire_id *id) {
    return msgpack_pack_bin_with_body(packer, id->bytes, WIRE_ID_BYTES);
}

static int put_text(msgpack_packer *packer, const struct wire_bytes *text, uint32_t max) {
    if (text->length > max)
        return -EMSGSIZE;
    return msgpack_pack_str_with_body(packer, text->bytes, text->length);
}

static int put_bytes(msgpack_packer *packer, const struct wire_bytes *value, uint32_t max) {
    if (value->length > max)
        return -EMSGSIZE;
    return msgpack_pack_bin_with_body(packer, value->bytes, value->length);
}

static int put_element_number(msgpack_packer *packer, const uint64_t *number) {
    return put_number(packer, *number);
}

static int put_element_identity(msgpack_packer *packer, const struct wire_id *id) {
    return put_identity(packer, id);
}

static int put_element_text(msgpack_packer *packer, const struct wire_bytes *text) {
    return put_text(packer, text, WIRE_LIST_TEXT_BYTES_MAX);
}

/* A list of items is packed, one that was read is copied as it was. */
#define DEFINE_LIST(element)                                                                   \
    static int put_list_##element(msgpack_packer *packer,                                      \
                                  const struct wire_##element##_list *list, uint32_t max) {    \
        if (list->count > max)                                                                 \
            return -EMSGSIZE;                                                                  \
        int error = msgpack_pack_array(packer, list->count);                                   \
        if (list->items == NULL)                                                               \
            return error != 0 ? error                                                          \
                              : append(packer->data, (const char *)list->bytes, list->length); \
        for (uint32_t i = 0; i < list->count && error == 0; i++)                               \
            error = put_element_##element(packer, &list->items[i]);                            \
        return error;                                                                          \
    }

DEFINE_LIST(number)
DEFINE_LIST(identity)
DEFINE_LIST(text)

/* ---------------------------------------------------------------- how many fields to write */

static bool is_zero_id(const struct wire_id *id) {
    static const struct wire_id zero;
    return memcmp(id, &zero, sizeof zero) == 0;
}

/* used_<name>(value): fields up to the last one that isn't its default. */
#define BEGIN(name)                                                \
    static uint32_t used_##name(const struct wire_##name *value) { \
        uint32_t index = 0, used = 0;                              \
        (void)index;                                               \
        (void)value;
#define USED(condition) \
    index++;            \
    if (condition)      \
        used = index;
#define END      \
    return used; \
    }
#define RECORD(name, doc) BEGIN(name)
#define RECORD_END(name) END
#define FRAME(upper, name, number, direction, doc) BEGIN(name)
#define FRAME_END(name) END
#define BODY(name, doc) BEGIN(name)
#define BODY_END(name) END
#define NUMBER(type, name, default_, doc) USED(value->name != (default_))
#define SELECT(choices, name, default_, doc) USED(value->name != (default_))
#define SWITCH(name, default_, doc) USED(value->name != (default_))
#define IDENTITY(name, doc) USED(!is_zero_id(&value->name))
#define TEXT(name, bytes_max, doc) USED(value->name.length != 0)
#define BYTES(name, bytes_max, doc) USED(value->name.length != 0)
#define LIST(element, name, count_max, doc) USED(value->name.count != 0)
#include "net/wire.def"
#undef BEGIN
#undef END

/* ---------------------------------------------------------------- frames, records, bodies */

/* put_fields_<name>(packer, used, value): the first `used` fields. */
#define BEGIN(name)                                                     \
    static int put_fields_##name(msgpack_packer *packer, uint32_t used, \
                                 const struct wire_##name *value) {     \
        uint32_t index = 0;                                             \
        int error;                                                      \
        (void)index;                                                    \
        (void)error;                                                    \
        (void)value;
#define FIELD(put)       \
    if (index++ >= used) \
        return 0;        \
    error = put;         \
    if (error != 0)      \
        return error;
#define END   \
    return 0; \
    }

#define NUMBER(type, name, default_, doc) FIELD(put_number(packer, value->name))
#define SELECT(choices, name, default_, doc) FIELD(put_number(packer, value->name))
#define SWITCH(name, default_, doc) FIELD(put_switch(packer, value->name))
#define IDENTITY(name, doc) FIELD(put_identity(packer, &value->name))
#define TEXT(name, bytes_max, doc) FIELD(put_text(packer, &value->name, bytes_max))
#define BYTES(name, bytes_max, doc) FIELD(put_bytes(packer, &value->name, bytes_max))
#define LIST(element, name, count_max, doc) \
    FIELD(put_list_##element(packer, &value->name, count_max))

#define RECORD(name, doc) BEGIN(name)
#define RECORD_END(name)                                                                         \
    END static int put_element_##name(msgpack_packer *packer, const struct wire_##name *value) { \
        uint32_t used = used_##name(value);                                                      \
        int error = msgpack_pack_array(packer, used);                                            \
        return error != 0 ? error : put_fields_##name(packer, used, value);                      \
    }                                                                                            \
    DEFINE_LIST(name)

#define FRAME(upper, name, number, direction, doc) BEGIN(name)
#define FRAME_END(name) END

#define BODY(name, doc) BEGIN(name)
#define BODY_END(name)                                                                      \
    END int wire_write_##name(struct wire_writer *writer, const struct wire_##name *body) { \
        size_t before = writer->length;                                                     \
        msgpack_packer packer = {writer, append};                                           \
        uint32_t used = used_##name(body);                                                  \
        int error = msgpack_pack_array(&packer, used);                                      \
        if (error == 0)                                                                     \
            error = put_fields_##name(&packer, used, body);                                 \
        if (error != 0)                                                                     \
            writer->length = before;                                                        \
        return error;                                                                       \
    }
#include "net/wire.def"

/* What stands in front of every frame's fields. */
static int put_frame_header(msgpack_packer *packer, uint32_t kind, uint32_t ref, uint32_t used) {
    bool alone = used == 0 && ref == 0;
    int error = msgpack_pack_array(packer, alone ? 1 : 2 + used);
    if (error == 0)
        error = put_number(packer, kind);
    if (error == 0 && !alone)
        error = put_number(packer, ref);
    return error;
}

#define FRAME(upper, name, number, direction, doc)                  \
    int wire_write_##name(struct wire_writer *writer, uint32_t ref, \
                          const struct wire_##name *frame) {        \
        size_t before = writer->length;                             \
        msgpack_packer packer = {writer, append};                   \
        uint32_t used = used_##name(frame);                         \
        int error = put_frame_header(&packer, number, ref, used);   \
        if (error == 0)                                             \
            error = put_fields_##name(&packer, used, frame);        \
        if (error != 0)                                             \
            writer->length = before;                                \
        return error;                                               \
    }
#include "net/wire.def"

int wire_write_frame(struct wire_writer *writer, const struct wire_frame *frame) {
    switch (frame->kind) {
#define FRAME(upper, name, number, direction, doc) \
    case WIRE_##upper:                             \
        return wire_write_##name(writer, frame->ref, &frame->name);
#include "net/wire.def"
    default:
        return -EINVAL;
    }
}

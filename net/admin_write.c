/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes frames of the admin socket with msgpack-c's packer into the caller's buffer. The frame's
 * length and the map's count are put in at the end; what does not fit is taken back whole.
 */
#include "net/admin.h"

#include "net/utf8.h"
#include "runtime/check.h"

#include <errno.h>
#include <msgpack.h>
#include <string.h>

#define MAP16 0xde
#define MAP_HEAD_BYTES 3u

static int append(void *data, const char *bytes, size_t length) {
    struct admin_writer *writer = data;
    if (!writer->error && length > writer->capacity - writer->length)
        writer->error = -ENOSPC;
    if (writer->error)
        return writer->error;
    if (length > 0)
        memcpy(writer->bytes + writer->length, bytes, length);
    writer->length += length;
    return 0;
}

static msgpack_packer packer_of(struct admin_writer *writer) {
    msgpack_packer packer;
    msgpack_packer_init(&packer, writer, append);
    return packer;
}

static void pack_text(struct admin_writer *writer, const char *text, size_t length) {
    msgpack_packer packer = packer_of(writer);
    char plain[64];
    if (length > ADMIN_TEXT_BYTES_MAX)
        length = ADMIN_TEXT_BYTES_MAX;
    msgpack_pack_str(&packer, length);
    if (utf8_is_valid((const uint8_t *)text, length)) {
        msgpack_pack_str_body(&packer, text, length);
        return;
    }
    for (size_t done = 0; done < length;) {
        size_t part = 0;
        for (; part < sizeof(plain) && done < length; done++)
            plain[part++] = (text[done] & 0x80) != 0 ? '?' : text[done];
        msgpack_pack_str_body(&packer, plain, part);
    }
}

static void put_name(struct admin_writer *writer, const char *name) {
    CHECK(strlen(name) > 0 && strlen(name) <= ADMIN_NAME_BYTES_MAX);
    if (++writer->fields > ADMIN_FIELDS_MAX)
        writer->error = -EMSGSIZE;
    pack_text(writer, name, strlen(name));
}

static void begin(struct admin_writer *writer, size_t max) {
    static const char head[ADMIN_HEAD_BYTES];
    writer->frame = writer->length;
    writer->frame_max = max;
    writer->fields = 0;
    writer->error = 0;
    append(writer, head, sizeof(head));
    msgpack_packer packer = packer_of(writer);
    msgpack_pack_array(&packer, 3);
}

static void begin_map(struct admin_writer *writer) {
    static const char head[MAP_HEAD_BYTES] = {(char)MAP16};
    writer->map = writer->length;
    append(writer, head, sizeof(head));
}

void admin_write_request(struct admin_writer *writer, uint64_t id, const char *command) {
    begin(writer, ADMIN_REQUEST_BYTES_MAX);
    msgpack_packer packer = packer_of(writer);
    msgpack_pack_uint64(&packer, id);
    pack_text(writer, command, strlen(command));
    begin_map(writer);
}

void admin_write_reply(struct admin_writer *writer, uint64_t id, enum admin_reply_kind kind) {
    begin(writer, ADMIN_REPLY_BYTES_MAX);
    msgpack_packer packer = packer_of(writer);
    msgpack_pack_uint64(&packer, id);
    msgpack_pack_uint8(&packer, (uint8_t)kind);
    begin_map(writer);
}

void admin_put_nil(struct admin_writer *writer, const char *name) {
    put_name(writer, name);
    msgpack_packer packer = packer_of(writer);
    msgpack_pack_nil(&packer);
}

void admin_put_bool(struct admin_writer *writer, const char *name, bool value) {
    put_name(writer, name);
    msgpack_packer packer = packer_of(writer);
    if (value)
        msgpack_pack_true(&packer);
    else
        msgpack_pack_false(&packer);
}

void admin_put_uint(struct admin_writer *writer, const char *name, uint64_t value) {
    put_name(writer, name);
    msgpack_packer packer = packer_of(writer);
    msgpack_pack_uint64(&packer, value);
}

void admin_put_int(struct admin_writer *writer, const char *name, int64_t value) {
    put_name(writer, name);
    msgpack_packer packer = packer_of(writer);
    msgpack_pack_int64(&packer, value);
}

void admin_put_text(struct admin_writer *writer, const char *name, const char *value) {
    if (!value) {
        admin_put_nil(writer, name);
        return;
    }
    put_name(writer, name);
    pack_text(writer, value, strlen(value));
}

void admin_put_list(struct admin_writer *writer, const char *name, unsigned count) {
    put_name(writer, name);
    if (count > ADMIN_LIST_MAX)
        writer->error = -EMSGSIZE;
    msgpack_packer packer = packer_of(writer);
    msgpack_pack_array(&packer, count);
}

void admin_put_item(struct admin_writer *writer, const char *value) {
    pack_text(writer, value, strlen(value));
}

int admin_write_end(struct admin_writer *writer) {
    size_t body = writer->length - writer->frame - ADMIN_HEAD_BYTES;
    int error = writer->error;
    if (!error && body > writer->frame_max)
        error = -EMSGSIZE;
    writer->error = 0;
    if (error) {
        writer->length = writer->frame;
        return error;
    }
    uint8_t *head = writer->bytes + writer->frame;
    for (unsigned i = 0; i < ADMIN_HEAD_BYTES; i++)
        head[i] = (uint8_t)(body >> (8 * (ADMIN_HEAD_BYTES - 1 - i)));
    writer->bytes[writer->map + 1] = (uint8_t)(writer->fields >> 8);
    writer->bytes[writer->map + 2] = (uint8_t)writer->fields;
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of the admin socket of any bytes, as requests and as replies; what was read is written
 * again and read to the same.
 *
 * Covers: net/admin_read.c net/admin_write.c
 */
#include "net/admin.h"
#include "runtime/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy that ends where it ends, so that the sanitizer sees a read past it. */
static uint8_t *copy_exactly(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size > 0 ? size : 1);
    CHECK(copy != NULL);
    memcpy(copy, data, size);
    return copy;
}

static void put(struct admin_writer *writer, const struct admin_field *field) {
    char name[ADMIN_NAME_BYTES_MAX + 1], text[ADMIN_TEXT_BYTES_MAX + 1];
    struct admin_value value = field->value;
    struct admin_text item;
    memcpy(name, field->name.bytes, field->name.length);
    name[field->name.length] = '\0';
    switch (value.kind) {
    case ADMIN_BOOL:
        admin_put_bool(writer, name, value.truth);
        break;
    case ADMIN_UINT:
        admin_put_uint(writer, name, value.number);
        break;
    case ADMIN_INT:
        CHECK(value.negative < 0);
        admin_put_int(writer, name, value.negative);
        break;
    case ADMIN_TEXT:
        snprintf(text, sizeof text, "%.*s", (int)value.text.length, value.text.bytes);
        admin_put_text(writer, name, text);
        break;
    case ADMIN_LIST:
        admin_put_list(writer, name, value.list.count);
        while (admin_list_next(&value, &item)) {
            snprintf(text, sizeof text, "%.*s", (int)item.length, item.bytes);
            admin_put_item(writer, text);
        }
        break;
    default:
        admin_put_nil(writer, name);
    }
}

static void write_again(const struct admin_reply *reply) {
    static uint8_t bytes[4 * ADMIN_REPLY_BYTES_MAX];
    struct admin_writer writer = {.bytes = bytes, .capacity = sizeof bytes};
    struct admin_reply again;
    admin_write_reply(&writer, reply->id, reply->kind);
    for (unsigned i = 0; i < reply->fields.count; i++)
        put(&writer, &reply->fields.items[i]);
    if (admin_write_end(&writer) != 0)
        return; /* longer forms than needed were read: it is never longer than the bound */
    CHECK(admin_reply_read(bytes + 4, writer.length - 4, &again) == PARSE_COMPLETE);
    CHECK(again.id == reply->id && again.kind == reply->kind &&
          again.fields.count == reply->fields.count);
    for (unsigned i = 0; i < again.fields.count; i++)
        CHECK(again.fields.items[i].value.kind == reply->fields.items[i].value.kind);
}

/* The same fields in a frame of a request, so that one input tries both. */
static void fuzz_frame(const uint8_t *frame, size_t length) {
    uint8_t *copy = copy_exactly(frame, length);
    struct admin_request request;
    struct admin_reply reply;
    if (admin_request_read(copy, length, &request) == PARSE_COMPLETE)
        CHECK(request.id != 0 && request.command.length > 0 &&
              request.arguments.count <= ADMIN_FIELDS_MAX &&
              !admin_field_find(&request.arguments, "no such argument"));
    if (admin_reply_read(copy, length, &reply) == PARSE_COMPLETE)
        write_again(&reply);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *frame;
    size_t frame_bytes, used;
    uint8_t *copy = copy_exactly(data, size);
    if (admin_frame_find(copy, size, ADMIN_REPLY_BYTES_MAX, &frame, &frame_bytes, &used) ==
        PARSE_COMPLETE) {
        CHECK(used <= size && frame == copy + ADMIN_HEAD_BYTES);
        fuzz_frame(frame, frame_bytes);
    }
    fuzz_frame(copy, size);
    uint8_t *text = copy_exactly(data, size);
    struct admin_writer writer = {.bytes = copy, .capacity = size};
    char value[64];
    snprintf(value, sizeof value, "%.*s", (int)size, (const char *)text);
    admin_write_request(&writer, 1, "x");
    admin_put_text(&writer, "a", value); /* any bytes are made UTF-8, or don't fit */
    admin_put_list(&writer, "l", size > 255 ? 300 : 0);
    if (admin_write_end(&writer) == 0) {
        struct admin_request request;
        CHECK(admin_request_read(copy + 4, writer.length - 4, &request) == PARSE_COMPLETE);
    }
    free(text);
    free(copy);
    return 0;
}

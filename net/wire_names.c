/* SPDX-License-Identifier: Apache-2.0 */
/* Names of frames and choices for people, and frames as lines of a trace; made from wire.def. */
#include "net/wire.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* clang-format off: it would tear the macros' braces apart */
#define CHOICES(name, doc)                            \
    const char *wire_##name##_name(unsigned number) { \
        switch (number) {
#define CHOICE(prefix, upper, lower, number, doc) \
    case number:                                  \
        return #lower;
#define CHOICES_END(name) \
    default:              \
        return "unknown"; \
        }                 \
        }
#include "net/wire.def"
/* clang-format on */

bool wire_code_ends_send(unsigned code) {
    switch (code) {
    case WIRE_CODE_STALE:
    case WIRE_CODE_CONFLICT:
    case WIRE_CODE_LIMITED:
    case WIRE_CODE_OVERLOADED:
    case WIRE_CODE_UNAVAILABLE:
    case WIRE_CODE_INTERNAL:
        return false;
    default:
        return true;
    }
}

unsigned wire_state_rank(unsigned state) {
    switch (state) {
    case 0:
        return 0;
    case WIRE_STATE_SENT:
        return 1;
    case WIRE_STATE_DELIVERED:
        return 3;
    case WIRE_STATE_READ:
        return 4;
    case WIRE_STATE_PLAYED:
        return 5;
    default:
        return 2; /* this device will not have it */
    }
}

const char *wire_kind_name(unsigned kind) {
    switch (kind) {
#define FRAME(upper, name, number, direction, doc) \
    case number:                                   \
        return #name;
#include "net/wire.def"
    default:
        return "unknown";
    }
}

struct line {
    char *text;
    size_t capacity;
    int length; /* of the whole line, whether it fits or not */
};

__attribute__((format(printf, 2, 3))) static void add(struct line *line, const char *format, ...) {
    size_t used = (size_t)line->length < line->capacity ? (size_t)line->length : line->capacity;
    va_list arguments;
    va_start(arguments, format);
    line->length += vsnprintf(line->text + used, line->capacity - used, format, arguments);
    va_end(arguments);
}

static void add_id(struct line *line, const char *name, const struct wire_id *id) {
    add(line, " %s=", name);
    for (int i = 0; i < WIRE_ID_BYTES; i++)
        add(line, "%02x", id->bytes[i]);
}

/* clang-format off: as above */
#define FRAME(upper, name, number, direction, doc)                               \
    static void add_##name(struct line *line, const struct wire_##name *frame) { \
        (void)line;                                                              \
        (void)frame;
#define FRAME_END(name) }
/* clang-format on */
#define NUMBER(type, name, default_, doc) add(line, " " #name "=%" PRIu64, (uint64_t)frame->name);
#define SELECT(choices, name, default_, doc) \
    add(line, " " #name "=%s", wire_##choices##_name(frame->name));
#define SWITCH(name, default_, doc) add(line, " " #name "=%s", frame->name ? "yes" : "no");
#define IDENTITY(name, doc) add_id(line, #name, &frame->name);
#define TEXT(name, bytes_max, doc) add(line, " " #name "=%uB", (unsigned)frame->name.length);
#define BYTES(name, bytes_max, doc) add(line, " " #name "=%uB", (unsigned)frame->name.length);
#define LIST(element, name, count_max, doc) add(line, " " #name "=%u", (unsigned)frame->name.count);
/* Only frames are traced: the fields of records and bodies vanish in functions that nobody calls.
 */
#define RECORD(name, doc)                                             \
    __attribute__((unused)) static void add_##name(struct line *line, \
                                                   const struct wire_##name *frame) {
#define RECORD_END(name) }
#define BODY(name, doc) RECORD(name, doc)
#define BODY_END(name) }
#include "net/wire.def"

int wire_print_frame(const struct wire_frame *frame, char *text, size_t capacity) {
    struct line line = {text, capacity, 0};
    add(&line, "%s", wire_kind_name(frame->kind));
    if (frame->ref != 0)
        add(&line, " ref=%u", (unsigned)frame->ref);
    switch (frame->kind) {
#define FRAME(upper, name, number, direction, doc) \
    case WIRE_##upper:                             \
        add_##name(&line, &frame->name);           \
        break;
#include "net/wire.def"
    default:
        add(&line, " kind=%u", frame->kind);
    }
    return line.length;
}

int wire_id_compare(const struct wire_id *a, const struct wire_id *b) {
    return memcmp(a->bytes, b->bytes, WIRE_ID_BYTES);
}

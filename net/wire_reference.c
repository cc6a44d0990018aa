/* SPDX-License-Identifier: Apache-2.0 */
/* Walks wire.def three times, as a reader of the page wants it: frames, what they hold, choices. */
#include "net/wire_reference.h"

#include "net/wire.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct page {
    char *out;
    size_t capacity;
    size_t length; /* whether it fits or not */
    unsigned place;
};

__attribute__((format(printf, 2, 3))) static void add(struct page *page, const char *format, ...) {
    size_t used = page->length < page->capacity ? page->length : page->capacity;
    va_list arguments;
    va_start(arguments, format);
    page->length += (size_t)vsnprintf(page->out + used, page->capacity - used, format, arguments);
    va_end(arguments);
}

static const char introduction[] =
    "# The wire\n"
    "\n"
    "Made from `net/wire.def` by `scons wire-reference`; do not edit.\n"
    "\n"
    "TCP, an HTTP/1.1 upgrade (path `/v1`, subprotocol `tern.v1`), binary WebSocket messages, each "
    "a\n"
    "Noise message (`Noise_XX_25519_ChaChaPoly_SHA256`, prologue `tern/1`), each with one or more\n"
    "frames back to back: at most 65,000 bytes of them.\n"
    "\n"
    "A frame is a msgpack array `[kind, ref, fields...]`. `ref` above 0 asks for a `reply` with "
    "the same\n"
    "ref; each side counts its own, below 2^32. Fields missing at the end take their defaults, "
    "extra\n"
    "ones are ignored, a frame of an unknown kind is passed over (with a ref: answered "
    "bad_request).\n"
    "Numbers are never negative and may come in any msgpack form; text is str and UTF-8, bytes and "
    "ids\n"
    "are bin. A field beyond its bound is answered too_big; anything else that is wrong ends the\n"
    "connection with close code 4000. Records and bodies are arrays by the same rules.\n"
    "\n"
    "All ciphertexts and `external` of one send together are at most 61,440 bytes. On one "
    "connection\n"
    "`mail` and `status` come in rising order of their cursors.\n";

static void begin_table(struct page *page, unsigned place) {
    page->place = place;
    add(page, "\n| place | field | type | default | meaning |\n|---|---|---|---|---|\n");
}

static void add_field(struct page *page, const char *name, const char *type, const char *absent,
                      const char *doc) {
    add(page, "| %u | `%s` | %s | %s | %s |\n", page->place++, name, type, absent, doc);
}

static const char *direction_text(const char *direction) {
    if (strcmp(direction, "FROM_DEVICE") == 0)
        return "from the device";
    return strcmp(direction, "FROM_NODE") == 0 ? "from the node" : "from both";
}

/* A table needs fields. */
#define COUNT(name)                                              \
    __attribute__((unused)) static unsigned count_##name(void) { \
        unsigned count = 0;
#define COUNT_END \
    return count; \
    }
#define RECORD(name, doc) COUNT(name)
#define RECORD_END(name) COUNT_END
#define FRAME(upper, name, number, direction, doc) COUNT(name)
#define FRAME_END(name) COUNT_END
#define BODY(name, doc) COUNT(name)
#define BODY_END(name) COUNT_END
#define NUMBER(type, name, default_, doc) count++;
#define SELECT(choices, name, default_, doc) count++;
#define SWITCH(name, default_, doc) count++;
#define IDENTITY(name, doc) count++;
#define TEXT(name, bytes_max, doc) count++;
#define BYTES(name, bytes_max, doc) count++;
#define LIST(element, name, count_max, doc) count++;
#include "net/wire.def"

/* One function for each frame, record and body. */
#define TABLE(name)                                                   \
    static void add_table_##name(struct page *page, unsigned place) { \
        if (count_##name() == 0)                                      \
            return;                                                   \
        begin_table(page, place);
#define TABLE_END }
#define RECORD(name, doc) TABLE(name)
#define RECORD_END(name) TABLE_END
#define FRAME(upper, name, number, direction, doc) TABLE(name)
#define FRAME_END(name) TABLE_END
#define BODY(name, doc) TABLE(name)
#define BODY_END(name) TABLE_END
#define NUMBER(type, name, default_, doc) add_field(page, #name, #type, #default_, doc);
#define SELECT(choices, name, default_, doc) \
    add_field(page, #name, "[" #choices "](#" #choices ")", wire_##choices##_name(default_), doc);
#define SWITCH(name, default_, doc) \
    add_field(page, #name, "bool", default_ ? "true" : "false", doc);
#define IDENTITY(name, doc) add_field(page, #name, "id: bin of 16", "zeros", doc);
#define TEXT(name, bytes_max, doc) \
    add_field(page, #name, "str, &le; " #bytes_max " B", "empty", doc);
#define BYTES(name, bytes_max, doc) \
    add_field(page, #name, "bin, &le; " #bytes_max " B", "empty", doc);
#define LIST(element, name, count_max, doc) \
    add_field(page, #name, "list of " #element ", &le; " #count_max, "empty", doc);
#include "net/wire.def"

static void add_frames(struct page *page) {
    add(page, "\n## Frames\n");
#define FRAME(upper, name, number, direction, doc)                                         \
    add(page, "\n### %s: %u, %s\n\n%s\n", #name, number, direction_text(#direction), doc); \
    add_table_##name(page, 2);
#include "net/wire.def"
}

static void add_records(struct page *page) {
    add(page,
        "\n## Records in lists\n\nA number is a uint64, an identity a bin of 16, a text a str of "
        "at most %d B.\n",
        WIRE_LIST_TEXT_BYTES_MAX);
#define RECORD(name, doc)                      \
    add(page, "\n### %s\n\n%s\n", #name, doc); \
    add_table_##name(page, 0);
#include "net/wire.def"
    add(page, "\n## Bodies of replies\n");
#define BODY(name, doc)                        \
    add(page, "\n### %s\n\n%s\n", #name, doc); \
    add_table_##name(page, 0);
#include "net/wire.def"
}

static void add_choices(struct page *page) {
    add(page, "\n## Choices\n");
#define CHOICES(name, doc) \
    add(page, "\n### %s\n\n%s\n\n| number | name | meaning |\n|---|---|---|\n", #name, doc);
#define CHOICE(prefix, upper, lower, number, doc) \
    add(page, "| %u | `%s` | %s |\n", (unsigned)(number), #lower, doc);
#include "net/wire.def"
}

size_t wire_reference(char *out, size_t capacity) {
    struct page page = {.out = out, .capacity = capacity};
    add(&page, "%s", introduction);
    add_frames(&page);
    add_records(&page);
    add_choices(&page);
    return page.length;
}

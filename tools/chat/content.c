/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Written by hand, since a version and a text are all of it; msgpack's specification
 * (github.com/msgpack/msgpack/blob/master/spec.md) gives the first bytes.
 */
#include "tools/chat/content.h"

#include "net/utf8.h"
#include "runtime/check.h"

#include <string.h>

enum first_byte {
    FIXARRAY = 0x90,
    FIXARRAY_MAX = 0x9f,
    FIXSTR = 0xa0,
    FIXSTR_MAX = 0xbf,
    STR_8 = 0xd9,
    STR_16 = 0xda,
    STR_32 = 0xdb,
    ARRAY_16 = 0xdc,
};

size_t content_write(uint8_t *out, struct wire_bytes text) {
    size_t at = 0;
    CHECK(text.length <= CONTENT_TEXT_BYTES_MAX);
    out[at++] = FIXARRAY | 2;
    out[at++] = CONTENT_VERSION;
    if (text.length <= FIXSTR_MAX - FIXSTR) {
        out[at++] = (uint8_t)(FIXSTR | text.length);
    } else if (text.length <= UINT8_MAX) {
        out[at++] = STR_8;
        out[at++] = (uint8_t)text.length;
    } else {
        out[at++] = STR_16;
        out[at++] = (uint8_t)(text.length >> 8);
        out[at++] = (uint8_t)text.length;
    }
    if (text.length > 0)
        memcpy(out + at, text.bytes, text.length);
    return at + text.length;
}

/* A big-endian number of `bytes` bytes, or UINT32_MAX: they are not there. */
static uint32_t take_number(struct wire_bytes *rest, unsigned bytes) {
    uint32_t number = 0;
    if (rest->length < bytes)
        return UINT32_MAX;
    for (unsigned i = 0; i < bytes; i++)
        number = number << 8 | rest->bytes[i];
    rest->bytes += bytes;
    rest->length -= bytes;
    return number;
}

/* How many elements the array has; 0: it is none. */
static uint32_t take_array(struct wire_bytes *rest) {
    uint32_t first = take_number(rest, 1);
    if (first >= FIXARRAY && first <= FIXARRAY_MAX)
        return first - FIXARRAY;
    if (first != ARRAY_16)
        return 0;
    uint32_t count = take_number(rest, 2);
    return count == UINT32_MAX ? 0 : count;
}

/* The text's length, or UINT32_MAX: it is no text. */
static uint32_t take_text_length(struct wire_bytes *rest) {
    uint32_t first = take_number(rest, 1);
    if (first >= FIXSTR && first <= FIXSTR_MAX)
        return first - FIXSTR;
    switch (first) {
    case STR_8:
        return take_number(rest, 1);
    case STR_16:
        return take_number(rest, 2);
    case STR_32:
        return take_number(rest, 4);
    default:
        return UINT32_MAX;
    }
}

static enum parse_result read_ours(struct wire_bytes rest, struct wire_bytes *text) {
    if (take_array(&rest) < 2 || take_number(&rest, 1) != CONTENT_VERSION)
        return PARSE_JUNK;
    uint32_t length = take_text_length(&rest);
    if (length > rest.length || !utf8_is_valid(rest.bytes, length))
        return PARSE_JUNK;
    *text = (struct wire_bytes){.bytes = rest.bytes, .length = length};
    return PARSE_COMPLETE;
}

enum parse_result content_read(struct wire_bytes content, struct wire_bytes *text) {
    if (read_ours(content, text) == PARSE_COMPLETE)
        return PARSE_COMPLETE;
    if (!utf8_is_valid(content.bytes, content.length))
        return PARSE_JUNK;
    *text = content;
    return PARSE_COMPLETE;
}

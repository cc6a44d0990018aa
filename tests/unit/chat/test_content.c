/* SPDX-License-Identifier: Apache-2.0 */
/* What a message says: ours, other people's, and what nobody can read. */
#include "tools/chat/content.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct wire_bytes bytes_of(const char *text, size_t length) {
    return (struct wire_bytes){(const uint8_t *)text, (uint32_t)length};
}

static void texts_of_every_length_form_come_back(void **state) {
    static const uint32_t lengths[] = {0,   1,   31,           32,
                                       255, 256, 65535 - 5000, CONTENT_TEXT_BYTES_MAX};
    char *text = malloc(CONTENT_TEXT_BYTES_MAX);
    uint8_t *out = malloc(CONTENT_TEXT_BYTES_MAX + CONTENT_OVERHEAD_MAX);
    memset(text, 'x', CONTENT_TEXT_BYTES_MAX);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct wire_bytes read = {0};
        size_t length = content_write(out, bytes_of(text, lengths[i]));
        assert_true(length <= WIRE_CONTENT_BYTES_MAX);
        assert_int_equal(content_read((struct wire_bytes){out, (uint32_t)length}, &read),
                         PARSE_COMPLETE);
        assert_int_equal(read.length, lengths[i]);
        assert_ptr_equal(read.bytes, out + length - lengths[i]);
    }
    free(out);
    free(text);
}

static void written_content_is_msgpack(void **state) {
    uint8_t out[16];
    size_t length = content_write(out, bytes_of("hi", 2));
    assert_int_equal(length, 5);
    assert_memory_equal(out, "\x92\x01\xa2hi", 5);
}

static void every_form_of_text_and_array_is_read(void **state) {
    static const struct {
        const char *bytes;
        size_t length;
    } cases[] = {
        {"\x92\x01\xa2hi", 5},
        {"\x92\x01\xd9\x02hi", 6},
        {"\x92\x01\xda\x00\x02hi", 7},
        {"\x92\x01\xdb\x00\x00\x00\x02hi", 9},
        {"\xdc\x00\x02\x01\xa2hi", 7},
        {"\x93\x01\xa2hi\xc0", 6}, /* a later version's further element */
        {"hi", 2},                 /* somebody else's plain text */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wire_bytes text;
        assert_int_equal(content_read(bytes_of(cases[i].bytes, cases[i].length), &text),
                         PARSE_COMPLETE);
        assert_int_equal(text.length, 2);
        assert_memory_equal(text.bytes, "hi", 2);
    }
}

static void broken_content_is_unreadable(void **state) {
    static const struct {
        const char *bytes;
        size_t length;
    } cases[] = {
        {"\x92", 1},
        {"\x92\x01", 2},
        {"\x91\x01", 2},                       /* no text */
        {"\x92\x02\xa2hi", 5},                 /* another version */
        {"\x92\x01\xa3hi", 5},                 /* longer than what is there */
        {"\x92\x01\xdb\xff\xff\xff\xffhi", 9}, /* much longer */
        {"\x92\x01\xda\x00", 4},               /* its length cut off */
        {"\x92\x01\xc4\x02hi", 6},             /* bytes, not text */
        {"\x92\x01\xa2\xc3\x28", 5},           /* no UTF-8 */
        {"\xdc\x00", 2},
        {"\xff\xfe", 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wire_bytes text;
        assert_int_equal(content_read(bytes_of(cases[i].bytes, cases[i].length), &text),
                         PARSE_JUNK);
    }
}

static void nothing_at_all_is_an_empty_text(void **state) {
    struct wire_bytes text = {.length = 9};
    assert_int_equal(content_read((struct wire_bytes){NULL, 0}, &text), PARSE_COMPLETE);
    assert_int_equal(text.length, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_of_every_length_form_come_back),
        cmocka_unit_test(written_content_is_msgpack),
        cmocka_unit_test(every_form_of_text_and_array_is_read),
        cmocka_unit_test(broken_content_is_unreadable),
        cmocka_unit_test(nothing_at_all_is_an_empty_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

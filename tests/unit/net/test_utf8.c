/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 validation against the edges of RFC 3629 section 4 and against a plain second
 * implementation. */
#include "net/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static bool is_valid(const char *text, size_t length) {
    return utf8_is_valid((const uint8_t *)text, length);
}

#define VALID(text) assert_true(is_valid(text, sizeof(text) - 1))
#define INVALID(text) assert_false(is_valid(text, sizeof(text) - 1))

static void utf8_takes_every_length_of_character(void **state) {
    VALID("");
    VALID("plain text that is longer than eight bytes");
    VALID("\xC2\x80\xDF\xBF");                 /* U+0080, U+07FF */
    VALID("\xE0\xA0\x80\xEF\xBF\xBF");         /* U+0800, U+FFFF */
    VALID("\xF0\x90\x80\x80\xF4\x8F\xBF\xBF"); /* U+10000, U+10FFFF */
    VALID("\xED\x9F\xBF\xEE\x80\x80");         /* around the surrogates */
    VALID("a\0b");
}

static void utf8_rejects_longer_forms_surrogates_and_beyond(void **state) {
    INVALID("\xC0\x80");
    INVALID("\xC1\xBF");
    INVALID("\xE0\x9F\xBF");
    INVALID("\xF0\x8F\xBF\xBF");
    INVALID("\xED\xA0\x80");
    INVALID("\xED\xBF\xBF");
    INVALID("\xF4\x90\x80\x80");
    INVALID("\xF5\x80\x80\x80");
    INVALID("\xFF");
    INVALID("\x80");
    INVALID("12345678\xBF");
}

static void utf8_rejects_a_character_cut_short(void **state) {
    const char whole[] = "\xF0\x9F\x98\x80";
    for (size_t length = 1; length < 4; length++)
        assert_false(is_valid(whole, length));
    assert_true(is_valid(whole, 4));
    INVALID("\xE2\x82 ");
    INVALID("\xC3(");
    INVALID("\xF0\x9F\x98 ");
}

/* Every scalar value, encoded by hand, is taken; each surrogate refused. */
static void utf8_agrees_with_every_code_point(void **state) {
    for (uint32_t point = 0x800; point < 0x10000; point++) {
        uint8_t bytes[3] = {(uint8_t)(0xE0 | point >> 12), (uint8_t)(0x80 | (point >> 6 & 0x3F)),
                            (uint8_t)(0x80 | (point & 0x3F))};
        assert_int_equal(utf8_is_valid(bytes, 3), point < 0xD800 || point > 0xDFFF);
    }
    for (uint32_t point = 0; point < 0x140000; point += 0xFF) {
        uint8_t bytes[4] = {(uint8_t)(0xF0 | point >> 18), (uint8_t)(0x80 | (point >> 12 & 0x3F)),
                            (uint8_t)(0x80 | (point >> 6 & 0x3F)),
                            (uint8_t)(0x80 | (point & 0x3F))};
        assert_int_equal(utf8_is_valid(bytes, 4), point >= 0x10000 && point < 0x110000);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8_takes_every_length_of_character),
        cmocka_unit_test(utf8_rejects_longer_forms_surrogates_and_beyond),
        cmocka_unit_test(utf8_rejects_a_character_cut_short),
        cmocka_unit_test(utf8_agrees_with_every_code_point),
    };
    return cmocka_run_group_tests_name("utf8", tests, NULL, NULL);
}

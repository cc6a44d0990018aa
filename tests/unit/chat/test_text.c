/* SPDX-License-Identifier: Apache-2.0 */
/* What others wrote can do nothing to a terminal; ids, numbers and names are what they should be.
 */
#include "tools/chat/text.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MARK "\xef\xbf\xbd"

static char *harmless(const char *text, size_t length) {
    char *result = NULL;
    size_t size;
    FILE *out = open_memstream(&result, &size);
    text_put(out, (struct wire_bytes){(const uint8_t *)text, (uint32_t)length}, "|");
    fclose(out);
    return result;
}

static void control_characters_are_made_harmless(void **state) {
    static const struct {
        const char *text, *result;
    } cases[] = {
        {"plain", "plain"},
        {"gr\xc3\xbc\xc3\x9f \xe4\xbd\xa0 \xf0\x9f\x98\x80",
         "gr\xc3\xbc\xc3\x9f \xe4\xbd\xa0 \xf0\x9f\x98\x80"},
        {"\033[2J", MARK "[2J"},
        {"a\rb\ac\bd\x7f", "a" MARK "b" MARK "c" MARK "d" MARK},
        {"\xc2\x9b"
         "31m",
         MARK "31m"}, /* CSI as one character of C1 */
        {"a\xe2\x80\xae"
         "b",
         "a" MARK "b"}, /* U+202E turns the direction */
        {"a\xe2\x81\xa6"
         "b",
         "a" MARK "b"}, /* U+2066 */
        {"a\xe2\x80\x8d"
         "b",
         "a\xe2\x80\x8d"
         "b"}, /* U+200D joins emoji */
        {"one\ntwo", "one|two"},
        {"a\tb", "a b"},
        {"\xff"
         "a\xc3",
         MARK "a" MARK}, /* no UTF-8 */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *result = harmless(cases[i].text, strlen(cases[i].text));
        assert_string_equal(result, cases[i].result);
        free(result);
    }
}

static void no_byte_gets_a_control_character_through(void **state) {
    for (unsigned first = 0; first < 256; first++)
        for (unsigned second = 0; second < 256; second++) {
            const char text[2] = {(char)first, (char)second};
            char *result = harmless(text, 2);
            for (const char *at = result; *at != 0; at++)
                assert_true((unsigned char)*at >= 0x20 && *at != 0x7f);
            assert_null(strstr(result, "\xc2\x9b"));
            free(result);
        }
}

static void ids_come_back_from_their_text(void **state) {
    struct wire_id id = {{0x01, 0x92, 0xf0, 0xc1, 0x7a, 0x3b, 0x7c, 0x3d, 0x8e, 0x4f, 0x01, 0x23,
                          0x45, 0x67, 0x89, 0xab}};
    struct wire_id read = {0};
    char text[TEXT_ID_CHARS + 1];
    text_format_id(text, &id);
    assert_string_equal(text, "0192f0c1-7a3b-7c3d-8e4f-0123456789ab");
    assert_true(text_parse_id(text, &read));
    assert_int_equal(wire_id_compare(&id, &read), 0);
    assert_true(text_parse_id("0192F0C17A3B7C3D8E4F0123456789AB", &read));
    assert_int_equal(wire_id_compare(&id, &read), 0);
    assert_false(text_parse_id("0192f0c1-7a3b-7c3d-8e4f-0123456789a", &read));
    assert_false(text_parse_id("0192f0c1-7a3b-7c3d-8e4f-0123456789abc", &read));
    assert_false(text_parse_id("0192f0c1-7a3b-7c3d-8e4f-0123456789ag", &read));
    assert_false(text_parse_id("", &read));
}

static void numbers_are_told_by_their_shape(void **state) {
    assert_true(text_is_phone("+1555000"));
    assert_true(text_is_phone("+155500010001234"));
    assert_false(text_is_phone("+155500"));
    assert_false(text_is_phone("+1555000100012345"));
    assert_false(text_is_phone("15550001000"));
    assert_false(text_is_phone("+05550001000"));
    assert_false(text_is_phone("+1555 000 1000"));
    assert_false(text_is_phone("+"));
    assert_false(text_is_phone(""));
}

static void names_are_short_and_without_controls(void **state) {
    char longest[65];
    memset(longest, 'n', sizeof longest);
    longest[63] = 0;
    assert_true(text_is_name("Zo\xc3\xab"));
    assert_true(text_is_name(longest));
    longest[63] = 'n';
    longest[64] = 0;
    assert_false(text_is_name(longest));
    assert_false(text_is_name(""));
    assert_false(text_is_name("a\nb"));
    assert_false(text_is_name("a\033b"));
    assert_false(text_is_name("\xff"));
}

static void times_of_another_day_have_their_date(void **state) {
    char text[TEXT_TIME_CHARS_MAX];
    setenv("TZ", "UTC", 1);
    text_format_time(text, 1700000000000, 1700000100000);
    assert_string_equal(text, "22:13");
    text_format_time(text, 1700000000000, 1700100000000);
    assert_string_equal(text, "2023-11-14 22:13");
}

static void columns_are_those_of_a_terminal(void **state) {
    assert_int_equal(text_columns('a'), 1);
    assert_int_equal(text_columns(0x4f60), 2);
    assert_int_equal(text_columns(0x301), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(control_characters_are_made_harmless),
        cmocka_unit_test(no_byte_gets_a_control_character_through),
        cmocka_unit_test(ids_come_back_from_their_text),
        cmocka_unit_test(numbers_are_told_by_their_shape),
        cmocka_unit_test(names_are_short_and_without_controls),
        cmocka_unit_test(times_of_another_day_have_their_date),
        cmocka_unit_test(columns_are_those_of_a_terminal),
    };
    setlocale(LC_ALL, "C.UTF-8");
    return cmocka_run_group_tests(tests, NULL, NULL);
}

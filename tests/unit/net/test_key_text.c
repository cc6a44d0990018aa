/* SPDX-License-Identifier: Apache-2.0 */
/* Keys as text: against texts made by another implementation of BIP 350, and every kind of typing
 * mistake. */
#include "net/key_text.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Of the bytes 0, 1, ... 31; by the reference algorithm of BIP 350 in Python. */
#define COUNTING "tern1qqqsyqcyq5rqwzqfpg9scrgwpugpzysnzs23v9ccrydpk8qarc0sjmcx78"
#define COUNTING_UPPER "TERN1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0SJMCX78"

static void counting_key(uint8_t key[KEY_TEXT_BYTES]) {
    for (unsigned i = 0; i < KEY_TEXT_BYTES; i++)
        key[i] = (uint8_t)i;
}

static void check_rejected(const char *text) {
    uint8_t key[KEY_TEXT_BYTES], untouched[KEY_TEXT_BYTES];
    memset(key, 0x5A, sizeof key);
    memset(untouched, 0x5A, sizeof untouched);
    assert_int_equal(key_text_parse(text, key), -EINVAL);
    assert_memory_equal(key, untouched, sizeof key);
}

static void text_is_that_of_another_implementation(void **state) {
    static const char *const expected[] = {
        "tern1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqm0ny77",
        "tern1lllllllllllllllllllllllllllllllllllllllllllllllllllse3s4hf",
    };
    uint8_t key[KEY_TEXT_BYTES];
    char text[KEY_TEXT_CHARS + 1];
    counting_key(key);
    key_text_format(text, key);
    assert_string_equal(text, COUNTING);
    for (unsigned i = 0; i < 2; i++) {
        memset(key, i == 0 ? 0x00 : 0xFF, sizeof key);
        key_text_format(text, key);
        assert_string_equal(text, expected[i]);
    }
}

static void text_is_read_in_either_case_but_not_in_both(void **state) {
    uint8_t key[KEY_TEXT_BYTES], expected[KEY_TEXT_BYTES];
    counting_key(expected);
    assert_int_equal(key_text_parse(COUNTING, key), 0);
    assert_memory_equal(key, expected, sizeof key);
    memset(key, 0, sizeof key);
    assert_int_equal(key_text_parse(COUNTING_UPPER, key), 0);
    assert_memory_equal(key, expected, sizeof key);
    char text[] = COUNTING;
    text[0] = 'T';
    check_rejected(text);
}

static void any_wrong_character_is_noticed(void **state) {
    for (size_t i = 0; i < KEY_TEXT_CHARS; i++) {
        for (const char *c = "023456789acdefghjklmnpqrstuvwxyz1bio-"; *c != '\0'; c++) {
            char text[] = COUNTING;
            if (text[i] == *c)
                continue;
            text[i] = *c;
            check_rejected(text);
        }
    }
}

static void two_neighbours_swapped_are_noticed(void **state) {
    for (size_t i = 0; i + 1 < KEY_TEXT_CHARS; i++) {
        char text[] = COUNTING;
        text[i] = COUNTING[i + 1];
        text[i + 1] = COUNTING[i];
        if (text[i] != text[i + 1])
            check_rejected(text);
    }
}

static void other_lengths_and_padding_are_rejected(void **state) {
    char longer[] = COUNTING "q";
    check_rejected("");
    check_rejected("tern1");
    check_rejected(longer);
    longer[KEY_TEXT_CHARS - 1] = '\0';
    check_rejected(longer);
    /* a valid checksum over data whose last four bits, which mean nothing, are not zero */
    check_rejected("tern1qqqsyqcyq5rqwzqfpg9scrgwpugpzysnzs23v9ccrydpk8qarc030dvnr4");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_that_of_another_implementation),
        cmocka_unit_test(text_is_read_in_either_case_but_not_in_both),
        cmocka_unit_test(any_wrong_character_is_noticed),
        cmocka_unit_test(two_neighbours_swapped_are_noticed),
        cmocka_unit_test(other_lengths_and_padding_are_rejected),
    };
    return cmocka_run_group_tests_name("key_text", tests, NULL, NULL);
}

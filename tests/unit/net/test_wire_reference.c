/* SPDX-License-Identifier: Apache-2.0 */
/* The reference page in the tree is the one that wire.def makes. Runs in the project's root. */
#include "net/wire_reference.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PAGE_BYTES 65536

static char page[PAGE_BYTES], stored[PAGE_BYTES];

static void stored_page_is_what_the_list_makes(void **state) {
    (void)state;
    size_t length = wire_reference(page, sizeof page);
    assert_true(length > 0 && length < sizeof page);
    FILE *file = fopen("net/WIRE.md", "r");
    assert_non_null(file);
    size_t stored_length = fread(stored, 1, sizeof stored - 1, file);
    fclose(file);
    if (stored_length != length || memcmp(page, stored, length) != 0)
        fail_msg("net/WIRE.md is stale: run `scons wire-reference`");
}

static void page_names_every_frame(void **state) {
    (void)state;
    wire_reference(page, sizeof page);
#define FRAME(upper, name, number, direction, doc) \
    assert_non_null(strstr(page, "\n### " #name ": "));
#include "net/wire.def"
}

static void page_that_does_not_fit_is_cut(void **state) {
    (void)state;
    char small[16];
    assert_int_equal(wire_reference(small, sizeof small), wire_reference(NULL, 0));
    assert_string_equal(small, "# The wire\n\nMad");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stored_page_is_what_the_list_makes),
        cmocka_unit_test(page_names_every_frame),
        cmocka_unit_test(page_that_does_not_fit_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

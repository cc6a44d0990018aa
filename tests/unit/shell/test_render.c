/* SPDX-License-Identifier: Apache-2.0 */
/* Rows as tables, cards, trees and JSON; what a terminal must not see. */
#include "tools/shell/render.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct admin_field number(const char *name, uint64_t value) {
    return (struct admin_field){{name, (uint32_t)strlen(name)},
                                {.kind = ADMIN_UINT, .number = value}};
}

static struct admin_field text(const char *name, const char *value) {
    return (struct admin_field){{name, (uint32_t)strlen(name)},
                                {.kind = ADMIN_TEXT, .text = {value, (uint32_t)strlen(value)}}};
}

static void add(struct render_rows *rows, struct admin_field first, struct admin_field second,
                struct admin_field third) {
    struct admin_reply row = {.kind = ADMIN_ROW, .fields = {3, {first, second, third}}};
    render_rows_add(rows, &row);
}

static char *drawn(void (*draw)(FILE *, const struct render_rows *, const struct render_options *),
                   struct render_rows *rows, unsigned width, bool colour) {
    char *bytes;
    size_t length;
    FILE *out = open_memstream(&bytes, &length);
    struct render_options options = {.width = width, .colour = colour};
    draw(out, rows, &options);
    fclose(out);
    return bytes;
}

static void value_is(struct admin_field field, const char *wanted) {
    char words[RENDER_TEXT_BYTES_MAX];
    render_value(&field, words, sizeof words);
    assert_string_equal(words, wanted);
}

static void units_of_names_become_words(void **state) {
    value_is(number("x_bytes", 0), "0 B");
    value_is(number("x_bytes", 1536), "1.5 KiB");
    value_is(number("bytes", 123ull << 20), "123 MiB");
    value_is(number("uptime_ms", 90000), "1.5 min");
    value_is(number("uptime_ms", 0), "0");
    value_is(number("busy_ns", 1500), "1.5 \u00b5s");
    value_is(number("count", 1234567), "1,234,567");
    value_is(number("key", 1234567), "1234567");
}

static void numbers_stand_right_and_nothing_ends_with_blanks(void **state) {
    struct render_rows rows = {0};
    add(&rows, text("class", "mailbox"), number("actors", 1000), text("state", "idle"));
    add(&rows, text("class", "x"), number("actors", 7), text("state", "-"));
    char *table = drawn(render_table, &rows, 0, false);
    assert_string_equal(table, "class    actors  state\n"
                               "mailbox   1,000  idle\n"
                               "x             7  -\n");
    free(table);
    render_rows_clear(&rows);
}

static void lines_are_cut_at_the_terminals_edge(void **state) {
    struct render_rows rows = {0};
    add(&rows, text("a", "\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4"), text("b", "xx"), text("c", "yy"));
    char *table = drawn(render_table, &rows, 9, false);
    assert_string_equal(table, "a       b\n\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4  \u2026\n");
    free(table);
    render_rows_clear(&rows);
}

static void what_moves_a_cursor_is_not_let_through(void **state) {
    struct render_rows rows = {0};
    add(&rows, text("a", "x\033[2Jy\n"), text("b", "z\r"), text("text", "l\033\n1"));
    char *(*how)(void (*)(FILE *, const struct render_rows *, const struct render_options *),
                 struct render_rows *, unsigned, bool) = drawn;
    char *shown[] = {how(render_table, &rows, 0, false), how(render_card, &rows, 0, false),
                     how(render_tree, &rows, 0, false)};
    for (unsigned i = 0; i < 3; i++) {
        assert_null(strchr(shown[i], '\033'));
        assert_null(strchr(shown[i], '\r'));
        assert_non_null(strstr(shown[i], "x?[2Jy?"));
        free(shown[i]);
    }
    render_rows_clear(&rows);
}

static void colour_only_where_it_is_wanted(void **state) {
    struct render_rows rows = {0};
    add(&rows, text("a", "x"), text("b", "y"), text("c", "z"));
    char *plain = drawn(render_table, &rows, 0, false), *bold = drawn(render_table, &rows, 0, true);
    assert_null(strchr(plain, '\033'));
    assert_non_null(strstr(bold, "\033[1ma\033[0m"));
    free(plain);
    free(bold);
    render_rows_clear(&rows);
}

static void depths_become_branches(void **state) {
    struct render_rows rows = {0};
    add(&rows, number("depth", 0), text("name", "root"), number("n", 1));
    add(&rows, number("depth", 1), text("name", "a"), number("n", 2));
    add(&rows, number("depth", 2), text("name", "b"), number("n", 3));
    add(&rows, number("depth", 1), text("name", "c"), number("n", 4));
    char *tree = drawn(render_tree, &rows, 0, false);
    assert_string_equal(tree, "name     n\n"
                              "root     1\n"
                              "\u251c\u2500 a     2\n"
                              "\u2502  \u2514\u2500 b  3\n"
                              "\u2514\u2500 c     4\n");
    free(tree);
    render_rows_clear(&rows);
}

static void json_has_numbers_as_they_came(void **state) {
    char *bytes;
    size_t length;
    FILE *out = open_memstream(&bytes, &length);
    struct admin_fields fields = {
        3, {number("x_bytes", 1536), text("t", "a\"\033"), {{"nil", 3}, {.kind = ADMIN_NIL}}}};
    render_json(out, &fields);
    fclose(out);
    assert_string_equal(bytes, "{\"x_bytes\":1536,\"t\":\"a\\\"\\u001B\",\"nil\":null}");
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(units_of_names_become_words),
        cmocka_unit_test(numbers_stand_right_and_nothing_ends_with_blanks),
        cmocka_unit_test(lines_are_cut_at_the_terminals_edge),
        cmocka_unit_test(what_moves_a_cursor_is_not_let_through),
        cmocka_unit_test(colour_only_where_it_is_wanted),
        cmocka_unit_test(depths_become_branches),
        cmocka_unit_test(json_has_numbers_as_they_came),
    };
    return cmocka_run_group_tests_name("render", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The line of input: what keys make of it, and that it never draws beyond its row. */
#include "tools/chat/editor.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct editor *editor;
    FILE *out;
    char *drawn;
    size_t drawn_bytes;
    char lines[400]; /* each with a '|' behind it */
    unsigned too_long, ends;
};

static void on_line(void *context, struct wire_bytes line) {
    struct fixture *fixture = context;
    size_t length = strlen(fixture->lines);
    snprintf(fixture->lines + length, sizeof fixture->lines - length, "%.*s|",
             line.length < 100 ? (int)line.length : 0, (const char *)line.bytes);
}

static void on_too_long(void *context) {
    struct fixture *fixture = context;
    fixture->too_long++;
}

static void on_end(void *context) {
    struct fixture *fixture = context;
    fixture->ends++;
}

static const struct editor_events events = {on_line, on_too_long, on_end};

static struct fixture *make(bool is_terminal) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->out = open_memstream(&fixture->drawn, &fixture->drawn_bytes);
    fixture->editor = editor_create(fixture->out, is_terminal, &events, fixture);
    editor_draw(fixture->editor);
    return fixture;
}

static int setup(void **state) {
    *state = make(true);
    return 0;
}

static int setup_plain(void **state) {
    *state = make(false);
    return 0;
}

static int teardown(void **state) {
    struct fixture *fixture = *state;
    editor_destroy(fixture->editor);
    fclose(fixture->out);
    free(fixture->drawn);
    free(fixture);
    return 0;
}

static void feed(struct fixture *fixture, const char *keys) {
    editor_feed(fixture->editor, (const uint8_t *)keys, strlen(keys));
}

/* What the row shows after the last draw. */
static const char *last_drawn(struct fixture *fixture) {
    const char *at = fixture->drawn, *next;
    while ((next = strstr(at, "\r\033[K")) != NULL)
        at = next + strlen("\r\033[K");
    return at;
}

static void keys_edit_the_line(void **state) {
    static const struct {
        const char *keys, *line;
    } cases[] = {
        {"hello\r", "hello|"},
        {"helo\033[Dl\r", "hello|"},
        {"hxello\001\006\004\r", "hello|"}, /* ^A ^F ^D */
        {"hello\b\x7fy\r", "hely|"},
        {"one two\027three\r", "one three|"},             /* ^W */
        {"gone\025here\r", "here|"},                      /* ^U */
        {"keep this\001\006\006\006\006\013\r", "keep|"}, /* ^K */
        {"b\033[Ha\033[Fc\r", "abc|"},
        {"b\033[1~a\033[4~c\r", "abc|"},
        {"b\033OHa\033OFc\r", "abc|"},
        {"ax\033[D\033[3~b\r", "ab|"},
        {"a\033[1;5Cb\033[99;99;99;99;99;99;99;99zc\r", "abc|"}, /* unknown sequences: nothing */
        {"\r", "|"},
        {"a\r\nb\r", "a|b|"},
        {"a\tb\r", "a b|"},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture->lines[0] = 0;
        feed(fixture, cases[i].keys);
        assert_string_equal(fixture->lines, cases[i].line);
    }
}

static void characters_of_several_bytes_are_whole(void **state) {
    struct fixture *fixture = *state;
    feed(fixture, "a\xc3");
    feed(fixture, "\xbc\xe4\xbd\xa0\x7f\r"); /* the last one deleted as a whole */
    assert_string_equal(fixture->lines, "a\xc3\xbc|");
    fixture->lines[0] = 0;
    feed(fixture, "\xff\xc3(\x80"
                  "ok\xe4\xbdx\r"); /* broken ones are left out */
    assert_string_equal(fixture->lines, "(okx|");
}

static void earlier_lines_come_back(void **state) {
    struct fixture *fixture = *state;
    feed(fixture, "one\rtwo\r");
    fixture->lines[0] = 0;
    feed(fixture, "\033[A\033[A\r"); /* one */
    feed(fixture, "\020!\r");        /* ^P: one again */
    feed(fixture, "\033[A\033[A\033[A\033[Bx\033[B\033[B\033[B\r");
    assert_string_equal(fixture->lines, "one|one!||");
}

static void a_paste_keeps_its_line_ends_and_sends_nothing(void **state) {
    struct fixture *fixture = *state;
    feed(fixture, "\033[200~one\rtwo\033[201~");
    assert_string_equal(fixture->lines, "");
    feed(fixture, "\r");
    assert_string_equal(fixture->lines, "one\ntwo|");
}

static void control_d_ends_on_an_empty_line_alone(void **state) {
    struct fixture *fixture = *state;
    feed(fixture, "a\004");
    assert_int_equal(fixture->ends, 0);
    feed(fixture, "\b\004");
    assert_int_equal(fixture->ends, 1);
}

static void an_unfinished_line_of_a_lost_terminal_is_not_sent(void **state) {
    struct fixture *fixture = *state;
    feed(fixture, "not yet");
    editor_feed_end(fixture->editor);
    assert_string_equal(fixture->lines, "");
    assert_int_equal(fixture->ends, 1);
}

static void a_line_that_is_too_long_is_refused_as_a_whole(void **state) {
    struct fixture *fixture = *state;
    char *text = malloc(EDITOR_BYTES_MAX + 2);
    memset(text, 'x', EDITOR_BYTES_MAX + 1);
    text[EDITOR_BYTES_MAX + 1] = 0;
    feed(fixture, text);
    feed(fixture, "\r");
    assert_int_equal(fixture->too_long, 1);
    assert_string_equal(fixture->lines, "");
    text[EDITOR_BYTES_MAX] = 0;
    feed(fixture, text);
    feed(fixture, "\r");
    assert_int_equal(fixture->too_long, 1);
    assert_string_equal(fixture->lines, "|");
    free(text);
}

static void the_row_is_never_wider_than_the_terminal(void **state) {
    struct fixture *fixture = *state;
    editor_set_width(fixture->editor, 20);
    feed(fixture, "0123456789abcdefghijklmnopqrstuvwxyz");
    assert_string_equal(last_drawn(fixture), "> jklmnopqrstuvwxyz"); /* 2 + 17, the cursor's */
    feed(fixture, "\001");
    assert_string_equal(last_drawn(fixture), "> 0123456789abcdefg\033[17D");
    feed(fixture, "\025\005\025"
                  "\xe4\xbd\xa0\xe4\xbd\xa0\xe4\xbd\xa0\xe4\xbd\xa0\xe4\xbd\xa0"
                  "\xe4\xbd\xa0\xe4\xbd\xa0\xe4\xbd\xa0\xe4\xbd\xa0");
    assert_string_equal(last_drawn(fixture), "> "
                                             "\xe4\xbd\xa0\xe4\xbd\xa0\xe4\xbd\xa0\xe4\xbd\xa0"
                                             "\xe4\xbd\xa0\xe4\xbd\xa0\xe4\xbd\xa0\xe4\xbd\xa0");
}

static void lines_of_a_file_are_taken_as_they_are(void **state) {
    struct fixture *fixture = *state;
    feed(fixture, "one\ntwo\tx\nlast");
    assert_string_equal(fixture->lines, "one|two\tx|");
    editor_feed_end(fixture->editor);
    assert_string_equal(fixture->lines, "one|two\tx|last|");
    assert_int_equal(fixture->ends, 1);
    fflush(fixture->out);
    assert_int_equal(fixture->drawn_bytes, 0);
}

#define TERMINAL(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TERMINAL(keys_edit_the_line),
        TERMINAL(characters_of_several_bytes_are_whole),
        TERMINAL(earlier_lines_come_back),
        TERMINAL(a_paste_keeps_its_line_ends_and_sends_nothing),
        TERMINAL(control_d_ends_on_an_empty_line_alone),
        TERMINAL(an_unfinished_line_of_a_lost_terminal_is_not_sent),
        TERMINAL(a_line_that_is_too_long_is_refused_as_a_whole),
        TERMINAL(the_row_is_never_wider_than_the_terminal),
        cmocka_unit_test_setup_teardown(lines_of_a_file_are_taken_as_they_are, setup_plain,
                                        teardown),
    };
    setlocale(LC_ALL, "C.UTF-8");
    return cmocka_run_group_tests(tests, NULL, NULL);
}

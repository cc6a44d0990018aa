/* SPDX-License-Identifier: Apache-2.0 */
/* What may be said behind a program's name, and what ends it. */
#include "tools/options/options.h"

#include <fcntl.h>
#include <getopt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define WORDS_MAX 8
#define SAID_BYTES 1000
#define ACT_STATUS 9

struct fields {
    const char *text, *acted;
    uint64_t number;
    bool flag;
};

static int act(void *fields, const char *value) {
    ((struct fields *)fields)->acted = value;
    return OPTIONS_CONTINUE;
}

static int end(void *fields, const char *value) {
    assert_null(value);
    return ACT_STATUS;
}

#define FIELD(name) .field = offsetof(struct fields, name)

static const struct options_entry table[] = {
    {"text", 't', OPTIONS_TEXT, FIELD(text)},
    {"number", 'n', OPTIONS_NUMBER, FIELD(number), .min = 2, .max = 20},
    {"flag", 'f', OPTIONS_FLAG, FIELD(flag)},
    {"act", 0, OPTIONS_VALUE, .act = act},
    {"end", 'e', OPTIONS_ACT, .act = end},
    {NULL},
};

static struct fields fields;
static char out[SAID_BYTES], err[SAID_BYTES]; /* what was said */

/* Lets one of the standard streams write into a file, and reads that. */
static int divert(FILE *stream, int fd, FILE *into) {
    int kept = dup(fd);
    fflush(stream);
    assert_true(kept >= 0 && dup2(fileno(into), fd) == fd);
    return kept;
}

static void restore(FILE *stream, int fd, int kept, FILE *into, char *said) {
    fflush(stream);
    assert_int_equal(dup2(kept, fd), fd);
    close(kept);
    rewind(into);
    said[fread(said, 1, SAID_BYTES - 1, into)] = '\0';
    fclose(into);
}

/* Words are separated by one blank. */
static int read_line(const char *line) {
    static char copy[200];
    char *words[WORDS_MAX + 1] = {"program"};
    int count = 1;
    FILE *outs = tmpfile(), *errs = tmpfile();
    snprintf(copy, sizeof(copy), "%s", line);
    for (char *word = strtok(copy, " "); word && count < WORDS_MAX; word = strtok(NULL, " "))
        words[count++] = word;
    memset(&fields, 0, sizeof(fields));
    optind = 0; /* getopt begins anew */
    int out_kept = divert(stdout, STDOUT_FILENO, outs),
        err_kept = divert(stderr, STDERR_FILENO, errs);
    int status = options_read(count, words, table, "the usage\n", &fields);
    restore(stdout, STDOUT_FILENO, out_kept, outs, out);
    restore(stderr, STDERR_FILENO, err_kept, errs, err);
    return status;
}

static void nothing_said_changes_nothing(void **state) {
    const struct fields nothing = {0};
    assert_int_equal(read_line(""), OPTIONS_CONTINUE);
    assert_memory_equal(&fields, &nothing, sizeof(fields));
}

static void values_go_where_the_table_says(void **state) {
    const char *const lines[] = {"--text a --number 20 --flag --act b", "-t a -n 20 -f --act=b",
                                 "-fta -n20 --act b"};
    for (unsigned i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        assert_int_equal(read_line(lines[i]), OPTIONS_CONTINUE);
        assert_string_equal(fields.text, "a");
        assert_int_equal(fields.number, 20);
        assert_true(fields.flag);
        assert_string_equal(fields.acted, "b");
    }
}

static void numbers_outside_their_bounds_are_refused_with_a_sentence(void **state) {
    const char *const lines[] = {"--number 1", "--number 21", "--number x", "-n 2x"};
    for (unsigned i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        assert_int_equal(read_line(lines[i]), OPTIONS_USAGE);
        assert_non_null(strstr(err, "program: --number takes a number from 2 to 20, not \""));
        assert_string_equal(out, "");
    }
}

static void what_is_unknown_or_lacks_its_value_ends_with_the_usage(void **state) {
    const char *const lines[] = {"--nothing", "-x", "--text", "--flag=1"};
    for (unsigned i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        assert_int_equal(read_line(lines[i]), OPTIONS_USAGE);
        assert_non_null(strstr(err, "the usage\n"));
        assert_string_equal(out, "");
    }
}

static void help_is_printed_and_is_no_mistake(void **state) {
    const char *const lines[] = {"--help", "-h", "--flag -h --nothing"};
    for (unsigned i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        assert_int_equal(read_line(lines[i]), 0);
        assert_string_equal(out, "the usage\n");
        assert_string_equal(err, "");
    }
}

static void an_act_may_end_the_program(void **state) {
    assert_int_equal(read_line("--end --flag"), ACT_STATUS);
    assert_false(fields.flag);
    assert_int_equal(read_line("-e"), ACT_STATUS);
}

static void words_are_left_to_the_program(void **state) {
    assert_int_equal(read_line("--flag -- --text"), OPTIONS_CONTINUE);
    assert_true(fields.flag);
    assert_null(fields.text);
    assert_int_equal(optind, 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_said_changes_nothing),
        cmocka_unit_test(values_go_where_the_table_says),
        cmocka_unit_test(numbers_outside_their_bounds_are_refused_with_a_sentence),
        cmocka_unit_test(what_is_unknown_or_lacks_its_value_ends_with_the_usage),
        cmocka_unit_test(help_is_printed_and_is_no_mistake),
        cmocka_unit_test(an_act_may_end_the_program),
        cmocka_unit_test(words_are_left_to_the_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

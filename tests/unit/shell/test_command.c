/* SPDX-License-Identifier: Apache-2.0 */
/* What can be typed, what is refused with which sentence, and what Tab offers. */
#include "tools/shell/command.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct parsed_command parsed;
static char error[COMMAND_ERROR_BYTES_MAX];

static void refused(const char *line, const char *sentence) {
    assert_int_equal(command_parse(line, &parsed, error), -EINVAL);
    assert_non_null(strstr(error, sentence));
}

static void empty_lines_and_comments_are_no_command(void **state) {
    const char *const lines[] = {"", "  \t", "# node", "  # x"};
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(command_parse(lines[i], &parsed, error), 0);
        assert_null(parsed.command);
    }
}

static void a_command_is_found_with_its_words(void **state) {
    assert_int_equal(command_parse("  help   node # why", &parsed, error), 0);
    assert_string_equal(parsed.command->name, "help");
    assert_string_equal(command_argument_find(&parsed, "command")->text, "node");
    assert_int_equal(command_parse("help \"a b\"", &parsed, error), 0);
    assert_string_equal(command_argument_find(&parsed, "command")->text, "a b");
}

static void misspelt_commands_are_guessed(void **state) {
    refused("nod", "did you mean \"node\"?");
    refused("shrads", "did you mean \"shards\"?");
    refused("xyzzy", "\"help\" lists them all");
}

static void number_is(const char *line, const char *name, uint64_t value) {
    assert_int_equal(command_parse(line, &parsed, error), 0);
    const struct command_argument *argument = command_argument_find(&parsed, name);
    assert_non_null(argument);
    assert_int_equal(argument->number, value);
}

static void values_become_their_base_unit(void **state) {
    number_is("top --window 5s", "window_ms", 5000);
    number_is("top --window 500ms", "window_ms", 500);
    number_is("top --window 3", "window_ms", 3000);
    number_is("top --rows 30", "rows", 30);
    number_is("actors x where mailbox > 10", "mailbox_min", 11);
    number_is("actors x where mailbox >= 10 and age > 5s", "age_min_ms", 5001);
    number_is("actors x where bytes >= 2MiB", "bytes_min", 2 << 20);
    refused("top --window 5parsecs", "a time such as 500ms, 5s or 2m, not \"5parsecs\"");
    refused("top --window", "--window wants a value");
    refused("top --rows -1", "wants a number");
    refused("top --rows 99999999999999999999", "wants a number");
    refused("top --by size", "one of: mailbox age messages time bytes");
    refused("top --by mail", "one of: mailbox age messages time bytes");
    refused("top --rows 1 --rows 2", "is said twice");
}

static void conditions_that_are_wrong_are_explained(void **state) {
    refused("actors x where", "a condition is written: mailbox > 10");
    refused("actors x where size > 1", "none on size");
    refused("actors x where mailbox < 1", "compares by > or >=");
    refused("actors x where mailbox > much", "a value such as 10");
    refused("actors x where mailbox > 1 or age > 1s", "joined by \"and\"");
    refused("actors", "actors wants a class");
}

static void what_a_command_does_not_know_is_refused(void **state) {
    refused("node x", "node does not know what to do with \"x\"");
    refused("node --x", "node has no option --x");
    refused("help \"a", "a quotation mark is missing");
    char line[2 * COMMAND_LINE_BYTES_MAX];
    memset(line, 'x', sizeof line);
    line[sizeof line - 1] = '\0';
    refused(line, "the line is too long");
}

static void request_of_a_line_fits_its_frame(void **state) {
    uint8_t bytes[ADMIN_HEAD_BYTES + ADMIN_REQUEST_BYTES_MAX];
    struct admin_writer writer = {.bytes = bytes, .capacity = sizeof bytes};
    struct admin_request request;
    assert_int_equal(command_parse("help node", &parsed, error), 0);
    assert_int_equal(command_encode(&parsed, 3, &writer), 0);
    assert_int_equal(admin_request_read(bytes + 4, writer.length - 4, &request), PARSE_COMPLETE);
    assert_true(admin_text_equal(request.command, "help"));
    assert_true(admin_text_equal(admin_field_find(&request.arguments, "command")->text, "node"));
}

struct offers {
    char words[2048];
};

static void offer(void *context, const char *word) {
    struct offers *offers = context;
    strcat(strcat(offers->words, word), " "); /* NOLINT: the table is small */
}

static void completes(const char *line, size_t begin, const char *words) {
    struct offers offers = {""};
    assert_int_equal(command_complete(line, offer, &offers), begin);
    assert_string_equal(offers.words, words);
}

static void tab_offers_what_may_come(void **state) {
    completes("nod", 0, "node ");
    completes("  nod", 2, "node ");
    completes("help sha", 5, "shards ");
    completes("top --by m", 9, "mailbox messages ");
    completes("top --w", 4, "--window ");
    completes("actors x wh", 9, "where ");
    completes("node ", 5, "");
    completes("nonsense no", 0, "");
}

static void hints_say_what_is_expected(void **state) {
    char text[256];
    command_hint("help ", text, sizeof text);
    assert_string_equal(text, "COMMAND: a command's name");
    command_hint("nod", text, sizeof text);
    assert_string_equal(text, "");
}

static void every_command_can_be_explained(void **state) {
    for (unsigned i = 0; i < command_count; i++) {
        assert_true(strlen(commands[i].brief) > 5 && strlen(commands[i].brief) < 64);
        assert_true(strlen(commands[i].help) > 10);
        assert_ptr_equal(command_find(commands[i].name), &commands[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_lines_and_comments_are_no_command),
        cmocka_unit_test(a_command_is_found_with_its_words),
        cmocka_unit_test(misspelt_commands_are_guessed),
        cmocka_unit_test(values_become_their_base_unit),
        cmocka_unit_test(conditions_that_are_wrong_are_explained),
        cmocka_unit_test(what_a_command_does_not_know_is_refused),
        cmocka_unit_test(request_of_a_line_fits_its_frame),
        cmocka_unit_test(tab_offers_what_may_come),
        cmocka_unit_test(hints_say_what_is_expected),
        cmocka_unit_test(every_command_can_be_explained),
    };
    return cmocka_run_group_tests_name("command", tests, NULL, NULL);
}

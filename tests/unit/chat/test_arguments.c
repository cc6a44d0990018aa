/* SPDX-License-Identifier: Apache-2.0 */
/* What can be typed behind tern-chat, and what cannot. */
#include "tools/chat/arguments.h"

#include "net/wire.h"
#include "tools/chat/exit_code.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WORDS_MAX 16

/* Words are separated by one blank; "_" in a word is one, too. */
static int parse(struct arguments *arguments, const char *line) {
    static char copy[400];
    char *words[WORDS_MAX + 1] = {"tern-chat"};
    int count = 1;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok(copy, " "); word != NULL && count < WORDS_MAX;
         word = strtok(NULL, " ")) {
        for (char *at = word; *at != 0; at++)
            if (*at == '_')
                *at = ' ';
        words[count++] = word;
    }
    return arguments_parse(arguments, count, words);
}

static void commands_are_understood_with_options_on_either_side(void **state) {
    static const char *const lines[] = {
        "send --home /h --to +15550002000 some_text",
        "--home /h send some_text --to +15550002000",
        "send some_text --to=+15550002000 --home=/h",
        "--to +15550002000 --home /h -- send some_text",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct arguments arguments;
        assert_int_equal(parse(&arguments, lines[i]), 0);
        assert_int_equal(arguments.verb, VERB_SEND);
        assert_string_equal(arguments.home, "/h");
        assert_string_equal(arguments.to, "+15550002000");
        assert_string_equal(arguments.operand, "some text");
        assert_int_equal(arguments.goal, WIRE_STATE_SENT);
        assert_false(arguments.goal_given);
    }
}

static void a_text_may_begin_with_a_hyphen_behind_two(void **state) {
    struct arguments arguments;
    assert_int_equal(parse(&arguments, "send --home /h --to Ben -- --not-an-option"), 0);
    assert_string_equal(arguments.operand, "--not-an-option");
    assert_int_equal(parse(&arguments, "send --home /h --to Ben -"), 0);
    assert_string_equal(arguments.operand, "-");
}

static void waiting_means_what_its_command_says(void **state) {
    struct arguments arguments;
    assert_int_equal(parse(&arguments, "send --to Ben --wait delivered x"), 0);
    assert_int_equal(arguments.goal, WIRE_STATE_DELIVERED);
    assert_true(arguments.goal_given);
    assert_int_equal(parse(&arguments, "send --to Ben --wait read x"), 0);
    assert_int_equal(arguments.goal, WIRE_STATE_READ);
    assert_int_equal(parse(&arguments, "receive --wait 1.5"), 0);
    assert_int_equal(arguments.wait_ms, 1500);
    assert_int_equal(parse(&arguments, "receive"), 0);
    assert_int_equal(arguments.wait_ms, 0);
}

static void without_a_command_it_chats(void **state) {
    struct arguments arguments;
    assert_int_equal(parse(&arguments, ""), 0);
    assert_int_equal(arguments.verb, VERB_CHAT);
    assert_int_equal(parse(&arguments, "--help"), 0);
    assert_int_equal(arguments.verb, VERB_HELP);
    assert_int_equal(parse(&arguments, "send -h"), 0);
    assert_int_equal(arguments.verb, VERB_HELP);
    assert_int_equal(parse(&arguments, "-V"), 0);
    assert_int_equal(arguments.verb, VERB_VERSION);
}

static void the_home_is_the_one_that_xdg_says(void **state) {
    struct arguments arguments;
    setenv("XDG_DATA_HOME", "/data", 1);
    assert_int_equal(parse(&arguments, "receive"), 0);
    assert_string_equal(arguments.home, "/data/tern/chat");
    unsetenv("XDG_DATA_HOME");
    setenv("HOME", "/people/ada", 1);
    assert_int_equal(parse(&arguments, "receive"), 0);
    assert_string_equal(arguments.home, "/people/ada/.local/share/tern/chat");
    unsetenv("HOME");
    assert_int_equal(parse(&arguments, "receive"), CHAT_USAGE);
    setenv("HOME", "/people/ada", 1);
}

static void mistakes_are_usage(void **state) {
    static const char *const lines[] = {
        "sned x",
        "send x",
        "send --to Ben",
        "send --to Ben one two",
        "send --to",
        "send --to Ben --wait later x",
        "send --to Ben --code 1 x",
        "send --to Ben --unknown x",
        "receive now",
        "receive --wait soon",
        "receive --wait -1",
        "receive --wait nan",
        "receive --wait 1e9",
        "receive --queue",
        "status",
        "verify",
        "register --phone +15550001000 --name A",
        "register --server ws://h --name A",
        "history --limit -1",
        "history --limit 1x",
        "contacts --wait 1",
        "--home= receive",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct arguments arguments;
        assert_int_equal(parse(&arguments, lines[i]), CHAT_USAGE);
    }
}

int main(void) {
    setenv("HOME", "/home/somebody", 1); /* the build's environment has none */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_are_understood_with_options_on_either_side),
        cmocka_unit_test(a_text_may_begin_with_a_hyphen_behind_two),
        cmocka_unit_test(waiting_means_what_its_command_says),
        cmocka_unit_test(without_a_command_it_chats),
        cmocka_unit_test(the_home_is_the_one_that_xdg_says),
        cmocka_unit_test(mistakes_are_usage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* `help` and `help COMMAND`, from the table of commands. */
#include "tools/shell/shell.h"

#include <string.h>

#define OPTIONS_MAX (sizeof(commands[0].options) / sizeof(commands[0].options[0]))
#define PLACES_MAX (sizeof(commands[0].places) / sizeof(commands[0].places[0]))

static void help_all(const struct shell *shell) {
    const char *bold = shell->options.colour ? "\033[1m" : "",
               *plain = shell->options.colour ? "\033[0m" : "";
    for (unsigned i = 0; i < command_count; i++)
        printf("%s%-11s%s %s\n", bold, commands[i].name, plain, commands[i].brief);
    printf(
        "\n\"help COMMAND\" explains one. With --json every answer is an array of objects whose\n"
        "fields say their unit (_bytes, _ms, _ns); in a pipe tables come without colour.\n");
    if (shell->interactive)
        printf("Tab completes, \"?\" at a word's place says what it means.\n");
}

static void help_words(const struct command_word *words, size_t count, const char *title) {
    if (!words[0].name)
        return;
    printf("\n%s\n", title);
    for (size_t i = 0; i < count && words[i].name; i++) {
        printf("  %-12s %s", words[i].name, words[i].help);
        if (words[i].choices)
            printf(" (%s)", words[i].choices);
        printf("\n");
    }
}

static void help_one(const struct command *command) {
    printf("%s %s\n    %s\n\n%s\n", command->name, command->usage, command->brief, command->help);
    help_words(command->places, PLACES_MAX, "words:");
    help_words(command->options, OPTIONS_MAX, "options:");
    if (command->view == VIEW_CHANGE)
        printf(
            "\nIt changes the running node: it asks first, unless --yes is said, and the node's\n"
            "log says who did it.\n");
}

static void json_help(const struct command *command, bool first) {
    const char *const names[] = {"command", "usage", "brief", "help"};
    const char *const texts[] = {command->name, command->usage, command->brief, command->help};
    struct admin_fields fields = {.count = 4};
    for (unsigned i = 0; i < 4; i++)
        fields.items[i] = (struct admin_field){
            {names[i], (uint32_t)strlen(names[i])},
            {.kind = ADMIN_TEXT, .text = {texts[i], (uint32_t)strlen(texts[i])}}};
    fputs(first ? "[\n " : ",\n ", stdout);
    render_json(stdout, &fields);
}

void shell_help(const struct shell *shell, const char *name) {
    if (shell->json) {
        bool first = true;
        for (unsigned i = 0; i < command_count; i++)
            if (!name || strcmp(commands[i].name, name) == 0) {
                json_help(&commands[i], first);
                first = false;
            }
        puts("\n]");
    } else if (name) {
        help_one(command_find(name));
    } else {
        help_all(shell);
    }
}

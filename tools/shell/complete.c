/* SPDX-License-Identifier: Apache-2.0 */
/* Completion and hints: what may come next, by the table of commands. */
#include "tools/shell/command.h"

#include <stdio.h>
#include <string.h>

#define PLACES_MAX (sizeof(commands[0].places) / sizeof(commands[0].places[0]))
#define OPTIONS_MAX (sizeof(commands[0].options) / sizeof(commands[0].options[0]))

/* Where a line stands: its command, what was given, and what the next word is. */
struct cursor {
    const struct command *command;   /* NULL: the command's name is being typed */
    const struct command_word *want; /* the value of this option, or this place; NULL: neither */
    size_t begin;                    /* of the word that is being typed */
};

static const struct command_word *find_option(const struct command *command, const char *word,
                                              size_t length) {
    for (unsigned i = 0; i < OPTIONS_MAX && command->options[i].name; i++)
        if (strlen(command->options[i].name) == length &&
            memcmp(command->options[i].name, word, length) == 0)
            return &command->options[i];
    return NULL;
}

static const struct command *find_command(const char *word, size_t length) {
    for (unsigned i = 0; i < command_count; i++)
        if (strlen(commands[i].name) == length && memcmp(commands[i].name, word, length) == 0)
            return &commands[i];
    return NULL;
}

static struct cursor look(const char *line) {
    struct cursor cursor = {0};
    unsigned place = 0;
    bool known = true, option_wants = false;
    for (size_t at = 0; known;) {
        at += strspn(line + at, " \t");
        size_t length = strcspn(line + at, " \t");
        cursor.begin = at;
        if (line[at + length] == '\0')
            break; /* it is being typed */
        if (!cursor.command) {
            cursor.command = find_command(line + at, length);
            known = cursor.command != NULL;
        } else if (option_wants) {
            option_wants = false;
        } else {
            const struct command_word *option = find_option(cursor.command, line + at, length);
            option_wants = option && option->type != WORD_FLAG;
            cursor.want = option_wants ? option : NULL;
            place += !option && line[at] != '-';
        }
        at += length;
        if (cursor.command && !option_wants)
            cursor.want = place < PLACES_MAX && cursor.command->places[place].name
                              ? &cursor.command->places[place]
                              : NULL;
    }
    if (!known)
        cursor.command = NULL;
    return cursor;
}

static void offer_choices(const char *choices, const char *prefix,
                          void (*offer)(void *context, const char *word), void *context) {
    char word[64];
    for (const char *at = choices; at && *at;) {
        size_t length = strcspn(at, " ");
        if (length < sizeof(word) && strncmp(at, prefix, strlen(prefix)) == 0) {
            snprintf(word, sizeof(word), "%.*s", (int)length, at);
            offer(context, word);
        }
        at += length + (at[length] == ' ');
    }
}

static void offer_commands(const char *prefix, void (*offer)(void *context, const char *word),
                           void *context) {
    for (unsigned i = 0; i < command_count; i++)
        if (strncmp(commands[i].name, prefix, strlen(prefix)) == 0)
            offer(context, commands[i].name);
}

size_t command_complete(const char *line, void (*offer)(void *context, const char *word),
                        void *context) {
    struct cursor cursor = look(line);
    const char *prefix = line + cursor.begin;
    if (!cursor.command) {
        if (strspn(line, " \t") == cursor.begin)
            offer_commands(prefix, offer, context);
        return cursor.begin;
    }
    if (cursor.want && cursor.want == cursor.command->places && cursor.command->local)
        offer_commands(prefix, offer, context);
    if (cursor.want && cursor.want->choices)
        offer_choices(cursor.want->choices, prefix, offer, context);
    bool value = cursor.want &&
                 find_option(cursor.command, cursor.want->name, strlen(cursor.want->name)) != NULL;
    for (unsigned i = 0; !value && i < OPTIONS_MAX && cursor.command->options[i].name; i++)
        if (strncmp(cursor.command->options[i].name, prefix, strlen(prefix)) == 0)
            offer(context, cursor.command->options[i].name);
    if (!value && cursor.command->view == VIEW_CHANGE &&
        strncmp("--yes", prefix, strlen(prefix)) == 0)
        offer(context, "--yes");
    return cursor.begin;
}

void command_hint(const char *line, char *text, size_t bytes) {
    struct cursor cursor = look(line);
    text[0] = '\0';
    if (!cursor.command)
        return;
    if (cursor.want && line[cursor.begin] == '\0')
        snprintf(text, bytes, "%s: %s", cursor.want->name, cursor.want->help);
    else
        snprintf(text, bytes, "%s %s", cursor.command->name, cursor.command->usage);
}

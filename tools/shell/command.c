/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a line by the table of commands; completes and explains it by the same. */
#include "tools/shell/command.h"

#include "net/decimal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PLACES_MAX (sizeof(commands[0].places) / sizeof(commands[0].places[0]))
#define OPTIONS_MAX (sizeof(commands[0].options) / sizeof(commands[0].options[0]))

struct words {
    unsigned count, next;
    char *items[COMMAND_WORDS_MAX];
    const char *rest[COMMAND_WORDS_MAX]; /* where each begins in the line */
};

struct parsing {
    struct parsed_command *parsed;
    struct words words;
    unsigned place;
    size_t used; /* of parsed->buffer */
    char *error;
};

/* --- names -------------------------------------------------------------------------------------
 */

const struct command *command_find(const char *name) {
    for (unsigned i = 0; i < command_count; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

/* Levenshtein's distance, of short words. */
static unsigned distance(const char *a, const char *b) {
    unsigned row[33], lengths[] = {(unsigned)strlen(a), (unsigned)strlen(b)};
    if (lengths[0] > 32 || lengths[1] > 32)
        return 99;
    for (unsigned j = 0; j <= lengths[1]; j++)
        row[j] = j;
    for (unsigned i = 1; i <= lengths[0]; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= lengths[1]; j++) {
            unsigned above = row[j], best = diagonal + (a[i - 1] != b[j - 1]);
            if (above + 1 < best)
                best = above + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = above;
            row[j] = best;
        }
    }
    return row[lengths[1]];
}

const struct command *command_guess(const char *name) {
    const struct command *best = NULL;
    unsigned least = strlen(name) < 4 ? 2 : 3; /* more is no misspelling any more */
    for (unsigned i = 0; i < command_count; i++) {
        unsigned from = distance(name, commands[i].name);
        if (strlen(name) >= 2 && strncmp(name, commands[i].name, strlen(name)) == 0)
            from = 0;
        if (from < least) {
            least = from;
            best = &commands[i];
        }
    }
    return best;
}

/* --- words -------------------------------------------------------------------------------------
 */

static int fail(struct parsing *parsing, const char *format, const char *first,
                const char *second) {
    snprintf(parsing->error, COMMAND_ERROR_BYTES_MAX, format, first, second);
    return -EINVAL;
}

/* Cuts `line` (a copy of `original`) into words; "..." holds spaces. */
static int split(char *line, const char *original, struct parsing *parsing) {
    char *at = line;
    for (;;) {
        while (*at == ' ' || *at == '\t')
            at++;
        if (!*at || *at == '#')
            return 0;
        if (parsing->words.count == COMMAND_WORDS_MAX)
            return fail(parsing, "the line has too many words%s%s", "", "");
        bool quoted = *at == '"';
        at += quoted;
        parsing->words.rest[parsing->words.count] = original + (at - line);
        parsing->words.items[parsing->words.count++] = at;
        at += strcspn(at, quoted ? "\"" : " \t");
        if (quoted && !*at)
            return fail(parsing, "a quotation mark is missing%s%s", "", "");
        if (*at)
            *at++ = '\0';
    }
}

static const char *keep(struct parsing *parsing, const char *text) {
    size_t bytes = strlen(text) + 1;
    char *kept = parsing->parsed->buffer + parsing->used;
    if (bytes > sizeof(parsing->parsed->buffer) - parsing->used)
        return NULL;
    parsing->used += bytes;
    return memcpy(kept, text, bytes);
}

static int put(struct parsing *parsing, const char *name, enum admin_kind kind, uint64_t number,
               const char *text) {
    struct parsed_command *parsed = parsing->parsed;
    const char *kept = text ? keep(parsing, text) : NULL;
    if ((text && !kept) || parsed->count == COMMAND_ARGUMENTS_MAX)
        return fail(parsing, "the line is too long%s%s", "", "");
    if (command_argument_find(parsed, name))
        return fail(parsing, "%s is said twice%s", name, "");
    parsed->arguments[parsed->count++] = (struct command_argument){name, kind, number, kept};
    return 0;
}

/* --- values ------------------------------------------------------------------------------------
 */

struct unit {
    const char *name;
    uint64_t factor;
};
static const struct unit durations[] = {{"ms", 1},      {"s", 1000},     {"", 1000}, {"m", 60000},
                                        {"h", 3600000}, {"d", 86400000}, {NULL, 0}};
static const struct unit sizes[] = {{"", 1},          {"B", 1},         {"KiB", 1 << 10},
                                    {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"kB", 1000},
                                    {"MB", 1000000},  {NULL, 0}};
static const struct unit rates[] = {{"", 1}, {"/s", 1}, {NULL, 0}};
static const struct unit plain[] = {{"", 1}, {NULL, 0}};

static bool number_read(const char *text, const struct unit *units, uint64_t *number) {
    uint64_t value;
    if (!decimal_take(&text, &value))
        return false;
    for (; units->name; units++)
        if (strcmp(units->name, text) == 0)
            return !__builtin_mul_overflow(value, units->factor, number);
    return false;
}

static bool is_choice(const char *choices, const char *text) {
    size_t length = strlen(text);
    for (const char *at = choices; length && (at = strstr(at, text)); at += length)
        if ((at == choices || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
            return true;
    return false;
}

static int value_take(struct parsing *parsing, const struct command_word *word, const char *text) {
    uint64_t number = 0;
    switch (word->type) {
    case WORD_NUMBER:
        if (!number_read(text, plain, &number))
            return fail(parsing, "%s wants a number, and \"%s\" is none", word->name, text);
        return put(parsing, word->argument, ADMIN_UINT, number, NULL);
    case WORD_DURATION:
        if (!number_read(text, durations, &number))
            return fail(parsing, "%s wants a time such as 500ms, 5s or 2m, not \"%s\"", word->name,
                        text);
        return put(parsing, word->argument, ADMIN_UINT, number, NULL);
    case WORD_RATE:
        if (!number_read(text, rates, &number))
            return fail(parsing, "%s wants so many a second, such as 100/s, not \"%s\"", word->name,
                        text);
        return put(parsing, word->argument, ADMIN_UINT, number, NULL);
    case WORD_CHOICE:
        if (!is_choice(word->choices, text))
            return fail(parsing, "%s is one of: %s", word->name, word->choices);
        return put(parsing, word->argument, ADMIN_TEXT, 0, text);
    default:
        return put(parsing, word->argument, ADMIN_TEXT, 0, text);
    }
}

/* --- conditions --------------------------------------------------------------------------------
 */

struct condition {
    const char *name, *argument;
    const struct unit *units;
    const char *example;
};
static const struct condition conditions[] = {
    {"mailbox", "mailbox_min", plain, "10"},
    {"age", "age_min_ms", durations, "5s"},
    {"bytes", "bytes_min", sizes, "1MiB"},
};
#define CONDITION_COUNT (sizeof(conditions) / sizeof(conditions[0]))

static int condition_take(struct parsing *parsing) {
    struct words *words = &parsing->words;
    const struct condition *condition = NULL;
    uint64_t number;
    if (words->next + 3 > words->count)
        return fail(parsing, "a condition is written: mailbox > 10, age > 5s or bytes > 1MiB%s%s",
                    "", "");
    const char *name = words->items[words->next], *sign = words->items[words->next + 1];
    const char *value = words->items[words->next + 2];
    words->next += 3;
    for (unsigned i = 0; i < CONDITION_COUNT; i++)
        if (strcmp(conditions[i].name, name) == 0)
            condition = &conditions[i];
    if (!condition)
        return fail(parsing, "there are conditions on mailbox, age and bytes, none on %s%s", name,
                    "");
    if (strcmp(sign, ">") != 0 && strcmp(sign, ">=") != 0)
        return fail(parsing, "a condition compares by > or >=, not by %s%s", sign, "");
    if (!number_read(value, condition->units, &number))
        return fail(parsing, "%s is compared with a value such as %s", name, condition->example);
    return put(parsing, condition->argument, ADMIN_UINT, number + (sign[1] == '\0'), NULL);
}

static int conditions_take(struct parsing *parsing) {
    struct words *words = &parsing->words;
    int error = condition_take(parsing);
    while (!error && words->next < words->count) {
        if (strcmp(words->items[words->next], "and") != 0)
            return fail(parsing, "conditions are joined by \"and\", not by \"%s\"%s",
                        words->items[words->next], "");
        words->next++;
        error = condition_take(parsing);
    }
    return error;
}

/* --- the line ----------------------------------------------------------------------------------
 */

static const struct command_word *option_find(const struct command *command, const char *text) {
    for (unsigned i = 0; i < OPTIONS_MAX && command->options[i].name; i++)
        if (strcmp(command->options[i].name, text) == 0)
            return &command->options[i];
    return NULL;
}

static int option_take(struct parsing *parsing, const struct command_word *option) {
    struct words *words = &parsing->words;
    if (option->type == WORD_FLAG)
        return put(parsing, option->argument, ADMIN_BOOL, 1, NULL);
    if (option->type == WORD_CONDITIONS)
        return conditions_take(parsing);
    if (words->next == words->count)
        return fail(parsing, "%s wants a value%s", option->name, "");
    return value_take(parsing, option, words->items[words->next++]);
}

static int word_take(struct parsing *parsing) {
    const struct command *command = parsing->parsed->command;
    struct words *words = &parsing->words;
    unsigned index = words->next++;
    const char *text = words->items[index];
    if (command->view == VIEW_CHANGE && strcmp(text, "--yes") == 0) {
        parsing->parsed->yes = true;
        return 0;
    }
    const struct command_word *option = option_find(command, text);
    if (option)
        return option_take(parsing, option);
    if (strncmp(text, "--", 2) == 0)
        return fail(parsing, "%s has no option %s", command->name, text);
    if (parsing->place == PLACES_MAX || !command->places[parsing->place].name)
        return fail(parsing, "%s does not know what to do with \"%s\"", command->name, text);
    const struct command_word *place = &command->places[parsing->place++];
    if (place->type == WORD_REST) {
        words->next = words->count;
        return put(parsing, place->argument, ADMIN_TEXT, 0, words->rest[index]);
    }
    return value_take(parsing, place, text);
}

static int command_take(struct parsing *parsing) {
    const char *name = parsing->words.items[0];
    const struct command *command = command_find(name);
    if (!command) {
        const struct command *guess = command_guess(name);
        return guess ? fail(parsing, "there is no command \"%s\"; did you mean \"%s\"?", name,
                            guess->name)
                     : fail(parsing, "there is no command \"%s\"; \"help\" lists them all%s", name,
                            "");
    }
    parsing->parsed->command = command;
    parsing->words.next = 1;
    int error = 0;
    while (!error && parsing->words.next < parsing->words.count)
        error = word_take(parsing);
    if (error)
        return error;
    for (; parsing->place < PLACES_MAX && command->places[parsing->place].name; parsing->place++)
        if (!command->places[parsing->place].optional)
            return fail(parsing, "%s wants %s", command->name,
                        command->places[parsing->place].help);
    return 0;
}

int command_parse(const char *line, struct parsed_command *parsed,
                  char error[COMMAND_ERROR_BYTES_MAX]) {
    char copy[COMMAND_LINE_BYTES_MAX];
    struct parsing parsing = {.parsed = parsed, .error = error};
    parsed->command = NULL;
    parsed->count = 0;
    parsed->yes = false;
    if ((size_t)snprintf(copy, sizeof(copy), "%s", line) >= sizeof(copy))
        return fail(&parsing, "the line is too long%s%s", "", "");
    int result = split(copy, line, &parsing);
    if (result || parsing.words.count == 0)
        return result;
    return command_take(&parsing);
}

const struct command_argument *command_argument_find(const struct parsed_command *parsed,
                                                     const char *name) {
    for (unsigned i = 0; i < parsed->count; i++)
        if (strcmp(parsed->arguments[i].name, name) == 0)
            return &parsed->arguments[i];
    return NULL;
}

int command_encode(const struct parsed_command *parsed, uint64_t id, struct admin_writer *writer) {
    admin_write_request(writer, id, parsed->command->name);
    for (unsigned i = 0; i < parsed->count; i++) {
        const struct command_argument *argument = &parsed->arguments[i];
        if (argument->kind == ADMIN_UINT)
            admin_put_uint(writer, argument->name, argument->number);
        else if (argument->kind == ADMIN_BOOL)
            admin_put_bool(writer, argument->name, argument->number != 0);
        else
            admin_put_text(writer, argument->name, argument->text);
    }
    return admin_write_end(writer);
}

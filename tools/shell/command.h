/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be typed: one table of commands, from which come the parser, the completion, the hints
 * and all of `help`.
 *
 * A command's words become the arguments of its request by their type: "5s" is 5000 milliseconds,
 * "2MiB" bytes. The node knows no syntax. Pure; one thread.
 */
#ifndef TERN_TOOLS_SHELL_COMMAND_H
#define TERN_TOOLS_SHELL_COMMAND_H

#include "net/admin.h"

#define COMMAND_WORDS_MAX 64u
#define COMMAND_LINE_BYTES_MAX 2048u
#define COMMAND_ARGUMENTS_MAX 16u
#define COMMAND_ERROR_BYTES_MAX 256u

enum word_type {
    WORD_NONE,
    WORD_TEXT,
    WORD_CHOICE,     /* one of `choices` */
    WORD_NUMBER,     /* 20 */
    WORD_DURATION,   /* 500ms, 5s, 2m; a plain number is seconds. In milliseconds */
    WORD_RATE,       /* 100 or 100/s */
    WORD_FLAG,       /* takes no value; true */
    WORD_CONDITIONS, /* mailbox > 10 and age > 5s: to the end of the line */
    WORD_REST,       /* the rest of the line */
};

struct command_word {
    const char *name; /* of the option as it is typed ("--by", "for"), or of the place ("ACTOR") */
    const char *argument; /* of the request */
    enum word_type type;
    const char *choices; /* separated by spaces */
    bool optional;       /* a place that may be left out */
    const char *help;
};

enum command_view {
    VIEW_TABLE,
    VIEW_CARD,   /* a line per field */
    VIEW_TREE,   /* by `depth` */
    VIEW_TEXT,   /* the field `text`, as it is */
    VIEW_CHANGE, /* asks first; says what it did */
};

struct command {
    const char *name;
    enum command_view view;
    const char *usage; /* without the name */
    const char *brief; /* one line */
    const char *help;  /* what it shows, how to read it, an example */
    const char *empty; /* said where there is nothing to show */
    struct command_word places[3], options[7];
    bool local;   /* done by the shell itself */
    bool streams; /* rows come over time: shown as they come */
};

extern const struct command commands[];
extern const unsigned command_count;

struct command_argument {
    const char *name;
    enum admin_kind kind; /* ADMIN_UINT, ADMIN_BOOL, ADMIN_TEXT */
    uint64_t number;
    const char *text; /* into `parsed.buffer` */
};
struct parsed_command {
    const struct command *command; /* NULL: an empty line */
    bool yes;                      /* --yes: do not ask */
    unsigned count;
    struct command_argument arguments[COMMAND_ARGUMENTS_MAX];
    char buffer[2 * COMMAND_LINE_BYTES_MAX];
};

/* 0, or -EINVAL with a sentence in `error` that says what is wrong and what is possible. */
int command_parse(const char *line, struct parsed_command *parsed,
                  char error[COMMAND_ERROR_BYTES_MAX]);
/* 0 or why it does not fit. */
int command_encode(const struct parsed_command *parsed, uint64_t id, struct admin_writer *writer);
const struct command_argument *command_argument_find(const struct parsed_command *parsed,
                                                     const char *name);
const struct command *command_find(const char *name);
/* The command that is spelt most like `name`, or NULL. */
const struct command *command_guess(const char *name);

/* What may stand at the end of `line`: calls `offer` with each word that continues it. Returns
 * where in `line` the word to be completed begins. */
size_t command_complete(const char *line, void (*offer)(void *context, const char *word),
                        void *context);
/* What the next word of `line` means, for a hint; "" if nothing is expected. */
void command_hint(const char *line, char *text, size_t bytes);

#endif

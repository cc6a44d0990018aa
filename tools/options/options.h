/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program's options as one table, read by getopt_long: what may be said, and where its value
 * goes. For programs whose options stand before their words; tern-chat's, which belong to commands,
 * have a reader of their own (tools/chat/arguments.h). For main's thread.
 */
#ifndef TERN_TOOLS_OPTIONS_OPTIONS_H
#define TERN_TOOLS_OPTIONS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OPTIONS_MAX 31u     /* in a table */
#define OPTIONS_USAGE 64    /* EX_USAGE of sysexits.h */
#define OPTIONS_CONTINUE -1 /* no exit status: the program goes on */

enum options_kind {
    OPTIONS_TEXT,   /* its value, borrowed from main's, goes to a const char * */
    OPTIONS_NUMBER, /* its value goes to a uint64_t: decimal, from `min` to `max` */
    OPTIONS_FLAG,   /* has no value; a bool is set */
    OPTIONS_VALUE,  /* its value is given to `act` */
    OPTIONS_ACT,    /* has no value; `act` is called */
};

/* OPTIONS_CONTINUE, or the exit status with which the program ends; it says why itself. */
typedef int options_act_fn(void *fields, const char *value);

struct options_entry {
    const char *name; /* behind "--"; NULL ends the table */
    char letter;      /* behind "-"; 0: it has none */
    enum options_kind kind;
    size_t field; /* offset in `fields` */
    options_act_fn *act;
    uint64_t min, max;
};

/*
 * Reads all options up to the first word that is none, which is values[optind] of getopt.h then.
 * -h and --help are known without being in the table. OPTIONS_CONTINUE; 0 when something was asked
 * for that is done now (help is printed to standard output); OPTIONS_USAGE, or what an `act`
 * returned, after a sentence on standard error.
 */
int options_read(int count, char **values, const struct options_entry *entries, const char *usage,
                 void *fields);

#endif

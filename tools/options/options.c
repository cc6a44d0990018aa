/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/options/options.h"

#include "net/decimal.h"
#include "runtime/check.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>

#define LONG_ONLY 256 /* and above: the entry's place in its table */

static bool has_value(const struct options_entry *entry) {
    return entry->kind == OPTIONS_TEXT || entry->kind == OPTIONS_NUMBER ||
           entry->kind == OPTIONS_VALUE;
}

/* The table as getopt_long wants it. */
static void translate(const struct options_entry *entries, struct option *longs, char *letters) {
    unsigned i = 0;
    for (; entries[i].name; i++) {
        const struct options_entry *entry = &entries[i];
        CHECK(i < OPTIONS_MAX);
        longs[i] = (struct option){entry->name, has_value(entry) ? required_argument : no_argument,
                                   NULL, entry->letter ? entry->letter : LONG_ONLY + (int)i};
        if (entry->letter)
            *letters++ = entry->letter;
        if (entry->letter && has_value(entry))
            *letters++ = ':';
    }
    longs[i] = (struct option){"help", no_argument, NULL, 'h'};
    longs[i + 1] = (struct option){0};
    *letters++ = 'h';
    *letters = '\0';
}

static const struct options_entry *find(const struct options_entry *entries, int option) {
    if (option >= LONG_ONLY)
        return &entries[option - LONG_ONLY];
    while (entries->name && entries->letter != option)
        entries++;
    return entries->name ? entries : NULL;
}

static int take(const struct options_entry *entry, const char *program, void *fields) {
    void *field = (char *)fields + entry->field;
    switch (entry->kind) {
    case OPTIONS_TEXT:
        *(const char **)field = optarg;
        return OPTIONS_CONTINUE;
    case OPTIONS_FLAG:
        *(bool *)field = true;
        return OPTIONS_CONTINUE;
    case OPTIONS_NUMBER:
        if (decimal_read(optarg, entry->min, entry->max, field))
            return OPTIONS_CONTINUE;
        fprintf(stderr, "%s: --%s takes a number from %" PRIu64 " to %" PRIu64 ", not \"%s\"\n",
                program, entry->name, entry->min, entry->max, optarg);
        return OPTIONS_USAGE;
    case OPTIONS_VALUE:
    case OPTIONS_ACT:
        return entry->act(fields, optarg);
    }
    CHECK(!"a kind of options_kind");
}

int options_read(int count, char **values, const struct options_entry *entries, const char *usage,
                 void *fields) {
    struct option longs[OPTIONS_MAX + 2];
    char letters[2 * OPTIONS_MAX + 2];
    int option;
    translate(entries, longs, letters);
    while ((option = getopt_long(count, values, letters, longs, NULL)) != -1) {
        const struct options_entry *entry = find(entries, option);
        if (!entry) {
            fputs(usage, option == 'h' ? stdout : stderr);
            return option == 'h' ? 0 : OPTIONS_USAGE;
        }
        int status = take(entry, values[0], fields);
        if (status != OPTIONS_CONTINUE)
            return status;
    }
    return OPTIONS_CONTINUE;
}

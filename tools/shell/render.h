/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows as people and programs read them.
 *
 * A field's name says its unit by its end: `_bytes`, `_ms` and `_ns` (durations), `_time_ms` (Unix
 * time). JSON has names and numbers as they came; a table has "1.2 MiB" and "3 days". What comes
 * from the node is never let through to a terminal as it is: control characters become "?".
 */
#ifndef TERN_TOOLS_SHELL_RENDER_H
#define TERN_TOOLS_SHELL_RENDER_H

#include "tools/shell/command.h"

#include <stdio.h>

#define RENDER_TEXT_BYTES_MAX 1024u

struct render_options {
    bool colour;
    unsigned width; /* of the terminal, in columns; 0: lines are as long as they are */
};

/* A copy of a row that outlives the reply. */
struct render_rows {
    struct admin_reply **items;
    unsigned count, capacity;
};
void render_rows_add(struct render_rows *rows, const struct admin_reply *reply);
void render_rows_clear(struct render_rows *rows);

/* One value in words; cut at `bytes`. Returns true if it is a number, which stands to the right. */
bool render_value(const struct admin_field *field, char *text, size_t bytes);
void render_table(FILE *out, const struct render_rows *rows, const struct render_options *options);
void render_card(FILE *out, const struct render_rows *rows, const struct render_options *options);
/* Rows of `depth`, `name` and what else there is, drawn as a tree. */
void render_tree(FILE *out, const struct render_rows *rows, const struct render_options *options);
/* One row of many that come over time; columns grow with what they have seen. Zero at first. */
struct render_stream {
    unsigned count;
    unsigned widths[ADMIN_FIELDS_MAX];
};
void render_stream(FILE *out, const struct admin_fields *fields, struct render_stream *stream,
                   const struct render_options *options);
/* The field `text` of each row, as lines. */
void render_text(FILE *out, const struct render_rows *rows);

/* One row as a JSON object, without a line's end. */
void render_json(FILE *out, const struct admin_fields *fields);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line of input at the foot of a terminal, with lines that are printed above it.
 *
 * The editor gets the bytes that the terminal sends (raw mode is its owner's business) and writes
 * what the terminal is to show. The line takes one row, scrolled sideways when it is longer.
 *
 *     Enter                  the line is done
 *     Left, Right, ^B, ^F    a character         Home, End, ^A, ^E   begin, end
 *     Backspace, Delete, ^D  deletes             ^W, ^U, ^K          a word, to the begin, to the
 * end Up, Down, ^P, ^N       earlier lines       ^L                  clears the screen ^D on an
 * empty line    the end
 *
 * What is pasted (bracketed paste) may hold line ends and doesn't end the line. Everything is
 * bounded: the line by EDITOR_BYTES_MAX (more makes it too long), the earlier ones by
 * EDITOR_EARLIER_MAX. Not a terminal: bytes are split into lines, and nothing is drawn.
 */
#ifndef TERN_TOOLS_CHAT_EDITOR_H
#define TERN_TOOLS_CHAT_EDITOR_H

#include "net/wire.h"
#include "tools/chat/content.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define EDITOR_BYTES_MAX CONTENT_TEXT_BYTES_MAX
#define EDITOR_EARLIER_MAX 64
#define EDITOR_PROMPT_BYTES_MAX 160

struct editor;

struct editor_events {
    void (*line)(void *context, struct wire_bytes line); /* valid UTF-8, without its end */
    void (*too_long)(void *context);                     /* instead of it */
    void (*end)(void *context);                          /* no more input: ^D */
};

/* NULL: out of memory. `is_terminal`: `out` understands escape sequences, input comes raw. */
struct editor *editor_create(FILE *out, bool is_terminal, const struct editor_events *events,
                             void *context);
/* NULL is allowed. */
void editor_destroy(struct editor *editor);

/* Bytes that were read. Events may print, and change the prompt. */
void editor_feed(struct editor *editor, const uint8_t *bytes, size_t length);
/* The input is over: `end`. What stands there is the last line of a file; what a person had not
 * finished when the terminal went away is not sent. */
void editor_feed_end(struct editor *editor);

/* In UTF-8, harmless. */
void editor_set_prompt(struct editor *editor, const char *prompt);
/* Of the terminal, in columns. */
void editor_set_width(struct editor *editor, unsigned width);

/* Between these two, whole lines may be written to `out`; pairs may be nested. A new editor is
 * hidden. The last draw flushes `out`. */
void editor_hide(struct editor *editor);
void editor_draw(struct editor *editor);

#endif

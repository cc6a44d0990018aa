/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts for people: what others wrote made harmless for a terminal, message ids, times, numbers.
 * Pure.
 */
#ifndef TERN_TOOLS_CHAT_TEXT_H
#define TERN_TOOLS_CHAT_TEXT_H

#include "net/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define TEXT_ID_CHARS 36
#define TEXT_TIME_CHARS_MAX 32
#define TEXT_UNREADABLE "[unreadable]"

/* Writes somebody else's UTF-8 so that it can do nothing to a terminal or to what stands around it:
 * control characters (C0, C1, DEL) and those that turn the direction of writing become U+FFFD, a
 * tab a blank, and a line's end `newline`. What is no UTF-8 becomes U+FFFD, byte by byte. */
void text_put(FILE *out, struct wire_bytes text, const char *newline);
void text_put_string(FILE *out, const char *text);

/* The next character of valid or invalid UTF-8: its bytes (at least 1, at most `length`, which is
 * not 0); *point: its code point, or U+FFFD. */
size_t text_decode(const uint8_t *bytes, size_t length, uint32_t *point);
/* Columns that this character takes on a terminal: 0, 1 or 2. Needs a UTF-8 locale. */
unsigned text_columns(uint32_t point);

/* A name that people and terminals can bear: 1 to 63 bytes of UTF-8 without control characters. */
bool text_is_name(const char *text);

/* "0192f0c1-7a3b-7c3d-8e4f-0123456789ab". */
void text_format_id(char out[TEXT_ID_CHARS + 1], const struct wire_id *id);
/* The way back, in either case, with or without hyphens. */
bool text_parse_id(const char *text, struct wire_id *id);

/* Local time: "14:05" when it is the same day as `now_ms`, else "2026-11-24 14:05". */
void text_format_time(char out[TEXT_TIME_CHARS_MAX], uint64_t time_ms, uint64_t now_ms);

/* E.164 by shape: '+' and 7 to 15 digits, the first of them not 0. */
bool text_is_phone(const char *text);

/* "queued", "sent", "delivered", ... */
const char *text_state(unsigned state);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a message says, as it travels: today in the open, later inside the end-to-end encryption.
 *
 *     a msgpack array [version, text, ...]      version 1; text is str and UTF-8
 *
 * Elements behind the text are for later and are passed over. What comes from elsewhere and is not
 * that is taken for plain text when it is UTF-8 (no UTF-8 text begins as such an array does), and
 * is unreadable otherwise. Pure.
 */
#ifndef TERN_TOOLS_CHAT_CONTENT_H
#define TERN_TOOLS_CHAT_CONTENT_H

#include "net/parse.h"
#include "net/wire.h"

#include <stddef.h>
#include <stdint.h>

#define CONTENT_VERSION 1
#define CONTENT_OVERHEAD_MAX 5 /* array, version, str 16 */
#define CONTENT_TEXT_BYTES_MAX (WIRE_CONTENT_BYTES_MAX - CONTENT_OVERHEAD_MAX)

/* Writes the content of this text into `out`, which holds text.length + CONTENT_OVERHEAD_MAX.
 * Returns its length; the text is at most CONTENT_TEXT_BYTES_MAX and UTF-8. */
size_t content_write(uint8_t *out, struct wire_bytes text);

/* COMPLETE: `text` lies in `content`. JUNK: unreadable. */
enum parse_result content_read(struct wire_bytes content, struct wire_bytes *text);

#endif

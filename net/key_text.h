/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cluster's public key as people copy, read out and compare it: "tern1" and 58 characters.
 *
 * It is Bech32m (BIP 350) with the human-readable part "tern": 32 characters without 1, b, i, o to
 * confuse, and a checksum that finds any four wrong characters. All lower or all upper case is
 * read, lower is written.
 */
#ifndef TERN_NET_KEY_TEXT_H
#define TERN_NET_KEY_TEXT_H

#include <stdint.h>

#define KEY_TEXT_BYTES 32
#define KEY_TEXT_CHARS 63 /* "tern1", 52 of data, 6 of checksum */

/* Writes the text and a closing NUL. */
void key_text_format(char out[KEY_TEXT_CHARS + 1], const uint8_t key[KEY_TEXT_BYTES]);

/* 0, or -EINVAL: not a cluster key, or mistyped; `key` stays untouched. The text ends with its NUL:
 * cut off white space before. */
int key_text_parse(const char *text, uint8_t key[KEY_TEXT_BYTES]);

#endif

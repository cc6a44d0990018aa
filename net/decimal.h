/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decimal numbers in text that a person, a file or a peer gave: digits alone, no sign and no white
 * space, and none that 64 bits don't hold. The text ends with its NUL. Pure.
 */
#ifndef TERN_NET_DECIMAL_H
#define TERN_NET_DECIMAL_H

#include <stdbool.h>
#include <stdint.h>

/* Reads all digits at `*text`, which it moves behind them. False, and both stay untouched: there is
 * no digit, or the number is too large. */
bool decimal_take(const char **text, uint64_t *number);

/* The whole text is a number from `min` to `max`. False leaves `number` untouched. */
bool decimal_read(const char *text, uint64_t min, uint64_t max, uint64_t *number);

#endif

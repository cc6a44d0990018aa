/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 as RFC 3629 has it: shortest forms only, no surrogates, nothing above U+10FFFF. Pure. */
#ifndef TERN_NET_UTF8_H
#define TERN_NET_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Are these `length` bytes whole, valid UTF-8? Nothing is. */
bool utf8_is_valid(const uint8_t *bytes, size_t length);

#endif

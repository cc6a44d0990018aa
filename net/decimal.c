/* SPDX-License-Identifier: Apache-2.0 */
#include "net/decimal.h"

static bool is_digit(char letter) {
    return letter >= '0' && letter <= '9';
}

bool decimal_take(const char **text, uint64_t *number) {
    const char *at = *text;
    uint64_t value = 0;
    if (!is_digit(*at))
        return false;
    for (; is_digit(*at); at++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value))
            return false;
    *text = at;
    *number = value;
    return true;
}

bool decimal_read(const char *text, uint64_t min, uint64_t max, uint64_t *number) {
    uint64_t value;
    if (!decimal_take(&text, &value) || *text || value < min || value > max)
        return false;
    *number = value;
    return true;
}

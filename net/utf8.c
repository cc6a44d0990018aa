/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UTF-8 validation. Text is mostly ASCII, so eight bytes are looked at together; whatever is longer
 * goes through the ranges of RFC 3629 section 4, where only the second byte depends on the first.
 */
#include "net/utf8.h"

#include <string.h>

static bool is_continuation(uint8_t byte) {
    return (byte & 0xC0) == 0x80;
}

/* The length of the character at the front, 2 to 4 bytes, or 0 if there is no valid one. */
static size_t long_character_bytes(const uint8_t *bytes, size_t length) {
    uint8_t first = bytes[0];
    size_t needed = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || length < needed)
        return 0;
    uint8_t second_min = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80; /* no longer form */
    uint8_t second_max = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF; /* no surrogate */
    if (bytes[1] < second_min || bytes[1] > second_max)
        return 0;
    for (size_t i = 2; i < needed; i++) {
        if (!is_continuation(bytes[i]))
            return 0;
    }
    return needed;
}

bool utf8_is_valid(const uint8_t *bytes, size_t length) {
    size_t at = 0;
    while (at < length) {
        uint64_t eight;
        if (length - at >= sizeof eight) {
            memcpy(&eight, bytes + at, sizeof eight);
            if ((eight & UINT64_C(0x8080808080808080)) == 0) {
                at += sizeof eight;
                continue;
            }
        }
        size_t step = bytes[at] < 0x80 ? 1 : long_character_bytes(bytes + at, length - at);
        if (step == 0)
            return false;
        at += step;
    }
    return true;
}

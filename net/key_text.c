/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bech32m (BIP 350, which is BIP 173 with another constant) for the one human-readable part "tern"
 * and 32 bytes of data: "tern", the separator '1', 52 characters of five bits, 6 of checksum.
 */
#include "net/key_text.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define PREFIX "tern1"
#define PREFIX_CHARS (sizeof PREFIX - 1)
#define DATA_CHARS 52
#define CHECKSUM_CHARS 6
#define BECH32M_CONSTANT 0x2BC830A3u

_Static_assert(PREFIX_CHARS + DATA_CHARS + CHECKSUM_CHARS == KEY_TEXT_CHARS, "the whole text");
_Static_assert(DATA_CHARS * 5 == KEY_TEXT_BYTES * 8 + 4, "four bits of padding");

static const char alphabet[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/* One step of the checksum (BIP 173: bech32_polymod). */
static uint32_t checksum_step(uint32_t checksum, uint8_t value) {
    static const uint32_t generator[] = {0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD,
                                         0x2A1462B3};
    uint32_t top = checksum >> 25;
    checksum = (checksum & 0x1FFFFFF) << 5 ^ value;
    for (unsigned i = 0; i < 5; i++) {
        if (top >> i & 1)
            checksum ^= generator[i];
    }
    return checksum;
}

/* Over the expanded human-readable part and these values of five bits. */
static uint32_t checksum_of(const uint8_t *values, size_t count) {
    static const uint8_t expanded[] = {'t' >> 5, 'e' >> 5, 'r' >> 5, 'n' >> 5, 0,
                                       't' & 31, 'e' & 31, 'r' & 31, 'n' & 31};
    uint32_t checksum = 1;
    for (size_t i = 0; i < sizeof expanded; i++)
        checksum = checksum_step(checksum, expanded[i]);
    for (size_t i = 0; i < count; i++)
        checksum = checksum_step(checksum, values[i]);
    return checksum;
}

void key_text_format(char out[KEY_TEXT_CHARS + 1], const uint8_t key[KEY_TEXT_BYTES]) {
    uint8_t values[DATA_CHARS + CHECKSUM_CHARS] = {0};
    for (unsigned bit = 0; bit < KEY_TEXT_BYTES * 8; bit++)
        values[bit / 5] |= (uint8_t)((key[bit / 8] >> (7 - bit % 8) & 1) << (4 - bit % 5));
    uint32_t checksum = checksum_of(values, sizeof values) ^ BECH32M_CONSTANT;
    for (unsigned i = 0; i < CHECKSUM_CHARS; i++)
        values[DATA_CHARS + i] = checksum >> 5 * (CHECKSUM_CHARS - 1 - i) & 31;

    memcpy(out, PREFIX, PREFIX_CHARS);
    for (unsigned i = 0; i < sizeof values; i++)
        out[PREFIX_CHARS + i] = alphabet[values[i]];
    out[KEY_TEXT_CHARS] = '\0';
}

/* Lowers the text; -EINVAL if it has another length or both cases. */
static int lower(const char *text, char out[KEY_TEXT_CHARS]) {
    int has_upper = 0, has_lower = 0;
    if (strnlen(text, KEY_TEXT_CHARS + 1) != KEY_TEXT_CHARS)
        return -EINVAL;
    for (unsigned i = 0; i < KEY_TEXT_CHARS; i++) {
        int upper = text[i] >= 'A' && text[i] <= 'Z';
        has_upper |= upper;
        has_lower |= text[i] >= 'a' && text[i] <= 'z';
        out[i] = (char)(upper ? text[i] + ('a' - 'A') : text[i]);
    }
    return has_upper && has_lower ? -EINVAL : 0;
}

int key_text_parse(const char *text, uint8_t key[KEY_TEXT_BYTES]) {
    char lowered[KEY_TEXT_CHARS];
    uint8_t values[DATA_CHARS + CHECKSUM_CHARS], read[KEY_TEXT_BYTES] = {0};
    if (lower(text, lowered) != 0 || memcmp(lowered, PREFIX, PREFIX_CHARS) != 0)
        return -EINVAL;
    for (unsigned i = 0; i < sizeof values; i++) {
        const char *found = memchr(alphabet, lowered[PREFIX_CHARS + i], sizeof alphabet - 1);
        if (found == NULL)
            return -EINVAL;
        values[i] = (uint8_t)(found - alphabet);
    }
    if (checksum_of(values, sizeof values) != BECH32M_CONSTANT || values[DATA_CHARS - 1] & 0x0F)
        return -EINVAL;
    for (unsigned bit = 0; bit < KEY_TEXT_BYTES * 8; bit++)
        read[bit / 8] |= (uint8_t)((values[bit / 5] >> (4 - bit % 5) & 1) << (7 - bit % 8));
    memcpy(key, read, sizeof read);
    return 0;
}

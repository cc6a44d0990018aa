/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-1 as RFC 3174 writes it, method 1, in one go: see sha1.h for why it is here. */
#include "net/sha1.h"

#include <string.h>

#define BLOCK_BYTES 64

static uint32_t rotate_left(uint32_t word, unsigned bits) {
    return word << bits | word >> (32 - bits);
}

static uint32_t load_big_endian(const uint8_t *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void store_big_endian(uint8_t *bytes, uint32_t word) {
    bytes[0] = (uint8_t)(word >> 24);
    bytes[1] = (uint8_t)(word >> 16);
    bytes[2] = (uint8_t)(word >> 8);
    bytes[3] = (uint8_t)word;
}

/* f(t; B, C, D) + K(t), section 5. */
static uint32_t round_function(unsigned t, uint32_t b, uint32_t c, uint32_t d) {
    if (t < 20)
        return ((b & c) | (~b & d)) + 0x5A827999u;
    if (t < 40)
        return (b ^ c ^ d) + 0x6ED9EBA1u;
    if (t < 60)
        return ((b & c) | (b & d) | (c & d)) + 0x8F1BBCDCu;
    return (b ^ c ^ d) + 0xCA62C1D6u;
}

static void absorb_block(uint32_t state[5], const uint8_t block[BLOCK_BYTES]) {
    uint32_t w[80];
    for (unsigned t = 0; t < 16; t++)
        w[t] = load_big_endian(block + 4 * t);
    for (unsigned t = 16; t < 80; t++)
        w[t] = rotate_left(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);

    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (unsigned t = 0; t < 80; t++) {
        uint32_t next = rotate_left(a, 5) + round_function(t, b, c, d) + e + w[t];
        e = d;
        d = c;
        c = rotate_left(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

/* The last block or two: what is left, a one bit, zeros, the length in bits. */
static void absorb_end(uint32_t state[5], const uint8_t *rest, size_t rest_bytes, uint64_t bits) {
    uint8_t tail[2 * BLOCK_BYTES] = {0};
    if (rest_bytes > 0)
        memcpy(tail, rest, rest_bytes);
    tail[rest_bytes] = 0x80;
    size_t tail_bytes = rest_bytes + 9 <= BLOCK_BYTES ? BLOCK_BYTES : 2 * BLOCK_BYTES;
    store_big_endian(tail + tail_bytes - 8, (uint32_t)(bits >> 32));
    store_big_endian(tail + tail_bytes - 4, (uint32_t)bits);
    for (size_t at = 0; at < tail_bytes; at += BLOCK_BYTES)
        absorb_block(state, tail + at);
}

void sha1(uint8_t digest[SHA1_BYTES], const uint8_t *bytes, size_t length) {
    uint32_t state[5] = {0x67452301u, 0xEFCDAB89u, 0x98BADCFEu, 0x10325476u, 0xC3D2E1F0u};
    size_t whole = length - length % BLOCK_BYTES;
    for (size_t at = 0; at < whole; at += BLOCK_BYTES)
        absorb_block(state, bytes + at);
    absorb_end(state, bytes + whole, length - whole, (uint64_t)length * 8);
    for (unsigned i = 0; i < 5; i++)
        store_big_endian(digest + 4 * i, state[i]);
}

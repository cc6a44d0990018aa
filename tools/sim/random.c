/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/sim/random.h"

#include <string.h>

static uint64_t split_mix(uint64_t *state) {
    uint64_t x = *state += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

void random_init(struct random *random, uint64_t seed, uint64_t stream) {
    uint64_t state = seed;
    state = split_mix(&state) ^ (stream * 0xd1342543de82ef95u);
    for (unsigned i = 0; i < 4; i++)
        random->state[i] = split_mix(&state);
}

static uint64_t rotate(uint64_t x, unsigned bits) {
    return x << bits | x >> (64 - bits);
}

uint64_t random_next(struct random *random) {
    uint64_t *s = random->state;
    uint64_t result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

uint64_t random_below(struct random *random, uint64_t below) {
    if (below <= UINT32_MAX) /* a multiplication instead of a division */
        return (random_next(random) >> 32) * below >> 32;
    return random_next(random) % below;
}

uint64_t random_between(struct random *random, uint64_t low, uint64_t high) {
    return low + random_below(random, high - low + 1);
}

bool random_permille(struct random *random, unsigned permille) {
    return random_below(random, 1000) < permille;
}

uint64_t random_spread(struct random *random, uint64_t low, uint64_t high) {
    unsigned octaves = 63 - (unsigned)__builtin_clzll(high / low | 1);
    uint64_t from = low << random_below(random, octaves + 1ull);
    uint64_t to = from > high / 2 ? high : 2 * from;
    return random_between(random, from, to);
}

/* Byte by byte from the low end, so that the machine's byte order does not enter. */
void random_fill(struct random *random, void *bytes, size_t length) {
    uint8_t *next = bytes;
    uint64_t word = 0;
    for (size_t i = 0; i < length; i++) {
        if (i % 8 == 0)
            word = random_next(random);
        next[i] = (uint8_t)(word >> (i % 8 * 8));
    }
}

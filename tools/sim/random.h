/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seeded randomness: streams that give the same numbers on every machine, by integers alone.
 *
 * Each part of the simulated world draws from a stream of its own, so that one more draw of one
 * part does not shift what the others get. xoshiro256** (Blackman and Vigna, 2018), its state from
 * SplitMix64. Good for a simulation, not for secrets. A stream is for one thread.
 */
#ifndef TERN_TOOLS_SIM_RANDOM_H
#define TERN_TOOLS_SIM_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct random {
    uint64_t state[4];
};

/* `stream` tells one part's numbers from another's under the same seed. */
void random_init(struct random *random, uint64_t seed, uint64_t stream);
uint64_t random_next(struct random *random);
/* Uniform in [0, below), within 2^-32 of it; 0 when below is 0. */
uint64_t random_below(struct random *random, uint64_t below);
/* Uniform in [low, high]. */
uint64_t random_between(struct random *random, uint64_t low, uint64_t high);
/* True `permille` times of a thousand. */
bool random_permille(struct random *random, unsigned permille);
/* In [low, high], small ones more often: the exponent is uniform. `low` above 0. */
uint64_t random_spread(struct random *random, uint64_t low, uint64_t high);
void random_fill(struct random *random, void *bytes, size_t length);

#endif

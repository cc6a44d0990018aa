/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trace: a hash over everything that happened, in order, and on request a line for each.
 *
 * Equal hashes mean equal runs: all bytes on all sockets, all scheduling, all times are in it.
 * Only numbers go in whose value is the same on each machine: no address, no float, no padding.
 */
#ifndef TERN_TOOLS_SIM_JOURNAL_H
#define TERN_TOOLS_SIM_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct journal {
    uint64_t hash;
    uint64_t count;
    bool print; /* to standard error */
};

void journal_init(struct journal *journal, uint64_t seed, bool print);
/* `what` is a constant name; the numbers are what it is about. */
void journal_add(struct journal *journal, uint64_t now_ns, const char *what, uint64_t a, uint64_t b,
                 uint64_t c);
/* Into the hash alone. */
void journal_number(struct journal *journal, uint64_t number);
/* A hash of bytes, to be added as a number. */
uint64_t journal_hash_bytes(const void *bytes, size_t length);

#endif

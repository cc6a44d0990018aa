/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/sim/journal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void journal_number(struct journal *journal, uint64_t number) {
    uint64_t x = journal->hash ^ number * 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93u;
    journal->hash = x ^ (x >> 29);
}

void journal_init(struct journal *journal, uint64_t seed, bool print) {
    *journal = (struct journal){.hash = 0x7465726e73696d31u, .print = print};
    journal_number(journal, seed);
}

uint64_t journal_hash_bytes(const void *bytes, size_t length) {
    const uint8_t *at = bytes;
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ at[i]) * 0x100000001b3u;
    return hash;
}

void journal_add(struct journal *journal, uint64_t now_ns, const char *what, uint64_t a, uint64_t b,
                 uint64_t c) {
    journal->count++;
    journal_number(journal, now_ns);
    journal_number(journal, journal_hash_bytes(what, strlen(what)));
    journal_number(journal, a);
    journal_number(journal, b);
    journal_number(journal, c);
    if (journal->print)
        fprintf(stderr, "%12" PRIu64 " us  %-16s %" PRIu64 " %" PRIu64 " %" PRIx64 "\n",
                now_ns / 1000, what, a, b, c);
}

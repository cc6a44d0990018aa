/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/sim/trace.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void trace_number(struct trace *trace, uint64_t number) {
    uint64_t x = trace->hash ^ number * 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93u;
    trace->hash = x ^ (x >> 29);
}

void trace_init(struct trace *trace, uint64_t seed, bool print) {
    *trace = (struct trace){.hash = 0x7465726e73696d31u, .print = print};
    trace_number(trace, seed);
}

uint64_t trace_hash_bytes(const void *bytes, size_t length) {
    const uint8_t *at = bytes;
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ at[i]) * 0x100000001b3u;
    return hash;
}

void trace_add(struct trace *trace, uint64_t now_ns, const char *what, uint64_t a, uint64_t b,
               uint64_t c) {
    trace->count++;
    trace_number(trace, now_ns);
    trace_number(trace, trace_hash_bytes(what, strlen(what)));
    trace_number(trace, a);
    trace_number(trace, b);
    trace_number(trace, c);
    if (trace->print)
        fprintf(stderr, "%12" PRIu64 " us  %-16s %" PRIu64 " %" PRIu64 " %" PRIx64 "\n",
                now_ns / 1000, what, a, b, c);
}

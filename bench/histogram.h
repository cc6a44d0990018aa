/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Latencies in fixed memory: buckets that grow with the value, each within 1 % of what it holds.
 *
 * One thread records; it is read when that thread has stopped recording.
 */
#ifndef TERN_BENCH_HISTOGRAM_H
#define TERN_BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_FINE_BITS 7 /* buckets per power of two: 128 */
#define HISTOGRAM_BUCKETS ((64 - HISTOGRAM_FINE_BITS + 1) << HISTOGRAM_FINE_BITS)

struct histogram {
    uint64_t count, largest;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_record(struct histogram *histogram, uint64_t value);
/* The value that this share (0 to 1) of those recorded does not exceed; 0 when there is none. */
uint64_t histogram_quantile(const struct histogram *histogram, double share);
/* Adds what another has recorded. */
void histogram_add(struct histogram *histogram, const struct histogram *other);
void histogram_clear(struct histogram *histogram);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Log-linear buckets: the value's highest bit chooses the group, the next seven bits the bucket. */
#include "bench/histogram.h"

#include <string.h>

static unsigned bucket_of(uint64_t value) {
    if (value < 1u << HISTOGRAM_FINE_BITS)
        return (unsigned)value;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - HISTOGRAM_FINE_BITS;
    return ((shift + 1) << HISTOGRAM_FINE_BITS) +
           (unsigned)((value >> shift) - (1u << HISTOGRAM_FINE_BITS));
}

/* The largest value of a bucket. */
static uint64_t bucket_end(unsigned bucket) {
    unsigned group = bucket >> HISTOGRAM_FINE_BITS;
    uint64_t fine = bucket & ((1u << HISTOGRAM_FINE_BITS) - 1);
    if (group == 0)
        return fine;
    return (((1ull << HISTOGRAM_FINE_BITS) + fine + 1) << (group - 1)) - 1;
}

void histogram_record(struct histogram *histogram, uint64_t value) {
    histogram->count++;
    histogram->buckets[bucket_of(value)]++;
    if (value > histogram->largest)
        histogram->largest = value;
}

uint64_t histogram_quantile(const struct histogram *histogram, double share) {
    uint64_t seen = 0, wanted = (uint64_t)(share * (double)histogram->count + 0.5);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen >= wanted && seen > 0) {
            uint64_t end = bucket_end(i);
            return end < histogram->largest ? end : histogram->largest;
        }
    }
    return histogram->largest;
}

void histogram_add(struct histogram *histogram, const struct histogram *other) {
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        histogram->buckets[i] += other->buckets[i];
    histogram->count += other->count;
    if (other->largest > histogram->largest)
        histogram->largest = other->largest;
}

void histogram_clear(struct histogram *histogram) {
    memset(histogram, 0, sizeof *histogram);
}

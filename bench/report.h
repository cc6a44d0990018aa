/* SPDX-License-Identifier: Apache-2.0 */
/* A page with plots of a run: latency, throughput, memory and CPU over time. */
#ifndef TERN_BENCH_REPORT_H
#define TERN_BENCH_REPORT_H

#include "bench/timeline.h"

/* Writes DIR/index.html, which needs nothing else, and DIR/timeline.csv; makes DIR. 0, or negative
 * after it has said on standard error what went wrong. */
int report_write(const char *directory, const struct timeline *timeline);

#endif

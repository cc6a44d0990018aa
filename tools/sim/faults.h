/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When faults happen: each comes due at random, but evenly, and fires at its next opportunity.
 *
 * A rate is how often in 1,000 events, in millionths. The first time lies in the first half of the
 * run however low the rate is, so that every fault with a rate above 0 fires. What a fault is, its
 * caller knows: a reset looks for a connection, a failing fsync waits for one.
 */
#ifndef TERN_TOOLS_SIM_FAULTS_H
#define TERN_TOOLS_SIM_FAULTS_H

#include "tools/sim/random.h"

enum fault_kind {
#define FAULT(upper, name, times, doc) FAULT_##upper,
#include "tools/sim/faults.def"
#undef FAULT
    FAULT_KINDS
};

struct fault_rates {
    uint64_t millionths[FAULT_KINDS]; /* in 1,000 events; 0: never */
};

struct faults {
    struct random random;
    struct fault_rates rates;
    uint64_t due[FAULT_KINDS]; /* the event from which on it is due; UINT64_MAX: never */
    uint64_t due_first;        /* not later than the first of them */
    uint64_t fired[FAULT_KINDS];
    bool over; /* none comes due any more */
};

const char *fault_name(enum fault_kind kind);
const char *fault_explanation(enum fault_kind kind);

void fault_rates_default(struct fault_rates *rates);
/* "crash_kept=0.5", "all=0". 0, or -EINVAL: no such fault, or no number from 0 to 1,000. */
int fault_rates_read(struct fault_rates *rates, const char *text);
/* "0.3": without trailing zeros. Returns snprintf's length. */
int fault_rate_write(char *text, size_t capacity, uint64_t millionths);

void faults_init(struct faults *faults, const struct fault_rates *rates, uint64_t seed,
                 uint64_t events);
/* An opportunity: true when it is to fire now; then it is counted and its next time drawn. */
bool fault_fires(struct faults *faults, enum fault_kind kind, uint64_t event);
/* The first that is enabled and has not fired, or FAULT_KINDS. */
enum fault_kind faults_missing(const struct faults *faults);

#endif

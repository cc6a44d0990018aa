/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/rest_internal.h"

/* The grid is a little finer than the longest rest: who is nearly at a point of it goes on to the
 * next. */
#define GRID_PARTS 9u
#define GRID_STEP_PARTS 8u

static void measure_rate(struct rest *rest, uint64_t now_ns) {
    uint64_t passed_ns = now_ns - rest->counted_ns;
    uint64_t memory_ns = REST_MEMORY * rest->wait_ns;
    uint64_t events = rest->events - rest->counted;

    if (passed_ns < memory_ns)
        rest->rate_256 += events * 256 / REST_MEMORY - rest->rate_256 * passed_ns / memory_ns;
    else
        rest->rate_256 = events * 256 * rest->wait_ns / passed_ns;
    rest->counted = rest->events;
    rest->counted_ns = now_ns;
}

uint64_t rest_ns(struct rest *rest, uint64_t now_ns, uint64_t idle_ns) {
    uint64_t step_ns = rest->wait_ns / GRID_PARTS * GRID_STEP_PARTS;
    uint64_t until_ns;

    if (step_ns == 0)
        return 0;
    measure_rate(rest, now_ns);
    rest->resting = rest->rate_256 >= (rest->resting ? REST_EVENTS_END : REST_EVENTS_BEGIN) * 256;
    if (!rest->resting)
        return 0;
    until_ns = step_ns - (now_ns + rest->phase_ns) % step_ns;
    if (until_ns <= rest->wait_ns - step_ns)
        until_ns += step_ns;
    return until_ns < idle_ns ? until_ns : idle_ns;
}

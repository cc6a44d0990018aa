/* SPDX-License-Identifier: Apache-2.0 */
/* The real seams: the kernel's clocks and randomness, threads, programs; the reactor is chosen when
 * a runtime starts. */
#include "runtime/seams.h"

#include "runtime/check.h"
#include "runtime/pool.h"
#include "runtime/program.h"
#include "runtime/signals.h"
#include "runtime/watchdog.h"

#include <sys/random.h>
#include <time.h>

static uint64_t monotonic_ns(void *context) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t wall_ms(void *context) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

/* getrandom gives at most 256 bytes without a chance of being interrupted. */
static void random_bytes(void *context, void *bytes, size_t length) {
    uint8_t *next = bytes;
    while (length) {
        size_t part = length < 256 ? length : 256;
        ssize_t got = getrandom(next, part, 0);
        CHECK(got == (ssize_t)part);
        next += part;
        length -= part;
    }
}

const struct seams *seams_system(void) {
    static const struct seams system = {
        .monotonic_ns = monotonic_ns,
        .wall_ms = wall_ms,
        .random_bytes = random_bytes,
        .pool = &pool_threads,
        .program = &program_posix,
        .signals = &signals_posix,
        .watchdog = &watchdog_thread,
    };
    return &system;
}

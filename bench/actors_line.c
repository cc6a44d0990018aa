/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor under whatever crosses cores: one cache line that goes to and fro between two threads,
 * each pinned to a core. A hop of the line is what a message is in ping_pong_cross.
 */
#include "bench/actors.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#define HOPS 2000000u

/* Odd: the other's turn. */
static _Alignas(128) uint64_t line;

static cpu_set_t core_set(unsigned core) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core % (unsigned)sysconf(_SC_NPROCESSORS_ONLN), &set);
    return set;
}

/* Writes what follows on each value that is its own to answer. */
static void answer(uint64_t first, uint64_t last) {
    for (uint64_t value = first; value < last; value += 2) {
        /* Pairs with the release of the other side. */
        while (__atomic_load_n(&line, __ATOMIC_ACQUIRE) != value)
            ;
        __atomic_store_n(&line, value + 1, __ATOMIC_RELEASE);
    }
}

static void *other_side(void *hops) {
    answer(1, *(uint64_t *)hops);
    return NULL;
}

void bench_line_floor(uint64_t zero) {
    uint64_t hops = stage_size(HOPS);
    cpu_set_t here = core_set(0), there = core_set(1);
    pthread_attr_t attributes;
    pthread_t other;
    pthread_setaffinity_np(pthread_self(), sizeof here, &here);
    pthread_attr_init(&attributes);
    pthread_attr_setaffinity_np(&attributes, sizeof there,
                                &there); /* not here, not even at first */
    CHECK(pthread_create(&other, &attributes, other_side, &hops) == 0);
    pthread_attr_destroy(&attributes);
    stage_begin();
    answer(0, hops);
    pthread_join(other, NULL);
    stage_end();
    stage_report(0, stage_rate(hops));
}

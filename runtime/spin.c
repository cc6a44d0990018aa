/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/spin_internal.h"

uint32_t spin_begin(struct spin *spin) {
    struct spin_tries *tries = spin->woke ? &spin->probe : &spin->brief;

    spin->probes = spin->woke;
    spin->woke = false;
    if (!spin->allowed || spin->arrived == spin->seen)
        return 0;
    spin->seen = spin->arrived;
    if (tries->skips) {
        tries->skips--;
        return 0;
    }
    return spin->probes ? SPIN_PROBE_NS : SPIN_BRIEF_NS;
}

static void lose(struct spin_tries *tries, uint32_t skips_max) {
    if (tries->losses < 31)
        tries->losses++;
    if (tries->losses <= SPIN_LOSSES_FREE)
        return;
    tries->skips = (1u << (tries->losses - SPIN_LOSSES_FREE)) - 1;
    if (tries->skips > skips_max)
        tries->skips = skips_max;
}

void spin_end(struct spin *spin, bool won) {
    if (spin->probes) {
        lose(&spin->probe, SPIN_PROBE_SKIPS_MAX); /* unless a streak follows */
    } else if (won) {
        spin->brief = (struct spin_tries){0, 0};
        if (spin->streak < SPIN_STREAK && ++spin->streak == SPIN_STREAK)
            spin->probe = (struct spin_tries){0, 0};
    } else {
        spin->streak = 0;
        lose(&spin->brief, SPIN_BRIEF_SKIPS_MAX);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/sim/faults.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MILLION 1000000u
#define RATE_MAX 1000u /* one at each event */
#define STREAM 7

static const struct {
    const char *name, *explanation;
    uint64_t times;
} table[] = {
#define FAULT(upper, name, times, doc) [FAULT_##upper] = {#name, doc, times},
#include "tools/sim/faults.def"
#undef FAULT
};

const char *fault_name(enum fault_kind kind) {
    return table[kind].name;
}

const char *fault_explanation(enum fault_kind kind) {
    return table[kind].explanation;
}

void fault_rates_default(struct fault_rates *rates) {
    for (unsigned i = 0; i < FAULT_KINDS; i++)
        rates->millionths[i] = table[i].times * MILLION / 10;
}

/* Decimal digits with at most six behind the point; no float, whose rounding differs. */
static int read_rate(const char *text, uint64_t *millionths) {
    uint64_t value = 0, unit = MILLION;
    bool point = false;
    if (*text == '\0')
        return -EINVAL;
    for (; *text; text++) {
        if (*text == '.' && !point) {
            point = true;
        } else if (*text >= '0' && *text <= '9' && (!point || unit > 1)) {
            value = value * 10 + (uint64_t)(*text - '0');
            unit /= point ? 10 : 1;
        } else {
            return -EINVAL;
        }
        if (value > (uint64_t)RATE_MAX * MILLION)
            return -EINVAL;
    }
    if (value * unit > (uint64_t)RATE_MAX * MILLION)
        return -EINVAL;
    *millionths = value * unit;
    return 0;
}

int fault_rates_read(struct fault_rates *rates, const char *text) {
    const char *equals = strchr(text, '=');
    uint64_t millionths;
    bool found = false;
    if (!equals || read_rate(equals + 1, &millionths) != 0)
        return -EINVAL;
    size_t length = (size_t)(equals - text);
    bool all = length == 3 && memcmp(text, "all", 3) == 0;
    for (unsigned i = 0; i < FAULT_KINDS; i++) {
        if (!all && (strlen(table[i].name) != length || memcmp(table[i].name, text, length) != 0))
            continue;
        rates->millionths[i] = millionths;
        found = true;
    }
    return found ? 0 : -EINVAL;
}

int fault_rate_write(char *text, size_t capacity, uint64_t millionths) {
    unsigned digits = 6;
    uint64_t fraction = millionths % MILLION;
    if (!fraction)
        return snprintf(text, capacity, "%" PRIu64, millionths / MILLION);
    for (; fraction % 10 == 0; fraction /= 10)
        digits--;
    return snprintf(text, capacity, "%" PRIu64 ".%0*" PRIu64, millionths / MILLION, (int)digits,
                    fraction);
}

/* --- when --------------------------------------------------------------------------------------
 */

static void find_first(struct faults *faults) {
    faults->due_first = UINT64_MAX;
    for (unsigned i = 0; i < FAULT_KINDS; i++)
        if (faults->due[i] < faults->due_first)
            faults->due_first = faults->due[i];
}

/* Uniform, up to twice the mean distance. */
static uint64_t draw_distance(struct faults *faults, enum fault_kind kind, uint64_t most) {
    uint64_t twice = 2000ull * MILLION / faults->rates.millionths[kind];
    if (twice > most)
        twice = most;
    return 1 + random_below(&faults->random, twice);
}

void faults_init(struct faults *faults, const struct fault_rates *rates, uint64_t seed,
                 uint64_t events) {
    *faults = (struct faults){.rates = *rates};
    random_init(&faults->random, seed, STREAM);
    for (unsigned i = 0; i < FAULT_KINDS; i++)
        faults->due[i] = rates->millionths[i]
                             ? draw_distance(faults, (enum fault_kind)i, events / 2 + 1)
                             : UINT64_MAX;
    find_first(faults);
}

bool fault_fires(struct faults *faults, enum fault_kind kind, uint64_t event) {
    if (event < faults->due_first || faults->over || event < faults->due[kind])
        return false;
    faults->fired[kind]++;
    faults->due[kind] = event + draw_distance(faults, kind, UINT64_MAX);
    find_first(faults);
    return true;
}

enum fault_kind faults_missing(const struct faults *faults) {
    for (unsigned i = 0; i < FAULT_KINDS; i++)
        if (faults->rates.millionths[i] && !faults->fired[i])
            return (enum fault_kind)i;
    return FAULT_KINDS;
}

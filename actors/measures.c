/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/measures.h"

#include "actors/node.h"
#include "storage/meta.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DAY_MS 86400000ull
#define SKETCH_BITS 12u
#define RANK_MAX FORMAT_REGISTER_MAX
_Static_assert(FORMAT_REGISTERS == 1u << SKETCH_BITS, "a register for each first bits of a hash");
_Static_assert(FORMAT_REGISTER_MAX == 64 - SKETCH_BITS + 1, "the rest of it is all zeros");

#define read_of(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define write_to(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)

#define S 1000ull
const uint64_t measure_bounds_ms[MEASURE_BOUNDS] = {1,
                                                    2,
                                                    5,
                                                    10,
                                                    20,
                                                    50,
                                                    100,
                                                    200,
                                                    500,
                                                    1 * S,
                                                    2 * S,
                                                    5 * S,
                                                    10 * S,
                                                    60 * S,
                                                    600 * S,
                                                    3600 * S,
                                                    21600 * S,
                                                    86400 * S,
                                                    7 * 86400 * S,
                                                    30 * 86400 * S};
#undef S

struct measures *measures_create(unsigned shards) {
    struct measures *measures =
        aligned_alloc(_Alignof(struct measures), shards * sizeof(struct measures));
    if (measures)
        memset(measures, 0, shards * sizeof(struct measures));
    return measures;
}

static struct measures *measures_current(void) {
    const struct node *node = node_current();
    return node->measures ? &node->measures[actor_shard()] : NULL;
}

/* --- times -------------------------------------------------------------------------------------
 */

void measure_time(enum measure_kind kind, uint64_t ms) {
    struct measures *measures = measures_current();
    unsigned bucket = 0;
    if (!measures)
        return;
    struct measure *measure = &measures->of[kind];
    while (bucket < MEASURE_BOUNDS && ms > measure_bounds_ms[bucket])
        bucket++;
    write_to(measure->counts[bucket], measure->counts[bucket] + 1);
    write_to(measure->sum_ms, measure->sum_ms + ms);
}

void measure_read(const struct node *node, enum measure_kind kind, struct measure *sum) {
    *sum = (struct measure){0};
    for (unsigned i = 0; node->measures && i < node->shards; i++) {
        const struct measure *measure = &node->measures[i].of[kind];
        for (unsigned bucket = 0; bucket <= MEASURE_BOUNDS; bucket++)
            sum->counts[bucket] += read_of(measure->counts[bucket]);
        sum->sum_ms += read_of(measure->sum_ms);
    }
}

void measure_message_accepted(void) {
    struct measures *measures = measures_current();
    if (measures)
        write_to(measures->messages_accepted, measures->messages_accepted + 1);
}

uint64_t measure_messages_accepted(const struct node *node) {
    uint64_t sum = 0;
    for (unsigned i = 0; node->measures && i < node->shards; i++)
        sum += read_of(node->measures[i].messages_accepted);
    return sum;
}

/* --- active users ------------------------------------------------------------------------------
 */

/* User ids are given one after the other: every bit of the result depends on every one of theirs
 * (the finalizer of MurmurHash3, Appleby). */
static uint64_t mix(uint64_t x) {
    x = (x ^ x >> 33) * 0xff51afd7ed558ccdull;
    x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53ull;
    return x ^ x >> 33;
}

void sketch_add(struct record_active *sketch, uint64_t day, uint64_t user) {
    uint64_t hash = mix(user + 0x9e3779b97f4a7c15ull);
    uint8_t *at = &sketch->registers[hash >> (64 - SKETCH_BITS)];
    uint64_t rest = hash << SKETCH_BITS;
    uint8_t rank = rest ? (uint8_t)(__builtin_clzll(rest) + 1) : RANK_MAX;
    if (sketch->day != day) {
        write_to(sketch->day, 0); /* a reader meanwhile sees no day, not yesterday's users today */
        for (unsigned i = 0; i < FORMAT_REGISTERS; i++)
            write_to(sketch->registers[i], 0);
        write_to(sketch->day, day);
    }
    if (rank > *at)
        write_to(*at, rank);
}

void sketch_merge(struct record_active *into, const struct record_active *from) {
    if (read_of(from->day) != into->day)
        return;
    for (unsigned i = 0; i < FORMAT_REGISTERS; i++) {
        uint8_t rank = read_of(from->registers[i]);
        if (rank > into->registers[i])
            into->registers[i] = rank;
    }
}

/* The paper's estimate, and while registers are empty and it is small, linear counting. */
uint64_t sketch_count(const struct record_active *sketch) {
    const double m = FORMAT_REGISTERS, alpha = 0.7213 / (1 + 1.079 / m);
    double sum = 0;
    unsigned empty = 0;
    for (unsigned i = 0; i < FORMAT_REGISTERS; i++) {
        sum += 1.0 / (double)(1ull << sketch->registers[i]);
        empty += sketch->registers[i] == 0;
    }
    double estimate = alpha * m * m / sum;
    if (empty && estimate <= 2.5 * m)
        estimate = m * log(m / empty);
    return (uint64_t)llround(estimate);
}

void measure_user_active(uint64_t user, uint64_t wall_ms) {
    struct measures *measures = measures_current();
    uint64_t day = wall_ms / DAY_MS;
    if (measures)
        sketch_add(&measures->days[day % 2], day, user);
}

uint64_t measure_users_active(const struct node *node, uint64_t day) {
    struct record_active sum = {.day = day};
    for (unsigned i = 0; node->measures && i < node->shards; i++)
        sketch_merge(&sum, &node->measures[i].days[day % 2]);
    return sketch_count(&sum);
}

/* --- over restarts -----------------------------------------------------------------------------
 */

int measures_load(struct measures *measures, struct engine *engine) {
    int error = 0;
    for (unsigned parity = 0; parity < 2 && !error; parity++)
        error = meta_read_active(engine, parity, &measures[0].days[parity]);
    if (error)
        memset(measures[0].days, 0, sizeof(measures[0].days));
    return error;
}

/* Grows with every change of a sketch, and is another one's on another day. */
static uint64_t sketch_sum(const struct record_active *sketch) {
    uint64_t sum = sketch->day << 32;
    for (unsigned i = 0; i < FORMAT_REGISTERS; i++)
        sum += sketch->registers[i];
    return sum;
}

bool measures_save(const struct node *node, uint64_t wall_ms, struct measures_saved *saved,
                   struct write_batch *batch) {
    bool grown = false;
    if (!node->measures)
        return false;
    for (uint64_t day = wall_ms / DAY_MS, last = day - 1; day >= last; day--) {
        struct record_active sketch = {.day = day};
        for (unsigned i = 0; i < node->shards; i++)
            sketch_merge(&sketch, &node->measures[i].days[day % 2]);
        uint64_t sum = sketch_sum(&sketch);
        if (sum == day << 32 || sum == saved->sums[day % 2])
            continue;
        saved->sums[day % 2] = sum;
        grown |= meta_put_active(batch, &sketch) == 0;
    }
    return grown;
}

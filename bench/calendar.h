/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When people want to be woken, to a sixtieth of a second: a wheel of slots, each a list of people.
 *
 * What a timer of the runtime does exactly for 64 bytes (runtime/timer_internal.h), this does for
 * eight a person, in all: enough for heartbeats, which millions of people wait for all the time.
 * Nobody is woken early, but beyond CALENDAR_MS_MAX: then for having a look.
 *
 * Not thread-safe. Bounds: each person once. Setting and clearing are O(1).
 */
#ifndef TERN_BENCH_CALENDAR_H
#define TERN_BENCH_CALENDAR_H

#include <stdbool.h>
#include <stdint.h>

#define CALENDAR_SLOT_MS 16u
#define CALENDAR_SLOTS 32768u
#define CALENDAR_MS_MAX ((uint64_t)CALENDAR_SLOT_MS * (CALENDAR_SLOTS - 2)) /* 524 s */
#define CALENDAR_NOBODY UINT32_MAX

struct calendar_place; /* of a person, or of a slot: the head of its list */

struct calendar {
    struct calendar_place *places; /* people's, then slots' */
    uint32_t people;
    uint32_t count;    /* in it now */
    uint64_t begin_ms; /* slot 0's first time */
    uint64_t turned;   /* slots that have passed since */
};

/* Persons are numbers below `people`. Aborts when memory is out. */
void calendar_init(struct calendar *calendar, uint32_t people, uint64_t now_ms);
void calendar_finish(struct calendar *calendar);

/* Wakes `person` at due_ms, and not when it was set before. */
void calendar_set(struct calendar *calendar, uint32_t person, uint64_t due_ms);
/* Harmless if it is not in it. */
void calendar_clear(struct calendar *calendar, uint32_t person);
/* Takes somebody out whose time has come, or CALENDAR_NOBODY. */
uint32_t calendar_take(struct calendar *calendar, uint64_t now_ms);

#endif

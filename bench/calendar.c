/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Places form rings: a slot's place and those of its people. One that is alone in its ring is in no
 * list.
 *
 * Invariant: all slots that have been turned are empty, but the last of them while it is taken out.
 */
#include "bench/calendar.h"

#include "runtime/check.h"

#include <stdlib.h>
#include <string.h>

struct calendar_place {
    uint32_t next, previous;
};

static uint32_t slot_place(const struct calendar *calendar, uint64_t slot) {
    return calendar->people + (uint32_t)(slot % CALENDAR_SLOTS);
}

void calendar_init(struct calendar *calendar, uint32_t people, uint64_t now_ms) {
    CHECK(people > 0 && people < UINT32_MAX - CALENDAR_SLOTS);
    *calendar = (struct calendar){.people = people, .begin_ms = now_ms};
    calendar->places = malloc(((size_t)people + CALENDAR_SLOTS) * sizeof(struct calendar_place));
    CHECK(calendar->places != NULL);
    for (uint32_t i = 0; i < people + CALENDAR_SLOTS; i++)
        calendar->places[i] = (struct calendar_place){i, i};
}

void calendar_finish(struct calendar *calendar) {
    free(calendar->places);
    memset(calendar, 0, sizeof *calendar);
}

void calendar_clear(struct calendar *calendar, uint32_t person) {
    struct calendar_place *places = calendar->places, *own = &places[person];
    CHECK(person < calendar->people);
    if (own->next == person)
        return;
    places[own->next].previous = own->previous;
    places[own->previous].next = own->next;
    *own = (struct calendar_place){person, person};
    calendar->count--;
}

/* The first slot that begins at due_ms or later, and has not been turned. */
static uint64_t slot_of(const struct calendar *calendar, uint64_t due_ms) {
    uint64_t passed_ms = due_ms > calendar->begin_ms ? due_ms - calendar->begin_ms : 0;
    uint64_t slot = (passed_ms + CALENDAR_SLOT_MS - 1) / CALENDAR_SLOT_MS;
    uint64_t last = calendar->turned + CALENDAR_SLOTS - 1;
    if (slot <= calendar->turned)
        return calendar->turned + 1;
    return slot < last ? slot : last;
}

void calendar_set(struct calendar *calendar, uint32_t person, uint64_t due_ms) {
    calendar_clear(calendar, person);
    struct calendar_place *places = calendar->places;
    uint32_t head = slot_place(calendar, slot_of(calendar, due_ms));
    uint32_t last = places[head].previous;
    places[person] = (struct calendar_place){.next = head, .previous = last};
    places[last].next = person;
    places[head].previous = person;
    calendar->count++;
}

uint32_t calendar_take(struct calendar *calendar, uint64_t now_ms) {
    for (;;) {
        uint32_t head = slot_place(calendar, calendar->turned);
        uint32_t first = calendar->places[head].next;
        if (first != head) {
            calendar_clear(calendar, first);
            return first;
        }
        uint64_t next_ms = calendar->begin_ms + (calendar->turned + 1) * CALENDAR_SLOT_MS;
        if (next_ms > now_ms)
            return CALENDAR_NOBODY;
        calendar->turned++;
    }
}

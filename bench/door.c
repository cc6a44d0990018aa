/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/door.h"

#include "runtime/check.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

void door_init(struct door *door, uint32_t most, uint32_t people) {
    CHECK(most > 0 && people > 0);
    *door = (struct door){.people = people, .inside_max = most};
    door->line = calloc(people, sizeof *door->line);
    CHECK(door->line != NULL);
}

void door_finish(struct door *door) {
    free(door->line);
    memset(door, 0, sizeof *door);
}

bool door_enter(struct door *door, uint32_t person) {
    if (door->inside < door->inside_max) {
        door->inside++;
        return true;
    }
    CHECK(door->waiting < door->people);
    door->line[((uint64_t)door->first + door->waiting++) % door->people] = person;
    if (door->waiting > atomic_load_explicit(&door->waiting_peak, memory_order_relaxed))
        atomic_store_explicit(&door->waiting_peak, door->waiting, memory_order_relaxed);
    return false;
}

bool door_leave(struct door *door, uint32_t *next) {
    CHECK(door->inside > 0);
    if (door->waiting == 0) {
        door->inside--;
        return false;
    }
    *next = door->line[door->first];
    door->first = (door->first + 1) % door->people;
    door->waiting--;
    return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/sim/agenda.h"

#include "runtime/check.h"

#include <stdbool.h>
#include <stdlib.h>

static bool before(const struct agenda_entry *a, const struct agenda_entry *b) {
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

void agenda_add(struct agenda *agenda, uint64_t at_ns, agenda_call_fn call, void *subject,
                uint64_t token) {
    struct agenda_entry added = {at_ns, agenda->order_next++, call, subject, token};
    if (agenda->count == agenda->capacity) {
        agenda->capacity = agenda->capacity ? 2 * agenda->capacity : 256;
        agenda->entries = realloc(agenda->entries, agenda->capacity * sizeof(*agenda->entries));
        CHECK(agenda->entries);
    }
    size_t at = agenda->count++;
    for (; at && before(&added, &agenda->entries[(at - 1) / 2]); at = (at - 1) / 2)
        agenda->entries[at] = agenda->entries[(at - 1) / 2];
    agenda->entries[at] = added;
}

uint64_t agenda_next_ns(const struct agenda *agenda) {
    return agenda->count ? agenda->entries[0].at_ns : UINT64_MAX;
}

struct agenda_entry agenda_take(struct agenda *agenda) {
    CHECK(agenda->count);
    struct agenda_entry first = agenda->entries[0], last = agenda->entries[--agenda->count];
    size_t at = 0, child;
    while ((child = 2 * at + 1) < agenda->count) {
        if (child + 1 < agenda->count &&
            before(&agenda->entries[child + 1], &agenda->entries[child]))
            child++;
        if (!before(&agenda->entries[child], &last))
            break;
        agenda->entries[at] = agenda->entries[child];
        at = child;
    }
    if (agenda->count)
        agenda->entries[at] = last;
    return first;
}

void agenda_finish(struct agenda *agenda) {
    free(agenda->entries);
    *agenda = (struct agenda){0};
}

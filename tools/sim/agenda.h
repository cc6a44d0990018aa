/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is to happen when: a binary heap of calls by time, and by order of adding within a time.
 *
 * No address enters the order. Whoever may go away before its call passes a token that says which
 * life of it was meant, and the call looks.
 */
#ifndef TERN_TOOLS_SIM_AGENDA_H
#define TERN_TOOLS_SIM_AGENDA_H

#include <stddef.h>
#include <stdint.h>

struct world;

typedef void (*agenda_call_fn)(struct world *world, void *subject, uint64_t token);

struct agenda_entry {
    uint64_t at_ns, order;
    agenda_call_fn call;
    void *subject;
    uint64_t token;
};

struct agenda {
    struct agenda_entry *entries;
    size_t count, capacity;
    uint64_t order_next;
};

void agenda_add(struct agenda *agenda, uint64_t at_ns, agenda_call_fn call, void *subject,
                uint64_t token);
/* When the first is due; UINT64_MAX: there is none. */
uint64_t agenda_next_ns(const struct agenda *agenda);
/* Takes the first out. There is one (CHECK). */
struct agenda_entry agenda_take(struct agenda *agenda);
void agenda_finish(struct agenda *agenda);

#endif

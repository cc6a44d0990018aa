/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A door that lets in so many people at a time; the others stand in a line before it, first come,
 * first let in. The load's people connect through it: who is let in has a place until it is
 * welcomed or its connection ends, so that one thread gets to everybody it has begun with, and
 * nobody's first byte comes too late.
 *
 * Not thread-safe. Bounds: `most` are inside, all others in the line, each once.
 */
#ifndef TERN_BENCH_DOOR_H
#define TERN_BENCH_DOOR_H

#include <stdbool.h>
#include <stdint.h>

struct door {
    uint32_t *line; /* a ring of `people` places; its pages are there when somebody has waited */
    uint32_t people, first, waiting;
    uint32_t inside, inside_max;
    _Atomic uint32_t waiting_peak; /* read by another thread */
};

/* `most` at a time, at least 1; people are numbers below `people`. Aborts when memory is out. */
void door_init(struct door *door, uint32_t most, uint32_t people);
void door_finish(struct door *door);

/* True: `person` is inside. False: it stands in the line now; it must not stand there already. */
bool door_enter(struct door *door, uint32_t person);
/* Somebody who was inside has gone. True: *next, the first of the line, is inside instead. */
bool door_leave(struct door *door, uint32_t *next);

#endif

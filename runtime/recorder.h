/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flight recorder: what each shard did last.
 *
 * A shard notes every message that it hands to a handler, every actor that begins, ends or fails,
 * and every socket that opens or closes, in a ring of RECORDER_EVENTS, always; the oldest goes. A
 * note is three stores and names nothing but ids, classes, kinds and reasons: never what a message
 * holds. A crash record shows the crashed shard's ring, and anybody may read it while the shard
 * runs.
 */
#ifndef TERN_RUNTIME_RECORDER_H
#define TERN_RUNTIME_RECORDER_H

#include "runtime/message.h"

#define RECORDER_EVENTS 256u /* a power of two; 4 KiB a shard; the last 255 can be read */

struct runtime;

enum recorder_event {
    RECORDER_MESSAGE,      /* detail: the message's kind */
    RECORDER_SPAWN,        /* its init begins */
    RECORDER_EXIT,         /* detail: the reason */
    RECORDER_FAIL,         /* detail: the reason of actor_fail */
    RECORDER_SOCKET_OPEN,  /* detail: 0 accepted, 1 to be connected */
    RECORDER_SOCKET_CLOSE, /* detail: 0 in order, 1 with a reset */
};

struct recorder_entry {
    uint64_t number; /* of the shard's events, from 0 on */
    struct actor_id actor;
    const char *class; /* constant text, or NULL: of no actor */
    const char *kind;  /* of a message: its handler's name, constant; NULL: it has none */
    uint32_t at_ms;    /* the low half of the shard's monotonic clock in that turn */
    int32_t detail;    /* a reason is cut to 16 bits */
    uint8_t event;     /* enum recorder_event */
};

/* Any thread, without stopping the shard: copies what its ring holds, oldest first, and returns how
 * many there are (at most RECORDER_EVENTS). What was overwritten meanwhile is left out, never torn.
 * The runtime must live. */
unsigned recorder_read(struct runtime *runtime, unsigned shard,
                       struct recorder_entry entries[RECORDER_EVENTS]);
/* "message", "spawn", ...; constant. */
const char *recorder_event_name(unsigned event);

#endif

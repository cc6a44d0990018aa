/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Following one actor, or all of a class, while they run: which messages they handle and send, how
 * long the messages waited and took. Never what is in them.
 *
 * An actor asks; each shard sends it a TRACE_EVENT per message until the time or the number is used
 * up, then a TRACE_ENDED. So a trace that was forgotten ends by itself. Events come at most
 * `per_second` a shard; those beyond, and those for which the asker's mailbox has no room, are
 * counted as suppressed: a trace cannot drown whoever reads it, nor slow down whom it follows by
 * more than the clock reads and the message of each event.
 */
#ifndef TERN_RUNTIME_TRACE_H
#define TERN_RUNTIME_TRACE_H

#include "runtime/actor.h"

#define TRACES_MAX 4u /* at a time */
#define TRACE_MS_MAX 600000u
#define TRACE_PER_SECOND_MAX 10000u
#define TRACE_CLASS_BYTES 32u

struct trace_spec {
    struct actor_id actor;              /* or nobody: */
    char class_name[TRACE_CLASS_BYTES]; /* all of this class */
    uint32_t duration_ms;               /* 1 to TRACE_MS_MAX */
    uint32_t per_second;                /* events a second and shard: 1 to TRACE_PER_SECOND_MAX */
    uint32_t events_max;                /* per shard, then it ends; 0: no such limit */
};

enum trace_what { TRACE_HANDLED, TRACE_FAILED, TRACE_SENT };

struct trace_event {
    uint64_t reference;
    uint64_t at_ns; /* monotonic */
    struct actor_id actor;
    uint64_t key;            /* of a (class, key) actor, else 0 */
    const char *class_name;  /* constant */
    const char *kind_name;   /* constant; NULL: its class has no handler for it */
    struct actor_id other;   /* who sent it, or whom it is for (nobody: a name, or many) */
    const char *other_class; /* TRACE_SENT by (class, key): constant; then `other_key` is the key */
    uint64_t other_key;
    uint64_t waited_ns; /* in the mailbox */
    uint64_t took_ns;   /* in the handler; of TRACE_FAILED until it failed */
    uint32_t bytes;     /* header, payload and blob */
    uint16_t kind;
    uint16_t shard;
    enum trace_what what;
    int reason; /* of TRACE_FAILED */
};

enum trace_end { TRACE_OVER_TIME, TRACE_OVER_EVENTS, TRACE_OVER_STOPPED, TRACE_OVER_BUSY };

struct trace_ended {
    uint64_t reference;
    uint64_t events, suppressed;
    uint16_t shard;
    enum trace_end why; /* TRACE_OVER_BUSY: TRACES_MAX are active; it never began */
};

/* Begins; `*reference` is in every event. -EINVAL: a value out of its range, or neither an actor of
 * this node nor a class. */
int actor_trace_start(const struct trace_spec *spec, uint64_t *reference);
/* Ends it before its time; its TRACE_ENDED follow. */
void actor_trace_stop(uint64_t reference);

#endif

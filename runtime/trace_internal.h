/* SPDX-License-Identifier: Apache-2.0 */
/* The shard's side of trace.h. While a trace is active each run of the shard is an observed one. */
#ifndef TERN_RUNTIME_TRACE_INTERNAL_H
#define TERN_RUNTIME_TRACE_INTERNAL_H

#include "runtime/trace.h"

struct actor;
struct shard;

struct control_trace {
    struct trace_spec spec;
    uint64_t reference;
};

struct trace {
    struct trace_spec spec;
    uint64_t reference; /* 0: this place is free */
    struct actor_id asker;
    uint64_t end_ns, second_ns; /* monotonic; when the second that is counted began */
    uint32_t in_second;
    uint64_t events, suppressed;
};

/* What is remembered of a message while it is handled: it may be gone afterwards. */
struct trace_note {
    struct actor_id from;
    uint64_t sent_ns, begun_ns;
    uint32_t bytes;
    uint16_t kind;
};

/* A shard's own. */
struct traces {
    struct trace active[TRACES_MAX];
    uint32_t count;
    uint64_t next_ns; /* when the next one is over; UINT64_MAX: none is active */
    struct trace_note note;
};

void trace_on_request(struct shard *shard, struct actor_id asker,
                      const struct control_trace *request);
void trace_on_stop(struct shard *shard, uint64_t reference);
/* Ends those whose time is over. */
void trace_turn(struct shard *shard);

/* Before and after a handler of an observed run, and when it has failed. */
void trace_begin(struct shard *shard, const struct message *message, uint64_t now_ns);
void trace_handled(struct shard *shard, const struct actor *actor, uint64_t now_ns);
void trace_failed(struct shard *shard, const struct actor *actor, int reason);
/* The running actor has signed a message. */
void trace_sent(struct shard *shard, const struct message *message);

#endif

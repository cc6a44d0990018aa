/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the runtime's tests stand on: a runtime whose shards are driven by hand with a clock that
 * the test moves, and the seams of one with threads whose reactor only waits and wakes.
 */
#ifndef TERN_TESTS_UNIT_RUNTIME_FIXTURE_H
#define TERN_TESTS_UNIT_RUNTIME_FIXTURE_H

#include "runtime/runtime.h"
#include "runtime/scheduler_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* A runtime without threads; shard 0 is the current one. The clock starts at an odd moment. */
struct runtime *fixture_create(unsigned shards);
struct runtime *fixture_create_with(const struct runtime_options *options);
/* Also of one with threads. Fails if a message or blob was lost. */
void fixture_destroy(struct runtime *runtime);
extern uint64_t fixture_now_ns;
void fixture_advance_ms(uint64_t ms);
/* Runs turns of all shards until none has anything ready; shard 0 is the current one again. */
void fixture_run(struct runtime *runtime);
/* The same while the clock moves on by `ms`, a millisecond at a time. */
void fixture_run_ms(struct runtime *runtime, uint64_t ms);
void fixture_enter(struct runtime *runtime, unsigned shard);
void fixture_send(struct actor_id to, uint16_t kind, uint64_t value);
const struct runtime_class_counters *fixture_class(struct runtime *runtime, const char *name);
uint64_t fixture_event(struct runtime *runtime, const char *name);

/* For runtimes with threads. */
extern const struct reactor_ops reactor_waiting;
const struct seams *fixture_seams_threads(void);

/* The first word of a message's payload. */
static inline uint64_t value_of(struct message *message) {
    return *message_as(message, uint64_t);
}
static inline struct message *message_of(uint16_t kind, uint64_t value) {
    struct message *message = message_create(kind, sizeof value);
    *message_as(message, uint64_t) = value;
    return message;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that the node starts (sms_command): no shell, an argument list, bytes on standard input,
 * a time limit, and how it ended as a message PROGRAM_ENDED to the actor that started it.
 */
#ifndef TERN_RUNTIME_PROGRAM_H
#define TERN_RUNTIME_PROGRAM_H

#include "runtime/actor.h"

struct program_ended {
    uint64_t reference;
    int status; /* exit status 0..255; 256 + signal; or a negative errno if it could not start */
};

#define PROGRAM_ARGUMENTS_MAX 16
#define PROGRAM_INPUT_BYTES_MAX 4096
#define PROGRAMS_RUNNING_MAX 16 /* on each shard */

/* Starts arguments[0] (a path, or found in PATH) for the running actor; a NULL ends the list. At
 * most `timeout_ms`, then it is killed, with what it started. Copies what it is given. 0:
 * PROGRAM_ENDED follows, unless the actor ends first (the program goes on). -EAGAIN: too many are
 * running; -EINVAL, -E2BIG: beyond the limits above. Its output goes to the node's standard error.
 */
int program_start(const char *const arguments[], const void *input, size_t input_bytes,
                  uint32_t timeout_ms, uint64_t reference);

/* --- the seam -------------------------------------------------------------------------------- */

struct shard;
struct program;         /* program.c's own */
struct program_process; /* the implementation's own */

struct program_ops {
    const char *name;
    /* Starts it. 0: program_on_ended follows, once, from the shard's poll. Or a negative errno. */
    int (*start)(struct shard *shard, struct program *program, const char *const arguments[],
                 const void *input, size_t input_bytes, struct program_process **process);
    /* Ends it and what it started; program_on_ended still follows. */
    void (*kill)(struct program_process *process);
    /* The shard is no more: kills it and frees what is known of it, without a report. */
    void (*forget)(struct program_process *process);
};

void program_on_ended(struct shard *shard, struct program *program, int status);

extern const struct program_ops program_posix;

#endif

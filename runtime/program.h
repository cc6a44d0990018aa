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

/* Starts arguments[0] (a path, or found in PATH) for the running actor. At most `timeout_ms`, then
 * it is killed. Copies what it is given. 0, or a negative errno (-EAGAIN: too many are running).
 * Its output goes to the node's standard error. */
int program_start(const char *const arguments[], const void *input, size_t input_bytes,
                  uint32_t timeout_ms, uint64_t reference);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the crash record share, and what threads owe it. */
#ifndef TERN_RUNTIME_CRASH_INTERNAL_H
#define TERN_RUNTIME_CRASH_INTERNAL_H

#include "runtime/crash.h"

#include <signal.h>
#include <stdbool.h>

/* --- stacks: crash_posix.c --- */

/* The stack on which a thread's fault is handled; without it an overflow ends in silence. */
struct crash_stack {
    void *memory; /* NULL: none */
    stack_t before;
};
/* For the calling thread, until leave; nothing if no handler is installed. */
void crash_stack_enter(struct crash_stack *stack);
void crash_stack_leave(struct crash_stack *stack);
/* The signals that a thread must never block: a fault that finds its signal blocked ends the
 * process without a word. */
void crash_signals_unblock(sigset_t *set);

/* --- text without stdio: crash_text.c. Async-signal-safe. --- */

struct crash_text {
    int fd; /* -1: nothing is written, the bytes stay */
    size_t used;
    char bytes[1024];
};
/* A line of the log (log.h) of an end that log_write is not fit for: as text on a terminal, else as
 * JSON, whose quotes become single ones. */
void crash_line_begin(struct crash_text *text);
void crash_line_put(struct crash_text *text, const char *string);
void crash_line_end(struct crash_text *text);
void crash_text_flush(struct crash_text *text);
void crash_put(struct crash_text *text, const char *string);
void crash_put_character(struct crash_text *text, char character); /* printable, else '?' */
void crash_put_number(struct crash_text *text, int64_t number);
void crash_put_hex(struct crash_text *text, uint64_t number); /* 0x... */
void crash_put_digits(struct crash_text *text, uint64_t number, unsigned digits);
/* 2026-11-24T08:45:12Z; without the punctuation 20261124T084512Z. */
void crash_put_time(struct crash_text *text, uint64_t unix_s, bool punctuated);

/* --- backtraces: crash_symbols.c --- */

#define CRASH_FRAMES_MAX 48u

/* Reads what names addresses: the program's symbols and where its libraries lie. Once per process,
 * before the others are used; the unwinder is loaded too. Not async-signal-safe. */
void crash_symbols_load(void);
/* The interrupted code's frames, innermost first: return addresses but for the first. For a signal
 * handler; async-signal-safe. It may fault where memory is broken; what lies at `stack_end` and
 * above is not looked at (UINTPTR_MAX: unknown). */
unsigned crash_backtrace(const ucontext_t *context, uintptr_t stack_end,
                         uintptr_t frames[CRASH_FRAMES_MAX]);
/* "append+0x1f (tern-node+0x2a31f)". `innermost`: it is no return address. */
void crash_put_address(struct crash_text *text, uintptr_t address, bool innermost);
/* The instruction, the stack's pointer and the frame's of the interrupted code; 0: unknown. */
struct crash_registers {
    uintptr_t instruction, stack, frame;
};
struct crash_registers crash_registers_of(const ucontext_t *context);

/* --- the failed CHECK: check.c --- */

struct check_failure {
    const char *expression; /* NULL: none */
    const char *file;
    int line;
};
extern struct check_failure check_failure;

/* --- files: crash_files.c --- */

/* Makes the directory and leaves at most `keep` records in it. 0 or -errno. */
int crash_directory_prepare(const char *directory, unsigned keep);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Crash records: what a process leaves behind when C cannot go on.
 *
 * SIGSEGV, SIGBUS, SIGILL, SIGFPE and SIGABRT (a failed CHECK, a broken heap), also by an
 * overflowing stack, write one file DIRECTORY/CRASH-<time>-<pid>, mode 0600, from a stack of their
 * own and with async-signal-safe calls alone; then the process ends as it would have. The file is
 * text for people, a field a line:
 *
 *     Tern crash record, format 1
 *     summary: SIGSEGV at 0x10 in mailbox, message deliver (52), in append+0x1f
 *     version: tern-node 0.1
 *     time: 2026-11-24T08:45:12Z
 *     pid: 4711
 *     signal: SIGSEGV (11), code 1
 *     address: 0x10
 *     check: queue->head <= queue->tail (actors/mailbox_queue.c:88)     of a failed CHECK
 *     stack: overflow                                                    when that is what it was
 *     thread: shard 0
 *     actor: 0x8000000001 (node 0, shard 0, slot 2, generation 1)
 *     class: mailbox
 *     key: 42
 *     message: deliver (52)          what runs: a message, "its init" or "its end"
 *     blame: mail to=42/1 ...        what it was working on (actor_blame), or "nobody"
 *     backtrace:
 *       0 append+0x1f (tern-node+0x2a31f)
 *     events of shard 0, the newest last:
 *       -12 ms message mailbox 0x8000000001 deliver (52)
 *     end
 *
 * A part that cannot be read, since memory is broken, says so and the rest goes on; a record
 * without "end" was cut. It never holds what a message holds. At most `records_max` are kept.
 *
 * The handlers are the process's, so this is the one part of the runtime that is not per runtime.
 * The simulator does not install it.
 */
#ifndef TERN_RUNTIME_CRASH_H
#define TERN_RUNTIME_CRASH_H

#include <stddef.h>
#include <stdint.h>

#define CRASH_RECORDS_MAX 32u
#define CRASH_PATH_BYTES_MAX 4096u
#define CRASH_BLAME_BYTES_MAX 512u

struct crash_options {
    const char *directory; /* made if it is not there, mode 0700 */
    const char *version;   /* constant text for the record; NULL: "unknown" */
    unsigned records_max;  /* the oldest go at the start; 0: CRASH_RECORDS_MAX */
};

/* Installs the handlers for the process, and for the calling thread a stack for them; the runtime's
 * threads get theirs when they start. 0; -EALREADY: it is installed; -ENAMETOOLONG; or why the
 * directory cannot be made. runtime_start calls it (runtime_options.crash_directory). Not for two
 * threads at once. */
int crash_install(const struct crash_options *options);
/* Puts back what was there. After the runtime's threads have ended; by the thread that installed.
 */
void crash_uninstall(void);

/* --- blame: for actors that handle input from outside --- */

/* Writes at most `bytes` of one line that names whose input `of` is, without its contents, and
 * returns how many. Called by a crash handler: async-signal-safe, no lock, no memory of the heap.
 */
typedef size_t (*crash_describe_fn)(const void *of, char *text, size_t bytes);

/* Notes what the running handler, or pool job, works on, until it returns, for the crash record:
 * two stores. `of` must stay readable as long; NULL: nobody's. Not after the handler: what an actor
 * does at the end of its turn or of its life nobody is blamed for. */
void actor_blame(crash_describe_fn describe, const void *of);

/* --- reading --- */

/* The directory's records, newest first, their paths; stops when `visit` returns nonzero and
 * returns that. 0, or -errno; a directory that is not there has none. Blocks. */
int crash_records_visit(const char *directory, int (*visit)(void *context, const char *path),
                        void *context);
/* The value of a line "field: value" of a record into `text`, cut to `bytes`. 0, -ENOENT: it has
 * no such line; or -errno. */
int crash_record_field(const char *path, const char *field, char *text, size_t bytes);
/* When it was written, Unix milliseconds. 0; -EBADMSG: it is not there, or does not say; or -errno.
 */
int crash_record_time(const char *path, uint64_t *unix_ms);
/* The record of the process `pid`: its path. 0, -ENOENT: it left none. */
int crash_record_of(const char *directory, int pid, char path[CRASH_PATH_BYTES_MAX]);

#endif

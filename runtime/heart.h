/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heart: a small parent process that outlives crashes of the node.
 *
 * It opens the listening sockets and passes them on by descriptor number (a killed process's rings
 * hold its ports for some 100 ms), starts the node as its child, forwards SIGTERM, SIGINT and
 * SIGHUP, and starts it again when it died of anything but an orderly end: at once, then with
 * backoff and jitter. It logs where the crash record is (crash.h) and its summary. After some
 * restarts in a period it tells the child to refuse strangers, who may be why; after too many it
 * gives up loudly. The child dies with it (PR_SET_PDEATHSIG). Single-threaded; it holds no state
 * worth losing.
 */
#ifndef TERN_RUNTIME_HEART_H
#define TERN_RUNTIME_HEART_H

#include "runtime/socket.h"

#include <stdbool.h>

#define HEART_LISTENERS_MAX 8

struct heart_listener {
    struct socket_address address;
    int backlog;
    int fd; /* out: the listening descriptor, valid in parent and child; blocking */
};
/* What a child is told at its start. */
struct heart_start {
    unsigned starts;       /* of children so far, this one included */
    bool refuse_strangers; /* there were strangers_after crashes within period_ms */
};
struct heart_options {
    struct heart_listener *listeners;
    unsigned listener_count;
    unsigned restarts_max;       /* within period_ms; 0: 10 */
    unsigned strangers_after;    /* crashes within period_ms; 0: half of restarts_max */
    uint32_t period_ms;          /* 0: 60,000 */
    uint32_t backoff_ms_max;     /* 0: 5,000; a quarter less or more is waited */
    const char *crash_directory; /* where children leave crash records; NULL: nowhere */
    /* Runs in the child; its result is the child's exit status. HEART_EXIT_* say what the heart
     * does. */
    int (*child)(void *context, const struct heart_start *start);
    void *context;
};

/* The child's ends that are not to be followed by a restart. Others (signals too) are. */
#define HEART_EXIT_ORDERLY 0
#define HEART_EXIT_CONFIGURATION 78 /* EX_CONFIG: starting again would not help */
#define HEART_EXIT_UNAVAILABLE 69   /* EX_UNAVAILABLE: data directory in use, port taken */
/* The heart's own: too many crashes, nothing is served any more (EX_SOFTWARE). */
#define HEART_EXIT_GAVE_UP 70

/* Opens the listeners (SO_REUSEADDR, TCP_NODELAY, TCP_USER_TIMEOUT set for what they accept). A
 * taken port is tried for 2 s: a killed node keeps it for a moment. On failure -errno and `*failed`
 * is the index of the listener. */
int heart_listen(struct heart_listener *listeners, unsigned count, unsigned *failed);
/* Returns the exit status for main: the child's, when it ended in order or after SIGTERM or SIGINT
 * (128 + signal if that ended it), else HEART_EXIT_GAVE_UP. Call before any thread exists. In the
 * child SIGTERM, SIGINT and SIGHUP are blocked: none is lost before the node subscribes to them
 * (signals.h). */
int heart_run(const struct heart_options *options);

#endif

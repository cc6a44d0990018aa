/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heart: opens the listeners, starts the child, waits, and decides what its end means.
 *
 *   RUNNING ──child ends in order (0, 69, 78) or was told to stop──► return its status
 *      │  ▲
 *      │  └──────────── backoff over: fork ───────────┐
 *      └──child ends otherwise──► WAITING (backoff) ──┤
 *                                                     └─ told to stop: return 0; too many: give up,
 * 70
 *
 * Everything is done with the four signals blocked and taken one by one from sigtimedwait, so there
 * is no handler and no race between a signal and a wait. The child is in a process group of its
 * own: a Ctrl-C at the terminal reaches the heart alone, which forwards it once.
 *
 * The listening sockets stay open here while there is no child: who connects in between waits in
 * the backlog and is served by the next child.
 */
#include "runtime/heart.h"

#include "runtime/crash.h"
#include "runtime/log.h"
#include "runtime/socket_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RESTARTS_DEFAULT 10
#define RESTARTS_LIMIT 256 /* how many moments are remembered; restarts_max is cut to it */
#define PERIOD_MS_DEFAULT 60000
#define BACKOFF_MS_DEFAULT 5000
#define BACKOFF_MS_FIRST 100 /* the second restart in a row; the first one is at once */
#define LISTEN_TRIES 40
#define LISTEN_PAUSE_MS 50
#define BACKLOG_DEFAULT 4096

struct heart {
    const struct heart_options *options;
    unsigned restarts_max;
    unsigned strangers_after;
    uint32_t period_ms;
    uint32_t backoff_ms_max;
    sigset_t watched;                    /* SIGCHLD and the forwarded ones, blocked throughout */
    sigset_t mask_before;                /* of the caller, given back on return */
    pid_t child;                         /* 0: none */
    pid_t ended;                         /* the child that ended last */
    unsigned starts;                     /* of children, this one included */
    unsigned in_a_row;                   /* crashes of children that did not live for a period */
    bool stopping;                       /* SIGTERM or SIGINT was seen */
    uint64_t started_ms;                 /* the child */
    uint64_t crashes_ms[RESTARTS_LIMIT]; /* ring of the last crashes' moments */
    unsigned crash_count;
};

/* The heart is below the seams: it is a process that no simulation starts. */
static uint64_t now_ms(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int open_listener(struct heart_listener *listener) {
    const int on = 1;
    union socket_kernel_address kernel;
    socklen_t length = socket_address_to_kernel(&listener->address, &kernel);
    int backlog = listener->backlog > 0 ? listener->backlog : BACKLOG_DEFAULT;
    int fd = socket_open(listener->address.family);
    int error;

    if (fd < 0)
        return fd;
    if ((listener->address.family != AF_INET6 ||
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0) &&
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        bind(fd, &kernel.any, length) == 0 && listen(fd, backlog) == 0 &&
        getsockname(fd, &kernel.any, &length) == 0) {
        socket_address_from_kernel(&kernel, &listener->address); /* port 0 is a real one now */
        listener->fd = fd;
        return 0;
    }
    error = -errno;
    close(fd);
    return error;
}

/* A node that was killed keeps its ports until its rings are gone, some 100 ms (seen: 8 to 122). */
static int open_listener_soon(struct heart_listener *listener) {
    const struct timespec pause = {0, LISTEN_PAUSE_MS * 1000000};
    int error = open_listener(listener);
    for (unsigned i = 0; error == -EADDRINUSE && i < LISTEN_TRIES; i++) {
        nanosleep(&pause, NULL);
        error = open_listener(listener);
    }
    return error;
}

int heart_listen(struct heart_listener *listeners, unsigned count, unsigned *failed) {
    CHECK(count <= HEART_LISTENERS_MAX);
    for (unsigned i = 0; i < count; i++) {
        int error = open_listener_soon(&listeners[i]);
        if (error != 0) {
            *failed = i;
            while (i-- > 0)
                close(listeners[i].fd);
            return error;
        }
    }
    return 0;
}

/* In the new process. The heart may have died before prctl took effect: then nobody would end us.
 */
__attribute__((noreturn)) static void become_child(const struct heart *heart,
                                                   const struct heart_start *start, pid_t parent) {
    sigset_t mask = heart->mask_before;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(HEART_EXIT_UNAVAILABLE);
    setpgid(0, 0);
    /* Signals for the node wait until somebody subscribes to them (signals.h). */
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGHUP);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    exit(heart->options->child(heart->options->context, start));
}

/* Crashes that are remembered and not older than a period. */
static unsigned crashes_lately(const struct heart *heart) {
    uint64_t now = now_ms();
    unsigned count = 0;

    for (unsigned i = 0; i < heart->restarts_max && i < heart->crash_count; i++)
        count += now - heart->crashes_ms[i] < heart->period_ms;
    return count;
}

static int start_child(struct heart *heart) {
    struct heart_start start = {
        .starts = heart->starts + 1,
        .refuse_strangers = crashes_lately(heart) >= heart->strangers_after,
    };
    pid_t parent = getpid();
    pid_t child = fork();

    if (child < 0)
        return -errno;
    heart->starts++;
    heart->started_ms = now_ms();
    if (child == 0)
        become_child(heart, &start, parent);
    if (start.refuse_strangers)
        log_warning("node was told to refuse strangers: they may be why it ends");
    heart->child = child;
    return 0;
}

static void forward(struct heart *heart, int signal) {
    if (signal == SIGTERM || signal == SIGINT)
        heart->stopping = true;
    if (heart->child > 0)
        kill(heart->child, signal);
}

/* True when the child has ended; its wait status is in *status. */
static bool reap(struct heart *heart, int *status) {
    if (heart->child <= 0 || waitpid(heart->child, status, WNOHANG) != heart->child)
        return false;
    heart->ended = heart->child;
    heart->child = 0;
    return true;
}

/* Takes signals until the child ends (true), or until wait_ms have passed or there is a reason to
 * stop and no child (false). */
static bool attend(struct heart *heart, uint64_t wait_ms, int *status) {
    uint64_t end = now_ms() + wait_ms;

    for (;;) {
        uint64_t now = now_ms();
        struct timespec left = {.tv_sec = 3600};
        int signal;

        if (reap(heart, status))
            return true;
        if (heart->child <= 0) {
            if (now >= end || heart->stopping)
                return false;
            left.tv_sec = (time_t)((end - now) / 1000);
            left.tv_nsec = (long)((end - now) % 1000) * 1000000;
        }
        signal = sigtimedwait(&heart->watched, NULL, &left);
        if (signal > 0 && signal != SIGCHLD)
            forward(heart, signal);
    }
}

/* Remembers a crash; true if there were more than restarts_max within the period. */
static bool too_many_crashes(struct heart *heart) {
    uint64_t now = now_ms();
    unsigned oldest = heart->crash_count % heart->restarts_max;
    bool full = heart->crash_count >= heart->restarts_max;
    bool too_many = full && now - heart->crashes_ms[oldest] < heart->period_ms;

    heart->crashes_ms[oldest] = now;
    heart->crash_count++;
    heart->in_a_row = now - heart->started_ms < heart->period_ms ? heart->in_a_row + 1 : 1;
    return too_many;
}

/* None for the first crash, then 100 ms doubled up to the maximum. */
static uint64_t backoff_mean_ms(const struct heart *heart) {
    unsigned doublings = heart->in_a_row - 2;

    if (heart->in_a_row < 2)
        return 0;
    if (doublings >= 16 || ((uint64_t)BACKOFF_MS_FIRST << doublings) > heart->backoff_ms_max)
        return heart->backoff_ms_max;
    return (uint64_t)BACKOFF_MS_FIRST << doublings;
}

/* A quarter less or more, lest nodes that crashed together come back together. */
static uint64_t backoff_ms(const struct heart *heart) {
    uint64_t mean = backoff_mean_ms(heart);
    uint32_t random = 0;

    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random)
        return mean;
    return mean - mean / 4 + random % (mean / 2 + 1);
}

/* What main is to return for a child that ended so, or -1 if it is to be started again. */
static int exit_status_of(const struct heart *heart, int status) {
    if (WIFEXITED(status)) {
        int code = WEXITSTATUS(status);
        bool final = code == HEART_EXIT_ORDERLY || code == HEART_EXIT_CONFIGURATION ||
                     code == HEART_EXIT_UNAVAILABLE;
        return final || heart->stopping ? code : -1;
    }
    return heart->stopping ? 128 + WTERMSIG(status) : -1;
}

static void report_crash(const struct heart *heart, int status) {
    if (WIFSIGNALED(status))
        log_error("node ended by signal %d (%s), start %u", WTERMSIG(status),
                  strsignal(WTERMSIG(status)), heart->starts);
    else
        log_error("node ended with status %d, start %u", WEXITSTATUS(status), heart->starts);
}

/* A process that was killed from outside leaves none. */
static void report_record(const struct heart *heart) {
    char path[CRASH_PATH_BYTES_MAX], summary[CRASH_BLAME_BYTES_MAX];
    const char *directory = heart->options->crash_directory;

    if (!directory || crash_record_of(directory, heart->ended, path) != 0)
        return;
    if (crash_record_field(path, "summary", summary, sizeof summary) != 0)
        strcpy(summary, "it was cut");
    log_error("crash record %s: %s", path, summary);
}

static int keep_alive(struct heart *heart) {
    for (;;) {
        int status = 0;
        int error = start_child(heart);

        if (error == 0) {
            CHECK(attend(heart, UINT32_MAX, &status));
            int code = exit_status_of(heart, status);
            if (code >= 0)
                return code;
            report_crash(heart, status);
            report_record(heart);
        } else {
            heart->started_ms = now_ms();
            log_error("cannot start the node: %s", strerror(-error));
        }
        if (too_many_crashes(heart)) {
            log_error(
                "node ended %u times within %u ms: giving up. Nothing is served any more; look at "
                "the lines above, then start it again",
                heart->restarts_max + 1, heart->period_ms);
            return HEART_EXIT_GAVE_UP;
        }
        uint64_t wait_ms = backoff_ms(heart);
        log_warning("starting the node again in %u ms", (unsigned)wait_ms);
        attend(heart, wait_ms, &status);
        if (heart->stopping)
            return HEART_EXIT_ORDERLY;
    }
}

int heart_run(const struct heart_options *options) {
    struct heart heart = {
        .options = options,
        .restarts_max = options->restarts_max != 0 ? options->restarts_max : RESTARTS_DEFAULT,
        .period_ms = options->period_ms != 0 ? options->period_ms : PERIOD_MS_DEFAULT,
        .backoff_ms_max =
            options->backoff_ms_max != 0 ? options->backoff_ms_max : BACKOFF_MS_DEFAULT,
    };
    int code;

    if (heart.restarts_max > RESTARTS_LIMIT)
        heart.restarts_max = RESTARTS_LIMIT;
    heart.strangers_after =
        options->strangers_after != 0 ? options->strangers_after : (heart.restarts_max + 1) / 2;
    sigemptyset(&heart.watched);
    sigaddset(&heart.watched, SIGCHLD);
    sigaddset(&heart.watched, SIGTERM);
    sigaddset(&heart.watched, SIGINT);
    sigaddset(&heart.watched, SIGHUP);
    sigprocmask(SIG_BLOCK, &heart.watched, &heart.mask_before);
    code = keep_alive(&heart);
    sigprocmask(SIG_SETMASK, &heart.mask_before, NULL);
    return code;
}

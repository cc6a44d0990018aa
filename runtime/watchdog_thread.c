/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The watchdog on a thread that looks at what the shards say they run.
 *
 * A shard notes each handler in its flight recorder, and its class per actor; nothing is asked of
 * the clock on its side. A count of notes that stays the same between looks is one handler that
 * still runs. The thread looks often while a shard is awake and seldom while all sleep.
 *
 * Where the handler is only its own thread can say: it is sent a signal, whose handler fills the
 * shard's `struct stuck` and leaves. That a signal interrupts a system call does no harm: it is
 * sent to who has been in a handler for long, and SA_RESTART covers the moment in between.
 */
#include "runtime/watchdog.h"

#include "runtime/crash_internal.h"
#include "runtime/log.h"
#include "runtime/scheduler_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LOOK_NS_MAX 10000000u
#define LOOK_NS_MIN 1000000u
#define MS 1000000u
#define ANSWER_TRIES 50u /* a millisecond each */
#define KINDS_MAX 64u    /* with more, the one that was reported longest ago is forgotten */
#define TRACE_BYTES_MAX 700u

/* What was seen of a shard at the last look. */
struct look {
    uint64_t count; /* of the recorder's notes */
    uint64_t since_ns;
    const struct actor_class *class;
    bool reported;
};

/* A question to a shard's thread, and its answer. */
struct stuck {
    uint64_t count;    /* of the recorder: the handler in question. Before `asked`. */
    uint64_t asked;    /* by the watchdog; release: pairs with on_ask */
    uint64_t answered; /* by the signal's handler; release: pairs with ask */
    unsigned frame_count;
    uintptr_t frames[CRASH_FRAMES_MAX];
};

/* A class and kind that was reported. */
struct reported {
    const struct actor_class *class;
    uint64_t what; /* event and detail of the recorder */
    uint64_t at_ns;
    unsigned suppressed;
};

struct watchdog {
    struct runtime *runtime;
    uint32_t budget_ms;
    bool asks; /* the signal is ours */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t end;
    bool ending; /* under `lock`, like the last reports: a ring, and how many there ever were */
    struct watchdog_report reports[WATCHDOG_REPORTS_MAX];
    uint64_t report_count;
    struct reported reported[KINDS_MAX];
    struct stuck *stucks; /* by shard */
    struct look looks[];
};

/* --- where a thread is
 * ------------------------------------------------------------------------- */

static void on_ask(int signal, siginfo_t *info, void *context) {
    struct shard *shard = shard_of_thread;
    struct stuck *stuck = shard ? shard->stuck : NULL;
    int error = errno;
    /* Pairs with ask's release: `count` is what it is about. */
    uint64_t asked = stuck ? __atomic_load_n(&stuck->asked, __ATOMIC_ACQUIRE) : 0;
    if (stuck && asked != stuck->answered) {
        bool same = shard->recorder.count == stuck->count && shard->stack_end;
        stuck->frame_count = same ? crash_backtrace(context, shard->stack_end, stuck->frames) : 0;
        /* Pairs with ask's acquires: the frames are there. */
        __atomic_store_n(&stuck->answered, asked, __ATOMIC_RELEASE);
    }
    errno = error;
}

/* Once for the process, and left there: a signal may still be on its way when a runtime ends. */
static bool install(void) {
    struct sigaction before,
        action = {.sa_sigaction = on_ask, .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
    sigfillset(&action.sa_mask);
    crash_signals_unblock(&action.sa_mask);
    if (sigaction(WATCHDOG_SIGNAL, NULL, &before) != 0)
        return false;
    if ((before.sa_flags & SA_SIGINFO) && before.sa_sigaction == on_ask)
        return true;
    return before.sa_handler == SIG_DFL && sigaction(WATCHDOG_SIGNAL, &action, NULL) == 0;
}

/* True: its frames are in `stuck`. */
static bool ask(struct watchdog *watchdog, struct shard *shard, uint64_t count) {
    const struct timespec pause = {0, MS};
    struct stuck *stuck = shard->stuck;
    /* Pairs with the store in thread_run. */
    pid_t thread = __atomic_load_n(&shard->thread_id, __ATOMIC_RELAXED);
    if (!watchdog->asks || !thread ||
        __atomic_load_n(&stuck->answered, __ATOMIC_ACQUIRE) != stuck->asked)
        return false; /* or it has not answered the last time */
    stuck->count = count;
    __atomic_store_n(&stuck->asked, stuck->asked + 1, __ATOMIC_RELEASE);
    if (syscall(SYS_tgkill, getpid(), thread, WATCHDOG_SIGNAL) != 0)
        return false;
    for (unsigned i = 0; i < ANSWER_TRIES; i++) {
        if (__atomic_load_n(&stuck->answered, __ATOMIC_ACQUIRE) == stuck->asked)
            return stuck->frame_count != 0;
        nanosleep(&pause, NULL);
    }
    return false;
}

/* "poll+0x7 (libc.so.6+0x10f5a7) < on_begin+0x40 (...) < ...", as much as fits. */
static void trace_format(const struct stuck *stuck, struct crash_text *text) {
    for (unsigned i = 0; i < stuck->frame_count && text->used < TRACE_BYTES_MAX; i++) {
        crash_put(text, i ? " < " : "");
        crash_put_address(text, stuck->frames[i], i == 0);
    }
    size_t length = text->used < TRACE_BYTES_MAX ? text->used : TRACE_BYTES_MAX;
    text->bytes[length] = '\0';
}

/* --- reports
 * ----------------------------------------------------------------------------------- */

/* Its place in the table, a new one if it has none. */
static struct reported *find(struct watchdog *watchdog, const struct actor_class *class,
                             uint64_t what) {
    struct reported *oldest = &watchdog->reported[0];
    for (unsigned i = 0; i < KINDS_MAX; i++) {
        struct reported *reported = &watchdog->reported[i];
        if (reported->class == class && reported->what == what)
            return reported;
        if (reported->at_ns < oldest->at_ns)
            oldest = reported;
    }
    *oldest = (struct reported){.class = class, .what = what};
    return oldest;
}

static const char *doing(const struct actor_class *class, uint64_t what, char *text, size_t bytes) {
    uint16_t kind = (uint16_t)what;
    const char *name = kind < class->handler_count ? class->handlers[kind].name : NULL;
    if (recorder_event_of(what) == RECORDER_SPAWN)
        return "its init";
    if (recorder_event_of(what) == RECORDER_EXIT)
        return "its end";
    snprintf(text, bytes, "message %s (%u)", name ? name : "without a handler of its own", kind);
    return text;
}

static void keep(struct watchdog *watchdog, const struct watchdog_report *report) {
    const struct seams *seams = &watchdog->runtime->seams;
    pthread_mutex_lock(&watchdog->lock);
    struct watchdog_report *kept =
        &watchdog->reports[watchdog->report_count++ % WATCHDOG_REPORTS_MAX];
    *kept = *report;
    kept->time_ms = seams->wall_ms(seams->context);
    pthread_mutex_unlock(&watchdog->lock);
}

unsigned runtime_overruns_read(struct runtime *runtime,
                               struct watchdog_report reports[WATCHDOG_REPORTS_MAX]) {
    struct watchdog *watchdog = runtime->watchdog;
    unsigned count = 0;
    if (!watchdog || runtime->seams.watchdog != &watchdog_thread)
        return 0;
    pthread_mutex_lock(&watchdog->lock);
    for (uint64_t at = watchdog->report_count; at && count < WATCHDOG_REPORTS_MAX; at--)
        reports[count++] = watchdog->reports[(at - 1) % WATCHDOG_REPORTS_MAX];
    pthread_mutex_unlock(&watchdog->lock);
    return count;
}

static void report(struct watchdog *watchdog, unsigned index, const struct look *look,
                   uint64_t now_ns) {
    struct shard *shard = watchdog->runtime->shards[index];
    const struct recorder_slot *slot =
        &shard->recorder.slots[(look->count - 1) & (RECORDER_EVENTS - 1)];
    /* Pair with recorder_note, which wrote them a budget ago. */
    uint64_t what = __atomic_load_n(&slot->what, __ATOMIC_ACQUIRE) & 0xffffff;
    uint64_t actor = __atomic_load_n(&slot->actor, __ATOMIC_ACQUIRE);
    struct reported *reported = find(watchdog, look->class, what);
    char more[64] = "";
    struct watchdog_report kept = {.shard = index,
                                   .actor = actor,
                                   .class_name = look->class->name,
                                   .ran_ms = (unsigned)((now_ns - look->since_ns) / MS),
                                   .more = reported->suppressed};
    struct crash_text trace = {.fd = -1};
    __atomic_fetch_add(&watchdog->runtime->overruns, 1, __ATOMIC_RELAXED);
    if (reported->at_ns && now_ns - reported->at_ns < WATCHDOG_PERIOD_MS * (uint64_t)MS) {
        reported->suppressed++;
        __atomic_fetch_add(&watchdog->runtime->overruns_unreported, 1, __ATOMIC_RELAXED);
        return;
    }
    if (reported->suppressed)
        snprintf(more, sizeof more, "; %u more since it was last said", reported->suppressed);
    reported->suppressed = 0;
    reported->at_ns = now_ns;
    if (ask(watchdog, shard, look->count))
        trace_format(shard->stuck, &trace);
    snprintf(kept.trace, sizeof kept.trace, "%.703s", trace.used ? trace.bytes : "");
    char doing_text[sizeof kept.what];
    snprintf(kept.what, sizeof kept.what, "%s",
             doing(look->class, what, doing_text, sizeof doing_text));
    keep(watchdog, &kept);
    log_warning("shard %u: actor %#llx of class %s has not returned for %u ms from %s%s", index,
                (unsigned long long)actor, look->class->name, kept.ran_ms, kept.what, more);
    log_warning("shard %u: it is at %s", index,
                trace.used ? trace.bytes : "an unknown place: its thread did not answer");
}

/* --- looking
 * ----------------------------------------------------------------------------------- */

/* True while the shard is awake. */
static bool look_at(struct watchdog *watchdog, unsigned index, uint64_t now_ns) {
    struct shard *shard = watchdog->runtime->shards[index];
    struct look *look = &watchdog->looks[index];
    /* Pairs with the stores in shard.c; the count with recorder_note's, which orders nothing here:
     * both are only compared with what they were a while ago. */
    const struct actor_class *class = __atomic_load_n(&shard->watch_class, __ATOMIC_RELAXED);
    uint64_t count = __atomic_load_n(&shard->recorder.count, __ATOMIC_RELAXED);
    if (!class || !count || count != look->count || class != look->class) {
        *look = (struct look){.count = count, .since_ns = now_ns, .class = class};
    } else if (!look->reported && now_ns - look->since_ns >= watchdog->budget_ms * (uint64_t)MS) {
        look->reported = true;
        report(watchdog, index, look, now_ns);
    }
    return !__atomic_load_n(&shard->asleep, __ATOMIC_RELAXED);
}

static uint64_t clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* True when it is time to end. */
static bool wait_until(struct watchdog *watchdog, uint64_t at_ns) {
    struct timespec at = {.tv_sec = (time_t)(at_ns / 1000000000u),
                          .tv_nsec = (long)(at_ns % 1000000000u)};
    pthread_mutex_lock(&watchdog->lock);
    while (!watchdog->ending &&
           pthread_cond_timedwait(&watchdog->end, &watchdog->lock, &at) != ETIMEDOUT)
        ;
    bool ending = watchdog->ending;
    pthread_mutex_unlock(&watchdog->lock);
    return ending;
}

/* So that a handler is seen within one and a half of its budget. */
static uint64_t look_ns(const struct watchdog *watchdog) {
    uint64_t half = watchdog->budget_ms * (uint64_t)MS / 2;
    return half < LOOK_NS_MIN ? LOOK_NS_MIN : half > LOOK_NS_MAX ? LOOK_NS_MAX : half;
}

static void *watch(void *argument) {
    struct watchdog *watchdog = argument;
    uint64_t now_ns = clock_ns(), interval_ns = look_ns(watchdog);
    thread_name("watchdog", 0);
    while (!wait_until(watchdog, now_ns + interval_ns)) {
        bool awake = false;
        now_ns = clock_ns();
        for (unsigned i = 0; i < watchdog->runtime->shard_count; i++)
            awake |= look_at(watchdog, i, now_ns);
        interval_ns = awake ? look_ns(watchdog) : WATCHDOG_ASLEEP_MS * (uint64_t)MS;
    }
    return NULL;
}

/* --- life
 * -------------------------------------------------------------------------------------- */

static void release(struct watchdog *watchdog) {
    pthread_cond_destroy(&watchdog->end);
    pthread_mutex_destroy(&watchdog->lock);
    for (unsigned i = 0; i < watchdog->runtime->shard_count; i++)
        watchdog->runtime->shards[i]->stuck = NULL;
    free(watchdog->stucks);
    free(watchdog);
}

static void init(struct watchdog *watchdog, struct runtime *runtime, uint32_t budget_ms) {
    pthread_condattr_t attributes;
    watchdog->runtime = runtime;
    watchdog->budget_ms = budget_ms;
    pthread_mutex_init(&watchdog->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&watchdog->end, &attributes);
    pthread_condattr_destroy(&attributes);
    for (unsigned i = 0; i < runtime->shard_count; i++)
        runtime->shards[i]->stuck = &watchdog->stucks[i];
    crash_symbols_load();
    watchdog->asks = install();
}

static int create(struct runtime *runtime, uint32_t budget_ms, struct watchdog **created) {
    struct watchdog *watchdog =
        calloc(1, sizeof *watchdog + runtime->shard_count * sizeof watchdog->looks[0]);
    struct stuck *stucks = calloc(runtime->shard_count, sizeof *stucks);
    if (!watchdog || !stucks) {
        free(watchdog);
        free(stucks);
        return -ENOMEM;
    }
    watchdog->stucks = stucks;
    init(watchdog, runtime, budget_ms);
    int error = thread_create_quiet(&watchdog->thread, watch, watchdog);
    if (error)
        release(watchdog);
    else
        *created = watchdog;
    return error;
}

static void destroy(struct watchdog *watchdog) {
    pthread_mutex_lock(&watchdog->lock);
    watchdog->ending = true;
    pthread_cond_signal(&watchdog->end);
    pthread_mutex_unlock(&watchdog->lock);
    pthread_join(watchdog->thread, NULL);
    release(watchdog);
}

const struct watchdog_ops watchdog_thread = {.create = create, .destroy = destroy};

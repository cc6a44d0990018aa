/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The watchdog on a thread that looks at what the shards say they run.
 *
 * A shard notes each handler in its flight recorder, and its class per actor; nothing is asked of
 * the clock on its side. A count of notes that stays the same between looks is one handler that
 * still runs. The thread looks often while a shard is awake and seldom while all
 * sleep.
 */
#include "runtime/watchdog.h"

#include "runtime/log.h"
#include "runtime/scheduler_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#define LOOK_NS 10000000u
#define LOOK_NS_ASLEEP 100000000u

/* What was seen of a shard at the last look. */
struct look {
    uint64_t count; /* of the recorder's notes */
    uint64_t since_ns;
    const struct actor_class *class;
    bool reported;
};

struct watchdog {
    struct runtime *runtime;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t end;
    bool ending; /* under `lock` */
    struct look looks[];
};

static void report(struct watchdog *watchdog, unsigned shard, const struct look *look,
                   uint64_t now_ns) {
    const struct actor_class *class = look->class;
    uint16_t kind =
        (uint16_t)recorder_last(&watchdog->runtime->shards[shard]->recorder, look->count);
    const char *name = kind < class->handler_count ? class->handlers[kind].name : NULL;
    __atomic_fetch_add(&watchdog->runtime->overruns, 1, __ATOMIC_RELAXED);
    log_warning("shard %u: a handler of %s has not returned for %u ms (message kind %u, %s)", shard,
                class->name, (unsigned)((now_ns - look->since_ns) / 1000000), kind,
                name ? name : "no handler of its own");
}

/* True while the shard is awake. */
static bool look_at(struct watchdog *watchdog, unsigned index, uint64_t now_ns) {
    struct shard *shard = watchdog->runtime->shards[index];
    struct look *look = &watchdog->looks[index];
    const struct actor_class *class = __atomic_load_n(&shard->watch_class, __ATOMIC_RELAXED);
    uint64_t count = __atomic_load_n(&shard->recorder.count, __ATOMIC_RELAXED);
    if (!class || count != look->count || class != look->class) {
        *look = (struct look){.count = count, .since_ns = now_ns, .class = class};
    } else if (!look->reported && now_ns - look->since_ns >= WATCHDOG_BUDGET_NS) {
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

static void *watch(void *argument) {
    struct watchdog *watchdog = argument;
    uint64_t now_ns = clock_ns(), interval_ns = LOOK_NS;
    while (!wait_until(watchdog, now_ns + interval_ns)) {
        bool awake = false;
        now_ns = clock_ns();
        for (unsigned i = 0; i < watchdog->runtime->shard_count; i++)
            awake |= look_at(watchdog, i, now_ns);
        interval_ns = awake ? LOOK_NS : LOOK_NS_ASLEEP;
    }
    return NULL;
}

static int create(struct runtime *runtime, struct watchdog **created) {
    struct watchdog *watchdog =
        calloc(1, sizeof *watchdog + runtime->shard_count * sizeof watchdog->looks[0]);
    if (!watchdog)
        return -ENOMEM;
    watchdog->runtime = runtime;
    pthread_mutex_init(&watchdog->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&watchdog->end, &attributes);
    pthread_condattr_destroy(&attributes);
    int error = thread_create_quiet(&watchdog->thread, watch, watchdog);
    if (error)
        free(watchdog);
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
    pthread_cond_destroy(&watchdog->end);
    pthread_mutex_destroy(&watchdog->lock);
    free(watchdog);
}

const struct watchdog_ops watchdog_thread = {.create = create, .destroy = destroy};

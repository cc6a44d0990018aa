/* SPDX-License-Identifier: Apache-2.0 */
/* Timers: memory of one that waits, start and cancel; and how fast a parked core is woken. */
#include "bench/actors.h"
#include "bench/histogram.h"

#define TIMERS 1000000u
#define TIMERS_PER_CALL 1000u
#define PAIRS 500000u
#define WAKES 2000u
#define WAKE_EACH_MS 2u

enum { DUE = ACTOR_KIND_FIRST, WAKE, KINDS };

/* Of one measurement, which is one process. */
static struct {
    uint64_t left;
    double before_bytes;
    struct actor_id sleeper;
    struct histogram wakes; /* the sleeper's shard's */
} play;

/* --- timers, all of one actor, the director: they never fire -----------------------------------
 */

/* As the peers have them: spread over ten minutes, in ten minutes. */
static struct actor_timer timer_start(uint64_t n) {
    return actor_timer_start(600000 + n * 7919 % 600000, DUE, n);
}

static void pairs_more(uint64_t all) {
    for (unsigned i = 0; i < TIMERS_PER_CALL && play.left; i++, play.left--) {
        struct actor_timer timer = timer_start(play.left);
        CHECK(actor_timer_cancel(&timer));
    }
    if (play.left) {
        stage_next_turn(pairs_more, all);
        return;
    }
    stage_end();
    stage_report(1, stage_rate(all));
    stage_done();
}

static void timers_more(uint64_t all) {
    for (unsigned i = 0; i < TIMERS_PER_CALL && play.left; i++, play.left--)
        timer_start(play.left);
    if (play.left) {
        stage_next_turn(timers_more, all);
        return;
    }
    stage_report(0, (stage_resident_bytes() - play.before_bytes) / (double)all);
    play.left = stage_size(PAIRS);
    stage_begin();
    pairs_more(play.left);
}

void bench_timers(uint64_t zero) {
    play.left = stage_size(TIMERS);
    stage_resident_bytes(); /* what reading takes is not counted */
    play.before_bytes = stage_resident_bytes();
    timers_more(play.left);
}

/* --- wake: from a send on one core to the handler on the other, which had parked ----------------
 */

static void sleeper_on_wake(void *state, struct message **message) {
    histogram_record(&play.wakes, actor_now_ns() - *message_as(*message, uint64_t));
}

static const struct actor_handler sleeper_handlers[] = {[WAKE] = {"wake", sleeper_on_wake}};
static const struct actor_class sleeper_class = {
    .name = "sleeper",
    .handlers = sleeper_handlers,
    .handler_count = WAKE + 1,
};

/* On the sleeper's shard, whose the histogram is. */
static void wakes_report(uint64_t zero) {
    stage_report(0, (double)histogram_quantile(&play.wakes, .5) / 1e3);
    stage_report(1, (double)histogram_quantile(&play.wakes, .99) / 1e3);
    stage_done();
}

/* The last one has been handled before the next would have been due. */
static void waker_on_due(void *state, struct message **message) {
    if (!play.left--) {
        stage_call(1, wakes_report, 0);
        return;
    }
    actor_timer_start(WAKE_EACH_MS, DUE, 0);
    if (!play.left)
        return;
    struct message *wake = message_create(WAKE, sizeof(uint64_t));
    *message_as(wake, uint64_t) = actor_now_ns();
    CHECK(actor_send(play.sleeper, &wake) == 0);
}

static const struct actor_handler waker_handlers[] = {[DUE] = {"due", waker_on_due}};
static const struct actor_class waker_class = {
    .name = "waker",
    .handlers = waker_handlers,
    .handler_count = DUE + 1,
};

static void waker_start(uint64_t sleeper) {
    struct actor_id waker;
    play.sleeper.bits = sleeper;
    CHECK(actor_spawn(&waker_class, NULL, ACTOR_NOBODY, &waker) == 0);
    CHECK(actor_signal(waker, DUE) == 0);
}

static void sleeper_start(uint64_t zero) {
    struct actor_id sleeper;
    CHECK(actor_spawn(&sleeper_class, NULL, ACTOR_NOBODY, &sleeper) == 0);
    stage_call(0, waker_start, sleeper.bits);
}

void bench_wake(uint64_t zero) {
    play.left = stage_size(WAKES);
    stage_call(1, sleeper_start, 0);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Looking inside: the top 20 of a million actors while both shards are busy, how long the answer
 * takes and what it costs those who work. */
#include "bench/actors.h"
#include "runtime/inspect.h"

#define IDLE_EACH 500000u /* on each of two shards */
#define IDLE_PER_CALL 1000u
#define QUERIES 20u
#define WINDOW_MS 1000u
#define STRETCH_MS 4000u

enum { WORK = ACTOR_KIND_FIRST, DUE };

/* Of one measurement, which is one process. What both shards write lies on lines of its own. */
static struct {
    uint64_t left[2][8];
    uint64_t worked[2][8]; /* relaxed */
    unsigned ready;
    unsigned queries;
    uint64_t asked_ns, longest_ns;
    uint64_t begun_worked, begun_ns;
    double rates[2]; /* without and with top */
    bool with_top;
    struct inspect_gather gather;
} play;

/* --- those who work, and those who don't
 * ------------------------------------------------------------------------ */

static void worker_on_work(void *state, struct message **message) {
    uint64_t *worked = play.worked[actor_shard()];
    __atomic_store_n(worked, *worked + 1, __ATOMIC_RELAXED); /* read by worked_in_all */
    CHECK(actor_send(actor_self(), message) == 0);
}
static const struct actor_handler worker_handlers[] = {[WORK] = {"work", worker_on_work}};
static const struct actor_class worker_class = {
    .name = "worker", .handlers = worker_handlers, .handler_count = WORK + 1};
static const struct actor_class idle_class = {.name = "idle"};

static uint64_t worked_in_all(void) {
    return __atomic_load_n(play.worked[0], __ATOMIC_RELAXED) +
           __atomic_load_n(play.worked[1], __ATOMIC_RELAXED);
}

/* --- the observer
 * ------------------------------------------------------------------------------------------- */

static void ask(uint32_t window_ms) {
    const struct inspect_query query = {
        .order = INSPECT_BY_MESSAGES, .rows = 20, .window_ms = window_ms};
    play.asked_ns = actor_now_ns();
    CHECK(inspect_gather_begin(&play.gather, &query) == 0);
}

static void stretch_begin(void) {
    play.begun_worked = worked_in_all();
    play.begun_ns = actor_now_ns();
    actor_timer_start(STRETCH_MS, DUE, 0);
    if (play.with_top)
        ask(WINDOW_MS);
}

static void stretch_end(void) {
    double seconds = (double)(actor_now_ns() - play.begun_ns) / 1e9;
    play.rates[play.with_top] = (double)(worked_in_all() - play.begun_worked) / seconds;
    if (!play.with_top) {
        play.with_top = true;
        stretch_begin();
        return;
    }
    stage_report(0, (double)play.longest_ns / 1e6);
    stage_report(1, 1 - play.rates[true] / play.rates[false]);
    stage_done();
}

static void observer_on_answer(void *state, struct message **message) {
    if (!inspect_gather_add(&play.gather, *message))
        return;
    CHECK(!play.gather.error && play.gather.actors_seen >= stage_size(2ull * IDLE_EACH));
    CHECK(play.gather.row_count == 20 && play.gather.rows[1].messages > 0);
    inspect_gather_end(&play.gather);
    if (play.with_top) {
        ask(WINDOW_MS);
        return;
    }
    uint64_t took_ns = actor_now_ns() - play.asked_ns;
    play.longest_ns = took_ns > play.longest_ns ? took_ns : play.longest_ns;
    if (++play.queries < QUERIES)
        ask(0);
    else
        stretch_begin();
}

static void observer_on_due(void *state, struct message **message) {
    stretch_end();
}

static const struct actor_handler observer_handlers[] = {
    [INSPECT_ANSWER] = {"answer", observer_on_answer},
    [DUE] = {"due", observer_on_due},
};

static int observer_init(void *state, const void *argument) {
    ask(0);
    return 0;
}
static const struct actor_class observer_class = {.name = "observer",
                                                  .init = observer_init,
                                                  .handlers = observer_handlers,
                                                  .handler_count = DUE + 1};

/* --- the scene
 * ---------------------------------------------------------------------------------------------- */

static struct actor_id spawn(const struct actor_class *class) {
    struct actor_id id;
    CHECK(actor_spawn(class, NULL, ACTOR_NOBODY, &id) == 0);
    return id;
}

static void shard_is_ready(uint64_t zero) {
    if (++play.ready == 2)
        spawn(&observer_class);
}

static void populate(uint64_t zero) {
    uint64_t *left = play.left[actor_shard()];
    for (unsigned i = 0; i < IDLE_PER_CALL && *left; i++, (*left)--)
        spawn(&idle_class);
    if (*left) {
        stage_call(actor_shard(), populate, 0);
        return;
    }
    CHECK(actor_signal(spawn(&worker_class), WORK) == 0);
    stage_call(0, shard_is_ready, 0);
}

void bench_top(uint64_t zero) {
    for (unsigned shard = 0; shard < 2; shard++) {
        play.left[shard][0] = stage_size(IDLE_EACH);
        stage_call(shard, populate, 0);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Actors that begin and end: memory of an idle one, spawn, spawn and exit, fork-join. */
#include "bench/actors.h"

#include <stdlib.h>

#define IDLE 1000000u
#define IDLE_PER_CALL 1000u
#define ROUND 10000u /* actors of one round of spawn */
#define ROUNDS 30u
#define ROUNDS_WARM 3u /* not counted */
#define SPAWN_EXIT 2000000u
#define FORK_JOIN 1000000u
/* Spawned before those that were spawned may run: a handler runs to completion, so a director that
 * makes millions goes on in its next turn. */
#define BATCH 256u

enum { STOP = ACTOR_KIND_FIRST, ADD };

/* Of one measurement, which is one process with one shard. */
static struct {
    uint64_t left, running, rounds, sum;
    double before_bytes;
    double rates[ROUNDS];
    struct actor_id ids[ROUND];
} play;

static struct actor_id spawn(const struct actor_class *class) {
    struct actor_id id;
    CHECK(actor_spawn(class, NULL, ACTOR_NOBODY, &id) == 0);
    return id;
}

/* --- idle ------------------------------------------------------------------------------------ */

static const struct actor_class idle_class = {.name = "idle"};

static void idle_more(uint64_t all) {
    for (unsigned i = 0; i < IDLE_PER_CALL && play.left; i++, play.left--)
        spawn(&idle_class);
    if (play.left) {
        stage_next_turn(idle_more, all);
        return;
    }
    stage_report(0, (stage_resident_bytes() - play.before_bytes) / (double)all);
    stage_done();
}

static void idle_begin(uint64_t count) {
    play.left = count;
    stage_resident_bytes(); /* what reading takes is not counted */
    play.before_bytes = stage_resident_bytes();
    idle_more(count);
}

void bench_idle(uint64_t zero) {
    idle_begin(stage_size(IDLE));
}

void bench_idle_10m(uint64_t zero) {
    idle_begin(stage_size(10ull * IDLE));
}

/* --- spawn: into memory that was used before, 30 rounds ----------------------------------------
 */

static void spawn_round(uint64_t zero);

static int rate_compare(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static void round_ended(void) {
    if (play.rounds < ROUNDS) {
        stage_call(0, spawn_round, 0);
        return;
    }
    qsort(play.rates + ROUNDS_WARM, ROUNDS - ROUNDS_WARM, sizeof play.rates[0], rate_compare);
    stage_report(0, play.rates[ROUNDS_WARM + (ROUNDS - ROUNDS_WARM) / 2]);
    stage_done();
}

static void on_stop(void *state, struct message **message) {
    actor_stop(ACTOR_NORMAL);
    if (--play.running == 0)
        round_ended();
}

static const struct actor_handler spawned_handlers[] = {[STOP] = {"stop", on_stop}};
static const struct actor_class spawned_class = {
    .name = "spawned",
    .handlers = spawned_handlers,
    .handler_count = STOP + 1,
};

static void spawn_round(uint64_t zero) {
    stage_begin();
    for (unsigned i = 0; i < ROUND; i++)
        play.ids[i] = spawn(&spawned_class);
    stage_end();
    play.rates[play.rounds++] = stage_rate(ROUND);
    play.running = ROUND;
    for (unsigned i = 0; i < ROUND; i++)
        CHECK(actor_signal(play.ids[i], STOP) == 0);
}

void bench_spawn(uint64_t zero) {
    spawn_round(0);
}

/* --- spawn and exit; fork and join -------------------------------------------------------------
 */

static int exits_init(void *state, const void *argument) {
    play.sum++;
    actor_stop(ACTOR_NORMAL);
    return 0;
}

static const struct actor_class exits_class = {.name = "exits", .init = exits_init};

/* Behind all that was spawned, and so when they have ended. */
static void all_have_ended(uint64_t all) {
    CHECK(play.sum == all);
    stage_end();
    stage_report(0, stage_rate(all));
    stage_done();
}

static void spawn_exit_more(uint64_t all) {
    for (unsigned i = 0; i < BATCH && play.left; i++, play.left--)
        spawn(&exits_class);
    stage_next_turn(play.left ? spawn_exit_more : all_have_ended, all);
}

void bench_spawn_exit(uint64_t zero) {
    play.left = stage_size(SPAWN_EXIT);
    stage_begin();
    spawn_exit_more(play.left);
}

static void on_add(void *state, struct message **message) {
    play.sum += *message_as(*message, uint64_t);
    actor_stop(ACTOR_NORMAL);
}

static const struct actor_handler joins_handlers[] = {[ADD] = {"add", on_add}};
static const struct actor_class joins_class = {
    .name = "joins",
    .handlers = joins_handlers,
    .handler_count = ADD + 1,
};

static void fork_join_more(uint64_t all) {
    for (unsigned i = 0; i < BATCH && play.left; i++, play.left--) {
        struct message *message = message_create(ADD, sizeof(uint64_t));
        *message_as(message, uint64_t) = 1;
        CHECK(actor_send(spawn(&joins_class), &message) == 0);
    }
    stage_next_turn(play.left ? fork_join_more : all_have_ended, all);
}

void bench_fork_join(uint64_t zero) {
    play.left = stage_size(FORK_JOIN);
    stage_begin();
    fork_join_more(play.left);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `tern-bench actors`: what the runtime itself does, without sockets or a node. Figures, their
 * definitions and what bounds them are in README.md.
 *
 * Each measurement has a process of its own, so that memory starts cold and one cannot disturb the
 * next, and in it a stage: a runtime as a product starts it (bounds, counters and watchdog on) with
 * a director on each shard, an actor that calls the functions which it is sent.
 */
#ifndef TERN_BENCH_ACTORS_H
#define TERN_BENCH_ACTORS_H

#include "runtime/actor.h"

#define ACTORS_ONLY_MAX 32u

struct actors_options {
    unsigned runs;
    bool quick;    /* a twentieth of everything */
    bool cpu_time; /* rates per second of the process's CPU, for a machine that is shared */
    unsigned only_count;
    const char *only[ACTORS_ONLY_MAX]; /* names of figures; none: all */
};

/* 0, or negative after it has been said on standard error what went wrong. */
int scenario_actors(const struct actors_options *options);

/* --- the measurements ------------------------------------------------------------------------ */

struct actors_bench {
    const char *figures[2]; /* names */
    const char *units[2];
    unsigned shards; /* 0: no runtime */
    /* Runs in the director of shard 0, with zero; ends in stage_done, now or later. */
    void (*direct)(uint64_t zero);
};

void bench_idle(uint64_t zero);
void bench_idle_10m(uint64_t zero);
void bench_spawn(uint64_t zero);
void bench_spawn_exit(uint64_t zero);
void bench_fork_join(uint64_t zero);
void bench_ping_pong(uint64_t zero);
void bench_ping_pong_cross(uint64_t zero);
void bench_thread_ring(uint64_t zero);
void bench_counting(uint64_t zero);
void bench_counting_cross(uint64_t zero);
void bench_big(uint64_t zero);
void bench_many_to_one_8(uint64_t zero);
void bench_many_to_one_64(uint64_t zero);
void bench_many_to_one_cross(uint64_t zero);
void bench_multicast_256(uint64_t zero);
void bench_timers(uint64_t zero);
void bench_wake(uint64_t zero);
void bench_skew(uint64_t zero);
void bench_line_floor(uint64_t zero);
void bench_top(uint64_t zero);

/* --- the stage: actors_stage.c --------------------------------------------------------------- */

/* What a stage writes into its pipe: the bench's first or second figure. */
struct stage_figure {
    unsigned which;
    double value;
};
/* Runs the measurement in this process; its figures go to `descriptor`. */
int stage_run(const struct actors_bench *bench, const struct actors_options *options,
              int descriptor);

unsigned stage_shards(void);
/* So many in a full run, fewer with --quick. */
uint64_t stage_size(uint64_t full);
/* Has the director of a shard call a function after what was sent before. From a shard. */
void stage_call(unsigned shard, void (*function)(uint64_t argument), uint64_t argument);

/* The same in this shard's next turn, when the actors that are ready now have run. One at a time.
 */
void stage_next_turn(void (*function)(uint64_t argument), uint64_t argument);

/* The measured stretch: its beginning, and its end, from where rates are counted. Any thread. */
void stage_begin(void);
void stage_end(void);
/* Events per second of the stretch. */
double stage_rate(uint64_t events);
double stage_resident_bytes(void);
void stage_report(unsigned which, double value);
/* The measurement is over. Any thread. */
void stage_done(void);

#endif

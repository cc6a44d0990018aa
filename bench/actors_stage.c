/* SPDX-License-Identifier: Apache-2.0 */
/* The stage of one measurement: a runtime with a director on each shard, clocks, and its figures.
 */
#include "bench/actors.h"
#include "runtime/runtime.h"

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SHARDS_OF_STAGE_MAX 2u
#define QUICK_PART 20u

enum { DIRECTOR_CALL = ACTOR_KIND_FIRST, DIRECTOR_GO_ON };

struct call {
    void (*function)(uint64_t argument);
    uint64_t argument;
};

/* One measurement in one process. */
static struct {
    const struct actors_options *options;
    unsigned shards;
    int descriptor;
    struct actor_id directors[SHARDS_OF_STAGE_MAX]; /* constant once the runtime has started */
    struct call next_turn;                          /* of shard 0 */
    sem_t done;
    double begin_s, end_s;
} stage;

/* --- directors ------------------------------------------------------------------------------- */

static int director_init(void *state, const void *argument) {
    stage.directors[actor_shard()] = actor_self();
    return 0;
}

static void director_call(void *state, struct message **message) {
    struct call call = *message_as(*message, struct call);
    call.function(call.argument);
}

static void director_go_on(void *state, struct message **message) {
    stage.next_turn.function(stage.next_turn.argument);
}

static const struct actor_handler director_handlers[] = {
    [DIRECTOR_CALL] = {"call", director_call},
    [DIRECTOR_GO_ON] = {"go_on", director_go_on},
};
static const struct actor_class director_class = {
    .name = "director",
    .init = director_init,
    .handlers = director_handlers,
    .handler_count = sizeof director_handlers / sizeof director_handlers[0],
};
static const struct supervisor_child stage_children[] = {
    {.class = &director_class, .restart = RESTART_PERMANENT, .every_shard = true},
};
static const struct supervisor_spec stage_root = {
    .name = "stage",
    .children = stage_children,
    .child_count = 1,
};

static struct message *call_message(void (*function)(uint64_t argument), uint64_t argument) {
    struct message *message = message_create(DIRECTOR_CALL, sizeof(struct call));
    *message_as(message, struct call) = (struct call){function, argument};
    return message;
}

void stage_call(unsigned shard, void (*function)(uint64_t argument), uint64_t argument) {
    struct message *message = call_message(function, argument);
    CHECK(actor_send(stage.directors[shard], &message) == 0);
}

void stage_next_turn(void (*function)(uint64_t argument), uint64_t argument) {
    stage.next_turn = (struct call){function, argument};
    actor_signal_next_turn(DIRECTOR_GO_ON);
}

/* --- what is measured ------------------------------------------------------------------------ */

unsigned stage_shards(void) {
    return stage.shards;
}

uint64_t stage_size(uint64_t full) {
    return stage.options->quick ? full / QUICK_PART : full;
}

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(stage.options->cpu_time ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void stage_begin(void) {
    stage.begin_s = seconds_now();
}

void stage_end(void) {
    stage.end_s = seconds_now();
}

double stage_rate(uint64_t events) {
    return (double)events / (stage.end_s - stage.begin_s);
}

double stage_resident_bytes(void) {
    char line[128], *resident = line;
    FILE *file = fopen("/proc/self/statm", "re");
    CHECK(file != NULL && fgets(line, sizeof line, file) != NULL);
    fclose(file);
    strtoul(line, &resident, 10); /* the size of it all */
    return (double)strtoul(resident, NULL, 10) * (double)sysconf(_SC_PAGESIZE);
}

void stage_report(unsigned which, double value) {
    struct stage_figure figure = {which, value};
    CHECK(write(stage.descriptor, &figure, sizeof figure) == sizeof figure);
}

void stage_done(void) {
    sem_post(&stage.done);
}

/* --- running --------------------------------------------------------------------------------- */

static int run_on_runtime(const struct actors_bench *bench) {
    struct runtime *runtime;
    struct runtime_options options = {
        .shards = bench->shards,
        .pool_threads = 1,
        .root = &stage_root,
        .pin_threads = bench->shards > 1, /* as the two threads of line_floor_cross are */
    };
    int error = runtime_start(&options, &runtime);
    if (error) {
        fprintf(stderr, "tern-bench: the runtime cannot start: %s\n", strerror(-error));
        return error;
    }
    struct message *message = call_message(bench->direct, 0);
    runtime_send(runtime, stage.directors[0], &message);
    while (sem_wait(&stage.done) != 0)
        ;
    runtime_stop(runtime, 0);
    runtime_wait(runtime);
    runtime_destroy(runtime);
    return 0;
}

int stage_run(const struct actors_bench *bench, const struct actors_options *options,
              int descriptor) {
    stage.options = options;
    stage.shards = bench->shards;
    stage.descriptor = descriptor;
    sem_init(&stage.done, 0, 0);
    if (bench->shards)
        return run_on_runtime(bench);
    bench->direct(0);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three shards that overwhelm each other: each floods the sink of another with more than a lane and
 * its spill list hold, at random between silences in which all of them sleep. Parcels are numbered,
 * and carry a blob that is freed by the last of many on whatever thread that is. Sinks are killed
 * and start again, are found by name, and have the pool look at blobs. No parcel may be lost,
 * altered or overtaken. Two seconds at least, or as many as TERN_STRESS_SECONDS says; the seed is
 * TERN_STRESS_SEED, else the time, and is printed.
 */
#include "tests/unit/runtime/fixture.h"

#include "runtime/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { FLOOD = ACTOR_KIND_FIRST, PARCEL, LOOK };
#define SHARDS 3u
#define FLOODS_LEAST 64u /* of each shard: every kind of flood comes then */
#define SECONDS_MAX 120u /* for what is on its way at the end */
#define BLOB_BYTES 3000u
#define PAYLOAD_MORE 200u
#define PAUSE_MS 8u

struct context {
    uint64_t seed;
    /* All are atomic and relaxed; the last three are the flooders'. */
    uint64_t sent, handled, returned, looked;
    uint64_t full, spilled, kills, downs;
    uint64_t floods[SHARDS], quiet, stopping;
};
struct parcel {
    uint64_t number; /* rises with each sender */
    uint32_t shard;  /* the sender's */
    uint32_t more;   /* bytes behind this one, each as the number's low byte */
};
static struct context context;

static void count(uint64_t *counter, uint64_t n) {
    __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}
static uint64_t counted(const uint64_t *counter) {
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}
static void sink_name(unsigned shard, char name[16]) {
    snprintf(name, 16, "sink%u", shard);
}

/* --- what travels */

static struct blob *blob_make(uint8_t byte) {
    struct blob *blob = blob_create(BLOB_BYTES);
    memset(blob_bytes(blob), byte, BLOB_BYTES);
    return blob;
}
static void blob_check(struct blob *blob) {
    const uint8_t *bytes = blob_bytes(blob);
    CHECK(blob_length(blob) == BLOB_BYTES);
    CHECK(bytes[0] == bytes[BLOB_BYTES / 2] && bytes[0] == bytes[BLOB_BYTES - 1]);
}
static struct message *parcel_make(uint64_t number, uint32_t more, struct blob *blob) {
    struct message *message = message_create(PARCEL, sizeof(struct parcel) + more);
    struct parcel *parcel = message_as(message, struct parcel);
    *parcel = (struct parcel){number, actor_shard(), more};
    memset(parcel + 1, (int)(number & 0xff), more);
    message->blob = blob ? blob_hold(blob) : NULL;
    return message;
}
static void parcel_check(struct message *message) {
    const struct parcel *parcel = message_as(message, struct parcel);
    const uint8_t *bytes = (const uint8_t *)(parcel + 1);
    CHECK(parcel->more < PAYLOAD_MORE && parcel->shard < SHARDS);
    for (uint32_t i = 0; i < parcel->more; i++)
        CHECK(bytes[i] == (parcel->number & 0xff));
    if (message->blob)
        blob_check(message->blob);
}

/* --- the sink: one on each shard */

struct sink {
    uint64_t last[SHARDS]; /* parcel of each sender */
};

static int sink_init(void *state, const void *argument) {
    char name[16];
    sink_name(actor_shard(), name);
    return actor_register(name);
}
/* On a pool thread, which may free the last of the blob. */
static void look(struct message *message) {
    blob_check(message->blob);
    blob_release(message->blob);
    message->blob = NULL;
}
static void sink_on_parcel(void *state, struct message **message) {
    struct sink *sink = state;
    const struct parcel *parcel = message_as(*message, struct parcel);
    parcel_check(*message);
    CHECK(parcel->number > sink->last[parcel->shard]);
    sink->last[parcel->shard] = parcel->number;
    count(&context.handled, 1);
    if (!(*message)->blob || parcel->number % 8 != 0)
        return;
    (*message)->kind = LOOK;
    actor_run_blocking(look, message);
}
static void sink_on_look(void *state, struct message **message) {
    CHECK(!(*message)->blob);
    count(&context.looked, 1);
}
static const struct actor_handler sink_handlers[] = {
    [PARCEL] = {"parcel", sink_on_parcel},
    [LOOK] = {"look", sink_on_look},
};
static const struct actor_class sink_class = {.name = "sink",
                                              .state_bytes = sizeof(struct sink),
                                              .init = sink_init,
                                              .handlers = sink_handlers,
                                              .handler_count = LOOK + 1};

/* --- the flooder: one on each shard */

struct flooder {
    uint64_t random, number, floods;
    struct actor_id watched;
};

static uint64_t draw(struct flooder *flooder, uint64_t below) {
    flooder->random = map_mix(flooder->random + 0x9e3779b97f4a7c15u);
    return flooder->random % below;
}
static int flooder_init(void *state, const void *argument) {
    ((struct flooder *)state)->random = map_mix(context.seed + actor_shard());
    actor_timer_start(1, FLOOD, 0);
    return 0;
}
/* Most are small; some fill the lane, and one in 64 the spill list. */
static uint64_t flood_size(struct flooder *flooder) {
    if (flooder->floods % 64 == 33)
        return LANE_ENTRIES_MAX + LANE_SPILL_MAX + 10000u;
    if (flooder->floods % 8 == 1)
        return LANE_ENTRIES_MAX + draw(flooder, 20000);
    return 1 + draw(flooder, flooder->floods % 2 ? 3 : 700);
}
static void flood(struct flooder *flooder, struct actor_id to) {
    struct blob *blob = draw(flooder, 2) ? blob_make((uint8_t)draw(flooder, 256)) : NULL;
    uint64_t size = flood_size(flooder), sent = 0;
    for (; sent < size; sent++) {
        struct blob *carried = flooder->number % 3 ? NULL : blob;
        struct message *message =
            parcel_make(++flooder->number, (uint32_t)draw(flooder, PAYLOAD_MORE), carried);
        if (actor_send(to, &message) != 0) {
            message_destroy(message);
            count(&context.full, 1);
            break;
        }
    }
    count(&context.sent, sent);
    count(&context.spilled, shard_of_thread->lanes_out[id_shard(to)]->spill_count != 0);
    blob_release(blob);
}
static void on_flood(void *state, struct message **message) {
    struct flooder *flooder = state;
    unsigned shard = (actor_shard() + 1 + (unsigned)draw(flooder, SHARDS - 1)) % SHARDS;
    char name[16];
    if (counted(&context.stopping)) {
        count(&context.quiet, 1);
        return;
    }
    sink_name(shard, name);
    struct actor_id sink = actor_whereis(name);
    if (sink.bits) {
        flood(flooder, sink);
        flooder->floods++;
        count(&context.floods[actor_shard()], 1);
        if (!flooder->watched.bits) {
            flooder->watched = sink;
            actor_monitor(sink);
        }
        if (flooder->floods % 16 == 15) {
            actor_kill(sink, ACTOR_KILLED);
            count(&context.kills, 1);
        }
    }
    actor_timer_start(draw(flooder, PAUSE_MS), FLOOD, 0);
}
static void flooder_refused(void *state, struct message **message) {
    parcel_check(*message);
    count(&context.returned, 1);
}
static void flooder_on_down(void *state, struct message **message) {
    struct flooder *flooder = state;
    CHECK(actor_id_equal(message_as(*message, struct actor_down)->actor, flooder->watched));
    flooder->watched = ACTOR_NOBODY;
    count(&context.downs, 1);
}
static const struct actor_handler flooder_handlers[] = {
    [ACTOR_DOWN] = {"down", flooder_on_down},
    [FLOOD] = {"flood", on_flood},
};
static const struct actor_class flooder_class = {.name = "flooder",
                                                 .state_bytes = sizeof(struct flooder),
                                                 .init = flooder_init,
                                                 .handlers = flooder_handlers,
                                                 .handler_count = FLOOD + 1,
                                                 .refused = flooder_refused};

static const struct supervisor_child children[] = {
    {.class = &sink_class, .every_shard = true},
    {.class = &flooder_class, .every_shard = true},
};
static const struct supervisor_spec spec = {.name = "root",
                                            .restarts_max = 60000,
                                            .period_ms = 1,
                                            .backoff_ms_min = 1,
                                            .backoff_ms_max = 4,
                                            .children = children,
                                            .child_count = 2};

/* --- the test */

static uint64_t from_environment(const char *name, uint64_t standard) {
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 0) : standard;
}
static void sleep_ms(unsigned ms) {
    usleep(ms * 1000);
}
static bool all_have_flooded(void) {
    for (unsigned i = 0; i < SHARDS; i++)
        if (counted(&context.floods[i]) < FLOODS_LEAST)
            return false;
    return true;
}
static bool all_is_accounted_for(void) {
    return counted(&context.quiet) == SHARDS &&
           counted(&context.handled) + counted(&context.returned) == counted(&context.sent);
}

static void parcels_are_never_lost_altered_or_overtaken(void **state) {
    context.seed = from_environment("TERN_STRESS_SEED", (uint64_t)time(NULL));
    struct runtime_options options = {.shards = SHARDS,
                                      .seams = fixture_seams_threads(),
                                      .root = &spec,
                                      .pool_threads = 2,
                                      .actors_max = 1000};
    struct runtime *runtime;
    struct runtime_counters counters;
    log_level_set(LOG_ERROR);
    print_message("TERN_STRESS_SEED=%lu\n", (unsigned long)context.seed);
    assert_int_equal(runtime_start(&options, &runtime), 0);
    sleep((unsigned)from_environment("TERN_STRESS_SECONDS", 2));
    for (unsigned i = 0; i < SECONDS_MAX * 10 && !all_have_flooded(); i++)
        sleep_ms(100);
    count(&context.stopping, 1);
    for (unsigned i = 0; i < SECONDS_MAX * 10 && !all_is_accounted_for(); i++)
        sleep_ms(100);
    runtime_stop(runtime, 0);
    assert_int_equal(runtime_wait(runtime), 0);
    runtime_counters_read(runtime, &counters);
    print_message("%lu sent, %lu handled, %lu returned, %lu not taken; %lu spills, %lu kills, "
                  "%lu wakes\n",
                  context.sent, context.handled, context.returned, context.full, context.spilled,
                  context.kills, counters.wakes);
    assert_int_equal(context.handled + context.returned, context.sent);
    assert_true(context.returned > 0 && context.full > 0 && context.spilled > 0);
    assert_true(context.kills > 0 && context.downs > 0 && context.looked > 0);
    assert_true(counters.wakes > 0);
    fixture_destroy(runtime);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parcels_are_never_lost_altered_or_overtaken)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

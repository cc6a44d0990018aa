/* SPDX-License-Identifier: Apache-2.0 */
/* The shell's command about durations: what the node measures, and what handlers take. */
#include "actors/admin_internal.h"
#include "actors/measures.h"
#include "runtime/profile.h"
#include "storage/engine.h"

#include <stdio.h>
#include <string.h>

#define NAME_BYTES 96u

static const char *const measure_names[MEASURE_KINDS] = {
    [MEASURE_RESPONSE_SEND] = "response/send",
    [MEASURE_RESPONSE_OTHER] = "response/other",
    [MEASURE_DELIVERY_MEMORY] = "delivery/memory",
    [MEASURE_DELIVERY_STORAGE] = "delivery/storage",
};
#define FSYNC_NAME "store/fsync"

/* A histogram as the shell sees it, whatever it was: rising bounds, the last one open. */
struct shown {
    unsigned count;
    uint64_t ends_ns[PROFILE_BUCKETS], counts[PROFILE_BUCKETS];
};
_Static_assert(MEASURE_BOUNDS + 1 <= PROFILE_BUCKETS && ENGINE_LATENCY_BUCKETS <= PROFILE_BUCKETS,
               "all kinds fit");

static void add(struct shown *shown, uint64_t end_ns, uint64_t count) {
    shown->ends_ns[shown->count] = end_ns;
    shown->counts[shown->count++] = count;
}

static void from_measure(struct shown *shown, const struct node *node, enum measure_kind kind) {
    struct measure measure = {0};
    if (node->measures)
        measure_read(node, kind, &measure);
    for (unsigned i = 0; i < MEASURE_BOUNDS; i++)
        add(shown, measure_bounds_ms[i] * 1000000, measure.counts[i]);
    add(shown, UINT64_MAX, measure.counts[MEASURE_BOUNDS]);
}

static void from_engine(struct shown *shown, struct engine *engine) {
    struct engine_gauges gauges = {0};
    if (engine)
        engine_gauges(engine, &gauges);
    for (unsigned i = 0; i + 1 < ENGINE_LATENCY_BUCKETS; i++)
        add(shown, (1ull << i) * 1000, gauges.sync_latency[i]);
    add(shown, UINT64_MAX, gauges.sync_latency[ENGINE_LATENCY_BUCKETS - 1]);
}

static void from_profile(struct shown *shown, const struct profile_kind *kind) {
    for (unsigned i = 0; i + 1 < PROFILE_BUCKETS; i++)
        add(shown, profile_bucket_end_ns(i), kind->buckets[i]);
    add(shown, UINT64_MAX, kind->buckets[PROFILE_BUCKETS - 1]);
}

static void profile_name(const struct profile_kind *kind, char name[NAME_BYTES]) {
    if (kind->kind_name)
        snprintf(name, NAME_BYTES, "%.40s/%.40s", kind->class_name, kind->kind_name);
    else
        snprintf(name, NAME_BYTES, "%.40s/%u", kind->class_name, kind->kind);
    for (char *at = name; *at; at++)
        if (*at == ' ')
            *at = '_';
}

/* --- the list ----------------------------------------------------------------------------------
 */

static uint64_t all_of(const struct shown *shown) {
    uint64_t all = 0;
    for (unsigned i = 0; i < shown->count; i++)
        all += shown->counts[i];
    return all;
}

/* The bound below which so many of a thousand are. */
static void put_quantile(struct admin_writer *row, const char *name, const struct shown *shown,
                         uint64_t per_mille) {
    uint64_t all = all_of(shown), sum = 0;
    for (unsigned i = 0; i < shown->count && all; i++) {
        sum += shown->counts[i];
        if (sum * 1000 >= all * per_mille && shown->ends_ns[i] != UINT64_MAX) {
            admin_put_uint(row, name, shown->ends_ns[i]);
            return;
        }
    }
    admin_put_nil(row, name);
}

static void put_summary(struct admin_session *session, const char *name, const char *what,
                        const struct shown *shown) {
    struct admin_writer *row = admin_row(session);
    admin_put_text(row, "histogram", name);
    admin_put_text(row, "of", what);
    admin_put_uint(row, "count", all_of(shown));
    put_quantile(row, "median_ns", shown, 500);
    put_quantile(row, "99_percent_ns", shown, 990);
    put_quantile(row, "99.9_percent_ns", shown, 999);
    admin_row_end(session);
}

static void list_profile(void *context, const struct profile_kind *kind) {
    struct shown shown = {0};
    char name[NAME_BYTES];
    profile_name(kind, name);
    from_profile(&shown, kind);
    put_summary(context, name, "sampled handlers", &shown);
}

static void list(struct admin_session *session) {
    static const char *const what[MEASURE_KINDS] = {
        "a device's send, to its answer", "another request, to its answer",
        "a message, to its acknowledgement", "the same of one that was stored"};
    for (unsigned i = 0; i < MEASURE_KINDS; i++) {
        struct shown shown = {0};
        from_measure(&shown, node_current(), (enum measure_kind)i);
        put_summary(session, measure_names[i], what[i], &shown);
    }
    struct shown shown = {0};
    from_engine(&shown, node_current()->engine);
    put_summary(session, FSYNC_NAME, "a durable write", &shown);
    runtime_profile_visit(runtime_current(), list_profile, session);
    admin_put_text(admin_end(session), "note", "\"histogram NAME\" shows one");
    admin_end_send(session);
}

/* --- one ---------------------------------------------------------------------------------------
 */

struct search {
    const char *name;
    bool found;
    struct shown shown;
};

static void find_profile(void *context, const struct profile_kind *kind) {
    struct search *search = context;
    char name[NAME_BYTES];
    profile_name(kind, name);
    if (strcmp(name, search->name) == 0 && !search->found) {
        search->found = true;
        from_profile(&search->shown, kind);
    }
}

static void find(struct search *search) {
    for (unsigned i = 0; i < MEASURE_KINDS; i++)
        if (strcmp(measure_names[i], search->name) == 0) {
            search->found = true;
            from_measure(&search->shown, node_current(), (enum measure_kind)i);
        }
    if (strcmp(search->name, FSYNC_NAME) == 0) {
        search->found = true;
        from_engine(&search->shown, node_current()->engine);
    }
    if (!search->found)
        runtime_profile_visit(runtime_current(), find_profile, search);
}

static void put_bucket(struct admin_session *session, const struct shown *shown, unsigned index,
                       uint64_t sum, uint64_t all) {
    char bar[41];
    unsigned length = (unsigned)(shown->counts[index] * (sizeof(bar) - 1) / all);
    memset(bar, '#', length);
    bar[length] = '\0';
    struct admin_writer *row = admin_row(session);
    if (shown->ends_ns[index] == UINT64_MAX)
        admin_put_nil(row, "up_to_ns");
    else
        admin_put_uint(row, "up_to_ns", shown->ends_ns[index]);
    admin_put_uint(row, "count", shown->counts[index]);
    admin_put_uint(row, "percent_so_far", sum * 100 / all);
    admin_put_text(row, "share", bar);
    admin_row_end(session);
}

/* Nothing of what is empty in front and behind. */
static void put_buckets(struct admin_session *session, const struct shown *shown) {
    uint64_t all = all_of(shown), sum = 0;
    for (unsigned i = 0; i < shown->count && sum < all; i++) {
        sum += shown->counts[i];
        if (sum)
            put_bucket(session, shown, i, sum, all);
    }
}

void admin_histogram(struct admin_session *session, const struct admin_request *request) {
    char name[NAME_BYTES] = "";
    if (!admin_take_text(session, request, "name", name, sizeof(name)))
        return;
    if (!name[0]) {
        list(session);
        return;
    }
    struct search search = {.name = name};
    find(&search);
    if (!search.found) {
        admin_error(session, "not_found", "there is no histogram \"%s\"; \"histogram\" lists them",
                    name);
        return;
    }
    put_buckets(session, &search.shown);
    admin_end(session);
    admin_end_send(session);
}

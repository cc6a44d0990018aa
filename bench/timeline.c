/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/timeline.h"

#include "bench/figures.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_NS 1000000000ull

int timeline_begin(struct timeline *timeline, const struct sample_source *source,
                   struct load *load) {
    memset(timeline, 0, sizeof *timeline);
    timeline->points = calloc(TIMELINE_POINTS_MAX, sizeof *timeline->points);
    if (timeline->points == NULL)
        return -ENOMEM;
    timeline->source = source;
    timeline->load = load;
    sample_take_quick(source, &timeline->last);
    timeline->base_kernel_bytes = timeline->last.kernel_bytes;
    timeline->begin_ns = timeline->last.at_ns;
    timeline->due_ns = timeline->begin_ns + SECOND_NS;
    return 0;
}

void timeline_end(struct timeline *timeline) {
    free(timeline->points);
    timeline->points = NULL;
}

void timeline_enter(struct timeline *timeline, const char *phase) {
    timeline->phase = phase;
    if (timeline->phase_count < TIMELINE_PHASES_MAX)
        timeline->phases[timeline->phase_count++] = (struct timeline_phase){
            .name = phase, .at_s = (double)(clock_ns() - timeline->begin_ns) / 1e9};
}

void timeline_latency_clear(struct timeline *timeline) {
    histogram_clear(&timeline->latency);
}

static void thin(struct timeline *timeline) {
    if (timeline->count < TIMELINE_POINTS_MAX)
        return;
    for (unsigned i = 0; i < TIMELINE_POINTS_MAX / 2; i++)
        timeline->points[i] = timeline->points[2 * i + 1];
    timeline->count = TIMELINE_POINTS_MAX / 2;
    timeline->thinned++;
}

static void show(const struct timeline *timeline, const struct timeline_point *point) {
    progress("%4.0f s  %s: %.0f connected, %.0f messages/s, p50 %.1f p99 %.1f ms; node %.0f MB "
             "%.0f %%, load %.0f MB, kernel %.0f MB",
             point->at_s, timeline->phase, point->connected, point->messages_per_s, point->p50_ms,
             point->p99_ms, point->node_bytes / 1e6, 100 * point->node_cpu, point->load_bytes / 1e6,
             point->kernel_bytes / 1e6);
}

static void add(struct timeline *timeline, const struct sample *now) {
    const struct load *load = timeline->load;
    const struct histogram *taken = &load->taken;
    double passed_ns = (double)(now->at_ns - timeline->last.at_ns);
    uint64_t delivered = atomic_load(&load->counters.delivered);
    uint64_t logins = atomic_load(&load->counters.logins);
    thin(timeline);
    struct timeline_point *point = &timeline->points[timeline->count++];
    *point = (struct timeline_point){
        .at_s = (double)(now->at_ns - timeline->begin_ns) / 1e9,
        .connected = (double)atomic_load(&load->counters.connected),
        .messages_per_s = (double)(delivered - timeline->last_delivered) * 1e9 / passed_ns,
        .logins_per_s = (double)(logins - timeline->last_logins) * 1e9 / passed_ns,
        .p50_ms = (double)histogram_quantile(taken, .5) / 1e6,
        .p99_ms = (double)histogram_quantile(taken, .99) / 1e6,
        .node_cpu = (now->cpu_us - timeline->last.cpu_us) * 1e3 / passed_ns,
        .load_cpu = (now->load_cpu_us - timeline->last.load_cpu_us) * 1e3 / passed_ns,
        .node_bytes = now->resident_bytes,
        .load_bytes = now->load_resident_bytes,
        .kernel_bytes = now->kernel_bytes - timeline->base_kernel_bytes,
    };
    timeline->last = *now;
    timeline->last_delivered = delivered;
    timeline->last_logins = logins;
    show(timeline, point);
}

int timeline_tick(struct timeline *timeline) {
    struct sample now;
    if (clock_ns() < timeline->due_ns)
        return 0;
    timeline->due_ns += SECOND_NS << timeline->thinned;
    int error = load_take_latency(timeline->load);
    if (error)
        return error;
    histogram_add(&timeline->latency, &timeline->load->taken);
    sample_take_quick(timeline->source, &now);
    add(timeline, &now);
    if (now.available_bytes >= timeline->source->available_bytes_min)
        return 0;
    progress("%s", "");
    fprintf(stderr,
            "tern-bench: stopped with %.0f connected: the machine has %.0f MB left; the node takes "
            "%.0f MB, the load %.0f MB, the kernel %.0f MB more than at the beginning\n",
            timeline->points[timeline->count - 1].connected, now.available_bytes / 1e6,
            now.resident_bytes / 1e6, now.load_resident_bytes / 1e6,
            (now.kernel_bytes - timeline->base_kernel_bytes) / 1e6);
    return -ENOMEM;
}

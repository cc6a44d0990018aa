/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plots are SVG inside the page, one line per series. A plot shows at most PLOT_POINTS_MAX points;
 * of those that fall together the highest is drawn, so that no peak is hidden.
 */
#include "bench/report.h"

#include "bench/figures.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define WIDTH 900.0
#define HEIGHT 220.0
#define LEFT 70.0
#define PLOT_POINTS_MAX 450u
#define SERIES_MAX 3
#define LINES 4 /* of the grid */

struct series {
    const char *name, *color;
    size_t offset; /* of a double in struct timeline_point */
    double scale;
};

struct plot {
    const char *title, *unit;
    struct series series[SERIES_MAX];
};

#define AT(field) offsetof(struct timeline_point, field)
static const struct plot plots[] = {
    {"Connections", "thousand", {{"connected", "#1b6ca8", AT(connected), 1e-3}}},
    {"Throughput",
     "per second",
     {{"messages delivered", "#1b6ca8", AT(messages_per_s), 1},
      {"logins", "#c0392b", AT(logins_per_s), 1}}},
    {"Latency from send to receipt",
     "ms",
     {{"p50", "#1b6ca8", AT(p50_ms), 1}, {"p99", "#c0392b", AT(p99_ms), 1}}},
    {"Memory",
     "MB",
     {{"node", "#1b6ca8", AT(node_bytes), 1e-6},
      {"load", "#7f8c8d", AT(load_bytes), 1e-6},
      {"kernel, since the begin", "#c0392b", AT(kernel_bytes), 1e-6}}},
    {"CPU", "cores", {{"node", "#1b6ca8", AT(node_cpu), 1}, {"load", "#7f8c8d", AT(load_cpu), 1}}},
};
#undef AT

static double value_at(const struct timeline *timeline, const struct series *series, unsigned i) {
    double value;
    memcpy(&value, (const char *)&timeline->points[i] + series->offset, sizeof value);
    return value * series->scale;
}

/* The next of 1, 2, 5, 10, ... times a power of ten. */
static double round_up(double value) {
    double step = value > 0 ? pow(10, floor(log10(value))) : 1;
    static const double factors[] = {1, 2, 5, 10};
    for (unsigned i = 0; i < sizeof factors / sizeof factors[0]; i++)
        if (value <= factors[i] * step)
            return factors[i] * step;
    return 10 * step;
}

static double highest(const struct timeline *timeline, const struct plot *plot) {
    double most = 0;
    for (unsigned s = 0; s < SERIES_MAX && plot->series[s].name != NULL; s++)
        for (unsigned i = 0; i < timeline->count; i++)
            most = fmax(most, value_at(timeline, &plot->series[s], i));
    return round_up(most);
}

static double x_of(double at_s, double end_s) {
    return LEFT + (WIDTH - LEFT - 10) * (end_s > 0 ? at_s / end_s : 0);
}

static void write_grid(FILE *file, const struct timeline *timeline, double top, double end_s) {
    for (unsigned i = 0; i <= LINES; i++) {
        double y = HEIGHT - HEIGHT * i / LINES;
        fprintf(file,
                "<line x1='%.0f' x2='%.0f' y1='%.1f' y2='%.1f' class='grid'/>"
                "<text x='%.0f' y='%.1f' text-anchor='end'>%g</text>\n",
                LEFT, WIDTH - 10, y, y, LEFT - 6, y + 4, top * i / LINES);
    }
    for (unsigned i = 0; i < timeline->phase_count; i++) {
        double x = x_of(timeline->phases[i].at_s, end_s);
        fprintf(file,
                "<line x1='%.1f' x2='%.1f' y1='0' y2='%.0f' class='phase'/>"
                "<text x='%.1f' y='%.0f'>%s</text>\n",
                x, x, HEIGHT, x + 3, HEIGHT + 16 + 12.0 * (i % 2), timeline->phases[i].name);
    }
}

static void write_series(FILE *file, const struct timeline *timeline, const struct series *series,
                         double top, double end_s) {
    unsigned step = timeline->count / PLOT_POINTS_MAX + 1;
    fprintf(file, "<polyline fill='none' stroke='%s' stroke-width='1.5' points='", series->color);
    for (unsigned i = 0; i < timeline->count; i += step) {
        double most = 0;
        for (unsigned j = i; j < i + step && j < timeline->count; j++)
            most = fmax(most, value_at(timeline, series, j));
        fprintf(file, "%.1f,%.1f ", x_of(timeline->points[i].at_s, end_s),
                HEIGHT - HEIGHT * most / top);
    }
    fputs("'/>\n", file);
}

static void write_plot(FILE *file, const struct timeline *timeline, const struct plot *plot) {
    double top = highest(timeline, plot);
    double end_s = timeline->count > 0 ? timeline->points[timeline->count - 1].at_s : 0;
    fprintf(file, "<h2>%s (%s)</h2>\n<p>", plot->title, plot->unit);
    for (unsigned s = 0; s < SERIES_MAX && plot->series[s].name != NULL; s++)
        fprintf(file, "<span style='color:%s'>&#9632;</span> %s&emsp;", plot->series[s].color,
                plot->series[s].name);
    fprintf(file, "</p>\n<svg viewBox='0 -10 %.0f %.0f' role='img' aria-label='%s over time'>\n",
            WIDTH, HEIGHT + 50, plot->title);
    write_grid(file, timeline, top, end_s);
    for (unsigned s = 0; s < SERIES_MAX && plot->series[s].name != NULL; s++)
        write_series(file, timeline, &plot->series[s], top, end_s);
    fprintf(file, "<text x='%.0f' y='%.0f' text-anchor='end'>%.0f s</text></svg>\n", WIDTH - 10,
            HEIGHT + 16, end_s);
}

static void write_page(FILE *file, const struct timeline *timeline) {
    fputs("<!doctype html><html lang='en'><meta charset='utf-8'><title>tern-bench users</title>\n"
          "<style>body{font:15px sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
          "svg{width:100%}text{font-size:11px;fill:#555}.grid{stroke:#ddd}"
          ".phase{stroke:#999;stroke-dasharray:3 3}table{border-collapse:collapse}"
          "td{padding:.1em 1em .1em 0}</style>\n<h1>tern-bench users</h1>\n",
          file);
    figures_write_html(file);
    for (unsigned i = 0; i < sizeof plots / sizeof plots[0]; i++)
        write_plot(file, timeline, &plots[i]);
    fputs("</html>\n", file);
}

static void write_csv(FILE *file, const struct timeline *timeline) {
    fputs("seconds,connected,messages_per_s,logins_per_s,p50_ms,p99_ms,node_cores,load_cores,"
          "node_bytes,load_bytes,kernel_bytes\n",
          file);
    for (unsigned i = 0; i < timeline->count; i++) {
        const struct timeline_point *at = &timeline->points[i];
        fprintf(file, "%.1f,%.0f,%.1f,%.1f,%.3f,%.3f,%.3f,%.3f,%.0f,%.0f,%.0f\n", at->at_s,
                at->connected, at->messages_per_s, at->logins_per_s, at->p50_ms, at->p99_ms,
                at->node_cpu, at->load_cpu, at->node_bytes, at->load_bytes, at->kernel_bytes);
    }
}

static int write_file(const char *directory, const char *name, const struct timeline *timeline,
                      void (*write)(FILE *file, const struct timeline *timeline)) {
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", directory, name) >= (int)sizeof path)
        return -ENAMETOOLONG;
    FILE *file = fopen(path, "we");
    if (file == NULL)
        return -errno;
    write(file, timeline);
    int error = ferror(file) ? -EIO : 0;
    return fclose(file) ? -errno : error;
}

int report_write(const char *directory, const struct timeline *timeline) {
    int error = mkdir(directory, 0777) == 0 || errno == EEXIST ? 0 : -errno;
    if (error == 0)
        error = write_file(directory, "index.html", timeline, write_page);
    if (error == 0)
        error = write_file(directory, "timeline.csv", timeline, write_csv);
    if (error)
        fprintf(stderr, "tern-bench: %s: %s\n", directory, strerror(-error));
    return error;
}

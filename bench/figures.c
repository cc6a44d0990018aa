/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/figures.h"

#include "runtime/check.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define FIGURES_MAX 64
#define RUNS_MAX 99
#define TEXT_MAX 48
#define PROGRESS_LINE_S 30

static struct {
    bool json;
    const char *ground;
    char cpu[128], kernel[160];
    unsigned count;
    struct figure {
        char name[TEXT_MAX], unit[TEXT_MAX];
        unsigned runs;
        double values[RUNS_MAX];
    } figures[FIGURES_MAX];
} state;

static void cpu_name_read(void) {
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "re");
    snprintf(state.cpu, sizeof state.cpu, "unknown");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        char *name = strstr(line, ": ");
        if (strncmp(line, "model name", 10) != 0 || name == NULL)
            continue;
        name[strcspn(name, "\n")] = '\0';
        snprintf(state.cpu, sizeof state.cpu, "%s", name + 2);
        break;
    }
    if (file != NULL)
        fclose(file);
}

void figures_begin(bool json) {
    struct utsname system;
    state.json = json;
    cpu_name_read();
    if (uname(&system) == 0)
        snprintf(state.kernel, sizeof state.kernel, "%s %s", system.sysname, system.release);
    if (!json)
        printf("%s, %ld cores, %s, %s build\n", state.cpu, sysconf(_SC_NPROCESSORS_ONLN),
               state.kernel, BUILD_MODE);
}

void figures_ground(const char *ground) {
    state.ground = ground;
}

void figure_add(const char *name, const char *unit, double value) {
    struct figure *figure = state.figures;
    while (figure < state.figures + state.count && strcmp(figure->name, name) != 0)
        figure++;
    CHECK(figure < state.figures + FIGURES_MAX);
    if (figure == state.figures + state.count) {
        state.count++;
        figure->runs = 0;
        snprintf(figure->name, sizeof figure->name, "%s", name);
        snprintf(figure->unit, sizeof figure->unit, "%s", unit);
    }
    if (figure->runs < RUNS_MAX)
        figure->values[figure->runs++] = value;
}

static int value_compare(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median(struct figure *figure) {
    qsort(figure->values, figure->runs, sizeof figure->values[0], value_compare);
    unsigned middle = figure->runs / 2;
    return figure->runs % 2 ? figure->values[middle]
                            : (figure->values[middle - 1] + figure->values[middle]) / 2;
}

static void print_json(const struct figure *figure, double value) {
    json_t *object =
        json_pack("{s:s, s:f, s:s, s:i, s:s, s:i, s:s, s:s}", "name", figure->name, "value", value,
                  "unit", figure->unit, "runs", (int)figure->runs, "cpu", state.cpu, "cores",
                  (int)sysconf(_SC_NPROCESSORS_ONLN), "kernel", state.kernel, "build", BUILD_MODE);
    CHECK(object != NULL);
    if (state.ground != NULL)
        json_object_set_new(object, "ground", json_string(state.ground));
    json_dumpf(object, stdout, JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(object);
}

static void print_line(const struct figure *figure, double value) {
    int decimals = value >= 1000 ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : 4;
    printf("  %-24s %12.*f %s\n", figure->name, decimals, value, figure->unit);
}

double figure_value(const char *name) {
    for (unsigned i = 0; i < state.count; i++)
        if (strcmp(state.figures[i].name, name) == 0)
            return median(&state.figures[i]);
    return 0;
}

unsigned figures_mark(void) {
    return state.count;
}

void figures_forget(unsigned mark) {
    CHECK(mark <= state.count);
    state.count = mark;
}

void figures_print(const char *heading) {
    progress("%s", "");
    if (!state.json && state.count > 0)
        printf("\n%s\n", heading);
    for (unsigned i = 0; i < state.count; i++) {
        struct figure *figure = &state.figures[i];
        (state.json ? print_json : print_line)(figure, median(figure));
    }
    fflush(stdout);
    state.count = 0;
}

void figures_write_html(FILE *file) {
    fprintf(file, "<p>%s, %ld cores, %s, %s build%s%s</p>\n<table>\n", state.cpu,
            sysconf(_SC_NPROCESSORS_ONLN), state.kernel, BUILD_MODE,
            state.ground != NULL ? ", ground: " : "", state.ground != NULL ? state.ground : "");
    for (unsigned i = 0; i < state.count; i++) {
        struct figure *figure = &state.figures[i];
        fprintf(file, "<tr><td>%s</td><td>%.6g</td><td>%s</td></tr>\n", figure->name,
                median(figure), figure->unit);
    }
    fputs("</table>\n", file);
}

/* Whether a line is due in what is no terminal. */
static bool line_is_due(void) {
    static time_t next;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    bool due = next != 0 && now.tv_sec >= next;
    if (due || next == 0)
        next = now.tv_sec + PROGRESS_LINE_S;
    return due;
}

void progress(const char *format, ...) {
    static int terminal = -1;
    char text[256];
    va_list arguments;
    if (terminal < 0)
        terminal = isatty(STDERR_FILENO);
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (terminal)
        fprintf(stderr, "\r\033[K%s", text);
    else if (text[0] != '\0' && line_is_due())
        fprintf(stderr, "%s\n", text);
    fflush(stderr);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The figures: a line each, for people by default, or as JSON objects with what they ran on.
 *
 * A figure that was taken several times (--runs) is printed once, as the median.
 */
#ifndef TERN_BENCH_FIGURES_H
#define TERN_BENCH_FIGURES_H

#include <stdbool.h>
#include <stdio.h>

/* Before the first figure. */
void figures_begin(bool json);
/* `name` and `unit` are constant or short (47 bytes): they are copied. */
void figure_add(const char *name, const char *unit, double value);
/* What the figures that follow were taken on, "sockets"; constant text. NULL: said by their names.
 * Figures of different grounds are never compared. */
void figures_ground(const char *ground);
/* The median of what was added of this name since the last print; 0: nothing was. */
double figure_value(const char *name);
/* Figures that are added after a mark can be forgotten, for others that are made of them. */
unsigned figures_mark(void);
void figures_forget(unsigned mark);
/* Prints what was added since the last time under a heading (people only) and forgets it. */
void figures_print(const char *heading);

/* What would be printed, as a table. */
void figures_write_html(FILE *file);

/* What is going on now: on a terminal a line that the next one replaces, else one every 30 s.
 * The main thread's. */
__attribute__((format(printf, 1, 2))) void progress(const char *format, ...);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node's figures as text, in Prometheus's exposition format 0.0.4.
 *
 * Names and units follow Prometheus's conventions: seconds and bytes, `_total` for what only grows,
 * a help text for each. `promtool check metrics` has nothing to say about it, and a test keeps it
 * so.
 */
#ifndef TERN_ACTORS_METRICS_TEXT_H
#define TERN_ACTORS_METRICS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct node;
struct runtime;

#define METRICS_TEXT_BYTES_MAX (256u * 1024)

struct metrics_text {
    char *bytes;
    size_t capacity;
    size_t length;
    bool cut; /* it did not fit; what is there ends with a whole line */
};

/* Any thread that may call runtime_counters_read. Reads gauges; stops nobody. `wall_ms`: the time
 * now, which says which day today is. */
void metrics_text_write(struct metrics_text *text, struct node *node, struct runtime *runtime,
                        uint64_t wall_ms);

/* --- for the files that write it ----------------------------------------------------------------
 */

__attribute__((format(printf, 2, 3))) void metrics_line(struct metrics_text *text,
                                                        const char *format, ...);
/* Begins a metric: its help and its type ("counter", "gauge", "histogram"). `name` is without the
 * "tern_" that all of them begin with. */
void metrics_head(struct metrics_text *text, const char *name, const char *type, const char *help);
/* A metric with one value and no labels, all of it. */
void metrics_figure(struct metrics_text *text, const char *name, const char *type, uint64_t value,
                    const char *help);
/* `text` as a label's value: the three characters that would end it are escaped, what does not fit
 * is cut. Returns `out`. */
#define METRICS_LABEL_BYTES_MAX 160u
const char *metrics_label(const char *text, char out[METRICS_LABEL_BYTES_MAX]);

/* metrics_product.c: what the product is judged by. */
void metrics_product_write(struct metrics_text *text, const struct node *node,
                           struct runtime *runtime, uint64_t wall_ms);

#endif

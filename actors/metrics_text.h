/* SPDX-License-Identifier: Apache-2.0 */
/* The node's figures as text, in Prometheus's exposition format 0.0.4. */
#ifndef TERN_ACTORS_METRICS_TEXT_H
#define TERN_ACTORS_METRICS_TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct node;
struct runtime;

#define METRICS_TEXT_BYTES_MAX (256u * 1024)

struct metrics_text {
    char *bytes;
    size_t capacity;
    size_t length;
    bool cut; /* it did not fit; what is there ends with a whole line */
};

/* Any thread that may call runtime_counters_read. Reads gauges; stops nobody. */
void metrics_text_write(struct metrics_text *text, struct node *node, struct runtime *runtime);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* A failed check: one line, in one write, and the end. No allocation: the heap may be what is
 * broken. */
#include "runtime/check.h"

#include "runtime/crash_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct check_failure check_failure;

void check_failed(const char *expression, const char *file, int line) {
    char text[512];
    if (!check_failure.expression)
        check_failure = (struct check_failure){expression, file, line};
    int length = snprintf(text, sizeof text, "%s:%d: check failed: %s\n", file, line, expression);
    if (length >= (int)sizeof text)
        length = sizeof text - 1;
    ssize_t written = write(STDERR_FILENO, text, (size_t)length);
    (void)written;
    abort();
}

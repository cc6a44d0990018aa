/* SPDX-License-Identifier: Apache-2.0 */
/* A failed check: one line, in one write, and the end. No allocation: the heap may be what is
 * broken. */
#include "runtime/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void check_failed(const char *expression, const char *file, int line) {
    char text[512];
    int length = snprintf(text, sizeof text, "%s:%d: check failed: %s\n", file, line, expression);
    if (length >= (int)sizeof text)
        length = sizeof text - 1;
    ssize_t written = write(STDERR_FILENO, text, (size_t)length);
    (void)written;
    abort();
}

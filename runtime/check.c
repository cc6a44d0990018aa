/* SPDX-License-Identifier: Apache-2.0 */
/* A failed check: one line, in one write, and the end. No allocation: the heap may be what is
 * broken. */
#include "runtime/check.h"

#include "runtime/crash_internal.h"

#include <stdlib.h>
#include <unistd.h>

struct check_failure check_failure;

void check_failed(const char *expression, const char *file, int line) {
    struct crash_text text = {.fd = STDERR_FILENO};
    if (!check_failure.expression)
        check_failure = (struct check_failure){expression, file, line};
    crash_line_begin(&text);
    crash_line_put(&text, file);
    crash_line_put(&text, ":");
    crash_put_number(&text, line);
    crash_line_put(&text, ": check failed: ");
    crash_line_put(&text, expression);
    crash_line_end(&text);
    abort();
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tern-sim-planted --plant NAME [tern-sim's options]: the simulator on a node or device with a bug.
 * --plant nothing is tern-sim itself, and --plant list names the bugs.
 *
 * The linker puts __wrap_main before tern-sim's main.
 */
#include "runtime/planted_internal.h"

#include <stdio.h>
#include <string.h>

#define EXIT_USAGE 64 /* EX_USAGE of sysexits.h */

int __real_main(int count, char *values[]);
int __wrap_main(int count, char *values[]);

enum planted_bug planted_bug;

static const struct {
    const char *name, *says;
} bugs[] = {[PLANTED_NOTHING] = {"nothing", "no bug"},
#define BUG(upper, name, says) [PLANTED_##upper] = {#name, says},
            PLANTED_BUGS(BUG)
#undef BUG
};

static int list(void) {
    for (unsigned i = 0; i < sizeof(bugs) / sizeof(bugs[0]); i++)
        printf("%-22s %s\n", bugs[i].name, bugs[i].says);
    return 0;
}

int __wrap_main(int count, char *values[]) {
    if (count < 3 || strcmp(values[1], "--plant") != 0) {
        fputs("Usage: tern-sim-planted --plant NAME [tern-sim's options]\n", stderr);
        return EXIT_USAGE;
    }
    if (strcmp(values[2], "list") == 0)
        return list();
    for (unsigned i = 0; i < sizeof(bugs) / sizeof(bugs[0]); i++)
        if (strcmp(values[2], bugs[i].name) == 0) {
            planted_bug = (enum planted_bug)i;
            values[2] = values[0];
            return __real_main(count - 2, values + 2);
        }
    fprintf(stderr, "tern-sim-planted: no such bug: %s\n", values[2]);
    return EXIT_USAGE;
}

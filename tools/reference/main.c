/* SPDX-License-Identifier: Apache-2.0 */
/* Prints the wire's reference page; `scons wire-reference` puts it into net/WIRE.md. */
#include "net/wire_reference.h"

#include <stdio.h>
#include <stdlib.h>

int main(void) {
    size_t length = wire_reference(NULL, 0);
    char *page = malloc(length + 1);
    if (page == NULL)
        return 1;
    wire_reference(page, length + 1);
    int status = fputs(page, stdout) < 0 || fflush(stdout) != 0;
    free(page);
    return status;
}

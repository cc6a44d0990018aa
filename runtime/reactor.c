/* SPDX-License-Identifier: Apache-2.0 */
/* Which reactor: as told, or the best that is allowed here. */
#include "runtime/reactor.h"

#include "runtime/log.h"
#include "runtime/uring_internal.h"

#include <errno.h>
#include <string.h>

const struct reactor_ops *reactor_choose(void) {
    int error = uring_probe();

    if (error == 0)
        return &reactor_uring;
    log_info("io_uring is refused here (%s): libev serves the sockets, each with a descriptor",
             strerror(-error));
    return &reactor_ev;
}

int reactor_find(const char *name, const struct reactor_ops **found) {
    if (strcmp(name, "auto") == 0)
        *found = NULL;
    else if (strcmp(name, reactor_uring.name) == 0)
        *found = &reactor_uring;
    else if (strcmp(name, reactor_ev.name) == 0)
        *found = &reactor_ev;
    else
        return -EINVAL;
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* `tern-node quarantine`: what was set aside in a data directory whose node does not run. While it
 * runs the actor does the same (actors/quarantine_actor.c). */
#ifndef TERN_TOOLS_NODE_QUARANTINE_H
#define TERN_TOOLS_NODE_QUARANTINE_H

#include "tools/node/config.h"

/* `verb`: list, show, release, drop; `what`: of all but list, USER/DEVICE/SEQUENCE as listed. The
 * exit status: 0; 64 wrong usage; 65 it cannot be done; 69 the data is in use. */
int quarantine_run(const struct config *config, const char *verb, const char *what);

#endif

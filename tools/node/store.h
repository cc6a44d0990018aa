/* SPDX-License-Identifier: Apache-2.0 */
/* Opens a node's data directory: the folder, the lock that keeps a second node out, the engine. */
#ifndef TERN_TOOLS_NODE_STORE_H
#define TERN_TOOLS_NODE_STORE_H

#include "storage/meta.h"
#include "tools/node/config.h"

/* Makes the directory (mode 0700) if needed, opens the engine in it and counts this start. 0, or a
 * negative errno with a sentence in `error`; -EBUSY: another process has it. */
int store_open(const struct config *config, struct engine **engine, struct meta *meta, char *error,
               size_t error_bytes);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `tern-node import FILE`: accounts by the million into a data directory that no node runs on.
 *
 * FILE ("-": standard input) has one JSON object a line: {"phone": "+15550001000", "name": "Ada",
 * "device_public_key": "64 hex digits"}. A phone or key that is known already is skipped and
 * counted; a line that is no such object ends the import with its number, after what came before it
 * was stored.
 */
#ifndef TERN_TOOLS_NODE_IMPORT_H
#define TERN_TOOLS_NODE_IMPORT_H

#include "tools/node/config.h"

/* Returns main's exit status. */
int import_run(const struct config *config, const char *path);

#endif

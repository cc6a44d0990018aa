/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which seams a node runs on, chosen at link time: node_seams.c gives the system's; the test build
 * tern-node-faults links tests/fault/node_seams.c instead, whose `fault` lets actors fail at
 * random.
 */
#ifndef TERN_TOOLS_NODE_NODE_SEAMS_H
#define TERN_TOOLS_NODE_NODE_SEAMS_H

#include "runtime/seams.h"

const struct seams *node_seams(void);

#endif

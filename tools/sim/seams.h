/* SPDX-License-Identifier: Apache-2.0 */
/* The seams of a simulated node: clock, randomness, programs, signals, and what is asked before
 * each handler runs. Their context is the struct sim_node. */
#ifndef TERN_TOOLS_SIM_SEAMS_H
#define TERN_TOOLS_SIM_SEAMS_H

#include "runtime/seams.h"

struct sim_node;

void sim_seams_init(struct seams *seams, struct sim_node *node);

#endif

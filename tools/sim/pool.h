/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The blocking pool of a simulated node: jobs run at a time of the simulation's choosing.
 *
 *     submit ──some µs, or as long as a disk takes──► run ──some µs──► its message goes back
 *
 * So jobs overtake each other as those of several threads do, and a crash meets them before they
 * have run, or after that but before anybody has heard of it.
 */
#ifndef TERN_TOOLS_SIM_POOL_H
#define TERN_TOOLS_SIM_POOL_H

#include "runtime/pool.h"

struct pool;

extern const struct pool_ops pool_sim;

/* The process is being killed: what has not run never does. */
void pool_kill(struct pool *pool);

#endif

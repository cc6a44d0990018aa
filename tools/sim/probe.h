/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Probes: actors of the simulator's own that live among the node's and hold the runtime to its
 * word.
 *
 * The product rarely meets the bounds of a mailbox, or cancels a timer that has fired already. A
 * probe does both all the time, under the same faults, and says when a promise of runtime/actor.h
 * is broken: that what a full mailbox does not take comes back, and that a canceled timer stays so.
 */
#ifndef TERN_TOOLS_SIM_PROBE_H
#define TERN_TOOLS_SIM_PROBE_H

/* Starts them on the node whose shard was entered. */
void probes_start(void);

#endif

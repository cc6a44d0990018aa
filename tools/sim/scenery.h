/* SPDX-License-Identifier: Apache-2.0 */
/* The faults that come from nowhere: crashes, partitions, full disks, devices that go away. Those
 * that need an operation to fail sit in that operation's file. */
#ifndef TERN_TOOLS_SIM_SCENERY_H
#define TERN_TOOLS_SIM_SCENERY_H

struct world;

/* After each event: lets happen what is due. */
void scenery_faults(struct world *world);
/* The network heals, disks have space, whoever is away comes back. */
void scenery_clear(struct world *world);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reactor of a simulated node's shard: the seam of runtime/reactor.h over the network's links.
 *
 * What happens to a link is queued here as a completion, and reported in order by the shard's next
 * poll, as a kernel would. A completion of a socket that has been closed meanwhile is passed over.
 */
#ifndef TERN_TOOLS_SIM_REACTOR_H
#define TERN_TOOLS_SIM_REACTOR_H

#include "tools/sim/network.h"

struct program;

extern const struct reactor_ops reactor_sim;

/* Something waits to be reported, or the shard was woken. */
bool reactor_has_work(const struct reactor *reactor);
/* The process is being killed: nothing that its actors do on their way out reaches anybody. */
void reactor_kill(struct reactor *reactor);
/* The next poll tells this shard's subscribers of a signal. */
void reactor_raise(struct reactor *reactor, int signal);

/* The next poll reports that a program has ended. */
void reactor_program_ended(struct reactor *reactor, struct program *program, int status);

/* --- for the network ----------------------------------------------------------------------------
 */

/* Gives connections that wait to reactors with accepts posted. */
void reactor_give_backlog(struct world *world, struct sim_node *node);
void reactor_link_readable(struct world *world, struct link *link);
void reactor_link_writable(struct world *world, struct link *link);
/* The up flow has ended with an error. */
void reactor_link_reset(struct world *world, struct link *link);

#endif

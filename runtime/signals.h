/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals as messages: an actor that subscribed gets SIGNAL_RAISED, in its mailbox's order, like
 * anything else. There are no handlers; what a signal means is the product's to say.
 *
 * The signals must be blocked in every thread, or the kernel's default ends the process. The heart
 * starts the node so; a program without a heart calls signals_block in main before any thread
 * exists.
 */
#ifndef TERN_RUNTIME_SIGNALS_H
#define TERN_RUNTIME_SIGNALS_H

#include "runtime/actor.h"

#define SIGNAL_SUBSCRIBERS_MAX 16

struct signal_raised {
    int signal; /* SIGTERM, SIGINT, SIGHUP, SIGUSR1 or SIGUSR2; several of a kind may come as one */
};

/* Blocks the five signals above in the calling thread and those it makes. */
void signals_block(void);

/* For the running actor, until it ends. All subscribers of a node live on one shard: a signal is
 * taken by one of the shards that ask. 0, -EINVAL: none of the five; -ENOSPC: too many subscribers;
 * or what the kernel says. */
int signal_subscribe(int signal);

/* --- the seam -------------------------------------------------------------------------------- */

struct shard;
struct signal_source; /* the implementation's own */

struct signal_ops {
    const char *name;
    /* Adds a signal to what this shard is told of by signal_on_raised. `*source` is NULL at first.
     */
    int (*listen)(struct shard *shard, int signal, struct signal_source **source);
    /* The shard is no more. */
    void (*forget)(struct signal_source *source);
};

void signal_on_raised(struct shard *shard, int signal);

extern const struct signal_ops signals_posix;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * User ids: 64 bits, given by the node, never used again.
 *
 * The store's high mark says up to where ids may have been given. A node reserves a block beyond it
 * before it serves, and the next one, inside the batch of a registration, when a quarter is left;
 * what a crash leaves of a block is never used. Any shard.
 */
#ifndef TERN_ACTORS_USER_ID_H
#define TERN_ACTORS_USER_ID_H

#include "actors/node.h"
#include "storage/batch.h"

/* The next id, or 0: the reserved ones are used up and the next block isn't durable yet. */
uint64_t user_id_take(struct node *node);
/* If it is time, appends the reservation of the next block to `batch` and returns its end, which
 * goes to user_id_reserved when the batch is durable, or to user_id_not_reserved when it failed;
 * else 0. */
uint64_t user_id_reserve(struct node *node, struct write_batch *batch);
void user_id_reserved(struct node *node, uint64_t end);
void user_id_not_reserved(struct node *node, uint64_t end);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node keeps about itself: the store's format, the number of its starts, and the high mark
 * of the user ids it has given out.
 *
 * meta_begin() is called once, before anything else touches the store. The boot number it returns
 * is durable before it is used and never comes again, so it can stand for an epoch.
 */
#ifndef TERN_STORAGE_META_H
#define TERN_STORAGE_META_H

#include <stdint.h>

#include "storage/engine.h"

struct meta {
    uint64_t boot;      /* 1 at the first start */
    uint64_t user_high; /* user ids up to here may have been given out */
};

/*
 * Check the format (writing it into an empty store), count this start, make it durable, and read
 * the high marks. BLOCKS. -EPROTONOSUPPORT: the store is of a newer node (`*format` then says
 * which, when not NULL); otherwise as the engine.
 */
int meta_begin(struct engine *engine, struct meta *meta, uint64_t *format);

/*
 * Append the reservation of user ids up to `high`. An id may be given out only when its reservation
 * is durable, so reserve in blocks (META_USER_BLOCK), ahead; what a crash leaves of a block is
 * never used. Ids begin at 1.
 */
#define META_USER_BLOCK (1u << 16)
int meta_put_user_high(struct write_batch *batch, uint64_t high);

/*
 * Who was active on a day: one sketch is kept of the last even day, one of the last odd one.
 * meta_read_active BLOCKS; `parity` is the day's, 0 or 1; a sketch of day 0 when there is none;
 * otherwise as the engine, -EBADMSG or -EPROTONOSUPPORT.
 */
struct record_active;
int meta_put_active(struct write_batch *batch, const struct record_active *active);
int meta_read_active(struct engine *engine, unsigned parity, struct record_active *active);

#endif

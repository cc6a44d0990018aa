/* SPDX-License-Identifier: Apache-2.0 */
/* What the ground's actors share: ground_crowd.c and ground_user.c, on the shards, and ground.c. */
#ifndef TERN_BENCH_GROUND_INTERNAL_H
#define TERN_BENCH_GROUND_INTERNAL_H

#include "bench/ground.h"
#include "bench/link.h"

#include <string.h>

enum { USER_ORDER = LINK_KIND_END, USER_RETRY };

static inline struct ground *ground_current(void) {
    return actor_context();
}
static inline struct ground_shard *ground_shard_current(void) {
    return &ground_current()->shards[actor_shard()];
}
/* The shard is the only writer. */
static inline void ground_tally(_Atomic uint64_t *counter, uint64_t by) {
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + by, memory_order_release);
}
__attribute__((format(printf, 2, 3))) void ground_fail(uint32_t person, const char *format, ...);

/* What stands at the head of each body, behind it zeros. */
struct ground_body {
    uint64_t sent_ns;
    uint32_t from, number;
};
uint64_t ground_message_number(uint32_t from, uint32_t number, uint32_t to);
/* The key of a person's device. Nobody has the secret one: nothing is proven on this ground. */
void ground_key(uint32_t person, uint8_t key[32]);

extern const struct actor_class ground_crowd_class, ground_user_class;
extern const struct supervisor_spec ground_people; /* of each shard */

#endif

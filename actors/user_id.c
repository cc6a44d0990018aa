/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See user_id.h. `user_next` and `users_reserved` are compared only with each other: an id is good
 * if it is below a `users_reserved` that was published after its reservation was durable (release
 * in user_id_reserved, acquire in user_id_take). `users_reserving` lets one batch at a time
 * reserve.
 */
#include "actors/user_id.h"

#include "storage/meta.h"

uint64_t user_id_take(struct node *node) {
    uint64_t next = atomic_load_explicit(&node->user_next, memory_order_relaxed);
    do {
        if (next >= atomic_load_explicit(&node->users_reserved, memory_order_acquire))
            return 0;
    } while (!atomic_compare_exchange_weak_explicit(&node->user_next, &next, next + 1,
                                                    memory_order_relaxed, memory_order_relaxed));
    return next;
}

uint64_t user_id_reserve(struct node *node, struct write_batch *batch) {
    uint64_t reserved = atomic_load_explicit(&node->users_reserved, memory_order_acquire);
    uint64_t next = atomic_load_explicit(&node->user_next, memory_order_relaxed);
    if (reserved - next > META_USER_BLOCK / 4)
        return 0;
    uint64_t expected = reserved, end = reserved + META_USER_BLOCK;
    if (!atomic_compare_exchange_strong_explicit(&node->users_reserving, &expected, end,
                                                 memory_order_relaxed, memory_order_relaxed))
        return 0; /* another batch does it */
    if (meta_put_user_high(batch, end - 1) == 0)
        return end;
    user_id_not_reserved(node, end);
    return 0;
}

void user_id_reserved(struct node *node, uint64_t end) {
    atomic_store_explicit(&node->users_reserved, end, memory_order_release);
}

void user_id_not_reserved(struct node *node, uint64_t end) {
    uint64_t expected = end;
    atomic_compare_exchange_strong_explicit(&node->users_reserving, &expected,
                                            end - META_USER_BLOCK, memory_order_relaxed,
                                            memory_order_relaxed);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stack (ck_stack) on which any thread pushes and from which one takes everything at once: how
 * pool threads reach a shard, and how memory that they free comes home.
 *
 * What is pushed begins with a pointer, which is the stack's until it is taken.
 */
#ifndef TERN_RUNTIME_STACK_INTERNAL_H
#define TERN_RUNTIME_STACK_INTERNAL_H

#include "runtime/kit_internal.h"

#include <stdbool.h>

/* Any thread. */
static inline void stack_push(struct ck_stack *stack, void *thing) {
    /* With the push's own exchange a release: pairs with the exchange in stack_take_all. */
    ck_pr_fence_release();
    ck_stack_push_upmc(stack, thing);
}

/* A look that orders nothing: who finds something takes it by stack_take_all. */
static inline bool stack_is_empty(const struct ck_stack *stack) {
    return ck_pr_load_ptr(&stack->head) == NULL;
}

/* The newest first, linked by `next`. */
static inline struct ck_stack_entry *stack_take_all(struct ck_stack *stack) {
    if (stack_is_empty(stack))
        return NULL;
    /* An acquire with the fence behind it: pairs with stack_push. */
    struct ck_stack_entry *newest = ck_stack_batch_pop_upmc(stack);
    ck_pr_fence_acquire();
    return newest;
}

#endif

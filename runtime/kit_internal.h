/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Concurrency Kit, as everybody here includes it.
 *
 * Its atomics are inline assembly, which the thread sanitizer does not see. So the sanitized build
 * takes the kit's own variant on the compiler's builtins (CK_USE_CC_BUILTINS, set in SConstruct).
 * What is left are its loads, which are plain volatile accesses there, and its fences,
 * which the sanitizer does not model. Both are told here in one way: the kit's load is an acquire,
 * which is what its stacks make of it by a fence beside it.
 * Whether the kit's fences are the right ones is thereby its own proof, not ours; that we publish
 * by its operations, and touch nothing but between them, is seen: no access of ours is hidden.
 */
#ifndef TERN_RUNTIME_KIT_INTERNAL_H
#define TERN_RUNTIME_KIT_INTERNAL_H

#ifdef __SANITIZE_THREAD__

#define CK_F_PR_FAS_PTR /* the kit's own begins with a plain load */
#include <ck_pr.h>
#undef ck_pr_load_ptr
#define ck_pr_load_ptr(place) __atomic_load_n((place), __ATOMIC_ACQUIRE)
static inline void *ck_pr_fas_ptr(void *place, void *value) {
    return __atomic_exchange_n((void **)place, value, __ATOMIC_SEQ_CST);
}

#endif

#include <ck_stack.h>

#endif

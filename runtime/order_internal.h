/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the thread sanitizer is told of Concurrency Kit, whose atomics are inline assembly that it
 * does not see: which operation of one thread comes before which of another. In any other build
 * these functions are empty.
 *
 * Nothing is suppressed by them but the writing of a stack's link (order_write_begin), so a data
 * race on whatever travels through a ring or a stack is still found.
 */
#ifndef TERN_RUNTIME_ORDER_INTERNAL_H
#define TERN_RUNTIME_ORDER_INTERNAL_H

#ifdef __SANITIZE_THREAD__

#include <sanitizer/tsan_interface.h>

void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);

static inline void order_release(void *place) {
    __tsan_release(place);
}
static inline void order_acquire(void *place) {
    __tsan_acquire(place);
}
static inline void order_write_begin(void) {
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
}
static inline void order_write_end(void) {
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
}

#else

/* What was done before it comes before what another thread does after order_acquire of the same
 * place. Stands before the atomic operation that publishes. */
static inline void order_release(void *place) {
    (void)place;
}
/* Stands after the atomic operation that has seen what was published. */
static inline void order_acquire(void *place) {
    (void)place;
}
/* What is written between the two comes between a release and its atomic operation, inside of
 * Concurrency Kit, where no annotation can stand. */
static inline void order_write_begin(void) {
}
static inline void order_write_end(void) {
}

#endif

#endif

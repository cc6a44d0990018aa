/* SPDX-License-Identifier: Apache-2.0 */
/* Threads of the runtime: all signals blocked, since signals go to whoever subscribed to them; but
 * for those that are about the thread itself. */
#include "runtime/crash_internal.h"
#include "runtime/scheduler_internal.h"

#include <signal.h>
#include <stdio.h>

void thread_name(const char *kind, unsigned index) {
    char name[16]; /* the kernel's bound */
    snprintf(name, sizeof name, "%s %u", kind, index);
    pthread_setname_np(pthread_self(), name);
}

uintptr_t thread_stack_end(void) {
    pthread_attr_t attributes;
    void *stack = NULL;
    size_t bytes = 0;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0)
        return 0;
    if (pthread_attr_getstack(&attributes, &stack, &bytes) != 0)
        bytes = 0;
    pthread_attr_destroy(&attributes);
    return (uintptr_t)stack + bytes;
}

/* An overflow meets it, whatever the frame's size: crash_posix.c says what it was. */
#define GUARD_BYTES (256u * 1024)

int thread_create_quiet(pthread_t *thread, void *(*run)(void *argument), void *argument) {
    sigset_t all, before;
    sigfillset(&all);
    crash_signals_unblock(&all);
    sigdelset(&all, WATCHDOG_SIGNAL);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setguardsize(&attributes, GUARD_BYTES);
    int error = pthread_create(thread, &attributes, run, argument);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -error;
}

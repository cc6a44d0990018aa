/* SPDX-License-Identifier: Apache-2.0 */
/* Threads of the runtime: all signals blocked, since signals go to whoever subscribed to them. */
#include "runtime/scheduler_internal.h"

#include <signal.h>

int thread_create_quiet(pthread_t *thread, void *(*run)(void *argument), void *argument) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(thread, NULL, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -error;
}

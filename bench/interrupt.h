/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ctrl-C, SIGTERM and SIGHUP end the bench in order: whoever waits gets -EINTR, goes back, and main
 * stops the node and removes its directory.
 */
#ifndef TERN_BENCH_INTERRUPT_H
#define TERN_BENCH_INTERRUPT_H

#include <stdbool.h>

void interrupt_catch(void);
bool interrupted(void);
/* 0, or -EINTR. */
int interruptible_sleep_ms(unsigned ms);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks of our own invariants, on in every build.
 *
 * CHECK(condition) is for bugs: what it tests can be false only if our code is wrong. It prints the
 * expression and its place, and aborts; the crash handler adds the actor that was running and the
 * heart restarts the node. Never use it for input from outside (see net/parse.h) nor for failures
 * that are expected (a negative errno) nor for what one actor cannot go on with (`actor_ensure`,
 * actor.h).
 */
#ifndef TERN_RUNTIME_CHECK_H
#define TERN_RUNTIME_CHECK_H

#define CHECK(condition) \
    (__builtin_expect(!!(condition), 1) ? (void)0 : check_failed(#condition, __FILE__, __LINE__))

/* Prints one line to standard error and aborts. Any thread. */
__attribute__((noreturn, cold)) void check_failed(const char *expression, const char *file,
                                                  int line);

#endif

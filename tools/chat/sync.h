/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the store owes the node, brought there while a session is online: whose numbers are to be
 * found, whose profiles and devices to be fetched, which messages to be numbered and sent, which
 * receipts to be told.
 *
 * All of it is read off the store, so nothing of it is lost with the program: sync_pump looks what
 * is wanted and asks for what is not under way. A message goes through
 *
 *     waiting ─number found─► its chat known ─devices known─► numbered ─► (net/device sends it)
 */
#ifndef TERN_TOOLS_CHAT_SYNC_H
#define TERN_TOOLS_CHAT_SYNC_H

#include "tools/chat/session.h"

struct sync;

/* NULL: out of memory. Session and store outlive it. */
struct sync *sync_create(struct ev_loop *loop, struct store *store, struct session *session);
/* NULL is allowed. */
void sync_destroy(struct sync *sync);

/* To be called in each turn, and after messages or receipts were stored. Commits, and pumps the
 * session. 0, or -EIO: the store failed. */
int sync_pump(struct sync *sync);

/* Nothing is owed: no receipt, no message without an answer. */
bool sync_is_even(struct sync *sync);

#endif

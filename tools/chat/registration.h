/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registration: a new key asks for a code, proves the number with it, and becomes this home's.
 *
 * Until the code was right the new key is a candidate beside the one that the home has, so that a
 * registration that comes to nothing leaves everything as it was.
 */
#ifndef TERN_TOOLS_CHAT_REGISTRATION_H
#define TERN_TOOLS_CHAT_REGISTRATION_H

#include "tools/chat/chat.h"

/* Makes a candidate and has a code sent. Needs an open chat; the connection is made and ended here.
 * An exit code, after a sentence on what is next or what is wrong. */
int registration_ask(struct chat *chat, const char *server, const char *phone, const char *name);
/* Proves the candidate's number. */
int registration_prove(struct chat *chat, const char *code);

#endif

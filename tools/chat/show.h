/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages that were never shown are shown, once: those that are in the store are told from the
 * ones that came, whoever fetched them. They are marked right after the output took them; a program
 * that is killed between the two shows the last of them once more.
 */
#ifndef TERN_TOOLS_CHAT_SHOW_H
#define TERN_TOOLS_CHAT_SHOW_H

#include "tools/chat/chat.h"

/* Shows one; an own reply may be stored with the mark. Answers whether the person has read it. */
typedef bool (*show_fn)(struct chat *chat, const struct store_message *message);
/* The output has taken them all; else they stay unshown. NULL: it always has. */
typedef int (*show_flush_fn)(void);

/* In order of arrival, up to the first whose sender is not known yet, unless `whoever`. Adds their
 * number to *count. An exit code; after CHAT_OK all of it is committed. */
int show_new(struct chat *chat, bool whoever, show_fn show, show_flush_fn flush, unsigned *count);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* A person writes: to whom, what, and into the outbox with it. */
#ifndef TERN_TOOLS_CHAT_COMPOSE_H
#define TERN_TOOLS_CHAT_COMPOSE_H

#include "tools/chat/chat.h"

struct recipient {
    uint64_t user;                         /* 0: nobody has looked up the number yet */
    char phone[STORE_PHONE_CHARS_MAX + 1]; /* empty: a contact who hides it */
};

/* WHOM: a number, a contact's name, or "user:ID" as `receive` prints who has no number. 0, or
 * CHAT_USAGE or CHAT_REFUSED after a sentence. */
int compose_find(const struct chat *chat, const char *whom, struct recipient *recipient);

/* 0, or CHAT_DATA after a sentence. */
int compose_check(struct wire_bytes text);

/* Puts it into the outbox, uncommitted, where sync_pump finds it. Returns its row, 0 on failure. */
int64_t compose_store(struct chat *chat, const struct recipient *recipient, struct wire_bytes text,
                      struct wire_id *id);

#endif

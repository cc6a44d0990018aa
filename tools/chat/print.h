/* SPDX-License-Identifier: Apache-2.0 */
/* Messages and states on standard output, for people or as JSON, one object a line. */
#ifndef TERN_TOOLS_CHAT_PRINT_H
#define TERN_TOOLS_CHAT_PRINT_H

#include "tools/chat/chat.h"

#define PRINT_ADDRESS_CHARS_MAX 26 /* "user:" and 20 digits, with the NUL */
#define PRINT_WHO_BYTES_MAX (STORE_NAME_BYTES_MAX + PRINT_ADDRESS_CHARS_MAX + 4)

/* How a user is to be called in `--to`: the number, or "user:7". */
void print_address(struct store *store, uint64_t user, char out[PRINT_ADDRESS_CHARS_MAX]);
/* For people: "Ben (+15550002000)". Not yet harmless. */
void print_who(struct store *store, uint64_t user, const char *phone,
               char out[PRINT_WHO_BYTES_MAX]);

/* {"id","from","sequence","time","text", "name", ...}, or a line "14:05 Ben (+1555...): text". */
void print_received(struct chat *chat, const struct store_message *message);
/* The same of both sides: {"id","from","to","sequence","time","text","state"}. */
void print_history(struct chat *chat, const struct store_message *message);
/* {"phone","name","user"}, or a line. */
void print_contact(struct chat *chat, const struct store_contact *contact);
/* "ID state", or {"id","state"}; with why it failed. */
void print_state(struct chat *chat, const struct store_message *message, unsigned state);

/* CHAT_OK, or CHAT_IO after a sentence: standard output took not everything. */
int print_flush(void);

#endif

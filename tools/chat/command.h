/* SPDX-License-Identifier: Apache-2.0 */
/* The commands: each takes its arguments, does all of it, and returns an exit code. */
#ifndef TERN_TOOLS_CHAT_COMMAND_H
#define TERN_TOOLS_CHAT_COMMAND_H

#include "tools/chat/chat.h"

int command_register(const struct arguments *arguments);
int command_verify(const struct arguments *arguments);
int command_send(const struct arguments *arguments);
int command_receive(const struct arguments *arguments);
int command_status(const struct arguments *arguments);
int command_history(const struct arguments *arguments);
int command_contacts(const struct arguments *arguments);
int command_echo(const struct arguments *arguments);
int command_line(const struct arguments *arguments); /* no command: chat by lines */

#endif

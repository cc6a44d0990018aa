/* SPDX-License-Identifier: Apache-2.0 */
/* tern-chat without a command. */
#include "tools/chat/command.h"

int command_line(const struct arguments *arguments) {
    arguments_print_help(stderr);
    return CHAT_USAGE;
}

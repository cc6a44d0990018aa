/* SPDX-License-Identifier: Apache-2.0 */
/* tern-chat: the terminal client. */
#include "tools/chat/command.h"

#include <locale.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>

#define VERSION_TEXT "tern-chat 1 (protocol 1)"

static int print_help(const struct arguments *arguments) {
    arguments_print_help(stdout);
    return CHAT_OK;
}

static int print_version(const struct arguments *arguments) {
    puts(VERSION_TEXT);
    return CHAT_OK;
}

static int (*const commands[])(const struct arguments *arguments) = {
    [VERB_CHAT] = command_line,       [VERB_REGISTER] = command_register,
    [VERB_VERIFY] = command_verify,   [VERB_SEND] = command_send,
    [VERB_RECEIVE] = command_receive, [VERB_STATUS] = command_status,
    [VERB_HISTORY] = command_history, [VERB_CONTACTS] = command_contacts,
    [VERB_ECHO] = command_echo,       [VERB_HELP] = print_help,
    [VERB_VERSION] = print_version,
};

int main(int argc, char **argv) {
    struct arguments arguments;
    setlocale(LC_ALL, "");
    umask(077);
    signal(SIGPIPE, SIG_IGN);
    if (sodium_init() < 0)
        return CHAT_IO;
    int code = arguments_parse(&arguments, argc, argv);
    return code != CHAT_OK ? code : commands[arguments.verb](&arguments);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* register and verify. */
#include "tools/chat/command.h"
#include "tools/chat/registration.h"

#include <stdio.h>

int command_register(const struct arguments *arguments) {
    struct chat chat;
    int code = chat_open(&chat, arguments, true);
    if (code == CHAT_OK)
        code = registration_ask(&chat, arguments->server, arguments->phone, arguments->name);
    if (code == CHAT_OK)
        printf("Next: tern-chat verify --home %s --code CODE\n", arguments->home);
    chat_close(&chat);
    return code;
}

int command_verify(const struct arguments *arguments) {
    struct chat chat;
    int code = chat_open(&chat, arguments, false);
    if (code == CHAT_OK)
        code = registration_prove(&chat, arguments->code);
    chat_close(&chat);
    return code;
}

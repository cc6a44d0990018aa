/* SPDX-License-Identifier: Apache-2.0 */
/* history and contacts: what this home knows, without a connection. */
#include "tools/chat/command.h"
#include "tools/chat/compose.h"
#include "tools/chat/print.h"

static bool put_message(void *context, const struct store_message *message) {
    print_history(context, message);
    return true;
}

static int history(struct chat *chat) {
    const struct arguments *arguments = chat->arguments;
    struct recipient with = {0};
    if (arguments->with == NULL) {
        store_each_message(chat->store, STORE_RECENT, 0, arguments->limit, put_message, chat);
        return print_flush();
    }
    int code = compose_find(chat, arguments->with, &with);
    if (code != CHAT_OK)
        return code;
    if (with.user == 0) {
        chat_say("nothing was said with %s", with.phone);
        return CHAT_REFUSED;
    }
    store_each_message(chat->store, STORE_CHAT, with.user, arguments->limit, put_message, chat);
    return print_flush();
}

static void put_contact(void *context, const struct store_contact *contact) {
    print_contact(context, contact);
}

static int contacts(struct chat *chat) {
    store_each_contact(chat->store, STORE_CONTACTS_ALL, put_contact, chat);
    return print_flush();
}

static int run(const struct arguments *arguments, int (*command)(struct chat *chat)) {
    struct chat chat;
    int code = chat_open(&chat, arguments, false);
    if (code == CHAT_OK)
        code = chat_require_registered(&chat);
    if (code == CHAT_OK)
        code = command(&chat);
    chat_close(&chat);
    return code;
}

int command_history(const struct arguments *arguments) {
    return run(arguments, history);
}

int command_contacts(const struct arguments *arguments) {
    return run(arguments, contacts);
}

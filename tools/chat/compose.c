/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/chat/compose.h"

#include "net/decimal.h"
#include "net/utf8.h"
#include "tools/chat/content.h"
#include "tools/chat/text.h"

#include <string.h>

#define USER_PREFIX "user:"

static int find_user(const struct chat *chat, const char *digits, struct recipient *recipient) {
    struct store_contact contact;
    uint64_t user;
    if (!decimal_read(digits, 0, UINT64_MAX, &user) ||
        !store_contact(chat->store, user, &contact)) {
        chat_say("no contact of this home is %s%s", USER_PREFIX, digits);
        return CHAT_REFUSED;
    }
    recipient->user = user;
    memcpy(recipient->phone, contact.phone, sizeof recipient->phone);
    return CHAT_OK;
}

static int find_name(const struct chat *chat, const char *name, struct recipient *recipient) {
    struct store_contact contact;
    uint64_t user = store_contact_by_name(chat->store, name);
    if (user == 0 || !store_contact(chat->store, user, &contact)) {
        chat_say("\"%s\" is neither a phone number (+15550002000) nor the name of one contact",
                 name);
        return CHAT_USAGE;
    }
    recipient->user = user;
    memcpy(recipient->phone, contact.phone, sizeof recipient->phone);
    return CHAT_OK;
}

int compose_find(const struct chat *chat, const char *whom, struct recipient *recipient) {
    *recipient = (struct recipient){0};
    if (strncmp(whom, USER_PREFIX, strlen(USER_PREFIX)) == 0)
        return find_user(chat, whom + strlen(USER_PREFIX), recipient);
    if (whom[0] != '+')
        return find_name(chat, whom, recipient);
    if (!text_is_phone(whom)) {
        chat_say("%s is no phone number: + and 7 to 15 digits", whom);
        return CHAT_USAGE;
    }
    if (strcmp(whom, chat->own_phone) == 0) {
        chat_say("%s is your own number", whom);
        return CHAT_USAGE;
    }
    memcpy(recipient->phone, whom, strlen(whom) + 1);
    recipient->user = store_contact_by_phone(chat->store, whom);
    return CHAT_OK;
}

int compose_check(struct wire_bytes text) {
    if (text.length > CONTENT_TEXT_BYTES_MAX) {
        chat_say("the text is too long: %u bytes or more, %d at most", text.length,
                 CONTENT_TEXT_BYTES_MAX);
        return CHAT_DATA;
    }
    if (text.length == 0) {
        chat_say("the text is empty");
        return CHAT_DATA;
    }
    if (utf8_is_valid(text.bytes, text.length))
        return CHAT_OK;
    chat_say("the text is no UTF-8");
    return CHAT_DATA;
}

int64_t compose_store(struct chat *chat, const struct recipient *recipient, struct wire_bytes text,
                      struct wire_id *id) {
    struct store_message message = {
        .own = true,
        .chat = recipient->user,
        .sender = store_number(chat->store, "user"),
        .device = (uint32_t)store_number(chat->store, "device"),
        .time_ms = session_wall_ms(),
        .readable = true,
        .text = text,
    };
    session_make_id(chat->session, id);
    message.id = *id;
    memcpy(message.phone, recipient->phone, sizeof message.phone);
    return store_add_own(chat->store, &message);
}

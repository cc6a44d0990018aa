/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/chat/print.h"

#include "tools/chat/text.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTINUED \
    "\n    " /* the further lines of a text, so that none looks like another message */

void print_address(struct store *store, uint64_t user, char out[PRINT_ADDRESS_CHARS_MAX]) {
    struct store_contact contact;
    if (store_contact(store, user, &contact) && contact.phone[0] != 0)
        memcpy(out, contact.phone, sizeof contact.phone);
    else
        snprintf(out, PRINT_ADDRESS_CHARS_MAX, "user:%" PRIu64, user);
}

void print_who(struct store *store, uint64_t user, const char *phone,
               char out[PRINT_WHO_BYTES_MAX]) {
    struct store_contact contact;
    char address[PRINT_ADDRESS_CHARS_MAX];
    if (user == 0) {
        snprintf(out, PRINT_WHO_BYTES_MAX, "%s", phone);
        return;
    }
    print_address(store, user, address);
    if (store_contact(store, user, &contact) && contact.name[0] != 0)
        snprintf(out, PRINT_WHO_BYTES_MAX, "%s (%s)", contact.name, address);
    else
        snprintf(out, PRINT_WHO_BYTES_MAX, "%s", address);
}

int print_flush(void) {
    if (fflush(stdout) == 0 && !ferror(stdout))
        return CHAT_OK;
    chat_say("standard output: %s", strerror(errno));
    return CHAT_IO;
}

/* ---------------------------------------------------------------- JSON */

/* ASCII alone, so that no control sequence of anybody gets through. Takes the object. */
static void put_json(json_t *object) {
    char *line = json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII);
    if (line != NULL)
        puts(line);
    free(line);
    json_decref(object);
}

static void set_address(json_t *object, const char *key, struct store *store, uint64_t user,
                        const char *phone) {
    char address[PRINT_ADDRESS_CHARS_MAX];
    if (user != 0)
        print_address(store, user, address);
    else
        snprintf(address, sizeof address, "%s", phone);
    json_object_set_new(object, key, json_string(address));
}

static void set_text(json_t *object, const struct store_message *message) {
    json_object_set_new(object, "text",
                        message->readable
                            ? json_stringn((const char *)message->text.bytes, message->text.length)
                            : json_string(TEXT_UNREADABLE));
    if (!message->readable)
        json_object_set_new(object, "unreadable", json_true());
    if (message->missing > 0)
        json_object_set_new(object, "missing", json_integer((json_int_t)message->missing));
}

static json_t *make_id(const struct store_message *message) {
    char id[TEXT_ID_CHARS + 1];
    text_format_id(id, &message->id);
    return json_pack("{s:s}", "id", id);
}

static void set_place(json_t *object, const struct store_message *message) {
    json_object_set_new(object, "sequence", json_integer((json_int_t)message->sequence));
    json_object_set_new(object, "time", json_integer((json_int_t)message->time_ms));
}

static void put_received_json(struct chat *chat, const struct store_message *message) {
    struct store_contact contact;
    json_t *object = make_id(message);
    set_address(object, "from", chat->store, message->sender, "");
    set_place(object, message);
    set_text(object, message);
    if (store_contact(chat->store, message->sender, &contact) && contact.name[0] != 0)
        json_object_set_new(object, "name", json_string(contact.name));
    put_json(object);
}

static void put_history_json(struct chat *chat, const struct store_message *message) {
    json_t *object = make_id(message);
    if (message->own) {
        json_object_set_new(object, "from", json_string(chat->own_phone));
        set_address(object, "to", chat->store, message->chat, message->phone);
        json_object_set_new(object, "state", json_string(text_state(message->state)));
    } else {
        set_address(object, "from", chat->store, message->sender, "");
        json_object_set_new(object, "to", json_string(chat->own_phone));
    }
    set_place(object, message);
    set_text(object, message);
    put_json(object);
}

/* ---------------------------------------------------------------- for people */

static void put_text(const struct store_message *message) {
    if (message->readable)
        text_put(stdout, message->text, CONTINUED);
    else
        fputs(TEXT_UNREADABLE, stdout);
}

static void put_line(struct chat *chat, const struct store_message *message) {
    char time[TEXT_TIME_CHARS_MAX], who[PRINT_WHO_BYTES_MAX];
    text_format_time(time, message->time_ms, session_wall_ms());
    print_who(chat->store, message->chat, message->phone, who);
    if (message->missing > 0)
        printf("%s  (%" PRIu64 " messages are missing here)\n", time, message->missing);
    printf("%s  %s", time, message->own ? "to " : "");
    text_put_string(stdout, who);
    fputs(": ", stdout);
    put_text(message);
    if (message->own)
        printf("  [%s]", text_state(message->state));
    fputc('\n', stdout);
}

void print_received(struct chat *chat, const struct store_message *message) {
    if (chat->arguments->json)
        put_received_json(chat, message);
    else
        put_line(chat, message);
}

void print_history(struct chat *chat, const struct store_message *message) {
    if (chat->arguments->json)
        put_history_json(chat, message);
    else
        put_line(chat, message);
}

void print_state(struct chat *chat, const struct store_message *message, unsigned state) {
    const char *name = text_state(state);
    if (chat->arguments->json) {
        json_t *object = make_id(message);
        json_object_set_new(object, "state", json_string(name));
        if (message->code != 0)
            json_object_set_new(object, "code", json_string(wire_code_name(message->code)));
        put_json(object);
        return;
    }
    char id[TEXT_ID_CHARS + 1];
    text_format_id(id, &message->id);
    printf("%s %s\n", id, name);
}

void print_contact(struct chat *chat, const struct store_contact *contact) {
    char address[PRINT_ADDRESS_CHARS_MAX];
    print_address(chat->store, contact->user, address);
    if (chat->arguments->json) {
        put_json(json_pack("{s:s, s:s, s:I}", "phone", contact->phone, "name", contact->name,
                           "user", (json_int_t)contact->user));
        return;
    }
    printf("%-17s ", address);
    text_put_string(stdout, contact->name);
    fputc('\n', stdout);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/chat/line.h"

#include "net/utf8.h"
#include "tools/chat/print.h"
#include "tools/chat/text.h"

#include <stdlib.h>
#include <string.h>

#define HISTORY_DEFAULT 20
#define HISTORY_AT_OPENING 10
#define HISTORY_MAX 1000
#define HISTORY_BYTES_MAX 1000 /* of each text */
#define WORD_BYTES_MAX 200

/* ---------------------------------------------------------------- showing what was said */

static bool show_message(void *context, const struct store_message *message) {
    line_show(context, message, HISTORY_BYTES_MAX);
    return true;
}

static void show_history(struct line *line, unsigned limit) {
    if (line->open.user != 0)
        store_each_message(line->chat->store, STORE_CHAT, line->open.user, limit, show_message,
                           line);
}

static void command_history_of(struct line *line, const char *word) {
    unsigned long limit = word[0] != 0 ? strtoul(word, NULL, 10) : HISTORY_DEFAULT;
    if (!line->is_open)
        chat_say("no chat is open: /to +15550002000 opens one");
    else
        show_history(line, limit == 0 || limit > HISTORY_MAX ? HISTORY_MAX : (unsigned)limit);
}

static void show_contact(void *context, const struct store_contact *contact) {
    print_contact(context, contact);
}

static void command_contacts_of(struct line *line, const char *word) {
    store_each_contact(line->chat->store, STORE_CONTACTS_ALL, show_contact, line->chat);
}

/* ---------------------------------------------------------------- opening a chat */

static void say_open(struct line *line) {
    char who[PRINT_WHO_BYTES_MAX];
    print_who(line->chat->store, line->open.user, line->open.phone, who);
    fputs("-- chatting with ", stdout);
    text_put_string(stdout, who);
    fputc('\n', stdout);
}

/* The number has turned out to be somebody's. */
static void found(struct line *line) {
    line->looking_up = false;
    line->open.user = store_contact_by_phone(line->chat->store, line->open.phone);
    line_set_prompt(line);
}

static void on_person(void *context, uint64_t argument, const struct wire_reply *reply) {
    struct line *line = context;
    struct wire_discover_body body;
    struct wire_person person;
    if (!line->looking_up)
        return;
    line->looking_up = false;
    if (reply->code != WIRE_CODE_OK ||
        wire_read_discover_body(reply->body.bytes, reply->body.length, &body) != PARSE_COMPLETE)
        return; /* asked again in a while */
    if (wire_next_person(&body.people, &person)) {
        store_contact_set_phone(line->chat->store, person.user, line->open.phone);
        found(line);
        return;
    }
    chat_say("nobody has the number %s", line->open.phone);
    line->is_open = false;
    line_set_prompt(line);
}

void line_look_up(struct line *line) {
    struct wire_bytes phone = {(const uint8_t *)line->open.phone,
                               (uint32_t)strlen(line->open.phone)};
    struct wire_frame frame = {.kind = WIRE_DISCOVER,
                               .discover.phones = {.items = &phone, .count = 1}};
    if (!line->is_open || line->open.user != 0 || line->looking_up)
        return;
    if (store_contact_by_phone(line->chat->store, line->open.phone) != 0)
        found(line);
    else
        line->looking_up = session_request(line->chat->session, &frame, on_person, line, 0) == 0;
}

int line_open(struct line *line, const char *whom) {
    struct recipient recipient;
    int code = compose_find(line->chat, whom, &recipient);
    if (code != CHAT_OK)
        return code;
    line->is_open = true;
    line->looking_up = false;
    line->open = recipient;
    line_set_prompt(line);
    say_open(line);
    show_history(line, HISTORY_AT_OPENING);
    line_mark_read(line);
    line_look_up(line);
    session_pump(line->chat->session);
    return CHAT_OK;
}

static void command_to(struct line *line, const char *word) {
    if (word[0] == 0)
        chat_say("/to takes a phone number or a contact's name");
    else
        line_open(line, word);
}

/* ---------------------------------------------------------------- the others */

static void command_quit(struct line *line, const char *word) {
    line->chat->done = true;
}

static void command_help(struct line *line, const char *word);

static const struct {
    const char *name, *help;
    void (*run)(struct line *line, const char *word);
} commands[] = {
    {"/to", "WHOM      opens a chat: a phone number (+15550002000) or a contact's name",
     command_to},
    {"/contacts", "          whom you know", command_contacts_of},
    {"/history", "[N]       the last N messages of the open chat", command_history_of},
    {"/help", "          this", command_help},
    {"/quit", "          ends; what has not gone out yet goes out next time", command_quit},
};
#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static void command_help(struct line *line, const char *word) {
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        printf("   %-10s %s\n", commands[i].name, commands[i].help);
    puts("   Anything else is sent to the open chat; a text that begins with / is written //.");
}

static void run_command(struct line *line, const char *text) {
    size_t length = strcspn(text, " ");
    const char *word = text + length + strspn(text + length, " ");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strlen(commands[i].name) == length && strncmp(text, commands[i].name, length) == 0) {
            commands[i].run(line, word);
            return;
        }
    fputs("-- there is no command ", stdout);
    text_put(stdout, (struct wire_bytes){(const uint8_t *)text, (uint32_t)length}, " ");
    fputs("; /help lists them\n", stdout);
}

/* ---------------------------------------------------------------- a text */

static bool show_stored(void *context, const struct store_message *message) {
    line_show(context, message, HISTORY_BYTES_MAX);
    line_watch(context, message->row, message->state);
    return false;
}

static void send_text(struct line *line, struct wire_bytes text) {
    struct chat *chat = line->chat;
    struct wire_id id;
    if (!line->is_open) {
        chat_say("no chat is open: /to +15550002000 opens one");
        return;
    }
    if (compose_check(text) != CHAT_OK)
        return;
    int64_t row = compose_store(chat, &line->open, text, &id);
    if (chat_commit(chat) != CHAT_OK || row == 0)
        return;
    store_message(chat->store, row, show_stored, line);
    if (!session_is_online(chat->session)) {
        chat_say("not connected: it is kept, and goes out with the next connection");
        session_hurry(chat->session);
    }
    sync_pump(chat->sync);
}

void line_take(struct line *line, struct wire_bytes text) {
    char command[WORD_BYTES_MAX + 1];
    while (text.length > 0 && text.bytes[text.length - 1] == ' ')
        text.length--;
    if (text.length == 0)
        return;
    if (text.bytes[0] != '/' || (text.length > 1 && text.bytes[1] == '/')) {
        bool escaped = text.bytes[0] == '/';
        send_text(line, (struct wire_bytes){text.bytes + escaped, text.length - escaped});
        return;
    }
    size_t length = text.length < WORD_BYTES_MAX ? text.length : WORD_BYTES_MAX;
    memcpy(command, text.bytes, length);
    command[length] = 0;
    run_command(line, command);
}

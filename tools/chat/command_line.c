/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tern-chat without a command: asks for what it needs, then chats.
 *
 * The questions come before anything else happens, so they are asked plainly, line by line.
 */
#include "tools/chat/command.h"
#include "tools/chat/line.h"
#include "tools/chat/registration.h"
#include "tools/chat/text.h"

#include <stdio.h>
#include <string.h>

#define SERVER_DEFAULT "ws://127.0.0.1:7700"
#define ANSWER_BYTES_MAX 299
#define TRIES_MAX 5

/* False: the input is over. An empty answer is the one that is proposed. */
static bool ask(const char *question, const char *proposed, char answer[ANSWER_BYTES_MAX + 1]) {
    if (proposed[0] != 0)
        printf("%s [%s]: ", question, proposed);
    else
        printf("%s: ", question);
    fflush(stdout);
    if (fgets(answer, ANSWER_BYTES_MAX + 1, stdin) == NULL)
        return false;
    answer[strcspn(answer, "\r\n")] = 0;
    if (answer[0] == 0)
        snprintf(answer, ANSWER_BYTES_MAX + 1, "%s", proposed);
    return true;
}

static bool is_server(const char *text) {
    struct url url;
    return url_parse(text, &url) == 0;
}

/* Until the answer is of the right kind; what was given on the command line is not asked for. */
static bool ask_for(const char *question, const char *given, const char *proposed,
                    bool (*is_right)(const char *text), const char *hint,
                    char answer[ANSWER_BYTES_MAX + 1]) {
    snprintf(answer, ANSWER_BYTES_MAX + 1, "%s", given != NULL ? given : "");
    for (int i = 0; i < TRIES_MAX; i++) {
        if (answer[0] != 0 && is_right(answer))
            return true;
        if (answer[0] != 0)
            printf("%s\n", hint);
        if (!ask(question, proposed, answer))
            return false;
    }
    return answer[0] != 0 && is_right(answer);
}

static int ask_for_code(struct chat *chat) {
    char answer[ANSWER_BYTES_MAX + 1];
    int code = CHAT_REFUSED;
    for (int i = 0; i < TRIES_MAX && code == CHAT_REFUSED; i++) {
        if (!ask("Verification code", "", answer))
            return CHAT_USAGE;
        if (answer[0] != 0)
            code = registration_prove(chat, answer);
        if (code == CHAT_USAGE)
            code = CHAT_REFUSED; /* mistyped */
    }
    return code;
}

static int give_up(void) {
    fputc('\n', stdout);
    chat_say("nothing is registered");
    return CHAT_USAGE;
}

static int register_person(struct chat *chat) {
    const struct arguments *arguments = chat->arguments;
    char server[ANSWER_BYTES_MAX + 1], phone[ANSWER_BYTES_MAX + 1], name[ANSWER_BYTES_MAX + 1];
    puts("Nobody is registered here yet.");
    if (!ask_for("Server", arguments->server, SERVER_DEFAULT, is_server,
                 "It is of the form ws://HOST:PORT, or wss://HOST where TLS is in front.",
                 server) ||
        !ask_for("Your phone number", arguments->phone, "", text_is_phone,
                 "It is + and 7 to 15 digits, such as +15550001000.", phone) ||
        !ask_for("Your name", arguments->name, "", text_is_name,
                 "A name has 1 to 63 bytes and no control characters.", name))
        return give_up();
    int code = registration_ask(chat, server, phone, name);
    return code == CHAT_OK ? ask_for_code(chat) : code;
}

/* A code was asked for earlier, and the person left before entering it. */
static int finish_or_register(struct chat *chat) {
    char phone[STORE_PHONE_CHARS_MAX + 1], answer[ANSWER_BYTES_MAX + 1];
    store_text(chat->store, SETTING_CANDIDATE_PHONE, phone, sizeof phone);
    if (phone[0] == 0)
        return register_person(chat);
    printf("A code was asked for %s. Enter it, or nothing to begin again.\n", phone);
    if (!ask("Verification code", "", answer))
        return give_up();
    if (answer[0] == 0)
        return register_person(chat);
    int code = registration_prove(chat, answer);
    return code == CHAT_REFUSED || code == CHAT_USAGE ? register_person(chat) : code;
}

int command_line(const struct arguments *arguments) {
    struct chat chat;
    setvbuf(stdin, NULL, _IONBF, 0); /* what follows the answers is the line's */
    int code = chat_open(&chat, arguments, true);
    if (code == CHAT_OK && store_number(chat.store, "user") == 0)
        code = finish_or_register(&chat);
    if (code == CHAT_OK)
        code = line_run(&chat);
    chat_close(&chat);
    return code;
}

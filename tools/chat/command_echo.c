/* SPDX-License-Identifier: Apache-2.0 */
/*
 * echo: a contact that answers every message with its text, until it is ended.
 *
 * The answer is stored together with the mark that the message was shown, so each message is
 * answered once, whenever this program is killed.
 */
#include "tools/chat/command.h"
#include "tools/chat/compose.h"
#include "tools/chat/content.h"
#include "tools/chat/show.h"
#include "tools/chat/text.h"

#include <signal.h>
#include <string.h>

#define PREFIX "echo: "

static bool answer(struct chat *chat, const struct store_message *message) {
    uint8_t *text = chat->command;
    struct recipient recipient = {.user = message->chat};
    struct wire_bytes said = message->text, reply = {.bytes = text};
    struct wire_id id;
    if (said.length >= strlen(PREFIX) && memcmp(said.bytes, PREFIX, strlen(PREFIX)) == 0)
        return true; /* another echo: two of them would never end */
    if (!message->readable)
        said = (struct wire_bytes){(const uint8_t *)TEXT_UNREADABLE, strlen(TEXT_UNREADABLE)};
    if (said.length > CONTENT_TEXT_BYTES_MAX - strlen(PREFIX))
        said = (struct wire_bytes){(const uint8_t *)"(a very long text)", 18};
    memcpy(text, PREFIX, strlen(PREFIX));
    memcpy(text + strlen(PREFIX), said.bytes, said.length);
    reply.length = (uint32_t)(strlen(PREFIX) + said.length);
    compose_store(chat, &recipient, reply, &id);
    return true;
}

static bool echo_progress(struct chat *chat, unsigned news) {
    unsigned count = 0;
    int code = show_new(chat, true, answer, NULL, &count);
    if (code != CHAT_OK)
        return chat_fail(chat, code);
    if ((news & SESSION_WELCOME) != 0)
        chat_say("connected to %s", session_server(chat->session));
    return count > 0 && sync_pump(chat->sync) != 0 && chat_fail(chat, CHAT_IO);
}

static void on_signal(struct ev_loop *loop, ev_signal *watcher, int events) {
    struct chat *chat = watcher->data;
    chat->done = true;
}

int command_echo(const struct arguments *arguments) {
    static uint8_t text[CONTENT_TEXT_BYTES_MAX];
    struct chat chat;
    ev_signal signals[2];
    const int numbers[2] = {SIGTERM, SIGINT};
    int code = chat_open(&chat, arguments, false);
    chat.stays = true;
    chat.command = text;
    if (code == CHAT_OK)
        code = chat_require_registered(&chat);
    if (code == CHAT_OK)
        code = chat_connect(&chat, false);
    for (int i = 0; i < 2 && code == CHAT_OK; i++) {
        ev_signal_init(&signals[i], on_signal, numbers[i]);
        signals[i].data = &chat;
        ev_signal_start(chat.loop, &signals[i]);
    }
    if (code == CHAT_OK)
        code = chat_run(&chat, echo_progress, 0);
    chat_close(&chat);
    return code;
}

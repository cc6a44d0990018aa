/* SPDX-License-Identifier: Apache-2.0 */
/*
 * send and status: a message goes out, and what becomes of it.
 *
 * Without --queue a message is stored only when there is a connection to send it on, and taken back
 * when it could not be handed to the node after all: "unreachable" then means that nothing will
 * come later. Once it was handed over, nobody knows until the answer comes; then it stays.
 */
#include "tools/chat/command.h"
#include "tools/chat/compose.h"
#include "tools/chat/content.h"
#include "tools/chat/print.h"
#include "tools/chat/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct sending {
    struct recipient recipient;
    struct wire_bytes text;
    struct wire_id id;
    int64_t row; /* 0: not stored yet */
    unsigned state, code;
    uint64_t number;
    bool heard; /* what the node had to tell has come: `status` */
};

static bool note(void *context, const struct store_message *message) {
    struct sending *sending = context;
    sending->row = message->row;
    sending->id = message->id;
    sending->state = message->state;
    sending->code = message->code;
    sending->number = message->number;
    return false;
}

static bool put_state(void *context, const struct store_message *message) {
    print_state(context, message, message->state);
    return false;
}

/* The state that was waited for is what is told, so that a script can rely on it; it may have come
 * further by now, as `status` tells. */
static bool put_goal(void *context, const struct store_message *message) {
    struct chat *chat = context;
    print_state(chat, message, chat->arguments->goal);
    return false;
}

/* It will come no further. */
static bool has_failed(unsigned state) {
    return state > WIRE_STATE_PLAYED;
}

static const char *explain(const struct sending *sending) {
    switch (sending->state) {
    case WIRE_STATE_EXPIRED:
        return "it was not fetched in time";
    case WIRE_STATE_UNDECRYPTABLE:
        return "the recipient's device cannot decrypt it";
    case WIRE_STATE_QUARANTINED:
        return "it was set aside: the recipient's device never answered, or the node failed at it";
    default:
        return sending->code != 0 ? chat_explain_code(sending->code)
                                  : "the recipient's device refused it";
    }
}

/* ---------------------------------------------------------------- the text */

/* All of standard input, up to one byte more than a text may have. */
static int read_input(struct wire_bytes *text, uint8_t **buffer) {
    size_t length = 0, capacity = CONTENT_TEXT_BYTES_MAX + 1;
    *buffer = malloc(capacity);
    while (*buffer != NULL && length < capacity) {
        ssize_t count = read(STDIN_FILENO, *buffer + length, capacity - length);
        if (count == 0)
            break;
        if (count < 0 && errno != EINTR) {
            chat_say("standard input: %s", strerror(errno));
            return CHAT_IO;
        }
        length += count > 0 ? (size_t)count : 0;
    }
    *text = (struct wire_bytes){*buffer, (uint32_t)length};
    return CHAT_OK;
}

static int get_text(const char *operand, struct wire_bytes *text, uint8_t **buffer) {
    if (strcmp(operand, "-") != 0)
        *text = (struct wire_bytes){(const uint8_t *)operand, (uint32_t)strlen(operand)};
    else if (read_input(text, buffer) != CHAT_OK)
        return CHAT_IO;
    return compose_check(*text);
}

/* ---------------------------------------------------------------- sending */

static bool store_now(struct chat *chat, struct sending *sending) {
    sending->row = compose_store(chat, &sending->recipient, sending->text, &sending->id);
    if (chat_commit(chat) != CHAT_OK)
        return false;
    return sending->row != 0;
}

static bool send_progress(struct chat *chat, unsigned news) {
    struct sending *sending = chat->command;
    if (sending->row == 0) {
        if (!session_is_registered(chat->session))
            return false;
        if (!store_now(chat, sending) || sync_pump(chat->sync) != 0)
            return chat_fail(chat, CHAT_IO);
    }
    store_message(chat->store, sending->row, note, sending);
    return has_failed(sending->state) || store_state_reached(sending->state, chat->arguments->goal);
}

/* What to say and how to end when the wanted state was not reached. */
static int end_early(struct chat *chat, struct sending *sending, int code) {
    bool open = sending->row != 0 && sending->state == 0;
    bool tried = open && sending->number != 0 && session_has_tried(chat->session, sending->number);
    if (open && !tried && !chat->arguments->queue && store_cancel(chat->store, sending->row)) {
        int error = chat_commit(chat);
        sending->row = 0;
        code = error != CHAT_OK ? error : code;
    }
    if (code == CHAT_UNREACHABLE && sending->row != 0 && chat->arguments->queue &&
        !chat->arguments->goal_given && open && !tried)
        return CHAT_OK; /* kept, as was asked */
    if (code == CHAT_UNREACHABLE)
        chat_say_unreachable(chat);
    if (code == CHAT_UNREACHABLE && open && sending->row != 0) {
        chat_say("the message is kept and goes out with the next connection");
        return CHAT_QUEUED;
    }
    if (sending->row == 0)
        chat_say("the message was not sent");
    return code;
}

static int finish_send(struct chat *chat, struct sending *sending, int code) {
    if (sending->row != 0)
        store_message(chat->store, sending->row, note, sending);
    if (code != CHAT_OK)
        code = end_early(chat, sending, code);
    if (sending->row != 0)
        store_message(chat->store, sending->row,
                      store_state_reached(sending->state, chat->arguments->goal) ? put_goal
                                                                                 : put_state,
                      chat);
    if (sending->row != 0 && has_failed(sending->state)) {
        chat_say("not delivered: %s", explain(sending));
        code = CHAT_REFUSED;
    }
    int output = print_flush();
    return code != CHAT_OK ? code : output;
}

static int send(struct chat *chat, struct sending *sending) {
    int code = compose_find(chat, chat->arguments->to, &sending->recipient);
    if (code == CHAT_OK)
        code = chat_connect(chat, false);
    if (code == CHAT_OK && chat->arguments->queue && !store_now(chat, sending))
        code = CHAT_IO;
    if (code != CHAT_OK)
        return code;
    chat->command = sending;
    chat->only_now = chat->arguments->queue && !chat->arguments->goal_given;
    code = chat_run(chat, send_progress, chat->arguments->timeout_ms);
    code = finish_send(chat, sending, code);
    chat_settle(chat);
    return code;
}

int command_send(const struct arguments *arguments) {
    struct chat chat;
    struct sending sending = {0};
    uint8_t *buffer = NULL;
    int code = get_text(arguments->operand, &sending.text, &buffer);
    if (code == CHAT_OK) {
        code = chat_open(&chat, arguments, false);
        if (code == CHAT_OK)
            code = chat_require_registered(&chat);
        if (code == CHAT_OK)
            code = send(&chat, &sending);
        chat_close(&chat);
    }
    free(buffer);
    return code;
}

/* ---------------------------------------------------------------- status */

/* What the node has to tell has come when it says that nothing more waits; and a message that was
 * queued goes out now. */
static bool status_progress(struct chat *chat, unsigned news) {
    struct sending *sending = chat->command;
    sending->heard = sending->heard || (news & SESSION_EMPTY) != 0;
    store_message(chat->store, sending->row, note, sending);
    return sending->heard && sending->state != 0;
}

static int status(struct chat *chat, struct sending *sending) {
    int code = CHAT_OK;
    if (!store_message_by_id(chat->store, &sending->id, note, sending)) {
        chat_say("no message of this home has this id");
        return CHAT_REFUSED;
    }
    if (!chat->arguments->offline && sending->state != WIRE_STATE_READ &&
        sending->state != WIRE_STATE_PLAYED) {
        code = chat_connect(chat, false);
        if (code != CHAT_OK)
            return code;
        chat->command = sending;
        code = chat_run(chat, status_progress, chat->arguments->timeout_ms);
        if (code == CHAT_UNREACHABLE) {
            chat_say_unreachable(chat);
            chat_say("this is what was known before");
        }
    }
    store_message(chat->store, sending->row, put_state, chat);
    int output = print_flush();
    if (chat->session != NULL)
        chat_settle(chat);
    return code != CHAT_OK ? code : output;
}

int command_status(const struct arguments *arguments) {
    struct chat chat;
    struct sending sending = {0};
    if (!text_parse_id(arguments->operand, &sending.id)) {
        chat_say("\"%s\" is no message's id", arguments->operand);
        return CHAT_USAGE;
    }
    int code = chat_open(&chat, arguments, false);
    if (code == CHAT_OK)
        code = chat_require_registered(&chat);
    if (code == CHAT_OK)
        code = status(&chat, &sending);
    chat_close(&chat);
    return code;
}

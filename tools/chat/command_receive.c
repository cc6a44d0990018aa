/* SPDX-License-Identifier: Apache-2.0 */
/*
 * receive: shows what has come and was never shown, then what comes.
 *
 *     connecting ─empty─► heard: ends if it has shown something, or doesn't wait
 *                           └─mail─► shown: ends
 *
 * --wait bounds the waiting for mail; the drain of a queue that is there is not cut short by it.
 */
#include "tools/chat/command.h"
#include "tools/chat/print.h"
#include "tools/chat/show.h"

struct receiving {
    struct chat *chat;
    ev_timer timer;
    bool empty;     /* the node has said so */
    bool time_over; /* of --wait */
    unsigned shown;
};

static bool show(struct chat *chat, const struct store_message *message) {
    print_received(chat, message);
    return !chat->arguments->unread;
}

static bool nothing_waits(struct chat *chat) {
    return !store_has_unshown(chat->store);
}

static bool receive_progress(struct chat *chat, unsigned news) {
    struct receiving *receiving = chat->command;
    receiving->empty = receiving->empty || (news & SESSION_EMPTY) != 0;
    unsigned before = receiving->shown;
    int code = show_new(chat, false, show, print_flush, &receiving->shown);
    if (code != CHAT_OK)
        return chat_fail(chat, code);
    if (receiving->shown > before && sync_pump(chat->sync) != 0)
        return chat_fail(chat, chat_commit(chat));
    return receiving->empty && nothing_waits(chat) &&
           (receiving->shown > 0 || receiving->time_over);
}

static void on_wait_over(struct ev_loop *loop, ev_timer *timer, int events) {
    struct receiving *receiving = timer->data;
    receiving->time_over = true;
    if (receive_progress(receiving->chat, 0))
        receiving->chat->done = true;
}

/* Why it ended, when it was not by the node's word. */
static int finish(struct chat *chat, struct receiving *receiving, int code) {
    if (code == CHAT_UNREACHABLE)
        chat_say_unreachable(chat);
    if (code != CHAT_OK && code != CHAT_IO) {
        int shown = show_new(chat, true, show, print_flush, &receiving->shown);
        code = shown != CHAT_OK ? shown : code;
    }
    chat_settle(chat);
    return code;
}

static int receive(struct chat *chat, struct receiving *receiving) {
    const struct arguments *arguments = chat->arguments;
    uint32_t wait_ms = arguments->wait_ms;
    int code = chat_connect(chat, false);
    if (code != CHAT_OK)
        return code;
    chat->command = receiving;
    receiving->chat = chat;
    receiving->time_over = wait_ms == 0;
    chat->patient = wait_ms > 0;
    ev_now_update(chat->loop);
    ev_timer_init(&receiving->timer, on_wait_over, (double)wait_ms / 1000, 0.);
    receiving->timer.data = receiving;
    if (wait_ms > 0)
        ev_timer_start(chat->loop, &receiving->timer);
    code = chat_run(chat, receive_progress,
                    wait_ms > arguments->timeout_ms ? wait_ms : arguments->timeout_ms);
    ev_timer_stop(chat->loop, &receiving->timer);
    return finish(chat, receiving, code);
}

int command_receive(const struct arguments *arguments) {
    struct chat chat;
    struct receiving receiving = {0};
    int code = chat_open(&chat, arguments, false);
    if (code == CHAT_OK)
        code = chat_require_registered(&chat);
    if (code == CHAT_OK)
        code = receive(&chat, &receiving);
    chat_close(&chat);
    return code;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chatting by lines: what the line*.c files share.
 *
 *     line.c          the terminal and its input, what comes and what becomes of own messages
 *     line_command.c  what the person types: a text for the open chat, or a command
 *
 * One chat is open at most. A message is shown whoever it is from; it counts as read when its chat
 * is open, then or later.
 */
#ifndef TERN_TOOLS_CHAT_LINE_H
#define TERN_TOOLS_CHAT_LINE_H

#include "tools/chat/chat.h"
#include "tools/chat/compose.h"
#include "tools/chat/editor.h"

#include <termios.h>

#define LINE_WATCHED_MAX 256 /* own messages whose states are told */

struct line_watched {
    int64_t row; /* 0: free */
    unsigned state;
};

struct line {
    struct chat *chat;
    struct editor *editor;
    bool is_terminal;
    struct termios before; /* as the terminal was */
    ev_io input;
    ev_signal signals[5];

    bool is_open;
    struct recipient open; /* the chat that is */
    uint64_t hinted;       /* who was last told how to answer */
    bool looking_up;       /* the node was asked who has the open chat's number */
    bool was_online;
    struct line_watched watched[LINE_WATCHED_MAX];
    unsigned watched_next; /* the place to use next: the oldest */
};

/* Chats until the person ends it. The chat is open and registered. An exit code. */
int line_run(struct chat *chat);

/* Shows a message of either side as one line (or more, indented), up to so many bytes of text. */
void line_show(struct line *line, const struct store_message *message, uint32_t bytes_max);
/* From now on its states are told. */
void line_watch(struct line *line, int64_t row, unsigned state);
/* The prompt says which chat is open. */
void line_set_prompt(struct line *line);
/* The messages of the open chat have been seen. */
void line_mark_read(struct line *line);

/* Opens a chat. An exit code, after a sentence. */
int line_open(struct line *line, const char *whom);
/* A person has typed this. */
void line_take(struct line *line, struct wire_bytes text);
/* The node has answered, or it is back: the open chat's number may be known now. */
void line_look_up(struct line *line);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all commands share: the home that is open, the connection, the loop that runs until the
 * command has what it wants, and the sentences about what went wrong.
 *
 *     chat_open ─► chat_connect ─► chat_run ─► chat_close
 */
#ifndef TERN_TOOLS_CHAT_CHAT_H
#define TERN_TOOLS_CHAT_CHAT_H

#include "tools/chat/arguments.h"
#include "tools/chat/exit_code.h"
#include "tools/chat/session.h"
#include "tools/chat/store.h"
#include "tools/chat/sync.h"

struct chat;

/* Called after each turn, once online, and when the connection is lost (news 0). True: the command
 * has what it wants. */
typedef bool (*chat_progress_fn)(struct chat *chat, unsigned news);

struct chat {
    const struct arguments *arguments;
    struct ev_loop *loop;
    int lock;
    struct store *store;
    struct session *session;
    struct sync *sync; /* NULL while registering */
    char own_phone[STORE_PHONE_CHARS_MAX + 1];

    chat_progress_fn progress;
    void *command; /* the command's own state */
    bool stays;    /* a command without an end: it says what happens to its connection */
    bool only_now; /* one failed attempt to connect is enough */
    bool patient;  /* a connection may take as long as the command */
    bool ever_online;
    bool done;         /* chat_run ends */
    int exit_code;     /* of chat_run */
    ev_timer timer;    /* the end of the command's time */
    ev_timer patience; /* the end of that for the first connection */
    struct session_end last_end;
};

/* "tern-chat: ..." and a line's end on standard error. */
__attribute__((format(printf, 1, 2))) void chat_say(const char *format, ...);
/* From now on what is said goes to standard output between these two, behind "-- ": for a program
 * that has a line of input there. NULL: as before. */
void chat_say_between(void (*before)(void *context), void (*after)(void *context), void *context);

/* Opens the arguments' home. 0, or an exit code after a sentence. `make`: it may be new. */
int chat_open(struct chat *chat, const struct arguments *arguments, bool make);
/* CHAT_OK, or CHAT_UNREGISTERED after a sentence. */
int chat_require_registered(const struct chat *chat);
void chat_close(struct chat *chat);

/* Gets ready to connect. `is_candidate`: as in struct session_options. 0, or an exit code after a
 * sentence. */
int chat_connect(struct chat *chat, bool is_candidate);

/* Connects if that isn't done, and runs until the progress function answers true, the time is over,
 * or it is hopeless. CHAT_OK, CHAT_UNREACHABLE (without a sentence: chat_say_unreachable), or
 * another exit code after a sentence. */
int chat_run(struct chat *chat, chat_progress_fn progress, uint32_t timeout_ms);
/* A command has what it wants: what else is owed to the node gets a moment to go. */
void chat_settle(struct chat *chat);
/* From within the progress function: ends with this code. */
bool chat_fail(struct chat *chat, int exit_code);
/* Why there is no connection, or that the time was over. */
void chat_say_unreachable(const struct chat *chat);

/* "lost", "connection refused by 127.0.0.1:7700"... */
void chat_describe_end(const struct chat *chat, const struct session_end *end, char *out,
                       size_t capacity);

/* What a refusal means, for people. */
const char *chat_explain_code(unsigned code);

/* Commits; CHAT_OK, or CHAT_IO after a sentence. */
int chat_commit(struct chat *chat);

#endif

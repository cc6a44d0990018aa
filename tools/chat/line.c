/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The terminal is raw while this runs, so that the line of input stays whole when messages come:
 * whatever is printed goes between editor_hide and editor_draw.
 */
#include "tools/chat/line.h"

#include "tools/chat/print.h"
#include "tools/chat/show.h"
#include "tools/chat/text.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CONTINUED "\n       " /* the further lines of a text */
#define EXCERPT_COLUMNS 40
#define UNREAD_BATCH_MAX 256
#define SCRIPT_END_MS 10000

/* ---------------------------------------------------------------- showing */

/* Up to `bytes_max` of it; what is left out is told. */
static void put_text(const struct store_message *message, uint32_t bytes_max) {
    struct wire_bytes text = message->text;
    if (!message->readable) {
        fputs(TEXT_UNREADABLE, stdout);
        return;
    }
    if (text.length > bytes_max)
        for (text.length = bytes_max; text.length > 0 && (text.bytes[text.length] & 0xc0) == 0x80;)
            text.length--;
    text_put(stdout, text, CONTINUED);
    if (text.length < message->text.length)
        printf("... (%u bytes in all; `tern-chat history` shows them)", message->text.length);
}

void line_show(struct line *line, const struct store_message *message, uint32_t bytes_max) {
    char time[TEXT_TIME_CHARS_MAX], who[PRINT_WHO_BYTES_MAX];
    text_format_time(time, message->time_ms, session_wall_ms());
    if (message->missing > 0)
        printf("%s  (%" PRIu64 " messages are missing here)\n", time, message->missing);
    print_who(line->chat->store, message->chat, message->phone, who);
    printf("%s  ", time);
    if (message->own)
        fputs("me", stdout);
    else
        text_put_string(stdout, who);
    fputs(": ", stdout);
    put_text(message, bytes_max);
    fputc('\n', stdout);
}

/* The begin of a text, to say which one is meant. */
static void put_excerpt(const struct store_message *message) {
    uint32_t point;
    size_t at = 0;
    unsigned columns = 0;
    while (at < message->text.length) {
        size_t size = text_decode(message->text.bytes + at, message->text.length - at, &point);
        columns += text_columns(point);
        if (point == '\n' || columns > EXCERPT_COLUMNS)
            break;
        at += size;
    }
    text_put(stdout, (struct wire_bytes){message->text.bytes, (uint32_t)at}, " ");
    if (at < message->text.length)
        fputs("...", stdout);
}

void line_set_prompt(struct line *line) {
    char prompt[EDITOR_PROMPT_BYTES_MAX + 1] = "> ", *text = NULL;
    size_t length = 0;
    struct store_contact contact;
    FILE *out = line->is_open ? open_memstream(&text, &length) : NULL;
    if (out != NULL) {
        bool named = line->open.user != 0 &&
                     store_contact(line->chat->store, line->open.user, &contact) &&
                     contact.name[0] != 0;
        text_put_string(out, named ? contact.name : line->open.phone);
        fclose(out);
        snprintf(prompt, sizeof prompt, "%s> ", text);
    }
    free(text);
    editor_set_prompt(line->editor, prompt);
}

/* ---------------------------------------------------------------- own messages */

void line_watch(struct line *line, int64_t row, unsigned state) {
    line->watched[line->watched_next] = (struct line_watched){row, state};
    line->watched_next = (line->watched_next + 1) % LINE_WATCHED_MAX;
}

static bool watch_earlier(void *context, const struct store_message *message) {
    line_watch(context, message->row, message->state);
    return true;
}

static bool tell_state(void *context, const struct store_message *message) {
    struct line_watched *watched = context;
    if (message->state == watched->state)
        return false;
    watched->state = message->state;
    printf("       %s: ", text_state(message->state));
    put_excerpt(message);
    if (message->state == WIRE_STATE_FAILED && message->code != 0)
        printf(" (%s)", chat_explain_code(message->code));
    fputc('\n', stdout);
    return false;
}

static void tell_watched(struct line *line, struct line_watched *watched) {
    if (watched->row != 0 && !store_message(line->chat->store, watched->row, tell_state, watched))
        watched->row = 0;
    if (watched->state == WIRE_STATE_READ || watched->state == WIRE_STATE_PLAYED)
        watched->row = 0;
}

/* In the order in which they were written, whatever the order of the news. */
static void tell_states(struct line *line) {
    bool changed[LINE_WATCHED_MAX] = {false}, lost = false;
    int64_t row;
    while ((row = store_next_changed(line->chat->store, &lost)) != 0)
        for (unsigned i = 0; i < LINE_WATCHED_MAX; i++)
            changed[i] = changed[i] || line->watched[i].row == row;
    for (unsigned i = 0; i < LINE_WATCHED_MAX; i++) {
        unsigned place = (line->watched_next + i) % LINE_WATCHED_MAX;
        if (changed[place] || lost)
            tell_watched(line, &line->watched[place]);
    }
}

/* ---------------------------------------------------------------- what comes */

static bool show_arrived(struct chat *chat, const struct store_message *message) {
    struct line *line = chat->command;
    char address[PRINT_ADDRESS_CHARS_MAX];
    bool open = line->is_open && line->open.user == message->chat;
    line_show(line, message, UINT32_MAX);
    if (!open && line->hinted != message->chat) {
        print_address(chat->store, message->chat, address);
        printf("       (/to %s opens this chat)\n", address);
        line->hinted = message->chat;
    }
    return open;
}

struct unread {
    unsigned count;
    int64_t rows[UNREAD_BATCH_MAX];
};

static bool gather_unread(void *context, const struct store_message *message) {
    struct unread *unread = context;
    unread->rows[unread->count++] = message->row;
    return unread->count < UNREAD_BATCH_MAX;
}

void line_mark_read(struct line *line) {
    struct store *store = line->chat->store;
    struct unread unread;
    if (!line->is_open || line->open.user == 0)
        return;
    do {
        unread.count = 0;
        store_each_message(store, STORE_UNREAD, line->open.user, UNREAD_BATCH_MAX, gather_unread,
                           &unread);
        for (unsigned i = 0; i < unread.count; i++) {
            store_set_shown(store, unread.rows[i]);
            store_set_receipt(store, unread.rows[i], STORE_RECEIPT_OWED);
        }
    } while (unread.count == UNREAD_BATCH_MAX);
    if (chat_commit(line->chat) == CHAT_OK)
        sync_pump(line->chat->sync);
}

static void say_connection(struct line *line, unsigned news) {
    bool online = session_is_online(line->chat->session);
    if ((news & SESSION_WELCOME) != 0 && !line->was_online)
        chat_say("connected to %s", session_server(line->chat->session));
    if ((news & SESSION_ASIDE) != 0)
        chat_say("the node has set a message to you aside, since this device never answered it; "
                 "its sender has been told");
    line->was_online = online;
}

static bool line_progress(struct chat *chat, unsigned news) {
    struct line *line = chat->command;
    unsigned shown = 0;
    say_connection(line, news);
    editor_hide(line->editor);
    int code = show_new(chat, false, show_arrived, NULL, &shown);
    if (code == CHAT_OK && (news & (SESSION_STATUS | SESSION_REPLY)) != 0)
        tell_states(line);
    if (session_is_registered(chat->session))
        line_look_up(line);
    if (shown > 0 || (news & SESSION_REPLY) != 0)
        line_set_prompt(line); /* a name may be known now */
    editor_draw(line->editor);
    if (code != CHAT_OK || (shown > 0 && sync_pump(chat->sync) != 0))
        return chat_fail(chat, code != CHAT_OK ? code : CHAT_IO);
    return chat->done;
}

/* ---------------------------------------------------------------- the terminal */

static void hide(void *context) {
    struct line *line = context;
    editor_hide(line->editor);
}

static void draw(void *context) {
    struct line *line = context;
    editor_draw(line->editor);
}

static void on_line(void *context, struct wire_bytes text) {
    line_take(context, text);
}

static void on_too_long(void *context) {
    chat_say("the text is too long: %d bytes at most", EDITOR_BYTES_MAX);
}

static void on_end(void *context) {
    struct line *line = context;
    line->chat->done = true;
}

static const struct editor_events editor_events = {on_line, on_too_long, on_end};

static void on_input(struct ev_loop *loop, ev_io *watcher, int events) {
    struct line *line = watcher->data;
    uint8_t bytes[4096];
    ssize_t length = read(STDIN_FILENO, bytes, sizeof bytes);
    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (length > 0) {
        editor_feed(line->editor, bytes, (size_t)length);
        return;
    }
    ev_io_stop(loop, watcher);
    editor_feed_end(line->editor);
}

static void read_width(struct line *line) {
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        editor_set_width(line->editor, size.ws_col);
}

/* Keys come one by one and unseen; signals by ^C and ^Z stay. Pastes come in brackets. */
static void make_raw(struct line *line) {
    struct termios raw = line->before;
    if (!line->is_terminal)
        return;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | IEXTEN);
    raw.c_iflag &= ~(tcflag_t)(IXON | ICRNL | INLCR);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
    fputs("\033[?2004h", stdout);
    read_width(line);
}

static void restore(struct line *line) {
    editor_hide(line->editor);
    if (line->is_terminal)
        fputs("\033[?2004l", stdout);
    fflush(stdout);
    if (line->is_terminal)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &line->before);
}

static void on_signal(struct ev_loop *loop, ev_signal *watcher, int events) {
    struct line *line = watcher->data;
    switch (watcher->signum) {
    case SIGWINCH:
        editor_hide(line->editor);
        read_width(line);
        editor_draw(line->editor);
        break;
    case SIGTSTP:
        restore(line);
        raise(SIGSTOP); /* here it stands until SIGCONT */
        make_raw(line);
        editor_draw(line->editor);
        break;
    default:
        line->chat->done = true;
        break;
    }
}

static void start_watching(struct line *line) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGTSTP};
    _Static_assert(sizeof numbers / sizeof numbers[0] ==
                       sizeof line->signals / sizeof line->signals[0],
                   "one watcher for each");
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        ev_signal_init(&line->signals[i], on_signal, numbers[i]);
        line->signals[i].data = line;
        ev_signal_start(line->chat->loop, &line->signals[i]);
    }
    ev_io_init(&line->input, on_input, STDIN_FILENO, EV_READ);
    line->input.data = line;
    ev_io_start(line->chat->loop, &line->input);
}

static void greet(const struct line *line) {
    char name[STORE_NAME_BYTES_MAX + 1];
    store_text(line->chat->store, SETTING_NAME, name, sizeof name);
    fputs("Tern: you are ", stdout);
    text_put_string(stdout, name);
    printf(" (%s).\n"
           "Content is not yet end-to-end encrypted: whoever runs the node can read it.\n"
           "/to +15550002000 opens a chat, /help lists the commands.\n",
           line->chat->own_phone);
}

/* Input from a file or a pipe has ended: what it said still has to go. */
static bool script_progress(struct chat *chat, unsigned news) {
    line_progress(chat, news);
    return session_is_registered(chat->session) && sync_is_even(chat->sync);
}

static int run(struct line *line) {
    struct chat *chat = line->chat;
    store_each_message(chat->store, STORE_ON_THE_WAY, 0, LINE_WATCHED_MAX, watch_earlier, line);
    greet(line);
    make_raw(line);
    start_watching(line);
    chat_say_between(hide, draw, line);
    if (chat->arguments->to != NULL)
        line_open(line, chat->arguments->to);
    editor_draw(line->editor);
    int code = chat_run(chat, line_progress, 0);
    ev_io_stop(chat->loop, &line->input);
    chat->stays = false;
    if (code == CHAT_OK && line->is_terminal)
        chat_settle(chat);
    else if (code == CHAT_OK)
        code = chat_run(chat, script_progress, SCRIPT_END_MS);
    chat_say_between(NULL, NULL, NULL);
    restore(line);
    return code;
}

int line_run(struct chat *chat) {
    struct line *line = calloc(1, sizeof *line);
    int code = CHAT_IO;
    if (line == NULL)
        return code;
    line->chat = chat;
    line->is_terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) &&
                        tcgetattr(STDIN_FILENO, &line->before) == 0;
    line->editor = editor_create(stdout, line->is_terminal, &editor_events, line);
    chat->stays = true;
    chat->command = line;
    if (line->editor != NULL)
        code = chat_connect(chat, false);
    if (code == CHAT_OK)
        code = run(line);
    for (size_t i = 0; i < sizeof line->signals / sizeof line->signals[0]; i++)
        ev_signal_stop(chat->loop, &line->signals[i]);
    editor_destroy(line->editor);
    free(line);
    return code;
}

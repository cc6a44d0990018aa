/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `top` at a terminal: a live screen.
 *
 *     list ◄─(any key)── one actor         The node is asked again when its last answer is shown
 * and └────(Enter)────────►              the interval has passed: a slow node is asked less often.
 *
 * A scan of a million actors is noticed: the interval grows with what the node says it took.
 *
 * The screen is drawn into memory and written at once; the terminal is given back however it ends.
 */
#include "tools/shell/shell.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define INTERVAL_MS 2000u
/* The node is asked so seldom that scans take one part in so many of a shard's time. What runs
 * beside a scan of a million lost more than the scan's own time when it was measured (2.2 % at one
 * part in 250), hence the margin. */
#define COST_PARTS 600u
#define WINDOW_MS 1000 /* of what is counted, where the order needs a count */
#define HEAD_LINES 3

enum live_key { KEY_NONE, KEY_UP = 256, KEY_DOWN, KEY_QUIT };

struct order {
    char key;
    const char *name;
    bool counts; /* wants a window */
};
static const struct order orders[] = {{'m', "mailbox", false},
                                      {'a', "age", false},
                                      {'n', "messages", true},
                                      {'t', "time", true},
                                      {'b', "bytes", false}};
#define ORDER_COUNT (sizeof(orders) / sizeof(orders[0]))

struct live {
    struct shell *shell;
    const struct order *order;
    struct command_argument class; /* text NULL: all */
    uint64_t window_ms;            /* as it was asked for; 0: by the order */
    struct render_rows shown, coming;
    unsigned selected, lines, columns;
    char actor[64]; /* that is looked into; empty: the list */
    char note[256];
    bool waiting, paused;
    uint64_t due_ms; /* the next question */
};

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- asking ------------------------------------------------------------------------------------
 */

static void add_number(struct parsed_command *parsed, const char *name, uint64_t number) {
    parsed->arguments[parsed->count++] =
        (struct command_argument){.name = name, .kind = ADMIN_UINT, .number = number};
}

static void add_text(struct parsed_command *parsed, const char *name, const char *text) {
    parsed->arguments[parsed->count++] =
        (struct command_argument){.name = name, .kind = ADMIN_TEXT, .text = text};
}

static int ask(struct live *live) {
    static struct parsed_command parsed;
    uint64_t window_ms = live->window_ms;
    parsed.count = 0;
    live->waiting = true;
    if (live->actor[0]) {
        parsed.command = command_find("info");
        add_text(&parsed, "actor", live->actor);
        return client_ask(&live->shell->client, &parsed);
    }
    if (!window_ms && live->order->counts)
        window_ms = WINDOW_MS;
    parsed.command = command_find("top");
    add_text(&parsed, "by", live->order->name);
    add_number(&parsed, "rows", live->lines > HEAD_LINES + 2 ? live->lines - HEAD_LINES - 1 : 1);
    if (window_ms)
        add_number(&parsed, "window_ms", window_ms);
    if (live->class.text)
        parsed.arguments[parsed.count++] = live->class;
    return client_ask(&live->shell->client, &parsed);
}

static void take_text(const struct admin_fields *fields, const char *name, char *text,
                      size_t bytes) {
    const struct admin_value *value = admin_field_find(fields, name);
    bool is_text = value && value->kind == ADMIN_TEXT;
    snprintf(text, bytes, "%.*s", is_text ? (int)value->text.length : 0,
             is_text ? value->text.bytes : "");
}

static void answer_ends(struct live *live, const struct admin_reply *reply) {
    const struct admin_value *seen = admin_field_find(&reply->fields, "actors_seen");
    const struct admin_value *scan = admin_field_find(&reply->fields, "scan_ns");
    uint64_t interval_ms = INTERVAL_MS;
    if (scan && scan->kind == ADMIN_UINT && scan->number / 1000000 * COST_PARTS > interval_ms)
        interval_ms = scan->number / 1000000 * COST_PARTS;
    live->due_ms = now_ms() + interval_ms;
    live->waiting = false;
    render_rows_clear(&live->shown);
    live->shown = live->coming;
    live->coming = (struct render_rows){0};
    if (live->selected >= live->shown.count)
        live->selected = live->shown.count ? live->shown.count - 1 : 0;
    take_text(&reply->fields, reply->kind == ADMIN_ERROR ? "message" : "note", live->note,
              sizeof(live->note));
    if (seen && seen->kind == ADMIN_UINT) {
        struct admin_field field = {{"actors", 6}, *seen};
        char count[32];
        render_value(&field, count, sizeof(count));
        snprintf(live->note, sizeof(live->note), "%s actors", count);
    }
}

/* 1: something is to be drawn; 0: not; or a negative errno. */
static int take_replies(struct live *live) {
    struct admin_reply reply;
    int error, drawn = 0;
    while ((error = client_reply(&live->shell->client, 0, &reply)) == 0) {
        if (reply.id != live->shell->client.last_id)
            continue;
        if (reply.kind == ADMIN_ROW) {
            render_rows_add(&live->coming, &reply);
        } else {
            answer_ends(live, &reply);
            drawn = 1;
        }
    }
    return error == -ETIMEDOUT || error == -EINTR ? drawn : error;
}

/* --- drawing -----------------------------------------------------------------------------------
 */

static void draw_head(const struct live *live, FILE *out) {
    char clock[16];
    time_t now = time(NULL);
    struct tm at;
    localtime_r(&now, &at);
    strftime(clock, sizeof(clock), "%H:%M:%S", &at);
    fprintf(out, "\033[1m%s\033[0m  %s  %s%s\n", live->shell->client.node, clock, live->note,
            live->paused ? "  (paused)" : "");
    if (live->actor[0]) {
        fprintf(out, "\033[2many key goes back\033[0m\n\n");
        return;
    }
    fprintf(out, "\033[2mby\033[0m");
    for (unsigned i = 0; i < ORDER_COUNT; i++)
        fprintf(out, &orders[i] == live->order ? " \033[7m%c %s\033[0m" : " \033[2m%c %s\033[0m",
                orders[i].key, orders[i].name);
    fprintf(out, "\033[2m  arrows, Enter looks in, space asks now, p pauses, q leaves\033[0m\n\n");
}

/* Writes `text` line by line, the one at `selected` reversed, as many as there is room for. */
static void put_lines(const struct live *live, char *text, unsigned selected) {
    char *line = text;
    fputs("\033[H", stdout);
    for (unsigned i = 0; i + 1 < live->lines; i++) {
        size_t length = strcspn(line, "\n");
        fprintf(stdout, "%s%.*s\033[0m\033[K\n", i == selected ? "\033[7m" : "", (int)length, line);
        line += length + (line[length] == '\n');
    }
    fputs("\033[J", stdout);
    fflush(stdout);
}

static void measure(struct live *live) {
    struct winsize size;
    live->lines = 24;
    live->columns = 80;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 4) {
        live->lines = size.ws_row;
        live->columns = size.ws_col;
    }
}

static void draw(struct live *live) {
    char *text;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    if (!out)
        abort();
    measure(live);
    struct render_options options = {.colour = live->shell->options.colour, .width = live->columns};
    draw_head(live, out);
    if (live->actor[0])
        render_card(out, &live->shown, &options);
    else if (live->shown.count)
        render_table(out, &live->shown, &options);
    fclose(out);
    bool mark = !live->actor[0] && live->shown.count;
    put_lines(live, text, mark ? HEAD_LINES + 1 + live->selected : UINT32_MAX);
    free(text);
}

/* --- keys --------------------------------------------------------------------------------------
 */

static int read_key(void) {
    char bytes[8];
    ssize_t length = read(STDIN_FILENO, bytes, sizeof(bytes));
    if (length <= 0)
        return KEY_QUIT;
    if (length >= 3 && bytes[0] == '\033' && (bytes[1] == '[' || bytes[1] == 'O'))
        return bytes[2] == 'A' ? KEY_UP : bytes[2] == 'B' ? KEY_DOWN : KEY_NONE;
    if (bytes[0] == 3 || bytes[0] == 4)
        return KEY_QUIT;
    return (unsigned char)bytes[0];
}

static void look_in(struct live *live) {
    if (live->selected < live->shown.count)
        take_text(&live->shown.items[live->selected]->fields, "actor", live->actor,
                  sizeof(live->actor));
    live->due_ms = 0;
}

/* What was asked for is not wanted any more. */
static void ask_anew(struct live *live) {
    if (live->waiting)
        client_cancel(&live->shell->client);
    render_rows_clear(&live->coming);
    live->due_ms = 0;
    live->waiting = false;
}

/* False: leave. */
static bool take_key(struct live *live, int key) {
    if (key == KEY_QUIT || (key == 'q' && !live->actor[0]))
        return false;
    if (live->actor[0]) {
        live->actor[0] = '\0';
        render_rows_clear(&live->shown);
        ask_anew(live);
        return true;
    }
    if ((key == KEY_UP || key == 'k') && live->selected > 0)
        live->selected--;
    else if ((key == KEY_DOWN || key == 'j') && live->selected + 1 < live->shown.count)
        live->selected++;
    else if (key == '\r' || key == '\n') {
        look_in(live);
        render_rows_clear(&live->shown);
        ask_anew(live);
    } else if (key == ' ') {
        ask_anew(live); /* now */
    } else if (key == 'p') {
        live->paused = !live->paused;
    }
    for (unsigned i = 0; i < ORDER_COUNT; i++)
        if (key == orders[i].key && live->order != &orders[i]) {
            live->order = &orders[i];
            live->selected = 0;
            ask_anew(live);
        }
    return true;
}

/* --- the loop ----------------------------------------------------------------------------------
 */

static int wait_ms(const struct live *live) {
    uint64_t now = now_ms();
    if (live->waiting || live->paused)
        return -1;
    return live->due_ms > now ? (int)(live->due_ms - now) : 0;
}

static int loop(struct live *live) {
    struct pollfd ready[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
                              {.fd = live->shell->client.fd, .events = POLLIN}};
    for (;;) {
        if (!live->waiting && (!live->paused || live->due_ms == 0) && now_ms() >= live->due_ms &&
            ask(live) != 0)
            return -EPIPE;
        ready[0].revents = ready[1].revents = 0;
        if (poll(ready, 2, wait_ms(live)) < 0 && errno != EINTR)
            return -errno;
        int changed = take_replies(live);
        if (changed < 0)
            return changed;
        if (ready[0].revents && !take_key(live, read_key()))
            return 0;
        if (changed || ready[0].revents)
            draw(live);
    }
}

static void options_take(struct live *live, const struct parsed_command *parsed) {
    const struct command_argument *by = command_argument_find(parsed, "by");
    const struct command_argument *window = command_argument_find(parsed, "window_ms");
    const struct command_argument *class = command_argument_find(parsed, "class");
    live->order = &orders[0];
    for (unsigned i = 0; by && i < ORDER_COUNT; i++)
        if (strcmp(orders[i].name, by->text) == 0)
            live->order = &orders[i];
    live->window_ms = window ? window->number : 0;
    if (class)
        live->class = *class;
}

int shell_top(struct shell *shell, const struct parsed_command *parsed) {
    struct live live = {.shell = shell};
    struct termios before, raw;
    options_take(&live, parsed);
    measure(&live);
    if (tcgetattr(STDIN_FILENO, &before) != 0)
        return -errno;
    raw = before;
    raw.c_lflag &= (tcflag_t) ~(ICANON | ECHO | ISIG);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    fputs("\033[?1049h\033[?25l", stdout); /* the other screen, no cursor */
    int error = loop(&live);
    fputs("\033[?25h\033[?1049l", stdout);
    fflush(stdout);
    tcsetattr(STDIN_FILENO, TCSANOW, &before);
    if (live.waiting && !error)
        client_cancel(&shell->client); /* its answer is of an older id, and passed over */
    render_rows_clear(&live.shown);
    render_rows_clear(&live.coming);
    return error;
}

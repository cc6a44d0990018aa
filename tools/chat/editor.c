/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input is a small machine over bytes:
 *
 *     PLAIN ──ESC──► ESCAPE ──[──► CONTROL ──final byte──► PLAIN
 *       │               └──O──► SINGLE ──any byte──► PLAIN
 *       └──begin of a character──► (its bytes are gathered in `character`)
 */
#include "tools/chat/editor.h"

#include "net/utf8.h"
#include "runtime/check.h"
#include "tools/chat/text.h"

#include <stdlib.h>
#include <string.h>

#define PARAMETERS_MAX 16
#define WIDTH_DEFAULT 80
#define WIDTH_MIN 20
#define NEWLINE_MARK "\xe2\x8f\x8e" /* U+23CE stands for a line's end within the line */
#define KEY(letter) ((letter)&0x1f)

enum input_state { PLAIN, ESCAPE, CONTROL, SINGLE };

struct editor {
    FILE *out;
    bool is_terminal;
    unsigned hidden; /* how many editor_hide without their editor_draw */
    const struct editor_events *events;
    void *context;
    unsigned width;
    char prompt[EDITOR_PROMPT_BYTES_MAX + 1];

    uint8_t *bytes; /* EDITOR_BYTES_MAX of them; always valid UTF-8 */
    size_t length, cursor;
    char *earlier[EDITOR_EARLIER_MAX];  /* the newest last */
    unsigned earlier_count, earlier_at; /* at == count: the line that is being written */

    enum input_state state;
    char parameters[PARAMETERS_MAX + 1]; /* of the control sequence */
    unsigned parameter_count;
    uint8_t character[4]; /* the begin of one */
    unsigned character_bytes;
    bool is_too_long;
    bool pasting;
    bool after_return; /* a line feed that follows belongs to it */
};

/* ---------------------------------------------------------------- drawing */

static unsigned columns_of(const uint8_t *bytes, size_t length) {
    unsigned columns = 0;
    uint32_t point;
    for (size_t at = 0, size; at < length; at += size) {
        size = text_decode(bytes + at, length - at, &point);
        columns += point == '\n' ? 1 : text_columns(point);
    }
    return columns;
}

static size_t before(const struct editor *editor, size_t at) {
    do
        at--;
    while (at > 0 && (editor->bytes[at] & 0xc0) == 0x80);
    return at;
}

static size_t after(const struct editor *editor, size_t at) {
    uint32_t point;
    return at + text_decode(editor->bytes + at, editor->length - at, &point);
}

/* Where the visible part begins: as far left as the cursor stays within `room` columns. */
static size_t find_begin(const struct editor *editor, unsigned room) {
    size_t begin = editor->cursor;
    unsigned columns = 0;
    while (begin > 0) {
        size_t next = before(editor, begin);
        columns += columns_of(editor->bytes + next, begin - next);
        if (columns > room)
            break;
        begin = next;
    }
    return begin;
}

static size_t find_end(const struct editor *editor, size_t begin, unsigned room) {
    size_t end = begin;
    unsigned columns = 0;
    while (end < editor->length) {
        size_t next = after(editor, end);
        columns += columns_of(editor->bytes + end, next - end);
        if (columns > room)
            break;
        end = next;
    }
    return end;
}

void editor_hide(struct editor *editor) {
    if (editor->hidden++ == 0 && editor->is_terminal)
        fputs("\r\033[K", editor->out);
}

void editor_draw(struct editor *editor) {
    CHECK(editor->hidden > 0);
    if (--editor->hidden > 0)
        return;
    if (editor->is_terminal) {
        unsigned taken = columns_of((const uint8_t *)editor->prompt, strlen(editor->prompt)) + 1;
        unsigned room = editor->width > taken + 1 ? editor->width - taken : 1;
        size_t begin = find_begin(editor, room), end = find_end(editor, begin, room);
        fprintf(editor->out, "\r\033[K%s", editor->prompt);
        text_put(editor->out, (struct wire_bytes){editor->bytes + begin, (uint32_t)(end - begin)},
                 NEWLINE_MARK);
        unsigned back = columns_of(editor->bytes + editor->cursor, end - editor->cursor);
        if (back > 0)
            fprintf(editor->out, "\033[%uD", back);
    }
    fflush(editor->out);
}

/* ---------------------------------------------------------------- changing the line */

static void erase(struct editor *editor, size_t begin, size_t end) {
    memmove(editor->bytes + begin, editor->bytes + end, editor->length - end);
    editor->length -= end - begin;
    editor->cursor = begin;
}

static void insert(struct editor *editor, const uint8_t *bytes, size_t length) {
    if (length > EDITOR_BYTES_MAX - editor->length) {
        editor->is_too_long = true;
        return;
    }
    memmove(editor->bytes + editor->cursor + length, editor->bytes + editor->cursor,
            editor->length - editor->cursor);
    memcpy(editor->bytes + editor->cursor, bytes, length);
    editor->length += length;
    editor->cursor += length;
}

static void erase_word(struct editor *editor) {
    size_t begin = editor->cursor;
    while (begin > 0 && editor->bytes[begin - 1] == ' ')
        begin--;
    while (begin > 0 && editor->bytes[begin - 1] != ' ')
        begin--;
    erase(editor, begin, editor->cursor);
}

static void replace(struct editor *editor, const char *text) {
    size_t length = strlen(text);
    memcpy(editor->bytes, text, length);
    editor->length = editor->cursor = length;
}

static void show_earlier(struct editor *editor, bool older) {
    if (older && editor->earlier_at > 0)
        replace(editor, editor->earlier[--editor->earlier_at]);
    else if (!older && editor->earlier_at + 1 < editor->earlier_count)
        replace(editor, editor->earlier[++editor->earlier_at]);
    else if (!older) {
        editor->earlier_at = editor->earlier_count;
        editor->length = editor->cursor = 0;
    }
}

static void remember(struct editor *editor) {
    char *copy = memchr(editor->bytes, 0, editor->length) == NULL
                     ? strndup((const char *)editor->bytes, editor->length)
                     : NULL;
    if (copy == NULL)
        return;
    if (editor->earlier_count == EDITOR_EARLIER_MAX) {
        free(editor->earlier[0]);
        memmove(editor->earlier, editor->earlier + 1, sizeof editor->earlier - sizeof(char *));
        editor->earlier_count--;
    }
    editor->earlier[editor->earlier_count++] = copy;
}

static void finish_line(struct editor *editor) {
    struct wire_bytes line = {editor->bytes, (uint32_t)editor->length};
    bool is_too_long = editor->is_too_long;
    if (editor->length > 0 && editor->is_terminal)
        remember(editor);
    editor->earlier_at = editor->earlier_count;
    editor->length = editor->cursor = 0;
    editor->is_too_long = false;
    if (is_too_long)
        editor->events->too_long(editor->context);
    else
        editor->events->line(editor->context, line); /* its bytes stay until the next are fed */
}

/* ---------------------------------------------------------------- keys */

static void delete_forward(struct editor *editor) {
    if (editor->cursor < editor->length)
        erase(editor, editor->cursor, after(editor, editor->cursor));
}

static void press_key(struct editor *editor, uint8_t key) {
    switch (key) {
    case KEY('A'):
        editor->cursor = 0;
        break;
    case KEY('B'):
        editor->cursor = editor->cursor > 0 ? before(editor, editor->cursor) : 0;
        break;
    case KEY('D'):
        if (editor->length == 0)
            editor->events->end(editor->context);
        delete_forward(editor);
        break;
    case KEY('E'):
        editor->cursor = editor->length;
        break;
    case KEY('F'):
        if (editor->cursor < editor->length)
            editor->cursor = after(editor, editor->cursor);
        break;
    case KEY('H'):
    case 0x7f:
        if (editor->cursor > 0)
            erase(editor, before(editor, editor->cursor), editor->cursor);
        break;
    case KEY('K'):
        editor->length = editor->cursor;
        break;
    case KEY('L'):
        fputs("\033[H\033[2J", editor->out);
        break;
    case KEY('N'):
        show_earlier(editor, false);
        break;
    case KEY('P'):
        show_earlier(editor, true);
        break;
    case KEY('U'):
        erase(editor, 0, editor->cursor);
        break;
    case KEY('W'):
        erase_word(editor);
        break;
    default:
        break;
    }
}

/* The keys that terminals send as sequences, as the control keys that do the same. */
static void press_sequence(struct editor *editor, uint8_t final) {
    const char *parameters = editor->parameters;
    if (final == '~' && strcmp(parameters, "200") == 0)
        editor->pasting = true;
    else if (final == '~' && strcmp(parameters, "201") == 0)
        editor->pasting = false;
    else if (final == 'A')
        press_key(editor, KEY('P'));
    else if (final == 'B')
        press_key(editor, KEY('N'));
    else if (final == 'C')
        press_key(editor, KEY('F'));
    else if (final == 'D')
        press_key(editor, KEY('B'));
    else if (final == 'H' || (final == '~' && (parameters[0] == '1' || parameters[0] == '7')))
        press_key(editor, KEY('A'));
    else if (final == 'F' || (final == '~' && (parameters[0] == '4' || parameters[0] == '8')))
        press_key(editor, KEY('E'));
    else if (final == '~' && parameters[0] == '3')
        delete_forward(editor);
}

/* ---------------------------------------------------------------- bytes */

/* A byte of a character of several bytes; broken ones are left out. */
static void gather(struct editor *editor, uint8_t byte) {
    bool begins = (byte & 0xc0) == 0xc0;
    if (begins || editor->character_bytes == 4)
        editor->character_bytes = 0;
    if (!begins && editor->character_bytes == 0)
        return;
    editor->character[editor->character_bytes++] = byte;
    if (!utf8_is_valid(editor->character, editor->character_bytes))
        return;
    insert(editor, editor->character, editor->character_bytes);
    editor->character_bytes = 0;
}

static void feed_plain(struct editor *editor, uint8_t byte) {
    bool line_end = byte == '\r' || byte == '\n';
    bool belongs = byte == '\n' && editor->after_return;
    editor->after_return = byte == '\r';
    if (belongs)
        return;
    if (byte >= 0x80) {
        gather(editor, byte);
        return;
    }
    editor->character_bytes = 0;
    if (line_end && editor->pasting)
        insert(editor, (const uint8_t *)"\n", 1);
    else if (line_end)
        finish_line(editor);
    else if (byte == '\033' && editor->is_terminal)
        editor->state = ESCAPE;
    else if (byte >= 0x20 && byte != 0x7f)
        insert(editor, &byte, 1);
    else if (byte == '\t')
        insert(editor, (const uint8_t *)(editor->is_terminal ? " " : "\t"), 1);
    else if (editor->is_terminal)
        press_key(editor, byte);
}

static void feed_byte(struct editor *editor, uint8_t byte) {
    switch (editor->state) {
    case PLAIN:
        feed_plain(editor, byte);
        return;
    case ESCAPE:
        editor->state = byte == '[' ? CONTROL : byte == 'O' ? SINGLE : PLAIN;
        editor->parameter_count = 0;
        editor->parameters[0] = 0;
        return;
    case CONTROL:
        if (byte >= 0x40 && byte <= 0x7e) {
            editor->state = PLAIN;
            press_sequence(editor, byte);
        } else if (editor->parameter_count < PARAMETERS_MAX) {
            editor->parameters[editor->parameter_count++] = (char)byte;
            editor->parameters[editor->parameter_count] = 0;
        }
        return;
    case SINGLE:
        editor->state = PLAIN;
        press_sequence(editor, byte);
        return;
    }
}

void editor_feed(struct editor *editor, const uint8_t *bytes, size_t length) {
    editor_hide(editor);
    for (size_t i = 0; i < length; i++)
        feed_byte(editor, bytes[i]);
    editor_draw(editor);
}

void editor_feed_end(struct editor *editor) {
    editor_hide(editor);
    if (editor->length > 0 && !editor->is_terminal)
        finish_line(editor);
    editor_draw(editor);
    editor->events->end(editor->context);
}

/* ---------------------------------------------------------------- life */

struct editor *editor_create(FILE *out, bool is_terminal, const struct editor_events *events,
                             void *context) {
    struct editor *editor = calloc(1, sizeof *editor);
    if (editor == NULL)
        return NULL;
    editor->bytes = malloc(EDITOR_BYTES_MAX);
    if (editor->bytes == NULL) {
        free(editor);
        return NULL;
    }
    editor->out = out;
    editor->is_terminal = is_terminal;
    editor->events = events;
    editor->context = context;
    editor->hidden = 1;
    editor->width = WIDTH_DEFAULT;
    editor_set_prompt(editor, "> ");
    return editor;
}

void editor_destroy(struct editor *editor) {
    if (editor == NULL)
        return;
    for (unsigned i = 0; i < editor->earlier_count; i++)
        free(editor->earlier[i]);
    free(editor->bytes);
    free(editor);
}

void editor_set_prompt(struct editor *editor, const char *prompt) {
    snprintf(editor->prompt, sizeof editor->prompt, "%s", prompt);
}

void editor_set_width(struct editor *editor, unsigned width) {
    editor->width = width < WIDTH_MIN ? WIDTH_MIN : width;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The prompt: libedit's line editing with history, completion (Tab) and hints ("?").
 *
 * The history is kept in XDG_STATE_HOME/tern/shell_history (or ~/.local/state), mode 0600: it may
 * hold phone numbers. Without a terminal lines are read as they are.
 */
#include "tools/shell/shell.h"

#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HISTORY_LINES 1000
#define OFFERS_MAX 64u

struct prompt {
    struct shell *shell;
    EditLine *editor;
    History *history;
    char history_path[4096];
    char text[160];
};

/* --- history -----------------------------------------------------------------------------------
 */

static void make_folders(char *path) {
    for (char *slash = path + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
}

static void history_open(struct prompt *prompt) {
    HistEvent event;
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    prompt->history = history_init();
    history(prompt->history, &event, H_SETSIZE, HISTORY_LINES);
    history(prompt->history, &event, H_SETUNIQUE, 1);
    if (state && state[0] == '/')
        snprintf(prompt->history_path, sizeof(prompt->history_path), "%s/tern/shell_history",
                 state);
    else if (home && home[0])
        snprintf(prompt->history_path, sizeof(prompt->history_path),
                 "%s/.local/state/tern/shell_history", home);
    else
        return;
    make_folders(prompt->history_path);
    int fd = open(prompt->history_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || fchmod(fd, 0600) != 0)
        prompt->history_path[0] = '\0'; /* then it is of this session alone */
    else
        history(prompt->history, &event, H_LOAD, prompt->history_path);
    if (fd >= 0)
        close(fd);
}

static void history_add(struct prompt *prompt, const char *line) {
    HistEvent event;
    if (line[strspn(line, " \t\n")] == '\0')
        return;
    history(prompt->history, &event, H_ENTER, line);
    if (prompt->history_path[0])
        history(prompt->history, &event, H_SAVE, prompt->history_path);
}

/* --- completion --------------------------------------------------------------------------------
 */

struct offers {
    unsigned count;
    char words[OFFERS_MAX][64];
};

static void offer(void *context, const char *word) {
    struct offers *offers = context;
    if (offers->count < OFFERS_MAX)
        snprintf(offers->words[offers->count++], sizeof(offers->words[0]), "%s", word);
}

static size_t common_bytes(const struct offers *offers) {
    size_t common = strlen(offers->words[0]);
    for (unsigned i = 1; i < offers->count; i++) {
        size_t k = 0;
        while (k < common && offers->words[i][k] == offers->words[0][k])
            k++;
        common = k;
    }
    return common;
}

static void line_before_cursor(EditLine *editor, char *line, size_t bytes) {
    const LineInfo *info = el_line(editor);
    snprintf(line, bytes, "%.*s", (int)(info->cursor - info->buffer), info->buffer);
}

static unsigned char on_complete(EditLine *editor, int key) {
    char line[COMMAND_LINE_BYTES_MAX], more[128];
    struct offers offers = {0};
    line_before_cursor(editor, line, sizeof(line));
    size_t typed = strlen(line) - command_complete(line, offer, &offers);
    if (offers.count == 0)
        return CC_REFRESH_BEEP;
    size_t common = common_bytes(&offers);
    if (common > typed || offers.count == 1) {
        snprintf(more, sizeof(more), "%.*s%s", (int)(common - typed), offers.words[0] + typed,
                 offers.count == 1 ? " " : "");
        return el_insertstr(editor, more) == 0 ? CC_REFRESH : CC_ERROR;
    }
    putchar('\n');
    for (unsigned i = 0; i < offers.count; i++) {
        const struct command *command =
            typed == strlen(line) - strspn(line, " ") || !strchr(line, ' ')
                ? command_find(offers.words[i])
                : NULL;
        printf("  %-12s %s\n", offers.words[i], command ? command->brief : "");
    }
    fflush(stdout);
    return CC_REDISPLAY;
}

/* "?" where a word would begin says what may stand there; elsewhere it is a letter. */
static unsigned char on_hint(EditLine *editor, int key) {
    char line[COMMAND_LINE_BYTES_MAX], text[256];
    line_before_cursor(editor, line, sizeof(line));
    size_t length = strlen(line);
    if (length && line[length - 1] != ' ')
        return el_insertstr(editor, "?") == 0 ? CC_REFRESH : CC_ERROR;
    command_hint(line, text, sizeof(text));
    printf("\n  %s\n", text[0] ? text : "a command; Tab lists them, \"help\" explains them");
    fflush(stdout);
    return CC_REDISPLAY;
}

/* --- the loop ----------------------------------------------------------------------------------
 */

static char *prompt_text(EditLine *editor) {
    struct prompt *prompt;
    el_get(editor, EL_CLIENTDATA, &prompt);
    return prompt->text;
}

static void editor_open(struct prompt *prompt) {
    prompt->editor = el_init("tern-shell", stdin, stdout, stderr);
    if (!prompt->editor)
        abort();
    history_open(prompt);
    el_set(prompt->editor, EL_CLIENTDATA, prompt);
    el_set(prompt->editor, EL_PROMPT, prompt_text);
    el_set(prompt->editor, EL_EDITOR, "emacs");
    el_set(prompt->editor, EL_SIGNAL, 1);
    el_set(prompt->editor, EL_HIST, history, prompt->history);
    el_set(prompt->editor, EL_ADDFN, "tern-complete", "completes a word", on_complete);
    el_set(prompt->editor, EL_ADDFN, "tern-hint", "says what is expected", on_hint);
    el_set(prompt->editor, EL_BIND, "^I", "tern-complete", NULL);
    el_set(prompt->editor, EL_BIND, "?", "tern-hint", NULL);
    el_set(prompt->editor, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_source(prompt->editor, NULL); /* ~/.editrc */
}

static void loop(struct prompt *prompt) {
    const char *line;
    int length;
    while (!prompt->shell->quit && (line = el_gets(prompt->editor, &length)) && length > 0) {
        char copy[COMMAND_LINE_BYTES_MAX];
        snprintf(copy, sizeof(copy), "%s", line);
        copy[strcspn(copy, "\n")] = '\0';
        history_add(prompt, copy);
        shell_line(prompt->shell, copy);
        fflush(stdout);
    }
    if (!prompt->shell->quit)
        putchar('\n');
}

static int read_lines(struct shell *shell) {
    char line[COMMAND_LINE_BYTES_MAX];
    int status = 0;
    while (!shell->quit && fgets(line, sizeof(line), stdin)) {
        line[strcspn(line, "\n")] = '\0';
        int result = shell_line(shell, line);
        status = result ? result : status;
    }
    return status;
}

int shell_prompt(struct shell *shell) {
    if (!isatty(STDIN_FILENO))
        return read_lines(shell);
    struct prompt prompt = {.shell = shell};
    shell->interactive = true;
    snprintf(prompt.text, sizeof(prompt.text), "%s> ", shell->client.node);
    printf("%s, node \"%s\". \"help\" says what can be asked, Ctrl-D leaves.\n",
           shell->client.program, shell->client.node);
    editor_open(&prompt);
    loop(&prompt);
    history_end(prompt.history);
    el_end(prompt.editor);
    return 0;
}

bool shell_confirm(const char *question) {
    char line[16];
    fprintf(stderr, "%s [y/N] ", question);
    fflush(stderr);
    return fgets(line, sizeof(line), stdin) && (line[0] == 'y' || line[0] == 'Y');
}

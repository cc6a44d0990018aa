/* SPDX-License-Identifier: Apache-2.0 */
/* Carries out one line: parses it, asks the node, shows what comes. */
#include "tools/shell/shell.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct answer {
    struct shell *shell;
    const struct parsed_command *parsed;
    struct render_rows rows;
    struct render_stream stream;
    unsigned count; /* rows that came */
    int status;
};

static void text_of(const struct admin_fields *fields, const char *name, char *text, size_t bytes) {
    const struct admin_value *value = admin_field_find(fields, name);
    text[0] = '\0';
    if (value) {
        struct admin_field field = {{name, (uint32_t)strlen(name)}, *value};
        render_value(&field, text, bytes);
    }
}

void shell_complain(const struct shell *shell, const char *code, const char *text) {
    if (!shell->json) {
        fprintf(stderr, "tern-shell: %s\n", text);
        return;
    }
    struct admin_fields fields = {
        .count = 2,
        .items = {{{"error", 5}, {.kind = ADMIN_TEXT, .text = {code, (uint32_t)strlen(code)}}},
                  {{"message", 7}, {.kind = ADMIN_TEXT, .text = {text, (uint32_t)strlen(text)}}}}};
    render_json(stderr, &fields);
    fputc('\n', stderr);
}

int shell_connect(struct shell *shell) {
    char error[CLIENT_ERROR_BYTES_MAX];
    if (shell->client.input)
        return 0;
    int result = client_open(&shell->client, shell->path, error);
    if (result == 0)
        return 0;
    if (result == -EACCES) {
        shell_complain(shell, "permission", error);
        return EXIT_PERMISSION;
    }
    shell_complain(shell, result == -EPROTO ? "protocol" : "no_node", error);
    return result == -EPROTO ? EXIT_PROTOCOL : EXIT_NO_NODE;
}

/* --- showing -----------------------------------------------------------------------------------
 */

static void json_row(struct answer *answer, const struct admin_fields *fields) {
    fputs(answer->count == 1 ? "[\n " : ",\n ", stdout);
    render_json(stdout, fields);
    if (answer->parsed->command->streams)
        fflush(stdout);
}

static void measure_terminal(struct shell *shell) {
    struct winsize size;
    shell->options.width = 0;
    if (shell->terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
        shell->options.width = size.ws_col;
}

static void show_row(struct answer *answer, const struct admin_reply *reply) {
    answer->count++;
    if (answer->shell->json) {
        json_row(answer, &reply->fields);
    } else if (answer->parsed->command->streams) {
        measure_terminal(answer->shell);
        render_stream(stdout, &reply->fields, &answer->stream, &answer->shell->options);
        fflush(stdout);
    } else {
        render_rows_add(&answer->rows, reply);
    }
}

/* Lines of a document, not rows of a table. */
static bool is_text(const struct render_rows *rows) {
    const struct admin_fields *fields = &rows->items[0]->fields;
    return fields->count == 1 && admin_text_equal(fields->items[0].name, "text");
}

static void show_rows(struct answer *answer) {
    const struct command *command = answer->parsed->command;
    const struct render_options *options = &answer->shell->options;
    measure_terminal(answer->shell);
    if (command->streams && answer->count)
        return;
    if (answer->rows.count == 0) {
        if (command->view != VIEW_CHANGE)
            printf("%s\n", command->empty ? command->empty : "nothing");
        return;
    }
    if (is_text(&answer->rows)) {
        render_text(stdout, &answer->rows);
        return;
    }
    switch (command->view) {
    case VIEW_CARD:
        render_card(stdout, &answer->rows, options);
        break;
    case VIEW_TREE:
        render_tree(stdout, &answer->rows, options);
        break;
    default:
        render_table(stdout, &answer->rows, options);
    }
}

/* What the end says besides: a note for people, the rest is in the JSON of nobody. */
static void show_end(struct answer *answer, const struct admin_reply *reply) {
    char text[RENDER_TEXT_BYTES_MAX];
    if (answer->shell->json) {
        if (answer->count == 0 && answer->parsed->command->view == VIEW_CHANGE) {
            answer->count++; /* what it did is the answer */
            json_row(answer, &reply->fields);
        }
        puts(answer->count ? "\n]" : "[]");
        return;
    }
    show_rows(answer);
    text_of(&reply->fields, "note", text, sizeof(text));
    if (text[0])
        printf("%s\n", text);
    text_of(&reply->fields, "rows_dropped", text, sizeof(text));
    if (text[0])
        fprintf(stderr,
                "tern-shell: %s more rows were dropped: they came faster than they were "
                "read\n",
                text);
}

static void show_error(struct answer *answer, const struct admin_reply *reply) {
    char code[64], text[RENDER_TEXT_BYTES_MAX];
    text_of(&reply->fields, "code", code, sizeof(code));
    text_of(&reply->fields, "message", text, sizeof(text));
    if (answer->shell->json && answer->count)
        puts("\n]");
    shell_complain(answer->shell, code, text);
    answer->status = strcmp(code, "argument") == 0 ? EXIT_USAGE : EXIT_REFUSED;
}

/* --- asking ------------------------------------------------------------------------------------
 */

static int lost(struct shell *shell, int error) {
    client_close(&shell->client);
    shell_complain(shell, "protocol",
                   error == -EPROTO ? "the node sent something that is no answer"
                                    : "the node has gone: it ended, crashed or was restarted");
    return EXIT_PROTOCOL;
}

static int receive(struct answer *answer) {
    struct shell *shell = answer->shell;
    struct admin_reply reply;
    for (;;) {
        int error = client_reply(&shell->client, -1, &reply);
        if (error == -EINTR)
            error = client_cancel(&shell->client);
        else if (!error && reply.id == shell->client.last_id && reply.kind == ADMIN_ROW)
            show_row(answer, &reply);
        else if (!error && reply.id == shell->client.last_id) {
            (reply.kind == ADMIN_END ? show_end : show_error)(answer, &reply);
            return answer->status;
        }
        if (error)
            return lost(shell, error);
    }
}

static bool is_live(const struct shell *shell, const struct parsed_command *parsed) {
    return shell->terminal && !shell->json && !shell->watching && isatty(STDIN_FILENO) &&
           strcmp(parsed->command->name, "top") == 0 && !command_argument_find(parsed, "once");
}

/* 0: it may be done. A change is asked for at a terminal, and needs --yes elsewhere. */
static int confirm(const struct shell *shell, const struct parsed_command *parsed,
                   const char *line) {
    char text[COMMAND_LINE_BYTES_MAX + 64];
    bool looks_on = parsed->count == 0 && parsed->command->places[0].optional;
    if (parsed->command->view != VIEW_CHANGE || parsed->yes || looks_on)
        return 0;
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
        snprintf(text, sizeof(text), "%s changes the running node: say --yes",
                 parsed->command->name);
        shell_complain(shell, "argument", text);
        return EXIT_USAGE;
    }
    snprintf(text, sizeof(text), "%s on node \"%s\"?", line, shell->client.node);
    if (shell_confirm(text))
        return 0;
    fprintf(stderr, "nothing was done\n");
    return EXIT_REFUSED;
}

static int ask(struct shell *shell, const struct parsed_command *parsed, const char *line) {
    struct answer answer = {.shell = shell, .parsed = parsed};
    int status = shell_connect(shell);
    if (status)
        return status;
    status = confirm(shell, parsed, line);
    if (status)
        return status;
    if (is_live(shell, parsed)) {
        int ended = shell_top(shell, parsed);
        return ended ? lost(shell, ended) : 0;
    }
    int error = client_ask(&shell->client, parsed);
    if (error == -EPIPE) { /* it was restarted meanwhile: ask the new one */
        client_close(&shell->client);
        status = shell_connect(shell);
        if (status)
            return status;
        error = client_ask(&shell->client, parsed);
    }
    if (error == -E2BIG) {
        shell_complain(shell, "argument", "the command is too long");
        return EXIT_USAGE;
    }
    status = error ? lost(shell, error) : receive(&answer);
    render_rows_clear(&answer.rows);
    fflush(stdout);
    return status;
}

static int local(struct shell *shell, const struct parsed_command *parsed) {
    const struct command_argument *name = command_argument_find(parsed, "command");
    if (strcmp(parsed->command->name, "quit") == 0) {
        shell->quit = true;
        return 0;
    }
    if (strcmp(parsed->command->name, "watch") == 0)
        return shell_watch(shell, parsed);
    if (name && !command_find(name->text)) {
        char text[COMMAND_ERROR_BYTES_MAX];
        const struct command *guess = command_guess(name->text);
        snprintf(text, sizeof(text), "there is no command \"%.64s\"%s%s%s", name->text,
                 guess ? "; did you mean \"" : "", guess ? guess->name : "", guess ? "\"?" : "");
        shell_complain(shell, "unknown", text);
        return EXIT_USAGE;
    }
    shell_help(shell, name ? name->text : NULL);
    return 0;
}

int shell_line(struct shell *shell, const char *line) {
    struct parsed_command *parsed = malloc(sizeof(*parsed));
    char error[COMMAND_ERROR_BYTES_MAX];
    if (!parsed)
        abort();
    int status = 0;
    if (strcmp(line, "exit") == 0)
        line = "quit";
    if (command_parse(line, parsed, error)) {
        shell_complain(shell, parsed->command ? "argument" : "unknown", error);
        if (parsed->command && !shell->json)
            fprintf(stderr, "usage: %s%s%s\n", parsed->command->name,
                    parsed->command->usage[0] ? " " : "", parsed->command->usage);
        status = EXIT_USAGE;
    } else if (parsed->command) {
        status = parsed->command->local ? local(shell, parsed) : ask(shell, parsed, line);
    }
    free(parsed);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `watch`: asks the same again and again, until Ctrl-C, so many times, or until it fails.
 *
 * The pause is between an answer and the next question, so a node that is slow to answer is asked
 * less often. At a terminal each answer takes the place of the one before.
 */
#include "tools/shell/shell.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EVERY_MS_DEFAULT 2000u
#define EVERY_MS_MIN 100u
#define EVERY_MS_MAX 86400000u

/* NULL: it may be repeated. */
static const char *wrong_with(const struct command *command) {
    if (command->view == VIEW_CHANGE)
        return "watch repeats what only looks, and this changes the node";
    if (command->local || command->streams)
        return "watch repeats a view; this is none";
    return NULL;
}

static int check(struct shell *shell, const char *line, uint64_t every_ms) {
    char error[COMMAND_ERROR_BYTES_MAX];
    struct parsed_command *inner = malloc(sizeof(*inner));
    const char *wrong = NULL;
    if (!inner)
        abort();
    if (command_parse(line, inner, error) != 0)
        wrong = error;
    else
        wrong = inner->command ? wrong_with(inner->command) : "watch which command?";
    free(inner);
    if (!wrong && (every_ms < EVERY_MS_MIN || every_ms > EVERY_MS_MAX))
        wrong = "--every is from 100ms to 1d";
    if (!wrong)
        return 0;
    shell_complain(shell, "argument", wrong);
    return EXIT_USAGE;
}

/* Where the eye is to find it again. */
static void clear(const struct shell *shell, const char *line, uint64_t every_ms) {
    char clock[16];
    time_t now = time(NULL);
    struct tm at;
    if (!shell->terminal || shell->json)
        return;
    localtime_r(&now, &at);
    strftime(clock, sizeof(clock), "%H:%M:%S", &at);
    printf("\033[H\033[2J%s  every %.1f s  %s  (Ctrl-C ends it)\n\n", clock,
           (double)every_ms / 1000, line);
}

static uint64_t number_of(const struct parsed_command *parsed, const char *name,
                          uint64_t otherwise) {
    const struct command_argument *argument = command_argument_find(parsed, name);
    return argument ? argument->number : otherwise;
}

int shell_watch(struct shell *shell, const struct parsed_command *parsed) {
    const char *line = command_argument_find(parsed, "line")->text;
    uint64_t every_ms = number_of(parsed, "every_ms", EVERY_MS_DEFAULT);
    uint64_t times = number_of(parsed, "times", UINT64_MAX);
    int status = check(shell, line, every_ms);
    shell->watching = true;
    for (uint64_t i = 0; i < times && !status; i++) {
        if (i && poll(NULL, 0, (int)every_ms) < 0 && errno == EINTR)
            break;
        clear(shell, line, every_ms);
        status = shell_line(shell, line);
        fflush(stdout);
    }
    shell->watching = false;
    return status;
}

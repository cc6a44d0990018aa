/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shell on a runtime with a million actors under load: how long its answers take, and what they
 * cost the load.
 *
 *     soak-shell [-n ACTORS] [-w WINDOWS] [-c COMMAND] [-s SHELL]
 *
 * First the answers to COMMAND (top) are timed, then windows of half a minute without the shell and
 * with its live screen take turns. The cost is told in messages per second of CPU time, so that
 * what else the machine does falls out.
 */
#include "actors/admin.h"
#include "actors/node.h"
#include "runtime/local.h"
#include "runtime/runtime.h"

#include <poll.h>
#include <pty.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

#define PAIRS 64u /* that play ping-pong, on each shard */
#define SPAWN_AT_ONCE 512u
#define WINDOW_S 30.0 /* longer than the screen waits between two questions */
#define WINDOWS_MAX 200u
#define ASKED 10u

enum { SPAWN = ACTOR_KIND_FIRST, BALL };

static unsigned actors_wanted = 1000000, shards = 2;
static atomic_uint actors_made;

/* --- who is looked at, and the load ------------------------------------------------------------
 */

static const struct actor_class idle_class = {.name = "idle", .state_bytes = 64};

static void on_ball(void *state, struct message **message) {
    struct actor_id *other = message_as(*message, struct actor_id), to = *other;
    *other = actor_self();
    if (actor_send(to, message) != 0)
        actor_fail(1, "the ball is lost");
}
static const struct actor_handler player_handlers[] = {[BALL] = {"ball", on_ball}};
static const struct actor_class player_class = {
    .name = "player", .handlers = player_handlers, .handler_count = BALL + 1};

static void play(void) {
    for (unsigned i = 0; i < PAIRS; i++) {
        struct actor_id players[2];
        for (unsigned k = 0; k < 2; k++)
            CHECK(actor_spawn(&player_class, NULL, ACTOR_NOBODY, &players[k]) == 0);
        struct message *ball = message_create(BALL, sizeof(struct actor_id));
        *message_as(ball, struct actor_id) = players[0];
        CHECK(actor_send(players[1], &ball) == 0);
    }
}

static void on_spawn(void *state, struct message **message) {
    unsigned *left = state;
    struct actor_id id;
    for (unsigned i = 0; i < SPAWN_AT_ONCE && *left; i++, --*left) {
        CHECK(actor_spawn(&idle_class, NULL, ACTOR_NOBODY, &id) == 0);
        atomic_fetch_add_explicit(&actors_made, 1, memory_order_relaxed);
    }
    if (*left)
        actor_signal_next_turn(SPAWN);
    else
        play();
}
static int spawner_init(void *state, const void *argument) {
    *(unsigned *)state = actors_wanted / shards;
    actor_signal_next_turn(SPAWN);
    return 0;
}
static const struct actor_handler spawner_handlers[] = {[SPAWN] = {"spawn", on_spawn}};
static const struct actor_class spawner_class = {.name = "spawner",
                                                 .state_bytes = sizeof(unsigned),
                                                 .init = spawner_init,
                                                 .handlers = spawner_handlers,
                                                 .handler_count = SPAWN + 1};

static const struct supervisor_child children[] = {
    {.class = &admin_session_class, .dynamic = true, .restart = RESTART_TEMPORARY},
    {.class = &admin_class},
    {.class = &spawner_class, .every_shard = true},
};
static const struct supervisor_spec root = {
    .name = "root", .restarts_max = 3, .children = children, .child_count = 3};

/* --- measuring ---------------------------------------------------------------------------------
 */

static double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double cpu_s(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static double messages(struct runtime *runtime) {
    struct runtime_counters counters;
    runtime_counters_read(runtime, &counters);
    return (double)counters.messages;
}

/* How long the shell took, in milliseconds, its start included. */
static double ask(const char *shell, const char *socket, const char *command) {
    char *const arguments[] = {(char *)shell,
                               (char *)"--socket",
                               (char *)socket,
                               (char *)"--json",
                               (char *)"-c",
                               (char *)command,
                               NULL};
    posix_spawn_file_actions_t quiet;
    pid_t pid;
    int status;
    double begin = now_s();
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, STDOUT_FILENO, "/dev/null", 1 /* O_WRONLY */, 0);
    CHECK(posix_spawn(&pid, shell, &quiet, NULL, arguments, environ) == 0);
    posix_spawn_file_actions_destroy(&quiet);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    return (now_s() - begin) * 1000;
}

static int compare(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

static void time_answers(const char *shell, const char *socket, const char *command) {
    double took_ms[ASKED];
    for (unsigned i = 0; i < ASKED; i++)
        took_ms[i] = ask(shell, socket, command);
    qsort(took_ms, ASKED, sizeof took_ms[0], compare);
    printf("%s: answers in %.0f ms (median of %u, the shell's start included; %.0f to %.0f)\n",
           command, took_ms[ASKED / 2], ASKED, took_ms[0], took_ms[ASKED - 1]);
}

/* The live screen until `end_s`, at a terminal that throws away what it shows. */
static void look_on(const char *shell, const char *socket, double end_s) {
    struct winsize size = {.ws_row = 40, .ws_col = 120};
    char shown[4096];
    int terminal, status;
    pid_t pid = forkpty(&terminal, NULL, NULL, &size);
    CHECK(pid >= 0);
    if (pid == 0) {
        execl(shell, shell, "--socket", socket, "-c", "top", (char *)NULL);
        _exit(127);
    }
    while (now_s() < end_s) {
        struct pollfd ready = {.fd = terminal, .events = POLLIN};
        if (poll(&ready, 1, 100) == 1)
            CHECK(read(terminal, shown, sizeof shown) > 0);
    }
    CHECK(write(terminal, "q", 1) == 1);
    while (read(terminal, shown, sizeof shown) > 0)
        ;
    close(terminal);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static void measure(struct runtime *runtime, unsigned windows, const char *shell,
                    const char *socket) {
    double counted[2] = {0}, used[2] = {0};
    for (unsigned i = 0; i < 2 * windows; i++) {
        double count = messages(runtime), cpu = cpu_s(), end = now_s() + WINDOW_S;
        if (i % 2)
            look_on(shell, socket, end);
        else
            usleep((useconds_t)(WINDOW_S * 1e6));
        counted[i % 2] += messages(runtime) - count;
        used[i % 2] += cpu_s() - cpu;
    }
    printf("live top: %.2f M messages a CPU second without it, %.2f M with it: %.2f %% less\n",
           counted[0] / used[0] / 1e6, counted[1] / used[1] / 1e6,
           100 * (1 - counted[1] / used[1] / (counted[0] / used[0])));
}

int main(int count, char **values) {
    const char *command = "top", *shell = "build/bin/tern-shell";
    char folder[] = "/tmp/soak-shell-XXXXXX", socket[64];
    unsigned windows = 3;
    int option;
    while ((option = getopt(count, values, "n:w:c:s:")) != -1) {
        if (option == 'n')
            actors_wanted = (unsigned)strtoul(optarg, NULL, 10);
        else if (option == 'w')
            windows = (unsigned)strtoul(optarg, NULL, 10);
        else if (option == 'c')
            command = optarg;
        else if (option == 's')
            shell = optarg;
        else
            return 64;
    }
    CHECK(windows >= 1 && windows <= WINDOWS_MAX && mkdtemp(folder));
    snprintf(socket, sizeof socket, "%s/admin.sock", folder);
    int fd = local_listen(socket, 4);
    CHECK(fd >= 0);
    struct node *node = calloc(1, sizeof *node);
    *node = (struct node){
        .name = "soak", .data = folder, .shards = shards, .admin_fds = &fd, .admin_count = 1};
    struct runtime_options options = {.shards = shards, .root = &root, .context = node};
    struct runtime *runtime;
    CHECK(runtime_start(&options, &runtime) == 0);
    while (atomic_load(&actors_made) < actors_wanted / shards * shards)
        usleep(10000);
    usleep(500000);
    printf("%u actors on %u shards\n", atomic_load(&actors_made), shards);
    time_answers(shell, socket, command);
    measure(runtime, windows, shell, socket);
    runtime_stop(runtime, 0);
    runtime_wait(runtime);
    runtime_destroy(runtime);
    close(fd);
    unlink(socket);
    rmdir(folder);
    free(node);
    return 0;
}

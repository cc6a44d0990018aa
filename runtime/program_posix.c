/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs as processes: posix_spawn, input through a pipe, the end noticed by a pidfd in the
 * reactor.
 *
 * The input fits into a pipe, so it is written whole before the program exists and nothing can
 * block on a program that doesn't read. The program leads a process group, which is what is killed.
 * Only standard input, output and error are passed on; signals are as a shell would set them.
 *
 * posix_spawn suspends this thread until the new process has called exec (some 0.5 ms): rare enough
 * to do it here.
 */
#include "runtime/program.h"
#include "runtime/reactor.h"
#include "runtime/shard_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

struct program_process {
    struct reactor_watch watch; /* first: `ready` gets its address */
    struct shard *shard;
    struct program *program;
    pid_t pid;
    int pidfd;
};

extern char **environ;

/* A pipe that holds the input; its write end is closed. A descriptor to read, or -errno. */
static int pipe_with(const void *input, size_t input_bytes) {
    int ends[2];
    ssize_t written;

    if (pipe2(ends, O_CLOEXEC) != 0)
        return -errno;
    written = input_bytes > 0 ? write(ends[1], input, input_bytes) : 0;
    close(ends[1]);
    if (written == (ssize_t)input_bytes)
        return ends[0];
    close(ends[0]);
    return -EIO;
}

static int prepare(int input, posix_spawn_file_actions_t *actions, posix_spawnattr_t *attributes) {
    sigset_t none, all;
    int error;

    sigemptyset(&none);
    sigfillset(&all);
    error = posix_spawn_file_actions_adddup2(actions, input, STDIN_FILENO);
    if (error == 0)
        error = posix_spawn_file_actions_adddup2(actions, STDERR_FILENO, STDOUT_FILENO);
    if (error == 0)
        error = posix_spawn_file_actions_addclosefrom_np(actions, STDERR_FILENO + 1);
    if (error == 0)
        error = posix_spawnattr_setsigmask(attributes, &none);
    if (error == 0)
        error = posix_spawnattr_setsigdefault(attributes, &all);
    if (error == 0)
        error = posix_spawnattr_setflags(
            attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    return -error;
}

static int spawn(const char *const arguments[], int input, pid_t *pid) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int error;

    if (posix_spawn_file_actions_init(&actions) != 0)
        return -ENOMEM;
    if (posix_spawnattr_init(&attributes) != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return -ENOMEM;
    }
    error = prepare(input, &actions, &attributes);
    if (error == 0) /* the arguments are not changed, whatever the prototype says */
        error = -posix_spawnp(pid, arguments[0], &actions, &attributes, (char *const *)arguments,
                              environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

static void end_process(struct program_process *process) {
    if (process->pidfd >= 0)
        close(process->pidfd);
    free(process);
}

static int status_of(const siginfo_t *info) {
    return info->si_code == CLD_EXITED ? info->si_status : 256 + info->si_status;
}

static void on_ready(struct reactor_watch *watch, int error) {
    struct program_process *process = (struct program_process *)watch;
    struct program *program = process->program;
    struct shard *shard = process->shard;
    siginfo_t info = {0};
    int status;

    CHECK(error == 0); /* never unwatched */
    if (waitid(P_PID, (id_t)process->pid, &info, WEXITED | WNOHANG) != 0)
        status = -errno;
    else
        status = status_of(&info);
    end_process(process);
    program_on_ended(shard, program, status);
}

static void kill_group(const struct program_process *process) {
    kill(-process->pid, SIGKILL);
}

static int start(struct shard *shard, struct program *program, const char *const arguments[],
                 const void *input, size_t input_bytes, struct program_process **started) {
    struct program_process *process = calloc(1, sizeof *process);
    int input_fd = process == NULL ? -ENOMEM : pipe_with(input, input_bytes);
    int error;

    if (input_fd < 0) {
        free(process);
        return input_fd;
    }
    *process = (struct program_process){
        .watch.ready = on_ready, .shard = shard, .program = program, .pidfd = -1};
    error = spawn(arguments, input_fd, &process->pid);
    close(input_fd);
    if (error == 0) {
        process->pidfd = pidfd_open(process->pid, 0);
        error = process->pidfd < 0 ? -errno
                                   : shard_seams(shard)->reactor->watch(
                                         shard_reactor(shard), process->pidfd, &process->watch);
        if (error != 0) { /* nobody would notice its end */
            kill_group(process);
            waitpid(process->pid, NULL, 0);
        }
    }
    if (error != 0) {
        end_process(process);
        return error;
    }
    *started = process;
    return 0;
}

static void kill_process(struct program_process *process) {
    kill_group(process);
}

static void forget(struct program_process *process) {
    kill_group(process);
    waitpid(process->pid, NULL, 0);
    end_process(process);
}

const struct program_ops program_posix = {
    .name = "posix_spawn", .start = start, .kill = kill_process, .forget = forget};

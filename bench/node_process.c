/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/node_process.h"

#include "bench/interrupt.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <libgen.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_MS_MAX 60000
#define STOP_MS_MAX 20000
#define LOG_BYTES_MAX 8192
#define PATHS_MAX (PATH_MAX + 32)

static void path_join(const struct node_process *node, const char *name, char path[PATHS_MAX]) {
    snprintf(path, PATHS_MAX, "%s/%s", node->directory, name);
}

/* The end of the node's log, for a person who wonders why it did not start. */
static void log_read(const struct node_process *node, char text[LOG_BYTES_MAX]) {
    char path[PATHS_MAX];
    path_join(node, "log", path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
    off_t from = size > LOG_BYTES_MAX - 1 ? size - (LOG_BYTES_MAX - 1) : 0;
    ssize_t length = fd < 0 ? 0 : pread(fd, text, LOG_BYTES_MAX - 1, from);
    text[length > 0 ? length : 0] = '\0';
    if (fd >= 0)
        close(fd);
}

/* A port that nobody has now; the kernel doesn't give it out again soon. */
static int port_find(struct socket_address *address) {
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof any;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int error = fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof any) ||
                        getsockname(fd, (struct sockaddr *)&any, &length)
                    ? -errno
                    : 0;
    if (fd >= 0)
        close(fd);
    *address = (struct socket_address){.family = AF_INET, .port = ntohs(any.sin_port)};
    memcpy(address->bytes, &any.sin_addr, sizeof any.sin_addr);
    return error;
}

static void program_find(const struct node_options *options, char path[PATH_MAX]) {
    char own[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", own, sizeof own - 1);
    own[length > 0 ? length : 0] = '\0';
    if (options->program != NULL)
        snprintf(path, PATH_MAX, "%s", options->program);
    else if (snprintf(path, PATH_MAX, "%s/tern-node", dirname(own)) >= PATH_MAX)
        path[0] = '\0';
}

static int config_write(const struct node_process *node, const struct node_options *options) {
    char path[PATHS_MAX], listen[64], metrics[64];
    path_join(node, "tern.conf", path);
    socket_address_format(&node->server, listen, sizeof listen);
    socket_address_format(&node->source.metrics, metrics, sizeof metrics);
    FILE *file = fopen(path, "we");
    if (file == NULL)
        return -errno;
    fprintf(file, "listen = \"%s\"\nmetrics = \"%s\"\ndata = \"%s/data\"\nlog_level = warning\n",
            listen, metrics, node->directory);
    for (unsigned i = 0; i < options->setting_count; i++)
        fprintf(file, "%s\n", options->settings[i]);
    return fclose(file) ? -EIO : 0;
}

/* In the child: dies with the bench, writes to the log, becomes the node. */
__attribute__((noreturn)) static void child_become(const struct node_process *node,
                                                   const char *const arguments[], pid_t parent) {
    char path[PATHS_MAX];
    path_join(node, "log", path);
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent && log >= 0 && null >= 0 && dup2(null, 0) == 0 && dup2(log, 1) == 1 &&
        dup2(log, 2) == 2) {
        execv(arguments[0], (char *const *)arguments);
        dprintf(2, "%s: %s\n", arguments[0], strerror(errno));
    }
    _exit(127);
}

static pid_t child_start(const struct node_process *node, const char *const arguments[]) {
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        child_become(node, arguments, parent);
    return pid;
}

static int import_run(const struct node_process *node, const char *program,
                      const struct accounts *accounts) {
    char config[PATHS_MAX], people[PATHS_MAX];
    int status;
    path_join(node, "tern.conf", config);
    path_join(node, "people.jsonl", people);
    int error = accounts_write(people, accounts);
    if (error)
        return error;
    const char *const arguments[] = {program, "import", people, "--config", config, NULL};
    pid_t pid = child_start(node, arguments);
    if (pid < 0)
        return -errno;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    unlink(people);
    return status == 0 ? 0 : -EIO;
}

static int ready_wait(struct node_process *node) {
    char text[LOG_BYTES_MAX];
    for (unsigned waited_ms = 0; waited_ms < START_MS_MAX; waited_ms += 20) {
        log_read(node, text);
        if (strstr(text, "is ready") != NULL)
            return 0;
        if (waitpid(node->pid, NULL, WNOHANG) == node->pid) {
            node->pid = 0;
            return -ECHILD;
        }
        int error = interruptible_sleep_ms(20);
        if (error)
            return error;
    }
    return -ETIMEDOUT;
}

static int start(struct node_process *node, const struct node_options *options,
                 const struct accounts *accounts) {
    char program[PATH_MAX], config[PATHS_MAX];
    program_find(options, program);
    path_join(node, "tern.conf", config);
    int error = port_find(&node->server);
    if (error == 0)
        error = port_find(&node->source.metrics);
    if (error == 0)
        error = config_write(node, options);
    if (error == 0)
        error = import_run(node, program, accounts);
    if (error)
        return error;
    const char *const arguments[] = {program, "--config", config, NULL};
    node->pid = child_start(node, arguments);
    if (node->pid < 0)
        return -errno;
    node->source.pid = node->pid;
    node->source.has_metrics = true;
    return ready_wait(node);
}

int node_process_start(struct node_process *node, const struct node_options *options,
                       const struct accounts *accounts) {
    char text[LOG_BYTES_MAX];
    *node = (struct node_process){0};
    snprintf(node->directory, sizeof node->directory, "%s/tern-bench-XXXXXX",
             accounts_directory(options->parent));
    if (mkdtemp(node->directory) == NULL) {
        fprintf(stderr, "tern-bench: %s: %s\n", node->directory, strerror(errno));
        return -errno;
    }
    int error = start(node, options, accounts);
    if (error == 0)
        return 0;
    log_read(node, text);
    if (error != -EINTR)
        fprintf(stderr, "tern-bench: the node didn't start: %s\n%s", strerror(-error), text);
    node_process_stop(node);
    return error;
}

/* --- the end --- */

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *where) {
    return remove(path);
}

static bool ended_within(pid_t pid, unsigned ms) {
    struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
    for (unsigned waited_ms = 0; waited_ms < ms; waited_ms += 10) {
        if (waitpid(pid, NULL, WNOHANG) == pid)
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

void node_process_stop(struct node_process *node) {
    if (node->pid > 0) {
        kill(node->pid, SIGTERM);
        if (!ended_within(node->pid, STOP_MS_MAX)) {
            kill(node->pid, SIGKILL); /* its child dies with it */
            ended_within(node->pid, STOP_MS_MAX);
        }
    }
    if (node->directory[0] != '\0')
        nftw(node->directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    *node = (struct node_process){0};
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loaded before the C library (LD_PRELOAD) this makes fdatasync and fsync wait or fail, so that a
 * test can show what waits for them. kill -9 cannot: the page cache outlives the process.
 *
 * TERN_FAULT_SYNC names a control file, read at every sync, of lines:
 *     match TEXT     only files whose path holds TEXT; default ".log" (RocksDB's write-ahead log)
 *     hold           wait until the file no longer says so
 *     delay_ms N     wait that long
 *     fail           fail with EIO, without syncing
 * No such file: nothing is matched. Each matched sync appends "begin PATH" and "end PATH" (or
 * "fail PATH") to the file of the same name with ".calls" behind it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int fdatasync(int file);
int fsync(int file);

struct control {
    char match[64];
    bool hold;
    bool fail;
    long delay_ms;
};

static bool read_control(struct control *control) {
    const char *path = getenv("TERN_FAULT_SYNC");
    FILE *file = path ? fopen(path, "re") : NULL;
    *control = (struct control){.match = ".log"};
    if (!file)
        return false;
    char line[128];
    while (fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "match ", 6) == 0)
            snprintf(control->match, sizeof(control->match), "%.63s", line + 6);
        else if (strncmp(line, "delay_ms ", 9) == 0)
            control->delay_ms = strtol(line + 9, NULL, 10);
        else if (strcmp(line, "hold") == 0)
            control->hold = true;
        else if (strcmp(line, "fail") == 0)
            control->fail = true;
    }
    fclose(file);
    return true;
}

static void note(const char *what, const char *path) {
    char name[PATH_MAX];
    snprintf(name, sizeof(name), "%s.calls", getenv("TERN_FAULT_SYNC"));
    int file = open(name, O_CREAT | O_APPEND | O_WRONLY | O_CLOEXEC, 0600);
    if (file >= 0) {
        dprintf(file, "%s %s\n", what, path);
        close(file);
    }
}

static void wait_ms(long ms) {
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&time, &time) != 0 && errno == EINTR)
        ;
}

static int sync_with_faults(const char *name, int file) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    struct control control;
    char link[64];
    char path[PATH_MAX] = "";
    snprintf(link, sizeof(link), "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof(path) - 1);
    if (length < 0 || !read_control(&control) || !strstr(path, control.match))
        return real(file);
    note("begin", path);
    while (control.hold) {
        wait_ms(2);
        if (!read_control(&control))
            break;
    }
    wait_ms(control.delay_ms);
    if (control.fail) {
        note("fail", path);
        errno = EIO;
        return -1;
    }
    int result = real(file);
    note("end", path);
    return result;
}

int fdatasync(int file) {
    return sync_with_faults("fdatasync", file);
}

int fsync(int file) {
    return sync_with_faults("fsync", file);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/chat/home.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define POLL_MS 50

int home_default(char path[HOME_PATH_CHARS_MAX]) {
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    int length;
    if (data != NULL && data[0] == '/') /* others are to be ignored, says the XDG specification */
        length = snprintf(path, HOME_PATH_CHARS_MAX, "%s/tern/chat", data);
    else if (home != NULL && home[0] != 0)
        length = snprintf(path, HOME_PATH_CHARS_MAX, "%s/.local/share/tern/chat", home);
    else
        return -ENOENT;
    return length < HOME_PATH_CHARS_MAX ? 0 : -ENOENT;
}

static int make_directories(const char *path) {
    char part[HOME_PATH_CHARS_MAX];
    if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part)
        return -ENAMETOOLONG;
    for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            return -errno;
        *slash = '/';
    }
    return mkdir(part, 0700) == 0 || errno == EEXIST ? 0 : -errno;
}

/* For its owner alone, also when it was there before. */
static int close_to_others(const char *path) {
    struct stat status;
    if (stat(path, &status) != 0)
        return -errno;
    if (!S_ISDIR(status.st_mode))
        return -ENOTDIR;
    if (status.st_uid != geteuid())
        return -EPERM;
    return (status.st_mode & 077) == 0 || chmod(path, 0700) == 0 ? 0 : -errno;
}

static int take_lock(int file, unsigned wait_ms) {
    struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
    for (unsigned waited = 0; flock(file, LOCK_EX | LOCK_NB) != 0; waited += POLL_MS) {
        if (errno != EWOULDBLOCK)
            return -errno;
        if (waited >= wait_ms)
            return -EBUSY;
        nanosleep(&pause, NULL);
    }
    return 0;
}

/* The owner's process id, for the sentence that others will read. */
static void note_owner(int file) {
    char text[24];
    int length = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(file, 0) != 0 || pwrite(file, text, (size_t)length, 0) != length)
        return; /* then the sentence goes without it */
}

static void say_busy(int file, const char *path, char why[HOME_WHY_CHARS_MAX]) {
    char text[24] = "";
    long owner = 0;
    if (pread(file, text, sizeof text - 1, 0) > 0)
        owner = strtol(text, NULL, 10);
    if (owner > 0)
        snprintf(why, HOME_WHY_CHARS_MAX, "the home %s is in use by process %ld", path, owner);
    else
        snprintf(why, HOME_WHY_CHARS_MAX, "the home %s is in use by another process", path);
}

static int open_lock(const char *path, int make) {
    char name[PATH_MAX];
    int error = make ? make_directories(path) : 0;
    if (error == 0)
        error = close_to_others(path);
    if (error == 0 && snprintf(name, sizeof name, "%s/lock", path) >= (int)sizeof name)
        error = -ENAMETOOLONG;
    if (error != 0)
        return error;
    int file = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    return file >= 0 ? file : -errno;
}

int home_lock(const char *path, int make, unsigned wait_ms, char why[HOME_WHY_CHARS_MAX]) {
    int file = open_lock(path, make);
    if (file < 0) {
        snprintf(why, HOME_WHY_CHARS_MAX, "the home %s cannot be used: %s", path, strerror(-file));
        return file;
    }
    int error = take_lock(file, wait_ms);
    if (error == 0) {
        note_owner(file);
        return file;
    }
    if (error == -EBUSY)
        say_busy(file, path, why);
    else
        snprintf(why, HOME_WHY_CHARS_MAX, "the home %s cannot be locked: %s", path,
                 strerror(-error));
    close(file);
    return error;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Crash records as files: their directory, which are kept, and reading them. */
#include "runtime/crash_internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PREFIX "CRASH-"
#define LISTED_MAX 4096 /* a directory with more is not ours */

static int is_record(const struct dirent *entry) {
    return strncmp(entry->d_name, PREFIX, strlen(PREFIX)) == 0;
}

/* Names begin with the time: the newest first. */
static int newest_first(const struct dirent **a, const struct dirent **b) {
    return strcmp((*b)->d_name, (*a)->d_name);
}

/* How many, or -errno. */
static int list(const char *directory, struct dirent ***entries) {
    int count = scandir(directory, entries, is_record, newest_first);
    if (count < 0)
        return errno == ENOENT ? 0 : -errno;
    return count;
}

static void list_free(struct dirent **entries, int count) {
    for (int i = 0; i < count; i++)
        free(entries[i]);
    if (count > 0)
        free(entries);
}

static bool path_of(const char *directory, const char *name, char path[CRASH_PATH_BYTES_MAX]) {
    int length = snprintf(path, CRASH_PATH_BYTES_MAX, "%s/%s", directory, name);
    return length > 0 && length < (int)CRASH_PATH_BYTES_MAX;
}

int crash_directory_prepare(const char *directory, unsigned keep) {
    char path[CRASH_PATH_BYTES_MAX];
    struct dirent **entries = NULL;
    if (mkdir(directory, 0700) != 0 && errno != EEXIST)
        return -errno;
    int count = list(directory, &entries);
    for (int i = (int)keep; i < count; i++)
        if (path_of(directory, entries[i]->d_name, path))
            unlink(path);
    list_free(entries, count);
    return count < 0 ? count : 0;
}

int crash_records_visit(const char *directory, int (*visit)(void *context, const char *path),
                        void *context) {
    char path[CRASH_PATH_BYTES_MAX];
    struct dirent **entries = NULL;
    int count = list(directory, &entries);
    int result = count < 0 ? count : 0;
    for (int i = 0; i < count && i < LISTED_MAX && result == 0; i++)
        if (path_of(directory, entries[i]->d_name, path))
            result = visit(context, path);
    list_free(entries, count);
    return result;
}

int crash_record_field(const char *path, const char *field, char *text, size_t bytes) {
    char line[CRASH_BLAME_BYTES_MAX + 64];
    size_t length = strlen(field);
    int error = -ENOENT;
    FILE *file = fopen(path, "re");
    if (!file)
        return -errno;
    while (error && fgets(line, sizeof line, file)) {
        if (strncmp(line, field, length) != 0 || strncmp(line + length, ": ", 2) != 0)
            continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(text, bytes, "%s", line + length + 2);
        error = 0;
    }
    fclose(file);
    return error;
}

int crash_record_time(const char *path, uint64_t *unix_ms) {
    char text[32];
    struct tm broken = {0};
    int error = crash_record_field(path, "time", text, sizeof text);
    if (error)
        return error == -ENOENT ? -EBADMSG : error;
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &broken);
    if (!end || *end || broken.tm_year < 70)
        return -EBADMSG;
    *unix_ms = (uint64_t)timegm(&broken) * 1000;
    return 0;
}

struct search {
    char ending[24];
    char *path;
};

static int compare(void *context, const char *path) {
    const struct search *search = context;
    size_t length = strlen(path), ending = strlen(search->ending);
    if (length < ending || strcmp(path + length - ending, search->ending) != 0)
        return 0;
    memcpy(search->path, path, length + 1);
    return 1;
}

int crash_record_of(const char *directory, int pid, char path[CRASH_PATH_BYTES_MAX]) {
    struct search search = {.path = path};
    snprintf(search.ending, sizeof search.ending, "Z-%d", pid);
    int result = crash_records_visit(directory, compare, &search);
    return result == 1 ? 0 : result < 0 ? result : -ENOENT;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/sample.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define TREE_DEPTH_MAX 4
#define METRICS_BYTES_MAX (1u << 20)

uint64_t clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The file's bytes with a closing NUL; their number, 0 when it can't be read. */
static size_t file_read(const char *path, char *bytes, size_t capacity) {
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    size_t length = fread(bytes, 1, capacity - 1, file);
    fclose(file);
    bytes[length] = '\0';
    return length;
}

/* proc(5): fields 14 and 15 of stat are user and system time in clock ticks. */
static double process_cpu_us(pid_t pid) {
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (file_read(path, text, sizeof text) == 0)
        return 0;
    char *at = strrchr(text, ')'); /* the name may hold anything */
    for (unsigned field = 2; at != NULL && field < 14; field++)
        at = strchr(at + 1, ' ');
    if (at == NULL)
        return 0;
    unsigned long long user = strtoull(at, &at, 10), system = strtoull(at, &at, 10);
    return (double)(user + system) * 1e6 / (double)sysconf(_SC_CLK_TCK);
}

static double process_resident_bytes(pid_t pid) {
    char path[64], text[4096];
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    if (file_read(path, text, sizeof text) == 0)
        return 0;
    const char *line = strstr(text, "\nRss:");
    return line != NULL ? strtod(line + 5, NULL) * 1024 : 0;
}

/* proc(5): the second field of statm, in pages. */
static double process_resident_bytes_quick(pid_t pid) {
    char path[64], text[256], *at;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    if (file_read(path, text, sizeof text) == 0)
        return 0;
    strtoull(text, &at, 10);
    return (double)strtoull(at, NULL, 10) * (double)sysconf(_SC_PAGESIZE);
}

static void tree_add(pid_t pid, unsigned depth, bool quick, struct sample *sample) {
    char path[64], text[4096];
    sample->cpu_us += process_cpu_us(pid);
    sample->resident_bytes +=
        quick ? process_resident_bytes_quick(pid) : process_resident_bytes(pid);
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    if (depth == TREE_DEPTH_MAX || file_read(path, text, sizeof text) == 0)
        return;
    char *at = text, *end;
    for (long child = strtol(at, &end, 10); end != at; child = strtol(at, &end, 10)) {
        tree_add((pid_t)child, depth + 1, quick, sample);
        at = end;
    }
}

/* proc(5): a line of /proc/meminfo, which are in KiB. */
static double meminfo_bytes(const char *text, const char *line) {
    const char *at = strstr(text, line);
    return at != NULL ? strtod(at + strlen(line), NULL) * 1024 : 0;
}

static void machine_take(struct sample *sample) {
    char text[8192];
    if (file_read("/proc/meminfo", text, sizeof text) == 0)
        return;
    sample->kernel_bytes = meminfo_bytes(text, "\nSlab:") + meminfo_bytes(text, "\nPageTables:");
    sample->available_bytes = meminfo_bytes(text, "\nMemAvailable:");
}

double sample_available_bytes(void) {
    struct sample sample = {0};
    machine_take(&sample);
    return sample.available_bytes;
}

/* --- metrics: one plain request on a connection of its own --- */

static size_t answer_read(int fd, char *bytes, size_t capacity) {
    size_t length = 0;
    ssize_t got;
    while (length < capacity - 1 && (got = read(fd, bytes + length, capacity - 1 - length)) > 0)
        length += (size_t)got;
    bytes[length] = '\0';
    return length;
}

static size_t metrics_read(const struct socket_address *address, char *bytes, size_t capacity) {
    static const char request[] = "GET /metrics HTTP/1.1\r\nHost: bench\r\n\r\n";
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(address->port)};
    struct timeval patience = {.tv_sec = 10};
    memcpy(&peer.sin_addr, address->bytes, sizeof peer.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return 0;
    size_t length = 0;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *)&peer, sizeof peer) == 0 &&
        write(fd, request, sizeof request - 1) == (ssize_t)sizeof request - 1)
        length = answer_read(fd, bytes, capacity);
    close(fd);
    return length;
}

static double metric(const char *text, const char *name) {
    const char *line = strstr(text, name);
    return line != NULL ? strtod(line + strlen(name), NULL) : 0;
}

static void metrics_take(const struct socket_address *address, struct sample *sample) {
    char *text = malloc(METRICS_BYTES_MAX);
    if (text != NULL && metrics_read(address, text, METRICS_BYTES_MAX) > 0) {
        sample->store_operations = metric(text, "\ntern_engine_operations_total ");
        sample->boot = metric(text, "\ntern_boot ");
        sample->restarts = metric(text, "\ntern_supervisor_restarts_total ");
    }
    free(text);
}

static void take(const struct sample_source *source, bool quick, struct sample *sample) {
    struct rusage own;
    *sample = (struct sample){0};
    if (source->has_metrics && !quick)
        metrics_take(&source->metrics, sample);
    if (source->pid > 0)
        tree_add(source->pid, 0, quick, sample);
    machine_take(sample);
    sample->load_resident_bytes =
        quick ? process_resident_bytes_quick(getpid()) : process_resident_bytes(getpid());
    getrusage(RUSAGE_SELF, &own);
    sample->load_cpu_us = (double)(own.ru_utime.tv_sec + own.ru_stime.tv_sec) * 1e6 +
                          (double)(own.ru_utime.tv_usec + own.ru_stime.tv_usec);
    sample->at_ns = clock_ns();
    if (source->fill != NULL)
        source->fill(source->fill_context, sample);
}

void sample_take(const struct sample_source *source, struct sample *sample) {
    take(source, false, sample);
}

void sample_take_quick(const struct sample_source *source, struct sample *sample) {
    take(source, true, sample);
}

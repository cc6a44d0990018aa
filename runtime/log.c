/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines: formatted into a fixed buffer and written at once to standard error.
 *
 * A place may write LOG_PER_SECOND lines a second; what it suppresses it says with its next line.
 * Nobody waits for the reader of a pipe: if there is no room for a line it is dropped and counted.
 * The process's log is the one thing that is not per runtime, as standard error is not.
 */
#include "runtime/log.h"

#include "runtime/scheduler_internal.h"
#include "runtime/seams.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES_MAX 2048u /* below PIPE_BUF: a line is never torn */
#define TEXT_BYTES_MAX 900u
#define LOG_PER_SECOND 20u

/* Stored by log_level_set, loaded by log_level_get and log_write, relaxed: it says nothing of other
 * memory. */
static enum log_level level_least = LOG_INFO;
static struct log_counters counters; /* figures, relaxed: log_counters_read alone reads them */
/* Added to in write_line, taken by the exchange in log_write, relaxed: a figure, which is said with
 * the next line that is written. */
static uint64_t lines_dropped;
static char service_fields[256]; /* constant while there are threads */
static const char *const level_names[] = {"debug", "info", "warn", "error"};

/* Names are written once, before the count that has them is published; levels are relaxed. */
static struct {
    char name[32];
    enum log_level level;
} classes[LOG_CLASSES_MAX];
static unsigned class_count; /* release; readers acquire */
static enum log_level level_of_chatty =
    LOG_INFO; /* relaxed: the least of all; LOG_DEBUG once a class has it */
static pthread_mutex_t levels_lock = PTHREAD_MUTEX_INITIALIZER; /* of those who set */

/* With the lock: what a line must reach to be looked at at all. */
static void levels_changed(void) {
    enum log_level least = level_least;
    for (unsigned i = 0; i < class_count; i++)
        if (classes[i].level < least)
            least = classes[i].level;
    __atomic_store_n(&level_of_chatty, least, __ATOMIC_RELAXED);
}

void log_level_set(enum log_level level) {
    pthread_mutex_lock(&levels_lock);
    __atomic_store_n(&level_least, level, __ATOMIC_RELAXED);
    levels_changed();
    pthread_mutex_unlock(&levels_lock);
}

enum log_level log_level_get(void) {
    return __atomic_load_n(&level_least, __ATOMIC_RELAXED);
}

int log_class_level_set(const char *class_name, enum log_level level) {
    unsigned at = 0;
    int error = strlen(class_name) < sizeof classes[0].name ? 0 : -ENAMETOOLONG;
    pthread_mutex_lock(&levels_lock);
    while (at < class_count && strcmp(classes[at].name, class_name) != 0)
        at++;
    if (at == LOG_CLASSES_MAX)
        error = -ENOSPC;
    if (!error) {
        __atomic_store_n(&classes[at].level, level, __ATOMIC_RELAXED);
        if (at == class_count) {
            strcpy(classes[at].name, class_name); /* NOLINT: measured */
            __atomic_store_n(&class_count, at + 1, __ATOMIC_RELEASE);
        }
        levels_changed();
    }
    pthread_mutex_unlock(&levels_lock);
    return error;
}

bool log_class_level_get(unsigned index, const char **class_name, enum log_level *level) {
    if (index >= __atomic_load_n(&class_count, __ATOMIC_ACQUIRE))
        return false;
    *class_name = classes[index].name;
    *level = __atomic_load_n(&classes[index].level, __ATOMIC_RELAXED);
    return true;
}

/* The running actor's class's, if it has one of its own. */
static enum log_level level_wanted(void) {
    const struct shard *shard = shard_of_thread;
    const struct actor *actor = shard ? shard->running.actor : NULL;
    const char *name;
    enum log_level level;
    for (unsigned i = 0; actor && log_class_level_get(i, &name, &level); i++)
        if (strcmp(name, actor->class->class->name) == 0)
            return level;
    return log_level_get();
}

static uint64_t wall_ms(void) {
    const struct seams *seams = shard_of_thread ? shard_of_thread->seams : seams_system();
    return seams->wall_ms(seams->context);
}

/* All fields of the site are touched here alone, by any thread, relaxed, and publish nothing: the
 * exchange of `second` lets one thread begin it, the compare-exchange of `allowed` takes one line
 * of what that one stored, the exchange of `suppressed` takes what was added below. A line more or
 * less in a second is no harm. */
static bool is_allowed(struct log_site *site, uint64_t second, uint32_t *suppressed) {
    *suppressed = 0;
    if (__atomic_exchange_n(&site->second, second, __ATOMIC_RELAXED) != second) {
        __atomic_store_n(&site->allowed, LOG_PER_SECOND - 1, __ATOMIC_RELAXED);
        *suppressed = __atomic_exchange_n(&site->suppressed, 0, __ATOMIC_RELAXED);
        return true;
    }
    uint32_t allowed = __atomic_load_n(&site->allowed, __ATOMIC_RELAXED);
    while (allowed)
        if (__atomic_compare_exchange_n(&site->allowed, &allowed, allowed - 1, true,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            return true;
    __atomic_fetch_add(&site->suppressed, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&counters.suppressed, 1, __ATOMIC_RELAXED);
    return false;
}

/* How many bytes of UTF-8 are well-formed at the begin of `text`; 0: none. (RFC 3629; overlong
 * forms and surrogates are let through, which every reader of JSON bears.) */
static unsigned utf8_length(const unsigned char *text) {
    unsigned length = text[0] < 0x80   ? 1
                      : text[0] < 0xc2 ? 0
                      : text[0] < 0xe0 ? 2
                      : text[0] < 0xf0 ? 3
                                       : 4;
    if (text[0] > 0xf4)
        return 0;
    for (unsigned i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

/* Into `out` as the inside of a JSON string; what does not fit is cut, what is no UTF-8 is marked.
 */
static void json_escape(const char *text, char *out, size_t capacity) {
    size_t used = 0;
    while (*text && used + 7 < capacity) {
        unsigned char c = (unsigned char)*text;
        unsigned length = utf8_length((const unsigned char *)text);
        if (c == '"' || c == '\\') {
            out[used++] = '\\';
            out[used++] = (char)c;
        } else if (c < 0x20) {
            used += (size_t)snprintf(out + used, capacity - used, "\\u%04x", c);
        } else if (length == 0) {
            out[used++] = '?';
        } else {
            memcpy(out + used, text, length);
            used += length;
        }
        text += length ? length : 1;
    }
    out[used] = 0;
}

/* What would move the cursor, or end the line, is not written to a terminal. */
static void text_tame(char *text) {
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = ' ';
}

void log_service_set(const char *service, const char *node) {
    char name[80], place[80];
    json_escape(service, name, sizeof name);
    json_escape(node, place, sizeof place);
    snprintf(service_fields, sizeof service_fields,
             ",\"service.name\":\"%s\",\"service.node.name\":\"%s\"", name, place);
}

static const char *base_name(const char *file) {
    const char *slash = strrchr(file, '/');
    return slash ? slash + 1 : file;
}

static size_t line_for_person(char *line, const struct log_site *site, const struct tm *at,
                              unsigned ms, const char *text) {
    int length = snprintf(line, LINE_BYTES_MAX, "%02d:%02d:%02d.%03u %-5s %s\n", at->tm_hour,
                          at->tm_min, at->tm_sec, ms, level_names[site->level], text);
    return (size_t)length;
}

/* Field names of the Elastic Common Schema. */
static size_t line_for_machine(char *line, const struct log_site *site, const struct tm *at,
                               unsigned ms, const char *text) {
    char escaped[LINE_BYTES_MAX - 640];
    json_escape(text, escaped, sizeof escaped);
    int length = snprintf(line, LINE_BYTES_MAX,
                          "{\"@timestamp\":\"%04d-%02d-%02dT%02d:%02d:%02d.%03uZ\","
                          "\"log.level\":\"%s\",\"message\":\"%s\","
                          "\"ecs.version\":\"" LOG_ECS_VERSION "\"%s,\"process.pid\":%d,"
                          "\"log.origin.file.name\":\"%.60s\",\"log.origin.file.line\":%d}\n",
                          at->tm_year + 1900, at->tm_mon + 1, at->tm_mday, at->tm_hour, at->tm_min,
                          at->tm_sec, ms, level_names[site->level], escaped, service_fields,
                          (int)getpid(), base_name(site->file), site->line);
    return (size_t)length;
}

static void write_line(const char *line, size_t length, enum log_level level) {
    struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&room, 1, 0) != 1 || write(STDERR_FILENO, line, length) < 0) {
        __atomic_fetch_add(&lines_dropped, 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(&counters.dropped, 1, __ATOMIC_RELAXED);
    } else {
        __atomic_fetch_add(&counters.written[level], 1, __ATOMIC_RELAXED);
    }
}

void log_counters_read(struct log_counters *read) {
    for (unsigned level = 0; level <= LOG_ERROR; level++)
        read->written[level] = __atomic_load_n(&counters.written[level], __ATOMIC_RELAXED);
    read->suppressed = __atomic_load_n(&counters.suppressed, __ATOMIC_RELAXED);
    read->dropped = __atomic_load_n(&counters.dropped, __ATOMIC_RELAXED);
}

void log_write(struct log_site *site, const char *format, ...) {
    char text[TEXT_BYTES_MAX + 96], line[LINE_BYTES_MAX];
    uint32_t suppressed;
    if (site->level < __atomic_load_n(&level_of_chatty, __ATOMIC_RELAXED) ||
        site->level < level_wanted())
        return;
    uint64_t now_ms = wall_ms();
    if (!is_allowed(site, now_ms / 1000, &suppressed))
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, TEXT_BYTES_MAX, format, arguments);
    va_end(arguments);
    size_t length = strlen(text);
    uint64_t dropped = __atomic_exchange_n(&lines_dropped, 0, __ATOMIC_RELAXED);
    if (suppressed || dropped)
        snprintf(text + length, sizeof text - length, " (%u like it suppressed, %lu lines dropped)",
                 suppressed, (unsigned long)dropped);
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm at;
    bool person = isatty(STDERR_FILENO);
    if (person) {
        text_tame(text);
        localtime_r(&seconds, &at);
    } else {
        gmtime_r(&seconds, &at);
    }
    length = (person ? line_for_person : line_for_machine)(line, site, &at,
                                                           (unsigned)(now_ms % 1000), text);
    write_line(line, length, site->level);
}

const char *log_phone(const char *phone, char *text) {
    size_t length = strlen(phone);
    if (length < 8)
        snprintf(text, 24, "\u2026");
    else
        snprintf(text, 24, "%.5s\u2026%s", phone, phone + length - 2);
    return text;
}

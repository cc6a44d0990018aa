/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines: one each, levels, rate-limited per place in the code with a count of what was
 * suppressed.
 *
 * Never a message's content, a key, or a phone number in full (log_phone masks one). Text on a
 * terminal; otherwise a JSON object, with field names of the Elastic Common Schema and what its
 * loggers must write (@timestamp, log.level, message, ecs.version). Any thread; a shard never
 * blocks on it (a full sink drops and counts).
 */
#ifndef TERN_RUNTIME_LOG_H
#define TERN_RUNTIME_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };

struct log_site {
    const char *file;
    int line;
    enum log_level level;
    uint32_t allowed; /* left in this second; atomics, see log.c */
    uint32_t suppressed;
    uint64_t second;
};

#define LOG_ECS_VERSION "8.11.0"

#define LOG_AT(level, ...)                                                           \
    do {                                                                             \
        static struct log_site log_site_here = {__FILE__, __LINE__, level, 0, 0, 0}; \
        log_write(&log_site_here, __VA_ARGS__);                                      \
    } while (0)
#define log_debug(...) LOG_AT(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) LOG_AT(LOG_INFO, __VA_ARGS__)
#define log_warning(...) LOG_AT(LOG_WARNING, __VA_ARGS__)
#define log_error(...) LOG_AT(LOG_ERROR, __VA_ARGS__)

__attribute__((format(printf, 2, 3))) void log_write(struct log_site *site, const char *format,
                                                     ...);
void log_level_set(enum log_level level);
enum log_level log_level_get(void);
/* The level of lines that actors of this class write, whatever the others' is. -ENOSPC: there are
 * LOG_CLASSES_MAX already; -ENAMETOOLONG. */
#define LOG_CLASSES_MAX 16u
int log_class_level_set(const char *class_name, enum log_level level);
/* The `index`-th of them: false, there are not so many. The name is constant from then on. */
bool log_class_level_get(unsigned index, const char **class_name, enum log_level *level);
/* What every line of JSON says besides: the service, and which of its nodes. Copied, and cut at 64
 * bytes. Once, before there is a thread. */
void log_service_set(const char *service, const char *node);
/* Of the process, since its start; any thread. */
struct log_counters {
    uint64_t written[LOG_ERROR + 1]; /* lines, by level */
    uint64_t suppressed;             /* by the bound of their place */
    uint64_t dropped;                /* the sink had no room */
};
void log_counters_read(struct log_counters *counters);
/* "+1555…00" into text (at least 24 bytes); returns text. */
const char *log_phone(const char *phone, char *text);

#endif

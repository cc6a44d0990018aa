/* SPDX-License-Identifier: Apache-2.0 */
/* Text for a crash record: no stdio, no memory but the buffer, no call but write. */
#include "runtime/crash_internal.h"
#include "runtime/log.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

void crash_text_flush(struct crash_text *text) {
    size_t done = 0;
    if (text->fd < 0)
        return;
    while (done < text->used) {
        ssize_t written = write(text->fd, text->bytes + done, text->used - done);
        if (written < 0 && errno != EINTR)
            break; /* a full disk: the record is cut */
        done += written > 0 ? (size_t)written : 0;
    }
    text->used = 0;
}

static void put(struct crash_text *text, char character) {
    if (text->used == sizeof text->bytes)
        crash_text_flush(text);
    if (text->used < sizeof text->bytes)
        text->bytes[text->used++] = character;
}

void crash_put(struct crash_text *text, const char *string) {
    while (*string)
        put(text, *string++);
}

void crash_put_character(struct crash_text *text, char character) {
    put(text, character >= ' ' && character <= '~' ? character : '?');
}

void crash_put_digits(struct crash_text *text, uint64_t number, unsigned digits) {
    char reversed[20];
    unsigned count = 0;
    do {
        reversed[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number && count < sizeof reversed);
    for (unsigned i = count; i < digits; i++)
        put(text, '0');
    while (count)
        put(text, reversed[--count]);
}

void crash_put_number(struct crash_text *text, int64_t number) {
    if (number < 0)
        put(text, '-');
    crash_put_digits(text, number < 0 ? -(uint64_t)number : (uint64_t)number, 1);
}

void crash_put_hex(struct crash_text *text, uint64_t number) {
    unsigned shift = 60;
    crash_put(text, "0x");
    while (shift && !(number >> shift))
        shift -= 4;
    for (;; shift -= 4) {
        put(text, "0123456789abcdef"[number >> shift & 15]);
        if (!shift)
            return;
    }
}

/* Days since 1970 to a date: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms". */
void crash_put_time(struct crash_text *text, uint64_t unix_s, bool punctuated) {
    uint64_t days = unix_s / 86400 + 719468, seconds = unix_s % 86400;
    uint64_t era = days / 146097, day_of_era = days % 146097;
    uint64_t year =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    uint64_t day = day_of_era - (365 * year + year / 4 - year / 100);
    uint64_t month = (5 * day + 2) / 153; /* from March on */
    const char *dash = punctuated ? "-" : "", *colon = punctuated ? ":" : "";
    crash_put_digits(text, year + era * 400 + (month >= 10), 4);
    crash_put(text, dash);
    crash_put_digits(text, month < 10 ? month + 3 : month - 9, 2);
    crash_put(text, dash);
    crash_put_digits(text, day - (153 * month + 2) / 5 + 1, 2);
    crash_put(text, "T");
    crash_put_digits(text, seconds / 3600, 2);
    crash_put(text, colon);
    crash_put_digits(text, seconds / 60 % 60, 2);
    crash_put(text, colon);
    crash_put_digits(text, seconds % 60, 2);
    crash_put(text, "Z");
}

/* --- a line of the log --- */

void crash_line_begin(struct crash_text *text) {
    struct timespec now = {0};
    if (isatty(text->fd))
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    crash_put(text, "{\"@timestamp\":\"");
    crash_put_time(text, (uint64_t)now.tv_sec, true);
    crash_put(text, "\",\"log.level\":\"error\",\"message\":\"");
}

void crash_line_put(struct crash_text *text, const char *string) {
    for (; *string; string++)
        crash_put_character(text, *string == '"' ? '\'' : *string == '\\' ? '/' : *string);
}

void crash_line_end(struct crash_text *text) {
    if (!isatty(text->fd)) {
        crash_put(text, "\",\"ecs.version\":\"" LOG_ECS_VERSION "\",\"process.pid\":");
        crash_put_number(text, getpid());
        crash_put(text, "}");
    }
    crash_put(text, "\n");
    crash_text_flush(text);
}

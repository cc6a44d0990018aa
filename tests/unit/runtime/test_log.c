/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines as a terminal and as a machine gets them. Whether a node keeps secrets out of them, the
 * scenario test_log.py asks. */
#include "runtime/log.h"

#include "runtime/check.h"

#include <fcntl.h>
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define LINES 100
#define LINES_PER_SECOND 20

static char text[65536];
static int stderr_before, reading;

static void redirect(int reader, int writer) {
    fflush(stderr);
    stderr_before = dup(STDERR_FILENO);
    dup2(writer, STDERR_FILENO);
    close(writer);
    reading = reader;
    fcntl(reading, F_SETFL, O_NONBLOCK);
}

static void to_pipe(void) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    redirect(ends[0], ends[1]);
}

static void to_terminal(void) {
    int ends[2];
    assert_int_equal(openpty(&ends[0], &ends[1], NULL, NULL, NULL), 0);
    redirect(ends[0], ends[1]);
}

/* What was logged so far is in `text`. */
static void restore(void) {
    size_t length = 0;
    ssize_t got;
    while ((got = read(reading, text + length, sizeof text - 1 - length)) > 0)
        length += (size_t)got;
    text[length] = 0;
    dup2(stderr_before, STDERR_FILENO);
    close(stderr_before);
    close(reading);
}

static unsigned lines_in_text(void) {
    unsigned lines = 0;
    for (const char *at = text; (at = strchr(at, '\n')); at++)
        lines++;
    return lines;
}

static void terminal_gets_one_line_of_text(void **state) {
    to_terminal();
    log_warning("two\nlines and \033[2J, %d", 7);
    restore();
    assert_int_equal(lines_in_text(), 1);
    assert_non_null(strstr(text, " warn  two lines and  [2J, 7"));
    assert_null(strchr(text, '{'));
}

static void machine_gets_one_object_of_json(void **state) {
    to_pipe();
    log_service_set("tern-\"test\"", "node 1");
    log_error("two\nlines, a \"quote\", a \\, \xc3\xa9, \xff and %d", 7);
    log_service_set("", "");
    restore();
    assert_int_equal(lines_in_text(), 1);
    assert_memory_equal(text, "{\"@timestamp\":\"20", 17);
    assert_non_null(strstr(text, "\"log.level\":\"error\",\"message\":\"two\\u000alines, a "
                                 "\\\"quote\\\", a \\\\, \xc3\xa9, ? and 7\""));
    assert_non_null(strstr(text, "\"ecs.version\":\"8.11.0\""));
    assert_non_null(strstr(text, "\"service.name\":\"tern-\\\"test\\\"\""));
    assert_non_null(strstr(text, "\"service.node.name\":\"node 1\""));
    assert_non_null(strstr(text, "\"log.origin.file.name\":\"test_log.c\""));
    assert_string_equal(text + strlen(text) - 2, "}\n");
}

static void line_that_is_too_long_stays_one_object(void **state) {
    static char quotes[4000];
    memset(quotes, '"', sizeof quotes - 1);
    to_pipe();
    log_error("%s", quotes);
    restore();
    assert_int_equal(lines_in_text(), 1);
    assert_in_range(strlen(text), 1000, 2048);
    assert_string_equal(text + strlen(text) - 2, "}\n");
}

static void say(unsigned i) {
    log_info("line %u", i);
}

static void sleep_ms(long ms) {
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

/* The place is bounded in each second; the first line of a later one says how many are missing. */
static void place_is_bounded_and_counts_what_it_suppressed(void **state) {
    unsigned suppressed = 0;
    struct log_counters before, after;
    log_counters_read(&before);
    to_pipe();
    for (unsigned i = 0; i < LINES; i++)
        say(i);
    sleep_ms(1100);
    say(LINES);
    restore();
    unsigned lines = lines_in_text();
    assert_in_range(lines, LINES_PER_SECOND + 1, 3 * LINES_PER_SECOND);
    for (const char *at = text; (at = strchr(at, '(')); at++)
        suppressed += (unsigned)strtoul(at + 1, NULL, 10);
    assert_non_null(strstr(text, " like it suppressed"));
    assert_int_equal(lines + suppressed, LINES + 1);
    log_counters_read(&after);
    assert_int_equal(after.written[LOG_INFO] - before.written[LOG_INFO], lines);
    assert_int_equal(after.suppressed - before.suppressed, suppressed);
    assert_int_equal(after.dropped, before.dropped);
}

static void full_sink_drops_and_says_so(void **state) {
    unsigned wrote = 0;
    struct log_counters before, after;
    log_counters_read(&before);
    to_pipe();
    fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK);
    while (write(STDERR_FILENO, text, 512) > 0)
        wrote++;
    assert_true(wrote > 0);
    log_info("this finds no room");
    while (read(reading, text, sizeof text) > 0)
        ;
    log_info("this does");
    restore();
    log_counters_read(&after);
    assert_int_equal(after.dropped - before.dropped, 1);
    assert_null(strstr(text, "this finds no room"));
    assert_non_null(strstr(text, "this does (0 like it suppressed, 1 lines dropped)"));
}

static void level_keeps_what_is_below_it_out(void **state) {
    to_pipe();
    log_debug("unseen");
    log_level_set(LOG_ERROR);
    log_warning("unseen");
    log_error("seen");
    log_level_set(LOG_INFO);
    restore();
    assert_int_equal(lines_in_text(), 1);
    assert_null(strstr(text, "unseen"));
}

static void phone_is_masked(void **state) {
    char masked[24];
    assert_string_equal(log_phone("+15550001023", masked), "+1555\u202623");
    assert_string_equal(log_phone("+155500", masked), "\u2026");
}

static void failed_check_is_json_too(void **state) {
    int status, nothing = 0;
    to_pipe();
    pid_t child = fork();
    if (child == 0)
        CHECK(nothing == 1 && "a \"quote\"");
    waitpid(child, &status, 0);
    restore();
    assert_true(WIFSIGNALED(status));
    assert_int_equal(lines_in_text(), 1);
    assert_memory_equal(text, "{\"@timestamp\":\"20", 17);
    assert_non_null(strstr(text, "check failed: nothing == 1 && 'a /'quote/''\""));
    assert_string_equal(text + strlen(text) - 2, "}\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(terminal_gets_one_line_of_text),
        cmocka_unit_test(machine_gets_one_object_of_json),
        cmocka_unit_test(line_that_is_too_long_stays_one_object),
        cmocka_unit_test(place_is_bounded_and_counts_what_it_suppressed),
        cmocka_unit_test(full_sink_drops_and_says_so),
        cmocka_unit_test(level_keeps_what_is_below_it_out),
        cmocka_unit_test(phone_is_masked),
        cmocka_unit_test(failed_check_is_json_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

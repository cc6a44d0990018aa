/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Crash records, by children that really crash: each starts a runtime with threads and tells an
 * actor of it to do what cannot be recovered from.
 */
#include "tests/unit/runtime/fixture.h"

#include "runtime/crash.h"
#include "runtime/pool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    READ_NULL = ACTOR_KIND_FIRST,
    OVERFLOW,
    CHECK_FAILS,
    ABORT,
    DIVIDE,
    CALL_NOTHING,
    BREAK_CLASS,
    IN_POOL,
    IN_INIT,
    IN_AFTER_TURN,
    ILLEGAL
};

/* It ends the process at a second fault within a handler. */
#ifdef __SANITIZE_THREAD__
#define UNDER_THREAD_SANITIZER 1
#else
#define UNDER_THREAD_SANITIZER 0
#endif

static char directory[64];
static char record[256 * 1024];
static volatile int zero;

/* --- the actors of the child
 * ------------------------------------------------------------------- */

static const char secret[] = "what the message holds";

static size_t describe(const void *of, char *text, size_t bytes) {
    return (size_t)snprintf(text, bytes, "input %u\n", *(const unsigned *)of);
}

__attribute__((noinline)) static int read_null(void) {
    return *(volatile int *)(uintptr_t)(zero + 0x10); // NOLINT(performance-no-int-to-ptr)
}
static void on_read_null(void *state, struct message **message) {
    static const unsigned of = 77;
    actor_blame(describe, &of);
    zero = read_null();
}
/* GCC would make a loop of what is simpler. */
__attribute__((noinline)) static unsigned overflow(unsigned depth) { // NOLINT(misc-no-recursion)
    volatile unsigned char frame[2048];
    memset((void *)frame, (int)depth, sizeof frame);
    return depth == UINT32_MAX ? 0 : overflow(depth + 1) + frame[depth % sizeof frame];
}
static void on_overflow(void *state, struct message **message) {
    zero = (int)overflow(1);
}
static void on_check(void *state, struct message **message) {
    CHECK(zero == 1);
}
static void on_abort(void *state, struct message **message) {
    abort();
}
static void on_divide(void *state, struct message **message) {
    raise(SIGFPE); /* not every processor faults at a division by zero */
}
static void on_call_nothing(void *state, struct message **message) {
    ((void (*)(void))(uintptr_t)zero)(); // NOLINT(performance-no-int-to-ptr)
}
static void on_break_class(void *state, struct message **message) {
    struct shard *shard = shard_of_thread;
    shard->running.actor->class = (struct class_entry *)8; // NOLINT(performance-no-int-to-ptr)
    zero = read_null();
}
static void crash_on_pool(struct message *message) {
    static const unsigned of = 78;
    actor_blame(describe, &of);
    zero = read_null();
}
static void on_in_pool(void *state, struct message **message) {
    struct message *job = message_create(READ_NULL, 0);
    actor_run_blocking(crash_on_pool, &job);
}
static int init_that_crashes(void *state, const void *argument) {
    return read_null();
}
static const struct actor_class child_class = {.name = "child", .init = init_that_crashes};
static void on_in_init(void *state, struct message **message) {
    struct actor_id id;
    actor_spawn(&child_class, NULL, ACTOR_NOBODY, &id);
}
static bool after_turn_crashes;
static void on_in_after_turn(void *state, struct message **message) {
    static const unsigned of = 78;
    actor_blame(describe, &of);
    after_turn_crashes = true;
}
static void after_turn(void *state) {
    if (after_turn_crashes)
        zero = read_null();
}
static void on_illegal(void *state, struct message **message) {
    __builtin_trap();
}
static const struct actor_handler handlers[] = {
    [READ_NULL] = {"read_null", on_read_null},
    [OVERFLOW] = {"overflow", on_overflow},
    [CHECK_FAILS] = {"check_fails", on_check},
    [ABORT] = {"abort", on_abort},
    [DIVIDE] = {"divide", on_divide},
    [CALL_NOTHING] = {"call_nothing", on_call_nothing},
    [BREAK_CLASS] = {"break_class", on_break_class},
    [IN_POOL] = {"in_pool", on_in_pool},
    [IN_INIT] = {"in_init", on_in_init},
    [IN_AFTER_TURN] = {"in_after_turn", on_in_after_turn},
    [ILLEGAL] = {"illegal", on_illegal},
};
static const struct actor_class crasher = {.name = "crasher",
                                           .handlers = handlers,
                                           .handler_count = ILLEGAL + 1,
                                           .after_turn = after_turn};
static const struct supervisor_child children[] = {{.class = &crasher, .dynamic = true}};
static const struct supervisor_spec tree = {.name = "root", .children = children, .child_count = 1};

/* --- the child and its record
 * ------------------------------------------------------------------ */

/* Ends by a signal, or by _exit(1). */
__attribute__((noreturn)) static void crash_in_child(uint16_t kind) {
    const struct rlimit none = {0};
    struct runtime *runtime;
    struct runtime_options options = {.shards = 1,
                                      .pool_threads = 1,
                                      .root = &tree,
                                      .seams = fixture_seams_threads(),
                                      .crash_directory = directory,
                                      .crash_version = "test 1"};
    setrlimit(RLIMIT_CORE, &none);
    int quiet = open("/dev/null", O_WRONLY);
    dup2(quiet, STDERR_FILENO);
    if (runtime_start(&options, &runtime) != 0)
        _exit(1);
    struct message *message = message_create(kind, sizeof secret);
    memcpy(message_payload(message), secret, sizeof secret);
    message->flags = MESSAGE_NAMED;
    message->to = (struct actor_id){5};
    message->to_class = &crasher;
    shard_inbox_push(runtime->shards[0], message);
    sleep(20);
    _exit(1);
}

static int read_record(void *context, const char *path) {
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t length = read(fd, record, sizeof record - 1);
    assert_true(length > 0);
    record[length] = '\0';
    close(fd);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    (*(unsigned *)context)++;
    return 0;
}

static int remove_record(void *context, const char *path) {
    return unlink(path);
}

/* Leaves the record in `record`. */
static void crash_by(uint16_t kind, int signal) {
    int status;
    unsigned records = 0;
    crash_records_visit(directory, remove_record, NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        crash_in_child(kind);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), signal);
    assert_int_equal(crash_records_visit(directory, read_record, &records), 0);
    assert_int_equal(records, 1);
    char path[CRASH_PATH_BYTES_MAX];
    assert_int_equal(crash_record_of(directory, child, path), 0);
    assert_int_equal(crash_record_of(directory, child + 1, path), -ENOENT);
    assert_non_null(strstr(record, "Tern crash record, format 1\n"));
    assert_non_null(strstr(record, "\nversion: test 1\n"));
    assert_string_equal(record + strlen(record) - 5, "\nend\n");
    assert_null(strstr(record, secret));
}

static void has(const char *text) {
    if (!strstr(record, text))
        fail_msg("no \"%s\" in:\n%s", text, record);
}
static void has_not(const char *text) {
    if (strstr(record, text))
        fail_msg("\"%s\" in:\n%s", text, record);
}

/* --- the tests
 * --------------------------------------------------------------------------------- */

static void a_fault_names_actor_message_blame_and_functions(void **state) {
    char text[64];
    char path[CRASH_PATH_BYTES_MAX];
    crash_by(READ_NULL, SIGSEGV);
    has("summary: SIGSEGV at 0x10 in crasher, message read_null (32), in read_null+0x");
    has("\nsignal: SIGSEGV (11), code 1\naddress: 0x10\nthread: shard 0\n");
    has("\nactor: 0x");
    has("\nclass: crasher\nkey: 5\nmessage: read_null (32)\nblame: input 77?\nbacktrace:\n  0 "
        "read_null+0x");
    has(" on_read_null+0x");
    has(" shard_step+0x");
    has(" thread_run+0x");
    has("\nevents of shard 0, the newest last:\n");
    has(" ms spawn crasher 0x");
    has(" ms message crasher 0x");
    has_not("overflow");
    struct dirent **names;
    assert_int_equal(scandir(directory, &names, NULL, alphasort), 3);
    snprintf(path, sizeof path, "%s/%s", directory, names[2]->d_name);
    assert_int_equal(crash_record_field(path, "class", text, sizeof text), 0);
    assert_string_equal(text, "crasher");
    assert_int_equal(crash_record_field(path, "class", text, 4), 0);
    assert_string_equal(text, "cra");
    assert_int_equal(crash_record_field(path, "colour", text, sizeof text), -ENOENT);
    uint64_t when_ms = 0;
    assert_int_equal(crash_record_time(path, &when_ms), 0);
    assert_true((uint64_t)time(NULL) * 1000 - when_ms <= 60000);
    for (unsigned i = 0; i < 3; i++)
        free(names[i]);
    free(names);
}

static void an_overflowing_stack_is_called_so(void **state) {
    crash_by(OVERFLOW, SIGSEGV);
    has("summary: SIGSEGV (stack overflow) in crasher, message overflow (33)");
    has("\nstack: overflow\n");
    has(" overflow+0x");
    has("\nblame: nobody\n");
}

static void a_failed_check_says_which(void **state) {
    crash_by(CHECK_FAILS, SIGABRT);
    has("summary: SIGABRT (a failed check) in crasher");
    has("\ncheck: zero == 1 (tests/unit/runtime/test_crash.c:");
    has(" on_check+0x");
}

static void abort_and_illegal_instructions_and_raised_signals_leave_one(void **state) {
    crash_by(ABORT, SIGABRT);
    has("summary: SIGABRT in crasher, message abort");
    has(" on_abort+0x");
    has_not("\ncheck: ");
    crash_by(ILLEGAL, SIGILL);
    has("summary: SIGILL at 0x");
    has(" on_illegal+0x");
    crash_by(DIVIDE, SIGFPE);
    has("\nmessage: divide (");
    has_not("\naddress: ");
}

static void a_call_of_nothing_names_its_caller(void **state) {
    crash_by(CALL_NOTHING, SIGSEGV);
    has("\naddress: 0x0\n");
    has(" on_call_nothing+0x");
}

static void broken_memory_costs_a_part_not_the_record(void **state) {
    if (UNDER_THREAD_SANITIZER)
        skip();
    crash_by(BREAK_CLASS, SIGSEGV);
    has("(this part cannot be read)");
    has(" on_break_class+0x");
    has("\nevents of shard 0");
}

static void a_pool_threads_crash_is_no_actors(void **state) {
    crash_by(IN_POOL, SIGSEGV);
    has("\nthread: pool 0\nactor: none was running here\n");
    has("\nblame: input 78?\n");
    has(" crash_on_pool+0x");
    has_not("events of");
}

static void an_init_that_crashes_is_the_new_actors(void **state) {
    crash_by(IN_INIT, SIGSEGV);
    has("\nclass: child\n");
    has("\nmessage: its init\n");
    has(" on_in_init+0x");
}

static void the_end_of_a_turn_blames_nobody(void **state) {
    crash_by(IN_AFTER_TURN, SIGSEGV);
    has(" after_turn+0x");
    has("\nblame: nobody\n");
}

static void write_file(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void a_record_tells_when_it_was_written(void **state) {
    static const char *const wrong[] = {"", "time: now\n", "time: 2026-13-01T00:00:00Z\n",
                                        "time: 2026-11-24T08:45:12Z and more\n"};
    uint64_t when_ms = 7;
    char path[128];
    snprintf(path, sizeof path, "%s/CRASH-20260101T000000Z-8", directory);
    for (unsigned i = 0; i < 4; i++) {
        write_file(path, wrong[i]);
        assert_int_equal(crash_record_time(path, &when_ms), -EBADMSG);
    }
    assert_int_equal(crash_record_time("/nonexistent", &when_ms), -EBADMSG);
    assert_int_equal(when_ms, 7);
    write_file(path, "summary: x\ntime: 2026-11-24T08:45:12Z\n");
    assert_int_equal(crash_record_time(path, &when_ms), 0);
    assert_int_equal(when_ms, 1795509912000);
    unlink(path);
}

static void only_so_many_records_are_kept(void **state) {
    char path[128];
    unsigned records = 0;
    crash_records_visit(directory, remove_record, NULL);
    for (unsigned i = 0; i < 5; i++) {
        snprintf(path, sizeof path, "%s/CRASH-2026010%uT000000Z-7", directory, i + 1);
        write_file(path, "summary: one\n");
    }
    const struct crash_options options = {.directory = directory, .records_max = 4};
    assert_int_equal(crash_install(&options), 0);
    assert_int_equal(crash_install(&options), -EALREADY);
    crash_uninstall();
    assert_int_equal(crash_records_visit(directory, read_record, &records), 0);
    assert_int_equal(records, 3);
    snprintf(path, sizeof path, "%s/CRASH-20260102T000000Z-7", directory);
    assert_int_equal(access(path, F_OK), -1);
    snprintf(path, sizeof path, "%s/CRASH-20260103T000000Z-7", directory);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(crash_records_visit("/nonexistent/crashes", read_record, &records), 0);
}

static int setup(void **state) {
    strcpy(directory, "/tmp/tern-crash-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int teardown(void **state) {
    crash_records_visit(directory, remove_record, NULL);
    return rmdir(directory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fault_names_actor_message_blame_and_functions),
        cmocka_unit_test(an_overflowing_stack_is_called_so),
        cmocka_unit_test(a_failed_check_says_which),
        cmocka_unit_test(abort_and_illegal_instructions_and_raised_signals_leave_one),
        cmocka_unit_test(a_call_of_nothing_names_its_caller),
        cmocka_unit_test(broken_memory_costs_a_part_not_the_record),
        cmocka_unit_test(a_pool_threads_crash_is_no_actors),
        cmocka_unit_test(an_init_that_crashes_is_the_new_actors),
        cmocka_unit_test(the_end_of_a_turn_blames_nobody),
        cmocka_unit_test(a_record_tells_when_it_was_written),
        cmocka_unit_test(only_so_many_records_are_kept),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

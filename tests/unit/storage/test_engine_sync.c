/* SPDX-License-Identifier: Apache-2.0 */
/*
 * That a synced write waits for fdatasync of RocksDB's log, once for many batches, and reports its
 * failure. The program starts itself again under tests/fault/fdatasync.c, which holds or fails the
 * call as a control file says; nothing here depends on how long anything takes.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "storage/engine_rocksdb.h"
#include "tests/unit/storage/store.h"

#define ALL ((struct engine_bytes){NULL, 0})

static char control_directory[64];
static char control_path[80];
static char calls_path[96];
static struct engine *engine;
static char store_path[80];

static void control(const char *text) {
    char path[96]; /* renamed into place, so that no half of it is read */
    snprintf(path, sizeof(path), "%s.new", control_path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(rename(path, control_path), 0);
}

/* How many matched syncs were noted with `what`. */
static unsigned calls(const char *what) {
    unsigned count = 0;
    char line[256];
    FILE *file = fopen(calls_path, "r");
    while (file && fgets(line, sizeof(line), file))
        count += strncmp(line, what, strlen(what)) == 0;
    if (file)
        fclose(file);
    return count;
}

static void open_engine(void) {
    struct engine_rocksdb_options options = {.memory_bytes_max = 8 << 20, .reserve_bytes = 1};
    assert_int_equal(engine_rocksdb_open(store_path, &options, &engine, NULL, 0), 0);
}

static int begin(void **state) {
    store_make_directory(control_directory);
    snprintf(control_path, sizeof(control_path), "%s/control", control_directory);
    snprintf(calls_path, sizeof(calls_path), "%s.calls", control_path);
    snprintf(store_path, sizeof(store_path), "%s/store", control_directory);
    setenv("TERN_FAULT_SYNC", control_path, 1);
    open_engine();
    /* The first write after opening makes RocksDB sync its directory too. */
    store_put(engine, ENGINE_META, TEXT("first"), TEXT("v"));
    control("match .log\n");
    return 0;
}

static int end(void **state) {
    engine_close(engine);
    store_remove_directory(control_directory);
    return 0;
}

static int write_key(struct engine_bytes key, enum engine_sync sync) {
    struct write_batch batch;
    write_batch_init(&batch, 4096);
    write_batch_put(&batch, ENGINE_MAIL, key, TEXT("v"));
    struct write_batch *batches[] = {&batch};
    int error = engine_write(engine, batches, 1, sync);
    write_batch_finish(&batch);
    return error;
}

static atomic_bool written;

static void *write_in_thread(void *context) {
    int error = write_key(TEXT("held"), ENGINE_SYNC);
    atomic_store(&written, true);
    return (void *)(intptr_t)error;
}

static void synced_write_waits_for_fdatasync(void **state) {
    control("hold\n");
    pthread_t thread;
    atomic_store(&written, false);
    assert_int_equal(pthread_create(&thread, NULL, write_in_thread, NULL), 0);
    while (calls("begin") == 0)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    assert_false(atomic_load(&written));
    assert_null(store_get(engine, ENGINE_MAIL, TEXT("held"))); /* nobody sees it before */
    assert_int_equal(calls("end"), 0);
    control("");
    void *error = (void *)1;
    assert_int_equal(pthread_join(thread, &error), 0);
    assert_null(error);
    assert_int_equal(calls("end"), 1);
    assert_non_null(store_get(engine, ENGINE_MAIL, TEXT("held")));
}

static void many_batches_share_one_fdatasync(void **state) {
    enum { COUNT = 50 };
    struct write_batch batches[COUNT];
    struct write_batch *pointers[COUNT];
    char keys[COUNT][16];
    for (int i = 0; i < COUNT; i++) {
        write_batch_init(&batches[i], 4096);
        snprintf(keys[i], sizeof(keys[i]), "k%02d", i);
        write_batch_put(&batches[i], ENGINE_MAIL, (struct engine_bytes){keys[i], 3}, TEXT("v"));
        pointers[i] = &batches[i];
    }
    assert_int_equal(engine_write(engine, pointers, COUNT, ENGINE_SYNC), 0);
    assert_int_equal(calls("begin"), 1);
    assert_int_equal(calls("end"), 1);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(batches[i].result, 0);
        write_batch_finish(&batches[i]);
    }
}

static void unsynced_write_waits_for_nothing_and_a_later_sync_covers_it(void **state) {
    assert_int_equal(write_key(TEXT("a"), ENGINE_NO_SYNC), 0);
    assert_int_equal(calls("begin"), 0);
    assert_int_equal(engine_write(engine, NULL, 0, ENGINE_SYNC), 0);
    assert_int_equal(calls("end"), 1);
}

static void failed_fdatasync_is_eio_for_good(void **state) {
    control("fail\n");
    assert_int_equal(write_key(TEXT("lost"), ENGINE_SYNC), -EIO);
    assert_int_equal(calls("fail"), 1);
    char text[256];
    engine_error(engine, text, sizeof(text));
    assert_non_null(strstr(text, "Input/output error"));
    assert_null(store_get(engine, ENGINE_MAIL, TEXT("lost")));
    control("");
    assert_int_equal(write_key(TEXT("later"), ENGINE_SYNC), -EIO);
    struct engine_gauges gauges;
    engine_gauges(engine, &gauges);
    assert_int_equal(gauges.failed_writes, 2);
    engine_close(engine);
    open_engine();
    assert_non_null(store_get(engine, ENGINE_META, TEXT("first")));
    assert_null(store_get(engine, ENGINE_MAIL, TEXT("later")));
    assert_int_equal(write_key(TEXT("again"), ENGINE_SYNC), 0);
}

/* Start again with the interposer, which lies beside this program in the build. */
static void start_again_under_faults(char *arguments[]) {
    char program[512];
    char library[600];
    ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
    if (length <= 0)
        abort();
    program[length] = '\0';
    for (int i = 0; i < 3; i++)
        *strrchr(program, '/') = '\0';
    snprintf(library, sizeof(library), "%s/fault/libfault-fdatasync.so", program);
    setenv("LD_PRELOAD", library, 1);
    const char *asan = getenv("ASAN_OPTIONS");
    char options[512]; /* the address sanitizer wants to be first, and need not be */
    snprintf(options, sizeof(options), "%s%sverify_asan_link_order=0", asan ? asan : "",
             asan ? ":" : "");
    setenv("ASAN_OPTIONS", options, 1);
    execv("/proc/self/exe", arguments);
    abort();
}

#define WITH_FAULTS(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(int count, char *arguments[]) {
    if (!getenv("LD_PRELOAD"))
        start_again_under_faults(arguments);
    const struct CMUnitTest tests[] = {
        WITH_FAULTS(synced_write_waits_for_fdatasync),
        WITH_FAULTS(many_batches_share_one_fdatasync),
        WITH_FAULTS(unsynced_write_waits_for_nothing_and_a_later_sync_covers_it),
        WITH_FAULTS(failed_fdatasync_is_eio_for_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

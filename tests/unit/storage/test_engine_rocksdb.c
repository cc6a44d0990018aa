/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What only the real engine has: its lock, its files, a disk that fills up, a process that is
 * killed. The full disk is a small tmpfs in a mount namespace of this process; where that is not
 * allowed (no root) the test is skipped, and the one with a raised reserve still stands for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "storage/engine_rocksdb.h"
#include "tests/unit/storage/store.h"

#define ALL ((struct engine_bytes){NULL, 0})
#define MIB (1u << 20)

static void second_opening_is_refused_as_busy(void **state) {
    struct store store;
    store_open(&store, STORE_ROCKSDB);
    struct engine_rocksdb_options options = {0};
    struct engine *second = NULL;
    char error[256] = "";
    assert_int_equal(engine_rocksdb_open(store.path, &options, &second, error, sizeof(error)),
                     -EBUSY);
    assert_non_null(strstr(error, "another process has"));
    assert_null(second);
    pid_t child = fork(); /* nothing but the opening happens in it: the parent has threads */
    if (child == 0)
        _exit(engine_rocksdb_open(store.path, &options, &second, NULL, 0) == -EBUSY ? 0 : 1);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    store_close(&store);
}

static void opening_says_what_is_wrong_with_the_directory(void **state) {
    struct engine_rocksdb_options options = {0};
    struct engine *engine = NULL;
    char error[256] = "";
    assert_int_equal(
        engine_rocksdb_open("/nonexistent/parent/store", &options, &engine, error, sizeof(error)),
        -ENOENT);
    assert_non_null(strstr(error, "/nonexistent/parent/store"));
    error[0] = '\0';
    assert_true(engine_rocksdb_open("/dev/null", &options, &engine, error, sizeof(error)) < 0);
    assert_true(error[0] != '\0');
    options.memory_bytes_max = 1;
    assert_int_equal(engine_rocksdb_open("/tmp", &options, &engine, NULL, 0), -EINVAL);
    assert_null(engine);
}

static void opening_refuses_a_damaged_store(void **state) {
    struct store store;
    store_open(&store, STORE_ROCKSDB);
    store_put(store.engine, ENGINE_META, TEXT("k"), TEXT("v"));
    engine_close(store.engine);
    char path[96];
    snprintf(path, sizeof(path), "%s/CURRENT", store.path);
    int file = open(path, O_WRONLY | O_TRUNC);
    assert_int_equal(write(file, "nonsense\n", 9), 9);
    close(file);
    struct engine_rocksdb_options options = {0};
    char error[256] = "";
    int code = engine_rocksdb_open(store.path, &options, &store.engine, error, sizeof(error));
    assert_true(code == -EBADMSG || code == -EIO || code == -ENOENT);
    assert_true(error[0] != '\0');
    store_remove_directory(store.path);
}

/* In a child: write pairs of keys for ever, telling each durable number down the pipe. */
static void write_until_killed(const char *path, int pipe_end) {
    struct engine_rocksdb_options options = {.memory_bytes_max = 8 * MIB};
    struct engine *engine;
    if (engine_rocksdb_open(path, &options, &engine, NULL, 0))
        _exit(1);
    for (uint32_t number = 0;; number++) {
        char keys[2][16];
        struct write_batch batch;
        write_batch_init(&batch, 4096);
        for (int i = 0; i < 2; i++) {
            snprintf(keys[i], sizeof(keys[i]), "%c%08u", 'a' + i, number);
            struct engine_bytes key = {keys[i], 9};
            write_batch_put(&batch, ENGINE_MAIL, key, key);
        }
        struct write_batch *batches[] = {&batch};
        if (engine_write(engine, batches, 1, ENGINE_SYNC) || write(pipe_end, &number, 4) != 4)
            _exit(1);
        write_batch_finish(&batch);
    }
}

static int count_key(void *context, struct engine_bytes key, struct engine_bytes value) {
    uint32_t *counts = context;
    counts[((const char *)key.data)[0] - 'a']++;
    return 0;
}

static void killed_process_leaves_all_it_was_told_and_no_half(void **state) {
    struct store store = {.kind = STORE_ROCKSDB};
    store_make_directory(store.path);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0)
        write_until_killed(store.path, ends[1]);
    close(ends[1]);
    uint32_t number = 0;
    while (number < 200)
        assert_int_equal(read(ends[0], &number, 4), 4);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    uint32_t last = number;
    while (read(ends[0], &number, 4) == 4)
        last = number;
    close(ends[0]);
    struct engine_rocksdb_options options = {0};
    assert_int_equal(engine_rocksdb_open(store.path, &options, &store.engine, NULL, 0), 0);
    uint32_t counts[2] = {0, 0};
    engine_scan(store.engine, ENGINE_MAIL, ALL, ALL, ENGINE_SCAN_LIMIT_MAX, count_key, counts);
    assert_int_equal(counts[0], counts[1]);
    assert_true(counts[0] >= last + 1);
    store_close(&store);
}

/* ---- the full disk ------------------------------------------------------------------------- */

static struct engine_bytes mail_key(char buffer[23], unsigned number) {
    snprintf(buffer, 23, "queue%09u%08u", number % 10, number % 100000000);
    return (struct engine_bytes){buffer, 22};
}

/* Write one value of 16 KiB; the batch's result. */
static int put_large(struct engine *engine, unsigned number, enum write_urgency urgency) {
    static char value[16384];
    char key[23];
    struct write_batch batch;
    write_batch_init(&batch, 1 << 16);
    memset(value, (int)number, sizeof(value));
    batch.urgency = urgency;
    write_batch_put(&batch, ENGINE_MAIL, mail_key(key, number),
                    (struct engine_bytes){value, sizeof(value)});
    struct write_batch *batches[] = {&batch};
    int error = engine_write(engine, batches, 1, ENGINE_SYNC);
    write_batch_finish(&batch);
    return error ? error : batch.result;
}

static int delete_large(struct engine *engine, unsigned number) {
    char key[23];
    struct write_batch batch;
    write_batch_init(&batch, 1 << 16);
    write_batch_delete(&batch, ENGINE_MAIL, mail_key(key, number));
    struct write_batch *batches[] = {&batch};
    int error = engine_write(engine, batches, 1, ENGINE_SYNC);
    write_batch_finish(&batch);
    return error ? error : batch.result;
}

static void assert_large_is_there(struct engine *engine, unsigned number) {
    static char value[16384];
    char key[23];
    size_t size = 0;
    assert_int_equal(
        engine_get(engine, ENGINE_MAIL, mail_key(key, number), value, sizeof(value), &size), 0);
    assert_int_equal(size, sizeof(value));
    assert_int_equal((uint8_t)value[size - 1], (uint8_t)number);
}

/* Waiting ends by an event; only what would never come is given up, after so long (some 5 minutes,
 * more on a busy machine). */
#define WAIT_TRIES_MAX 15000
static void wait_a_little(void) {
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
}

/* Try until it is taken. */
static bool put_succeeds_in_time(struct engine *engine, unsigned number,
                                 enum write_urgency urgency) {
    for (int tries = 0; tries < WAIT_TRIES_MAX; tries++) {
        int error = put_large(engine, number, urgency);
        if (error == 0)
            return true;
        assert_int_equal(error, -ENOSPC);
        wait_a_little();
    }
    return false;
}

static uint64_t free_bytes(const char *path) {
    struct statvfs space;
    assert_int_equal(statvfs(path, &space), 0);
    return (uint64_t)space.f_bavail * space.f_frsize;
}

static void low_space_refuses_by_urgency(void **state) {
    struct store store = {.kind = STORE_ROCKSDB};
    store_make_directory(store.path);
    struct engine_rocksdb_options options = {.memory_bytes_max = 8 * MIB};
    options.reserve_bytes = free_bytes(store.path) * 2;
    assert_int_equal(engine_rocksdb_open(store.path, &options, &store.engine, NULL, 0), 0);
    assert_int_equal(put_large(store.engine, 1, WRITE_GROWS), -ENOSPC);
    assert_int_equal(put_large(store.engine, 2, WRITE_ESSENTIAL), 0);
    engine_close(store.engine);
    options.reserve_bytes *= 4;
    assert_int_equal(engine_rocksdb_open(store.path, &options, &store.engine, NULL, 0), 0);
    assert_int_equal(put_large(store.engine, 3, WRITE_ESSENTIAL), -ENOSPC);
    assert_int_equal(delete_large(store.engine, 2), 0);
    struct engine_gauges gauges;
    engine_gauges(store.engine, &gauges);
    assert_int_equal(gauges.refused_batches, 1);
    assert_int_equal(gauges.failed_writes, 0);
    engine_close(store.engine);
    options.reserve_bytes = 1;
    assert_int_equal(engine_rocksdb_open(store.path, &options, &store.engine, NULL, 0), 0);
    assert_int_equal(put_large(store.engine, 1, WRITE_GROWS), 0);
    assert_large_is_there(store.engine, 1);
    store_close(&store);
}

static bool may_mount;

/* A mount namespace of our own, before RocksDB starts its threads: they would stay in the old one.
 */
static int enter_namespace(void **state) {
    may_mount = unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
    return 0;
}

static bool mount_small_disk(char path[64]) {
    store_make_directory(path);
    if (may_mount && mount("tmpfs", path, "tmpfs", 0, "size=64m") == 0)
        return true;
    store_remove_directory(path);
    return false;
}

static void unmount_small_disk(const char *path) {
    assert_int_equal(umount(path), 0);
    store_remove_directory(path);
}

/* Somebody else takes space: this much, or all there is. */
static void take_space(const char *path, size_t bytes) {
    static const char zeroes[4096];
    int file = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(file >= 0);
    for (size_t taken = 0; taken < bytes && write(file, zeroes, sizeof(zeroes)) > 0;)
        taken += sizeof(zeroes);
    close(file);
}

/* Wait until flushes and compactions have ended, so that no space comes back by itself. */
static void settle(struct engine *engine) {
    for (int tries = 0; tries < WAIT_TRIES_MAX; tries++) {
        struct engine_gauges gauges;
        engine_gauges(engine, &gauges);
        if (!gauges.compacting)
            return;
        wait_a_little();
    }
    fail_msg("compactions never end");
}

/* Put until new mail is refused although nothing is left to compact; how many were taken. */
static unsigned put_until_refused(struct engine *engine) {
    unsigned taken = 0;
    for (unsigned round = 0; round < 100; round++) {
        unsigned before = taken;
        int error;
        while ((error = put_large(engine, taken, WRITE_GROWS)) == 0)
            assert_true(++taken < 64 * MIB / 16384);
        assert_int_equal(error, -ENOSPC);
        if (taken == before)
            return taken;
        settle(engine);
    }
    fail_msg("space kept coming back");
    return 0;
}

static void full_disk_refuses_new_mail_and_loses_none(void **state) {
    char disk[64];
    char path[80];
    char other[80];
    if (!mount_small_disk(disk))
        skip();
    snprintf(path, sizeof(path), "%s/store", disk);
    snprintf(other, sizeof(other), "%s/other", disk);
    struct engine_rocksdb_options options = {.memory_bytes_max = 8 * MIB,
                                             .reserve_bytes = 16 * MIB};
    struct engine *engine;
    assert_int_equal(engine_rocksdb_open(path, &options, &engine, NULL, 0), 0);
    unsigned taken = put_until_refused(engine);
    assert_true(taken > 64);
    /* The reserve is for these; a compaction that runs may borrow it for a while. */
    assert_true(put_succeeds_in_time(engine, taken, WRITE_ESSENTIAL));
    for (unsigned i = 0; i <= taken; i++)
        assert_large_is_there(engine, i);
    for (unsigned i = 0; i < taken; i++)
        assert_int_equal(delete_large(engine, i), 0);
    take_space(other, 4 * MIB); /* so that only what was deleted can make enough space */
    unsigned again = taken / 2;
    for (unsigned i = 1; i <= again; i++)
        assert_true(put_succeeds_in_time(engine, taken + i, WRITE_GROWS));
    engine_close(engine);
    assert_int_equal(engine_rocksdb_open(path, &options, &engine, NULL, 0), 0);
    for (unsigned i = taken; i <= taken + again; i++)
        assert_large_is_there(engine, i);
    uint32_t counts[26] = {0};
    assert_int_equal(engine_scan(engine, ENGINE_MAIL, ALL, ALL, 10000, count_key, counts),
                     again + 1);
    engine_close(engine);
    unmount_small_disk(disk);
}

static void disk_filled_by_others_is_survived(void **state) {
    char disk[64];
    char path[80];
    char other[80];
    if (!mount_small_disk(disk))
        skip();
    snprintf(path, sizeof(path), "%s/store", disk);
    snprintf(other, sizeof(other), "%s/other", disk);
    struct engine_rocksdb_options options = {.memory_bytes_max = 8 * MIB, .reserve_bytes = 4};
    struct engine *engine;
    assert_int_equal(engine_rocksdb_open(path, &options, &engine, NULL, 0), 0);
    bool there[1000] = {false};
    unsigned refused = 0;
    for (unsigned i = 0; i < 1000; i++) {
        if (i == 100)
            take_space(other, SIZE_MAX);
        int error = put_large(engine, i, WRITE_GROWS);
        there[i] = error == 0;
        if (error)
            assert_int_equal(error, -ENOSPC);
        refused += error != 0;
    }
    assert_true(there[99] && refused > 500);
    assert_large_is_there(engine, 0);
    assert_int_equal(unlink(other), 0);
    assert_true(put_succeeds_in_time(engine, 1000, WRITE_GROWS));
    engine_close(engine);
    assert_int_equal(engine_rocksdb_open(path, &options, &engine, NULL, 0), 0);
    for (unsigned i = 0; i < 1000; i++) {
        if (there[i])
            assert_large_is_there(engine, i);
    }
    assert_large_is_there(engine, 1000);
    engine_close(engine);
    unmount_small_disk(disk);
}

/* What is in memory is told, also that there is nothing; what is on disk alone is not waited for.
 */
static void cached_get_never_reads_the_disk(void **state) {
    static char value[16384];
    struct store store;
    size_t size = 0;
    char key[23];
    store_open(&store, STORE_ROCKSDB);
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(put_large(store.engine, i, WRITE_GROWS), 0);
    struct engine_bytes last = mail_key(key, 63);
    assert_int_equal(
        engine_get_cached(store.engine, ENGINE_MAIL, last, value, sizeof(value), &size), 0);
    assert_int_equal(value[0], 63);
    assert_int_equal(engine_get_cached(store.engine, ENGINE_ACCOUNT, TEXT("nobody"), value,
                                       sizeof(value), &size),
                     -ENOENT);
    store_reopen(&store);
    settle(store.engine);
    store_reopen(&store); /* nothing has been read of it yet */
    assert_int_equal(
        engine_get_cached(store.engine, ENGINE_MAIL, last, value, sizeof(value), &size), -EAGAIN);
    assert_large_is_there(store.engine, 63);
    assert_int_equal(
        engine_get_cached(store.engine, ENGINE_MAIL, last, value, sizeof(value), &size), 0);
    store_close(&store);
}

static void memory_stays_within_its_cap(void **state) {
    struct store store;
    store_open(&store, STORE_ROCKSDB); /* 8 MiB */
    for (unsigned i = 0; i < 2000; i++)
        assert_int_equal(put_large(store.engine, i, WRITE_GROWS), 0);
    for (unsigned i = 0; i < 2000; i++)
        assert_large_is_there(store.engine, i);
    struct engine_gauges gauges;
    engine_gauges(store.engine, &gauges);
    assert_true(gauges.disk_bytes > 20 * MIB);
    assert_true(gauges.memtable_bytes <= 4 * MIB);
    assert_true(gauges.cache_bytes <= 5 * MIB);
    store_close(&store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        /* first: its child lives on RocksDB, whose threads a later fork would lack */
        cmocka_unit_test(killed_process_leaves_all_it_was_told_and_no_half),
        cmocka_unit_test(second_opening_is_refused_as_busy),
        cmocka_unit_test(opening_says_what_is_wrong_with_the_directory),
        cmocka_unit_test(opening_refuses_a_damaged_store),
        cmocka_unit_test(low_space_refuses_by_urgency),
        cmocka_unit_test(full_disk_refuses_new_mail_and_loses_none),
        cmocka_unit_test(disk_filled_by_others_is_survived),
        cmocka_unit_test(cached_get_never_reads_the_disk),
        cmocka_unit_test(memory_stays_within_its_cap),
    };
    return cmocka_run_group_tests(tests, enter_namespace, NULL);
}

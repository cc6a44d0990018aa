/* SPDX-License-Identifier: Apache-2.0 */
/* Settings that change while shards read them. */
#include "tools/node/live_config.h"

#include "runtime/check.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define CHANGES 2000
#define HALF ((uint64_t)1 << 32)

static char path[] = "/tmp/tern-live-config-XXXXXX";
static struct node node;
static struct config config;
static struct live_config live;

static void write_file(const char *more) {
    FILE *file = fopen(path, "we");
    CHECK(file);
    fprintf(file, "listen = \"127.0.0.1:1\"\ndata = \"/nowhere\"\n%s", more);
    CHECK(fclose(file) == 0);
}

static int set_up(void **state) {
    char error[512];
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    close(fd);
    write_file("");
    CHECK(config_read(path, NULL, &config, error, sizeof(error)) == 0);
    node.limits = config.limits;
    live_config_begin(&live, &config, path, NULL, &node);
    return 0;
}

static int tear_down(void **state) {
    unlink(path);
    return 0;
}

static int set(const char *name, const char *text) {
    char said[512];
    return live.ops.set(live.ops.context, name, text, said, sizeof(said));
}

/* What a shard does: reads, as actors do, with nothing between it and who changes. */
struct reader {
    _Atomic bool stop;
    bool odd; /* a value was seen that nobody has set */
    uint64_t reads;
};

static void *read_limits(void *of) {
    struct reader *reader = of;
    do {
        uint32_t messages = node.limits.queue_messages_max;
        uint64_t bytes = node.limits.queue_bytes_max;
        uint32_t hold = node.limits.hold;
        reader->odd |= messages != 10 && messages != 20;
        reader->odd |= bytes != HALF && bytes != 2 * HALF + 2;
        reader->odd |= hold > 1;
        reader->reads++;
    } while (!reader->stop);
    return NULL;
}

static void shards_read_a_limit_whole_while_it_changes(void **state) {
    struct reader reader = {0};
    pthread_t thread;
    assert_int_equal(set("queue_messages", "10"), 0);
    assert_int_equal(set("queue_bytes", "4GiB"), 0);
    assert_int_equal(pthread_create(&thread, NULL, read_limits, &reader), 0);
    for (unsigned i = 0; i < CHANGES; i++) {
        assert_int_equal(set("queue_messages", i % 2 ? "10" : "20"), 0);
        assert_int_equal(set("queue_bytes", i % 2 ? "4GiB" : "8589934594B"), 0);
        assert_int_equal(set("hold", i % 2 ? "on" : "off"), 0);
    }
    reader.stop = true;
    pthread_join(thread, NULL);
    assert_false(reader.odd);
    assert_true(reader.reads > 0);
    assert_int_equal(node.limits.queue_messages_max, 10);
    assert_true(node.limits.queue_bytes_max == HALF && node.limits.hold);
}

static void what_is_refused_changes_nothing(void **state) {
    uint32_t before = node.limits.hold_ms_max;
    assert_int_equal(set("hold_max", "1ms"), -EINVAL);
    assert_int_equal(set("hold_max", "soon"), -EINVAL);
    assert_int_equal(set("shards", "1"), -EPERM);
    assert_int_equal(set("no_such", "1"), -ENOENT);
    assert_int_equal(node.limits.hold_ms_max, before);
}

static void reload_takes_what_can_change_and_counts_the_rest(void **state) {
    char said[512];
    write_file("code_attempts = 9\npool_threads = 3\n");
    assert_int_equal(live.ops.reload(live.ops.context, said, sizeof(said)), 0);
    assert_int_equal(node.limits.code_attempts_max, 9);
    assert_non_null(strstr(said, "code_attempts"));
    assert_non_null(strstr(said, "1 more need a restart"));
    write_file("code_attempts = many\n");
    assert_int_equal(live.ops.reload(live.ops.context, said, sizeof(said)), -EINVAL);
    assert_int_equal(node.limits.code_attempts_max, 9);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shards_read_a_limit_whole_while_it_changes),
        cmocka_unit_test(what_is_refused_changes_nothing),
        cmocka_unit_test(reload_takes_what_can_change_and_counts_the_rest),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

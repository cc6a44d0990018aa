/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conformance suite of engines: what storage/engine.h promises, on each implementation. A test
 * finds its engine in `*state`; main() runs the table once per engine.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/engine_rocksdb.h"
#include "tests/unit/storage/store.h"

#define ALL ((struct engine_bytes){NULL, 0})

static void engine_has_what_was_put(void **state) {
    struct store *store = *state;
    assert_null(store_get(store->engine, ENGINE_META, TEXT("a")));
    store_put(store->engine, ENGINE_META, TEXT("a"), TEXT("one"));
    assert_string_equal(store_get(store->engine, ENGINE_META, TEXT("a")), "one");
    store_put(store->engine, ENGINE_META, TEXT("a"), TEXT("two"));
    assert_string_equal(store_get(store->engine, ENGINE_META, TEXT("a")), "two");
    store_put(store->engine, ENGINE_META, TEXT("empty"), TEXT(""));
    assert_string_equal(store_get(store->engine, ENGINE_META, TEXT("empty")), "");
}

static void engine_keeps_families_apart(void **state) {
    struct store *store = *state;
    store_put(store->engine, ENGINE_META, TEXT("k"), TEXT("meta"));
    store_put(store->engine, ENGINE_ACCOUNT, TEXT("k"), TEXT("account"));
    assert_null(store_get(store->engine, ENGINE_MAIL, TEXT("k")));
    assert_string_equal(store_get(store->engine, ENGINE_META, TEXT("k")), "meta");
    assert_string_equal(store_get(store->engine, ENGINE_ACCOUNT, TEXT("k")), "account");
}

static void engine_says_how_big_a_value_is(void **state) {
    struct store *store = *state;
    store_put(store->engine, ENGINE_META, TEXT("k"), TEXT("0123456789"));
    char buffer[16] = "untouched";
    size_t size = 0;
    assert_int_equal(engine_get(store->engine, ENGINE_META, TEXT("k"), buffer, 9, &size), -ENOBUFS);
    assert_int_equal(size, 10);
    assert_string_equal(buffer, "untouched");
    assert_int_equal(engine_get(store->engine, ENGINE_META, TEXT("k"), buffer, 10, &size), 0);
    assert_memory_equal(buffer, "0123456789", 10);
}

static void engine_applies_operations_in_order(void **state) {
    struct store *store = *state;
    struct write_batch first;
    struct write_batch second;
    write_batch_init(&first, 4096);
    write_batch_init(&second, 4096);
    write_batch_put(&first, ENGINE_ACCOUNT, TEXT("a"), TEXT("1"));
    write_batch_put(&first, ENGINE_ACCOUNT, TEXT("b"), TEXT("1"));
    write_batch_delete(&first, ENGINE_ACCOUNT, TEXT("a"));
    write_batch_put(&first, ENGINE_ACCOUNT, TEXT("c"), TEXT("1"));
    write_batch_put(&second, ENGINE_ACCOUNT, TEXT("b"), TEXT("2"));
    write_batch_delete_range(&second, ENGINE_ACCOUNT, TEXT("c"), TEXT("d"));
    write_batch_put(&second, ENGINE_ACCOUNT, TEXT("cc"), TEXT("2"));
    struct write_batch *batches[] = {&first, &second};
    assert_int_equal(engine_write(store->engine, batches, 2, ENGINE_SYNC), 0);
    assert_string_equal(store_list(store->engine, ENGINE_ACCOUNT, ALL, ALL, 100), "b,cc");
    assert_string_equal(store_get(store->engine, ENGINE_ACCOUNT, TEXT("b")), "2");
    write_batch_finish(&first);
    write_batch_finish(&second);
}

static void engine_leaves_out_a_batch_with_an_error(void **state) {
    struct store *store = *state;
    struct write_batch good;
    struct write_batch bad;
    write_batch_init(&good, 4096);
    write_batch_init(&bad, 4096);
    write_batch_put(&good, ENGINE_META, TEXT("good"), TEXT("1"));
    write_batch_put(&bad, ENGINE_META, TEXT("bad"), TEXT("1"));
    write_batch_put(&bad, ENGINE_META, TEXT(""), TEXT("1"));
    struct write_batch *batches[] = {&bad, &good};
    assert_int_equal(engine_write(store->engine, batches, 2, ENGINE_SYNC), 0);
    assert_int_equal(bad.result, -EINVAL);
    assert_int_equal(good.result, 0);
    assert_string_equal(store_list(store->engine, ENGINE_META, ALL, ALL, 100), "good");
    write_batch_finish(&good);
    write_batch_finish(&bad);
}

static void engine_refuses_a_write_beyond_its_bounds(void **state) {
    struct store *store = *state;
    char *value = calloc(1, ENGINE_VALUE_BYTES_MAX);
    struct write_batch batch;
    write_batch_init(&batch, ENGINE_WRITE_BYTES_MAX);
    struct engine_bytes bytes = {value, ENGINE_VALUE_BYTES_MAX};
    for (int i = 0; i < 20; i++)
        write_batch_put(&batch, ENGINE_META, TEXT("k"), bytes);
    struct write_batch *batches[] = {&batch, &batch};
    assert_int_equal(engine_write(store->engine, batches, 2, ENGINE_SYNC), -E2BIG);
    assert_int_equal(batch.result, -E2BIG);
    assert_null(store_get(store->engine, ENGINE_META, TEXT("k")));
    write_batch_finish(&batch);
    free(value);
}

static void engine_scans_in_order_within_bounds(void **state) {
    struct store *store = *state;
    store_put(store->engine, ENGINE_MAIL, TEXT("b"), TEXT("2"));
    store_put(store->engine, ENGINE_MAIL, TEXT("a"), TEXT("1"));
    store_put(store->engine, ENGINE_MAIL, TEXT("ab"), TEXT("1"));
    store_put(store->engine, ENGINE_MAIL, TEXT("\xff"), TEXT("4"));
    store_put(store->engine, ENGINE_MAIL, TEXT("c"), TEXT("3"));
    struct engine *engine = store->engine;
    assert_string_equal(store_list(engine, ENGINE_MAIL, ALL, ALL, 100), "a,ab,b,c,\xff");
    assert_string_equal(store_list(engine, ENGINE_MAIL, TEXT("ab"), TEXT("c"), 100), "ab,b");
    assert_string_equal(store_list(engine, ENGINE_MAIL, TEXT("aa"), ALL, 2), "ab,b");
    assert_string_equal(store_list(engine, ENGINE_MAIL, TEXT("d"), TEXT("e"), 100), "");
    assert_string_equal(store_list(engine, ENGINE_MAIL, ALL, ALL, 0), "");
}

struct stopper {
    int after;
    int verdict;
    int seen;
};

static int stop_after(void *context, struct engine_bytes key, struct engine_bytes value) {
    struct stopper *stopper = context;
    return ++stopper->seen == stopper->after ? stopper->verdict : 0;
}

static void engine_scan_stops_when_the_visitor_says(void **state) {
    struct store *store = *state;
    static const char keys[] = "abcde";
    for (size_t i = 0; i < strlen(keys); i++)
        store_put(store->engine, ENGINE_META, (struct engine_bytes){&keys[i], 1}, TEXT("v"));
    struct stopper stop = {.after = 2, .verdict = 1};
    assert_int_equal(engine_scan(store->engine, ENGINE_META, ALL, ALL, 100, stop_after, &stop), 2);
    assert_int_equal(stop.seen, 2);
    struct stopper fail = {.after = 3, .verdict = -EBADMSG};
    assert_int_equal(engine_scan(store->engine, ENGINE_META, ALL, ALL, 100, stop_after, &fail),
                     -EBADMSG);
    assert_int_equal(fail.seen, 3);
}

/* Keys of 22 bytes, as mail has them: 14 that name the queue, then a number. */
static struct engine_bytes queue_key(char buffer[23], int queue, int number) {
    snprintf(buffer, 23, "queue%09d%08d", queue, number);
    return (struct engine_bytes){buffer, 22};
}

static void engine_scans_one_queue_among_many(void **state) {
    struct store *store = *state;
    char key[23];
    char end[23];
    for (int round = 0; round < 2; round++) { /* from memory, then from files */
        for (int queue = round; queue < 200; queue += 2)
            store_put(store->engine, ENGINE_MAIL, queue_key(key, queue, 1 + round), TEXT("v"));
        store_reopen(store);
    }
    for (int queue = 0; queue < 201; queue++) {
        struct engine_bytes from = queue_key(key, queue, 0);
        struct engine_bytes to = queue_key(end, queue, 99999999);
        char wanted[23] = "";
        if (queue < 200)
            queue_key(wanted, queue, 1 + queue % 2);
        assert_string_equal(store_list(store->engine, ENGINE_MAIL, from, to, 10), wanted);
    }
    for (int queue = 0; queue < 200; queue++) {
        struct write_batch batch;
        write_batch_init(&batch, 4096);
        write_batch_delete(&batch, ENGINE_MAIL, queue_key(key, queue, 1 + queue % 2));
        store_commit(store->engine, &batch);
    }
    store_reopen(store);
    assert_string_equal(store_list(store->engine, ENGINE_MAIL, ALL, ALL, 10), "");
}

static void engine_deletes_a_range_and_nothing_else(void **state) {
    struct store *store = *state;
    char key[23];
    char end[23];
    for (int queue = 1; queue <= 3; queue++) {
        for (int number = 1; number <= 3; number++)
            store_put(store->engine, ENGINE_MAIL, queue_key(key, queue, number), TEXT("v"));
    }
    struct write_batch batch;
    write_batch_init(&batch, 4096);
    write_batch_delete_range(&batch, ENGINE_MAIL, queue_key(key, 2, 0), queue_key(end, 3, 0));
    store_commit(store->engine, &batch);
    store_reopen(store);
    struct stopper count = {0};
    assert_int_equal(engine_scan(store->engine, ENGINE_MAIL, ALL, ALL, 100, stop_after, &count), 6);
    assert_null(store_get(store->engine, ENGINE_MAIL, queue_key(key, 2, 3)));
    assert_non_null(store_get(store->engine, ENGINE_MAIL, queue_key(key, 1, 3)));
    assert_non_null(store_get(store->engine, ENGINE_MAIL, queue_key(key, 3, 1)));
}

static void engine_finds_everything_when_opened_again(void **state) {
    struct store *store = *state;
    store_put(store->engine, ENGINE_META, TEXT("a"), TEXT("meta"));
    store_put(store->engine, ENGINE_MAIL, TEXT("b"), TEXT("mail"));
    struct write_batch batch;
    write_batch_init(&batch, 4096);
    write_batch_put(&batch, ENGINE_ACCOUNT, TEXT("c"), TEXT("unsynced"));
    struct write_batch *batches[] = {&batch};
    assert_int_equal(engine_write(store->engine, batches, 1, ENGINE_NO_SYNC), 0);
    write_batch_finish(&batch);
    store_reopen(store);
    assert_string_equal(store_get(store->engine, ENGINE_META, TEXT("a")), "meta");
    assert_string_equal(store_get(store->engine, ENGINE_MAIL, TEXT("b")), "mail");
    assert_string_equal(store_get(store->engine, ENGINE_ACCOUNT, TEXT("c")), "unsynced");
}

static void engine_counts_what_it_does(void **state) {
    struct store *store = *state;
    store_put(store->engine, ENGINE_META, TEXT("a"), TEXT("1"));
    store_put(store->engine, ENGINE_META, TEXT("b"), TEXT("2"));
    assert_int_equal(engine_write(store->engine, NULL, 0, ENGINE_SYNC), 0);
    store_get(store->engine, ENGINE_META, TEXT("a"));
    store_list(store->engine, ENGINE_META, ALL, ALL, 100);
    struct engine_gauges gauges;
    engine_gauges(store->engine, &gauges);
    assert_int_equal(gauges.writes, 2);
    assert_int_equal(gauges.batches, 2);
    assert_int_equal(gauges.operations, 2);
    assert_int_equal(gauges.syncs, 2);
    assert_int_equal(gauges.gets, 1);
    assert_int_equal(gauges.scans, 1);
    assert_int_equal(gauges.scanned_keys, 2);
    assert_int_equal(gauges.refused_batches, 0);
    assert_true(gauges.sync_ns > 0 && gauges.sync_ns >= gauges.sync_ns_peak);
    assert_true(gauges.memtable_bytes > 0);
    uint64_t buckets = 0;
    for (size_t i = 0; i < ENGINE_LATENCY_BUCKETS; i++)
        buckets += gauges.sync_latency[i];
    assert_int_equal(buckets, 2);
}

static void engine_estimates_how_much_mail_waits(void **state) {
    struct store *store = *state;
    struct engine_gauges gauges;
    struct write_batch batch;
    store_put(store->engine, ENGINE_ACCOUNT, TEXT("a"), TEXT("1"));
    for (char key[] = "a"; key[0] < 'k'; key[0]++)
        store_put(store->engine, ENGINE_MAIL, (struct engine_bytes){key, 1}, TEXT("1"));
    engine_gauges(store->engine, &gauges);
    assert_int_equal(gauges.mail_keys, 10);
    write_batch_init(&batch, 4096);
    write_batch_delete(&batch, ENGINE_MAIL, TEXT("b"));
    write_batch_delete(&batch, ENGINE_MAIL, TEXT("c"));
    store_commit(store->engine, &batch);
    engine_gauges(store->engine, &gauges);
    assert_int_equal(gauges.mail_keys, 8);
}

static void engine_agrees_with_a_plain_model(void **state) {
    struct store *store = *state;
    bool there[64] = {false};
    uint32_t random = 12345;
    for (int round = 0; round < 60; round++) {
        struct write_batch batch;
        write_batch_init(&batch, 1 << 16);
        for (int i = 0; i < 20; i++) {
            random = random * 1664525 + 1013904223;
            unsigned low = (random >> 8) % 64;
            unsigned high = low + 1 + (random >> 16) % 8;
            char from = (char)('!' + low);
            char to = (char)('!' + high);
            if (random >> 30 == 0 && high < 64) {
                write_batch_delete_range(&batch, ENGINE_ACCOUNT, (struct engine_bytes){&from, 1},
                                         (struct engine_bytes){&to, 1});
                memset(there + low, 0, high - low);
            } else if (random >> 30 == 1) {
                write_batch_delete(&batch, ENGINE_ACCOUNT, (struct engine_bytes){&from, 1});
                there[low] = false;
            } else {
                write_batch_put(&batch, ENGINE_ACCOUNT, (struct engine_bytes){&from, 1}, TEXT("v"));
                there[low] = true;
            }
        }
        store_commit(store->engine, &batch);
        if (round % 20 == 19)
            store_reopen(store);
        char wanted[129] = "";
        size_t length = 0;
        for (unsigned i = 0; i < 64; i++) {
            if (there[i]) {
                if (length)
                    wanted[length++] = ',';
                wanted[length++] = (char)('!' + i);
            }
        }
        wanted[length] = '\0';
        assert_string_equal(store_list(store->engine, ENGINE_ACCOUNT, ALL, ALL, 100), wanted);
    }
}

struct exported {
    char text[256];
    size_t length;
    int stop_after;
};

static int note_exported(void *context, enum engine_family family, struct engine_bytes key,
                         struct engine_bytes value) {
    struct exported *exported = context;
    int length = snprintf(exported->text + exported->length, 256 - exported->length,
                          "%d:%.*s=%.*s ", (int)family, (int)key.size, (const char *)key.data,
                          (int)value.size, (const char *)value.data);
    exported->length += (size_t)length;
    assert_true(exported->length < sizeof(exported->text));
    return --exported->stop_after == 0 ? 1 : 0;
}

static void engine_exports_a_range_of_all_replicated_families(void **state) {
    struct store *store = *state;
    store_put(store->engine, ENGINE_META, TEXT("b1"), TEXT("v"));
    store_put(store->engine, ENGINE_MAIL, TEXT("b2"), TEXT("m"));
    store_reopen(store);
    store_put(store->engine, ENGINE_ACCOUNT, TEXT("a9"), TEXT("v"));
    store_put(store->engine, ENGINE_ACCOUNT, TEXT("b0"), TEXT("x"));
    store_put(store->engine, ENGINE_ACCOUNT, TEXT("b9"), TEXT("y"));
    store_put(store->engine, ENGINE_MAIL, TEXT("c"), TEXT("v"));
    struct exported exported = {.length = 0};
    struct engine *engine = store->engine;
    assert_int_equal(engine_export_range(engine, TEXT("b"), TEXT("c"), note_exported, &exported),
                     0);
    assert_string_equal(exported.text, "1:b0=x 1:b9=y 2:b2=m ");
    exported = (struct exported){.stop_after = 2};
    assert_int_equal(engine_export_range(engine, TEXT("b"), TEXT("c"), note_exported, &exported),
                     0);
    assert_string_equal(exported.text, "1:b0=x 1:b9=y ");
}

/* Gives the keys of a text, one character each, then `end`. */
struct letters {
    const char *at;
    int end;
};

static int next_letter(void *context, struct engine_bytes *key, struct engine_bytes *value) {
    struct letters *letters = context;
    if (*letters->at == '\0')
        return letters->end;
    *key = (struct engine_bytes){letters->at++, 1};
    *value = TEXT("new");
    return 1;
}

static int replace(struct store *store, const char *letters, int end) {
    struct letters source = {letters, end};
    return engine_replace_range(store->engine, ENGINE_MAIL, TEXT("d"), TEXT("m"), next_letter,
                                &source);
}

static void put_letters(struct store *store, const char *letters) {
    for (; *letters; letters++)
        store_put(store->engine, ENGINE_MAIL, (struct engine_bytes){letters, 1}, TEXT("old"));
}

static void engine_replaces_exactly_a_range(void **state) {
    struct store *store = *state;
    put_letters(store, "adfmz");
    store_reopen(store);
    put_letters(store, "gl");
    assert_int_equal(replace(store, "efl", 0), 0);
    for (int round = 0; round < 2; round++) {
        assert_string_equal(store_list(store->engine, ENGINE_MAIL, ALL, ALL, 100), "a,e,f,l,m,z");
        assert_string_equal(store_get(store->engine, ENGINE_MAIL, TEXT("f")), "new");
        assert_string_equal(store_get(store->engine, ENGINE_MAIL, TEXT("m")), "old");
        store_reopen(store);
    }
    struct write_batch batch; /* what came with a range can be deleted like any mail */
    write_batch_init(&batch, 4096);
    write_batch_delete(&batch, ENGINE_MAIL, TEXT("f"));
    store_commit(store->engine, &batch);
    store_reopen(store);
    assert_string_equal(store_list(store->engine, ENGINE_MAIL, ALL, ALL, 100), "a,e,l,m,z");
    assert_int_equal(replace(store, "", 0), 0);
    assert_string_equal(store_list(store->engine, ENGINE_MAIL, ALL, ALL, 100), "a,m,z");
}

static void engine_replace_that_fails_changes_nothing(void **state) {
    struct store *store = *state;
    put_letters(store, "adfmz");
    assert_int_equal(replace(store, "fe", 0), -EINVAL);
    assert_int_equal(replace(store, "ff", 0), -EINVAL);
    assert_int_equal(replace(store, "em", 0), -EINVAL);
    assert_int_equal(replace(store, "c", 0), -EINVAL);
    assert_int_equal(replace(store, "e", -ECONNRESET), -ECONNRESET);
    struct letters source = {"e", 0};
    assert_int_equal(engine_replace_range(store->engine, ENGINE_MAIL, TEXT("m"), TEXT("d"),
                                          next_letter, &source),
                     -EINVAL);
    assert_string_equal(store_list(store->engine, ENGINE_MAIL, ALL, ALL, 100), "a,d,f,m,z");
    assert_int_equal(replace(store, "e", 0), 0);
    assert_string_equal(store_list(store->engine, ENGINE_MAIL, ALL, ALL, 100), "a,e,m,z");
}

static int open_rocksdb(void **state) {
    static struct store store;
    store_open(&store, STORE_ROCKSDB);
    *state = &store;
    return 0;
}

static int open_memory(void **state) {
    static struct store store;
    store_open(&store, STORE_MEMORY);
    *state = &store;
    return 0;
}

static int close_store(void **state) {
    store_close(*state);
    return 0;
}

#define ON(open, name) \
    { #name, name, open, close_store, NULL }
#define SUITE(open)                                                                           \
    {                                                                                         \
        ON(open, engine_has_what_was_put), ON(open, engine_keeps_families_apart),             \
            ON(open, engine_says_how_big_a_value_is),                                         \
            ON(open, engine_applies_operations_in_order),                                     \
            ON(open, engine_leaves_out_a_batch_with_an_error),                                \
            ON(open, engine_refuses_a_write_beyond_its_bounds),                               \
            ON(open, engine_scans_in_order_within_bounds),                                    \
            ON(open, engine_scan_stops_when_the_visitor_says),                                \
            ON(open, engine_scans_one_queue_among_many),                                      \
            ON(open, engine_deletes_a_range_and_nothing_else),                                \
            ON(open, engine_finds_everything_when_opened_again),                              \
            ON(open, engine_counts_what_it_does), ON(open, engine_agrees_with_a_plain_model), \
            ON(open, engine_estimates_how_much_mail_waits),                                   \
            ON(open, engine_exports_a_range_of_all_replicated_families),                      \
            ON(open, engine_replaces_exactly_a_range),                                        \
            ON(open, engine_replace_that_fails_changes_nothing),                              \
    }

int main(void) {
    const struct CMUnitTest on_rocksdb[] = SUITE(open_rocksdb);
    const struct CMUnitTest on_memory[] = SUITE(open_memory);
    return cmocka_run_group_tests_name("engine_rocksdb", on_rocksdb, NULL, NULL) +
           cmocka_run_group_tests_name("engine_memory", on_memory, NULL, NULL);
}

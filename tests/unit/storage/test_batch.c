/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/batch.h"
#include "tests/unit/storage/store.h"

static void assert_bytes(struct engine_bytes bytes, const char *text) {
    assert_int_equal(bytes.size, strlen(text));
    assert_memory_equal(bytes.data, text, bytes.size);
}

static void batch_reads_back_what_was_added(void **state) {
    struct write_batch batch;
    write_batch_init(&batch, 4096);
    struct engine_bytes parts[] = {TEXT("head"), TEXT(""), TEXT("body")};
    assert_int_equal(write_batch_put_parts(&batch, ENGINE_MAIL, TEXT("k1"), parts, 3), 0);
    assert_int_equal(write_batch_delete(&batch, ENGINE_META, TEXT("k2")), 0);
    assert_int_equal(write_batch_delete_range(&batch, ENGINE_ACCOUNT, TEXT("a"), TEXT("ab")), 0);
    static const struct {
        enum write_kind kind;
        enum engine_family family;
        const char *first;
        const char *second;
    } wanted[] = {
        {WRITE_PUT, ENGINE_MAIL, "k1", "headbody"},
        {WRITE_DELETE, ENGINE_META, "k2", ""},
        {WRITE_DELETE_RANGE, ENGINE_ACCOUNT, "a", "ab"},
    };
    size_t offset = 0;
    struct write_operation operation;
    for (size_t i = 0; i < 3; i++) {
        assert_true(write_batch_next(&batch, &offset, &operation));
        assert_int_equal(operation.kind, wanted[i].kind);
        assert_int_equal(operation.family, wanted[i].family);
        assert_bytes(operation.first, wanted[i].first);
        assert_bytes(operation.second, wanted[i].second);
    }
    assert_false(write_batch_next(&batch, &offset, &operation));
    assert_int_equal(batch.operations, 3);
    assert_int_equal(batch.puts, 1);
    write_batch_finish(&batch);
}

static void batch_refuses_beyond_its_bound_and_remembers(void **state) {
    struct write_batch batch;
    write_batch_init(&batch, WRITE_BATCH_HEAD_BYTES + 8 + 2 + 10);
    assert_int_equal(write_batch_put(&batch, ENGINE_META, TEXT("k1"), TEXT("0123456789a")), -E2BIG);
    assert_int_equal(write_batch_put(&batch, ENGINE_META, TEXT("k1"), TEXT("0")), -E2BIG);
    assert_int_equal(batch.error, -E2BIG);
    write_batch_clear(&batch);
    assert_int_equal(write_batch_put(&batch, ENGINE_META, TEXT("k1"), TEXT("0123456789")), 0);
    assert_int_equal(write_batch_put(&batch, ENGINE_META, TEXT("k"), TEXT("")), -E2BIG);
    write_batch_finish(&batch);
}

static void batch_refuses_bad_keys_and_values(void **state) {
    static char long_key[ENGINE_KEY_BYTES_MAX + 1];
    struct write_batch batch;
    write_batch_init(&batch, 4 << 20);
    assert_int_equal(write_batch_put(&batch, ENGINE_META, TEXT(""), TEXT("v")), -EINVAL);
    write_batch_clear(&batch);
    struct engine_bytes key = {long_key, sizeof(long_key)};
    assert_int_equal(write_batch_put(&batch, ENGINE_META, key, TEXT("v")), -EINVAL);
    write_batch_clear(&batch);
    key.size--;
    assert_int_equal(write_batch_put(&batch, ENGINE_META, key, TEXT("v")), 0);
    assert_int_equal(write_batch_put(&batch, ENGINE_FAMILIES, TEXT("k"), TEXT("v")), -EINVAL);
    write_batch_clear(&batch);
    char *value = calloc(1, ENGINE_VALUE_BYTES_MAX);
    struct engine_bytes parts[] = {{value, ENGINE_VALUE_BYTES_MAX}, {value, 1}};
    assert_int_equal(write_batch_put_parts(&batch, ENGINE_META, TEXT("k"), parts, 2), -EINVAL);
    write_batch_clear(&batch);
    assert_int_equal(write_batch_put_parts(&batch, ENGINE_META, TEXT("k"), parts, 1), 0);
    free(value);
    write_batch_clear(&batch);
    assert_int_equal(write_batch_delete_range(&batch, ENGINE_META, TEXT("b"), TEXT("b")), -EINVAL);
    write_batch_clear(&batch);
    assert_int_equal(write_batch_delete_range(&batch, ENGINE_META, TEXT("ab"), TEXT("a")), -EINVAL);
    write_batch_finish(&batch);
}

static void batch_survives_as_bytes(void **state) {
    struct write_batch batch;
    write_batch_init(&batch, 4096);
    assert_int_equal(write_batch_bytes(&batch).size, 0);
    batch.urgency = WRITE_ESSENTIAL;
    write_batch_put(&batch, ENGINE_META, TEXT("k1"), TEXT("v1"));
    write_batch_delete(&batch, ENGINE_META, TEXT("k2"));
    struct engine_bytes bytes = write_batch_bytes(&batch);
    char *copy = malloc(bytes.size);
    memcpy(copy, bytes.data, bytes.size);
    bytes.data = copy;
    write_batch_finish(&batch);

    struct write_batch view;
    write_batch_view(&view, bytes);
    assert_int_equal(view.operations, 2);
    assert_int_equal(view.puts, 1);
    assert_int_equal(view.urgency, WRITE_ESSENTIAL);
    size_t offset = 0;
    struct write_operation operation;
    assert_true(write_batch_next(&view, &offset, &operation));
    assert_bytes(operation.second, "v1");
    assert_true(write_batch_next(&view, &offset, &operation));
    assert_false(write_batch_next(&view, &offset, &operation));
    assert_int_equal(write_batch_put(&view, ENGINE_META, TEXT("k"), TEXT("v")), -E2BIG);
    write_batch_finish(&view);
    free(copy);
    write_batch_view(&view, (struct engine_bytes){NULL, 0});
    assert_int_equal(view.operations, 0);
}

static void batch_in_a_callers_buffer_never_grows(void **state) {
    char buffer[64];
    struct write_batch batch;
    write_batch_init_at(&batch, buffer, sizeof(buffer));
    assert_int_equal(write_batch_put(&batch, ENGINE_META, TEXT("k"), TEXT("v")), 0);
    assert_ptr_equal(write_batch_bytes(&batch).data, buffer);
    assert_int_equal(write_batch_put(&batch, ENGINE_META, TEXT("k"),
                                     (struct engine_bytes){buffer, sizeof(buffer)}),
                     -E2BIG);
    write_batch_finish(&batch);
}

static void batch_appends_another_and_takes_the_lesser_urgency(void **state) {
    struct write_batch all;
    struct write_batch one;
    write_batch_init(&all, 4096);
    write_batch_init(&one, 4096);
    one.urgency = WRITE_ESSENTIAL;
    assert_int_equal(write_batch_append(&all, &one), 0);
    assert_int_equal(all.operations, 0);
    write_batch_put(&one, ENGINE_META, TEXT("k1"), TEXT("v1"));
    assert_int_equal(write_batch_append(&all, &one), 0);
    assert_int_equal(all.urgency, WRITE_ESSENTIAL);
    one.urgency = WRITE_GROWS;
    assert_int_equal(write_batch_append(&all, &one), 0);
    assert_int_equal(all.urgency, WRITE_GROWS);
    assert_int_equal(all.operations, 2);
    size_t offset = 0;
    struct write_operation operation;
    while (write_batch_next(&all, &offset, &operation))
        assert_bytes(operation.first, "k1");
    write_batch_put(&one, ENGINE_META, TEXT(""), TEXT(""));
    assert_int_equal(write_batch_append(&all, &one), -EINVAL);
    assert_int_equal(all.error, -EINVAL);
    write_batch_finish(&one);
    write_batch_finish(&all);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batch_reads_back_what_was_added),
        cmocka_unit_test(batch_refuses_beyond_its_bound_and_remembers),
        cmocka_unit_test(batch_refuses_bad_keys_and_values),
        cmocka_unit_test(batch_survives_as_bytes),
        cmocka_unit_test(batch_in_a_callers_buffer_never_grows),
        cmocka_unit_test(batch_appends_another_and_takes_the_lesser_urgency),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

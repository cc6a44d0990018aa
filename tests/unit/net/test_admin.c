/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of the admin socket: what was written is read back, and junk is refused. */
#include "net/admin.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint8_t buffer[2 * ADMIN_REPLY_BYTES_MAX];

static struct admin_writer writer_on(size_t capacity) {
    return (struct admin_writer){.bytes = buffer, .capacity = capacity};
}

static size_t written_request(void) {
    struct admin_writer writer = writer_on(sizeof buffer);
    admin_write_request(&writer, 7, "top");
    admin_put_text(&writer, "by", "age");
    admin_put_uint(&writer, "rows", 20);
    admin_put_bool(&writer, "all", true);
    assert_int_equal(admin_write_end(&writer), 0);
    return writer.length;
}

static void request_comes_back_as_it_was(void **state) {
    size_t length = written_request(), used, frame_bytes;
    const uint8_t *frame;
    struct admin_request request;
    assert_int_equal(
        admin_frame_find(buffer, length, ADMIN_REQUEST_BYTES_MAX, &frame, &frame_bytes, &used),
        PARSE_COMPLETE);
    assert_int_equal(used, length);
    assert_int_equal(admin_request_read(frame, frame_bytes, &request), PARSE_COMPLETE);
    assert_int_equal(request.id, 7);
    assert_true(admin_text_equal(request.command, "top"));
    assert_int_equal(request.arguments.count, 3);
    assert_true(admin_text_equal(admin_field_find(&request.arguments, "by")->text, "age"));
    assert_int_equal(admin_field_find(&request.arguments, "rows")->number, 20);
    assert_true(admin_field_find(&request.arguments, "all")->truth);
    assert_null(admin_field_find(&request.arguments, "row"));
}

static void frame_in_pieces_wants_more_until_it_is_whole(void **state) {
    size_t length = written_request(), used, frame_bytes;
    const uint8_t *frame;
    for (size_t cut = 0; cut < length; cut++)
        assert_int_equal(
            admin_frame_find(buffer, cut, ADMIN_REQUEST_BYTES_MAX, &frame, &frame_bytes, &used),
            PARSE_MORE);
}

static void frame_beyond_the_bound_or_empty_is_refused_at_its_head(void **state) {
    const uint8_t empty[] = {0, 0, 0, 0}, big[] = {0, 0, 0x10, 1};
    const uint8_t *frame;
    size_t used, frame_bytes;
    assert_int_equal(admin_frame_find(empty, 4, 4096, &frame, &frame_bytes, &used), PARSE_TOO_BIG);
    assert_int_equal(admin_frame_find(big, 4, 4096, &frame, &frame_bytes, &used), PARSE_TOO_BIG);
}

static void request_cut_anywhere_or_with_a_tail_is_junk(void **state) {
    size_t length = written_request() - ADMIN_HEAD_BYTES;
    const uint8_t *frame = buffer + ADMIN_HEAD_BYTES;
    struct admin_request request;
    for (size_t cut = 0; cut < length; cut++) {
        uint8_t *front = malloc(cut + 1);
        memcpy(front, frame, cut);
        assert_int_equal(admin_request_read(front, cut, &request), PARSE_JUNK);
        free(front);
    }
    buffer[ADMIN_HEAD_BYTES + length] = 0xc0;
    assert_int_equal(admin_request_read(frame, length + 1, &request), PARSE_JUNK);
}

static void hostile_counts_are_junk(void **state) {
    static const struct {
        uint8_t bytes[16];
        size_t length;
    } cases[] = {
        {{0x93, 1, 0xa1, 'x', 0xdf, 0xff, 0xff, 0xff, 0xff}, 9}, /* four billion arguments */
        {{0x93, 1, 0xa1, 'x', 0xde, 0, 49}, 7},                  /* more than are allowed */
        {{0x93, 1, 0xdb, 0xff, 0xff, 0xff, 0xff}, 7},            /* a command of four GiB */
        {{0x93, 1, 0xa0, 0x80}, 4},                              /* an empty one */
        {{0x93, 0, 0xa1, 'x', 0x80}, 5},                         /* id 0 */
        {{0x93, 1, 0xa1, 0xff, 0x80}, 5},                        /* no UTF-8 */
        {{0x93, 1, 0xa1, 0, 0x80}, 5},                           /* a NUL in a name */
        {{0x92, 1, 0xa1, 'x'}, 4},                               /* two instead of three */
        {{0x93, 1, 0xa1, 'x', 0x81, 0xa1, 'a', 0x81, 0xa1, 'b', 1}, 11}, /* a map in a map */
        {{0x93, 1, 0xa1, 'x', 0x81, 0xa1, 'a', 0x91, 0x91, 1}, 10},      /* a list in a list */
        {{0x93, 1, 0xa1, 'x', 0x81, 0xa1, 'a', 0xc1}, 8},                /* never used */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct admin_request request;
        assert_int_equal(admin_request_read(cases[i].bytes, cases[i].length, &request), PARSE_JUNK);
    }
}

static void reply_keeps_every_kind_of_value(void **state) {
    struct admin_writer writer = writer_on(sizeof buffer);
    struct admin_reply reply;
    struct admin_text item;
    admin_write_reply(&writer, UINT64_MAX, ADMIN_ROW);
    admin_put_nil(&writer, "nothing");
    admin_put_uint(&writer, "most", UINT64_MAX);
    admin_put_int(&writer, "least", INT64_MIN);
    admin_put_int(&writer, "minus", -5);
    admin_put_text(&writer, "none", NULL);
    admin_put_text(&writer, "text", "\u00e4");
    admin_put_list(&writer, "list", 2);
    admin_put_item(&writer, "a");
    admin_put_item(&writer, "b");
    assert_int_equal(admin_write_end(&writer), 0);
    assert_int_equal(admin_reply_read(buffer + 4, writer.length - 4, &reply), PARSE_COMPLETE);
    assert_true(reply.id == UINT64_MAX && reply.kind == ADMIN_ROW && reply.fields.count == 7);
    assert_int_equal(admin_field_find(&reply.fields, "nothing")->kind, ADMIN_NIL);
    assert_true(admin_field_find(&reply.fields, "most")->number == UINT64_MAX);
    assert_true(admin_field_find(&reply.fields, "least")->negative == INT64_MIN);
    assert_true(admin_field_find(&reply.fields, "minus")->negative == -5);
    assert_int_equal(admin_field_find(&reply.fields, "none")->kind, ADMIN_NIL);
    struct admin_value list = *admin_field_find(&reply.fields, "list");
    assert_true(admin_list_next(&list, &item) && admin_text_equal(item, "a"));
    assert_true(admin_list_next(&list, &item) && admin_text_equal(item, "b"));
    assert_false(admin_list_next(&list, &item));
}

static void frame_that_does_not_fit_is_taken_back_whole(void **state) {
    size_t whole = written_request();
    for (size_t capacity = 0; capacity < whole; capacity++) {
        struct admin_writer writer = writer_on(capacity);
        admin_write_request(&writer, 7, "top");
        admin_put_text(&writer, "by", "age");
        admin_put_uint(&writer, "rows", 20);
        admin_put_bool(&writer, "all", true);
        assert_int_equal(admin_write_end(&writer), -ENOSPC);
        assert_int_equal(writer.length, 0);
    }
}

static void frame_with_too_many_fields_is_taken_back(void **state) {
    struct admin_writer writer = writer_on(sizeof buffer);
    admin_write_reply(&writer, 1, ADMIN_ROW);
    for (unsigned i = 0; i <= ADMIN_FIELDS_MAX; i++)
        admin_put_uint(&writer, "x", i);
    assert_int_equal(admin_write_end(&writer), -EMSGSIZE);
    admin_write_reply(&writer, 1, ADMIN_END);
    assert_int_equal(admin_write_end(&writer), 0);
}

static void text_that_is_no_utf8_is_marked(void **state) {
    struct admin_writer writer = writer_on(sizeof buffer);
    struct admin_reply reply;
    admin_write_reply(&writer, 1, ADMIN_ROW);
    admin_put_text(&writer, "text",
                   "a\xff"
                   "b");
    assert_int_equal(admin_write_end(&writer), 0);
    assert_int_equal(admin_reply_read(buffer + 4, writer.length - 4, &reply), PARSE_COMPLETE);
    assert_true(admin_text_equal(admin_field_find(&reply.fields, "text")->text, "a?b"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_comes_back_as_it_was),
        cmocka_unit_test(frame_in_pieces_wants_more_until_it_is_whole),
        cmocka_unit_test(frame_beyond_the_bound_or_empty_is_refused_at_its_head),
        cmocka_unit_test(request_cut_anywhere_or_with_a_tail_is_junk),
        cmocka_unit_test(hostile_counts_are_junk),
        cmocka_unit_test(reply_keeps_every_kind_of_value),
        cmocka_unit_test(frame_that_does_not_fit_is_taken_back_whole),
        cmocka_unit_test(frame_with_too_many_fields_is_taken_back),
        cmocka_unit_test(text_that_is_no_utf8_is_marked),
    };
    return cmocka_run_group_tests_name("admin", tests, NULL, NULL);
}

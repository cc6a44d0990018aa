/* SPDX-License-Identifier: Apache-2.0 */
/* Numbered sends, their answers and retries; requests. */
#include "net/device_internal.h"
#include "tests/unit/net/owner.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Holds the numbers of the sends that came since the last time against "1 2 3". */
static void expect_sends(struct owner *owner, const char *expected) {
    char numbers[512] = "";
    owner_pump(owner);
    for (unsigned i = 0; i < owner->node.frame_count; i++) {
        const struct wire_frame *frame = &owner->node.frames[i];
        size_t used = strlen(numbers);
        if (frame->kind != WIRE_SEND)
            continue;
        assert_int_equal(frame->ref, owner_ref(frame->send.number));
        snprintf(numbers + used, sizeof numbers - used, used > 0 ? " %d" : "%d",
                 (int)frame->send.number);
    }
    assert_string_equal(numbers, expected);
    fake_node_clear(&owner->node);
}

static void queue(struct owner *owner, unsigned count) {
    for (unsigned i = 0; i < count; i++)
        owner_send(owner, "text");
}

static void answer(struct owner *owner, uint64_t number, unsigned code) {
    owner_hear_answer(owner, owner_ref(number), code, 0);
}

/* ---------------------------------------------------------------- sending */

static void queued_sends_go_in_one_message(void **state) {
    struct owner *owner = *state;
    queue(owner, 3);
    owner_pump(owner);
    assert_int_equal(owner->node.message_count, 1);
    const struct wire_frame *frame = fake_node_frame(&owner->node, WIRE_SEND, 0);
    assert_int_equal(frame->send.chat, 43);
    assert_int_equal(frame->send.recipients.count, 1);
    expect_sends(owner, "1 2 3");
    assert_int_equal(device_sends_open(owner->device), 3);
}

static void send_is_answered_once_in_any_order(void **state) {
    struct owner *owner = *state;
    queue(owner, 3);
    owner_pump(owner);
    answer(owner, 2, WIRE_CODE_OK);
    answer(owner, 2, WIRE_CODE_OK);
    answer(owner, 1, WIRE_CODE_FULL);
    answer(owner, 3, WIRE_CODE_OK);
    answer(owner, 4, WIRE_CODE_OK); /* never sent */
    owner_expect(owner, "send 2 ok, commit, send 1 full, commit, send 3 ok, commit");
    assert_int_equal(device_sends_open(owner->device), 0);
}

static void number_out_of_row_is_refused(void **state) {
    struct owner *owner = *state;
    assert_int_equal(device_send(owner->device, 2), -ESTALE);
    assert_int_equal(device_next_send(owner->device), 1);
}

static void window_bounds_what_is_on_its_way(void **state) {
    struct owner *owner = *state;
    struct wire_frame welcome = owner_welcome(owner);
    welcome.welcome.sends_in_flight_max = 3; /* one of them for a request */
    owner_hear(owner, &welcome);
    queue(owner, 5);
    expect_sends(owner, "1 2");
    answer(owner, 2, WIRE_CODE_OK);
    expect_sends(owner, "");
    answer(owner, 1, WIRE_CODE_OK);
    expect_sends(owner, "3 4");
}

static void more_than_the_greatest_window_goes_through(void **state) {
    struct owner *owner = *state;
    queue(owner, 100);
    owner_pump(owner);
    assert_int_equal(fake_node_count(&owner->node, WIRE_SEND), 48);
    for (unsigned number = 1; number <= 100; number++) {
        owner->log[0] = 0;
        answer(owner, number, WIRE_CODE_OK);
    }
    assert_int_equal(fake_node_count(&owner->node, WIRE_SEND), 100);
    assert_int_equal(device_sends_open(owner->device), 0);
}

static void large_sends_share_messages_as_far_as_they_fit(void **state) {
    struct owner *owner = *state;
    static char content[30001];
    memset(content, 'x', sizeof content - 1);
    for (int i = 0; i < 5; i++)
        owner_send(owner, content);
    owner_pump(owner);
    assert_int_equal(owner->node.message_count, 3);
    expect_sends(owner, "1 2 3 4 5");
}

static void content_of_the_greatest_size_goes_and_one_byte_more_does_not(void **state) {
    struct owner *owner = *state;
    static char content[WIRE_CONTENT_BYTES_MAX + 1];
    memset(content, 'x', sizeof content - 1);
    uint64_t number = owner_send(owner, content);
    owner->sends[number].external = (struct wire_bytes){(const uint8_t *)"y", 1};
    owner_send(owner, content);
    owner_send(owner, "small");
    expect_sends(owner, "2 3");
    owner_expect(owner, "send 1 too_big, commit");
    answer(owner, 2, WIRE_CODE_OK);
    answer(owner, 3, WIRE_CODE_OK);
    assert_int_equal(device_sends_open(owner->device), 0);
}

static void message_that_the_owner_has_no_more_is_passed_over(void **state) {
    struct owner *owner = *state;
    queue(owner, 3);
    owner->sends[2].id = (struct wire_id){{0}};
    expect_sends(owner, "1 3");
}

/* ---------------------------------------------------------------- connecting again */

static void unanswered_sends_go_again_in_order(void **state) {
    struct owner *owner = *state;
    queue(owner, 4);
    expect_sends(owner, "1 2 3 4");
    answer(owner, 2, WIRE_CODE_OK);
    owner_cut(owner);
    queue(owner, 1);
    owner_go_online(owner);
    assert_int_equal(owner->node.hello.send_low, 1);
    expect_sends(owner, "1 3 4 5");
}

static void restarted_program_sends_what_it_has_kept(void **state) {
    struct owner *owner = *state;
    queue(owner, 4);
    expect_sends(owner, "1 2 3 4");
    answer(owner, 1, WIRE_CODE_OK);
    answer(owner, 3, WIRE_CODE_OK);
    owner->saved.send_low = 2;
    owner->saved.next_send = 5;
    owner_restart(owner);
    owner_go_online(owner);
    assert_int_equal(owner->node.hello.send_low, 2);
    expect_sends(owner, "2 4");
    assert_int_equal(device_next_send(owner->device), 5);
}

static void welcome_on_a_living_connection_sends_again(void **state) {
    struct owner *owner = *state;
    queue(owner, 2);
    expect_sends(owner, "1 2");
    struct wire_frame welcome = owner_welcome(owner);
    welcome.welcome.epoch = 8;
    owner_hear(owner, &welcome);
    expect_sends(owner, "1 2");
}

static void numbers_that_the_node_knows_are_not_used_again(void **state) {
    struct owner *owner = *state;
    struct wire_frame welcome = owner_welcome(owner);
    welcome.welcome.next_send = 50;
    owner_hear(owner, &welcome);
    assert_int_equal(owner_send(owner, "new"), 50);
    expect_sends(owner, "50");
}

static void queued_sends_keep_their_numbers_when_the_node_is_ahead(void **state) {
    struct owner *owner = *state;
    owner_cut(owner);
    queue(owner, 2);
    owner_connect(owner);
    struct wire_frame welcome = owner_welcome(owner);
    welcome.welcome.next_send = 10;
    owner_hear(owner, &welcome);
    assert_int_equal(owner_send(owner, "new"), 10);
    expect_sends(owner, "1 2 10");
}

static void stranger_sends_nothing_until_it_is_registered(void **state) {
    struct owner *owner = *state;
    owner_cut(owner);
    owner_connect(owner);
    struct wire_frame welcome = owner_welcome(owner);
    welcome.welcome.registered = false;
    owner_hear(owner, &welcome);
    queue(owner, 1);
    expect_sends(owner, "");
    assert_int_equal(device_user(owner->device), 0);
    welcome.welcome.registered = true;
    owner_hear(owner, &welcome);
    expect_sends(owner, "1");
}

/* ---------------------------------------------------------------- retries */

static void refused_for_now_goes_again_in_order_after_its_time(void **state) {
    struct owner *owner = *state;
    queue(owner, 3);
    expect_sends(owner, "1 2 3");
    owner_hear_answer(owner, owner_ref(1), WIRE_CODE_OVERLOADED, 1000);
    expect_sends(owner, "");
    owner_hear_conflict(owner, owner_ref(2), 1);
    owner_hear_conflict(owner, owner_ref(3), 1);
    expect_sends(owner, "");
    uint64_t deadline = device_deadline_ms(owner->device);
    assert_true(deadline >= owner->now_ms + 1000 && deadline <= owner->now_ms + 1250);
    owner_tick(owner, deadline);
    expect_sends(owner, "1 2 3");
    owner_expect(owner, "");
}

static void nothing_goes_again_while_later_ones_are_on_their_way(void **state) {
    struct owner *owner = *state;
    queue(owner, 3);
    expect_sends(owner, "1 2 3");
    owner_hear_answer(owner, owner_ref(1), WIRE_CODE_UNAVAILABLE, 0);
    owner_tick(owner, owner->now_ms + 5000);
    expect_sends(owner, "");
    answer(owner, 2, WIRE_CODE_OK);
    owner_hear_conflict(owner, owner_ref(3), 1);
    expect_sends(owner, "1 3");
}

static void each_code_that_means_later_is_tried_again(void **state) {
    static const unsigned codes[] = {WIRE_CODE_LIMITED, WIRE_CODE_OVERLOADED, WIRE_CODE_UNAVAILABLE,
                                     WIRE_CODE_INTERNAL};
    struct owner *owner = *state;
    queue(owner, 1);
    expect_sends(owner, "1");
    for (int i = 0; i < 4; i++) {
        answer(owner, 1, codes[i]);
        owner_tick(owner, owner->now_ms + 200);
        expect_sends(owner, "1");
    }
    answer(owner, 1, WIRE_CODE_NOT_FOUND);
    owner_expect(owner, "send 1 not_found, commit");
}

static void stale_waits_for_the_owner_and_holds_up_what_follows(void **state) {
    struct owner *owner = *state;
    queue(owner, 1);
    expect_sends(owner, "1");
    answer(owner, 1, WIRE_CODE_STALE);
    owner_expect(owner, "send 1 stale, commit");
    assert_int_equal(owner->stale_version, 9);
    queue(owner, 1);
    expect_sends(owner, "");
    device_retry(owner->device, 1);
    device_retry(owner->device, 1000); /* nobody's */
    expect_sends(owner, "1 2");
}

static void late_answer_to_an_earlier_try_counts(void **state) {
    struct owner *owner = *state;
    queue(owner, 3);
    expect_sends(owner, "1 2 3");
    owner_hear_conflict(owner, owner_ref(2), 1);
    expect_sends(owner, ""); /* 1 is to go again, after the answer to 3 */
    answer(owner, 1, WIRE_CODE_OVERLOADED);
    answer(owner, 1, WIRE_CODE_OK);
    answer(owner, 1, WIRE_CODE_OK);
    owner_expect(owner, "send 1 ok, commit");
    owner_hear_conflict(owner, owner_ref(3), 2);
    expect_sends(owner, "2 3");
}

static void conflict_about_a_settled_number_asks_for_a_new_hello(void **state) {
    struct owner *owner = *state;
    queue(owner, 2);
    owner_pump(owner);
    answer(owner, 1, WIRE_CODE_OK);
    owner_hear_conflict(owner, owner_ref(2), 1);
    assert_int_equal(owner->result, -EPROTO);
    owner_cut(owner);
    owner_go_online(owner);
    assert_int_equal(owner->node.hello.send_low, 2);
    expect_sends(owner, "2");
}

static void node_that_contradicts_itself_is_not_hammered(void **state) {
    struct owner *owner = *state;
    queue(owner, 1);
    expect_sends(owner, "1");
    owner_hear_conflict(owner, owner_ref(1), 1);
    expect_sends(owner, "");
    assert_true(device_deadline_ms(owner->device) >= owner->now_ms + 1000);
}

static void conflict_with_a_node_far_ahead_is_told(void **state) {
    struct owner *owner = *state;
    queue(owner, 1);
    owner_pump(owner);
    owner_hear_conflict(owner, owner_ref(1), 2000);
    owner_expect(owner, "send 1 conflict, commit");
}

static void answer_whose_body_is_junk_ends_the_connection(void **state) {
    static const unsigned codes[] = {WIRE_CODE_OK, WIRE_CODE_STALE, WIRE_CODE_CONFLICT};
    struct owner *owner = *state;
    queue(owner, 1);
    for (int i = 0; i < 3; i++) {
        struct wire_frame reply = {
            .kind = WIRE_REPLY,
            .ref = owner_ref(1),
            .reply = {.code = (uint16_t)codes[i], .body = {(const uint8_t *)"\xc1", 1}},
        };
        owner_hear(owner, &reply);
        assert_int_equal(owner->result, -EPROTO);
        owner_cut(owner);
        owner_go_online(owner);
    }
    assert_int_equal(device_sends_open(owner->device), 1);
}

/* ---------------------------------------------------------------- requests */

static const struct wire_frame profile = {.kind = WIRE_PROFILE, .profile.user = 5};

static void request_gets_its_reply(void **state) {
    struct owner *owner = *state;
    int first = device_request(owner->device, &profile);
    int second = device_request(owner->device, &profile);
    owner_pump(owner);
    assert_true(first > 0 && second == first + 1);
    assert_int_equal(fake_node_frame(&owner->node, WIRE_PROFILE, 0)->profile.user, 5);
    assert_int_equal(owner->node.message_count, 1);
    owner_hear_answer(owner, (uint32_t)second, WIRE_CODE_NOT_FOUND, 0);
    owner_hear_answer(owner, (uint32_t)second, WIRE_CODE_NOT_FOUND, 0);
    owner_hear_answer(owner, 77, WIRE_CODE_NOT_FOUND, 0); /* nobody asked */
    owner_hear_answer(owner, (uint32_t)first, WIRE_CODE_OK, 0);
    owner_expect(owner, "reply 2 not_found, commit, reply 1 ok, commit");
}

static void request_without_a_reply_is_told_when_the_connection_ends(void **state) {
    struct owner *owner = *state;
    device_request(owner->device, &profile);
    device_request(owner->device, &profile);
    owner_pump(owner);
    owner_hear_answer(owner, 1, WIRE_CODE_OK, 0);
    owner_cut(owner);
    owner_expect(owner, "reply 1 ok, commit, reply 2 unavailable, commit, closed: lost 0");
}

static void requests_are_bounded(void **state) {
    struct owner *owner = *state;
    for (int i = 0; i < DEVICE_REQUESTS_MAX; i++)
        assert_true(device_request(owner->device, &profile) > 0);
    assert_int_equal(device_request(owner->device, &profile), -EBUSY);
    owner_pump(owner);
    owner_hear_answer(owner, 1, WIRE_CODE_OK, 0);
    assert_true(device_request(owner->device, &profile) > 0);
}

static void what_is_no_request_is_refused(void **state) {
    struct owner *owner = *state;
    struct wire_frame send = {.kind = WIRE_SEND}, long_phone = {.kind = WIRE_REGISTER_PHONE};
    assert_int_equal(device_request(owner->device, &send), -EINVAL);
    long_phone.register_phone.phone =
        (struct wire_bytes){(const uint8_t *)"01234567890123456789", 20};
    assert_int_equal(device_request(owner->device, &long_phone), -EMSGSIZE);
    owner_cut(owner);
    assert_int_equal(device_request(owner->device, &profile), -ENOTCONN);
}

static void slow_socket_makes_requests_wait(void **state) {
    struct owner *owner = *state;
    struct wire_bytes phones[256];
    static const uint8_t phone[60] = "+";
    struct wire_frame discover = {.kind = WIRE_DISCOVER};
    const uint8_t *bytes;
    for (int i = 0; i < 256; i++)
        phones[i] = (struct wire_bytes){phone, sizeof phone};
    discover.discover.phones = (struct wire_text_list){.items = phones, .count = 256};
    assert_int_equal(device_request(owner->device, &discover), 1);
    assert_true(device_output(owner->device, owner->now_ms, &bytes) > 0);
    for (int ref = 2; ref <= 5; ref++) /* 15.9 kB each: four fill the next message */
        assert_int_equal(device_request(owner->device, &discover), ref);
    assert_int_equal(device_request(owner->device, &discover), -EBUSY);
    owner_pump(owner);
    assert_int_equal(fake_node_count(&owner->node, WIRE_DISCOVER), 5);
    assert_int_equal(owner->node.message_count, 2);
    assert_int_equal(device_request(owner->device, &discover), 6);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, owner_set_up, owner_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(queued_sends_go_in_one_message),
        TEST(send_is_answered_once_in_any_order),
        TEST(number_out_of_row_is_refused),
        TEST(window_bounds_what_is_on_its_way),
        TEST(more_than_the_greatest_window_goes_through),
        TEST(large_sends_share_messages_as_far_as_they_fit),
        TEST(content_of_the_greatest_size_goes_and_one_byte_more_does_not),
        TEST(message_that_the_owner_has_no_more_is_passed_over),
        TEST(unanswered_sends_go_again_in_order),
        TEST(restarted_program_sends_what_it_has_kept),
        TEST(welcome_on_a_living_connection_sends_again),
        TEST(numbers_that_the_node_knows_are_not_used_again),
        TEST(queued_sends_keep_their_numbers_when_the_node_is_ahead),
        TEST(stranger_sends_nothing_until_it_is_registered),
        TEST(refused_for_now_goes_again_in_order_after_its_time),
        TEST(nothing_goes_again_while_later_ones_are_on_their_way),
        TEST(each_code_that_means_later_is_tried_again),
        TEST(stale_waits_for_the_owner_and_holds_up_what_follows),
        TEST(late_answer_to_an_earlier_try_counts),
        TEST(conflict_about_a_settled_number_asks_for_a_new_hello),
        TEST(node_that_contradicts_itself_is_not_hammered),
        TEST(conflict_with_a_node_far_ahead_is_told),
        TEST(answer_whose_body_is_junk_ends_the_connection),
        TEST(request_gets_its_reply),
        TEST(request_without_a_reply_is_told_when_the_connection_ends),
        TEST(requests_are_bounded),
        TEST(what_is_no_request_is_refused),
        TEST(slow_socket_makes_requests_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

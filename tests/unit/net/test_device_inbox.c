/* SPDX-License-Identifier: Apache-2.0 */
/* Mail, statuses and their acknowledgements; resuming. */
#include "net/device_internal.h"
#include "tests/unit/net/owner.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct wire_ack *ack(const struct owner *owner, unsigned index) {
    return &fake_node_frame(&owner->node, WIRE_ACK, index)->ack;
}

static void mail_is_acknowledged_after_commit_and_in_one_frame(void **state) {
    struct owner *owner = *state;
    struct wire_frame mail[] = {owner_mail(1, "a"), owner_mail(2, "b"), owner_mail(3, "c")};
    fake_node_say_all(&owner->node, mail, 3);
    owner_pump(owner);
    owner_expect(owner, "mail 1, mail 2, mail 3, cursor 3, commit");
    assert_int_equal(fake_node_count(&owner->node, WIRE_ACK), 1);
    assert_int_equal(ack(owner, 0)->epoch, 7);
    assert_int_equal(ack(owner, 0)->up_to, 3);
    assert_int_equal(ack(owner, 0)->singles.count, 0);
}

static void mail_that_cannot_be_made_durable_is_not_acknowledged(void **state) {
    struct owner *owner = *state;
    struct wire_frame mail = owner_mail(1, "a");
    owner->commit_error = -ENOSPC;
    owner_hear(owner, &mail);
    assert_int_equal(owner->result, -EIO);
    assert_int_equal(fake_node_count(&owner->node, WIRE_ACK), 0);
    owner_cut(owner);
    assert_int_equal(owner->device->end, DEVICE_END_STORAGE);
}

/* The owner has rolled back, so the next hello must not acknowledge what it had been given. */
static void failed_commit_leaves_the_cursor_where_it_was(void **state) {
    struct owner *owner = *state;
    struct device_saved stored;
    struct wire_frame mail = owner_mail(1, "a");
    owner_hear(owner, &mail);
    stored = owner->saved;
    mail = owner_mail(2, "b");
    owner->commit_error = -ENOSPC;
    owner_hear(owner, &mail);
    owner->commit_error = 0;
    owner->saved = stored;
    owner_cut(owner);
    owner_connect(owner);
    assert_int_equal(owner->node.hello.epoch, 7);
    assert_int_equal(owner->node.hello.cursor, 1);
}

/* An answer whose commit failed is awaited again: to the owner the message is still on its way. */
static void failed_commit_takes_an_answer_back(void **state) {
    struct owner *owner = *state;
    struct device_saved stored;
    uint64_t number = owner_send(owner, "a");
    owner_pump(owner);
    stored = (struct device_saved){.send_low = number, .next_send = number + 1};
    owner->commit_error = -ENOSPC;
    owner_hear_answer(owner, owner_ref(number), WIRE_CODE_OK, 0);
    owner->commit_error = 0;
    owner->saved = stored;
    owner_cut(owner);
    assert_int_equal(device_sends_open(owner->device), 1);
    owner_connect(owner);
    assert_int_equal(owner->node.hello.send_low, number);
}

static void known_mail_is_acknowledged_and_not_shown(void **state) {
    struct owner *owner = *state;
    struct wire_frame mail = owner_mail(1, "a");
    owner->known = true;
    owner_hear(owner, &mail);
    owner_expect(owner, "cursor 1, commit");
    assert_int_equal(ack(owner, 0)->up_to, 1);
}

static void refusal_goes_ahead_of_what_covers_it(void **state) {
    struct owner *owner = *state;
    struct wire_frame first = owner_mail(1, "a"), second = owner_mail(2, "b");
    struct wire_ack_error error;
    owner->verdict = WIRE_REFUSAL_UNDECRYPTABLE;
    fake_node_say(&owner->node, &first);
    fake_node_say(&owner->node, &second);
    owner_pump(owner);
    assert_int_equal(fake_node_count(&owner->node, WIRE_ACK), 2);
    struct wire_ack_error_list errors = ack(owner, 0)->errors;
    assert_int_equal(ack(owner, 0)->up_to, 0);
    assert_int_equal(errors.count, 2);
    assert_true(wire_next_ack_error(&errors, &error));
    assert_true(error.cursor == 1 && error.error == WIRE_REFUSAL_UNDECRYPTABLE);
    assert_int_equal(ack(owner, 1)->up_to, 2);
    assert_null(owner->device->pending);
}

static void mail_left_for_later_holds_back_what_covers_it(void **state) {
    struct owner *owner = *state;
    struct wire_frame mail[] = {owner_mail(1, "a"), owner_mail(2, "b"), owner_mail(3, "c")};
    uint64_t single;
    owner_hear(owner, &mail[0]);
    owner->verdict = DEVICE_LATER;
    owner_hear(owner, &mail[1]);
    owner->verdict = 0;
    owner_hear(owner, &mail[2]);
    assert_int_equal(fake_node_count(&owner->node, WIRE_ACK), 2);
    assert_int_equal(ack(owner, 0)->up_to, 1);
    struct wire_number_list singles = ack(owner, 1)->singles;
    assert_int_equal(ack(owner, 1)->up_to, 0);
    assert_true(wire_next_number(&singles, &single) && single == 3);
    assert_int_equal(owner->saved.cursor, 1);

    device_settle(owner->device, 6, 2, 0); /* another epoch */
    device_settle(owner->device, 7, 3, 0); /* acknowledged already */
    owner_pump(owner);
    assert_int_equal(fake_node_count(&owner->node, WIRE_ACK), 2);
    device_settle(owner->device, 7, 2, 0);
    owner_pump(owner);
    assert_int_equal(ack(owner, 2)->up_to, 3);
    assert_int_equal(owner->saved.cursor, 3);
    assert_null(owner->device->pending);
}

static void mail_that_waits_is_not_shown_again(void **state) {
    struct owner *owner = *state;
    struct wire_frame mail = owner_mail(1, "a");
    owner->verdict = DEVICE_LATER;
    owner_hear(owner, &mail);
    owner_hear(owner, &mail);
    owner_expect(owner, "mail 1, commit");
    device_settle(owner->device, 7, 1, WIRE_REFUSAL_REJECTED);
    owner_pump(owner);
    assert_int_equal(ack(owner, 0)->errors.count, 1);
    assert_int_equal(ack(owner, 1)->up_to, 1);
}

static void node_that_goes_far_beyond_the_window_is_left(void **state) {
    struct owner *owner = *state;
    owner->verdict = DEVICE_LATER;
    for (unsigned cursor = 1; cursor <= DEVICE_PENDING_MAX; cursor++) {
        struct wire_frame mail = owner_mail(cursor, "a");
        owner->log[0] = 0;
        owner_hear(owner, &mail);
    }
    assert_int_equal(owner->result, 0);
    struct wire_frame mail = owner_mail(DEVICE_PENDING_MAX + 1, "a");
    owner_hear(owner, &mail);
    assert_int_equal(owner->result, -EPROTO);
}

static void many_settled_out_of_order_are_acknowledged_in_bounded_frames(void **state) {
    struct owner *owner = *state;
    owner->verdict = DEVICE_LATER;
    for (unsigned cursor = 1; cursor <= 800; cursor++) {
        struct wire_frame mail = owner_mail(cursor, "a");
        owner->log[0] = 0;
        owner_hear(owner, &mail);
    }
    for (unsigned cursor = 800; cursor > 1; cursor--)
        device_settle(owner->device, 7, cursor, 0);
    owner_pump(owner);
    assert_int_equal(fake_node_count(&owner->node, WIRE_ACK), 2);
    assert_int_equal(ack(owner, 0)->singles.count, 512);
    assert_int_equal(ack(owner, 1)->singles.count, 287);
    device_settle(owner->device, 7, 1, 0);
    owner_pump(owner);
    assert_int_equal(ack(owner, 2)->up_to, 800);
}

static void cursor_without_number_ends_the_connection(void **state) {
    struct owner *owner = *state;
    struct wire_frame mail = owner_mail(0, "a");
    owner_hear(owner, &mail);
    assert_int_equal(owner->result, -EPROTO);
}

static void mail_out_of_order_is_acknowledged_by_itself(void **state) {
    struct owner *owner = *state;
    struct wire_frame late = owner_mail(2, "b"), mail = owner_mail(5, "e");
    uint64_t single;
    owner_hear(owner, &mail);
    owner_hear(owner, &late);
    struct wire_number_list singles = ack(owner, 1)->singles;
    assert_int_equal(ack(owner, 1)->up_to, 0);
    assert_true(wire_next_number(&singles, &single) && single == 2);
}

/* ---------------------------------------------------------------- statuses */

static void status_waits_a_moment_for_its_acknowledgement(void **state) {
    struct owner *owner = *state;
    struct wire_frame status = owner_status(1);
    owner_hear(owner, &status);
    owner_expect(owner, "delivered 1, of 5, cursor 1, commit");
    assert_int_equal(fake_node_count(&owner->node, WIRE_ACK), 0);
    assert_int_equal(device_deadline_ms(owner->device), owner->now_ms + 10);
    owner_tick(owner, owner->now_ms + 10);
    assert_int_equal(ack(owner, 0)->up_to, 1);
}

static void acknowledgement_of_a_status_rides_with_a_send(void **state) {
    struct owner *owner = *state;
    struct wire_frame status = owner_status(1);
    owner_hear(owner, &status);
    owner_send(owner, "hello");
    owner_pump(owner);
    assert_int_equal(owner->node.message_count, 1);
    assert_int_equal(ack(owner, 0)->up_to, 1);
    assert_int_equal(fake_node_count(&owner->node, WIRE_SEND), 1);
}

static void mail_takes_a_waiting_status_along(void **state) {
    struct owner *owner = *state;
    struct wire_frame status = owner_status(1), mail = owner_mail(2, "b");
    owner_hear(owner, &status);
    owner_hear(owner, &mail);
    assert_int_equal(fake_node_count(&owner->node, WIRE_ACK), 1);
    assert_int_equal(ack(owner, 0)->up_to, 2);
}

/* Late receipts are acknowledged, and change nothing that a person sees. */
static void what_has_come_further_does_not_go_back(void **state) {
    struct owner *owner = *state;
    static const struct {
        unsigned known, heard;
        bool told;
    } cases[] = {
        {0, WIRE_STATE_DELIVERED, true},
        {WIRE_STATE_SENT, WIRE_STATE_EXPIRED, true},
        {WIRE_STATE_EXPIRED, WIRE_STATE_DELIVERED, true},
        {WIRE_STATE_DELIVERED, WIRE_STATE_READ, true},
        {WIRE_STATE_READ, WIRE_STATE_PLAYED, true},
        {WIRE_STATE_DELIVERED, WIRE_STATE_DELIVERED, false},
        {WIRE_STATE_DELIVERED, WIRE_STATE_EXPIRED, false},
        {WIRE_STATE_READ, WIRE_STATE_DELIVERED, false},
        {WIRE_STATE_PLAYED, WIRE_STATE_READ, false},
        {WIRE_STATE_FAILED, WIRE_STATE_QUARANTINED, false},
    };
    owner->known_id = (struct wire_id){{5}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wire_frame status = owner_status(i + 1);
        char expected[64];
        status.status.state = (uint16_t)cases[i].heard;
        owner->known_state = cases[i].known;
        owner_hear(owner, &status);
        snprintf(expected, sizeof expected, "%s %d, of 5, cursor %d, commit",
                 wire_state_name(cases[i].heard), (int)i + 1, (int)i + 1);
        owner_expect(owner, cases[i].told ? expected : strchr(expected, 'c'));
    }
    owner_tick(owner, owner->now_ms + 10);
    assert_int_equal(ack(owner, 0)->up_to, sizeof cases / sizeof *cases);
}

static void status_tells_of_those_alone_that_have_come_further(void **state) {
    struct owner *owner = *state;
    static const struct wire_id ids[] = {{{4}}, {{5}}, {{6}}};
    struct wire_frame status = owner_status(1);
    status.status.ids = (struct wire_identity_list){.items = ids, .count = 3};
    owner->known_id = ids[1];
    owner->known_state = WIRE_STATE_READ;
    owner_hear(owner, &status);
    owner_expect(owner, "delivered 1, of 4, of 6, cursor 1, commit");
}

static void empty_is_told(void **state) {
    struct owner *owner = *state;
    struct wire_frame empty = {.kind = WIRE_EMPTY};
    owner_hear(owner, &empty);
    owner_expect(owner, "empty");
}

/* ---------------------------------------------------------------- resuming */

static void next_hello_names_epoch_and_cursor(void **state) {
    struct owner *owner = *state;
    struct wire_frame mail = owner_mail(5, "a");
    owner_hear(owner, &mail);
    owner_cut(owner);
    owner_connect(owner);
    assert_int_equal(owner->node.hello.epoch, 7);
    assert_int_equal(owner->node.hello.cursor, 5);
}

static void restarted_program_resumes_from_what_it_saved(void **state) {
    struct owner *owner = *state;
    struct wire_frame mail = owner_mail(5, "a");
    owner_hear(owner, &mail);
    owner_restart(owner);
    owner_connect(owner);
    assert_int_equal(owner->node.hello.epoch, 7);
    assert_int_equal(owner->node.hello.cursor, 5);
}

static void cursor_stays_below_mail_that_waits(void **state) {
    struct owner *owner = *state;
    struct wire_frame first = owner_mail(1, "a"), second = owner_mail(2, "b");
    owner->verdict = DEVICE_LATER;
    owner_hear(owner, &first);
    owner->verdict = 0;
    owner_hear(owner, &second);
    owner_cut(owner);
    device_settle(owner->device, 7, 1, 0); /* too late: it will come again */
    owner_connect(owner);
    assert_int_equal(owner->node.hello.cursor, 0);
}

static void cursor_stays_below_a_refusal_that_was_not_told(void **state) {
    struct owner *owner = *state;
    struct wire_frame mail = owner_mail(1, "a");
    uint8_t bytes[256];
    owner->verdict = WIRE_REFUSAL_UNDECRYPTABLE;
    fake_node_say(&owner->node, &mail);
    size_t length = owner->node.out_length;
    memcpy(bytes, owner->node.out, length);
    assert_int_equal(device_receive(owner->device, bytes, length, owner->now_ms), 0);
    owner_cut(owner);
    owner_connect(owner);
    assert_int_equal(owner->node.hello.cursor, 0);
}

static void new_epoch_on_a_living_connection_begins_anew(void **state) {
    struct owner *owner = *state;
    struct wire_frame mail = owner_mail(9, "a"), waiting = owner_mail(10, "b");
    owner_hear(owner, &mail);
    owner->verdict = DEVICE_LATER;
    owner_hear(owner, &waiting);
    owner->verdict = 0;
    fake_node_clear(&owner->node);

    struct wire_frame welcome = owner_welcome(owner);
    welcome.welcome.epoch = 8;
    welcome.welcome.resume = WIRE_RESUME_REPLAY;
    owner_hear(owner, &welcome);
    device_settle(owner->device, 7, 10, 0);
    owner_pump(owner);
    assert_int_equal(fake_node_count(&owner->node, WIRE_ACK), 0);
    mail = owner_mail(1, "b");
    owner_hear(owner, &mail);
    assert_int_equal(ack(owner, 0)->epoch, 8);
    assert_int_equal(ack(owner, 0)->up_to, 1);
    assert_int_equal(owner->saved.epoch, 8);
    assert_int_equal(owner->saved.cursor, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, owner_set_up, owner_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(mail_is_acknowledged_after_commit_and_in_one_frame),
        TEST(mail_that_cannot_be_made_durable_is_not_acknowledged),
        TEST(failed_commit_leaves_the_cursor_where_it_was),
        TEST(failed_commit_takes_an_answer_back),
        TEST(known_mail_is_acknowledged_and_not_shown),
        TEST(refusal_goes_ahead_of_what_covers_it),
        TEST(mail_left_for_later_holds_back_what_covers_it),
        TEST(mail_that_waits_is_not_shown_again),
        TEST(node_that_goes_far_beyond_the_window_is_left),
        TEST(many_settled_out_of_order_are_acknowledged_in_bounded_frames),
        TEST(cursor_without_number_ends_the_connection),
        TEST(mail_out_of_order_is_acknowledged_by_itself),
        TEST(status_waits_a_moment_for_its_acknowledgement),
        TEST(acknowledgement_of_a_status_rides_with_a_send),
        TEST(mail_takes_a_waiting_status_along),
        TEST(what_has_come_further_does_not_go_back),
        TEST(status_tells_of_those_alone_that_have_come_further),
        TEST(empty_is_told),
        TEST(next_hello_names_epoch_and_cursor),
        TEST(restarted_program_resumes_from_what_it_saved),
        TEST(cursor_stays_below_mail_that_waits),
        TEST(cursor_stays_below_a_refusal_that_was_not_told),
        TEST(new_epoch_on_a_living_connection_begins_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

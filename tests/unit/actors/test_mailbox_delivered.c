/* SPDX-License-Identifier: Apache-2.0 */
/* A message that was acknowledged while it was held is known as delivered in memory alone: each of
 * its sender's devices hears of that whatever fails meanwhile. Ann's second phone is `ann2`. */
#include "tests/unit/actors/mailbox_fixture.h"

#define ANN 100
#define BOB 201

static struct phone ann, ann2, bob;

static int begin(void **state) {
    hand_setup(state);
    hand_account(ANN, 1);
    hand_account(BOB, 1);
    phone_attach(&ann, ANN, 1);
    phone_attach(&bob, BOB, 1);
    return 0;
}

static int begin_with_two(void **state) {
    hand_setup(state);
    hand_account(ANN, 2);
    hand_account(BOB, 1);
    hand.node.limits.hold_ms_min = hand.node.limits.hold_ms_max = 1000;
    phone_attach(&ann, ANN, 1);
    phone_attach(&ann2, ANN, 2);
    phone_attach(&bob, BOB, 1);
    return 0;
}

/* The one of which the answer said that it has the message; 0: it said nothing. */
static uint32_t delivered_in(uint64_t ref) {
    struct heard *heard = phone_answer_heard(&ann, ref);
    struct wire_sent_body body;
    assert_non_null(heard);
    assert_int_equal(((struct connection_answer *)heard->payload)->code, WIRE_CODE_OK);
    assert_int_equal(wire_read_sent_body(heard->blob, heard->blob_bytes, &body), PARSE_COMPLETE);
    return body.delivered_device;
}

static uint64_t deliver(const char *text) {
    uint64_t ref = phone_send(&ann, BOB, text);
    phone_ack(&bob, phone_expect(&bob, text));
    return ref;
}

/* Ann's mailbox fails, and what was in memory alone is gone. `heard_below`: her phone has the
 * answers to all below. */
static void fail_and_attach(uint64_t heard_below) {
    actor_kill(ann.mailbox, ACTOR_KILLED);
    hand_run();
    phone_attach_as(&ann, ANN, 1, 0, 0, heard_below);
    phone_forget(&ann);
}

static void give_with_low(uint64_t number, uint64_t send_low, const char *text) {
    struct message *message = phone_compose(&ann, number, BOB, text);
    message_as(message, struct mailbox_send)->send_low = send_low;
    phone_give(&ann, message);
    hand_run();
}

/* Makes the marks of Ann's devices durable: half a block of sequences is used. */
static void write_marks(void) {
    for (unsigned i = 0; i < 2100; i++) {
        phone_send(&bob, ANN, "to and fro");
        const struct connection_mail *mail = phone_mail(&ann, NULL);
        assert_non_null(mail);
        phone_ack(&ann, mail->cursor);
    }
}

static void a_delivery_that_was_not_heard_is_told_again(void **state) {
    deliver("one");
    uint64_t ref = deliver("two");
    assert_int_equal(delivered_in(ref), 1);
    write_marks();
    fail_and_attach(1);
    phone_send_number(&ann, 1, BOB, "one");
    ref = phone_send_number(&ann, 2, BOB, "two");
    phone_ack(&bob, phone_expect(&bob, "one")); /* its phone knows them */
    phone_ack(&bob, phone_expect(&bob, "two"));
    assert_int_equal(delivered_in(ref), 1);
}

static void a_delivery_that_was_heard_is_not_made_again(void **state) {
    deliver("one");
    deliver("two");
    give_with_low(3, 3, "three");
    phone_ack(&bob, phone_expect(&bob, "three"));
    write_marks();
    fail_and_attach(1);
    assert_int_equal(phone_answer(&ann, phone_send_number(&ann, 1, BOB, "one")), WIRE_CODE_OK);
    assert_int_equal(phone_answer(&ann, phone_send_number(&ann, 2, BOB, "two")), WIRE_CODE_OK);
    assert_null(phone_mail(&bob, NULL));
}

/* Bob's phone was away: there is nothing to be told again, the store remembers. */
static void mail_that_was_stored_is_not_delivered_again(void **state) {
    phone_leave(&bob);
    phone_send(&ann, BOB, "one");
    hand_run();
    phone_attach(&bob, BOB, 1);
    write_marks();
    phone_ack(&bob, phone_expect(&bob, "one"));
    fail_and_attach(1);
    assert_int_equal(delivered_in(phone_send_number(&ann, 1, BOB, "one")), 0);
    assert_null(phone_mail(&bob, NULL));
}

static uint64_t expect_delivered(struct phone *phone) {
    const struct connection_status *status = phone_status(phone);
    assert_non_null(status);
    assert_int_equal(status->state, WIRE_STATE_DELIVERED);
    assert_int_equal(status->chat, BOB);
    return status->cursor;
}

/* Else the answer would vouch for news that go with the mailbox. */
static void a_copy_is_stored_no_earlier_than_the_news_before_it(void **state) {
    deliver("warm up");
    phone_expect(&ann2, "warm up");
    phone_ack(&ann2, 2);
    hand.node.limits.mail_in_flight_max = 1;
    uint64_t ref = deliver("one");
    phone_status(&ann2);
    expect_delivered(&ann2); /* and there is no room for the copy in the window */
    assert_int_equal(delivered_in(ref), 1);
    assert_int_equal(hand_stored(ANN, 2), 2);
    fail_and_attach(3);
    phone_forget(&ann2);
    phone_attach(&ann2, ANN, 2);
    expect_delivered(&ann2);
}

/* The copy that is stored already stands in front of the news: it says nothing of them. */
static void a_copy_that_was_there_before_does_not_vouch_for_news(void **state) {
    phone_leave(&ann2);
    uint64_t ref = phone_send(&ann, BOB, "one");
    phone_ack(&bob, phone_expect(&bob, "one"));
    assert_int_equal(delivered_in(ref), 1);
    int before = hand_stored(ANN, 2);
    fail_and_attach(1); /* the answer was lost on its way */
    phone_attach(&ann2, ANN, 2);
    phone_ack(&ann2, expect_delivered(&ann2)); /* not the copy */
    hand_pass_ms(100);
    assert_int_equal(hand_stored(ANN, 2), before - 1);
    ref = phone_send_number(&ann, 1, BOB, "one");
    phone_ack(&bob, phone_expect(&bob, "one"));
    assert_int_equal(phone_answer(&ann, ref), -1);
    hand_pass_ms(1100);
    assert_int_equal(delivered_in(ref), 1);
    fail_and_attach(2);
    phone_forget(&ann2);
    phone_attach(&ann2, ANN, 2);
    phone_expect(&ann2, "one");
    expect_delivered(&ann2);
}

#define TEST(name, setup) cmocka_unit_test_setup_teardown(name, setup, hand_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_delivery_that_was_not_heard_is_told_again, begin),
        TEST(a_delivery_that_was_heard_is_not_made_again, begin),
        TEST(mail_that_was_stored_is_not_delivered_again, begin),
        TEST(a_copy_is_stored_no_earlier_than_the_news_before_it, begin_with_two),
        TEST(a_copy_that_was_there_before_does_not_vouch_for_news, begin_with_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

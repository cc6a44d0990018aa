/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers: the order in which a device's sends are taken, and what a retry is answered. */
#include "tests/unit/actors/mailbox_fixture.h"

#define ANN 100
#define BOB 201

static struct phone ann, bob;

static int begin(void **state) {
    hand_setup(state);
    hand_account(ANN, 1);
    hand_account(BOB, 1);
    phone_attach(&ann, ANN, 1);
    return 0;
}

static uint64_t missing_in(struct phone *phone, uint64_t ref) {
    struct heard *heard = phone_answer_heard(phone, ref);
    struct wire_conflict_body body;
    assert_non_null(heard);
    assert_int_equal(((struct connection_answer *)heard->payload)->code, WIRE_CODE_CONFLICT);
    assert_int_equal(wire_read_conflict_body(heard->blob, heard->blob_bytes, &body),
                     PARSE_COMPLETE);
    return body.missing;
}

static struct wire_sent_body sent_in(struct phone *phone, uint64_t ref) {
    struct heard *heard = phone_answer_heard(phone, ref);
    struct wire_sent_body body;
    assert_non_null(heard);
    assert_int_equal(((struct connection_answer *)heard->payload)->code, WIRE_CODE_OK);
    assert_int_equal(wire_read_sent_body(heard->blob, heard->blob_bytes, &body), PARSE_COMPLETE);
    return body;
}

static void a_gap_is_named(void **state) {
    assert_int_equal(missing_in(&ann, phone_send_number(&ann, 2, BOB, "too early")), 1);
    assert_int_equal(phone_answer(&ann, phone_send_number(&ann, 1, BOB, "one")), WIRE_CODE_OK);
    assert_int_equal(missing_in(&ann, phone_send_number(&ann, 3, BOB, "too early")), 2);
    assert_int_equal(phone_answer(&ann, phone_send_number(&ann, 2, BOB, "two")), WIRE_CODE_OK);
}

static void a_retry_gets_the_same_answer_and_is_delivered_once(void **state) {
    struct wire_sent_body first = sent_in(&ann, phone_send_number(&ann, 1, BOB, "one"));
    hand_pass_ms(50);
    struct wire_sent_body again = sent_in(&ann, phone_send_number(&ann, 1, BOB, "one"));
    assert_int_equal(first.time_ms, again.time_ms);
    assert_int_equal(first.sequence, again.sequence);
    assert_int_equal(hand_stored(BOB, 1), 1);
}

static void another_message_under_a_used_number_is_refused(void **state) {
    phone_send_number(&ann, 1, BOB, "one");
    hand_run();
    struct message *message = phone_compose(&ann, 1, BOB, "other");
    message_as(message, struct mailbox_send)->id[0]++;
    phone_give(&ann, message);
    assert_int_equal(phone_answer(&ann, ann.next_ref), WIRE_CODE_BAD_REQUEST);
    assert_int_equal(hand_stored(BOB, 1), 1);
}

static void a_retry_of_an_open_send_is_answered_in_its_place(void **state) {
    phone_attach(&bob, BOB, 1);
    uint64_t first = phone_send_number(&ann, 1, BOB, "one");
    phone_expect(&bob, "one");
    uint64_t second = phone_send_number(&ann, 1, BOB, "one");
    assert_int_equal(phone_answer(&ann, second), -1);
    phone_ack(&bob, 1);
    assert_int_equal(phone_answer(&ann, first), -1);
    assert_int_equal(phone_answer(&ann, second), WIRE_CODE_OK);
    assert_null(phone_mail(&bob, NULL));
}

/* The status that says so may be lost with the sender's mailbox. */
static void the_answer_says_that_the_message_is_delivered(void **state) {
    phone_attach(&bob, BOB, 1);
    uint64_t held = phone_send_number(&ann, 1, BOB, "held");
    phone_ack(&bob, phone_expect(&bob, "held"));
    assert_int_equal(sent_in(&ann, held).delivered_device, 1);
    assert_int_equal(sent_in(&ann, phone_send_number(&ann, 1, BOB, "held")).delivered_device, 1);
    phone_leave(&bob);
    uint64_t stored = phone_send_number(&ann, 2, BOB, "stored");
    assert_int_equal(sent_in(&ann, stored).delivered_device, 0);
}

static void nothing_overtakes_what_was_refused_for_now(void **state) {
    struct message *stale = phone_compose(&ann, 1, BOB, "one");
    message_as(stale, struct mailbox_send)->version = 9;
    phone_give(&ann, stale);
    assert_int_equal(phone_answer(&ann, ann.next_ref), WIRE_CODE_STALE);
    assert_int_equal(missing_in(&ann, phone_send_number(&ann, 2, BOB, "two")), 1);
    assert_int_equal(phone_answer(&ann, phone_send_number(&ann, 1, BOB, "one")), WIRE_CODE_OK);
    assert_int_equal(phone_answer(&ann, phone_send_number(&ann, 2, BOB, "two")), WIRE_CODE_OK);
    phone_attach(&bob, BOB, 1);
    phone_expect(&bob, "one");
    phone_expect(&bob, "two");
}

/* Number 2 was on its way when 1 was refused: the recipient's mailbox refuses it too. */
static void what_was_sent_behind_a_refusal_is_refused_with_it(void **state) {
    phone_send_number(&ann, 1, BOB, "zero");
    hand_run();
    struct message *stale = phone_compose(&ann, 2, BOB, "one");
    message_as(stale, struct mailbox_send)->version = 9;
    uint64_t refused = ann.next_ref;
    phone_give(&ann, stale);
    uint64_t behind = phone_send_number(&ann, 3, BOB, "two");
    hand_run();
    assert_int_equal(phone_answer(&ann, refused), WIRE_CODE_STALE);
    assert_int_equal(phone_answer(&ann, behind), WIRE_CODE_STALE);
    assert_int_equal(missing_in(&ann, phone_send_number(&ann, 3, BOB, "two")), 2);
    assert_int_equal(phone_answer(&ann, phone_send_number(&ann, 2, BOB, "one")), WIRE_CODE_OK);
    assert_int_equal(phone_answer(&ann, phone_send_number(&ann, 3, BOB, "two")), WIRE_CODE_OK);
    phone_attach(&bob, BOB, 1);
    phone_expect(&bob, "zero");
    phone_expect(&bob, "one");
    phone_expect(&bob, "two");
}

/* Else a device could not tell the next incarnation where to begin. */
static void final_answers_come_in_the_order_of_the_numbers(void **state) {
    static struct phone eve;
    hand_account(BOB + 1, 1);
    phone_attach(&eve, BOB + 1, 1);
    phone_attach(&bob, BOB, 1);
    uint64_t slow = phone_send_number(&ann, 1, BOB, "held");
    uint64_t quick = phone_send_number(&ann, 2, BOB + 1, "acknowledged");
    uint64_t nobody = phone_send_number(&ann, 3, 999, "not found");
    phone_expect(&bob, "held");
    phone_ack(&eve, phone_expect(&eve, "acknowledged"));
    assert_int_equal(phone_answer(&ann, quick), -1);
    assert_int_equal(phone_answer(&ann, nobody), -1);
    phone_ack(&bob, 1);
    assert_int_equal(phone_answer(&ann, slow), WIRE_CODE_OK);
    assert_int_equal(phone_answer(&ann, quick), WIRE_CODE_OK);
    assert_int_equal(phone_answer(&ann, nobody), WIRE_CODE_NOT_FOUND);
}

static void a_final_refusal_is_no_obstacle(void **state) {
    assert_int_equal(phone_answer(&ann, phone_send_number(&ann, 1, 999, "one")),
                     WIRE_CODE_NOT_FOUND);
    assert_int_equal(phone_answer(&ann, phone_send_number(&ann, 1, 999, "one")),
                     WIRE_CODE_NOT_FOUND);
    assert_int_equal(phone_answer(&ann, phone_send_number(&ann, 2, BOB, "two")), WIRE_CODE_OK);
}

/* As a device sends that tells up to where it has heard. */
static int send_heard(struct phone *phone, uint64_t number, uint64_t send_low, const char *text) {
    struct message *message = phone_compose(phone, number, BOB, text);
    message_as(message, struct mailbox_send)->send_low = send_low;
    phone_give(phone, message);
    return phone_answer(phone, phone->next_ref);
}

/* Bob is away and has room for two: Ann's number 3 is refused for good. */
static void fill_bobs_queue(void) {
    hand.node.limits.queue_messages_max = 2;
    hand.node.limits.sender_share_percent = 100;
    assert_int_equal(send_heard(&ann, 1, 1, "one"), WIRE_CODE_OK);
    assert_int_equal(send_heard(&ann, 2, 2, "two"), WIRE_CODE_OK);
    assert_int_equal(send_heard(&ann, 3, 3, "three"), WIRE_CODE_FULL);
}

static void empty_bobs_queue(void) {
    phone_attach(&bob, BOB, 1);
    phone_expect(&bob, "one");
    phone_ack(&bob, phone_expect(&bob, "two"));
    phone_leave(&bob);
}

static void nothing_overtakes_a_full_one_until_that_is_heard(void **state) {
    fill_bobs_queue();
    empty_bobs_queue();
    assert_int_equal(send_heard(&ann, 4, 3, "four"), WIRE_CODE_LIMITED);
    assert_int_equal(send_heard(&ann, 3, 3, "three"), WIRE_CODE_FULL);
    assert_int_equal(send_heard(&ann, 4, 4, "four"), WIRE_CODE_OK);
    phone_attach(&bob, BOB, 1);
    phone_expect(&bob, "four");
}

/* Number 4 was on its way when 3 was refused, and there would have been room. */
static void what_was_sent_behind_a_full_one_is_refused_for_now(void **state) {
    static struct phone eve;
    fill_bobs_queue();
    hand_account(BOB + 2, 1);
    phone_attach(&eve, BOB + 2, 1);
    struct message *messages[2];
    for (unsigned i = 0; i < 2; i++) {
        messages[i] = phone_compose(&ann, 4 + i, BOB, "x");
        message_as(messages[i], struct mailbox_send)->send_low = 4;
        phone_give(&ann, messages[i]);
    }
    assert_int_equal(phone_answer(&ann, ann.next_ref - 1), WIRE_CODE_FULL);
    assert_int_equal(phone_answer(&ann, ann.next_ref), WIRE_CODE_LIMITED);
    empty_bobs_queue();
    assert_int_equal(send_heard(&ann, 5, 5, "five"), WIRE_CODE_OK);
}

/* Nobody knows of the refusal any more: it is taken, although there is no room, in its place. */
static void a_refusal_that_was_not_heard_goes_with_the_mailbox(void **state) {
    fill_bobs_queue();
    actor_kill(ann.mailbox, ACTOR_KILLED);
    hand_run();
    ann.next_number = 4;
    phone_attach_as(&ann, ANN, 1, 0, 0, 3);
    assert_int_equal(send_heard(&ann, 3, 3, "three"), WIRE_CODE_OK);
    assert_int_equal(send_heard(&ann, 4, 4, "four"), WIRE_CODE_FULL);
    phone_attach(&bob, BOB, 1);
    phone_expect(&bob, "one");
    phone_expect(&bob, "two");
    phone_expect(&bob, "three");
}

static void what_was_delivered_is_not_refused_as_full_when_it_comes_again(void **state) {
    static struct phone eve;
    hand.node.limits.queue_messages_max = 1;
    phone_attach(&bob, BOB, 1);
    phone_send(&ann, BOB, "one");
    phone_ack(&bob, phone_expect(&bob, "one"));
    phone_send(&ann, BOB, "two"); /* beyond the mark that was written with the first */
    phone_ack(&bob, phone_expect(&bob, "two"));
    phone_leave(&bob);
    hand_account(BOB + 2, 1);
    phone_attach(&eve, BOB + 2, 1);
    assert_int_equal(send_heard(&eve, 1, 1, "fills it"), WIRE_CODE_OK);
    actor_kill(ann.mailbox, ACTOR_KILLED);
    hand_run();
    assert_int_equal(phone_attach_as(&ann, ANN, 1, 0, 0, 2)->next_send, 2);
    assert_int_equal(send_heard(&ann, 2, 2, "two"), WIRE_CODE_OK);
    assert_int_equal(send_heard(&ann, 3, 3, "three"), WIRE_CODE_FULL);
}

/* What comes again may go beyond the bound, but not for ever. */
static void what_comes_again_is_bounded_too(void **state) {
    int code = WIRE_CODE_OK;
    uint64_t number = 1;
    hand.node.limits.queue_messages_max = 1;
    ann.next_number = 2000;
    for (; number < 2000 && code == WIRE_CODE_OK; number++) {
        if (number % 50 == 1) {
            phone_attach_as(&ann, ANN, 1, 0, 0, number);
            phone_forget(&ann);
        }
        code = send_heard(&ann, number, number, "x");
    }
    assert_int_equal(code, WIRE_CODE_FULL);
    assert_int_equal(hand_stored(BOB, 1), 1 + 1024);
}

/* The answer must be true of everybody. */
static void what_ones_own_devices_have_no_room_for_goes_to_nobody(void **state) {
    static struct phone two;
    hand_account(BOB + 1, 2);
    phone_attach(&two, BOB + 1, 1);
    hand.node.limits.queue_messages_max = 1;
    assert_int_equal(phone_answer(&two, phone_send(&two, BOB + 1, "note")), WIRE_CODE_OK);
    assert_int_equal(phone_answer(&two, phone_send(&two, BOB, "one")), WIRE_CODE_FULL);
    assert_int_equal(hand_stored(BOB, 1), 0);
}

static void strangers_among_the_recipients_are_refused(void **state) {
    struct message *message = phone_compose(&ann, 1, BOB, "one");
    message_as(message, struct mailbox_send)->chat = BOB + 1;
    phone_give(&ann, message);
    assert_int_equal(phone_answer(&ann, ann.next_ref), WIRE_CODE_BAD_REQUEST);
}

static void sends_in_flight_are_bounded(void **state) {
    hand.node.limits.sends_in_flight_max = 3;
    phone_attach(&bob, BOB, 1);
    uint64_t refs[5];
    for (unsigned i = 0; i < 5; i++) {
        refs[i] = phone_send_number(&ann, i + 1, BOB, "x");
        hand_run();
    }
    assert_int_equal(phone_answer(&ann, refs[2]), -1);
    assert_int_equal(phone_answer(&ann, refs[3]), WIRE_CODE_LIMITED);
    assert_int_equal(missing_in(&ann, refs[4]), 4);
    phone_ack(&bob, 3);
    assert_int_equal(phone_answer(&ann, refs[2]), WIRE_CODE_OK);
    uint64_t ref = phone_send_number(&ann, 4, BOB, "x");
    hand_run();
    phone_ack(&bob, 4);
    assert_int_equal(phone_answer(&ann, ref), WIRE_CODE_OK);
}

static void old_numbers_are_still_answered(void **state) {
    phone_attach(&bob, BOB, 1);
    for (uint64_t number = 1; number <= 3000; number++) {
        uint64_t ref = phone_send_number(&ann, number, BOB, "x");
        hand_run();
        phone_ack(&bob, number);
        assert_int_equal(phone_answer(&ann, ref), WIRE_CODE_OK);
        phone_forget(&bob);
        phone_forget(&ann);
        if (number % 50 == 0)
            phone_ack(&ann, UINT64_MAX), phone_ack(&ann, 0);
    }
    static const uint64_t old[] = {3000, 2999, 2500, 1, 1500};
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(phone_answer(&ann, phone_send_number(&ann, old[i], BOB, "x")),
                         WIRE_CODE_OK);
    assert_null(phone_mail(&bob, NULL));
}

static void a_note_to_oneself_with_one_device_is_sent_at_once(void **state) {
    assert_int_equal(phone_answer(&ann, phone_send_number(&ann, 1, ANN, "note")), WIRE_CODE_OK);
    assert_int_equal(hand_stored(ANN, 1), 0);
}

static void an_outdated_list_of_ones_own_devices_is_stale(void **state) {
    static struct phone two;
    hand_account(BOB + 1, 2);
    phone_attach(&two, BOB + 1, 1);
    struct message *message = phone_compose(&two, 1, BOB, "one");
    message_as(message, struct mailbox_send)->own_version = 1;
    phone_give(&two, message);
    struct heard *heard = phone_answer_heard(&two, two.next_ref);
    struct wire_stale_body body;
    assert_int_equal(wire_read_stale_body(heard->blob, heard->blob_bytes, &body), PARSE_COMPLETE);
    assert_int_equal(body.user, BOB + 1);
    assert_int_equal(hand_stored(BOB, 1), 0);
    assert_int_equal(phone_answer(&two, phone_send_number(&two, 1, BOB, "one")), WIRE_CODE_OK);
    assert_int_equal(hand_stored(BOB, 1), 1);
    assert_int_equal(hand_stored(BOB + 1, 2), 1);
}

static void the_device_is_the_authority_of_its_numbers(void **state) {
    static struct phone again;
    phone_leave(&ann);
    const struct mailbox_attached *attached = phone_attach_as(&again, ANN, 1, 0, 0, 500);
    assert_int_equal(attached->next_send, 500);
    assert_int_equal(phone_answer(&again, phone_send_number(&again, 500, BOB, "x")), WIRE_CODE_OK);
}

/* Ann's device forgets that it still waits for some, and goes on further up. */
static void what_is_open_below_left_out_numbers_ends_too(void **state) {
    static struct phone again;
    uint64_t open[3];
    phone_attach(&bob, BOB, 1);
    for (unsigned i = 0; i < 3; i++)
        open[i] = phone_send(&ann, BOB, "open");
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(phone_expect(&bob, "open"), i + 1);
    assert_int_equal(phone_answer(&ann, open[0]), -1);
    phone_leave(&ann);
    phone_attach_as(&again, ANN, 1, 0, 0, 20);
    uint64_t first = phone_send_number(&again, 20, BOB, "behind");
    uint64_t second = phone_send_number(&again, 21, BOB, "behind");
    phone_expect(&bob, "behind");
    phone_ack(&bob, phone_expect(&bob, "behind"));
    assert_int_equal(phone_answer(&again, first), WIRE_CODE_OK);
    assert_int_equal(phone_answer(&again, second), WIRE_CODE_OK);
    hand_pass_ms(30000);
    assert_int_equal(hand_event("settled_late"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, hand_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_gap_is_named),
        TEST(a_retry_gets_the_same_answer_and_is_delivered_once),
        TEST(another_message_under_a_used_number_is_refused),
        TEST(a_retry_of_an_open_send_is_answered_in_its_place),
        TEST(the_answer_says_that_the_message_is_delivered),
        TEST(nothing_overtakes_what_was_refused_for_now),
        TEST(what_was_sent_behind_a_refusal_is_refused_with_it),
        TEST(final_answers_come_in_the_order_of_the_numbers),
        TEST(a_final_refusal_is_no_obstacle),
        TEST(nothing_overtakes_a_full_one_until_that_is_heard),
        TEST(what_was_sent_behind_a_full_one_is_refused_for_now),
        TEST(a_refusal_that_was_not_heard_goes_with_the_mailbox),
        TEST(what_was_delivered_is_not_refused_as_full_when_it_comes_again),
        TEST(what_comes_again_is_bounded_too),
        TEST(what_ones_own_devices_have_no_room_for_goes_to_nobody),
        TEST(strangers_among_the_recipients_are_refused),
        TEST(sends_in_flight_are_bounded),
        TEST(old_numbers_are_still_answered),
        TEST(a_note_to_oneself_with_one_device_is_sent_at_once),
        TEST(an_outdated_list_of_ones_own_devices_is_stale),
        TEST(the_device_is_the_authority_of_its_numbers),
        TEST(what_is_open_below_left_out_numbers_ends_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

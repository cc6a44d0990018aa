/* SPDX-License-Identifier: Apache-2.0 */
/* What fails, and what comes of it: mailboxes, the committer, connections, the disk, the machine.
 */
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

static void fail_next(const struct actor_class *class, uint16_t kind) {
    hand.fault_class = class;
    hand.fault_kind = kind;
    hand.fault_skip = 0;
}

static void recipients_mailbox_fails_with_held_mail(void **state) {
    phone_attach(&bob, BOB, 1);
    phone_send(&ann, BOB, "warm up");
    phone_ack(&bob, phone_expect(&bob, "warm up"));
    uint64_t first = phone_send(&ann, BOB, "one");
    uint64_t second = phone_send(&ann, BOB, "two");
    phone_expect(&bob, "one");
    phone_expect(&bob, "two");
    actor_kill(bob.mailbox, ACTOR_KILLED);
    hand_run();
    /* Bob's connection is not back yet: the next mailbox stores what is delivered again, in order.
     */
    assert_int_equal(phone_answer(&ann, first), WIRE_CODE_OK);
    assert_int_equal(phone_answer(&ann, second), WIRE_CODE_OK);
    phone_attach(&bob, BOB, 1);
    phone_expect(&bob, "one");
    phone_expect(&bob, "two");
    assert_null(phone_mail(&bob, NULL));
}

static void recipients_mailbox_fails_at_a_delivery(void **state) {
    phone_attach(&bob, BOB, 1);
    phone_send(&ann, BOB, "warm up");
    phone_ack(&bob, phone_expect(&bob, "warm up"));
    fail_next(&mailbox_class, MAILBOX_DELIVER);
    uint64_t refs[4];
    for (unsigned i = 0; i < 4; i++)
        refs[i] = phone_send(&ann, BOB, (const char *[]){"a", "b", "c", "d"}[i]);
    hand_run();
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(phone_answer(&ann, refs[i]), WIRE_CODE_OK);
    assert_null(hand.fault_class);
    phone_attach(&bob, BOB, 1);
    phone_expect(&bob, "a");
    phone_expect(&bob, "b");
    phone_expect(&bob, "c");
    phone_expect(&bob, "d");
    assert_null(phone_mail(&bob, NULL));
}

/* It fails at the delivery by which it would have been met: nobody hears of it, so time decides. */
static void recipients_mailbox_fails_before_it_is_met(void **state) {
    fail_next(&mailbox_class, MAILBOX_DELIVER);
    uint64_t first = phone_send(&ann, BOB, "one");
    uint64_t second = phone_send(&ann, BOB, "two");
    hand_pass_ms(900);
    assert_int_equal(phone_answer(&ann, first), -1);
    hand_pass_ms(2000);
    assert_int_equal(phone_answer(&ann, first), WIRE_CODE_OK);
    assert_int_equal(phone_answer(&ann, second), WIRE_CODE_OK);
    assert_int_equal(hand_stored(BOB, 1), 2);
}

/* It cannot be read at all. */
static void recipients_mailbox_cannot_be_met(void **state) {
    hand_run();
    hand.pool_held = true;
    uint64_t first = phone_send(&ann, BOB, "one");
    uint64_t second = phone_send(&ann, BOB, "two");
    hand_pass_ms(7000);
    assert_int_equal(phone_answer(&ann, first), WIRE_CODE_UNAVAILABLE);
    assert_int_equal(phone_answer(&ann, second), WIRE_CODE_UNAVAILABLE);
    hand.pool_held = false;
    assert_int_equal(phone_answer(&ann, phone_send_number(&ann, 1, BOB, "one")), WIRE_CODE_OK);
    assert_int_equal(phone_answer(&ann, phone_send_number(&ann, 2, BOB, "two")), WIRE_CODE_OK);
    assert_int_equal(hand_stored(BOB, 1), 2);
}

static void senders_mailbox_fails_and_the_device_sends_again(void **state) {
    phone_attach(&bob, BOB, 1);
    phone_send(&ann, BOB, "one");
    phone_expect(&bob, "one");
    actor_kill(ann.mailbox, ACTOR_KILLED);
    hand_run();
    const struct mailbox_attached *attached = phone_attach_as(&ann, ANN, 1, ann.epoch, 0, 1);
    assert_int_equal(attached->next_send, 1);
    assert_int_equal(attached->resume, WIRE_RESUME_REPLAY);
    uint64_t ref = phone_send_number(&ann, 1, BOB, "one");
    hand_run();
    assert_null(phone_mail(&bob, NULL)); /* it waits already */
    phone_ack(&bob, 1);
    assert_int_equal(phone_answer(&ann, ref), WIRE_CODE_OK);
}

static void connection_fails_and_what_was_held_is_stored(void **state) {
    phone_attach(&bob, BOB, 1);
    phone_send(&ann, BOB, "warm up");
    phone_ack(&bob, phone_expect(&bob, "warm up"));
    uint64_t ref = phone_send(&ann, BOB, "one");
    phone_expect(&bob, "one");
    phone_leave(&bob);
    assert_int_equal(phone_answer(&ann, ref), WIRE_CODE_OK);
    assert_int_equal(hand_stored(BOB, 1), 1);
}

static void restart_committer(void) {
    assert_int_equal(actor_spawn(&committer_class, NULL, ACTOR_NOBODY, &hand.committer), 0);
}

/* It could not tell the mailbox, whose id it did not know yet: what the mailbox tells it comes
 * back, and `refused` detaches its device. Without that the mail would be held for it. */
static void connection_that_ended_while_it_was_attached_is_gone(void **state) {
    phone_attach(&bob, BOB, 1);
    phone_send(&ann, BOB, "warm up");
    phone_ack(&bob, phone_expect(&bob, "warm up"));
    phone_leave(&bob);
    struct actor_id gone = bob.connection;
    struct message *message = message_create(MAILBOX_ATTACH, sizeof(struct mailbox_attach));
    struct mailbox_attach *attach = message_as(message, struct mailbox_attach);
    *attach = (struct mailbox_attach){.connection = gone, .device = 1, .send_low = 1};
    hand_key(BOB, 1, attach->key);
    phone_give(&bob, message);
    hand_run();
    uint64_t ref = phone_send(&ann, BOB, "one");
    hand_run(); /* no time passes: it is not held for somebody who is not there */
    assert_int_equal(phone_answer(&ann, ref), WIRE_CODE_OK);
    assert_int_equal(hand_stored(BOB, 1), 1);
}

/* The connection learns of it without watching anybody. */
static void mailbox_that_ends_tells_its_connections(void **state) {
    actor_kill(ann.mailbox, ACTOR_KILLED);
    struct heard *heard = phone_take(&ann, ACTOR_EXIT);
    assert_non_null(heard);
    const struct actor_down *down = (const struct actor_down *)heard->payload;
    assert_int_equal(down->reason, PARTNER_ENDED);
    assert_true(actor_id_equal(down->actor, ann.mailbox));
}

static void committer_fails_before_it_writes(void **state) {
    fail_next(&committer_class, COMMITTER_COMMIT);
    uint64_t ref = phone_send(&ann, BOB, "one");
    hand_run();
    assert_null(hand.fault_class);
    assert_int_equal(phone_answer(&ann, ref), -1);
    assert_int_equal(hand_stored(BOB, 1), 0);
    restart_committer();
    hand_pass_ms(100);
    assert_int_equal(phone_answer(&ann, ref), WIRE_CODE_OK);
    assert_int_equal(hand_stored(BOB, 1), 1);
}

static void committer_fails_after_it_wrote(void **state) {
    fail_next(&committer_class, COMMITTER_WRITTEN);
    uint64_t ref = phone_send(&ann, BOB, "one");
    hand_run();
    assert_null(hand.fault_class);
    assert_int_equal(phone_answer(&ann, ref), -1);
    assert_int_equal(hand_stored(BOB, 1), 1);
    restart_committer();
    hand_pass_ms(100);
    assert_int_equal(phone_answer(&ann, ref), WIRE_CODE_OK);
    assert_int_equal(hand_stored(BOB, 1), 1);
    /* Its delete is the second of its life: the key was put twice. */
    phone_attach(&bob, BOB, 1);
    phone_ack(&bob, phone_expect(&bob, "one"));
    phone_ack(&ann, 1);
    hand_pass_ms(200);
    assert_int_equal(hand_stored(BOB, 1), 0);
}

static void mail_acknowledged_while_it_is_written_is_deleted(void **state) {
    phone_attach(&bob, BOB, 1);
    phone_send(&ann, BOB, "warm up");
    phone_ack(&bob, phone_expect(&bob, "warm up"));
    uint64_t ref = phone_send(&ann, BOB, "one");
    uint64_t cursor = phone_expect(&bob, "one");
    hand.pool_held = true;
    hand_pass_ms(400);
    assert_int_equal(phone_answer(&ann, ref), -1);
    phone_ack(&bob, cursor);
    assert_int_equal(phone_answer(&ann, ref), WIRE_CODE_OK);
    hand.pool_held = false;
    hand_pass_ms(200);
    assert_int_equal(hand_stored(BOB, 1), 0);
}

static void nothing_told_is_lost_with_the_machine(void **state) {
    char text[16];
    for (unsigned i = 0; i < 30; i++) {
        snprintf(text, sizeof(text), "text %u", i);
        uint64_t ref = phone_send(&ann, BOB, text);
        assert_int_equal(phone_answer(&ann, ref), WIRE_CODE_OK);
    }
    hand_crash(ENGINE_CRASH_DROP);
    phone_attach(&bob, BOB, 1);
    for (unsigned i = 0; i < 30; i++) {
        snprintf(text, sizeof(text), "text %u", i);
        phone_expect(&bob, text);
    }
}

/* A sequence that was told to somebody never comes again, whatever was stored. */
static void sequences_are_never_used_twice(void **state) {
    phone_attach(&bob, BOB, 1);
    uint64_t highest = 0;
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 5; i++) {
            phone_send(&ann, BOB, "x");
            const struct connection_mail *mail = phone_mail(&bob, NULL);
            assert_non_null(mail);
            assert_true(mail->sequence > highest);
            highest = mail->sequence;
            phone_ack(&bob, mail->cursor);
        }
        hand_crash(ENGINE_CRASH_DROP);
        phone_attach(&ann, ANN, 1);
        phone_attach(&bob, BOB, 1);
    }
}

static void a_full_disk_refuses_mail_and_keeps_what_it_has(void **state) {
    phone_send(&ann, BOB, "kept");
    hand_run();
    struct engine_gauges gauges;
    engine_gauges(hand.node.engine, &gauges);
    struct engine_memory_fault full = {.space_bytes = gauges.space_reserve_bytes / 2,
                                       .sync_fails_after = -1};
    engine_memory_fault(hand.node.engine, &full);
    uint64_t ref = phone_send(&ann, BOB, "refused");
    assert_int_equal(phone_answer(&ann, ref), WIRE_CODE_OVERLOADED);
    assert_true(hand.node.store_full);
    ref = phone_send_number(&ann, 2, BOB, "refused before it is taken");
    assert_int_equal(phone_answer(&ann, ref), WIRE_CODE_OVERLOADED);
    /* Who is there still gets mail, and what is stored can leave. */
    phone_attach(&bob, BOB, 1);
    phone_ack(&bob, phone_expect(&bob, "kept"));
    hand_run();
    phone_ack(&ann, 1);
    hand_pass_ms(200);
    assert_int_equal(hand_stored(BOB, 1), 0);
    engine_memory_fault(hand.node.engine, NULL);
    hand_pass_ms(3000);
    assert_false(hand.node.store_full);
    phone_leave(&bob);
    ref = phone_send_number(&ann, 2, BOB, "taken");
    hand_pass_ms(2000);
    assert_int_equal(phone_answer(&ann, ref), WIRE_CODE_OK);
}

/* Else "two" would be safe before "one" comes again. */
static void what_is_held_behind_mail_that_a_full_disk_refused_is_refused(void **state) {
    hand.node.limits.hold_ms_min = hand.node.limits.hold_ms_max = 100;
    phone_attach(&bob, BOB, 1);
    uint64_t one = phone_send(&ann, BOB, "one");
    phone_expect(&bob, "one");
    hand_pass_ms(60);
    uint64_t two = phone_send_number(&ann, 2, BOB, "two");
    phone_expect(&bob, "two");
    struct engine_gauges gauges;
    engine_gauges(hand.node.engine, &gauges);
    struct engine_memory_fault full = {.space_bytes = gauges.space_reserve_bytes / 2,
                                       .sync_fails_after = -1};
    engine_memory_fault(hand.node.engine, &full);
    hand_pass_ms(60); /* the hold of "one" has ended, that of "two" has not */
    assert_int_equal(phone_answer(&ann, one), WIRE_CODE_OVERLOADED);
    assert_int_equal(phone_answer(&ann, two), WIRE_CODE_OVERLOADED);
    assert_int_equal(hand_stored(BOB, 1), 0);
}

/* Else a failure would lose "one" alone, and it would come again behind "two". */
static void what_is_stored_takes_along_what_is_held_before_it(void **state) {
    hand.node.limits.hold_ms_min = hand.node.limits.hold_ms_max = 10000;
    hand.node.limits.mail_in_flight_max = 1;
    phone_attach(&bob, BOB, 1);
    phone_send(&ann, BOB, "one");
    phone_expect(&bob, "one");
    assert_int_equal(hand_stored(BOB, 1), 0);
    phone_send_number(&ann, 2, BOB, "two"); /* there is no room for it in the window */
    hand_run();
    assert_int_equal(hand_stored(BOB, 1), 2);
}

static void a_failed_sync_ends_the_node_untold(void **state) {
    struct engine_memory_fault fault = {.sync_fails_after = 0};
    engine_memory_fault(hand.node.engine, &fault);
    uint64_t ref = phone_send(&ann, BOB, "one");
    hand_run();
    assert_int_equal(phone_answer(&ann, ref), -1);
    assert_int_equal(hand.runtime->exit_code, 74);
}

static void a_slow_commit_is_unavailable_and_a_retry_joins_it(void **state) {
    phone_send(&ann, BOB, "warm up");
    hand_run();
    hand.pool_held = true;
    uint64_t ref = phone_send(&ann, BOB, "one");
    hand_pass_ms(7000);
    assert_int_equal(phone_answer(&ann, ref), WIRE_CODE_UNAVAILABLE);
    ref = phone_send_number(&ann, 2, BOB, "one");
    hand_run();
    assert_int_equal(phone_answer(&ann, ref), -1);
    hand.pool_held = false;
    assert_int_equal(phone_answer(&ann, ref), WIRE_CODE_OK);
    assert_int_equal(hand_stored(BOB, 1), 2);
}

static void reports_are_repeated_until_they_are_taken(void **state) {
    phone_send(&ann, BOB, "one");
    hand_run();
    phone_attach(&bob, BOB, 1);
    uint64_t cursor = phone_expect(&bob, "one");
    fail_next(&mailbox_class, MAILBOX_STATUS);
    phone_ack(&bob, cursor);
    assert_null(hand.fault_class);
    assert_int_equal(hand_stored(BOB, 1), 1);
    phone_attach(&ann, ANN, 1);
    hand_pass_ms(7000);
    assert_int_equal(phone_status(&ann)->state, WIRE_STATE_DELIVERED);
    phone_ack(&ann, 1);
    hand_pass_ms(200);
    assert_int_equal(hand_stored(BOB, 1), 0);
}

static void draining_stores_at_once(void **state) {
    phone_attach(&bob, BOB, 1);
    phone_send(&ann, BOB, "warm up");
    phone_ack(&bob, phone_expect(&bob, "warm up"));
    hand.node.draining = true;
    uint64_t ref = phone_send(&ann, BOB, "one");
    assert_int_equal(phone_answer(&ann, ref), WIRE_CODE_OK);
    assert_int_equal(hand_stored(BOB, 1), 1);
    phone_expect(&bob, "one");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, hand_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(recipients_mailbox_fails_with_held_mail),
        TEST(recipients_mailbox_fails_at_a_delivery),
        TEST(recipients_mailbox_fails_before_it_is_met),
        TEST(recipients_mailbox_cannot_be_met),
        TEST(senders_mailbox_fails_and_the_device_sends_again),
        TEST(connection_fails_and_what_was_held_is_stored),
        TEST(connection_that_ended_while_it_was_attached_is_gone),
        TEST(mailbox_that_ends_tells_its_connections),
        TEST(committer_fails_before_it_writes),
        TEST(committer_fails_after_it_wrote),
        TEST(mail_acknowledged_while_it_is_written_is_deleted),
        TEST(nothing_told_is_lost_with_the_machine),
        TEST(sequences_are_never_used_twice),
        TEST(a_full_disk_refuses_mail_and_keeps_what_it_has),
        TEST(what_is_held_behind_mail_that_a_full_disk_refused_is_refused),
        TEST(what_is_stored_takes_along_what_is_held_before_it),
        TEST(a_failed_sync_ends_the_node_untold),
        TEST(a_slow_commit_is_unavailable_and_a_retry_joins_it),
        TEST(reports_are_repeated_until_they_are_taken),
        TEST(draining_stores_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

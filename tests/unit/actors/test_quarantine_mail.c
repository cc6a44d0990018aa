/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of mail that two crash records name: a mailbox that has it. */
#include "tests/unit/actors/aside_fixture.h"

/* Ann's mail `id` to Bob was set aside: she is told, and so is Bob's device. */
static void expect_set_aside(void) {
    const struct connection_status *status = phone_status(&ann);
    assert_non_null(status);
    assert_int_equal(status->state, WIRE_STATE_QUARANTINED);
    assert_int_equal(status->chat, BOB);
    phone_ack(&ann, status->cursor);
    status = phone_status(&bob);
    assert_non_null(status);
    assert_int_equal(status->state, WIRE_STATE_QUARANTINED);
    assert_int_equal(status->peer.user, BOB);
    assert_int_equal(status->chat, ANN);
    phone_ack(&bob, status->cursor);
    hand_pass_ms(200);
    assert_int_equal(hand_event("mail_set_aside"), 1);
    assert_int_equal(hand_event("mail_set_aside_crash"), 1);
    while ((status = phone_status(&eve)))
        assert_int_equal(status->state, WIRE_STATE_DELIVERED);
}

static void stored_mail_is_set_aside_and_both_sides_are_told(void **state) {
    phone_send(&ann, BOB, "before");
    phone_send(&ann, BOB, "poison");
    phone_send(&eve, BOB, "poison");
    hand_run();
    aside_crash_at(&ann, 2, "poison");
    phone_attach(&ann, ANN, 1);
    phone_attach(&eve, EVE, 1);
    phone_attach(&bob, BOB, 1);
    phone_expect(&bob, "before");
    const char *text = NULL;
    const struct connection_mail *mail = phone_mail(&bob, &text); /* the same text, of another */
    assert_non_null(mail);
    assert_string_equal(text, "poison");
    assert_int_equal(mail->sender.user, EVE);
    phone_ack(&bob, mail->cursor);
    expect_set_aside();
    assert_null(phone_mail(&bob, NULL));
    assert_int_equal(hand_stored(BOB, 1), 0);
}

/* It was never stored: its sender, who has no answer, sends it again. */
static void mail_that_was_held_is_set_aside_when_it_is_sent_again(void **state) {
    phone_attach(&bob, BOB, 1);
    phone_send(&ann, BOB, "poison");
    phone_expect(&bob, "poison");
    aside_crash_at(&ann, 1, "poison");
    assert_int_equal(hand_stored(BOB, 1), 0);
    phone_attach(&bob, BOB, 1);
    phone_attach(&eve, EVE, 1);
    phone_attach_as(&ann, ANN, 1, 0, 0, 1);
    uint64_t ref = phone_send_number(&ann, 1, BOB, "poison");
    assert_int_equal(phone_answer(&ann, ref), WIRE_CODE_OK); /* it is durable: aside */
    assert_null(phone_mail(&bob, NULL));
    expect_set_aside();
    ref = phone_send_number(&ann, 2, BOB, "after it");
    phone_ack(&bob, phone_expect(&bob, "after it"));
    assert_int_equal(phone_answer(&ann, ref), WIRE_CODE_OK);
}

static int keep_first(void *context, uint64_t sequence, struct engine_bytes value) {
    struct quarantine_entry *entry = context;
    static uint8_t bytes[1024];
    assert_true(value.size <= sizeof(bytes));
    memcpy(bytes, value.data, value.size);
    *entry = (struct quarantine_entry){{BOB, 1}, sequence, {bytes, value.size}};
    return 1;
}

/* What crashes the node while its mailbox is loaded is not looked at again. */
static void an_entry_that_cannot_be_read_is_set_aside_unread(void **state) {
    struct quarantine_entry entry = {0};
    char line[CRASH_BLAME_BYTES_MAX] = "";
    phone_send(&ann, BOB, "poison");
    phone_send(&ann, BOB, "after it");
    hand_run();
    assert_int_equal(mail_scan(hand.node.engine, BOB, 1, 0, 9, keep_first, &entry), 1);
    quarantine_describe_entry(&entry, line, sizeof(line) - 1);
    crashes_blame(line);
    crashes_blame(line);
    hand_crash(ENGINE_CRASH_KEEP);
    hand.node.quarantine = crashes_read();
    phone_attach(&bob, BOB, 1);
    phone_ack(&bob, phone_expect(&bob, "after it"));
    assert_null(phone_mail(&bob, NULL));
    hand_pass_ms(200);
    assert_int_equal(hand_event("mail_set_aside_crash"), 1);
    assert_int_equal(hand_stored(BOB, 1), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ASIDE_TEST(stored_mail_is_set_aside_and_both_sides_are_told),
        ASIDE_TEST(mail_that_was_held_is_set_aside_when_it_is_sent_again),
        ASIDE_TEST(an_entry_that_cannot_be_read_is_set_aside_unread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

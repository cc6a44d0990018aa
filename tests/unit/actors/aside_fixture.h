/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node that has crashed at mail of Ann's or Eve's to Bob, for tests: its crash records, and the
 * mailboxes that start again with them.
 *
 * For the one file of a test program that includes it.
 */
#ifndef TERN_TESTS_ASIDE_FIXTURE_H
#define TERN_TESTS_ASIDE_FIXTURE_H

#include "tests/unit/actors/mailbox_fixture.h"
#include "tests/unit/actors/quarantine_fixture.h"

static struct phone ann, bob, eve;

static inline int aside_setup(void **state) {
    if (crashes_setup(state))
        return -1;
    hand_setup(state);
    hand_account(ANN, 1);
    hand_account(BOB, 1);
    hand_account(EVE, 1);
    phone_attach(&ann, ANN, 1);
    phone_attach(&eve, EVE, 1);
    return 0;
}

static inline int aside_teardown(void **state) {
    quarantine_destroy(hand.node.quarantine);
    hand_teardown(state);
    return crashes_teardown(state);
}

/* The node has crashed twice at this number of this phone's sends to Bob, and starts again. */
static inline void aside_crash_at(const struct phone *sender, uint64_t number, const char *text) {
    uint8_t sent_id[16];
    hand_id(sender->user, sender->device, number, sent_id);
    struct quarantine_mail mail = mail_of(text);
    mail.from = (struct device_address){sender->user, sender->device};
    mail.id = sent_id;
    crashes_blame_mail(&mail);
    crashes_blame_mail(&mail);
    hand_crash(ENGINE_CRASH_KEEP);
    quarantine_destroy(hand.node.quarantine);
    hand.node.quarantine = crashes_read();
    assert_non_null(hand.node.quarantine);
}

#define ASIDE_TEST(test) cmocka_unit_test_setup_teardown(test, aside_setup, aside_teardown)

#endif

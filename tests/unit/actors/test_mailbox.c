/* SPDX-License-Identifier: Apache-2.0 */
/* The way of a message: sending, holding, storing, acknowledging, and what each side is told. */
#include "runtime/inspect_internal.h"
#include "tests/unit/actors/mailbox_fixture.h"

#define ANN 100
#define BOB 201

static struct phone ann, bob, bob2, ann2;

/* Ann and Bob with a device each; Ann is there. */
static void meet(void) {
    hand_account(ANN, 1);
    hand_account(BOB, 1);
    phone_attach(&ann, ANN, 1);
}

/* What the mailbox has beside its state. */
static struct inspect_row look_at(struct actor_id mailbox) {
    struct inspect_row row = {0};
    struct shard *shard = hand.runtime->shards[id_shard(mailbox)];
    struct actor *actor = shard_actor(shard, mailbox);
    assert_non_null(actor);
    inspect_fill_row(shard, actor, &row);
    return row;
}

static void held_mail_acked_in_time_is_never_written(void **state) {
    meet();
    phone_attach(&bob, BOB, 1);
    struct engine_gauges before, after;
    uint64_t ref = phone_send(&ann, BOB, "warm up");
    phone_ack(&bob, phone_expect(&bob, "warm up"));
    assert_int_equal(phone_answer(&ann, ref), WIRE_CODE_OK);
    phone_ack(&ann, 1);
    engine_gauges(hand.node.engine, &before);
    ref = phone_send(&ann, BOB, "hello");
    uint64_t cursor = phone_expect(&bob, "hello");
    assert_int_equal(phone_answer(&ann, ref), -1);
    phone_ack(&bob, cursor);
    assert_int_equal(phone_answer(&ann, ref), WIRE_CODE_OK);
    phone_ack(&ann, 2);
    hand_pass_ms(2000);
    engine_gauges(hand.node.engine, &after);
    assert_int_equal(after.writes, before.writes);
    assert_int_equal(hand_stored(BOB, 1), 0);
}

static void held_mail_not_acked_is_stored_and_then_sent(void **state) {
    meet();
    phone_attach(&bob, BOB, 1);
    uint64_t ref = phone_send(&ann, BOB, "hello");
    phone_expect(&bob, "hello");
    hand_pass_ms(90);
    assert_int_equal(phone_answer(&ann, ref), -1);
    assert_int_equal(hand_stored(BOB, 1), 0);
    hand_pass_ms(20);
    assert_int_equal(phone_answer(&ann, ref), WIRE_CODE_OK);
    assert_int_equal(hand_stored(BOB, 1), 1);
}

/* Acknowledged after 5 ms mostly, after 80 now and then: twice the mean would store it. */
static void hold_bears_times_that_scatter(void **state) {
    meet();
    phone_attach(&bob, BOB, 1);
    for (unsigned i = 1; i <= 24; i++) {
        uint64_t ref = phone_send(&ann, BOB, "hello");
        uint64_t cursor = phone_expect(&bob, "hello");
        hand_pass_ms(i % 4 == 0 ? 80 : 5);
        if (i > 12)
            assert_int_equal(phone_answer(&ann, ref), -1);
        phone_ack(&bob, cursor);
        assert_int_equal(phone_answer(&ann, ref), WIRE_CODE_OK);
        phone_ack(&ann, i);
    }
}

static void sent_waits_for_commit_when_offline(void **state) {
    meet();
    hand_run();
    uint64_t ref = phone_send(&ann, BOB, "hello");
    hand_run(); /* Bob's mailbox is read */
    hand.pool_held = true;
    uint64_t second = phone_send(&ann, BOB, "again");
    hand_pass_ms(1000);
    assert_int_equal(phone_answer(&ann, ref), WIRE_CODE_OK);
    assert_int_equal(phone_answer(&ann, second), -1);
    assert_int_equal(hand_stored(BOB, 1), 1);
    hand.pool_held = false;
    assert_int_equal(phone_answer(&ann, second), WIRE_CODE_OK);
    assert_int_equal(hand_stored(BOB, 1), 2);
}

static void mail_waits_for_who_is_away_and_comes_in_order(void **state) {
    meet();
    char text[16];
    for (unsigned i = 0; i < 20; i++) {
        snprintf(text, sizeof(text), "text %u", i);
        phone_send(&ann, BOB, text);
        hand_run();
    }
    phone_attach(&bob, BOB, 1);
    uint64_t cursor = 0;
    for (unsigned i = 0; i < 20; i++) {
        snprintf(text, sizeof(text), "text %u", i);
        uint64_t next = phone_expect(&bob, text);
        assert_int_equal(next, cursor + 1);
        cursor = next;
    }
    assert_int_equal(phone_waiting(&bob, CONNECTION_EMPTY), 0);
    phone_ack(&bob, cursor);
    assert_int_equal(phone_waiting(&bob, CONNECTION_EMPTY), 1);
    hand_pass_ms(200);
    assert_int_equal(hand_stored(BOB, 1), 0);
}

static void delivered_is_told_for_held_and_for_stored_mail(void **state) {
    meet();
    phone_send(&ann, BOB, "stored");
    hand_run();
    phone_attach(&bob, BOB, 1);
    phone_ack(&bob, phone_expect(&bob, "stored"));
    const struct connection_status *status = phone_status(&ann);
    assert_non_null(status);
    assert_int_equal(status->state, WIRE_STATE_DELIVERED);
    assert_int_equal(status->peer.user, BOB);
    assert_int_equal(status->peer.device, 1);
    assert_int_equal(status->chat, BOB);
    assert_int_equal(status->id_count, 1);
    phone_ack(&ann, status->cursor);
    phone_send(&ann, BOB, "held");
    phone_ack(&bob, phone_expect(&bob, "held"));
    status = phone_status(&ann);
    assert_non_null(status);
    assert_int_equal(status->state, WIRE_STATE_DELIVERED);
    uint8_t id[16];
    hand_id(ANN, 1, 2, id);
    assert_memory_equal(status + 1, id, 16);
}

static void stored_mail_is_deleted_only_when_its_status_is_safe(void **state) {
    meet();
    phone_send(&ann, BOB, "stored");
    hand_run();
    phone_leave(&ann);
    phone_attach(&bob, BOB, 1);
    uint64_t cursor = phone_expect(&bob, "stored");
    hand.pool_held = true; /* the status cannot be stored */
    phone_ack(&bob, cursor);
    hand_pass_ms(1000);
    assert_int_equal(hand_stored(BOB, 1), 1);
    hand.pool_held = false;
    hand_pass_ms(200);
    assert_int_equal(hand_stored(ANN, 1), 1); /* the status */
    assert_int_equal(hand_stored(BOB, 1), 0);
    phone_attach(&ann, ANN, 1);
    assert_int_equal(phone_status(&ann)->state, WIRE_STATE_DELIVERED);
}

static void unknown_user_is_not_found(void **state) {
    meet();
    uint64_t ref = phone_send(&ann, 999, "anybody?");
    assert_int_equal(phone_answer(&ann, ref), WIRE_CODE_NOT_FOUND);
    ref = phone_send(&ann, BOB, "and on");
    assert_int_equal(phone_answer(&ann, ref), WIRE_CODE_OK);
}

static void outdated_list_is_stale_and_shown(void **state) {
    meet();
    phone_send(&ann, BOB, "first");
    hand_run();
    struct message *old = phone_compose(&ann, 2, BOB, "second");
    uint64_t old_ref = ann.next_ref;
    uint32_t device = hand_replace_devices(BOB);
    hand_run();
    phone_give(&ann, old);
    assert_int_equal(phone_answer(&ann, old_ref), WIRE_CODE_STALE);
    struct heard *heard = phone_answer_heard(&ann, old_ref);
    struct wire_stale_body body;
    assert_int_equal(wire_read_stale_body(heard->blob, heard->blob_bytes, &body), PARSE_COMPLETE);
    assert_int_equal(body.user, BOB);
    assert_int_equal(body.version, 2);
    struct wire_device_key key;
    assert_true(wire_next_device_key(&body.devices, &key));
    assert_int_equal(key.device, device);
    /* Under the same number and id, for the new list. */
    uint64_t ref = phone_send_number(&ann, 2, BOB, "second");
    assert_int_equal(phone_answer(&ann, ref), WIRE_CODE_OK);
    assert_int_equal(hand_stored(BOB, device), 1);
}

static void device_that_left_is_cut_and_its_mail_told_of(void **state) {
    meet();
    phone_send(&ann, BOB, "lost");
    hand_run();
    phone_attach(&bob, BOB, 1);
    phone_expect(&bob, "lost");
    hand_replace_devices(BOB);
    hand_run();
    struct heard *cut = phone_take(&bob, CONNECTION_CUT);
    assert_non_null(cut);
    assert_int_equal(((struct connection_cut *)cut->payload)->notice, WIRE_NOTICE_UNLINKED);
    assert_int_equal(phone_status(&ann)->state, WIRE_STATE_FAILED);
    phone_ack(&ann, 1);
    hand_pass_ms(200);
    assert_int_equal(hand_stored(BOB, 1), 0);
}

static void wrong_key_does_not_attach(void **state) {
    meet();
    const struct mailbox_attached *attached = phone_attach_as(&bob, BOB, 2, 0, 0, 1);
    assert_int_equal(attached->code, WIRE_CODE_UNAUTHORIZED);
}

static void every_device_gets_its_copy_and_ones_own_others_too(void **state) {
    hand_account(ANN, 2);
    hand_account(BOB, 2);
    phone_attach(&ann, ANN, 1);
    phone_attach(&ann2, ANN, 2);
    phone_attach(&bob, BOB, 1);
    phone_attach(&bob2, BOB, 2);
    uint64_t ref = phone_send(&ann, BOB, "to all");
    phone_ack(&bob, phone_expect(&bob, "to all"));
    assert_int_equal(phone_answer(&ann, ref), -1);
    phone_ack(&bob2, phone_expect(&bob2, "to all"));
    assert_int_equal(phone_answer(&ann, ref), -1); /* one's own other device has it not yet */
    const struct connection_mail *mail = phone_mail(&ann2, NULL);
    assert_non_null(mail);
    assert_int_equal(mail->content_kind, WIRE_MAIL_COPY);
    assert_int_equal(mail->chat, BOB);
    assert_int_equal(mail->sender.user, ANN);
    assert_int_equal(mail->sender.device, 1);
    phone_ack(&ann2, mail->cursor);
    assert_int_equal(phone_answer(&ann, ref), WIRE_CODE_OK);
    assert_int_equal(phone_status(&ann)->state, WIRE_STATE_DELIVERED);
    assert_int_equal(phone_status(&ann2)->state, WIRE_STATE_DELIVERED);
}

static void one_device_of_two_acknowledges_and_the_other_is_stored(void **state) {
    meet();
    hand_account(BOB + 1, 2);
    phone_attach(&bob, BOB + 1, 1);
    uint64_t ref = phone_send(&ann, BOB + 1, "half");
    phone_ack(&bob, phone_expect(&bob, "half"));
    assert_int_equal(phone_answer(&ann, ref), WIRE_CODE_OK);
    assert_int_equal(hand_stored(BOB + 1, 1), 0);
    assert_int_equal(hand_stored(BOB + 1, 2), 1);
    assert_int_equal(phone_status(&ann)->peer.device, 1);
}

static void second_connection_replaces_the_first(void **state) {
    static struct phone other;
    meet();
    phone_attach(&bob, BOB, 1);
    phone_send(&ann, BOB, "hello");
    phone_expect(&bob, "hello");
    phone_attach(&other, BOB, 1);
    struct heard *cut = phone_take(&bob, CONNECTION_CUT);
    assert_non_null(cut);
    assert_int_equal(((struct connection_cut *)cut->payload)->notice, WIRE_NOTICE_REPLACED);
    const struct connection_mail *mail = phone_mail(&other, NULL);
    assert_non_null(mail);
    assert_int_equal(mail->cursor, 1);
    assert_int_equal(mail->attempt, 2);
    phone_ack(&other, 1);
    assert_int_equal(phone_waiting(&other, CONNECTION_EMPTY), 1);
}

static void resume_by_cursor_acknowledges_and_goes_on(void **state) {
    static struct phone again;
    meet();
    phone_attach(&bob, BOB, 1);
    phone_send(&ann, BOB, "one");
    phone_send(&ann, BOB, "two");
    phone_send(&ann, BOB, "three");
    phone_expect(&bob, "one");
    phone_expect(&bob, "two");
    phone_leave(&bob);
    const struct mailbox_attached *attached = phone_attach_as(&again, BOB, 1, bob.epoch, 2, 1);
    assert_int_equal(attached->resume, WIRE_RESUME_RESUMED);
    assert_int_equal(phone_expect(&again, "three"), 3);
    assert_null(phone_mail(&again, NULL));
}

static void other_epoch_replays_all(void **state) {
    static struct phone again;
    meet();
    phone_attach(&bob, BOB, 1);
    phone_send(&ann, BOB, "one");
    phone_send(&ann, BOB, "two");
    phone_expect(&bob, "one");
    phone_leave(&bob);
    const struct mailbox_attached *attached = phone_attach_as(&again, BOB, 1, 1, 2, 1);
    assert_int_equal(attached->resume, WIRE_RESUME_REPLAY);
    phone_expect(&again, "one");
    phone_expect(&again, "two");
    phone_ack_with(&again, 1, 2, 0, 0, 0); /* of another epoch: ignored */
    assert_int_equal(phone_waiting(&again, CONNECTION_EMPTY), 0);
    phone_ack(&again, 2);
    assert_int_equal(phone_waiting(&again, CONNECTION_EMPTY), 1);
}

static void acks_beyond_what_was_sent_are_junk(void **state) {
    meet();
    phone_attach(&bob, BOB, 1);
    uint64_t ref = phone_send(&ann, BOB, "one");
    phone_expect(&bob, "one");
    phone_ack(&bob, 2);
    assert_int_equal(phone_answer(&ann, ref), -1);
    assert_int_equal(hand_event("ack_junk"), 1);
    phone_ack_with(&bob, bob.epoch, 0, 1, 0, 0);
    assert_int_equal(phone_answer(&ann, ref), WIRE_CODE_OK);
}

static void single_acks_leave_the_others(void **state) {
    static struct phone again;
    meet();
    phone_attach(&bob, BOB, 1);
    phone_send(&ann, BOB, "one");
    phone_send(&ann, BOB, "two");
    phone_send(&ann, BOB, "three");
    phone_expect(&bob, "one");
    phone_ack_with(&bob, bob.epoch, 0, 2, 0, 0);
    phone_leave(&bob);
    phone_attach_as(&again, BOB, 1, bob.epoch, 0, 1);
    assert_int_equal(phone_expect(&again, "one"), 1);
    assert_int_equal(phone_expect(&again, "three"), 3);
}

static void mail_that_cannot_be_decrypted_is_acknowledged_and_told(void **state) {
    meet();
    phone_attach(&bob, BOB, 1);
    uint64_t ref = phone_send(&ann, BOB, "garbled");
    phone_expect(&bob, "garbled");
    phone_ack_with(&bob, bob.epoch, 0, 0, 1, WIRE_REFUSAL_UNDECRYPTABLE);
    assert_int_equal(phone_answer(&ann, ref), WIRE_CODE_OK);
    const struct connection_status *status = phone_status(&ann);
    assert_int_equal(status->state, WIRE_STATE_UNDECRYPTABLE);
    phone_ack(&ann, status->cursor);
    assert_null(phone_status(&ann));
    hand_pass_ms(200);
    assert_int_equal(hand_stored(BOB, 1), 0);
    assert_int_equal(phone_waiting(&bob, CONNECTION_EMPTY), 1);
}

static void receipts_reach_the_senders_devices(void **state) {
    meet();
    phone_attach(&bob, BOB, 1);
    struct message *message = message_create(MAILBOX_RECEIPT, sizeof(struct mailbox_receipt) + 16);
    struct mailbox_receipt *receipt = message_as(message, struct mailbox_receipt);
    *receipt = (struct mailbox_receipt){.connection = bob.connection,
                                        .ref = 77,
                                        .device = 1,
                                        .state = WIRE_STATE_READ,
                                        .chat = ANN,
                                        .id_count = 1};
    memset(receipt + 1, 9, 16);
    phone_give(&bob, message);
    const struct connection_status *status = phone_status(&ann);
    assert_non_null(status);
    assert_int_equal(status->state, WIRE_STATE_READ);
    assert_int_equal(status->chat, BOB);
    assert_int_equal(phone_answer(&bob, 77), -1);
    phone_ack(&ann, status->cursor);
    assert_int_equal(phone_answer(&bob, 77), WIRE_CODE_OK);
    hand_pass_ms(30000);
    assert_int_equal(look_at(ann.mailbox).allocated_bytes, 0); /* all is given back */
    assert_int_equal(look_at(bob.mailbox).allocated_bytes, 0);
}

static void statuses_gather_while_one_is_on_its_way(void **state) {
    meet();
    phone_attach(&bob, BOB, 1);
    for (unsigned i = 0; i < 5; i++) {
        phone_send(&ann, BOB, "x");
        phone_ack(&bob, phone_expect(&bob, "x"));
    }
    const struct connection_status *status = phone_status(&ann);
    assert_int_equal(status->id_count, 1);
    assert_null(phone_status(&ann));
    phone_ack(&ann, 1);
    status = phone_status(&ann);
    assert_non_null(status);
    assert_int_equal(status->id_count, 4);
    assert_int_equal(status->cursor, 2);
}

static void window_bounds_what_is_in_flight(void **state) {
    hand.node.limits.mail_in_flight_max = 4;
    meet();
    phone_attach(&bob, BOB, 1);
    char text[16];
    for (unsigned i = 0; i < 10; i++) {
        snprintf(text, sizeof(text), "text %u", i);
        phone_send(&ann, BOB, text);
        hand_run();
    }
    assert_int_equal(phone_waiting(&bob, CONNECTION_MAIL), 4);
    for (unsigned i = 0; i < 10; i++) {
        snprintf(text, sizeof(text), "text %u", i);
        phone_ack(&bob, phone_expect(&bob, text));
    }
    assert_int_equal(phone_waiting(&bob, CONNECTION_EMPTY), 1);
}

static void quota_refuses_what_is_too_much(void **state) {
    hand.node.limits.queue_messages_max = 40;
    hand.node.limits.sender_share_percent = 50;
    meet();
    for (unsigned i = 0; i < 20; i++)
        phone_send(&ann, BOB, "x");
    hand_run();
    uint64_t ref = phone_send(&ann, BOB, "one too many");
    assert_int_equal(phone_answer(&ann, ref), WIRE_CODE_FULL);
    hand_account(BOB + 2, 1);
    static struct phone eve;
    phone_attach(&eve, BOB + 2, 1);
    ref = phone_send(&eve, BOB, "another sender has room");
    assert_int_equal(phone_answer(&eve, ref), WIRE_CODE_OK);
    assert_int_equal(hand_stored(BOB, 1), 21);
    phone_attach(&bob, BOB, 1);
    phone_ack(&bob, 21);
    hand_run();
    ref = phone_send(&ann, BOB, "room again");
    hand_run();
    phone_ack(&bob, 22);
    assert_int_equal(phone_answer(&ann, ref), WIRE_CODE_OK);
}

static void old_mail_expires_and_its_sender_is_told(void **state) {
    meet();
    phone_send(&ann, BOB, "old");
    hand_run();
    hand_pass_ms(70000); /* Bob's mailbox goes to rest */
    hand.now_ns += hand.node.limits.mail_expiry_ms * 1000000;
    phone_send(&ann, BOB, "new");
    hand_run();
    const struct connection_status *status = phone_status(&ann);
    assert_non_null(status);
    assert_int_equal(status->state, WIRE_STATE_EXPIRED);
    phone_ack(&ann, status->cursor);
    hand_pass_ms(200);
    assert_int_equal(hand_stored(BOB, 1), 1);
}

static void what_was_never_answered_is_set_aside(void **state) {
    static struct phone poisoned[6];
    meet();
    phone_send(&ann, BOB, "poison");
    phone_send(&ann, BOB, "good");
    hand_run();
    for (unsigned i = 0; i < 5; i++) {
        phone_attach(&poisoned[i], BOB, 1);
        const struct connection_mail *mail = phone_mail(&poisoned[i], NULL);
        assert_non_null(mail);
        assert_int_equal(mail->attempt, i + 1);
        phone_leave(&poisoned[i]);
        if (i == 2)
            hand_restart(), phone_attach(&ann, ANN, 1);
    }
    phone_attach(&poisoned[5], BOB, 1);
    phone_expect(&poisoned[5], "good");
    assert_null(phone_mail(&poisoned[5], NULL));
    const struct connection_status *status = phone_status(&ann);
    assert_non_null(status);
    assert_int_equal(status->state, WIRE_STATE_QUARANTINED);
    assert_int_equal(hand_stored(BOB, 1), 3); /* the mail too, until Ann is sure to hear of it */
    phone_ack(&ann, status->cursor);
    hand_pass_ms(200);
    assert_int_equal(hand_stored(BOB, 1), 2);
    status = phone_status(&poisoned[5]); /* so is the device that did not get it */
    assert_non_null(status);
    assert_int_equal(status->state, WIRE_STATE_QUARANTINED);
    assert_int_equal(status->chat, ANN);
    assert_int_equal(status->peer.user, BOB);
    assert_int_equal(status->peer.device, 1);
    assert_int_equal(status->id_count, 1);
    phone_ack(&poisoned[5], status->cursor);
    hand_pass_ms(200);
    assert_int_equal(hand_stored(BOB, 1), 0);
}

/* Else mail would be set aside for our own failures: the device never had a chance to answer. */
static void what_a_failed_connection_had_is_not_suspect(void **state) {
    static struct phone failing[8];
    meet();
    phone_send(&ann, BOB, "good");
    hand_run();
    for (unsigned i = 0; i < 7; i++) {
        phone_attach(&failing[i], BOB, 1);
        assert_non_null(phone_mail(&failing[i], NULL));
        phone_fail(&failing[i]);
    }
    phone_attach(&failing[7], BOB, 1);
    phone_ack(&failing[7], phone_expect(&failing[7], "good"));
    hand_pass_ms(200);
    assert_int_equal(hand_stored(BOB, 1), 0);
}

static void a_quiet_mailbox_is_passivated_and_knows_its_marks(void **state) {
    meet();
    uint64_t ref = phone_send(&ann, BOB, "one");
    assert_int_equal(phone_answer(&ann, ref), WIRE_CODE_OK);
    phone_leave(&ann);
    hand_pass_ms(80000);
    static struct phone again;
    const struct mailbox_attached *attached = phone_attach_as(&again, ANN, 1, 0, 0, 1);
    assert_int_not_equal(attached->epoch, ann.epoch);
    assert_int_equal(attached->next_send, 2);
    /* A retry of what was answered long ago is answered and not delivered. */
    ref = phone_send_number(&again, 1, BOB, "one");
    assert_int_equal(phone_answer(&again, ref), WIRE_CODE_OK);
    assert_int_equal(hand_stored(BOB, 1), 1);
}

static uint64_t mailboxes_handled(void) {
    uint64_t handled = 0;
    for (unsigned i = 0; i < HAND_SHARDS; i++) {
        const struct class_entry *entry =
            classes_find(&hand.runtime->shards[i]->classes, &mailbox_class);
        handled += entry ? entry->handled : 0;
    }
    return handled;
}

/* Each of them finds nothing in any cache when a million are connected. */
static void a_message_that_was_acknowledged_costs_few_ticks(void **state) {
    meet();
    phone_attach(&bob, BOB, 1);
    hand_pass_ms(30000); /* what attaching leaves behind */
    uint64_t ref = phone_send(&ann, BOB, "hello");
    phone_ack(&bob, phone_expect(&bob, "hello"));
    assert_int_equal(phone_answer(&ann, ref), WIRE_CODE_OK);
    phone_ack(&ann, 1);
    hand_pass_ms(300);
    uint64_t before = mailboxes_handled();
    hand_pass_ms(40000);
    assert_in_range(mailboxes_handled() - before, 1, 3);
}

static unsigned mailboxes_asked(void) {
    unsigned asked = 0;
    for (unsigned i = 0; i < HAND_SHARDS; i++) {
        const struct shard *shard = hand.runtime->shards[i];
        for (uint32_t slot = 0; slot < shard->slots_used; slot++) {
            const struct actor *actor = shard_slot(shard, slot);
            asked += actor->id != ID_FREE && actor->class->class == &mailbox_class &&
                     (shard->asked[slot / 64] >> slot % 64 & 1);
        }
    }
    return asked;
}

static void a_mailbox_is_not_asked_to_passivate_while_a_device_is_here(void **state) {
    hand_account(ANN, 2);
    phone_attach(&ann, ANN, 1);
    phone_attach(&ann2, ANN, 2);
    assert_int_equal(mailboxes_asked(), 0);
    phone_leave(&ann);
    hand_pass_ms(300000);
    assert_int_equal(mailboxes_asked(), 0); /* the other device is here */
    static struct phone back, again;
    assert_int_equal(phone_attach_as(&back, ANN, 1, 0, 0, 1)->epoch, ann2.epoch);
    phone_leave(&back);
    phone_leave(&ann2);
    hand_run();
    assert_int_equal(mailboxes_asked(), 1);
    hand_pass_ms(55000);
    assert_int_equal(mailboxes_asked(), 1); /* its idle time counts from then */
    hand_pass_ms(20000);
    assert_int_equal(mailboxes_asked(), 0); /* it has passivated */
    assert_int_not_equal(phone_attach_as(&again, ANN, 1, 0, 0, 1)->epoch, ann2.epoch);
}

/* A million people who write one message each have all of this at once. */
static void a_single_message_takes_little_memory_and_gives_it_back(void **state) {
    meet();
    phone_attach(&bob, BOB, 1);
    hand_pass_ms(30000);
    assert_int_equal(look_at(ann.mailbox).allocated_bytes, 0);
    assert_int_equal(look_at(bob.mailbox).allocated_bytes, 0);
    uint64_t ref = phone_send(&ann, BOB, "one");
    phone_ack(&bob, phone_expect(&bob, "one"));
    assert_int_equal(phone_answer(&ann, ref), WIRE_CODE_OK);
    phone_ack(&ann, 1); /* that it is delivered */
    assert_in_range(look_at(ann.mailbox).allocated_bytes, 1, 640);
    assert_in_range(look_at(bob.mailbox).allocated_bytes, 1, 640);
    assert_in_range(look_at(ann.mailbox).monitors, 1, 2); /* bob, the committer */
    hand_pass_ms(16000);
    assert_int_equal(look_at(ann.mailbox).allocated_bytes, 0);
    assert_int_equal(look_at(bob.mailbox).allocated_bytes, 0);
    assert_int_equal(look_at(ann.mailbox).monitors, 0);
    assert_int_equal(look_at(bob.mailbox).watchers, 0);
    assert_int_equal(look_at(ann.mailbox).timers + look_at(bob.mailbox).timers, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, hand_setup, hand_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(held_mail_acked_in_time_is_never_written),
        TEST(held_mail_not_acked_is_stored_and_then_sent),
        TEST(hold_bears_times_that_scatter),
        TEST(sent_waits_for_commit_when_offline),
        TEST(mail_waits_for_who_is_away_and_comes_in_order),
        TEST(delivered_is_told_for_held_and_for_stored_mail),
        TEST(stored_mail_is_deleted_only_when_its_status_is_safe),
        TEST(unknown_user_is_not_found),
        TEST(outdated_list_is_stale_and_shown),
        TEST(device_that_left_is_cut_and_its_mail_told_of),
        TEST(wrong_key_does_not_attach),
        TEST(every_device_gets_its_copy_and_ones_own_others_too),
        TEST(one_device_of_two_acknowledges_and_the_other_is_stored),
        TEST(second_connection_replaces_the_first),
        TEST(resume_by_cursor_acknowledges_and_goes_on),
        TEST(other_epoch_replays_all),
        TEST(acks_beyond_what_was_sent_are_junk),
        TEST(single_acks_leave_the_others),
        TEST(mail_that_cannot_be_decrypted_is_acknowledged_and_told),
        TEST(receipts_reach_the_senders_devices),
        TEST(statuses_gather_while_one_is_on_its_way),
        TEST(window_bounds_what_is_in_flight),
        TEST(quota_refuses_what_is_too_much),
        TEST(old_mail_expires_and_its_sender_is_told),
        TEST(what_was_never_answered_is_set_aside),
        TEST(what_a_failed_connection_had_is_not_suspect),
        TEST(a_quiet_mailbox_is_passivated_and_knows_its_marks),
        TEST(a_message_that_was_acknowledged_costs_few_ticks),
        TEST(a_mailbox_is_not_asked_to_passivate_while_a_device_is_here),
        TEST(a_single_message_takes_little_memory_and_gives_it_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

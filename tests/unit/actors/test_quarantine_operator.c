/* SPDX-License-Identifier: Apache-2.0 */
/* What the operator sees of mail that is set aside, releases and drops. */
#include "tests/unit/actors/aside_fixture.h"

/* Who serves the keeper. */
static struct {
    struct actor_id id, quarantine;
    unsigned lists, dones;
    struct quarantine_listed listed;
    struct quarantine_item items[QUARANTINE_PAGE_MAX];
    struct quarantine_done done;
} keeper;

static void operator_on_listed(void *state, struct message **message) {
    struct blob *items = (*message)->blob;
    keeper.lists++;
    keeper.listed = *message_as(*message, struct quarantine_listed);
    if (items)
        memcpy(keeper.items, blob_bytes(items), blob_length(items));
}

static void operator_on_done(void *state, struct message **message) {
    keeper.dones++;
    keeper.done = *message_as(*message, struct quarantine_done);
}

static const struct actor_handler operator_handlers[] = {
    [QUARANTINE_LISTED] = {"listed", operator_on_listed},
    [QUARANTINE_DONE] = {"done", operator_on_done},
};
static const struct actor_class operator_class = {
    .name = "operator",
    .handlers = operator_handlers,
    .handler_count = sizeof(operator_handlers) / sizeof(operator_handlers[0]),
};

/* So many of what is set aside, behind the last that was listed. */
static unsigned list_more(uint32_t items_max) {
    struct message *message = message_create(QUARANTINE_LIST, sizeof(struct quarantine_list));
    struct quarantine_place after = {{0, 0}, 0};
    unsigned lists = keeper.lists;
    if (keeper.listed.count)
        after = keeper.items[keeper.listed.count - 1].place;
    *message_as(message, struct quarantine_list) =
        (struct quarantine_list){keeper.id, 5, after, items_max};
    runtime_send(hand.runtime, keeper.quarantine, &message);
    hand_run();
    assert_int_equal(keeper.lists, lists + 1);
    assert_int_equal(keeper.listed.reference, 5);
    assert_int_equal(keeper.listed.error, 0);
    return keeper.listed.count;
}

static unsigned list_all(void) {
    keeper.listed.count = 0;
    return list_more(0);
}

static void ask(uint16_t kind, struct quarantine_place place) {
    static uint64_t references;
    struct message *message = message_create(kind, sizeof(struct quarantine_one));
    *message_as(message, struct quarantine_one) =
        (struct quarantine_one){keeper.id, ++references, place};
    runtime_send(hand.runtime, keeper.quarantine, &message);
    hand_run();
}

/* The answer, which comes at once. */
static int get(uint16_t kind, struct quarantine_place place) {
    unsigned dones = keeper.dones;
    ask(kind, place);
    assert_int_equal(keeper.dones, dones + 1);
    return keeper.done.error;
}

static void operator_start(void) {
    memset(&keeper, 0, sizeof(keeper));
    assert_int_equal(actor_spawn(&operator_class, NULL, ACTOR_NOBODY, &keeper.id), 0);
    assert_int_equal(actor_spawn(&quarantine_class, NULL, ACTOR_NOBODY, &keeper.quarantine), 0);
}

/* Ann's "poison" to Bob is aside, "after it" was delivered. */
static void set_poison_aside(void) {
    phone_send(&ann, BOB, "poison");
    phone_send(&ann, BOB, "after it");
    hand_run();
    aside_crash_at(&ann, 1, "poison");
    operator_start();
    phone_attach(&ann, ANN, 1);
    phone_attach(&bob, BOB, 1);
    phone_ack(&bob, phone_expect(&bob, "after it"));
    hand_pass_ms(200);
    const struct connection_status *status = phone_status(&bob);
    assert_non_null(status);
    phone_ack(&bob, status->cursor);
    hand_pass_ms(200);
}

static void the_operator_sees_what_is_set_aside(void **state) {
    uint8_t sent_id[16];
    set_poison_aside();
    assert_int_equal(list_all(), 1);
    assert_false(keeper.listed.more);
    const struct quarantine_item *item = &keeper.items[0];
    hand_id(ANN, 1, 1, sent_id);
    assert_int_equal(item->place.of.user, BOB);
    assert_int_equal(item->place.of.device, 1);
    assert_int_equal(item->kind, QUARANTINE_IS_MAIL);
    assert_int_equal(item->reason, RECORD_ASIDE_CRASH);
    assert_int_equal(item->from.user, ANN);
    assert_int_equal(item->from.device, 1);
    assert_memory_equal(item->id, sent_id, 16);
    assert_int_equal(item->ciphertext_bytes, 6);
    assert_int_equal(item->external_bytes, 3);
    assert_true(item->aside_ms >= item->accepted_ms && item->accepted_ms > 0);
    assert_int_equal(list_more(0), 0);
}

static void released_mail_comes_behind_what_waits_and_its_copy_goes(void **state) {
    set_poison_aside();
    list_all();
    struct quarantine_place place = keeper.items[0].place;
    phone_leave(&bob);
    phone_attach(&eve, EVE, 1);
    phone_send(&eve, BOB, "waits");
    hand_run();
    assert_int_equal(get(QUARANTINE_RELEASE, place), 0);
    assert_int_equal(list_all(), 0);
    assert_int_equal(hand_stored(BOB, 1), 2);
    phone_attach(&bob, BOB, 1);
    phone_expect(&bob, "waits");
    const char *text = NULL;
    const struct connection_mail *mail = phone_mail(&bob, &text);
    assert_non_null(mail);
    assert_string_equal(text, "poison");
    assert_int_equal(mail->lamport, 1); /* by which the device knows its place */
    assert_int_equal(mail->sender.user, ANN);
    phone_ack(&bob, mail->cursor);
    hand_pass_ms(500);
    assert_int_equal(hand_stored(BOB, 1), 0);
    assert_int_equal(hand_event("quarantine_released"), 1);
    assert_int_equal(get(QUARANTINE_RELEASE, place), -ENOENT);
    /* One more crash at it is the first again. */
    quarantine_destroy(hand.node.quarantine);
    hand.node.quarantine = crashes_read();
    assert_null(hand.node.quarantine);
}

static void mail_released_to_a_device_that_is_there_is_held_with_its_copy(void **state) {
    set_poison_aside();
    list_all();
    unsigned dones = keeper.dones;
    ask(QUARANTINE_RELEASE, keeper.items[0].place);
    assert_int_equal(keeper.dones, dones);
    uint64_t cursor = phone_expect(&bob, "poison");
    assert_int_equal(list_all(), 1); /* the node may crash at it yet */
    phone_ack(&bob, cursor);
    hand_run();
    assert_int_equal(keeper.dones, dones + 1);
    assert_int_equal(keeper.done.error, 0);
    assert_int_equal(list_all(), 0);
}

static void released_mail_may_crash_the_node_and_is_aside_still(void **state) {
    set_poison_aside();
    list_all();
    ask(QUARANTINE_RELEASE, keeper.items[0].place);
    phone_expect(&bob, "poison");
    hand_crash(ENGINE_CRASH_KEEP);
    quarantine_destroy(hand.node.quarantine);
    hand.node.quarantine = crashes_read();
    operator_start();
    assert_int_equal(list_all(), 1);
    phone_attach(&bob, BOB, 1);
    assert_null(phone_mail(&bob, NULL));
}

static void what_is_dropped_is_gone(void **state) {
    set_poison_aside();
    list_all();
    struct quarantine_place place = keeper.items[0].place, other = place;
    other.sequence++;
    assert_int_equal(get(QUARANTINE_DROP, other), -ENOENT);
    assert_int_equal(get(QUARANTINE_DROP, place), 0);
    assert_int_equal(get(QUARANTINE_DROP, place), -ENOENT);
    assert_int_equal(list_all(), 0);
    assert_int_equal(hand_event("quarantine_dropped"), 1);
    assert_null(phone_mail(&bob, NULL));
}

static void put_aside(uint64_t user, uint32_t device, uint64_t sequence, const char *value) {
    struct write_batch batch;
    const struct record_aside note = {RECORD_ASIDE_DAMAGED, 9};
    write_batch_init(&batch, 4096);
    assert_int_equal(mail_set_aside(&batch, user, device, sequence,
                                    (struct engine_bytes){value, strlen(value)}, &note),
                     0);
    hand_write(&batch);
}

static void damaged_entries_are_listed_in_pages_and_can_only_be_dropped(void **state) {
    operator_start();
    put_aside(BOB, 1, 7, "junk");
    put_aside(ANN, 1, 8, "junk");
    put_aside(EVE, 1, 9, "junk");
    assert_int_equal(list_all(), 3);
    keeper.listed.count = 0;
    uint64_t seen = 0;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(list_more(1), 1);
        assert_int_equal(keeper.items[0].kind, QUARANTINE_IS_UNREADABLE);
        seen += keeper.items[0].place.sequence;
    }
    assert_int_equal(seen, 24);
    assert_int_equal(list_more(1), 0);
    struct quarantine_place place = {{BOB, 1}, 7};
    assert_int_equal(get(QUARANTINE_RELEASE, place), -ENOTSUP);
    assert_int_equal(get(QUARANTINE_DROP, place), 0);
    assert_int_equal(list_all(), 2);
}

static void mail_of_a_device_that_left_is_not_released(void **state) {
    set_poison_aside();
    list_all();
    struct quarantine_place place = keeper.items[0].place;
    hand_replace_devices(BOB);
    hand_run();
    assert_int_equal(get(QUARANTINE_RELEASE, place), -ENODEV);
    assert_int_equal(list_all(), 1);
}

static void one_release_at_a_time_and_a_mailbox_that_does_not_answer_is_told(void **state) {
    set_poison_aside();
    list_all();
    struct quarantine_place place = keeper.items[0].place;
    unsigned dones = keeper.dones;
    hand.fault_class = &mailbox_class;
    hand.fault_kind = MAILBOX_DELIVER;
    hand.fault_skip = 0;
    ask(QUARANTINE_RELEASE, place);
    ask(QUARANTINE_DROP, place);
    assert_int_equal(keeper.dones, dones);
    hand_pass_ms(9900);
    assert_int_equal(keeper.dones, dones);
    hand_pass_ms(200);
    assert_int_equal(keeper.dones, dones + 2);
    assert_int_equal(keeper.done.error, 0); /* the drop */
    assert_int_equal(list_all(), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ASIDE_TEST(the_operator_sees_what_is_set_aside),
        ASIDE_TEST(released_mail_comes_behind_what_waits_and_its_copy_goes),
        ASIDE_TEST(mail_released_to_a_device_that_is_there_is_held_with_its_copy),
        ASIDE_TEST(released_mail_may_crash_the_node_and_is_aside_still),
        ASIDE_TEST(what_is_dropped_is_gone),
        ASIDE_TEST(damaged_entries_are_listed_in_pages_and_can_only_be_dropped),
        ASIDE_TEST(mail_of_a_device_that_left_is_not_released),
        ASIDE_TEST(one_release_at_a_time_and_a_mailbox_that_does_not_answer_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The store: what is committed stays, what is known is not taken twice, states only go forward. */
#include "tools/chat/store.h"

#include <errno.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ME 1
#define BEN 2

struct fixture {
    char home[32];
    char why[STORE_WHY_CHARS_MAX];
    struct store *store;
};

static int setup(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    strcpy(fixture->home, "/tmp/tern-store-XXXXXX");
    assert_non_null(mkdtemp(fixture->home));
    assert_int_equal(store_open(fixture->home, &fixture->store, fixture->why), 0);
    store_become_device(fixture->store, ME, 1);
    assert_int_equal(store_commit(fixture->store), 0);
    *state = fixture;
    return 0;
}

static int teardown(void **state) {
    struct fixture *fixture = *state;
    char path[64];
    store_close(fixture->store);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s%s", fixture->home, STORE_FILE,
                 (const char *[]){"", "-wal", "-shm"}[i]);
        unlink(path);
    }
    rmdir(fixture->home);
    free(fixture);
    return 0;
}

static void reopen(struct fixture *fixture) {
    store_close(fixture->store);
    assert_int_equal(store_open(fixture->home, &fixture->store, fixture->why), 0);
}

/* ---------------------------------------------------------------- messages, in words */

static struct wire_bytes bytes_of(const char *text) {
    return (struct wire_bytes){(const uint8_t *)text, (uint32_t)strlen(text)};
}

static struct wire_id id_of(char letter) {
    struct wire_id id;
    memset(id.bytes, letter, sizeof id.bytes);
    return id;
}

/* From Ben's device 1, named by one letter. */
static struct wire_mail mail_of(char letter, uint64_t lamport, uint64_t n) {
    return (struct wire_mail){.id = id_of(letter),
                              .chat = BEN,
                              .sender = BEN,
                              .sender_device = 1,
                              .time_ms = 1000,
                              .lamport = lamport,
                              .n = n};
}

static void take(struct fixture *fixture, char letter, uint64_t lamport, uint64_t n) {
    struct wire_mail mail = mail_of(letter, lamport, n);
    char text[2] = {letter, 0};
    struct wire_bytes bytes = bytes_of(text);
    assert_true(store_add_mail(fixture->store, &mail, ME, &bytes) > 0);
}

static int64_t write_to(struct fixture *fixture, char letter, uint64_t chat, const char *phone) {
    char text[2] = {letter, 0};
    struct store_message message = {.own = true,
                                    .chat = chat,
                                    .sender = ME,
                                    .device = 1,
                                    .id = id_of(letter),
                                    .readable = true,
                                    .text = bytes_of(text)};
    snprintf(message.phone, sizeof message.phone, "%s", phone);
    return store_add_own(fixture->store, &message);
}

struct gathered {
    char letters[32];
    unsigned count;
    struct store_message last;
};

static bool gather(void *context, const struct store_message *message) {
    struct gathered *gathered = context;
    gathered->letters[gathered->count++] =
        message->text.length == 1 ? (char)message->text.bytes[0] : '?';
    gathered->last = *message;
    return gathered->count < sizeof gathered->letters - 1;
}

static void expect(struct fixture *fixture, enum store_messages which, const char *letters) {
    struct gathered gathered = {0};
    store_each_message(fixture->store, which, BEN, 0, gather, &gathered);
    assert_string_equal(gathered.letters, letters);
}

static struct store_message find(struct fixture *fixture, char letter) {
    struct gathered gathered = {0};
    struct wire_id id = id_of(letter);
    assert_true(store_message_by_id(fixture->store, &id, gather, &gathered));
    return gathered.last;
}

/* ---------------------------------------------------------------- transactions */

static void what_is_committed_survives_and_the_rest_does_not(void **state) {
    struct fixture *fixture = *state;
    char text[10];
    store_set_text(fixture->store, "kept", "yes");
    assert_int_equal(store_commit(fixture->store), 0);
    store_set_text(fixture->store, "lost", "yes");
    reopen(fixture);
    assert_true(store_text(fixture->store, "kept", text, sizeof text));
    assert_false(store_text(fixture->store, "lost", text, sizeof text));
}

static void a_failed_write_fails_the_whole_transaction(void **state) {
    struct fixture *fixture = *state;
    struct wire_mail mail = mail_of('a', 1, 1);
    struct wire_bytes text = bytes_of("a");
    assert_true(store_add_mail(fixture->store, &mail, ME, &text) > 0);
    assert_int_equal(store_add_mail(fixture->store, &mail, ME, &text), 0); /* not unique */
    assert_int_equal(store_commit(fixture->store), -EIO);
    assert_false(store_has(fixture->store, BEN, 1, &mail.id));
    assert_int_not_equal(store_why(fixture->store)[0], 0);
    assert_true(store_add_mail(fixture->store, &mail, ME, &text) > 0); /* and goes on */
    assert_int_equal(store_commit(fixture->store), 0);
}

static void a_newer_file_is_refused(void **state) {
    struct fixture *fixture = *state;
    char path[64];
    sqlite3 *database;
    snprintf(path, sizeof path, "%s/%s", fixture->home, STORE_FILE);
    store_close(fixture->store);
    fixture->store = NULL;
    assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, "PRAGMA user_version = 99", NULL, NULL, NULL), 0);
    sqlite3_close(database);
    assert_int_equal(store_open(fixture->home, &fixture->store, fixture->why), -EPROTONOSUPPORT);
    assert_non_null(strstr(fixture->why, "newer"));
}

/* ---------------------------------------------------------------- mail */

static void a_message_is_known_by_sender_device_and_id(void **state) {
    struct fixture *fixture = *state;
    struct wire_id id = id_of('a');
    take(fixture, 'a', 1, 1);
    assert_true(store_has(fixture->store, BEN, 1, &id));
    assert_false(store_has(fixture->store, BEN, 2, &id));
    assert_false(store_has(fixture->store, BEN + 1, 1, &id));
    id = id_of('b');
    assert_false(store_has(fixture->store, BEN, 1, &id));
}

static void mail_is_unshown_until_it_was_shown(void **state) {
    struct fixture *fixture = *state;
    assert_false(store_has_unshown(fixture->store));
    take(fixture, 'a', 2, 1);
    take(fixture, 'b', 1, 2);
    expect(fixture, STORE_UNSHOWN, "ab"); /* as they arrived, whatever their place */
    struct gathered gathered = {0};
    store_each_message(fixture->store, STORE_UNSHOWN, 0, 1, gather, &gathered);
    store_set_shown(fixture->store, gathered.last.row);
    expect(fixture, STORE_UNSHOWN, "b");
    assert_true(store_has_unshown(fixture->store));
}

static void receipts_are_owed_then_sent_and_never_go_back(void **state) {
    struct fixture *fixture = *state;
    take(fixture, 'a', 1, 1);
    struct gathered gathered = {0};
    store_each_message(fixture->store, STORE_UNREAD, BEN, 0, gather, &gathered);
    int64_t row = gathered.last.row;
    store_set_receipt(fixture->store, row, STORE_RECEIPT_OWED);
    expect(fixture, STORE_UNREAD, "");
    expect(fixture, STORE_OWED, "a");
    store_set_receipt(fixture->store, row, STORE_RECEIPT_SENT);
    store_set_receipt(fixture->store, row, STORE_RECEIPT_OWED);
    expect(fixture, STORE_OWED, "");
}

static void a_gap_in_the_senders_count_is_noted(void **state) {
    struct fixture *fixture = *state;
    static const struct {
        char letter;
        uint64_t n, missing;
    } cases[] = {{'a', 7, 0}, {'b', 8, 0}, {'c', 11, 2}, {'d', 12, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct gathered gathered = {0};
        take(fixture, cases[i].letter, i + 1, cases[i].n);
        store_each_message(fixture->store, STORE_CHAT, BEN, 0, gather, &gathered);
        assert_int_equal(gathered.last.missing, cases[i].missing);
    }
}

static void unreadable_mail_is_kept_as_it_came(void **state) {
    struct fixture *fixture = *state;
    struct gathered gathered = {0};
    struct wire_mail mail = mail_of('a', 1, 1);
    mail.external = bytes_of("\xff\xfe");
    store_add_mail(fixture->store, &mail, ME, NULL);
    store_each_message(fixture->store, STORE_UNSHOWN, 0, 0, gather, &gathered);
    assert_false(gathered.last.readable);
    assert_int_equal(gathered.last.content.length, 2);
}

/* ---------------------------------------------------------------- the chat's order */

static void a_chat_is_ordered_by_its_clock_and_what_waits_stands_last(void **state) {
    struct fixture *fixture = *state;
    take(fixture, 'c', 5, 2);
    take(fixture, 'a', 3, 1);
    int64_t d = write_to(fixture, 'd', BEN, "");
    write_to(fixture, 'x', BEN, "");
    store_set_numbered(fixture->store, d, 1); /* after the highest that was heard */
    take(fixture, 'b', 4, 3);
    take(fixture, 'e', 7, 4);
    expect(fixture, STORE_CHAT, "abcdex");
    assert_int_equal(find(fixture, 'd').lamport, 6);
    assert_int_equal(find(fixture, 'd').n, 1);
}

static void equal_clocks_are_ordered_by_user(void **state) {
    struct fixture *fixture = *state;
    take(fixture, 'b', 1, 1);
    store_contact_add(fixture->store, BEN);
    struct wire_mail copy = mail_of('a', 1, 1);
    copy.sender = ME;
    struct wire_bytes text = bytes_of("a");
    store_add_mail(fixture->store, &copy, ME, &text);
    expect(fixture, STORE_CHAT, "ab");
}

static void the_last_of_a_chat_come_in_its_order(void **state) {
    struct fixture *fixture = *state;
    struct gathered gathered = {0};
    for (unsigned i = 0; i < 5; i++)
        take(fixture, "abcde"[i], i + 1, i + 1);
    store_each_message(fixture->store, STORE_CHAT, BEN, 2, gather, &gathered);
    assert_string_equal(gathered.letters, "de");
}

/* ---------------------------------------------------------------- the outbox */

static void a_message_waits_for_its_number_then_for_its_answer(void **state) {
    struct fixture *fixture = *state;
    int64_t a = write_to(fixture, 'a', 0, "+15550002000");
    expect(fixture, STORE_WAITING, "a");
    store_contact_add(fixture->store, BEN);
    store_resolve_phone(fixture->store, "+15550002000", BEN);
    assert_int_equal(find(fixture, 'a').chat, BEN);
    store_set_numbered(fixture->store, a, 7);
    expect(fixture, STORE_WAITING, "");
    expect(fixture, STORE_NUMBERED, "a");
    assert_int_equal(store_send_low(fixture->store), 7);
    store_set_answered(fixture->store, 7, WIRE_STATE_SENT, 0, 1234, 99);
    expect(fixture, STORE_NUMBERED, "");
    assert_int_equal(store_send_low(fixture->store), 0);
    struct store_message message = find(fixture, 'a');
    assert_int_equal(message.state, WIRE_STATE_SENT);
    assert_int_equal(message.time_ms, 1234);
    assert_int_equal(message.sequence, 99);
}

static void only_a_message_without_number_can_be_taken_back(void **state) {
    struct fixture *fixture = *state;
    int64_t a = write_to(fixture, 'a', BEN, ""), b = write_to(fixture, 'b', BEN, "");
    store_set_numbered(fixture->store, b, 1);
    assert_true(store_cancel(fixture->store, a));
    assert_false(store_cancel(fixture->store, b));
    expect(fixture, STORE_CHAT, "b");
}

static void a_number_of_nobody_fails_its_messages_alone(void **state) {
    struct fixture *fixture = *state;
    write_to(fixture, 'a', 0, "+15550002000");
    write_to(fixture, 'b', 0, "+15550003000");
    store_fail_phone(fixture->store, "+15550002000", WIRE_CODE_NOT_FOUND);
    assert_int_equal(find(fixture, 'a').state, WIRE_STATE_FAILED);
    assert_int_equal(find(fixture, 'a').code, WIRE_CODE_NOT_FOUND);
    expect(fixture, STORE_WAITING, "b");
}

static void states_only_go_forward(void **state) {
    struct fixture *fixture = *state;
    struct wire_id id = id_of('a');
    int64_t row = write_to(fixture, 'a', BEN, "");
    store_set_numbered(fixture->store, row, 1);
    static const struct {
        unsigned heard, then;
    } cases[] = {
        {WIRE_STATE_EXPIRED, WIRE_STATE_EXPIRED},
        {WIRE_STATE_DELIVERED, WIRE_STATE_DELIVERED},
        {WIRE_STATE_UNDECRYPTABLE, WIRE_STATE_DELIVERED},
        {WIRE_STATE_READ, WIRE_STATE_READ},
        {WIRE_STATE_DELIVERED, WIRE_STATE_READ},
        {WIRE_STATE_SENT, WIRE_STATE_READ},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        store_advance(fixture->store, &id, cases[i].heard);
        assert_int_equal(find(fixture, 'a').state, cases[i].then);
    }
    /* The answer to the send itself comes last, and takes nothing back. */
    store_set_answered(fixture->store, 1, WIRE_STATE_SENT, 0, 5, 5);
    assert_int_equal(find(fixture, 'a').state, WIRE_STATE_READ);
    assert_int_equal(find(fixture, 'a').number, 0);
}

static void a_goal_is_reached_by_what_lies_beyond_it_but_not_by_failure(void **state) {
    assert_true(store_state_reached(WIRE_STATE_READ, WIRE_STATE_SENT));
    assert_true(store_state_reached(WIRE_STATE_DELIVERED, WIRE_STATE_DELIVERED));
    assert_false(store_state_reached(WIRE_STATE_SENT, WIRE_STATE_DELIVERED));
    assert_false(store_state_reached(WIRE_STATE_FAILED, WIRE_STATE_SENT));
    assert_false(store_state_reached(0, WIRE_STATE_SENT));
}

static void changed_states_are_told_once(void **state) {
    struct fixture *fixture = *state;
    struct wire_id id = id_of('a');
    int64_t row = write_to(fixture, 'a', BEN, "");
    bool lost;
    store_advance(fixture->store, &id, WIRE_STATE_READ);
    store_advance(fixture->store, &id, WIRE_STATE_SENT); /* nothing new */
    assert_int_equal(store_next_changed(fixture->store, &lost), row);
    assert_false(lost);
    assert_int_equal(store_next_changed(fixture->store, &lost), 0);
    assert_false(lost);
}

static void too_many_changed_states_are_told_as_lost(void **state) {
    struct fixture *fixture = *state;
    bool lost = false;
    unsigned count = 0;
    for (unsigned i = 0; i <= STORE_CHANGED_MAX; i++) {
        struct wire_id id = {{(uint8_t)i, (uint8_t)(i >> 8)}};
        struct store_message message = {.own = true, .chat = BEN, .id = id, .readable = true};
        assert_true(store_add_own(fixture->store, &message) > 0);
        store_advance(fixture->store, &id, WIRE_STATE_SENT);
    }
    while (store_next_changed(fixture->store, &lost) != 0)
        count++;
    assert_int_equal(count, STORE_CHANGED_MAX);
    assert_true(lost);
    store_next_changed(fixture->store, &lost);
    assert_false(lost);
}

static void another_device_numbers_anew_what_was_not_answered(void **state) {
    struct fixture *fixture = *state;
    int64_t a = write_to(fixture, 'a', BEN, ""), b = write_to(fixture, 'b', BEN, "");
    store_set_numbered(fixture->store, a, 1);
    store_set_numbered(fixture->store, b, 2);
    store_set_answered(fixture->store, 1, WIRE_STATE_SENT, 0, 5, 5);
    store_become_device(fixture->store, ME, 2);
    assert_int_equal(store_commit(fixture->store), 0);
    expect(fixture, STORE_WAITING, "b");
    assert_int_equal(find(fixture, 'b').device, 2);
    assert_int_equal(find(fixture, 'a').device, 1);
    assert_int_equal(store_number(fixture->store, "next_send"), 0);
}

/* ---------------------------------------------------------------- contacts */

static void devices_and_profile_come_back(void **state) {
    struct fixture *fixture = *state;
    struct store_device devices[2] = {{.device = 1}, {.device = 0x01020304}};
    struct store_contact contact;
    memset(devices[1].key, 7, sizeof devices[1].key);
    store_contact_add(fixture->store, BEN);
    assert_true(store_contact(fixture->store, BEN, &contact));
    assert_true(contact.profile_wanted && contact.devices_wanted);
    store_contact_set_devices(fixture->store, BEN, 3, devices, 2);
    store_contact_set_profile(fixture->store, BEN, "+15550002000", "Ben");
    assert_int_equal(store_commit(fixture->store), 0);
    reopen(fixture);
    assert_true(store_contact(fixture->store, BEN, &contact));
    assert_false(contact.profile_wanted || contact.devices_wanted);
    assert_int_equal(contact.version, 3);
    assert_int_equal(contact.device_count, 2);
    assert_int_equal(contact.devices[1].device, 0x01020304);
    assert_memory_equal(contact.devices[1].key, devices[1].key, 32);
    assert_string_equal(contact.name, "Ben");
    assert_int_equal(store_contact_by_phone(fixture->store, "+15550002000"), BEN);
    assert_int_equal(store_contact_by_name(fixture->store, "Ben"), BEN);
}

static void a_number_has_one_owner_and_a_name_may_have_two(void **state) {
    struct fixture *fixture = *state;
    struct store_contact contact;
    store_contact_add(fixture->store, BEN);
    store_contact_add(fixture->store, 3);
    store_contact_set_profile(fixture->store, BEN, "+15550002000", "Ben");
    store_contact_set_profile(fixture->store, 3, "+15550002000", "Ben");
    assert_int_equal(store_contact_by_phone(fixture->store, "+15550002000"), 3);
    assert_true(store_contact(fixture->store, BEN, &contact));
    assert_string_equal(contact.phone, "");
    assert_int_equal(store_contact_by_name(fixture->store, "Ben"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(what_is_committed_survives_and_the_rest_does_not),
        TEST(a_failed_write_fails_the_whole_transaction),
        TEST(a_newer_file_is_refused),
        TEST(a_message_is_known_by_sender_device_and_id),
        TEST(mail_is_unshown_until_it_was_shown),
        TEST(receipts_are_owed_then_sent_and_never_go_back),
        TEST(a_gap_in_the_senders_count_is_noted),
        TEST(unreadable_mail_is_kept_as_it_came),
        TEST(a_chat_is_ordered_by_its_clock_and_what_waits_stands_last),
        TEST(equal_clocks_are_ordered_by_user),
        TEST(the_last_of_a_chat_come_in_its_order),
        TEST(a_message_waits_for_its_number_then_for_its_answer),
        TEST(only_a_message_without_number_can_be_taken_back),
        TEST(a_number_of_nobody_fails_its_messages_alone),
        TEST(states_only_go_forward),
        TEST(a_goal_is_reached_by_what_lies_beyond_it_but_not_by_failure),
        TEST(changed_states_are_told_once),
        TEST(too_many_changed_states_are_told_as_lost),
        TEST(another_device_numbers_anew_what_was_not_answered),
        TEST(devices_and_profile_come_back),
        TEST(a_number_has_one_owner_and_a_name_may_have_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

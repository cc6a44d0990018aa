/* SPDX-License-Identifier: Apache-2.0 */
/* What crash records blame: the list of mail that is read from their files. */
#include "storage/format.h"
#include "tests/unit/actors/quarantine_fixture.h"

static void a_blame_names_whose_mail_it_is_and_not_what_it_says(void **state) {
    struct quarantine_mail mail = mail_of("secret");
    char line[CRASH_BLAME_BYTES_MAX] = "";
    mail_describe(&mail, line, sizeof(line) - 1);
    const char expected[] = "mail to=201/1 from=100/2 id=0102030405060708090a0b0c0d0e0f10 hash=";
    assert_memory_equal(line, expected, sizeof(expected) - 1);
    assert_int_equal(strlen(line), sizeof(expected) - 1 + 32);
    assert_null(strstr(line, "secret"));
    assert_int_equal(mail_describe(&mail, line, 10), 10); /* cut, never beyond */
}

static void one_record_sets_nothing_aside(void **state) {
    struct quarantine_mail mail = mail_of("once");
    assert_null(crashes_read());
    assert_null(quarantine_read("/nonexistent/crashes", crashes_now));
    crashes_blame_mail(&mail);
    assert_null(crashes_read());
    assert_int_equal(quarantine_mails(NULL), 0);
    assert_false(quarantine_has_mail(NULL, &mail));
}

static void two_records_that_name_the_same_mail_set_it_aside(void **state) {
    struct quarantine_mail mail = mail_of("poison"), other = mail_of("other");
    crashes_blame_mail(&mail);
    crashes_blame_mail(&other);
    crashes_blame("nobody");
    crashes_blame_mail(&mail);
    struct quarantine *quarantine = crashes_read();
    assert_non_null(quarantine);
    assert_int_equal(quarantine_mails(quarantine), 1);
    assert_true(quarantine_has_mail(quarantine, &mail));
    assert_false(quarantine_has_mail(quarantine, &other));
    quarantine_destroy(quarantine);
}

/* Whoever crashes the node with mail of their own has nobody else's set aside, whatever of it they
 * copy. */
static void no_other_mail_is_set_aside_with_it(void **state) {
    static const uint8_t other_id[16] = {1};
    struct quarantine_mail mail = mail_of("poison"), other;
    crashes_blame_mail(&mail);
    crashes_blame_mail(&mail);
    struct quarantine *quarantine = crashes_read();
    assert_non_null(quarantine);
    other = mail, other.to.user = EVE;
    assert_false(quarantine_has_mail(quarantine, &other));
    other = mail, other.to.device = 2;
    assert_false(quarantine_has_mail(quarantine, &other));
    other = mail, other.from.user = EVE;
    assert_false(quarantine_has_mail(quarantine, &other));
    other = mail, other.from.device = 1;
    assert_false(quarantine_has_mail(quarantine, &other));
    other = mail, other.id = other_id;
    assert_false(quarantine_has_mail(quarantine, &other));
    other = mail, other.external_bytes = 2;
    assert_false(quarantine_has_mail(quarantine, &other));
    other = mail_of("Poison");
    assert_false(quarantine_has_mail(quarantine, &other));
    quarantine_destroy(quarantine);
}

static void records_that_are_cut_or_junk_count_for_nothing(void **state) {
    struct quarantine_mail mail = mail_of("poison");
    char line[CRASH_BLAME_BYTES_MAX] = "", text[1024];
    mail_describe(&mail, line, sizeof(line) - 1);
    crashes_write("");
    crashes_write("blame:");
    crashes_write("\n\n\nblame: \n");
    line[40] = '\0';
    for (unsigned i = 0; i < 2; i++) {
        snprintf(text, sizeof(text), "summary: x\nblame: %s", line);
        crashes_write(text);
    }
    memset(text, 'a', sizeof(text));
    memcpy(text, "blame: mail to=", 15);
    text[sizeof(text) - 1] = '\0';
    crashes_write(text);
    crashes_write(text);
    struct quarantine *quarantine = crashes_read();
    assert_false(quarantine_has_mail(quarantine, &mail));
    quarantine_destroy(quarantine);
}

static void the_list_is_bounded(void **state) {
    char text[16];
    for (unsigned i = 0; i < QUARANTINE_ITEMS_MAX + 5; i++) {
        snprintf(text, sizeof(text), "poison %u", i);
        struct quarantine_mail mail = mail_of(text);
        crashes_blame_mail(&mail);
        crashes_blame_mail(&mail);
    }
    struct quarantine *quarantine = crashes_read();
    assert_int_equal(quarantine_mails(quarantine), QUARANTINE_ITEMS_MAX);
    struct quarantine_mail newest = mail_of(text);
    assert_true(quarantine_has_mail(quarantine, &newest));
    quarantine_destroy(quarantine);
}

static void an_entry_is_known_by_its_place_and_content(void **state) {
    struct quarantine_entry entry = {{BOB, 1}, 7, {"whatever", 8}}, other;
    char line[CRASH_BLAME_BYTES_MAX] = "";
    quarantine_describe_entry(&entry, line, sizeof(line) - 1);
    assert_memory_equal(line, "entry of=201/1 sequence=7 hash=", 31);
    crashes_blame(line);
    assert_null(crashes_read());
    crashes_blame(line);
    struct quarantine *quarantine = crashes_read();
    assert_int_equal(quarantine_mails(quarantine), 1);
    assert_true(quarantine_has_entry(quarantine, &entry));
    struct record_queued queued;
    assert_int_equal(quarantine_decode(quarantine, &entry, &queued), -EPERM);
    other = entry, other.sequence = 8;
    assert_false(quarantine_has_entry(quarantine, &other));
    other = entry, other.of.device = 2;
    assert_false(quarantine_has_entry(quarantine, &other));
    other = entry, other.value.size = 7;
    assert_false(quarantine_has_entry(quarantine, &other));
    assert_int_not_equal(quarantine_decode(quarantine, &other, &queued), -EPERM);
    quarantine_destroy(quarantine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CRASHES_TEST(a_blame_names_whose_mail_it_is_and_not_what_it_says),
        CRASHES_TEST(one_record_sets_nothing_aside),
        CRASHES_TEST(two_records_that_name_the_same_mail_set_it_aside),
        CRASHES_TEST(no_other_mail_is_set_aside_with_it),
        CRASHES_TEST(records_that_are_cut_or_junk_count_for_nothing),
        CRASHES_TEST(the_list_is_bounded),
        CRASHES_TEST(an_entry_is_known_by_its_place_and_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

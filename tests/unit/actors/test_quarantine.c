/* SPDX-License-Identifier: Apache-2.0 */
/* What crash records blame, and what becomes of mail that two of them name: the list that is read
 * from their files, and a mailbox that has it. */
#include "actors/quarantine.h"

#include "runtime/crash.h"
#include "tests/unit/actors/mailbox_fixture.h"

#include <fcntl.h>
#include <unistd.h>

#define ANN 100
#define EVE 150
#define BOB 201

static char directory[64];
static unsigned records_written;
static struct phone ann, bob, eve;

/* --- records ---------------------------------------------------------------------------------- */

static int remove_record(void *context, const char *path) {
    return unlink(path) == 0 ? 0 : -errno;
}

static int make_directory(void **state) {
    strcpy(directory, "/tmp/tern-quarantine-XXXXXX");
    records_written = 0;
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state) {
    crash_records_visit(directory, remove_record, NULL);
    return rmdir(directory);
}

static void write_record(const char *text) {
    char path[128];
    unsigned number = records_written++;
    snprintf(path, sizeof(path), "%s/CRASH-20260101T00%02u%02uZ-7", directory, number / 60,
             number % 60);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

/* The records are of 2026-01-01, one a second. */
static struct quarantine_now now = {.wall_ms = 1767225660000, .monotonic_ms = 5000000};

static struct quarantine *read_list(void) {
    return quarantine_read(directory, now);
}

static void write_blame(const char *line) {
    char text[1024];
    snprintf(text, sizeof(text),
             "Tern crash record, format 1\nsummary: one\ntime: 2026-01-01T00:%02u:%02uZ\n"
             "blame: %s\nend\n",
             records_written / 60, records_written % 60, line);
    write_record(text);
}

/* --- mail ------------------------------------------------------------------------------------- */

static const uint8_t id[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

static struct quarantine_mail mail_of(const char *text) {
    return (struct quarantine_mail){
        .to = {BOB, 1},
        .from = {ANN, 2},
        .id = id,
        .ciphertext = (const uint8_t *)text,
        .ciphertext_bytes = (uint32_t)strlen(text),
        .external = (const uint8_t *)"ext",
        .external_bytes = 3,
    };
}

/* The line as a crash handler writes it, at most `bytes` of it. */
static size_t describe(const struct quarantine_mail *mail, char *line, size_t bytes) {
    struct message *message = message_create(CONNECTION_MAIL, sizeof(struct connection_mail));
    struct connection_mail *sent = message_as(message, struct connection_mail);
    *sent = (struct connection_mail){
        .sender = mail->from,
        .ciphertext_offset = 5,
        .ciphertext_bytes = mail->ciphertext_bytes,
        .external_offset = 5 + mail->ciphertext_bytes,
        .external_bytes = mail->external_bytes,
    };
    memcpy(sent->id, mail->id, sizeof(sent->id));
    message->blob = blob_create(5 + mail->ciphertext_bytes + mail->external_bytes);
    memset(blob_bytes(message->blob), '.', 5);
    memcpy(blob_bytes(message->blob) + 5, mail->ciphertext, mail->ciphertext_bytes);
    memcpy(blob_bytes(message->blob) + 5 + mail->ciphertext_bytes, mail->external,
           mail->external_bytes);
    const struct quarantine_sending sending = {mail->to, message};
    size_t length = quarantine_describe_sending(&sending, line, bytes);
    message_destroy(message);
    return length;
}

static void blame(const struct quarantine_mail *mail) {
    char line[CRASH_BLAME_BYTES_MAX] = "";
    assert_true(describe(mail, line, sizeof(line) - 1) < sizeof(line) - 1);
    write_blame(line);
}

/* --- the list --------------------------------------------------------------------------------- */

static void a_blame_names_whose_mail_it_is_and_not_what_it_says(void **state) {
    struct quarantine_mail mail = mail_of("secret");
    char line[CRASH_BLAME_BYTES_MAX] = "";
    describe(&mail, line, sizeof(line) - 1);
    const char expected[] = "mail to=201/1 from=100/2 id=0102030405060708090a0b0c0d0e0f10 hash=";
    assert_memory_equal(line, expected, sizeof(expected) - 1);
    assert_int_equal(strlen(line), sizeof(expected) - 1 + 32);
    assert_null(strstr(line, "secret"));
    assert_int_equal(describe(&mail, line, 10), 10); /* cut, never beyond */
}

static void one_record_sets_nothing_aside(void **state) {
    struct quarantine_mail mail = mail_of("once");
    assert_null(read_list());
    assert_null(quarantine_read("/nonexistent/crashes", now));
    blame(&mail);
    assert_null(read_list());
    assert_int_equal(quarantine_mails(NULL), 0);
    assert_false(quarantine_has_mail(NULL, &mail));
}

static void two_records_that_name_the_same_mail_set_it_aside(void **state) {
    struct quarantine_mail mail = mail_of("poison"), other = mail_of("other");
    blame(&mail);
    blame(&other);
    write_blame("nobody");
    blame(&mail);
    struct quarantine *quarantine = read_list();
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
    blame(&mail);
    blame(&mail);
    struct quarantine *quarantine = read_list();
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
    describe(&mail, line, sizeof(line) - 1);
    write_record("");
    write_record("blame:");
    write_record("\n\n\nblame: \n");
    line[40] = '\0';
    for (unsigned i = 0; i < 2; i++) {
        snprintf(text, sizeof(text), "summary: x\nblame: %s", line);
        write_record(text);
    }
    memset(text, 'a', sizeof(text));
    memcpy(text, "blame: mail to=", 15);
    text[sizeof(text) - 1] = '\0';
    write_record(text);
    write_record(text);
    struct quarantine *quarantine = read_list();
    assert_false(quarantine_has_mail(quarantine, &mail));
    quarantine_destroy(quarantine);
}

static void the_list_is_bounded(void **state) {
    char text[16];
    for (unsigned i = 0; i < QUARANTINE_ITEMS_MAX + 5; i++) {
        snprintf(text, sizeof(text), "poison %u", i);
        struct quarantine_mail mail = mail_of(text);
        blame(&mail);
        blame(&mail);
    }
    struct quarantine *quarantine = read_list();
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
    write_blame(line);
    assert_null(read_list());
    write_blame(line);
    struct quarantine *quarantine = read_list();
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

/* --- input that was not stored ---------------------------------------------------------------- */

static const uint8_t key[32] = {0xab, 1}, other_key[32] = {0xab, 2};
static const uint8_t home[16] = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 1};
static const uint8_t abroad[16] = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 2};

static void blame_input(struct quarantine_input input) {
    char line[CRASH_BLAME_BYTES_MAX] = "";
    quarantine_describe_input(&input, line, sizeof(line) - 1);
    write_blame(line);
}

static uint32_t refused(const struct quarantine *quarantine, uint64_t user, uint32_t device,
                        const uint8_t *with_key, const uint8_t *address) {
    uint32_t left = quarantine_refuses_key(quarantine, with_key, now.monotonic_ms);
    const struct device_address who = {user, device};
    return left ? left : quarantine_refuses_device(quarantine, who, address, now.monotonic_ms);
}

static void a_devices_input_refuses_the_device_alone(void **state) {
    blame_input((struct quarantine_input){{ANN, 1}, key, home, false});
    assert_null(read_list());
    blame_input((struct quarantine_input){{ANN, 1}, NULL, NULL, false}); /* by its mailbox */
    struct quarantine *quarantine = read_list();
    assert_int_equal(quarantine_refusals(quarantine), 1);
    assert_string_equal(quarantine_refusal(quarantine, 0), "device=100/1");
    assert_true(refused(quarantine, ANN, 1, key, abroad) > 0);
    assert_int_equal(refused(quarantine, ANN, 2, key, home), 0);
    assert_int_equal(refused(quarantine, EVE, 1, key, home), 0);
    assert_int_equal(refused(quarantine, 0, 0, key, home), 0);
    assert_int_equal(quarantine_refuses_address(quarantine, home, now.monotonic_ms), 0);
    assert_int_equal(quarantine_mails(quarantine), 0);
    quarantine_destroy(quarantine);
}

static void a_strangers_input_refuses_its_key_alone(void **state) {
    for (unsigned i = 0; i < 3; i++)
        blame_input((struct quarantine_input){{0, 0}, key, home, false});
    struct quarantine *quarantine = read_list();
    assert_int_equal(quarantine_refusals(quarantine), 1);
    assert_true(refused(quarantine, 0, 0, key, abroad) > 0);
    assert_int_equal(refused(quarantine, 0, 0, other_key, home), 0);
    assert_int_equal(quarantine_refuses_address(quarantine, home, now.monotonic_ms), 0);
    quarantine_destroy(quarantine);
}

static void a_new_key_for_each_crash_refuses_strangers_at_the_address(void **state) {
    static const uint8_t third_key[32] = {3};
    blame_input((struct quarantine_input){{0, 0}, key, home, false});
    blame_input((struct quarantine_input){{0, 0}, other_key, home, false});
    struct quarantine *quarantine = read_list();
    assert_true(refused(quarantine, 0, 0, third_key, home) > 0);
    assert_int_equal(refused(quarantine, 0, 0, third_key, abroad), 0);
    /* Those who have an account come in, from there too. */
    assert_int_equal(refused(quarantine, ANN, 1, third_key, home), 0);
    assert_int_equal(quarantine_refuses_address(quarantine, home, now.monotonic_ms), 0);
    quarantine_destroy(quarantine);
}

static void what_comes_before_the_account_refuses_its_key_then_its_address(void **state) {
    for (unsigned i = 0; i < 2; i++)
        blame_input((struct quarantine_input){{0, 0}, key, home, true});
    struct quarantine *quarantine = read_list();
    assert_true(refused(quarantine, ANN, 1, key, abroad) > 0); /* it is the key, whoever has it */
    assert_int_equal(quarantine_refuses_address(quarantine, home, now.monotonic_ms), 0);
    quarantine_destroy(quarantine);
    blame_input((struct quarantine_input){{0, 0}, other_key, home, true});
    quarantine = read_list();
    assert_true(quarantine_refuses_address(quarantine, home, now.monotonic_ms) > 0);
    quarantine_destroy(quarantine);
}

static void what_comes_before_any_key_refuses_its_address(void **state) {
    static const uint8_t network[16] = {0x20, 1, 0xd, 0xb8, 0, 1, 0, 2, 9};
    static const uint8_t neighbour[16] = {0x20, 1, 0xd, 0xb8, 0, 1, 0, 2, 8};
    static const uint8_t elsewhere[16] = {0x20, 1, 0xd, 0xb8, 0, 1, 0, 3, 9};
    for (unsigned i = 0; i < 2; i++) {
        blame_input((struct quarantine_input){{0, 0}, NULL, home, false});
        blame_input((struct quarantine_input){{0, 0}, NULL, network, false});
    }
    struct quarantine *quarantine = read_list();
    assert_true(quarantine_refuses_address(quarantine, home, now.monotonic_ms) > 0);
    assert_int_equal(quarantine_refuses_address(quarantine, abroad, now.monotonic_ms), 0);
    assert_true(quarantine_refuses_address(quarantine, neighbour, now.monotonic_ms) > 0);
    assert_int_equal(quarantine_refuses_address(quarantine, elsewhere, now.monotonic_ms), 0);
    quarantine_destroy(quarantine);
}

static void a_refusal_ends_ten_minutes_after_the_last_crash(void **state) {
    blame_input((struct quarantine_input){{ANN, 1}, key, home, false}); /* 00:00:00 */
    blame_input((struct quarantine_input){{ANN, 1}, key, home, false}); /* 00:00:01 */
    struct quarantine *quarantine = read_list();                        /* 00:01:00 */
    const struct device_address who = {ANN, 1};
    assert_int_equal(refused(quarantine, ANN, 1, key, home), 541000);
    assert_int_equal(quarantine_refuses_device(quarantine, who, home, now.monotonic_ms + 540999),
                     1);
    assert_int_equal(quarantine_refuses_device(quarantine, who, home, now.monotonic_ms + 541000),
                     0);
    quarantine_destroy(quarantine);
    struct quarantine_now late = {now.wall_ms + 541000, 1};
    assert_null(quarantine_read(directory, late));
    struct quarantine_now early = {now.wall_ms - 86400000, 1}; /* the clock was set back */
    quarantine = quarantine_read(directory, early);
    assert_int_equal(quarantine_refuses_device(quarantine, who, home, 1), QUARANTINE_REFUSED_MS);
    quarantine_destroy(quarantine);
    quarantine_destroy(NULL);
    assert_int_equal(quarantine_refuses_device(NULL, who, home, 1), 0);
    assert_int_equal(quarantine_refuses_address(NULL, home, 1), 0);
}

/* --- a mailbox that has it -------------------------------------------------------------------- */

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
/* The answer, now. */
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

static int begin(void **state) {
    if (make_directory(state))
        return -1;
    hand_setup(state);
    hand_account(ANN, 1);
    hand_account(BOB, 1);
    hand_account(EVE, 1);
    phone_attach(&ann, ANN, 1);
    phone_attach(&eve, EVE, 1);
    return 0;
}

static int end(void **state) {
    quarantine_destroy(hand.node.quarantine);
    hand_teardown(state);
    return remove_directory(state);
}

/* The node has crashed twice at this number of this phone's sends to Bob, and starts again. */
static void crash_at(const struct phone *sender, uint64_t number, const char *text) {
    uint8_t sent_id[16];
    hand_id(sender->user, sender->device, number, sent_id);
    struct quarantine_mail mail = mail_of(text);
    mail.from = (struct device_address){sender->user, sender->device};
    mail.id = sent_id;
    blame(&mail);
    blame(&mail);
    hand_crash(ENGINE_CRASH_KEEP);
    quarantine_destroy(hand.node.quarantine);
    hand.node.quarantine = read_list();
    assert_non_null(hand.node.quarantine);
}

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
    crash_at(&ann, 2, "poison");
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
    crash_at(&ann, 1, "poison");
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
    write_blame(line);
    write_blame(line);
    hand_crash(ENGINE_CRASH_KEEP);
    hand.node.quarantine = read_list();
    phone_attach(&bob, BOB, 1);
    phone_ack(&bob, phone_expect(&bob, "after it"));
    assert_null(phone_mail(&bob, NULL));
    hand_pass_ms(200);
    assert_int_equal(hand_event("mail_set_aside_crash"), 1);
    assert_int_equal(hand_stored(BOB, 1), 0);
}

/* Ann's "poison" to Bob is aside, "after it" was delivered. */
static void set_poison_aside(void) {
    phone_send(&ann, BOB, "poison");
    phone_send(&ann, BOB, "after it");
    hand_run();
    crash_at(&ann, 1, "poison");
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
    hand.node.quarantine = read_list();
    assert_null(hand.node.quarantine);
}

static void mail_released_to_a_device_that_is_there_is_held_with_its_copy(void **state) {
    set_poison_aside();
    list_all();
    unsigned dones = keeper.dones;
    ask(QUARANTINE_RELEASE, keeper.items[0].place);
    assert_int_equal(keeper.dones, dones);
    uint64_t cursor = phone_expect(&bob, "poison");
    assert_int_equal(list_all(), 1); /* the node may crash at it now */
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
    hand.node.quarantine = read_list();
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

#define LIST(name) cmocka_unit_test_setup_teardown(name, make_directory, remove_directory)
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void) {
    const struct CMUnitTest tests[] = {
        LIST(a_blame_names_whose_mail_it_is_and_not_what_it_says),
        LIST(one_record_sets_nothing_aside),
        LIST(two_records_that_name_the_same_mail_set_it_aside),
        LIST(no_other_mail_is_set_aside_with_it),
        LIST(records_that_are_cut_or_junk_count_for_nothing),
        LIST(the_list_is_bounded),
        LIST(an_entry_is_known_by_its_place_and_content),
        LIST(a_devices_input_refuses_the_device_alone),
        LIST(a_strangers_input_refuses_its_key_alone),
        LIST(a_new_key_for_each_crash_refuses_strangers_at_the_address),
        LIST(what_comes_before_the_account_refuses_its_key_then_its_address),
        LIST(what_comes_before_any_key_refuses_its_address),
        LIST(a_refusal_ends_ten_minutes_after_the_last_crash),
        TEST(an_entry_that_cannot_be_read_is_set_aside_unread),
        TEST(the_operator_sees_what_is_set_aside),
        TEST(released_mail_comes_behind_what_waits_and_its_copy_goes),
        TEST(mail_released_to_a_device_that_is_there_is_held_with_its_copy),
        TEST(released_mail_may_crash_the_node_and_is_aside_still),
        TEST(what_is_dropped_is_gone),
        TEST(damaged_entries_are_listed_in_pages_and_can_only_be_dropped),
        TEST(mail_of_a_device_that_left_is_not_released),
        TEST(one_release_at_a_time_and_a_mailbox_that_does_not_answer_is_told),
        TEST(stored_mail_is_set_aside_and_both_sides_are_told),
        TEST(mail_that_was_held_is_set_aside_when_it_is_sent_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

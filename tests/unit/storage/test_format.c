/* SPDX-License-Identifier: Apache-2.0 */
/* Whole records against the bytes that storage/FORMAT.md states, and decoders against damage. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/engine_rocksdb.h"
#include "storage/format.h"
#include "tests/unit/storage/store.h"

/* Bytes as lower-case hex, to compare with what a person wrote down. */
static const char *hex(const void *bytes, size_t size) {
    static char text[4096];
    const uint8_t *at = bytes;
    assert_true(size * 2 < sizeof(text));
    for (size_t i = 0; i < size; i++)
        snprintf(text + 2 * i, 3, "%02x", at[i]);
    text[2 * size] = '\0';
    return text;
}

static void assert_key(struct format_key key, const char *wanted) {
    assert_string_equal(hex(key.bytes, key.size), wanted);
}

static const uint8_t key_a[32] = {0xaa, 1};
static const uint8_t key_b[32] = {0xbb, 2};

static void keys_are_as_written_down(void **state) {
    /* Computed apart, in Python, from the formulas in FORMAT.md. */
    assert_key(format_key_account(42), "0622"
                                       "61"
                                       "000000000000002a");
    assert_key(format_key_queue(42, 7), "0622"
                                        "64"
                                        "000000000000002a"
                                        "00000007");
    assert_key(format_key_aside(42, 7, 258), "0622"
                                             "71"
                                             "000000000000002a"
                                             "00000007"
                                             "0000000000000102");
    assert_key(format_key_aside_note(42, 7, 258), "0622"
                                                  "73"
                                                  "000000000000002a"
                                                  "00000007"
                                                  "0000000000000102");
    assert_key(format_key_mail(42, 7, 258), "0622"
                                            "000000000000002a"
                                            "00000007"
                                            "0000000000000102");
    assert_key(format_key_phone("15550001000"), "0810"
                                                "70"
                                                "3135353530303031303030");
    assert_key(format_key_device_key(key_a),
               "0c40"
               "6b"
               "aa01000000000000000000000000000000000000000000000000000000000000");
}

static void a_note_is_as_written_down(void **state) {
    static const uint8_t expected[10] = {1, 3, 0, 0, 0, 0, 0, 0, 1, 2};
    struct record_aside note = {RECORD_ASIDE_CRASH, 258}, read = {0};
    uint8_t bytes[RECORD_ASIDE_SIZE];
    record_aside_encode(&note, bytes);
    assert_memory_equal(bytes, expected, sizeof(expected));
    struct engine_bytes value = {bytes, sizeof(bytes)};
    assert_int_equal(record_aside_decode(value, &read), 0);
    assert_int_equal(read.reason, RECORD_ASIDE_CRASH);
    assert_int_equal(read.time_ms, 258);
    value.size--;
    assert_int_equal(record_aside_decode(value, &read), -EBADMSG);
    value.size++;
    bytes[1] = 4;
    assert_int_equal(record_aside_decode(value, &read), -EBADMSG);
    bytes[0] = 2;
    assert_int_equal(record_aside_decode(value, &read), -EPROTONOSUPPORT);
}

static void a_key_of_what_was_set_aside_tells_whose(void **state) {
    struct format_key key = format_key_aside(42, 7, 258);
    uint64_t user, sequence;
    uint32_t device;
    assert_int_equal(format_key_aside_decode(format_key_bytes(&key), &user, &device, &sequence), 0);
    assert_int_equal(user, 42);
    assert_int_equal(device, 7);
    assert_int_equal(sequence, 258);
    key.bytes[1]++; /* another partition than the user's */
    assert_int_equal(format_key_aside_decode(format_key_bytes(&key), &user, &device, &sequence),
                     -EBADMSG);
    key = format_key_aside_note(42, 7, 258);
    assert_int_equal(format_key_aside_decode(format_key_bytes(&key), &user, &device, &sequence),
                     -EBADMSG);
    key = format_key_queue(42, 7);
    assert_int_equal(format_key_aside_decode(format_key_bytes(&key), &user, &device, &sequence),
                     -EBADMSG);
}

static void keys_of_a_queue_sort_by_sequence_and_share_the_prefix(void **state) {
    static const uint64_t sequences[] = {0, 1, 255, 256, 65536, 1ull << 40, UINT64_MAX - 1};
    struct format_key end = format_key_mail_end(42, 7);
    for (size_t i = 0; i < sizeof(sequences) / sizeof(sequences[0]); i++) {
        struct format_key key = format_key_mail(42, 7, sequences[i]);
        assert_int_equal(key.size, 22);
        assert_memory_equal(key.bytes, end.bytes, ENGINE_MAIL_QUEUE_BYTES);
        assert_true(memcmp(key.bytes, end.bytes, 22) < 0);
        uint64_t sequence = 1;
        assert_int_equal(format_key_mail_decode(format_key_bytes(&key), 42, 7, &sequence), 0);
        assert_int_equal(sequence, sequences[i]);
        assert_int_equal(format_key_mail_decode(format_key_bytes(&key), 42, 8, &sequence),
                         -EBADMSG);
        assert_int_equal(format_key_mail_decode(format_key_bytes(&key), 43, 7, &sequence),
                         -EBADMSG);
        if (i > 0) {
            struct format_key before = format_key_mail(42, 7, sequences[i - 1]);
            assert_true(memcmp(before.bytes, key.bytes, 22) < 0);
        }
    }
}

static void partitions_are_evenly_used(void **state) {
    static unsigned users[FORMAT_PARTITIONS];
    for (uint64_t user = 1; user <= 100u * FORMAT_PARTITIONS; user++)
        users[format_partition_user(user)]++;
    for (size_t i = 0; i < FORMAT_PARTITIONS; i++)
        assert_in_range(users[i], 40, 180); /* 100 on average, standard deviation 10 */
}

static void phone_is_seven_to_fifteen_digits(void **state) {
    assert_true(format_phone_valid("1234567"));
    assert_true(format_phone_valid("123456789012345"));
    assert_false(format_phone_valid("123456"));
    assert_false(format_phone_valid("1234567890123456"));
    assert_false(format_phone_valid("0234567"));
    assert_false(format_phone_valid("+1234567"));
    assert_false(format_phone_valid("12345 67"));
    assert_false(format_phone_valid(""));
}

static struct record_account sample_account(void) {
    struct record_account account = {
        .user = 42,
        .phone = "15550001000",
        .name = "Ann",
        .created_ms = 0x0102030405060708,
        .list_version = 3,
        .device_next = 9,
        .devices_count = 2,
        .devices = {{.device = 1, .added_ms = 10, .last_seen_day = 20000},
                    {.device = 8, .added_ms = 11, .last_seen_day = 20001}},
    };
    memcpy(account.devices[0].key, key_a, 32);
    memcpy(account.devices[1].key, key_b, 32);
    return account;
}

static void account_is_as_written_down(void **state) {
    struct record_account account = sample_account();
    uint8_t bytes[RECORD_ACCOUNT_SIZE_MAX];
    size_t size = record_account_encode(&account, bytes);
    assert_string_equal(hex(bytes, size),
                        "01"
                        "0102030405060708"
                        "00000003"
                        "00000009"
                        "0b"
                        "3135353530303031303030"
                        "03"
                        "416e6e"
                        "02"
                        "00000001"
                        "aa01000000000000000000000000000000000000000000000000000000000000"
                        "000000000000000a"
                        "00004e20"
                        "00000008"
                        "bb02000000000000000000000000000000000000000000000000000000000000"
                        "000000000000000b"
                        "00004e21");
    struct record_account read;
    memset(&read, 0xff, sizeof(read));
    assert_int_equal(record_account_decode(42, (struct engine_bytes){bytes, size}, &read), 0);
    assert_int_equal(read.user, 42);
    assert_string_equal(read.phone, "15550001000");
    assert_string_equal(read.name, "Ann");
    assert_int_equal(read.created_ms, account.created_ms);
    assert_int_equal(read.list_version, 3);
    assert_int_equal(read.device_next, 9);
    assert_int_equal(read.devices_count, 2);
    assert_memory_equal(&read.devices[1].key, key_b, 32);
    assert_int_equal(read.devices[1].device, 8);
    assert_int_equal(read.devices[1].last_seen_day, 20001);
}

static void largest_account_fits(void **state) {
    struct record_account account = sample_account();
    memset(account.name, 'n', FORMAT_NAME_BYTES_MAX);
    strcpy(account.phone, "123456789012345");
    account.devices_count = FORMAT_DEVICES_MAX;
    account.device_next = FORMAT_DEVICES_MAX + 1;
    for (uint32_t i = 0; i < FORMAT_DEVICES_MAX; i++)
        account.devices[i].device = i + 1;
    uint8_t bytes[RECORD_ACCOUNT_SIZE_MAX];
    size_t size = record_account_encode(&account, bytes);
    struct record_account read;
    assert_int_equal(record_account_decode(42, (struct engine_bytes){bytes, size}, &read), 0);
    assert_int_equal(read.devices_count, FORMAT_DEVICES_MAX);
    assert_int_equal(strlen(read.name), FORMAT_NAME_BYTES_MAX);
}

static void account_with_false_bytes_is_damaged(void **state) {
    struct record_account account = sample_account();
    uint8_t bytes[RECORD_ACCOUNT_SIZE_MAX];
    size_t size = record_account_encode(&account, bytes);
    static const struct {
        size_t offset;
        uint8_t value;
        int error;
        const char *what;
    } cases[] = {
        {0, 0, -EBADMSG, "version 0"},
        {0, 2, -EPROTONOSUPPORT, "a newer version"},
        {17, 0x0c, -EBADMSG, "phone longer by one"},
        {17, 0xff, -EBADMSG, "phone beyond the end"},
        {18, '0', -EBADMSG, "phone beginning with 0"},
        {29, 0x81, -EBADMSG, "name beyond its bound"},
        {30, 0, -EBADMSG, "zero in the name"},
        {33, 17, -EBADMSG, "too many devices"},
        {33, 3, -EBADMSG, "a device more than there is"},
        {33, 1, -EBADMSG, "a device less than there is"},
        {37, 0, -EBADMSG, "device 0"},
        {37, 8, -EBADMSG, "devices out of order"},
        {16, 8, -EBADMSG, "a device not below the next"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t changed[RECORD_ACCOUNT_SIZE_MAX];
        memcpy(changed, bytes, size);
        changed[cases[i].offset] = cases[i].value;
        struct record_account read;
        int error = record_account_decode(42, (struct engine_bytes){changed, size}, &read);
        if (error != cases[i].error)
            fail_msg("%s: %d", cases[i].what, error);
    }
}

static void small_records_are_as_written_down(void **state) {
    uint8_t phone[RECORD_PHONE_SIZE];
    record_phone_encode(42, phone);
    assert_string_equal(hex(phone, sizeof(phone)), "01"
                                                   "000000000000002a");
    uint64_t user = 0;
    assert_int_equal(record_phone_decode((struct engine_bytes){phone, 9}, &user), 0);
    assert_int_equal(user, 42);
    uint8_t key[RECORD_DEVICE_KEY_SIZE];
    record_device_key_encode(42, 7, key);
    assert_string_equal(hex(key, sizeof(key)), "01"
                                               "000000000000002a"
                                               "00000007");
    uint32_t device = 0;
    assert_int_equal(record_device_key_decode((struct engine_bytes){key, 13}, &user, &device), 0);
    assert_int_equal(device, 7);
    struct record_queue queue = {0x0102, 0x0304, 0x0506, 7};
    uint8_t bytes[RECORD_QUEUE_SIZE];
    record_queue_encode(&queue, bytes);
    assert_string_equal(hex(bytes, sizeof(bytes)), "01"
                                                   "0000000000000102"
                                                   "0000000000000304"
                                                   "0000000000000506"
                                                   "07");
    struct record_queue read;
    assert_int_equal(record_queue_decode((struct engine_bytes){bytes, sizeof(bytes)}, &read), 0);
    assert_int_equal(read.sequence_reserved, 0x0102);
    assert_int_equal(read.send_high, 0x0304);
    assert_int_equal(read.suspect_sequence, 0x0506);
    assert_int_equal(read.suspect_attempts, 7);
}

static struct record_mail sample_mail(void) {
    struct record_mail mail = {
        .chat = 0x11,
        .chat_sequence = 0x22,
        .sender_user = 0x33,
        .sender_device = 0x44,
        .kind = 0x55,
        .flags = 0x66,
        .accepted_ms = 0x77,
        .clock_lamport = 0x88,
        .clock_count = 0x99,
        .ciphertext_bytes = 3,
        .external_bytes = 2,
    };
    memset(mail.message_id, 0xee, 16);
    return mail;
}

static size_t sample_mail_bytes(uint8_t bytes[93]) {
    struct record_mail mail = sample_mail();
    record_mail_encode_header(&mail, bytes);
    memcpy(bytes + RECORD_MAIL_HEADER_SIZE, "abcxy", 5);
    return RECORD_MAIL_HEADER_SIZE + 5;
}

static void mail_is_as_written_down(void **state) {
    uint8_t bytes[93];
    size_t size = sample_mail_bytes(bytes);
    assert_string_equal(hex(bytes, size), "01"
                                          "01"
                                          "0055"
                                          "00000066"
                                          "0000000000000077"
                                          "0000000000000033"
                                          "00000044"
                                          "00000003"
                                          "00000002"
                                          "00000000"
                                          "0000000000000011"
                                          "0000000000000022"
                                          "0000000000000088"
                                          "0000000000000099"
                                          "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"
                                          "616263"
                                          "7879");
    struct record_queued queued;
    assert_int_equal(record_queued_decode((struct engine_bytes){bytes, size}, &queued), 0);
    assert_int_equal(queued.entry, RECORD_MAIL);
    assert_int_equal(queued.time_ms, 0x77);
    struct record_mail wanted = sample_mail();
    assert_int_equal(queued.mail.chat, wanted.chat);
    assert_int_equal(queued.mail.chat_sequence, wanted.chat_sequence);
    assert_int_equal(queued.mail.sender_user, wanted.sender_user);
    assert_int_equal(queued.mail.sender_device, wanted.sender_device);
    assert_int_equal(queued.mail.kind, wanted.kind);
    assert_int_equal(queued.mail.flags, wanted.flags);
    assert_int_equal(queued.mail.clock_lamport, wanted.clock_lamport);
    assert_int_equal(queued.mail.clock_count, wanted.clock_count);
    assert_memory_equal(queued.mail.message_id, wanted.message_id, 16);
    assert_memory_equal(queued.ciphertext, "abc", 3);
    assert_memory_equal(queued.external, "xy", 2);
}

static void status_is_as_written_down(void **state) {
    struct record_status status = {
        .state = RECORD_STATE_READ,
        .peer_user = 0x33,
        .peer_device = 0x44,
        .chat = 0x11,
        .time_ms = 0x77,
        .up_to = 0x22,
        .ids_count = 2,
    };
    uint8_t bytes[RECORD_STATUS_HEADER_SIZE + 32];
    record_status_encode_header(&status, bytes);
    memset(bytes + RECORD_STATUS_HEADER_SIZE, 0xdd, 16);
    memset(bytes + RECORD_STATUS_HEADER_SIZE + 16, 0xee, 16);
    assert_string_equal(hex(bytes, sizeof(bytes)), "01"
                                                   "02"
                                                   "02"
                                                   "02"
                                                   "00000000"
                                                   "0000000000000077"
                                                   "0000000000000033"
                                                   "00000044"
                                                   "00000000"
                                                   "0000000000000011"
                                                   "0000000000000022"
                                                   "dddddddddddddddddddddddddddddddd"
                                                   "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee");
    struct record_queued queued;
    struct engine_bytes value = {bytes, sizeof(bytes)};
    assert_int_equal(record_queued_decode(value, &queued), 0);
    assert_int_equal(queued.entry, RECORD_STATUS);
    assert_int_equal(queued.status.state, RECORD_STATE_READ);
    assert_int_equal(queued.status.peer_user, 0x33);
    assert_int_equal(queued.status.peer_device, 0x44);
    assert_int_equal(queued.status.chat, 0x11);
    assert_int_equal(queued.status.up_to, 0x22);
    assert_int_equal(queued.time_ms, 0x77);
    assert_int_equal(queued.status.ids_count, 2);
    assert_int_equal(queued.ids[1][15], 0xee);
    static const struct {
        size_t offset;
        uint8_t value;
        const char *what;
    } cases[] = {
        {2, 0, "state 0"},       {2, 8, "state 8"},      {3, 1, "an id too many"},
        {3, 3, "an id missing"}, {3, 129, "ids beyond"}, {4, 1, "zero"},
        {31, 1, "zero"},         {1, 3, "entry 3"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t before = bytes[cases[i].offset];
        bytes[cases[i].offset] = cases[i].value;
        if (record_queued_decode(value, &queued) != -EBADMSG)
            fail_msg("%s", cases[i].what);
        bytes[cases[i].offset] = before;
    }
    memset(bytes + 40, 0, 8);
    bytes[3] = 0;
    value.size = RECORD_STATUS_HEADER_SIZE;
    assert_int_equal(record_queued_decode(value, &queued), -EBADMSG); /* names nothing */
}

/* Every record cut short or made longer is damaged, whatever its length; nothing is read beyond. */
static void records_of_a_false_size_are_damaged(void **state) {
    uint8_t bytes[RECORD_ACCOUNT_SIZE_MAX + 1] = {0};
    struct record_account account = sample_account();
    size_t account_size = record_account_encode(&account, bytes);
    for (size_t size = 0; size <= account_size + 1; size++) {
        uint8_t *exact = malloc(size ? size : 1); /* so that a sanitizer sees one byte too many */
        memcpy(exact, bytes, size);
        int error = record_account_decode(42, (struct engine_bytes){exact, size}, &account);
        assert_int_equal(error, size == account_size ? 0 : -EBADMSG);
        free(exact);
    }
    uint8_t mail[94] = {0};
    size_t mail_size = sample_mail_bytes(mail);
    for (size_t size = 0; size <= mail_size + 1; size++) {
        uint8_t *exact = malloc(size ? size : 1);
        memcpy(exact, mail, size);
        struct record_queued queued;
        int error = record_queued_decode((struct engine_bytes){exact, size}, &queued);
        assert_int_equal(error, size == mail_size ? 0 : -EBADMSG);
        free(exact);
    }
    uint8_t small[32] = {1};
    for (size_t size = 0; size < sizeof(small); size++) {
        struct engine_bytes value = {small, size};
        uint64_t number;
        uint32_t device;
        struct record_queue queue;
        assert_int_equal(record_number_decode(value, &number), size == 9 ? 0 : -EBADMSG);
        assert_int_equal(record_device_key_decode(value, &number, &device),
                         size == 13 ? 0 : -EBADMSG);
        assert_int_equal(record_queue_decode(value, &queue), size == 26 ? 0 : -EBADMSG);
    }
}

static void who_was_active_is_as_written_down(void **state) {
    static struct record_active active = {.day = 0x0102030405060708}, read;
    static uint8_t bytes[RECORD_ACTIVE_SIZE + 1];
    active.registers[0] = 7;
    active.registers[FORMAT_REGISTERS - 1] = FORMAT_REGISTER_MAX;
    record_active_encode(&active, bytes);
    assert_memory_equal(bytes, "\1\1\2\3\4\5\6\7\10\7\0", 11);
    assert_int_equal(bytes[RECORD_ACTIVE_SIZE - 1], FORMAT_REGISTER_MAX);
    struct engine_bytes value = {bytes, RECORD_ACTIVE_SIZE};
    assert_int_equal(record_active_decode(value, &read), 0);
    assert_memory_equal(&read, &active, sizeof(active));
    for (size_t size = 0; size <= sizeof(bytes); size += size < 16 ? 1 : RECORD_ACTIVE_SIZE - 17) {
        value.size = size;
        assert_int_equal(record_active_decode(value, &read),
                         size == RECORD_ACTIVE_SIZE ? 0 : -EBADMSG);
    }
    value.size = RECORD_ACTIVE_SIZE;
    bytes[20] = FORMAT_REGISTER_MAX + 1;
    assert_int_equal(record_active_decode(value, &read), -EBADMSG);
    bytes[0] = 2;
    assert_int_equal(record_active_decode(value, &read), -EPROTONOSUPPORT);
}

static void a_newer_version_is_named_as_such(void **state) {
    uint8_t bytes[64] = {2};
    struct engine_bytes value = {bytes, sizeof(bytes)};
    uint64_t number;
    uint32_t device;
    struct record_queue queue;
    struct record_queued queued;
    assert_int_equal(record_number_decode(value, &number), -EPROTONOSUPPORT);
    assert_int_equal(record_device_key_decode(value, &number, &device), -EPROTONOSUPPORT);
    assert_int_equal(record_queue_decode(value, &queue), -EPROTONOSUPPORT);
    assert_int_equal(record_queued_decode(value, &queued), -EPROTONOSUPPORT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_as_written_down),
        cmocka_unit_test(a_note_is_as_written_down),
        cmocka_unit_test(a_key_of_what_was_set_aside_tells_whose),
        cmocka_unit_test(keys_of_a_queue_sort_by_sequence_and_share_the_prefix),
        cmocka_unit_test(partitions_are_evenly_used),
        cmocka_unit_test(phone_is_seven_to_fifteen_digits),
        cmocka_unit_test(account_is_as_written_down),
        cmocka_unit_test(largest_account_fits),
        cmocka_unit_test(account_with_false_bytes_is_damaged),
        cmocka_unit_test(small_records_are_as_written_down),
        cmocka_unit_test(mail_is_as_written_down),
        cmocka_unit_test(status_is_as_written_down),
        cmocka_unit_test(records_of_a_false_size_are_damaged),
        cmocka_unit_test(who_was_active_is_as_written_down),
        cmocka_unit_test(a_newer_version_is_named_as_such),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

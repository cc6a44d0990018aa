/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stored values of any bytes. The first byte of the input says which record; what a decoder takes
 * must be within its bounds and, encoded again, be the same bytes: so each record has one form.
 *
 * Covers: storage/format.c storage/format_mail.c
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/check.h"
#include "storage/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const uint8_t *bytes, size_t size, struct engine_bytes value) {
    CHECK(size == value.size && memcmp(bytes, value.data, size) == 0);
}

static void fuzz_account(struct engine_bytes value) {
    struct record_account account;
    uint8_t bytes[RECORD_ACCOUNT_SIZE_MAX];
    if (record_account_decode(7, value, &account) != 0)
        return;
    CHECK(account.devices_count <= FORMAT_DEVICES_MAX);
    CHECK(format_phone_valid(account.phone));
    CHECK(strlen(account.name) <= FORMAT_NAME_BYTES_MAX);
    check_same(bytes, record_account_encode(&account, bytes), value);
    CHECK(format_key_phone(account.phone).size == 3 + strlen(account.phone));
}

static void fuzz_small(struct engine_bytes value) {
    uint8_t bytes[RECORD_QUEUE_SIZE];
    uint64_t user;
    uint32_t device;
    struct record_queue queue;
    if (record_queue_decode(value, &queue) == 0) {
        record_queue_encode(&queue, bytes);
        check_same(bytes, RECORD_QUEUE_SIZE, value);
    }
    struct record_aside aside;
    if (record_aside_decode(value, &aside) == 0) {
        record_aside_encode(&aside, bytes);
        check_same(bytes, RECORD_ASIDE_SIZE, value);
    }
    if (record_device_key_decode(value, &user, &device) == 0) {
        record_device_key_encode(user, device, bytes);
        check_same(bytes, RECORD_DEVICE_KEY_SIZE, value);
        CHECK(format_key_queue(user, device).size == 15);
        CHECK(format_key_aside(user, device, user).size == 23);
        CHECK(format_key_account(user).size == 11);
    }
    struct record_active active;
    uint8_t active_bytes[RECORD_ACTIVE_SIZE];
    if (record_active_decode(value, &active) == 0) {
        record_active_encode(&active, active_bytes);
        check_same(active_bytes, RECORD_ACTIVE_SIZE, value);
    }
    if (record_phone_decode(value, &user) == 0) {
        record_phone_encode(user, bytes);
        check_same(bytes, RECORD_PHONE_SIZE, value);
        record_number_encode(user, bytes);
        check_same(bytes, RECORD_NUMBER_SIZE, value);
    }
}

static void check_mail(const struct record_queued *queued, struct engine_bytes value) {
    uint8_t header[RECORD_MAIL_HEADER_SIZE];
    const uint8_t *end = (const uint8_t *)value.data + value.size;
    record_mail_encode_header(&queued->mail, header);
    check_same(header, sizeof(header), (struct engine_bytes){value.data, sizeof(header)});
    CHECK(queued->external == queued->ciphertext + queued->mail.ciphertext_bytes);
    CHECK(queued->external + queued->mail.external_bytes == end);
    CHECK(queued->time_ms == queued->mail.accepted_ms);
}

static void check_status(const struct record_queued *queued, struct engine_bytes value) {
    uint8_t header[RECORD_STATUS_HEADER_SIZE];
    record_status_encode_header(&queued->status, header);
    check_same(header, sizeof(header), (struct engine_bytes){value.data, sizeof(header)});
    CHECK((const uint8_t *)(queued->ids + queued->status.ids_count) ==
          (const uint8_t *)value.data + value.size);
}

static void fuzz_queued(struct engine_bytes value) {
    struct record_queued queued;
    if (record_queued_decode(value, &queued) != 0)
        return;
    if (queued.entry == RECORD_MAIL)
        check_mail(&queued, value);
    else
        check_status(&queued, value);
}

/* Keys are ours, but their decoder believes nothing either. */
static void fuzz_key(struct engine_bytes key) {
    uint64_t sequence;
    if (format_key_mail_decode(key, 7, 1, &sequence) == 0) {
        struct format_key again = format_key_mail(7, 1, sequence);
        check_same(again.bytes, again.size, key);
        CHECK(memcmp(again.bytes, format_key_mail_end(7, 1).bytes, again.size) <= 0);
    }
    if (key.size == FORMAT_KEY_BYTES)
        CHECK(format_key_device_key(key.data).size == 3 + FORMAT_KEY_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static void (*const fuzzers[])(struct engine_bytes) = {fuzz_account, fuzz_small, fuzz_queued,
                                                           fuzz_key};
    if (size == 0)
        return 0;
    uint8_t *copy = malloc(size > 1 ? size - 1 : 1); /* so that a byte too many is seen */
    CHECK(copy != NULL);
    memcpy(copy, data + 1, size - 1);
    fuzzers[data[0] % 4]((struct engine_bytes){copy, size - 1});
    free(copy);
    return 0;
}

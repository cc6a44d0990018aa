/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entries of a device's queue: mail and statuses. FORMAT.md describes the bytes.
 *
 * Both begin with a head of fixed size, so that a scan reads what a mailbox must know without
 * looking at the body, and a body whose size the head states.
 */
#include <errno.h>

#include "runtime/check.h"
#include "storage/format.h"
#include "storage/format_bytes_internal.h"

#define ENTRY_VERSION 1

void record_mail_encode_header(const struct record_mail *mail,
                               uint8_t bytes[RECORD_MAIL_HEADER_SIZE]) {
    uint8_t *at = write_number(bytes, ENTRY_VERSION, 1);
    at = write_number(at, RECORD_MAIL, 1);
    at = write_number(at, mail->kind, 2);
    at = write_number(at, mail->flags, 4);
    at = write_number(at, mail->accepted_ms, 8);
    at = write_number(at, mail->sender_user, 8);
    at = write_number(at, mail->sender_device, 4);
    at = write_number(at, mail->ciphertext_bytes, 4);
    at = write_number(at, mail->external_bytes, 4);
    at = write_number(at, 0, 4);
    at = write_number(at, mail->chat, 8);
    at = write_number(at, mail->chat_sequence, 8);
    at = write_number(at, mail->clock_lamport, 8);
    at = write_number(at, mail->clock_count, 8);
    at = write_bytes(at, mail->message_id, FORMAT_MESSAGE_ID_BYTES);
    CHECK(at == bytes + RECORD_MAIL_HEADER_SIZE);
}

void record_status_encode_header(const struct record_status *status,
                                 uint8_t bytes[RECORD_STATUS_HEADER_SIZE]) {
    CHECK(status->state >= RECORD_STATE_DELIVERED && status->state <= RECORD_STATE_MAX);
    CHECK(status->ids_count <= FORMAT_STATUS_IDS_MAX);
    CHECK(status->ids_count > 0 || status->up_to > 0);
    uint8_t *at = write_number(bytes, ENTRY_VERSION, 1);
    at = write_number(at, RECORD_STATUS, 1);
    at = write_number(at, status->state, 1);
    at = write_number(at, status->ids_count, 1);
    at = write_number(at, 0, 4);
    at = write_number(at, status->time_ms, 8);
    at = write_number(at, status->peer_user, 8);
    at = write_number(at, status->peer_device, 4);
    at = write_number(at, 0, 4);
    at = write_number(at, status->chat, 8);
    at = write_number(at, status->up_to, 8);
    CHECK(at == bytes + RECORD_STATUS_HEADER_SIZE);
}

/* Bytes kept for later, which this version writes as zero. */
static void read_zero(struct reader *reader, size_t size) {
    if (read_number(reader, size) != 0)
        reader->damaged = true;
}

static void read_mail(struct reader *reader, struct record_queued *queued) {
    struct record_mail *mail = &queued->mail;
    mail->kind = (uint16_t)read_number(reader, 2);
    mail->flags = (uint32_t)read_number(reader, 4);
    mail->accepted_ms = read_number(reader, 8);
    mail->sender_user = read_number(reader, 8);
    mail->sender_device = (uint32_t)read_number(reader, 4);
    mail->ciphertext_bytes = (uint32_t)read_number(reader, 4);
    mail->external_bytes = (uint32_t)read_number(reader, 4);
    read_zero(reader, 4);
    mail->chat = read_number(reader, 8);
    mail->chat_sequence = read_number(reader, 8);
    mail->clock_lamport = read_number(reader, 8);
    mail->clock_count = read_number(reader, 8);
    read_copy(reader, mail->message_id, FORMAT_MESSAGE_ID_BYTES);
    if ((uint64_t)mail->ciphertext_bytes + mail->external_bytes > FORMAT_MAIL_BODY_BYTES_MAX)
        reader->damaged = true;
    queued->time_ms = mail->accepted_ms;
    queued->ciphertext = read_bytes(reader, mail->ciphertext_bytes);
    queued->external = read_bytes(reader, mail->external_bytes);
}

static void read_status(struct reader *reader, struct record_queued *queued) {
    struct record_status *status = &queued->status;
    uint64_t state = read_number(reader, 1);
    status->ids_count = (uint32_t)read_number(reader, 1);
    read_zero(reader, 4);
    status->time_ms = read_number(reader, 8);
    status->peer_user = read_number(reader, 8);
    status->peer_device = (uint32_t)read_number(reader, 4);
    read_zero(reader, 4);
    status->chat = read_number(reader, 8);
    status->up_to = read_number(reader, 8);
    if (state < RECORD_STATE_DELIVERED || state > RECORD_STATE_MAX ||
        status->ids_count > FORMAT_STATUS_IDS_MAX || (!status->ids_count && !status->up_to)) {
        reader->damaged = true;
        return;
    }
    status->state = (enum record_state)state;
    queued->time_ms = status->time_ms;
    const uint8_t *ids = read_bytes(reader, status->ids_count * (size_t)FORMAT_MESSAGE_ID_BYTES);
    queued->ids = (const uint8_t(*)[FORMAT_MESSAGE_ID_BYTES])ids;
}

int record_queued_decode(struct engine_bytes value, struct record_queued *queued) {
    struct reader reader = reader_of(value);
    uint64_t version = read_number(&reader, 1);
    if (version > ENTRY_VERSION)
        return -EPROTONOSUPPORT;
    uint64_t entry = read_number(&reader, 1);
    struct record_queued read = {0};
    if (version == 0 || reader.damaged)
        return -EBADMSG;
    if (entry == RECORD_MAIL)
        read_mail(&reader, &read);
    else if (entry == RECORD_STATUS)
        read_status(&reader, &read);
    else
        return -EBADMSG;
    if (reader.damaged || reader.left > 0)
        return -EBADMSG;
    read.entry = (enum record_entry)entry;
    *queued = read;
    return 0;
}

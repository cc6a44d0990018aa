/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of keys and values. FORMAT.md describes them one by one; this is its code.
 *
 * Pure: bytes in, bytes out; no engine, no clock, no allocation. Integers are big endian in keys
 * and values, so that keys sort by number. Every value begins with its version: a decoder reads
 * all versions up to its own.
 *
 * Encoders write into the caller's buffer of the stated size and return the number of bytes; that
 * their arguments are within the bounds here is the caller's duty (CHECK). Decoders believe
 * nothing: 0, or -EBADMSG for bytes that this version never writes, or -EPROTONOSUPPORT for a
 * newer version. Output stays untouched on failure.
 */
#ifndef TERN_STORAGE_FORMAT_H
#define TERN_STORAGE_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/batch.h"

/* The store's format as a whole, kept in ENGINE_META; a node reads this and every older one. */
#define FORMAT_VERSION 1

#define FORMAT_PARTITIONS 4096
#define FORMAT_PHONE_DIGITS_MIN 7
#define FORMAT_PHONE_DIGITS_MAX 15
#define FORMAT_NAME_BYTES_MAX 128
#define FORMAT_DEVICES_MAX 16
#define FORMAT_KEY_BYTES 32
#define FORMAT_MESSAGE_ID_BYTES 16
#define FORMAT_STATUS_IDS_MAX 128
/* Ciphertext and external of one mail together; the wire's bound is below it. */
#define FORMAT_MAIL_BODY_BYTES_MAX 65536

/* ---- partitions ---------------------------------------------------------------------------- */

/* The partition of a user (and of the user's devices and mail), 0 to FORMAT_PARTITIONS - 1. */
uint16_t format_partition_user(uint64_t user);
/* The partition that a phone number's index entry lives in. */
uint16_t format_partition_phone(const char *digits);
/* The partition that a device key's index entry lives in. */
uint16_t format_partition_key(const uint8_t key[FORMAT_KEY_BYTES]);

/* ---- keys ---------------------------------------------------------------------------------- */

/* Every key fits. */
#define FORMAT_KEY_SIZE_MAX 40

struct format_key {
    uint8_t bytes[FORMAT_KEY_SIZE_MAX];
    size_t size;
};

/* Borrow the key's bytes for an engine call. */
static inline struct engine_bytes format_key_bytes(const struct format_key *key) {
    return (struct engine_bytes){key->bytes, key->size};
}

struct format_key format_key_account(uint64_t user);
/* `digits` without '+', already checked with format_phone_valid(). */
struct format_key format_key_phone(const char *digits);
struct format_key format_key_device_key(const uint8_t key[FORMAT_KEY_BYTES]);
struct format_key format_key_queue(uint64_t user, uint32_t device);
struct format_key format_key_aside(uint64_t user, uint32_t device, uint64_t sequence);
struct format_key format_key_aside_note(uint64_t user, uint32_t device, uint64_t sequence);
/* From the first entry set aside of a partition (0 to FORMAT_PARTITIONS - 1) to behind the last. */
void format_keys_aside(uint16_t partition, struct format_key *from, struct format_key *to);
struct format_key format_key_mail(uint64_t user, uint32_t device, uint64_t sequence);
/* The first key after every mail of this device: the open end of its queue. */
struct format_key format_key_mail_end(uint64_t user, uint32_t device);

/* The sequence in a mail's key; -EBADMSG when it is no key of this device's mail. */
int format_key_mail_decode(struct engine_bytes key, uint64_t user, uint32_t device,
                           uint64_t *sequence);

/* What an entry that was set aside was; -EBADMSG when it is no key of such. */
int format_key_aside_decode(struct engine_bytes key, uint64_t *user, uint32_t *device,
                            uint64_t *sequence);

/* Whose mail a key is of; -EBADMSG when it is no mail's key. */
int format_key_mail_owner(struct engine_bytes key, uint64_t *user, uint32_t *device);

/* Whether `digits` is 7 to 15 ASCII digits, the first of them not 0 (E.164 without '+'). */
bool format_phone_valid(const char *digits);

/* ---- account ------------------------------------------------------------------------------- */

struct record_device {
    uint32_t device;
    uint8_t key[FORMAT_KEY_BYTES]; /* its X25519 public key */
    uint64_t added_ms;
    uint32_t last_seen_day; /* days since 1970, no finer on purpose */
};

struct record_account {
    uint64_t user; /* in the key, not in the value */
    char phone[FORMAT_PHONE_DIGITS_MAX + 1];
    char name[FORMAT_NAME_BYTES_MAX + 1];
    uint64_t created_ms;
    uint32_t list_version; /* of the device list; rises with every change of it */
    uint32_t device_next;  /* ids below it have been used and never are again */
    uint32_t devices_count;
    struct record_device devices[FORMAT_DEVICES_MAX]; /* by rising device id */
};

#define RECORD_ACCOUNT_SIZE_MAX 1024
size_t record_account_encode(const struct record_account *account,
                             uint8_t bytes[RECORD_ACCOUNT_SIZE_MAX]);
int record_account_decode(uint64_t user, struct engine_bytes value, struct record_account *account);

/* Where a phone number leads. */
#define RECORD_PHONE_SIZE 9
void record_phone_encode(uint64_t user, uint8_t bytes[RECORD_PHONE_SIZE]);
int record_phone_decode(struct engine_bytes value, uint64_t *user);

/* Whose a device key is. */
#define RECORD_DEVICE_KEY_SIZE 13
void record_device_key_encode(uint64_t user, uint32_t device,
                              uint8_t bytes[RECORD_DEVICE_KEY_SIZE]);
int record_device_key_decode(struct engine_bytes value, uint64_t *user, uint32_t *device);

/* ---- a device's queue: the durable part of its mailbox ------------------------------------- */

struct record_queue {
    /* Sequences below it may have been used; after a crash the mailbox goes on from here. */
    uint64_t sequence_reserved;
    /* The highest number of this device's own sends that is known to be durable. */
    uint64_t send_high;
    /* The first mail that went unanswered when the device last left, and how often it did. 0: none.
     */
    uint64_t suspect_sequence;
    uint8_t suspect_attempts;
};

#define RECORD_QUEUE_SIZE 26
void record_queue_encode(const struct record_queue *queue, uint8_t bytes[RECORD_QUEUE_SIZE]);
int record_queue_decode(struct engine_bytes value, struct record_queue *queue);

/* ---- set aside ----------------------------------------------------------------------------- */

enum record_aside_reason {
    RECORD_ASIDE_UNKNOWN, /* by a version that did not say */
    RECORD_ASIDE_DAMAGED,
    RECORD_ASIDE_UNANSWERED, /* delivered again and again */
    RECORD_ASIDE_CRASH,      /* it brought the node down twice */
};
struct record_aside {
    enum record_aside_reason reason;
    uint64_t time_ms;
};

#define RECORD_ASIDE_SIZE 10
void record_aside_encode(const struct record_aside *aside, uint8_t bytes[RECORD_ASIDE_SIZE]);
int record_aside_decode(struct engine_bytes value, struct record_aside *aside);

/* ---- mail ---------------------------------------------------------------------------------- */

/* An entry, by the byte after its version. */
enum record_entry { RECORD_MAIL = 1, RECORD_STATUS = 2 };

/* The fixed part of a mail; ciphertext and external follow it in the value. */
struct record_mail {
    uint8_t message_id[FORMAT_MESSAGE_ID_BYTES];
    uint64_t chat;
    uint64_t chat_sequence; /* of a group's log; 0 in a chat of two */
    uint64_t sender_user;
    uint32_t sender_device;
    uint16_t kind;
    uint32_t flags;
    uint64_t accepted_ms;
    uint64_t clock_lamport;
    uint64_t clock_count;
    uint32_t ciphertext_bytes;
    uint32_t external_bytes;
};

enum record_state {
    RECORD_STATE_DELIVERED = 1,
    RECORD_STATE_READ,
    RECORD_STATE_PLAYED,
    RECORD_STATE_EXPIRED,
    RECORD_STATE_UNDECRYPTABLE,
    RECORD_STATE_QUARANTINED,
    RECORD_STATE_FAILED,
};
#define RECORD_STATE_MAX RECORD_STATE_FAILED

/* A status for the sender of messages; `ids` follow it in the value, or `up_to` names them. */
struct record_status {
    enum record_state state;
    uint64_t peer_user; /* whose device did it */
    uint32_t peer_device;
    uint64_t chat;
    uint64_t time_ms;
    uint64_t up_to;     /* every message of the chat up to this sequence; 0: the ids alone */
    uint32_t ids_count; /* 0 only when up_to is not */
};

/* What a mail queue's value holds: the fields of its entry kind, the others zero. Pointers borrow
 * from the value. */
struct record_queued {
    enum record_entry entry;
    uint64_t time_ms; /* of either: accepted_ms or time_ms, by which it expires */
    /* RECORD_MAIL */
    struct record_mail mail;
    const uint8_t *ciphertext;
    const uint8_t *external;
    /* RECORD_STATUS */
    struct record_status status;
    const uint8_t (*ids)[FORMAT_MESSAGE_ID_BYTES];
};

#define RECORD_MAIL_HEADER_SIZE 88
#define RECORD_STATUS_HEADER_SIZE 48
void record_mail_encode_header(const struct record_mail *mail,
                               uint8_t bytes[RECORD_MAIL_HEADER_SIZE]);
void record_status_encode_header(const struct record_status *status,
                                 uint8_t bytes[RECORD_STATUS_HEADER_SIZE]);
int record_queued_decode(struct engine_bytes value, struct record_queued *queued);

/* ---- meta ---------------------------------------------------------------------------------- */

/* Every value of ENGINE_META that is a number. */
#define RECORD_NUMBER_SIZE 9
void record_number_encode(uint64_t number, uint8_t bytes[RECORD_NUMBER_SIZE]);
int record_number_decode(struct engine_bytes value, uint64_t *number);

/* Who was active on a day, as a sketch (actors/measures.h): registers of a HyperLogLog. */
#define FORMAT_REGISTERS 4096
#define FORMAT_REGISTER_MAX 53
struct record_active {
    uint64_t day; /* since 1970, UTC */
    uint8_t registers[FORMAT_REGISTERS];
};
#define RECORD_ACTIVE_SIZE (9 + FORMAT_REGISTERS)
void record_active_encode(const struct record_active *active, uint8_t bytes[RECORD_ACTIVE_SIZE]);
int record_active_decode(struct engine_bytes value, struct record_active *active);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Partitions, keys and the small records; format_mail.c has the entries of queues. FORMAT.md is the
 * description that this code follows.
 *
 * A decoder reads the version first: a newer one is refused as such, whatever follows it. Then
 * every field, then one question: was anything amiss, is anything left over? A record that an
 * encoder here cannot have written is damaged.
 */
#include "storage/format.h"

#include <errno.h>

#include "runtime/check.h"
#include "storage/format_bytes_internal.h"

/* ---- partitions ---------------------------------------------------------------------------- */

/* The finaliser of splitmix64 (Steele, Lea, Flood 2014): every bit of the input moves every bit. */
static uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* FNV-1a, 64 bit, then mixed, since its low bits alone are weak. */
static uint64_t hash(const void *bytes, size_t size) {
    const uint8_t *at = bytes;
    uint64_t value = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++)
        value = (value ^ at[i]) * 0x100000001b3u;
    return mix(value);
}

uint16_t format_partition_user(uint64_t user) {
    return (uint16_t)(mix(user) % FORMAT_PARTITIONS);
}

uint16_t format_partition_phone(const char *digits) {
    return (uint16_t)(hash(digits, strlen(digits)) % FORMAT_PARTITIONS);
}

uint16_t format_partition_key(const uint8_t key[FORMAT_KEY_BYTES]) {
    return (uint16_t)(hash(key, FORMAT_KEY_BYTES) % FORMAT_PARTITIONS);
}

/* ---- keys ---------------------------------------------------------------------------------- */

_Static_assert(2 + 1 + FORMAT_KEY_BYTES <= FORMAT_KEY_SIZE_MAX, "the longest key fits");
_Static_assert(2 + 1 + FORMAT_PHONE_DIGITS_MAX <= FORMAT_KEY_SIZE_MAX, "a phone's key fits");

/* The byte after the partition, in ENGINE_ACCOUNT. */
enum tag {
    TAG_ACCOUNT = 'a',
    TAG_QUEUE = 'd',
    TAG_DEVICE_KEY = 'k',
    TAG_PHONE = 'p',
    TAG_ASIDE = 'q',
    TAG_ASIDE_NOTE = 's'
};

static void add_number(struct format_key *key, uint64_t number, size_t size) {
    write_number(key->bytes + key->size, number, size);
    key->size += size;
}

static struct format_key begin(uint16_t partition, enum tag tag) {
    struct format_key key = {.size = 0};
    add_number(&key, partition, 2);
    add_number(&key, tag, 1);
    return key;
}

struct format_key format_key_account(uint64_t user) {
    struct format_key key = begin(format_partition_user(user), TAG_ACCOUNT);
    add_number(&key, user, 8);
    return key;
}

struct format_key format_key_phone(const char *digits) {
    size_t size = strlen(digits);
    CHECK(size <= FORMAT_PHONE_DIGITS_MAX);
    struct format_key key = begin(format_partition_phone(digits), TAG_PHONE);
    memcpy(key.bytes + key.size, digits, size);
    key.size += size;
    return key;
}

struct format_key format_key_device_key(const uint8_t device_key[FORMAT_KEY_BYTES]) {
    struct format_key key = begin(format_partition_key(device_key), TAG_DEVICE_KEY);
    memcpy(key.bytes + key.size, device_key, FORMAT_KEY_BYTES);
    key.size += FORMAT_KEY_BYTES;
    return key;
}

struct format_key format_key_queue(uint64_t user, uint32_t device) {
    struct format_key key = begin(format_partition_user(user), TAG_QUEUE);
    add_number(&key, user, 8);
    add_number(&key, device, 4);
    return key;
}

struct format_key format_key_aside(uint64_t user, uint32_t device, uint64_t sequence) {
    struct format_key key = begin(format_partition_user(user), TAG_ASIDE);
    add_number(&key, user, 8);
    add_number(&key, device, 4);
    add_number(&key, sequence, 8);
    return key;
}

struct format_key format_key_aside_note(uint64_t user, uint32_t device, uint64_t sequence) {
    struct format_key key = format_key_aside(user, device, sequence);
    key.bytes[2] = TAG_ASIDE_NOTE;
    return key;
}

void format_keys_aside(uint16_t partition, struct format_key *from, struct format_key *to) {
    *from = begin(partition, TAG_ASIDE);
    *to = begin(partition, TAG_ASIDE + 1);
}

int format_key_aside_decode(struct engine_bytes key, uint64_t *user, uint32_t *device,
                            uint64_t *sequence) {
    struct reader reader = reader_of(key);
    uint64_t partition = read_number(&reader, 2), tag = read_number(&reader, 1);
    uint64_t owner = read_number(&reader, 8);
    uint32_t which = (uint32_t)read_number(&reader, 4);
    uint64_t place = read_number(&reader, 8);
    if (reader.damaged || reader.left || tag != TAG_ASIDE ||
        partition != format_partition_user(owner))
        return -EBADMSG;
    *user = owner;
    *device = which;
    *sequence = place;
    return 0;
}

struct format_key format_key_mail(uint64_t user, uint32_t device, uint64_t sequence) {
    struct format_key key = {.size = 0};
    add_number(&key, format_partition_user(user), 2);
    add_number(&key, user, 8);
    add_number(&key, device, 4);
    add_number(&key, sequence, 8);
    return key;
}

struct format_key format_key_mail_end(uint64_t user, uint32_t device) {
    return format_key_mail(user, device, UINT64_MAX); /* no sequence gets that far */
}

int format_key_mail_decode(struct engine_bytes key, uint64_t user, uint32_t device,
                           uint64_t *sequence) {
    struct format_key wanted = format_key_mail(user, device, 0);
    if (key.size != wanted.size || memcmp(key.data, wanted.bytes, wanted.size - 8) != 0)
        return -EBADMSG;
    struct reader reader = reader_of(key);
    read_bytes(&reader, key.size - 8);
    *sequence = read_number(&reader, 8);
    return 0;
}

int format_key_mail_owner(struct engine_bytes key, uint64_t *user, uint32_t *device) {
    uint64_t sequence;
    if (key.size != format_key_mail(0, 0, 0).size)
        return -EBADMSG;
    struct reader reader = reader_of(key);
    read_bytes(&reader, 2);
    uint64_t owner = read_number(&reader, 8);
    uint32_t number = (uint32_t)read_number(&reader, 4);
    if (format_key_mail_decode(key, owner, number, &sequence))
        return -EBADMSG; /* another partition than this user's */
    *user = owner;
    *device = number;
    return 0;
}

bool format_phone_valid(const char *digits) {
    size_t size = strnlen(digits, FORMAT_PHONE_DIGITS_MAX + 1);
    if (size < FORMAT_PHONE_DIGITS_MIN || size > FORMAT_PHONE_DIGITS_MAX || digits[0] == '0')
        return false;
    for (size_t i = 0; i < size; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            return false;
    }
    return true;
}

/* ---- records ------------------------------------------------------------------------------- */

/* All records here are of version 1 so far. */
#define RECORD_VERSION 1

/* Read the version byte: 0, or the error that it means. */
static int read_version(struct reader *reader) {
    uint64_t version = read_number(reader, 1);
    if (reader->damaged || version == 0)
        return -EBADMSG;
    return version <= RECORD_VERSION ? 0 : -EPROTONOSUPPORT;
}

static bool read_whole(const struct reader *reader) {
    return !reader->damaged && reader->left == 0;
}

/* A string with its size in a byte before it, none of it zero bytes; `capacity` counts the
 * terminator that is added. */
static void read_string(struct reader *reader, char *to, size_t capacity) {
    size_t size = read_number(reader, 1);
    const uint8_t *bytes = read_bytes(reader, size);
    if (!bytes || size >= capacity || memchr(bytes, 0, size)) {
        reader->damaged = true;
        return;
    }
    memcpy(to, bytes, size);
    to[size] = '\0';
}

static uint8_t *write_string(uint8_t *at, const char *string, size_t size_max) {
    size_t size = strlen(string);
    CHECK(size <= size_max);
    at = write_number(at, size, 1);
    return write_bytes(at, string, size);
}

_Static_assert(1 + 8 + 4 + 4 + 1 + FORMAT_PHONE_DIGITS_MAX + 1 + FORMAT_NAME_BYTES_MAX + 1 +
                       FORMAT_DEVICES_MAX * (4 + FORMAT_KEY_BYTES + 8 + 4) <=
                   RECORD_ACCOUNT_SIZE_MAX,
               "the largest account fits");

size_t record_account_encode(const struct record_account *account,
                             uint8_t bytes[RECORD_ACCOUNT_SIZE_MAX]) {
    CHECK(account->devices_count <= FORMAT_DEVICES_MAX);
    uint8_t *at = write_number(bytes, RECORD_VERSION, 1);
    at = write_number(at, account->created_ms, 8);
    at = write_number(at, account->list_version, 4);
    at = write_number(at, account->device_next, 4);
    at = write_string(at, account->phone, FORMAT_PHONE_DIGITS_MAX);
    at = write_string(at, account->name, FORMAT_NAME_BYTES_MAX);
    at = write_number(at, account->devices_count, 1);
    for (uint32_t i = 0; i < account->devices_count; i++) {
        const struct record_device *device = &account->devices[i];
        at = write_number(at, device->device, 4);
        at = write_bytes(at, device->key, FORMAT_KEY_BYTES);
        at = write_number(at, device->added_ms, 8);
        at = write_number(at, device->last_seen_day, 4);
    }
    return (size_t)(at - bytes);
}

/* Devices in rising order, each below the next id. */
static void read_devices(struct reader *reader, struct record_account *account) {
    account->devices_count = (uint32_t)read_number(reader, 1);
    if (account->devices_count > FORMAT_DEVICES_MAX) {
        reader->damaged = true;
        return;
    }
    uint32_t before = 0;
    for (uint32_t i = 0; i < account->devices_count && !reader->damaged; i++) {
        struct record_device *device = &account->devices[i];
        device->device = (uint32_t)read_number(reader, 4);
        read_copy(reader, device->key, FORMAT_KEY_BYTES);
        device->added_ms = read_number(reader, 8);
        device->last_seen_day = (uint32_t)read_number(reader, 4);
        if (device->device <= before || device->device >= account->device_next)
            reader->damaged = true;
        before = device->device;
    }
}

int record_account_decode(uint64_t user, struct engine_bytes value,
                          struct record_account *account) {
    struct reader reader = reader_of(value);
    int error = read_version(&reader);
    if (error)
        return error;
    struct record_account read = {.user = user};
    read.created_ms = read_number(&reader, 8);
    read.list_version = (uint32_t)read_number(&reader, 4);
    read.device_next = (uint32_t)read_number(&reader, 4);
    read_string(&reader, read.phone, sizeof(read.phone));
    read_string(&reader, read.name, sizeof(read.name));
    read_devices(&reader, &read);
    if (!read_whole(&reader) || !format_phone_valid(read.phone))
        return -EBADMSG;
    *account = read;
    return 0;
}

void record_phone_encode(uint64_t user, uint8_t bytes[RECORD_PHONE_SIZE]) {
    write_number(write_number(bytes, RECORD_VERSION, 1), user, 8);
}

int record_phone_decode(struct engine_bytes value, uint64_t *user) {
    return record_number_decode(value, user);
}

void record_aside_encode(const struct record_aside *aside, uint8_t bytes[RECORD_ASIDE_SIZE]) {
    uint8_t *at = write_number(bytes, RECORD_VERSION, 1);
    write_number(write_number(at, aside->reason, 1), aside->time_ms, 8);
}

int record_aside_decode(struct engine_bytes value, struct record_aside *aside) {
    struct reader reader = reader_of(value);
    uint64_t version = read_number(&reader, 1), reason = read_number(&reader, 1);
    uint64_t time_ms = read_number(&reader, 8);
    if (version > RECORD_VERSION)
        return -EPROTONOSUPPORT;
    if (!version || reader.damaged || reader.left || reason > RECORD_ASIDE_CRASH)
        return -EBADMSG;
    *aside = (struct record_aside){(enum record_aside_reason)reason, time_ms};
    return 0;
}

void record_device_key_encode(uint64_t user, uint32_t device,
                              uint8_t bytes[RECORD_DEVICE_KEY_SIZE]) {
    uint8_t *at = write_number(bytes, RECORD_VERSION, 1);
    at = write_number(at, user, 8);
    write_number(at, device, 4);
}

int record_device_key_decode(struct engine_bytes value, uint64_t *user, uint32_t *device) {
    struct reader reader = reader_of(value);
    int error = read_version(&reader);
    if (error)
        return error;
    uint64_t read_user = read_number(&reader, 8);
    uint32_t read_device = (uint32_t)read_number(&reader, 4);
    if (!read_whole(&reader))
        return -EBADMSG;
    *user = read_user;
    *device = read_device;
    return 0;
}

void record_queue_encode(const struct record_queue *queue, uint8_t bytes[RECORD_QUEUE_SIZE]) {
    uint8_t *at = write_number(bytes, RECORD_VERSION, 1);
    at = write_number(at, queue->sequence_reserved, 8);
    at = write_number(at, queue->send_high, 8);
    at = write_number(at, queue->suspect_sequence, 8);
    at = write_number(at, queue->suspect_attempts, 1);
    CHECK(at == bytes + RECORD_QUEUE_SIZE);
}

int record_queue_decode(struct engine_bytes value, struct record_queue *queue) {
    struct reader reader = reader_of(value);
    int error = read_version(&reader);
    if (error)
        return error;
    struct record_queue read;
    read.sequence_reserved = read_number(&reader, 8);
    read.send_high = read_number(&reader, 8);
    read.suspect_sequence = read_number(&reader, 8);
    read.suspect_attempts = (uint8_t)read_number(&reader, 1);
    if (!read_whole(&reader))
        return -EBADMSG;
    *queue = read;
    return 0;
}

void record_number_encode(uint64_t number, uint8_t bytes[RECORD_NUMBER_SIZE]) {
    write_number(write_number(bytes, RECORD_VERSION, 1), number, 8);
}

int record_number_decode(struct engine_bytes value, uint64_t *number) {
    struct reader reader = reader_of(value);
    int error = read_version(&reader);
    if (error)
        return error;
    uint64_t read = read_number(&reader, 8);
    if (!read_whole(&reader))
        return -EBADMSG;
    *number = read;
    return 0;
}

void record_active_encode(const struct record_active *active, uint8_t bytes[RECORD_ACTIVE_SIZE]) {
    uint8_t *at = write_number(bytes, RECORD_VERSION, 1);
    write_bytes(write_number(at, active->day, 8), active->registers, FORMAT_REGISTERS);
}

int record_active_decode(struct engine_bytes value, struct record_active *active) {
    struct reader reader = reader_of(value);
    int error = read_version(&reader);
    if (error)
        return error;
    uint64_t day = read_number(&reader, 8);
    const uint8_t *registers = read_bytes(&reader, FORMAT_REGISTERS);
    for (unsigned i = 0; registers && i < FORMAT_REGISTERS; i++)
        reader.damaged |= registers[i] > FORMAT_REGISTER_MAX;
    if (!registers || !read_whole(&reader))
        return -EBADMSG;
    active->day = day;
    memcpy(active->registers, registers, FORMAT_REGISTERS);
    return 0;
}

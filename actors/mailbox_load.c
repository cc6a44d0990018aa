/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mailbox's state from storage: the account's device list, and of each device's queue the record
 * and the heads of its mail (the mail itself stays in the store until the device can take it).
 *
 * Read by pool jobs, PART_ENTRIES_MAX heads at a time; the message of the last one ends loading.
 * Devices that were removed from the account while their mail was not yet dealt with (a crash came
 * in between) are read too, and abandoned.
 *
 * When the list has changed it alone is read again.
 */
#include "actors/mailbox_internal.h"
#include "actors/quarantine.h"
#include "net/wire.h"
#include "runtime/log.h"
#include "storage/account.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PART_ENTRIES_MAX 65536u
#define FORMER_DEVICES_MAX 32u
#define RELOAD_AGAIN_MS 1000u

struct load {
    struct engine *engine;
    const struct quarantine *quarantine;
    uint64_t user;
    bool list_only;
    /* Where this part begins: the device by its place in the list (then the former ones), and the
     * sequence. `more`: it is where the next part begins. */
    uint32_t place;
    uint64_t sequence;
    bool more;
    int error; /* -ENOENT: no such user */
    struct record_account account;
};

/* The blob: runs, each followed by its entries. */
struct load_run {
    uint32_t device;
    uint32_t count;
    bool has_record;
    struct record_queue record;
};

/* --- on the pool --- */

struct load_buffer {
    uint8_t *bytes;
    size_t size, capacity;
    uint32_t entries;
    size_t run; /* where the present one begins */
    const struct quarantine *quarantine;
    struct device_address of; /* whose queue it is of */
    uint64_t last_sequence;
};

static void *buffer_add(struct load_buffer *buffer, size_t bytes) {
    if (buffer->size + bytes > buffer->capacity) {
        size_t capacity = buffer->capacity ? 2 * buffer->capacity : 1024;
        uint8_t *grown = realloc(buffer->bytes, capacity);
        CHECK(grown);
        buffer->bytes = grown;
        buffer->capacity = capacity;
    }
    void *added = buffer->bytes + buffer->size;
    memset(added, 0, bytes);
    buffer->size += bytes;
    return added;
}
_Static_assert(sizeof(struct load_run) <= 1024 && sizeof(struct load_run) % 8 == 0, "it fits");
_Static_assert(PART_ENTRIES_MAX * sizeof(struct entry) + 65536 < BLOB_BYTES_MAX, "a part fits");

static int visit(void *context, uint64_t sequence, struct engine_bytes value) {
    struct load_buffer *buffer = context;
    const struct quarantine_entry what = {buffer->of, sequence, value};
    struct record_queued decoded;
    bool readable = quarantine_decode(buffer->quarantine, &what, &decoded) == 0;
    const struct record_queued *queued = readable ? &decoded : NULL;
    struct entry *entry = buffer_add(buffer, sizeof(*entry));
    *entry = (struct entry){.sequence = sequence,
                            .bytes = (uint32_t)value.size,
                            .state = ENTRY_STORED,
                            .kind = RECORD_MAIL,
                            .time_s = UINT32_MAX};
    if (queued) { /* else it is damaged or blamed, and nobody's */
        entry->kind = (uint8_t)queued->entry;
        entry->time_s = (uint32_t)(queued->time_ms / 1000);
    }
    if (queued && queued->entry == RECORD_STATUS) {
        entry->sender_user = queued->status.peer_user;
    } else if (queued) {
        memcpy(entry->id, queued->mail.message_id, sizeof(entry->id));
        entry->sender_user = queued->mail.sender_user;
        entry->sender_device = queued->mail.sender_device;
        entry->bytes = queued->mail.ciphertext_bytes + queued->mail.external_bytes;
    }
    ((struct load_run *)(buffer->bytes + buffer->run))->count++;
    buffer->entries++;
    buffer->last_sequence = sequence;
    return 0;
}

/* One device's queue, from `sequence` on. 0: all of it; 1: the part is full; or an error. */
static int read_queue(const struct load *load, uint32_t device, uint64_t sequence,
                      struct load_buffer *buffer) {
    buffer->run = buffer->size;
    struct load_run *run = buffer_add(buffer, sizeof(*run));
    struct record_queue record = {0};
    run->device = device;
    buffer->of.device = device;
    int error = mail_read_queue(load->engine, load->user, device, &record);
    if (error && error != -ENOENT)
        return error;
    run->has_record = error == 0;
    run->record = record;
    size_t room = PART_ENTRIES_MAX - buffer->entries;
    int count = mail_scan(load->engine, load->user, device, sequence, room, visit, buffer);
    return count < 0 ? count : count == (int)room;
}

/* The device at this place: those of the list, then former ones, the latest first. 0: the end. */
static uint32_t device_at(const struct record_account *account, uint32_t place) {
    if (place < account->devices_count)
        return account->devices[place].device;
    uint32_t former = place - account->devices_count;
    for (uint32_t device = account->device_next; device-- > 1;) {
        if (account->device_next - device > FORMER_DEVICES_MAX)
            return 0;
        if (!account_device(account, device) && former-- == 0)
            return device;
    }
    return 0;
}

static int read_queues(struct load *load, struct load_buffer *buffer) {
    uint32_t device;
    for (; (device = device_at(&load->account, load->place)); load->place++, load->sequence = 0) {
        int result = read_queue(load, device, load->sequence, buffer);
        if (result < 0)
            return result;
        if (result == 0)
            continue;
        load->sequence = buffer->last_sequence + 1;
        load->more = true;
        return 0;
    }
    return 0;
}

static void load_run(struct message *message) {
    struct load *load = message_as(message, struct load);
    struct load_buffer buffer = {.quarantine = load->quarantine, .of.user = load->user};
    load->error = account_read(load->engine, load->user, &load->account);
    if (load->error == 0 && !load->list_only)
        load->error = read_queues(load, &buffer);
    if (load->error == 0 && buffer.size)
        message->blob = blob_copy_of(buffer.bytes, buffer.size);
    free(buffer.bytes);
}

/* --- starting --- */

static bool load_start(const struct mailbox *mailbox, bool list_only, uint32_t place,
                       uint64_t sequence) {
    struct message *message = message_create(MAILBOX_LOADED, sizeof(struct load));
    struct load *load = message_as(message, struct load);
    load->engine = node_current()->engine;
    load->quarantine = node_current()->quarantine;
    load->user = mailbox->user;
    load->list_only = list_only;
    load->place = place;
    load->sequence = sequence;
    if (actor_run_blocking(load_run, &message) == 0)
        return true;
    message_destroy(message);
    return false;
}

void mailbox_load(struct mailbox *mailbox) {
    mailbox->state = MAILBOX_LOADING;
    if (!load_start(mailbox, false, 0, 0))
        actor_fail(-ENOBUFS, "the pool is full");
}

void mailbox_reload(struct mailbox *mailbox) {
    if (mailbox->state == MAILBOX_LOADING || mailbox->reloading) {
        mailbox->reload_due = true;
        return;
    }
    mailbox->reload_due = !load_start(mailbox, true, 0, 0);
    mailbox->reloading = !mailbox->reload_due;
    if (mailbox->reload_due)
        mailbox_tick_in(mailbox, RELOAD_AGAIN_MS);
}

/* --- the list --- */

static struct device *slot_take(struct mailbox *mailbox) {
    for (unsigned i = 0; i < mailbox->slots; i++)
        if (!mailbox->devices[i].number)
            return &mailbox->devices[i];
    if (mailbox->slots == MAILBOX_SLOTS_MAX)
        return NULL;
    unsigned slots = mailbox->slots + 1u;
    struct device *devices =
        slots == 1 ? &mailbox->first : actor_allocate(slots * sizeof(*devices));
    if (slots > 1)
        memcpy(devices, mailbox->devices, mailbox->slots * sizeof(*devices));
    if (mailbox->devices != &mailbox->first)
        actor_free(mailbox->devices);
    mailbox->devices = devices;
    mailbox->slots = (uint8_t)slots;
    return &devices[slots - 1];
}

static struct device *device_add(struct mailbox *mailbox, uint32_t number, bool present) {
    struct device *device = slot_take(mailbox);
    if (!device)
        return NULL;
    *device = (struct device){.number = number,
                              .present = present,
                              .sequence_next = 1,
                              .sequence_durable = 1,
                              .sequence_reserved = 1,
                              .sends = {.next = 1, .told_below = 1, .ok_below = 1, .ok_saved = 1}};
    return device;
}

static void device_leave(struct mailbox *mailbox, struct device *device) {
    log_info("mailbox: user %llu: device %u is not in the account any more",
             (unsigned long long)mailbox->user, device->number);
    device->present = false;
    device->record_due = device->record_soon = device->record_now = false;
    if (device_is_online(device)) {
        mailbox_cut(device, WIRE_NOTICE_UNLINKED, WIRE_CLOSE_UNLINKED);
        mailbox_detach_device(mailbox, device, false);
    }
    queue_abandon(mailbox, device);
    mailbox_tick_in(mailbox, MAILBOX_TICK_MS);
}

static void apply_list(struct mailbox *mailbox, const struct record_account *account) {
    mailbox->list_version = account->list_version;
    for (unsigned i = 0; i < mailbox->slots; i++) {
        struct device *device = &mailbox->devices[i];
        if (device->number && device->present && !account_device(account, device->number))
            device_leave(mailbox, device);
    }
    for (uint32_t i = 0; i < account->devices_count; i++) {
        const struct record_device *listed = &account->devices[i];
        struct device *device = mailbox_device(mailbox, listed->device);
        if (!device)
            device = device_add(mailbox, listed->device, true);
        if (device)
            memcpy(device->key, listed->key, sizeof(device->key));
        else
            mailbox->reload_due = true; /* until one that left has told all */
    }
}

struct blob *mailbox_stale_body(const struct mailbox *mailbox) {
    struct wire_device_key keys[FORMAT_DEVICES_MAX];
    unsigned count = 0;
    for (unsigned i = 0; i < mailbox->slots; i++) {
        const struct device *device = &mailbox->devices[i];
        if (device->number && device->present && count < FORMAT_DEVICES_MAX)
            keys[count++] =
                (struct wire_device_key){device->number, {device->key, sizeof(device->key)}};
    }
    struct wire_stale_body body = {
        mailbox->user, mailbox->list_version, {.items = keys, .count = count}};
    uint8_t bytes[64 + 48 * FORMAT_DEVICES_MAX];
    struct wire_writer writer = {.bytes = bytes, .capacity = sizeof(bytes)};
    CHECK(wire_write_stale_body(&writer, &body) == 0);
    return blob_copy_of(bytes, writer.length);
}

/* --- the queues --- */

static bool is_expired(const struct entry *entry) {
    return entry->time_s + node_current()->limits.mail_expiry_ms / 1000 <= actor_wall_ms() / 1000;
}

/* What is too old, or for a device that has left, goes when its sender has been told. */
static void retire(struct mailbox *mailbox, const struct device *device, const struct entry *entry,
                   int state) {
    if (entry->kind == RECORD_MAIL && entry->sender_user && entry->sender_user != mailbox->user)
        mailbox_report(mailbox, device, entry, state, true);
    else
        store_delete(mailbox, device->number, entry->sequence);
}

static void apply_run(struct mailbox *mailbox, const struct load_run *run,
                      const struct entry *entries) {
    struct device *device = mailbox_device(mailbox, run->device);
    struct device former = {.number = run->device};
    bool present = device && device->present;
    if (present && run->has_record && device->sends.next == 1) {
        const struct record_queue *record = &run->record;
        device->sequence_next = record->sequence_reserved ? record->sequence_reserved : 1;
        device->sequence_durable = device->sequence_reserved = device->sequence_next;
        uint64_t next = record->send_high + 1;
        device->sends.next = device->sends.told_below = next;
        device->sends.ok_below = device->sends.ok_saved = device->sends.heard_below = next;
        if (record->suspect_attempts) {
            queue_of(device)->suspect_sequence = record->suspect_sequence;
            queue_of(device)->suspect_attempts = record->suspect_attempts;
            mailbox_tick_in(mailbox, MAILBOX_PATIENCE_MS); /* which gives an empty one back */
        }
    }
    for (uint32_t i = 0; i < run->count; i++) {
        if (!present)
            retire(mailbox, &former, &entries[i], WIRE_STATE_FAILED);
        else if (is_expired(&entries[i]))
            retire(mailbox, device, &entries[i], WIRE_STATE_EXPIRED);
        else
            queue_append_stored(device, &entries[i]);
    }
}

static void apply_runs(struct mailbox *mailbox, struct blob *blob) {
    const uint8_t *at = blob_bytes(blob), *end = at + blob_length(blob);
    while (at < end) {
        const struct load_run *run = (const struct load_run *)at;
        const struct entry *entries = (const struct entry *)(run + 1);
        apply_run(mailbox, run, entries);
        at = (const uint8_t *)(entries + run->count);
    }
}

/* --- the answer --- */

static void serve(struct mailbox *mailbox) {
    mailbox->state = MAILBOX_SERVING;
    mailbox->reloading = false;
    if (mailbox->reload_due)
        mailbox_reload(mailbox);
    actor_undefer();
}

void mailbox_loaded(struct mailbox *mailbox, struct message *message) {
    const struct load *load = message_as(message, struct load);
    if (load->error && load->error != -ENOENT) {
        log_error("mailbox: reading user %llu: %s", (unsigned long long)mailbox->user,
                  strerror(-load->error));
        actor_fail(load->error, "the mailbox could not be read");
    }
    mailbox->absent = load->error == -ENOENT;
    if (mailbox->absent) {
        mailbox_tick_in(mailbox, MAILBOX_TICK_MS);
        serve(mailbox);
        return;
    }
    apply_list(mailbox, &load->account);
    if (message->blob)
        apply_runs(mailbox, message->blob);
    if (!load->more) {
        serve(mailbox);
    } else if (!load_start(mailbox, false, load->place, load->sequence)) {
        actor_fail(-ENOBUFS, "the pool is full");
    }
}

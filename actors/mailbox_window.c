/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The window of a device's queue: what is sent to its connection, in order, while it has room.
 *
 * What is in memory is sent from there; what is stored is read in pages of the window's size, kept
 * no longer than until it is sent. A page is valid whatever happened while it was read: an entry
 * that is not in it, because it was written since, begins the next one.
 */
#include "actors/mailbox_internal.h"
#include "actors/quarantine.h"
#include "net/wire.h"
#include "runtime/log.h"

#include <errno.h>
#include <string.h>

/* What a page holds of the queue, walked in step with it. It was read for the entry `sequence`,
 * which it begins with; of later ones it may lack what was written since. */
struct page_walk {
    struct blob *blob;
    const struct page_item *items;
    uint32_t count, at;
    uint64_t sequence; /* 0: no page */
};

/* A device that acknowledges everything but the oldest gets no further than this. */
#define SPAN_MAX 4096u

static bool window_has_room(const struct queue *queue, const struct entry *entry) {
    const struct node_limits *limits = &node_current()->limits;
    if (queue->sent - queue->head >= SPAN_MAX)
        return false;
    return queue->in_flight == 0 ||
           (queue->in_flight < limits->mail_in_flight_max &&
            queue->in_flight_bytes + entry->bytes <= limits->mail_in_flight_bytes_max);
}

/* While a status is on its way the next one gathers, as long as nothing waits behind it. */
static bool gathers(const struct queue *queue, const struct entry *entry) {
    return entry->kind == RECORD_STATUS && entry->state == ENTRY_HELD &&
           queue->statuses_in_flight && queue->sent + 1 == queue->tail &&
           entry->status->count < MAILBOX_STATUS_IDS_MAX;
}

static bool is_suspect(const struct device *device, const struct entry *entry) {
    const struct queue *queue = device->queue; /* the entry is in it */
    return queue->suspect_attempts && entry->sequence == queue->suspect_sequence;
}

static void note_sent(struct device *device, struct entry *entry) {
    struct queue *queue = queue_of(device);
    entry->sent_ms = mailbox_now();
    queue->sent++;
    if (queue->sent > queue->sent_top)
        queue->sent_top = queue->sent;
    queue->in_flight++;
    queue->in_flight_bytes += entry->bytes;
    queue->statuses_in_flight += entry->kind == RECORD_STATUS;
}

static bool give(struct device *device, struct entry *entry, struct message *message) {
    if (actor_send(device->connection, &message) == 0) {
        note_sent(device, entry);
        return true;
    }
    message_destroy(message);
    device->stuck = true;
    return false;
}

static uint8_t attempt_of(const struct device *device, struct entry *entry) {
    entry->attempt += entry->attempt < UINT8_MAX;
    uint8_t attempt = entry->attempt;
    if (is_suspect(device, entry) && attempt <= device->queue->suspect_attempts)
        attempt = device->queue->suspect_attempts + 1;
    return attempt;
}

static bool send_held_mail(struct mailbox *mailbox, struct device *device, struct entry *entry) {
    const struct mailbox_deliver *deliver = message_as(entry->deliver, struct mailbox_deliver);
    struct message *message = message_create(CONNECTION_MAIL, sizeof(struct connection_mail));
    struct connection_mail *mail = message_as(message, struct connection_mail);
    *mail = (struct connection_mail){
        .epoch = mailbox->epoch,
        .cursor = queue_of(device)->sent + 1,
        .chat = deliver->chat,
        .sender = deliver->sender,
        .sequence = entry->sequence,
        .time_ms = deliver->time_ms,
        .lamport = deliver->lamport,
        .chat_n = deliver->chat_n,
        .content_kind = deliver->content_kind,
        .attempt = attempt_of(device, entry),
        .ciphertext_offset = entry->offset,
        .ciphertext_bytes = entry->length,
        .external_offset = deliver->spans.recipients_bytes,
        .external_bytes = deliver->spans.external_bytes,
    };
    memcpy(mail->id, deliver->id, sizeof(mail->id));
    message->blob = blob_hold(entry->deliver->blob);
    return give(device, entry, message);
}

static bool send_stored_mail(struct mailbox *mailbox, struct device *device, struct entry *entry,
                             struct blob *page, const struct record_queued *queued) {
    const struct record_mail *record = &queued->mail;
    const uint8_t *bytes = blob_bytes(page);
    struct message *message = message_create(CONNECTION_MAIL, sizeof(struct connection_mail));
    struct connection_mail *mail = message_as(message, struct connection_mail);
    *mail = (struct connection_mail){
        .epoch = mailbox->epoch,
        .cursor = queue_of(device)->sent + 1,
        .chat = record->chat,
        .sender = {record->sender_user, record->sender_device},
        .sequence = entry->sequence,
        .time_ms = record->accepted_ms,
        .lamport = record->clock_lamport,
        .chat_n = record->clock_count,
        .content_kind = record->kind,
        .attempt = attempt_of(device, entry),
        .ciphertext_offset = (uint32_t)(queued->ciphertext - bytes),
        .ciphertext_bytes = record->ciphertext_bytes,
        .external_offset = (uint32_t)(queued->external - bytes),
        .external_bytes = record->external_bytes,
    };
    memcpy(mail->id, record->message_id, sizeof(mail->id));
    message->blob = blob_hold(page);
    return give(device, entry, message);
}

static bool send_status(struct mailbox *mailbox, struct device *device, struct entry *entry,
                        const struct connection_status *what, const void *ids) {
    size_t ids_bytes = (size_t)what->id_count * FORMAT_MESSAGE_ID_BYTES;
    struct message *message = message_create(CONNECTION_STATUS, sizeof(*what) + ids_bytes);
    struct connection_status *status = message_as(message, struct connection_status);
    *status = *what;
    status->epoch = mailbox->epoch;
    status->cursor = queue_of(device)->sent + 1;
    memcpy(status + 1, ids, ids_bytes);
    entry->attempt += entry->attempt < UINT8_MAX;
    return give(device, entry, message);
}

static bool send_held(struct mailbox *mailbox, struct device *device, struct entry *entry) {
    if (entry->kind == RECORD_MAIL)
        return send_held_mail(mailbox, device, entry);
    const struct status_body *body = entry->status;
    struct connection_status status = {.state = body->state,
                                       .chat = body->chat,
                                       .peer = body->peer,
                                       .time_ms = body->time_ms,
                                       .id_count = body->count};
    return send_status(mailbox, device, entry, &status, body->ids);
}

/* What cannot be read, or was delivered again and again without an answer, is kept for an operator,
 * and both sides are told. It leaves the store when its sender's mailbox has taken the report: if
 * we fail before that, it begins anew. `chat` is 0 where it could not be read. False: not now. */
static bool set_aside(struct mailbox *mailbox, struct device *device, struct entry *entry,
                      struct engine_bytes value, uint64_t chat, enum record_aside_reason why) {
    static const char *const reasons[] = {
        [RECORD_ASIDE_UNKNOWN] = "unknown",
        [RECORD_ASIDE_DAMAGED] = "it is damaged",
        [RECORD_ASIDE_UNANSWERED] = "it was never answered",
        [RECORD_ASIDE_CRASH] = "it brought the node down twice",
    };
    struct entry mail = *entry;
    bool told = entry_has_sender(mailbox, entry);
    if (!store_set_aside(mailbox, device, entry->sequence, value, why, !told)) {
        device->stuck = true;
        return false;
    }
    log_warning("mailbox: user %llu, device %u: entry %llu is set aside: %s",
                (unsigned long long)mailbox->user, device->number,
                (unsigned long long)entry->sequence, reasons[why]);
    actor_count("mail_set_aside", 1);
    if (told)
        mailbox_report(mailbox, device, entry, WIRE_STATE_QUARANTINED, true);
    if (is_suspect(device, entry)) {
        device->queue->suspect_attempts = 0;
        device->queue->suspect_sequence = 0;
        device->record_due = device->record_soon = store_of(mailbox)->records_soon = true;
    }
    queue_remove(mailbox, device, queue_of(device)->sent, false);
    if (mail.kind == RECORD_MAIL && mail.sender_user)
        mailbox_status_aside(mailbox, device, &mail, chat ? chat : mail.sender_user);
    return true;
}

/* It brought the node down twice (quarantine.h). */
static bool is_blamed_stored(const struct mailbox *mailbox, const struct device *device,
                             const struct record_queued *queued) {
    const struct record_mail *record = &queued->mail;
    const struct quarantine_mail mail = {
        .to = {mailbox->user, device->number},
        .from = {record->sender_user, record->sender_device},
        .id = record->message_id,
        .ciphertext = queued->ciphertext,
        .ciphertext_bytes = record->ciphertext_bytes,
        .external = queued->external,
        .external_bytes = record->external_bytes,
    };
    return queued->entry == RECORD_MAIL && quarantine_has_mail(node_current()->quarantine, &mail);
}

/* The same of one that is in memory: it is stored first, since only a stored one is set aside. */
static bool is_blamed_held(const struct mailbox *mailbox, const struct device *device,
                           const struct entry *entry) {
    const struct quarantine *quarantine = node_current()->quarantine;
    if (!quarantine || entry->kind != RECORD_MAIL)
        return false;
    const struct mailbox_deliver *deliver = message_as(entry->deliver, struct mailbox_deliver);
    const uint8_t *content = entry->deliver->blob ? blob_bytes(entry->deliver->blob) : NULL;
    const struct quarantine_mail mail = {
        .to = {mailbox->user, device->number},
        .from = deliver->sender,
        .id = deliver->id,
        .ciphertext = content + entry->offset,
        .ciphertext_bytes = entry->length,
        .external = content + deliver->spans.recipients_bytes,
        .external_bytes = deliver->spans.external_bytes,
    };
    return content && quarantine_has_mail(quarantine, &mail);
}

static bool set_aside_blamed(struct mailbox *mailbox, struct device *device, struct entry *entry,
                             struct engine_bytes value, uint64_t chat) {
    bool done = set_aside(mailbox, device, entry, value, chat, RECORD_ASIDE_CRASH);
    actor_count("mail_set_aside_crash", done);
    return done;
}

/* False: nothing was sent. */
static bool send_stored(struct mailbox *mailbox, struct device *device, struct entry *entry,
                        const struct page_walk *walk) {
    const struct page_item *item = &walk->items[walk->at];
    struct engine_bytes value = {blob_bytes(walk->blob) + item->offset, item->bytes};
    const struct quarantine_entry what = {{mailbox->user, device->number}, entry->sequence, value};
    struct record_queued queued;
    int error = quarantine_decode(node_current()->quarantine, &what, &queued);
    if (error == -EPERM)
        return set_aside_blamed(mailbox, device, entry, value, 0);
    if (error)
        return set_aside(mailbox, device, entry, value, 0, RECORD_ASIDE_DAMAGED);
    uint64_t chat = queued.entry == RECORD_MAIL ? queued.mail.chat : 0;
    if (is_suspect(device, entry) &&
        device->queue->suspect_attempts >= MAILBOX_SUSPECT_ATTEMPTS_MAX)
        return set_aside(mailbox, device, entry, value, chat, RECORD_ASIDE_UNANSWERED);
    if (is_blamed_stored(mailbox, device, &queued))
        return set_aside_blamed(mailbox, device, entry, value, chat);
    if (queued.entry == RECORD_MAIL)
        return send_stored_mail(mailbox, device, entry, walk->blob, &queued);
    struct connection_status status = {
        .state = (uint8_t)(queued.status.state + 1), /* enum wire_state; see mailbox_status.c */
        .chat = queued.status.chat,
        .peer = {queued.status.peer_user, queued.status.peer_device},
        .time_ms = queued.status.time_ms,
        .id_count = (uint16_t)queued.status.ids_count,
    };
    return send_status(mailbox, device, entry, &status, queued.ids);
}

/* Is the entry in the page? Moves to its place. */
static bool page_has(struct page_walk *walk, uint64_t sequence) {
    while (walk->at < walk->count && walk->items[walk->at].sequence < sequence)
        walk->at++;
    return walk->at < walk->count && walk->items[walk->at].sequence == sequence;
}

/* An earlier incarnation deleted it, after this one had read the queue; or it is lost. */
static void note_vanished(const struct mailbox *mailbox, const struct device *device,
                          const struct entry *entry) {
    log_warning("mailbox: user %llu, device %u: stored entry %llu is not in the store",
                (unsigned long long)mailbox->user, device->number,
                (unsigned long long)entry->sequence);
    actor_count("mail_vanished", 1);
}

static void page_begin(struct mailbox *mailbox, struct device *device, const struct entry *entry) {
    const struct node_limits *limits = &node_current()->limits;
    const struct queue *queue = queue_of(device);
    if (device->paging)
        return;
    uint32_t entries = limits->mail_in_flight_max > queue->in_flight
                           ? limits->mail_in_flight_max - queue->in_flight
                           : 1;
    uint32_t bytes = limits->mail_in_flight_bytes_max > queue->in_flight_bytes
                         ? limits->mail_in_flight_bytes_max - queue->in_flight_bytes
                         : 1;
    if (store_page_start(mailbox, device, entry->sequence, entries, bytes))
        device->paging = true;
    else
        device->stuck = true;
}

/* Sends the entry at `sent`, or takes it out. False: not now. */
static bool pump_one(struct mailbox *mailbox, struct device *device, struct page_walk *walk) {
    struct queue *queue = queue_of(device);
    struct entry *entry = queue_at(queue, queue->sent);
    if (entry->state == ENTRY_GONE || (entry->flags & ENTRY_REFUSED)) {
        queue->sent++; /* only below sent_top: its cursor was given before */
        return true;
    }
    if (!window_has_room(queue, entry))
        return false;
    if (entry->state != ENTRY_STORED && is_blamed_held(mailbox, device, entry)) {
        if (entry->state == ENTRY_HELD)
            queue_store_in_order(mailbox, device, queue->sent);
        return false;
    }
    if (entry->state != ENTRY_STORED)
        return entry->sequence < device->sequence_durable && !gathers(queue, entry) &&
               send_held(mailbox, device, entry);
    if (page_has(walk, entry->sequence))
        return send_stored(mailbox, device, entry, walk);
    if (walk->sequence != entry->sequence) {
        page_begin(mailbox, device, entry);
        return false;
    }
    note_vanished(mailbox, device, entry);
    queue_remove(mailbox, device, queue->sent, false);
    return true;
}

static void say_empty(struct device *device) {
    const struct queue *queue = device->queue;
    bool is_empty = !queue || (queue->sent == queue->tail && queue->in_flight == 0);
    if (device->empty_due && is_empty && actor_signal(device->connection, CONNECTION_EMPTY) == 0)
        device->empty_due = false;
}

void queue_pump(struct mailbox *mailbox, struct device *device, struct message *page) {
    const struct queue *queue = device->queue; /* it may go on being empty */
    struct page_walk walk = {0};
    if (!device_is_online(device))
        return;
    if (page) {
        const struct mailbox_page *read = message_as(page, struct mailbox_page);
        walk = (struct page_walk){page->blob, (const struct page_item *)blob_bytes(page->blob),
                                  read->count, 0, read->sequence};
    }
    while (queue && queue->sent < queue->tail && pump_one(mailbox, device, &walk))
        ;
    if (device->stuck)
        mailbox_tick_in(mailbox, MAILBOX_TICK_MS);
    if (device->empty_due)
        say_empty(device);
}

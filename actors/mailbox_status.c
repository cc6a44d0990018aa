/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What became of messages: reported by the recipient's mailbox, kept for the sender's devices.
 *
 * Reporting. Acknowledgements of stored mail, refusals, expiries, receipts: gathered by sender
 * within a turn, sent as one MAILBOX_STATUS, kept until STATUS_TAKEN says that the sender's mailbox
 * has it safe, and sent again until then. Only then is the mail that it is about deleted from the
 * store, so a crash in between reports again and loses nothing. (Mail that was held is reported by
 * its MAILBOX_SETTLED.)
 *
 * Being told. A status waits in the queue of each of the user's devices, in one row with mail, as
 * an entry that is joined by further ids as long as it was neither sent nor written. A reporter is
 * answered when every device has what it said, or the store does. Statuses may go beyond the quota
 * of mail, up to a bound of their own; what is beyond that is dropped, and counted: the receipts of
 * a device that stays away that long are its smallest loss.
 */
#include "actors/mailbox_internal.h"
#include "net/wire.h"

#include <string.h>

#define STATUSES_MAX 2048u /* entries in one queue */
#define ITEMS_FIRST 4u
#define REPORT_IDS_MAX 8192u /* of receipts, under way from one mailbox */
#define RECEIPT_IDS_MAX 1024u
#define RETRY_AFTER_MS 1000

struct outgoing_item {
    uint8_t id[16];
    uint64_t sequence; /* deleted when it is taken; 0: nothing to delete */
};

struct outgoing {
    struct outgoing *next;
    uint64_t user; /* whose mailbox is told */
    uint64_t reference;
    uint64_t time_ms;
    uint32_t sender_device;
    uint32_t device; /* of this user: who acknowledged */
    uint32_t sent_ms;
    uint16_t count, capacity;
    uint8_t state; /* enum wire_state */
    struct actor_id connection;
    uint64_t ref; /* of a receipt, to be answered */
    struct outgoing_item *items;
};

/* --- reporting --- */

static void outgoing_send(struct mailbox *mailbox, struct outgoing *outgoing) {
    size_t ids_bytes = (size_t)outgoing->count * FORMAT_MESSAGE_ID_BYTES;
    struct message *message =
        message_create(MAILBOX_STATUS, sizeof(struct mailbox_status) + ids_bytes);
    struct mailbox_status *status = message_as(message, struct mailbox_status);
    *status = (struct mailbox_status){
        .reporter = actor_self(),
        .reference = outgoing->reference,
        .sender_device = outgoing->sender_device,
        .state = outgoing->state,
        .chat = mailbox->user,
        .peer = {mailbox->user, outgoing->device},
        .time_ms = outgoing->time_ms,
        .id_count = outgoing->count,
    };
    uint8_t(*ids)[FORMAT_MESSAGE_ID_BYTES] = (uint8_t(*)[FORMAT_MESSAGE_ID_BYTES])(status + 1);
    for (unsigned i = 0; i < outgoing->count; i++)
        memcpy(ids[i], outgoing->items[i].id, sizeof(ids[i]));
    outgoing->sent_ms = mailbox_now();
    if (actor_send_named(&mailbox_class, outgoing->user, &message) != 0)
        message_destroy(message); /* later */
}

static struct outgoing *outgoing_create(struct mailbox *mailbox, uint64_t user, uint32_t device,
                                        uint8_t state) {
    struct affairs *affairs = affairs_of(mailbox);
    struct outgoing *outgoing = actor_allocate(sizeof(*outgoing));
    *outgoing = (struct outgoing){.next = affairs->gathering,
                                  .user = user,
                                  .reference = ++mailbox->references,
                                  .time_ms = actor_wall_ms(),
                                  .device = device,
                                  .state = state};
    affairs->gathering = outgoing;
    return outgoing;
}

static void outgoing_add(struct mailbox *mailbox, struct outgoing *outgoing, const uint8_t id[16],
                         uint64_t sequence) {
    if (outgoing->count == outgoing->capacity) {
        outgoing->capacity = outgoing->capacity ? 2 * outgoing->capacity : ITEMS_FIRST;
        outgoing->items =
            actor_reallocate(outgoing->items, outgoing->capacity * sizeof(*outgoing->items));
    }
    struct outgoing_item *item = &outgoing->items[outgoing->count++];
    memcpy(item->id, id, sizeof(item->id));
    item->sequence = sequence;
    mailbox->affairs->outgoing_ids++; /* which has it in `gathering` */
}

void mailbox_report(struct mailbox *mailbox, const struct device *device, const struct entry *entry,
                    int state, bool stored) {
    struct outgoing *outgoing = affairs_seen(mailbox)->gathering;
    while (outgoing && !(outgoing->user == entry->sender_user && outgoing->state == state &&
                         outgoing->sender_device == entry->sender_device &&
                         outgoing->device == device->number &&
                         outgoing->count < MAILBOX_STATUS_IDS_MAX && outgoing->ref == 0))
        outgoing = outgoing->next;
    if (!outgoing) {
        outgoing = outgoing_create(mailbox, entry->sender_user, device->number, (uint8_t)state);
        outgoing->sender_device = entry->sender_device;
    }
    outgoing_add(mailbox, outgoing, entry->id, stored ? entry->sequence : 0);
}

void mailbox_reports_flush(struct mailbox *mailbox) {
    struct affairs *affairs = mailbox->affairs;
    while (affairs && affairs->gathering) {
        struct outgoing *outgoing = affairs->gathering;
        affairs->gathering = outgoing->next;
        outgoing->next = affairs->outgoing;
        affairs->outgoing = outgoing;
        outgoing_send(mailbox, outgoing);
        mailbox_tick_in(mailbox, MAILBOX_TICK_MS);
    }
}

void mailbox_reports_tick(struct mailbox *mailbox) {
    struct outgoing *outgoing = affairs_seen(mailbox)->outgoing;
    for (; outgoing; outgoing = outgoing->next)
        if (mailbox_now() - outgoing->sent_ms >= MAILBOX_PATIENCE_MS) {
            actor_count("status_sent_again", 1);
            outgoing_send(mailbox, outgoing);
        }
}

static void answer(struct actor_id connection, uint64_t ref, int code, uint32_t retry_after_ms) {
    struct message *message = message_create(CONNECTION_ANSWER, sizeof(struct connection_answer));
    *message_as(message, struct connection_answer) =
        (struct connection_answer){.ref = ref, .code = code, .retry_after_ms = retry_after_ms};
    if (ref == 0 || actor_send(connection, &message) != 0)
        message_destroy(message);
}

void mailbox_status_taken(struct mailbox *mailbox, uint64_t reference) {
    struct affairs *affairs = mailbox->affairs;
    struct outgoing **link = affairs ? &affairs->outgoing : NULL;
    while (link && *link && (*link)->reference != reference)
        link = &(*link)->next;
    if (!link || !*link)
        return; /* a second answer */
    struct outgoing *outgoing = *link;
    for (unsigned i = 0; i < outgoing->count; i++)
        if (outgoing->items[i].sequence)
            store_delete(mailbox, outgoing->device, outgoing->items[i].sequence);
    answer(outgoing->connection, outgoing->ref, WIRE_CODE_OK, 0);
    affairs->outgoing_ids -= outgoing->count;
    *link = outgoing->next;
    actor_free(outgoing->items);
    actor_free(outgoing);
}

/* --- receipts of one's own devices --- */

static int receipt_check(struct mailbox *mailbox, const struct mailbox_receipt *receipt,
                         size_t payload_bytes) {
    const struct device *device = mailbox_device(mailbox, receipt->device);
    size_t bytes = sizeof(*receipt) + (size_t)receipt->id_count * FORMAT_MESSAGE_ID_BYTES;
    if (!device || !actor_id_equal(device->connection, receipt->connection))
        return WIRE_CODE_UNAVAILABLE;
    if ((receipt->state != WIRE_STATE_READ && receipt->state != WIRE_STATE_PLAYED) ||
        receipt->id_count == 0 || receipt->id_count > RECEIPT_IDS_MAX || payload_bytes < bytes ||
        receipt->chat == 0)
        return WIRE_CODE_BAD_REQUEST;
    return affairs_seen(mailbox)->outgoing_ids + receipt->id_count > REPORT_IDS_MAX
               ? WIRE_CODE_LIMITED
               : WIRE_CODE_OK;
}

void mailbox_receipt(struct mailbox *mailbox, struct message *message) {
    const struct mailbox_receipt *receipt = message_as(message, struct mailbox_receipt);
    const uint8_t(*ids)[FORMAT_MESSAGE_ID_BYTES] =
        (const uint8_t(*)[FORMAT_MESSAGE_ID_BYTES])(receipt + 1);
    int code = receipt_check(mailbox, receipt, message->payload_bytes);
    if (code != WIRE_CODE_OK || receipt->chat == mailbox->user) {
        actor_count("receipt_refused", code != WIRE_CODE_OK);
        answer(receipt->connection, receipt->ref, code, RETRY_AFTER_MS);
        return;
    }
    struct outgoing *outgoing =
        outgoing_create(mailbox, receipt->chat, receipt->device, receipt->state);
    outgoing->connection = receipt->connection;
    outgoing->ref = receipt->ref;
    for (unsigned i = 0; i < receipt->id_count; i++)
        outgoing_add(mailbox, outgoing, ids[i], 0);
}

/* --- being told --- */

static void say_taken(struct actor_id reporter, uint64_t reference) {
    struct message *message =
        message_create(MAILBOX_STATUS_TAKEN, sizeof(struct mailbox_status_taken));
    message_as(message, struct mailbox_status_taken)->reference = reference;
    if (reference == 0 || actor_send(reporter, &message) != 0)
        message_destroy(message); /* it asks again */
}

#define NO_TAKER UINT8_MAX

/* A place for a reporter; NO_TAKER: there is none, or it has one already (`*known`). */
static uint8_t taker_add(struct mailbox *mailbox, const struct mailbox_status *status,
                         bool *known) {
    struct affairs *affairs = affairs_of(mailbox);
    unsigned free_place = affairs->takers_capacity;
    for (unsigned i = 0; i < affairs->takers_capacity; i++) {
        const struct taker *taker = &affairs->takers[i];
        if (!taker->waiting)
            free_place = i;
        else if (taker->reference == status->reference &&
                 actor_id_equal(taker->reporter, status->reporter))
            *known = true;
    }
    if (*known)
        return NO_TAKER;
    if (free_place == MAILBOX_TAKERS_MAX)
        return NO_TAKER;
    if (free_place == affairs->takers_capacity) {
        unsigned capacity = affairs->takers_capacity ? 2u * affairs->takers_capacity : 1;
        struct taker *takers = actor_allocate(capacity * sizeof(*takers));
        if (affairs->takers)
            memcpy(takers, affairs->takers, affairs->takers_capacity * sizeof(*takers));
        actor_free(affairs->takers);
        affairs->takers = takers;
        affairs->takers_capacity = (uint8_t)capacity;
    }
    affairs->takers[free_place] = (struct taker){status->reporter, status->reference, 0};
    return (uint8_t)free_place;
}

bool mailbox_takers_wait(const struct mailbox *mailbox) {
    const struct affairs *affairs = affairs_seen(mailbox);
    for (unsigned i = 0; i < affairs->takers_capacity; i++)
        if (affairs->takers[i].waiting)
            return true;
    return false;
}

void mailbox_status_safe(struct mailbox *mailbox, struct entry *entry) {
    struct status_body *body = entry->status;
    entry->status = NULL;
    for (unsigned i = 0; i < body->taker_count; i++) {
        struct taker *taker = &mailbox->affairs->takers[body->takers[i]];
        CHECK(taker->waiting > 0);
        if (--taker->waiting == 0)
            say_taken(taker->reporter, taker->reference);
    }
    actor_free(body);
}

/* One status on its way into a queue; `ids` are borrowed. */
struct news {
    int state;
    uint64_t chat, time_ms;
    struct device_address peer;
    const uint8_t (*ids)[FORMAT_MESSAGE_ID_BYTES];
    unsigned count;
    uint8_t taker;
};

/* The last entry, if these ids may still join it. */
static struct entry *find_joinable(struct queue *queue, const struct news *news) {
    if (queue->tail == queue->head || queue->tail <= queue->sent_top || queue->tail <= queue->sent)
        return NULL;
    struct entry *entry = queue_at(queue, queue->tail - 1);
    if (entry->state != ENTRY_HELD || entry->kind != RECORD_STATUS)
        return NULL;
    const struct status_body *body = entry->status;
    bool same = body->state == news->state && body->chat == news->chat &&
                body->peer.user == news->peer.user && body->peer.device == news->peer.device;
    return same && body->count + news->count <= MAILBOX_STATUS_IDS_MAX &&
                   (news->taker == NO_TAKER || body->taker_count < STATUS_TAKERS_MAX)
               ? entry
               : NULL;
}

static void join(struct mailbox *mailbox, struct entry *entry, const struct news *news) {
    struct status_body *body = entry->status;
    if (body->count + news->count > body->capacity) {
        unsigned capacity = body->capacity ? body->capacity : 1;
        while (capacity < body->count + news->count)
            capacity *= 2;
        body = actor_reallocate(body, sizeof(*body) + capacity * sizeof(body->ids[0]));
        body->capacity = (uint16_t)capacity;
        entry->status = body;
    }
    memcpy(body->ids[body->count], news->ids, news->count * sizeof(body->ids[0]));
    body->count += news->count;
    entry->bytes += news->count * (uint32_t)sizeof(body->ids[0]);
    if (news->taker != NO_TAKER) {
        body->takers[body->taker_count++] = news->taker;
        mailbox->affairs->takers[news->taker].waiting++;
    }
}

static struct entry *append(struct mailbox *mailbox, struct device *device,
                            const struct news *news) {
    struct entry *entry =
        queue_of(device)->statuses < STATUSES_MAX ? queue_append(mailbox, device) : NULL;
    if (!entry) {
        actor_count("status_dropped", 1);
        return NULL;
    }
    size_t ids_bytes = news->count * sizeof(((struct status_body *)0)->ids[0]);
    entry->kind = RECORD_STATUS;
    entry->sender_user = news->peer.user;
    entry->bytes = RECORD_STATUS_HEADER_SIZE;
    entry->status = actor_allocate(sizeof(*entry->status) + ids_bytes);
    *entry->status = (struct status_body){.chat = news->chat,
                                          .time_ms = news->time_ms,
                                          .peer = news->peer,
                                          .capacity = (uint16_t)news->count,
                                          .state = (uint8_t)news->state};
    queue_count(device, entry);
    return entry;
}

static void put(struct mailbox *mailbox, struct device *device, const struct news *news) {
    struct entry *entry = find_joinable(queue_of(device), news);
    if (entry) {
        join(mailbox, entry, news);
        queue_pump(mailbox, device, NULL); /* it may be full now */
        return;
    }
    entry = append(mailbox, device, news);
    if (!entry)
        return;
    join(mailbox, entry, news);
    queue_place(mailbox, device);
}

static void put_all(struct mailbox *mailbox, const struct news *news) {
    for (unsigned i = 0; i < mailbox->slots; i++)
        if (mailbox->devices[i].number && mailbox->devices[i].present)
            put(mailbox, &mailbox->devices[i], news);
}

void mailbox_status_own(struct mailbox *mailbox, int state, uint64_t chat,
                        struct device_address peer, uint64_t time_ms, const uint8_t id[16]) {
    struct news news = {.state = state,
                        .chat = chat,
                        .time_ms = time_ms,
                        .peer = peer,
                        .ids = (const uint8_t(*)[FORMAT_MESSAGE_ID_BYTES])id,
                        .count = 1,
                        .taker = NO_TAKER};
    put_all(mailbox, &news);
}

void mailbox_status_aside(struct mailbox *mailbox, struct device *device, const struct entry *mail,
                          uint64_t chat) {
    const struct news news = {.state = WIRE_STATE_QUARANTINED,
                              .chat = chat,
                              .time_ms = actor_wall_ms(),
                              .peer = {mailbox->user, device->number},
                              .ids = &mail->id,
                              .count = 1,
                              .taker = NO_TAKER};
    struct entry *entry = append(mailbox, device, &news);
    if (!entry)
        return;
    join(mailbox, entry, &news);
    queue_store(mailbox, device, entry); /* whoever pumps the queue comes to it */
}

void mailbox_status(struct mailbox *mailbox, struct message *message) {
    const struct mailbox_status *status = message_as(message, struct mailbox_status);
    size_t bytes = sizeof(*status) + (size_t)status->id_count * FORMAT_MESSAGE_ID_BYTES;
    bool known = false;
    if (mailbox->absent || message->payload_bytes < bytes || status->state < WIRE_STATE_DELIVERED ||
        status->state > WIRE_STATE_FAILED) {
        say_taken(status->reporter, status->reference); /* nobody is there to be told */
        return;
    }
    uint8_t taker = status->reference ? taker_add(mailbox, status, &known) : NO_TAKER;
    if (taker == NO_TAKER && status->reference) {
        actor_count(known ? "status_repeated" : "status_reporters_too_many", 1);
        return; /* it asks again */
    }
    struct news news = {.state = status->state,
                        .chat = status->chat,
                        .time_ms = status->time_ms,
                        .peer = status->peer,
                        .ids = (const uint8_t(*)[FORMAT_MESSAGE_ID_BYTES])(status + 1),
                        .taker = taker};
    unsigned left = status->id_count;
    if (taker != NO_TAKER)
        mailbox->affairs->takers[taker].waiting++; /* ours, until all is in the queues */
    for (; left; left -= news.count, news.ids += news.count) {
        news.count = left < MAILBOX_STATUS_IDS_MAX ? left : MAILBOX_STATUS_IDS_MAX;
        put_all(mailbox, &news);
    }
    if (taker != NO_TAKER && --mailbox->affairs->takers[taker].waiting == 0)
        say_taken(status->reporter, status->reference);
}

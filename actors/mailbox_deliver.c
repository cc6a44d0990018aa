/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mail that arrives for this user's devices: is it for exactly the devices that there are, is there
 * room, is it known already? Then it waits in each device's queue, and is settled once every device
 * has it or the store does.
 *
 * The MAILBOX_DELIVER itself is kept as the body of all its entries (`kept` in it is ours) and goes
 * with the last that needs it. Its sender hears of it exactly once (MAILBOX_SETTLED).
 *
 * A sender whose mail is refused, for now or because there is no room, may have sent more before it
 * hears of that. What comes behind the refused one is refused for now, until its sender's mailbox
 * has heard (`order` in it has risen). If that was `full` it waits there until the device has heard
 * as well (mailbox_send.c).
 *
 * Mail that comes `again` may have been taken before, by an earlier mailbox, and be acknowledged
 * and forgotten: then the device alone knows it. `full` would be said of what has arrived, so it
 * may go beyond the bounds of a queue and of a share, by AGAIN_MESSAGES_MAX and a quarter of the
 * bytes; the device drops what it has. (Who says of new mail that it comes again gets that much
 * more, and no more.) A copy for one's own devices comes when the other side has the message: its
 * room was looked at before that (mailbox_own_room).
 *
 * A duplicate of mail that still waits is not queued again. If the first is not safe yet, the
 * second takes its place as the body, so that whoever asked last is answered: an earlier asker has
 * given up, or failed.
 */
#include "actors/mailbox_internal.h"
#include "net/wire.h"

#include <errno.h>
#include <string.h>

#define RETRY_AFTER_FULL_DISK_MS 5000
#define RETRY_AFTER_LOAD_MS 500
#define RETRY_AFTER_REFUSAL_MS 100 /* the sender's device has heard of it by then */
#define REFUSED_FIRST 4u
#define AGAIN_MESSAGES_MAX 1024u /* so many beyond the bounds of a queue */

/* --- settling --- */

static void tell(struct mailbox *mailbox, const struct mailbox_deliver *deliver,
                 struct mailbox_settled *settled, struct blob *body) {
    settled->open = deliver->open;
    settled->time_ms = deliver->time_ms;
    settled->recipient.user = mailbox->user;
    if (actor_id_equal(deliver->sender_mailbox, actor_self())) {
        mailbox_settled(mailbox, settled, body);
        blob_release(body);
        return;
    }
    struct message *message = message_create(MAILBOX_SETTLED, sizeof(*settled));
    *message_as(message, struct mailbox_settled) = *settled;
    message->blob = body;
    if (actor_send(deliver->sender_mailbox, &message) != 0) {
        message_destroy(message); /* it asks again when it has waited long enough */
        actor_count("settled_dropped", 1);
    }
}

static void settle_ok(struct mailbox *mailbox, struct mailbox_deliver *deliver) {
    struct mailbox_settled settled = {
        .code = WIRE_CODE_OK,
        .recipient.device = deliver->kept.acknowledged,
        .sequence = deliver->kept.sequence,
        .acknowledged = deliver->kept.acknowledged != 0,
    };
    if (deliver->kept.settled)
        return;
    deliver->kept.settled = 1;
    tell(mailbox, deliver, &settled, NULL);
}

static bool is_retryable(int code) {
    return code == WIRE_CODE_STALE || code == WIRE_CODE_OVERLOADED ||
           code == WIRE_CODE_UNAVAILABLE || code == WIRE_CODE_LIMITED;
}

static void forget_refusal(struct affairs *affairs, unsigned at) {
    affairs->refused_count--;
    memmove(affairs->refused + at, affairs->refused + at + 1,
            (affairs->refused_count - at) * sizeof(*affairs->refused));
}

/* What this device sent after what is refused now, before it has heard of it, is refused too. */
static void remember_refusal(struct mailbox *mailbox, const struct mailbox_deliver *deliver,
                             int code) {
    struct affairs *affairs = affairs_of(mailbox);
    for (unsigned i = affairs->refused_count; i-- > 0;)
        if (actor_id_equal(affairs->refused[i].mailbox, deliver->sender_mailbox) &&
            affairs->refused[i].device == deliver->sender.device)
            forget_refusal(affairs, i);
    if (affairs->refused_count == MAILBOX_REFUSED_MAX) {
        actor_count("refusal_forgotten", 1);
        forget_refusal(affairs, 0);
    }
    if (affairs->refused_count == affairs->refused_capacity) {
        unsigned capacity =
            affairs->refused_capacity ? 2u * affairs->refused_capacity : REFUSED_FIRST;
        affairs->refused = actor_reallocate(affairs->refused, capacity * sizeof(*affairs->refused));
        affairs->refused_capacity = (uint8_t)capacity;
    }
    affairs->refused[affairs->refused_count++] =
        (struct refused_sender){deliver->sender_mailbox, deliver->sender.device, deliver->order,
                                mailbox_now(), (uint8_t)code};
    mailbox_tick_in(mailbox, MAILBOX_TICK_MS);
}

void mailbox_refusals_tick(struct mailbox *mailbox) {
    struct affairs *affairs = mailbox->affairs;
    if (!affairs || !affairs->refused)
        return;
    while (affairs->refused_count &&
           mailbox_now() - affairs->refused[0].time_ms > 2 * MAILBOX_PATIENCE_MS)
        forget_refusal(affairs, 0);
    if (affairs->refused_count)
        return;
    actor_free(affairs->refused);
    affairs->refused = NULL;
    affairs->refused_capacity = 0;
}

/* The code with which what came before was refused, if the sender hadn't heard of that; else 0. */
static int refused_before(const struct mailbox *mailbox, const struct mailbox_deliver *deliver) {
    const struct affairs *affairs = affairs_seen(mailbox);
    for (unsigned i = 0; i < affairs->refused_count; i++) {
        const struct refused_sender *refused = &affairs->refused[i];
        if (actor_id_equal(refused->mailbox, deliver->sender_mailbox) &&
            refused->device == deliver->sender.device && deliver->order <= refused->order)
            return refused->code;
    }
    return 0;
}

static uint32_t retry_after_ms(int code) {
    if (!is_retryable(code))
        return 0;
    if (code == WIRE_CODE_LIMITED)
        return RETRY_AFTER_REFUSAL_MS;
    return atomic_load_explicit(&node_current()->store_full, memory_order_relaxed)
               ? RETRY_AFTER_FULL_DISK_MS
               : RETRY_AFTER_LOAD_MS;
}

static void refuse(struct mailbox *mailbox, struct mailbox_deliver *deliver, int code) {
    struct mailbox_settled settled = {.code = code, .retry_after_ms = retry_after_ms(code)};
    bool from_elsewhere =
        !deliver->released && !actor_id_equal(deliver->sender_mailbox, actor_self());
    if (deliver->kept.settled)
        return;
    deliver->kept.settled = 1;
    if (from_elsewhere && (is_retryable(code) || code == WIRE_CODE_FULL))
        remember_refusal(mailbox, deliver, code == WIRE_CODE_FULL ? WIRE_CODE_LIMITED : code);
    actor_count(code == WIRE_CODE_FULL         ? "deliver_refused_full"
                : code == WIRE_CODE_STALE      ? "deliver_refused_stale"
                : code == WIRE_CODE_OVERLOADED ? "deliver_refused_overloaded"
                                               : "deliver_refused",
                1);
    tell(mailbox, deliver, &settled, code == WIRE_CODE_STALE ? mailbox_stale_body(mailbox) : NULL);
}

/* --- bodies --- */

static void body_take(struct entry *entry, struct message *body) {
    message_as(body, struct mailbox_deliver)->kept.waiting++;
    entry->deliver = body;
}

/* Gives up the entry's body; it goes with the last. */
static void body_drop(struct entry *entry) {
    struct message *body = entry->deliver;
    entry->deliver = NULL;
    if (--message_as(body, struct mailbox_deliver)->kept.waiting == 0)
        message_destroy(body);
}

void mailbox_entry_safe(struct mailbox *mailbox, struct device *device, struct entry *entry,
                        bool acknowledged) {
    struct mailbox_deliver *deliver = message_as(entry->deliver, struct mailbox_deliver);
    if (acknowledged && !deliver->kept.acknowledged)
        deliver->kept.acknowledged = device->number;
    if (deliver->kept.waiting == 1)
        settle_ok(mailbox, deliver);
    body_drop(entry);
}

void mailbox_entry_refuse(struct mailbox *mailbox, struct entry *entry, int code) {
    refuse(mailbox, message_as(entry->deliver, struct mailbox_deliver), code);
    body_drop(entry);
}

/* --- checks --- */

/* One device's copy: which slot it is for, and where its ciphertext lies in the blob. */
struct copy {
    struct device *device;
    uint16_t offset, length;
};

static struct wire_recipient_list recipients_of(const struct message *content,
                                                struct content_spans spans) {
    return (struct wire_recipient_list){.bytes = content->blob ? blob_bytes(content->blob) : NULL,
                                        .length = spans.recipients_bytes,
                                        .count = spans.recipients_count};
}

/* The copies for this user's devices. Their number, or -1 when one is for an unknown device, or for
 * `own`, or twice for the same. */
static int find_copies(const struct mailbox *mailbox, const struct message *content,
                       struct content_spans spans, const struct device *own,
                       struct copy copies[FORMAT_DEVICES_MAX]) {
    struct wire_recipient_list rest = recipients_of(content, spans);
    struct wire_recipient recipient;
    uint64_t seen = 0;
    int count = 0;
    while (wire_next_recipient(&rest, &recipient)) {
        if (recipient.user != mailbox->user)
            continue;
        struct device *device = mailbox_device((struct mailbox *)mailbox, recipient.device);
        uint64_t bit = device ? 1ull << (device - mailbox->devices) : 0;
        if (!device || !device->present || device == own || (seen & bit) ||
            count == FORMAT_DEVICES_MAX)
            return -1;
        seen |= bit;
        size_t offset = recipient.ciphertext.length
                            ? (size_t)(recipient.ciphertext.bytes - blob_bytes(content->blob))
                            : 0;
        CHECK(offset + recipient.ciphertext.length <= UINT16_MAX);
        copies[count++] =
            (struct copy){device, (uint16_t)offset, (uint16_t)recipient.ciphertext.length};
    }
    return count;
}

bool mailbox_list_matches(const struct mailbox *mailbox, const struct message *content,
                          struct content_spans spans, const struct device *own) {
    struct copy copies[FORMAT_DEVICES_MAX];
    int count = find_copies(mailbox, content, spans, own, copies);
    return count >= 0 && (unsigned)count + (own != NULL) == mailbox_devices_present(mailbox);
}

/* The entry that this mail already has in the queue, or NULL. */
static struct entry *find_duplicate(struct queue *queue, const struct mailbox_deliver *deliver) {
    for (uint64_t index = queue->tail; index-- > queue->head;) {
        struct entry *entry = queue_at(queue, index);
        if (entry->state != ENTRY_GONE && entry->kind == RECORD_MAIL &&
            memcmp(entry->id, deliver->id, sizeof(entry->id)) == 0 &&
            entry->sender_user == deliver->sender.user &&
            entry->sender_device == deliver->sender.device)
            return entry;
    }
    return NULL;
}

/* Is there no room for so many bytes from this user (0: there is no share to look at)? */
static bool is_full(struct queue *queue, uint64_t sender, uint32_t bytes, bool again) {
    const struct node_limits *limits = &node_current()->limits;
    uint32_t more_messages = again ? AGAIN_MESSAGES_MAX : 0;
    uint64_t more_bytes = again ? limits->queue_bytes_max / 4 : 0;
    return queue->tail - queue->head >= QUEUE_ENTRIES_MAX ||
           queue->mails >= (uint64_t)limits->queue_messages_max + more_messages ||
           queue->mail_bytes + bytes > limits->queue_bytes_max + more_bytes ||
           (sender && !shares_allow(queue, sender, bytes, more_messages, more_bytes));
}

int mailbox_own_room(const struct mailbox *mailbox, const struct message *content,
                     struct content_spans spans, const struct device *own, bool again) {
    struct copy copies[FORMAT_DEVICES_MAX];
    int count = find_copies(mailbox, content, spans, own, copies);
    for (int i = 0; i < count; i++) {
        struct queue *queue = copies[i].device->queue; /* NULL: it is empty */
        if (queue && is_full(queue, 0, copies[i].length + spans.external_bytes, again))
            return WIRE_CODE_FULL;
    }
    return 0;
}

/* 0, or why there is no room for this copy. */
static int check_room(struct mailbox *mailbox, const struct mailbox_deliver *deliver,
                      const struct copy *copy) {
    struct queue *queue = queue_of(copy->device);
    uint32_t bytes = copy->length + deliver->spans.external_bytes;
    bool is_own = deliver->sender.user == mailbox->user && !deliver->released;
    uint64_t sharer = deliver->released ? 0 : deliver->sender.user;
    if (!is_own && is_full(queue, sharer, bytes, deliver->again && !deliver->released))
        return WIRE_CODE_FULL;
    bool to_store = !device_is_online(copy->device) || queue->sent < queue->tail;
    return to_store && store_refuses(mailbox) ? WIRE_CODE_OVERLOADED : 0;
}

static int check(struct mailbox *mailbox, const struct mailbox_deliver *deliver,
                 const struct copy *copies, int count, const struct device *own) {
    if (mailbox->absent)
        return WIRE_CODE_NOT_FOUND;
    if (affairs_seen(mailbox)->refused_count && !deliver->released) {
        int code = refused_before(mailbox, deliver);
        if (code)
            return code;
    }
    bool listed = deliver->version == mailbox->list_version &&
                  (unsigned)count + (own != NULL) == mailbox_devices_present(mailbox);
    if (count < 0 || (!listed && !deliver->released))
        return WIRE_CODE_STALE;
    for (int i = 0; i < count; i++) {
        int code = check_room(mailbox, deliver, &copies[i]);
        if (code && !(deliver->again && find_duplicate(queue_of(copies[i].device), deliver)))
            return code;
    }
    return 0;
}

/* --- queueing --- */

static void append(struct mailbox *mailbox, struct message *message, const struct copy *copy) {
    struct mailbox_deliver *deliver = message_as(message, struct mailbox_deliver);
    struct device *device = copy->device;
    struct entry *entry = queue_append(mailbox, device);
    actor_ensure(entry, -ENOSPC); /* the quota is lower than the queue's bound by far */
    memcpy(entry->id, deliver->id, sizeof(entry->id));
    entry->kind = RECORD_MAIL;
    entry->sender_user = deliver->sender.user;
    entry->sender_device = deliver->sender.device;
    entry->bytes = copy->length + deliver->spans.external_bytes;
    entry->offset = copy->offset;
    entry->length = copy->length;
    body_take(entry, message);
    queue_count(device, entry);
    if (!deliver->kept.sequence)
        deliver->kept.sequence = entry->sequence;
}

/* The copy is known: the entry changes its body unless it is safe already. */
static void join(struct entry *entry, struct message *message, const struct copy *copy) {
    struct mailbox_deliver *deliver = message_as(message, struct mailbox_deliver);
    actor_count("deliver_duplicate", 1);
    if (!deliver->kept.sequence)
        deliver->kept.sequence = entry->sequence;
    if (entry->state == ENTRY_STORED)
        return;
    message_as(entry->deliver, struct mailbox_deliver)->kept.settled = 1;
    body_drop(entry);
    entry->offset = copy->offset;
    entry->length = copy->length;
    body_take(entry, message);
}

/* Is there news in this queue that is in memory alone? */
static bool has_unsafe_status(const struct queue *queue) {
    uint64_t unsafe = queue->statuses;
    for (uint64_t index = queue->tail; unsafe && index-- > queue->head;) {
        const struct entry *entry = queue_at(queue, index);
        if (entry->state == ENTRY_GONE || entry->kind != RECORD_STATUS)
            continue;
        if (entry->state != ENTRY_STORED)
            return true;
        unsafe--;
    }
    return false;
}

/* The entry that a copy need not be queued beside, or NULL. A copy for one's own devices vouches
 * for the news in front of it (mailbox_send.c): one that is in front of them does not. */
static struct entry *find_known(struct queue *queue, const struct mailbox_deliver *deliver,
                                bool is_own) {
    if (!deliver->again || (is_own && has_unsafe_status(queue)))
        return NULL;
    return find_duplicate(queue, deliver);
}

static void take(struct mailbox *mailbox, struct message *message, const struct copy *copies,
                 int count, bool is_own) {
    struct mailbox_deliver *deliver = message_as(message, struct mailbox_deliver);
    uint32_t fresh = 0;
    deliver->kept.waiting = 1; /* ours, while we look at it */
    for (int i = 0; i < count; i++) {
        struct queue *queue = queue_of(copies[i].device);
        struct entry *known = find_known(queue, deliver, is_own);
        if (known) {
            join(known, message, &copies[i]);
        } else {
            append(mailbox, message, &copies[i]);
            fresh |= 1u << i;
        }
    }
    for (int i = 0; i < count; i++)
        if (fresh & 1u << i)
            queue_place(mailbox, copies[i].device);
    if (deliver->kept.waiting == 1)
        settle_ok(mailbox, deliver);
    if (--deliver->kept.waiting == 0)
        message_destroy(message);
}

static void say_met(struct mailbox *mailbox, struct actor_id sender) {
    struct message *message = message_create(MAILBOX_MET, sizeof(struct mailbox_met));
    message_as(message, struct mailbox_met)->user = mailbox->user;
    if (actor_send(sender, &message) != 0)
        message_destroy(message); /* what it sends then is overdue, and comes again */
}

void mailbox_deliver(struct mailbox *mailbox, struct message **message, const struct device *own) {
    struct mailbox_deliver *deliver = message_as(*message, struct mailbox_deliver);
    struct copy copies[FORMAT_DEVICES_MAX];
    memset(&deliver->kept, 0, sizeof(deliver->kept));
    if (deliver->meet)
        say_met(mailbox, deliver->sender_mailbox);
    int count = find_copies(mailbox, *message, deliver->spans, own, copies);
    int code = check(mailbox, deliver, copies, count, own);
    if (code)
        refuse(mailbox, deliver, code);
    else
        take(mailbox, message_keep(message), copies, count, own != NULL);
}

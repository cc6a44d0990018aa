/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device's queue: mail and statuses in the order of their arrival, each until the device has
 * acknowledged it.
 *
 *   append ─► HELD ──acknowledged in time──────────────────────────► gone; never written
 *               └──hold ends, offline, no room in the window──► COMMITTING ─► STORED ─► gone
 *
 * Entries are in a ring by rising index. [head, sent) is in flight or acknowledged out of order,
 * [sent, tail) waits. A device that attaches again begins at `head`: what it was sent before keeps
 * its cursor, which is the index + 1, and is read from the store if it is there by now.
 *
 * The order of a queue never changes: mail is sent at once only when nothing waits before it.
 */
#include "actors/mailbox_internal.h"
#include "actors/measures.h"
#include "net/wire.h"
#include "runtime/planted_internal.h"

#include <string.h>

#define RING_FIRST 1u /* a million people who get one mail each have a million rings */
#define SEQUENCE_BLOCK 4096u
#define HOLD_UNKNOWN_MS 100u    /* before a device has acknowledged anything */
#define ACK_SAMPLE_MS_MAX 4000u /* longer ones count as this: eight of it fit 16 bits */
#define EXPIRE_AT_ONCE_MAX 32u  /* each moves what is behind it */

/* --- the ring --- */

static bool grow(struct queue *queue) {
    uint32_t capacity = queue->capacity ? 2 * queue->capacity : RING_FIRST;
    if (capacity > QUEUE_ENTRIES_MAX)
        return false;
    struct entry *ring = actor_allocate(capacity * sizeof(*ring));
    for (uint64_t i = queue->head; i < queue->tail; i++)
        ring[i & (capacity - 1)] = *queue_at(queue, i);
    actor_free(queue->ring);
    queue->ring = ring;
    queue->capacity = capacity;
    return true;
}

struct queue *queue_make(struct device *device) {
    uint64_t index = device->queue_index;
    device->queue = actor_allocate(sizeof(*device->queue));
    *device->queue = (struct queue){.head = index, .sent = index, .sent_top = index, .tail = index};
    return device->queue;
}

void queue_free(struct device *device) {
    struct queue *queue = device->queue;
    CHECK(queue->head == queue->tail);
    device->queue_index = queue->tail;
    device->queue = NULL;
    actor_free(queue->ring);
    actor_free(queue->shares);
    actor_free(queue);
}

/* Asks for the next block of sequences when half of this one is used. */
static void reserve(struct device *device) {
    if (device->sequence_next + SEQUENCE_BLOCK / 2 <= device->sequence_reserved)
        return;
    device->sequence_reserved = device->sequence_next + SEQUENCE_BLOCK;
    device->record_now = true;
}

struct entry *queue_append(struct mailbox *mailbox, struct device *device) {
    struct queue *queue = queue_of(device);
    if (!queue->ring)
        mailbox_tick_in(mailbox, MAILBOX_PATIENCE_MS); /* which gives it back */
    if (queue->tail - queue->head == queue->capacity && !grow(queue))
        return NULL;
    reserve(device);
    struct entry *entry = queue_at(queue, queue->tail);
    *entry = (struct entry){.sequence = device->sequence_next++,
                            .time_s = (uint32_t)(actor_wall_ms() / 1000),
                            .sent_ms = mailbox_now(),
                            .state = ENTRY_HELD};
    if (queue->held++ == 0)
        queue->held_low = queue->tail;
    queue->tail++;
    device->busy = true;
    return entry;
}

void queue_append_stored(struct device *device, const struct entry *entry) {
    struct queue *queue = queue_of(device);
    if (queue->tail - queue->head == queue->capacity && !grow(queue))
        return; /* it stays in the store */
    *queue_at(queue, queue->tail++) = *entry;
    queue_count(device, entry);
}

uint64_t queue_find(const struct queue *queue, uint64_t sequence) {
    uint64_t low = queue->head, high = queue->tail;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (queue_at(queue, middle)->sequence < sequence)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < queue->tail && queue_at(queue, low)->sequence == sequence &&
                 queue_at(queue, low)->state != ENTRY_GONE;
    return found ? low : UINT64_MAX;
}

void queue_count(struct device *device, const struct entry *entry) {
    struct queue *queue = queue_of(device);
    if (entry->kind == RECORD_STATUS) {
        queue->statuses++;
        return;
    }
    queue->mails++;
    queue->mail_bytes += entry->bytes;
    shares_add(queue, entry);
}

static void uncount(struct queue *queue, const struct entry *entry) {
    if (entry->kind == RECORD_STATUS) {
        queue->statuses--;
        return;
    }
    queue->mails--;
    queue->mail_bytes -= entry->bytes;
    shares_remove(queue, entry);
}

static void leave_flight(struct queue *queue, uint64_t index, const struct entry *entry) {
    if (index >= queue->sent || (entry->flags & ENTRY_REFUSED))
        return;
    queue->in_flight--;
    queue->in_flight_bytes -= entry->bytes;
    queue->statuses_in_flight -= entry->kind == RECORD_STATUS;
}

/* An entry that has no cursor yet leaves no gap. */
static void close_gap(struct queue *queue, uint64_t index) {
    for (uint64_t i = index; i + 1 < queue->tail; i++)
        *queue_at(queue, i) = *queue_at(queue, i + 1);
    queue->tail--;
    if (queue->held_low > index)
        queue->held_low--;
}

void queue_remove(struct mailbox *mailbox, struct device *device, uint64_t index, bool erase) {
    struct queue *queue = queue_of(device);
    struct entry *entry = queue_at(queue, index);
    CHECK(entry->state != ENTRY_GONE && !entry->deliver);
    bool written = entry->state == ENTRY_STORED || (entry->flags & ENTRY_FLYING);
    if (erase && written)
        store_delete(mailbox, device->number, entry->sequence);
    uncount(queue, entry);
    leave_flight(queue, index, entry);
    queue->held -= entry->state == ENTRY_HELD;
    entry->state = ENTRY_GONE;
    device->busy = true;
    if (index >= queue->sent_top)
        close_gap(queue, index);
    while (queue->head < queue->sent_top && queue_at(queue, queue->head)->state == ENTRY_GONE)
        queue->head++;
    if (queue->sent < queue->head)
        queue->sent = queue->head;
}

void queue_rewind(struct queue *queue) {
    queue->sent = queue->head;
    queue->in_flight = queue->in_flight_bytes = queue->statuses_in_flight = 0;
}

/* --- hold --- */

void queue_store(struct mailbox *mailbox, struct device *device, struct entry *entry) {
    CHECK(entry->state == ENTRY_HELD);
    entry->state = ENTRY_COMMITTING;
    queue_of(device)->held--;
    store_put(mailbox, device, entry);
}

void queue_store_held(struct mailbox *mailbox, struct device *device) {
    struct queue *queue = queue_of(device);
    uint64_t index = queue->held_low > queue->head ? queue->held_low : queue->head;
    for (; queue->held && index < queue->tail; index++)
        if (queue_at(queue, index)->state == ENTRY_HELD)
            queue_store(mailbox, device, queue_at(queue, index));
    queue->held_low = index;
}

/* As TCP waits for an acknowledgement (RFC 6298): the smoothed time and four deviations of it, for
 * under load times scatter, and what is stored although its acknowledgement was on its way was
 * stored for nothing. At least twice the smoothed time. */
static uint32_t hold_ms(const struct device *device) {
    const struct node_limits *limits = &node_current()->limits;
    uint32_t twice_ms = device->ack_ms8 / 4u;
    uint32_t ms = device->ack_ms8 / 8u + device->ack_deviation_ms4;
    if (!device->ack_ms8)
        ms = HOLD_UNKNOWN_MS;
    ms = ms < twice_ms ? twice_ms : ms;
    ms = ms < limits->hold_ms_min ? limits->hold_ms_min : ms;
    return ms > limits->hold_ms_max ? limits->hold_ms_max : ms;
}

void queue_hold_begin(struct mailbox *mailbox, struct device *device) {
    if (!mailbox->hold_timed)
        actor_timer_start(hold_ms(device), MAILBOX_HOLD_ENDS, 0);
    mailbox->hold_timed = true;
}

/* Stores what has been held long enough; returns how long the next one still may be, or 0. */
static uint32_t hold_expire(struct mailbox *mailbox, struct device *device) {
    struct queue *queue = queue_of(device);
    uint32_t patience_ms = hold_ms(device), now_ms = mailbox_now();
    uint64_t index = queue->held_low > queue->head ? queue->held_low : queue->head;
    for (; queue->held && index < queue->tail; index++) {
        struct entry *entry = queue_at(queue, index);
        if (entry->state != ENTRY_HELD)
            continue;
        uint32_t held_ms = now_ms - entry->sent_ms;
        if (held_ms < patience_ms) {
            queue->held_low = index;
            return patience_ms - held_ms;
        }
        actor_count("hold_ended", 1);
        queue_store(mailbox, device, entry);
    }
    queue->held_low = index;
    return 0;
}

void queue_hold_ends(struct mailbox *mailbox) {
    uint32_t next_ms = 0;
    mailbox->hold_timed = false;
    for (unsigned i = 0; i < mailbox->slots; i++) {
        struct device *device = &mailbox->devices[i];
        if (!device->number || !device->queue || !device->queue->held)
            continue;
        uint32_t left_ms = hold_expire(mailbox, device);
        if (left_ms && (!next_ms || left_ms < next_ms))
            next_ms = left_ms;
        queue_pump(mailbox, device, NULL);
    }
    if (next_ms)
        actor_timer_start(next_ms, MAILBOX_HOLD_ENDS, 0);
    mailbox->hold_timed |= next_ms > 0;
}

/* Does the first in line wait for something that comes soon? Then what is behind it waits too: for
 * its sequence to be durable, or, a status, for company. */
static bool waits(const struct device *device, uint64_t index) {
    const struct queue *queue = device->queue; /* the entry is in it */
    const struct entry *first = queue_at(queue, queue->sent);
    return device_is_online(device) && !device->stuck && first->state == ENTRY_HELD &&
           (first->sequence >= device->sequence_durable ||
            (queue->sent == index && first->kind == RECORD_STATUS));
}

/* Must it be safe no later than this mail, which is behind it? What is of the same sender must:
 * else it could be refused by a full disk, or go with this mailbox, and come again behind it. So
 * must a status in front of a copy of what another of one's own devices has sent (mailbox_send.c).
 */
static bool precedes(const struct mailbox *mailbox, const struct entry *entry,
                     const struct entry *mail) {
    if (entry->kind == RECORD_STATUS)
        return mail->sender_user == mailbox->user;
    return entry->sender_user == mail->sender_user && entry->sender_device == mail->sender_device;
}

void queue_store_in_order(struct mailbox *mailbox, struct device *device, uint64_t index) {
    struct queue *queue = queue_of(device);
    struct entry *last = queue_at(queue, index);
    uint64_t at = queue->held_low > queue->head ? queue->held_low : queue->head;
    for (; last->kind == RECORD_MAIL && queue->held > 1 && at < index; at++) {
        struct entry *entry = queue_at(queue, at);
        if (entry->state == ENTRY_HELD && precedes(mailbox, entry, last))
            queue_store(mailbox, device, entry);
    }
    if (last->state == ENTRY_HELD) /* else it is on its way: the pump has met blame */
        queue_store(mailbox, device, last);
}

void queue_place(struct mailbox *mailbox, struct device *device) {
    const struct node *node = node_current();
    struct queue *queue = queue_of(device);
    uint64_t index = queue->tail - 1;
    queue_pump(mailbox, device, NULL);
    bool sent = queue->sent > index;
    if (node->limits.hold && (sent || waits(device, index)) &&
        !atomic_load_explicit(&node->draining, memory_order_relaxed))
        queue_hold_begin(mailbox, device);
    else
        queue_store_in_order(mailbox, device, index);
}

/* How long it took since its sender's mailbox had taken it. */
static void measure_delivery(const struct mailbox *mailbox, const struct entry *entry) {
    bool stored = entry->state == ENTRY_STORED;
    uint64_t now_ms = actor_wall_ms();
    uint64_t then_ms = stored ? entry->time_s * 1000ull
                              : message_as(entry->deliver, struct mailbox_deliver)->time_ms;
    measure_time(stored ? MEASURE_DELIVERY_STORAGE : MEASURE_DELIVERY_MEMORY,
                 now_ms > then_ms ? now_ms - then_ms : 0);
    measure_user_active(mailbox->user, now_ms);
}

static void note_ack_time(struct device *device, const struct entry *entry) {
    uint32_t ms = mailbox_now() - entry->sent_ms;
    if (entry->attempt > 1 || ms > 60000)
        return;
    ms = ms == 0 ? 1 : ms > ACK_SAMPLE_MS_MAX ? ACK_SAMPLE_MS_MAX : ms;
    if (!device->ack_ms8) {
        device->ack_ms8 = (uint16_t)(8 * ms);
        device->ack_deviation_ms4 = (uint16_t)(2 * ms);
        return;
    }
    uint32_t smoothed_ms = device->ack_ms8 / 8u;
    uint32_t off_ms = ms > smoothed_ms ? ms - smoothed_ms : smoothed_ms - ms;
    device->ack_deviation_ms4 =
        (uint16_t)(device->ack_deviation_ms4 - device->ack_deviation_ms4 / 4 + off_ms);
    device->ack_ms8 = (uint16_t)(device->ack_ms8 - device->ack_ms8 / 8 + ms);
}

/* --- acknowledgements --- */

static int refusal_state(const struct entry *entry) {
    return entry->flags & ENTRY_FAILED ? WIRE_STATE_FAILED : WIRE_STATE_UNDECRYPTABLE;
}

/* Stored mail goes when its sender's mailbox has taken the report; a copy has nobody to tell. */
static void retire_stored(struct mailbox *mailbox, struct device *device, uint64_t index,
                          int state) {
    struct entry *entry = queue_at(queue_of(device), index);
    bool told = entry_has_sender(mailbox, entry);
    if (told)
        mailbox_report(mailbox, device, entry, state, true);
    queue_remove(mailbox, device, index, !told);
}

/* The device will not use it: that is reported durably, so it is stored first. */
static void refuse_held(struct mailbox *mailbox, struct device *device, uint64_t index,
                        struct entry *entry) {
    leave_flight(queue_of(device), index, entry);
    entry->flags |= ENTRY_REFUSED;
    if (entry->state == ENTRY_HELD)
        queue_store(mailbox, device, entry);
}

static void ack_one(struct mailbox *mailbox, struct device *device, uint64_t index,
                    uint32_t error) {
    struct queue *queue = queue_of(device);
    struct entry *entry = queue_at(queue, index);
    if (entry->state == ENTRY_GONE || (entry->flags & ENTRY_REFUSED))
        return;
    if (index < queue->sent)
        note_ack_time(device, entry);
    if (error && error != WIRE_REFUSAL_UNDECRYPTABLE)
        entry->flags |= ENTRY_FAILED;
    if (error)
        actor_count("mail_acknowledged_with_error", 1);
    else if (entry->kind == RECORD_MAIL)
        measure_delivery(mailbox, entry);
    if (entry->state == ENTRY_STORED) {
        retire_stored(mailbox, device, index, error ? refusal_state(entry) : WIRE_STATE_DELIVERED);
    } else if (error && entry_has_sender(mailbox, entry)) {
        refuse_held(mailbox, device, index, entry);
    } else {
        if (entry->kind == RECORD_MAIL)
            mailbox_entry_safe(mailbox, device, entry, true);
        else
            mailbox_status_safe(mailbox, entry);
        queue_remove(mailbox, device, index, true);
    }
}

static void ack_cursor(struct mailbox *mailbox, struct device *device, uint64_t cursor,
                       uint32_t error) {
    const struct queue *queue = queue_of(device);
    if (cursor == 0 || cursor > queue->sent_top)
        actor_count("ack_junk", 1);
    else if (cursor > queue->head)
        ack_one(mailbox, device, cursor - 1, error);
}

void queue_ack_up_to(struct mailbox *mailbox, struct device *device, uint64_t cursor) {
    struct queue *queue = queue_of(device);
    if (cursor > queue->sent_top) {
        actor_count("ack_junk", 1);
        return;
    }
    if (PLANTED(CURSOR_OFF_BY_ONE) && cursor && cursor < queue->sent_top)
        cursor++;
    for (uint64_t index = queue->head; index < cursor; index++)
        ack_one(mailbox, device, index, 0);
}

void queue_ack(struct mailbox *mailbox, struct device *device, struct message *message) {
    const struct mailbox_ack *ack = message_as(message, struct mailbox_ack);
    const uint64_t *singles = (const uint64_t *)(ack + 1);
    const struct mailbox_ack_error *errors =
        (const struct mailbox_ack_error *)(singles + ack->single_count);
    size_t bytes =
        sizeof(*ack) + ack->single_count * sizeof(*singles) + ack->error_count * sizeof(*errors);
    if (message->payload_bytes < bytes) {
        actor_count("ack_junk", 1);
        return;
    }
    for (unsigned i = 0; i < ack->error_count; i++)
        ack_cursor(mailbox, device, errors[i].cursor, errors[i].error ? errors[i].error : 1);
    for (unsigned i = 0; i < ack->single_count; i++)
        ack_cursor(mailbox, device, singles[i], 0);
    queue_ack_up_to(mailbox, device, ack->up_to);
    queue_pump(mailbox, device, NULL);
}

/* --- expiry --- */

bool queue_expire(struct mailbox *mailbox, struct device *device) {
    const struct queue *queue = device->queue;
    if (!queue)
        return false;
    uint64_t limit_s = node_current()->limits.mail_expiry_ms / 1000;
    uint64_t now_s = actor_wall_ms() / 1000;
    uint64_t index = device_is_online(device) ? queue->sent : queue->head;
    unsigned expired = 0;
    while (index < queue->tail && expired < EXPIRE_AT_ONCE_MAX) {
        struct entry *entry = queue_at(queue, index);
        bool old = entry->time_s + limit_s <= now_s;
        bool stored = entry->state == ENTRY_STORED && !(entry->flags & ENTRY_REFUSED);
        bool was_given = index < queue->sent_top;
        if (stored && !old)
            return false;
        if (stored) {
            actor_count("mail_expired", entry->kind == RECORD_MAIL);
            retire_stored(mailbox, device, index, WIRE_STATE_EXPIRED);
            expired++;
        }
        index += !stored || was_given; /* else the next one has taken its place */
        if (index < queue->head)
            index = queue->head;
    }
    return index < queue->tail;
}

void queue_abandon(struct mailbox *mailbox, struct device *device) {
    struct queue *queue = device->queue;
    if (!queue)
        return;
    for (uint64_t index = queue->head; index < queue->tail; index++) {
        struct entry *entry = queue_at(queue, index);
        bool written = entry->state == ENTRY_STORED || (entry->flags & ENTRY_FLYING);
        bool told = entry->state == ENTRY_STORED && entry_has_sender(mailbox, entry);
        if (entry->state == ENTRY_GONE)
            continue;
        if (told)
            mailbox_report(mailbox, device, entry, WIRE_STATE_FAILED, true);
        else if (written)
            store_delete(mailbox, device->number, entry->sequence);
        if (entry->deliver && entry->kind == RECORD_MAIL)
            mailbox_entry_refuse(mailbox, entry, WIRE_CODE_STALE);
        else if (entry->deliver)
            mailbox_status_safe(mailbox, entry);
        actor_count("mail_abandoned", entry->kind == RECORD_MAIL);
    }
    queue->head = queue->sent = queue->sent_top = queue->tail;
    queue_free(device);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the mailbox writes and reads.
 *
 * Synced batches (mail, statuses, blocks of sequences) go to the committer one at a time, with all
 * that has gathered meanwhile in the next: so they keep their order, and one that was lost with the
 * committer, or came back from it, is simply made again, from the entries that are still there. The
 * keys of mail must be put only once; what may have been written by a lost batch is therefore
 * deleted before it is put again, in the same batch.
 *
 * Deletes are not synced and not answered. One that is lost leaves mail in the store that has been
 * acknowledged: the next incarnation delivers it again, and the device drops it.
 */
#include "actors/mailbox_internal.h"
#include "net/wire.h"
#include "runtime/log.h"

#include <errno.h>
#include <string.h>

#define BATCH_BYTES_MAX (4u << 20)
#define BATCH_BYTES_GOAL (1u << 20) /* a batch is closed beyond this */
#define COMMIT_AGAIN_MS 20
#define FULL_AGAIN_MS 1000
#define PUTS_FIRST 8u
#define PENDING_MAX 8192u /* puts that wait; beyond, new mail is refused */

struct store *store_make(struct mailbox *mailbox) {
    mailbox->store = actor_allocate(sizeof(*mailbox->store));
    *mailbox->store = (struct store){0};
    mailbox_tick_in(mailbox, MAILBOX_PATIENCE_MS); /* which gives it back */
    return mailbox->store;
}

/* --- lists of entries --- */

static uint32_t puts_count(const struct puts *puts) {
    return puts ? puts->count : 0;
}

static void puts_add(struct puts **list, uint32_t device, uint64_t sequence) {
    struct puts *puts = *list;
    if (!puts || puts->count == puts->capacity) {
        uint32_t capacity = puts ? 2 * puts->capacity : PUTS_FIRST;
        puts = actor_reallocate(puts, sizeof(*puts) + capacity * sizeof(puts->items[0]));
        puts->count = *list ? puts->count : 0;
        puts->capacity = capacity;
        *list = puts;
    }
    puts->items[puts->count++] = (struct put){sequence, device};
}

static void puts_free(struct puts **list) {
    actor_free(*list);
    *list = NULL;
}

void store_put(struct mailbox *mailbox, struct device *device, struct entry *entry) {
    puts_add(&store_of(mailbox)->pending, device->number, entry->sequence);
}

void store_delete(struct mailbox *mailbox, uint32_t device, uint64_t sequence) {
    puts_add(&store_of(mailbox)->deletes, device, sequence);
}

/* The entry of a put, if it is still to be written. */
static struct entry *entry_of(struct mailbox *mailbox, const struct put *put,
                              struct device **device, uint64_t *index) {
    *device = mailbox_device(mailbox, put->device);
    if (!*device)
        return NULL;
    *index = queue_find(queue_of(*device), put->sequence);
    if (*index == UINT64_MAX)
        return NULL;
    struct entry *entry = queue_at(queue_of(*device), *index);
    return entry->state == ENTRY_COMMITTING ? entry : NULL;
}

/* --- to the committer --- */

static bool find_committer(struct store *store) {
    if (store->committer.bits)
        return true;
    store->committer = actor_whereis(COMMITTER_NAME);
    if (!store->committer.bits)
        return false;
    store->monitor = actor_monitor(store->committer);
    return true;
}

static void forget_committer(struct store *store) {
    if (store->monitor)
        actor_unmonitor(store->monitor);
    store->monitor = 0;
    store->committer = ACTOR_NOBODY;
}

static bool send_batch(struct mailbox *mailbox, struct write_batch *batch, bool sync) {
    struct store *store = store_of(mailbox);
    struct engine_bytes bytes = write_batch_bytes(batch);
    struct message *message;
    if (!find_committer(store))
        return false;
    message = message_create(COMMITTER_COMMIT, sizeof(struct commit_request));
    *message_as(message, struct commit_request) =
        (struct commit_request){.reply_to = sync ? actor_self() : ACTOR_NOBODY,
                                .reference = store->reference,
                                .sync = sync};
    message->blob = blob_copy_of(bytes.data, bytes.size);
    if (actor_send(store->committer, &message) == 0)
        return true;
    message_destroy(message);
    actor_count("commit_refused", 1);
    return false;
}

static void pause(struct mailbox *mailbox, uint64_t delay_ms) {
    struct store *store = store_of(mailbox);
    if (store->paused)
        return;
    store->paused = true;
    actor_timer_start(delay_ms, COMMIT_AGAIN, 0);
}

/* --- building --- */

static void append_mail(struct mailbox *mailbox, struct write_batch *batch, uint32_t device,
                        const struct entry *entry) {
    const struct mailbox_deliver *deliver = message_as(entry->deliver, struct mailbox_deliver);
    const struct record_mail record = {
        .chat = deliver->chat,
        .sender_user = deliver->sender.user,
        .sender_device = deliver->sender.device,
        .kind = deliver->content_kind,
        .flags = deliver->flags,
        .accepted_ms = deliver->time_ms,
        .clock_lamport = deliver->lamport,
        .clock_count = deliver->chat_n,
        .ciphertext_bytes = entry->length,
        .external_bytes = deliver->spans.external_bytes,
    };
    struct record_mail named = record;
    memcpy(named.message_id, deliver->id, sizeof(named.message_id));
    const uint8_t *content = entry->deliver->blob ? blob_bytes(entry->deliver->blob) : NULL;
    mail_append(batch, mailbox->user, device, entry->sequence, &named, content + entry->offset,
                content + deliver->spans.recipients_bytes);
}

static void append_status(struct mailbox *mailbox, struct write_batch *batch, uint32_t device,
                          const struct entry *entry) {
    const struct status_body *body = entry->status;
    const struct record_status record = {
        .state = (enum record_state)(body->state - 1), /* see the assertions below */
        .peer_user = body->peer.user,
        .peer_device = body->peer.device,
        .chat = body->chat,
        .time_ms = body->time_ms,
        .ids_count = body->count,
    };
    mail_append_status(batch, mailbox->user, device, entry->sequence, &record, body->ids);
}
_Static_assert((int)RECORD_STATE_DELIVERED == (int)WIRE_STATE_DELIVERED - 1, "one below");
_Static_assert((int)RECORD_STATE_FAILED == (int)WIRE_STATE_FAILED - 1, "one below");

static void append_record(struct mailbox *mailbox, struct write_batch *batch,
                          struct device *device) {
    uint64_t mark = mailbox_sends_mark(&device->sends);
    const struct record_queue record = {
        .sequence_reserved = device->sequence_reserved,
        .send_high = mark - 1,
        .suspect_sequence = device->queue ? device->queue->suspect_sequence : 0,
        .suspect_attempts = device->queue ? device->queue->suspect_attempts : 0,
    };
    mail_put_queue(batch, mailbox->user, device->number, &record);
    device->sends.ok_saved = mark;
}

/* `again`: an earlier batch with this may have been written. True: it is mail, which grows the
 * store; a batch without any may use the reserve. */
static bool append_put(struct mailbox *mailbox, struct write_batch *batch, const struct put *put,
                       bool again) {
    struct device *device;
    uint64_t index;
    struct entry *entry = entry_of(mailbox, put, &device, &index);
    if (again)
        mail_delete(batch, mailbox->user, put->device, &put->sequence, 1);
    if (!entry)
        return false; /* acknowledged meanwhile */
    entry->flags |= ENTRY_FLYING;
    if (entry->kind == RECORD_MAIL)
        append_mail(mailbox, batch, put->device, entry);
    else
        append_status(mailbox, batch, put->device, entry);
    return entry->kind == RECORD_MAIL;
}

static bool wants_record(const struct device *device) {
    return device->number && device->present && (device->record_now || device->record_due);
}

static void append_records(struct mailbox *mailbox, struct write_batch *batch) {
    for (unsigned i = 0; i < mailbox->slots; i++) {
        struct device *device = &mailbox->devices[i];
        if (!wants_record(device))
            continue;
        append_record(mailbox, batch, device);
        device->flying = (uint32_t)(device->sequence_reserved - device->sequence_durable);
        device->record_now = device->record_due = device->record_soon = false;
    }
}

/* Moves what fits of `pending` to `flying`, into the batch. */
static bool append_pending(struct mailbox *mailbox, struct write_batch *batch) {
    struct store *store = store_of(mailbox);
    uint32_t taken = 0;
    bool mail = false;
    uint32_t count = puts_count(store->pending);
    while (taken < count && batch->size < BATCH_BYTES_GOAL)
        mail |= append_put(mailbox, batch, &store->pending->items[taken++], false);
    if (taken == count) {
        puts_free(&store->flying);
        store->flying = store->pending;
        store->pending = NULL;
        return mail;
    }
    for (uint32_t i = 0; i < taken; i++)
        puts_add(&store->flying, store->pending->items[i].device,
                 store->pending->items[i].sequence);
    memmove(store->pending->items, store->pending->items + taken,
            (count - taken) * sizeof(store->pending->items[0]));
    store->pending->count -= taken;
    return mail;
}

static void take_off(struct mailbox *mailbox, bool again) {
    struct store *store = store_of(mailbox);
    struct write_batch batch;
    bool mail = false;
    write_batch_init(&batch, BATCH_BYTES_MAX);
    if (again) {
        for (unsigned i = 0; i < mailbox->slots; i++)
            mailbox->devices[i].record_due |= mailbox->devices[i].flying != 0;
        for (uint32_t i = 0; i < puts_count(store->flying); i++)
            mail |= append_put(mailbox, &batch, &store->flying->items[i], true);
    } else {
        mail = append_pending(mailbox, &batch);
    }
    append_records(mailbox, &batch);
    CHECK(batch.error == 0);
    batch.urgency = mail ? WRITE_GROWS : WRITE_ESSENTIAL;
    store->reference = ++mailbox->references;
    store->flies = true;
    store->sent_ms = mailbox_now();
    if (!send_batch(mailbox, &batch, true))
        pause(mailbox, COMMIT_AGAIN_MS);
    write_batch_finish(&batch);
}

/* --- unsynced --- */

static void flush_deletes(struct mailbox *mailbox) {
    const struct puts *deletes = mailbox->store->deletes;
    struct write_batch batch;
    write_batch_init(&batch, BATCH_BYTES_MAX);
    for (uint32_t i = 0; i < deletes->count && !batch.error; i++)
        mail_delete(&batch, mailbox->user, deletes->items[i].device, &deletes->items[i].sequence,
                    1);
    if (batch.error || !send_batch(mailbox, &batch, false))
        actor_count("mail_deletes_lost", deletes->count);
    write_batch_finish(&batch);
    puts_free(&mailbox->store->deletes);
}

void store_records(struct mailbox *mailbox) {
    struct write_batch batch;
    write_batch_init(&batch, BATCH_BYTES_MAX);
    batch.urgency = WRITE_ESSENTIAL;
    for (unsigned i = 0; i < mailbox->slots; i++) {
        struct device *device = &mailbox->devices[i];
        if (device->record_now || !wants_record(device))
            continue;
        append_record(mailbox, &batch, device);
        device->record_due = device->record_soon = false;
    }
    if (batch.operations && !batch.error)
        send_batch(mailbox, &batch, false);
    write_batch_finish(&batch);
    if (mailbox->store)
        mailbox->store->records_soon = false;
}

bool store_set_aside(struct mailbox *mailbox, const struct device *device, uint64_t sequence,
                     struct engine_bytes value, enum record_aside_reason reason, bool move) {
    const struct record_aside note = {reason, actor_wall_ms()};
    struct write_batch batch;
    write_batch_init(&batch, BATCH_BYTES_MAX);
    batch.urgency = WRITE_ESSENTIAL;
    int error = mail_set_aside(&batch, mailbox->user, device->number, sequence, value, &note);
    if (!error && move)
        error = mail_delete(&batch, mailbox->user, device->number, &sequence, 1);
    bool sent = !error && send_batch(mailbox, &batch, false);
    write_batch_finish(&batch);
    return sent;
}

static bool wants_record_now(const struct mailbox *mailbox) {
    for (unsigned i = 0; i < mailbox->slots; i++)
        if (mailbox->devices[i].number && mailbox->devices[i].record_now)
            return true;
    return false;
}

void store_flush(struct mailbox *mailbox) {
    if (!mailbox->store && !wants_record_now(mailbox))
        return;
    struct store *store = store_of(mailbox);
    if (!store->flies && !store->paused &&
        (puts_count(store->pending) || wants_record_now(mailbox)))
        take_off(mailbox, false);
    if (store->deletes)
        flush_deletes(mailbox);
    if (store->records_soon)
        store_records(mailbox);
    if (store->flies)
        mailbox_tick_in(mailbox, MAILBOX_TICK_MS);
}

/* --- what became of it --- */

static void landed(struct mailbox *mailbox, const struct put *put) {
    struct device *device;
    uint64_t index;
    struct entry *entry = entry_of(mailbox, put, &device, &index);
    if (!entry)
        return;
    if (entry->kind == RECORD_MAIL)
        mailbox_entry_safe(mailbox, device, entry, false);
    else
        mailbox_status_safe(mailbox, entry);
    entry->state = ENTRY_STORED;
    entry->flags &= (uint8_t)~ENTRY_FLYING;
    if (!(entry->flags & ENTRY_REFUSED))
        return;
    int state = entry->flags & ENTRY_FAILED ? WIRE_STATE_FAILED : WIRE_STATE_UNDECRYPTABLE;
    mailbox_report(mailbox, device, entry, state, true);
    queue_remove(mailbox, device, index, false);
}

/* What is held of the same sender behind mail that was refused is refused, too: it would be safe
 * first. */
static void refuse_behind(struct mailbox *mailbox, struct device *device,
                          const struct entry *refused) {
    struct queue *queue = queue_of(device);
    for (uint64_t index = queue->tail; queue->held && index-- > queue->head;) {
        struct entry *entry = queue_at(queue, index);
        if (entry->sequence <= refused->sequence)
            return;
        if (entry->state != ENTRY_HELD || entry->kind != RECORD_MAIL ||
            entry->sender_user != refused->sender_user ||
            entry->sender_device != refused->sender_device)
            continue;
        mailbox_entry_refuse(mailbox, entry, WIRE_CODE_OVERLOADED);
        queue_remove(mailbox, device, index, false);
    }
}

/* The disk is full. Mail is refused; statuses and records wait, since they may use the reserve and
 * mail was in the way. */
static void crashed(struct mailbox *mailbox, const struct put *put) {
    struct device *device;
    uint64_t index;
    struct entry *entry = entry_of(mailbox, put, &device, &index);
    if (!entry)
        return;
    entry->flags &= (uint8_t)~ENTRY_FLYING;
    if (entry->kind == RECORD_STATUS) {
        puts_add(&store_of(mailbox)->pending, put->device, put->sequence);
        return;
    }
    const struct entry refused = *entry;
    mailbox_entry_refuse(mailbox, entry, WIRE_CODE_OVERLOADED);
    queue_remove(mailbox, device, index, false);
    refuse_behind(mailbox, device, &refused);
}

/* What waited for the next batch is refused with it: nothing overtakes what came before. */
static void crash_pending(struct mailbox *mailbox) {
    struct puts *waiting = mailbox->store->pending;
    mailbox->store->pending = NULL;
    for (uint32_t i = 0; i < puts_count(waiting); i++)
        crashed(mailbox, &waiting->items[i]);
    puts_free(&waiting);
}

static void records_landed(struct mailbox *mailbox, bool ok) {
    for (unsigned i = 0; i < mailbox->slots; i++) {
        struct device *device = &mailbox->devices[i];
        if (!device->flying)
            continue;
        if (ok)
            device->sequence_durable += device->flying;
        else
            device->record_now = true;
        device->flying = 0;
        if (ok)
            queue_pump(mailbox, device, NULL); /* what waited for its sequence */
    }
}

void store_committed(struct mailbox *mailbox, const struct commit_result *result) {
    struct store *store = mailbox->store;
    if (!store || !store->flies || result->reference != store->reference)
        return; /* the answer to one that was sent again since */
    bool ok = result->error == 0;
    struct puts *flown = store->flying;
    store->flying = NULL;
    store->flies = false;
    for (uint32_t i = 0; i < puts_count(flown); i++)
        if (ok)
            landed(mailbox, &flown->items[i]);
        else
            crashed(mailbox, &flown->items[i]);
    puts_free(&flown);
    if (!ok)
        crash_pending(mailbox);
    records_landed(mailbox, ok);
    if (!ok) {
        actor_count("commit_refused_full", 1);
        pause(mailbox, FULL_AGAIN_MS);
        return;
    }
    for (unsigned i = 0; i < mailbox->slots; i++)
        if (mailbox->devices[i].number && mailbox->devices[i].queue &&
            mailbox->devices[i].queue->sent < mailbox->devices[i].queue->tail)
            queue_pump(mailbox, &mailbox->devices[i], NULL);
}

bool store_down(struct mailbox *mailbox, const struct actor_down *down) {
    struct store *store = mailbox->store;
    if (!store || !store->monitor || down->reference != store->monitor)
        return false;
    store->monitor = 0;
    store->committer = ACTOR_NOBODY;
    if (store->flies)
        pause(mailbox, COMMIT_AGAIN_MS);
    return true;
}

void store_again(struct mailbox *mailbox) {
    struct store *store = store_of(mailbox);
    store->paused = false;
    if (store->flies)
        take_off(mailbox, true);
}

void store_bounced(struct mailbox *mailbox, const struct commit_request *request) {
    const struct store *store = mailbox->store;
    actor_count("commit_refused", 1);
    if (store && store->flies && request->sync && request->reference == store->reference)
        pause(mailbox, COMMIT_AGAIN_MS);
}

void store_tick(struct mailbox *mailbox) {
    struct store *store = mailbox->store;
    if (!store)
        return;
    if (store->flies && !store->paused && mailbox_now() - store->sent_ms >= MAILBOX_PATIENCE_MS) {
        actor_count("commit_overdue", 1);
        take_off(mailbox, true);
    }
    if (!store_is_idle(mailbox) || store->records_soon)
        return;
    forget_committer(store);
    puts_free(&store->pending);
    puts_free(&store->flying);
    actor_free(store);
    mailbox->store = NULL;
}

bool store_is_idle(const struct mailbox *mailbox) {
    const struct store *store = mailbox->store;
    return !store ||
           (!store->flies && !puts_count(store->pending) && !store->deletes && !store->paused);
}

bool store_refuses(const struct mailbox *mailbox) {
    return (mailbox->store && puts_count(mailbox->store->pending) >= PENDING_MAX) ||
           atomic_load_explicit(&node_current()->store_full, memory_order_relaxed);
}

/* --- pages --- */

static void page_pack(struct message *message, const struct mail_page *page) {
    struct mailbox_page *job = message_as(message, struct mailbox_page);
    size_t values = 0, at = page->count * sizeof(struct page_item);
    for (size_t i = 0; i < page->count; i++)
        values += page->entries[i].value.size;
    message->blob = blob_create(at + values);
    uint8_t *bytes = blob_bytes(message->blob);
    struct page_item *items = (struct page_item *)bytes;
    for (size_t i = 0; i < page->count; i++) {
        const struct mail_entry *entry = &page->entries[i];
        items[i] = (struct page_item){entry->sequence, (uint32_t)at, (uint32_t)entry->value.size};
        memcpy(bytes + at, entry->value.data, entry->value.size);
        at += entry->value.size;
    }
    job->count = (uint32_t)page->count;
    job->more = page->more;
}

static void page_run(struct message *message) {
    struct mailbox_page *job = message_as(message, struct mailbox_page);
    struct mail_page *page = NULL;
    job->error = mail_read_page(job->engine, job->user, job->device, job->sequence,
                                job->entries_max, job->bytes_max, &page);
    if (job->error)
        return;
    page_pack(message, page);
    mail_page_destroy(page);
}

bool store_page_start(struct mailbox *mailbox, struct device *device, uint64_t sequence,
                      uint32_t entries_max, uint32_t bytes_max) {
    struct message *message = message_create(MAILBOX_PAGE, sizeof(struct mailbox_page));
    *message_as(message, struct mailbox_page) = (struct mailbox_page){
        .engine = node_current()->engine,
        .user = mailbox->user,
        .device = device->number,
        .entries_max = entries_max < MAIL_PAGE_ENTRIES_MAX ? entries_max : MAIL_PAGE_ENTRIES_MAX,
        .bytes_max = bytes_max < BATCH_BYTES_MAX ? bytes_max : BATCH_BYTES_MAX,
        .sequence = sequence,
    };
    if (actor_run_blocking(page_run, &message) == 0)
        return true;
    message_destroy(message);
    return false;
}

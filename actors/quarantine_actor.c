/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quarantine: one per node; shows what was set aside and, on an operator's word, delivers it after
 * all or forgets it.
 *
 *     who serves the operator ─LIST─► quarantine ─LISTED─► ...
 *                 ─RELEASE, DROP─►              ─DONE─►
 *     quarantine ─DELIVER─► mailbox ─SETTLED─► quarantine
 *
 *   resting ──RELEASE──► reading (a pool job) ──READ──► delivering ──SETTLED──► dropping the copy
 *      ▲    ──DROP────────────────────────────────────────────────────────────►   │ (a commit)
 *      └───────────────────────────────────────────────────────────── COMMITTED ──┘
 *
 * One release or drop at a time, the others are deferred; pages are read beside it. The copy stays
 * until the mail is safe with its mailbox, so if anything fails in between (the node too, which is
 * what such mail does) it is still there.
 */
#include "actors/commit.h"
#include "actors/messages.h"
#include "actors/node.h"
#include "actors/quarantine.h"
#include "net/wire.h"
#include "runtime/log.h"
#include "storage/mail.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define OVERDUE_MS 10000u

struct quarantine_state {
    struct commit commit;
    struct quarantine_one one; /* what is at work */
    bool busy, drops;
    uint64_t references; /* so many were begun: the present one's number */
    struct actor_timer overdue;
};

/* --- pages --- */

struct page_job {
    struct engine *engine;
    const struct quarantine *quarantine;
    struct quarantine_list list;
    int error;
    bool more;
    uint32_t count;
    struct quarantine_item *items; /* on the pool */
};

static int page_see(void *context, const struct mail_aside *aside) {
    struct page_job *job = context;
    struct quarantine_item *item = &job->items[job->count++];
    const struct quarantine_entry entry = {
        {aside->user, aside->device}, aside->sequence, aside->value};
    struct record_queued queued;
    *item = (struct quarantine_item){
        .place = {entry.of, entry.sequence},
        .reason = (uint8_t)aside->note.reason,
        .bytes = (uint32_t)aside->value.size,
        .aside_ms = aside->note.time_ms,
    };
    if (quarantine_decode(job->quarantine, &entry, &queued) != 0)
        return 0;
    item->kind = queued.entry == RECORD_MAIL ? QUARANTINE_IS_MAIL : QUARANTINE_IS_STATUS;
    item->accepted_ms = queued.time_ms;
    if (queued.entry != RECORD_MAIL)
        return 0;
    item->from = (struct device_address){queued.mail.sender_user, queued.mail.sender_device};
    memcpy(item->id, queued.mail.message_id, sizeof(item->id));
    item->chat = queued.mail.chat;
    item->ciphertext_bytes = queued.mail.ciphertext_bytes;
    item->external_bytes = queued.mail.external_bytes;
    return 0;
}

static void page_run(struct message *message) {
    struct page_job *job = message_as(message, struct page_job);
    struct quarantine_item items[QUARANTINE_PAGE_MAX];
    struct mail_aside_position position = {0};
    const struct quarantine_place *after = &job->list.after;
    if (after->of.user)
        position = mail_aside_behind(after->of.user, after->of.device, after->sequence);
    job->items = items;
    int result = mail_visit_asides(job->engine, &position, job->list.items_max, page_see, job);
    job->items = NULL;
    job->error = result < 0 ? result : 0;
    job->more = result == 1;
    if (job->count)
        message->blob = blob_copy_of(items, job->count * sizeof(items[0]));
}

static void answer_list(const struct quarantine_list *list, int error, uint32_t count, bool more,
                        struct blob *items) {
    struct message *message = message_create(QUARANTINE_LISTED, sizeof(struct quarantine_listed));
    *message_as(message, struct quarantine_listed) =
        (struct quarantine_listed){list->reference, error, count, more};
    message->blob = items;
    if (actor_send(list->reply_to, &message) != 0)
        message_destroy(message); /* who asked has gone, or asks again */
}

static void quarantine_on_list(void *state, struct message **message) {
    struct quarantine_list list = *message_as(*message, struct quarantine_list);
    struct message *job = message_create(QUARANTINE_PAGE, sizeof(struct page_job));
    if (!list.items_max || list.items_max > QUARANTINE_PAGE_MAX)
        list.items_max = QUARANTINE_PAGE_MAX;
    *message_as(job, struct page_job) = (struct page_job){
        .engine = node_current()->engine, .quarantine = node_current()->quarantine, .list = list};
    if (actor_run_blocking(page_run, &job) == 0)
        return;
    message_destroy(job);
    answer_list(&list, -EAGAIN, 0, false, NULL);
}

static void quarantine_on_page(void *state, struct message **message) {
    const struct page_job *job = message_as(*message, struct page_job);
    struct blob *items = job->error ? NULL : (*message)->blob;
    answer_list(&job->list, job->error, items ? job->count : 0, job->more,
                items ? blob_hold(items) : NULL);
}

/* --- one at a time --- */

static void finish(struct quarantine_state *quarantine, int error) {
    const struct quarantine_one *one = &quarantine->one;
    struct message *message = message_create(QUARANTINE_DONE, sizeof(struct quarantine_done));
    *message_as(message, struct quarantine_done) = (struct quarantine_done){one->reference, error};
    if (actor_send(one->reply_to, &message) != 0)
        message_destroy(message);
    if (error)
        log_warning("quarantine: user %llu, device %u, entry %llu was not %s: %s",
                    (unsigned long long)one->place.of.user, one->place.of.device,
                    (unsigned long long)one->place.sequence,
                    quarantine->drops ? "dropped" : "released", strerror(-error));
    else
        log_info("quarantine: user %llu, device %u, entry %llu was %s",
                 (unsigned long long)one->place.of.user, one->place.of.device,
                 (unsigned long long)one->place.sequence,
                 quarantine->drops ? "dropped" : "released");
    if (!error)
        actor_count(quarantine->drops ? "quarantine_dropped" : "quarantine_released", 1);
    actor_timer_cancel(&quarantine->overdue);
    commit_drop(&quarantine->commit);
    quarantine->busy = false;
    actor_undefer();
}

/* False: another one is at work, this one waits. */
static bool begin(struct quarantine_state *quarantine, struct message **message, bool drops) {
    if (quarantine->busy) {
        actor_defer(message);
        return false;
    }
    quarantine->one = *message_as(*message, struct quarantine_one);
    quarantine->busy = true;
    quarantine->drops = drops;
    quarantine->references++;
    quarantine->overdue = actor_timer_start(OVERDUE_MS, QUARANTINE_OVERDUE, quarantine->references);
    return true;
}

static void drop_copy(struct quarantine_state *quarantine) {
    const struct quarantine_place *place = &quarantine->one.place;
    struct write_batch batch;
    uint8_t buffer[256];
    write_batch_init_at(&batch, buffer, sizeof(buffer));
    CHECK(mail_drop_aside(&batch, place->of.user, place->of.device, place->sequence) == 0);
    batch.urgency = WRITE_ESSENTIAL;
    commit_start(&quarantine->commit, &batch, quarantine->references);
    write_batch_finish(&batch);
}

static void quarantine_on_committed(void *state, struct message **message) {
    struct quarantine_state *quarantine = state;
    int error;
    if (commit_finish(&quarantine->commit, *message, &error) && quarantine->busy)
        finish(quarantine, error);
}

static void quarantine_on_down(void *state, struct message **message) {
    struct quarantine_state *quarantine = state;
    commit_interrupted(&quarantine->commit, *message);
}

static void quarantine_on_commit_again(void *state, struct message **message) {
    struct quarantine_state *quarantine = state;
    commit_again(&quarantine->commit);
}

/* --- to drop, to release --- */

struct read_job {
    struct engine *engine;
    struct quarantine *quarantine;
    struct quarantine_place place;
    uint64_t reference;
    bool drops; /* only: is it there? */
    int error;
    struct record_mail mail;
    struct content_spans spans;
};

/* The blob of a MAILBOX_DELIVER for this one device: as a `send` has it, since who reads it expects
 * that. */
static int compose(struct message *message, const struct record_queued *queued) {
    struct read_job *job = message_as(message, struct read_job);
    const struct record_mail *mail = &queued->mail;
    const struct wire_recipient recipient = {
        job->place.of.user, job->place.of.device, {queued->ciphertext, mail->ciphertext_bytes}};
    const struct wire_send frame = {.recipients = {.items = &recipient, .count = 1}};
    size_t capacity = mail->ciphertext_bytes + 256u;
    uint8_t *bytes = malloc(capacity);
    struct wire_writer writer = {.bytes = bytes, .capacity = capacity};
    struct wire_reader reader;
    struct wire_frame read;
    CHECK(bytes);
    int error = wire_write_send(&writer, 0, &frame);
    wire_reader_init(&reader, bytes, writer.length);
    if (!error && wire_read_frame(&reader, &read) != PARSE_COMPLETE)
        error = -EMSGSIZE;
    if (!error) {
        const struct wire_recipient_list *list = &read.send.recipients;
        message->blob = blob_create(list->length + mail->external_bytes);
        memcpy(blob_bytes(message->blob), list->bytes, list->length);
        memcpy(blob_bytes(message->blob) + list->length, queued->external, mail->external_bytes);
        job->spans = (struct content_spans){list->length, 1, mail->external_bytes};
        job->mail = *mail;
    }
    free(bytes);
    return error;
}

static int release_read(struct message *message, const struct mail_aside *aside) {
    struct read_job *job = message_as(message, struct read_job);
    const struct quarantine_entry entry = {job->place.of, job->place.sequence, aside->value};
    struct record_queued queued;
    quarantine_forgive(job->quarantine, quarantine_describe_entry, &entry);
    if (quarantine_decode(job->quarantine, &entry, &queued) != 0 || queued.entry != RECORD_MAIL)
        return -ENOTSUP;
    const struct quarantine_mail mail = {
        .to = job->place.of,
        .from = {queued.mail.sender_user, queued.mail.sender_device},
        .id = queued.mail.message_id,
        .ciphertext = queued.ciphertext,
        .ciphertext_bytes = queued.mail.ciphertext_bytes,
        .external = queued.external,
        .external_bytes = queued.mail.external_bytes,
    };
    quarantine_forgive(job->quarantine, quarantine_describe_mail, &mail);
    return compose(message, &queued);
}

static void read_run(struct message *message) {
    struct read_job *job = message_as(message, struct read_job);
    const struct quarantine_place *place = &job->place;
    struct mail_aside aside;
    job->error =
        mail_read_aside(job->engine, place->of.user, place->of.device, place->sequence, &aside);
    if (job->error)
        return;
    if (!job->drops)
        job->error = release_read(message, &aside);
    free((void *)aside.value.data);
}

static void read_start(struct quarantine_state *quarantine) {
    const struct node *node = node_current();
    struct message *message = message_create(QUARANTINE_READ, sizeof(struct read_job));
    *message_as(message, struct read_job) = (struct read_job){
        .engine = node->engine,
        .quarantine = node->quarantine,
        .place = quarantine->one.place,
        .reference = quarantine->references,
        .drops = quarantine->drops,
    };
    if (actor_run_blocking(read_run, &message) == 0)
        return;
    message_destroy(message);
    finish(quarantine, -EAGAIN);
}

static void quarantine_on_release(void *state, struct message **message) {
    if (begin(state, message, false))
        read_start(state);
}

static void quarantine_on_drop(void *state, struct message **message) {
    if (begin(state, message, true))
        read_start(state);
}

/* It counts as accepted now when it would soon expire. */
static uint64_t accepted_ms(const struct record_mail *mail) {
    uint64_t now_ms = actor_wall_ms();
    bool old = mail->accepted_ms + node_current()->limits.mail_expiry_ms / 2 < now_ms;
    return old ? now_ms : mail->accepted_ms;
}

static void deliver(struct quarantine_state *quarantine, const struct read_job *job,
                    struct blob *content) {
    const struct record_mail *mail = &job->mail;
    struct message *message = message_create(MAILBOX_DELIVER, sizeof(struct mailbox_deliver));
    struct mailbox_deliver *delivery = message_as(message, struct mailbox_deliver);
    *delivery = (struct mailbox_deliver){
        .sender_mailbox = actor_self(),
        .open = job->reference,
        .again = 1,
        .released = 1,
        .sender = {mail->sender_user, mail->sender_device},
        .chat = mail->chat,
        .time_ms = accepted_ms(mail),
        .flags = mail->flags,
        .lamport = mail->clock_lamport,
        .chat_n = mail->clock_count,
        .content_kind = mail->kind,
        .spans = job->spans,
    };
    memcpy(delivery->id, mail->message_id, sizeof(delivery->id));
    message->blob = blob_hold(content);
    if (actor_send_named(&mailbox_class, job->place.of.user, &message) == 0)
        return;
    message_destroy(message);
    finish(quarantine, -EAGAIN);
}

static void quarantine_on_read(void *state, struct message **message) {
    struct quarantine_state *quarantine = state;
    const struct read_job *job = message_as(*message, struct read_job);
    if (!quarantine->busy || job->reference != quarantine->references)
        return; /* overdue */
    if (job->error)
        finish(quarantine, job->error);
    else if (quarantine->drops)
        drop_copy(quarantine);
    else
        deliver(quarantine, job, (*message)->blob);
}

static int error_of(int code) {
    switch (code) {
    case WIRE_CODE_OK:
        return 0;
    case WIRE_CODE_NOT_FOUND:
    case WIRE_CODE_STALE:
        return -ENODEV;
    case WIRE_CODE_FULL:
        return -ENOSPC;
    default:
        return -EAGAIN;
    }
}

static void quarantine_on_settled(void *state, struct message **message) {
    struct quarantine_state *quarantine = state;
    const struct mailbox_settled *settled = message_as(*message, struct mailbox_settled);
    if (!quarantine->busy || quarantine->drops || settled->open != quarantine->references ||
        quarantine->commit.open)
        return; /* after it was overdue: the copy stays, and can be released or dropped again */
    int error = error_of(settled->code);
    if (error)
        finish(quarantine, error);
    else
        drop_copy(quarantine);
}

static void quarantine_on_overdue(void *state, struct message **message) {
    struct quarantine_state *quarantine = state;
    uint64_t reference = message_as(*message, struct actor_timer_fired)->argument;
    if (quarantine->busy && reference == quarantine->references)
        finish(quarantine, -ETIMEDOUT);
}

/* --- life --- */

static int quarantine_init(void *state, const void *argument) {
    return actor_register(QUARANTINE_NAME);
}

static void quarantine_terminate(void *state, int reason) {
    struct quarantine_state *quarantine = state;
    commit_drop(&quarantine->commit);
}

/* A delivery that the mailbox had no room for. A commit that came back is overdue. */
static void quarantine_on_refused(void *state, struct message **message) {
    struct quarantine_state *quarantine = state;
    if ((*message)->kind == MAILBOX_DELIVER && quarantine->busy &&
        message_as(*message, struct mailbox_deliver)->open == quarantine->references)
        finish(quarantine, -EAGAIN);
}

static const struct actor_handler quarantine_handlers[] = {
    [ACTOR_DOWN] = {"down", quarantine_on_down},
    [QUARANTINE_LIST] = {"list", quarantine_on_list},
    [QUARANTINE_RELEASE] = {"release", quarantine_on_release},
    [QUARANTINE_DROP] = {"drop", quarantine_on_drop},
    [QUARANTINE_PAGE] = {"page", quarantine_on_page},
    [QUARANTINE_READ] = {"read", quarantine_on_read},
    [QUARANTINE_OVERDUE] = {"overdue", quarantine_on_overdue},
    [MAILBOX_SETTLED] = {"settled", quarantine_on_settled},
    [COMMITTED] = {"committed", quarantine_on_committed},
    [COMMIT_AGAIN] = {"commit_again", quarantine_on_commit_again},
};

const struct actor_class quarantine_class = {
    .name = "quarantine",
    .state_bytes = sizeof(struct quarantine_state),
    .init = quarantine_init,
    .terminate = quarantine_terminate,
    .handlers = quarantine_handlers,
    .handler_count = sizeof(quarantine_handlers) / sizeof(quarantine_handlers[0]),
    .refused = quarantine_on_refused,
};

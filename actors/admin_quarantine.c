/* SPDX-License-Identifier: Apache-2.0 */
/* The shell's commands about what was set aside: the list, and to release or drop an entry. The
 * actor `quarantine` does it; what an entry is is shown, never what it says. */
#include "actors/admin_internal.h"
#include "actors/quarantine.h"
#include "storage/format.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LIMIT_DEFAULT 1000u
#define LIMIT_MAX 100000u
#define PLACE_BYTES_MAX 64u
#define DEADLINE_MS 15000u /* the quarantine answers by then, unless it failed */

static void ask(struct admin_session *session, uint16_t kind, const void *payload, size_t bytes) {
    struct actor_id quarantine = actor_whereis(QUARANTINE_NAME);
    struct message *message = message_create(kind, bytes);
    memcpy(message_payload(message), payload, bytes);
    if (quarantine.bits && actor_send(quarantine, &message) == 0) {
        actor_timer_cancel(&session->deadline);
        session->deadline = actor_timer_start(DEADLINE_MS, ADMIN_TICK, session->request);
        return;
    }
    message_destroy(message);
    admin_error(session, "failed", "the quarantine is being restarted; try again");
}

static bool is_overdue(struct admin_session *session, const struct message *message) {
    if (message->kind != ADMIN_TICK)
        return false;
    admin_error(session, "timeout", "the quarantine did not answer");
    return true;
}

/* --- quarantine --------------------------------------------------------------------------------
 */

static void ask_page(struct admin_session *session, struct quarantine_place after) {
    const struct quarantine_list list = {
        .reply_to = actor_self(),
        .reference = session->request,
        .after = after,
        .items_max =
            session->work.left < QUARANTINE_PAGE_MAX ? session->work.left : QUARANTINE_PAGE_MAX,
    };
    ask(session, QUARANTINE_LIST, &list, sizeof(list));
}

/* False: an error was answered. */
static bool take_place(struct admin_session *session, const struct admin_request *request,
                       struct quarantine_place *place) {
    char text[PLACE_BYTES_MAX] = "";
    if (!admin_take_text(session, request, "entry", text, sizeof(text)))
        return false;
    if (quarantine_place_read(text, place))
        return true;
    admin_error(session, "argument", "entry is USER/DEVICE/SEQUENCE, as quarantine lists it");
    return false;
}

void admin_quarantine(struct admin_session *session, const struct admin_request *request) {
    uint64_t limit = LIMIT_DEFAULT;
    struct quarantine_place after = {{0, 0}, 0};
    if (!admin_take_uint(session, request, "limit", 1, LIMIT_MAX, &limit))
        return;
    session->work.left = (uint32_t)limit;
    if (admin_field_find(&request->arguments, "entry")) { /* the first behind the one before it */
        if (!take_place(session, request, &session->work.entry))
            return;
        session->work.left = 1;
        after = session->work.entry;
        after.sequence--;
    }
    ask_page(session, after);
}

static void put_device(struct admin_writer *row, const char *name, struct device_address device) {
    char text[40];
    snprintf(text, sizeof(text), "%" PRIu64 "/%" PRIu32, device.user, device.device);
    admin_put_text(row, name, device.user ? text : NULL);
}

static void put_item(struct admin_session *session, const struct quarantine_item *item) {
    static const char *const reasons[] = {
        [RECORD_ASIDE_UNKNOWN] = "unknown",
        [RECORD_ASIDE_DAMAGED] = "damaged",
        [RECORD_ASIDE_UNANSWERED] = "unanswered",
        [RECORD_ASIDE_CRASH] = "crash",
    };
    static const char *const kinds[] = {
        [QUARANTINE_IS_UNREADABLE] = "unreadable",
        [QUARANTINE_IS_MAIL] = "mail",
        [QUARANTINE_IS_STATUS] = "status",
    };
    struct admin_writer *row = admin_row(session);
    char text[PLACE_BYTES_MAX];
    snprintf(text, sizeof(text), "%" PRIu64 "/%" PRIu32 "/%" PRIu64, item->place.of.user,
             item->place.of.device, item->place.sequence);
    admin_put_text(row, "entry", text);
    admin_put_text(row, "reason", reasons[item->reason]);
    admin_put_text(row, "kind", kinds[item->kind]);
    put_device(row, "from", item->from);
    for (unsigned i = 0; i < sizeof(item->id); i++)
        snprintf(text + 2 * (size_t)i, 3, "%02x", item->id[i]);
    admin_put_text(row, "id", item->kind == QUARANTINE_IS_MAIL ? text : NULL);
    admin_put_uint(row, "stored_bytes", item->bytes);
    if (session->work.entry.sequence) {
        admin_put_uint(row, "chat", item->chat);
        admin_put_uint(row, "ciphertext_bytes", item->ciphertext_bytes);
        admin_put_uint(row, "external_bytes", item->external_bytes);
    }
    admin_put_uint(row, "accepted_time_ms", item->accepted_ms);
    admin_put_uint(row, "aside_time_ms", item->aside_ms);
    admin_row_end(session);
}

/* All that is known of the one that was asked for; `item` may be another. */
static void answer_one(struct admin_session *session, const struct quarantine_item *item) {
    const struct quarantine_place *wanted = &session->work.entry;
    if (!item || item->place.of.user != wanted->of.user ||
        item->place.of.device != wanted->of.device || item->place.sequence != wanted->sequence) {
        admin_error(session, "not_found", "no such entry is set aside");
        return;
    }
    put_item(session, item);
    admin_end(session);
    admin_end_send(session);
}

void admin_quarantine_on_message(struct admin_session *session, struct message **message) {
    if (is_overdue(session, *message) || (*message)->kind != QUARANTINE_LISTED)
        return;
    const struct quarantine_listed *listed = message_as(*message, struct quarantine_listed);
    if (listed->reference != session->request)
        return;
    if (listed->error) {
        admin_error_errno(session, listed->error, "what is set aside");
        return;
    }
    const struct quarantine_item *items =
        listed->count ? (const struct quarantine_item *)blob_bytes((*message)->blob) : NULL;
    if (session->work.entry.sequence) {
        answer_one(session, listed->count ? &items[0] : NULL);
        return;
    }
    for (uint32_t i = 0; i < listed->count; i++)
        put_item(session, &items[i]);
    session->work.left -= listed->count;
    if (listed->more && listed->count && session->work.left) {
        ask_page(session, items[listed->count - 1].place);
        return;
    }
    struct admin_writer *end = admin_end(session);
    if (listed->more)
        admin_put_text(end, "note", "there is more: raise the limit");
    admin_end_send(session);
}

/* --- release, drop -----------------------------------------------------------------------------
 */

static void ask_one(struct admin_session *session, const struct admin_request *request,
                    uint16_t kind) {
    char what[PLACE_BYTES_MAX + 16];
    struct quarantine_one one = {.reply_to = actor_self(), .reference = session->request};
    if (!take_place(session, request, &one.place))
        return;
    snprintf(what, sizeof(what), "%s %llu/%u/%llu", kind == QUARANTINE_DROP ? "drop" : "release",
             (unsigned long long)one.place.of.user, one.place.of.device,
             (unsigned long long)one.place.sequence);
    admin_change_begin(session, what);
    ask(session, kind, &one, sizeof(one));
}

void admin_release(struct admin_session *session, const struct admin_request *request) {
    ask_one(session, request, QUARANTINE_RELEASE);
}

void admin_drop(struct admin_session *session, const struct admin_request *request) {
    ask_one(session, request, QUARANTINE_DROP);
}

static void refuse(struct admin_session *session, int error) {
    switch (error) {
    case -ENOENT:
        admin_error(session, "not_found", "no such entry is set aside");
        break;
    case -ENOTSUP:
        admin_error(session, "refused", "it is no mail, or cannot be read: it can only be dropped");
        break;
    case -ENODEV:
        admin_error(session, "refused", "its device is not in the account any more");
        break;
    case -ENOSPC:
        admin_error(session, "refused", "the device's queue, or the disk, is full");
        break;
    case -ETIMEDOUT:
        admin_error(session, "timeout", "the mailbox did not answer; look at the list again");
        break;
    default:
        admin_error_errno(session, error, "the entry");
        break;
    }
}

void admin_quarantine_on_done(struct admin_session *session, struct message **message) {
    if (is_overdue(session, *message) || (*message)->kind != QUARANTINE_DONE)
        return;
    const struct quarantine_done *done = message_as(*message, struct quarantine_done);
    if (done->reference != session->request)
        return;
    if (done->error) {
        refuse(session, done->error);
        return;
    }
    admin_change_end(session, session->command->begin == admin_drop
                                  ? "it is dropped"
                                  : "it is released: its device has it, or gets it when it comes");
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mail and statuses come in, acknowledgements go out.
 *
 * On one connection cursors only rise, and what a node leaves out was acknowledged before or has
 * expired. So `received`, the highest cursor seen, says it all as long as the owner takes
 * everything at once: up_to = received. Only what the owner left for later, refused, or got out of
 * order has an entry in `pending`; while an entry waits, up_to stays below it and what comes behind
 * it is acknowledged by itself. Entries go when their acknowledgement has been written.
 *
 * A status tells of messages that have come further than what the owner has stored of them, or it
 * is acknowledged untold: receipts that come late, or again after a failure of the node, change
 * nothing.
 *
 * Nothing is acknowledged before storage.commit has made it durable: acknowledgements are written
 * when output is taken, and an input has been committed before it ends.
 */
#include "net/device_internal.h"
#include "runtime/planted_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ACK_DELAY_MS 10
#define PENDING_MIN 8
#define SINGLES_MAX 512 /* in one frame, as wire.def bounds them */
#define ERRORS_MAX 256
#define STATUS_IDS_MAX 128 /* as well */

static int add_pending(struct device *device, uint64_t cursor, unsigned refusal, bool settled) {
    if (device->pending_count == device->pending_capacity) {
        size_t capacity =
            device->pending_capacity > 0 ? device->pending_capacity * 2u : PENDING_MIN;
        if (capacity > DEVICE_PENDING_MAX)
            return device_fail(device, DEVICE_END_PROTOCOL, -ENOBUFS, WEBSOCKET_CLOSE_POLICY);
        void *pending = realloc(device->pending, capacity * sizeof *device->pending);
        if (pending == NULL)
            return device_fail(device, DEVICE_END_STORAGE, -ENOMEM, WEBSOCKET_CLOSE_GOING_AWAY);
        device->pending = pending;
        device->pending_capacity = (uint16_t)capacity;
    }
    device->pending[device->pending_count++] =
        (struct device_pending){.cursor = cursor, .refusal = (uint16_t)refusal, .settled = settled};
    return 0;
}

/* All cursors up to this one are stored or were never for us. */
static uint64_t up_to(const struct device *device) {
    uint64_t lowest = device->received;
    for (unsigned i = 0; i < device->pending_count; i++)
        if (!device->pending[i].settled && device->pending[i].cursor <= lowest)
            lowest = device->pending[i].cursor - 1;
    return lowest;
}

static struct device_pending *find_pending(struct device *device, uint64_t cursor) {
    for (unsigned i = 0; i < device->pending_count; i++)
        if (device->pending[i].cursor == cursor)
            return &device->pending[i];
    return NULL;
}

static void want_ack(struct device *device, uint64_t at_ms) {
    if (at_ms < device->ack_ms)
        device->ack_ms = at_ms;
    device->dirty = true;
}

/* The owner has seen what came under this cursor and answered `verdict`. */
static int take(struct device *device, uint64_t cursor, int verdict) {
    bool rises = cursor > device->received;
    if (rises)
        device->received = cursor;
    if (verdict < 0)
        return add_pending(device, cursor, 0, false);
    if (verdict > 0 || !rises || up_to(device) < cursor)
        return add_pending(device, cursor, (unsigned)verdict, true);
    return 0;
}

int device_inbox_mail(struct device *device, const struct wire_mail *mail, uint64_t now_ms) {
    const struct device_storage *storage = device->config->storage;
    int verdict = 0;
    if (mail->cursor == 0)
        return device_fail(device, DEVICE_END_PROTOCOL, 0, WIRE_CLOSE_BAD_FRAME);
    if (find_pending(device, mail->cursor) != NULL)
        return 0; /* it has been shown; its answer is on the way */
    bool known = storage->mail_known != NULL &&
                 storage->mail_known(device->context, mail->sender, mail->sender_device, &mail->id);
    if ((!known || PLANTED(DEDUP_LOST)) && device->config->events->mail != NULL)
        verdict = device->config->events->mail(device->context, mail);
    want_ack(device, now_ms);
    return take(device, mail->cursor, verdict);
}

/* Tells the owner of those messages that have come further by it. */
static int tell_status(struct device *device, const struct wire_status *status) {
    const struct device_storage *storage = device->config->storage;
    struct wire_status news = *status;
    struct wire_identity_list rest = status->ids;
    struct wire_id ids[STATUS_IDS_MAX];
    uint32_t count = 0;
    if (device->config->events->status == NULL)
        return 0;
    if (storage->status_known == NULL || status->user == device->user)
        return device->config->events->status(device->context, status);
    while (count < STATUS_IDS_MAX && wire_next_identity(&rest, &ids[count])) {
        unsigned known =
            storage->status_known(device->context, &ids[count], status->user, status->device);
        count += wire_state_rank(status->state) > wire_state_rank(known);
    }
    if (count == 0)
        return 0;
    news.ids = (struct wire_identity_list){.items = ids, .count = count};
    return device->config->events->status(device->context, &news);
}

int device_inbox_status(struct device *device, const struct wire_status *status, uint64_t now_ms) {
    uint32_t delay = device->config->ack_delay_ms;
    if (status->cursor == 0)
        return device_fail(device, DEVICE_END_PROTOCOL, 0, WIRE_CLOSE_BAD_FRAME);
    if (find_pending(device, status->cursor) != NULL)
        return 0;
    int verdict = tell_status(device, status);
    want_ack(device, now_ms + (delay > 0 ? delay : ACK_DELAY_MS));
    return take(device, status->cursor, verdict);
}

/* The next hello acknowledges up to the saved cursor, without any error: a refusal that has not
 * been written yet keeps it below. */
static void save_cursor(struct device *device) {
    uint64_t stored = up_to(device);
    for (unsigned i = 0; i < device->pending_count; i++)
        if (device->pending[i].refusal != 0 && device->pending[i].cursor <= stored)
            stored = device->pending[i].cursor - 1;
    if (stored <= device->cursor)
        return;
    if (device->config->storage->cursor_save != NULL)
        device->config->storage->cursor_save(device->context, device->epoch, stored);
    device->cursor = stored;
}

int device_inbox_commit(struct device *device) {
    uint64_t stored = device->cursor;
    if (!device->dirty)
        return 0;
    device->dirty = false;
    save_cursor(device);
    if (device->config->storage->commit == NULL)
        return 0;
    int error = device->config->storage->commit(device->context);
    if (error == 0)
        return 0;
    device->cursor = stored; /* the next hello must not acknowledge what was not stored */
    device->reload = true;
    return device_fail(device, DEVICE_END_STORAGE, error, WEBSOCKET_CLOSE_GOING_AWAY);
}

void device_settle(struct device *device, uint64_t epoch, uint64_t cursor, unsigned refusal) {
    struct device_pending *entry = find_pending(device, cursor);
    if (epoch != device->epoch || entry == NULL || entry->settled)
        return;
    entry->settled = true;
    entry->refusal = (uint16_t)refusal;
    save_cursor(device);
    device->ack_ms = 0;
}

void device_inbox_epoch(struct device *device, uint64_t epoch) {
    if (epoch == device->epoch)
        return;
    device->epoch = epoch;
    device->cursor = 0;
    device_inbox_forget(device);
}

void device_inbox_forget(struct device *device) {
    free(device->pending);
    device->pending = NULL;
    device->pending_count = device->pending_capacity = 0;
    device->received = device->cursor;
    device->acked = 0;
    device->ack_ms = DEVICE_NEVER;
}

/* ---------------------------------------------------------------- writing */

static int write_ack(struct device *device, const struct wire_ack *ack) {
    struct wire_frame frame = {.kind = WIRE_ACK, .ack = *ack};
    frame.ack.epoch = device->epoch;
    return device_output_frame(device, &frame);
}

/* Takes up to `max` settled entries out, those with a refusal or those without; returns how many.
 */
static unsigned take_settled(struct device *device, bool refused, unsigned max,
                             struct device_pending *taken) {
    unsigned kept = 0, count = 0;
    for (unsigned i = 0; i < device->pending_count; i++) {
        struct device_pending entry = device->pending[i];
        if (count < max && entry.settled && (entry.refusal != 0) == refused)
            taken[count++] = entry;
        else
            device->pending[kept++] = entry;
    }
    device->pending_count = (uint16_t)kept;
    return count;
}

static void put_back(struct device *device, const struct device_pending *taken, unsigned count) {
    memcpy(device->pending + device->pending_count, taken, count * sizeof *taken);
    device->pending_count = (uint16_t)(device->pending_count + count);
}

/* Refusals go before any up_to that covers them: a node that reads up_to first would take them for
 * good. */
static int write_errors(struct device *device) {
    struct device_pending taken[ERRORS_MAX];
    struct wire_ack_error errors[ERRORS_MAX];
    unsigned count;
    while ((count = take_settled(device, true, ERRORS_MAX, taken)) > 0) {
        for (unsigned i = 0; i < count; i++)
            errors[i] =
                (struct wire_ack_error){.cursor = taken[i].cursor, .error = taken[i].refusal};
        struct wire_ack ack = {.errors = {.items = errors, .count = count}};
        int error = write_ack(device, &ack);
        if (error != 0) {
            put_back(device, taken, count);
            return error;
        }
    }
    return 0;
}

static int write_singles(struct device *device, struct wire_ack *ack) {
    struct device_pending taken[SINGLES_MAX];
    uint64_t singles[SINGLES_MAX];
    for (;;) {
        unsigned count = take_settled(device, false, SINGLES_MAX, taken);
        if (count == 0 && ack->up_to == 0)
            return 0;
        for (unsigned i = 0; i < count; i++)
            singles[i] = taken[i].cursor;
        ack->singles = (struct wire_number_list){.items = singles, .count = count};
        int error = write_ack(device, ack);
        if (error != 0) {
            put_back(device, taken, count);
            return error;
        }
        if (ack->up_to != 0)
            device->acked = ack->up_to;
        ack->up_to = 0;
    }
}

int device_inbox_acknowledge(struct device *device) {
    uint64_t cursor = up_to(device);
    int error = 0;
    struct wire_ack ack = {.up_to = cursor > device->acked ? cursor : 0};
    if (device->pending_count > 0)
        error = write_errors(device);
    if (error == 0)
        error = write_singles(device, &ack);
    if (error != 0)
        return error;
    device->ack_ms = DEVICE_NEVER;
    if (device->pending_count == 0 && device->pending != NULL) {
        free(device->pending);
        device->pending = NULL;
        device->pending_capacity = 0;
    }
    return 0;
}

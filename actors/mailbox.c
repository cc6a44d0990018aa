/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mailbox: one per user. Numbers and deduplicates what the user's devices send, keeps what is for
 * them until they have acknowledged it, and knows what became of what they sent.
 *
 *     connection ─ATTACH, SEND, ACK, RECEIPT─► mailbox ─ATTACHED, ANSWER, MAIL, STATUS─► connection
 *     sender's mailbox ─DELIVER─► mailbox ─SETTLED─► sender's mailbox
 *     recipient's mailbox ─STATUS─► mailbox ─STATUS_TAKEN─► recipient's mailbox
 *     mailbox ─COMMIT─► committer ─COMMITTED─► mailbox
 *
 *   LOADING ──MAILBOX_LOADED──► SERVING ──idle──► (passivated)
 *
 * While LOADING everything else is deferred. A mailbox begins a new epoch each time it is
 * activated; its cursors and what it holds in memory mean nothing to the next one, so:
 *   - what it has told anybody is durable, or was acknowledged by the device itself;
 *   - whoever waits for it monitors it, and asks the next one again: a connection attaches and its
 *     device sends again what has no answer; a sender's mailbox delivers again what is not settled;
 *     a mailbox that reported reports again.
 * When it is failed by a fault, nothing is lost for that reason, and nothing shows twice because
 * devices drop what they have.
 *
 * mailbox_internal.h says which file does what.
 */
#include "actors/mailbox_internal.h"
#include "actors/measures.h"
#include "actors/quarantine.h"
#include "net/wire.h"
#include "runtime/crash.h"
#include "runtime/log.h"
#include "runtime/planted_internal.h"

#include <string.h>

#define TICK_SHRINK_MS 5000u
#define TICK_QUIET_MS 500u /* an empty queue that nobody has used for so long goes at once */
#define RETRY_AFTER_MS 100
#define ASKED_TO_PASSIVATE_MS 5000u

/* --- devices --- */

struct device *mailbox_device(struct mailbox *mailbox, uint32_t number) {
    for (unsigned i = 0; i < mailbox->slots; i++)
        if (mailbox->devices[i].number == number && number)
            return &mailbox->devices[i];
    return NULL;
}

unsigned mailbox_devices_present(const struct mailbox *mailbox) {
    unsigned count = 0;
    for (unsigned i = 0; i < mailbox->slots; i++)
        count += mailbox->devices[i].number && mailbox->devices[i].present;
    return count;
}

static struct device *device_of_connection(struct mailbox *mailbox, struct actor_id connection) {
    for (unsigned i = 0; i < mailbox->slots; i++)
        if (mailbox->devices[i].number && connection.bits &&
            actor_id_equal(mailbox->devices[i].connection, connection))
            return &mailbox->devices[i];
    return NULL;
}

void mailbox_cut(struct device *device, uint8_t notice, uint16_t close_code) {
    struct message *message = message_create(CONNECTION_CUT, sizeof(struct connection_cut));
    *message_as(message, struct connection_cut) = (struct connection_cut){notice, close_code};
    if (actor_send(device->connection, &message) != 0)
        message_destroy(message);
}

/* The first mail that was in flight may be why the device has gone. When a node drains, or when the
 * connection failed on our side, it is not. */
static void note_suspect(struct mailbox *mailbox, struct device *device) {
    struct queue *queue = queue_of(device);
    uint64_t index = queue->head;
    while (index < queue->sent && (queue_at(queue, index)->state == ENTRY_GONE ||
                                   (queue_at(queue, index)->flags & ENTRY_REFUSED)))
        index++;
    if (index >= queue->sent ||
        atomic_load_explicit(&node_current()->draining, memory_order_relaxed))
        return;
    uint64_t sequence = queue_at(queue, index)->sequence;
    if (queue->suspect_sequence != sequence)
        queue->suspect_attempts = 0;
    queue->suspect_sequence = sequence;
    queue->suspect_attempts += queue->suspect_attempts < UINT8_MAX;
    device->record_due = true;
    if (queue->suspect_attempts >= 2)
        device->record_soon = store_of(mailbox)->records_soon = true;
}

static bool is_attached(const struct mailbox *mailbox) {
    for (unsigned i = 0; i < mailbox->slots; i++)
        if (mailbox->devices[i].number && device_is_online(&mailbox->devices[i]))
            return true;
    return false;
}

void mailbox_detach_device(struct mailbox *mailbox, struct device *device, bool device_left) {
    if (!device_is_online(device))
        return;
    device->connection = ACTOR_NOBODY;
    actor_stay(is_attached(mailbox));
    device->empty_due = device->stuck = false;
    if (!device->queue)
        return;
    if (device_left)
        note_suspect(mailbox, device);
    queue_store_held(mailbox, device);
    queue_rewind(device->queue);
}

/* --- attaching --- */

static void attached(const struct mailbox *mailbox, const struct mailbox_attach *attach, int code,
                     const struct device *device) {
    const struct node_limits *limits = &node_current()->limits;
    struct message *message = message_create(CONNECTION_ATTACHED, sizeof(struct mailbox_attached));
    struct mailbox_attached *attached = message_as(message, struct mailbox_attached);
    *attached = (struct mailbox_attached){
        .mailbox = actor_self(),
        .code = code,
        .retry_after_ms = RETRY_AFTER_MS,
        .resume = attach->resume_epoch == mailbox->epoch ? WIRE_RESUME_RESUMED : WIRE_RESUME_REPLAY,
        .epoch = mailbox->epoch,
        .next_send = device ? device->sends.next : 1,
        .mail_in_flight_max = limits->mail_in_flight_max,
        .mail_in_flight_bytes_max = limits->mail_in_flight_bytes_max,
        .queue_messages_max = limits->queue_messages_max,
    };
    if (actor_send(attach->connection, &message) != 0)
        message_destroy(message); /* it tries again */
}

/* Takes the place of the device's earlier connection, which is told, unless it is the same. */
static void replace(struct mailbox *mailbox, struct device *device, struct actor_id connection) {
    if (!device_is_online(device))
        return;
    if (!actor_id_equal(device->connection, connection)) {
        actor_count("connection_replaced", 1);
        mailbox_cut(device, WIRE_NOTICE_REPLACED, WIRE_CLOSE_REPLACED);
    }
    mailbox_detach_device(mailbox, device, true);
}

static void attach(struct mailbox *mailbox, struct device *device,
                   const struct mailbox_attach *attach) {
    replace(mailbox, device, attach->connection);
    device->connection = attach->connection;
    actor_stay(true); /* a million of them are not asked in vain */
    device->empty_due = true;
    device->busy = true;
    measure_user_active(mailbox->user, actor_wall_ms());
    mailbox_sends_attach(device, attach->send_low, attach->send_end);
    queue_expire(mailbox, device);
    if (attach->resume_epoch == mailbox->epoch || PLANTED(CURSOR_OF_OTHER_EPOCH))
        queue_ack_up_to(mailbox, device, attach->resume_cursor);
    attached(mailbox, attach, WIRE_CODE_OK, device);
    queue_pump(mailbox, device, NULL);
    mailbox_tick_in(mailbox, TICK_SHRINK_MS);
}

static bool is_loading(const struct mailbox *mailbox, struct message **message) {
    if (mailbox->state != MAILBOX_LOADING)
        return false;
    actor_defer(message);
    return true;
}

/* Our list may be older than what the connection has read: it is read again, once for each. */
static void doubt(struct mailbox *mailbox, struct actor_id connection) {
    if (actor_id_equal(mailbox->doubted, connection))
        return;
    mailbox->doubted = connection;
    mailbox_reload(mailbox);
}

static void mailbox_on_attach(void *state, struct message **message) {
    struct mailbox *mailbox = state;
    const struct mailbox_attach *request = message_as(*message, struct mailbox_attach);
    if (is_loading(mailbox, message))
        return;
    struct device *device = mailbox_device(mailbox, request->device);
    if (device && device->present && memcmp(device->key, request->key, sizeof(device->key)) == 0) {
        attach(mailbox, device, request);
    } else if (actor_id_equal(mailbox->doubted, request->connection) && !mailbox->reloading) {
        actor_count("attach_unauthorized", 1);
        attached(mailbox, request, WIRE_CODE_UNAUTHORIZED, NULL);
    } else {
        doubt(mailbox, request->connection);
        actor_defer(message);
    }
}

static void mailbox_on_detach(void *state, struct message **message) {
    struct mailbox *mailbox = state;
    const struct mailbox_detach *request = message_as(*message, struct mailbox_detach);
    struct device *device = device_of_connection(mailbox, request->connection);
    if (is_loading(mailbox, message))
        return;
    if (device)
        mailbox_detach_device(mailbox, device, request->device_left);
}

/* --- messages --- */

static void mailbox_on_loaded(void *state, struct message **message) {
    mailbox_loaded(state, *message);
}

static void mailbox_on_devices_changed(void *state, struct message **message) {
    mailbox_reload(state);
}

static void mailbox_on_send(void *state, struct message **message) {
    const struct mailbox_send *send = message_as(*message, struct mailbox_send);
    const struct quarantine_input input = {.device = {actor_key(), send->device}};
    if (is_loading(state, message))
        return;
    actor_blame(quarantine_describe_input, &input);
    mailbox_send(state, message);
    actor_blame(NULL, NULL);
}

/* It is the sender's as long as it is not stored; what an operator releases is nobody's. */
static void mailbox_on_deliver(void *state, struct message **message) {
    const struct mailbox_deliver *deliver = message_as(*message, struct mailbox_deliver);
    const struct quarantine_input input = {.device = deliver->sender};
    const bool released = deliver->released;
    if (is_loading(state, message))
        return;
    actor_blame(quarantine_describe_input, released ? NULL : &input);
    mailbox_deliver(state, message, NULL);
    actor_blame(NULL, NULL);
}

static void mailbox_on_met(void *state, struct message **message) {
    const struct mailbox_met *met = message_as(*message, struct mailbox_met);
    mailbox_peer_met(state, met->user, (*message)->from);
}

static void mailbox_on_settled(void *state, struct message **message) {
    mailbox_settled(state, message_as(*message, struct mailbox_settled), (*message)->blob);
}

static void mailbox_on_ack(void *state, struct message **message) {
    struct mailbox *mailbox = state;
    const struct mailbox_ack *ack = message_as(*message, struct mailbox_ack);
    struct device *device = device_of_connection(mailbox, ack->connection);
    const struct quarantine_input input = {.device = {mailbox->user, ack->device}};
    actor_blame(quarantine_describe_input, &input);
    if (device && ack->epoch == mailbox->epoch)
        queue_ack(mailbox, device, *message);
    else
        actor_count("ack_of_other_epoch", 1);
    actor_blame(NULL, NULL);
}

static void mailbox_on_receipt(void *state, struct message **message) {
    const struct mailbox_receipt *receipt = message_as(*message, struct mailbox_receipt);
    const struct quarantine_input input = {.device = {actor_key(), receipt->device}};
    if (is_loading(state, message))
        return;
    actor_blame(quarantine_describe_input, &input);
    mailbox_receipt(state, *message);
    actor_blame(NULL, NULL);
}

static void mailbox_on_status(void *state, struct message **message) {
    if (!is_loading(state, message))
        mailbox_status(state, *message);
}

static void mailbox_on_status_taken(void *state, struct message **message) {
    mailbox_status_taken(state, message_as(*message, struct mailbox_status_taken)->reference);
}

static void mailbox_on_page(void *state, struct message **message) {
    struct mailbox *mailbox = state;
    const struct mailbox_page *page = message_as(*message, struct mailbox_page);
    struct device *device = mailbox_device(mailbox, page->device);
    if (!device)
        return;
    device->paging = false;
    if (page->error) {
        log_error("mailbox: user %llu, device %u: reading its mail: %s",
                  (unsigned long long)mailbox->user, device->number, strerror(-page->error));
        device->stuck = true;
        mailbox_tick_in(mailbox, MAILBOX_TICK_MS);
        return;
    }
    queue_pump(mailbox, device, *message);
}

static void mailbox_on_hold_ends(void *state, struct message **message) {
    queue_hold_ends(state);
}

static void mailbox_on_committed(void *state, struct message **message) {
    store_committed(state, message_as(*message, struct commit_result));
}

static void mailbox_on_commit_again(void *state, struct message **message) {
    store_again(state);
}

/* A connection has ended that could not say so in its place. */
static void mailbox_on_exit(void *state, struct message **message) {
    struct mailbox *mailbox = state;
    const struct actor_down *down = message_as(*message, struct actor_down);
    struct device *device = device_of_connection(mailbox, down->actor);
    if (down->reason != PARTNER_ENDED)
        actor_stop(down->reason);
    else if (device)
        mailbox_detach_device(mailbox, device, false);
}

static void mailbox_on_down(void *state, struct message **message) {
    struct mailbox *mailbox = state;
    const struct actor_down *down = message_as(*message, struct actor_down);
    mailbox->ticked = true;
    if (!mailbox_peer_down(mailbox, down))
        store_down(mailbox, down);
}

/* A message of ours that was not taken. What was for a connection shows that it is hopelessly
 * behind, or gone: its device gets everything again on the next. */
static void mailbox_on_refused(void *state, struct message **message) {
    struct mailbox *mailbox = state;
    struct device *device = device_of_connection(mailbox, (*message)->from);
    if ((*message)->kind == MAILBOX_DELIVER) {
        mailbox_peer_bounced(mailbox, *message);
    } else if ((*message)->kind == COMMITTER_COMMIT) {
        store_bounced(mailbox, message_as(*message, struct commit_request));
    } else if (device) {
        actor_count("connection_behind", 1);
        mailbox_cut(device, WIRE_NOTICE_BEHIND, WIRE_CLOSE_SLOW);
        mailbox_detach_device(mailbox, device, true);
    }
}

/* --- time --- */

void mailbox_tick_in(struct mailbox *mailbox, uint32_t delay_ms) {
    uint32_t when_ms = mailbox_now() + delay_ms;
    if (mailbox->tick_timer.bits && (int32_t)(when_ms - mailbox->tick_ms) >= 0)
        return;
    actor_timer_cancel(&mailbox->tick_timer);
    mailbox->tick_ms = when_ms;
    mailbox->tick_timer = actor_timer_start(delay_ms, MAILBOX_TICK, 0);
}

/* Gives back what was empty since the last tick, or is and was not used just now. A device that
 * left goes when nothing of it is open. */
static void device_tick(struct mailbox *mailbox, struct device *device) {
    mailbox_sends_tick(mailbox, device);
    if (device->stuck) {
        device->stuck = false;
        queue_pump(mailbox, device, NULL);
    }
    bool quiet = !device->busy || mailbox_now() - mailbox->active_ms >= TICK_QUIET_MS;
    if (quiet && device->queue && device->queue->head == device->queue->tail)
        queue_free(device);
    device->busy = false;
    if (device->present || device->sends.open)
        return;
    if (device->queue)
        queue_free(device);
    actor_free(device->sends.ring);
    *device = (struct device){0};
    if (mailbox->reload_due)
        mailbox_reload(mailbox);
}

struct affairs *affairs_make(struct mailbox *mailbox) {
    mailbox->affairs = actor_allocate(sizeof(*mailbox->affairs));
    mailbox_tick_in(mailbox, TICK_SHRINK_MS);
    return mailbox->affairs;
}

/* Nobody waits for a taker's place whose entries are safe, so no entry knows one any more. */
static void affairs_rest(struct mailbox *mailbox) {
    struct affairs *affairs = mailbox->affairs;
    if (!affairs || affairs->peers || affairs->gathering || affairs->outgoing || affairs->refused ||
        mailbox_takers_wait(mailbox))
        return;
    CHECK(affairs->outgoing_ids == 0);
    actor_free(affairs->takers);
    actor_free(affairs);
    mailbox->affairs = NULL;
}

/* When the next tick is needed, as things are; 0: not. Of those who wrote a message just now there
 * are thousands a second: each tick of one finds nothing of it in any cache, so where a peer is to
 * be forgotten one tick does for all. */
static uint32_t tick_needed_ms(const struct mailbox *mailbox) {
    const struct store *store = mailbox->store;
    uint32_t peers_ms = mailbox_peers_due_ms(mailbox);
    uint32_t shrink_ms = peers_ms ? peers_ms : TICK_SHRINK_MS;
    uint32_t needed_ms = mailbox->affairs || store ? shrink_ms : 0;
    if (mailbox->absent || affairs_seen(mailbox)->outgoing || mailbox->reload_due ||
        (store && store->flies))
        return MAILBOX_TICK_MS;
    for (unsigned i = 0; i < mailbox->slots; i++) {
        const struct device *device = &mailbox->devices[i];
        if (!device->number)
            continue;
        if (device->sends.open || device->stuck || !device->present)
            return MAILBOX_TICK_MS;
        bool shrinks = (device->queue && device->queue->head == device->queue->tail) ||
                       (device->sends.ring && device->sends.ok_below == device->sends.next);
        if (shrinks)
            needed_ms = shrink_ms;
    }
    return needed_ms;
}

/* The expirer has seen old mail of ours. If this is what woke us, loading has dealt with it. */
static void mailbox_on_expire(void *state, struct message **message) {
    struct mailbox *mailbox = state;
    if (mailbox->state == MAILBOX_LOADING || mailbox->absent)
        return;
    bool more = false;
    for (unsigned i = 0; i < mailbox->slots; i++)
        if (mailbox->devices[i].number)
            more |= queue_expire(mailbox, &mailbox->devices[i]);
    if (more && actor_signal(actor_self(), MAILBOX_EXPIRE) != 0)
        actor_count("expire_delayed", 1); /* until the expirer's next round */
}

static void mailbox_on_tick(void *state, struct message **message) {
    struct mailbox *mailbox = state;
    mailbox->tick_timer.bits = 0;
    mailbox->ticked = true;
    if (mailbox->state == MAILBOX_LOADING)
        return;
    if (mailbox->absent && !mailbox->reloading && !mailbox->reload_due) {
        actor_stop(ACTOR_PASSIVATED);
        return;
    }
    for (unsigned i = 0; i < mailbox->slots; i++)
        if (mailbox->devices[i].number)
            device_tick(mailbox, &mailbox->devices[i]);
    if (mailbox->reload_due)
        mailbox_reload(mailbox);
    mailbox_reports_tick(mailbox);
    mailbox_peers_tick(mailbox);
    mailbox_refusals_tick(mailbox);
    affairs_rest(mailbox);
    store_tick(mailbox);
    uint32_t needed_ms = tick_needed_ms(mailbox);
    if (needed_ms)
        mailbox_tick_in(mailbox, needed_ms);
}

static void mailbox_after_turn(void *state) {
    struct mailbox *mailbox = state;
    if (mailbox->affairs)
        mailbox_reports_flush(mailbox);
    store_flush(mailbox);
    if (!mailbox->ticked)
        mailbox->active_ms = mailbox_now();
    mailbox->ticked = false;
}

/* --- life --- */

static int mailbox_init(void *state, const void *argument) {
    struct mailbox *mailbox = state;
    struct node *node = node_current();
    uint64_t activation =
        atomic_fetch_add_explicit(&node->activations, 1, memory_order_relaxed) + 1;
    *mailbox = (struct mailbox){.magic = MAILBOX_MAGIC,
                                .user = actor_key(),
                                .epoch = node->boot << 32 | (activation & UINT32_MAX),
                                .active_ms = mailbox_now()};
    actor_trap_exits(true);
    mailbox_load(mailbox);
    return 0;
}

static void mailbox_terminate(void *state, int reason) {
    const struct mailbox *mailbox = state;
    for (unsigned i = 0; i < mailbox->slots; i++)
        if (mailbox->devices[i].number && device_is_online(&mailbox->devices[i]))
            actor_kill(mailbox->devices[i].connection, PARTNER_ENDED);
}

static bool device_rests(const struct device *device) {
    return !device_is_online(device) && !device->sends.open &&
           !(device->queue && device->queue->held) && !device->paging && !device->flying;
}

/* Nobody is here, nothing is under way. The marks are written, without waiting: they may lag. */
static bool mailbox_may_passivate(void *state) {
    struct mailbox *mailbox = state;
    uint32_t idle_ms = mailbox_now() - mailbox->active_ms;
    if (mailbox->state == MAILBOX_LOADING || mailbox->reloading ||
        affairs_seen(mailbox)->outgoing || affairs_seen(mailbox)->gathering ||
        !store_is_idle(mailbox) || mailbox_takers_wait(mailbox) ||
        idle_ms < node_current()->limits.mailbox_idle_ms)
        return false;
    for (unsigned i = 0; i < mailbox->slots; i++)
        if (mailbox->devices[i].number && !device_rests(&mailbox->devices[i]))
            return false;
    for (unsigned i = 0; i < mailbox->slots; i++) {
        struct device *device = &mailbox->devices[i];
        mailbox_sends_rest(&device->sends);
        device->record_due |= device->sends.ok_saved != device->sends.ok_below;
    }
    store_records(mailbox);
    return true;
}

static const struct actor_handler mailbox_handlers[] = {
    [ACTOR_DOWN] = {"down", mailbox_on_down},
    [ACTOR_EXIT] = {"exit", mailbox_on_exit},
    [MAILBOX_LOADED] = {"loaded", mailbox_on_loaded},
    [MAILBOX_PAGE] = {"page", mailbox_on_page},
    [MAILBOX_ATTACH] = {"attach", mailbox_on_attach},
    [MAILBOX_DETACH] = {"detach", mailbox_on_detach},
    [MAILBOX_SEND] = {"send", mailbox_on_send},
    [MAILBOX_DELIVER] = {"deliver", mailbox_on_deliver},
    [MAILBOX_MET] = {"met", mailbox_on_met},
    [MAILBOX_SETTLED] = {"settled", mailbox_on_settled},
    [MAILBOX_ACK] = {"ack", mailbox_on_ack},
    [MAILBOX_RECEIPT] = {"receipt", mailbox_on_receipt},
    [MAILBOX_STATUS] = {"status", mailbox_on_status},
    [MAILBOX_STATUS_TAKEN] = {"status_taken", mailbox_on_status_taken},
    [MAILBOX_HOLD_ENDS] = {"hold_ends", mailbox_on_hold_ends},
    [MAILBOX_TICK] = {"tick", mailbox_on_tick},
    [MAILBOX_EXPIRE] = {"expire", mailbox_on_expire},
    [MAILBOX_DEVICES_CHANGED] = {"devices_changed", mailbox_on_devices_changed},
    [MAILBOX_DESCRIBE] = {"describe", mailbox_describe},
    [COMMITTED] = {"committed", mailbox_on_committed},
    [COMMIT_AGAIN] = {"commit_again", mailbox_on_commit_again},
};

const struct actor_class mailbox_class = {
    .name = "mailbox",
    .state_bytes = sizeof(struct mailbox),
    .init = mailbox_init,
    .terminate = mailbox_terminate,
    .handlers = mailbox_handlers,
    .handler_count = sizeof(mailbox_handlers) / sizeof(mailbox_handlers[0]),
    .refused = mailbox_on_refused,
    .after_turn = mailbox_after_turn,
    .idle_ms = ASKED_TO_PASSIVATE_MS,
    .may_passivate = mailbox_may_passivate,
    .mailbox_messages_max = 8192,
    .mailbox_bytes_max = 32u << 20,
};

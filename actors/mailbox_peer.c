/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mailboxes that this one delivers to.
 *
 *   UNKNOWN ──first delivery, by name──► MEETING ──MET──► KNOWN: by id, monitored
 *      ▲                                    │               │
 *      └──────────── not met in time ◄──────┘◄──── down ◄───┘
 *
 * While meeting, further deliveries wait. When a known peer goes down every open delivery to it is
 * made again, in order, before any new one: a new incarnation gets nothing by the old one's id, so
 * it cannot see the second before the first. A peer is kept for a while after its last delivery, so
 * that monitoring costs nothing per message; but not for long, for a peer and its monitor are as
 * large as an idle mailbox, which ticks as long as it has one: to meet again costs less.
 */
#include "actors/mailbox_internal.h"
#include "net/wire.h"

#include <string.h>

#define PEERS_FIRST 1u
#define PEERS_MAX 64u
#define PEER_KEPT_MS_MAX 10000u /* longer than people pause in a conversation's burst */
#define MEETING_MS \
    1000u /* then it is tried again: the first delivery may be lost with its mailbox */
#define TRIES_MAX 3
#define RETRY_AFTER_MS 500

enum peer_state { PEER_UNKNOWN, PEER_MEETING, PEER_KNOWN };

struct peer {
    uint64_t user;
    struct actor_id mailbox; /* KNOWN */
    uint64_t monitor;
    uint32_t open;  /* deliveries that are not settled, those that wait included */
    uint32_t order; /* for mailbox_deliver.order */
    uint32_t used_ms;
    uint32_t meeting_ms; /* MEETING: since then */
    uint8_t state;       /* enum peer_state */
};

/* --- the table --- */

static struct peer *find(const struct mailbox *mailbox, uint64_t user) {
    const struct affairs *affairs = affairs_seen(mailbox);
    for (unsigned i = 0; i < affairs->peer_count; i++)
        if (affairs->peers[i].user == user)
            return &affairs->peers[i];
    return NULL;
}

static void forget(struct affairs *affairs, struct peer *peer) {
    CHECK(peer->open == 0);
    if (peer->monitor)
        actor_unmonitor(peer->monitor);
    *peer = affairs->peers[--affairs->peer_count];
    if (affairs->peer_count)
        return;
    actor_free(affairs->peers);
    affairs->peers = NULL;
    affairs->peer_capacity = 0;
}

/* Forgets the one that was not used for longest. False: all are in use. */
static bool make_room(struct affairs *affairs) {
    struct peer *oldest = NULL;
    uint32_t now_ms = mailbox_now();
    for (unsigned i = 0; i < affairs->peer_count; i++) {
        struct peer *peer = &affairs->peers[i];
        if (!peer->open && (!oldest || now_ms - peer->used_ms > now_ms - oldest->used_ms))
            oldest = peer;
    }
    if (oldest)
        forget(affairs, oldest);
    return oldest != NULL;
}

static struct peer *find_or_add(struct mailbox *mailbox, uint64_t user) {
    struct peer *peer = find(mailbox, user);
    if (peer)
        return peer;
    struct affairs *affairs = affairs_of(mailbox);
    if (affairs->peer_count == PEERS_MAX && !make_room(affairs))
        return NULL;
    if (affairs->peer_count == affairs->peer_capacity) {
        unsigned capacity = affairs->peer_capacity ? 2u * affairs->peer_capacity : PEERS_FIRST;
        affairs->peers = actor_reallocate(affairs->peers, capacity * sizeof(*affairs->peers));
        affairs->peer_capacity = (uint8_t)capacity;
    }
    peer = &affairs->peers[affairs->peer_count++];
    *peer = (struct peer){.user = user, .order = mailbox->order_top};
    return peer;
}

/* --- delivering --- */

struct message *mailbox_deliver_create(struct mailbox *mailbox, struct device *device,
                                       const struct sent *sent) {
    const struct mailbox_send *send = message_as(sent->send, struct mailbox_send);
    struct message *message = message_create(MAILBOX_DELIVER, sizeof(struct mailbox_deliver));
    struct mailbox_deliver *deliver = message_as(message, struct mailbox_deliver);
    *deliver = (struct mailbox_deliver){
        .sender_mailbox = actor_self(),
        .open = mailbox_open_reference(mailbox, device, sent),
        .again = sent->again,
        .sender = {mailbox->user, device->number},
        .chat = mailbox->user,
        .time_ms = sent->time_ms,
        .version = send->version,
        .flags = send->flags,
        .lamport = send->lamport,
        .chat_n = send->chat_n,
        .content_kind = WIRE_MAIL_MESSAGE,
        .spans = send->spans,
    };
    memcpy(deliver->id, send->id, sizeof(deliver->id));
    message->blob = sent->send->blob ? blob_hold(sent->send->blob) : NULL;
    return message;
}

/* False: not now. */
static bool transmit(struct mailbox *mailbox, struct peer *peer, struct device *device,
                     struct sent *sent) {
    struct message *message = mailbox_deliver_create(mailbox, device, sent);
    struct mailbox_deliver *deliver = message_as(message, struct mailbox_deliver);
    bool meet = peer->state != PEER_KNOWN;
    deliver->order = peer->order;
    deliver->meet = meet;
    int error = meet ? actor_send_named(&mailbox_class, peer->user, &message)
                     : actor_send(peer->mailbox, &message);
    if (error) {
        message_destroy(message);
        actor_count("deliver_unsent", 1);
        return false;
    }
    peer->state = meet ? PEER_MEETING : PEER_KNOWN;
    peer->meeting_ms = mailbox_now();
    sent->waits = 0;
    return true;
}

int mailbox_peer_deliver(struct mailbox *mailbox, struct device *device, struct sent *sent) {
    struct peer *peer = find_or_add(mailbox, message_as(sent->send, struct mailbox_send)->chat);
    if (!peer) {
        actor_count("send_too_many_peers", 1);
        sent->phase = SENT_TO_OWN; /* nothing is open at a peer */
        return WIRE_CODE_OVERLOADED;
    }
    peer->open++;
    peer->used_ms = mailbox_now();
    if (peer->state == PEER_MEETING) {
        sent->waits = 1;
        return 0;
    }
    return transmit(mailbox, peer, device, sent) ? 0 : WIRE_CODE_OVERLOADED;
}

/* --- all open deliveries of one peer, in each device's order --- */

struct open_walk {
    struct mailbox *mailbox;
    uint64_t user;
    unsigned slot;
    uint64_t number;
};

static struct sent *next_open(struct open_walk *walk, struct device **device) {
    for (; walk->slot < walk->mailbox->slots; walk->slot++, walk->number = 0) {
        struct device *at = &walk->mailbox->devices[walk->slot];
        struct sends *sends = &at->sends;
        if (!sends->open)
            continue;
        if (walk->number < mailbox_sends_low(sends))
            walk->number = mailbox_sends_low(sends);
        while (walk->number < sends->next) {
            struct sent *sent = mailbox_sent_find(sends, walk->number++);
            if (sent && sent->state == SENT_OPEN && sent->phase == SENT_TO_PEER &&
                message_as(sent->send, struct mailbox_send)->chat == walk->user) {
                *device = at;
                return sent;
            }
        }
    }
    return NULL;
}

static void refuse_all(struct mailbox *mailbox, struct peer *peer, int code, bool waiting_only) {
    struct open_walk walk = {.mailbox = mailbox, .user = peer->user};
    struct device *device;
    struct sent *sent;
    while ((sent = next_open(&walk, &device)))
        if (sent->waits || !waiting_only)
            mailbox_send_refuse(mailbox, device, sent, code, RETRY_AFTER_MS, NULL);
}

/* Sends what waits: the first one alone to meet the peer, all when it is known. */
static void send_waiting(struct mailbox *mailbox, struct peer *peer) {
    struct open_walk walk = {.mailbox = mailbox, .user = peer->user};
    struct device *device;
    struct sent *sent;
    while (peer->state != PEER_MEETING && (sent = next_open(&walk, &device))) {
        if (!sent->waits)
            continue;
        if (mailbox_sends_bar(&device->sends, sent->number)) {
            mailbox_send_refuse(mailbox, device, sent, WIRE_CODE_LIMITED, RETRY_AFTER_MS, NULL);
            continue;
        }
        if (!transmit(mailbox, peer, device, sent)) {
            refuse_all(mailbox, peer, WIRE_CODE_OVERLOADED, true);
            return;
        }
    }
}

void mailbox_peer_met(struct mailbox *mailbox, uint64_t user, struct actor_id id) {
    struct peer *peer = find(mailbox, user);
    if (!peer || peer->state != PEER_MEETING)
        return;
    peer->state = PEER_KNOWN;
    peer->mailbox = id;
    peer->monitor = actor_monitor(id);
    send_waiting(mailbox, peer);
}

void mailbox_peer_settled(struct mailbox *mailbox, uint64_t user, bool refused) {
    struct peer *peer = find(mailbox, user);
    CHECK(peer && peer->open > 0);
    peer->open--;
    if (refused)
        peer->order = ++mailbox->order_top;
}

/* --- failures --- */

/* Everything open is delivered again, to the next incarnation. */
static void deliver_again(struct mailbox *mailbox, struct peer *peer, bool passivated) {
    struct open_walk walk = {.mailbox = mailbox, .user = peer->user};
    struct device *device;
    struct sent *sent;
    bool hopeless = false;
    while ((sent = next_open(&walk, &device))) {
        sent->tries += !sent->waits && !passivated;
        sent->again = 1;
        sent->waits = 1;
        hopeless |= sent->tries > TRIES_MAX;
    }
    if (hopeless)
        refuse_all(mailbox, peer, WIRE_CODE_UNAVAILABLE, false);
    else
        send_waiting(mailbox, peer);
}

bool mailbox_peer_down(struct mailbox *mailbox, const struct actor_down *down) {
    const struct affairs *affairs = affairs_seen(mailbox);
    for (unsigned i = 0; i < affairs->peer_count; i++) {
        struct peer *peer = &affairs->peers[i];
        if (!peer->monitor || peer->monitor != down->reference)
            continue;
        peer->state = PEER_UNKNOWN;
        peer->mailbox = ACTOR_NOBODY;
        peer->monitor = 0;
        if (peer->open) {
            actor_count("peer_down", 1);
            deliver_again(mailbox, peer, down->reason == ACTOR_PASSIVATED);
        }
        return true;
    }
    return false;
}

/* No longer than an idle mailbox itself, which a peer keeps from passivating. */
static uint32_t kept_ms(void) {
    uint32_t idle_ms = node_current()->limits.mailbox_idle_ms;
    return idle_ms < PEER_KEPT_MS_MAX ? idle_ms : PEER_KEPT_MS_MAX;
}

void mailbox_peers_tick(struct mailbox *mailbox) {
    uint32_t now_ms = mailbox_now();
    struct affairs *affairs = mailbox->affairs;
    for (unsigned i = affairs ? affairs->peer_count : 0; i-- > 0;) {
        CHECK(affairs->peers);
        struct peer *peer = &affairs->peers[i];
        if (peer->state == PEER_MEETING && now_ms - peer->meeting_ms >= MEETING_MS) {
            actor_count("peer_not_met", 1);
            peer->state = PEER_UNKNOWN;
            deliver_again(mailbox, peer, false);
        }
        if (!peer->open && now_ms - peer->used_ms >= kept_ms())
            forget(affairs, peer);
    }
}

uint32_t mailbox_peers_due_ms(const struct mailbox *mailbox) {
    const struct affairs *affairs = affairs_seen(mailbox);
    uint32_t kept = kept_ms(), due_ms = 0;
    for (unsigned i = 0; i < affairs->peer_count; i++) {
        const struct peer *peer = &affairs->peers[i];
        uint32_t unused_ms = mailbox_now() - peer->used_ms;
        uint32_t left_ms = unused_ms < kept ? kept - unused_ms : MAILBOX_TICK_MS;
        if (left_ms > due_ms)
            due_ms = left_ms;
    }
    return due_ms;
}

void mailbox_peer_bounced(struct mailbox *mailbox, struct message *message) {
    const struct mailbox_deliver *deliver = message_as(message, struct mailbox_deliver);
    struct device *device;
    struct sent *sent = mailbox_open_find(mailbox, deliver->open, &device);
    if (!sent || sent->phase != SENT_TO_PEER || sent->waits)
        return;
    struct peer *peer = find(mailbox, message_as(sent->send, struct mailbox_send)->chat);
    CHECK(peer);
    if (deliver->meet && peer->state == PEER_MEETING) {
        peer->state = PEER_UNKNOWN;
        refuse_all(mailbox, peer, WIRE_CODE_OVERLOADED, false);
    } else if (!deliver->meet && peer->state == PEER_KNOWN &&
               actor_id_equal(peer->mailbox, message->from)) {
        mailbox_send_refuse(mailbox, device, sent, WIRE_CODE_OVERLOADED, RETRY_AFTER_MS, NULL);
    } /* else it is down, and everything is being delivered again */
}

void mailbox_peer_overdue(struct mailbox *mailbox, struct device *device, struct sent *sent) {
    struct peer *peer = find(mailbox, message_as(sent->send, struct mailbox_send)->chat);
    CHECK(peer);
    if (peer->state == PEER_MEETING) {
        peer->state = PEER_UNKNOWN;
        refuse_all(mailbox, peer, WIRE_CODE_UNAVAILABLE, false);
    } else {
        mailbox_send_refuse(mailbox, device, sent, WIRE_CODE_UNAVAILABLE, RETRY_AFTER_MS, NULL);
    }
}

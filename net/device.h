/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device's end of the protocol: a state machine over bytes, and the only client there is. The
 * terminal client, the bench and the simulator are built on it.
 *
 *                 device_connect           welcome
 *     OFFLINE ───────► CONNECTING ───────────────► ONLINE
 *        ▲   (upgrade, Noise, hello)                 │
 *        └──────────── CLOSING ◄─────────────────────┘   an error, a close frame, device_close
 *    device_disconnected
 *
 * It has no socket, no clock, no randomness and no disk. The owner moves bytes and tells the time:
 *
 *     device_connect(device, &url, now_ms, wall_ms);        when its socket is connected
 *     device_receive(device, bytes, length, now_ms);        what has arrived (is overwritten)
 *     length = device_output(device, now_ms, &bytes);       what is to be sent; ask after every
 * call device_output_done(device, sent);                     so many of them went out
 *     device_tick(device, now_ms);                          at device_deadline_ms(), or whenever
 *     device_disconnected(device, now_ms);                  the socket is closed
 *
 * now_ms is any clock that only goes forward; wall_ms is Unix time. When device_receive or
 * device_tick return a negative errno the connection is over: send what device_output still has if
 * that is easy, close the socket, call device_disconnected, and connect again at
 * device_reconnect_ms().
 *
 * What the owner keeps (keys, messages, the cursor) stays with the owner: the device asks for it
 * through `struct device_storage` and tells through `struct device_events`. All functions of both
 * get the device's `context`; each may be NULL where it says so. From within them the owner may
 * call device_send, device_retry, device_settle, device_request and the functions that only read,
 * nothing else. Their pointers are borrowed until they return.
 *
 * Mail. Each new message goes to events.mail; at the end of the input, storage.cursor_save and then
 * storage.commit make what came durable, and only then is it acknowledged, in one frame. So `mail`
 * may write into an open transaction that `commit` ends. Duplicates (storage.mail_known) are
 * acknowledged and not shown.
 *
 * Sends. The owner numbers and stores a message first, then lets the device know:
 *     number = device_next_send(device);  ... store the message under its number, durably ...
 *     device_send(device, number);
 * The device fetches it (storage.outbox_read) whenever it is time to send it: on every connection
 * again, in order, until it is answered. events.answered tells the answer once; a final one ends
 * the number, and the owner may forget the message.
 *
 * Memory: an idle connected device is DEVICE_BYTES_MAX or less and holds no buffer; a handshake
 * adds some 700 bytes, input or output that is under way its size. Out of memory is -ENOMEM.
 *
 * sodium_init() comes first. A device belongs to one thread at a time.
 */
#ifndef TERN_NET_DEVICE_H
#define TERN_NET_DEVICE_H

#include "net/certificate.h"
#include "net/noise.h"
#include "net/url.h"
#include "net/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEVICE_BYTES_MAX 344
#define DEVICE_REQUESTS_MAX \
    16                      /* without an answer yet; at most a quarter of what the node allows */
#define DEVICE_SENDS_MAX 64 /* on their way without an answer yet; at most the rest of it */
#define DEVICE_PENDING_MAX 1024 /* mail that waits for device_settle */
#define DEVICE_NEVER UINT64_MAX /* a time that doesn't come */

struct device;

/* ---------------------------------------------------------------- what the owner keeps */

struct device_saved {
    uint64_t epoch, cursor; /* as cursor_save got them last; 0: never */
    uint64_t send_low;      /* lowest number of a message that has no final answer; 0: none */
    uint64_t next_send;     /* number of the next new message; 0: none was ever sent */
};

struct device_storage {
    /* The device's static key. Called once per connection; wiped after use. */
    void (*identity)(void *context, struct noise_keypair *pair);
    /* The pinned cluster key: 1: here it is; 0: none yet. Negative errno: don't connect. */
    int (*pin_load)(void *context, uint8_t cluster_key[CERTIFICATE_KEY_BYTES]);
    /* Trust on first use: keep this one. 0, or negative: refuse. NULL: refuse whoever isn't pinned.
     */
    int (*pin_save)(void *context, const uint8_t cluster_key[CERTIFICATE_KEY_BYTES]);
    /* What was saved before; in device_create, and when the connection on which a commit failed has
     * ended. NULL: nothing. */
    void (*load)(void *context, struct device_saved *saved);
    /* All mail up to this cursor is stored; becomes durable with commit. NULL: not kept, and each
     * connection gets all unacknowledged mail again. */
    void (*cursor_save)(void *context, uint64_t epoch, uint64_t cursor);
    /* Makes durable what events told since the last time. 0, or a negative errno: nothing of it is
     * acknowledged and the connection ends. NULL: all is durable at once. */
    int (*commit)(void *context);
    /* Has this message been stored already? `mail` must store id and message together. NULL: no. */
    bool (*mail_known)(void *context, uint64_t sender, uint32_t sender_device,
                       const struct wire_id *id);
    /* How far, as stored by `status`, an own message has come with this device of this person (0:
     * all of them): an enum wire_state, or 0. NULL: nothing is kept, and `status` hears all there
     * is. */
    unsigned (*status_known)(void *context, const struct wire_id *id, uint64_t user,
                             uint32_t device);
    /* Fills in the message of this number: id, chat, versions, recipients, content, clock (the
     * number itself is set already). 0, or -ENOENT: it has had its final answer. NULL: nothing is
     * ever sent. */
    int (*outbox_read)(void *context, uint64_t number, struct wire_send *send);
};

/* ---------------------------------------------------------------- what the owner hears */

#define DEVICE_LATER (-1) /* mail, status: the owner will call device_settle */

enum device_end {                     /* why a connection ended */
                  DEVICE_END_LOST,    /* the network, or the node went without a word */
                  DEVICE_END_CLOSED,  /* device_close */
                  DEVICE_END_BUSY,    /* the node has no room now (HTTP 503, limited, overloaded) */
                  DEVICE_END_REFUSED, /* no Tern node: another HTTP status than 101 */
                  DEVICE_END_PROTOCOL,    /* one side broke the protocol */
                  DEVICE_END_HANDSHAKE,   /* Noise failed, or took too long */
                  DEVICE_END_CERTIFICATE, /* forged, expired, or for another node */
                  DEVICE_END_PIN,         /* the cluster's key is not the pinned one: final */
                  DEVICE_END_VERSION,     /* no protocol version in common: final */
                  DEVICE_END_SILENT,      /* nothing heard for two and a half heartbeats */
                  DEVICE_END_DRAINING, /* the node goes away; another place may have been named */
                  DEVICE_END_REPLACED, /* another connection of this device took over: final */
                  DEVICE_END_UNLINKED, /* the device belongs to no user any more: final */
                  DEVICE_END_STORAGE,  /* the owner's storage failed */
};

/* "replaced". Never NULL. */
const char *device_end_name(enum device_end end);
/* Is it pointless to connect again without a person's help? */
bool device_end_is_final(enum device_end end);

enum device_pin {
    DEVICE_PIN_FIRST,   /* trusted on first use, saved: show it */
    DEVICE_PIN_CHANGED, /* not the pinned one: refused. Somebody may be in between */
};

struct device_events {
    /* The node's certificate names a cluster that is not yet pinned, or not the pinned one. */
    void (*pin)(void *context, enum device_pin what, const struct certificate *certificate);
    /* Each welcome, also one on a living connection. Look at `registered`, and remember the home.
     */
    void (*welcome)(void *context, const struct wire_welcome *welcome);
    /* A message that is not known yet. 0: acknowledge it after commit; an enum wire_refusal:
     * acknowledge it with that error; DEVICE_LATER. NULL: 0. */
    int (*mail)(void *context, const struct wire_mail *mail);
    /* What became of own messages; or that mail for this device was set aside (`user` is one's
     * own). Only of those that have come further by it than storage.status_known says: receipts may
     * come late and again, and what a person sees never goes back. 0 or DEVICE_LATER. NULL: 0. */
    int (*status)(void *context, const struct wire_status *status);
    /* The answer to a send. Ok and the refusals are final. With ok the state is sent, or with
     * sent->delivered_device delivered, if no status has said more before: a node may fail before
     * it has said so by a status. After stale, the owner encrypts the message for the devices in
     * `stale`, keeps it under the same number and id, and calls device_retry; all later sends wait
     * for that. Limited, overloaded, unavailable and internal are not told, the device tries again
     * by itself. `sent` and `stale` are NULL for other codes.
     */
    void (*answered)(void *context, uint64_t number, const struct wire_reply *reply,
                     const struct wire_sent_body *sent, const struct wire_stale_body *stale);
    /* The answer to device_request's ref. Unavailable with an empty body when the connection ended
     * before the answer came: the outcome is unknown. */
    void (*replied)(void *context, uint32_t ref, const struct wire_reply *reply);
    /* Nothing more waits for this device. */
    void (*empty)(void *context);
    void (*notice)(void *context, const struct wire_notice *notice);
    /* In device_disconnected. `detail` is an HTTP status, a close code or a negative errno, or 0.
     */
    void (*closed)(void *context, enum device_end end, int detail);
    /* Every frame in and out, for traces (wire_print_frame). NULL: none. */
    void (*trace)(void *context, bool out, const struct wire_frame *frame);
};

/* Shared by any number of devices; must outlive them. */
struct device_config {
    const struct device_storage *storage;
    const struct device_events *events;
    void (*random_bytes)(void *context, void *bytes, size_t length); /* unpredictable ones */
    const char *client;        /* program and version for people, at most 64 bytes */
    uint32_t handshake_ms;     /* patience until welcome; 0: 30 s */
    uint32_t reconnect_ms_min; /* the first wait; 0: 500 ms; doubled each time, with jitter */
    uint32_t reconnect_ms_max; /* 0: 60 s */
    uint32_t ack_delay_ms;     /* how long an acknowledgement of statuses may wait; 0: 10 ms */
};

/* ---------------------------------------------------------------- life */

/* NULL: out of memory. */
struct device *device_create(const struct device_config *config, void *context);
/* Without any event. NULL is allowed. */
void device_destroy(struct device *device);

/* The socket to `url`'s host is connected. 0; -EISCONN: not offline; -ENOMEM; or what pin_load
 * said. */
int device_connect(struct device *device, const struct url *url, uint64_t now_ms, uint64_t wall_ms);

/* 0, or negative: the connection is over (see above). -EPROTO, -EBADMSG: the node broke the
 * protocol; -EKEYREJECTED: its certificate or the pin; -EIO: storage; -ECONNABORTED: anything else,
 * as events.closed will say. */
int device_receive(struct device *device, uint8_t *bytes, size_t length, uint64_t now_ms);

/* How many bytes are to be sent, and (unless it is 0) where they lie until the next call of any
 * function but the reading ones. All that was queued since the last time goes into one Noise
 * message; nothing more is queued while bytes are given out and not yet done. */
size_t device_output(struct device *device, uint64_t now_ms, const uint8_t **bytes);
void device_output_done(struct device *device, size_t length);

/* Like device_receive; -ETIMEDOUT: the handshake took too long, or the node is silent. */
int device_tick(struct device *device, uint64_t now_ms);
/* When device_tick is needed next, or DEVICE_NEVER. Ask again after every call that changes
 * something. */
uint64_t device_deadline_ms(const struct device *device);

/* Ends an established connection in order: a close frame will be the last output; then close the
 * socket. */
void device_close(struct device *device);
/* The socket is gone, whoever closed it; or it could not be connected at all. Tells events.closed
 * and sets device_reconnect_ms. */
void device_disconnected(struct device *device, uint64_t now_ms);
/* While offline: when to connect again; DEVICE_NEVER after a final end. Backs off with jitter. */
uint64_t device_reconnect_ms(const struct device *device);

bool device_is_offline(const struct device *device);
/* Welcomed on this connection (a device that is not registered may only make requests). */
bool device_is_online(const struct device *device);
bool device_is_registered(const struct device *device);
/* As the last welcome said; 0: never connected, or not registered. */
uint64_t device_user(const struct device *device);
uint32_t device_number(const struct device *device);
/* How many numbers the node lets one `discover` ask for, as the last welcome said, at least 1 and
 * at most what the frame holds; 0: never connected. More are answered with too_big. */
uint32_t device_discover_phones_max(const struct device *device);

/* ---------------------------------------------------------------- sending */

/* The number that the next new message must have. It may rise with a welcome: ask just before. */
uint64_t device_next_send(const struct device *device);
/* A message with this number is stored now. 0, or -ESTALE: another number is next. */
int device_send(struct device *device, uint64_t number);
/* After stale: the message of this number has been encrypted anew. */
void device_retry(struct device *device, uint64_t number);
/* Messages without a final answer, queued or on their way. */
uint64_t device_sends_open(const struct device *device);

/* Mail or a status of this epoch and cursor that was left for later: `refusal` 0, or why the device
 * cannot use it. Already durable. Unknown ones and those of another epoch are ignored. */
void device_settle(struct device *device, uint64_t epoch, uint64_t cursor, unsigned refusal);

/* Any frame that is answered by a reply: register_phone, verify, discover, devices, profile,
 * receipt. Its ref is set here. Returns the ref (positive, below 2^31); -ENOTCONN: not online;
 * -EBUSY: too many without an answer, or no room before output was taken; -EMSGSIZE, -EINVAL: no
 * such frame. */
int device_request(struct device *device, const struct wire_frame *frame);

/* ---------------------------------------------------------------- ids and clocks */

/* A new message's id: UUIDv7 (RFC 9562 section 5.7) of this time, with 74 random bits. */
void device_make_id(struct device *device, uint64_t wall_ms, struct wire_id *id);

/* A chat's logical clock as this device keeps it; zero at first. The owner stores it with the chat.
 */
struct device_clock {
    uint64_t lamport; /* highest seen in this chat, own sends included */
    uint64_t n;       /* this device's sends in this chat */
};
/* Advances it for a new message, and puts it into the send. */
void device_clock_send(struct device_clock *clock, struct wire_send *send);
/* A message was received. */
void device_clock_hear(struct device_clock *clock, const struct wire_mail *mail);

/* The place of a message in a chat of two, the same on all devices. */
struct device_place {
    uint64_t lamport;
    uint64_t user; /* the sender's */
    uint32_t device;
    struct wire_id id;
};
/* Negative, 0 or positive, like memcmp. */
int device_place_compare(const struct device_place *a, const struct device_place *b);

#endif

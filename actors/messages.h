/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the product's actors say to each other: every kind once, with its payload.
 *
 *     device ─► connection(A) ─SEND─► mailbox(A) ─DELIVER─► mailbox(B) ─MAIL─► connection(B)
 *     connection(B) ─ACK─► mailbox(B) ─SETTLED─► mailbox(A) ─ANSWER─► connection(A) ─► device
 *
 * A kind's payload struct is in the comment beside it. Content travels in the message's blob, by
 * reference. Payloads are plain data; ids are host order; times are Unix milliseconds unless named
 * otherwise.
 */
#ifndef TERN_ACTORS_MESSAGES_H
#define TERN_ACTORS_MESSAGES_H

#include "runtime/actor.h"

#include <stdint.h>

struct engine;

/* X(kind, receiver) */
#define TERN_MESSAGES(X)                                                                           \
    X(CONNECTION_HANDSHAKE_TURN, connection) /* its share of handshakes has come */                \
    X(CONNECTION_TICK, connection)           /* timer: deadlines, heartbeat */                     \
    X(CONNECTION_KNOWN, connection)          /* key looked up: known_device */                     \
    X(CONNECTION_ATTACHED, connection)       /* mailbox_attached */                                \
    X(CONNECTION_ANSWER, connection)         /* connection_answer: reply to a request */           \
    X(CONNECTION_MAIL, connection)           /* connection_mail, blob */                           \
    X(CONNECTION_STATUS, connection)         /* connection_status, ids behind it */                \
    X(CONNECTION_EMPTY, connection)          /* nothing waits: said once per attach */             \
    X(CONNECTION_CUT, connection)            /* connection_cut: notice, then close */              \
    X(CONNECTION_DRAIN, connection)          /* the node stops */                                  \
    X(CONNECTION_DISCOVERED, connection)     /* pool: connection_discovered, blob: reply body */   \
    X(CONNECTION_DESCRIBE, connection)       /* describe: an operator looks */                     \
    X(CONNECTION_FRAMES, connection)         /* frames of a linked device (connection.h) */        \
    X(CONNECTION_HUNG_UP, connection)        /* ... which has gone */                              \
    X(MAILBOX_LOADED, mailbox)               /* pool: its state from storage */                    \
    X(MAILBOX_PAGE, mailbox)                 /* pool: a page of stored mail */                     \
    X(MAILBOX_ATTACH, mailbox)               /* mailbox_attach */                                  \
    X(MAILBOX_DETACH, mailbox)               /* mailbox_detach: the connection goes */             \
    X(MAILBOX_SEND, mailbox)                 /* mailbox_send, blob: from an own device */          \
    X(MAILBOX_DELIVER, mailbox)              /* mailbox_deliver, blob: from a sender's mailbox */  \
    X(MAILBOX_MET, mailbox)                  /* mailbox_met: whom a first DELIVER has reached */   \
    X(MAILBOX_SETTLED, mailbox)              /* mailbox_settled: a delivery's fate */              \
    X(MAILBOX_ACK, mailbox)                  /* mailbox_ack, singles and errors behind it */       \
    X(MAILBOX_RECEIPT, mailbox)              /* mailbox_receipt, ids behind it: from own device */ \
    X(MAILBOX_STATUS, mailbox)               /* mailbox_status, ids behind it: from a peer */      \
    X(MAILBOX_STATUS_TAKEN, mailbox)         /* mailbox_status_taken: durable or acknowledged */   \
    X(MAILBOX_HOLD_ENDS, mailbox)            /* timer */                                           \
    X(MAILBOX_TICK, mailbox)            /* timer: open sends' deadlines, memory to give back */    \
    X(MAILBOX_EXPIRE, mailbox)          /* the expirer has seen old mail of this user */           \
    X(MAILBOX_DEVICES_CHANGED, mailbox) /* devices_changed: the account's list is new */           \
    X(MAILBOX_DESCRIBE, mailbox)        /* describe: an operator looks */                          \
    X(COMMITTER_COMMIT, committer)      /* commit_request, blob: a write batch or NULL */          \
    X(COMMITTER_WRITTEN, committer)     /* pool: a group was written */                            \
    X(COMMITTER_TICK, committer)        /* timer */                                                \
    X(COMMITTED, any)                   /* commit_result */                                        \
    X(COMMIT_AGAIN, any)                /* timer of commit.h */                                    \
    X(ACCOUNT_LOADED, account)          /* pool */                                                 \
    X(ACCOUNT_DEVICES, account)         /* account_request: the device list, as an answer */       \
    X(ACCOUNT_PROFILE, account)         /* account_request */                                      \
    X(ACCOUNT_REPLACE_DEVICE, account)  /* account_replace_device: from number */                  \
    X(NUMBER_LOADED, number)            /* pool */                                                 \
    X(NUMBER_REGISTER, number)          /* number_register */                                      \
    X(NUMBER_VERIFY, number)            /* number_verify */                                        \
    X(NUMBER_ALLOWED, number)           /* number_allowed: what the limits say */                  \
    X(NUMBER_DEVICE_REPLACED, number)   /* account's answer */                                     \
    X(NUMBER_KEY_LOOKED_UP, number)     /* pool: number_key_lookup */                              \
    X(NUMBER_TICK, number)              /* timer: codes expire */                                  \
    X(LIMITS_ASK, limits)               /* limits_ask: may this number get a code now? */          \
    X(LISTENER_DRAIN, listener)         /* no new ones; tell this shard's connections */           \
    X(EXPIRER_TICK, expirer)            /* timer */                                                \
    X(EXPIRER_FOUND, expirer)           /* pool: whose mail is old */                              \
    X(QUARANTINE_LIST, quarantine)      /* quarantine_list: what is set aside, a page */           \
    X(QUARANTINE_RELEASE, quarantine)   /* quarantine_one: deliver it after all */                 \
    X(QUARANTINE_DROP, quarantine)      /* quarantine_one: forget it */                            \
    X(QUARANTINE_PAGE, quarantine)      /* pool: a page was read */                                \
    X(QUARANTINE_READ, quarantine)      /* pool: one was read, to be delivered */                  \
    X(QUARANTINE_OVERDUE, quarantine)   /* timer */                                                \
    X(QUARANTINE_LISTED, any)           /* quarantine_listed, blob: struct quarantine_item each */ \
    X(QUARANTINE_DONE, any)             /* quarantine_done: of RELEASE and DROP */                 \
    X(METRICS_TICK, metrics)                                                                       \
    X(METRICS_SAVE, metrics) /* timer: who was active is written */                                \
    X(DRAIN_BEGIN, drainer)  /* the shell asks for it */                                           \
    X(DRAIN_TICK, drainer)                                                                         \
    X(ADMIN_DONE, admin_session) /* pool: what a command looked up */                              \
    X(ADMIN_TICK, admin_session) /* timer: a command's deadline */                                 \
    X(MAILBOX_DESCRIBED, any)    /* mailbox_described */                                           \
    X(CONNECTION_DESCRIBED, any) /* connection_described */

enum message_kind {
    TERN_KIND_BEFORE_FIRST = ACTOR_KIND_FIRST - 1,
#define X(kind, receiver) kind,
    TERN_MESSAGES(X)
#undef X
        TERN_KIND_END,
};
_Static_assert((int)TERN_KIND_END <= (int)ACTOR_KIND_MAX, "kinds fit the handler tables");

struct device_address {
    uint64_t user;
    uint32_t device;
};

/* CONNECTION_DISCOVERED: the phones of one `discover`, looked up on the pool; the blob becomes the
 * encoded body of the reply. */
#define DISCOVER_PHONES_MAX 50 /* as `welcome` says */
struct connection_discovered {
    struct engine *engine; /* where to look */
    uint64_t ref;
    int error; /* negative errno: storage failed */
    uint32_t count;
    char phones[DISCOVER_PHONES_MAX][20]; /* as they were asked for, checked */
};

/* CONNECTION_KNOWN: the answer of the key index (a pool job of the connection's). */
struct known_device {
    struct engine *engine; /* where to look */
    uint8_t key[32];
    uint64_t user; /* 0: no account has this key */
    uint32_t device;
    int error; /* negative errno: storage failed */
};

/* A connection announces itself to its user's mailbox; the reply is CONNECTION_ATTACHED. It
 * attaches again, with its present state, when the mailbox went down. */
struct mailbox_attach {
    struct actor_id connection;
    uint32_t device;
    uint8_t key[32]; /* the device's, checked against the account's list */
    uint64_t resume_epoch, resume_cursor;
    uint64_t send_low; /* lowest send number that the device has no answer for */
    uint64_t send_end; /* numbers below may have been sent before; 0: not known */
};
struct mailbox_attached {
    struct actor_id mailbox;
    int code; /* enum wire code; unauthorized: this device is not (any more) in the account */
    uint32_t retry_after_ms;
    uint8_t resume; /* enum wire resume */
    uint64_t epoch;
    uint64_t next_send;
    uint32_t mail_in_flight_max, mail_in_flight_bytes_max, queue_messages_max;
};
/* A mailbox and the connections that are attached to it tell each other that they end: by
 * actor_kill with this reason, which both trap, since no bound refuses that. (A connection says
 * MAILBOX_DETACH instead where it can, which keeps its place behind what it has sent.) There are
 * two of them for each person online, and monitors both ways would be a third of what that person
 * costs. What is said to a connection that ended while it was being attached comes back, and says
 * the same. */
enum { PARTNER_ENDED = 1000 };

struct mailbox_detach {
    struct actor_id connection;
    uint32_t device;
    /* The device went, or was sent away. False: we failed, or it had got nothing: no mail is
     * suspect for that. */
    bool device_left;
};

/* The blob holds, back to back, the elements of the frame's recipients (the `bytes` of a struct
 * wire_recipient_list, checked when it was read) and `external`. */
struct content_spans {
    uint32_t recipients_bytes; /* from 0 */
    uint32_t recipients_count;
    uint32_t external_bytes; /* behind them */
};

struct mailbox_send {
    struct actor_id connection;
    uint32_t device;
    uint32_t flags;
    uint64_t ref;
    uint64_t number;
    uint8_t id[16];
    uint64_t chat;        /* the peer's user id */
    uint32_t version;     /* of the peer's device list that the sender used */
    uint32_t own_version; /* of its own */
    uint64_t lamport, chat_n;
    uint64_t send_low; /* the device has heard all final answers below; 0: it doesn't tell */
    struct content_spans spans;
    /* An enum wire_code, not ok: the content is not there, because the connection had to refuse it;
     * the number is taken and answered so, or the device's next ones would wait for it. */
    uint8_t refusal;
};
/* To the recipient's mailbox. Answered by exactly one MAILBOX_SETTLED with the same `open`, unless
 * one of the two goes down.
 *
 * Order: the first one to a mailbox goes by name and says `meet`; the mailbox answers MET, and only
 * then the others follow, by id: a mailbox that failed in between cannot be given the second before
 * the first. A refusal that will be tried again, or may be (full), is counted in `order`; what the
 * sender sent before it heard of the refusal is refused as well, so that no message overtakes the
 * one before it. */
struct mailbox_deliver {
    struct actor_id sender_mailbox;
    uint64_t open; /* the sender's mailbox's reference */
    uint32_t order;
    uint8_t meet;     /* answer MAILBOX_MET */
    uint8_t again;    /* may have been delivered before: look for a duplicate */
    uint8_t released; /* by the quarantine: for one device, whatever the list's version */
    struct device_address sender;
    uint8_t id[16];
    uint64_t chat; /* as the recipient sees it: the sender's user id */
    uint64_t time_ms;
    uint32_t version;
    uint32_t flags;
    uint64_t lamport, chat_n;
    uint16_t content_kind;
    struct content_spans spans;
    struct { /* the receiver's own, while it keeps the message; zero when it is sent */
        uint16_t holders, waiting;
        uint32_t acknowledged; /* by this device; 0: by none */
        uint64_t sequence;
        uint8_t settled;
    } kept;
};
struct mailbox_met {
    uint64_t user; /* the mailbox is the message's sender */
};
/* code ok: durable, or acknowledged by every device (`acknowledged`: then also delivered).
 * stale: the blob holds the encoded stale body. full, not_found, overloaded, unavailable, ...:
 * refused. */
struct mailbox_settled {
    uint64_t open;
    struct device_address recipient; /* device: the one that acknowledged, if one did */
    int code;
    uint32_t retry_after_ms;
    uint64_t sequence;
    uint64_t time_ms;
    uint8_t acknowledged;
};
/* ANSWER to a request of the device. The encoded reply body, if any, is behind this struct
 * (`body_bytes`, for short ones: nothing to allocate) or in the blob. */
struct connection_answer {
    uint64_t ref;
    int code;
    uint32_t retry_after_ms;
    uint32_t body_bytes;
};
struct connection_mail {
    uint64_t epoch, cursor;
    uint8_t id[16];
    uint64_t chat;
    struct device_address sender;
    uint64_t sequence;
    uint64_t time_ms;
    uint64_t lamport, chat_n;
    uint16_t content_kind;
    uint8_t attempt;
    uint32_t ciphertext_offset, ciphertext_bytes; /* in the blob */
    uint32_t external_offset, external_bytes;
};
struct connection_status {
    uint64_t epoch, cursor;
    uint8_t state;
    uint64_t chat;
    struct device_address peer;
    uint64_t time_ms;
    uint16_t id_count; /* 16 bytes each, behind this struct */
};
struct connection_cut {
    uint8_t notice; /* enum wire notice: replaced, unlinked, behind, shedding */
    uint16_t close_code;
};

struct mailbox_ack {
    struct actor_id connection;
    uint32_t device;
    uint64_t epoch;
    uint64_t up_to;
    uint16_t single_count; /* uint64_t each, behind this struct */
    uint16_t error_count;  /* struct mailbox_ack_error each, behind the singles */
};
struct mailbox_ack_error {
    uint64_t cursor;
    uint32_t error;
};
struct mailbox_receipt {
    struct actor_id connection;
    uint64_t ref; /* not 0: CONNECTION_ANSWER when it is durable, or why not */
    uint32_t device;
    uint8_t state; /* read or played */
    uint64_t chat; /* the peer */
    uint16_t id_count;
};
/* To the mailbox of whoever sent the messages. If `reference` is not 0 it answers STATUS_TAKEN when
 * the status is durable or acknowledged: until then the reporter keeps what it reports of. */
struct mailbox_status {
    struct actor_id reporter;
    uint64_t reference;
    uint32_t sender_device; /* whose messages; the status goes to all devices of the user */
    uint8_t state;
    uint64_t chat; /* the peer, as the receiver of the status sees it */
    struct device_address peer;
    uint64_t time_ms;
    uint16_t id_count;
};
struct mailbox_status_taken {
    uint64_t reference;
};

/* The blob is an encoded write batch (storage/engine.h), or NULL: nothing is written, and the
 * answer comes when the synced ones before it are. Commits of one actor keep their order. */
struct commit_request {
    struct actor_id reply_to; /* nobody: no answer wanted */
    uint64_t reference;
    uint8_t
        sync; /* 0: may ride along with the next synced group; then the answer says only: written */
};
struct commit_result {
    uint64_t reference;
    int error; /* 0; -ENOSPC: refused, nothing written. (A failed fsync ends the process.) */
};

struct account_request { /* DEVICES, PROFILE: answered by CONNECTION_ANSWER to `connection` */
    struct actor_id connection;
    uint64_t ref;
    uint64_t asking_user;
};
struct account_replace_device {
    struct actor_id number;
    uint64_t reference;
    uint8_t key[32];
    char name[104]; /* UTF-8, NUL-terminated; the wire allows 100 */
};
struct device_replaced {
    uint64_t reference;
    int error;
    struct device_address address; /* the new device */
};
struct devices_changed {
    uint32_t version;
};

struct number_register {
    struct actor_id connection;
    uint64_t ref;
    uint8_t key[32];
    uint8_t peer_address[16];
    char phone[20]; /* digits without "+", NUL-terminated */
};
struct number_verify {
    struct actor_id connection;
    uint64_t ref;
    uint8_t key[32];
    char phone[20]; /* digits without "+", NUL-terminated */
    char code[8];
    char name[104]; /* UTF-8, NUL-terminated; the wire allows 100 */
};
struct limits_ask {
    struct actor_id number;
    uint64_t reference;
    uint8_t peer_address[16];
    char phone[20]; /* digits without "+", NUL-terminated */
};
struct number_allowed {
    uint64_t reference;
    uint32_t retry_after_ms; /* 0: allowed, and counted */
};

/* --- the quarantine, for whoever serves the operator ---

 * An entry that was set aside, by the place that it had in its queue. */
struct quarantine_place {
    struct device_address of; /* whose queue */
    uint64_t sequence;
};
/* Answered by QUARANTINE_LISTED: at most `items_max` (QUARANTINE_PAGE_MAX) of those behind `after`,
 * all zero: from the first. In an order of its own, not by user or time. */
#define QUARANTINE_PAGE_MAX 256u
struct quarantine_list {
    struct actor_id reply_to;
    uint64_t reference;
    struct quarantine_place after;
    uint32_t items_max;
};
enum quarantine_kind { QUARANTINE_IS_UNREADABLE, QUARANTINE_IS_MAIL, QUARANTINE_IS_STATUS };
struct quarantine_item { /* what it is, never what it says */
    struct quarantine_place place;
    uint8_t reason; /* enum record_aside_reason (storage/format.h) */
    uint8_t kind;   /* enum quarantine_kind */
    uint32_t bytes; /* as it lies in the store */
    uint64_t aside_ms;
    /* Of mail: */
    struct device_address from;
    uint8_t id[16];
    uint64_t chat;
    uint64_t accepted_ms;
    uint32_t ciphertext_bytes, external_bytes;
};
struct quarantine_listed {
    uint64_t reference;
    int error; /* negative errno: storage failed */
    uint32_t count;
    uint8_t more; /* go on after the last */
};
/* Answered by QUARANTINE_DONE, 10 s later at most. RELEASE puts mail behind all that is in its
 * device's queue now (the device shows it at its place in the chat, by its clock); what its crash
 * records blame is forgiven, so it takes two more crashes to be set aside again. The copy goes when
 * the mail is stored or acknowledged. Its sender, who was told that it is set aside, is told no
 * more: that was final. */
struct quarantine_one {
    struct actor_id reply_to;
    uint64_t reference;
    struct quarantine_place place;
};
/* 0. -ENOENT: there is none such. -ENOTSUP: it is no mail, or cannot be read; it can be dropped.
 * -ENODEV: its device is not in the account any more. -ENOSPC: its queue, or the disk, is full.
 * -EAGAIN: the mailbox takes nothing now. -ETIMEDOUT: it did not answer; look at the list again. */
struct quarantine_done {
    uint64_t reference;
    int error;
};

/* MAILBOX_DESCRIBE and CONNECTION_DESCRIBE: what an operator sees of one. Answered at once, with
 * the reference; not by one that ends meanwhile. */
struct describe {
    struct actor_id reply_to;
    uint64_t reference;
};
#define DESCRIBED_DEVICES_MAX 32u
struct described_device {
    uint32_t number;
    uint8_t gone; /* not of the account any more; its mail is still to be told about */
    struct actor_id connection;  /* nobody: offline */
    uint32_t messages, statuses; /* that wait for its acknowledgement */
    uint32_t held;               /* of them only in memory, for a moment */
    uint32_t in_flight;          /* of them sent */
    uint32_t acknowledge_ms;     /* what it takes to acknowledge, smoothed; 0: unknown */
    uint64_t bytes;              /* of the messages' ciphertexts */
};
struct mailbox_described {
    uint64_t reference, user;
    uint8_t loading; /* its state is being read: it knows no device yet */
    uint32_t count;
    struct described_device devices[DESCRIBED_DEVICES_MAX];
};
struct connection_described {
    uint64_t reference;
    const char *stage; /* constant: "OPEN" */
    uint64_t user;     /* 0: not known, or nobody's */
    uint32_t device;
    struct actor_id mailbox;
    uint32_t silent_ms;    /* since something last came */
    uint32_t heartbeat_ms; /* what it was told; 0: nothing yet */
    uint32_t requests_open;
    uint8_t encrypted, sending, draining;
    uint8_t address[16]; /* IPv6, or IPv4 mapped into it */
};

#endif

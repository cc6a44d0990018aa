/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of a mailbox share: its state, and what each file does for the others.
 *
 *   mailbox.c          the class, the states, devices that come and go, timers
 *   mailbox_load.c     its state from storage; the device list, at first and when it changed
 *   mailbox_send.c     what own devices send: numbers, the window, answers
 *   mailbox_peer.c     the mailboxes that it delivers to: meeting them, their failing
 *   mailbox_deliver.c  what arrives for this user: checks, quotas, duplicates, settling
 *   mailbox_queue.c    a device's queue: entries, cursors, acknowledgements, hold, expiry
 *   mailbox_window.c   what of it is sent to the device, from memory or read in pages
 *   mailbox_shares.c   how much of a queue each sender fills
 *   mailbox_status.c   what is reported to senders, and what is reported to us
 *   mailbox_store.c    write batches and their answers, pages of stored mail
 *
 * An idle mailbox must be small: queues, windows and lists are made when something comes and given
 * back when they have been empty for a while.
 *
 * What is true between two messages:
 *   - a queue's entries have rising sequences, head <= sent <= sent_top <= tail;
 *   - the cursor of an entry is its index + 1, given when it is sent first; only entries that were
 *     never sent are taken out of the middle, so cursors rise by one;
 *   - an entry that is HELD or COMMITTING has its body in memory, one that is STORED has none;
 *   - a body waits for as many entries as hold it, and is settled at the latest with the last;
 *   - one synced batch at a time is with the committer, so commits keep their order whatever fails.
 */
#ifndef TERN_ACTORS_MAILBOX_INTERNAL_H
#define TERN_ACTORS_MAILBOX_INTERNAL_H

#include "actors/messages.h"
#include "actors/node.h"
#include "storage/format.h"
#include "storage/mail.h"

#include <stdbool.h>
#include <stdint.h>

#define MAILBOX_MAGIC 0x6d626f78u
/* Devices of the account, and as many that are gone and still have mail to be told about. */
#define MAILBOX_SLOTS_MAX (2 * FORMAT_DEVICES_MAX)
/* Ids in one status; below FORMAT_STATUS_IDS_MAX. */
#define MAILBOX_STATUS_IDS_MAX 64u
#define MAILBOX_TICK_MS 1000u
/* How long a delivery, a report or a commit may go unanswered. */
#define MAILBOX_PATIENCE_MS 5000u
#define MAILBOX_SUSPECT_ATTEMPTS_MAX 5

/* --- a device's queue (mailbox_queue.c) --- */

enum entry_state {
    ENTRY_GONE,       /* acknowledged or dropped; keeps its cursor's place */
    ENTRY_HELD,       /* in memory alone */
    ENTRY_COMMITTING, /* is to be written, or is being written */
    ENTRY_STORED,     /* durable; not in memory */
};
enum entry_flag {
    ENTRY_FLYING = 1,  /* COMMITTING: its put is with the committer */
    ENTRY_REFUSED = 2, /* acknowledged with an error, which is reported when it is stored */
    ENTRY_FAILED = 4,  /* the error is another than that it cannot be decrypted */
};

/* Some ids that a status is about, while it is in memory. Owned by its entry. */
#define STATUS_TAKERS_MAX 4u
struct status_body {
    uint64_t chat, time_ms;
    struct device_address peer;
    uint16_t count, capacity;
    uint8_t state; /* enum wire_state */
    uint8_t taker_count;
    uint8_t takers[STATUS_TAKERS_MAX]; /* of mailbox->takers: who is told that it is safe */
    uint8_t ids[][16];
};

struct entry {
    uint64_t sequence;
    uint8_t id[16];       /* of a mail */
    uint64_t sender_user; /* of a mail; of a status: who it tells of */
    uint32_t sender_device;
    uint32_t bytes; /* content, for quotas and the window */
    union {
        struct message *deliver; /* a mail's MAILBOX_DELIVER, shared with other queues */
        struct status_body *status;
    };
    uint32_t time_s;         /* Unix time, for expiry */
    uint32_t sent_ms;        /* actor_now_ms(), cut: of arrival, then of the last sending */
    uint16_t offset, length; /* a mail's ciphertext, in the blob */
    uint8_t state;           /* enum entry_state */
    uint8_t kind;            /* enum record_entry */
    uint8_t attempt;         /* how often it was sent in this epoch */
    uint8_t flags;           /* enum entry_flag */
};
_Static_assert(sizeof(struct entry) == 64, "ten thousand of them are affordable");

struct shares; /* mailbox_shares.c */

/* Entries of one queue, whatever the quotas are set to; a power of two. */
#define QUEUE_ENTRIES_MAX (1u << 19)

struct queue {
    struct entry *ring; /* `capacity` of them, a power of two, or NULL */
    uint32_t capacity;
    uint32_t held;                       /* entries that are HELD */
    uint64_t head, sent, sent_top, tail; /* indexes since activation */
    uint64_t held_low;                   /* no entry below is HELD */
    uint32_t in_flight, in_flight_bytes, statuses_in_flight;
    uint32_t mails, statuses;
    uint64_t mail_bytes;
    struct shares *shares; /* NULL: not counted */
    uint64_t suspect_sequence;
    uint8_t suspect_attempts; /* 0: none is suspect */
};

/* --- what a device sends (mailbox_send.c) --- */

enum sent_state {
    SENT_UNKNOWN,
    SENT_OPEN,      /* under way */
    SENT_RETRYABLE, /* refused for now; the device sends it again */
    SENT_SETTLED,   /* its end is known and told when all before it have been */
    SENT_ANSWERED,
};
enum sent_phase { SENT_TO_PEER, SENT_WAITS_FOR_OWN, SENT_TO_OWN };

/* One number of the window. */
struct sent {
    uint8_t id[16];
    uint64_t number;
    uint64_t time_ms;
    uint64_t sequence;
    struct message *send; /* OPEN, SETTLED: the MAILBOX_SEND */
    uint32_t opened_ms;
    uint32_t delivered; /* SETTLED, ANSWERED: this device of the peer has it; 0: not known */
    uint8_t state;      /* enum sent_state */
    uint8_t phase;      /* enum sent_phase */
    uint8_t code;       /* SETTLED, ANSWERED: an enum wire_code */
    uint8_t attempt;    /* tells late answers apart */
    uint8_t tries;      /* deliveries to mailboxes that failed */
    uint8_t waits;      /* OPEN: not yet sent, the peer is being met */
    uint8_t again;      /* it may have been delivered before */
};
_Static_assert(sizeof(struct sent) <= 64, "a window is small");

struct sends {
    uint64_t next;        /* the number that is expected */
    uint64_t told_below;  /* all below have had their final answer */
    uint64_t ok_below;    /* all below were answered ok, or the device has heard how */
    uint64_t ok_saved;    /* mailbox_sends_mark() as it was written last */
    uint64_t heard_below; /* the device has stored the answers of all below */
    uint64_t again_below; /* numbers below may have been delivered by an earlier mailbox */
    uint64_t retry_low;   /* lowest RETRYABLE number, 0: none. Nothing above is taken before it. */
    struct sent *ring;    /* by number; `capacity` of them, a power of two, or NULL */
    uint16_t capacity;
    uint16_t open, settled; /* numbers in these states */
    uint16_t some_full;     /* a number was refused as `full`, and the device may not have heard */
};

/* --- devices --- */

struct device {
    uint32_t number;            /* 0: the slot is free */
    uint32_t flying;            /* so many sequences above `durable` are with the committer */
    uint16_t ack_ms8;           /* smoothed time to acknowledge, in eighths of a ms; 0: unknown */
    uint16_t ack_deviation_ms4; /* and its smoothed deviation, in quarters */
    bool present : 1;     /* in the account's list; false: only its mail is to be told about */
    bool empty_due : 1;   /* CONNECTION_EMPTY has not been said since the attach */
    bool paging : 1;      /* a page is being read */
    bool record_due : 1;  /* its record changed: to go with the next batch */
    bool record_soon : 1; /* ... with an unsynced one of its own */
    bool record_now : 1;  /* ... with a synced one: a block of sequences is needed */
    bool stuck : 1;       /* the connection's mailbox was full: try again at the tick */
    bool busy : 1;        /* something happened since the last tick */
    uint8_t key[FORMAT_KEY_BYTES];
    struct actor_id connection; /* nobody: offline */
    /* The next to be taken; those below `durable` may be told to others; those below `reserved` are
     * asked for. */
    uint64_t sequence_next, sequence_durable, sequence_reserved;
    struct queue *queue;  /* NULL: it is empty, and was for a while (queue_of) */
    uint64_t queue_index; /* while it is NULL: where it goes on */
    struct sends sends;
};

/* --- the store (mailbox_store.c) --- */

struct put { /* an entry that is to be written */
    uint64_t sequence;
    uint32_t device;
};
struct puts { /* a list of them; NULL: empty */
    uint32_t count, capacity;
    struct put items[];
};

struct store {
    struct puts *pending, *flying; /* to be written; with the committer */
    struct puts *deletes;          /* to be deleted, at the end of this turn */
    uint64_t reference;            /* of the batch that flies */
    bool flies;                    /* one is with the committer, or was and has to be sent again */
    bool paused;                   /* the disk is full, or the committer away: COMMIT_AGAIN comes */
    bool records_soon;             /* some device's record_soon is set */
    uint32_t sent_ms;
    struct actor_id committer;
    uint64_t monitor;
};

/* --- peers (mailbox_peer.c), reports and statuses (mailbox_status.c) --- */

struct peer;
struct outgoing;

struct taker { /* a mailbox that waits for STATUS_TAKEN */
    struct actor_id reporter;
    uint64_t reference;
    uint16_t waiting; /* entries that are not safe yet; 0: free */
};
#define MAILBOX_TAKERS_MAX 128u

/* A sender whose later mail is refused until it has heard of a refusal (mailbox_deliver.c). */
#define MAILBOX_REFUSED_MAX 64u
struct refused_sender {
    struct actor_id mailbox;
    uint32_t device, order;
    uint32_t time_ms; /* of the last refusal */
    uint8_t code;     /* for what comes behind it */
};

/* What is under way with other mailboxes. */
struct affairs {
    struct peer *peers;
    struct outgoing *gathering, *outgoing; /* reports of this turn; those not yet taken */
    struct taker *takers;
    struct refused_sender *refused; /* `refused_capacity` of them, the latest last, or NULL */
    uint32_t outgoing_ids;
    uint8_t peer_count, peer_capacity;
    uint8_t refused_count, refused_capacity;
    uint8_t takers_capacity;
};

enum mailbox_state { MAILBOX_LOADING, MAILBOX_SERVING };

struct mailbox {
    uint32_t magic;
    uint8_t state;       /* enum mailbox_state */
    uint8_t slots;       /* of devices */
    bool absent : 1;     /* there is no such user */
    bool reloading : 1;  /* the device list is being read again */
    bool reload_due : 1; /* and once more after that */
    bool ticked : 1;     /* this turn is a tick's: no sign of life */
    bool hold_timed : 1; /* MAILBOX_HOLD_ENDS will come */
    uint32_t list_version;
    uint32_t order_top; /* the highest `order` ever used */
    uint64_t user, epoch;
    struct device *devices; /* `slots` of them; `first` while there is one */

    uint64_t references;     /* given out so far */
    struct affairs *affairs; /* NULL: there were none for a while (affairs_of) */
    struct store *store;     /* NULL: nothing was to be written for a while (store_of) */
    struct actor_timer tick_timer;
    uint32_t tick_ms; /* when it fires */
    uint32_t active_ms;
    struct actor_id doubted; /* a connection for whose device the list was read again */
    struct device first;
};
_Static_assert(sizeof(struct mailbox) <= 256, "an idle mailbox is small");

/* --- mailbox.c --- */

static inline uint32_t mailbox_now(void) {
    return (uint32_t)actor_now_ms();
}
/* By its number; NULL: none. Slots of devices that are gone are found too. */
struct device *mailbox_device(struct mailbox *mailbox, uint32_t number);
static inline bool device_is_online(const struct device *device) {
    return device->connection.bits != 0;
}
unsigned mailbox_devices_present(const struct mailbox *mailbox);
/* Makes MAILBOX_TICK come within this time. */
void mailbox_tick_in(struct mailbox *mailbox, uint32_t delay_ms);
/* The connection is no more this device's: what was held is stored, what was in flight will be sent
 * again. `device_left`: it went by itself, so its oldest mail in flight may be why. */
void mailbox_detach_device(struct mailbox *mailbox, struct device *device, bool device_left);
void mailbox_cut(struct device *device, uint8_t notice, uint16_t close_code);

/* Made when they are first asked for; given back at a tick that finds nothing in them. */
struct affairs *affairs_make(struct mailbox *mailbox);
static inline struct affairs *affairs_of(struct mailbox *mailbox) {
    return mailbox->affairs ? mailbox->affairs : affairs_make(mailbox);
}
/* To be read: empty ones where there are none. */
static inline const struct affairs *affairs_seen(const struct mailbox *mailbox) {
    static const struct affairs none;
    return mailbox->affairs ? mailbox->affairs : &none;
}

/* --- describe.c: MAILBOX_DESCRIBE --- */

void mailbox_describe(void *state, struct message **message);

/* --- mailbox_load.c --- */

/* Begins to read everything; MAILBOX_LOADED comes. */
void mailbox_load(struct mailbox *mailbox);
/* Begins to read the device list again. */
void mailbox_reload(struct mailbox *mailbox);
void mailbox_loaded(struct mailbox *mailbox, struct message *message);
/* The account's device list as the body of a `stale` answer. */
struct blob *mailbox_stale_body(const struct mailbox *mailbox);

/* --- mailbox_send.c --- */

void mailbox_send(struct mailbox *mailbox, struct message **message);
/* A part of an open send was settled; `body` (may be NULL) stays the caller's. */
void mailbox_settled(struct mailbox *mailbox, const struct mailbox_settled *settled,
                     struct blob *body);
/* Answers this open send with a refusal. */
void mailbox_send_refuse(struct mailbox *mailbox, struct device *device, struct sent *sent,
                         int code, uint32_t retry_after_ms, struct blob *body);
/* May this number not be delivered yet, because of one before it that was refused: for now, or as
 * full and the device may not have heard? */
bool mailbox_sends_bar(struct sends *sends, uint64_t number);
/* The device attaches: what it still wants an answer to, and where what it never sent begins. */
void mailbox_sends_attach(struct device *device, uint64_t send_low, uint64_t send_end);
void mailbox_sends_tick(struct mailbox *mailbox, struct device *device);
/* As far as `ok_below` may be durable. */
uint64_t mailbox_sends_mark(const struct sends *sends);
/* All that the device's own queue is to say of its sends is safe: the mark is `ok_below`. */
static inline void mailbox_sends_rest(struct sends *sends) {
    sends->heard_below = sends->ok_below;
}
/* The numbers of this device that may be open are [low, next). */
uint64_t mailbox_sends_low(const struct sends *sends);
struct sent *mailbox_sent_find(const struct sends *sends, uint64_t number);
/* The reference of an open send, and the way back; NULL: it is not open any more. */
uint64_t mailbox_open_reference(const struct mailbox *mailbox, const struct device *device,
                                const struct sent *sent);
struct sent *mailbox_open_find(struct mailbox *mailbox, uint64_t open, struct device **device);

/* --- mailbox_peer.c --- */

/* Delivers an open send to its peer's mailbox, now or when the peer has been met. 0, or the
 * enum wire_code of a refusal that was not yet told. */
int mailbox_peer_deliver(struct mailbox *mailbox, struct device *device, struct sent *sent);
void mailbox_peer_met(struct mailbox *mailbox, uint64_t user, struct actor_id id);
/* One open send to this peer has ended; `refused`: in a way that is or may be tried again. */
void mailbox_peer_settled(struct mailbox *mailbox, uint64_t user, bool refused);
/* True: it was a peer that went down. */
bool mailbox_peer_down(struct mailbox *mailbox, const struct actor_down *down);
/* A DELIVER came back. */
void mailbox_peer_bounced(struct mailbox *mailbox, struct message *message);
/* An open send has waited too long: it, or all that wait for the peer to be met, are refused. */
void mailbox_peer_overdue(struct mailbox *mailbox, struct device *device, struct sent *sent);
void mailbox_peers_tick(struct mailbox *mailbox);
/* When the last of them that are not in use will have been kept long enough; 0: there is none. */
uint32_t mailbox_peers_due_ms(const struct mailbox *mailbox);
/* A MAILBOX_DELIVER for this send, with its content. */
struct message *mailbox_deliver_create(struct mailbox *mailbox, struct device *device,
                                       const struct sent *sent);

/* --- mailbox_deliver.c --- */

/* For this user's devices; from another mailbox, or (from `own`) copies for one's other devices. */
void mailbox_deliver(struct mailbox *mailbox, struct message **message, const struct device *own);
/* Drops what is remembered of refusals that every sender has heard of long ago. */
void mailbox_refusals_tick(struct mailbox *mailbox);
/* 0, or why one's own other devices have no room for a copy of this. */
int mailbox_own_room(const struct mailbox *mailbox, const struct message *content,
                     struct content_spans spans, const struct device *own, bool again);
/* Do the recipients of this user match the device list? `own` is left out. */
bool mailbox_list_matches(const struct mailbox *mailbox, const struct message *content,
                          struct content_spans spans, const struct device *own);
/* This entry's mail is safe: stored, or (`acknowledged`) with the device. Gives up the body. */
void mailbox_entry_safe(struct mailbox *mailbox, struct device *device, struct entry *entry,
                        bool acknowledged);
/* This entry's mail is dropped unstored: its sender is refused. Gives up the body. */
void mailbox_entry_refuse(struct mailbox *mailbox, struct entry *entry, int code);

/* --- mailbox_queue.c --- */

static inline struct entry *queue_at(const struct queue *queue, uint64_t index) {
    return &queue->ring[index & (queue->capacity - 1)];
}
/* Made when it is first asked for; what only looks at a queue may find none. */
struct queue *queue_make(struct device *device);
static inline struct queue *queue_of(struct device *device) {
    return device->queue ? device->queue : queue_make(device);
}
/* A new last entry, zeroed but for its sequence and times, HELD. NULL: no more room. */
struct entry *queue_append(struct mailbox *mailbox, struct device *device);
/* Appends what was loaded from the store. */
void queue_append_stored(struct device *device, const struct entry *entry);
/* The index of the entry with this sequence, or UINT64_MAX. */
uint64_t queue_find(const struct queue *queue, uint64_t sequence);
/* Takes an entry out, whose body was given up. `erase`: from the store too, if it may be there. */
void queue_remove(struct mailbox *mailbox, struct device *device, uint64_t index, bool erase);
/* Counts a mail in, once its sender and bytes are set. */
void queue_count(struct device *device, const struct entry *entry);
/* A new last entry is sent at once and held, if it can be, or else stored. */
void queue_place(struct mailbox *mailbox, struct device *device);
/* Stores a held entry. */
void queue_store(struct mailbox *mailbox, struct device *device, struct entry *entry);
/* ... and with it what is held before it and must not be safe later. */
void queue_store_in_order(struct mailbox *mailbox, struct device *device, uint64_t index);
void queue_store_held(struct mailbox *mailbox, struct device *device);
void queue_ack(struct mailbox *mailbox, struct device *device, struct message *message);
/* All cursors up to this one are acknowledged. */
void queue_ack_up_to(struct mailbox *mailbox, struct device *device, uint64_t cursor);
/* Begins again at the first entry that was not acknowledged. */
void queue_rewind(struct queue *queue);
void queue_hold_begin(struct mailbox *mailbox, struct device *device);
void queue_hold_ends(struct mailbox *mailbox);
/* Entries that are older than the limit go, and their senders are told. True: there may be more. */
bool queue_expire(struct mailbox *mailbox, struct device *device);
/* One that is empty. */
void queue_free(struct device *device);
/* The device has left the account: nothing will be fetched any more. */
void queue_abandon(struct mailbox *mailbox, struct device *device);
/* Is there somebody else who is to be told what became of it? */
static inline bool entry_has_sender(const struct mailbox *mailbox, const struct entry *entry) {
    return entry->kind == RECORD_MAIL && entry->sender_user && entry->sender_user != mailbox->user;
}

/* --- mailbox_window.c --- */

/* Sends what may be sent. `page` (may be NULL) is mail that was read for this. */
void queue_pump(struct mailbox *mailbox, struct device *device, struct message *page);

/* --- mailbox_shares.c --- */

/* May this sender put `bytes` more into the queue? The limits are widened by these. */
bool shares_allow(struct queue *queue, uint64_t user, uint32_t bytes, uint32_t more_messages,
                  uint64_t more_bytes);
void shares_add(struct queue *queue, const struct entry *entry);
void shares_remove(struct queue *queue, const struct entry *entry);

/* --- mailbox_status.c --- */

/* Tells the sender of a mail what became of it; when that is safe the mail is deleted from the
 * store, if it is there (`stored`). */
void mailbox_report(struct mailbox *mailbox, const struct device *device, const struct entry *entry,
                    int state, bool stored);
void mailbox_receipt(struct mailbox *mailbox, struct message *message);
void mailbox_status(struct mailbox *mailbox, struct message *message);
void mailbox_status_taken(struct mailbox *mailbox, uint64_t reference);
/* A status of this mailbox's own making: a message was acknowledged while it was held. */
void mailbox_status_own(struct mailbox *mailbox, int state, uint64_t chat,
                        struct device_address peer, uint64_t time_ms, const uint8_t id[16]);
/* Tells a device, durably, that a mail for it was set aside. For the one who pumps its queue. */
void mailbox_status_aside(struct mailbox *mailbox, struct device *device, const struct entry *mail,
                          uint64_t chat);
/* The entry's status is stored or acknowledged. Gives up the body. */
void mailbox_status_safe(struct mailbox *mailbox, struct entry *entry);
/* What was gathered in this turn goes out. */
void mailbox_reports_flush(struct mailbox *mailbox);
void mailbox_reports_tick(struct mailbox *mailbox);
bool mailbox_takers_wait(const struct mailbox *mailbox);

/* --- mailbox_store.c --- */

/* Made when it is first asked for. */
struct store *store_make(struct mailbox *mailbox);
static inline struct store *store_of(struct mailbox *mailbox) {
    return mailbox->store ? mailbox->store : store_make(mailbox);
}
void store_put(struct mailbox *mailbox, struct device *device, struct entry *entry);
void store_delete(struct mailbox *mailbox, uint32_t device, uint64_t sequence);
/* Keeps a copy of an entry aside, for an operator, with what was read of it; `move`: and deletes
 * the entry. False: not now. */
bool store_set_aside(struct mailbox *mailbox, const struct device *device, uint64_t sequence,
                     struct engine_bytes value, enum record_aside_reason reason, bool move);
/* Sends what this turn has gathered. */
void store_flush(struct mailbox *mailbox);
void store_committed(struct mailbox *mailbox, const struct commit_result *result);
bool store_down(struct mailbox *mailbox, const struct actor_down *down);
/* For COMMIT_AGAIN: what waited for it. */
void store_again(struct mailbox *mailbox);
/* A COMMIT came back: the committer's mailbox is full, or it is gone. */
void store_bounced(struct mailbox *mailbox, const struct commit_request *request);
void store_tick(struct mailbox *mailbox);
bool store_is_idle(const struct mailbox *mailbox);
/* Is more mail that must be stored refused for now? */
bool store_refuses(const struct mailbox *mailbox);
/* Writes, unsynced and unanswered, the records that changed. */
void store_records(struct mailbox *mailbox);

/* Reads a page of the device's stored mail; MAILBOX_PAGE comes. False: not now. */
bool store_page_start(struct mailbox *mailbox, struct device *device, uint64_t sequence,
                      uint32_t entries_max, uint32_t bytes_max);
/* The blob of MAILBOX_PAGE: `count` of these, then the values that they point to. */
struct page_item {
    uint64_t sequence;
    uint32_t offset, bytes;
};
struct mailbox_page {
    struct engine *engine;
    uint64_t user;
    uint32_t device;
    uint32_t entries_max, bytes_max;
    uint32_t count;
    uint64_t sequence; /* from here on */
    bool more;
    int error;
};

#endif

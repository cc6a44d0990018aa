/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client keeps: settings and keys, contacts, messages. One SQLite file in its home.
 *
 * Writing happens in a transaction that the first write begins and store_commit ends; what is
 * committed is on disk (WAL, synchronous=FULL). A write that fails is remembered: then store_commit
 * fails, and nothing of the transaction stands. So the writing functions return nothing.
 *
 * Reading sees what has been written, committed or not. A failed read is remembered like a failed
 * write, and answers as if there were nothing. Texts and bytes that a visitor gets are borrowed
 * until it returns; a visitor may write, but not to the rows that it is being shown.
 *
 * One thread. Numbers of 64 bits are stored as SQLite's signed ones and come back as they were.
 */
#ifndef TERN_TOOLS_CHAT_STORE_H
#define TERN_TOOLS_CHAT_STORE_H

#include "net/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_VERSION 1
#define STORE_FILE "chat.db"
#define STORE_WHY_CHARS_MAX 200
#define STORE_PHONE_CHARS_MAX 16 /* '+' and 15 digits */
#define STORE_NAME_BYTES_MAX 128
#define STORE_DEVICES_MAX 64
#define STORE_CHANGED_MAX 256

struct store;

/* ---------------------------------------------------------------- life, transactions */

/* Opens or makes the file in this directory. 0; -EPROTONOSUPPORT: made by a newer version; -EIO.
 * `why`: a sentence for people. */
int store_open(const char *home, struct store **store, char why[STORE_WHY_CHARS_MAX]);
/* What was not committed is undone. NULL is allowed. */
void store_close(struct store *store);
/* 0, or -EIO: all that was written since the last commit is undone. */
int store_commit(struct store *store);
void store_undo(struct store *store);
/* What failed last, for people; empty: nothing has. */
const char *store_why(const struct store *store);

/* ---------------------------------------------------------------- settings */

/* 0 when there is none. */
uint64_t store_number(struct store *store, const char *name);
void store_set_number(struct store *store, const char *name, uint64_t value);
/* Puts the text with its NUL into `out`; false: there is none, or it doesn't fit: then it is empty.
 */
bool store_text(struct store *store, const char *name, char *out, size_t capacity);
void store_set_text(struct store *store, const char *name, const char *value);
/* Exactly `length` bytes, or false. */
bool store_bytes(struct store *store, const char *name, void *out, size_t length);
void store_set_bytes(struct store *store, const char *name, const void *value, size_t length);
void store_forget(struct store *store, const char *name);

/* ---------------------------------------------------------------- contacts */

struct store_device {
    uint32_t device;
    uint8_t key[32];
};

/* Somebody who was written to or heard from. One's own user is among them, for its devices. */
struct store_contact {
    uint64_t user;
    char phone[STORE_PHONE_CHARS_MAX + 1]; /* empty: hidden, or not asked for yet */
    char name[STORE_NAME_BYTES_MAX + 1];
    bool profile_wanted; /* the node is to be asked who this is */
    bool devices_wanted; /* and for the devices */
    uint64_t version;    /* of the device list */
    uint32_t device_count;
    struct store_device devices[STORE_DEVICES_MAX];
};

/* False: not known. */
bool store_contact(struct store *store, uint64_t user, struct store_contact *contact);
/* Makes it known, with everything still to be asked, unless it is. */
void store_contact_add(struct store *store, uint64_t user);
/* 0: nobody known has this number. */
uint64_t store_contact_by_phone(struct store *store, const char *phone);
/* 0: nobody, or several people. Case matters. */
uint64_t store_contact_by_name(struct store *store, const char *name);
/* What discover said: whoever had the number before has it no more. */
void store_contact_set_phone(struct store *store, uint64_t user, const char *phone);
void store_contact_set_profile(struct store *store, uint64_t user, const char *phone,
                               const char *name);
void store_contact_set_devices(struct store *store, uint64_t user, uint64_t version,
                               const struct store_device *devices, uint32_t count);
/* Ask again: something has changed. */
void store_contact_want(struct store *store, uint64_t user);

typedef void (*store_contact_fn)(void *context, const struct store_contact *contact);
enum store_contacts {
    STORE_CONTACTS_ALL,            /* by name, then phone */
    STORE_CONTACTS_PROFILE_WANTED, /* at most 32 */
    STORE_CONTACTS_DEVICES_WANTED, /* at most 32: those for whom a message waits */
};
void store_each_contact(struct store *store, enum store_contacts which, store_contact_fn visit,
                        void *context);

/* ---------------------------------------------------------------- messages */

enum store_receipt {
    STORE_RECEIPT_NONE,
    STORE_RECEIPT_OWED, /* the person has read it, the node doesn't know yet */
    STORE_RECEIPT_SENT,
};

struct store_message {
    int64_t row;                           /* in order of arrival */
    bool own;                              /* written by this user, here or on another device */
    uint64_t chat;                         /* the other person; 0: only the number is known yet */
    char phone[STORE_PHONE_CHARS_MAX + 1]; /* an own one's recipient as it was asked for */
    uint64_t sender;
    uint32_t device;
    struct wire_id id;
    uint64_t number;   /* of the send, while it has no final answer; 0: none, or settled */
    uint64_t sequence; /* the mailbox's; 0: not sent yet */
    uint64_t time_ms;  /* the node's; of what isn't sent yet, this machine's */
    uint64_t lamport, n;
    uint64_t missing; /* so many of the sender's messages before this one have not come */
    bool readable;
    struct wire_bytes text;
    struct wire_bytes content; /* as it came, when it isn't readable */
    unsigned state;            /* an own one's: an enum wire_state, or 0: queued */
    unsigned code;             /* why it FAILED: the node's enum wire_code; 0: a device said it */
    bool shown;
    uint8_t receipt; /* an enum store_receipt, of somebody else's */
};

/* Own ones wait (state 0, number 0) until they are numbered; a known contact's have `chat` set.
 * Returns the row; 0: failed. Of somebody else's also the clocks of the chat go on, and a gap in
 * the sender's count is noted. */
int64_t store_add_own(struct store *store, const struct store_message *message);
int64_t store_add_mail(struct store *store, const struct wire_mail *mail, uint64_t own_user,
                       const struct wire_bytes *text);
/* Is this message here already? */
bool store_has(struct store *store, uint64_t sender, uint32_t device, const struct wire_id *id);
/* Takes an own message back that has no number. False: it has one, or is gone. */
bool store_cancel(struct store *store, int64_t row);

typedef bool (*store_message_fn)(void *context, const struct store_message *message);
/* One message; false: there is none. `visit` may be NULL. */
bool store_message(struct store *store, int64_t row, store_message_fn visit, void *context);
bool store_message_by_id(struct store *store, const struct wire_id *id, store_message_fn visit,
                         void *context); /* an own one */
bool store_message_by_number(struct store *store, uint64_t number, store_message_fn visit,
                             void *context);

/* Are there messages of others that were never shown? */
bool store_has_unshown(struct store *store);

enum store_messages {
    STORE_UNSHOWN,    /* others' that were never shown, as they arrived */
    STORE_UNREAD,     /* others' in `chat` without a receipt, as they arrived */
    STORE_OWED,       /* others' in any chat whose receipt the node lacks; by chat */
    STORE_NUMBERED,   /* own ones without a final answer, by number */
    STORE_WAITING,    /* own ones without a number, as they were written */
    STORE_CHAT,       /* the last `limit` of `chat`, in the chat's order */
    STORE_ON_THE_WAY, /* own ones that are not read yet and may be, the newest first */
    STORE_RECENT,     /* the last `limit` of all chats, as they arrived */
};
/* At most `limit` of them (0: all), until `visit` answers false. */
void store_each_message(struct store *store, enum store_messages which, uint64_t chat,
                        unsigned limit, store_message_fn visit, void *context);

/* ---------------------------------------------------------------- messages change */

void store_set_shown(struct store *store, int64_t row);
void store_set_receipt(struct store *store, int64_t row, enum store_receipt receipt);
/* The number is known to be this user's now: messages that wait for it get their chat. */
void store_resolve_phone(struct store *store, const char *phone, uint64_t user);
/* Numbers a waiting message, and gives it its place in its chat's clock. */
void store_set_numbered(struct store *store, int64_t row, uint64_t number);
/* The final answer to a send: state SENT or FAILED. */
void store_set_answered(struct store *store, uint64_t number, unsigned state, unsigned code,
                        uint64_t time_ms, uint64_t sequence);
/* Fails all messages that wait for this number, or in this chat. */
void store_fail_phone(struct store *store, const char *phone, unsigned code);
void store_fail_chat(struct store *store, uint64_t chat, unsigned code);
/* How far an own message has come, with whichever of the person's devices it is furthest; 0: none.
 */
unsigned store_state(struct store *store, const struct wire_id *id);
/* What was heard of an own message; goes forward only. */
void store_advance(struct store *store, const struct wire_id *id, unsigned state);
/* Takes an own message out of those whose state has changed; 0: no more. *lost: there were more
 * than are kept (STORE_CHANGED_MAX): any may have. */
int64_t store_next_changed(struct store *store, bool *lost);
/* Is `state` at least as far as `goal`? */
bool store_state_reached(unsigned state, unsigned goal);

/* Lowest number without a final answer, or 0. */
uint64_t store_send_low(struct store *store);
/* This home is another device from now on: what was not answered waits again, under new numbers. */
void store_become_device(struct store *store, uint64_t user, uint32_t device);

#endif

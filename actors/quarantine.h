/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input that brought the node down, as the crash records (runtime/crash.h) tell it.
 *
 * A handler that works on what came from outside notes whose it is; the crash record then names it
 * in its line "blame: ...", which is one of
 *
 *     mail to=1/2 from=3/4 id=... hash=...        a mail on its way to a device
 *     entry of=1/2 sequence=7 hash=...            an entry of a device's queue, read from the store
 *     input device=3/4 key=... address=...        what a connection, or a mailbox, was given by it;
 *     input key=... address=...                   ... by a key that no account has;
 *     hello key=... address=...                   ... before it was looked up who has the key;
 *     input address=192.0.2.1                     ... before there was a key
 *
 * Two records that name the same put it on this list when the node starts:
 *   - A mail or an entry is set aside by the mailbox that it is in, instead of being sent or read.
 *     All parts must match, the hash of the content too: whoever crashes a node by other means, or
 *     with mail that resembles somebody's, can have nobody else's mail set aside.
 *   - Input that was not stored is refused until QUARANTINE_REFUSED_MS after the last of its
 *     records, and again after each further one. The narrowest that is known is refused: the
 *     device; else the key; the address only when keys don't tell, since there was none yet, or
 *     another each time (they cost nothing to make). Once it was looked up who has the key, the
 *     address is refused to keys without an account alone: devices that have one come in from
 *     there all the same. So somebody behind a shared address bars the others there only by what
 *     crashes the node before that, for ten minutes a crash, and would otherwise have barred
 *     everybody from everywhere.
 *
 * Fixed once it is read, but for what is forgiven: any thread. The actor `quarantine`
 * (quarantine_actor.c) lists, releases and drops what was set aside; messages.h has its messages.
 */
#ifndef TERN_ACTORS_QUARANTINE_H
#define TERN_ACTORS_QUARANTINE_H

#include "actors/messages.h"
#include "runtime/crash.h"
#include "storage/batch.h"

#include <stdbool.h>

struct quarantine;
struct record_queued;

/* As many of each as there are records, by far. What is beyond is left out, the oldest first. */
#define QUARANTINE_ITEMS_MAX 32u
#define QUARANTINE_REFUSED_MS 600000u

/* --- what handlers note: quarantine_blame.c --- */

/* crash_describe_fns; what they describe is borrowed, for instance on the handler's stack. */

struct quarantine_sending { /* a connection sends mail */
    struct device_address to;
    struct message *mail; /* CONNECTION_MAIL */
};
size_t quarantine_describe_sending(const void *sending, char *text, size_t bytes);

struct quarantine_mail {
    struct device_address to, from;
    const uint8_t *id; /* 16 bytes */
    const uint8_t *ciphertext, *external;
    uint32_t ciphertext_bytes, external_bytes;
};
size_t quarantine_describe_mail(const void *mail, char *text, size_t bytes);

struct quarantine_entry { /* of the queue of `of` */
    struct device_address of;
    uint64_t sequence;
    struct engine_bytes value;
};
size_t quarantine_describe_entry(const void *entry, char *text, size_t bytes);

/* Whose input: what is not known is zero or NULL. */
struct quarantine_input {
    struct device_address device;
    const uint8_t *key;     /* 32 bytes */
    const uint8_t *address; /* ADDRESS_BYTES (address_limits.h) */
    bool hello;             /* it was not yet looked up whose the key is */
};
size_t quarantine_describe_input(const void *input, char *text, size_t bytes);

/* --- the list: quarantine.c --- */

struct quarantine_now {
    uint64_t wall_ms, monotonic_ms;
};
/* Reads the records in this directory. NULL: nothing is listed. Blocks. */
struct quarantine *quarantine_read(const char *directory, struct quarantine_now now);
void quarantine_destroy(struct quarantine *quarantine);
unsigned quarantine_mails(const struct quarantine *quarantine); /* and entries */
unsigned quarantine_refusals(const struct quarantine *quarantine);
/* One line for people: what is the `index`-th refused. */
const char *quarantine_refusal(const struct quarantine *quarantine, unsigned index);

/* NULL has none. The content is hashed only when its id or sequence is on the list: records stay
 * for long, and so does the list. */
bool quarantine_has_mail(const struct quarantine *quarantine, const struct quarantine_mail *mail);
bool quarantine_has_entry(const struct quarantine *quarantine,
                          const struct quarantine_entry *entry);

/* Decodes an entry, which is blamed meanwhile. 0; -EPERM: it is on the list and was not looked at;
 * else as record_queued_decode. In a handler or a pool job; nobody is blamed afterwards. */
int quarantine_decode(const struct quarantine *quarantine, const struct quarantine_entry *entry,
                      struct record_queued *queued);

/* What this describes is not on the list any more, and its records count no more at later starts:
 * their files are renamed to end in QUARANTINE_FORGIVEN. Blocks; any thread. */
#define QUARANTINE_FORGIVEN ".forgiven"
void quarantine_forgive(struct quarantine *quarantine, crash_describe_fn describe, const void *of);
/* The same of the records alone, while no node runs. */
void quarantine_forgive_records(const char *directory, crash_describe_fn describe, const void *of);

/* Reads "USER/DEVICE/SEQUENCE", as an operator is shown an entry. False: it is none. */
bool quarantine_place_read(const char *text, struct quarantine_place *place);

/* For how long yet is it refused (`now_ms`: actor_now_ms)? 0: it is not. All that comes from an
 * address, before anything of it is looked at: */
uint32_t quarantine_refuses_address(const struct quarantine *quarantine, const uint8_t *address,
                                    uint64_t now_ms);
/* A key that has been proven, before anything else of it is looked at: */
uint32_t quarantine_refuses_key(const struct quarantine *quarantine, const uint8_t *key,
                                uint64_t now_ms);
/* The device that has the key; user 0: no account has it. */
uint32_t quarantine_refuses_device(const struct quarantine *quarantine,
                                   struct device_address device, const uint8_t *address,
                                   uint64_t now_ms);

#endif

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
 *     input key=... address=...                   of a key that no account has;
 *     input address=192.0.2.1                     before the key is known
 *
 * Two records that name the same put it on this list when the node starts:
 *   - A mail or an entry is set aside by the mailbox that it is in, instead of being sent or read.
 *     All parts must match, the hash of the content too: whoever crashes a node by other means, or
 *     with mail that resembles somebody's, can have nobody else's mail set aside.
 *   - Input that was not stored is refused for QUARANTINE_REFUSED_MS since the last of its records,
 *     and again after each further one: by device; else by key; by address only when no key was
 *     known. A key without an account costs nothing to make, so its address is refused too, but
 *     to other such keys alone: devices with an account come in from there all the same. Only an
 *     address that sent what crashed the parsers before any key was known is refused as a whole,
 *     since nothing of it can be looked at safely: so somebody behind a shared address can bar the
 *     others there, for ten minutes a crash, as they would without it bar everybody.
 *
 * Fixed once it is read, but for what is forgiven: any thread.
 */
#ifndef TERN_ACTORS_QUARANTINE_H
#define TERN_ACTORS_QUARANTINE_H

#include "actors/messages.h"
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

/* NULL has none. The content is hashed only when there are such on the list. */
bool quarantine_has_mail(const struct quarantine *quarantine, const struct quarantine_mail *mail);
bool quarantine_has_entry(const struct quarantine *quarantine,
                          const struct quarantine_entry *entry);

/* Decodes an entry, which is blamed meanwhile. 0; -EPERM: it is on the list and was not looked at;
 * else as record_queued_decode. In a handler or a pool job; nobody is blamed afterwards. */
int quarantine_decode(const struct quarantine *quarantine, const struct quarantine_entry *entry,
                      struct record_queued *queued);

/* Is it refused now (actor_now_ms), and for how long yet? 0: no. The first: everything from this
 * address, before anything of it is looked at. The second: a connection whose key is proven,
 * `input->device` is zero if no account has it. */
uint32_t quarantine_refuses_address(const struct quarantine *quarantine, const uint8_t *address,
                                    uint64_t now_ms);
uint32_t quarantine_refuses(const struct quarantine *quarantine,
                            const struct quarantine_input *input, uint64_t now_ms);

#endif

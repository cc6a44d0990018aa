/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mail that brought the node down twice, as the crash records (runtime/crash.h) tell it.
 *
 * While a connection sends a mail to its device it notes the mail as what it works on. The crash
 * record then names it: recipient's device, sender's device, id, and a hash of the content. Two
 * records that name the same put it on this list when the node starts; the recipient's mailbox
 * stores it if it is not stored yet, and sets it aside instead of sending it. Only what the crashed
 * handler was working on is blamed, and only the same mail with the same content is set aside:
 * whoever crashes a node by other means can have nobody's mail set aside.
 *
 * Immutable once it is read: any thread.
 */
#ifndef TERN_ACTORS_QUARANTINE_H
#define TERN_ACTORS_QUARANTINE_H

#include "actors/messages.h"

#include <stdbool.h>

struct quarantine;

#define QUARANTINE_MAILS_MAX 32u /* as many as there are records, by far */

struct quarantine_mail {
    struct device_address to, from;
    const uint8_t *id; /* 16 bytes */
    const uint8_t *ciphertext, *external;
    uint32_t ciphertext_bytes, external_bytes;
};

/* What a connection works on: borrowed, on its stack. */
struct quarantine_sending {
    struct device_address to;
    struct message *mail; /* CONNECTION_MAIL */
};
/* A crash_describe_fn of a struct quarantine_sending: "mail to=1/2 from=3/4 id=... hash=...". */
size_t quarantine_describe(const void *sending, char *text, size_t bytes);

/* Reads the records in this directory. NULL: no mail was blamed twice. Blocks. */
struct quarantine *quarantine_read(const char *directory);
void quarantine_destroy(struct quarantine *quarantine);
unsigned quarantine_count(const struct quarantine *quarantine);
/* NULL has none. The content is hashed only when a list is there. */
bool quarantine_has(const struct quarantine *quarantine, const struct quarantine_mail *mail);

#endif

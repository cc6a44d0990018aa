/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device's queue of undelivered mail in the store.
 *
 * An entry (a mail or a status) is a value under (user, device, sequence). The mailbox takes
 * sequences by one in order of arrival, and never uses one twice: so a queue reads in order of
 * arrival, and what has expired is a prefix. To put an entry again
 * before it is deleted, or to delete it again, changes nothing. Sequences begin at 1.
 *
 * Changes are appended to a write batch (not blocking, any thread). Reads BLOCK (pool job); what
 * they return is owned by the caller and needs no engine any more.
 */
#ifndef TERN_STORAGE_MAIL_H
#define TERN_STORAGE_MAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/engine.h"
#include "storage/format.h"

/* Append a mail; `mail->ciphertext_bytes` and `external_bytes` say how long the two are, together
 * at most FORMAT_MAIL_BODY_BYTES_MAX (-EINVAL). */
int mail_append(struct write_batch *batch, uint64_t user, uint32_t device, uint64_t sequence,
                const struct record_mail *mail, const void *ciphertext, const void *external);

/* Append a status of `status->ids_count` ids (at most FORMAT_STATUS_IDS_MAX). Marks the batch
 * WRITE_ESSENTIAL when it holds nothing else. */
int mail_append_status(struct write_batch *batch, uint64_t user, uint32_t device, uint64_t sequence,
                       const struct record_status *status,
                       const uint8_t (*ids)[FORMAT_MESSAGE_ID_BYTES]);

/* Delete the entries with these sequences. */
int mail_delete(struct write_batch *batch, uint64_t user, uint32_t device,
                const uint64_t sequences[], size_t count);

/* Delete the whole queue of a device that is gone for good. */
int mail_drop_queue(struct write_batch *batch, uint64_t user, uint32_t device);

/* Keep a copy of an entry where an operator finds it, with a note of when and why; the entry itself
 * stays in the queue until mail_delete. `value` is as it was read (mail_entry.value). */
int mail_set_aside(struct write_batch *batch, uint64_t user, uint32_t device, uint64_t sequence,
                   struct engine_bytes value, const struct record_aside *note);
/* Delete such a copy and its note; that there is none is no error. */
int mail_drop_aside(struct write_batch *batch, uint64_t user, uint32_t device, uint64_t sequence);

/* A copy as it lies in the store: record_queued_decode tells what it is, or that it is damaged. */
struct mail_aside {
    uint64_t user;
    uint32_t device;
    uint64_t sequence;
    struct record_aside note;
    struct engine_bytes value;
};
/* Reads one; `value` is malloced, the caller's to free. -ENOENT: there is none. BLOCKS. */
int mail_read_aside(struct engine *engine, uint64_t user, uint32_t device, uint64_t sequence,
                    struct mail_aside *aside);

/* The durable part of the mailbox's state for one device. -ENOENT: none yet. */
int mail_read_queue(struct engine *engine, uint64_t user, uint32_t device,
                    struct record_queue *queue);
int mail_put_queue(struct write_batch *batch, uint64_t user, uint32_t device,
                   const struct record_queue *queue);

/* One entry of a page, as it was read: record_queued_decode tells what it is, or that it is damaged
 * (then it must be set aside, never passed on). Its bytes are the page's. */
struct mail_entry {
    uint64_t sequence;
    struct engine_bytes value;
};

struct mail_page {
    size_t count;
    bool more; /* entries beyond this page exist; read on from the last sequence + 1 */
    struct mail_entry *entries;
};

#define MAIL_PAGE_ENTRIES_MAX 4096

/*
 * Read entries from sequence `from` on: at most `entries_max` (1 to MAIL_PAGE_ENTRIES_MAX) and
 * about `bytes_max` of values; at least one when there is one. The page is one allocation, freed
 * with mail_page_destroy(); an empty queue gives a page with count 0.
 */
int mail_read_page(struct engine *engine, uint64_t user, uint32_t device, uint64_t from,
                   size_t entries_max, size_t bytes_max, struct mail_page **page);
void mail_page_destroy(struct mail_page *page);

/* Sees one entry, undecoded; borrowed until it returns. 0: go on; 1: stop; a negative errno. */
typedef int mail_visit_fn(void *context, uint64_t sequence, struct engine_bytes value);

/*
 * Visit up to `limit` entries from sequence `from` on, copying nothing: for a mailbox that wakes
 * and counts what it has. Returns how many were visited, or a negative errno.
 */
int mail_scan(struct engine *engine, uint64_t user, uint32_t device, uint64_t from, size_t limit,
              mail_visit_fn *visit, void *context);

/* Where mail_visit_queues goes on; zero at the beginning. */
struct mail_position {
    struct format_key after;
};

/* Sees a queue: its owner and its oldest entry, as above. 0: go on; 1: stop. */
typedef int mail_visit_queue_fn(void *context, uint64_t user, uint32_t device, uint64_t sequence,
                                struct engine_bytes value);

/*
 * Visit up to `limit` queues that hold mail, from `position` on, which moves behind the last; a
 * seek each, however much they hold. BLOCKS. Returns 1 when there may be more, 0 at the end, or a
 * negative errno.
 */
int mail_visit_queues(struct engine *engine, struct mail_position *position, size_t limit,
                      mail_visit_queue_fn *visit, void *context);

/* Where mail_visit_asides goes on; zero at the beginning. */
struct mail_aside_position {
    uint32_t partition;
    struct format_key after; /* empty: at its begin */
};

/* ... behind this one. */
struct mail_aside_position mail_aside_behind(uint64_t user, uint32_t device, uint64_t sequence);

/* Sees one; `value` is borrowed until it returns. 0: go on; 1: stop; a negative errno. */
typedef int mail_visit_aside_fn(void *context, const struct mail_aside *aside);

/*
 * Visit up to `limit` entries that were set aside, of all users, from `position` on, which moves
 * behind the last: a seek for each partition. BLOCKS. Returns 1 when there may be more, 0 at the
 * end, or a negative errno.
 */
int mail_visit_asides(struct engine *engine, struct mail_aside_position *position, size_t limit,
                      mail_visit_aside_fn *visit, void *context);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A write batch: what one actor wants changed in the store, as one flat run of bytes.
 *
 * It is built on a shard's thread without touching any engine (an append, no lock, no system
 * call), moved to the committer, and handed with many others to engine_write(), which makes all of
 * them durable with one fsync. Within a batch operations apply in the order in which they were
 * added; batches apply in the order in which they are given.
 *
 * To travel in a message it is bytes too: write_batch_bytes() gives the encoded form, which goes
 * into a blob; write_batch_view() makes a batch of it again, without a copy.
 *
 * Ownership: keys and values are copied in, so the caller's may go at once; the bytes are the
 * batch's own (write_batch_init()) or the caller's (write_batch_init_at(), write_batch_view()).
 * Thread: one at a time, whoever holds it. Bound: `bytes_max`.
 * Errors: the first failure sticks (`error`): later additions fail with it too, and engine_write()
 * leaves such a batch out, so a builder of many operations may look once, at the end.
 */
#ifndef TERN_STORAGE_BATCH_H
#define TERN_STORAGE_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Which of the store's ordered maps a key lives in. The numbers are in no file; the names are. */
enum engine_family {
    ENGINE_META,    /* this node's own: format, boot number, high marks */
    ENGINE_ACCOUNT, /* accounts, their indexes, the mailboxes' state */
    ENGINE_MAIL,    /* undelivered mail, queues that are scanned, never looked up by key */
    ENGINE_FAMILIES
};

/* A key is at most this long, one of zero bytes is refused. */
#define ENGINE_KEY_BYTES_MAX 256
/* A value is at most this long. */
#define ENGINE_VALUE_BYTES_MAX (1024 * 1024)

/* A borrowed run of bytes. */
struct engine_bytes {
    const void *data;
    size_t size;
};

/* Order of two keys, by memcmp, a prefix before what it begins: below 0, 0, above 0. */
int engine_compare(struct engine_bytes a, struct engine_bytes b);

/*
 * Who may write when the disk is nearly full (see engine_write()): what grows the store is refused
 * first, what keeps accepted mail going may use the reserve, and deletes always go on.
 */
enum write_urgency {
    WRITE_GROWS,     /* new mail, new accounts: refused when free space is below the reserve */
    WRITE_ESSENTIAL, /* receipts, states: refused below a quarter of the reserve; try again */
};

/* Public so that a message may embed it; its fields are the module's, but for `result`. */
struct write_batch {
    uint8_t *bytes;
    size_t size;
    size_t capacity;
    size_t bytes_max;
    uint32_t operations;
    uint32_t puts;
    bool borrowed;              /* the bytes are not ours to grow or free */
    enum write_urgency urgency; /* the builder's to set; WRITE_GROWS at first */
    int error;                  /* the first failure of an addition, 0 or a negative errno */
    int result; /* written by engine_write(): 0 when durable, or why this one was left out */
};

/* Start an empty batch that grows up to `bytes_max`; nothing is allocated before the first use. */
void write_batch_init(struct write_batch *batch, size_t bytes_max);

/* Start an empty batch in the caller's `buffer`, on a stack for instance; nothing is allocated. */
void write_batch_init_at(struct write_batch *batch, void *buffer, size_t capacity);

/* The encoded form, borrowed from the batch until it changes; at least WRITE_BATCH_HEAD_BYTES when
 * it has operations, empty otherwise. The batch has no error (CHECK). */
#define WRITE_BATCH_HEAD_BYTES 16
struct engine_bytes write_batch_bytes(struct write_batch *batch);

/* Make `batch` a view of encoded bytes, which must stay and came from write_batch_bytes() in this
 * process (CHECK: they are no input). It can be read, written and appended from, not added to. */
void write_batch_view(struct write_batch *batch, struct engine_bytes bytes);

/* Free the bytes when they are the batch's own; `result` stays readable. The batch may be
 * initialised again. */
void write_batch_finish(struct write_batch *batch);

/* Forget the operations and the error; keep the memory. */
void write_batch_clear(struct write_batch *batch);

/*
 * Set `key` to `value`. 0, or -EINVAL (empty or too long key, unknown family, value too long),
 * -E2BIG (the batch would exceed its bound), -ENOMEM.
 */
int write_batch_put(struct write_batch *batch, enum engine_family family, struct engine_bytes key,
                    struct engine_bytes value);

/* As write_batch_put(), the value being the `parts` joined: header and body are copied once. */
int write_batch_put_parts(struct write_batch *batch, enum engine_family family,
                          struct engine_bytes key, const struct engine_bytes *parts,
                          size_t parts_count);

/* Remove `key`; that it is not there is no error. */
int write_batch_delete(struct write_batch *batch, enum engine_family family,
                       struct engine_bytes key);

/* Remove every key in [from, to). -EINVAL when from >= to. For whole queues, not for single keys:
 * a range costs every later read of its neighbourhood a little until it is compacted. */
int write_batch_delete_range(struct write_batch *batch, enum engine_family family,
                             struct engine_bytes from, struct engine_bytes to);

/* Append a copy of the operations of `other`; the urgency becomes that of the less urgent. */
int write_batch_append(struct write_batch *batch, const struct write_batch *other);

/* One operation, read back by engines and tests. For a delete, `second` is empty; for a range,
 * `first` is its begin and `second` its end. */
enum write_kind { WRITE_PUT = 1, WRITE_DELETE, WRITE_DELETE_RANGE };
struct write_operation {
    enum write_kind kind;
    enum engine_family family;
    struct engine_bytes first;
    struct engine_bytes second;
};

/* Read the operation at `*offset` (begin with 0) and move past it; false at the end. The bytes are
 * borrowed from the batch. */
bool write_batch_next(const struct write_batch *batch, size_t *offset,
                      struct write_operation *operation);

#endif

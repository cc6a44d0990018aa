/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device's queue.
 *
 * This file alone puts and deletes keys of ENGINE_MAIL: one by one, or a whole queue at once.
 */
#include "storage/mail.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/check.h"
#include "storage/engine_rocksdb.h"

/* ---- changes ------------------------------------------------------------------------------- */

int mail_append(struct write_batch *batch, uint64_t user, uint32_t device, uint64_t sequence,
                const struct record_mail *mail, const void *ciphertext, const void *external) {
    CHECK(sequence > 0 && sequence < UINT64_MAX);
    if ((uint64_t)mail->ciphertext_bytes + mail->external_bytes > FORMAT_MAIL_BODY_BYTES_MAX)
        return -EINVAL;
    uint8_t header[RECORD_MAIL_HEADER_SIZE];
    record_mail_encode_header(mail, header);
    struct format_key key = format_key_mail(user, device, sequence);
    const struct engine_bytes parts[] = {
        {header, sizeof(header)},
        {ciphertext, mail->ciphertext_bytes},
        {external, mail->external_bytes},
    };
    return write_batch_put_parts(batch, ENGINE_MAIL, format_key_bytes(&key), parts, 3);
}

int mail_append_status(struct write_batch *batch, uint64_t user, uint32_t device, uint64_t sequence,
                       const struct record_status *status,
                       const uint8_t (*ids)[FORMAT_MESSAGE_ID_BYTES]) {
    CHECK(sequence > 0 && sequence < UINT64_MAX);
    uint8_t header[RECORD_STATUS_HEADER_SIZE];
    record_status_encode_header(status, header);
    struct format_key key = format_key_mail(user, device, sequence);
    const struct engine_bytes parts[] = {
        {header, sizeof(header)},
        {ids, status->ids_count * (size_t)FORMAT_MESSAGE_ID_BYTES},
    };
    if (batch->operations == 0)
        batch->urgency = WRITE_ESSENTIAL;
    return write_batch_put_parts(batch, ENGINE_MAIL, format_key_bytes(&key), parts, 2);
}

int mail_delete(struct write_batch *batch, uint64_t user, uint32_t device,
                const uint64_t sequences[], size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct format_key key = format_key_mail(user, device, sequences[i]);
        int error = write_batch_delete(batch, ENGINE_MAIL, format_key_bytes(&key));
        if (error)
            return error;
    }
    return 0;
}

int mail_drop_queue(struct write_batch *batch, uint64_t user, uint32_t device) {
    struct format_key from = format_key_mail(user, device, 0);
    struct format_key to = format_key_mail_end(user, device);
    return write_batch_delete_range(batch, ENGINE_MAIL, format_key_bytes(&from),
                                    format_key_bytes(&to));
}

/* ---- the queue's state --------------------------------------------------------------------- */

int mail_put_queue(struct write_batch *batch, uint64_t user, uint32_t device,
                   const struct record_queue *queue) {
    uint8_t bytes[RECORD_QUEUE_SIZE];
    record_queue_encode(queue, bytes);
    struct format_key key = format_key_queue(user, device);
    return write_batch_put(batch, ENGINE_ACCOUNT, format_key_bytes(&key),
                           (struct engine_bytes){bytes, sizeof(bytes)});
}

int mail_read_queue(struct engine *engine, uint64_t user, uint32_t device,
                    struct record_queue *queue) {
    uint8_t bytes[RECORD_QUEUE_SIZE];
    struct format_key key = format_key_queue(user, device);
    size_t size = 0;
    int error =
        engine_get(engine, ENGINE_ACCOUNT, format_key_bytes(&key), bytes, sizeof(bytes), &size);
    if (error == -ENOBUFS)
        return -EBADMSG;
    return error ? error : record_queue_decode((struct engine_bytes){bytes, size}, queue);
}

/* ---- scans --------------------------------------------------------------------------------- */

/* Scan the raw entries of one queue. Both ends have the queue's prefix, so an empty one is cheap.
 */
static int scan_queue(struct engine *engine, uint64_t user, uint32_t device, uint64_t from,
                      size_t limit, engine_visit_fn *visit, void *context) {
    struct format_key first = format_key_mail(user, device, from);
    struct format_key end = format_key_mail_end(user, device);
    CHECK(first.size - 8 == ENGINE_MAIL_QUEUE_BYTES);
    if (from == UINT64_MAX)
        return 0;
    return engine_scan(engine, ENGINE_MAIL, format_key_bytes(&first), format_key_bytes(&end), limit,
                       visit, context);
}

struct scanning {
    uint64_t user;
    uint32_t device;
    mail_visit_fn *visit;
    void *context;
};

static int visit_entry(void *context, struct engine_bytes key, struct engine_bytes value) {
    struct scanning *scanning = context;
    uint64_t sequence;
    int error = format_key_mail_decode(key, scanning->user, scanning->device, &sequence);
    if (error)
        return error;
    return scanning->visit(scanning->context, sequence, value);
}

int mail_scan(struct engine *engine, uint64_t user, uint32_t device, uint64_t from, size_t limit,
              mail_visit_fn *visit, void *context) {
    struct scanning scanning = {user, device, visit, context};
    return scan_queue(engine, user, device, from, limit, visit_entry, &scanning);
}

/* ---- all queues ------------------------------------------------------------------------------ */

struct visiting {
    struct mail_position *position;
    mail_visit_queue_fn *visit;
    void *context;
    int stop; /* what the visitor or the decoder said */
};

static int visit_first(void *context, struct engine_bytes key, struct engine_bytes value) {
    struct visiting *visiting = context;
    uint64_t user, sequence;
    uint32_t device;
    visiting->stop = format_key_mail_owner(key, &user, &device);
    if (!visiting->stop)
        visiting->stop = format_key_mail_decode(key, user, device, &sequence);
    if (visiting->stop)
        return 1;
    visiting->position->after = format_key_mail_end(user, device);
    visiting->stop = visiting->visit(visiting->context, user, device, sequence, value);
    return 1;
}

int mail_visit_queues(struct engine *engine, struct mail_position *position, size_t limit,
                      mail_visit_queue_fn *visit, void *context) {
    struct visiting visiting = {position, visit, context, 0};
    for (size_t i = 0; i < limit; i++) {
        int seen = engine_scan(engine, ENGINE_MAIL, format_key_bytes(&position->after),
                               (struct engine_bytes){NULL, 0}, 1, visit_first, &visiting);
        if (seen <= 0)
            return seen;
        if (visiting.stop)
            return visiting.stop;
    }
    return 1;
}

/* ---- set aside ----------------------------------------------------------------------------- */

int mail_set_aside(struct write_batch *batch, uint64_t user, uint32_t device, uint64_t sequence,
                   struct engine_bytes value, const struct record_aside *note) {
    uint8_t bytes[RECORD_ASIDE_SIZE];
    struct format_key aside = format_key_aside(user, device, sequence);
    struct format_key noted = format_key_aside_note(user, device, sequence);
    record_aside_encode(note, bytes);
    int error = write_batch_put(batch, ENGINE_ACCOUNT, format_key_bytes(&aside), value);
    return error ? error
                 : write_batch_put(batch, ENGINE_ACCOUNT, format_key_bytes(&noted),
                                   (struct engine_bytes){bytes, sizeof(bytes)});
}

int mail_drop_aside(struct write_batch *batch, uint64_t user, uint32_t device, uint64_t sequence) {
    struct format_key aside = format_key_aside(user, device, sequence);
    struct format_key noted = format_key_aside_note(user, device, sequence);
    int error = write_batch_delete(batch, ENGINE_ACCOUNT, format_key_bytes(&aside));
    return error ? error : write_batch_delete(batch, ENGINE_ACCOUNT, format_key_bytes(&noted));
}

/* An older version left none. */
static int read_note(struct engine *engine, struct mail_aside *aside) {
    uint8_t bytes[RECORD_ASIDE_SIZE];
    size_t size = 0;
    struct format_key noted = format_key_aside_note(aside->user, aside->device, aside->sequence);
    int error =
        engine_get(engine, ENGINE_ACCOUNT, format_key_bytes(&noted), bytes, sizeof(bytes), &size);
    aside->note = (struct record_aside){RECORD_ASIDE_UNKNOWN, 0};
    if (error == -ENOENT || error == -ENOBUFS)
        return 0;
    if (!error)
        record_aside_decode((struct engine_bytes){bytes, size}, &aside->note);
    return error;
}

int mail_read_aside(struct engine *engine, uint64_t user, uint32_t device, uint64_t sequence,
                    struct mail_aside *aside) {
    struct mail_aside read = {.user = user, .device = device, .sequence = sequence};
    struct format_key key = format_key_aside(user, device, sequence);
    size_t size = 0;
    int error = engine_get(engine, ENGINE_ACCOUNT, format_key_bytes(&key), NULL, 0, &size);
    if (error && error != -ENOBUFS)
        return error;
    void *value = malloc(size ? size : 1);
    if (!value)
        return -ENOMEM;
    error = engine_get(engine, ENGINE_ACCOUNT, format_key_bytes(&key), value, size, &size);
    if (!error)
        error = read_note(engine, &read);
    if (error) {
        free(value);
        return error;
    }
    read.value = (struct engine_bytes){value, size};
    *aside = read;
    return 0;
}

struct mail_aside_position mail_aside_behind(uint64_t user, uint32_t device, uint64_t sequence) {
    struct mail_aside_position position = {.partition = format_partition_user(user),
                                           .after = format_key_aside(user, device, sequence)};
    position.after.bytes[position.after.size++] = 0;
    return position;
}

struct visiting_asides {
    struct mail_aside_position *position;
    mail_visit_aside_fn *visit;
    void *context;
    size_t left;
    int stop;
    /* The engine must not be asked while it scans: one is taken out, then its note is read. */
    struct mail_aside found;
    uint8_t *value;
};

static int take_aside(void *context, struct engine_bytes key, struct engine_bytes value) {
    struct visiting_asides *visiting = context;
    struct mail_aside *found = &visiting->found;
    uint8_t *copy = malloc(value.size ? value.size : 1);
    if (!copy)
        return -ENOMEM;
    if (value.size)
        memcpy(copy, value.data, value.size);
    visiting->value = copy;
    *found = (struct mail_aside){.value = {copy, value.size}};
    int error = format_key_aside_decode(key, &found->user, &found->device, &found->sequence);
    if (!error)
        *visiting->position = mail_aside_behind(found->user, found->device, found->sequence);
    return error;
}

/* The next of this partition: 1, 0: there is none, or an error. */
static int visit_aside(struct engine *engine, struct visiting_asides *visiting) {
    struct format_key from, to;
    format_keys_aside((uint16_t)visiting->position->partition, &from, &to);
    if (visiting->position->after.size)
        from = visiting->position->after;
    int seen = engine_scan(engine, ENGINE_ACCOUNT, format_key_bytes(&from), format_key_bytes(&to),
                           1, take_aside, visiting);
    int error = seen == 1 ? read_note(engine, &visiting->found) : 0;
    if (seen == 1 && !error)
        visiting->stop = visiting->visit(visiting->context, &visiting->found);
    free(visiting->value);
    visiting->value = NULL;
    return error ? error : seen;
}

int mail_visit_asides(struct engine *engine, struct mail_aside_position *position, size_t limit,
                      mail_visit_aside_fn *visit, void *context) {
    struct visiting_asides visiting = {.position = position, .visit = visit, .context = context};
    while (position->partition < FORMAT_PARTITIONS) {
        if (limit == 0)
            return 1;
        int seen = visit_aside(engine, &visiting);
        if (seen < 0)
            return seen;
        if (visiting.stop)
            return visiting.stop;
        if (seen == 0)
            *position = (struct mail_aside_position){.partition = position->partition + 1};
        limit -= (size_t)seen;
    }
    return 0;
}

/* ---- pages --------------------------------------------------------------------------------- */

/*
 * A page is gathered in two growing buffers, since the scan alone knows how much there is, and then
 * laid out as one allocation: the page, its entries, the values.
 */
struct gathering {
    uint64_t user;
    uint32_t device;
    size_t entries_max;
    size_t bytes_max;
    size_t count;
    size_t capacity;
    struct gathered {
        uint64_t sequence;
        size_t size;
    } * entries;
    uint8_t *bytes;
    size_t bytes_size;
    size_t bytes_capacity;
    bool more;
};

static int grow(void **memory, size_t *capacity, size_t needed, size_t item, size_t first) {
    if (needed <= *capacity)
        return 0;
    size_t wanted = *capacity ? *capacity * 2 : first;
    if (wanted < needed)
        wanted = needed;
    void *grown = realloc(*memory, wanted * item);
    if (!grown)
        return -ENOMEM;
    *memory = grown;
    *capacity = wanted;
    return 0;
}

static int gather(void *context, struct engine_bytes key, struct engine_bytes value) {
    struct gathering *gathering = context;
    uint64_t sequence;
    int error = format_key_mail_decode(key, gathering->user, gathering->device, &sequence);
    if (error)
        return error;
    bool full = gathering->count == gathering->entries_max ||
                (gathering->count > 0 && gathering->bytes_size + value.size > gathering->bytes_max);
    if (full) {
        gathering->more = true;
        return 1;
    }
    void *entries = gathering->entries;
    error = grow(&entries, &gathering->capacity, gathering->count + 1, sizeof(struct gathered), 16);
    gathering->entries = entries;
    void *bytes = gathering->bytes;
    if (!error)
        error =
            grow(&bytes, &gathering->bytes_capacity, gathering->bytes_size + value.size, 1, 4096);
    gathering->bytes = bytes;
    if (error)
        return error;
    gathering->entries[gathering->count++] = (struct gathered){sequence, value.size};
    if (value.size)
        memcpy(gathering->bytes + gathering->bytes_size, value.data, value.size);
    gathering->bytes_size += value.size;
    return 0;
}

static struct mail_page *lay_out(const struct gathering *gathering) {
    size_t entries_size = gathering->count * sizeof(struct mail_entry);
    struct mail_page *page = malloc(sizeof(*page) + entries_size + gathering->bytes_size);
    if (!page)
        return NULL;
    page->count = gathering->count;
    page->more = gathering->more;
    page->entries = (struct mail_entry *)(page + 1);
    uint8_t *at = (uint8_t *)(page + 1) + entries_size;
    if (gathering->bytes_size)
        memcpy(at, gathering->bytes, gathering->bytes_size);
    for (size_t i = 0; i < page->count; i++) {
        struct mail_entry *entry = &page->entries[i];
        *entry =
            (struct mail_entry){gathering->entries[i].sequence, {at, gathering->entries[i].size}};
        at += entry->value.size;
    }
    return page;
}
_Static_assert(sizeof(struct mail_page) % _Alignof(struct mail_entry) == 0, "entries are aligned");

int mail_read_page(struct engine *engine, uint64_t user, uint32_t device, uint64_t from,
                   size_t entries_max, size_t bytes_max, struct mail_page **page) {
    CHECK(entries_max > 0 && entries_max <= MAIL_PAGE_ENTRIES_MAX);
    struct gathering gathering = {
        .user = user, .device = device, .entries_max = entries_max, .bytes_max = bytes_max};
    int visited = scan_queue(engine, user, device, from, entries_max + 1, gather, &gathering);
    struct mail_page *read = visited < 0 ? NULL : lay_out(&gathering);
    free(gathering.entries);
    free(gathering.bytes);
    if (visited < 0)
        return visited;
    if (!read)
        return -ENOMEM;
    *page = read;
    return 0;
}

void mail_page_destroy(struct mail_page *page) {
    free(page);
}

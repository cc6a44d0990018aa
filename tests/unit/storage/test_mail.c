/* SPDX-License-Identifier: Apache-2.0 */
/* Queues of mail, on both engines. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/mail.h"
#include "tests/unit/storage/store.h"

enum { USER = 42, DEVICE = 7 };

/* Append one mail whose ciphertext is `text`, accepted at `sequence` * 10 ms. */
static void append(struct write_batch *batch, uint64_t user, uint32_t device, uint64_t sequence,
                   const char *text) {
    struct record_mail mail = {
        .sender_user = 1000 + sequence,
        .accepted_ms = sequence * 10,
        .ciphertext_bytes = (uint32_t)strlen(text),
    };
    memcpy(mail.message_id, &sequence, sizeof(sequence));
    assert_int_equal(mail_append(batch, user, device, sequence, &mail, text, NULL), 0);
}

static void fill(struct store *store, uint64_t user, uint32_t device, uint64_t from, uint64_t to) {
    struct write_batch batch;
    write_batch_init(&batch, 1 << 20);
    for (uint64_t sequence = from; sequence <= to; sequence++) {
        char text[32];
        snprintf(text, sizeof(text), "text %04llu", (unsigned long long)sequence);
        append(&batch, user, device, sequence, text);
    }
    store_commit(store->engine, &batch);
}

static struct mail_page *read_page(struct store *store, uint64_t from, size_t entries_max,
                                   size_t bytes_max) {
    struct mail_page *page = NULL;
    assert_int_equal(
        mail_read_page(store->engine, USER, DEVICE, from, entries_max, bytes_max, &page), 0);
    return page;
}

static struct record_queued decode(const struct mail_entry *entry) {
    struct record_queued queued;
    assert_int_equal(record_queued_decode(entry->value, &queued), 0);
    return queued;
}

/* The sequences of the whole queue, as "1,2,5". */
static const char *sequences(struct store *store) {
    static char text[1024];
    struct mail_page *page = read_page(store, 0, 100, SIZE_MAX);
    size_t length = 0;
    text[0] = '\0';
    for (size_t i = 0; i < page->count; i++)
        length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%llu", i ? "," : "",
                                   (unsigned long long)page->entries[i].sequence);
    mail_page_destroy(page);
    return text;
}

static void queue_gives_back_what_was_appended(void **state) {
    struct store *store = *state;
    struct write_batch batch;
    write_batch_init(&batch, 1 << 20);
    struct record_mail mail = {.chat = 5,
                               .sender_user = 6,
                               .sender_device = 7,
                               .accepted_ms = 8,
                               .kind = 9,
                               .flags = 10,
                               .clock_lamport = 11,
                               .clock_count = 12,
                               .ciphertext_bytes = 6,
                               .external_bytes = 4};
    assert_int_equal(mail_append(&batch, USER, DEVICE, 1, &mail, "cipher", "xtra"), 0);
    struct record_status status = {
        .state = RECORD_STATE_DELIVERED, .peer_user = 6, .time_ms = 9, .ids_count = 2};
    static const uint8_t ids[2][16] = {{1}, {2}};
    assert_int_equal(mail_append_status(&batch, USER, DEVICE, 2, &status, ids), 0);
    assert_int_equal(batch.urgency, WRITE_GROWS);
    store_commit(store->engine, &batch);

    struct mail_page *page = read_page(store, 0, 10, SIZE_MAX);
    assert_int_equal(page->count, 2);
    assert_false(page->more);
    const struct mail_entry *first = &page->entries[0];
    assert_int_equal(first->sequence, 1);
    struct record_queued queued = decode(first);
    assert_int_equal(queued.entry, RECORD_MAIL);
    assert_int_equal(queued.mail.chat, 5);
    assert_int_equal(queued.mail.clock_count, 12);
    assert_memory_equal(queued.ciphertext, "cipher", 6);
    assert_memory_equal(queued.external, "xtra", 4);
    const struct mail_entry *second = &page->entries[1];
    queued = decode(second);
    assert_int_equal(queued.entry, RECORD_STATUS);
    assert_int_equal(queued.status.state, RECORD_STATE_DELIVERED);
    assert_int_equal(queued.ids[1][0], 2);
    mail_page_destroy(page);
}

static void queues_are_apart(void **state) {
    struct store *store = *state;
    fill(store, USER, DEVICE, 1, 3);
    fill(store, USER, DEVICE + 1, 4, 5);
    fill(store, USER + 1, DEVICE, 6, 7);
    assert_string_equal(sequences(store), "1,2,3");
    struct write_batch batch;
    write_batch_init(&batch, 4096);
    assert_int_equal(mail_drop_queue(&batch, USER, DEVICE + 1), 0);
    assert_int_equal(mail_drop_queue(&batch, USER + 1, DEVICE), 0);
    store_commit(store->engine, &batch);
    assert_string_equal(sequences(store), "1,2,3");
    assert_int_equal(mail_drop_queue(&batch, USER, DEVICE), 0);
    store_commit(store->engine, &batch);
    assert_string_equal(sequences(store), "");
}

static void pages_go_on_where_the_last_ended(void **state) {
    struct store *store = *state;
    fill(store, USER, DEVICE, 1, 25);
    uint64_t next = 0;
    uint64_t expected = 1;
    for (int pages = 1;; pages++) {
        struct mail_page *page = read_page(store, next, 10, SIZE_MAX);
        for (size_t i = 0; i < page->count; i++)
            assert_int_equal(page->entries[i].sequence, expected++);
        next = page->entries[page->count - 1].sequence + 1;
        bool more = page->more;
        mail_page_destroy(page);
        if (!more) {
            assert_int_equal(pages, 3);
            break;
        }
    }
    assert_int_equal(expected, 26);
}

static void page_that_is_exactly_full_has_no_more(void **state) {
    struct store *store = *state;
    fill(store, USER, DEVICE, 1, 10);
    struct mail_page *page = read_page(store, 0, 10, SIZE_MAX);
    assert_int_equal(page->count, 10);
    assert_false(page->more);
    mail_page_destroy(page);
}

static void page_is_bounded_by_bytes_but_has_one(void **state) {
    struct store *store = *state;
    fill(store, USER, DEVICE, 1, 5);
    size_t one = RECORD_MAIL_HEADER_SIZE + strlen("text 0001");
    struct mail_page *page = read_page(store, 0, 10, 3 * one);
    assert_int_equal(page->count, 3);
    assert_true(page->more);
    mail_page_destroy(page);
    page = read_page(store, 2, 10, 1);
    assert_int_equal(page->count, 1);
    assert_int_equal(page->entries[0].sequence, 2);
    assert_memory_equal(decode(&page->entries[0]).ciphertext, "text 0002", 9);
    mail_page_destroy(page);
}

static void acknowledged_entries_leave_the_rest(void **state) {
    struct store *store = *state;
    fill(store, USER, DEVICE, 1, 8);
    store_reopen(store);
    struct write_batch batch;
    write_batch_init(&batch, 4096);
    static const uint64_t acknowledged[] = {1, 2, 3, 6};
    assert_int_equal(mail_delete(&batch, USER, DEVICE, acknowledged, 4), 0);
    assert_int_equal(batch.puts, 0);
    store_commit(store->engine, &batch);
    store_reopen(store);
    assert_string_equal(sequences(store), "4,5,7,8");
}

/* A sender whose answer was lost writes its batch again; one delete must do for both. */
static void entry_written_twice_is_deleted_by_one_acknowledgement(void **state) {
    struct store *store = *state;
    fill(store, USER, DEVICE, 1, 2);
    store_reopen(store); /* into a file */
    fill(store, USER, DEVICE, 1, 2);
    struct write_batch batch;
    write_batch_init(&batch, 4096);
    assert_int_equal(mail_delete(&batch, USER, DEVICE, (uint64_t[]){1}, 1), 0);
    store_commit(store->engine, &batch);
    assert_string_equal(sequences(store), "2");
    store_reopen(store);
    assert_string_equal(sequences(store), "2");
}

struct seen {
    size_t count;
    size_t damaged;
    uint64_t last;
    size_t bytes;
};

static int count_entry(void *context, uint64_t sequence, struct engine_bytes value) {
    struct record_queued queued;
    struct seen *seen = context;
    seen->count++;
    seen->damaged += record_queued_decode(value, &queued) != 0;
    seen->last = sequence;
    seen->bytes += value.size;
    return sequence == 1000 ? 1 : 0;
}

static void scan_counts_without_copying(void **state) {
    struct store *store = *state;
    fill(store, USER, DEVICE, 1, 20);
    struct seen seen = {0};
    assert_int_equal(mail_scan(store->engine, USER, DEVICE, 5, 10, count_entry, &seen), 10);
    assert_int_equal(seen.last, 14);
    assert_int_equal(seen.bytes, 10 * (RECORD_MAIL_HEADER_SIZE + 9));
    assert_int_equal(mail_scan(store->engine, USER, DEVICE + 1, 0, 10, count_entry, &seen), 0);
    fill(store, USER, DEVICE, 1000, 1002);
    seen = (struct seen){0};
    assert_int_equal(mail_scan(store->engine, USER, DEVICE, 20, 100, count_entry, &seen), 2);
    assert_int_equal(seen.last, 1000);
}

struct queues {
    unsigned count, stop_at;
    uint64_t users[8], oldest_ms[8];
};

static int see_queue(void *context, uint64_t user, uint32_t device, uint64_t sequence,
                     struct engine_bytes value) {
    struct queues *queues = context;
    struct record_queued queued;
    assert_int_equal(record_queued_decode(value, &queued), 0);
    assert_true(queues->count < 8);
    queues->users[queues->count] = user * 10 + device;
    assert_int_equal(queued.time_ms, 10 * sequence);
    queues->oldest_ms[queues->count++] = queued.time_ms;
    return queues->count == queues->stop_at;
}

static uint64_t oldest_of(const struct queues *queues, uint64_t user, uint32_t device) {
    for (unsigned i = 0; i < queues->count; i++)
        if (queues->users[i] == user * 10 + device)
            return queues->oldest_ms[i];
    return UINT64_MAX;
}

static void every_queue_is_visited_once_with_its_oldest_entry(void **state) {
    struct store *store = *state;
    struct mail_position position = {0};
    struct queues queues = {0};
    struct engine *engine = store->engine;
    assert_int_equal(mail_visit_queues(engine, &position, 10, see_queue, &queues), 0);
    assert_int_equal(queues.count, 0);
    fill(store, USER, 1, 5, 9);
    fill(store, USER, 2, 3, 4);
    fill(store, USER + 1, 1, 7, 7);
    /* in jobs: one that the visitor stops, one that its limit ends, one to the end */
    queues.stop_at = 1;
    assert_int_equal(mail_visit_queues(engine, &position, 10, see_queue, &queues), 1);
    queues.stop_at = 0;
    assert_int_equal(mail_visit_queues(engine, &position, 1, see_queue, &queues), 1);
    assert_int_equal(mail_visit_queues(engine, &position, 10, see_queue, &queues), 0);
    assert_int_equal(queues.count, 3);
    assert_int_equal(oldest_of(&queues, USER, 1), 50);
    assert_int_equal(oldest_of(&queues, USER, 2), 30);
    assert_int_equal(oldest_of(&queues, USER + 1, 1), 70);
}

static void damaged_entry_is_shown_and_can_be_set_aside(void **state) {
    struct store *store = *state;
    fill(store, USER, DEVICE, 1, 1);
    fill(store, USER, DEVICE, 3, 3);
    struct format_key key = format_key_mail(USER, DEVICE, 2);
    store_put(store->engine, ENGINE_MAIL, format_key_bytes(&key), TEXT("no mail at all"));
    struct seen seen = {0};
    assert_int_equal(mail_scan(store->engine, USER, DEVICE, 0, 10, count_entry, &seen), 3);
    assert_int_equal(seen.damaged, 1);
    struct mail_page *page = read_page(store, 0, 10, SIZE_MAX);
    struct record_queued queued;
    assert_int_not_equal(record_queued_decode(page->entries[1].value, &queued), 0);
    decode(&page->entries[2]);
    struct write_batch batch;
    write_batch_init(&batch, 4096);
    assert_int_equal(mail_set_aside(&batch, USER, DEVICE, 2, page->entries[1].value,
                                    &(struct record_aside){RECORD_ASIDE_DAMAGED, 77}),
                     0);
    assert_int_equal(mail_delete(&batch, USER, DEVICE, (uint64_t[]){2}, 1), 0);
    mail_page_destroy(page);
    store_commit(store->engine, &batch);
    assert_string_equal(sequences(store), "1,3");
    key = format_key_aside(USER, DEVICE, 2);
    assert_string_equal(store_get(store->engine, ENGINE_ACCOUNT, format_key_bytes(&key)),
                        "no mail at all");
}

struct asides {
    unsigned count, stop_at;
    uint64_t users[8], sequences[8];
};

static int see_aside(void *context, const struct mail_aside *aside) {
    struct asides *asides = context;
    char text[32];
    assert_true(asides->count < 8);
    asides->users[asides->count] = aside->user * 10 + aside->device;
    asides->sequences[asides->count++] = aside->sequence;
    assert_int_equal(aside->note.reason, RECORD_ASIDE_CRASH);
    assert_int_equal(aside->note.time_ms, aside->sequence * 100);
    snprintf(text, sizeof(text), "entry %llu", (unsigned long long)aside->sequence);
    assert_int_equal(aside->value.size, strlen(text));
    assert_memory_equal(aside->value.data, text, strlen(text));
    return asides->count == asides->stop_at;
}

static void set_aside(struct store *store, uint64_t user, uint32_t device, uint64_t sequence) {
    struct write_batch batch;
    char text[32];
    struct record_aside note = {RECORD_ASIDE_CRASH, sequence * 100};
    snprintf(text, sizeof(text), "entry %llu", (unsigned long long)sequence);
    write_batch_init(&batch, 4096);
    assert_int_equal(mail_set_aside(&batch, user, device, sequence,
                                    (struct engine_bytes){text, strlen(text)}, &note),
                     0);
    store_commit(store->engine, &batch);
}

static void what_was_set_aside_is_listed_in_pages_read_and_dropped(void **state) {
    struct store *store = *state;
    struct mail_aside_position position = {0};
    struct asides asides = {0};
    assert_int_equal(mail_visit_asides(store->engine, &position, 10, see_aside, &asides), 0);
    assert_int_equal(asides.count, 0);
    set_aside(store, USER, 1, 3);
    set_aside(store, USER, 1, 4);
    set_aside(store, USER, 2, 1);
    set_aside(store, USER + 1, 1, 9);
    position = (struct mail_aside_position){0};
    assert_int_equal(mail_visit_asides(store->engine, &position, 1, see_aside, &asides), 1);
    asides.stop_at = 2;
    assert_int_equal(mail_visit_asides(store->engine, &position, 9, see_aside, &asides), 1);
    asides.stop_at = 0;
    assert_int_equal(mail_visit_asides(store->engine, &position, 10, see_aside, &asides), 0);
    assert_int_equal(asides.count, 4);
    uint64_t sum = 0;
    for (unsigned i = 0; i < 4; i++)
        sum += asides.users[i] * asides.sequences[i];
    assert_int_equal(sum, (USER * 10 + 1) * 7 + (USER * 10 + 2) + ((USER + 1) * 10 + 1) * 9);

    struct mail_aside aside;
    assert_int_equal(mail_read_aside(store->engine, USER, 1, 4, &aside), 0);
    assert_int_equal(aside.note.time_ms, 400);
    assert_memory_equal(aside.value.data, "entry 4", 7);
    free((void *)aside.value.data);
    struct write_batch batch;
    write_batch_init(&batch, 4096);
    assert_int_equal(mail_drop_aside(&batch, USER, 1, 4), 0);
    store_commit(store->engine, &batch);
    assert_int_equal(mail_read_aside(store->engine, USER, 1, 4, &aside), -ENOENT);
    struct format_key note = format_key_aside_note(USER, 1, 3); /* of an older version: none */
    write_batch_init(&batch, 4096);
    assert_int_equal(write_batch_delete(&batch, ENGINE_ACCOUNT, format_key_bytes(&note)), 0);
    store_commit(store->engine, &batch);
    assert_int_equal(mail_read_aside(store->engine, USER, 1, 3, &aside), 0);
    assert_int_equal(aside.note.reason, RECORD_ASIDE_UNKNOWN);
    free((void *)aside.value.data);
}

static void mail_of_too_large_a_body_is_refused(void **state) {
    struct store *store = *state;
    char *body = calloc(1, FORMAT_MAIL_BODY_BYTES_MAX);
    struct write_batch batch;
    write_batch_init(&batch, 1 << 20);
    struct record_mail mail = {.ciphertext_bytes = FORMAT_MAIL_BODY_BYTES_MAX, .external_bytes = 1};
    assert_int_equal(mail_append(&batch, USER, DEVICE, 1, &mail, body, body), -EINVAL);
    mail.external_bytes = UINT32_MAX;
    assert_int_equal(mail_append(&batch, USER, DEVICE, 1, &mail, body, body), -EINVAL);
    mail.external_bytes = 0;
    assert_int_equal(mail_append(&batch, USER, DEVICE, 1, &mail, body, NULL), 0);
    store_commit(store->engine, &batch);
    struct mail_page *page = read_page(store, 0, 10, SIZE_MAX);
    assert_int_equal(decode(&page->entries[0]).mail.ciphertext_bytes, FORMAT_MAIL_BODY_BYTES_MAX);
    mail_page_destroy(page);
    free(body);
}

static void status_alone_may_use_the_reserve(void **state) {
    struct write_batch batch;
    write_batch_init(&batch, 4096);
    struct record_status status = {.state = RECORD_STATE_READ, .up_to = 4};
    assert_int_equal(mail_append_status(&batch, USER, DEVICE, 1, &status, NULL), 0);
    assert_int_equal(batch.urgency, WRITE_ESSENTIAL);
    write_batch_finish(&batch);
}

static void state_of_a_queue_is_kept(void **state) {
    struct store *store = *state;
    struct record_queue queue = {.sequence_reserved = 1024, .send_high = 5};
    struct record_queue read;
    assert_int_equal(mail_read_queue(store->engine, USER, DEVICE, &read), -ENOENT);
    struct write_batch batch;
    write_batch_init(&batch, 4096);
    assert_int_equal(mail_put_queue(&batch, USER, DEVICE, &queue), 0);
    store_commit(store->engine, &batch);
    assert_int_equal(mail_read_queue(store->engine, USER, DEVICE, &read), 0);
    assert_int_equal(read.sequence_reserved, 1024);
    assert_int_equal(read.send_high, 5);
}

static int open_rocksdb(void **state) {
    static struct store store;
    store_open(&store, STORE_ROCKSDB);
    *state = &store;
    return 0;
}

static int open_memory(void **state) {
    static struct store store;
    store_open(&store, STORE_MEMORY);
    *state = &store;
    return 0;
}

static int close_store(void **state) {
    store_close(*state);
    return 0;
}

/* clang-format off */
#define ON(open, name) {#name, name, open, close_store, NULL}
#define SUITE(open)                                      \
    {                                                    \
        ON(open, queue_gives_back_what_was_appended),    \
        ON(open, queues_are_apart),                      \
        ON(open, pages_go_on_where_the_last_ended),      \
        ON(open, page_that_is_exactly_full_has_no_more), \
        ON(open, page_is_bounded_by_bytes_but_has_one),  \
        ON(open, acknowledged_entries_leave_the_rest),   \
        ON(open, entry_written_twice_is_deleted_by_one_acknowledgement), \
        ON(open, scan_counts_without_copying),           \
        ON(open, every_queue_is_visited_once_with_its_oldest_entry), \
        ON(open, damaged_entry_is_shown_and_can_be_set_aside), \
        ON(open, what_was_set_aside_is_listed_in_pages_read_and_dropped), \
        ON(open, mail_of_too_large_a_body_is_refused),   \
        ON(open, status_alone_may_use_the_reserve),      \
        ON(open, state_of_a_queue_is_kept),              \
    }
/* clang-format on */

int main(void) {
    const struct CMUnitTest on_rocksdb[] = SUITE(open_rocksdb);
    const struct CMUnitTest on_memory[] = SUITE(open_memory);
    return cmocka_run_group_tests_name("mail_rocksdb", on_rocksdb, NULL, NULL) +
           cmocka_run_group_tests_name("mail_memory", on_memory, NULL, NULL);
}

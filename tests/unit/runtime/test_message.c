/* SPDX-License-Identifier: Apache-2.0 */
/* Messages, blobs, the slabs they lie in and the lanes that they travel. */
#include "tests/unit/runtime/fixture.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define KIND ACTOR_KIND_FIRST

static void payload_is_zeroed_also_in_used_memory(void **state) {
    struct runtime *runtime = fixture_create(1);
    for (size_t bytes = 0; bytes <= MESSAGE_PAYLOAD_MAX; bytes = bytes * 2 + 1) {
        for (int round = 0; round < 2; round++) {
            struct message *message = message_create(KIND, bytes);
            const uint8_t *payload = message_payload(message);
            for (size_t i = 0; i < bytes; i++)
                assert_int_equal(payload[i], 0);
            assert_int_equal((uintptr_t)message % 64, 0);
            memset(message_payload(message), 0xff, bytes);
            message_destroy(message);
        }
    }
    fixture_destroy(runtime);
}

static void memory_is_used_again(void **state) {
    struct runtime *runtime = fixture_create(1);
    struct message *first = message_create(KIND, 100);
    message_destroy(first);
    uint64_t populated = runtime->shards[0]->messages.bytes;
    for (int i = 0; i < 100000; i++)
        message_destroy(message_create(KIND, 100));
    assert_int_equal(runtime->shards[0]->messages.bytes, populated);
    fixture_destroy(runtime);
}

static void size_classes_are_tight_and_in_order(void **state) {
    for (size_t bytes = 1; bytes <= SLAB_BYTES_MAX; bytes++) {
        unsigned class = slab_class_of(bytes);
        assert_true(class < SLAB_CLASSES);
        assert_true(slab_class_bytes(class) >= bytes);
        assert_true(class == 0 || slab_class_bytes(class - 1) < bytes);
    }
}

static void blob_lives_until_its_last_reference(void **state) {
    struct runtime *runtime = fixture_create(1);
    struct blob *blob = blob_copy_of("abc", 3);
    struct message *message = message_create(KIND, 0);
    message->blob = blob_hold(blob);
    struct runtime_counters counters;
    runtime_counters_read(runtime, &counters);
    assert_int_equal(counters.memory_blob_bytes, 3);
    blob_release(blob);
    assert_memory_equal(blob_bytes(message->blob), "abc", 3);
    assert_int_equal(blob_length(message->blob), 3);
    message_destroy(message);
    runtime_counters_read(runtime, &counters);
    assert_int_equal(counters.memory_blob_bytes, 0);
    fixture_destroy(runtime);
}

/* Creates messages on shard 0 and frees them on shard 1. */
static void pass_over(struct runtime *runtime, int count) {
    struct message **messages = calloc((size_t)count, sizeof *messages);
    fixture_enter(runtime, 0);
    for (int i = 0; i < count; i++)
        messages[i] = message_create(KIND, 100);
    fixture_enter(runtime, 1);
    for (int i = 0; i < count; i++)
        message_destroy(messages[i]);
    free(messages);
    fixture_run(runtime);
}

static void shard_uses_what_it_freed_of_another(void **state) {
    struct runtime *runtime = fixture_create(2);
    pass_over(runtime, 100);
    fixture_enter(runtime, 1);
    struct message *message = message_create(KIND, 100);
    assert_ptr_equal(slab_home(message), &runtime->shards[0]->messages);
    message_destroy(message);
    assert_int_equal(runtime->shards[1]->messages.blocks, 0);
    fixture_destroy(runtime);
}

static void what_another_shard_frees_comes_home(void **state) {
    struct runtime *runtime = fixture_create(2);
    enum { COUNT = 2000, ROUNDS = 20 };
    size_t block = slab_class_bytes(slab_class_of(sizeof(struct message) + 100));
    for (int i = 0; i < ROUNDS; i++)
        pass_over(runtime, COUNT);
    assert_in_range(runtime->shards[0]->messages.blocks, COUNT,
                    COUNT + SLAB_ADOPTED_BYTES / block + 200);
    fixture_destroy(runtime);
}

static void *destroy_all(void *argument) {
    struct message **messages = argument;
    for (; *messages; messages++)
        message_destroy(*messages);
    return NULL;
}

static void what_another_thread_frees_comes_home(void **state) {
    struct runtime *runtime = fixture_create(1);
    enum { COUNT = 100 };
    struct message *messages[COUNT + 1] = {NULL};
    for (int i = 0; i < COUNT; i++) {
        messages[i] = message_create(KIND, 1000);
        messages[i]->blob = blob_create(i % 2 ? 100 : 100000);
    }
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, destroy_all, messages), 0);
    pthread_join(thread, NULL);
    uint64_t populated = runtime->shards[0]->messages.bytes;
    for (int i = 0; i < 10 * COUNT; i++)
        message_destroy(message_create(KIND, 1000));
    assert_int_equal(runtime->shards[0]->messages.bytes, populated);
    struct runtime_counters counters;
    runtime_counters_read(runtime, &counters);
    assert_int_equal(counters.memory_blob_bytes, 0);
    fixture_destroy(runtime);
}

/* --- lanes: messages on no shard's thread are the heap's and travel by address */

static struct lane *make_lane(void) {
    struct lane *lane = aligned_alloc(64, sizeof *lane);
    memset(lane, 0, sizeof *lane);
    return lane;
}

static uint64_t value_of_entry(uintptr_t entry) {
    struct message *message = lane_entry_message(entry);
    assert_non_null(message);
    uint64_t value = value_of(message);
    message_destroy(message);
    return value;
}

/* Takes what is there; each value is one more than the last. Returns how many. */
static uint64_t take_all(struct lane *lane, struct slab_pool *pool, uint64_t next) {
    uintptr_t entries[LANE_TAKE];
    uint64_t first = next;
    uint32_t count;
    while ((count = lane_take(lane, pool, entries)) != 0)
        for (uint32_t i = 0; i < count; i++)
            assert_int_equal(value_of_entry(entries[i]), next++);
    return next - first;
}

static void order_is_kept(struct lane *lane, struct slab_pool *pool) {
    enum { COUNT = 3 * LANE_ENTRIES_MAX };
    for (uint64_t i = 0; i < COUNT; i++)
        lane_push(lane, message_of(KIND, i));
    assert_true(lane_is_stuck(lane));
    uint64_t next = 0;
    while (next < COUNT) {
        lane_publish(lane);
        uint64_t taken = take_all(lane, pool, next);
        assert_true(taken > 0);
        next += taken;
    }
    assert_false(lane_is_stuck(lane));
    assert_int_equal(lane->spill_count, 0);
}

static void lane_keeps_order_through_its_spill(void **state) {
    struct lane *lane = make_lane();
    order_is_kept(lane, NULL);
    free(lane);
}

static void lane_keeps_order_of_what_it_copies_and_what_it_does_not(void **state) {
    struct runtime *runtime = fixture_create(1);
    struct lane *lane = make_lane();
    order_is_kept(lane, &runtime->shards[0]->messages);
    free(lane);
    fixture_destroy(runtime);
}

static void lane_tells_news_of_what_comes_out_of_its_spill(void **state) {
    struct lane *lane = make_lane();
    uint64_t sent = 0, taken;
    while (lane->spill_count < 10)
        lane_push(lane, message_of(KIND, sent++));
    assert_in_range(sent - 10, LANE_ENTRIES_LEAST, LANE_ENTRIES_MAX);
    assert_true(lane_publish(lane));
    assert_true(lane_is_stuck(lane));
    taken = take_all(lane, NULL, 0);
    assert_int_equal(taken, sent - 10);
    assert_true(lane_publish(lane));
    assert_false(lane_is_stuck(lane));
    assert_false(lane_publish(lane));
    assert_int_equal(take_all(lane, NULL, taken), 10);
    free(lane);
}

/* One, two, ... entries at a time, freed blocks among them, until each line was used often. */
static void lane_carries_batches_of_every_size(void **state) {
    static uint8_t blocks[64] __attribute__((aligned(64)));
    struct lane *lane = make_lane();
    uintptr_t entries[LANE_TAKE];
    uint64_t sent = 0, received = 0, freed = 0, freed_received = 0;
    while (lane->written < 5 * LANE_LINES) {
        unsigned messages = (unsigned)(sent % 71);
        for (unsigned i = 0; i < messages; i++)
            lane_push(lane, message_of(KIND, sent++));
        if (sent % 3 == 0)
            lane_push_freed(lane, blocks, (unsigned)(freed++ % SLAB_CLASSES));
        lane_push(lane, message_of(KIND, sent++));
        assert_true(lane_publish(lane));
        uint32_t count;
        while ((count = lane_take(lane, NULL, entries)) != 0)
            for (uint32_t i = 0; i < count; i++) {
                unsigned class;
                if (lane_entry_message(entries[i])) {
                    assert_int_equal(value_of_entry(entries[i]), received++);
                    continue;
                }
                assert_ptr_equal(lane_entry_block(entries[i], &class), blocks);
                assert_int_equal(class, freed_received++ % SLAB_CLASSES);
            }
        assert_int_equal(received, sent);
        assert_int_equal(freed_received, freed); /* a cell of messages takes them along */
    }
    free(lane);
}

/* Each byte of the payload says which message it is of. */
static struct message *parcel(uint64_t number, size_t bytes) {
    struct message *message = message_create(KIND, bytes);
    message->from.bits = number;
    if (number % 3 == 0)
        message->to_class = (const struct actor_class *)(uintptr_t)number;
    if (number % 5 == 0)
        message->blob = blob_copy_of(&number, sizeof number);
    memset(message_payload(message), (int)number, bytes);
    return message;
}

static void parcel_check(struct message *message, uint64_t number, size_t bytes) {
    const uint8_t *payload = message_payload(message);
    assert_int_equal(message->from.bits, number);
    assert_int_equal(message->payload_bytes, bytes);
    assert_int_equal(message->kind, KIND);
    assert_int_equal((uintptr_t)message->to_class, number % 3 == 0 ? number : 0);
    for (size_t i = 0; i < bytes; i++)
        assert_int_equal(payload[i], (uint8_t)number);
    assert_true((message->blob != NULL) == (number % 5 == 0));
    if (message->blob)
        assert_memory_equal(blob_bytes(message->blob), &number, sizeof number);
}

/* From nothing to more than a cell holds, so that each size meets the end of the ring. */
static void lane_copies_messages_of_every_size_whole(void **state) {
    struct runtime *runtime = fixture_create(1);
    struct slab_pool *pool = &runtime->shards[0]->messages;
    struct lane *lane = make_lane();
    uintptr_t entries[LANE_TAKE];
    uint64_t sent = 0, received = 0;
    enum { SIZES = 301 };
    while (lane->written < 6 * LANE_LINES) {
        for (unsigned i = 0; i <= sent % 9; i++, sent++)
            lane_push(lane, parcel(sent, sent * 7 % SIZES));
        lane_publish(lane);
        uint32_t count;
        while ((count = lane_take(lane, pool, entries)) != 0)
            for (uint32_t i = 0; i < count; i++, received++) {
                parcel_check(lane_entry_message(entries[i]), received, received * 7 % SIZES);
                message_destroy(lane_entry_message(entries[i]));
            }
        assert_int_equal(received, sent);
    }
    free(lane);
    fixture_destroy(runtime);
}

/* Its receiver may be looking: it need not wait for the turn's end. */
static void first_message_of_a_turn_is_there_at_once_and_is_told_at_its_end(void **state) {
    struct runtime *runtime = fixture_create(1);
    struct slab_pool *pool = &runtime->shards[0]->messages;
    struct lane *lane = make_lane();
    for (unsigned turn = 0; turn < 3; turn++) {
        assert_true(lane_is_empty(lane));
        lane_push(lane, message_of(KIND, 0));
        assert_false(lane_is_empty(lane));
        assert_int_equal(take_all(lane, pool, 0), 1);
        for (uint64_t i = 1; i < LANE_BATCH_LINES; i++) {
            lane_push(lane, message_of(KIND, i));
            assert_true(lane_is_empty(lane)); /* the others come together */
        }
        assert_true(lane_publish(lane));
        assert_int_equal(take_all(lane, pool, 1), LANE_BATCH_LINES - 1);
        assert_false(lane_publish(lane));
    }
    free(lane);
    fixture_destroy(runtime);
}

/* Who sends many at once is not in a hurry with each. */
static void turn_that_sends_many_copies_the_first_ones(void **state) {
    struct runtime *runtime = fixture_create(1);
    struct slab_pool *pool = &runtime->shards[0]->messages;
    struct lane *lane = make_lane();
    uintptr_t entries[LANE_TAKE];
    static uintptr_t sent[LANE_COPIES_MAX + 100];
    enum { COUNT = sizeof sent / sizeof sent[0] };
    for (unsigned turn = 0; turn < 2; turn++) {
        for (unsigned i = 0; i < COUNT; i++) {
            struct message *message = message_of(KIND, i);
            sent[i] = (uintptr_t)message;
            lane_push(lane, message);
        }
        lane_publish(lane);
        for (uint32_t taken = 0, count; taken < COUNT; taken += count) {
            count = lane_take(lane, pool, entries);
            for (uint32_t i = 0; i < count; i++) {
                if (taken + i >= LANE_COPIES_MAX)
                    assert_int_equal(entries[i], sent[taken + i]);
                assert_int_equal(value_of_entry(entries[i]), taken + i);
            }
        }
        assert_int_equal(lane->written, (turn + 1) * (LANE_COPIES_MAX + 15)); /* 7 in a line */
    }
    free(lane);
    fixture_destroy(runtime);
}

/* Freed blocks wake nobody; the message behind them must, or both sides sleep for ever. */
static void lane_full_of_freed_blocks_wakes_its_reader(void **state) {
    static uint8_t block[64] __attribute__((aligned(64)));
    struct lane *lane = make_lane();
    uintptr_t entries[LANE_TAKE];
    uint64_t freed = 0, taken = 0, messages = 0;
    uint32_t count;
    for (; !lane_is_stuck(lane); freed++) {
        assert_false(lane_publish(lane));
        lane_push_freed(lane, block, 3);
    }
    assert_in_range(freed, LANE_ENTRIES_LEAST, 2 * LANE_ENTRIES_MAX);
    assert_true(lane_publish(lane));
    lane_push(lane, message_of(KIND, 1));
    assert_true(lane_publish(lane));
    assert_true(lane_is_stuck(lane));
    while (lane_publish(lane) || taken < freed) {
        count = lane_take(lane, NULL, entries);
        for (uint32_t i = 0; i < count; i++)
            if (lane_entry_message(entries[i]))
                messages += value_of_entry(entries[i]);
            else
                taken++;
    }
    assert_false(lane_is_stuck(lane));
    assert_int_equal(messages, 1);
    assert_int_equal(taken, freed);
    free(lane);
}

#define TWO_THREADS_MESSAGES 200000u

/* The writer may not use a line again that the reader may still be copying. */
static void *read_lane(void *argument) {
    struct lane *lane = argument;
    struct slab_pool pool; /* this thread is no shard: what it frees is not used again */
    uintptr_t entries[LANE_TAKE];
    void *failed = NULL;
    slab_init(&pool, NULL, 0);
    for (uint64_t next = 0; next < TWO_THREADS_MESSAGES;) {
        uint32_t count = lane_take(lane, &pool, entries);
        if (!count)
            sched_yield();
        for (uint32_t i = 0; i < count; i++)
            if (value_of_entry(entries[i]) != next++)
                failed = lane;
    }
    slab_finish(&pool);
    return failed;
}

static void order_is_kept_between_two_threads(void) {
    struct lane *lane = make_lane();
    pthread_t thread;
    void *failed;
    assert_int_equal(pthread_create(&thread, NULL, read_lane, lane), 0);
    for (uint64_t i = 0; i < TWO_THREADS_MESSAGES; i++) {
        lane_push(lane, message_of(KIND, i));
        if (map_mix(i) % 40 == 0)
            lane_publish(lane);
    }
    while (lane_publish(lane))
        sched_yield();
    pthread_join(thread, &failed);
    assert_null(failed);
    free(lane);
}

static void lane_keeps_order_between_two_threads(void **state) {
    order_is_kept_between_two_threads();
}

static void lane_that_copies_keeps_order_between_two_threads(void **state) {
    struct runtime *runtime = fixture_create(1);
    order_is_kept_between_two_threads();
    fixture_destroy(runtime);
}

static void map_finds_what_was_put_and_not_what_was_removed(void **state) {
    struct map map = {0};
    static int value;
    for (uint64_t key = 1; key <= 10000; key++)
        map_put(&map, key, (char *)&value + key);
    for (uint64_t key = 1; key <= 10000; key += 2)
        assert_ptr_equal(map_remove(&map, key), (char *)&value + key);
    for (uint64_t key = 1; key <= 10000; key++)
        assert_ptr_equal(map_get(&map, key), key % 2 ? NULL : (char *)&value + key);
    assert_null(map_remove(&map, 1));
    assert_int_equal(map.count, 5000);
    map_finish(&map);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(payload_is_zeroed_also_in_used_memory),
        cmocka_unit_test(memory_is_used_again),
        cmocka_unit_test(size_classes_are_tight_and_in_order),
        cmocka_unit_test(blob_lives_until_its_last_reference),
        cmocka_unit_test(shard_uses_what_it_freed_of_another),
        cmocka_unit_test(what_another_shard_frees_comes_home),
        cmocka_unit_test(what_another_thread_frees_comes_home),
        cmocka_unit_test(lane_keeps_order_through_its_spill),
        cmocka_unit_test(lane_tells_news_of_what_comes_out_of_its_spill),
        cmocka_unit_test(lane_carries_batches_of_every_size),
        cmocka_unit_test(lane_full_of_freed_blocks_wakes_its_reader),
        cmocka_unit_test(lane_keeps_order_of_what_it_copies_and_what_it_does_not),
        cmocka_unit_test(lane_copies_messages_of_every_size_whole),
        cmocka_unit_test(first_message_of_a_turn_is_there_at_once_and_is_told_at_its_end),
        cmocka_unit_test(turn_that_sends_many_copies_the_first_ones),
        cmocka_unit_test(lane_keeps_order_between_two_threads),
        cmocka_unit_test(lane_that_copies_keeps_order_between_two_threads),
        cmocka_unit_test(map_finds_what_was_put_and_not_what_was_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* One message to many: who gets it, in which order, who is told of what was refused, and that
 * nobody sees what another receiver does with it. */
#include "tests/unit/runtime/fixture.h"

#include <errno.h>
#include <string.h>

#define MANY 256u

enum { NUMBER = ACTOR_KIND_FIRST, SPREAD, UNICAST, DO_FIRST, LAST = DO_FIRST };
/* What a receiver does with a number. */
enum habit { READ, KEEP, WRITE, FORWARD, DEFER, FAIL, PASSIVATE, BLOCK };

struct receiver {
    enum habit habit;
    unsigned index;
    struct message *kept;
    bool undeferred;
};

static struct {
    uint64_t values[2 * MANY][8];
    unsigned counts[2 * MANY];
    const void *payloads[2 * MANY];
    const struct blob *blobs[2 * MANY];
    struct actor_id ids[2 * MANY], from;
    unsigned count;        /* ids */
    struct actor_id other; /* FORWARD's */
    unsigned full, gone, reports;
    struct actor_id undelivered[MANY];
    int result;
    bool blob;
} seen;

static void note(struct receiver *receiver, struct message *message) {
    unsigned i = receiver->index;
    seen.values[i][seen.counts[i]++ % 8] = value_of(message);
    seen.payloads[i] = message_payload(message);
    seen.blobs[i] = message->blob;
    seen.from = message->from;
}

static void run_job(struct message *message) {
    (*message_as(message, uint64_t))++;
}

static void on_number(void *state, struct message **message) {
    struct receiver *receiver = state;
    note(receiver, *message);
    switch (receiver->habit) {
    case READ:
        break;
    case KEEP:
        receiver->kept = message_keep(message);
        *message_as(receiver->kept, uint64_t) = 1000;
        break;
    case WRITE:
        message_own(message);
        *message_as(*message, uint64_t) = 2000;
        break;
    case FORWARD:
        seen.result = actor_send(seen.other, message);
        assert_null(*message);
        break;
    case DEFER:
        if (!receiver->undeferred)
            actor_defer(message);
        receiver->undeferred = true;
        actor_undefer();
        break;
    case FAIL:
        actor_fail(7, "as told");
    case PASSIVATE:
        if (seen.counts[receiver->index] == 1)
            actor_stop(ACTOR_PASSIVATED);
        break;
    case BLOCK:
        if (value_of(*message) == 3)
            assert_int_equal(actor_run_blocking(run_job, message), 0);
        break;
    }
}
static int init(void *state, const void *argument) {
    struct receiver *receiver = state;
    if (argument)
        *receiver = *(const struct receiver *)argument;
    else
        *receiver = (struct receiver){.habit = PASSIVATE, .index = (unsigned)actor_key()};
    return 0;
}
static const struct actor_handler receiver_handlers[] = {[NUMBER] = {"number", on_number}};
static const struct actor_class receiver_class = {.name = "receiver",
                                                  .state_bytes = sizeof(struct receiver),
                                                  .init = init,
                                                  .handlers = receiver_handlers,
                                                  .handler_count = NUMBER + 1,
                                                  .mailbox_messages_max = 4};

/* The sender: to everybody what it is told, or to the first only. */
static void on_spread(void *state, struct message **message) {
    struct message *number = message_of(NUMBER, value_of(*message));
    if (seen.blob)
        number->blob = blob_copy_of("shared", 6);
    seen.result = actor_multicast(seen.ids, seen.count, &number);
    assert_null(number);
}
static void on_unicast(void *state, struct message **message) {
    for (unsigned i = 0; i < seen.count; i++)
        fixture_send(seen.ids[i], NUMBER, value_of(*message));
}
static void on_undelivered(void *state, struct message **message) {
    const struct actor_undelivered *undelivered = message_as(*message, struct actor_undelivered);
    assert_int_equal(undelivered->kind, NUMBER);
    for (unsigned i = 0; i < undelivered->count; i++)
        seen.undelivered[seen.full + seen.gone + i] = undelivered->actors[i];
    seen.full += undelivered->full;
    seen.gone += undelivered->count - undelivered->full;
    seen.reports++;
}
static const struct actor_handler sender_handlers[] = {
    [ACTOR_UNDELIVERED] = {"undelivered", on_undelivered},
    [SPREAD] = {"spread", on_spread},
    [UNICAST] = {"unicast", on_unicast}};
static const struct actor_class sender_class = {
    .name = "sender", .handlers = sender_handlers, .handler_count = UNICAST + 1};
/* One that doesn't ask what became of it. */
static const struct actor_handler careless_handlers[] = {[SPREAD] = {"spread", on_spread}};
static const struct actor_class careless_class = {
    .name = "careless", .handlers = careless_handlers, .handler_count = SPREAD + 1};

static struct actor_id spawn(const struct actor_class *class, const void *argument) {
    struct actor_id id;
    assert_int_equal(actor_spawn(class, argument, ACTOR_NOBODY, &id), 0);
    return id;
}
static struct runtime *begin(unsigned shards) {
    memset(&seen, 0, sizeof seen);
    return fixture_create(shards);
}
/* So many receivers on that shard. */
static void add(struct runtime *runtime, unsigned shard, unsigned count, enum habit habit) {
    fixture_enter(runtime, shard);
    for (unsigned i = 0; i < count; i++) {
        struct receiver receiver = {.habit = habit, .index = seen.count};
        seen.ids[seen.count++] = spawn(&receiver_class, &receiver);
    }
    fixture_enter(runtime, 0);
}
/* The two that wait to run do so in this order. */
static void run_in_order(struct shard *shard, struct actor_id first, struct actor_id second) {
    shard->run_head = shard->run_tail = NULL;
    shard_enqueue(shard, shard_actor(shard, first));
    shard_enqueue(shard, shard_actor(shard, second));
}
static void expect(unsigned index, unsigned count, uint64_t last) {
    assert_int_equal(seen.counts[index], count);
    assert_int_equal(seen.values[index][(count - 1) % 8], last);
}

static void all_on_a_shard_get_the_one_message(void **state) {
    struct runtime *runtime = begin(1);
    seen.blob = true;
    add(runtime, 0, MANY, READ);
    struct actor_id sender = spawn(&sender_class, NULL);
    fixture_send(sender, SPREAD, 41);
    fixture_run(runtime);
    assert_int_equal(seen.result, 0);
    for (unsigned i = 0; i < MANY; i++) {
        expect(i, 1, 41);
        assert_ptr_equal(seen.payloads[i], seen.payloads[0]);
        assert_ptr_equal(seen.blobs[i], seen.blobs[0]);
    }
    assert_true(actor_id_equal(seen.from, sender));
    fixture_destroy(runtime);
}

static void other_shards_get_one_envelope_and_the_same_blob(void **state) {
    struct runtime *runtime = begin(3);
    seen.blob = true;
    for (unsigned i = 0; i < 20; i++)
        for (unsigned shard = 0; shard < 3; shard++)
            add(runtime, shard, 1, READ);
    fixture_send(spawn(&sender_class, NULL), SPREAD, 42);
    fixture_run(runtime);
    for (unsigned i = 0; i < 60; i++) {
        expect(i, 1, 42);
        assert_ptr_equal(seen.payloads[i], seen.payloads[i % 3]);
        assert_ptr_equal(seen.blobs[i], seen.blobs[0]);
    }
    struct runtime_counters counters;
    runtime_counters_read(runtime, &counters);
    assert_int_equal(counters.messages_cross_shard, 2);
    fixture_destroy(runtime);
}

static void order_holds_with_single_sends(void **state) {
    struct runtime *runtime = begin(2);
    add(runtime, 0, 2, READ);
    add(runtime, 1, 2, READ);
    struct actor_id sender = spawn(&sender_class, NULL);
    fixture_send(sender, UNICAST, 1);
    fixture_send(sender, SPREAD, 2);
    fixture_send(sender, UNICAST, 3);
    fixture_send(sender, SPREAD, 4);
    fixture_run(runtime);
    for (unsigned i = 0; i < 4; i++)
        for (unsigned k = 0; k < 4; k++)
            assert_int_equal(seen.values[i][k], k + 1);
    fixture_destroy(runtime);
}

static void who_has_no_room_is_named_and_the_others_get_it(void **state) {
    struct runtime *runtime = begin(2);
    add(runtime, 0, 3, READ);
    add(runtime, 1, 3, READ);
    struct actor_id sender = spawn(&sender_class, NULL);
    for (unsigned i = 0; i < 4; i++) {
        fixture_send(seen.ids[1], NUMBER, 0);
        fixture_send(seen.ids[5], NUMBER, 0);
    }
    fixture_send(sender, SPREAD, 9);
    run_in_order(runtime->shards[0], sender, seen.ids[1]);
    fixture_run(runtime);
    assert_int_equal(seen.result, 1);
    assert_int_equal(seen.full, 2);
    assert_int_equal(seen.gone, 0);
    assert_int_equal(seen.reports, 2);
    assert_true(actor_id_equal(seen.undelivered[0], seen.ids[1]));
    assert_true(actor_id_equal(seen.undelivered[1], seen.ids[5]));
    assert_int_equal(fixture_class(runtime, "receiver")->refused, 2);
    expect(0, 1, 9);
    expect(1, 4, 0);
    expect(4, 1, 9);
    expect(5, 4, 0);
    fixture_destroy(runtime);
}

static void who_is_no_more_is_named(void **state) {
    struct runtime *runtime = begin(2);
    add(runtime, 0, 2, READ);
    add(runtime, 1, 2, READ);
    actor_kill(seen.ids[0], ACTOR_KILLED);
    actor_kill(seen.ids[2], ACTOR_KILLED);
    fixture_run(runtime);
    seen.ids[seen.count++] = (struct actor_id){UINT64_MAX}; /* of a node that isn't ours */
    fixture_send(spawn(&sender_class, NULL), SPREAD, 5);
    fixture_run(runtime);
    assert_int_equal(seen.result, 2);
    assert_int_equal(seen.gone, 3);
    assert_int_equal(seen.full, 0);
    assert_int_equal(seen.counts[0] + seen.counts[2], 0);
    expect(1, 1, 5);
    expect(3, 1, 5);
    fixture_destroy(runtime);
}

static void a_receiver_that_ends_before_it_read_it_is_named(void **state) {
    struct runtime *runtime = begin(1);
    add(runtime, 0, 1, FAIL);
    add(runtime, 0, 1, READ);
    struct actor_id sender = spawn(&sender_class, NULL);
    fixture_send(sender, SPREAD, 1);
    fixture_send(sender, SPREAD, 2); /* the first receiver fails at 1 */
    fixture_run(runtime);
    expect(0, 1, 1);
    expect(1, 2, 2);
    assert_int_equal(seen.gone, 1);
    assert_true(actor_id_equal(seen.undelivered[0], seen.ids[0]));
    fixture_destroy(runtime);
}

static void a_sender_that_does_not_ask_is_not_told(void **state) {
    struct runtime *runtime = begin(1);
    add(runtime, 0, 2, READ);
    actor_kill(seen.ids[0], ACTOR_KILLED);
    fixture_run(runtime);
    fixture_send(spawn(&careless_class, NULL), SPREAD, 1);
    fixture_run(runtime);
    assert_int_equal(seen.result, 1);
    assert_int_equal(fixture_class(runtime, "careless")->dead_letters, 0);
    struct runtime_counters counters;
    runtime_counters_read(runtime, &counters);
    assert_int_equal(counters.dead_letters, 1);
    fixture_destroy(runtime);
}

static void what_one_receiver_does_no_other_sees(void **state) {
    struct runtime *runtime = begin(2);
    struct receiver receiver = {.index = MANY};
    seen.blob = true;
    seen.other = spawn(&receiver_class, &receiver);
    for (unsigned shard = 0; shard < 2; shard++)
        for (unsigned habit = KEEP; habit <= FAIL; habit++) {
            add(runtime, shard, 1, (enum habit)habit);
            add(runtime, shard, 1, READ);
        }
    fixture_send(spawn(&sender_class, NULL), SPREAD, 77);
    fixture_run(runtime);
    for (unsigned i = 0; i < seen.count; i++) {
        bool deferred = i % 10 == 6;
        expect(i, deferred ? 2 : 1, 77);
    }
    expect(MANY, 2, 77); /* forwarded, once from each shard */
    fixture_destroy(runtime);
}

static void the_last_receiver_has_it_alone(void **state) {
    struct runtime *runtime = begin(1);
    add(runtime, 0, 1, READ);
    add(runtime, 0, 1, FORWARD);
    struct receiver receiver = {.index = MANY};
    seen.other = spawn(&receiver_class, &receiver);
    fixture_send(spawn(&sender_class, NULL), SPREAD, 3);
    fixture_run(runtime);
    expect(MANY, 1, 3);
    assert_ptr_equal(seen.payloads[MANY], seen.payloads[0]); /* not a copy */
    fixture_destroy(runtime);
}

static void a_job_gets_a_copy(void **state) {
    struct runtime *runtime = begin(1);
    add(runtime, 0, 1, BLOCK);
    add(runtime, 0, 1, READ);
    fixture_send(spawn(&sender_class, NULL), SPREAD, 3);
    for (unsigned i = 0; seen.counts[0] < 2 && i < 100000; i++) {
        fixture_run(runtime);
        sched_yield();
    }
    expect(0, 2, 4);
    expect(1, 1, 3);
    fixture_destroy(runtime);
}

static void waits_for_the_next_activation(void **state) {
    struct runtime *runtime = begin(1);
    struct actor_id sender = spawn(&sender_class, NULL);
    struct message *message = message_of(NUMBER, 0);
    assert_int_equal(actor_send_named(&receiver_class, 5, &message), 0);
    struct class_entry *entry = classes_enter(&runtime->shards[0]->classes, &receiver_class);
    seen.ids[seen.count++] = actor_id_of(registry_find(&runtime->shards[0]->registry, entry, 5));
    add(runtime, 0, 1, READ);
    fixture_send(sender, SPREAD, 1);
    run_in_order(runtime->shards[0], sender, seen.ids[0]);
    fixture_run(runtime);
    expect(5, 2, 1); /* the first activation ended after 0 with 1 unread */
    assert_int_equal(fixture_class(runtime, "receiver")->passivated, 1);
    assert_int_equal(seen.gone + seen.full, 0);
    fixture_destroy(runtime);
}

static void too_many_ids_leave_it_with_the_sender(void **state) {
    static struct actor_id ids[ACTOR_MULTICAST_MAX + 1];
    struct runtime *runtime = begin(1);
    struct message *message = message_of(NUMBER, 1);
    assert_int_equal(actor_multicast(ids, ACTOR_MULTICAST_MAX + 1, &message), -E2BIG);
    assert_non_null(message);
    assert_int_equal(actor_multicast(ids, 0, &message), 0); /* nobody: it is only freed */
    assert_null(message);
    fixture_destroy(runtime);
}

static void what_is_under_way_at_the_end_is_freed(void **state) {
    struct runtime *runtime = begin(2);
    seen.blob = true;
    add(runtime, 0, 3, READ);
    add(runtime, 1, 3, READ);
    fixture_send(spawn(&sender_class, NULL), SPREAD, 1);
    shard_step(runtime->shards[0]); /* here read, there only on its way */
    fixture_destroy(runtime);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_on_a_shard_get_the_one_message),
        cmocka_unit_test(other_shards_get_one_envelope_and_the_same_blob),
        cmocka_unit_test(order_holds_with_single_sends),
        cmocka_unit_test(who_has_no_room_is_named_and_the_others_get_it),
        cmocka_unit_test(who_is_no_more_is_named),
        cmocka_unit_test(a_receiver_that_ends_before_it_read_it_is_named),
        cmocka_unit_test(a_sender_that_does_not_ask_is_not_told),
        cmocka_unit_test(what_one_receiver_does_no_other_sees),
        cmocka_unit_test(the_last_receiver_has_it_alone),
        cmocka_unit_test(a_job_gets_a_copy),
        cmocka_unit_test(waits_for_the_next_activation),
        cmocka_unit_test(too_many_ids_leave_it_with_the_sender),
        cmocka_unit_test(what_is_under_way_at_the_end_is_freed),
    };
    return cmocka_run_group_tests_name("multicast", tests, NULL, NULL);
}

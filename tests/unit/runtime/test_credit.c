/* SPDX-License-Identifier: Apache-2.0 */
/* Credits: what a receiver grants is all that is ever on its way. */
#include "tests/unit/runtime/fixture.h"

#include "runtime/credit.h"

#include <errno.h>
#include <string.h>

enum { ITEM = ACTOR_KIND_FIRST, OPEN, PRODUCE, FAIL };
enum { WINDOW = 8, BOUND = 16 };

static struct {
    struct actor_id producer, consumer;
    bool held;      /* the consumer handles nothing */
    uint64_t wants; /* to be produced */
    uint64_t made, handled, refused, out_of_credit, full;
    uint32_t left; /* of the producer's credits */
    uint64_t deepest;
    uint64_t grants;
} seen;

/* --- the consumer */

static void on_open(void *state, struct message **message) {
    credit_open(state, seen.producer, 7, WINDOW);
}

static void on_item(void *state, struct message **message) {
    if (seen.held) {
        actor_defer(message);
        return;
    }
    uint64_t deep = shard_actor(shard_of_thread, actor_self())->mailbox_count + 1;
    seen.deepest = deep > seen.deepest ? deep : seen.deepest;
    seen.handled++;
    if (actor_id_equal((*message)->from, seen.producer))
        credit_use(state, 1);
}

static void on_fail(void *state, struct message **message) {
    actor_fail(1, "as ordered");
}

static const struct actor_handler consumer_handlers[] = {
    [ITEM] = {"item", on_item}, [OPEN] = {"open", on_open}, [FAIL] = {"fail", on_fail}};
static const struct actor_class consumer_class = {.name = "consumer",
                                                  .state_bytes = sizeof(struct credit_window),
                                                  .handlers = consumer_handlers,
                                                  .handler_count = FAIL + 1,
                                                  .mailbox_messages_max = BOUND};

/* --- the producer */

static void produce(struct credit *credit) {
    while (seen.made < seen.wants) {
        struct message *item = message_of(ITEM, seen.made);
        int error = credit_send(credit, 1, &item);
        message_destroy(item);
        seen.out_of_credit += error == -EAGAIN;
        seen.full += error == -ENOBUFS;
        if (error)
            break;
        seen.made++;
    }
    seen.left = credit->left;
}

static void on_produce(void *state, struct message **message) {
    produce(state);
}

static void on_granted(void *state, struct message **message) {
    assert_int_equal(message_as(*message, struct credit_grant)->key, 7);
    seen.grants++;
    credit_granted(state, *message);
    produce(state);
}

static void on_refused(void *state, struct message **message) {
    seen.refused++;
    seen.made--;
    credit_return(state, (*message)->from, 1);
    seen.left = ((struct credit *)state)->left;
}

static const struct actor_handler producer_handlers[] = {
    [CREDIT_GRANTED] = {"granted", on_granted}, [PRODUCE] = {"produce", on_produce}};
static const struct actor_class producer_class = {.name = "producer",
                                                  .state_bytes = sizeof(struct credit),
                                                  .handlers = producer_handlers,
                                                  .handler_count = PRODUCE + 1,
                                                  .refused = on_refused};

/* --- tests */

static void spawn_consumer(unsigned shard) {
    fixture_enter(shard_of_thread->runtime, shard);
    assert_int_equal(actor_spawn(&consumer_class, NULL, ACTOR_NOBODY, &seen.consumer), 0);
    fixture_enter(shard_of_thread->runtime, 0);
}

/* The producer on shard 0, the consumer on the last. */
static struct runtime *begin(unsigned shards, uint64_t wants) {
    memset(&seen, 0, sizeof seen);
    seen.wants = wants;
    struct runtime *runtime = fixture_create(shards);
    assert_int_equal(actor_spawn(&producer_class, NULL, ACTOR_NOBODY, &seen.producer), 0);
    spawn_consumer(shards - 1);
    return runtime;
}

static void nothing_is_sent_that_was_not_granted(void **state) {
    struct runtime *runtime = begin(1, 5);
    fixture_send(seen.producer, PRODUCE, 0);
    fixture_run(runtime);
    assert_int_equal(seen.made, 0);
    assert_int_equal(seen.out_of_credit, 1);
    fixture_send(seen.consumer, OPEN, 0);
    fixture_run(runtime);
    assert_int_equal(seen.handled, 5);
    assert_int_equal(seen.left, WINDOW - 5 + WINDOW / 2); /* half of it was granted again */
    fixture_destroy(runtime);
}

static void no_more_than_the_window_is_ever_on_its_way(void **state) {
    for (unsigned shards = 1; shards <= 2; shards++) {
        struct runtime *runtime = begin(shards, 10000);
        fixture_send(seen.consumer, OPEN, 0);
        fixture_run(runtime);
        assert_int_equal(seen.handled, 10000);
        assert_in_range(seen.deepest, 1, WINDOW);
        assert_int_equal(seen.refused + seen.full, 0);
        /* The window at first, then one for each half of it. */
        assert_in_range(seen.grants, 10000 / WINDOW, 1 + 10000 / (WINDOW / 2));
        fixture_destroy(runtime);
    }
}

/* Others have filled the mailbox: -ENOBUFS on this shard, a message that comes back from another.
 */
static void a_full_mailbox_spends_no_credit(void **state) {
    for (unsigned shards = 1; shards <= 2; shards++) {
        struct runtime *runtime = begin(shards, 3);
        seen.wants = 0;
        seen.held = true;
        fixture_send(seen.consumer, OPEN, 0);
        fixture_run(runtime);
        for (unsigned i = 0; i < BOUND; i++)
            fixture_send(seen.consumer, ITEM, i); /* from nobody */
        fixture_run(runtime);
        seen.wants = 3;
        fixture_send(seen.producer, PRODUCE, 0);
        fixture_run(runtime);
        assert_int_equal(seen.made, 0);
        assert_int_equal(shards == 1 ? seen.full : seen.refused, shards == 1 ? 1 : 3);
        assert_int_equal(seen.left, WINDOW);
        fixture_destroy(runtime);
    }
}

static void a_receiver_that_was_restarted_begins_anew(void **state) {
    struct runtime *runtime = begin(1, 4);
    fixture_send(seen.consumer, OPEN, 0);
    fixture_run(runtime);
    struct actor_id first = seen.consumer;
    fixture_send(first, FAIL, 0);
    spawn_consumer(0);
    fixture_send(seen.consumer, OPEN, 0);
    fixture_run(runtime);
    seen.wants = 1000;
    fixture_send(seen.producer, PRODUCE, 0);
    fixture_run(runtime);
    assert_int_equal(seen.handled, 1000);
    assert_in_range(seen.deepest, 1, WINDOW); /* not with the first one's credits besides */
    assert_int_equal(seen.refused, 0);
    fixture_destroy(runtime);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_sent_that_was_not_granted),
        cmocka_unit_test(no_more_than_the_window_is_ever_on_its_way),
        cmocka_unit_test(a_full_mailbox_spends_no_credit),
        cmocka_unit_test(a_receiver_that_was_restarted_begins_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

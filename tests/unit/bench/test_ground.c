/* SPDX-License-Identifier: Apache-2.0 */
/* The ground of actors: frames pass the link as they were written, and small runs come out even. */
#include "bench/ground_internal.h"
#include "bench/model.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define PEOPLE 40
#define WAITS_MAX 15000 /* of a millisecond */

/* --- the link --- */

static const uint16_t kinds[] = {
#define FRAME(upper, name, number, direction, doc) WIRE_##upper,
#include "net/wire.def"
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static struct message *message_of(const uint8_t *bytes, size_t length) {
    struct message *message = message_create(LINK_FRAMES, length);
    memcpy(message_payload(message), bytes, length);
    return message;
}

/* Writes each frame that it gets again. */
static void copy(void *context, const struct wire_frame *frame) {
    assert_int_equal(wire_write_frame(context, frame), 0);
}

static void each_frame_comes_out_as_it_went_in_and_in_its_order(void **state) {
    uint8_t bytes[8192], copies[8192];
    struct wire_writer writer = {.bytes = bytes, .capacity = sizeof bytes};
    struct wire_writer copied = {.bytes = copies, .capacity = sizeof copies};
    for (size_t i = 0; i < KINDS; i++) {
        struct wire_frame frame = {.kind = kinds[i], .ref = (uint32_t)i + 1};
        assert_int_equal(wire_write_frame(&writer, &frame), 0);
    }
    struct message *message = message_of(bytes, writer.length);
    assert_int_equal(link_read(message, copy, &copied), 0);
    assert_int_equal(copied.length, writer.length);
    assert_memory_equal(copies, bytes, writer.length);
    message_destroy(message);
}

static void frame_that_is_torn_is_refused_behind_those_before_it(void **state) {
    uint8_t bytes[256], copies[256];
    struct wire_writer writer = {.bytes = bytes, .capacity = sizeof bytes};
    struct wire_writer copied = {.bytes = copies, .capacity = sizeof copies};
    assert_int_equal(wire_write_ping(&writer, 0, &(struct wire_ping){.token = 7}), 0);
    size_t whole = writer.length;
    assert_int_equal(
        wire_write_ack(&writer, 0, &(struct wire_ack){.epoch = 1ull << 40, .up_to = 70000}), 0);
    for (size_t length = whole + 1; length < writer.length; length++) {
        struct message *message = message_of(bytes, length);
        copied.length = 0;
        assert_int_equal(link_read(message, copy, &copied), -EPROTO);
        assert_int_equal(copied.length, whole);
        message_destroy(message);
    }
}

/* --- runs --- */

static struct ground ground;
static uint64_t given;

static void nap(void) {
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void give(enum ground_what what, uint32_t person, uint32_t other) {
    const struct ground_order order = {person, other, what};
    ground_give(&ground, ground_shard_of(&ground, person), &order, 1);
    given++;
}

static void await_done(void) {
    struct ground_counters sum = {0};
    for (int i = 0; i < WAITS_MAX && sum.done < given; i++) {
        nap();
        ground_count(&ground, &sum);
    }
    assert_int_equal(sum.done, given);
    assert_int_equal(ground_check(&ground), 0);
}

static struct ground_class mailboxes(void) {
    struct ground_class counts;
    ground_class_read(&ground, "mailbox", &counts);
    return counts;
}

static void await_passivated(void) {
    for (int i = 0; i < WAITS_MAX && (mailboxes().actors > 0 || ground.node.commits_open > 0); i++)
        nap();
    assert_int_equal(mailboxes().actors, 0);
}

static atomic_int acks_that_fail;

/* A mailbox fails at an acknowledgement. */
static int fail_at_ack(void *context, const struct actor_class *class, uint16_t kind) {
    if (class != &mailbox_class || kind != MAILBOX_ACK || atomic_load(&acks_that_fail) == 0)
        return 0;
    atomic_fetch_sub(&acks_that_fail, 1);
    return ACTOR_FAULT;
}

static int begin(void **state) {
    const struct ground_options options = {.people = PEOPLE, .memory = true, .shards = 2};
    struct ground_counters sum = {0};
    given = 0;
    assert_int_equal(ground_open(&ground, &options, NULL, NULL), 0);
    ground.seams.fault = fail_at_ack;
    assert_int_equal(ground_start(&ground), 0);
    ground_make_people(&ground);
    for (int i = 0; i < WAITS_MAX && sum.people < PEOPLE; i++) {
        nap();
        ground_count(&ground, &sum);
    }
    assert_int_equal(sum.people, PEOPLE);
    return 0;
}

static int end(void **state) {
    ground_close(&ground);
    return 0;
}

static void mail_for_who_is_away_waits_and_is_delivered_once(void **state) {
    struct ground_counters sum;
    uint64_t waiting, waiting_sum;
    give(GROUND_COME, 0, 0);
    for (uint32_t i = 1; i <= 10; i++)
        give(GROUND_WRITE, 0, i % 3 + 1);
    give(GROUND_GO, 0, 0);
    await_done();
    ground_count(&ground, &sum);
    assert_int_equal(sum.accepted, 10);
    assert_int_equal(sum.delivered, 0);
    assert_int_equal(ground_waiting(&ground, &waiting, &waiting_sum), 0);
    assert_int_equal(waiting, 10);
    assert_int_equal(waiting_sum, sum.accepted_sum);
    for (uint32_t i = 1; i <= 3; i++)
        give(GROUND_COME, i, 0);
    await_done();
    for (uint32_t i = 1; i <= 3; i++)
        give(GROUND_GO, i, 0);
    await_done();
    await_passivated();
    ground_count(&ground, &sum);
    assert_int_equal(sum.delivered, 10);
    assert_int_equal(sum.delivered_sum, sum.accepted_sum);
    assert_int_equal(sum.repeated, 0);
    assert_int_equal(ground_waiting(&ground, &waiting, &waiting_sum), 0);
    assert_int_equal(waiting, 0);
    assert_int_equal(mailboxes().spawned, mailboxes().passivated);
    assert_true(mailboxes().spawned >= 4);
}

static void cuts_lose_nothing(void **state) {
    struct ground_counters sum;
    for (uint32_t i = 0; i < PEOPLE; i++)
        give(GROUND_COME, i, 0);
    await_done();
    for (unsigned round = 0; round < 10; round++)
        for (uint32_t i = 0; i < PEOPLE; i++) {
            give(GROUND_WRITE, i, (i + 1 + round) % PEOPLE);
            if ((i + round) % 4 == 0)
                give(GROUND_CUT, i, 0);
        }
    await_done();
    for (uint32_t i = 0; i < PEOPLE; i++)
        give(GROUND_COME, i, 0); /* all mail has come: `empty` was said */
    await_done();
    for (int i = 0; i < WAITS_MAX; i++) {
        ground_count(&ground, &sum);
        if (sum.delivered == sum.accepted)
            break;
        nap();
    }
    assert_int_equal(sum.sent, 10 * PEOPLE);
    assert_int_equal(sum.accepted, sum.sent);
    assert_int_equal(sum.delivered, sum.sent);
    assert_int_equal(sum.delivered_sum, sum.accepted_sum);
    assert_int_equal(sum.connected, PEOPLE);
    assert_true(sum.logins > PEOPLE); /* a cut while one is still entering comes to nothing */
    assert_int_equal(sum.lost, 0);
}

/* It has a new epoch and a new cursor then: the user alone knows that it is the same. */
static void mail_that_comes_again_is_counted_once(void **state) {
    struct ground_counters sum;
    give(GROUND_COME, 0, 0);
    give(GROUND_WRITE, 0, 1); /* who is away: it is stored */
    give(GROUND_GO, 0, 0);
    await_done();
    await_passivated();
    atomic_store(&acks_that_fail, 1);
    give(GROUND_COME, 1, 0);
    await_done();
    give(GROUND_GO, 1, 0);
    await_done();
    await_passivated();
    ground_count(&ground, &sum);
    assert_int_equal(atomic_load(&acks_that_fail), 0);
    assert_int_equal(sum.accepted, 1);
    assert_int_equal(sum.delivered, 1);
    assert_int_equal(sum.delivered_sum, sum.accepted_sum);
    assert_int_equal(sum.repeated, 1);
}

static void orders_to_who_is_away_come_to_nothing(void **state) {
    struct ground_counters sum;
    give(GROUND_WRITE, 3, 4);
    give(GROUND_GO, 3, 0);
    give(GROUND_CUT, 3, 0);
    await_done();
    ground_count(&ground, &sum);
    assert_int_equal(sum.not_sent, 1);
    assert_int_equal(sum.sent, 0);
    assert_int_equal(sum.logins, 0);
}

static void each_message_has_a_number_of_its_own(void **state) {
    uint64_t number = ground_message_number(1, 2, 3);
    assert_int_not_equal(number, ground_message_number(2, 1, 3));
    assert_int_not_equal(number, ground_message_number(1, 3, 2));
    assert_int_not_equal(number, ground_message_number(1, 2, 4));
    assert_int_equal(number, ground_message_number(1, 2, 3));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_frame_comes_out_as_it_went_in_and_in_its_order),
        cmocka_unit_test(frame_that_is_torn_is_refused_behind_those_before_it),
        cmocka_unit_test(each_message_has_a_number_of_its_own),
        cmocka_unit_test_setup_teardown(mail_for_who_is_away_waits_and_is_delivered_once, begin,
                                        end),
        cmocka_unit_test_setup_teardown(cuts_lose_nothing, begin, end),
        cmocka_unit_test_setup_teardown(mail_that_comes_again_is_counted_once, begin, end),
        cmocka_unit_test_setup_teardown(orders_to_who_is_away_come_to_nothing, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

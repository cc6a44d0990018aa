/* SPDX-License-Identifier: Apache-2.0 */
/* An account that fails while what it writes is under way. */
#include "actors/messages.h"
#include "tests/unit/actors/mailbox_fixture.h"

#define ANN 100

static struct phone client;

static int begin(void **state) {
    struct phone *argument = &client;
    hand_setup(state);
    hand_account(ANN, 1);
    client.heard = calloc(HAND_HEARD_MAX, sizeof(*client.heard));
    hand.phones[hand.phone_count++] = &client;
    assert_int_equal(actor_spawn(&probe_class, &argument, ACTOR_NOBODY, &client.connection), 0);
    return 0;
}

/* The pool is busy with a group of the committer's: what is given to it now waits for the next. */
static void hold_the_committer(void) {
    struct write_batch batch;
    write_batch_init(&batch, 4096);
    write_batch_put(&batch, ENGINE_META, (struct engine_bytes){"a", 1},
                    (struct engine_bytes){"1", 1});
    struct engine_bytes bytes = write_batch_bytes(&batch);
    struct message *message = message_create(COMMITTER_COMMIT, sizeof(struct commit_request));
    *message_as(message, struct commit_request) = (struct commit_request){ACTOR_NOBODY, 0, 1};
    message->blob = blob_copy_of(bytes.data, bytes.size);
    write_batch_finish(&batch);
    hand.pool_held = true;
    assert_int_equal(actor_send(hand.committer, &message), 0);
    hand_run();
}

static void fail_at(const struct actor_class *class, uint16_t kind) {
    hand.fault_class = class;
    hand.fault_kind = kind;
    hand.fault_skip = 0;
}

static void ask_devices(uint64_t ref) {
    struct message *message = message_create(ACCOUNT_DEVICES, sizeof(struct account_request));
    *message_as(message, struct account_request) =
        (struct account_request){.connection = client.connection, .ref = ref};
    assert_int_equal(actor_send_named(&account_class, ANN, &message), 0);
    hand_run();
}

/* The first device of the list in the answer. */
static uint32_t device_in(uint64_t ref) {
    struct heard *heard = phone_answer_heard(&client, ref);
    struct wire_devices_body body;
    struct wire_device_key device;
    assert_non_null(heard);
    assert_int_equal(wire_read_devices_body(heard->blob, heard->blob_bytes, &body), PARSE_COMPLETE);
    assert_int_equal(body.devices.count, 1);
    assert_true(wire_next_device_key(&body.devices, &device));
    return device.device;
}

static void an_account_that_follows_one_that_failed_knows_what_that_wrote(void **state) {
    ask_devices(1);
    assert_int_equal(device_in(1), 1);
    hold_the_committer();
    struct message *message =
        message_create(ACCOUNT_REPLACE_DEVICE, sizeof(struct account_replace_device));
    *message_as(message, struct account_replace_device) =
        (struct account_replace_device){.number = client.connection, .key = {9}, .name = "Ann"};
    assert_int_equal(actor_send_named(&account_class, ANN, &message), 0);
    hand_run();
    fail_at(&account_class, ACCOUNT_DEVICES);
    ask_devices(2); /* it fails at this */
    ask_devices(3);
    hand.pool_held = false;
    hand_pass_ms(100);
    assert_null(phone_answer_heard(&client, 2));
    assert_int_equal(device_in(3), 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, hand_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(an_account_that_follows_one_that_failed_knows_what_that_wrote),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A device's life: handshake and pin, heartbeat, ends, when it connects again, bad input. */
#include "net/device_internal.h"
#include "tests/unit/net/owner.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int set_up(void **state) {
    struct owner *owner = malloc(sizeof *owner);
    if (owner == NULL)
        return -1;
    owner_init(owner);
    *state = owner;
    return 0;
}

static int tear_down(void **state) {
    owner_finish(*state);
    free(*state);
    return 0;
}

/* ---------------------------------------------------------------- handshake */

static void handshake_brings_hello_and_takes_welcome(void **state) {
    struct owner *owner = *state;
    owner_connect(owner);
    assert_int_equal(owner->node.stage, FAKE_OPEN);
    assert_memory_equal(owner->node.device_key, owner->identity.public_key, 32);
    assert_int_equal(owner->node.hello.version_max, 1);
    assert_int_equal(owner->node.hello.epoch, 0);
    assert_int_equal(owner->node.hello.send_low, 1);
    assert_int_equal(owner->node.hello.client.length, strlen("test 1"));
    assert_false(device_is_online(owner->device));
    owner_expect(owner, "pin first");

    struct wire_frame welcome = owner_welcome(owner);
    owner_hear(owner, &welcome);
    assert_true(device_is_online(owner->device));
    assert_true(device_is_registered(owner->device));
    assert_int_equal(device_user(owner->device), 42);
    assert_int_equal(device_number(owner->device), 3);
    assert_int_equal(device_discover_phones_max(owner->device), 20);
    owner_expect(owner, "welcome, commit");
}

static void everything_works_one_byte_at_a_time(void **state) {
    struct owner *owner = *state;
    owner->chunk = 1;
    owner_go_online(owner);
    struct wire_frame mail = owner_mail(1, "slowly");
    owner_hear(owner, &mail);
    owner_expect(owner, "mail 1, cursor 1, commit");
    assert_int_equal(fake_node_frame(&owner->node, WIRE_ACK, 0)->ack.up_to, 1);
}

static void idle_device_holds_no_buffer(void **state) {
    struct owner *owner = *state;
    owner_go_online(owner);
    struct wire_frame mail = owner_mail(1, "x");
    owner_hear(owner, &mail);
    assert_null(owner->device->input);
    assert_null(owner->device->output);
    assert_null(owner->device->handshake);
    assert_null(owner->device->pending);
}

static void mail_of_the_greatest_size_arrives_in_pieces(void **state) {
    struct owner *owner = *state;
    char *content = malloc(WIRE_CONTENT_BYTES_MAX + 1);
    assert_non_null(content);
    memset(content, 'c', WIRE_CONTENT_BYTES_MAX);
    content[WIRE_CONTENT_BYTES_MAX] = 0;
    owner_go_online(owner);
    owner->chunk = 1000;
    struct wire_frame mail = owner_mail(1, content);
    owner_hear(owner, &mail);
    owner_expect(owner, "mail 1, cursor 1, commit");
    assert_null(owner->device->input);
    free(content);
}

static void pinned_cluster_is_let_in_without_a_word(void **state) {
    struct owner *owner = *state;
    memcpy(owner->pin, owner->node.cluster_key, 32);
    owner->pinned = 1;
    owner_connect(owner);
    assert_int_equal(owner->node.stage, FAKE_OPEN);
    owner_expect(owner, "");
}

static void another_cluster_than_the_pinned_is_refused_for_good(void **state) {
    struct owner *owner = *state;
    memset(owner->pin, 1, 32);
    owner->pinned = 1;
    owner_connect(owner);
    assert_int_equal(owner->result, -EKEYREJECTED);
    assert_int_equal(owner->node.close_code, WIRE_CLOSE_CERTIFICATE);
    assert_int_equal(owner->pin[0], 1);
    owner_cut(owner);
    owner_expect(owner, "pin changed, closed: another cluster's key -129");
    assert_true(device_reconnect_ms(owner->device) == DEVICE_NEVER);
}

static void unpinned_cluster_is_refused_without_trust_on_first_use(void **state) {
    struct owner *owner = *state;
    owner->storage.pin_save = NULL;
    owner_connect(owner);
    assert_int_equal(owner->result, -EKEYREJECTED);
    owner_expect(owner, "pin changed");
}

static void forged_certificate_pins_nothing(void **state) {
    struct owner *owner = *state;
    owner->node.forge_certificate = true;
    owner_connect(owner);
    assert_int_equal(owner->result, -EKEYREJECTED);
    assert_int_equal(owner->pinned, 0);
    owner_cut(owner);
    assert_int_equal(owner->device->end, DEVICE_END_CERTIFICATE);
    assert_true(device_reconnect_ms(owner->device) != DEVICE_NEVER);
}

static void expired_certificate_is_refused(void **state) {
    struct owner *owner = *state;
    owner->node.certificate_expiry_ms = 1600000000000;
    owner_connect(owner);
    assert_int_equal(owner->result, -EKEYREJECTED);
}

static void storage_that_has_no_pin_to_give_prevents_the_connection(void **state) {
    struct owner *owner = *state;
    struct url url = {.host = "localhost", .port = 7700, .path = "/v1"};
    owner->pinned = -EIO;
    assert_int_equal(device_connect(owner->device, &url, 1, 1), -EIO);
    assert_true(device_is_offline(owner->device));
    owner->pinned = 0;
    assert_int_equal(device_connect(owner->device, &url, 1, 1), 0);
    assert_int_equal(device_connect(owner->device, &url, 1, 1), -EISCONN);
}

static void busy_node_says_when_to_come_again(void **state) {
    struct owner *owner = *state;
    owner->node.refuse_status = 503;
    owner->node.refuse_retry_after_s = 7;
    owner_connect(owner);
    assert_int_equal(owner->result, -ECONNABORTED);
    owner_cut(owner);
    owner_expect(owner, "closed: busy 503");
    assert_true(device_reconnect_ms(owner->device) >= owner->now_ms + 7000);
}

static void what_is_no_node_is_refused(void **state) {
    struct owner *owner = *state;
    owner->node.refuse_status = 404;
    owner_connect(owner);
    assert_int_equal(owner->result, -EPROTO);
    owner_cut(owner);
    owner_expect(owner, "closed: refused 404");
}

static void version_that_we_do_not_speak_is_final(void **state) {
    struct owner *owner = *state;
    owner_connect(owner);
    struct wire_frame welcome = owner_welcome(owner);
    welcome.welcome.version = 2;
    owner_hear(owner, &welcome);
    assert_int_equal(owner->result, -EPROTO);
    owner_cut(owner);
    assert_true(device_reconnect_ms(owner->device) == DEVICE_NEVER);
}

static void handshake_has_a_deadline(void **state) {
    struct owner *owner = *state;
    owner_connect(owner);
    assert_int_equal(device_deadline_ms(owner->device), owner->now_ms + 30000);
    owner_tick(owner, owner->now_ms + 29999);
    assert_int_equal(owner->result, 0);
    owner_tick(owner, owner->now_ms + 1);
    assert_int_equal(owner->result, -ETIMEDOUT);
    assert_int_equal(owner->node.close_code, WIRE_CLOSE_TIMEOUT);
    assert_true(device_deadline_ms(owner->device) == DEVICE_NEVER);
}

/* ---------------------------------------------------------------- heartbeat */

static void quiet_connection_is_pinged(void **state) {
    struct owner *owner = *state;
    owner_go_online(owner);
    uint64_t deadline = device_deadline_ms(owner->device);
    assert_true(deadline > owner->now_ms + 22000 && deadline <= owner->now_ms + 30000);
    owner_tick(owner, deadline - 1);
    assert_int_equal(fake_node_count(&owner->node, WIRE_PING), 0);
    owner_tick(owner, deadline);
    assert_int_equal(fake_node_count(&owner->node, WIRE_PING), 1);
    assert_true(device_deadline_ms(owner->device) > deadline);
}

static void interval_that_a_pong_tells_holds_from_then_on(void **state) {
    struct owner *owner = *state;
    owner_go_online(owner);
    struct wire_frame longer = {.kind = WIRE_PONG, .pong.heartbeat_ms = 280000};
    struct wire_frame plain = {.kind = WIRE_PONG};
    owner_hear(owner, &longer);
    owner_hear(owner, &plain); /* says nothing about it */
    uint64_t deadline = device_deadline_ms(owner->device), heard = owner->now_ms;
    assert_true(deadline > heard + 209000 && deadline <= heard + 280000);
    owner_tick(owner, deadline);
    assert_int_equal(fake_node_count(&owner->node, WIRE_PING), 1);
    owner_tick(owner, heard + 699999);
    assert_int_equal(owner->result, 0);
    owner_tick(owner, heard + 700000);
    assert_int_equal(owner->result, -ETIMEDOUT);
}

static void ping_is_answered(void **state) {
    struct owner *owner = *state;
    owner_go_online(owner);
    struct wire_frame ping = {.kind = WIRE_PING, .ping.token = 99};
    owner_hear(owner, &ping);
    assert_int_equal(fake_node_frame(&owner->node, WIRE_PONG, 0)->pong.token, 99);
    fake_node_say_raw(&owner->node, WEBSOCKET_PING, (const uint8_t *)"hm", 2);
    owner_pump(owner);
    assert_int_equal(owner->node.websocket_pongs, 1);
}

static void silence_of_two_and_a_half_intervals_is_death(void **state) {
    struct owner *owner = *state;
    owner_go_online(owner);
    uint64_t heard = owner->now_ms;
    owner_tick(owner, heard + 40000);
    owner_tick(owner, heard + 74999);
    assert_int_equal(owner->result, 0);
    owner_tick(owner, heard + 75000);
    assert_int_equal(owner->result, -ETIMEDOUT);
    assert_int_equal(owner->node.close_code, WIRE_CLOSE_SILENT);
    owner_cut(owner);
    owner_expect(owner, "closed: silent 0");
}

static void anything_heard_puts_death_off(void **state) {
    struct owner *owner = *state;
    owner_go_online(owner);
    uint64_t begin = owner->now_ms;
    owner_tick(owner, begin + 70000);
    struct wire_frame pong = {.kind = WIRE_PONG};
    owner_hear(owner, &pong);
    owner_tick(owner, begin + 140000);
    assert_int_equal(owner->result, 0);
}

/* ---------------------------------------------------------------- ends */

static void replaced_device_stays_away(void **state) {
    struct owner *owner = *state;
    owner_go_online(owner);
    struct wire_frame notice = {.kind = WIRE_NOTICE, .notice.kind = WIRE_NOTICE_REPLACED};
    owner_hear(owner, &notice);
    owner_cut(owner);
    owner_expect(owner, "notice replaced, closed: replaced 0");
    assert_true(device_reconnect_ms(owner->device) == DEVICE_NEVER);
}

static void close_code_alone_says_enough(void **state) {
    static const struct {
        uint16_t code;
        enum device_end end;
    } cases[] = {
        {WIRE_CLOSE_REPLACED, DEVICE_END_REPLACED}, {WIRE_CLOSE_UNLINKED, DEVICE_END_UNLINKED},
        {WIRE_CLOSE_DRAINING, DEVICE_END_DRAINING}, {WIRE_CLOSE_OVERLOADED, DEVICE_END_BUSY},
        {WIRE_CLOSE_VERSION, DEVICE_END_VERSION},   {WIRE_CLOSE_TIMEOUT, DEVICE_END_HANDSHAKE},
        {WIRE_CLOSE_SILENT, DEVICE_END_SILENT},     {WIRE_CLOSE_BAD_FRAME, DEVICE_END_PROTOCOL},
        {WIRE_CLOSE_INTERNAL, DEVICE_END_LOST},     {1001, DEVICE_END_LOST},
    };
    struct owner *owner = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        owner_go_online(owner);
        fake_node_say_close(&owner->node, cases[i].code);
        owner_pump(owner);
        assert_true(owner->result != 0);
        assert_int_equal(owner->node.close_code, 1000);
        assert_int_equal(owner->device->end, cases[i].end);
        assert_int_equal(owner->device->detail, cases[i].code);
        owner_cut(owner);
        assert_int_equal(device_reconnect_ms(owner->device) == DEVICE_NEVER,
                         device_end_is_final(cases[i].end));
    }
}

static void draining_node_is_left_when_it_said(void **state) {
    struct owner *owner = *state;
    owner_go_online(owner);
    struct wire_frame notice = {.kind = WIRE_NOTICE,
                                .notice = {.kind = WIRE_NOTICE_DRAINING, .when_ms = 500}};
    owner_hear(owner, &notice);
    assert_int_equal(device_deadline_ms(owner->device), owner->now_ms + 500);
    owner_tick(owner, owner->now_ms + 500);
    assert_int_equal(owner->result, -ECONNABORTED);
    assert_int_equal(owner->node.close_code, 1001);
    owner_cut(owner);
    owner_expect(owner, "notice draining, closed: draining 0");
    assert_true(device_reconnect_ms(owner->device) <= owner->now_ms + 500);
}

static void device_says_goodbye(void **state) {
    struct owner *owner = *state;
    owner_go_online(owner);
    fake_node_clear(&owner->node);
    struct wire_frame status = owner_status(1);
    owner_hear(owner, &status);
    assert_int_equal(fake_node_count(&owner->node, WIRE_ACK), 0);
    device_close(owner->device);
    owner_pump(owner);
    assert_int_equal(fake_node_frame(&owner->node, WIRE_ACK, 0)->ack.up_to, 1);
    assert_int_equal(owner->node.close_code, 1000);
    owner_cut(owner);
    assert_int_equal(device_reconnect_ms(owner->device), owner->now_ms);
}

/* ---------------------------------------------------------------- connecting again */

static void waits_grow_with_jitter_and_are_bounded(void **state) {
    struct owner *owner = *state;
    uint64_t most = 500;
    for (int i = 0; i < 20; i++) {
        owner_connect(owner);
        owner_cut(owner);
        uint64_t wait = device_reconnect_ms(owner->device) - owner->now_ms;
        assert_true(wait <= most && wait >= most / 2 - 1);
        most = most * 2 < 60000 ? most * 2 : 60000;
    }
}

static void node_that_cannot_be_reached_is_tried_ever_more_rarely(void **state) {
    struct owner *owner = *state;
    device_disconnected(owner->device, owner->now_ms);
    owner_expect(owner, "closed: lost 0");
    assert_true(device_reconnect_ms(owner->device) <= owner->now_ms + 500);
    for (int i = 0; i < 4; i++)
        device_disconnected(owner->device, owner->now_ms);
    assert_true(device_reconnect_ms(owner->device) >= owner->now_ms + 4000);
}

static void final_end_stays_final(void **state) {
    struct owner *owner = *state;
    owner_go_online(owner);
    fake_node_say_close(&owner->node, WIRE_CLOSE_UNLINKED);
    owner_pump(owner);
    owner_cut(owner);
    owner_expect(owner, "closed: unlinked 4005");
    device_disconnected(owner->device, owner->now_ms);
    owner_expect(owner, "");
    assert_true(device_reconnect_ms(owner->device) == DEVICE_NEVER);
}

static void connection_that_lived_makes_the_next_wait_short(void **state) {
    struct owner *owner = *state;
    for (int i = 0; i < 6; i++) {
        owner_connect(owner);
        owner_cut(owner);
    }
    owner_go_online(owner);
    owner->now_ms += 2000;
    owner_cut(owner);
    assert_true(device_reconnect_ms(owner->device) <= owner->now_ms + 500);
}

/* ---------------------------------------------------------------- bad input */

static void expect_end(struct owner *owner, enum device_end end) {
    owner_pump(owner);
    assert_true(owner->result < 0);
    assert_int_equal(owner->device->end, end);
    assert_int_equal(device_receive(owner->device, (uint8_t[]){0}, 1, owner->now_ms),
                     owner->result);
    owner_cut(owner);
}

static void garbage_instead_of_http_is_refused(void **state) {
    struct owner *owner = *state;
    struct url url = {.host = "localhost", .port = 7700, .path = "/v1"};
    uint8_t garbage[] = "\x16\x03\x01 not http";
    assert_int_equal(device_connect(owner->device, &url, 1, 1), 0);
    assert_int_equal(device_receive(owner->device, garbage, sizeof garbage, 1), -EPROTO);
    assert_int_equal(owner->device->end, DEVICE_END_REFUSED);
}

static void garbage_instead_of_a_handshake_message_is_refused(void **state) {
    struct owner *owner = *state;
    struct url url = {.host = "localhost", .port = 7700, .path = "/v1"};
    uint8_t garbage[200] = {1};
    const uint8_t *bytes;
    assert_int_equal(device_connect(owner->device, &url, 1, 1), 0);
    size_t length = device_output(owner->device, 1, &bytes);
    fake_node_receive(&owner->node, bytes, length);
    device_output_done(owner->device, length);
    fake_node_say_raw(&owner->node, WEBSOCKET_BINARY, garbage, sizeof garbage);
    expect_end(owner, DEVICE_END_HANDSHAKE);
}

static void websocket_garbage_ends_the_connection(void **state) {
    struct owner *owner = *state;
    owner_go_online(owner);
    uint8_t masked[] = {0x82, 0x80, 1, 2, 3, 4}; /* a server doesn't mask */
    memcpy(owner->node.out, masked, sizeof masked);
    owner->node.out_length = sizeof masked;
    expect_end(owner, DEVICE_END_PROTOCOL);
}

static void text_ends_the_connection(void **state) {
    struct owner *owner = *state;
    owner_go_online(owner);
    fake_node_say_raw(&owner->node, WEBSOCKET_TEXT, (const uint8_t *)"hi", 2);
    expect_end(owner, DEVICE_END_PROTOCOL);
}

static void message_that_does_not_decrypt_ends_the_connection(void **state) {
    struct owner *owner = *state;
    uint8_t garbage[64] = {0};
    owner_go_online(owner);
    fake_node_say_raw(&owner->node, WEBSOCKET_BINARY, garbage, sizeof garbage);
    expect_end(owner, DEVICE_END_PROTOCOL);
}

static void plaintext_that_is_no_frame_ends_the_connection(void **state) {
    struct owner *owner = *state;
    owner_go_online(owner);
    fake_node_say_plain(&owner->node, (const uint8_t *)"\xc1", 1);
    owner_pump(owner);
    assert_int_equal(owner->node.close_code, WIRE_CLOSE_BAD_FRAME);
    expect_end(owner, DEVICE_END_PROTOCOL);
}

static void frame_that_only_devices_say_ends_the_connection(void **state) {
    struct owner *owner = *state;
    owner_go_online(owner);
    struct wire_frame frame = {.kind = WIRE_PROFILE, .ref = 1};
    fake_node_say(&owner->node, &frame);
    owner_pump(owner);
    assert_int_equal(owner->node.close_code, WIRE_CLOSE_UNWANTED);
    expect_end(owner, DEVICE_END_PROTOCOL);
}

static void unknown_frame_is_answered_or_passed_over(void **state) {
    struct owner *owner = *state;
    owner_go_online(owner);
    fake_node_say_plain(&owner->node, (const uint8_t *)"\x92\x7f\x05\x91\x7e", 5);
    owner_pump(owner);
    assert_int_equal(owner->result, 0);
    const struct wire_frame *reply = fake_node_frame(&owner->node, WIRE_REPLY, 0);
    assert_int_equal(reply->ref, 5);
    assert_int_equal(reply->reply.code, WIRE_CODE_BAD_REQUEST);
}

static void mail_before_welcome_ends_the_connection(void **state) {
    struct owner *owner = *state;
    owner_connect(owner);
    struct wire_frame mail = owner_mail(1, "too early");
    fake_node_say(&owner->node, &mail);
    expect_end(owner, DEVICE_END_PROTOCOL);
}

static void replayed_message_is_refused(void **state) {
    struct owner *owner = *state;
    uint8_t kept[512];
    owner_go_online(owner);
    struct wire_frame mail = owner_mail(1, "once");
    fake_node_say(&owner->node, &mail);
    size_t length = owner->node.out_length;
    memcpy(kept, owner->node.out, length);
    owner_pump(owner);
    memcpy(owner->node.out, kept, length);
    owner->node.out_length = length;
    expect_end(owner, DEVICE_END_PROTOCOL);
    owner_expect(owner, "mail 1, cursor 1, commit, closed: protocol error -74");
}

/* ---------------------------------------------------------------- ids and clocks */

static void ids_are_of_version_7_and_rise_with_time(void **state) {
    struct owner *owner = *state;
    struct wire_id first, second;
    device_make_id(owner->device, 0x0123456789ab, &first);
    device_make_id(owner->device, 0x0123456789ac, &second);
    assert_memory_equal(first.bytes, "\x01\x23\x45\x67\x89\xab", 6);
    assert_int_equal(first.bytes[6] >> 4, 7);
    assert_int_equal(first.bytes[8] >> 6, 2);
    assert_true(wire_id_compare(&first, &second) < 0);
    device_make_id(owner->device, 0x0123456789ab, &second);
    assert_true(wire_id_compare(&first, &second) != 0);
}

static void clock_is_one_beyond_what_was_heard(void **state) {
    (void)state;
    struct device_clock clock = {0};
    struct wire_send send;
    struct wire_mail mail = {.lamport = 10};
    device_clock_send(&clock, &send);
    assert_true(send.lamport == 1 && send.n == 1);
    device_clock_hear(&clock, &mail);
    device_clock_send(&clock, &send);
    assert_true(send.lamport == 11 && send.n == 2);
    mail.lamport = 3;
    device_clock_hear(&clock, &mail);
    mail.lamport = UINT64_MAX; /* a lie: it would leave no room for anybody */
    device_clock_hear(&clock, &mail);
    device_clock_send(&clock, &send);
    assert_true(send.lamport == 12 && send.n == 3);
}

static void places_are_ordered_by_clock_then_sender_then_id(void **state) {
    (void)state;
    struct device_place places[] = {
        {.lamport = 1, .user = 9, .device = 9, .id = {{9}}},
        {.lamport = 2, .user = 1, .device = 9, .id = {{9}}},
        {.lamport = 2, .user = 2, .device = 1, .id = {{9}}},
        {.lamport = 2, .user = 2, .device = 2, .id = {{1}}},
        {.lamport = 2, .user = 2, .device = 2, .id = {{2}}},
    };
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 5; j++) {
            int order = device_place_compare(&places[i], &places[j]);
            assert_true(i < j ? order < 0 : i > j ? order > 0 : order == 0);
        }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(handshake_brings_hello_and_takes_welcome),
        TEST(everything_works_one_byte_at_a_time),
        TEST(idle_device_holds_no_buffer),
        TEST(mail_of_the_greatest_size_arrives_in_pieces),
        TEST(pinned_cluster_is_let_in_without_a_word),
        TEST(another_cluster_than_the_pinned_is_refused_for_good),
        TEST(unpinned_cluster_is_refused_without_trust_on_first_use),
        TEST(forged_certificate_pins_nothing),
        TEST(expired_certificate_is_refused),
        TEST(storage_that_has_no_pin_to_give_prevents_the_connection),
        TEST(busy_node_says_when_to_come_again),
        TEST(what_is_no_node_is_refused),
        TEST(version_that_we_do_not_speak_is_final),
        TEST(handshake_has_a_deadline),
        TEST(quiet_connection_is_pinged),
        TEST(interval_that_a_pong_tells_holds_from_then_on),
        TEST(ping_is_answered),
        TEST(silence_of_two_and_a_half_intervals_is_death),
        TEST(anything_heard_puts_death_off),
        TEST(replaced_device_stays_away),
        TEST(close_code_alone_says_enough),
        TEST(draining_node_is_left_when_it_said),
        TEST(device_says_goodbye),
        TEST(waits_grow_with_jitter_and_are_bounded),
        TEST(node_that_cannot_be_reached_is_tried_ever_more_rarely),
        TEST(final_end_stays_final),
        TEST(connection_that_lived_makes_the_next_wait_short),
        TEST(garbage_instead_of_http_is_refused),
        TEST(garbage_instead_of_a_handshake_message_is_refused),
        TEST(websocket_garbage_ends_the_connection),
        TEST(text_ends_the_connection),
        TEST(message_that_does_not_decrypt_ends_the_connection),
        TEST(plaintext_that_is_no_frame_ends_the_connection),
        TEST(frame_that_only_devices_say_ends_the_connection),
        TEST(unknown_frame_is_answered_or_passed_over),
        TEST(mail_before_welcome_ends_the_connection),
        TEST(replayed_message_is_refused),
        TEST(ids_are_of_version_7_and_rise_with_time),
        TEST(clock_is_one_beyond_what_was_heard),
        TEST(places_are_ordered_by_clock_then_sender_then_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Noise held against cacophony's vector of our one protocol, in both roles and to its last
 * transport message; then everything that must be refused. Runs at the repository's root, where the
 * vector is found.
 */
#include "net/noise.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#define VECTOR_FILE "tests/data/noise_xx_25519_chachapoly_sha256.txt"
#define MESSAGES_MAX 8
#define VALUE_BYTES_MAX 256

struct value {
    uint8_t bytes[VALUE_BYTES_MAX];
    size_t length;
};

struct vector {
    struct value init_prologue, init_static, init_ephemeral;
    struct value resp_prologue, resp_static, resp_ephemeral;
    struct value handshake_hash;
    struct value payloads[MESSAGES_MAX], ciphertexts[MESSAGES_MAX];
    unsigned messages;
};

static struct vector vector;

static void read_value(const char *hex, struct value *value) {
    assert_int_equal(sodium_hex2bin(value->bytes, sizeof value->bytes, hex, strlen(hex), NULL,
                                    &value->length, NULL),
                     0);
}

static void read_line(const char *name, const char *first, const char *second) {
    const struct {
        const char *name;
        struct value *value;
    } values[] = {
        {"init_prologue", &vector.init_prologue},   {"init_static", &vector.init_static},
        {"init_ephemeral", &vector.init_ephemeral}, {"resp_prologue", &vector.resp_prologue},
        {"resp_static", &vector.resp_static},       {"resp_ephemeral", &vector.resp_ephemeral},
        {"handshake_hash", &vector.handshake_hash},
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        if (strcmp(name, values[i].name) == 0)
            read_value(first, values[i].value);
    }
    if (strcmp(name, "message") == 0) {
        assert_true(vector.messages < MESSAGES_MAX);
        read_value(first, &vector.payloads[vector.messages]);
        read_value(second, &vector.ciphertexts[vector.messages++]);
    }
}

static int read_vector(void **state) {
    char line[1024], name[64], first[512], second[512];
    FILE *file = fopen(VECTOR_FILE, "r");
    if (sodium_init() < 0 || file == NULL) {
        fprintf(stderr, "%s: not found; run at the repository's root\n", VECTOR_FILE);
        return -1;
    }
    while (fgets(line, sizeof line, file) != NULL) {
        if (line[0] != '#' && sscanf(line, "%63s %511s %511s", name, first, second) >= 2)
            read_line(name, first, second);
    }
    fclose(file);
    return vector.messages == 6 ? 0 : -1;
}

static void start(struct noise_handshake *handshake, enum noise_role role) {
    bool initiator = role == NOISE_INITIATOR;
    const struct value *prologue = initiator ? &vector.init_prologue : &vector.resp_prologue;
    struct noise_keypair keys;
    noise_keypair_from_private(&keys,
                               (initiator ? &vector.init_static : &vector.resp_static)->bytes);
    noise_handshake_init(handshake, role, &keys,
                         (initiator ? &vector.init_ephemeral : &vector.resp_ephemeral)->bytes,
                         prologue->bytes, prologue->length);
}

/* One message of the vector from `writer` to `reader`; either may be NULL. */
static void pass_message(unsigned number, struct noise_handshake *writer,
                         struct noise_handshake *reader) {
    const struct value *payload = &vector.payloads[number];
    const struct value *expected = &vector.ciphertexts[number];
    uint8_t message[512], *read;
    size_t length = expected->length, read_bytes;
    if (writer != NULL) {
        assert_true(noise_handshake_may_write(writer));
        assert_int_equal(noise_handshake_write(writer, payload->bytes, payload->length, message,
                                               expected->length, &length),
                         0);
        assert_int_equal(length, expected->length);
        assert_memory_equal(message, expected->bytes, length);
    }
    if (reader != NULL) {
        memcpy(message, expected->bytes, expected->length);
        assert_int_equal(noise_handshake_read(reader, message, length, &read, &read_bytes), 0);
        assert_int_equal(read_bytes, payload->length);
        assert_memory_equal(read, payload->bytes, read_bytes);
    }
}

static void shake_hands(struct noise_transport *initiator_out,
                        struct noise_transport *responder_out) {
    struct noise_handshake initiator, responder;
    start(&initiator, NOISE_INITIATOR);
    start(&responder, NOISE_RESPONDER);
    pass_message(0, &initiator, &responder);
    pass_message(1, &responder, &initiator);
    pass_message(2, &initiator, &responder);
    assert_int_equal(noise_handshake_split(&initiator, initiator_out), 0);
    assert_int_equal(noise_handshake_split(&responder, responder_out), 0);
}

static void handshake_matches_the_vector_in_both_roles(void **state) {
    struct noise_handshake sides[2];
    start(&sides[0], NOISE_INITIATOR);
    start(&sides[1], NOISE_RESPONDER);
    for (unsigned i = 0; i < 3; i++) {
        assert_null(noise_handshake_hash(&sides[0]));
        assert_false(noise_handshake_is_done(&sides[1]));
        pass_message(i, &sides[i % 2], &sides[1 - i % 2]);
    }
    for (unsigned i = 0; i < 2; i++) {
        assert_true(noise_handshake_is_done(&sides[i]));
        assert_memory_equal(noise_handshake_hash(&sides[i]), vector.handshake_hash.bytes, 32);
    }
}

static void transport_matches_the_vector_to_its_end(void **state) {
    struct noise_transport sides[2];
    shake_hands(&sides[0], &sides[1]);
    for (unsigned i = 3; i < vector.messages;
         i++) { /* the responder speaks first after the handshake */
        const struct value *payload = &vector.payloads[i], *expected = &vector.ciphertexts[i];
        uint8_t message[512];
        size_t plain_bytes;
        memcpy(message, payload->bytes, payload->length);
        assert_int_equal(noise_encrypt(&sides[i % 2].send, message, payload->length), 0);
        assert_int_equal(payload->length + NOISE_TAG_BYTES, expected->length);
        assert_memory_equal(message, expected->bytes, expected->length);
        assert_int_equal(
            noise_decrypt(&sides[1 - i % 2].receive, message, expected->length, &plain_bytes), 0);
        assert_int_equal(plain_bytes, payload->length);
        assert_memory_equal(message, payload->bytes, plain_bytes);
    }
}

static void static_keys_are_told_once_they_are_proven(void **state) {
    struct noise_handshake initiator, responder;
    struct noise_keypair keys;
    start(&initiator, NOISE_INITIATOR);
    start(&responder, NOISE_RESPONDER);
    pass_message(0, &initiator, &responder);
    assert_null(noise_handshake_remote_static(&responder));
    pass_message(1, &responder, &initiator);
    assert_null(noise_handshake_remote_static(&responder));
    noise_keypair_from_private(&keys, vector.resp_static.bytes);
    assert_memory_equal(noise_handshake_remote_static(&initiator), keys.public_key, 32);
    pass_message(2, &initiator, &responder);
    noise_keypair_from_private(&keys, vector.init_static.bytes);
    assert_memory_equal(noise_handshake_remote_static(&responder), keys.public_key, 32);
}

static void check_zero(const struct noise_handshake *handshake) {
    static const struct noise_handshake zero;
    assert_memory_equal(&handshake->cipher, &zero.cipher,
                        sizeof zero - offsetof(struct noise_handshake, cipher));
    assert_false(noise_handshake_may_write(handshake));
    assert_false(noise_handshake_is_done(handshake));
    assert_null(noise_handshake_remote_static(handshake));
    assert_null(noise_handshake_hash(handshake));
}

static void split_leaves_no_secret_behind(void **state) {
    struct noise_handshake initiator, responder;
    struct noise_transport transport;
    start(&initiator, NOISE_INITIATOR);
    start(&responder, NOISE_RESPONDER);
    assert_int_equal(noise_handshake_split(&initiator, &transport), -EPROTO);
    for (unsigned i = 0; i < 3; i++)
        pass_message(i, i % 2 ? &responder : &initiator, i % 2 ? &initiator : &responder);
    assert_int_equal(noise_handshake_split(&initiator, &transport), 0);
    check_zero(&initiator);
    assert_int_equal(noise_handshake_split(&initiator, &transport), -EPROTO);
}

/* Every bit of message `number`, then every shorter length, is refused; the reader is then dead. */
static void check_damage_is_refused(unsigned number) {
    size_t length = vector.ciphertexts[number].length;
    for (size_t damage = 0; damage < 9 * length; damage++) {
        struct noise_handshake sides[2], *reader = &sides[1 - number % 2];
        uint8_t *payload = NULL;
        size_t payload_bytes, cut = damage < 8 * length ? length : damage - 8 * length;
        uint8_t *message = malloc(cut + 1); /* one more, for the length of nothing */
        uint8_t zeros[256] = {0};
        assert_non_null(message);
        start(&sides[0], NOISE_INITIATOR);
        start(&sides[1], NOISE_RESPONDER);
        for (unsigned i = 0; i < number; i++)
            pass_message(i, &sides[i % 2], &sides[1 - i % 2]);
        memcpy(message, vector.ciphertexts[number].bytes, cut);
        if (damage < 8 * length)
            message[damage / 8] ^= (uint8_t)(1 << damage % 8);
        assert_int_equal(noise_handshake_read(reader, message, cut, &payload, &payload_bytes),
                         -EBADMSG);
        assert_null(payload);
        assert_memory_equal(message, zeros, cut);
        check_zero(reader);
        assert_int_equal(noise_handshake_read(reader, message, cut, &payload, &payload_bytes),
                         -EPROTO);
        free(message);
    }
}

static void damaged_second_message_is_refused(void **state) {
    check_damage_is_refused(1);
}

static void damaged_third_message_is_refused(void **state) {
    check_damage_is_refused(2);
}

static void another_prologue_is_refused(void **state) {
    struct noise_handshake initiator, responder;
    struct noise_keypair keys;
    uint8_t message[512], *payload;
    size_t length, payload_bytes;
    start(&initiator, NOISE_INITIATOR);
    noise_keypair_from_private(&keys, vector.resp_static.bytes);
    noise_handshake_init(&responder, NOISE_RESPONDER, &keys, vector.resp_ephemeral.bytes,
                         (const uint8_t *)"tern/2", 6);
    pass_message(0, &initiator, &responder);
    assert_int_equal(noise_handshake_write(&responder, NULL, 0, message, sizeof message, &length),
                     0);
    assert_int_equal(noise_handshake_read(&initiator, message, length, &payload, &payload_bytes),
                     -EBADMSG);
}

static void low_order_keys_are_refused(void **state) {
    static const uint8_t low_order[2][NOISE_KEY_BYTES] = {{0}, {1}};
    for (unsigned i = 0; i < 2; i++) {
        struct noise_handshake responder;
        uint8_t message[512], out[512], *payload;
        size_t length, payload_bytes;
        start(&responder, NOISE_RESPONDER);
        memcpy(message, low_order[i], NOISE_KEY_BYTES);
        assert_int_equal(
            noise_handshake_read(&responder, message, NOISE_KEY_BYTES, &payload, &payload_bytes),
            0);
        assert_int_equal(noise_handshake_write(&responder, NULL, 0, out, sizeof out, &length),
                         -EBADMSG);
        check_zero(&responder);
    }
}

static void turns_are_kept(void **state) {
    struct noise_handshake initiator, responder;
    uint8_t message[512], *payload;
    size_t length;
    start(&initiator, NOISE_INITIATOR);
    start(&responder, NOISE_RESPONDER);
    assert_int_equal(noise_handshake_write(&responder, NULL, 0, message, sizeof message, &length),
                     -EPROTO);
    assert_int_equal(noise_handshake_read(&initiator, message, 32, &payload, &length), -EPROTO);
    for (unsigned i = 0; i < 3; i++)
        pass_message(i, i % 2 ? &responder : &initiator, i % 2 ? &initiator : &responder);
    assert_int_equal(noise_handshake_write(&responder, NULL, 0, message, sizeof message, &length),
                     -EPROTO);
    assert_int_equal(noise_handshake_read(&initiator, message, 32, &payload, &length), -EPROTO);
    assert_true(noise_handshake_is_done(&initiator));
}

static void handshake_messages_are_bounded(void **state) {
    static uint8_t payload[NOISE_MESSAGE_BYTES_MAX], message[NOISE_MESSAGE_BYTES_MAX + 1];
    struct noise_handshake initiator, responder;
    uint8_t *read;
    size_t length = 0, most = NOISE_MESSAGE_BYTES_MAX - NOISE_HANDSHAKE_1_OVERHEAD;
    start(&initiator, NOISE_INITIATOR);
    start(&responder, NOISE_RESPONDER);
    assert_int_equal(
        noise_handshake_write(&initiator, payload, most + 1, message, sizeof message, &length),
        -EMSGSIZE);
    assert_int_equal(noise_handshake_write(&initiator, payload, 4, message, 35, &length),
                     -EMSGSIZE);
    assert_int_equal(
        noise_handshake_write(&initiator, payload, most, message, sizeof message, &length), 0);
    assert_int_equal(length, NOISE_MESSAGE_BYTES_MAX);
    assert_int_equal(noise_handshake_read(&responder, message, length, &read, &length), 0);
    assert_int_equal(length, most);
    start(&responder, NOISE_RESPONDER);
    assert_int_equal(noise_handshake_read(&responder, message, sizeof message, &read, &length),
                     -EMSGSIZE);
    check_zero(&responder);
}

static void transport_messages_are_bounded(void **state) {
    static uint8_t bytes[NOISE_MESSAGE_BYTES_MAX + 1];
    struct noise_transport here, there;
    size_t plain_bytes;
    shake_hands(&here, &there);
    assert_int_equal(noise_encrypt(&here.send, bytes, NOISE_PLAINTEXT_BYTES_MAX + 1), -EMSGSIZE);
    assert_int_equal(noise_encrypt(&here.send, bytes, NOISE_PLAINTEXT_BYTES_MAX), 0);
    assert_int_equal(noise_decrypt(&there.receive, bytes, NOISE_MESSAGE_BYTES_MAX, &plain_bytes),
                     0);
    assert_int_equal(plain_bytes, NOISE_PLAINTEXT_BYTES_MAX);
    assert_int_equal(noise_decrypt(&there.receive, bytes, sizeof bytes, &plain_bytes), -EMSGSIZE);
    assert_int_equal(noise_encrypt(&here.send, bytes, 0), 0); /* nothing is a message too */
    assert_int_equal(noise_decrypt(&here.receive, bytes, 15, &plain_bytes), -EBADMSG);
}

/* Sends one message, lets `spoil` happen to it, and expects it to be refused and the direction
 * dead. */
static void check_refused_for_good(void (*spoil)(uint8_t *bytes, struct noise_cipher *receive)) {
    static const struct noise_cipher dead = {.nonce = UINT64_MAX};
    struct noise_transport here, there;
    uint8_t bytes[32] = "sixteen letters.", zeros[32] = {0};
    size_t plain_bytes = 4711;
    shake_hands(&here, &there);
    assert_int_equal(noise_encrypt(&here.send, bytes, 16), 0);
    spoil(bytes, &there.receive);
    assert_int_equal(noise_decrypt(&there.receive, bytes, sizeof bytes, &plain_bytes), -EBADMSG);
    assert_int_equal(plain_bytes, 4711);
    assert_memory_equal(bytes, zeros, sizeof bytes);
    assert_memory_equal(&there.receive, &dead, sizeof dead);
    assert_int_equal(noise_encrypt(&here.send, bytes, 16), 0);
    assert_int_equal(noise_decrypt(&there.receive, bytes, sizeof bytes, &plain_bytes),
                     -EKEYEXPIRED);
}

static void flip(uint8_t *bytes, struct noise_cipher *receive) {
    bytes[3] ^= 1;
}

static void replay(uint8_t *bytes, struct noise_cipher *receive) {
    uint8_t copy[32];
    size_t plain_bytes;
    memcpy(copy, bytes, sizeof copy);
    assert_int_equal(noise_decrypt(receive, copy, sizeof copy, &plain_bytes), 0);
}

static void skip_one(uint8_t *bytes, struct noise_cipher *receive) {
    receive->nonce++;
}

static void damage_replay_and_loss_are_final(void **state) {
    check_refused_for_good(flip);
    check_refused_for_good(replay);
    check_refused_for_good(skip_one);
}

static void the_last_nonce_is_never_used(void **state) {
    struct noise_transport here, there;
    uint8_t bytes[17] = "x";
    size_t plain_bytes;
    shake_hands(&here, &there);
    here.send.nonce = there.receive.nonce = UINT64_MAX - 1;
    assert_int_equal(noise_encrypt(&here.send, bytes, 1), 0);
    assert_int_equal(noise_decrypt(&there.receive, bytes, sizeof bytes, &plain_bytes), 0);
    assert_int_equal(noise_encrypt(&here.send, bytes, 1), -EKEYEXPIRED);
    assert_int_equal(bytes[0], 'x');
    assert_int_equal(noise_decrypt(&there.receive, bytes, sizeof bytes, &plain_bytes),
                     -EKEYEXPIRED);
}

static void finish_zeroes_both_directions(void **state) {
    static const struct noise_cipher dead = {.nonce = UINT64_MAX};
    struct noise_transport here, there;
    shake_hands(&here, &there);
    noise_transport_finish(&here);
    assert_memory_equal(&here.send, &dead, sizeof dead);
    assert_memory_equal(&here.receive, &dead, sizeof dead);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handshake_matches_the_vector_in_both_roles),
        cmocka_unit_test(transport_matches_the_vector_to_its_end),
        cmocka_unit_test(static_keys_are_told_once_they_are_proven),
        cmocka_unit_test(split_leaves_no_secret_behind),
        cmocka_unit_test(damaged_second_message_is_refused),
        cmocka_unit_test(damaged_third_message_is_refused),
        cmocka_unit_test(another_prologue_is_refused),
        cmocka_unit_test(low_order_keys_are_refused),
        cmocka_unit_test(turns_are_kept),
        cmocka_unit_test(handshake_messages_are_bounded),
        cmocka_unit_test(transport_messages_are_bounded),
        cmocka_unit_test(damage_replay_and_loss_are_final),
        cmocka_unit_test(the_last_nonce_is_never_used),
        cmocka_unit_test(finish_zeroes_both_directions),
    };
    return cmocka_run_group_tests_name("noise", tests, read_vector, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Noise handshake and transport with any bytes in place of any message, in both roles. What is
 * not the very message that the other side wrote must be refused, and nothing may be left of the
 * state.
 *
 * Input: one byte says which message is replaced (0 to 2 of the handshake, 3 of the transport), one
 * how (0: by the rest of the input; else the rest is laid over the genuine message), then the rest.
 *
 * Covers: net/noise.c
 */
#include "net/noise.h"
#include "runtime/check.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_MAX 4096

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct noise_keypair keys[2];
static const uint8_t prologue[] = "tern/1";

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    static const uint8_t private_keys[2][NOISE_KEY_BYTES] = {{1}, {2}};
    CHECK(sodium_init() >= 0);
    for (unsigned i = 0; i < 2; i++)
        noise_keypair_from_private(&keys[i], private_keys[i]);
    return 0;
}

/* Lays the fuzzer's bytes over a message, or puts them in its place; returns its length. */
static size_t spoil(uint8_t *message, size_t length, const uint8_t *data, size_t size) {
    if (size == 0)
        return length;
    bool replace = data[0] == 0;
    data++;
    size = size - 1 < MESSAGE_MAX ? size - 1 : MESSAGE_MAX;
    if (replace) {
        memcpy(message, data, size);
        return size;
    }
    for (size_t i = 0; i < size && i < length; i++)
        message[i] ^= data[i];
    return length;
}

/* Reads an exact copy, so that the sanitizer sees its end. */
static int read_exactly(struct noise_handshake *reader, const uint8_t *message, size_t length) {
    uint8_t *copy = malloc(length + 1), *payload;
    size_t payload_bytes;
    CHECK(copy != NULL);
    memcpy(copy + 1, message, length);
    int error = noise_handshake_read(reader, copy + 1, length, &payload, &payload_bytes);
    if (error == 0)
        CHECK(payload >= copy + 1 && payload + payload_bytes <= copy + 1 + length);
    free(copy);
    return error;
}

static void check_transport(struct noise_handshake sides[2], const uint8_t *data, size_t size) {
    struct noise_transport transports[2];
    uint8_t message[MESSAGE_MAX + NOISE_TAG_BYTES] = "plain", genuine[MESSAGE_MAX];
    size_t plain_bytes, length = 5 + NOISE_TAG_BYTES;
    for (unsigned i = 0; i < 2; i++)
        CHECK(noise_handshake_split(&sides[i], &transports[i]) == 0);
    CHECK(noise_encrypt(&transports[0].send, message, 5) == 0);
    memcpy(genuine, message, length);
    size_t spoilt = spoil(message, length, data, size);
    bool same = spoilt == length && memcmp(message, genuine, length) == 0;
    int error = noise_decrypt(&transports[1].receive, message, spoilt, &plain_bytes);
    CHECK((error == 0) == same);
    if (error != 0)
        CHECK(noise_decrypt(&transports[1].receive, genuine, length, &plain_bytes) == -EKEYEXPIRED);
    noise_transport_finish(&transports[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t ephemerals[2][NOISE_KEY_BYTES] = {{3}, {4}};
    struct noise_handshake sides[2];
    if (size < 1)
        return 0;
    for (unsigned i = 0; i < 2; i++)
        noise_handshake_init(&sides[i], i == 0 ? NOISE_INITIATOR : NOISE_RESPONDER, &keys[i],
                             ephemerals[i], prologue, sizeof prologue - 1);
    for (unsigned number = 0; number < 3; number++) {
        struct noise_handshake *writer = &sides[number % 2], *reader = &sides[1 - number % 2];
        uint8_t message[MESSAGE_MAX], genuine[MESSAGE_MAX];
        size_t length;
        int error =
            noise_handshake_write(writer, data, size % 100, message, sizeof message, &length);
        CHECK(error == 0 || (error == -EBADMSG && number > 0)); /* a low-order key before it */
        if (error != 0)
            return 0;
        memcpy(genuine, message, length);
        size_t spoilt = length;
        if (data[0] % 4 == number)
            spoilt = spoil(message, length, data + 1, size - 1);
        error = read_exactly(reader, message, spoilt);
        bool same = spoilt == length && memcmp(message, genuine, length) == 0;
        CHECK(error == 0 || !same);
        CHECK(error != 0 || same || number == 0); /* the first message is not authenticated yet */
        if (error != 0) {
            CHECK(read_exactly(reader, genuine, length) == -EPROTO);
            CHECK(noise_handshake_remote_static(reader) == NULL);
            return 0;
        }
        if (!same) { /* but then the second is not accepted */
            error = noise_handshake_write(reader, NULL, 0, message, sizeof message, &length);
            CHECK(error != 0 || read_exactly(writer, message, length) == -EBADMSG);
            return 0;
        }
    }
    CHECK(memcmp(noise_handshake_hash(&sides[0]), noise_handshake_hash(&sides[1]),
                 NOISE_HASH_BYTES) == 0);
    check_transport(sides, data + 1, data[0] % 4 == 3 ? size - 1 : 0);
    return 0;
}

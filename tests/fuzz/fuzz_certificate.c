/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates of any bytes, and keys of any text. Nothing but what the cluster has signed is good;
 * what is read is written back the same.
 *
 * Covers: net/certificate.c net/key_text.c
 */
#include "net/certificate.h"
#include "net/key_text.h"
#include "runtime/check.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t cluster_key[CERTIFICATE_KEY_BYTES], cluster_secret[CERTIFICATE_SECRET_BYTES];

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    static const uint8_t seed[crypto_sign_SEEDBYTES] = {1};
    CHECK(sodium_init() >= 0);
    crypto_sign_seed_keypair(cluster_key, cluster_secret, seed);
    return 0;
}

/* Reads the bytes as they are: they were signed by nobody whose key we pin. */
static void check_read(const uint8_t *data, size_t size) {
    struct certificate read;
    enum certificate_result result = certificate_read(data, size, &read);
    CHECK(certificate_verify(data, size, cluster_key, cluster_key, 0, NULL) != CERTIFICATE_GOOD);
    CHECK(certificate_result_name(result) != NULL);
    if (result != CERTIFICATE_GOOD)
        return;
    CHECK(certificate_verify(data, size, read.cluster_key, read.node_key, 0, NULL) !=
          CERTIFICATE_WRONG_CLUSTER);

    uint8_t bytes[CERTIFICATE_BYTES_MAX]; /* the same fields, signed by us: equal but for key,
                                             signature */
    int length = certificate_sign(bytes, &read, cluster_secret);
    CHECK((size_t)length == size);
    CHECK(memcmp(bytes + 33, data + 33, size - 33 - CERTIFICATE_SIGNATURE_BYTES) == 0);
    enum certificate_result expected = read.expiry_ms == 0 ? CERTIFICATE_EXPIRED : CERTIFICATE_GOOD;
    CHECK(certificate_verify(bytes, size, cluster_key, read.node_key, 0, NULL) == expected);
}

/* A genuine certificate with the fuzzer's bytes laid over it. */
static void check_altered(const uint8_t *data, size_t size) {
    struct certificate node = {.expiry_ms = 1000, .name = "node"}, read;
    uint8_t bytes[CERTIFICATE_BYTES_MAX], genuine[CERTIFICATE_BYTES_MAX];
    int length = certificate_sign(bytes, &node, cluster_secret);
    CHECK(length > 0);
    memcpy(genuine, bytes, (size_t)length);
    for (size_t i = 0; i < size && i < (size_t)length; i++)
        bytes[i] ^= data[i];
    enum certificate_result result =
        certificate_verify(bytes, (size_t)length, cluster_key, node.node_key, 999, &read);
    CHECK((result == CERTIFICATE_GOOD) == (memcmp(bytes, genuine, (size_t)length) == 0));
}

static void check_text(const uint8_t *data, size_t size) {
    uint8_t key[KEY_TEXT_BYTES] = {0};
    char written[KEY_TEXT_CHARS + 1], *text = malloc(size + 1);
    CHECK(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    if (key_text_parse(text, key) == 0) {
        key_text_format(written, key);
        CHECK(strcasecmp(written, text) == 0);
    }
    free(text);
    memcpy(key, data, size < sizeof key ? size : sizeof key);
    uint8_t read[KEY_TEXT_BYTES];
    key_text_format(written, key);
    CHECK(key_text_parse(written, read) == 0 && memcmp(read, key, sizeof key) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_read(data, size);
    check_altered(data, size);
    check_text(data, size);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A node's certificate: its layout byte by byte, and each way of being wrong told apart. */
#include "net/certificate.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#define EXPIRY 0x0102030405060708u

static uint8_t cluster_key[CERTIFICATE_KEY_BYTES], cluster_secret[CERTIFICATE_SECRET_BYTES];
static uint8_t other_key[CERTIFICATE_KEY_BYTES], other_secret[CERTIFICATE_SECRET_BYTES];
static struct certificate node = {.expiry_ms = EXPIRY, .name = "node-1.eu_West"};

static int make_keys(void **state) {
    uint8_t seed[crypto_sign_SEEDBYTES] = {1};
    if (sodium_init() < 0)
        return -1;
    crypto_sign_seed_keypair(cluster_key, cluster_secret, seed);
    seed[0] = 2;
    crypto_sign_seed_keypair(other_key, other_secret, seed);
    memset(node.node_key, 0xAB, sizeof node.node_key);
    return 0;
}

static size_t sign(uint8_t out[CERTIFICATE_BYTES_MAX]) {
    int length = certificate_sign(out, &node, cluster_secret);
    assert_in_range(length, 1, CERTIFICATE_BYTES_MAX);
    return (size_t)length;
}

/* Verified on an exact copy, so that a sanitizer sees a read past its end. */
static enum certificate_result verify(const uint8_t *bytes, size_t length, uint64_t now_ms) {
    uint8_t *copy = malloc(length + 1);
    assert_non_null(copy);
    uint8_t *exact = copy + 1;
    memcpy(exact, bytes, length);
    enum certificate_result result =
        certificate_verify(exact, length, cluster_key, node.node_key, now_ms, NULL);
    free(copy);
    return result;
}

static void certificate_is_laid_out_as_documented(void **state) {
    static const uint8_t expiry[] = {1, 2, 3, 4, 5, 6, 7, 8};
    uint8_t bytes[CERTIFICATE_BYTES_MAX], text[256];
    size_t length = sign(bytes), name_length = strlen(node.name);
    assert_int_equal(length, 74 + name_length + 64);
    assert_int_equal(bytes[0], 1);
    assert_memory_equal(bytes + 1, cluster_key, 32);
    assert_memory_equal(bytes + 33, node.node_key, 32);
    assert_memory_equal(bytes + 65, expiry, 8);
    assert_int_equal(bytes[73], name_length);
    assert_memory_equal(bytes + 74, node.name, name_length);
    memcpy(text, "tern/1 node certificate", 24); /* with its NUL */
    memcpy(text + 24, bytes, length - 64);
    assert_int_equal(
        crypto_sign_verify_detached(bytes + length - 64, text, 24 + length - 64, cluster_key), 0);
}

static void certificate_is_verified_and_read_back(void **state) {
    uint8_t bytes[CERTIFICATE_BYTES_MAX];
    struct certificate read;
    size_t length = sign(bytes);
    assert_int_equal(
        certificate_verify(bytes, length, cluster_key, node.node_key, EXPIRY - 1, &read),
        CERTIFICATE_GOOD);
    assert_memory_equal(read.cluster_key, cluster_key, sizeof cluster_key);
    assert_memory_equal(read.node_key, node.node_key, sizeof node.node_key);
    assert_int_equal(read.expiry_ms, EXPIRY);
    assert_string_equal(read.name, node.name);
}

static void certificate_expires_at_its_millisecond(void **state) {
    uint8_t bytes[CERTIFICATE_BYTES_MAX];
    size_t length = sign(bytes);
    assert_int_equal(verify(bytes, length, EXPIRY - 1), CERTIFICATE_GOOD);
    assert_int_equal(verify(bytes, length, EXPIRY), CERTIFICATE_EXPIRED);
}

static void certificate_of_another_cluster_or_node_is_told_apart(void **state) {
    uint8_t bytes[CERTIFICATE_BYTES_MAX];
    struct certificate read, untouched;
    memset(&read, 0x5A, sizeof read);
    untouched = read;
    size_t length = sign(bytes);
    assert_int_equal(certificate_verify(bytes, length, other_key, node.node_key, 0, &read),
                     CERTIFICATE_WRONG_CLUSTER);
    assert_int_equal(certificate_verify(bytes, length, cluster_key, other_key, 0, &read),
                     CERTIFICATE_WRONG_NODE);
    assert_memory_equal(&read, &untouched, sizeof read);
}

static void signature_by_another_key_is_forged(void **state) {
    uint8_t bytes[CERTIFICATE_BYTES_MAX];
    int length = certificate_sign(bytes, &node, other_secret);
    memcpy(bytes + 1, cluster_key, 32); /* claims to be ours */
    assert_int_equal(verify(bytes, (size_t)length, 0), CERTIFICATE_FORGED);
}

static void signature_without_the_domain_is_forged(void **state) {
    uint8_t bytes[CERTIFICATE_BYTES_MAX];
    size_t length = sign(bytes);
    crypto_sign_detached(bytes + length - 64, NULL, bytes, length - 64, cluster_secret);
    assert_int_equal(verify(bytes, length, 0), CERTIFICATE_FORGED);
}

static void any_flipped_bit_is_refused(void **state) {
    uint8_t bytes[CERTIFICATE_BYTES_MAX];
    size_t length = sign(bytes);
    for (size_t bit = 0; bit < length * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_not_equal(verify(bytes, length, 0), CERTIFICATE_GOOD);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_int_equal(verify(bytes, length, 0), CERTIFICATE_GOOD);
}

static void every_other_length_is_junk(void **state) {
    uint8_t bytes[CERTIFICATE_BYTES_MAX + 8] = {0};
    size_t length = sign(bytes);
    for (size_t cut = 0; cut < length + 8; cut++) {
        if (cut != length)
            assert_int_equal(verify(bytes, cut, 0), CERTIFICATE_JUNK);
    }
}

static void names_are_bounded_and_plain(void **state) {
    static const char *const bad[] = {"", "a b", "a/b", "a\n", "\xC3\xA9", "a\x7F"};
    uint8_t bytes[CERTIFICATE_BYTES_MAX];
    struct certificate named = node;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        memcpy(named.name, bad[i], strlen(bad[i]) + 1);
        assert_int_equal(certificate_sign(bytes, &named, cluster_secret), -EINVAL);
    }
    memset(named.name, 'n', sizeof named.name); /* no closing NUL */
    assert_int_equal(certificate_sign(bytes, &named, cluster_secret), -EINVAL);
    named.name[CERTIFICATE_NAME_CHARS_MAX] = '\0';
    assert_int_equal(certificate_sign(bytes, &named, cluster_secret), CERTIFICATE_BYTES_MAX);
    assert_int_equal(verify(bytes, CERTIFICATE_BYTES_MAX, 0), CERTIFICATE_GOOD);
    bytes[74] = ' ';
    assert_int_equal(verify(bytes, CERTIFICATE_BYTES_MAX, 0), CERTIFICATE_JUNK);
}

static void first_use_reads_the_cluster_and_then_verifies_with_it(void **state) {
    uint8_t bytes[CERTIFICATE_BYTES_MAX];
    struct certificate read;
    size_t length = sign(bytes);
    assert_int_equal(certificate_read(bytes, length, &read), CERTIFICATE_GOOD);
    assert_int_equal(certificate_verify(bytes, length, read.cluster_key, node.node_key, 0, NULL),
                     CERTIFICATE_GOOD);
}

static void every_result_has_a_name_of_its_own(void **state) {
    for (unsigned i = CERTIFICATE_GOOD; i <= CERTIFICATE_EXPIRED; i++) {
        assert_string_not_equal(certificate_result_name(i), "unknown");
        for (unsigned j = CERTIFICATE_GOOD; j < i; j++)
            assert_string_not_equal(certificate_result_name(i), certificate_result_name(j));
    }
    assert_string_equal(certificate_result_name(CERTIFICATE_EXPIRED + 1), "unknown");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(certificate_is_laid_out_as_documented),
        cmocka_unit_test(certificate_is_verified_and_read_back),
        cmocka_unit_test(certificate_expires_at_its_millisecond),
        cmocka_unit_test(certificate_of_another_cluster_or_node_is_told_apart),
        cmocka_unit_test(signature_by_another_key_is_forged),
        cmocka_unit_test(signature_without_the_domain_is_forged),
        cmocka_unit_test(any_flipped_bit_is_refused),
        cmocka_unit_test(every_other_length_is_junk),
        cmocka_unit_test(names_are_bounded_and_plain),
        cmocka_unit_test(first_use_reads_the_cluster_and_then_verifies_with_it),
        cmocka_unit_test(every_result_has_a_name_of_its_own),
    };
    return cmocka_run_group_tests_name("certificate", tests, make_keys, NULL);
}

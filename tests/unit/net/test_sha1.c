/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-1 held against the test vectors of RFC 3174 section 7.3 and against digests at every padding
 * edge. */
#include "net/sha1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

static void check_digest(const uint8_t *bytes, size_t length, const char *expected) {
    uint8_t digest[SHA1_BYTES];
    char hex[2 * SHA1_BYTES + 1];
    sha1(digest, bytes, length);
    sodium_bin2hex(hex, sizeof hex, digest, sizeof digest);
    assert_string_equal(hex, expected);
}

static void sha1_matches_the_vectors_of_rfc_3174(void **state) {
    static uint8_t million[1000000];
    uint8_t repeated[640];
    memset(million, 'a', sizeof million);
    for (size_t i = 0; i < sizeof repeated; i++)
        repeated[i] = (uint8_t)('0' + i % 8);
    const char *long_text = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    check_digest((const uint8_t *)"abc", 3, "a9993e364706816aba3e25717850c26c9cd0d89d");
    check_digest((const uint8_t *)long_text, 56, "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    check_digest(million, sizeof million, "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
    check_digest(repeated, sizeof repeated, "dea356a2cddd90c7a7ecedc5ebb563934f460452");
}

/* Lengths around one block, where the padding changes from one block to two; digests by sha1sum. */
static void sha1_pads_at_each_edge(void **state) {
    uint8_t bytes[64];
    memset(bytes, 'x', sizeof bytes);
    check_digest(NULL, 0, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    check_digest(bytes, 55, "cef734ba81a024479e09eb5a75b6ddae62e6abf1");
    check_digest(bytes, 56, "901305367c259952f4e7af8323f480d59f81335b");
    check_digest(bytes, 63, "0ddc4e0cccd9a12850deb5abb0853a4425559fec");
    check_digest(bytes, 64, "bb2fa3ee7afb9f54c6dfb5d021f14b1ffe40c163");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha1_matches_the_vectors_of_rfc_3174),
        cmocka_unit_test(sha1_pads_at_each_edge),
    };
    return cmocka_run_group_tests_name("sha1", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Node certificates: the layout of certificate.h, written and read in one place each. */
#include "net/certificate.h"

#include <errno.h>
#include <sodium.h>
#include <stdbool.h>
#include <string.h>

enum { /* offsets */
       AT_VERSION = 0,
       AT_CLUSTER_KEY = 1,
       AT_NODE_KEY = 33,
       AT_EXPIRY = 65,
       AT_NAME_LENGTH = 73,
       AT_NAME = 74,
};

#define SIGNED_BYTES_MAX (sizeof CERTIFICATE_DOMAIN + AT_NAME + CERTIFICATE_NAME_CHARS_MAX)

_Static_assert(CERTIFICATE_SECRET_BYTES == crypto_sign_SECRETKEYBYTES, "Ed25519");
_Static_assert(CERTIFICATE_KEY_BYTES == crypto_sign_PUBLICKEYBYTES, "Ed25519");
_Static_assert(CERTIFICATE_SIGNATURE_BYTES == crypto_sign_BYTES, "Ed25519");

static bool name_is_valid(const char *name, size_t length) {
    for (size_t i = 0; i < length; i++) {
        char c = name[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '-' && c != '_' && c != '.')
            return false;
    }
    return length >= 1 && length <= CERTIFICATE_NAME_CHARS_MAX;
}

/* Puts the domain in front of the body; returns the length of both. */
static size_t signed_text(uint8_t out[SIGNED_BYTES_MAX], const uint8_t *body, size_t body_bytes) {
    memcpy(out, CERTIFICATE_DOMAIN, sizeof CERTIFICATE_DOMAIN);
    memcpy(out + sizeof CERTIFICATE_DOMAIN, body, body_bytes);
    return sizeof CERTIFICATE_DOMAIN + body_bytes;
}

int certificate_sign(uint8_t out[CERTIFICATE_BYTES_MAX], const struct certificate *certificate,
                     const uint8_t cluster_secret[CERTIFICATE_SECRET_BYTES]) {
    size_t name_length = strnlen(certificate->name, sizeof certificate->name);
    if (!name_is_valid(certificate->name, name_length))
        return -EINVAL;
    out[AT_VERSION] = CERTIFICATE_VERSION;
    crypto_sign_ed25519_sk_to_pk(out + AT_CLUSTER_KEY, cluster_secret);
    memcpy(out + AT_NODE_KEY, certificate->node_key, CERTIFICATE_KEY_BYTES);
    for (unsigned i = 0; i < 8; i++)
        out[AT_EXPIRY + i] = (uint8_t)(certificate->expiry_ms >> 8 * (7 - i));
    out[AT_NAME_LENGTH] = (uint8_t)name_length;
    memcpy(out + AT_NAME, certificate->name, name_length);

    uint8_t text[SIGNED_BYTES_MAX];
    size_t text_bytes = signed_text(text, out, AT_NAME + name_length);
    crypto_sign_detached(out + AT_NAME + name_length, NULL, text, text_bytes, cluster_secret);
    return (int)(AT_NAME + name_length + CERTIFICATE_SIGNATURE_BYTES);
}

enum certificate_result certificate_read(const uint8_t *bytes, size_t length,
                                         struct certificate *certificate) {
    if (length < AT_NAME || bytes[AT_VERSION] != CERTIFICATE_VERSION)
        return CERTIFICATE_JUNK;
    size_t name_length = bytes[AT_NAME_LENGTH];
    if (length != AT_NAME + name_length + CERTIFICATE_SIGNATURE_BYTES ||
        !name_is_valid((const char *)bytes + AT_NAME, name_length))
        return CERTIFICATE_JUNK;

    struct certificate read = {0};
    memcpy(read.cluster_key, bytes + AT_CLUSTER_KEY, CERTIFICATE_KEY_BYTES);
    memcpy(read.node_key, bytes + AT_NODE_KEY, CERTIFICATE_KEY_BYTES);
    for (unsigned i = 0; i < 8; i++)
        read.expiry_ms = read.expiry_ms << 8 | bytes[AT_EXPIRY + i];
    memcpy(read.name, bytes + AT_NAME, name_length);
    *certificate = read;
    return CERTIFICATE_GOOD;
}

enum certificate_result certificate_verify(const uint8_t *bytes, size_t length,
                                           const uint8_t cluster_key[CERTIFICATE_KEY_BYTES],
                                           const uint8_t node_key[CERTIFICATE_KEY_BYTES],
                                           uint64_t now_ms, struct certificate *certificate) {
    struct certificate read;
    if (certificate_read(bytes, length, &read) != CERTIFICATE_GOOD)
        return CERTIFICATE_JUNK;
    if (sodium_memcmp(read.cluster_key, cluster_key, CERTIFICATE_KEY_BYTES) != 0)
        return CERTIFICATE_WRONG_CLUSTER;

    uint8_t text[SIGNED_BYTES_MAX];
    size_t body_bytes = length - CERTIFICATE_SIGNATURE_BYTES;
    size_t text_bytes = signed_text(text, bytes, body_bytes);
    if (crypto_sign_verify_detached(bytes + body_bytes, text, text_bytes, cluster_key) != 0)
        return CERTIFICATE_FORGED;
    if (sodium_memcmp(read.node_key, node_key, CERTIFICATE_KEY_BYTES) != 0)
        return CERTIFICATE_WRONG_NODE;
    if (now_ms >= read.expiry_ms)
        return CERTIFICATE_EXPIRED;
    if (certificate != NULL)
        *certificate = read;
    return CERTIFICATE_GOOD;
}

const char *certificate_result_name(enum certificate_result result) {
    static const char *const names[] = {
        [CERTIFICATE_GOOD] = "good",
        [CERTIFICATE_JUNK] = "not a certificate",
        [CERTIFICATE_WRONG_CLUSTER] = "of another cluster",
        [CERTIFICATE_FORGED] = "forged",
        [CERTIFICATE_WRONG_NODE] = "of another node",
        [CERTIFICATE_EXPIRED] = "expired",
    };
    return (unsigned)result < sizeof names / sizeof *names ? names[result] : "unknown";
}

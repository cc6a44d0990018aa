/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's certificate: the cluster's word that a static key is one of its nodes.
 *
 * It rides in handshake message 2. A device pins the cluster's Ed25519 key, so it may change nodes
 * without asking anybody. The cluster's public key is in the certificate too, so that a device that
 * knows none yet (trust on first use) has something to show, and a changed one is told from a
 * forged signature.
 *
 *     offset  bytes  field
 *          0      1  version, 1
 *          1     32  the cluster's Ed25519 public key
 *         33     32  the node's static X25519 public key
 *         65      8  expiry, milliseconds since 1970, big-endian: valid while now < expiry
 *         73      1  length n of the name, 1 to 64
 *         74      n  the node's name: letters, digits, '-', '_', '.'
 *     74 + n     64  Ed25519 signature by the cluster key
 *
 * What is signed is CERTIFICATE_DOMAIN with its closing NUL, then all bytes before the signature.
 * Nothing may follow. The domain keeps the cluster key's signatures for other purposes from passing
 * as this. Pure: the time is passed in. sodium_init() comes first. Any thread.
 */
#ifndef TERN_NET_CERTIFICATE_H
#define TERN_NET_CERTIFICATE_H

#include <stddef.h>
#include <stdint.h>

#define CERTIFICATE_VERSION 1
#define CERTIFICATE_DOMAIN "tern/1 node certificate"
#define CERTIFICATE_NAME_CHARS_MAX 64
#define CERTIFICATE_KEY_BYTES 32    /* an Ed25519 or X25519 public key */
#define CERTIFICATE_SECRET_BYTES 64 /* libsodium's Ed25519 secret key */
#define CERTIFICATE_SIGNATURE_BYTES 64
#define CERTIFICATE_BYTES_MAX (74 + CERTIFICATE_NAME_CHARS_MAX + CERTIFICATE_SIGNATURE_BYTES)

struct certificate {
    uint8_t cluster_key[CERTIFICATE_KEY_BYTES];
    uint8_t node_key[CERTIFICATE_KEY_BYTES];
    uint64_t expiry_ms; /* wall clock */
    char name[CERTIFICATE_NAME_CHARS_MAX + 1];
};

enum certificate_result {
    CERTIFICATE_GOOD,
    CERTIFICATE_JUNK,          /* no certificate of a version that we know */
    CERTIFICATE_WRONG_CLUSTER, /* of another cluster than the pinned one */
    CERTIFICATE_FORGED,        /* names the pinned cluster, but its signature doesn't fit */
    CERTIFICATE_WRONG_NODE,    /* genuine, but for another static key than the handshake's */
    CERTIFICATE_EXPIRED,       /* genuine, but no longer valid */
};

/* The result's name in words for logs and people: "expired". Never NULL. */
const char *certificate_result_name(enum certificate_result result);

/* Signs with the cluster's secret key, whose public half becomes cluster_key; `certificate`'s own
 * cluster_key is not looked at. Returns the length, or -EINVAL: a name that is empty, too long, or
 * has other characters. */
int certificate_sign(uint8_t out[CERTIFICATE_BYTES_MAX], const struct certificate *certificate,
                     const uint8_t cluster_secret[CERTIFICATE_SECRET_BYTES]);

/* Reads the fields and proves nothing: only to learn which cluster is spoken of on first use, and
 * for display. GOOD means well-formed; else JUNK, and `certificate` is untouched. */
enum certificate_result certificate_read(const uint8_t *bytes, size_t length,
                                         struct certificate *certificate);

/* The whole check of a device. `cluster_key`: the pinned one (on first use, certificate_read's).
 * `node_key`: the static key that the handshake has proven. The first that is wrong is the result,
 * in the order of the enumeration; `certificate` (may be NULL) is set when GOOD and untouched
 * otherwise. */
enum certificate_result certificate_verify(const uint8_t *bytes, size_t length,
                                           const uint8_t cluster_key[CERTIFICATE_KEY_BYTES],
                                           const uint8_t node_key[CERTIFICATE_KEY_BYTES],
                                           uint64_t now_ms, struct certificate *certificate);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who a node is: the cluster's signing key, its own Noise key, and the certificate that ties them.
 *
 * A single node makes both keys at its first start, as files of mode 0600 in its data directory:
 * `cluster.key` (32 bytes, the seed of an Ed25519 key pair) and `node.key` (32 bytes, an X25519
 * secret key). Devices pin the cluster key; whoever loses the file loses the cluster's identity.
 */
#ifndef TERN_TOOLS_NODE_IDENTITY_H
#define TERN_TOOLS_NODE_IDENTITY_H

#include "net/certificate.h"

#include <stdbool.h>

struct identity {
    uint8_t cluster_public[32];
    uint8_t noise_secret[32], noise_public[32];
    uint8_t certificate[CERTIFICATE_BYTES_MAX];
    size_t certificate_bytes;
    bool fresh; /* the cluster key was made just now */
};

/* Reads or makes the keys in `data` (which exists) and signs a certificate for `name`. 0, or a
 * negative errno with a sentence in `error`: -EPERM for a key that others can read, -EBADMSG for
 * one of the wrong size. */
int identity_load(const char *data, const char *name, uint64_t now_ms, struct identity *identity,
                  char *error, size_t error_bytes);

#endif

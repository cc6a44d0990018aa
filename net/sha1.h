/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-1 (RFC 3174), for the WebSocket handshake and for nothing else.
 *
 * RFC 6455 proves with it that the other end speaks WebSocket; no secrecy or authenticity rests on
 * it, so that SHA-1 is broken does no harm here. libsodium has no SHA-1, and one digest per
 * connection is no reason to link OpenSSL into the node, hence these few lines of our own.
 */
#ifndef TERN_NET_SHA1_H
#define TERN_NET_SHA1_H

#include <stddef.h>
#include <stdint.h>

#define SHA1_BYTES 20

/* The digest of `length` bytes (at most SIZE_MAX / 8). Pure. */
void sha1(uint8_t digest[SHA1_BYTES], const uint8_t *bytes, size_t length);

#endif

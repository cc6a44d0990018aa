/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Noise_XX_25519_ChaChaPoly_SHA256 (The Noise Protocol Framework, revision 34) on libsodium's
 * primitives.
 *
 *     -> e                     initiator (the device)
 *     <- e, ee, s, es          responder (the node); its payload is the certificate
 *     -> s, se                 the device's static key is its identity; its payload is `hello`
 *
 * A handshake lives in `struct noise_handshake`, some 300 bytes, for one and a half round trips;
 * what is left then is `struct noise_transport`, 80 bytes for a connection's life. Everything is
 * zeroed when it is done with.
 *
 * A Noise message is always whole (WebSocket frames it), so these functions answer 0 or a negative
 * errno:
 *
 * - -EBADMSG: forged, damaged, cut short, or a low-order public key (an all-zero shared secret).
 * - -EMSGSIZE: beyond NOISE_MESSAGE_BYTES_MAX, or beyond the caller's capacity.
 * - -EPROTO: out of turn. The other side is to speak, or the handshake is over, or has failed.
 * - -EKEYEXPIRED: the nonce is used up, or the cipher state was killed by an earlier failure.
 *
 * A failed read or decryption is final: the state is zeroed and refuses everything after, and the
 * message's bytes are zeroed, so that no plaintext stays behind. Close the connection. Only what is
 * out of turn (-EPROTO) changes nothing.
 *
 * Pure: no allocation, no clock; the ephemeral key is the caller's randomness. sodium_init() comes
 * first. One state belongs to one thread at a time.
 */
#ifndef TERN_NET_NOISE_H
#define TERN_NET_NOISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NOISE_KEY_BYTES 32
#define NOISE_HASH_BYTES 32
#define NOISE_TAG_BYTES 16
#define NOISE_MESSAGE_BYTES_MAX 65535 /* section 3 */
#define NOISE_PLAINTEXT_BYTES_MAX (NOISE_MESSAGE_BYTES_MAX - NOISE_TAG_BYTES)

/* What each handshake message has beside its payload: e; e, s and two tags; s and two tags. */
#define NOISE_HANDSHAKE_1_OVERHEAD NOISE_KEY_BYTES
#define NOISE_HANDSHAKE_2_OVERHEAD (2 * NOISE_KEY_BYTES + 2 * NOISE_TAG_BYTES)
#define NOISE_HANDSHAKE_3_OVERHEAD (NOISE_KEY_BYTES + 2 * NOISE_TAG_BYTES)

enum noise_role { NOISE_INITIATOR, NOISE_RESPONDER };

struct noise_keypair {
    uint8_t private_key[NOISE_KEY_BYTES];
    uint8_t public_key[NOISE_KEY_BYTES];
};

/* One direction. No key yet (or no longer): all zero with nonce UINT64_MAX. */
struct noise_cipher {
    uint8_t key[NOISE_KEY_BYTES];
    uint64_t nonce; /* of the next message; UINT64_MAX is never used (section 5.1) */
};

/* A connection after its handshake. */
struct noise_transport {
    struct noise_cipher send;
    struct noise_cipher receive;
};
_Static_assert(sizeof(struct noise_transport) == 80, "a million idle connections rest on it");

/* Only noise.c looks inside. */
struct noise_handshake {
    uint8_t role;
    uint8_t messages_done; /* 0 to 3; NOISE_FAILED after a failure */
    bool has_key;
    bool has_remote_static;
    struct noise_cipher cipher;
    uint8_t chaining_key[NOISE_HASH_BYTES];
    uint8_t hash[NOISE_HASH_BYTES];
    struct noise_keypair local_static;
    struct noise_keypair local_ephemeral;
    uint8_t remote_static[NOISE_KEY_BYTES];
    uint8_t remote_ephemeral[NOISE_KEY_BYTES];
};

/* The pair of this private key (32 random bytes; X25519 clamps them itself). */
void noise_keypair_from_private(struct noise_keypair *pair,
                                const uint8_t private_key[NOISE_KEY_BYTES]);

/* Begins a handshake. `ephemeral_private`: 32 bytes of the caller's randomness, never used twice.
 * The keys and the prologue ("tern/1") are copied. */
void noise_handshake_init(struct noise_handshake *handshake, enum noise_role role,
                          const struct noise_keypair *local_static,
                          const uint8_t ephemeral_private[NOISE_KEY_BYTES], const uint8_t *prologue,
                          size_t prologue_bytes);

/* Is it this side's turn to write? (False as well when the handshake is over or has failed.) */
bool noise_handshake_may_write(const struct noise_handshake *handshake);
/* Have all three messages passed? */
bool noise_handshake_is_done(const struct noise_handshake *handshake);

/* Writes this side's next message around the payload: payload_bytes + NOISE_HANDSHAKE_n_OVERHEAD
 * bytes. The payloads of messages 1 and 2 are readable by, or sent to, somebody not yet
 * authenticated (section 7.7). `payload` may not overlap `out`. */
int noise_handshake_write(struct noise_handshake *handshake, const uint8_t *payload,
                          size_t payload_bytes, uint8_t *out, size_t capacity, size_t *out_bytes);

/* Reads the other side's next message. The payload is decrypted in place: *payload points into
 * `message`. After a failure the message's bytes are zero. */
int noise_handshake_read(struct noise_handshake *handshake, uint8_t *message, size_t message_bytes,
                         uint8_t **payload, size_t *payload_bytes);

/* The other side's static key: after message 2 for the initiator, message 3 for the responder; NULL
 * before. It is proven to be theirs. */
const uint8_t *noise_handshake_remote_static(const struct noise_handshake *handshake);
/* The handshake hash, unique to this session (channel binding, section 11.2); when done, else NULL.
 */
const uint8_t *noise_handshake_hash(const struct noise_handshake *handshake);

/* When done: gives the two cipher states and zeroes the handshake. -EPROTO if it isn't done. */
int noise_handshake_split(struct noise_handshake *handshake, struct noise_transport *transport);
/* Zeroes it, whatever its state. */
void noise_handshake_finish(struct noise_handshake *handshake);

/* Encrypts bytes[0, plain_bytes) in place and appends NOISE_TAG_BYTES behind them, for which there
 * must be room. plain_bytes at most NOISE_PLAINTEXT_BYTES_MAX, else -EMSGSIZE; that and
 * -EKEYEXPIRED leave all as it was. */
int noise_encrypt(struct noise_cipher *cipher, uint8_t *bytes, size_t plain_bytes);
/* Decrypts bytes[0, cipher_bytes) in place; the plaintext is *plain_bytes = cipher_bytes -
 * NOISE_TAG_BYTES. A failure zeroes the bytes and kills the cipher state. */
int noise_decrypt(struct noise_cipher *cipher, uint8_t *bytes, size_t cipher_bytes,
                  size_t *plain_bytes);

/* Zeroes both directions. */
void noise_transport_finish(struct noise_transport *transport);

#endif

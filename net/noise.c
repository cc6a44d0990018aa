/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Noise_XX_25519_ChaChaPoly_SHA256. The layers are those of the specification (section 5): cipher
 * state, symmetric state, handshake state; the pattern is written out as a table of tokens, so that
 * it can be read beside the specification's three lines.
 *
 * Invariants:
 *   1. A cipher's nonce is used once: it rises with each success, and a failure ends the cipher.
 *   2. A handshake that has failed holds zeros only, apart from its role and NOISE_FAILED.
 *   3. remote_static is told to nobody before the message that proves it was read whole.
 */
#include "net/noise.h"

#include "runtime/check.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#define MESSAGES 3
#define TOKENS_MAX 4
#define NOISE_FAILED UINT8_MAX
#define SEALED_KEY_BYTES (NOISE_KEY_BYTES + NOISE_TAG_BYTES)

_Static_assert(NOISE_KEY_BYTES == crypto_scalarmult_BYTES, "X25519");
_Static_assert(NOISE_KEY_BYTES == crypto_aead_chacha20poly1305_ietf_KEYBYTES, "ChaChaPoly");
_Static_assert(NOISE_TAG_BYTES == crypto_aead_chacha20poly1305_ietf_ABYTES, "ChaChaPoly");
_Static_assert(NOISE_HASH_BYTES == crypto_hash_sha256_BYTES, "SHA256");
_Static_assert(NOISE_HASH_BYTES == crypto_auth_hmacsha256_BYTES, "SHA256");

enum token { TOKEN_END, TOKEN_E, TOKEN_S, TOKEN_EE, TOKEN_ES, TOKEN_SE };

static const char protocol_name[] = "Noise_XX_25519_ChaChaPoly_SHA256";
_Static_assert(sizeof protocol_name - 1 == NOISE_HASH_BYTES, "it is the first hash as it stands");

/* XX (section 7.5); the initiator writes the first and the third. */
static const uint8_t pattern[MESSAGES][TOKENS_MAX + 1] = {
    {TOKEN_E},
    {TOKEN_E, TOKEN_EE, TOKEN_S, TOKEN_ES},
    {TOKEN_S, TOKEN_SE},
};

/* What the tokens of each message cost beside the payload. */
static const size_t overhead[MESSAGES] = {
    NOISE_HANDSHAKE_1_OVERHEAD,
    NOISE_HANDSHAKE_2_OVERHEAD,
    NOISE_HANDSHAKE_3_OVERHEAD,
};

/* ---- Cipher state (section 5.1) ---- */

static void cipher_start(struct noise_cipher *cipher, const uint8_t key[NOISE_KEY_BYTES]) {
    memcpy(cipher->key, key, NOISE_KEY_BYTES);
    cipher->nonce = 0;
}

static void cipher_kill(struct noise_cipher *cipher) {
    sodium_memzero(cipher->key, sizeof cipher->key);
    cipher->nonce = UINT64_MAX;
}

/* 32 bits of zeros, then the counter, little-endian (section 12.3). */
static void nonce_bytes(uint8_t out[crypto_aead_chacha20poly1305_ietf_NPUBBYTES], uint64_t nonce) {
    memset(out, 0, 4);
    for (unsigned i = 0; i < 8; i++)
        out[4 + i] = (uint8_t)(nonce >> 8 * i);
}

/* Both work in place, on `length` bytes of plaintext with the tag behind. */
static int cipher_seal(struct noise_cipher *cipher, const uint8_t *associated,
                       size_t associated_bytes, uint8_t *bytes, size_t length) {
    uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];
    if (cipher->nonce == UINT64_MAX)
        return -EKEYEXPIRED;
    nonce_bytes(nonce, cipher->nonce++);
    crypto_aead_chacha20poly1305_ietf_encrypt_detached(bytes, bytes + length, NULL, bytes, length,
                                                       associated, associated_bytes, NULL, nonce,
                                                       cipher->key);
    return 0;
}

static int cipher_open(struct noise_cipher *cipher, const uint8_t *associated,
                       size_t associated_bytes, uint8_t *bytes, size_t length) {
    uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];
    if (cipher->nonce == UINT64_MAX)
        return -EKEYEXPIRED;
    nonce_bytes(nonce, cipher->nonce);
    if (crypto_aead_chacha20poly1305_ietf_decrypt_detached(
            bytes, NULL, bytes, length, bytes + length, associated, associated_bytes, nonce,
            cipher->key) != 0)
        return -EBADMSG;
    cipher->nonce++;
    return 0;
}

int noise_encrypt(struct noise_cipher *cipher, uint8_t *bytes, size_t plain_bytes) {
    if (plain_bytes > NOISE_PLAINTEXT_BYTES_MAX)
        return -EMSGSIZE;
    return cipher_seal(cipher, NULL, 0, bytes, plain_bytes);
}

int noise_decrypt(struct noise_cipher *cipher, uint8_t *bytes, size_t cipher_bytes,
                  size_t *plain_bytes) {
    int error = 0;
    if (cipher_bytes > NOISE_MESSAGE_BYTES_MAX)
        error = -EMSGSIZE;
    else if (cipher_bytes < NOISE_TAG_BYTES)
        error = -EBADMSG;
    else
        error = cipher_open(cipher, NULL, 0, bytes, cipher_bytes - NOISE_TAG_BYTES);
    if (error != 0) {
        sodium_memzero(bytes, cipher_bytes);
        cipher_kill(cipher);
        return error;
    }
    *plain_bytes = cipher_bytes - NOISE_TAG_BYTES;
    return 0;
}

void noise_transport_finish(struct noise_transport *transport) {
    cipher_kill(&transport->send);
    cipher_kill(&transport->receive);
}

/* ---- Symmetric state (section 5.2) ---- */

/* HKDF with two outputs (section 4.3): HMAC chains, because libsodium 1.0.18 has no HKDF. */
static void derive_two(const uint8_t chaining_key[NOISE_HASH_BYTES], const uint8_t *material,
                       size_t material_bytes, uint8_t first[NOISE_HASH_BYTES],
                       uint8_t second[NOISE_HASH_BYTES]) {
    uint8_t secret[NOISE_HASH_BYTES], chained[NOISE_HASH_BYTES + 1];
    crypto_auth_hmacsha256_state hmac;
    crypto_auth_hmacsha256_init(&hmac, chaining_key, NOISE_HASH_BYTES);
    crypto_auth_hmacsha256_update(&hmac, material, material_bytes);
    crypto_auth_hmacsha256_final(&hmac, secret);

    chained[0] = 1;
    crypto_auth_hmacsha256(first, chained, 1, secret);
    memcpy(chained, first, NOISE_HASH_BYTES);
    chained[NOISE_HASH_BYTES] = 2;
    crypto_auth_hmacsha256(second, chained, sizeof chained, secret);
    sodium_memzero(&hmac, sizeof hmac);
    sodium_memzero(secret, sizeof secret);
    sodium_memzero(chained, sizeof chained);
}

static void mix_hash(struct noise_handshake *handshake, const uint8_t *bytes, size_t length) {
    crypto_hash_sha256_state sha256;
    crypto_hash_sha256_init(&sha256);
    crypto_hash_sha256_update(&sha256, handshake->hash, NOISE_HASH_BYTES);
    crypto_hash_sha256_update(&sha256, bytes, length);
    crypto_hash_sha256_final(&sha256, handshake->hash);
}

static void mix_key(struct noise_handshake *handshake, const uint8_t secret[NOISE_KEY_BYTES]) {
    uint8_t chaining_key[NOISE_HASH_BYTES], key[NOISE_HASH_BYTES];
    derive_two(handshake->chaining_key, secret, NOISE_KEY_BYTES, chaining_key, key);
    memcpy(handshake->chaining_key, chaining_key, NOISE_HASH_BYTES);
    cipher_start(&handshake->cipher, key);
    handshake->has_key = true;
    sodium_memzero(chaining_key, sizeof chaining_key);
    sodium_memzero(key, sizeof key);
}

/* EncryptAndHash in place; returns how many bytes the result is. */
static size_t seal_and_hash(struct noise_handshake *handshake, uint8_t *bytes, size_t length) {
    size_t sealed_bytes = length;
    if (handshake->has_key) {
        int error =
            cipher_seal(&handshake->cipher, handshake->hash, NOISE_HASH_BYTES, bytes, length);
        CHECK(error == 0); /* the nonce is small: each key of a handshake seals twice at most */
        sealed_bytes += NOISE_TAG_BYTES;
    }
    mix_hash(handshake, bytes, sealed_bytes);
    return sealed_bytes;
}

/* DecryptAndHash in place, of `length` bytes of plaintext and the tag, if there is one. */
static int open_and_hash(struct noise_handshake *handshake, uint8_t *bytes, size_t length) {
    uint8_t hash_before[NOISE_HASH_BYTES]; /* the ciphertext is hashed, and gone once opened */
    memcpy(hash_before, handshake->hash, NOISE_HASH_BYTES);
    mix_hash(handshake, bytes, length + (handshake->has_key ? NOISE_TAG_BYTES : 0));
    if (!handshake->has_key)
        return 0;
    return cipher_open(&handshake->cipher, hash_before, NOISE_HASH_BYTES, bytes, length);
}

/* ---- Handshake state (section 5.3) ---- */

void noise_keypair_from_private(struct noise_keypair *pair,
                                const uint8_t private_key[NOISE_KEY_BYTES]) {
    memmove(pair->private_key, private_key, NOISE_KEY_BYTES);
    crypto_scalarmult_base(pair->public_key, pair->private_key);
}

void noise_handshake_init(struct noise_handshake *handshake, enum noise_role role,
                          const struct noise_keypair *local_static,
                          const uint8_t ephemeral_private[NOISE_KEY_BYTES], const uint8_t *prologue,
                          size_t prologue_bytes) {
    memset(handshake, 0, sizeof *handshake);
    handshake->role = (uint8_t)role;
    handshake->local_static = *local_static;
    noise_keypair_from_private(&handshake->local_ephemeral, ephemeral_private);
    memcpy(handshake->hash, protocol_name, NOISE_HASH_BYTES);
    memcpy(handshake->chaining_key, protocol_name, NOISE_HASH_BYTES);
    mix_hash(handshake, prologue, prologue_bytes);
}

void noise_handshake_finish(struct noise_handshake *handshake) {
    uint8_t role = handshake->role;
    sodium_memzero(handshake, sizeof *handshake);
    handshake->role = role;
    handshake->messages_done = NOISE_FAILED;
}

static int fail(struct noise_handshake *handshake, int error) {
    noise_handshake_finish(handshake);
    return error;
}

bool noise_handshake_may_write(const struct noise_handshake *handshake) {
    uint8_t writer = handshake->messages_done % 2 == 0 ? NOISE_INITIATOR : NOISE_RESPONDER;
    return handshake->messages_done < MESSAGES && writer == handshake->role;
}

static bool may_read(const struct noise_handshake *handshake) {
    return handshake->messages_done < MESSAGES && !noise_handshake_may_write(handshake);
}

bool noise_handshake_is_done(const struct noise_handshake *handshake) {
    return handshake->messages_done == MESSAGES;
}

/* ee, es, se: the first letter is the initiator's key. -EBADMSG: the shared secret would be zero.
 */
static int mix_shared_secret(struct noise_handshake *handshake, enum token token) {
    bool initiator = handshake->role == NOISE_INITIATOR;
    bool local_is_static = token == (initiator ? TOKEN_SE : TOKEN_ES);
    bool remote_is_static = token == (initiator ? TOKEN_ES : TOKEN_SE);
    const struct noise_keypair *local =
        local_is_static ? &handshake->local_static : &handshake->local_ephemeral;
    const uint8_t *remote =
        remote_is_static ? handshake->remote_static : handshake->remote_ephemeral;
    uint8_t secret[NOISE_KEY_BYTES];
    if (crypto_scalarmult(secret, local->private_key, remote) != 0)
        return -EBADMSG;
    mix_key(handshake, secret);
    sodium_memzero(secret, sizeof secret);
    return 0;
}

/* Writes what a token puts into the message, none for the three secrets. Negative: -EBADMSG. */
static int write_token(struct noise_handshake *handshake, enum token token, uint8_t *out) {
    switch (token) {
    case TOKEN_E:
        memcpy(out, handshake->local_ephemeral.public_key, NOISE_KEY_BYTES);
        mix_hash(handshake, out, NOISE_KEY_BYTES);
        return NOISE_KEY_BYTES;
    case TOKEN_S:
        memcpy(out, handshake->local_static.public_key, NOISE_KEY_BYTES);
        return (int)seal_and_hash(handshake, out, NOISE_KEY_BYTES);
    default:
        return mix_shared_secret(handshake, token);
    }
}

int noise_handshake_write(struct noise_handshake *handshake, const uint8_t *payload,
                          size_t payload_bytes, uint8_t *out, size_t capacity, size_t *out_bytes) {
    if (!noise_handshake_may_write(handshake))
        return -EPROTO;
    size_t other_bytes = overhead[handshake->messages_done];
    if (payload_bytes > NOISE_MESSAGE_BYTES_MAX - other_bytes ||
        capacity < other_bytes + payload_bytes)
        return -EMSGSIZE;

    size_t at = 0;
    const uint8_t *tokens = pattern[handshake->messages_done];
    for (; *tokens != TOKEN_END; tokens++) {
        int written = write_token(handshake, *tokens, out + at);
        if (written < 0)
            return fail(handshake, written);
        at += (size_t)written;
    }
    if (payload_bytes > 0)
        memcpy(out + at, payload, payload_bytes);
    at += seal_and_hash(handshake, out + at, payload_bytes);
    CHECK(at == other_bytes + payload_bytes);
    handshake->messages_done++;
    *out_bytes = at;
    return 0;
}

/* The whole length has been checked. Returns what was taken from the message, or -EBADMSG. */
static int read_token(struct noise_handshake *handshake, enum token token, uint8_t *message) {
    switch (token) {
    case TOKEN_E:
        memcpy(handshake->remote_ephemeral, message, NOISE_KEY_BYTES);
        mix_hash(handshake, message, NOISE_KEY_BYTES);
        return NOISE_KEY_BYTES;
    case TOKEN_S:
        if (open_and_hash(handshake, message, NOISE_KEY_BYTES) != 0)
            return -EBADMSG;
        memcpy(handshake->remote_static, message, NOISE_KEY_BYTES);
        return SEALED_KEY_BYTES;
    default:
        return mix_shared_secret(handshake, token);
    }
}

static int read_message(struct noise_handshake *handshake, uint8_t *message, size_t message_bytes,
                        size_t *payload_at) {
    const uint8_t *tokens = pattern[handshake->messages_done];
    size_t at = 0;
    for (; *tokens != TOKEN_END; tokens++) {
        int taken = read_token(handshake, *tokens, message + at);
        if (taken < 0)
            return taken;
        at += (size_t)taken;
    }
    size_t tag_bytes = handshake->has_key ? NOISE_TAG_BYTES : 0;
    *payload_at = at;
    return open_and_hash(handshake, message + at, message_bytes - at - tag_bytes);
}

int noise_handshake_read(struct noise_handshake *handshake, uint8_t *message, size_t message_bytes,
                         uint8_t **payload, size_t *payload_bytes) {
    if (!may_read(handshake))
        return -EPROTO;
    size_t payload_at = 0, other_bytes = overhead[handshake->messages_done];
    int error = 0;
    if (message_bytes > NOISE_MESSAGE_BYTES_MAX)
        error = -EMSGSIZE;
    else if (message_bytes < other_bytes)
        error = -EBADMSG;
    else
        error = read_message(handshake, message, message_bytes, &payload_at);
    if (error != 0) {
        sodium_memzero(message, message_bytes);
        return fail(handshake, error);
    }
    handshake->messages_done++;
    handshake->has_remote_static = handshake->messages_done >= 2;
    *payload = message + payload_at;
    *payload_bytes = message_bytes - other_bytes;
    return 0;
}

const uint8_t *noise_handshake_remote_static(const struct noise_handshake *handshake) {
    return handshake->has_remote_static ? handshake->remote_static : NULL;
}

const uint8_t *noise_handshake_hash(const struct noise_handshake *handshake) {
    return noise_handshake_is_done(handshake) ? handshake->hash : NULL;
}

int noise_handshake_split(struct noise_handshake *handshake, struct noise_transport *transport) {
    if (!noise_handshake_is_done(handshake))
        return -EPROTO;
    uint8_t to_responder[NOISE_HASH_BYTES], to_initiator[NOISE_HASH_BYTES];
    derive_two(handshake->chaining_key, NULL, 0, to_responder, to_initiator);
    bool initiator = handshake->role == NOISE_INITIATOR;
    cipher_start(&transport->send, initiator ? to_responder : to_initiator);
    cipher_start(&transport->receive, initiator ? to_initiator : to_responder);
    sodium_memzero(to_responder, sizeof to_responder);
    sodium_memzero(to_initiator, sizeof to_initiator);
    noise_handshake_finish(handshake);
    return 0;
}

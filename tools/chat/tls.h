/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS for wss://, as a machine without a socket: bytes of the socket in, bytes for the socket out.
 *
 *     tls_create ─► { tls_feed, tls_output ... } ─► tls_is_open ─► { tls_read, tls_write, ... }
 *
 * On OpenSSL 3. The server's certificate is checked against the authorities of the system, or those
 * of a file, and must bear the host's name or address (RFC 6125, RFC 9110 section 4.3.4); there is
 * no way to leave that out. TLS 1.2 at least. One thread; each struct tls is its creator's.
 */
#ifndef TERN_TOOLS_CHAT_TLS_H
#define TERN_TOOLS_CHAT_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TLS_WHY_CHARS_MAX 320

struct tls_trust; /* whose word is taken */
struct tls;

/* `ca_file`: PEM certificates that are trusted instead of the system's; NULL: the system's. NULL
 * after a sentence in `why`: the file cannot be read, or holds no certificate. */
struct tls_trust *tls_trust_create(const char *ca_file, char why[TLS_WHY_CHARS_MAX]);
void tls_trust_destroy(struct tls_trust *trust); /* NULL is allowed */

/* The client's side of a connection to `host`, a name or a numeric address; its first words wait in
 * tls_output. NULL: out of memory. */
struct tls *tls_create(struct tls_trust *trust, const char *host);
void tls_destroy(struct tls *tls); /* NULL is allowed */

/* Takes what came from the socket. 0, or -EPROTO: it is over (tls_why). */
int tls_feed(struct tls *tls, const uint8_t *bytes, size_t length);
/* The handshake is done, and the certificate is right. */
bool tls_is_open(const struct tls *tls);
/* Plain bytes that came: how many; 0: none yet; -EPIPE: the other side ended it in order; -EPROTO.
 */
ssize_t tls_read(struct tls *tls, uint8_t *bytes, size_t capacity);
/* Takes some of these bytes: how many, at least 1; -EPROTO. Only when it is open. */
ssize_t tls_write(struct tls *tls, const uint8_t *bytes, size_t length);
/* What is to be sent: how many bytes, borrowed until the next call. */
size_t tls_output(struct tls *tls, const uint8_t **bytes);
/* So many of them were sent. */
void tls_output_done(struct tls *tls, size_t length);
/* Says that nothing more comes from here; tls_output has it. */
void tls_end(struct tls *tls);

/* A sentence about what was wrong; empty: nothing. Valid as long as `tls`. */
const char *tls_why(const struct tls *tls);
/* What was wrong is the certificate: trying again does not mend it. */
bool tls_is_untrusted(const struct tls *tls);

#endif

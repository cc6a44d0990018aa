/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSL between two buffers in memory: it never sees the socket, so that the session's reading,
 * writing and waiting are the same with TLS as without, and no write raises SIGPIPE.
 *
 * What waits to be sent is bounded: tls_write takes a record at a time, and the session gives the
 * next when that has gone.
 */
#include "tools/chat/tls.h"

#include "runtime/check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORD_BYTES_MAX 16384 /* RFC 8446 section 5.1 */

struct tls_trust {
    SSL_CTX *context;
};

struct tls {
    SSL *ssl;
    BIO *in, *out; /* the SSL's */
    bool open;
    bool untrusted;
    char host[256];
    char why[TLS_WHY_CHARS_MAX];
};

/* ---------------------------------------------------------------- whose word is taken */

static const char *error_text(void) {
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    return reason != NULL ? reason : "for no reason that it tells";
}

static bool load(SSL_CTX *context, const char *ca_file, char why[TLS_WHY_CHARS_MAX]) {
    if (ca_file == NULL) {
        if (SSL_CTX_set_default_verify_paths(context) == 1)
            return true;
        snprintf(why, TLS_WHY_CHARS_MAX, "the system's certificate authorities cannot be read: %s",
                 error_text());
        return false;
    }
    FILE *file = fopen(ca_file, "re");
    if (file == NULL) {
        snprintf(why, TLS_WHY_CHARS_MAX, "--ca %.200s: %s", ca_file, strerror(errno));
        return false;
    }
    fclose(file);
    if (SSL_CTX_load_verify_file(context, ca_file) == 1)
        return true;
    snprintf(why, TLS_WHY_CHARS_MAX, "--ca %.200s holds no certificate in PEM form (%s)", ca_file,
             error_text());
    return false;
}

struct tls_trust *tls_trust_create(const char *ca_file, char why[TLS_WHY_CHARS_MAX]) {
    static const unsigned char protocols[] = "\x08http/1.1"; /* a WebSocket begins with it */
    struct tls_trust *trust = calloc(1, sizeof *trust);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    ERR_clear_error();
    if (trust == NULL || context == NULL ||
        SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_alpn_protos(context, protocols, sizeof protocols - 1) != 0) {
        snprintf(why, TLS_WHY_CHARS_MAX, "TLS cannot be begun: %s", error_text());
    } else if (load(context, ca_file, why)) {
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
        SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
        trust->context = context;
        return trust;
    }
    SSL_CTX_free(context);
    free(trust);
    return NULL;
}

void tls_trust_destroy(struct tls_trust *trust) {
    if (trust == NULL)
        return;
    SSL_CTX_free(trust->context);
    free(trust);
}

/* ---------------------------------------------------------------- a connection */

static bool is_numeric(const char *host) {
    struct in6_addr address;
    return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
}

/* The certificate must bear this; a name is told to the server, too (RFC 6066 section 3). */
static bool expect_host(SSL *ssl, const char *host) {
    if (is_numeric(host))
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

/* An answer of OpenSSL that is no success: 0: it wants more of the socket; else as tls_read. */
static int judge(struct tls *tls, int result) {
    switch (SSL_get_error(tls->ssl, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return 0;
    case SSL_ERROR_ZERO_RETURN:
        return -EPIPE;
    default:
        break;
    }
    long verdict = SSL_get_verify_result(tls->ssl);
    tls->untrusted = !tls->open && verdict != X509_V_OK;
    if (tls->untrusted)
        snprintf(tls->why, sizeof tls->why, "the certificate of %s is not to be trusted: %s",
                 tls->host, X509_verify_cert_error_string(verdict));
    else
        snprintf(tls->why, sizeof tls->why, "TLS with %s failed: %s", tls->host, error_text());
    return -EPROTO;
}

static int shake_hands(struct tls *tls) {
    ERR_clear_error();
    int result = SSL_do_handshake(tls->ssl);
    tls->open = result == 1;
    int error = tls->open ? 0 : judge(tls, result);
    if (error == -EPIPE)
        snprintf(tls->why, sizeof tls->why, "%s ended TLS at once", tls->host);
    return error == 0 ? 0 : -EPROTO;
}

struct tls *tls_create(struct tls_trust *trust, const char *host) {
    struct tls *tls = calloc(1, sizeof *tls);
    if (tls == NULL)
        return NULL;
    snprintf(tls->host, sizeof tls->host, "%s", host);
    tls->ssl = SSL_new(trust->context);
    tls->in = BIO_new(BIO_s_mem());
    tls->out = BIO_new(BIO_s_mem());
    if (tls->ssl == NULL || tls->in == NULL || tls->out == NULL || !expect_host(tls->ssl, host)) {
        BIO_free(tls->in);
        BIO_free(tls->out);
        SSL_free(tls->ssl);
        free(tls);
        return NULL;
    }
    SSL_set_bio(tls->ssl, tls->in, tls->out); /* theirs from now on */
    SSL_set_connect_state(tls->ssl);
    shake_hands(tls);
    return tls;
}

void tls_destroy(struct tls *tls) {
    if (tls == NULL)
        return;
    SSL_free(tls->ssl);
    free(tls);
}

int tls_feed(struct tls *tls, const uint8_t *bytes, size_t length) {
    CHECK(length <= INT32_MAX);
    if (BIO_write(tls->in, bytes, (int)length) != (int)length) {
        snprintf(tls->why, sizeof tls->why, "out of memory");
        return -EPROTO;
    }
    return tls->open ? 0 : shake_hands(tls);
}

bool tls_is_open(const struct tls *tls) {
    return tls->open;
}

ssize_t tls_read(struct tls *tls, uint8_t *bytes, size_t capacity) {
    CHECK(tls->open && capacity <= INT32_MAX);
    ERR_clear_error();
    int result = SSL_read(tls->ssl, bytes, (int)capacity);
    return result > 0 ? result : judge(tls, result);
}

ssize_t tls_write(struct tls *tls, const uint8_t *bytes, size_t length) {
    CHECK(tls->open && length > 0);
    ERR_clear_error();
    int part = length < RECORD_BYTES_MAX ? (int)length : RECORD_BYTES_MAX;
    int result = SSL_write(tls->ssl, bytes, part);
    if (result > 0)
        return result;
    judge(tls, result);
    return -EPROTO; /* into memory it never has to wait */
}

size_t tls_output(struct tls *tls, const uint8_t **bytes) {
    char *data;
    long length = BIO_get_mem_data(tls->out, &data);
    *bytes = (const uint8_t *)data;
    return length > 0 ? (size_t)length : 0;
}

void tls_output_done(struct tls *tls, size_t length) {
    uint8_t gone[4096];
    while (length > 0) {
        int part = length < sizeof gone ? (int)length : (int)sizeof gone;
        CHECK(BIO_read(tls->out, gone, part) == part);
        length -= (size_t)part;
    }
}

void tls_end(struct tls *tls) {
    ERR_clear_error();
    if (tls->open)
        SSL_shutdown(tls->ssl);
}

const char *tls_why(const struct tls *tls) {
    return tls->why;
}

bool tls_is_untrusted(const struct tls *tls) {
    return tls->untrusted;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connecting: the target's addresses one after the other, and TLS where it is wss://.
 *
 *     session_connect ─► an address ─► TCP ─(wss://)─► TLS ─► session_begin
 *                          ▲            └───────────────┴─(no)─► the next, or it has failed
 *
 * Names are resolved in place: that may take seconds when a name server is away, and nothing else
 * happens meanwhile. Each address has CONNECT_S, TLS included.
 */
#include "tools/chat/session_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_S 10.0
#define TLS_INPUT_BYTES (16 << 10)

static void try_address(struct session *session);

/* EPROTO: TLS has said why. */
static void try_next_address(struct session *session, int error) {
    if (error != EPROTO) {
        session->tls_why[0] = 0;
        session->untrusted = false;
    }
    if (session->fd >= 0) {
        ev_io_stop(session->loop, &session->reader);
        session_drop_tls(session);
        ev_io_stop(session->loop, &session->writer);
        close(session->fd);
        session->fd = -1;
    }
    session->address = session->address->ai_next;
    if (session->address == NULL)
        session_fail_to_connect(session, error);
    else
        try_address(session);
}

/* ---------------------------------------------------------------- TLS */

static void fail_tls(struct session *session, const char *why, bool untrusted) {
    snprintf(session->tls_why, sizeof session->tls_why, "%s", why);
    session->untrusted = untrusted;
    try_next_address(session, EPROTO);
}

static void go_on_with_tls(struct session *session) {
    int flushed = session_flush_tls(session);
    if (flushed < 0) {
        try_next_address(session, errno);
        return;
    }
    if (flushed > 0)
        ev_io_stop(session->loop, &session->writer);
    if (tls_is_open(session->tls))
        session_begin(session);
}

static void on_tls_readable(struct ev_loop *loop, ev_io *watcher, int events) {
    struct session *session = watcher->data;
    uint8_t bytes[TLS_INPUT_BYTES];
    ssize_t length = recv(session->fd, bytes, sizeof bytes, 0);
    if (length < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    if (length <= 0)
        fail_tls(session, "it ended the connection while TLS began: does it speak TLS?", false);
    else if (tls_feed(session->tls, bytes, (size_t)length) != 0)
        fail_tls(session, tls_why(session->tls), tls_is_untrusted(session->tls));
    else
        go_on_with_tls(session);
}

static void on_tls_writable(struct ev_loop *loop, ev_io *watcher, int events) {
    go_on_with_tls(watcher->data);
}

static void begin_tls(struct session *session) {
    session->tls = tls_create(session->trust, session->target.host);
    if (session->tls == NULL) {
        try_next_address(session, ENOMEM);
        return;
    }
    ev_io_stop(session->loop, &session->writer);
    ev_io_init(&session->writer, on_tls_writable, session->fd, EV_WRITE);
    ev_io_init(&session->reader, on_tls_readable, session->fd, EV_READ);
    session->writer.data = session->reader.data = session;
    ev_io_start(session->loop, &session->reader);
    go_on_with_tls(session);
}

/* ---------------------------------------------------------------- the socket */

static void on_connected(struct ev_loop *loop, ev_io *watcher, int events) {
    struct session *session = watcher->data;
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(session->fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0)
        error = errno;
    if (error != 0)
        try_next_address(session, error);
    else if (session->target.secure)
        begin_tls(session);
    else
        session_begin(session);
}

static void on_connect_timeout(struct ev_loop *loop, ev_timer *timer, int events) {
    try_next_address(timer->data, ETIMEDOUT);
}

static void try_address(struct session *session) {
    const struct addrinfo *address = session->address;
    session->fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ev_io_init(&session->writer, on_connected, session->fd, EV_WRITE);
    session->writer.data = session;
    if (session->fd < 0 || (connect(session->fd, address->ai_addr, address->ai_addrlen) != 0 &&
                            errno != EINPROGRESS)) {
        try_next_address(session, errno);
        return;
    }
    ev_io_start(session->loop, &session->writer);
    ev_timer_init(&session->timer, on_connect_timeout, 0., 0.);
    session->timer.data = session;
    session_set_timer(session, (uint64_t)(CONNECT_S * 1000));
}

/* A home without a scheme is reached as the server is; who wants TLS is not led off it. */
static bool read_home(const struct session *session, const char *address, struct url *home) {
    char text[sizeof "wss://" + URL_AUTHORITY_CHARS_MAX + URL_PATH_CHARS_MAX];
    const struct url *server = &session->server;
    if (strstr(address, "://") != NULL)
        snprintf(text, sizeof text, "%s", address);
    else
        snprintf(text, sizeof text, "%s%s%s", server->secure ? "wss://" : "ws://", address,
                 server->path);
    return url_parse(text, home) == 0 && (home->secure || !server->secure);
}

/* Where to: the home that the node named, or the server. */
static void choose_target(struct session *session) {
    char address[URL_AUTHORITY_CHARS_MAX + 1], why[TLS_WHY_CHARS_MAX];
    session->target = session->server;
    if (!session->go_home || !store_text(session->store, SETTING_HOME, address, sizeof address) ||
        address[0] == 0 || !read_home(session, address, &session->target))
        return;
    if (session->target.secure && session->trust == NULL)
        session->trust = tls_trust_create(NULL, why);
    if (session->target.secure && session->trust == NULL)
        session->target = session->server;
}

void session_connect(struct session *session) {
    char port[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    session->state = SESSION_CONNECTING;
    choose_target(session);
    snprintf(port, sizeof port, "%u", session->target.port);
    int error = getaddrinfo(session->target.host, port, &hints, &session->addresses);
    if (error != 0) {
        session->addresses = NULL;
        session->tls_why[0] = 0;
        session->untrusted = false;
        session_fail_to_connect(session, EHOSTUNREACH);
        return;
    }
    session->address = session->addresses;
    try_address(session);
}

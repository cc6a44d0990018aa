/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket under a session. Names are resolved in place: that may take seconds when a name server
 * is away, and nothing else happens meanwhile.
 *
 * One timer serves all: the patience of a connection attempt, the device's next deadline, the wait
 * before the next attempt.
 */
#include "tools/chat/session_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_S 10.0
#define INPUT_BYTES (128 << 10)
#define BACKOFF_DOUBLINGS_MAX 10

static void try_address(struct session *session);

static void set_timer(struct session *session, uint64_t in_ms) {
    ev_now_update(session->loop);
    ev_timer_stop(session->loop, &session->timer);
    if (in_ms == DEVICE_NEVER)
        return;
    ev_timer_set(&session->timer, (double)in_ms / 1000, 0.);
    ev_timer_start(session->loop, &session->timer);
}

void session_close_socket(struct session *session) {
    ev_timer_stop(session->loop, &session->timer);
    if (session->addresses != NULL)
        freeaddrinfo(session->addresses);
    session->addresses = session->address = NULL;
    if (session->fd < 0)
        return;
    ev_io_stop(session->loop, &session->reader);
    ev_io_stop(session->loop, &session->writer);
    close(session->fd);
    session->fd = -1;
}

void session_turn(struct session *session) {
    unsigned news = session->news;
    session->news = 0;
    if (session->state == SESSION_CONNECTED)
        session->events->turn(session->context, news);
}

/* ---------------------------------------------------------------- the end of a connection */

/* Of connections that were not made; the device knows about the others. */
static uint64_t backoff(struct session *session) {
    uint64_t wait = (uint64_t)session->config.reconnect_ms_min << session->attempts;
    if (session->attempts < BACKOFF_DOUBLINGS_MAX)
        session->attempts++;
    if (wait > session->config.reconnect_ms_max)
        wait = session->config.reconnect_ms_max;
    return wait - randombytes_uniform((uint32_t)(wait / 2 + 1));
}

static void on_retry(struct ev_loop *loop, ev_timer *timer, int events) {
    session_connect(timer->data);
}

/* Waits, or is over; then tells. */
static void say_lost(struct session *session, struct session_end *end) {
    session->was_online = false;
    session->news &= ~(unsigned)(SESSION_WELCOME | SESSION_EMPTY);
    session->state = end->is_final ? SESSION_OVER : SESSION_WAITING;
    ev_timer_init(&session->timer, on_retry, 0., 0.);
    session->timer.data = session;
    if (!end->is_final)
        set_timer(session, end->retry_in_ms);
    session->events->lost(session->context, end);
}

void session_lose(struct session *session) {
    bool closing = session->state == SESSION_CLOSING;
    uint64_t now = session_now_ms();
    session_close_socket(session);
    device_disconnected(session->device, now);
    if (closing)
        return;
    if (!session->was_online)
        session->go_home = !session->go_home && !session->is_candidate;
    uint64_t at = device_reconnect_ms(session->device);
    struct session_end end = {
        .end = session->end,
        .detail = session->detail,
        .was_online = session->was_online,
        .is_final = device_end_is_final(session->end),
        .retry_in_ms = at == DEVICE_NEVER || at <= now ? 0 : at - now,
    };
    say_lost(session, &end);
}

/* No address of the target took the connection. */
static void fail_to_connect(struct session *session, int error) {
    session_close_socket(session);
    session->go_home = !session->go_home && !session->is_candidate;
    struct session_end end = {
        .end = DEVICE_END_LOST, .detail = -error, .retry_in_ms = backoff(session)};
    say_lost(session, &end);
}

/* ---------------------------------------------------------------- bytes */

/* False: the connection is lost. */
static bool write_output(struct session *session) {
    const uint8_t *bytes;
    size_t length;
    while ((length = device_output(session->device, session_now_ms(), &bytes)) > 0) {
        ssize_t sent = send(session->fd, bytes, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            ev_io_start(session->loop, &session->writer);
            return true;
        }
        if (sent < 0)
            return false;
        device_output_done(session->device, (size_t)sent);
    }
    ev_io_stop(session->loop, &session->writer);
    if (session->state == SESSION_CLOSING)
        shutdown(session->fd, SHUT_WR);
    return true;
}

void session_pump(struct session *session) {
    if (session->fd < 0 ||
        (session->state != SESSION_CONNECTED && session->state != SESSION_CLOSING))
        return;
    if (!write_output(session)) {
        session_lose(session);
        return;
    }
    if (session->state == SESSION_CLOSING)
        return;
    uint64_t deadline = device_deadline_ms(session->device), now = session_now_ms();
    set_timer(session, deadline == DEVICE_NEVER ? deadline : deadline > now ? deadline - now : 0);
}

/* The device has had enough: its last words go out if they can, and the connection ends. */
static void end_connection(struct session *session) {
    write_output(session);
    session_lose(session);
}

static void on_deadline(struct ev_loop *loop, ev_timer *timer, int events) {
    struct session *session = timer->data;
    if (device_tick(session->device, session_now_ms()) != 0)
        end_connection(session);
    else
        session_pump(session);
}

static void on_writable(struct ev_loop *loop, ev_io *watcher, int events) {
    session_pump(watcher->data);
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events) {
    struct session *session = watcher->data;
    uint8_t bytes[INPUT_BYTES];
    ssize_t length = recv(session->fd, bytes, sizeof bytes, 0);
    if (length < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    if (length <= 0) {
        session_lose(session);
        return;
    }
    if (session->state == SESSION_CLOSING)
        return; /* what is not taken now comes again */
    int error = device_receive(session->device, bytes, (size_t)length, session_now_ms());
    if (error != 0) {
        session_turn(session); /* what came before that has come */
        if (session->state == SESSION_CONNECTED)
            end_connection(session);
        return;
    }
    session_turn(session);
    session_pump(session);
}

/* ---------------------------------------------------------------- connecting */

static void begin_session(struct session *session) {
    int on = 1;
    setsockopt(session->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    freeaddrinfo(session->addresses);
    session->addresses = session->address = NULL;
    session->attempts = 0;
    session->end = DEVICE_END_LOST;
    session->detail = 0;
    int error =
        device_connect(session->device, &session->target, session_now_ms(), session_wall_ms());
    if (error != 0) {
        fail_to_connect(session, -error);
        return;
    }
    session->state = SESSION_CONNECTED;
    ev_timer_stop(session->loop, &session->timer);
    ev_timer_init(&session->timer, on_deadline, 0., 0.);
    ev_io_init(&session->reader, on_readable, session->fd, EV_READ);
    ev_io_stop(session->loop, &session->writer);
    ev_io_init(&session->writer, on_writable, session->fd, EV_WRITE);
    session->timer.data = session->reader.data = session->writer.data = session;
    ev_io_start(session->loop, &session->reader);
    session_pump(session);
}

static void try_next_address(struct session *session, int error) {
    if (session->fd >= 0) {
        ev_io_stop(session->loop, &session->writer);
        close(session->fd);
        session->fd = -1;
    }
    session->address = session->address->ai_next;
    if (session->address == NULL)
        fail_to_connect(session, error);
    else
        try_address(session);
}

static void on_connected(struct ev_loop *loop, ev_io *watcher, int events) {
    struct session *session = watcher->data;
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(session->fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0)
        error = errno;
    if (error != 0)
        try_next_address(session, error);
    else
        begin_session(session);
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
    set_timer(session, (uint64_t)(CONNECT_S * 1000));
}

/* Where to: the home that the node named, or the server. */
static void choose_target(struct session *session) {
    char address[URL_AUTHORITY_CHARS_MAX + 1];
    char text[sizeof "ws://" + URL_AUTHORITY_CHARS_MAX + URL_PATH_CHARS_MAX];
    session->target = session->server;
    if (!session->go_home || !store_text(session->store, SETTING_HOME, address, sizeof address) ||
        address[0] == 0)
        return;
    snprintf(text, sizeof text, "ws://%s%s", address, session->server.path);
    if (url_parse(text, &session->target) != 0)
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
        fail_to_connect(session, EHOSTUNREACH);
        return;
    }
    session->address = session->addresses;
    try_address(session);
}

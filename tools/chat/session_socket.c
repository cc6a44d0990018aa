/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket under a session, once it is connected: its bytes go to the device and come from it,
 * through TLS where the target is wss://.
 *
 * One timer serves all: the patience of a connection attempt, the device's next deadline, the wait
 * before the next attempt.
 */
#include "tools/chat/session_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sodium.h>
#include <sys/socket.h>
#include <unistd.h>

#define INPUT_BYTES (128 << 10)
#define PLAIN_BYTES (16 << 10) /* of TLS at a time: a record */
#define BACKOFF_DOUBLINGS_MAX 10

void session_set_timer(struct session *session, uint64_t in_ms) {
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
    session_drop_tls(session);
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
        session_set_timer(session, end->retry_in_ms);
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

void session_fail_to_connect(struct session *session, int error) {
    session_close_socket(session);
    session->go_home = !session->go_home && !session->is_candidate;
    struct session_end end = {
        .end = DEVICE_END_LOST,
        .detail = -error,
        .why = session->tls_why[0] != 0 ? session->tls_why : NULL,
        .untrusted = session->untrusted,
        .retry_in_ms = backoff(session),
    };
    say_lost(session, &end);
}

/* ---------------------------------------------------------------- bytes */

/* How many bytes were sent; 0: the writer waits for room; -1: the connection is lost. */
static ssize_t send_some(struct session *session, const uint8_t *bytes, size_t length) {
    ssize_t sent;
    do
        sent = send(session->fd, bytes, length, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
        return sent;
    ev_io_start(session->loop, &session->writer);
    return 0;
}

int session_flush_tls(struct session *session) {
    const uint8_t *bytes;
    size_t length;
    while ((length = tls_output(session->tls, &bytes)) > 0) {
        ssize_t sent = send_some(session, bytes, length);
        if (sent <= 0)
            return (int)sent;
        tls_output_done(session->tls, (size_t)sent);
    }
    return 1;
}

void session_drop_tls(struct session *session) {
    if (session->tls == NULL)
        return;
    tls_end(session->tls);
    session_flush_tls(session);
    tls_destroy(session->tls);
    session->tls = NULL;
}

/* False: the connection is lost. With TLS a record is made when the one before has gone. */
static bool write_output(struct session *session) {
    for (;;) {
        const uint8_t *bytes;
        int flushed = session->tls != NULL ? session_flush_tls(session) : 1;
        if (flushed <= 0)
            return flushed == 0;
        size_t length = device_output(session->device, session_now_ms(), &bytes);
        if (length == 0)
            break;
        ssize_t taken = session->tls != NULL ? tls_write(session->tls, bytes, length)
                                             : send_some(session, bytes, length);
        if (taken <= 0)
            return taken == 0;
        device_output_done(session->device, (size_t)taken);
    }
    ev_io_stop(session->loop, &session->writer);
    if (session->state == SESSION_CLOSING && session->tls == NULL)
        shutdown(session->fd, SHUT_WR); /* TLS has no half of a connection: the node ends it */
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
    session_set_timer(session, deadline == DEVICE_NEVER ? deadline
                               : deadline > now         ? deadline - now
                                                        : 0);
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

/* False: the connection was ended. */
static bool take_input(struct session *session, uint8_t *bytes, size_t length) {
    if (session->state == SESSION_CLOSING)
        return true; /* what is not taken now comes again */
    int error = device_receive(session->device, bytes, length, session_now_ms());
    session_turn(session); /* also what came before an error has come */
    if (error != 0 && session->state == SESSION_CONNECTED)
        end_connection(session);
    return error == 0;
}

static void take_sealed(struct session *session, const uint8_t *bytes, size_t length) {
    struct tls *tls = session->tls;
    uint8_t plain[PLAIN_BYTES];
    ssize_t count = tls_feed(tls, bytes, length);
    while (count == 0 && (count = tls_read(tls, plain, sizeof plain)) > 0) {
        if (!take_input(session, plain, (size_t)count) || session->tls != tls)
            return;
        count = 0;
    }
    if (count < 0)
        session_lose(session);
    else
        session_pump(session);
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events) {
    struct session *session = watcher->data;
    uint8_t bytes[INPUT_BYTES];
    ssize_t length = recv(session->fd, bytes, sizeof bytes, 0);
    if (length < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    if (length <= 0)
        session_lose(session);
    else if (session->tls != NULL)
        take_sealed(session, bytes, (size_t)length);
    else if (take_input(session, bytes, (size_t)length))
        session_pump(session);
}

/* ---------------------------------------------------------------- beginning */

void session_begin(struct session *session) {
    int on = 1;
    setsockopt(session->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    freeaddrinfo(session->addresses);
    session->addresses = session->address = NULL;
    session->attempts = 0;
    session->tls_why[0] = 0;
    session->untrusted = false;
    session->end = DEVICE_END_LOST;
    session->detail = 0;
    int error =
        device_connect(session->device, &session->target, session_now_ms(), session_wall_ms());
    if (error != 0) {
        session_fail_to_connect(session, -error);
        return;
    }
    session->state = SESSION_CONNECTED;
    ev_timer_stop(session->loop, &session->timer);
    ev_timer_init(&session->timer, on_deadline, 0., 0.);
    ev_io_stop(session->loop, &session->reader);
    ev_io_init(&session->reader, on_readable, session->fd, EV_READ);
    ev_io_stop(session->loop, &session->writer);
    ev_io_init(&session->writer, on_writable, session->fd, EV_WRITE);
    session->timer.data = session->reader.data = session->writer.data = session;
    ev_io_start(session->loop, &session->reader);
    session_pump(session);
}

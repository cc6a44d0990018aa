/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The libev reactor: streams. Receiving into buffers that are lent, sending, closing.
 *
 * A socket takes a buffer when it is readable, not before, so that an idle one holds none. When all
 * are lent it is asked about no more and waits in a queue: its data stays in the kernel, whose
 * window then holds the peer back. Closing gives the descriptor back at once; the ends of its send
 * and of the socket are reported by the next poll.
 */
#include "runtime/reactor_ev_internal.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

void libev_listen(struct reactor *reactor, struct libev_socket *record) {
    int events = 0;

    if ((record->flags & (LIBEV_WANTED | LIBEV_STARVED | LIBEV_ENDED | LIBEV_CLOSING)) ==
        LIBEV_WANTED)
        events |= EV_READ;
    if ((record->flags & (LIBEV_BLOCKED | LIBEV_CONNECTING)) != 0)
        events |= EV_WRITE;
    if (ev_is_active(&record->io)) {
        if ((record->io.events & (EV_READ | EV_WRITE)) == events)
            return;
        ev_io_stop(reactor->loop, &record->io);
    }
    if (events == 0)
        return;
    ev_io_modify(&record->io, events);
    ev_io_start(reactor->loop, &record->io);
}

/* --- receiving ------------------------------------------------------------------------------- */

static void starve(struct reactor *reactor, struct libev_socket *record) {
    shard_count(reactor->shard, "receive_starved", 1);
    record->flags |= LIBEV_STARVED;
    record->starved_next = NULL;
    record->starved_link = reactor->starved_end;
    *reactor->starved_end = record;
    reactor->starved_end = &record->starved_next;
    libev_listen(reactor, record);
}

static void leave_starved(struct reactor *reactor, struct libev_socket *record) {
    if ((record->flags & LIBEV_STARVED) == 0)
        return;
    record->flags &= (uint16_t)~LIBEV_STARVED;
    *record->starved_link = record->starved_next;
    if (record->starved_next != NULL)
        record->starved_next->starved_link = record->starved_link;
    else
        reactor->starved_end = record->starved_link;
}

void libev_feed_starved(struct reactor *reactor) {
    for (unsigned room = reactor->buffers_free_count; room > 0 && reactor->starved_head != NULL;
         room--) {
        struct libev_socket *record = reactor->starved_head;

        leave_starved(reactor, record);
        libev_listen(reactor, record);
    }
}

static void end_receiving(struct reactor *reactor, struct libev_socket *record, int error) {
    record->flags |= LIBEV_ENDED;
    libev_listen(reactor, record);
    reactor->reported++;
    reactor_on_received_all(reactor->shard, record->socket, error);
}

void libev_give_back(struct reactor *reactor, uint32_t lender) {
    CHECK(lender < LIBEV_BUFFERS && reactor->buffers_free_count < LIBEV_BUFFERS);
    reactor->buffers_free[reactor->buffers_free_count++] = (uint16_t)lender;
}

/* One buffer's worth. True: there may be more, and it is wanted. */
static bool receive_once(struct reactor *reactor, struct libev_socket *record) {
    uint32_t lender;
    uint8_t *bytes;
    ssize_t length;

    if (reactor->buffers_free_count == 0) {
        starve(reactor, record);
        return false;
    }
    lender = reactor->buffers_free[--reactor->buffers_free_count];
    bytes = reactor->buffers + (size_t)lender * LIBEV_BUFFER_BYTES;
    length = recv(record->io.fd, bytes, LIBEV_BUFFER_BYTES, 0);
    if (length <= 0) {
        int error = length < 0 ? -errno : 0;
        libev_give_back(reactor, lender);
        if (error != -EAGAIN && error != -EINTR)
            end_receiving(reactor, record, error);
        return false;
    }
    reactor->reported++;
    reactor_on_data(reactor->shard, record->socket, bytes, (uint32_t)length, lender);
    return length == LIBEV_BUFFER_BYTES &&
           (record->flags & (LIBEV_WANTED | LIBEV_CLOSING)) == LIBEV_WANTED;
}

void libev_receive(struct reactor *reactor, struct reactor_socket *socket, bool start) {
    struct libev_socket *record = libev_socket_of(reactor, socket);

    if ((record->flags & (LIBEV_CLOSING | LIBEV_ENDED)) != 0)
        return;
    if (start) {
        record->flags |= LIBEV_WANTED;
    } else {
        record->flags &= (uint16_t)~LIBEV_WANTED;
        leave_starved(reactor, record);
    }
    libev_listen(reactor, record);
}

/* --- sending --------------------------------------------------------------------------------- */

void libev_send(struct reactor *reactor, struct reactor_socket *socket, const uint8_t *bytes,
                size_t length) {
    struct libev_socket *record = libev_socket_of(reactor, socket);

    CHECK((record->flags & (LIBEV_SENDING | LIBEV_CLOSING)) == 0 && length <= UINT32_MAX);
    record->flags |= LIBEV_SENDING;
    record->bytes = bytes;
    record->length = (uint32_t)length;
    libev_queue_work(reactor, record);
}

static void report_sent(struct reactor *reactor, struct libev_socket *record, int64_t result) {
    record->flags &= (uint16_t) ~(LIBEV_SENDING | LIBEV_BLOCKED);
    reactor->reported++;
    reactor_on_sent(reactor->shard, record->socket, result);
}

static void send_now(struct reactor *reactor, struct libev_socket *record) {
    ssize_t sent = send(record->io.fd, record->bytes, record->length, MSG_NOSIGNAL);
    int64_t result = sent >= 0 ? sent : -errno;

    if (result == -EAGAIN) {
        record->flags |= LIBEV_BLOCKED;
        libev_listen(reactor, record);
        return;
    }
    if ((record->flags & LIBEV_BLOCKED) != 0) {
        record->flags &= (uint16_t)~LIBEV_BLOCKED;
        libev_listen(reactor, record);
    }
    report_sent(reactor, record, result); /* socket.c tries again after EINTR */
}

/* --- what libev says ------------------------------------------------------------------------- */

/* epoll had no memory for it, and libev has stopped asking. */
static void give_up(struct reactor *reactor, struct libev_socket *record) {
    if ((record->flags & LIBEV_CONNECTING) != 0) {
        libev_on_connected(reactor, record, -ENOMEM);
        return;
    }
    if ((record->flags & LIBEV_BLOCKED) != 0)
        report_sent(reactor, record, -ENOMEM);
    if ((record->flags & (LIBEV_WANTED | LIBEV_ENDED | LIBEV_CLOSING)) == LIBEV_WANTED)
        end_receiving(reactor, record, -ENOMEM);
}

void libev_on_socket(struct ev_loop *loop, struct ev_io *io, int events) {
    struct reactor *reactor = ev_userdata(loop);
    struct libev_socket *record = (struct libev_socket *)io;

    if ((events & EV_ERROR) != 0) {
        give_up(reactor, record);
        return;
    }
    if ((record->flags & LIBEV_CONNECTING) != 0) {
        int error = 0;
        socklen_t length = sizeof error;

        getsockopt(io->fd, SOL_SOCKET, SO_ERROR, &error, &length);
        libev_on_connected(reactor, record, -error);
        return;
    }
    if ((events & EV_WRITE) != 0 && (record->flags & LIBEV_BLOCKED) != 0)
        send_now(reactor, record);
    if ((events & EV_READ) == 0)
        return;
    for (unsigned reads = 0; reads < LIBEV_READS_MAX; reads++)
        if ((record->flags & (LIBEV_WANTED | LIBEV_STARVED | LIBEV_ENDED | LIBEV_CLOSING)) !=
                LIBEV_WANTED ||
            !receive_once(reactor, record))
            return;
}

/* --- closing --------------------------------------------------------------------------------- */

void libev_shut(struct reactor *reactor, struct reactor_socket *socket) {
    struct libev_socket *record = libev_socket_of(reactor, socket);

    if ((record->flags & LIBEV_CLOSING) == 0)
        shutdown(record->io.fd, SHUT_WR);
}

void libev_close(struct reactor *reactor, struct reactor_socket *socket, bool reset) {
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    struct libev_socket *record = libev_socket_of(reactor, socket);

    CHECK((record->flags & LIBEV_CLOSING) == 0);
    leave_starved(reactor, record);
    record->flags |= LIBEV_CLOSING;
    record->flags &= (uint16_t) ~(LIBEV_BLOCKED | LIBEV_CONNECTING | LIBEV_CONNECTED);
    libev_listen(reactor, record); /* before the descriptor can be another's */
    if (reset)
        setsockopt(record->io.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(record->io.fd);
    libev_queue_work(reactor, record);
}

static void finish(struct reactor *reactor, struct libev_socket *record) {
    struct reactor_socket *socket = record->socket;

    if ((record->flags & LIBEV_SENDING) != 0)
        report_sent(reactor, record, -ECANCELED);
    libev_record_free(reactor, record);
    reactor->reported++;
    reactor_on_closed(reactor->shard, socket);
}

void libev_do_work(struct reactor *reactor) {
    struct libev_socket *record = reactor->work_head;

    /* What comes of it is for the next poll, so that this ends. */
    reactor->work_head = NULL;
    reactor->work_tail = NULL;
    while (record != NULL) {
        struct libev_socket *next = record->work_next;

        record->flags &= (uint16_t)~LIBEV_QUEUED;
        if ((record->flags & LIBEV_CLOSING) != 0)
            finish(reactor, record);
        else if ((record->flags & LIBEV_CONNECTED) != 0)
            libev_on_connected(reactor, record, record->error);
        else if ((record->flags & (LIBEV_SENDING | LIBEV_BLOCKED)) == LIBEV_SENDING)
            send_now(reactor, record);
        record = next;
    }
}

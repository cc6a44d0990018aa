/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The io_uring reactor: streams. Receiving into provided buffers, sending, closing.
 *
 * Closing: cancel the receive (and the send), then close the descriptor. The kernel takes these in
 * order, each may complete when it likes, and `operations` counts them: the socket is gone when the
 * count is zero. Only a shutdown is not taken in order: a worker thread of the kernel looks its
 * descriptor up when it runs, which may be another socket's by then, so a close waits for its end.
 * A reset is a connect to AF_UNSPEC, which makes TCP disconnect with RST; SO_LINGER cannot be set
 * on a direct descriptor before Linux 6.7.
 */
#include "runtime/reactor_uring_internal.h"
#include "runtime/shard_internal.h"

#include <errno.h>
#include <poll.h>

static const struct sockaddr no_peer = {.sa_family = AF_UNSPEC};

/* --- rows of sockets ------------------------------------------------------------------------- */

static void row_join(struct uring *ring, struct uring_row *row, struct reactor_socket *socket) {
    ring->places[socket->descriptor] =
        (struct uring_place){.socket = socket, .next = URING_NO_DESCRIPTOR, .previous = row->last};
    if (row->last == URING_NO_DESCRIPTOR)
        row->first = socket->descriptor;
    else
        ring->places[row->last].next = socket->descriptor;
    row->last = socket->descriptor;
    row->count++;
}

static void row_leave(struct uring *ring, struct uring_row *row,
                      const struct reactor_socket *socket) {
    const struct uring_place *place = &ring->places[socket->descriptor];

    CHECK(row->count > 0 && place->socket == socket);
    if (place->previous == URING_NO_DESCRIPTOR)
        row->first = place->next;
    else
        ring->places[place->previous].next = place->next;
    if (place->next == URING_NO_DESCRIPTOR)
        row->last = place->previous;
    else
        ring->places[place->next].previous = place->previous;
    row->count--;
}

/* --- receiving -------------------------------------------------------------------------------

   A multishot receive costs least for who gets much, and holds 0.6 kB in the kernel besides its
   request: most of what an idle connection can be spared. So one that has been quiet for a second
   waits by a poll (the request alone); what that announces is taken by a single receive; and who
   gets more within a second streams again.

       STREAM ──quiet──► COOLING ──canceled──► POLL ──input──► ONCE ──taken──► POLL
         ▲                                      └──input soon after the last──► STREAM
         begin, resumed, fed
*/

static void post_receive(struct reactor *reactor, struct reactor_socket *socket,
                         enum io_receiving how) {
    struct io_uring_sqe *sqe = uring_socket_submission(reactor, socket, URING_RECEIVE);
    struct uring *ring = uring_of(reactor, socket);

    if (how == IO_POLL)
        io_uring_prep_poll_add(sqe, (int)socket->descriptor, POLLIN);
    else if (how == IO_ONCE)
        io_uring_prep_recv(sqe, (int)socket->descriptor, NULL, URING_BUFFER_BYTES, 0);
    else
        io_uring_prep_recv_multishot(sqe, (int)socket->descriptor, NULL, 0, 0);
    sqe->flags |= IOSQE_FIXED_FILE;
    if (how != IO_POLL) {
        sqe->flags |= IOSQE_BUFFER_SELECT;
        sqe->buf_group = URING_BUFFER_GROUP;
    }
    if (how == IO_STREAM) {
        socket->heard = reactor->now;
        row_join(ring, &ring->streaming, socket);
    }
    socket->receiving = (uint8_t)(how & 15u);
    socket->flags |= IO_RECEIVING;
}

static bool is_quiet(const struct reactor *reactor, const struct reactor_socket *socket) {
    return (uint8_t)(reactor->now - socket->heard) >= URING_COOL_TICKS;
}

static void leave_streaming(struct reactor *reactor, struct reactor_socket *socket) {
    struct uring *ring = uring_of(reactor, socket);

    if (socket->receiving == IO_STREAM)
        row_leave(ring, &ring->streaming, socket);
}

bool uring_cool(struct reactor *reactor, struct uring *ring) {
    if (ring->cool_left == 0) {
        if ((uint8_t)(reactor->now - ring->cool_began) < URING_COOL_TICKS)
            return false;
        ring->cool_began = reactor->now;
        ring->cool_left = ring->streaming.count;
    }
    for (unsigned i = 0; i < URING_COOL_PER_TURN && ring->cool_left > 0; i++) {
        struct reactor_socket *socket;

        if (ring->streaming.first == URING_NO_DESCRIPTOR) {
            ring->cool_left = 0; /* some have ended meanwhile */
            return false;
        }
        ring->cool_left--;
        socket = ring->places[ring->streaming.first].socket;
        row_leave(ring, &ring->streaming, socket);
        if (is_quiet(reactor, socket) && (socket->flags & (IO_CANCELING | IO_CLOSING)) == 0) {
            shard_count(reactor->shard, "receive_cooled", 1);
            uring_cancel(ring, socket, URING_RECEIVE);
            socket->flags |= IO_CANCELING;
            socket->receiving = IO_COOLING;
        } else {
            row_join(ring, &ring->streaming, socket);
        }
    }
    return ring->cool_left > 0;
}

/* The data waits in the socket until buffers have come back. */
static void starve(struct reactor *reactor, struct reactor_socket *socket) {
    struct uring *ring = uring_of(reactor, socket);

    shard_count(reactor->shard, "receive_starved", 1);
    socket->flags |= IO_STARVED;
    row_join(ring, &ring->starved, socket);
    uring_set_add(&reactor->starving, ring->index);
}

/* It is served, paused or closed. */
static void leave_starved(struct reactor *reactor, struct reactor_socket *socket) {
    struct uring *ring = uring_of(reactor, socket);

    if ((socket->flags & IO_STARVED) == 0)
        return;
    socket->flags &= (uint8_t)~IO_STARVED;
    row_leave(ring, &ring->starved, socket);
    if (ring->starved.count == 0)
        uring_set_remove(&reactor->starving, ring->index);
}

static void feed_ring(struct reactor *reactor, struct uring *ring) {
    for (unsigned room = ring->buffer_count - ring->buffers_lent;
         room > 0 && ring->starved.first != URING_NO_DESCRIPTOR; room--) {
        struct reactor_socket *socket = ring->places[ring->starved.first].socket;

        leave_starved(reactor, socket);
        post_receive(reactor, socket, IO_STREAM);
    }
}

void uring_feed_starved(struct reactor *reactor) {
    unsigned i = 0;

    while ((i = uring_set_next(&reactor->starving, i)) < URING_RINGS_MAX)
        feed_ring(reactor, reactor->rings[i++]);
}

void uring_receive(struct reactor *reactor, struct reactor_socket *socket, bool start) {
    if ((socket->flags & (IO_CLOSING | IO_ENDED)) != 0)
        return;
    if (start) {
        socket->flags |= IO_WANTED;
        if ((socket->flags & (IO_RECEIVING | IO_STARVED)) == 0)
            post_receive(reactor, socket, IO_STREAM);
        return; /* one that is being canceled is posted again when it has ended */
    }
    socket->flags &= (uint8_t)~IO_WANTED;
    leave_starved(reactor, socket);
    if ((socket->flags & (IO_RECEIVING | IO_CANCELING)) == IO_RECEIVING) {
        uring_cancel(uring_of(reactor, socket), socket, URING_RECEIVE);
        socket->flags |= IO_CANCELING;
    }
}

void uring_give_back(struct reactor *reactor, uint32_t lender) {
    uring_buffer_give(reactor->rings[lender >> 16], lender & 0xffff);
}

/* How it goes on after a receive or a poll that has ended. */
static enum io_receiving next_receiving(const struct reactor *reactor,
                                        const struct reactor_socket *socket, int result) {
    switch ((enum io_receiving)socket->receiving) {
    case IO_COOLING:
        return IO_POLL;
    case IO_POLL:
        return result > 0 && is_quiet(reactor, socket) ? IO_ONCE : IO_STREAM;
    case IO_ONCE:
        return result > 0 ? IO_POLL : IO_STREAM;
    default:
        return IO_STREAM;
    }
}

static void on_receive_end(struct reactor *reactor, struct reactor_socket *socket, int result) {
    bool polled = socket->receiving == IO_POLL;

    socket->operations--;
    leave_streaming(reactor, socket);
    socket->flags &= (uint8_t) ~(IO_RECEIVING | IO_CANCELING);
    if ((socket->flags & IO_CLOSING) != 0)
        return;
    if (result == -ENOBUFS && (socket->flags & IO_WANTED) != 0) {
        starve(reactor, socket);
    } else if (polled || result > 0 || result == -ECANCELED || result == -EINTR ||
               result == -EAGAIN || result == -ENOBUFS) {
        if ((socket->flags & IO_WANTED) != 0)
            post_receive(reactor, socket, next_receiving(reactor, socket, result));
    } else {
        socket->flags |= IO_ENDED;
        reactor->reported++;
        reactor_on_received_all(reactor->shard, socket, result);
    }
}

void uring_on_receive(struct reactor *reactor, struct reactor_socket *socket,
                      const struct io_uring_cqe *completion) {
    struct uring *ring = uring_of(reactor, socket);

    if ((completion->flags & IORING_CQE_F_BUFFER) != 0) {
        uint32_t buffer = completion->flags >> IORING_CQE_BUFFER_SHIFT;

        socket->heard = reactor->now;
        ring->buffers_lent++;
        if (completion->res <= 0 || (socket->flags & IO_CLOSING) != 0) {
            uring_buffer_give(ring, buffer);
        } else {
            reactor->reported++;
            reactor_on_data(reactor->shard, socket, uring_buffer(ring, buffer),
                            (uint32_t)completion->res, (uint32_t)socket->ring << 16 | buffer);
        }
    }
    if ((completion->flags & IORING_CQE_F_MORE) == 0)
        on_receive_end(reactor, socket, completion->res);
}

/* --- sending and closing --------------------------------------------------------------------- */

void uring_send(struct reactor *reactor, struct reactor_socket *socket, const uint8_t *bytes,
                size_t length) {
    struct io_uring_sqe *sqe = uring_socket_submission(reactor, socket, URING_SEND);

    CHECK((socket->flags & (IO_SENDING | IO_CLOSING)) == 0);
    /* Not MSG_WAITALL: after 128 polls for one request the kernel gives it to a worker thread,
     * where it blocks, and a few peers that do not read would hold up every other one's shutdown.
     */
    io_uring_prep_send(sqe, (int)socket->descriptor, bytes, length, MSG_NOSIGNAL);
    sqe->flags |= IOSQE_FIXED_FILE;
    socket->flags |= IO_SENDING;
}

void uring_on_send(struct reactor *reactor, struct reactor_socket *socket, int result) {
    socket->operations--;
    socket->flags &= (uint8_t)~IO_SENDING;
    reactor->reported++;
    reactor_on_sent(reactor->shard, socket, result);
}

void uring_shut(struct reactor *reactor, struct reactor_socket *socket) {
    struct io_uring_sqe *sqe;

    if ((socket->flags & IO_CLOSING) != 0)
        return;
    sqe = uring_socket_submission(reactor, socket, URING_STEP);
    io_uring_prep_shutdown(sqe, (int)socket->descriptor, SHUT_WR);
    sqe->flags |= IOSQE_FIXED_FILE;
    socket->ending |= IO_SHUTTING;
}

void uring_post_close(struct reactor *reactor, struct reactor_socket *socket) {
    struct io_uring_sqe *sqe = uring_socket_submission(reactor, socket, URING_CLOSE);

    if (socket->descriptor == URING_NO_DESCRIPTOR)
        io_uring_prep_nop(sqe);
    else
        io_uring_prep_close_direct(sqe, socket->descriptor);
}

static void post_reset(struct reactor *reactor, struct reactor_socket *socket) {
    struct io_uring_sqe *sqe = uring_socket_submission(reactor, socket, URING_STEP);

    io_uring_prep_connect(sqe, (int)socket->descriptor, &no_peer, sizeof no_peer);
    sqe->flags |=
        IOSQE_FIXED_FILE | IOSQE_IO_HARDLINK; /* the close follows, whatever comes of it */
}

static void post_end(struct reactor *reactor, struct reactor_socket *socket, bool reset) {
    if (reset && socket->descriptor != URING_NO_DESCRIPTOR)
        post_reset(reactor, socket);
    uring_post_close(reactor, socket);
}

void uring_close(struct reactor *reactor, struct reactor_socket *socket, bool reset) {
    CHECK((socket->flags & IO_CLOSING) == 0);
    leave_starved(reactor, socket);
    socket->flags |= IO_CLOSING;
    if ((socket->flags & IO_CONNECTING) != 0) {
        for (struct uring_connect *at = reactor->connects; at != NULL; at = at->next)
            if (at->socket == socket)
                uring_cancel(uring_of(reactor, socket), at, URING_CONNECT);
        return; /* closed when the connect has ended */
    }
    if ((socket->flags & (IO_RECEIVING | IO_CANCELING)) == IO_RECEIVING)
        uring_cancel(uring_of(reactor, socket), socket, URING_RECEIVE);
    if ((socket->flags & IO_SENDING) != 0)
        uring_cancel(uring_of(reactor, socket), socket, URING_SEND);
    if ((socket->ending & IO_SHUTTING) != 0) {
        socket->ending |= reset ? IO_CLOSE_WAITS | IO_RESET_WAITS : IO_CLOSE_WAITS;
        return;
    }
    post_end(reactor, socket, reset);
}

/* A shutdown or a reset is done; after a shutdown what waited for it follows. */
void uring_on_step(struct reactor *reactor, struct reactor_socket *socket) {
    uint8_t ending = socket->ending;

    socket->operations--;
    socket->ending = 0;
    if ((ending & IO_CLOSE_WAITS) != 0)
        post_end(reactor, socket, (ending & IO_RESET_WAITS) != 0);
}

void uring_finish_if_gone(struct reactor *reactor, struct reactor_socket *socket) {
    if ((socket->flags & IO_CLOSING) == 0 || socket->operations != 0)
        return;
    CHECK(uring_of(reactor, socket)->used > 0);
    uring_of(reactor, socket)->used--;
    reactor->reported++;
    reactor_on_closed(reactor->shard, socket);
}

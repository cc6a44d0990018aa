/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The io_uring reactor: accepting and connecting, and the room for descriptors that both need.
 *
 * Accepts are single-shot, each with its own place for the peer's address: a multishot accept keeps
 * only the last one's, and a direct descriptor has no getpeername. An accept is posted only where
 * its ring has room for the descriptor, for a connection that finds none is lost. When no ring has
 * any, one is added.
 */
#include "runtime/reactor_uring_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* --- rings with room ------------------------------------------------------------------------- */

void uring_join(struct reactor *reactor, struct uring *ring) {
    struct io_uring_cq *queue = &ring->io.cq;

    CHECK(ring->index == reactor->ring_count);
    reactor->looks[ring->index] = (struct uring_look){.flags = ring->io.sq.kflags,
                                                      .tail = queue->ktail,
                                                      .switches = queue->kflags,
                                                      .head = *queue->khead};
    reactor->rings[reactor->ring_count++] = ring;
}

static int add_ring(struct reactor *reactor) {
    struct uring *ring;
    int error;

    if (reactor->ring_count == URING_RINGS_MAX)
        return -ENFILE;
    ring = malloc(sizeof *ring);
    if (ring == NULL)
        return -ENOMEM;
    error = uring_create(ring, URING_BUFFERS_ADDED, reactor->ring_count, &reactor->posted);
    if (error == 0) {
        error = io_uring_register_eventfd(&ring->io, reactor->eventfd);
        if (error == 0)
            error = uring_enable(ring);
        if (error != 0)
            uring_destroy(ring);
    }
    if (error != 0) {
        free(ring);
        return error;
    }
    io_uring_cq_eventfd_toggle(&ring->io, false);
    uring_join(reactor, ring);
    return 0;
}

/* Reserves a descriptor in the first ring that has one. Its index or -ENFILE. */
static int reserve_descriptor(struct reactor *reactor) {
    for (unsigned i = 0; i < reactor->ring_count; i++) {
        struct uring *ring = reactor->rings[i];
        if (ring->used < ring->descriptors) {
            ring->used++;
            return (int)i;
        }
    }
    if (!reactor->enabled || add_ring(reactor) != 0)
        return -ENFILE;
    reactor->rings[reactor->ring_count - 1]->used++;
    return (int)reactor->ring_count - 1;
}

/* --- accepting ------------------------------------------------------------------------------- */

int uring_accept_post(struct reactor *reactor, int listening_fd, uint32_t listener) {
    struct uring_accept *accept = NULL;
    struct io_uring_sqe *sqe;
    int ring;

    for (unsigned i = 0; i < URING_ACCEPTS_MAX && accept == NULL; i++)
        if (!reactor->accepts[i].posted)
            accept = &reactor->accepts[i];
    if (accept == NULL)
        return -ENFILE;
    ring = reserve_descriptor(reactor);
    if (ring < 0)
        return ring;
    *accept = (struct uring_accept){.peer_length = sizeof accept->peer,
                                    .listener = listener,
                                    .ring = (uint8_t)ring,
                                    .posted = true};
    sqe = uring_submission(reactor->rings[ring], accept, URING_ACCEPT);
    io_uring_prep_accept(sqe, listening_fd, &accept->peer.any, &accept->peer_length, 0);
    /* io_uring_prep_accept_direct of liburing 2.3 takes no automatic slot. */
    sqe->file_index = IORING_FILE_INDEX_ALLOC;
    return 0;
}

void uring_accept_cancel(struct reactor *reactor, uint32_t listener) {
    for (unsigned i = 0; i < URING_ACCEPTS_MAX; i++) {
        struct uring_accept *accept = &reactor->accepts[i];
        if (accept->posted && accept->listener == listener)
            uring_cancel(reactor->rings[accept->ring], accept, URING_ACCEPT);
    }
}

void uring_on_accept(struct reactor *reactor, struct uring_accept *accept, int result) {
    uint8_t ring_index = accept->ring;
    struct uring *ring = reactor->rings[ring_index];
    struct socket_address peer;
    struct reactor_socket *socket;

    accept->posted = false;
    reactor->reported++;
    if (result < 0) {
        ring->used--;
        reactor_on_accept_failed(reactor->shard, accept->listener, result);
        return;
    }
    socket_address_from_kernel(&accept->peer, &peer);
    /* The listener may post its next accept from within: `accept` is another one's after this. */
    socket = reactor_on_accepted(reactor->shard, accept->listener, &peer);
    if (socket == NULL) {
        ring->used--; /* the close is taken before any accept that is posted after it */
        io_uring_prep_close_direct(uring_submission(ring, NULL, URING_NOTHING), (unsigned)result);
        return;
    }
    socket->descriptor = (uint32_t)result;
    socket->ring = ring_index;
}

/* --- connecting ------------------------------------------------------------------------------ */

void uring_end_connect(struct uring_connect *connect) {
    connect->socket->flags &= (uint8_t)~IO_CONNECTING;
    *connect->link = connect->next;
    if (connect->next != NULL)
        connect->next->link = connect->link;
    if (connect->fd >= 0)
        close(connect->fd);
    free(connect);
}

/* Begins to move a plain descriptor into a ring's table. `peer`: whom to connect it to then; NULL:
 * it is connected. On failure the descriptor is still the caller's. */
static int move_into_table(struct reactor *reactor, struct reactor_socket *socket, int fd,
                           const struct socket_address *peer) {
    struct uring_connect *connect;
    struct io_uring_sqe *sqe;
    int ring = reserve_descriptor(reactor);

    connect = ring < 0 ? NULL : malloc(sizeof *connect);
    if (connect == NULL) {
        if (ring >= 0)
            reactor->rings[ring]->used--;
        return ring < 0 ? ring : -ENOMEM;
    }
    socket->ring = (uint8_t)ring;
    socket->flags |= IO_CONNECTING;
    *connect = (struct uring_connect){.socket = socket,
                                      .fd = fd,
                                      .index = fd,
                                      .next = reactor->connects,
                                      .link = &reactor->connects};
    if (peer != NULL)
        connect->peer_length = socket_address_to_kernel(peer, &connect->peer);
    if (connect->next != NULL)
        connect->next->link = &connect->next;
    reactor->connects = connect;
    socket->operations++;
    sqe = uring_submission(reactor->rings[ring], connect, URING_CONNECT);
    io_uring_prep_files_update(sqe, &connect->index, 1, (int)IORING_FILE_INDEX_ALLOC);
    return 0;
}

int uring_connect(struct reactor *reactor, struct reactor_socket *socket,
                  const struct socket_address *peer, const struct socket_address *local) {
    int fd = socket_open_bound(peer, local);
    int error;

    if (fd < 0)
        return fd;
    error = move_into_table(reactor, socket, fd, peer);
    if (error != 0)
        close(fd);
    return error;
}

int uring_adopt(struct reactor *reactor, struct reactor_socket *socket, int fd) {
    return move_into_table(reactor, socket, fd, NULL);
}

/* The socket is in the table: connect it, which is its second operation, unless it is. */
static void on_descriptor(struct reactor *reactor, struct uring_connect *connect) {
    struct reactor_socket *socket = connect->socket;
    struct io_uring_sqe *sqe;

    close(connect->fd);
    connect->fd = -1;
    socket->descriptor = (uint32_t)connect->index;
    if (connect->peer_length == 0)
        return;
    socket->operations++;
    sqe = uring_submission(uring_of(reactor, socket), connect, URING_CONNECT);
    io_uring_prep_connect(sqe, (int)socket->descriptor, &connect->peer.any, connect->peer_length);
    sqe->flags |= IOSQE_FIXED_FILE;
}

void uring_on_connect(struct reactor *reactor, struct uring_connect *connect, int result) {
    struct reactor_socket *socket = connect->socket;
    bool in_table = connect->fd < 0 || result == 1;

    socket->operations--;
    if (in_table && connect->fd >= 0) {
        on_descriptor(reactor, connect);
        if (connect->peer_length != 0) {
            if ((socket->flags & IO_CLOSING) != 0)
                uring_cancel(uring_of(reactor, socket), connect, URING_CONNECT);
            return;
        }
        result = 0;
    }
    if (!in_table) {
        socket->descriptor = URING_NO_DESCRIPTOR;
        result = result < 0 ? result : -ENFILE;
    }
    uring_end_connect(connect);
    if ((socket->flags & IO_CLOSING) != 0) {
        uring_post_close(reactor, socket);
    } else {
        reactor->reported++;
        reactor_on_connected(reactor->shard, socket, result);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reactor on io_uring: rings, direct descriptors, multishot receives into provided buffers.
 *
 *   poll: ask starved receives again ─► each added ring: submit, collect ─► main ring: submit,
 * wait, collect
 *
 * The main ring is the one that waits. Rings that were added when a descriptor table was full
 * register one eventfd, which the main ring polls: their events, and `wake`, end its wait. While
 * the shard is awake the rings' flags are looked at instead, without a system call, and the eventfd
 * is switched off. (Polling a DEFER_TASKRUN ring's own descriptor loses wakes.)
 *
 * Accepts are single-shot, each with its own place for the peer's address: a multishot accept keeps
 * only the last one's, and a direct descriptor has no getpeername. An accept is posted only where
 * its ring has room for the descriptor, for a connection that finds none is lost.
 *
 * Closing: cancel the receive (and, with a reset, the send), then close the descriptor. The kernel
 * takes the three in order, each may complete when it likes, and `operations` counts them: the
 * socket is gone when the count is zero. Only a shutdown is not taken in order: a worker thread of
 * the kernel looks its descriptor up when it runs, which may be another socket's by then, so a
 * close waits for its end. A reset is a connect to AF_UNSPEC, which makes TCP disconnect with RST;
 * SO_LINGER cannot be set on a direct descriptor before Linux 6.7.
 */
#include "runtime/log.h"
#include "runtime/shard_internal.h"
#include "runtime/socket_internal.h"
#include "runtime/uring_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define RINGS_MAX 64u
#define ACCEPTS_MAX 512u         /* posted at a time, over all listeners */
#define NO_DESCRIPTOR UINT32_MAX /* a socket that could not be put into the table */
#define WAKE ((void *)8)         /* with URING_NOTHING: the eventfd was written */

enum socket_flags {
    RECEIVING = 1,   /* a receive is posted */
    WANTED = 2,      /* socket.c wants to receive */
    CANCELING = 4,   /* the posted receive is being canceled */
    STARVED = 8,     /* in its ring's queue for buffers */
    ENDED = 16,      /* the peer sends no more */
    SENDING = 32,    /* a send is posted */
    CONNECTING = 64, /* struct uring_connect is at work */
    CLOSING = 128,
};

enum socket_ending {
    SHUTTING = 1,    /* a shutdown is in flight */
    CLOSE_WAITS = 2, /* for it */
    RESET_WAITS = 4,
};

struct uring_accept {
    _Alignas(8) union socket_kernel_address peer;
    socklen_t peer_length;
    uint32_t listener;
    uint8_t ring;
    bool posted;
};

/* Lives while a connect is at work: first its descriptor moves into the table, then it connects. */
struct uring_connect {
    _Alignas(8) struct reactor_socket *socket;
    union socket_kernel_address peer;
    socklen_t peer_length;
    int fd;                             /* the plain socket, until it is in the table */
    int index;                          /* in: fd, out: the direct descriptor */
    struct uring_connect *next, **link; /* all that are at work, for destroy */
};

struct reactor {
    struct shard *shard;
    struct uring *rings[RINGS_MAX];
    unsigned ring_count;
    bool enabled;
    unsigned reported; /* events in this poll */
    int eventfd;
    _Atomic uint32_t
        wake_pending; /* set by any thread before it writes the eventfd; cleared by poll */
    struct uring_connect *connects;
    struct uring_accept accepts[ACCEPTS_MAX];
};

static const struct sockaddr no_peer = {.sa_family = AF_UNSPEC};

static struct uring *ring_of(struct reactor *reactor, const struct reactor_socket *socket) {
    return reactor->rings[socket->ring];
}

static struct io_uring_sqe *socket_submission(struct reactor *reactor,
                                              struct reactor_socket *socket, enum uring_tag tag) {
    socket->operations++;
    return uring_submission(ring_of(reactor, socket), socket, tag);
}

static void cancel(struct uring *ring, const void *of, enum uring_tag tag) {
    struct io_uring_sqe *sqe = uring_submission(ring, NULL, URING_NOTHING);

    io_uring_prep_cancel64(sqe, (uintptr_t)of | tag, 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

/* --- receiving
 * ------------------------------------------------------------------------------------- */

static void post_receive(struct reactor *reactor, struct reactor_socket *socket) {
    struct io_uring_sqe *sqe = socket_submission(reactor, socket, URING_RECEIVE);

    io_uring_prep_recv_multishot(sqe, (int)socket->descriptor, NULL, 0, 0);
    sqe->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    sqe->buf_group = URING_BUFFER_GROUP;
    socket->flags |= RECEIVING;
}

/* The data waits in the socket until buffers have come back. */
static void starve(struct reactor *reactor, struct reactor_socket *socket) {
    struct uring *ring = ring_of(reactor, socket);

    if (ring->starved_count == URING_STARVED_MAX) {
        post_receive(reactor, socket); /* tries again in the next poll */
        return;
    }
    ring->starved[(ring->starved_head + ring->starved_count++) % URING_STARVED_MAX] = socket;
    socket->flags |= STARVED;
}

/* Rare: a socket that is paused or closed while it waits for a buffer. */
static void forget_starved(struct reactor *reactor, struct reactor_socket *socket) {
    struct uring *ring = ring_of(reactor, socket);

    if ((socket->flags & STARVED) == 0)
        return;
    socket->flags &= (uint8_t)~STARVED;
    for (unsigned i = 0; i < ring->starved_count; i++) {
        unsigned place = (ring->starved_head + i) % URING_STARVED_MAX;
        if (ring->starved[place] == socket)
            ring->starved[place] = NULL;
    }
}

static void feed_starved(struct reactor *reactor, struct uring *ring) {
    unsigned room = ring->buffer_count - ring->buffers_lent;

    while (ring->starved_count > 0 && room > 0) {
        struct reactor_socket *socket = ring->starved[ring->starved_head];

        ring->starved_head = (ring->starved_head + 1) % URING_STARVED_MAX;
        ring->starved_count--;
        if (socket == NULL)
            continue;
        socket->flags &= (uint8_t)~STARVED;
        post_receive(reactor, socket);
        room--;
    }
}

static void uring_receive(struct reactor *reactor, struct reactor_socket *socket, bool start) {
    if ((socket->flags & (CLOSING | ENDED)) != 0)
        return;
    if (start) {
        socket->flags |= WANTED;
        if ((socket->flags & (RECEIVING | STARVED)) == 0)
            post_receive(reactor, socket);
        return; /* one that is being canceled is posted again when it has ended */
    }
    socket->flags &= (uint8_t)~WANTED;
    forget_starved(reactor, socket);
    if ((socket->flags & (RECEIVING | CANCELING)) == RECEIVING) {
        cancel(ring_of(reactor, socket), socket, URING_RECEIVE);
        socket->flags |= CANCELING;
    }
}

static void uring_give_back(struct reactor *reactor, uint32_t lender) {
    uring_buffer_give(reactor->rings[lender >> 16], lender & 0xffff);
}

static void on_receive_end(struct reactor *reactor, struct reactor_socket *socket, int result) {
    socket->operations--;
    socket->flags &= (uint8_t) ~(RECEIVING | CANCELING);
    if ((socket->flags & CLOSING) != 0)
        return;
    if (result == -ENOBUFS && (socket->flags & WANTED) != 0) {
        starve(reactor, socket);
    } else if (result > 0 || result == -ECANCELED || result == -EINTR || result == -EAGAIN ||
               result == -ENOBUFS) {
        if ((socket->flags & WANTED) != 0)
            post_receive(reactor, socket);
    } else {
        socket->flags |= ENDED;
        reactor->reported++;
        reactor_on_received_all(reactor->shard, socket, result);
    }
}

static void on_receive(struct reactor *reactor, struct reactor_socket *socket,
                       const struct io_uring_cqe *completion) {
    struct uring *ring = ring_of(reactor, socket);

    if ((completion->flags & IORING_CQE_F_BUFFER) != 0) {
        uint32_t buffer = completion->flags >> IORING_CQE_BUFFER_SHIFT;

        ring->buffers_lent++;
        if (completion->res <= 0 || (socket->flags & CLOSING) != 0) {
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

/* --- sending and closing
 * --------------------------------------------------------------------------- */

static void uring_send(struct reactor *reactor, struct reactor_socket *socket, const uint8_t *bytes,
                       size_t length) {
    struct io_uring_sqe *sqe = socket_submission(reactor, socket, URING_SEND);

    CHECK((socket->flags & (SENDING | CLOSING)) == 0);
    /* Not MSG_WAITALL: after 128 polls for one request the kernel gives it to a worker thread,
     * where it blocks, and a few peers that do not read would hold up every other one's shutdown.
     */
    io_uring_prep_send(sqe, (int)socket->descriptor, bytes, length, MSG_NOSIGNAL);
    sqe->flags |= IOSQE_FIXED_FILE;
    socket->flags |= SENDING;
}

static void on_send(struct reactor *reactor, struct reactor_socket *socket, int result) {
    socket->operations--;
    socket->flags &= (uint8_t)~SENDING;
    reactor->reported++;
    reactor_on_sent(reactor->shard, socket, result);
}

static void uring_shut(struct reactor *reactor, struct reactor_socket *socket) {
    struct io_uring_sqe *sqe;

    if ((socket->flags & CLOSING) != 0)
        return;
    sqe = socket_submission(reactor, socket, URING_STEP);
    io_uring_prep_shutdown(sqe, (int)socket->descriptor, SHUT_WR);
    sqe->flags |= IOSQE_FIXED_FILE;
    socket->ending |= SHUTTING;
}

static void post_close(struct reactor *reactor, struct reactor_socket *socket) {
    struct io_uring_sqe *sqe = socket_submission(reactor, socket, URING_CLOSE);

    if (socket->descriptor == NO_DESCRIPTOR)
        io_uring_prep_nop(sqe);
    else
        io_uring_prep_close_direct(sqe, socket->descriptor);
}

static void post_reset(struct reactor *reactor, struct reactor_socket *socket) {
    struct io_uring_sqe *sqe = socket_submission(reactor, socket, URING_STEP);

    io_uring_prep_connect(sqe, (int)socket->descriptor, &no_peer, sizeof no_peer);
    sqe->flags |=
        IOSQE_FIXED_FILE | IOSQE_IO_HARDLINK; /* the close follows, whatever comes of it */
}

static void post_end(struct reactor *reactor, struct reactor_socket *socket, bool reset) {
    if (reset && socket->descriptor != NO_DESCRIPTOR)
        post_reset(reactor, socket);
    post_close(reactor, socket);
}

static void uring_close(struct reactor *reactor, struct reactor_socket *socket, bool reset) {
    CHECK((socket->flags & CLOSING) == 0);
    forget_starved(reactor, socket);
    socket->flags |= CLOSING;
    if ((socket->flags & CONNECTING) != 0) {
        for (struct uring_connect *at = reactor->connects; at != NULL; at = at->next)
            if (at->socket == socket)
                cancel(ring_of(reactor, socket), at, URING_CONNECT);
        return; /* closed when the connect has ended */
    }
    if ((socket->flags & (RECEIVING | CANCELING)) == RECEIVING)
        cancel(ring_of(reactor, socket), socket, URING_RECEIVE);
    if ((socket->flags & SENDING) != 0)
        cancel(ring_of(reactor, socket), socket, URING_SEND);
    if ((socket->ending & SHUTTING) != 0) {
        socket->ending |= reset ? CLOSE_WAITS | RESET_WAITS : CLOSE_WAITS;
        return;
    }
    post_end(reactor, socket, reset);
}

/* A shutdown or a reset is done; after a shutdown what waited for it follows. */
static void on_step(struct reactor *reactor, struct reactor_socket *socket) {
    uint8_t ending = socket->ending;

    socket->operations--;
    socket->ending = 0;
    if ((ending & CLOSE_WAITS) != 0)
        post_end(reactor, socket, (ending & RESET_WAITS) != 0);
}

/* After each operation of a socket: true when it was the last one. */
static void finish_if_gone(struct reactor *reactor, struct reactor_socket *socket) {
    if ((socket->flags & CLOSING) == 0 || socket->operations != 0)
        return;
    CHECK(ring_of(reactor, socket)->used > 0);
    ring_of(reactor, socket)->used--;
    reactor->reported++;
    reactor_on_closed(reactor->shard, socket);
}

/* --- rings with room
 * ------------------------------------------------------------------------------- */

static int add_ring(struct reactor *reactor) {
    struct uring *ring;
    int error;

    if (reactor->ring_count == RINGS_MAX)
        return -ENFILE;
    ring = malloc(sizeof *ring);
    if (ring == NULL)
        return -ENOMEM;
    error = uring_create(ring, URING_BUFFERS_ADDED);
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
    reactor->rings[reactor->ring_count++] = ring;
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

/* --- accepting
 * ------------------------------------------------------------------------------------- */

static int uring_accept_post(struct reactor *reactor, int listening_fd, uint32_t listener) {
    struct uring_accept *accept = NULL;
    struct io_uring_sqe *sqe;
    int ring;

    for (unsigned i = 0; i < ACCEPTS_MAX && accept == NULL; i++)
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

static void uring_accept_cancel(struct reactor *reactor, uint32_t listener) {
    for (unsigned i = 0; i < ACCEPTS_MAX; i++) {
        struct uring_accept *accept = &reactor->accepts[i];
        if (accept->posted && accept->listener == listener)
            cancel(reactor->rings[accept->ring], accept, URING_ACCEPT);
    }
}

static void on_accept(struct reactor *reactor, struct uring_accept *accept, int result) {
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

/* --- connecting
 * ------------------------------------------------------------------------------------ */

/* A plain socket with its options, bound if asked. A descriptor or -errno. */
static int open_bound(const struct socket_address *peer, const struct socket_address *local) {
    const int on = 1;
    union socket_kernel_address kernel;
    socklen_t length;
    int fd = socket_open(peer->family);
    int error;

    if (fd < 0 || local == NULL)
        return fd;
    length = socket_address_to_kernel(local, &kernel);
    /* Its port is chosen when the peer is known, so that as many connections as there are ports can
     * go to each peer. */
    if (local->port == 0)
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (local->family == peer->family && bind(fd, &kernel.any, length) == 0)
        return fd;
    error = local->family == peer->family ? -errno : -EINVAL;
    close(fd);
    return error;
}

static void end_connect(struct uring_connect *connect) {
    connect->socket->flags &= (uint8_t)~CONNECTING;
    *connect->link = connect->next;
    if (connect->next != NULL)
        connect->next->link = connect->link;
    if (connect->fd >= 0)
        close(connect->fd);
    free(connect);
}

static int uring_connect(struct reactor *reactor, struct reactor_socket *socket,
                         const struct socket_address *peer, const struct socket_address *local) {
    struct uring_connect *connect;
    struct io_uring_sqe *sqe;
    int fd = open_bound(peer, local);
    int ring;

    if (fd < 0)
        return fd;
    ring = reserve_descriptor(reactor);
    connect = ring < 0 ? NULL : malloc(sizeof *connect);
    if (connect == NULL) {
        if (ring >= 0)
            reactor->rings[ring]->used--;
        close(fd);
        return ring < 0 ? ring : -ENOMEM;
    }
    socket->ring = (uint8_t)ring;
    socket->flags |= CONNECTING;
    *connect = (struct uring_connect){.socket = socket,
                                      .fd = fd,
                                      .index = fd,
                                      .next = reactor->connects,
                                      .link = &reactor->connects};
    connect->peer_length = socket_address_to_kernel(peer, &connect->peer);
    if (connect->next != NULL)
        connect->next->link = &connect->next;
    reactor->connects = connect;
    socket->operations++;
    sqe = uring_submission(reactor->rings[ring], connect, URING_CONNECT);
    io_uring_prep_files_update(sqe, &connect->index, 1, (int)IORING_FILE_INDEX_ALLOC);
    return 0;
}

/* The first of its two completions: the socket is in the table, connect it. */
static void on_descriptor(struct reactor *reactor, struct uring_connect *connect) {
    struct reactor_socket *socket = connect->socket;
    struct io_uring_sqe *sqe;

    close(connect->fd);
    connect->fd = -1;
    socket->descriptor = (uint32_t)connect->index;
    socket->operations++;
    sqe = uring_submission(ring_of(reactor, socket), connect, URING_CONNECT);
    io_uring_prep_connect(sqe, (int)socket->descriptor, &connect->peer.any, connect->peer_length);
    sqe->flags |= IOSQE_FIXED_FILE;
}

static void on_connect(struct reactor *reactor, struct uring_connect *connect, int result) {
    struct reactor_socket *socket = connect->socket;
    bool in_table = connect->fd < 0 || result == 1;

    socket->operations--;
    if (in_table && connect->fd >= 0) {
        on_descriptor(reactor, connect);
        if ((socket->flags & CLOSING) != 0)
            cancel(ring_of(reactor, socket), connect, URING_CONNECT);
        return;
    }
    if (!in_table) {
        socket->descriptor = NO_DESCRIPTOR;
        result = result < 0 ? result : -ENFILE;
    }
    end_connect(connect);
    if ((socket->flags & CLOSING) != 0) {
        post_close(reactor, socket);
    } else {
        reactor->reported++;
        reactor_on_connected(reactor->shard, socket, result);
    }
}

/* --- watching
 * -------------------------------------------------------------------------------------- */

static int uring_watch(struct reactor *reactor, int fd, struct reactor_watch *watch) {
    io_uring_prep_poll_add(uring_submission(reactor->rings[0], watch, URING_WATCH), fd, POLLIN);
    return 0;
}

static void uring_unwatch(struct reactor *reactor, struct reactor_watch *watch) {
    cancel(reactor->rings[0], watch, URING_WATCH);
}

/* Never read: a write to it completes the poll whatever its count is. */
static void post_wake_poll(struct reactor *reactor) {
    struct io_uring_sqe *sqe = uring_submission(reactor->rings[0], WAKE, URING_NOTHING);

    io_uring_prep_poll_multishot(sqe, reactor->eventfd, POLLIN);
}

static void uring_wake(struct reactor *reactor) {
    const uint64_t one = 1;

    /* Pairs with the exchange at the end of poll. */
    if (atomic_exchange(&reactor->wake_pending, 1) == 0)
        CHECK(write(reactor->eventfd, &one, sizeof one) == sizeof one);
}

/* --- the loop
 * -------------------------------------------------------------------------------------- */

static void dispatch_socket(struct reactor *reactor, struct reactor_socket *socket,
                            enum uring_tag tag, const struct io_uring_cqe *completion) {
    if (tag == URING_RECEIVE)
        on_receive(reactor, socket, completion);
    else if (tag == URING_SEND)
        on_send(reactor, socket, completion->res);
    else if (tag == URING_STEP)
        on_step(reactor, socket);
    else
        socket->operations--;
    CHECK(tag != URING_CLOSE || completion->res == 0);
    finish_if_gone(reactor, socket);
}

static void dispatch(struct reactor *reactor, const struct io_uring_cqe *completion) {
    enum uring_tag tag = (enum uring_tag)(completion->user_data & URING_TAG_MASK);
    void *of = (void *)(uintptr_t)(completion->user_data & ~URING_TAG_MASK); // NOLINT
    struct reactor_watch *watch = of;

    switch (tag) {
    case URING_CONNECT:
        on_connect(reactor, of, completion->res);
        break;
    case URING_ACCEPT:
        on_accept(reactor, of, completion->res);
        break;
    case URING_WATCH:
        reactor->reported++;
        watch->ready(watch, completion->res < 0 ? completion->res : 0);
        break;
    case URING_NOTHING:
        if (of == WAKE && (completion->flags & IORING_CQE_F_MORE) == 0)
            post_wake_poll(reactor);
        break;
    default:
        dispatch_socket(reactor, of, tag, completion);
    }
}

static void collect(struct reactor *reactor, struct uring *ring) {
    const struct io_uring_cq *queue = &ring->io.cq;
    unsigned head = *queue->khead;
    unsigned ready = io_uring_cq_ready(&ring->io);

    for (unsigned i = 0; i < ready; i++)
        dispatch(reactor, &queue->cqes[(head + i) & queue->ring_mask]);
    io_uring_cq_advance(&ring->io, ready);
}

static void turn_added_rings(struct reactor *reactor) {
    for (unsigned i = 1; i < reactor->ring_count; i++) {
        if (!uring_has_work(reactor->rings[i]))
            continue;
        uring_enter(reactor->rings[i], 0);
        collect(reactor, reactor->rings[i]);
    }
}

/* Before and after waiting. True if an added ring has something to do already. */
static bool listen_to_added_rings(struct reactor *reactor, bool on) {
    bool work = false;

    for (unsigned i = 1; i < reactor->ring_count; i++)
        io_uring_cq_eventfd_toggle(&reactor->rings[i]->io, on);
    if (!on)
        return false;
    atomic_thread_fence(memory_order_seq_cst); /* the switch is seen before the flags are read */
    for (unsigned i = 1; i < reactor->ring_count; i++)
        work = work || uring_has_work(reactor->rings[i]);
    return work;
}

static void turn_main_ring(struct reactor *reactor, uint64_t timeout_ns) {
    struct uring *ring = reactor->rings[0];

    if (reactor->reported > 0 || atomic_load(&reactor->wake_pending) != 0)
        timeout_ns = 0;
    if (timeout_ns > 0) {
        if (listen_to_added_rings(reactor, true))
            timeout_ns = 0;
        uring_enter(ring, timeout_ns);
        listen_to_added_rings(reactor, false);
    } else if (uring_has_work(ring)) {
        uring_enter(ring, 0);
    }
    collect(reactor, ring);
}

static unsigned uring_poll(struct reactor *reactor, uint64_t timeout_ns) {
    if (!reactor->enabled) {
        CHECK(uring_enable(reactor->rings[0]) == 0);
        reactor->enabled = true;
    }
    reactor->reported = 0;
    for (unsigned i = 0; i < reactor->ring_count; i++)
        feed_starved(reactor, reactor->rings[i]);
    turn_added_rings(reactor);
    turn_main_ring(reactor, timeout_ns);
    if (reactor->reported == 0)
        turn_added_rings(reactor);
    /* A wake from here on writes the eventfd again; what was published before an earlier one is
     * seen by the caller, for both are read-modify-write. */
    atomic_exchange(&reactor->wake_pending, 0);
    return reactor->reported;
}

/* --- life
 * ------------------------------------------------------------------------------------------ */

static int uring_reactor_create(struct shard *shard, struct reactor **created) {
    struct reactor *reactor = calloc(1, sizeof *reactor);
    struct uring *ring = malloc(sizeof *ring);
    int error = -ENOMEM;

    if (reactor == NULL || ring == NULL)
        goto out;
    reactor->shard = shard;
    reactor->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    error = reactor->eventfd < 0 ? -errno : uring_create(ring, URING_BUFFERS_MAIN);
    if (error != 0) {
        log_error("no io_uring here: %s. It needs Linux 6.1 or newer, and a container profile that "
                  "allows it",
                  strerror(-error));
        if (reactor->eventfd >= 0)
            close(reactor->eventfd);
        goto out;
    }
    reactor->rings[reactor->ring_count++] = ring;
    post_wake_poll(reactor);
    *created = reactor;
    return 0;
out:
    free(ring);
    free(reactor);
    return error;
}

static void uring_reactor_destroy(struct reactor *reactor) {
    for (unsigned i = 0; i < reactor->ring_count; i++) {
        uring_destroy(reactor->rings[i]);
        free(reactor->rings[i]);
    }
    while (reactor->connects != NULL)
        /* It unlinks itself through connect->link, which the analyzer cannot follow. */
        end_connect(reactor->connects); // NOLINT(clang-analyzer-unix.Malloc)
    close(reactor->eventfd);
    free(reactor);
}

static size_t uring_reactor_memory(const struct reactor *reactor) {
    size_t bytes = sizeof *reactor;

    for (unsigned i = 0; i < reactor->ring_count; i++)
        bytes += uring_memory_bytes(reactor->rings[i]);
    return bytes;
}

static unsigned uring_reactor_rings(const struct reactor *reactor) {
    return reactor->ring_count;
}

const struct reactor_ops reactor_uring = {
    .name = "io_uring",
    .create = uring_reactor_create,
    .destroy = uring_reactor_destroy,
    .poll = uring_poll,
    .wake = uring_wake,
    .accept = uring_accept_post,
    .accept_cancel = uring_accept_cancel,
    .connect = uring_connect,
    .receive = uring_receive,
    .send = uring_send,
    .shut = uring_shut,
    .close = uring_close,
    .give_back = uring_give_back,
    .watch = uring_watch,
    .unwatch = uring_unwatch,
    .memory_bytes = uring_reactor_memory,
    .rings = uring_reactor_rings,
};

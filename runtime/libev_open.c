/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The libev reactor: accepting and connecting, and the descriptors that both need.
 *
 * Each socket takes a descriptor of the process here, of which there may be few. A new descriptor
 * is the lowest number that is free: one above the mark says that nearly all are taken. Then
 * accepting pauses, for the last ones are the store's and the programs'; socket.c's listener tries
 * again after a while, and the peers wait in the kernel's backlog. To be out of descriptors, or of
 * memory, ends all accepts that are posted, for the listening socket stays readable and asking on
 * would spin.
 */
#include "runtime/reactor_ev_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

/* --- descriptors ----------------------------------------------------------------------------- */

void libev_descriptors_measure(struct reactor *reactor) {
    struct rlimit limit;
    rlim_t reserve;

    reactor->descriptors_mark = INT32_MAX;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= INT32_MAX)
        return;
    reserve = limit.rlim_cur / LIBEV_RESERVE_PART;
    if (reserve < LIBEV_RESERVE_MIN)
        reserve = LIBEV_RESERVE_MIN;
    if (reserve > LIBEV_RESERVE_MAX)
        reserve = LIBEV_RESERVE_MAX;
    if (limit.rlim_cur > 2 * reserve)
        reactor->descriptors_mark = (int)(limit.rlim_cur - reserve);
}

/* Asks the kernel (what number would a copy of `fd` get?) only after one was above the mark. */
static bool is_short_of_descriptors(struct reactor *reactor, int fd) {
    int lowest;

    if (!reactor->descriptors_short)
        return false;
    lowest = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (lowest >= 0)
        close(lowest);
    reactor->descriptors_short = lowest < 0 || lowest >= reactor->descriptors_mark;
    return reactor->descriptors_short;
}

/* --- accepting ------------------------------------------------------------------------------- */

static void fail_all(struct reactor *reactor, struct libev_listener *listener, int error) {
    unsigned posted = listener->posted;

    listener->posted = 0;
    ev_io_stop(reactor->loop, &listener->io);
    for (; posted > 0; posted--) {
        reactor->reported++;
        reactor_on_accept_failed(reactor->shard, (uint32_t)(listener - reactor->listeners), error);
    }
}

static void take_over(struct reactor *reactor, struct libev_listener *listener, int fd,
                      const union socket_kernel_address *kernel) {
    struct libev_socket *record = libev_record_take(reactor, fd);
    struct reactor_socket *socket = NULL;
    struct socket_address peer;

    if (record == NULL) {
        close(fd);
        fail_all(reactor, listener, -ENFILE);
        return;
    }
    socket_address_from_kernel(kernel, &peer);
    listener->posted--;
    reactor->reported++;
    /* More accepts may be posted from within. */
    socket = reactor_on_accepted(reactor->shard, (uint32_t)(listener - reactor->listeners), &peer);
    if (socket != NULL) {
        libev_record_give(reactor, record, socket);
        return;
    }
    libev_record_free(reactor, record);
    close(fd);
}

/* One connection. False: no more for now. */
static bool accept_once(struct reactor *reactor, struct libev_listener *listener) {
    union socket_kernel_address peer;
    socklen_t length = sizeof peer;
    int fd = accept4(listener->io.fd, &peer.any, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd >= 0) {
        take_over(reactor, listener, fd, &peer);
        if (fd < reactor->descriptors_mark)
            return listener->posted > 0;
        reactor->descriptors_short = true;
        fail_all(reactor, listener, -EMFILE);
        return false;
    }
    switch (errno) {
    case EAGAIN: /* another shard was faster */
        return false;
    case EINTR:
        return true;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        fail_all(reactor, listener, -errno);
        return false;
    default: /* this one connection, or a descriptor that does not listen: socket.c knows */
        listener->posted--;
        reactor->reported++;
        reactor_on_accept_failed(reactor->shard, (uint32_t)(listener - reactor->listeners), -errno);
        return listener->posted > 0;
    }
}

static void on_listener(struct ev_loop *loop, struct ev_io *io, int events) {
    struct reactor *reactor = ev_userdata(loop);
    struct libev_listener *listener = (struct libev_listener *)io;

    if ((events & EV_ERROR) != 0) {
        fail_all(reactor, listener, -ENOMEM);
        return;
    }
    for (unsigned accepts = 0; accepts < LIBEV_ACCEPTS_MAX; accepts++)
        if (!accept_once(reactor, listener))
            break;
    if (listener->posted == 0)
        ev_io_stop(loop, io);
}

/* Every shard waits for one connection, and each is woken by it: the slower ones must not block.
 * (io_uring's accepts wait on such a descriptor all the same, and only one of them is woken.) That
 * costs a wake per shard and connection: libev has no EPOLLEXCLUSIVE, and in an epoll set of our
 * own below libev's it wakes all, too. */
static int make_nonblocking(int fd) {
    int flags = fcntl(fd, F_GETFL);

    return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ? -errno : 0;
}

int libev_accept_post(struct reactor *reactor, int listening_fd, uint32_t number) {
    struct libev_listener *listener = &reactor->listeners[number];
    int error;

    CHECK(number < SOCKET_LISTENERS_MAX);
    if (is_short_of_descriptors(reactor, listening_fd))
        return -EMFILE;
    if (!ev_is_active(&listener->io)) {
        error = make_nonblocking(listening_fd);
        if (error != 0)
            return error;
        ev_io_init(&listener->io, on_listener, listening_fd, EV_READ);
        ev_io_start(reactor->loop, &listener->io);
    }
    listener->posted++;
    return 0;
}

void libev_accept_cancel(struct reactor *reactor, uint32_t number) {
    struct libev_listener *listener = &reactor->listeners[number];

    CHECK(number < SOCKET_LISTENERS_MAX);
    listener->canceled += listener->posted;
    listener->posted = 0;
    ev_io_stop(reactor->loop, &listener->io);
    reactor->canceled = true;
}

void libev_report_canceled_accepts(struct reactor *reactor) {
    for (unsigned i = 0; i < SOCKET_LISTENERS_MAX; i++) {
        struct libev_listener *listener = &reactor->listeners[i];
        unsigned canceled = listener->canceled;

        listener->canceled = 0;
        for (; canceled > 0; canceled--) {
            reactor->reported++;
            reactor_on_accept_failed(reactor->shard, i, -ECANCELED);
        }
    }
}

/* --- connecting ------------------------------------------------------------------------------ */

/* A descriptor that begins to connect, and in `*pending` what connect said. Or -errno. */
static int begin(struct reactor *reactor, const struct socket_address *peer,
                 const struct socket_address *local, int *pending) {
    union socket_kernel_address kernel;
    socklen_t length;
    int fd = socket_open_bound(peer, local);
    int error = 0;

    if (fd < 0)
        return fd;
    if (fd >= reactor->descriptors_mark)
        error = -EMFILE;
    if (error == 0)
        error = make_nonblocking(fd);
    if (error != 0) {
        close(fd);
        return error;
    }
    length = socket_address_to_kernel(peer, &kernel);
    *pending = connect(fd, &kernel.any, length) == 0 ? 0 : -errno;
    return fd;
}

int libev_connect(struct reactor *reactor, struct reactor_socket *socket,
                  const struct socket_address *peer, const struct socket_address *local) {
    struct libev_socket *record;
    int error = 0;
    int fd = begin(reactor, peer, local, &error);

    if (fd < 0)
        return fd;
    record = libev_record_take(reactor, fd);
    if (record == NULL) {
        close(fd);
        return -ENFILE;
    }
    libev_record_give(reactor, record, socket);
    if (error == -EINPROGRESS) {
        record->flags |= LIBEV_CONNECTING;
        libev_listen(reactor, record);
        return 0;
    }
    record->error = (int16_t)error;
    record->flags |= LIBEV_CONNECTED;
    libev_queue_work(reactor, record);
    return 0;
}

int libev_adopt(struct reactor *reactor, struct reactor_socket *socket, int fd) {
    struct libev_socket *record;
    int error = make_nonblocking(fd);

    if (error != 0)
        return error;
    record = libev_record_take(reactor, fd);
    if (record == NULL)
        return -ENFILE;
    libev_record_give(reactor, record, socket);
    record->error = 0;
    record->flags |= LIBEV_CONNECTED;
    libev_queue_work(reactor, record);
    return 0;
}

void libev_on_connected(struct reactor *reactor, struct libev_socket *record, int error) {
    record->flags &= (uint16_t) ~(LIBEV_CONNECTING | LIBEV_CONNECTED);
    libev_listen(reactor, record);
    reactor->reported++;
    reactor_on_connected(reactor->shard, record->socket, error);
}

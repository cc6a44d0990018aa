/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The io_uring reactor's own: what its three files share. reactor_uring.c is the loop, uring_open.c
 * accepts and connects, uring_stream.c receives, sends and closes; uring.c is one ring.
 */
#ifndef TERN_RUNTIME_REACTOR_URING_INTERNAL_H
#define TERN_RUNTIME_REACTOR_URING_INTERNAL_H

#include "runtime/socket_internal.h"
#include "runtime/uring_internal.h"

#include <stdatomic.h>

/* The unit of reactor->now: 2^28 ns, 0.27 s. It wraps after 69 s, so that once in a while a socket
 * that has been quiet for very long is taken for one that was not, which costs a little time. */
#define URING_COOL_SHIFT 28
#define URING_COOL_TICKS 4u
#define URING_COOL_PER_TURN 32u
#define URING_ACCEPTS_MAX 512u /* posted at a time, over all listeners */

enum io_flag {
    IO_RECEIVING = 1,   /* a receive is posted */
    IO_WANTED = 2,      /* socket.c wants to receive */
    IO_CANCELING = 4,   /* the posted receive is being canceled */
    IO_STARVED = 8,     /* in its ring's queue for buffers */
    IO_ENDED = 16,      /* the peer sends no more */
    IO_SENDING = 32,    /* a send is posted */
    IO_CONNECTING = 64, /* struct uring_connect is at work */
    IO_CLOSING = 128,
};

/* How a socket that is receiving waits for input (uring_stream.c). */
enum io_receiving {
    IO_STREAM,  /* a multishot receive; in its ring's row of the streaming */
    IO_COOLING, /* the same, canceled: a poll will follow */
    IO_POLL,
    IO_ONCE, /* a single receive of what a poll has announced */
};

enum io_ending {
    IO_SHUTTING = 1,    /* a shutdown is in flight */
    IO_CLOSE_WAITS = 2, /* for it */
    IO_RESET_WAITS = 4,
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
    socklen_t peer_length;              /* 0: it is connected already */
    int fd;                             /* the plain socket, until it is in the table */
    int index;                          /* in: fd, out: the direct descriptor */
    struct uring_connect *next, **link; /* all that are at work, for destroy */
};

/* What a look at a ring needs, apart from its struct: a line of the kernel's holds all three words.
 */
struct uring_look {
    const unsigned *flags, *tail;
    unsigned *switches; /* for its eventfd */
    unsigned head;      /* so far its completions were collected */
};

struct reactor {
    struct shard *shard;
    struct uring *rings[URING_RINGS_MAX];
    struct uring_look looks[URING_RINGS_MAX];
    unsigned ring_count;
    struct uring_set posted;   /* submissions wait there */
    struct uring_set starving; /* sockets wait for buffers there */
    bool enabled;
    uint8_t now;       /* what reactor_socket.heard is compared with: URING_COOL_SHIFT */
    bool cools;        /* a ring has more to look at (uring_cool) */
    unsigned reported; /* events in this poll */
    int eventfd;
    bool hears_wakes;    /* a read of it is posted */
    uint64_t wake_count; /* what it reads; nobody needs it */
    /* Set by any thread before it writes the eventfd (uring_wake), cleared at the end of turn: the
     * two exchanges pair. */
    _Atomic uint32_t wake_pending;
    struct uring_connect *connects;
    struct uring_accept accepts[URING_ACCEPTS_MAX];
};

static inline struct uring *uring_of(struct reactor *reactor, const struct reactor_socket *socket) {
    return reactor->rings[socket->ring];
}

static inline struct io_uring_sqe *uring_socket_submission(struct reactor *reactor,
                                                           struct reactor_socket *socket,
                                                           enum uring_tag tag) {
    socket->operations++;
    return uring_submission(uring_of(reactor, socket), socket, tag);
}

static inline void uring_cancel(struct uring *ring, const void *of, enum uring_tag tag) {
    struct io_uring_sqe *sqe = uring_submission(ring, NULL, URING_NOTHING);

    io_uring_prep_cancel64(sqe, (uintptr_t)of | tag, 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

/* --- uring_open.c ---------------------------------------------------------------------------- */

/* The reactor's next ring. */
void uring_join(struct reactor *reactor, struct uring *ring);
int uring_accept_post(struct reactor *reactor, int listening_fd, uint32_t listener);
void uring_accept_cancel(struct reactor *reactor, uint32_t listener);
int uring_connect(struct reactor *reactor, struct reactor_socket *socket,
                  const struct socket_address *peer, const struct socket_address *local);
int uring_adopt(struct reactor *reactor, struct reactor_socket *socket, int fd);
void uring_on_accept(struct reactor *reactor, struct uring_accept *accept, int result);
void uring_on_connect(struct reactor *reactor, struct uring_connect *connect, int result);
/* Frees it; its socket stays. */
void uring_end_connect(struct uring_connect *connect);

/* --- uring_stream.c -------------------------------------------------------------------------- */

void uring_receive(struct reactor *reactor, struct reactor_socket *socket, bool start);
void uring_give_back(struct reactor *reactor, uint32_t lender);
/* Lets receives go on that ended for want of a buffer, as many as there are buffers now. */
void uring_feed_starved(struct reactor *reactor);
/* Has some of those that stream and have been quiet wait by a poll instead; true: there are more to
 * look at in the next turn. */
bool uring_cool(struct reactor *reactor, struct uring *ring);
void uring_send(struct reactor *reactor, struct reactor_socket *socket, const uint8_t *bytes,
                size_t length);
void uring_shut(struct reactor *reactor, struct reactor_socket *socket);
void uring_close(struct reactor *reactor, struct reactor_socket *socket, bool reset);
void uring_post_close(struct reactor *reactor, struct reactor_socket *socket);
void uring_on_receive(struct reactor *reactor, struct reactor_socket *socket,
                      const struct io_uring_cqe *completion);
void uring_on_send(struct reactor *reactor, struct reactor_socket *socket, int result);
void uring_on_step(struct reactor *reactor, struct reactor_socket *socket);
/* After each operation of a socket: reports it closed when that was the last one. */
void uring_finish_if_gone(struct reactor *reactor, struct reactor_socket *socket);

#endif

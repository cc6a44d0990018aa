/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The libev reactor's own: what its three files share. reactor_ev.c is the loop and watching,
 * libev_open.c accepts and connects, libev_stream.c receives, sends and closes.
 *
 * libev says what is ready; the calls that do it are made here, and what came of them is reported
 * from within poll alone. A socket whose call can be made at once, or which has ended, stands in
 * one queue (`work`) that poll empties before it waits.
 */
#ifndef TERN_RUNTIME_REACTOR_EV_INTERNAL_H
#define TERN_RUNTIME_REACTOR_EV_INTERNAL_H

#include "runtime/socket_internal.h"
#include "runtime/socket_table_internal.h"

#include <ev.h>

#define LIBEV_CHUNK 256u
#define LIBEV_CHUNKS_MAX 4096u /* 1 M sockets a shard; RLIMIT_NOFILE is less nearly everywhere */
/* Of 2 KiB, as in the other reactor: a burst on 2,048 sockets in one turn; beyond that a receive
 * waits until a buffer comes back. */
#define LIBEV_BUFFER_BYTES 2048u
#define LIBEV_BUFFERS 2048u
#define LIBEV_READS_MAX 16u   /* of one socket before others have their turn */
#define LIBEV_ACCEPTS_MAX 64u /* of one listener likewise */
/* Descriptors that sockets leave to the rest of the process (the store's files, programs that are
 * started): a part of the limit, within bounds. */
#define LIBEV_RESERVE_PART 32u
#define LIBEV_RESERVE_MIN 16u
#define LIBEV_RESERVE_MAX 512u

enum libev_socket_flag {
    LIBEV_WANTED = 1,   /* socket.c wants to receive */
    LIBEV_STARVED = 2,  /* in the queue for buffers */
    LIBEV_ENDED = 4,    /* the peer sends no more */
    LIBEV_SENDING = 8,  /* a send was asked for and is not reported */
    LIBEV_BLOCKED = 16, /* it waits until the socket takes more */
    LIBEV_CONNECTING = 32,
    LIBEV_CONNECTED = 64, /* or refused, at once: to be reported */
    LIBEV_CLOSING = 128,  /* its descriptor is closed already */
    LIBEV_QUEUED = 256,   /* in `work` */
};

struct libev_socket {
    struct ev_io io; /* first: libev gives its address */
    struct reactor_socket *socket;
    const uint8_t *bytes;           /* SENDING, `length` of them */
    struct libev_socket *work_next; /* QUEUED; or the next free record */
    struct libev_socket *starved_next, **starved_link;
    uint32_t length;
    uint32_t slot; /* this record's number */
    uint16_t flags;
    int16_t error; /* CONNECTED: 0 or a negative errno */
};
_Static_assert(sizeof(struct libev_socket) <= 104, "an idle socket is one small record more");

struct libev_listener {
    struct ev_io io;
    unsigned posted;
    unsigned canceled; /* to be reported */
};

struct libev_watch {
    struct ev_io io;
    struct reactor_watch *watch;
    bool canceled; /* to be reported */
    struct libev_watch *next;
};

struct reactor {
    struct shard *shard;
    struct ev_loop *loop;
    struct ev_async wake;
    struct ev_timer timer;
    unsigned reported; /* events in this poll */
    bool canceled;     /* a listener's accepts or a watch: to be reported */
    struct libev_socket *work_head, *work_tail;
    struct libev_socket *starved_head, **starved_end;
    uint8_t *buffers;
    uint16_t buffers_free[LIBEV_BUFFERS]; /* the one that came back last is taken first */
    unsigned buffers_free_count;
    int descriptors_mark; /* from this number on they are left to others */
    bool descriptors_short;
    struct libev_listener listeners[SOCKET_LISTENERS_MAX];
    struct libev_watch *watches;
    struct libev_socket *records_free;
    unsigned chunk_count;
    struct libev_socket *chunks[LIBEV_CHUNKS_MAX];
};

static inline struct libev_socket *libev_socket_of(const struct reactor *reactor,
                                                   const struct reactor_socket *socket) {
    return &reactor->chunks[socket->descriptor / LIBEV_CHUNK][socket->descriptor % LIBEV_CHUNK];
}

/* --- reactor_ev.c ---------------------------------------------------------------------------- */

/* A record for an open descriptor, and where poll finds it when there is something to do at once.
 * NULL: there are LIBEV_CHUNKS_MAX chunks, or no memory. */
struct libev_socket *libev_record_take(struct reactor *reactor, int fd);
void libev_record_free(struct reactor *reactor, struct libev_socket *record);
void libev_record_give(struct reactor *reactor, struct libev_socket *record,
                       struct reactor_socket *socket);
void libev_queue_work(struct reactor *reactor, struct libev_socket *record);

/* --- libev_open.c -------------------------------------------------------------------------------
 */

void libev_descriptors_measure(struct reactor *reactor);
int libev_accept_post(struct reactor *reactor, int listening_fd, uint32_t number);
void libev_accept_cancel(struct reactor *reactor, uint32_t number);
void libev_report_canceled_accepts(struct reactor *reactor);
int libev_connect(struct reactor *reactor, struct reactor_socket *socket,
                  const struct socket_address *peer, const struct socket_address *local);
int libev_adopt(struct reactor *reactor, struct reactor_socket *socket, int fd);
/* The socket took its connection or was refused. */
void libev_on_connected(struct reactor *reactor, struct libev_socket *record, int error);

/* --- libev_stream.c -----------------------------------------------------------------------------
 */

/* Asks libev for what this socket waits for now. */
void libev_listen(struct reactor *reactor, struct libev_socket *record);
void libev_on_socket(struct ev_loop *loop, struct ev_io *io, int events);
void libev_receive(struct reactor *reactor, struct reactor_socket *socket, bool start);
void libev_give_back(struct reactor *reactor, uint32_t lender);
/* Lets sockets receive again that had no buffer, as many as there are buffers now. */
void libev_feed_starved(struct reactor *reactor);
void libev_send(struct reactor *reactor, struct reactor_socket *socket, const uint8_t *bytes,
                size_t length);
void libev_shut(struct reactor *reactor, struct reactor_socket *socket);
void libev_close(struct reactor *reactor, struct reactor_socket *socket, bool reset);
/* What could be done at once, or has ended, in the order in which it was asked for. */
void libev_do_work(struct reactor *reactor);

#endif

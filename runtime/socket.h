/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stream sockets as an actor sees them. Events come as messages; nothing here blocks.
 *
 * A socket belongs to one actor and closes with it. Bytes that arrive are borrowed: `struct
 * socket_data` points into a buffer of the reactor that is given back when the handler returns
 * (never keep such a message). An idle socket holds no buffer. Bytes to send lie in a `struct
 * socket_buffer`, which belongs to the reactor from socket_send on, whatever happens to the actor:
 * the kernel may still be reading it.
 *
 * One send is in flight per socket at a time (two could interleave): further output is gathered by
 * the actor and sent when SOCKET_SENT arrives.
 */
#ifndef TERN_RUNTIME_SOCKET_H
#define TERN_RUNTIME_SOCKET_H

#include "runtime/actor.h"

#include <sys/socket.h>

struct socket_id {
    uint64_t bits; /* zero: none */
};

struct socket_address { /* enough for IPv4 and IPv6; unix sockets have family AF_UNIX only */
    uint16_t family;
    uint16_t port;     /* host order */
    uint8_t bytes[16]; /* network order; IPv4 in the first four */
    uint32_t scope;
};

struct socket_accepted {
    struct socket_id
        socket; /* unowned until socket_own; closed if nobody owns it within this turn */
    struct socket_address peer;
};
struct socket_data {
    struct socket_id socket;
    uint8_t *bytes; /* borrowed, writable (decrypt in place), until the handler returns */
    uint32_t length;
    uint32_t lender; /* the reactor's own: which buffer this is */
};
struct socket_sent {
    struct socket_id socket;
    uint32_t length; /* as it was given to socket_send */
};
struct socket_connected {
    struct socket_id socket;
    int error; /* 0 or a negative errno; then the socket is gone */
};
/* The last event of a socket. Until its handler has returned the socket still takes a send (the
 * peer may have closed its half only); after it, what is in flight is sent, and the socket is gone.
 * With error 0 no send is in flight when it is handled (it waits for that, and stands for the last
 * SOCKET_SENT): what was gathered can be sent then, and all that came has been answered. */
struct socket_closed {
    struct socket_id socket;
    int error; /* 0: the peer sends no more; else a negative errno */
};

/* Accepts on a listening descriptor (inherited from the heart) for the running actor,
 * each accepted socket with its own peer address. `outstanding` accepts are kept posted. Ends with
 * the actor. -EBUSY: another living actor of this shard accepts on it; -ENFILE: too many listeners;
 * -EINVAL. Want of descriptors or memory later is counted and tried again. */
#define SOCKET_OUTSTANDING_MAX 64u
int socket_accept(int listening_fd, unsigned outstanding);
/* Stops and restarts accepting (a connection limit is reached; the node drains). */
void socket_accept_pause(int listening_fd, bool paused);

/* Makes the running actor the owner and begins to receive. Before the SOCKET_ACCEPTED message is
 * freed, on the same shard (an actor spawned by the handler may do it in its init). -EPIPE: gone.
 */
int socket_own(struct socket_id socket);
/* Begins to connect from this shard; the running actor owns it and gets SOCKET_CONNECTED.
 * `local` may be NULL: any address; its port may be 0: any; another may be that of connections to
 * other peers, too, and is found to be in use when it connects (-EADDRNOTAVAIL) or, where somebody
 * listens on it, at once (-EADDRINUSE). A negative errno: nothing follows. */
int socket_connect(const struct socket_address *peer, const struct socket_address *local,
                   struct socket_id *socket);

/* Stops receiving (data waits in the kernel) and goes on: the flow control of what is behind. Data
 * that has already been received may still arrive after a pause. */
void socket_pause(struct socket_id socket);
void socket_resume(struct socket_id socket);

/* `capacity` writable bytes from the shard's pools; at most SOCKET_BUFFER_MAX; not zeroed, so send
 * only what was written. The running actor's until it is sent; freed with it. */
#define SOCKET_BUFFER_MAX (1u << 20)
struct socket_buffer;
struct socket_buffer *socket_buffer_create(size_t capacity);
uint8_t *socket_buffer_bytes(struct socket_buffer *buffer);
size_t socket_buffer_capacity(const struct socket_buffer *buffer);
void socket_buffer_destroy(struct socket_buffer *buffer); /* one that was not sent */

/* Sends bytes [offset, offset + length). 0: *buffer is the reactor's now and NULL; SOCKET_SENT
 * follows, or SOCKET_CLOSED. -EBUSY: a send is in flight, or it isn't connected yet; -EPIPE:
 * closing or gone; then it is still yours. */
int socket_send(struct socket_id socket, struct socket_buffer **buffer, size_t offset,
                size_t length);

/* Closes after the send in flight is done: then the peer is told that no more comes, and its end is
 * awaited, all at most 5 s. Of no further events is the actor told, but some may already be in its
 * mailbox. */
void socket_close(struct socket_id socket);
/* Closes now, with a reset. */
void socket_abort(struct socket_id socket);

/* "127.0.0.1:7700", "[::1]:7700"; returns its length (snprintf's rule). */
int socket_address_format(const struct socket_address *address, char *text, size_t capacity);
/* Numeric addresses only. 0 or -EINVAL. */
int socket_address_parse(const char *text, uint16_t default_port, struct socket_address *address);

#endif

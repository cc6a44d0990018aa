/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reactor seam: one reactor per shard turns completions of the kernel into events of sockets.
 *
 * Implementations: reactor_uring.c; reactor_ev.c (libev), where io_uring is not allowed. socket.c
 * holds what they share (the table of sockets, who owns which, one send in flight, pause, close,
 * policy on errors) and calls these operations; an implementation reports what came of them by the
 * reactor_on_ functions below, and only from within `poll`. All on the shard's thread, but `wake`.
 *
 * What an implementation must remember of a socket lies in `struct reactor_socket`, inside the
 * record of socket.c, so that an idle socket costs one record and completions find it without a
 * search.
 */
#ifndef TERN_RUNTIME_REACTOR_H
#define TERN_RUNTIME_REACTOR_H

#include "runtime/socket.h"

struct shard;
struct reactor; /* the implementation's own */

/* Zeroed before accept or connect give it to an implementation; its fields are the
 * implementation's. It stays where it is until reactor_on_closed. */
struct reactor_socket {
    _Alignas(8) uint8_t ring;
    uint8_t flags;
    uint8_t operations;    /* in flight in the kernel */
    uint8_t ending : 4;    /* what must wait for a shutdown in flight */
    uint8_t receiving : 4; /* how it waits for input */
    uint32_t descriptor : 24;
    uint32_t heard : 8; /* when something last came, in a coarse time that wraps */
};

/* Something that becomes readable: a descriptor of a child process, of signals. Stays where it is
 * until `ready` is called, once per watch: with 0, or -ECANCELED after unwatch. */
struct reactor_watch {
    _Alignas(8) void (*ready)(struct reactor_watch *watch, int error);
};

struct reactor_ops {
    const char *name;
    /* Any thread; the first poll is by the shard's own. -EPERM, -ENOSYS: the kernel or its policy
     * does not allow this implementation. */
    int (*create)(struct shard *shard, struct reactor **reactor);
    /* Drops every socket and descriptor without any report. On the shard's thread, or after it
     * ended. */
    void (*destroy)(struct reactor *reactor);
    /* Submits what is prepared, collects completions (calling reactor_on_*). Waits at most
     * timeout_ns (0: not at all; UINT64_MAX: until something happens or `wake`). Returns how many
     * events it reported. */
    unsigned (*poll)(struct reactor *reactor, uint64_t timeout_ns);
    /* The same, but lets events gather: waits for the whole of timeout_ns, or until very many have
     * come. May be NULL. */
    unsigned (*rest)(struct reactor *reactor, uint64_t timeout_ns);
    /* Any thread: makes a poll that waits return, or the next one not wait. Cheap when repeated. A
     * message that was published before wake is seen by a shard that looks after poll has returned.
     */
    void (*wake)(struct reactor *reactor);

    /* Posts one accept for a listener (its number is socket.c's). reactor_on_accepted or
     * reactor_on_accept_failed follows. -ENFILE: no room for one more socket; nothing follows. */
    int (*accept)(struct reactor *reactor, int listening_fd, uint32_t listener);
    /* Ends the accepts that are posted: each is reported, as failed with -ECANCELED or as accepted.
     */
    void (*accept_cancel)(struct reactor *reactor, uint32_t listener);
    /* Begins to connect; reactor_on_connected follows. Or a negative errno; nothing follows. */
    int (*connect)(struct reactor *reactor, struct reactor_socket *socket,
                   const struct socket_address *peer, const struct socket_address *local);
    /* Takes a plain descriptor that is connected already; reactor_on_connected follows. Or a
     * negative errno: nothing follows, and the descriptor is still the caller's. May be NULL: local
     * sockets cannot be served. */
    int (*adopt)(struct reactor *reactor, struct reactor_socket *socket, int fd);
    /* Starts or stops receiving; after a stop some data may still be reported. */
    void (*receive)(struct reactor *reactor, struct reactor_socket *socket, bool start);
    /* One at a time; reactor_on_sent follows, and until then the bytes must stay. */
    void (*send)(struct reactor *reactor, struct reactor_socket *socket, const uint8_t *bytes,
                 size_t length);
    /* Tells the peer that no more comes (FIN). Nothing follows. Not while a send is in flight. */
    void (*shut)(struct reactor *reactor, struct reactor_socket *socket);
    /* Ends what is in flight, closes, with a reset if asked. A send in flight is still reported as
     * sent; at the end reactor_on_closed, after which the kernel knows nothing of this socket. */
    void (*close)(struct reactor *reactor, struct reactor_socket *socket, bool reset);
    /* Gives a provided buffer back (after SOCKET_DATA's handler); `lender` is reactor_on_data's. */
    void (*give_back)(struct reactor *reactor, uint32_t lender);

    /* Watches a descriptor until it is readable, once. 0 or a negative errno (then nothing
     * follows). */
    int (*watch)(struct reactor *reactor, int fd, struct reactor_watch *watch);
    void (*unwatch)(struct reactor *reactor, struct reactor_watch *watch);

    /* Bytes of memory that this reactor holds for buffers and rings. */
    size_t (*memory_bytes)(const struct reactor *reactor);
    unsigned (*rings)(const struct reactor *reactor);
};

/* --- what socket.c is told ------------------------------------------------------------------- */

/* Returns where the implementation may keep what it knows of the new socket, or NULL if it is not
 * wanted any more; then the implementation closes it without a report. `peer` is the kernel's. */
struct reactor_socket *reactor_on_accepted(struct shard *shard, uint32_t listener,
                                           const struct socket_address *peer);
void reactor_on_accept_failed(struct shard *shard, uint32_t listener, int error);
/* 0, or a negative errno: the socket is then closed like any other, by `close`. */
void reactor_on_connected(struct shard *shard, struct reactor_socket *socket, int error);
/* Bytes that are lent until give_back(lender). */
void reactor_on_data(struct shard *shard, struct reactor_socket *socket, uint8_t *bytes,
                     uint32_t length, uint32_t lender);
/* No more will be received: 0, the peer ended in order, or a negative errno. At most once. */
void reactor_on_received_all(struct shard *shard, struct reactor_socket *socket, int error);
/* How many bytes were sent (maybe fewer than asked for), or a negative errno. */
void reactor_on_sent(struct shard *shard, struct reactor_socket *socket, int64_t result);
void reactor_on_closed(struct shard *shard, struct reactor_socket *socket);

extern const struct reactor_ops reactor_uring;
extern const struct reactor_ops reactor_ev;

/* io_uring if the kernel and its policy allow it, else libev, and a log line says so. Tries to make
 * a ring: under a millisecond. Any thread. */
const struct reactor_ops *reactor_choose(void);
/* "io_uring", "libev"; "auto" gives NULL: chosen when a runtime starts. -EINVAL: another name. */
int reactor_find(const char *name, const struct reactor_ops **found);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sockets of one shard: what socket.c, listener.c and socket_buffer.c share.
 *
 *   accept ─► ACCEPTED ─own──► OPEN ─close─► FLUSHING ─send done─► LINGERING ─peer's end─► CLOSING
 * ─► FREE connect ─► CONNECTING ───►  │                 5 s or an error: straight to CLOSING
 *                               └─abort, or owner handled SOCKET_CLOSED────────────────────►
 *
 * A record never moves, for the reactor's completions carry its address. From FLUSHING on nobody
 * owns the socket and no event comes of it. LINGERING: the peer was told that no more comes, and
 * what it still sends is thrown away, so that its kernel does not answer with a reset that destroys
 * our last bytes.
 */
#ifndef TERN_RUNTIME_SOCKET_TABLE_INTERNAL_H
#define TERN_RUNTIME_SOCKET_TABLE_INTERNAL_H

#include "runtime/reactor.h"
#include "runtime/shard_internal.h"

#define SOCKET_CHUNK 1024u
#define SOCKET_CHUNKS_MAX 4096u /* 4 M sockets a shard */
#define SOCKET_LISTENERS_MAX 16u
#define SOCKET_CLOSE_MS 5000u
#define SOCKET_ACCEPT_RETRY_MS 100u
#define SOCKET_ACCEPT_RETRIES_LOG 100u /* a line for so many in a row */
#define SOCKET_BUFFER_CLASSES 14u      /* 128 B << class, up to SOCKET_BUFFER_MAX */

enum socket_state {
    SOCKET_FREE,
    SOCKET_IS_ACCEPTED,
    SOCKET_IS_CONNECTING,
    SOCKET_IS_OPEN,
    SOCKET_IS_FLUSHING,
    SOCKET_IS_LINGERING,
    SOCKET_IS_CLOSING, /* the reactor is asked to close */
};
enum socket_flag {
    SOCKET_PEER_ENDED = 1, /* no more will be received; the owner is or was told by SOCKET_CLOSED */
    SOCKET_PAUSED = 2,
    SOCKET_END_WAITS = 4, /* the peer ended in order; the owner is told when its send is done */
};

struct socket {
    struct reactor_socket io; /* first: the reactor gives its address */
    union {
        struct owned owned; /* CONNECTING, OPEN */
        struct {            /* FLUSHING, LINGERING: in the order in which they are due */
            struct socket *next, *previous;
            uint64_t due_ns;
        } closing;
        struct socket *next_free;
    };
    struct actor_id owner;         /* to whom events go */
    struct socket_buffer *sending; /* the reactor's; NULL: no send in flight */
    uint32_t generation;           /* never 0; grows with each use of the record */
    uint32_t slot : 24;
    uint32_t state : 4;
    uint32_t flags : 4;
};
_Static_assert(sizeof(struct socket) == 56, "an idle socket is one small record");

struct listener {
    struct owned owned;
    struct actor_id owner; /* nobody: its actor has ended, or the place is free */
    int fd;
    unsigned wanted; /* accepts to keep posted */
    unsigned posted;
    bool used, paused;
    uint64_t retry_ns; /* 0: not waiting for descriptors */
    unsigned retries;  /* in a row */
};

struct socket_table {
    struct shard *shard;
    struct socket *free;
    struct socket *closing_head, *closing_tail;
    uint32_t closing_count; /* not FREE and owned by nobody: FLUSHING, LINGERING, CLOSING */
    uint32_t used;          /* records ever made */
    /* Gauges: written by the shard, read by others, relaxed. */
    uint64_t sockets, memory_bytes, reactor_bytes, rings;
    uint64_t listeners_due_ns; /* when one of them accepts again; UINT64_MAX: none waits */
    struct socket_buffer *buffers_free[SOCKET_BUFFER_CLASSES];
    uint32_t buffers_free_count[SOCKET_BUFFER_CLASSES];
    struct listener listeners[SOCKET_LISTENERS_MAX];
    struct socket *chunks[SOCKET_CHUNKS_MAX];
};

/* Made at the first use. */
struct socket_table *socket_table_of(struct shard *shard);
void socket_table_gauge(uint64_t *gauge, int64_t change);
const struct reactor_ops *socket_ops(const struct socket_table *table);

/* Closes what has lingered for SOCKET_CLOSE_MS; returns when it wants to be called, UINT64_MAX
 * never. */
uint64_t sockets_turn(struct socket_table *table, uint64_t now_ns);

/* A plain descriptor that is connected becomes a socket of the running actor, which then gets
 * SOCKET_CONNECTED. A negative errno: nothing follows, and the descriptor is still the caller's. */
int socket_adopt(int fd, struct socket_id *id);
/* A record in `state`, or NULL: the table is full. */
struct socket *socket_take(struct socket_table *table, enum socket_state state);
/* Frees the records, and what was being sent when the reactor was destroyed. */
void sockets_finish(struct socket_table *table);
struct socket_id socket_id_of(const struct socket_table *table, const struct socket *socket);
/* For shard_lend: what a socket event's end means. SOCKET_ACCEPTED: a socket that nobody owned is
 * closed; SOCKET_DATA: its buffer goes back; SOCKET_CLOSED: now it is closed on our side too. */
void socket_message_freed(struct shard *shard, struct message *lent);

/* Accepts again where it waited for descriptors; returns when it wants to be called, UINT64_MAX
 * never. */
uint64_t listeners_turn(struct socket_table *table, uint64_t now_ns);

/* --- buffers: a sent one is the reactor's until its completion ------------------------------- */

struct socket_buffer {
    union {
        struct owned owned; /* while it is an actor's */
        struct socket_buffer *next_free;
    };
    uint32_t capacity;
    uint32_t class;
    uint32_t offset, length; /* what is left to send */
    uint32_t asked;          /* how much was to be sent in all */
    _Alignas(16) uint8_t bytes[];
};

/* Back into the pool; it is no actor's any more. */
void socket_buffer_free(struct socket_table *table, struct socket_buffer *buffer);
void socket_buffers_finish(struct socket_table *table);

#endif

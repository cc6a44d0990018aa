/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One ring of the io_uring reactor: its queues, its table of direct descriptors, its provided
 * buffers.
 *
 * A shard has one ring at first, and one more whenever the descriptor table of the others is full.
 * A ring is made disabled by any thread and enabled by the thread that will use it alone
 * (SINGLE_ISSUER).
 */
#ifndef TERN_RUNTIME_URING_INTERNAL_H
#define TERN_RUNTIME_URING_INTERNAL_H

#include "runtime/reactor.h"

#include <liburing.h>

#define URING_SUBMISSIONS 1024
#define URING_COMPLETIONS 8192
/* Closing a socket cancels its receive, which the kernel looks up in 256 chains: more descriptors
 * than this in one ring would make the chains long. RLIMIT_NOFILE bounds a table too. */
#define URING_DESCRIPTORS_MAX 65536u
#define URING_DESCRIPTORS_MIN 64u
/* Of 2 KiB: a message of usual size needs one, the longest (61 KiB) 31. The first ring's are enough
 * for a burst on 2,048 sockets in one turn; beyond that a receive waits for a buffer (ENOBUFS). */
#define URING_BUFFER_BYTES 2048u
#define URING_BUFFERS_MAIN 2048u
#define URING_BUFFERS_ADDED 256u
#define URING_BUFFER_GROUP 0
#define URING_RINGS_MAX 192u /* 3.8 million sockets a shard under a limit of 20,000 descriptors */
#define URING_NO_DESCRIPTOR 0xffffffu /* a socket that could not be put into the table */

/* The low three bits of a completion's user_data say what it is of; the rest is an address. */
enum uring_tag {
    URING_RECEIVE, /* struct reactor_socket */
    URING_SEND,    /* struct reactor_socket */
    URING_CLOSE,   /* struct reactor_socket */
    URING_STEP,    /* struct reactor_socket: only counted */
    URING_CONNECT, /* struct uring_connect */
    URING_ACCEPT,  /* struct uring_accept */
    URING_WATCH,   /* struct reactor_watch */
    URING_NOTHING, /* whose result nobody needs; URING_WAKE among them */
};
#define URING_TAG_MASK 7ull

/* A socket's place in a row of its ring. */
struct uring_place {
    struct reactor_socket *socket;
    uint32_t next, previous; /* descriptors; URING_NO_DESCRIPTOR: none */
};

struct uring_row {
    uint32_t first, last; /* URING_NO_DESCRIPTOR: nobody */
    uint32_t count;
};

/* Some of a reactor's rings, a bit for each: with many of them most have nothing to do in a turn,
 * and to look at each costs lines that no cache holds. */
struct uring_set {
    uint64_t words[URING_RINGS_MAX / 64];
};
static inline void uring_set_add(struct uring_set *set, unsigned ring) {
    set->words[ring / 64] |= 1ull << ring % 64;
}
static inline void uring_set_remove(struct uring_set *set, unsigned ring) {
    set->words[ring / 64] &= ~(1ull << ring % 64);
}
static inline bool uring_set_has(const struct uring_set *set, unsigned ring) {
    return (set->words[ring / 64] >> ring % 64 & 1) != 0;
}
/* The first of them from `ring` on; URING_RINGS_MAX: none. */
static inline unsigned uring_set_next(const struct uring_set *set, unsigned ring) {
    for (unsigned i = ring / 64; i < URING_RINGS_MAX / 64; i++) {
        uint64_t word = set->words[i] & (i == ring / 64 ? ~0ull << ring % 64 : ~0ull);
        if (word != 0)
            return i * 64 + (unsigned)__builtin_ctzll(word);
    }
    return URING_RINGS_MAX;
}

struct uring {
    struct io_uring io;
    unsigned index;           /* in its reactor's rings */
    struct uring_set *posted; /* the reactor's: of rings with submissions that wait */
    struct io_uring_buf_ring *buffer_ring;
    uint8_t *buffers;
    unsigned buffer_count;      /* a power of two */
    unsigned buffers_lent;      /* to messages that are not freed yet */
    unsigned descriptors;       /* the table's size */
    unsigned used;              /* open descriptors, and posted operations that may open one */
    struct uring_place *places; /* by descriptor; pages that nobody needs are not there */
    /* Sockets whose receive ended for want of a buffer, first come first served; each waits here
     * and tries nothing, however many they are: to try would cost the turns that free buffers. */
    struct uring_row starved;
    /* Those with a multishot receive, which uring_cool goes round: `cool_left` of this round are
     * to be looked at, which began at `cool_began` (reactor->now). */
    struct uring_row streaming;
    uint32_t cool_left;
    uint8_t cool_began;
};

/* 0 or -errno: -EPERM or -ENOSYS where io_uring is forbidden, -EINVAL before Linux 6.1. */
int uring_create(struct uring *ring, unsigned buffers, unsigned index, struct uring_set *posted);
/* Whether a ring can be made here at all; as uring_create. */
int uring_probe(void);
/* On the thread that will use it. */
int uring_enable(struct uring *ring);
void uring_destroy(struct uring *ring);
size_t uring_memory_bytes(const struct uring *ring);

/* A submission with its user_data set, to be filled by an io_uring_prep_ function (which clears its
 * flags). Submits what is there when the queue is full. */
struct io_uring_sqe *uring_submission(struct uring *ring, const void *of, enum uring_tag tag);
/* Submits and runs what the kernel has deferred. Waits at most timeout_ns for so many completions.
 */
void uring_enter(struct uring *ring, uint64_t timeout_ns, unsigned completions);

static inline uint8_t *uring_buffer(struct uring *ring, unsigned buffer) {
    return ring->buffers + (size_t)buffer * URING_BUFFER_BYTES;
}
/* Lends it to the kernel again. */
void uring_buffer_give(struct uring *ring, unsigned buffer);

#endif

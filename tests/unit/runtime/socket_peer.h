/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The actors of the tests of sockets: a listener, and one peer per connection that does what the
 * first byte it receives says. And the plain, blocking client of the other side.
 */
#ifndef TERN_TESTS_SOCKET_PEER_H
#define TERN_TESTS_SOCKET_PEER_H

#include "runtime/heart.h"
#include "runtime/reactor.h"
#include "runtime/runtime.h"

#include <stdatomic.h>
#include <sys/resource.h>

enum peer_order {
    PEER_ECHO = 'E',    /* everything that follows */
    PEER_ADDRESS = 'A', /* says the peer's address as text, closes */
    PEER_STREAM = 'S',  /* then a byte n: sends n MiB of the pattern in large buffers, closes */
    PEER_COUNT =
        'R', /* checks that what follows is the pattern; at the peer's end answers how many */
    PEER_PAUSE = 'P',  /* pauses until `resume`, then as PEER_COUNT */
    PEER_FAIL = 'F',   /* sends 1 MiB of 'F' and fails with it in flight */
    PEER_FLOOD = 'G',  /* sends, and when nothing moves after `resume` ends with a send in flight */
    PEER_FILL = 'B',   /* sends 1 MiB of 'B' */
    PEER_CLOSE = 'C',  /* sends 64 KiB of the pattern and closes at once */
    PEER_ABORT = 'X',  /* resets */
    PEER_SLOW = 'W',   /* echoes, but needs a millisecond for each message until `resume` */
    PEER_LISTEN = 'D', /* only notes how the connection ended */
    PEER_TWICE = '2',  /* what socket_send and the like refuse, as text, then closes */
};

/* One per test, the runtime's context. Atomics: written by the shard, read by the test, or
 * `resume`. */
struct scene {
    struct heart_listener listener;
    struct runtime *runtime;
    unsigned outstanding;
    bool owns;         /* false: the listener takes nobody */
    unsigned fails_at; /* the listener fails when it is given this one (counted from 1) */
    struct socket_address connect_to;
    struct socket_id other; /* a socket of another actor */
    atomic_int resume;
    atomic_uint accepted, data_events;
    atomic_uint stuck; /* each PEER_FLOOD once, when it saw that nothing moves */
    atomic_ulong received;
    atomic_int closed; /* how many SOCKET_CLOSED */
    atomic_int error;  /* of the last one */
    atomic_int connected;
};

#define PATTERN_PERIOD 251u
static inline uint8_t pattern_at(uint64_t position) {
    return (uint8_t)(position % PATTERN_PERIOD);
}

/* So many bytes of it; the caller frees them. */
uint8_t *pattern(size_t length);

/* The reactor of all scenes from here on; NULL: chosen by the runtime. */
extern const struct reactor_ops *scene_reactor;
/* Starts a runtime of one shard whose listener serves a port of 127.0.0.1. */
void scene_start(struct scene *scene);
/* Also for another root class than the listener. */
void scene_start_with(struct scene *scene, const struct actor_class *class);
void scene_stop(struct scene *scene);
extern const struct actor_class listener_class;

/* A blocking client; `from` may be NULL, else a numeric address of its own. */
int client_socket(void);
void client_connect_socket(const struct scene *scene, int fd);
int client_connect(const struct scene *scene, const char *from);
void client_write(int fd, const void *bytes, size_t length);
/* Exactly so many, or fails the test. */
void client_read(int fd, void *bytes, size_t length);
/* The end in order (0), or the errno of the read. */
int client_read_end(int fd);
/* To a PEER_ECHO; at most 16 bytes. */
void say_and_hear(int fd, const char *text);

uint64_t open_sockets(struct scene *scene);
void wait_until_none_is_open(struct scene *scene);
/* Of this process, which a ring's table goes by; 0: as many as there may be. */
void limit_descriptors(rlim_t soft);

#endif

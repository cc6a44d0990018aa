/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reactor seam: one reactor per shard turns completions of the kernel into messages for actors.
 *
 * Implementations: reactor_uring.c; later libev and the simulator. socket.c holds what they share
 * (the table of sockets, who owns which, one send in flight, pause, close) and calls these
 * operations; an implementation reports completions by the reactor_on_ functions. All on the
 * shard's thread, but `wake`.
 */
#ifndef TERN_RUNTIME_REACTOR_H
#define TERN_RUNTIME_REACTOR_H

#include "runtime/socket.h"

struct shard;
struct reactor; /* the implementation's own */

struct reactor_ops {
    const char *name;
    int (*create)(struct shard *shard, struct reactor **reactor);
    void (*destroy)(struct reactor *reactor);
    /* Submits what is prepared, collects completions (calling reactor_on_*). Waits at most
     * timeout_ns (0: not at all; UINT64_MAX: until something happens or `wake`). Returns how many
     * events it reported. */
    unsigned (*poll)(struct reactor *reactor, uint64_t timeout_ns);
    /* Any thread: makes a poll that waits return. Cheap when it doesn't wait. */
    void (*wake)(struct reactor *reactor);

    int (*accept)(struct reactor *reactor, int listening_fd, uint32_t slot, bool start);
    int (*connect)(struct reactor *reactor, uint32_t slot, const struct socket_address *peer,
                   const struct socket_address *local);
    void (*receive)(struct reactor *reactor, uint32_t slot, bool start);
    void (*send)(struct reactor *reactor, uint32_t slot, const uint8_t *bytes, size_t length);
    void (*close)(struct reactor *reactor, uint32_t slot, bool reset);
    /* Gives a provided buffer back (after SOCKET_DATA's handler). */
    void (*buffer_return)(struct reactor *reactor, uint32_t ring, uint32_t buffer);
};

extern const struct reactor_ops reactor_uring;

#endif

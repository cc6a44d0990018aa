/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local sockets (unix(7)): how programs of this machine talk to actors, and who they are.
 *
 *   local_listen ─► local_watch ─► LOCAL_WAITS ─► local_accept ─► SOCKET_CONNECTED, then as any
 *
 * The kernel says who the peer is (SO_PEERCRED), which no other socket of ours can. For a few
 * connections at a time, not for thousands: each is accepted by one call of its actor's.
 */
#ifndef TERN_RUNTIME_LOCAL_H
#define TERN_RUNTIME_LOCAL_H

#include "runtime/socket.h"

struct local_peer { /* of the process that connected, at that moment */
    uint32_t uid, gid;
    int32_t pid;
};
struct local_waits {
    int listening_fd;
};

/* Makes the socket file `path` (any length) with mode 0600, in place of a socket that is there, and
 * listens. The descriptor, or a negative errno; -EEXIST: something that is no socket is there. Any
 * thread; blocks for as long as making a file does. The caller knows that no other process serves
 * `path`, by a lock of its own. */
int local_listen(const char *path, int backlog);

/* The running actor gets one LOCAL_WAITS when somebody waits to be accepted. Again for the next.
 * Ends with the actor. 0 or a negative errno. */
int local_watch(int listening_fd);
/* Accepts one that waits; it is the running actor's, who gets SOCKET_CONNECTED. 0, or a negative
 * errno: -EAGAIN, nobody waits; -EOPNOTSUPP, this reactor has none; then nothing follows. */
int local_accept(int listening_fd, struct local_peer *peer, struct socket_id *socket);

#endif

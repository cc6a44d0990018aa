/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files around sockets share: addresses as the kernel writes them, and the options that
 * every stream socket of ours has.
 */
#ifndef TERN_RUNTIME_SOCKET_INTERNAL_H
#define TERN_RUNTIME_SOCKET_INTERNAL_H

#include "runtime/socket.h"

#include <netinet/in.h>

/* Data that nobody acknowledged for so long ends the connection (RFC 5482's user timeout), as
 * silence of two and a half heartbeats does above. */
#define SOCKET_USER_TIMEOUT_MS 60000

/* IPv4 and IPv6 are what we listen on and connect to; a peer on a unix socket has no name worth
 * keeping. */
union socket_kernel_address {
    struct sockaddr any;
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;
};

/* Returns the length to give to bind or connect; 0 for a family that has no numeric address. */
socklen_t socket_address_to_kernel(const struct socket_address *address,
                                   union socket_kernel_address *kernel);
void socket_address_from_kernel(const union socket_kernel_address *kernel,
                                struct socket_address *address);

/* A TCP socket, closed on exec, with NODELAY and the user timeout set: accepted sockets inherit
 * both from the listener (on a direct descriptor they can be set from kernel 6.7 only). A
 * descriptor or -errno. */
int socket_open(uint16_t family);
/* The same for connecting to `peer`, bound to `local` if that is not NULL. -EINVAL: of another
 * family than the peer's. */
int socket_open_bound(const struct socket_address *peer, const struct socket_address *local);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses as text, as the kernel's structures, and the making of plain sockets.
 *
 * Only numeric addresses: resolving names blocks, and what listens on a public name is an
 * operator's decision that belongs in the cluster file.
 */
#include "runtime/socket_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HOST_TEXT_MAX (INET6_ADDRSTRLEN + 1 + 16) /* an address, '%', a scope */

int socket_address_format(const struct socket_address *address, char *text, size_t capacity) {
    char host[INET6_ADDRSTRLEN];

    switch (address->family) {
    case AF_INET:
        inet_ntop(AF_INET, address->bytes, host, sizeof host);
        return snprintf(text, capacity, "%s:%u", host, address->port);
    case AF_INET6:
        inet_ntop(AF_INET6, address->bytes, host, sizeof host);
        if (address->scope != 0)
            return snprintf(text, capacity, "[%s%%%u]:%u", host, address->scope, address->port);
        return snprintf(text, capacity, "[%s]:%u", host, address->port);
    case AF_UNIX:
        return snprintf(text, capacity, "unix");
    default:
        return snprintf(text, capacity, "unknown");
    }
}

/* Decimal digits only, so that no sign, space or base sneaks in. -EINVAL beyond 65,535. */
static int parse_port(const char *text, uint16_t *port) {
    uint32_t value = 0;

    if (*text == '\0')
        return -EINVAL;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return -EINVAL;
        value = value * 10 + (uint32_t)(*text - '0');
        if (value > UINT16_MAX)
            return -EINVAL;
    }
    *port = (uint16_t)value;
    return 0;
}

static int parse_host(const char *host, bool bracketed, struct socket_address *address) {
    char bare[HOST_TEXT_MAX + 1];
    char *scope;

    if (!bracketed && inet_pton(AF_INET, host, address->bytes) == 1) {
        address->family = AF_INET;
        return 0;
    }
    snprintf(bare, sizeof bare, "%s", host);
    scope = strchr(bare, '%');
    if (scope != NULL) {
        *scope++ = '\0';
        address->scope = if_nametoindex(scope);
        uint16_t number;
        if (address->scope == 0 && parse_port(scope, &number) == 0)
            address->scope = number;
        if (address->scope == 0)
            return -EINVAL;
    }
    if (inet_pton(AF_INET6, bare, address->bytes) != 1)
        return -EINVAL;
    address->family = AF_INET6;
    return 0;
}

int socket_address_parse(const char *text, uint16_t default_port, struct socket_address *address) {
    struct socket_address parsed = {.port = default_port};
    char host[HOST_TEXT_MAX + 1];
    const char *port = NULL;
    const char *end;
    bool bracketed = text[0] == '[';

    if (bracketed) {
        end = strchr(++text, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':'))
            return -EINVAL;
        if (end[1] == ':')
            port = end + 2;
    } else {
        end = strchr(text, ':');
        if (end != NULL && strchr(end + 1, ':') != NULL)
            end = NULL; /* more than one colon: a bare IPv6 address */
        else if (end != NULL)
            port = end + 1;
        if (end == NULL)
            end = text + strlen(text);
    }
    if ((size_t)(end - text) > HOST_TEXT_MAX)
        return -EINVAL;
    memcpy(host, text, (size_t)(end - text));
    host[end - text] = '\0';
    if ((port != NULL && parse_port(port, &parsed.port) != 0) ||
        parse_host(host, bracketed, &parsed) != 0)
        return -EINVAL;
    *address = parsed;
    return 0;
}

socklen_t socket_address_to_kernel(const struct socket_address *address,
                                   union socket_kernel_address *kernel) {
    memset(kernel, 0, sizeof *kernel);
    switch (address->family) {
    case AF_INET:
        kernel->ipv4.sin_family = AF_INET;
        kernel->ipv4.sin_port = htons(address->port);
        memcpy(&kernel->ipv4.sin_addr, address->bytes, 4);
        return sizeof kernel->ipv4;
    case AF_INET6:
        kernel->ipv6.sin6_family = AF_INET6;
        kernel->ipv6.sin6_port = htons(address->port);
        kernel->ipv6.sin6_scope_id = address->scope;
        memcpy(&kernel->ipv6.sin6_addr, address->bytes, 16);
        return sizeof kernel->ipv6;
    default:
        return 0;
    }
}

void socket_address_from_kernel(const union socket_kernel_address *kernel,
                                struct socket_address *address) {
    memset(address, 0, sizeof *address);
    address->family = kernel->any.sa_family;
    if (address->family == AF_INET) {
        address->port = ntohs(kernel->ipv4.sin_port);
        memcpy(address->bytes, &kernel->ipv4.sin_addr, 4);
    } else if (address->family == AF_INET6) {
        address->port = ntohs(kernel->ipv6.sin6_port);
        address->scope = kernel->ipv6.sin6_scope_id;
        memcpy(address->bytes, &kernel->ipv6.sin6_addr, 16);
    }
}

int socket_open(uint16_t family) {
    const int on = 1;
    const unsigned timeout_ms = SOCKET_USER_TIMEOUT_MS;
    int fd;
    int error;

    if (family != AF_INET && family != AF_INET6)
        return -EAFNOSUPPORT;
    fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 &&
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms) == 0)
        return fd;
    error = -errno;
    close(fd);
    return error;
}

int socket_open_bound(const struct socket_address *peer, const struct socket_address *local) {
    const int on = 1;
    union socket_kernel_address kernel;
    socklen_t length;
    int fd = socket_open(peer->family);
    int error;

    if (fd < 0 || local == NULL)
        return fd;
    length = socket_address_to_kernel(local, &kernel);
    /* Its port is chosen when the peer is known, so that as many connections as there are ports can
     * go to each peer. */
    if (local->port == 0)
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    else /* connections of it to other peers, and ones that have ended, are not in the way */
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (local->family == peer->family && bind(fd, &kernel.any, length) == 0)
        return fd;
    error = local->family == peer->family ? -errno : -EINVAL;
    close(fd);
    return error;
}

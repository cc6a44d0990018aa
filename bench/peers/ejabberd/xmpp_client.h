/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An XMPP client of the load that measures ejabberd (RFC 6120, RFC 6121): log in with SASL PLAIN,
 * bind a resource, send and get chat messages. No TLS, no roster.
 *
 * One thread, epoll, sockets that don't block. It knows just enough of XML to find stanzas in what
 * ejabberd writes; it is no parser for anything else.
 */
#ifndef TERN_BENCH_PEERS_XMPP_CLIENT_H
#define TERN_BENCH_PEERS_XMPP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct xmpp_buffer {
    char *bytes;
    size_t begin, length, capacity; /* what is there lies in [begin, length) */
};

struct xmpp_client {
    struct xmpp_crowd *crowd;
    int fd;
    unsigned index; /* its name is u<index> */
    unsigned step;  /* of the login */
    uint32_t events;
    struct xmpp_buffer input, output;
};

struct xmpp_crowd {
    uint16_t port;
    int epoll;
    struct xmpp_client *clients;
    unsigned count;
    unsigned ready, pongs;
    void *context;
    /* A chat message has come that was sent at `sent_ns`. It may call xmpp_send. */
    void (*message)(struct xmpp_client *client, uint64_t sent_ns);
};

void xmpp_crowd_init(struct xmpp_crowd *crowd, uint16_t port, unsigned count);
/* Clients [first, first + count) log in, `at_once` of them at a time. */
void xmpp_login(struct xmpp_crowd *crowd, unsigned first, unsigned count, unsigned at_once);
/* Waits at most so long for something to happen, and handles it. */
void xmpp_turn(struct xmpp_crowd *crowd, int ms);

/* Queues a message of 100 bytes to u<to>, which tells when it was sent. */
void xmpp_send(struct xmpp_client *client, unsigned to, uint64_t sent_ns);
/* Asks the server for a pong (XEP-0199), which it sends when it has handled all before. */
void xmpp_ping(struct xmpp_client *client);
/* Writes what is queued as far as the socket takes it. */
void xmpp_flush(struct xmpp_client *client);

/* Says what went wrong and ends the program: a load that lost a connection has measured nothing. */
__attribute__((noreturn, format(printf, 1, 2))) void xmpp_die(const char *format, ...);

#endif

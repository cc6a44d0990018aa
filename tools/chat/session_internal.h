/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the session*.c files share.
 *
 *     session.c          life, and what the rest of the program calls
 *     session_socket.c   the socket: reading, writing, time
 *     session_connect.c  the socket: connecting, TLS
 *     session_storage.c  what the device asks and tells: the store
 */
#ifndef TERN_TOOLS_CHAT_SESSION_INTERNAL_H
#define TERN_TOOLS_CHAT_SESSION_INTERNAL_H

#include "tools/chat/session.h"
#include "tools/chat/tls.h"

#include <netdb.h>

#define SESSION_RECIPIENTS_MAX 64 /* wire.def, send */

enum session_state {
    SESSION_WAITING,    /* for the retry timer, or to be started */
    SESSION_CONNECTING, /* the socket, and TLS on it */
    SESSION_CONNECTED,  /* the device has it */
    SESSION_CLOSING,    /* the node is to close */
    SESSION_OVER,
};

struct session_request {
    uint32_t ref; /* 0: free */
    session_reply_fn replied;
    void *context;
    uint64_t argument;
};

struct session {
    enum session_state state;
    struct ev_loop *loop;
    struct store *store;
    struct device *device;
    struct device_config config;
    const struct session_events *events;
    void *context;
    bool is_candidate;

    struct url server;
    char server_text[300];
    struct tls_trust *trust; /* NULL: nothing was secure yet */
    bool go_home;      /* the next connection goes to the node's home address, not to the server */
    struct url target; /* of this connection */
    struct addrinfo *addresses, *address; /* of target; the one that is tried */
    unsigned attempts;                    /* connections in a row that were not made */
    int fd;                               /* -1: none */
    struct tls *tls;                      /* NULL: the target is ws:// */
    char tls_why[TLS_WHY_CHARS_MAX];      /* what was wrong at the last attempt; empty: nothing */
    bool untrusted;                       /* ... which was the certificate */
    ev_io reader, writer;
    ev_timer timer; /* the device's deadline; patience while connecting; the retry while waiting */

    bool has_given_pin;
    uint8_t given_pin[CERTIFICATE_KEY_BYTES];
    bool was_online;
    unsigned news; /* since the last turn */
    enum device_end end;
    int detail;
    struct session_request requests[DEVICE_REQUESTS_MAX];
    struct wire_recipient recipients[SESSION_RECIPIENTS_MAX]; /* of the send that is written now */
    uint8_t content[WIRE_CONTENT_BYTES_MAX];
    uint64_t tried_up_to; /* the highest number that was given to the socket */
};

extern const struct device_storage session_storage;
extern const struct device_events session_device_events;

void session_connect(struct session *session);
/* The socket (and TLS) to `target` is connected: the device gets it. */
void session_begin(struct session *session);
/* No address of the target took the connection; waits for the next attempt. */
void session_fail_to_connect(struct session *session, int error);
/* How long in ms until the timer fires; DEVICE_NEVER: it stops. */
void session_set_timer(struct session *session, uint64_t in_ms);
/* Sends what TLS has to say. 1: all has gone; 0: the writer waits for room; -1: it is lost. */
int session_flush_tls(struct session *session);
/* Says the end if it can, and frees it. */
void session_drop_tls(struct session *session);
/* The connection is over: says so, and arranges for the next. */
void session_lose(struct session *session);
void session_close_socket(struct session *session);
/* Tells what has come since the last time. */
void session_turn(struct session *session);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection to the node that is made again whenever it is lost: net/device on a socket of
 * libev's loop, with the store as what it keeps.
 *
 *     session_start ──► connecting ──► online ──lost──► waiting ──► connecting ...
 *                                        └──final end──► over        (session_finish ──► closed)
 *
 * What came in one piece of input is one transaction; session_events.turn is called after it was
 * committed, outside of the device, so it may do anything with store and session. Requests are
 * answered from within the transaction, before that.
 *
 * Where it connects: the home that the node named last, and the server that the person gave, in
 * turn.
 */
#ifndef TERN_TOOLS_CHAT_SESSION_H
#define TERN_TOOLS_CHAT_SESSION_H

#include "net/device.h"
#include "tools/chat/store.h"

#include <ev.h>

enum session_news {
    SESSION_WELCOME = 1, /* look at session_is_registered */
    SESSION_MAIL = 2,    /* new messages are in the store */
    SESSION_STATUS = 4,  /* states of own messages have changed, or sends were answered */
    SESSION_EMPTY = 8,   /* nothing more waits at the node */
    SESSION_REPLY = 16,  /* a request was answered */
    SESSION_ASIDE = 32,  /* the node has set messages for this device aside */
};

struct session_end {
    enum device_end end;
    int detail;           /* events.closed's; of a connection that was never made, -errno */
    const char *why;      /* TLS's own word on that, or NULL; until the next attempt */
    bool untrusted;       /* ... which is that the certificate is not to be trusted */
    bool was_online;      /* it had been welcomed */
    bool is_final;        /* nothing will be tried any more */
    uint64_t retry_in_ms; /* unless it is final */
};

struct session_events {
    void (*turn)(void *context, unsigned news); /* bits of enum session_news; may be 0 */
    void (*lost)(void *context, const struct session_end *end);
    void (*pin)(void *context, enum device_pin what, const char *cluster_key);
};

struct session_options {
    const char *server; /* ws:// or wss://...; a person's own word. NULL: the store's */
    const char *ca;     /* of wss://: a file of the authorities to trust; NULL: the system's */
    const uint8_t *cluster_key; /* pinned from now on, once it has proven right; NULL: the store's,
                                 * else trust on first use */
    bool is_candidate; /* connects with the key that `register` made and nobody knows yet */
    uint32_t reconnect_ms_max;
};

struct session;

/* Settings of the store that several modules use. The candidate's are those of a registration that
 * is not finished. */
#define SETTING_SERVER "server"
#define SETTING_IDENTITY "identity" /* private key, public key */
#define SETTING_PIN "cluster_key"
#define SETTING_PHONE "phone"
#define SETTING_NAME "name"
#define SETTING_CA "ca"     /* the file's absolute path */
#define SETTING_HOME "home" /* the address of the node where the mailbox lives */
#define SETTING_CANDIDATE "candidate.identity"
#define SETTING_CANDIDATE_SERVER "candidate.server"
#define SETTING_CANDIDATE_PIN "candidate.cluster_key"
#define SETTING_CANDIDATE_PHONE "candidate.phone"
#define SETTING_CANDIDATE_NAME "candidate.name"

/* NULL: out of memory, or the address makes no sense (*why is a sentence). */
struct session *session_create(struct ev_loop *loop, struct store *store,
                               const struct session_options *options,
                               const struct session_events *events, void *context,
                               const char **why);
/* At once, without a word to the node. NULL is allowed. */
void session_destroy(struct session *session);

/* Begins to connect. */
void session_start(struct session *session);
/* A person doesn't want to wait: connects now if it waits to. */
void session_hurry(struct session *session);
/* Ends the connection in order and runs the loop until the node has taken everything, at most for a
 * second. No more events come. */
void session_finish(struct session *session);

bool session_is_online(const struct session *session);
bool session_is_registered(const struct session *session);
uint64_t session_user(const struct session *session);
uint32_t session_device_number(const struct session *session);
/* How many numbers one discover may ask for; 0: never connected. */
uint32_t session_discover_phones_max(const struct session *session);
const char *session_server(const struct session *session);

/* The answer to a request: from within the transaction that follows. Unavailable when the
 * connection ended before it came. */
typedef void (*session_reply_fn)(void *context, uint64_t argument, const struct wire_reply *reply);
/* 0; -ENOTCONN; -EBUSY: later. It goes out with session_pump. */
int session_request(struct session *session, const struct wire_frame *frame,
                    session_reply_fn replied, void *context, uint64_t argument);

/* Sends what is to be sent. To be called after anything that asks for it from outside of `turn`. */
void session_pump(struct session *session);

/* The number that the next message gets; once that is committed, it may go. */
uint64_t session_next_send(const struct session *session);
void session_send(struct session *session, uint64_t number);
/* Was this one given to the socket since the program began? */
bool session_has_tried(const struct session *session, uint64_t number);
void session_make_id(struct session *session, struct wire_id *id);

/* Milliseconds of a clock that only goes forward (it counts sleep, too), and since 1970. */
uint64_t session_now_ms(void);
uint64_t session_wall_ms(void);

#endif

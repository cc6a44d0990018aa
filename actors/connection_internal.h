/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of a connection share: its state, and what each file does for the others.
 *
 *   connection.c            the class, the states, timers, closing
 *   connection_input.c      bytes → WebSocket messages → whoever the state says
 *   connection_handshake.c  the HTTP head, the Noise handshake, whose key it is
 *   connection_session.c    frames of an established session → actors
 *   connection_mailbox.c    attached to its user's mailbox; mail, statuses, welcome
 *   connection_open.c       the requests that wait for an answer
 *   connection_output.c     frames → Noise messages → one send at a time
 *   connection_link.c       a device without a socket: its frames as they are
 *
 * An idle connection must be small: everything that only some moments need is behind a pointer and
 * given back when the moment is over.
 */
#ifndef TERN_ACTORS_CONNECTION_INTERNAL_H
#define TERN_ACTORS_CONNECTION_INTERNAL_H

#include "actors/address_limits.h"
#include "actors/connection.h"
#include "actors/handshake_gate.h"
#include "actors/messages.h"
#include "net/noise.h"
#include "net/websocket.h"
#include "net/wire.h"
#include "runtime/socket.h"

#include <stdbool.h>
#include <stdint.h>

/* X(state, takes, overdue counter): which function takes a binary message in this state (none:
 * input waits), and what is counted when the state lasts too long. The transitions:
 *
 *   (PROXY ─►) HTTP ─► NOISE_FIRST ─► NOISE_THIRD ─► LOOKING_UP ─► UNREGISTERED ─(verified)─►
 * LOOKING_UP └─► ATTACHING ─► OPEN ─(mailbox down)─► REATTACHING ─► OPEN any ─► CLOSING ─► (end)
 *
 * A linked one begins with LOOKING_UP, and the answer.
 */
#define CONNECTION_STATES(X)                                                    \
    X(PROXY, NULL, "connection_timeout_http")                                   \
    X(HTTP, NULL, "connection_timeout_http")                                    \
    X(NOISE_FIRST, connection_take_noise_first, "connection_timeout_handshake") \
    X(NOISE_FIRST_WAITS, NULL, "connection_timeout_handshake")                  \
    X(NOISE_THIRD, connection_take_noise_third, "connection_timeout_handshake") \
    X(NOISE_THIRD_WAITS, NULL, "connection_timeout_handshake")                  \
    X(LOOKING_UP, NULL, "connection_timeout_lookup")                            \
    X(UNREGISTERED, connection_take_session, "connection_timeout_unregistered") \
    X(ATTACHING, NULL, "connection_timeout_attach")                             \
    X(OPEN, connection_take_session, "connection_timeout_drain")                \
    X(REATTACHING, connection_take_session, "connection_timeout_drain")         \
    X(CLOSING, NULL, "connection_timeout_close")

enum connection_state {
#define X(state, takes, overdue) CONNECTION_##state,
    CONNECTION_STATES(X)
#undef X
};

/* Frames that wait to be sent, from OUTPUT_HEADROOM on; in the clear until they are sealed. */
struct output_segment {
    struct socket_buffer *buffer;
    uint32_t bytes;
};

/* What goes first: control, replies and notices before mail, statuses and `empty`. */
enum output_lane { OUTPUT_URGENT, OUTPUT_MAIL };

struct connection_handshake;

/* A frame of the device that asks for an answer (connection_open.c). */
struct open_request {
    uint64_t number; /* of a send */
    uint32_t ref;
    uint32_t due_ms;
    uint8_t kind; /* enum open_kind */
};

/* What only a busy connection needs: made when something comes or goes, given back at the end of a
 * turn that leaves nothing in it. */
struct connection_work {
    struct output_segment urgent, mail;
    struct output_segment *segments; /* full ones of mail, which go before `mail`: a ring */
    uint16_t segments_first, segments_count, segments_max;
    uint16_t open_count, open_capacity;
    struct open_request *open; /* sends and requests without an answer (connection_open.c) */
    uint8_t *pong;             /* its length, then its payload; NULL: none is due */
    uint8_t *input;            /* an incomplete message, or what waits; NULL: none */
    uint32_t input_bytes, input_capacity, input_needed;
    struct websocket_parser parser;         /* in the midst of something, or all zero */
    struct connection_handshake *handshake; /* NULL when it is done */
    uint32_t progress_ms;                   /* when output last got on; while a send is in flight */
    uint32_t deadline_ms;                   /* of the state; 0: none */
    uint32_t retry_ms;        /* when attaching or the look-up is tried again; 0: not */
    uint32_t recheck_ms;      /* when held_ack is sent again */
    struct message *held_ack; /* refused by a full mailbox */
};

/* Output that does not get on for so long, or for two and a half heartbeats, ends the connection.
 */
#define CONNECTION_SLOW_MS_MAX 30000u
/* How long what is said before a close may take to be sent; the socket's own 5 s follow. */
#define CONNECTION_CLOSE_MS 2000u

/* Why a connection fails (actor_fail). */
enum { CONNECTION_REASON_BROKEN = 1 };

#define CONNECTION_MAGIC 0x636f6e6e

struct connection {
    uint32_t magic;
    uint8_t state;        /* enum connection_state */
    uint8_t attach_tries; /* since it was last attached: the backoff */
    uint16_t close_code;  /* to be sent, when close_due */
    bool secured : 1;     /* the Noise handshake is done: output is encrypted */
    bool welcomed : 1;    /* a welcome with registered = true was sent */
    bool sending : 1;     /* a send is in flight */
    bool input_waits : 1; /* `input` holds bytes of a state that takes none */
    bool input_runs : 1;  /* connection_input.c is on the stack */
    bool close_due : 1;   /* a close frame is to be sent behind what is urgent */
    bool ended : 1;       /* actor_stop was called: do nothing more */
    bool draining : 1;    /* CONNECTION_DRAIN came: no new sends */
    bool pinged : 1;      /* since something was last heard */
    bool discovering : 1; /* a discover is on the pool */
    bool told_end : 1;    /* a send has had its final answer here (connection_open.c) */
    bool handshaking : 1; /* counted in node->handshakes_now */
    bool placed : 1;      /* its address is counted in node->addresses */
    bool linked : 1;      /* there is no socket, and `secured` is set */

    uint32_t device;
    struct actor_id self;
    struct socket_id socket;
    union {
        struct noise_transport transport; /* when secured */
        struct {
            const struct connection_link *link;
            struct actor_id peer;
        } far; /* when linked */
    };
    struct connection_work *work; /* NULL: idle */

    uint64_t user;                        /* 0: no account has the key */
    uint8_t key[NOISE_KEY_BYTES];         /* the device's static key, proven */
    struct actor_id mailbox;              /* nobody: not attached */
    uint64_t epoch;                       /* of what the mailbox now sends */
    uint64_t resume_epoch, resume_cursor; /* what the device has acknowledged */
    uint64_t send_low; /* hello's: the lowest send number that the device has no final answer to */
    /* It may have sent any number below send_low + send_span - 1; 0: it doesn't tell. */
    uint32_t send_span;

    /* actor_now_ms(), cut to 32 bits: compared by difference only (connection_ms_until). */
    uint32_t heard_ms;     /* when something last came */
    uint32_t heartbeat_ms; /* what the device was told; 0: none */
    uint32_t tick_ms;      /* when the timer fires */
    struct actor_timer tick;

    struct connection *list_next, **list_link; /* on a list of its shard */
    uint8_t address[ADDRESS_BYTES];
};

/* The work, made if there is none. */
struct connection_work *connection_work(struct connection *connection);
/* One above the highest number that the device may have sent; 0: not known. */
static inline uint64_t connection_send_end(const struct connection *connection) {
    return connection->send_span ? connection->send_low + connection->send_span - 1 : 0;
}
static inline void connection_set_send_end(struct connection *connection, uint64_t end) {
    uint64_t span = end - connection->send_low;
    bool fits = end && end >= connection->send_low && span < UINT32_MAX;
    connection->send_span = fits ? (uint32_t)span + 1 : 0;
}
/* NULL: it has not begun, or is done. */
static inline struct connection_handshake *
connection_handshake(const struct connection *connection) {
    return connection->work ? connection->work->handshake : NULL;
}

/* --- connection.c ------------------------------------------------------------------------------
 */

void connection_enter(struct connection *connection, enum connection_state state);
/* The device may send frames. */
bool connection_is_in_session(const struct connection *connection);
/* Milliseconds from now; negative: it has passed. */
int32_t connection_ms_until(uint32_t when_ms);
/* now + ms as a field of the struct has it; never 0. */
uint32_t connection_ms_after(uint32_t ms);
/* Makes the timer fire at this time or before. */
void connection_wake_by(struct connection *connection, uint32_t when_ms);
/* Begins to close: what is urgent is still sent, then a close frame. Counts `why`. */
void connection_close(struct connection *connection, uint16_t code, const char *why);
/* Ends at once, with a reset. */
void connection_abort(struct connection *connection, const char *why);
/* Ends in order: everything has been said. */
void connection_end(struct connection *connection);
/* A notice, then a close. */
void connection_say_and_close(struct connection *connection, uint16_t notice, uint16_t code,
                              const char *why);
/* While draining: closes when nothing is open any more. */
void connection_drain_on(struct connection *connection);
/* Whose input a handler of this connection works on (for actor_blame; quarantine.h), as far as it
 * has come. */
size_t connection_describe_input(const void *of, char *text, size_t bytes);

/* --- connection_input.c ------------------------------------------------------------------------
 */

/* Borrowed, writable bytes from the socket. */
void connection_input_take(struct connection *connection, uint8_t *bytes, uint32_t length);
/* The state takes input again: goes on with what waited. */
void connection_input_resume(struct connection *connection);

/* --- connection_handshake.c --------------------------------------------------------------------
 */

/* Takes a proxy's header out of the bytes, and the client's address from it; returns how many they
 * were, or 0: there is more to come, or it was refused. The next state is HTTP. */
size_t connection_take_proxy(struct connection *connection, const uint8_t *bytes, size_t length);
/* Takes the request's head out of the bytes; returns how many it was, or 0: there is more to come,
 * or it was refused (then the state is CLOSING). */
size_t connection_take_http(struct connection *connection, const uint8_t *bytes, size_t length);
void connection_take_noise_first(struct connection *connection, uint8_t *bytes, size_t length);
void connection_take_noise_third(struct connection *connection, uint8_t *bytes, size_t length);
void connection_handshake_turn(struct connection *connection);
void connection_handshake_free(struct connection *connection);
/* It is known or may register: the deadline since the accept ends. */
void connection_handshake_over(struct connection *connection);
/* Asks the key index; the answer is CONNECTION_KNOWN. */
void connection_look_up(struct connection *connection);
void connection_known(struct connection *connection, const struct known_device *known);

/* --- connection_session.c ----------------------------------------------------------------------
 */

void connection_take_session(struct connection *connection, uint8_t *bytes, size_t length);
/* The same in the clear. */
void connection_take_frames(struct connection *connection, const uint8_t *bytes, size_t length);
void connection_discovered(struct connection *connection, struct message *message);

/* --- connection_mailbox.c ----------------------------------------------------------------------
 */

void connection_attach(struct connection *connection);
void connection_attached(struct connection *connection, const struct mailbox_attached *attached);
void connection_mailbox_down(struct connection *connection);
void connection_welcome(struct connection *connection, const struct mailbox_attached *attached);
void connection_send_mail(struct connection *connection, struct message *message);
void connection_send_status(struct connection *connection, struct message *message);
void connection_send_empty(struct connection *connection);
/* Gives it to the mailbox; what a full mailbox refuses is answered, or held and tried again. */
void connection_to_mailbox(struct connection *connection, struct message **message);
void connection_refused(struct connection *connection, struct message **message);
void connection_retry_ack(struct connection *connection);

/* --- connection_open.c -------------------------------------------------------------------------
 */

enum open_kind { OPEN_SEND, OPEN_RECEIPT, OPEN_VERIFY, OPEN_REQUEST };
#define OPEN_TIMEOUT_MS 5000

/* False: there are as many as may be, and the device has been answered `limited`. */
bool connection_open_add(struct connection *connection, enum open_kind kind, uint32_t ref,
                         uint64_t number);
/* Answers it and takes it off; a late or unknown one is counted. `body` may be NULL. */
void connection_open_answer(struct connection *connection, uint64_t ref, int code,
                            uint32_t retry_after_ms, const uint8_t *body, size_t body_bytes);
/* Answers all that concern the mailbox. */
void connection_open_fail_mailbox(struct connection *connection, uint32_t retry_after_ms);
/* Answers what is overdue; gives the table back when it is empty. Returns when the next is due, or
 * 0. */
uint32_t connection_open_tick(struct connection *connection);
/* How many wait for an answer now. */
unsigned connection_open_waiting(const struct connection *connection);
void connection_open_free(struct connection *connection);

/* --- describe.c: CONNECTION_DESCRIBE -----------------------------------------------------------
 */

void connection_describe(void *state, struct message **message);

/* --- connection_link.c -------------------------------------------------------------------------
 */

/* Fills in what a handshake would have, and goes on from there. */
void connection_link_begin(struct connection *connection, const struct connection_linked *how);
/* CONNECTION_FRAMES, CONNECTION_HUNG_UP. */
void connection_on_frames(void *state, struct message **message);
void connection_on_hung_up(void *state, struct message **message);
/* Gives frames to the device; it may have ended then. */
void connection_link_send(struct connection *connection, const uint8_t *frames, size_t length);

/* --- connection_output.c -----------------------------------------------------------------------
 */

/* Room for a frame of at most `bytes` behind what waits in this lane; false: a bound is reached,
 * and the connection closes. Write at once, then connection_output_commit. */
bool connection_output_room(struct connection *connection, enum output_lane lane, size_t bytes,
                            struct wire_writer *writer);
void connection_output_commit(struct connection *connection, enum output_lane lane,
                              const struct wire_writer *writer);
/* Bytes that are not to be encrypted, while the connection is not secured. */
void connection_output_raw(struct connection *connection, const uint8_t *bytes, size_t length);
void connection_output_pong(struct connection *connection, const uint8_t *bytes, size_t length);
/* Sends the next thing if nothing is in flight. */
void connection_output_flush(struct connection *connection);
void connection_output_sent(struct connection *connection);
bool connection_output_waits(const struct connection *connection);
void connection_output_drop_mail(struct connection *connection);
void connection_output_free(struct connection *connection);
/* Small frames, urgent. */
void connection_reply(struct connection *connection, uint32_t ref, int code,
                      uint32_t retry_after_ms, const uint8_t *body, size_t body_bytes);
void connection_notice(struct connection *connection, uint16_t notice, uint32_t when_ms);

#endif

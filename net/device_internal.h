/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the device_*.c files share: the struct, and who does what.
 *
 *     device.c            life, input, the clock, when to connect again
 *     device_handshake.c  upgrade, Noise, certificate and pin, hello, welcome
 *     device_output.c     the output buffer: frames, sealing, control frames
 *     device_inbox.c      mail, statuses, acknowledgements
 *     device_outbox.c     numbered sends and requests, and their answers
 *     device_clock.c      ids and the chats' logical clocks
 *
 * A function that finds the connection unfit to go on calls device_fail, which says why, queues a
 * close frame, and gives the errno that the callers hand upward.
 */
#ifndef TERN_NET_DEVICE_INTERNAL_H
#define TERN_NET_DEVICE_INTERNAL_H

#include "net/device.h"
#include "net/websocket.h"

#define DEVICE_MAGIC 0x64657663u
#define DEVICE_OUTPUT_BYTES_MAX (256u << 10) /* a sealed message, an open one, control frames */
#define DEVICE_HEADER_ROOM 8                 /* a client's header of up to 65,535 B */
#define DEVICE_REF_SEND 0x80000000u /* set in the refs of sends, clear in those of requests */
#define DEVICE_REF_MASK 0x7fffffffu

enum device_state {
    DEVICE_OFFLINE,
    DEVICE_UPGRADING,   /* the HTTP request is out */
    DEVICE_HANDSHAKING, /* Noise message 1 is out */
    DEVICE_GREETING,    /* message 3 with hello is out */
    DEVICE_ONLINE,
    DEVICE_CLOSING, /* only what lies in the output may still go */
};

struct device_handshake {
    struct noise_handshake noise;
    uint64_t wall_ms;
    bool pinned;
    uint8_t cluster_key[CERTIFICATE_KEY_BYTES]; /* when pinned */
    char websocket_key[WEBSOCKET_KEY_CHARS + 1];
};

/* bytes[begin, sealed) are ready to go. While length > sealed there is an open message: its
 * header's room, then frames up to length. */
struct device_output {
    uint32_t capacity;
    uint32_t begin;
    uint32_t sealed;
    uint32_t length;
    uint8_t bytes[];
};

struct device_input { /* the begin of a message whose rest has not come */
    uint32_t capacity;
    uint32_t length;
    uint32_t needed; /* no progress with fewer */
    uint8_t bytes[];
};

/* Mail that the cumulative acknowledgement cannot stand for. */
struct device_pending {
    uint64_t cursor;
    uint16_t refusal;
    bool settled; /* to be acknowledged by itself, then forgotten; false: waits for device_settle */
};

struct device {
    uint32_t magic;
    uint8_t state;    /* enum device_state */
    uint8_t end;      /* enum device_end: why this connection ends, or ended */
    uint8_t attempts; /* connections in a row that did not live */
    uint8_t jitter;   /* of the heartbeat, drawn per connection */
    bool registered;
    bool dirty;  /* events were told that commit has not covered */
    bool reload; /* a commit failed: what is stored is less than what is known here */
    bool ping_wanted;
    bool pong_wanted;
    uint8_t sends_max;    /* window, at most DEVICE_SENDS_MAX */
    uint8_t requests_max; /* at most DEVICE_REQUESTS_MAX */
    const struct device_config *config;
    void *context;
    struct device_handshake *handshake; /* until hello is out */
    struct noise_transport transport;
    struct websocket_parser parser;
    int32_t error;  /* CLOSING: what device_receive answers */
    int32_t detail; /* for events.closed */
    uint32_t frame_bytes_max;
    uint32_t heartbeat_ms;
    uint32_t discover_phones_max;
    uint32_t retry_after_ms; /* the least wait before connecting again */
    uint32_t number;         /* this device's, within its user */
    uint64_t user;
    uint64_t pong_token;
    struct device_input *input;   /* NULL while there is nothing */
    struct device_output *output; /* the same */

    union {
        uint64_t since_ms;     /* connected, then online since */
        uint64_t reconnect_ms; /* while offline */
    };
    uint64_t heard_ms;
    uint64_t pinged_ms;
    uint64_t leave_ms; /* a draining node wants us gone by then */

    /* inbox */
    uint64_t epoch;
    uint64_t cursor;   /* all up to here is stored: what hello says */
    uint64_t received; /* highest cursor seen in this epoch on this connection */
    uint64_t acked;    /* up_to of the last acknowledgement */
    uint64_t ack_ms;   /* when to acknowledge; DEVICE_NEVER: nothing to */
    struct device_pending *pending;
    uint16_t pending_count;
    uint16_t pending_capacity;

    /* requests: bit i of requests_open stands for ref request_low + i */
    uint32_t request_low;
    uint32_t request_next;
    uint32_t requests_open;

    /* outbox: bit i of a set stands for the send send_low + i */
    uint64_t send_low; /* lowest without a final answer */
    uint64_t send_end; /* number of the next new one */
    uint64_t waiting;  /* on their way, the answer is awaited */
    uint64_t answered; /* finally */
    uint64_t held;     /* stale: until device_retry */
    uint64_t retry_ms; /* nothing is sent before */
};
_Static_assert(sizeof(struct device) <= DEVICE_BYTES_MAX, "the bench holds millions of these");

/* ---------------------------------------------------------------- device.c */

/* Ends the connection: notes why (a reason noted before, by a notice, stays), and queues a close
 * frame if there is a WebSocket to close. Returns the errno for device_receive's caller. */
int device_fail(struct device *device, enum device_end end, int detail, uint16_t close_code);
/* One Noise message's plaintext. 0 or device_fail's. */
int device_handle_frames(struct device *device, const uint8_t *bytes, size_t length,
                         uint64_t now_ms);
/* Uniform in [0, below); 0 when below is 0. */
uint32_t device_random(struct device *device, uint32_t below);

/* ---------------------------------------------------------------- device_handshake.c */

int device_handshake_begin(struct device *device, const struct url *url, uint64_t wall_ms);
void device_handshake_finish(struct device *device);
/* The node's answer to the upgrade; *used: bytes of it. PARSE_MORE is 0 with *used 0. */
int device_handshake_upgrade(struct device *device, const uint8_t *bytes, size_t length,
                             size_t *used);
/* A Noise handshake message. */
int device_handshake_read(struct device *device, uint8_t *message, size_t length);
/* The interval that the node wants, within what makes sense. */
void device_handshake_heartbeat(struct device *device, uint32_t interval_ms);
int device_handshake_welcome(struct device *device, const struct wire_welcome *welcome,
                             uint64_t now_ms);

/* ---------------------------------------------------------------- device_output.c */

/* Room for `length` bytes behind what is sealed; closes the open message. NULL: out of memory or
 * over the bound. device_output_add then makes them part of the output. */
uint8_t *device_output_room(struct device *device, size_t length);
void device_output_add(struct device *device, size_t length);
/* Appends to the open message. 0; -ENOSPC: doesn't fit into this message any more; -EMSGSIZE;
 * -EINVAL; -ENOMEM. */
int device_output_frame(struct device *device, const struct wire_frame *frame);
/* No frame has been put into the open message yet. */
bool device_output_is_empty(const struct device *device);
/* A pong or a close frame. Left out when there is no room. */
void device_output_pong(struct device *device, const uint8_t *payload, size_t length);
void device_output_close(struct device *device, uint16_t code);
void device_output_finish(struct device *device);

/* ---------------------------------------------------------------- device_inbox.c */

int device_inbox_mail(struct device *device, const struct wire_mail *mail, uint64_t now_ms);
int device_inbox_status(struct device *device, const struct wire_status *status, uint64_t now_ms);
/* After an input: makes durable what came. */
int device_inbox_commit(struct device *device);
/* A welcome's epoch. */
void device_inbox_epoch(struct device *device, uint64_t epoch);
/* Forgets what belongs to this connection. */
void device_inbox_forget(struct device *device);
/* Writes the acknowledgements. */
int device_inbox_acknowledge(struct device *device);

/* ---------------------------------------------------------------- device_outbox.c */

/* Also when a commit has failed: answers that were not stored are awaited again. */
void device_outbox_load(struct device *device, const struct device_saved *saved);
/* A welcome: everything unanswered is sent again. */
void device_outbox_welcome(struct device *device, uint64_t next_send);
/* Writes what the window allows. */
int device_outbox_pump(struct device *device, uint64_t now_ms);
/* When device_outbox_pump will have something to do that it hasn't now. */
uint64_t device_outbox_deadline_ms(const struct device *device);
int device_outbox_reply(struct device *device, uint32_t ref, const struct wire_reply *reply,
                        uint64_t now_ms);
/* Tells the owner of requests that will have no answer. */
void device_outbox_disconnected(struct device *device);

#endif

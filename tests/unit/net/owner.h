/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The owner of a device under test: it moves bytes between the device and a fake node, keeps what a
 * device asks its owner to keep, and writes down what it hears, in words, so that a test reads like
 * what happened.
 */
#ifndef TERN_TESTS_UNIT_NET_OWNER_H
#define TERN_TESTS_UNIT_NET_OWNER_H

#include "net/device.h"
#include "tests/unit/net/fake_node.h"

#define OWNER_LOG_BYTES 4096
#define OWNER_SENDS_MAX 128

struct owner {
    struct fake_node node;
    struct device *device;
    struct device_config config;
    struct device_storage storage;
    struct device_events events;
    uint64_t now_ms;
    size_t chunk; /* the device gets its input in pieces of this size; 0: all at once */
    int result;   /* of the last device_receive or device_tick */
    uint64_t random;

    struct noise_keypair identity;
    int pinned;
    uint8_t pin[32];
    struct device_saved saved; /* what device_create will load */
    int commit_error;
    bool known;                              /* mail_known says yes */
    int verdict;                             /* what `mail` and `status` answer */
    unsigned known_state;                    /* what status_known says ... */
    struct wire_id known_id;                 /* ... of this message; 0 of others */
    struct wire_send sends[OWNER_SENDS_MAX]; /* by number; an id of zeros: none */
    struct wire_recipient recipients[OWNER_SENDS_MAX];
    uint64_t stale_version; /* of the last stale body */
    uint32_t last_request;
    char log[OWNER_LOG_BYTES];
};

/* A new device with nothing saved that trusts on first use, and a new node. */
void owner_init(struct owner *owner);
void owner_finish(struct owner *owner);
/* The program starts again: what was saved stays. */
void owner_restart(struct owner *owner);

/* Connects, and moves bytes until both are quiet: the node has `hello`. */
void owner_connect(struct owner *owner);
/* The same, and the node's welcome: registered, epoch 7, next_send. */
void owner_go_online(struct owner *owner);
/* Moves bytes until both are quiet, or the device has had enough (owner->result). */
void owner_pump(struct owner *owner);
void owner_tick(struct owner *owner, uint64_t now_ms);
/* The connection breaks. */
void owner_cut(struct owner *owner);

/* What a node of these tests says at first. */
struct wire_frame owner_welcome(const struct owner *owner);
struct wire_frame owner_mail(uint64_t cursor, const char *content);
struct wire_frame owner_status(uint64_t cursor);
/* The node says one frame, and bytes are moved. */
void owner_hear(struct owner *owner, const struct wire_frame *frame);
/* The node answers a send or a request with a code; ok gets a body. */
void owner_hear_answer(struct owner *owner, uint32_t ref, unsigned code, uint32_t retry_after_ms);
void owner_hear_conflict(struct owner *owner, uint32_t ref, uint64_t missing);

/* Stores and queues a message; returns its number. */
uint64_t owner_send(struct owner *owner, const char *content);
/* The ref under which the send of this number travels. */
uint32_t owner_ref(uint64_t number);

/* Holds what was heard since the last time against `expected` ("welcome, mail 1, commit"). */
void owner_expect(struct owner *owner, const char *expected);

/* cmocka's: an owner that is online, in `state`, and nothing that its node has taken as yet. */
int owner_set_up(void **state);
int owner_tear_down(void **state);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checker: knows every message that was ever written, and looks whether the promises hold.
 *
 * It sits where a person sits: behind the devices. It sees what a device was told and shown, what a
 * device has stored durably, and at the end what is left in the node's store. A promise counts what
 * exercised it; one that nothing exercised is neither held nor broken.
 */
#ifndef TERN_TOOLS_SIM_CHECKER_H
#define TERN_TOOLS_SIM_CHECKER_H

#include "net/wire.h"

#include <stdbool.h>
#include <stdint.h>

#define MESSAGE_TARGETS_MAX 4
#define VIOLATION_TEXT_BYTES 240
#define NOT_ANSWERED (-1)

struct client;
struct world;

enum promise_kind {
#define PROMISE(upper, name, says, exercised_by) PROMISE_##upper,
#include "tools/sim/promises.def"
#undef PROMISE
    PROMISE_KINDS
};

enum verdict { VERDICT_NOT_EXERCISED, VERDICT_HELD, VERDICT_BROKEN };

struct promise {
    uint64_t exercised, broken;
    char first[VIOLATION_TEXT_BYTES]; /* what broke it first */
};

/* A message at one of the devices that it is for. */
struct target {
    unsigned client;
    bool copy;             /* for the sender's own other device */
    bool shown;            /* stored durably by the device */
    bool shown_pending;    /* shown, not yet committed */
    bool read, read_asked; /* a read receipt was answered; is to be sent */
    bool excused;          /* its sender was told that it will not come, or nobody has to be */
    bool old;              /* a month has passed over it: it may expire */
    bool receipt_old;      /* ... over its receipt, which goes silently */
    /* What each of the sender's devices shows its person of it: an enum wire_state; as it is stored
     * durably, and as it will be with the next commit. */
    uint8_t state[2], state_unsaved[2];
};

struct message_record {
    unsigned sender; /* client */
    unsigned to;     /* user */
    uint64_t number, n, sequence;
    struct wire_id id;
    uint32_t bytes;
    int code;     /* the final answer, or NOT_ANSWERED */
    bool crossed; /* a crash met it told and undelivered */
    unsigned answers;
    unsigned target_count;
    struct target targets[MESSAGE_TARGETS_MAX];
};

struct checker {
    struct message_record *messages;
    uint32_t count, capacity;
    struct promise promises[PROMISE_KINDS];
    uint64_t refused, stored_keys_peak;
    uint64_t receipts_late; /* below what the same device shows: it must leave them out */
};

/* Of this message and target a device shows more than is durable. */
struct status_news {
    uint32_t message, target;
};

const char *promise_name(enum promise_kind kind);
const char *promise_text(enum promise_kind kind);
enum verdict promise_verdict(const struct promise *promise);

/* Returns its index, which is in its id and its content. */
uint32_t checker_write(struct world *world, struct client *sender, unsigned to, uint64_t number,
                       uint64_t n, uint32_t bytes);
/* Writes a message's content: which one it is, then bytes that follow from that. */
#define CHECKER_BODY_BYTES_MIN 16u
void checker_body(uint32_t message, uint8_t *body, uint32_t bytes);
/* A final answer to a send. */
void checker_answered(struct world *world, struct client *sender, uint32_t message, unsigned code,
                      uint64_t sequence);
/* The message that this mail says it is, for this device; or -1, and that is a violation. */
int64_t checker_find(struct world *world, const struct client *client,
                     const struct wire_mail *mail);
/* Does the device have it? */
bool checker_has(struct world *world, const struct client *client, const struct wire_id *id);
/* A device shows a message. */
void checker_shown(struct world *world, struct client *client, uint32_t message,
                   const struct wire_mail *mail);
/* A status has come, before the device looks at it. */
void checker_status_came(struct world *world, struct client *client,
                         const struct wire_status *status);
/* A device shows its person a status. */
void checker_status(struct world *world, struct client *client, const struct wire_status *status);
/* What it shows of this message. */
unsigned checker_status_known(struct world *world, const struct client *client,
                              const struct wire_id *id, uint64_t user, uint32_t device);
/* What it shows of this message with this of its targets has become durable, or is as it was. */
void checker_status_kept(struct world *world, const struct client *client, struct status_news news,
                         bool kept);
struct target *checker_target(struct world *world, const struct client *client, uint32_t message);
/* The node is about to crash. */
void checker_crash(struct world *world);
/* A month has passed: what is on its way may expire. */
void checker_month(struct world *world);
/* Has all come to rest: is nothing on its way any more? */
bool checker_is_settled(struct world *world);
/* At the end. */
void checker_conclude(struct world *world);
void checker_finish(struct checker *checker);

/* Something happened that could have broken this promise. */
void checker_exercised(struct world *world, enum promise_kind kind);
__attribute__((format(printf, 3, 4))) void
checker_broken(struct world *world, enum promise_kind kind, const char *format, ...);

#endif

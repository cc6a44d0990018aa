/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices that are strangers to the node at first: they register a number, and may lose it again.
 *
 *     STRANGER ──register_phone, its answer──► WAITS ──a code came──► tries it ──ok──► REGISTERED
 *        ▲                                       └──a wrong one, at times──► refused        │
 *        └─────────────── told that another device has verified the number ────────────────┘
 *
 * The codes come by the node's sms_command, which here is `program_sim`. One stranger has a number
 * of its own and takes part in the talk when it is registered; two others take one number from each
 * other, again and again, and don't talk.
 *
 * Whose a number is the device's number says, which rises with every device that verifies it: an
 * answer may come so late that another one has it already.
 */
#ifndef TERN_TOOLS_SIM_REGISTRATION_H
#define TERN_TOOLS_SIM_REGISTRATION_H

#include "net/device.h"
#include "runtime/program.h"

#define SIM_STRANGERS 3u      /* of the devices */
#define SIM_STRANGERS_FROM 8u /* when there are as many devices as this */
#define SIM_PHONES 2u

struct client;
struct sim_node;
struct world;

struct sim_phone {
    char digits[16];
    char code[8];    /* the last that came; "": none */
    uint32_t device; /* the highest device number that was verified for it */
};

enum registration_request { REQUEST_CODE, REQUEST_VERIFY, REQUEST_VERIFY_WRONG, REQUEST_DEVICES };
enum registration_step { REGISTRATION_STRANGER, REGISTRATION_WAITS, REGISTRATION_DONE };

struct registration {
    struct sim_phone *phone; /* NULL: its account was there from the start */
    enum registration_step step;
    uint32_t ref; /* of a request without an answer; 0: none */
    enum registration_request request;
    uint64_t asked_ns, next_ns; /* the last time; not before then for a code */
    uint64_t replaced_ns;       /* when that was known */
    bool replaced;              /* and was not told yet */
    uint32_t connection;        /* its last one at the moment when that was known */
};

extern const struct program_ops program_sim;

/* What its person does next for it. */
void registration_act(struct client *client);
/* Its connection has ended, or (DEVICE_END_LOST) its process. */
void registration_ended(struct client *client, enum device_end end);
void registration_replied(struct client *client, uint32_t ref, const struct wire_reply *reply);
void registration_welcome(struct client *client, const struct wire_welcome *welcome);
/* Has every device that was replaced been told? */
bool registration_is_settled(const struct world *world);
void registration_conclude(struct world *world);
/* Frees what is known of the programs of a node that has finished. */
void registration_forget_programs(struct sim_node *node);

#endif

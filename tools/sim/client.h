/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A simulated device: a net/device on a simulated socket, with storage that a crash rolls back.
 *
 *     AWAY ──wake──► (connecting) ──► net/device's states ──end──► waits to connect again
 *       ▲                                    │
 *       └── goes away in order, or crashes ──┘
 *
 * What a device stores before it acts on it (its messages, under their numbers) is durable at once;
 * what came from the node is durable with its commit. A crash loses the rest, as a phone does whose
 * battery is pulled.
 */
#ifndef TERN_TOOLS_SIM_CLIENT_H
#define TERN_TOOLS_SIM_CLIENT_H

#include "net/device.h"
#include "tools/sim/checker.h"
#include "tools/sim/network.h"
#include "tools/sim/registration.h"

struct world;

struct client_order { /* of one sender's device in one chat: the n that was shown last */
    uint64_t n, n_saved;
};

struct client {
    struct world *world;
    unsigned index, user;
    uint32_t number; /* within its user; 0: not registered */
    struct noise_keypair keys;
    struct path path;
    struct link *link;
    struct device *device; /* NULL: it has crashed */
    uint64_t life;         /* of how many starts */
    uint64_t tick_ms;      /* what the agenda holds for it; 0: nothing */
    uint64_t away_until_ns;
    uint32_t connection; /* counts its connections */
    bool pinned, leaving;
    /* its durable state, and what is not yet committed */
    struct device_saved saved, unsaved;
    bool forced_end;       /* the node has turned it away for good; a person starts it again */
    uint32_t *outbox;      /* number to message */
    bool *settled;         /* by number: had its final answer, durably */
    bool *settled_unsaved; /* the same, not committed */
    uint64_t outbox_capacity;
    uint64_t *n;                /* by user: the messages written to them */
    struct client_order *order; /* by sending device and chat */
    uint32_t *shown;            /* messages shown since the last commit */
    unsigned shown_count, shown_capacity;
    struct registration registration;
    struct status_news *news; /* what is shown since then of own messages */
    unsigned news_count, news_capacity;
    uint32_t receipt_ref; /* 0: none is on its way */
    uint32_t receipt_messages[16];
    unsigned receipt_count;
    uint64_t bodies, crashes;
    uint8_t *body; /* lent to the device while it writes a send */
};

void client_init(struct client *client, struct world *world, unsigned index, unsigned user);
void client_finish(struct client *client);
/* It begins to live: connects, and writes messages from now on. */
void client_start(struct client *client);
void client_crash(struct client *client);
/* Goes offline in order until then. */
void client_leave(struct client *client, uint64_t until_ns);
/* At the end of faults: it comes as soon as it can. */
void client_hurry(struct client *client);
/* Its last connection is broken on its side alone. */
void client_vanish(struct client *client);

/* It shows this, and has not committed it yet. */
void client_note_status(struct client *client, struct status_news news);

extern const struct link_user client_link_user;

#endif

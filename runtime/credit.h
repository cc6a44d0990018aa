/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credits: how a receiver tells a sender how much it may have on its way, so that the sender stops
 * what is behind it (a socket, a file, another sender) instead of being refused.
 *
 *   receiver                                      sender
 *   credit_open(window, sender, key, 64) ───────► CREDIT_GRANTED: credit_granted(&credit, *message)
 *   on_item: credit_use(window, 1)      ◄──────── credit_send(&credit, 1, &item)
 *   (the half of the window is used) ───────────► CREDIT_GRANTED
 *
 * A credit is whatever both agree on: a message, a byte. A grant is a system message: never
 * refused, and at most two of a window are on their way. Where the receiver is restarted it opens a
 * window anew, and what the sender had left from the old one is void.
 *
 * With the bounds of mailboxes: credits are an agreement, bounds hold whether or not there is one.
 * A receiver whose windows together are within its class's mailbox_messages_max is never full by
 * those senders. If it is full all the same (others send, too), -ENOBUFS spends no credit, and for
 * a message that comes back to the class's `refused` its credit is taken back by credit_return.
 *
 * Both structs lie in their actor's state; nothing is allocated but the grants. On the shard's
 * thread. The idea is that of Reactive Streams' request(n) and of AMQP's link credit.
 */
#ifndef TERN_RUNTIME_CREDIT_H
#define TERN_RUNTIME_CREDIT_H

#include "runtime/actor.h"

#define CREDIT_WINDOW_MAX (1u << 30)

/* The payload of CREDIT_GRANTED. */
struct credit_grant {
    uint64_t key; /* as in credit_open */
    uint32_t credits;
};

/* The receiver's: one per sender, or per sender and key. */
struct credit_window {
    struct actor_id sender;
    uint64_t key;
    uint32_t size; /* how much may be on its way */
    uint32_t used; /* handled and not granted again yet */
};
/* Grants the whole window. `key` is for the sender, to tell windows apart; 0 where there is one.
 * `size` is 1 to CREDIT_WINDOW_MAX. */
void credit_open(struct credit_window *window, struct actor_id sender, uint64_t key, uint32_t size);
/* So much of what was granted has come and is done with; grants again when that is half of the
 * window, so that grants are few. */
void credit_use(struct credit_window *window, uint32_t credits);

/* The sender's; zeroed: nothing is granted. */
struct credit {
    struct actor_id receiver; /* of the last grant */
    uint32_t left;
};
/* In the handler of CREDIT_GRANTED. A grant of another receiver than before begins a new agreement:
 * what was left is void. */
void credit_granted(struct credit *credit, struct message *grant);
/* Sends to the receiver and spends the credits. 0; -EAGAIN: fewer are left, -ENOBUFS: as
 * actor_send; with either nothing is spent and the message is still yours. */
int credit_send(struct credit *credit, uint32_t credits, struct message **message);
/* A message came back, MESSAGE_REFUSED: the receiver will not count it. `from` is the message's,
 * whom it was for: if that is not the receiver any more, nothing happens. */
void credit_return(struct credit *credit, struct actor_id from, uint32_t credits);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* How an actor answers a device's request: CONNECTION_ANSWER to the connection that it came by. */
#ifndef TERN_ACTORS_ANSWER_H
#define TERN_ACTORS_ANSWER_H

#include "runtime/actor.h"

/* Where an answer goes. */
struct answer_to {
    struct actor_id connection;
    uint64_t ref;
};

/* `code` is an enum wire_code. A connection that is gone doesn't matter. */
void answer_code(struct answer_to to, int code, uint32_t retry_after_ms);
/* ok, with an encoded body of net/wire.h. Copies it. */
void answer_body(struct answer_to to, const uint8_t *body, size_t length);

#endif

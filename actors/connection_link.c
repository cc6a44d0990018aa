/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device that is an actor of this process (struct connection_link): its frames come as messages,
 * and what is gathered for it goes out at once, in the clear, with no send in flight. All else is
 * as with a socket.
 */
#include "actors/connection_internal.h"
#include "actors/node.h"
#include "runtime/crash.h"

#include <string.h>

void connection_link_begin(struct connection *connection, const struct connection_linked *how) {
    const struct known_device known = {.user = how->address.user, .device = how->address.device};
    CHECK(how->link && known.user);
    connection->linked = connection->secured = true;
    connection->far.link = how->link;
    connection->far.peer = how->device;
    memcpy(connection->key, how->key, sizeof(connection->key));
    connection->resume_epoch = how->resume_epoch;
    connection->resume_cursor = how->resume_cursor;
    connection->send_low = how->send_low;
    connection_set_send_end(connection, how->send_end);
    atomic_fetch_add_explicit(&node_current()->connections, 1, memory_order_relaxed);
    connection_enter(connection, CONNECTION_LOOKING_UP);
    connection_known(connection, &known);
}

void connection_on_frames(void *state, struct message **message) {
    struct connection *connection = state;
    if (!connection->linked)
        return;
    actor_blame(connection_describe_input, connection);
    connection->heard_ms = connection_ms_after(0);
    connection->pinged = false;
    if (connection_is_in_session(connection))
        connection_take_frames(connection, message_payload(*message), (*message)->payload_bytes);
    else if (connection->state != CONNECTION_CLOSING)
        connection_close(connection, WIRE_CLOSE_UNWANTED, "connection_too_early");
}

void connection_on_hung_up(void *state, struct message **message) {
    struct connection *connection = state;
    if (!connection->linked || connection->ended)
        return;
    if (connection->state != CONNECTION_CLOSING)
        actor_count("connection_left", 1);
    connection_end(connection);
}

void connection_link_send(struct connection *connection, const uint8_t *frames, size_t length) {
    if (connection->far.link->send(connection->far.peer, frames, length) == 0)
        return;
    actor_count("connection_send_failed", 1);
    connection_end(connection);
}

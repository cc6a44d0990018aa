/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A listener: one on each shard, accepting on all of the node's listening sockets.
 *
 * The kernel gives a new connection to the accept that has waited longest, whichever shard's it is;
 * the shard that gets it keeps it. What goes beyond a limit is closed at once and counted: a
 * stranger gets no byte of an answer and no memory.
 *
 * Messages: SOCKET_ACCEPTED; LISTENER_DRAIN from the drainer, and then from itself until all
 * connections of the shard have been told.
 */
#include "actors/address_limits.h"
#include "actors/connection.h"
#include "actors/messages.h"
#include "actors/node.h"
#include "runtime/log.h"
#include "runtime/supervisor.h"

#include <stdio.h>
#include <string.h>

#define ACCEPTS_OUTSTANDING 32
#define DRAIN_TOLD_PER_TURN 256

struct listener {
    bool paused;
};

static void pause_accepting(struct listener *listener) {
    const struct node *node = node_current();
    if (listener->paused)
        return;
    listener->paused = true;
    for (unsigned i = 0; i < node->listening_count; i++)
        socket_accept_pause(node->listening_fds[i], true);
}

/* --- accepting ---------------------------------------------------------------------------------
 */

/* Takes the connection's places, or counts why it gets none. A proxy's address has none: the limits
 * are for those it speaks for (connection_take_proxy). */
static bool admit(struct node *node, const struct connection_argument *how) {
    uint32_t before = atomic_fetch_add_explicit(&node->connections, 1, memory_order_relaxed);
    bool full = node->limits.connections_max && before >= node->limits.connections_max;
    if (full)
        actor_count("accept_connections_max", 1);
    else if (how->proxied || connection_place(how->address))
        return true;
    atomic_fetch_sub_explicit(&node->connections, 1, memory_order_relaxed);
    return false;
}

static void listener_on_accepted(void *state, struct message **message) {
    const struct socket_accepted *accepted = message_as(*message, struct socket_accepted);
    struct node *node = node_current();
    struct connection_argument how = {.socket = accepted->socket};
    struct actor_id id;
    address_of_socket(&accepted->peer, how.address);
    how.proxied = node_is_proxy(node, how.address);
    if (!admit(node, &how))
        return; /* nobody owns it: it is closed with the message */
    int error = actor_spawn(&connection_class, &how, supervisor_of_class(&connection_class), &id);
    if (error) {
        if (!how.proxied)
            address_limits_leave(node->addresses, how.address);
        atomic_fetch_sub_explicit(&node->connections, 1, memory_order_relaxed);
        actor_count("accept_failed", 1);
        return;
    }
    actor_count("accepted", 1);
}

/* --- draining ----------------------------------------------------------------------------------
 */

static void listener_on_drain(void *state, struct message **message) {
    pause_accepting(state);
    /* Its own mailbox cannot be full of these: there is one at a time. */
    if (connection_tell_drain(DRAIN_TOLD_PER_TURN) &&
        actor_signal(actor_self(), LISTENER_DRAIN) != 0)
        actor_count("drain_delayed", 1);
}

/* --- life --------------------------------------------------------------------------------------
 */

static int listener_init(void *state, const void *argument) {
    struct node *node = node_current();
    char name[32];
    snprintf(name, sizeof(name), LISTENER_NAME, actor_shard());
    int error = actor_register(name);
    for (unsigned i = 0; i < node->listening_count && !error; i++)
        error = socket_accept(node->listening_fds[i], ACCEPTS_OUTSTANDING);
    if (error) {
        log_error("listener: cannot accept: %s", strerror(-error));
        return error;
    }
    if (atomic_load_explicit(&node->draining, memory_order_relaxed))
        return actor_signal(actor_self(), LISTENER_DRAIN);
    return 0;
}

static const struct actor_handler handlers[] = {
    [SOCKET_ACCEPTED] = {"accepted", listener_on_accepted},
    [LISTENER_DRAIN] = {"drain", listener_on_drain},
};

const struct actor_class listener_class = {
    .name = "listener",
    .state_bytes = sizeof(struct listener),
    .init = listener_init,
    .handlers = handlers,
    .handler_count = sizeof(handlers) / sizeof(handlers[0]),
};

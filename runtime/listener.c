/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accepting: a few listening descriptors per shard, each for the actor that asked.
 *
 * A listener keeps `wanted` accepts posted. When its actor ends they are canceled; an actor that
 * asks for the same descriptor meanwhile (the restarted one) takes the place over, so that a
 * connection accepted in between finds an owner. Errors of one connection are passed over; want of
 * descriptors or memory is counted and tried again after SOCKET_ACCEPT_RETRY_MS, for trying at once
 * would spin.
 */
#include "runtime/log.h"
#include "runtime/socket_table_internal.h"

#include <errno.h>
#include <string.h>

static bool is_active(const struct listener *listener) {
    return listener->owner.bits != 0 && !listener->paused && listener->retry_ns == 0;
}

static void wait_for_room(struct socket_table *table, struct listener *listener, int error) {
    listener->retry_ns = shard_now_ns(table->shard) + (uint64_t)SOCKET_ACCEPT_RETRY_MS * 1000000;
    if (listener->retry_ns < table->listeners_due_ns)
        table->listeners_due_ns = listener->retry_ns;
    shard_count(table->shard, "accept_no_room", 1);
    if (listener->retries++ % SOCKET_ACCEPT_RETRIES_LOG == 0)
        log_warning("cannot accept: %s; trying again", strerror(-error));
}

static void post_accepts(struct socket_table *table, struct listener *listener) {
    uint32_t number = (uint32_t)(listener - table->listeners);

    while (is_active(listener) && listener->posted < listener->wanted) {
        int error = socket_ops(table)->accept(shard_reactor(table->shard), listener->fd, number);
        if (error != 0) {
            wait_for_room(table, listener, error);
            return;
        }
        listener->posted++;
    }
}

static void cancel_accepts(struct socket_table *table, struct listener *listener) {
    if (listener->posted > 0)
        socket_ops(table)->accept_cancel(shard_reactor(table->shard),
                                         (uint32_t)(listener - table->listeners));
}

static void free_if_done(struct listener *listener) {
    if (listener->owner.bits == 0 && listener->posted == 0)
        *listener = (struct listener){.fd = -1};
}

static void release(struct owned *owned) {
    struct listener *listener = (struct listener *)owned;

    listener->owner = ACTOR_NOBODY;
    cancel_accepts(socket_table_of(shard_current()), listener);
    free_if_done(listener);
}

static struct listener *find(struct socket_table *table, int fd) {
    for (unsigned i = 0; i < SOCKET_LISTENERS_MAX; i++)
        if (table->listeners[i].used && table->listeners[i].fd == fd)
            return &table->listeners[i];
    return NULL;
}

static struct listener *take(struct socket_table *table, int fd) {
    for (unsigned i = 0; i < SOCKET_LISTENERS_MAX; i++) {
        struct listener *listener = &table->listeners[i];
        if (!listener->used) {
            *listener = (struct listener){.fd = fd, .used = true};
            return listener;
        }
    }
    return NULL;
}

int socket_accept(int listening_fd, unsigned outstanding) {
    struct socket_table *table = socket_table_of(shard_current());
    struct listener *listener = find(table, listening_fd);

    if (outstanding < 1 || outstanding > SOCKET_OUTSTANDING_MAX)
        return -EINVAL;
    if (listener != NULL && listener->owner.bits != 0)
        return -EBUSY;
    if (listener == NULL)
        listener = take(table, listening_fd);
    if (listener == NULL)
        return -ENFILE;
    listener->owner = actor_self();
    listener->wanted = outstanding;
    listener->paused = false;
    owned_add(&listener->owned, release);
    post_accepts(table, listener);
    return 0;
}

void socket_accept_pause(int listening_fd, bool paused) {
    struct socket_table *table = socket_table_of(shard_current());
    struct listener *listener = find(table, listening_fd);

    if (listener == NULL || !actor_id_equal(listener->owner, actor_self()) ||
        listener->paused == paused)
        return;
    listener->paused = paused;
    if (paused)
        cancel_accepts(table, listener);
    else
        post_accepts(table, listener);
}

static struct socket *give_to_owner(struct socket_table *table, const struct listener *listener,
                                    const struct socket_address *peer) {
    struct message *message;
    struct socket_accepted *accepted;
    struct socket *socket = socket_take(table, SOCKET_IS_ACCEPTED);

    if (socket == NULL) {
        shard_count(table->shard, "accept_table_full", 1);
        return NULL;
    }
    message = message_create(SOCKET_ACCEPTED, sizeof *accepted);
    accepted = message_payload(message);
    accepted->socket = socket_id_of(table, socket);
    accepted->peer = *peer;
    shard_lend(table->shard, message, socket_message_freed);
    shard_post(table->shard, listener->owner, &message);
    return socket;
}

struct reactor_socket *reactor_on_accepted(struct shard *shard, uint32_t number,
                                           const struct socket_address *peer) {
    struct socket_table *table = socket_table_of(shard);
    struct listener *listener = &table->listeners[number];
    struct socket *socket = NULL;

    CHECK(number < SOCKET_LISTENERS_MAX && listener->posted > 0);
    listener->posted--;
    listener->retries = 0;
    if (listener->owner.bits != 0)
        socket = give_to_owner(table, listener, peer);
    else
        shard_count(shard, "accept_nobody", 1);
    post_accepts(table, listener);
    free_if_done(listener);
    return socket != NULL ? &socket->io : NULL;
}

void reactor_on_accept_failed(struct shard *shard, uint32_t number, int error) {
    struct socket_table *table = socket_table_of(shard);
    struct listener *listener = &table->listeners[number];

    CHECK(number < SOCKET_LISTENERS_MAX && listener->posted > 0);
    listener->posted--;
    switch (error) {
    case -ECANCELED: /* by us; or the actor that had it before this one */
        break;
    case -ECONNABORTED: /* accept(2): what is wrong with this one connection */
    case -EPROTO:
    case -EPERM:
    case -EINTR:
    case -EAGAIN:
    case -ENETDOWN:
    case -ENETUNREACH:
    case -EHOSTDOWN:
    case -EHOSTUNREACH:
    case -ETIMEDOUT:
        shard_count(shard, "accept_failed", 1);
        break;
    default:
        if (is_active(listener))
            wait_for_room(table, listener, error);
    }
    post_accepts(table, listener);
    free_if_done(listener);
}

uint64_t listeners_turn(struct socket_table *table, uint64_t now_ns) {
    if (now_ns < table->listeners_due_ns)
        return table->listeners_due_ns;
    table->listeners_due_ns = UINT64_MAX; /* post_accepts sets it for those who wait again */
    for (unsigned i = 0; i < SOCKET_LISTENERS_MAX; i++) {
        struct listener *listener = &table->listeners[i];
        if (listener->retry_ns != 0 && listener->retry_ns <= now_ns) {
            listener->retry_ns = 0;
            post_accepts(table, listener);
        }
        if (listener->retry_ns != 0 && listener->retry_ns < table->listeners_due_ns)
            table->listeners_due_ns = listener->retry_ns;
    }
    return table->listeners_due_ns;
}

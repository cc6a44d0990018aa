/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets: the rules that every reactor shares. The states are drawn in socket_table_internal.h.
 *
 * Invariants:
 * 1. A buffer that is being sent hangs on its socket, never on an actor, until reactor_on_sent.
 * 2. A record is used again only after reactor_on_closed: no completion can meet a stranger.
 * 3. An id names a socket of this shard in one use of its record; a stale one, and one that belongs
 * to somebody else, is refused.
 * 4. The peer's end does not close the socket before its owner has handled what came before: until
 * the SOCKET_CLOSED message is freed the owner may still send, and what is in flight is sent. An
 * end in order is told when no send is in flight, so that it is never left with what it gathered.
 */
#include "runtime/actor_internal.h"
#include "runtime/socket_table_internal.h"

#include <errno.h>
#include <string.h>

#define SLOT_BITS 24

/* --- the table ------------------------------------------------------------------------------- */

struct socket_table *socket_table_of(struct shard *shard) {
    struct socket_table **place;
    struct socket_table *table;

    CHECK(shard != NULL);
    place = shard_sockets(shard);
    if (__builtin_expect(*place != NULL, 1))
        return *place;
    table = shard_allocate(shard, sizeof *table);
    table->shard = shard;
    table->memory_bytes = sizeof *table;
    table->listeners_due_ns = UINT64_MAX;
    for (unsigned i = 0; i < SOCKET_LISTENERS_MAX; i++)
        table->listeners[i].fd = -1;
    __atomic_store_n(place, table, __ATOMIC_RELEASE); /* pairs with io_counters_read */
    return table;
}

const struct reactor_ops *socket_ops(const struct socket_table *table) {
    return shard_seams(table->shard)->reactor;
}

void socket_table_gauge(uint64_t *gauge, int64_t change) {
    /* Read relaxed by io_counters_read. */
    __atomic_store_n(gauge, *gauge + (uint64_t)change, __ATOMIC_RELAXED);
}

/* One more chunk of free records; false when there are SOCKET_CHUNKS_MAX. */
static bool grow(struct socket_table *table) {
    unsigned chunk = table->used / SOCKET_CHUNK;

    if (chunk == SOCKET_CHUNKS_MAX)
        return false;
    table->chunks[chunk] = shard_allocate(table->shard, SOCKET_CHUNK * sizeof(struct socket));
    socket_table_gauge(&table->memory_bytes, SOCKET_CHUNK * sizeof(struct socket));
    for (unsigned i = SOCKET_CHUNK; i-- > 0;) {
        struct socket *socket = &table->chunks[chunk][i];
        socket->slot = (table->used + i) & ((1u << SLOT_BITS) - 1);
        socket->next_free = table->free;
        table->free = socket;
    }
    table->used += SOCKET_CHUNK;
    return true;
}

struct socket *socket_take(struct socket_table *table, enum socket_state state) {
    struct socket *socket;
    uint32_t slot, generation;

    if (table->free == NULL && !grow(table))
        return NULL;
    socket = table->free;
    table->free = socket->next_free;
    slot = socket->slot;
    generation = socket->generation + 1;
    *socket = (struct socket){.slot = slot & ((1u << SLOT_BITS) - 1),
                              .generation = generation != 0 ? generation : 1,
                              .state = state};
    socket_table_gauge(&table->sockets, 1);
    return socket;
}

struct socket_id socket_id_of(const struct socket_table *table, const struct socket *socket) {
    uint64_t shard = shard_index(table->shard);

    return (struct socket_id){(uint64_t)socket->generation << 32 | shard << SLOT_BITS |
                              socket->slot};
}

static struct socket *find(const struct socket_table *table, struct socket_id id) {
    uint32_t slot = (uint32_t)id.bits & ((1u << SLOT_BITS) - 1);
    unsigned shard = (uint32_t)id.bits >> SLOT_BITS;
    struct socket *socket;

    if (id.bits == 0 || shard != shard_index(table->shard) || slot >= table->used)
        return NULL;
    socket = &table->chunks[slot / SOCKET_CHUNK][slot % SOCKET_CHUNK];
    return socket->generation == id.bits >> 32 && socket->state != SOCKET_FREE ? socket : NULL;
}

/* The running actor's own, connecting or open; else NULL. */
static struct socket *find_own(const struct socket_table *table, struct socket_id id) {
    struct socket *socket = find(table, id);

    if (socket == NULL ||
        (socket->state != SOCKET_IS_OPEN && socket->state != SOCKET_IS_CONNECTING) ||
        !actor_id_equal(socket->owner, actor_self()))
        return NULL;
    return socket;
}

void sockets_finish(struct socket_table *table) {
    for (unsigned chunk = 0; chunk < table->used / SOCKET_CHUNK; chunk++) {
        for (unsigned i = 0; i < SOCKET_CHUNK; i++)
            if (table->chunks[chunk][i].sending != NULL)
                socket_buffer_free(table, table->chunks[chunk][i].sending);
        shard_free(table->shard, table->chunks[chunk], SOCKET_CHUNK * sizeof(struct socket));
    }
}

/* --- closing --------------------------------------------------------------------------------- */

static void enter_queue(struct socket_table *table, struct socket *socket) {
    socket->closing.due_ns = shard_now_ns(table->shard) + (uint64_t)SOCKET_CLOSE_MS * 1000000;
    socket->closing.next = NULL;
    socket->closing.previous = table->closing_tail;
    if (table->closing_tail != NULL)
        table->closing_tail->closing.next = socket;
    else
        table->closing_head = socket;
    table->closing_tail = socket;
}

static void leave_queue(struct socket_table *table, struct socket *socket) {
    struct socket *next = socket->closing.next, *previous = socket->closing.previous;

    if (previous != NULL)
        previous->closing.next = next;
    else
        table->closing_head = next;
    if (next != NULL)
        next->closing.previous = previous;
    else
        table->closing_tail = previous;
}

/* To the last state: from any other one. */
static void close_now(struct socket_table *table, struct socket *socket, bool reset) {
    switch (socket->state) {
    case SOCKET_IS_FLUSHING:
    case SOCKET_IS_LINGERING:
        leave_queue(table, socket);
        break;
    case SOCKET_IS_ACCEPTED:
        table->closing_count++;
        break;
    default:
        CHECK(socket->state == SOCKET_IS_OPEN || socket->state == SOCKET_IS_CONNECTING);
        shard_note(table->shard, socket->owner, RECORDER_SOCKET_CLOSE, reset);
        owned_remove(&socket->owned);
        table->closing_count++;
    }
    socket->owner = ACTOR_NOBODY;
    socket->state = SOCKET_IS_CLOSING;
    socket_ops(table)->close(shard_reactor(table->shard), &socket->io, reset);
}

/* Nothing is in flight any more: tell the peer, and wait for its end. */
static void linger(struct socket_table *table, struct socket *socket) {
    if ((socket->flags & SOCKET_PEER_ENDED) != 0) {
        close_now(table, socket, false);
        return;
    }
    socket->state = SOCKET_IS_LINGERING;
    socket_ops(table)->shut(shard_reactor(table->shard), &socket->io);
}

/* In order: what is in flight is sent first. The socket has no owner from here on. */
static void close_in_order(struct socket_table *table, struct socket *socket) {
    if (socket->state == SOCKET_IS_CONNECTING) {
        close_now(table, socket, false);
        return;
    }
    shard_note(table->shard, socket->owner, RECORDER_SOCKET_CLOSE, 0);
    owned_remove(&socket->owned);
    socket->owner = ACTOR_NOBODY;
    socket->state = SOCKET_IS_FLUSHING;
    table->closing_count++;
    enter_queue(table, socket);
    if ((socket->flags & SOCKET_PEER_ENDED) == 0) /* also if paused: the peer's end must be seen */
        socket_ops(table)->receive(shard_reactor(table->shard), &socket->io, true);
    if (socket->sending == NULL)
        linger(table, socket);
}

/* A peer that does not read our last bytes is reset; one that does not end is left. */
uint64_t sockets_turn(struct socket_table *table, uint64_t now_ns) {
    while (table->closing_head != NULL && table->closing_head->closing.due_ns <= now_ns)
        close_now(table, table->closing_head, table->closing_head->sending != NULL);
    return table->closing_head != NULL ? table->closing_head->closing.due_ns : UINT64_MAX;
}

static void release(struct owned *owned) {
    struct socket *socket = (struct socket *)((char *)owned - offsetof(struct socket, owned));

    close_in_order(socket_table_of(shard_current()), socket);
}

void socket_close(struct socket_id id) {
    struct socket_table *table = socket_table_of(shard_current());
    struct socket *socket = find_own(table, id);

    if (socket != NULL)
        close_in_order(table, socket);
}

void socket_abort(struct socket_id id) {
    struct socket_table *table = socket_table_of(shard_current());
    struct socket *socket = find_own(table, id);

    if (socket != NULL)
        close_now(table, socket, true);
}

void reactor_on_closed(struct shard *shard, struct reactor_socket *io) {
    struct socket_table *table = socket_table_of(shard);
    struct socket *socket = (struct socket *)io;

    CHECK(socket->state == SOCKET_IS_CLOSING && socket->sending == NULL);
    socket->state = SOCKET_FREE;
    socket->next_free = table->free;
    table->free = socket;
    table->closing_count--;
    socket_table_gauge(&table->sockets, -1);
}

static void accepted_freed(struct socket_table *table, const struct socket_accepted *accepted) {
    struct socket *socket = find(table, accepted->socket);

    if (socket != NULL && socket->state == SOCKET_IS_ACCEPTED) {
        shard_count(table->shard, "socket_unowned", 1);
        close_now(table, socket, false);
    }
}

static bool has(const struct socket *socket, enum socket_flag flag) {
    return (socket->flags & flag) != 0;
}

static void flag_clear(struct socket *socket, enum socket_flag flag) {
    socket->flags &= ~(unsigned)flag & 0xf;
}

/* The owner has handled SOCKET_CLOSED, or it is no more. */
static void closed_freed(struct socket_table *table, const struct socket_closed *closed) {
    struct socket *socket = find(table, closed->socket);

    if (socket != NULL && socket->state == SOCKET_IS_OPEN && !has(socket, SOCKET_END_WAITS))
        close_in_order(table, socket);
}

void socket_message_freed(struct shard *shard, struct message *lent) {
    struct socket_table *table = socket_table_of(shard);

    if (lent->kind == SOCKET_DATA)
        socket_ops(table)->give_back(shard_reactor(shard),
                                     message_as(lent, struct socket_data)->lender);
    else if (lent->kind == SOCKET_ACCEPTED)
        accepted_freed(table, message_as(lent, struct socket_accepted));
    else
        closed_freed(table, message_as(lent, struct socket_closed));
}

/* --- opening --------------------------------------------------------------------------------- */

static void make_own(struct socket_table *table, struct socket *socket) {
    socket->owner = actor_self();
    shard_note(table->shard, socket->owner, RECORDER_SOCKET_OPEN,
               socket->state == SOCKET_IS_CONNECTING);
    socket->owned = (struct owned){0};
    owned_add(&socket->owned, release);
}

int socket_own(struct socket_id id) {
    struct socket_table *table = socket_table_of(shard_current());
    struct socket *socket = find(table, id);

    if (socket == NULL || socket->state != SOCKET_IS_ACCEPTED)
        return -EPIPE;
    make_own(table, socket);
    socket->state = SOCKET_IS_OPEN;
    socket_ops(table)->receive(shard_reactor(table->shard), &socket->io, true);
    return 0;
}

/* The reactor has begun with it, or says why not: then it never was. */
static int begin(struct socket_table *table, struct socket *socket, int error,
                 struct socket_id *id) {
    if (error != 0) {
        socket->state = SOCKET_FREE;
        socket->next_free = table->free;
        table->free = socket;
        socket_table_gauge(&table->sockets, -1);
        return error;
    }
    make_own(table, socket);
    *id = socket_id_of(table, socket);
    return 0;
}

int socket_connect(const struct socket_address *peer, const struct socket_address *local,
                   struct socket_id *id) {
    struct socket_table *table = socket_table_of(shard_current());
    struct socket *socket = socket_take(table, SOCKET_IS_CONNECTING);

    if (socket == NULL)
        return -ENFILE;
    return begin(table, socket,
                 socket_ops(table)->connect(shard_reactor(table->shard), &socket->io, peer, local),
                 id);
}

int socket_adopt(int fd, struct socket_id *id) {
    struct socket_table *table = socket_table_of(shard_current());
    struct socket *socket;

    if (socket_ops(table)->adopt == NULL)
        return -EOPNOTSUPP;
    socket = socket_take(table, SOCKET_IS_CONNECTING);
    if (socket == NULL)
        return -ENFILE;
    return begin(table, socket,
                 socket_ops(table)->adopt(shard_reactor(table->shard), &socket->io, fd), id);
}

void reactor_on_connected(struct shard *shard, struct reactor_socket *io, int error) {
    struct socket_table *table = socket_table_of(shard);
    struct socket *socket = (struct socket *)io;
    struct actor_id owner = socket->owner;
    struct message *message = message_create(SOCKET_CONNECTED, sizeof(struct socket_connected));
    struct socket_connected *connected = message_payload(message);

    CHECK(socket->state == SOCKET_IS_CONNECTING);
    connected->socket = socket_id_of(table, socket);
    connected->error = error;
    if (error != 0) {
        close_now(table, socket, false);
    } else {
        socket->state = SOCKET_IS_OPEN;
        if ((socket->flags & SOCKET_PAUSED) == 0)
            socket_ops(table)->receive(shard_reactor(shard), io, true);
    }
    shard_post(shard, owner, &message);
}

/* --- receiving ------------------------------------------------------------------------------- */

void reactor_on_data(struct shard *shard, struct reactor_socket *io, uint8_t *bytes,
                     uint32_t length, uint32_t lender) {
    struct socket_table *table = socket_table_of(shard);
    struct socket *socket = (struct socket *)io;
    struct message *message;
    struct socket_data *data;

    if (socket->state != SOCKET_IS_OPEN) { /* what comes after a close is thrown away */
        socket_ops(table)->give_back(shard_reactor(shard), lender);
        return;
    }
    message = message_create(SOCKET_DATA, sizeof *data);
    data = message_payload(message);
    *data = (struct socket_data){
        .socket = socket_id_of(table, socket), .bytes = bytes, .length = length, .lender = lender};
    shard_lend(shard, message, socket_message_freed);
    shard_post(shard, socket->owner, &message);
}

/* Once per open socket. */
static void tell_closed(struct socket_table *table, struct socket *socket, int error) {
    struct message *message = message_create(SOCKET_CLOSED, sizeof(struct socket_closed));
    struct socket_closed *closed = message_payload(message);

    closed->socket = socket_id_of(table, socket);
    closed->error = error;
    shard_lend(table->shard, message, socket_message_freed);
    message->flags |= MESSAGE_VERIFY; /* socket_claim_end */
    shard_post(table->shard, socket->owner, &message);
}

bool socket_claim_end(struct shard *shard, struct message *message) {
    const struct socket_closed *closed = message_as(message, struct socket_closed);
    struct socket *socket = find_own(socket_table_of(shard), closed->socket);

    if (socket == NULL || closed->error != 0 || socket->sending == NULL)
        return true;
    socket->flags |= SOCKET_END_WAITS;
    return false;
}

void reactor_on_received_all(struct shard *shard, struct reactor_socket *io, int error) {
    struct socket_table *table = socket_table_of(shard);
    struct socket *socket = (struct socket *)io;
    bool told = (socket->flags & SOCKET_PEER_ENDED) != 0;

    socket->flags |= SOCKET_PEER_ENDED;
    if (socket->state == SOCKET_IS_OPEN && !told)
        tell_closed(table, socket, error);
    else if (socket->state == SOCKET_IS_LINGERING ||
             (socket->state == SOCKET_IS_FLUSHING && error != 0))
        close_now(table, socket, false);
}

void socket_pause(struct socket_id id) {
    struct socket_table *table = socket_table_of(shard_current());
    struct socket *socket = find_own(table, id);

    if (socket == NULL)
        return;
    socket->flags |= SOCKET_PAUSED;
    if (socket->state == SOCKET_IS_OPEN)
        socket_ops(table)->receive(shard_reactor(table->shard), &socket->io, false);
}

void socket_resume(struct socket_id id) {
    struct socket_table *table = socket_table_of(shard_current());
    struct socket *socket = find_own(table, id);

    if (socket == NULL)
        return;
    flag_clear(socket, SOCKET_PAUSED);
    if (socket->state == SOCKET_IS_OPEN)
        socket_ops(table)->receive(shard_reactor(table->shard), &socket->io, true);
}

/* --- sending --------------------------------------------------------------------------------- */

int socket_send(struct socket_id id, struct socket_buffer **given, size_t offset, size_t length) {
    struct socket_table *table = socket_table_of(shard_current());
    struct socket *socket = find_own(table, id);
    struct socket_buffer *buffer = *given;

    CHECK(length > 0 && offset <= buffer->capacity && length <= buffer->capacity - offset);
    if (socket == NULL)
        return -EPIPE;
    if (socket->sending != NULL || socket->state != SOCKET_IS_OPEN)
        return -EBUSY;
    *given = NULL;
    owned_remove(&buffer->owned);
    buffer->offset = (uint32_t)offset;
    buffer->length = (uint32_t)length;
    buffer->asked = (uint32_t)length;
    socket->sending = buffer;
    socket_ops(table)->send(shard_reactor(table->shard), &socket->io, buffer->bytes + offset,
                            length);
    return 0;
}

static void tell_sent(struct socket_table *table, const struct socket *socket, uint32_t length) {
    struct message *message = message_create(SOCKET_SENT, sizeof(struct socket_sent));
    struct socket_sent *sent = message_payload(message);

    sent->socket = socket_id_of(table, socket);
    sent->length = length;
    shard_post(table->shard, socket->owner, &message);
}

static void tell_end_that_waited(struct socket_table *table, struct socket *socket, int error) {
    flag_clear(socket, SOCKET_END_WAITS);
    tell_closed(table, socket, error);
}

static void on_send_failed(struct socket_table *table, struct socket *socket, int error) {
    if (socket->state == SOCKET_IS_FLUSHING) {
        close_now(table, socket, false);
    } else if (socket->state == SOCKET_IS_OPEN && has(socket, SOCKET_END_WAITS)) {
        tell_end_that_waited(table, socket, error);
    } else if (socket->state == SOCKET_IS_OPEN && (socket->flags & SOCKET_PEER_ENDED) == 0) {
        socket->flags |= SOCKET_PEER_ENDED; /* what it still sends has no reader */
        socket_ops(table)->receive(shard_reactor(table->shard), &socket->io, false);
        tell_closed(table, socket, error);
    }
}

void reactor_on_sent(struct shard *shard, struct reactor_socket *io, int64_t result) {
    struct socket_table *table = socket_table_of(shard);
    struct socket *socket = (struct socket *)io;
    struct socket_buffer *buffer = socket->sending;
    uint32_t sent = result > 0 ? (uint32_t)result : 0;
    bool again;

    CHECK(buffer != NULL && sent <= buffer->length);
    buffer->offset += sent;
    buffer->length -= sent;
    again = buffer->length > 0 && (result > 0 || result == -EINTR || result == -EAGAIN);
    if (again && (socket->state == SOCKET_IS_OPEN || socket->state == SOCKET_IS_FLUSHING)) {
        socket_ops(table)->send(shard_reactor(shard), io, buffer->bytes + buffer->offset,
                                buffer->length);
        return;
    }
    socket->sending = NULL;
    sent = buffer->asked;
    again = buffer->length == 0;
    socket_buffer_free(table, buffer);
    if (!again)
        on_send_failed(table, socket, result < 0 ? (int)result : -EPIPE);
    else if (socket->state == SOCKET_IS_FLUSHING)
        linger(table, socket);
    else if (socket->state == SOCKET_IS_OPEN && has(socket, SOCKET_END_WAITS))
        tell_end_that_waited(table, socket, 0);
    else if (socket->state == SOCKET_IS_OPEN && !has(socket, SOCKET_PEER_ENDED))
        tell_sent(table, socket, sent);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/sim/reactor.h"

#include "runtime/check.h"
#include "runtime/program.h"
#include "runtime/shard_internal.h"
#include "runtime/signals.h"
#include "tools/sim/node.h"
#include "tools/sim/world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LISTENERS_MAX 16u
#define CHUNK_BYTES_MAX 2048u /* as a provided buffer of io_uring holds */

enum completion_kind {
    COMPLETION_ACCEPTED,
    COMPLETION_ACCEPT_FAILED,
    COMPLETION_DATA,
    COMPLETION_SENT,
    COMPLETION_CLOSED,
    COMPLETION_SIGNAL,
    COMPLETION_PROGRAM,
};

struct completion {
    enum completion_kind kind;
    uint32_t listener;
    struct link *link;
    struct program *program;
    int64_t result;
};

struct lent { /* to messages that are not freed yet */
    uint8_t *bytes;
    uint32_t next_free;
};

struct reactor {
    struct shard *shard;
    struct sim_node *node;
    struct world *world;
    bool woken, killed;
    struct completion *completions; /* those that the next poll reports */
    size_t count, capacity;
    unsigned posted[LISTENERS_MAX];
    struct lent *lent;
    uint32_t lent_count, lent_free; /* index + 1; 0: none */
};

bool reactor_has_work(const struct reactor *reactor) {
    return reactor->woken || reactor->count;
}

void reactor_kill(struct reactor *reactor) {
    reactor->killed = true;
}

static void complete(struct reactor *reactor, enum completion_kind kind, struct link *link,
                     uint32_t listener, int64_t result) {
    if (reactor->killed)
        return;
    if (reactor->count == reactor->capacity) {
        reactor->capacity = reactor->capacity ? 2 * reactor->capacity : 64;
        reactor->completions =
            realloc(reactor->completions, reactor->capacity * sizeof(*reactor->completions));
        CHECK(reactor->completions);
    }
    reactor->completions[reactor->count++] =
        (struct completion){kind, listener, link, NULL, result};
}

void reactor_raise(struct reactor *reactor, int signal) {
    complete(reactor, COMPLETION_SIGNAL, NULL, 0, signal);
}

void reactor_program_ended(struct reactor *reactor, struct program *program, int status) {
    if (reactor->killed)
        return;
    complete(reactor, COMPLETION_PROGRAM, NULL, 0, status);
    reactor->completions[reactor->count - 1].program = program;
}

/* --- accepting ----------------------------------------------------------------------------------
 */

static int sim_accept(struct reactor *reactor, int listening_fd, uint32_t listener) {
    CHECK(listener < LISTENERS_MAX);
    if (reactor->killed)
        return 0;
    if (world_fault(reactor->world, FAULT_NO_ROOM))
        return -ENFILE;
    reactor->posted[listener]++;
    reactor_give_backlog(reactor->world, reactor->node);
    return 0;
}

static void sim_accept_cancel(struct reactor *reactor, uint32_t listener) {
    while (reactor->posted[listener]) {
        reactor->posted[listener]--;
        complete(reactor, COMPLETION_ACCEPT_FAILED, NULL, listener, -ECANCELED);
    }
}

/* The kernel's choice among the accepts is ours to draw. */
static bool draw_accept(struct world *world, struct sim_node *node, struct reactor **reactor,
                        uint32_t *listener) {
    uint64_t seen = 0;
    for (unsigned i = 0; i < node->shard_count; i++) {
        struct reactor *at = node->shards[i].reactor;
        for (uint32_t j = 0; at && j < LISTENERS_MAX; j++)
            if (at->posted[j] && random_below(&world->random_network, ++seen) == 0) {
                *reactor = at;
                *listener = j;
            }
    }
    return seen > 0;
}

void reactor_give_backlog(struct world *world, struct sim_node *node) {
    struct reactor *reactor = NULL;
    struct link *link;
    uint32_t listener = 0;
    while ((link = network_backlog(&world->network, node)) != NULL &&
           draw_accept(world, node, &reactor, &listener)) {
        reactor->posted[listener]--;
        link->state = LINK_GIVEN;
        link->reactor = reactor;
        complete(reactor, COMPLETION_ACCEPTED, link, listener, 0);
    }
}

static int sim_connect(struct reactor *reactor, struct reactor_socket *socket,
                       const struct socket_address *peer, const struct socket_address *local) {
    return -ENETUNREACH; /* one node has nobody to connect to */
}

/* --- receiving ----------------------------------------------------------------------------------
 */

static struct link *link_of(struct reactor *reactor, const struct reactor_socket *socket) {
    CHECK(socket->descriptor < reactor->world->network.count);
    return reactor->world->network.links[socket->descriptor];
}

void reactor_link_readable(struct world *world, struct link *link) {
    bool something = link->up.begin < link->up.arrived || (link->up.ended && !link->end_reported);
    if (link->state != LINK_OPEN || link->closing || !link->receiving || link->data_reported ||
        !something)
        return;
    link->data_reported = true;
    complete(link->reactor, COMPLETION_DATA, link, 0, 0);
}

void reactor_link_reset(struct world *world, struct link *link) {
    if (link->state == LINK_BACKLOG || link->state == LINK_NEW)
        return; /* it is seen by who accepts it */
    if (link->state == LINK_OPEN && link->sending) {
        link->sending = NULL;
        complete(link->reactor, COMPLETION_SENT, link, 0, -ECONNRESET);
    }
    reactor_link_readable(world, link);
}

static void sim_receive(struct reactor *reactor, struct reactor_socket *socket, bool start) {
    struct link *link = link_of(reactor, socket);
    if (reactor->killed)
        return;
    link->receiving = start;
    reactor_link_readable(reactor->world, link);
}

static uint8_t *lend(struct reactor *reactor, size_t length, uint32_t *lender) {
    if (!reactor->lent_free) {
        reactor->lent = realloc(reactor->lent, (reactor->lent_count + 1) * sizeof(*reactor->lent));
        CHECK(reactor->lent);
        reactor->lent[reactor->lent_count] = (struct lent){0};
        reactor->lent_free = ++reactor->lent_count;
    }
    *lender = reactor->lent_free - 1;
    struct lent *lent = &reactor->lent[*lender];
    reactor->lent_free = lent->next_free;
    lent->bytes = malloc(length);
    CHECK(lent->bytes);
    return lent->bytes;
}

static void sim_give_back(struct reactor *reactor, uint32_t lender) {
    CHECK(lender < reactor->lent_count && reactor->lent[lender].bytes);
    free(reactor->lent[lender].bytes);
    reactor->lent[lender] = (struct lent){NULL, reactor->lent_free};
    reactor->lent_free = lender + 1;
}

/* One buffer's worth; more of it follows in this poll or the next. */
static void report_data(struct reactor *reactor, struct link *link) {
    struct flow *flow = &link->up;
    size_t length = flow->arrived - flow->begin;
    uint32_t lender;
    link->data_reported = false;
    if (!link->receiving || link->closing)
        return;
    if (length) {
        if (length > CHUNK_BYTES_MAX)
            length = CHUNK_BYTES_MAX;
        uint8_t *bytes = lend(reactor, length, &lender);
        memcpy(bytes, flow->bytes + flow->begin, length);
        network_read_up(reactor->world, link, length);
        reactor_on_data(reactor->shard, link->socket, bytes, (uint32_t)length, lender);
    } else if (flow->ended && !link->end_reported) {
        link->end_reported = true;
        reactor_on_received_all(reactor->shard, link->socket, flow->error);
    }
    reactor_link_readable(reactor->world, link);
}

/* --- sending and closing ------------------------------------------------------------------------
 */

static void try_send(struct reactor *reactor, struct link *link) {
    struct world *world = reactor->world;
    size_t length = link->sending_bytes, sent;
    if (link->up.ended && link->up.error) {
        link->sending = NULL;
        complete(reactor, COMPLETION_SENT, link, 0, -EPIPE);
        return;
    }
    if (length > 1 && random_below(&world->random_network, 16) == 0)
        length = 1 + random_below(&world->random_network, length - 1);
    sent = network_send_down(world, link, link->sending, length);
    if (!sent)
        return;
    link->sending = NULL;
    complete(reactor, COMPLETION_SENT, link, 0, (int64_t)sent);
}

void reactor_link_writable(struct world *world, struct link *link) {
    if (link->state == LINK_OPEN && link->sending)
        try_send(link->reactor, link);
}

static void sim_send(struct reactor *reactor, struct reactor_socket *socket, const uint8_t *bytes,
                     size_t length) {
    struct link *link = link_of(reactor, socket);
    if (reactor->killed)
        return;
    CHECK(!link->sending && !link->closing);
    link->sending = bytes;
    link->sending_bytes = length;
    try_send(reactor, link);
}

static void sim_shut(struct reactor *reactor, struct reactor_socket *socket) {
    struct link *link = link_of(reactor, socket);
    if (!reactor->killed && !link->closing)
        network_end_down(reactor->world, link, false);
}

static void sim_close(struct reactor *reactor, struct reactor_socket *socket, bool reset) {
    struct link *link = link_of(reactor, socket);
    if (reactor->killed)
        return;
    CHECK(!link->closing);
    link->closing = true;
    if (link->sending) {
        link->sending = NULL;
        complete(reactor, COMPLETION_SENT, link, 0, -ECANCELED);
    }
    /* A kernel resets whoever sent what nobody read. */
    network_end_down(reactor->world, link, reset || link->up.begin != link->up.arrived);
    complete(reactor, COMPLETION_CLOSED, link, 0, 0);
}

/* --- reporting ----------------------------------------------------------------------------------
 */

static void report_accepted(struct reactor *reactor, struct link *link, uint32_t listener) {
    struct socket_address peer = {.family = AF_INET, .port = (uint16_t)(1024 + link->number)};
    memcpy(peer.bytes, link->path->address, sizeof(link->path->address));
    struct reactor_socket *socket = reactor_on_accepted(reactor->shard, listener, &peer);
    if (!socket) {
        link->state = LINK_CLOSED;
        network_end_down(reactor->world, link, false);
        network_release(link);
        return;
    }
    link->state = LINK_OPEN;
    link->socket = socket;
    socket->descriptor = link->number;
}

static void report_closed(struct reactor *reactor, struct link *link) {
    struct reactor_socket *socket = link->socket;
    link->state = LINK_CLOSED;
    link->socket = NULL;
    network_release(link);
    reactor_on_closed(reactor->shard, socket);
}

static void report(struct reactor *reactor, const struct completion *completion) {
    struct link *link = completion->link;
    switch (completion->kind) {
    case COMPLETION_ACCEPTED:
        report_accepted(reactor, link, completion->listener);
        break;
    case COMPLETION_ACCEPT_FAILED:
        reactor_on_accept_failed(reactor->shard, completion->listener, (int)completion->result);
        break;
    case COMPLETION_DATA:
        if (link->socket)
            report_data(reactor, link);
        break;
    case COMPLETION_SENT:
        reactor_on_sent(reactor->shard, link->socket, completion->result);
        break;
    case COMPLETION_CLOSED:
        report_closed(reactor, link);
        break;
    case COMPLETION_SIGNAL:
        signal_on_raised(reactor->shard, (int)completion->result);
        break;
    case COMPLETION_PROGRAM:
        program_on_ended(reactor->shard, completion->program, (int)completion->result);
        break;
    default:
        CHECK(false);
    }
}

/* What is completed meanwhile waits for the next poll, so that a poll ends. */
static unsigned sim_poll(struct reactor *reactor, uint64_t timeout_ns) {
    struct completion *completions = reactor->completions;
    size_t count = reactor->count;
    reactor->completions = NULL;
    reactor->count = reactor->capacity = 0;
    reactor->woken = false;
    for (size_t i = 0; i < count; i++)
        report(reactor, &completions[i]);
    free(completions);
    return (unsigned)count;
}

static void sim_wake(struct reactor *reactor) {
    reactor->woken = true;
}

/* --- life ---------------------------------------------------------------------------------------
 */

static int sim_create(struct shard *shard, struct reactor **created) {
    struct reactor *reactor = calloc(1, sizeof(*reactor));
    CHECK(reactor);
    reactor->shard = shard;
    reactor->node = shard_seams(shard)->context;
    reactor->world = reactor->node->world;
    *created = reactor;
    return 0;
}

static void sim_destroy(struct reactor *reactor) {
    for (uint32_t i = 0; i < reactor->lent_count; i++)
        free(reactor->lent[i].bytes);
    free(reactor->lent);
    free(reactor->completions);
    free(reactor);
}

/* Programs and signals have seams of their own here. */
static int sim_watch(struct reactor *reactor, int fd, struct reactor_watch *watch) {
    return -ENOSYS;
}

static void sim_unwatch(struct reactor *reactor, struct reactor_watch *watch) {
    CHECK(false);
}

static size_t sim_memory_bytes(const struct reactor *reactor) {
    return 0;
}

static unsigned sim_rings(const struct reactor *reactor) {
    return 1;
}

const struct reactor_ops reactor_sim = {
    .name = "simulator",
    .create = sim_create,
    .destroy = sim_destroy,
    .poll = sim_poll,
    .wake = sim_wake,
    .accept = sim_accept,
    .accept_cancel = sim_accept_cancel,
    .connect = sim_connect,
    .receive = sim_receive,
    .send = sim_send,
    .shut = sim_shut,
    .close = sim_close,
    .give_back = sim_give_back,
    .watch = sim_watch,
    .unwatch = sim_unwatch,
    .memory_bytes = sim_memory_bytes,
    .rings = sim_rings,
};

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reactor on io_uring: rings, direct descriptors, multishot receives into provided buffers.
 *
 *   poll: feed starved receives; added rings: submit, collect; main ring: submit, wait, collect;
 *         added rings: collect
 *
 * The main ring is the one that waits. Rings that were added when a descriptor table was full
 * register one eventfd, which the main ring reads: their events, and `wake`, end its wait. While
 * the shard is awake the rings' flags are looked at instead, without a system call, and the eventfd
 * is switched off. (Polling a DEFER_TASKRUN ring's own descriptor loses wakes.)
 *
 * A million sockets need tens of rings, and most have nothing to do in a turn: those with
 * submissions are known (`posted`), and a look at each for completions is one line of the kernel's.
 */
#include "runtime/log.h"
#include "runtime/reactor_uring_internal.h"
#include "runtime/shard_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#define REST_COMPLETIONS 64u /* end a rest early */
/* A rest is short: the usual 50 us that the kernel may add to it are too many. */
#define TIMER_SLACK_NS 5000ul
#define WAKE ((void *)8) /* with URING_NOTHING: the eventfd was written */

/* --- watching -------------------------------------------------------------------------------- */

static int uring_watch(struct reactor *reactor, int fd, struct reactor_watch *watch) {
    io_uring_prep_poll_add(uring_submission(reactor->rings[0], watch, URING_WATCH), fd, POLLIN);
    return 0;
}

static void uring_unwatch(struct reactor *reactor, struct reactor_watch *watch) {
    uring_cancel(reactor->rings[0], watch, URING_WATCH);
}

/* A read, not a multishot poll: the kernel ends that at each event of a ring (to be safe from
 * circles) and reports a count that nobody has read once more when it is posted again. Posted
 * before a wait and submitted with it, so that it costs no system call; what was written before
 * completes it at once. */
static void post_wake_read(struct reactor *reactor) {
    struct io_uring_sqe *sqe = uring_submission(reactor->rings[0], WAKE, URING_NOTHING);

    io_uring_prep_read(sqe, reactor->eventfd, &reactor->wake_count, sizeof reactor->wake_count, 0);
    reactor->hears_wakes = true;
}

static void uring_wake(struct reactor *reactor) {
    const uint64_t one = 1;

    /* Pairs with the exchange at the end of poll. */
    if (atomic_exchange(&reactor->wake_pending, 1) == 0)
        CHECK(write(reactor->eventfd, &one, sizeof one) == sizeof one);
}

/* --- the loop -------------------------------------------------------------------------------- */

static void dispatch_socket(struct reactor *reactor, struct reactor_socket *socket,
                            enum uring_tag tag, const struct io_uring_cqe *completion) {
    if (tag == URING_RECEIVE)
        uring_on_receive(reactor, socket, completion);
    else if (tag == URING_SEND)
        uring_on_send(reactor, socket, completion->res);
    else if (tag == URING_STEP)
        uring_on_step(reactor, socket);
    else
        socket->operations--;
    CHECK(tag != URING_CLOSE || completion->res == 0);
    uring_finish_if_gone(reactor, socket);
}

static void dispatch(struct reactor *reactor, const struct io_uring_cqe *completion) {
    enum uring_tag tag = (enum uring_tag)(completion->user_data & URING_TAG_MASK);
    void *of = (void *)(uintptr_t)(completion->user_data & ~URING_TAG_MASK); // NOLINT
    struct reactor_watch *watch = of;

    switch (tag) {
    case URING_CONNECT:
        uring_on_connect(reactor, of, completion->res);
        break;
    case URING_ACCEPT:
        uring_on_accept(reactor, of, completion->res);
        break;
    case URING_WATCH:
        reactor->reported++;
        watch->ready(watch, completion->res < 0 ? completion->res : 0);
        break;
    case URING_NOTHING:
        if (of == WAKE)
            reactor->hears_wakes = false;
        break;
    default:
        dispatch_socket(reactor, of, tag, completion);
    }
}

static void collect(struct reactor *reactor, struct uring *ring) {
    const struct io_uring_cq *queue = &ring->io.cq;
    unsigned head = *queue->khead;
    unsigned ready = io_uring_cq_ready(&ring->io);

    for (unsigned i = 0; i < ready; i++)
        dispatch(reactor, &queue->cqes[(head + i) & queue->ring_mask]);
    io_uring_cq_advance(&ring->io, ready);
    reactor->looks[ring->index].head = head + ready;
}

/* Where only a poll has ended, what it announces is received at once, not in another turn. */
static void turn_ring(struct reactor *reactor, struct uring *ring, uint64_t timeout_ns,
                      unsigned events) {
    unsigned before = reactor->reported;

    uring_enter(ring, timeout_ns, events);
    collect(reactor, ring);
    if (reactor->reported == before && io_uring_sq_ready(&ring->io) != 0) {
        uring_enter(ring, 0, 0);
        collect(reactor, ring);
    }
}

/* At each tick of the coarse clock, and in each turn while a ring's round is not over. */
static void cool(struct reactor *reactor) {
    uint8_t now = (uint8_t)(shard_now_ns(reactor->shard) >> URING_COOL_SHIFT);

    if (now == reactor->now && !reactor->cools)
        return;
    reactor->now = now;
    reactor->cools = false;
    for (unsigned i = 0; i < reactor->ring_count; i++)
        reactor->cools |= uring_cool(reactor, reactor->rings[i]);
}

/* True when entering the kernel for it would do something. */
static bool has_work(const struct reactor *reactor, unsigned ring) {
    const struct uring_look *look = &reactor->looks[ring];
    const unsigned flags = IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW;

    return uring_set_has(&reactor->posted, ring) ||
           (IO_URING_READ_ONCE(*look->flags) & flags) != 0 ||
           IO_URING_READ_ONCE(*look->tail) != look->head;
}

static void turn_added_rings(struct reactor *reactor) {
    for (unsigned i = 1; i < reactor->ring_count; i++)
        if (has_work(reactor, i))
            turn_ring(reactor, reactor->rings[i], 0, 0);
}

static void turn_posted_rings(struct reactor *reactor) {
    unsigned i = 1;

    while ((i = uring_set_next(&reactor->posted, i)) < URING_RINGS_MAX)
        turn_ring(reactor, reactor->rings[i++], 0, 0);
}

static void ignore_added_rings(struct reactor *reactor) {
    for (unsigned i = 1; i < reactor->ring_count; i++)
        IO_URING_WRITE_ONCE(*reactor->looks[i].switches, IORING_CQ_EVENTFD_DISABLED);
}

/* Until they are ignored again their work ends a wait. False: one has something to do already. */
static bool listen_to_added_rings(struct reactor *reactor) {
    for (unsigned i = 1; i < reactor->ring_count; i++)
        IO_URING_WRITE_ONCE(*reactor->looks[i].switches, 0);
    atomic_thread_fence(memory_order_seq_cst); /* the switch is seen before the flags are read */
    for (unsigned i = 1; i < reactor->ring_count; i++)
        if (has_work(reactor, i))
            return false;
    return true;
}

/* A rest is short and waits for many: the added rings do without being heard in it. */
static void wait(struct reactor *reactor, uint64_t timeout_ns, unsigned events) {
    bool listens = events == 1;

    if (listens && !listen_to_added_rings(reactor))
        timeout_ns = 0;
    else if (listens && !reactor->hears_wakes)
        post_wake_read(reactor);
    turn_ring(reactor, reactor->rings[0], timeout_ns, events);
    if (listens)
        ignore_added_rings(reactor);
    turn_added_rings(reactor);
}

/* All rings are looked at once: when it waits, behind that. */
static unsigned turn(struct reactor *reactor, uint64_t timeout_ns, unsigned events) {
    if (!reactor->enabled) {
        CHECK(uring_enable(reactor->rings[0]) == 0);
        prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS);
        reactor->enabled = true;
    }
    reactor->reported = 0;
    uring_feed_starved(reactor);
    cool(reactor);
    if (timeout_ns > 0)
        turn_posted_rings(reactor);
    if (timeout_ns > 0 && reactor->reported == 0 && atomic_load(&reactor->wake_pending) == 0) {
        wait(reactor, timeout_ns, events);
    } else {
        turn_added_rings(reactor);
        if (has_work(reactor, 0))
            turn_ring(reactor, reactor->rings[0], 0, 0);
    }
    /* A wake from here on writes the eventfd again; what was published before an earlier one is
     * seen by the caller, for both are read-modify-write. */
    atomic_exchange(&reactor->wake_pending, 0);
    return reactor->reported;
}

static unsigned uring_poll(struct reactor *reactor, uint64_t timeout_ns) {
    return turn(reactor, timeout_ns, 1);
}

/* A DEFER_TASKRUN ring wakes its thread only once all that it waits for is there (Linux 6.4 and
 * newer; before, the thread wakes within the kernel and goes on waiting). */
static unsigned uring_rest(struct reactor *reactor, uint64_t timeout_ns) {
    return turn(reactor, timeout_ns, REST_COMPLETIONS);
}

/* --- life ------------------------------------------------------------------------------------ */

static int uring_reactor_create(struct shard *shard, struct reactor **created) {
    struct reactor *reactor = calloc(1, sizeof *reactor);
    struct uring *ring = malloc(sizeof *ring);
    int error = -ENOMEM;

    if (reactor == NULL || ring == NULL)
        goto out;
    reactor->shard = shard;
    reactor->eventfd = eventfd(0, EFD_CLOEXEC);
    error =
        reactor->eventfd < 0 ? -errno : uring_create(ring, URING_BUFFERS_MAIN, 0, &reactor->posted);
    if (error != 0) {
        log_error("no io_uring here: %s. It needs Linux 6.1 or newer, and a container profile that "
                  "allows it",
                  strerror(-error));
        if (reactor->eventfd >= 0)
            close(reactor->eventfd);
        goto out;
    }
    uring_join(reactor, ring);
    *created = reactor;
    return 0;
out:
    free(ring);
    free(reactor);
    return error;
}

static void uring_reactor_destroy(struct reactor *reactor) {
    for (unsigned i = 0; i < reactor->ring_count; i++) {
        uring_destroy(reactor->rings[i]);
        free(reactor->rings[i]);
    }
    while (reactor->connects != NULL)
        /* It unlinks itself through connect->link, which the analyzer cannot follow. */
        uring_end_connect(reactor->connects); // NOLINT(clang-analyzer-unix.Malloc)
    close(reactor->eventfd);
    free(reactor);
}

static size_t uring_reactor_memory(const struct reactor *reactor) {
    size_t bytes = sizeof *reactor;

    for (unsigned i = 0; i < reactor->ring_count; i++)
        bytes += uring_memory_bytes(reactor->rings[i]);
    return bytes;
}

static unsigned uring_reactor_rings(const struct reactor *reactor) {
    return reactor->ring_count;
}

const struct reactor_ops reactor_uring = {
    .name = "io_uring",
    .create = uring_reactor_create,
    .destroy = uring_reactor_destroy,
    .poll = uring_poll,
    .rest = uring_rest,
    .wake = uring_wake,
    .accept = uring_accept_post,
    .accept_cancel = uring_accept_cancel,
    .connect = uring_connect,
    .adopt = uring_adopt,
    .receive = uring_receive,
    .send = uring_send,
    .shut = uring_shut,
    .close = uring_close,
    .give_back = uring_give_back,
    .watch = uring_watch,
    .unwatch = uring_unwatch,
    .memory_bytes = uring_reactor_memory,
    .rings = uring_reactor_rings,
};

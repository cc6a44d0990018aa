/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reactor on libev (epoll): where io_uring is not allowed, as in many containers.
 *
 *   poll: feed starved receives; do what can be done at once; report what was canceled; wait
 *
 * A socket here is a descriptor of the process, so that RLIMIT_NOFILE bounds connections. A wait is
 * rounded up to the next millisecond, epoll's unit and the timers' too. `wake` is libev's own
 * (ev_async): its flag is set before the look at whether the loop waits, and the loop says that it
 * waits before it looks at the flag, so that one sees the other.
 */
#include "runtime/reactor_ev_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* --- records --------------------------------------------------------------------------------- */

static bool grow(struct reactor *reactor) {
    struct libev_socket *chunk;

    if (reactor->chunk_count == LIBEV_CHUNKS_MAX)
        return false;
    chunk = calloc(LIBEV_CHUNK, sizeof *chunk);
    if (chunk == NULL)
        return false;
    for (unsigned i = LIBEV_CHUNK; i-- > 0;) {
        chunk[i].slot = reactor->chunk_count * LIBEV_CHUNK + i;
        chunk[i].work_next = reactor->records_free;
        reactor->records_free = &chunk[i];
    }
    reactor->chunks[reactor->chunk_count++] = chunk;
    return true;
}

struct libev_socket *libev_record_take(struct reactor *reactor, int fd) {
    struct libev_socket *record;
    uint32_t slot;

    if (reactor->records_free == NULL && !grow(reactor))
        return NULL;
    record = reactor->records_free;
    reactor->records_free = record->work_next;
    slot = record->slot;
    memset(record, 0, sizeof *record);
    record->slot = slot;
    ev_io_init(&record->io, libev_on_socket, fd, 0);
    return record;
}

void libev_record_give(struct reactor *reactor, struct libev_socket *record,
                       struct reactor_socket *socket) {
    record->socket = socket;
    socket->descriptor = record->slot;
}

void libev_record_free(struct reactor *reactor, struct libev_socket *record) {
    CHECK(!ev_is_active(&record->io) && (record->flags & (LIBEV_QUEUED | LIBEV_STARVED)) == 0);
    record->socket = NULL;
    record->work_next = reactor->records_free;
    reactor->records_free = record;
}

void libev_queue_work(struct reactor *reactor, struct libev_socket *record) {
    if ((record->flags & LIBEV_QUEUED) != 0)
        return;
    record->flags |= LIBEV_QUEUED;
    record->work_next = NULL;
    if (reactor->work_tail != NULL)
        reactor->work_tail->work_next = record;
    else
        reactor->work_head = record;
    reactor->work_tail = record;
}

/* --- watching -------------------------------------------------------------------------------- */

static void end_watch(struct reactor *reactor, struct libev_watch *ended, int error) {
    struct libev_watch **link = &reactor->watches;
    struct reactor_watch *watch = ended->watch;

    ev_io_stop(reactor->loop, &ended->io);
    while (*link != ended)
        link = &(*link)->next;
    *link = ended->next;
    free(ended);
    reactor->reported++;
    watch->ready(watch, error);
}

static void on_watched(struct ev_loop *loop, struct ev_io *io, int events) {
    end_watch(ev_userdata(loop), (struct libev_watch *)io, (events & EV_ERROR) != 0 ? -ENOMEM : 0);
}

/* A few at a time: programs that run, and signals. */
static int libev_watch(struct reactor *reactor, int fd, struct reactor_watch *watch) {
    struct libev_watch *added = malloc(sizeof *added);

    if (added == NULL)
        return -ENOMEM;
    *added = (struct libev_watch){.watch = watch, .next = reactor->watches};
    reactor->watches = added;
    ev_io_init(&added->io, on_watched, fd, EV_READ);
    ev_io_start(reactor->loop, &added->io);
    return 0;
}

static void libev_unwatch(struct reactor *reactor, struct reactor_watch *watch) {
    for (struct libev_watch *at = reactor->watches; at != NULL; at = at->next)
        if (at->watch == watch) {
            ev_io_stop(reactor->loop, &at->io);
            at->canceled = true;
            reactor->canceled = true;
        }
}

static void report_canceled(struct reactor *reactor) {
    struct libev_watch *next;

    if (!reactor->canceled)
        return;
    reactor->canceled = false;
    libev_report_canceled_accepts(reactor);
    for (struct libev_watch *at = reactor->watches; at != NULL; at = next) {
        next = at->next;
        if (at->canceled)
            end_watch(reactor, at, -ECANCELED);
    }
}

/* --- the loop -------------------------------------------------------------------------------- */

static void on_wake(struct ev_loop *loop, struct ev_async *async, int events) {
    CHECK((events & EV_ERROR) == 0);
}

static void on_timer(struct ev_loop *loop, struct ev_timer *timer, int events) {
}

static void libev_wake(struct reactor *reactor) {
    ev_async_send(reactor->loop, &reactor->wake);
}

static void wait_for_events(struct reactor *reactor, uint64_t timeout_ns) {
    if (timeout_ns == UINT64_MAX) {
        ev_run(reactor->loop, EVRUN_ONCE);
        return;
    }
    ev_now_update(reactor->loop); /* a timer counts from the loop's idea of now */
    ev_timer_set(&reactor->timer, (double)timeout_ns * 1e-9, 0.);
    ev_timer_start(reactor->loop, &reactor->timer);
    ev_run(reactor->loop, EVRUN_ONCE);
    ev_timer_stop(reactor->loop, &reactor->timer);
}

static unsigned libev_poll(struct reactor *reactor, uint64_t timeout_ns) {
    reactor->reported = 0;
    libev_feed_starved(reactor);
    libev_do_work(reactor);
    report_canceled(reactor);
    if (timeout_ns == 0 || reactor->reported > 0 || reactor->work_head != NULL || reactor->canceled)
        ev_run(reactor->loop, EVRUN_NOWAIT);
    else
        wait_for_events(reactor, timeout_ns);
    return reactor->reported;
}

/* --- life ------------------------------------------------------------------------------------ */

static int make_buffers(struct reactor *reactor) {
    /* Populated: every buffer is soon used, and a page costs 0.7 us so and 12 us by a fault. */
    void *memory = mmap(NULL, (size_t)LIBEV_BUFFERS * LIBEV_BUFFER_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if (memory == MAP_FAILED)
        return -errno;
    reactor->buffers = memory;
    for (unsigned i = LIBEV_BUFFERS; i-- > 0;)
        libev_give_back(reactor, i);
    return 0;
}

static int libev_create(struct shard *shard, struct reactor **created) {
    struct reactor *reactor = calloc(1, sizeof *reactor);
    int error = -ENOMEM;

    if (reactor == NULL)
        return -ENOMEM;
    reactor->shard = shard;
    reactor->starved_end = &reactor->starved_head;
    /* Not what the environment says, and not io_uring, which libev can use too. */
    reactor->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
    if (reactor->loop != NULL)
        error = make_buffers(reactor);
    if (error != 0) {
        if (reactor->loop != NULL)
            ev_loop_destroy(reactor->loop);
        free(reactor);
        return error;
    }
    ev_set_userdata(reactor->loop, reactor);
    ev_async_init(&reactor->wake, on_wake);
    ev_async_start(reactor->loop, &reactor->wake);
    ev_timer_init(&reactor->timer, on_timer, 0., 0.);
    libev_descriptors_measure(reactor);
    *created = reactor;
    return 0;
}

static void libev_destroy(struct reactor *reactor) {
    struct libev_watch *watch;

    ev_loop_destroy(reactor->loop);
    for (unsigned i = 0; i < reactor->chunk_count; i++) {
        for (unsigned k = 0; k < LIBEV_CHUNK; k++) {
            const struct libev_socket *record = &reactor->chunks[i][k];
            if (record->socket != NULL && (record->flags & LIBEV_CLOSING) == 0)
                close(record->io.fd);
        }
        free(reactor->chunks[i]);
    }
    while ((watch = reactor->watches) != NULL) {
        reactor->watches = watch->next;
        free(watch);
    }
    munmap(reactor->buffers, (size_t)LIBEV_BUFFERS * LIBEV_BUFFER_BYTES);
    free(reactor);
}

static size_t libev_memory(const struct reactor *reactor) {
    return sizeof *reactor + (size_t)LIBEV_BUFFERS * LIBEV_BUFFER_BYTES +
           (size_t)reactor->chunk_count * LIBEV_CHUNK * sizeof(struct libev_socket);
}

static unsigned libev_rings(const struct reactor *reactor) {
    return 0;
}

const struct reactor_ops reactor_ev = {
    .name = "libev",
    .create = libev_create,
    .destroy = libev_destroy,
    .poll = libev_poll,
    .wake = libev_wake,
    .accept = libev_accept_post,
    .accept_cancel = libev_accept_cancel,
    .connect = libev_connect,
    .adopt = libev_adopt,
    .receive = libev_receive,
    .send = libev_send,
    .shut = libev_shut,
    .close = libev_close,
    .give_back = libev_give_back,
    .watch = libev_watch,
    .unwatch = libev_unwatch,
    .memory_bytes = libev_memory,
    .rings = libev_rings,
};

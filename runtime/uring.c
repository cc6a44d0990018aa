/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One ring: making it, its buffers, and entering the kernel.
 *
 * DEFER_TASKRUN has completions run only when we ask, in our thread; TASKRUN_FLAG shows without a
 * system call whether there are any; SINGLE_ISSUER is what both stand on. All three need Linux 6.1.
 */
#include "runtime/uring_internal.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define WORKERS_MAX 2 /* kernel threads for what cannot be done at once: shutdown alone */
#define SUBMIT_TRIES_MAX 1000

static unsigned descriptors_allowed(void) {
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > URING_DESCRIPTORS_MAX)
        return URING_DESCRIPTORS_MAX;
    return (unsigned)limit.rlim_cur;
}

/* Smaller when the kernel grants no more memory. */
static int register_descriptors(struct uring *ring) {
    unsigned count = descriptors_allowed();
    int error;

    do {
        error = io_uring_register_files_sparse(&ring->io, count);
        ring->descriptors = count;
        count /= 2;
    } while ((error == -ENOMEM || error == -EMFILE) && count >= URING_DESCRIPTORS_MIN);
    return error;
}

static int register_buffers(struct uring *ring, unsigned count) {
    struct io_uring_buf_reg registration = {.ring_entries = count, .bgid = URING_BUFFER_GROUP};
    size_t ring_bytes = count * sizeof(struct io_uring_buf);
    size_t bytes = (size_t)count * URING_BUFFER_BYTES;
    /* Populated: every buffer is soon used, and a page costs 0.7 us so and 12 us by a fault. */
    void *memory = mmap(NULL, ring_bytes + bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    int error;

    if (memory == MAP_FAILED)
        return -errno;
    registration.ring_addr = (uintptr_t)memory;
    error = io_uring_register_buf_ring(&ring->io, &registration, 0);
    if (error != 0) {
        munmap(memory, ring_bytes + bytes);
        return error;
    }
    ring->buffer_ring = memory;
    ring->buffers = (uint8_t *)memory + ring_bytes;
    ring->buffer_count = count;
    io_uring_buf_ring_init(ring->buffer_ring);
    ring->buffers_lent = count;
    for (unsigned i = 0; i < count; i++)
        uring_buffer_give(ring, i);
    return 0;
}

static int make_places(struct uring *ring) {
    const struct uring_row nobody = {.first = URING_NO_DESCRIPTOR, .last = URING_NO_DESCRIPTOR};

    ring->starved = ring->streaming = nobody;
    ring->places = calloc(ring->descriptors, sizeof *ring->places);
    return ring->places != NULL ? 0 : -ENOMEM;
}

int uring_create(struct uring *ring, unsigned buffers, unsigned index, struct uring_set *posted) {
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE |
                 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_R_DISABLED,
        .cq_entries = URING_COMPLETIONS,
    };
    int error;

    memset(ring, 0, sizeof *ring);
    ring->index = index;
    ring->posted = posted;
    error = io_uring_queue_init_params(URING_SUBMISSIONS, &ring->io, &params);
    if (error != 0)
        return error;
    error = register_descriptors(ring);
    if (error == 0)
        error = make_places(ring);
    if (error == 0)
        error = register_buffers(ring, buffers);
    if (error != 0) {
        io_uring_queue_exit(&ring->io);
        free(ring->places);
    }
    return error;
}

int uring_probe(void) {
    struct uring *ring = malloc(sizeof *ring);
    struct uring_set posted = {{0}};
    int error = ring == NULL ? -ENOMEM : uring_create(ring, 1, 0, &posted);

    if (error == 0)
        uring_destroy(ring);
    free(ring);
    return error;
}

int uring_enable(struct uring *ring) {
    unsigned workers[2] = {WORKERS_MAX, WORKERS_MAX};
    /* liburing 2.3 declares io_uring_enable_rings and does not export it. */
    int error =
        io_uring_register((unsigned)ring->io.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);

    if (error < 0)
        return error;
    io_uring_register_iowq_max_workers(&ring->io, workers); /* a bound; without it there are more */
    io_uring_register_ring_fd(&ring->io);                   /* saves a look-up on each entry */
    return 0;
}

void uring_destroy(struct uring *ring) {
    size_t ring_bytes = ring->buffer_count * sizeof(struct io_uring_buf);

    io_uring_queue_exit(&ring->io);
    munmap(ring->buffer_ring, ring_bytes + (size_t)ring->buffer_count * URING_BUFFER_BYTES);
    free(ring->places);
}

size_t uring_memory_bytes(const struct uring *ring) {
    return sizeof *ring + ring->buffer_count * (URING_BUFFER_BYTES + sizeof(struct io_uring_buf)) +
           URING_SUBMISSIONS * sizeof(struct io_uring_sqe) +
           URING_COMPLETIONS * sizeof(struct io_uring_cqe);
}

/* The kernel takes submissions in order and at once; it can refuse for want of memory only. */
static void make_room(struct uring *ring) {
    for (unsigned tries = 0; io_uring_sq_space_left(&ring->io) == 0; tries++) {
        CHECK(tries < SUBMIT_TRIES_MAX);
        if (io_uring_submit(&ring->io) <= 0)
            sched_yield();
    }
}

struct io_uring_sqe *uring_submission(struct uring *ring, const void *of, enum uring_tag tag) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->io);

    if (__builtin_expect(sqe == NULL, 0)) {
        make_room(ring);
        sqe = io_uring_get_sqe(&ring->io);
    }
    sqe->user_data = (uintptr_t)of | tag;
    uring_set_add(ring->posted, ring->index);
    return sqe;
}

void uring_enter(struct uring *ring, uint64_t timeout_ns, unsigned completions) {
    struct __kernel_timespec timeout = {
        .tv_sec = (long long)(timeout_ns / 1000000000),
        .tv_nsec = (long long)(timeout_ns % 1000000000),
    };
    struct io_uring_cqe *completion;
    int result;

    uring_set_remove(ring->posted, ring->index);
    if (timeout_ns == 0)
        result = io_uring_submit_and_get_events(&ring->io);
    else if (timeout_ns == UINT64_MAX)
        result = io_uring_submit_and_wait(&ring->io, completions);
    else
        result =
            io_uring_submit_and_wait_timeout(&ring->io, &completion, completions, &timeout, NULL);
    /* Out of memory, or more completions than the queue holds: what was not submitted is next time.
     */
    CHECK(result >= 0 || result == -ETIME || result == -EINTR || result == -EAGAIN ||
          result == -EBUSY || result == -ENOMEM);
    if (io_uring_sq_ready(&ring->io) != 0)
        uring_set_add(ring->posted, ring->index);
}

void uring_buffer_give(struct uring *ring, unsigned buffer) {
    io_uring_buf_ring_add(ring->buffer_ring, uring_buffer(ring, buffer), URING_BUFFER_BYTES,
                          (unsigned short)buffer, io_uring_buf_ring_mask(ring->buffer_count), 0);
    io_uring_buf_ring_advance(ring->buffer_ring, 1);
    CHECK(ring->buffers_lent > 0);
    ring->buffers_lent--;
}

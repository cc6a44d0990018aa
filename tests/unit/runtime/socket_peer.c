/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/runtime/socket_peer.h"

#include "runtime/socket.h"
#include "runtime/socket_internal.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB (1u << 20)
#define TICK (ACTOR_KIND_FIRST)

struct peer {
    struct socket_id socket;
    struct socket_address address;
    uint8_t order;  /* 0: not known yet */
    uint64_t total; /* to send, or received */
    uint64_t done;
    uint8_t *waiting; /* PEER_ECHO: what arrived while a send was in flight */
    size_t waiting_length;
    bool told_stuck; /* PEER_FLOOD: counted in scene->stuck */
};

static struct scene *scene_here(void) {
    return actor_context();
}

/* --- sending --------------------------------------------------------------------------------- */

static int send_bytes(struct peer *peer, const void *bytes, size_t length) {
    struct socket_buffer *buffer = socket_buffer_create(length);
    int error;

    memcpy(socket_buffer_bytes(buffer), bytes, length);
    error = socket_send(peer->socket, &buffer, 0, length);
    socket_buffer_destroy(buffer); /* nothing, if it was taken */
    return error;
}

static void send_filled(struct peer *peer, uint8_t byte, size_t length) {
    struct socket_buffer *buffer = socket_buffer_create(length);

    memset(socket_buffer_bytes(buffer), byte, length);
    actor_ensure(socket_send(peer->socket, &buffer, 0, length) == 0, 1);
}

static void send_pattern(struct peer *peer, size_t length) {
    /* Begins behind a margin, so that the offset is tried too. */
    const size_t margin = 3;
    struct socket_buffer *buffer = socket_buffer_create(length + margin);
    uint8_t *bytes = socket_buffer_bytes(buffer);

    for (size_t i = 0; i < length; i++)
        bytes[margin + i] = pattern_at(peer->done + i);
    actor_ensure(socket_send(peer->socket, &buffer, margin, length) == 0, 1);
    peer->done += length;
}

static void stream(struct peer *peer) {
    uint64_t left = peer->total - peer->done;

    if (left == 0) {
        socket_close(peer->socket);
        actor_stop(ACTOR_NORMAL);
        return;
    }
    send_pattern(peer, left < MIB - 16 ? left : MIB - 16);
}

static void echo(struct peer *peer, const uint8_t *bytes, size_t length) {
    if (length == 0 || (peer->waiting_length == 0 && send_bytes(peer, bytes, length) == 0))
        return;
    peer->waiting = actor_reallocate(peer->waiting, peer->waiting_length + length);
    memcpy(peer->waiting + peer->waiting_length, bytes, length);
    peer->waiting_length += length;
}

static void send_waiting(struct peer *peer) {
    actor_ensure(send_bytes(peer, peer->waiting, peer->waiting_length) == 0, 1);
    peer->waiting_length = 0;
}

static void refusals(struct peer *peer) {
    struct socket_buffer *second = socket_buffer_create(10), *third = second;
    struct socket_id stale = {peer->socket.bits + (1ull << 32)};
    struct peer other = {.socket = scene_here()->other};
    char text[64];
    int busy, gone, foreign;

    memset(socket_buffer_bytes(second), 'x', 10);
    send_filled(peer, '-', 10);
    busy = socket_send(peer->socket, &second, 0, 10);
    actor_ensure(second == third, 1);
    gone = socket_send(stale, &second, 0, 10);
    foreign = send_bytes(&other, "f", 1);
    socket_abort(other.socket); /* not ours: nothing happens */
    actor_ensure(second == third, 1);
    snprintf(text, sizeof text, "%d %d %d", busy, gone, foreign);
    echo(peer, (const uint8_t *)text, strlen(text));
    /* `second` goes with the actor. */
}

/* --- events ---------------------------------------------------------------------------------- */

static void count(struct peer *peer, const uint8_t *bytes, size_t length) {
    for (size_t i = 0; i < length; i++)
        actor_ensure(bytes[i] == pattern_at(peer->done + i), 2);
    peer->done += length;
    atomic_fetch_add(&scene_here()->received, length);
}

static void obey(struct peer *peer, const uint8_t *bytes, size_t length) {
    char text[80];

    switch (peer->order) {
    case PEER_ADDRESS:
        socket_address_format(&peer->address, text, sizeof text);
        send_bytes(peer, text, strlen(text));
        socket_close(peer->socket);
        break;
    case PEER_STREAM:
        peer->total = (uint64_t)bytes[1] * MIB;
        stream(peer);
        break;
    case PEER_FAIL:
        send_filled(peer, 'F', MIB);
        actor_fail(3, "as ordered");
    case PEER_FLOOD:
        actor_timer_start(100, TICK, 0);
        peer->total = UINT64_MAX;
        send_filled(peer, 'G', MIB);
        break;
    case PEER_FILL:
        send_filled(peer, 'B', MIB);
        break;
    case PEER_CLOSE:
        send_pattern(peer, 65536);
        socket_close(peer->socket);
        break;
    case PEER_ABORT:
        socket_abort(peer->socket);
        break;
    case PEER_PAUSE:
        socket_pause(peer->socket);
        actor_timer_start(1, TICK, 0);
        count(peer, bytes + 1, length - 1);
        break;
    case PEER_TWICE:
        refusals(peer);
        break;
    case PEER_ECHO:
        echo(peer, bytes + 1, length - 1);
        break;
    case PEER_COUNT:
        count(peer, bytes + 1, length - 1);
        break;
    default:
        break;
    }
}

static void peer_on_data(void *state, struct message **message) {
    struct peer *peer = state;
    const struct socket_data *data = message_as(*message, struct socket_data);

    atomic_fetch_add(&scene_here()->data_events, 1);
    if (peer->order == PEER_SLOW && scene_here()->resume == 0)
        usleep(1000);
    if (peer->order == 0) {
        peer->order = data->bytes[0];
        obey(peer, data->bytes, data->length);
    } else if (peer->order == PEER_ECHO || peer->order == PEER_SLOW) {
        echo(peer, data->bytes, data->length);
    } else if (peer->order == PEER_COUNT || peer->order == PEER_PAUSE) {
        count(peer, data->bytes, data->length);
    }
}

static void peer_on_sent(void *state, struct message **message) {
    struct peer *peer = state;

    if (peer->order == PEER_STREAM)
        stream(peer);
    if (peer->order == PEER_FLOOD) {
        peer->done++;
        send_filled(peer, 'G', MIB);
    }
    if (peer->waiting_length == 0)
        return;
    send_waiting(peer);
    if (peer->order == PEER_TWICE)
        socket_close(peer->socket);
}

static void peer_on_closed(void *state, struct message **message) {
    struct peer *peer = state;
    struct scene *scene = scene_here();

    scene->error = message_as(*message, struct socket_closed)->error;
    atomic_fetch_add(&scene->closed, 1);
    if (peer->order == PEER_COUNT || peer->order == PEER_PAUSE)
        send_bytes(peer, &peer->done, sizeof peer->done); /* it closed its half only */
    if (scene->error == 0 && peer->waiting_length > 0)
        send_waiting(peer);
    actor_stop(ACTOR_NORMAL);
}

static void peer_on_tick(void *state, struct message **message) {
    struct peer *peer = state;

    if (peer->order == PEER_FLOOD) {
        bool stuck = peer->done == peer->total; /* since the last look */
        peer->total = peer->done;
        if (stuck && !peer->told_stuck)
            atomic_fetch_add(&scene_here()->stuck, 1);
        peer->told_stuck |= stuck;
        if (stuck && scene_here()->resume != 0)
            actor_stop(ACTOR_NORMAL);
        else
            actor_timer_start(100, TICK, 0);
    } else if (scene_here()->resume != 0) {
        socket_resume(peer->socket);
    } else {
        actor_timer_start(1, TICK, 0);
    }
}

static int peer_init(void *state, const void *argument) {
    struct peer *peer = state;
    const struct socket_accepted *accepted = argument;

    peer->socket = accepted->socket;
    peer->address = accepted->peer;
    scene_here()->other = scene_here()->accepted > 0 ? scene_here()->other : accepted->socket;
    return socket_own(accepted->socket);
}

static const struct actor_handler peer_handlers[] = {
    [SOCKET_DATA] = {"data", peer_on_data},
    [SOCKET_SENT] = {"sent", peer_on_sent},
    [SOCKET_CLOSED] = {"closed", peer_on_closed},
    [TICK] = {"tick", peer_on_tick},
};
static const struct actor_class peer_class = {
    .name = "peer",
    .state_bytes = sizeof(struct peer),
    .init = peer_init,
    .handlers = peer_handlers,
    .handler_count = sizeof peer_handlers / sizeof peer_handlers[0],
};

/* --- the listener ---------------------------------------------------------------------------- */

static int listener_init(void *state, const void *argument) {
    return socket_accept(scene_here()->listener.fd, scene_here()->outstanding);
}

static void listener_on_accepted(void *state, struct message **message) {
    struct actor_id peer;

    if (atomic_load(&scene_here()->accepted) + 1 == scene_here()->fails_at) {
        scene_here()->fails_at = 0;
        actor_fail(4, "as ordered");
    }
    if (scene_here()->owns)
        actor_ensure(actor_spawn(&peer_class, message_as(*message, struct socket_accepted),
                                 ACTOR_NOBODY, &peer) == 0,
                     1);
    atomic_fetch_add(&scene_here()->accepted, 1);
}

static const struct actor_handler listener_handlers[] = {
    [SOCKET_ACCEPTED] = {"accepted", listener_on_accepted},
};
const struct actor_class listener_class = {
    .name = "listener",
    .state_bytes = 1,
    .init = listener_init,
    .handlers = listener_handlers,
    .handler_count = sizeof listener_handlers / sizeof listener_handlers[0],
};

/* --- the scene ------------------------------------------------------------------------------- */

const struct reactor_ops *scene_reactor;

void scene_start_with(struct scene *scene, const struct actor_class *class) {
    static struct supervisor_child child;
    static struct supervisor_spec root;
    struct runtime_options options = {.shards = 1, .pool_threads = 1, .context = scene};
    unsigned failed;

    child = (struct supervisor_child){.class = class, .restart = RESTART_PERMANENT};
    root = (struct supervisor_spec){
        .name = "root", .restarts_max = 3, .period_ms = 1000, .children = &child, .child_count = 1};
    options.root = &root;
    options.reactor = scene_reactor;
    if (scene->listener.address.family == 0) { /* else one that a scene before had */
        assert_int_equal(socket_address_parse("127.0.0.1:0", 0, &scene->listener.address), 0);
        assert_int_equal(heart_listen(&scene->listener, 1, &failed), 0);
    }
    assert_int_equal(runtime_start(&options, &scene->runtime), 0);
}

void scene_start(struct scene *scene) {
    scene->outstanding = 16;
    scene->owns = true;
    scene_start_with(scene, &listener_class);
}

void scene_stop(struct scene *scene) {
    runtime_stop(scene->runtime, 0);
    assert_int_equal(runtime_wait(scene->runtime), 0);
    runtime_destroy(scene->runtime);
    close(scene->listener.fd);
}

int client_socket(void) {
    int fd = socket_open(AF_INET);

    assert_true(fd >= 0);
    return fd;
}

void client_connect_socket(const struct scene *scene, int fd) {
    union socket_kernel_address kernel;
    socklen_t length = socket_address_to_kernel(&scene->listener.address, &kernel);

    assert_int_equal(connect(fd, &kernel.any, length), 0);
}

int client_connect(const struct scene *scene, const char *from) {
    union socket_kernel_address kernel;
    struct socket_address local;
    int fd = client_socket();

    if (from != NULL) {
        assert_int_equal(socket_address_parse(from, 0, &local), 0);
        socklen_t length = socket_address_to_kernel(&local, &kernel);
        assert_int_equal(bind(fd, &kernel.any, length), 0);
    }
    client_connect_socket(scene, fd);
    return fd;
}

void client_write(int fd, const void *bytes, size_t length) {
    const uint8_t *at = bytes;

    while (length > 0) {
        ssize_t written = send(fd, at, length, MSG_NOSIGNAL);
        assert_true(written > 0);
        at += written;
        length -= (size_t)written;
    }
}

void client_read(int fd, void *bytes, size_t length) {
    ssize_t got = recv(fd, bytes, length, MSG_WAITALL);

    assert_int_equal(got, length);
}

int client_read_end(int fd) {
    char byte;
    ssize_t got = recv(fd, &byte, 1, 0);

    assert_true(got <= 0);
    return got == 0 ? 0 : errno;
}

uint64_t open_sockets(struct scene *scene) {
    struct runtime_counters counters;

    runtime_counters_read(scene->runtime, &counters);
    return counters.sockets;
}

void wait_until_none_is_open(struct scene *scene) {
    while (open_sockets(scene) != 0)
        usleep(1000);
}

void say_and_hear(int fd, const char *text) {
    char got[16];

    client_write(fd, text, strlen(text));
    client_read(fd, got, strlen(text));
    assert_memory_equal(got, text, strlen(text));
}

void limit_descriptors(rlim_t soft) {
    struct rlimit files;

    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = soft != 0 ? soft : files.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
}

uint8_t *pattern(size_t length) {
    uint8_t *bytes = malloc(length);

    for (size_t i = 0; i < length; i++)
        bytes[i] = pattern_at(i);
    return bytes;
}

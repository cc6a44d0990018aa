/* SPDX-License-Identifier: Apache-2.0 */
/* A TCP server: one actor per connection, each sending back what it receives.
 *
 *   echo_server [PORT]      PORT 0, or none: any free one; its number is the first line of output
 *
 * A client that does not read holds up itself alone: its actor stops receiving until what it has
 * was sent, so that a connection never holds more than the few buffers that came before the stop.
 */
#include <runtime/runtime.h>
#include <runtime/signals.h>
#include <runtime/socket.h>

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- one connection */

struct connection {
    struct socket_id socket;
    uint8_t *waiting; /* what came while a send was in flight */
    size_t waiting_bytes;
};

static int try_send(struct connection *connection, const uint8_t *bytes, size_t length) {
    struct socket_buffer *buffer = socket_buffer_create(length);
    memcpy(socket_buffer_bytes(buffer), bytes, length);
    int error = socket_send(connection->socket, &buffer, 0, length);
    if (error)
        socket_buffer_destroy(buffer); /* one is in flight already: it is still ours */
    return error;
}

static void on_data(void *state, struct message **message) {
    struct connection *connection = state;
    const struct socket_data *data = message_as(*message, struct socket_data);
    if (!connection->waiting_bytes && try_send(connection, data->bytes, data->length) == 0)
        return;
    size_t bytes = connection->waiting_bytes + data->length;
    actor_ensure(bytes <= SOCKET_BUFFER_MAX, 1); /* ends this connection, no other */
    connection->waiting = actor_reallocate(connection->waiting, bytes);
    memcpy(connection->waiting + connection->waiting_bytes, data->bytes, data->length);
    connection->waiting_bytes = bytes;
    socket_pause(connection->socket); /* the rest waits in the kernel, then at the client */
}

/* A message that says "sent" may be older than the send that is in flight now. */
static void send_waiting(struct connection *connection) {
    if (connection->waiting_bytes &&
        try_send(connection, connection->waiting, connection->waiting_bytes) != -EBUSY)
        connection->waiting_bytes = 0;
}

static void on_sent(void *state, struct message **message) {
    struct connection *connection = state;
    send_waiting(connection);
    if (!connection->waiting_bytes)
        socket_resume(connection->socket);
}

static void on_closed(void *state, struct message **message) {
    if (message_as(*message, struct socket_closed)->error == 0)
        send_waiting(state); /* the client has no more to say, but it may still listen */
    actor_stop(ACTOR_NORMAL);
}

static int connection_init(void *state, const void *argument) {
    struct connection *connection = state;
    connection->socket = *(const struct socket_id *)argument;
    return socket_own(connection->socket); /* it closes when this actor ends, however it ends */
}

static const struct actor_handler connection_handlers[] = {[SOCKET_DATA] = {"data", on_data},
                                                           [SOCKET_SENT] = {"sent", on_sent},
                                                           [SOCKET_CLOSED] = {"closed", on_closed}};
static const struct actor_class connection = {.name = "connection",
                                              .state_bytes = sizeof(struct connection),
                                              .init = connection_init,
                                              .handlers = connection_handlers,
                                              .handler_count = SOCKET_CLOSED + 1};

/* --- the listener: one on each shard, so that connections spread over the cores */

static int listening_fd;

static void on_accepted(void *state, struct message **message) {
    const struct socket_accepted *accepted = message_as(*message, struct socket_accepted);
    actor_spawn(&connection, &accepted->socket, supervisor_of_class(&connection), NULL);
    /* Could it not be spawned, nobody owns the socket, and it is closed. */
}

static int listener_init(void *state, const void *argument) {
    return socket_accept(listening_fd, 16);
}

static const struct actor_handler listener_handlers[] = {
    [SOCKET_ACCEPTED] = {"accepted", on_accepted}};
static const struct actor_class listener = {.name = "listener",
                                            .init = listener_init,
                                            .handlers = listener_handlers,
                                            .handler_count = SOCKET_ACCEPTED + 1};

/* --- the end, in order: SIGINT or SIGTERM */

static void on_signal(void *state, struct message **message) {
    runtime_stop(runtime_current(), 0);
}

static int stopper_init(void *state, const void *argument) {
    signal_subscribe(SIGINT);
    return signal_subscribe(SIGTERM);
}

static const struct actor_handler stopper_handlers[] = {[SIGNAL_RAISED] = {"signal", on_signal}};
static const struct actor_class stopper = {.name = "stopper",
                                           .init = stopper_init,
                                           .handlers = stopper_handlers,
                                           .handler_count = SIGNAL_RAISED + 1};

/* --- the tree, and main */

static const struct supervisor_child pool_children[] = {{.class = &connection, .dynamic = true}};
static const struct supervisor_spec pool = {.name = "connections",
                                            .restarts_max = 1000, /* that fail, a minute */
                                            .period_ms = 60000,
                                            .children = pool_children,
                                            .child_count = 1};
static const struct supervisor_child children[] = {
    {.class = &stopper},
    {.supervisor = &pool, .every_shard = true},
    {.class = &listener, .every_shard = true}, /* last to start, first to stop */
};
static const struct supervisor_spec root = {
    .name = "root", .restarts_max = 3, .children = children, .child_count = 3};

static int listen_on(unsigned short port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t length = sizeof address;
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(fd, SOMAXCONN) != 0)
        return -1;
    getsockname(fd, (struct sockaddr *)&address, &length);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int main(int count, char **arguments) {
    struct runtime_options options = {.root = &root};
    struct runtime *runtime;
    listening_fd = listen_on(count > 1 ? (unsigned short)strtoul(arguments[1], NULL, 10) : 0);
    signals_block(); /* before any thread is made */
    if (listening_fd < 0 || runtime_start(&options, &runtime) != 0) {
        perror("echo_server");
        return 1;
    }
    int status = runtime_wait(runtime);
    runtime_destroy(runtime);
    return status;
}

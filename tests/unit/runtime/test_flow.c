/* SPDX-License-Identifier: Apache-2.0 */
/*
 * More than can be served: what is over is refused and counted, or waits at the client, and memory
 * stays as it was. A real runtime on the real reactors; records come by sockets and go to one
 * worker whose mailbox is bounded.
 */
#include "tests/unit/runtime/fixture.h"
#include "tests/unit/runtime/socket_peer.h"

#include "runtime/credit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECORD 512u
#define BOUND 256u
#define WINDOW 128u
#define MIB (1u << 20)
/* A mailbox's length is read while it runs, which counts what it handled at the end of its turn:
 * the messages of one turn, and those of them that it put aside again. */
#define TURN_SLACK (2 * TURN_ACTOR_MESSAGES_MAX)

enum { ITEM = ACTOR_KIND_FIRST, TICK, HELLO };

/* The runtime's context. Written by its shard, read by the test, but for what says otherwise. */
struct flow {
    struct scene scene; /* first: scene_start_with gives its address */
    bool holds_back;    /* by the test, before it starts: credits instead of refusals */
    atomic_bool open;   /* by the test: the worker serves all that it has */
    struct actor_id worker;
    atomic_ulong offered, served, refused, waiting_peak;
    atomic_bool out_of_order;
};

static struct flow *flow_here(void) {
    return actor_context();
}

/* --- the worker: serves one record of ten that are offered, or none until it is open */

struct worker {
    bool ticks;
    uint64_t next; /* while records are held back none is lost: they count up */
    struct credit_window window;
};

static bool may_serve(const struct flow *flow) {
    return flow->open || (!flow->holds_back && flow->served < flow->offered / 10);
}

static void on_item(void *state, struct message **message) {
    struct worker *worker = state;
    struct flow *flow = flow_here();
    if (!may_serve(flow)) {
        actor_defer(message);
        if (!worker->ticks && !flow->holds_back)
            actor_timer_start(1, TICK, 0);
        worker->ticks = true;
        return;
    }
    uint64_t number = value_of(*message);
    if (flow->holds_back && number != worker->next++)
        flow->out_of_order = true;
    flow->served++;
    if (flow->holds_back)
        credit_use(&worker->window, 1);
}

static void on_tick(void *state, struct message **message) {
    ((struct worker *)state)->ticks = false;
    actor_undefer();
}

static void on_hello(void *state, struct message **message) {
    credit_open(&((struct worker *)state)->window, (*message)->from, 0, WINDOW);
}

static const struct actor_handler worker_handlers[] = {
    [ITEM] = {"item", on_item}, [TICK] = {"tick", on_tick}, [HELLO] = {"hello", on_hello}};
static const struct actor_class worker_class = {.name = "worker",
                                                .state_bytes = sizeof(struct worker),
                                                .handlers = worker_handlers,
                                                .handler_count = HELLO + 1,
                                                .mailbox_messages_max = BOUND};

/* --- a connection: cuts what it receives into records */

struct connection {
    struct socket_id socket;
    struct credit credit;
    uint8_t *waiting; /* received and not given on */
    size_t waiting_bytes, capacity;
    bool ended; /* no more comes */
};

static int give_on(struct connection *connection, const uint8_t *record) {
    struct flow *flow = flow_here();
    struct message *item = message_create(ITEM, RECORD);
    memcpy(message_payload(item), record, RECORD);
    int error = flow->holds_back ? credit_send(&connection->credit, 1, &item)
                                 : actor_send(flow->worker, &item);
    message_destroy(item); /* nothing, if it was taken */
    if (!error || error == -ENOBUFS)
        flow->offered++;
    if (error == -ENOBUFS) {
        flow->refused++;
        actor_count("record_refused", 1);
    }
    return error == -EAGAIN ? error : 0;
}

/* What is left waits; while anything does, nothing is received. */
static void give_all(struct connection *connection) {
    size_t at = 0;
    while (connection->waiting_bytes - at >= RECORD &&
           give_on(connection, connection->waiting + at) == 0)
        at += RECORD;
    connection->waiting_bytes -= at;
    if (at && connection->waiting_bytes)
        memmove(connection->waiting, connection->waiting + at, connection->waiting_bytes);
    if (connection->waiting_bytes > flow_here()->waiting_peak)
        flow_here()->waiting_peak = connection->waiting_bytes;
    if (connection->waiting_bytes >= RECORD)
        socket_pause(connection->socket);
    else if (connection->ended)
        actor_stop(ACTOR_NORMAL);
    else
        socket_resume(connection->socket);
}

static void on_data(void *state, struct message **message) {
    struct connection *connection = state;
    const struct socket_data *data = message_as(*message, struct socket_data);
    size_t bytes = connection->waiting_bytes + data->length;
    if (bytes > connection->capacity) {
        connection->capacity = 2 * bytes;
        connection->waiting = actor_reallocate(connection->waiting, connection->capacity);
    }
    memcpy(connection->waiting + connection->waiting_bytes, data->bytes, data->length);
    connection->waiting_bytes = bytes;
    give_all(connection);
}

static void on_granted(void *state, struct message **message) {
    struct connection *connection = state;
    credit_granted(&connection->credit, *message);
    give_all(connection);
}

static void on_closed(void *state, struct message **message) {
    ((struct connection *)state)->ended = true;
    give_all(state);
}

static int connection_init(void *state, const void *argument) {
    struct connection *connection = state;
    connection->socket = *(const struct socket_id *)argument;
    if (flow_here()->holds_back)
        actor_signal(flow_here()->worker, HELLO);
    return socket_own(connection->socket);
}

static const struct actor_handler connection_handlers[] = {
    [SOCKET_DATA] = {"data", on_data},
    [SOCKET_CLOSED] = {"closed", on_closed},
    [CREDIT_GRANTED] = {"granted", on_granted},
};
static const struct actor_class connection_class = {.name = "connection",
                                                    .state_bytes = sizeof(struct connection),
                                                    .init = connection_init,
                                                    .handlers = connection_handlers,
                                                    .handler_count = CREDIT_GRANTED + 1};

/* --- the one that accepts, and starts the worker */

static void on_accepted(void *state, struct message **message) {
    const struct socket_accepted *accepted = message_as(*message, struct socket_accepted);
    assert_int_equal(actor_spawn(&connection_class, &accepted->socket, ACTOR_NOBODY, NULL), 0);
}

static int acceptor_init(void *state, const void *argument) {
    struct flow *flow = flow_here();
    int error = actor_spawn(&worker_class, NULL, ACTOR_NOBODY, &flow->worker);
    return error ? error : socket_accept(flow->scene.listener.fd, 16);
}

static const struct actor_handler acceptor_handlers[] = {
    [SOCKET_ACCEPTED] = {"accepted", on_accepted}};
static const struct actor_class acceptor_class = {.name = "acceptor",
                                                  .init = acceptor_init,
                                                  .handlers = acceptor_handlers,
                                                  .handler_count = SOCKET_ACCEPTED + 1};

/* --- what the test sees */

/* With a sanitizer the half of it is the sanitizer's. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RESIDENT_SLACK (256 * (size_t)MIB)
#else
#define RESIDENT_SLACK (16 * (size_t)MIB)
#endif

static size_t resident_bytes(void) {
    char text[128] = {0};
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof text, file));
    fclose(file);
    char *second = strchr(text, ' ');
    assert_non_null(second);
    return strtoull(second, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

static uint64_t mailbox_messages(struct flow *flow) {
    return fixture_class(flow->scene.runtime, "worker")->mailbox_messages;
}

static uint64_t message_bytes_held(struct flow *flow) {
    struct runtime_counters counters;
    runtime_counters_read(flow->scene.runtime, &counters);
    return counters.memory_message_bytes;
}

/* Fills with records that count up from *number. */
static void records_fill(uint8_t *bytes, unsigned records, uint64_t *number) {
    for (unsigned i = 0; i < records; i++) {
        memcpy(bytes + (size_t)i * RECORD, number, sizeof *number);
        (*number)++;
    }
}

/* --- tests */

static void what_cannot_be_served_is_refused_counted_and_not_kept(void **state) {
    enum { CLIENTS = 4, PART = 128, PARTS = 400 }; /* 100 MiB in all, 90 of them too much */
    const uint64_t total = (uint64_t)CLIENTS * PART * PARTS;
    static struct flow flow;
    uint8_t *part = calloc(PART, RECORD);
    uint64_t number = 0;
    size_t resident = 0, messages = 0, messages_peak = 0;
    int fds[CLIENTS];

    memset(&flow, 0, sizeof flow);
    scene_start_with(&flow.scene, &acceptor_class);
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = client_connect(&flow.scene, NULL);
    for (unsigned k = 0; k < PARTS; k++) {
        for (int i = 0; i < CLIENTS; i++) {
            records_fill(part, PART, &number);
            client_write(fds[i], part, PART * RECORD);
        }
        assert_in_range(mailbox_messages(&flow), 0, BOUND + TURN_SLACK);
        uint64_t held = message_bytes_held(&flow);
        messages_peak = held > messages_peak ? held : messages_peak;
        if (k == PARTS / 10) { /* from here on ten times as much comes */
            resident = resident_bytes();
            messages = messages_peak;
        }
    }
    for (int i = 0; i < CLIENTS; i++) {
        shutdown(fds[i], SHUT_WR);
        assert_int_equal(client_read_end(fds[i]), 0);
        close(fds[i]);
    }
    assert_int_equal(flow.offered, total);
    assert_in_range(resident_bytes(), 0, resident + RESIDENT_SLACK);
    assert_in_range(messages_peak, 0, messages + MIB);
    flow.open = true;
    while (flow.served + flow.refused < total)
        usleep(1000);
    assert_in_range(flow.served, BOUND, total / 10 + BOUND);
    assert_int_equal(flow.served + flow.refused, total);
    assert_int_equal(fixture_event(flow.scene.runtime, "record_refused"), flow.refused);
    free(part);
    scene_stop(&flow.scene);
}

static void a_full_mailbox_stops_the_socket_and_room_resumes_it(void **state) {
    const size_t total = 64 * (size_t)MIB;
    static struct flow flow;
    uint8_t *bytes = calloc(1, total);
    uint64_t number = 0;
    size_t written = 0;
    int quiet = 0;

    memset(&flow, 0, sizeof flow);
    flow.holds_back = true;
    records_fill(bytes, (unsigned)(total / RECORD), &number);
    scene_start_with(&flow.scene, &acceptor_class);
    size_t resident = resident_bytes();
    int fd = client_connect(&flow.scene, NULL);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    /* Until nothing more is taken: the worker is not open. */
    while (quiet < 50 || mailbox_messages(&flow) < WINDOW || flow.waiting_peak < RECORD) {
        ssize_t n = send(fd, bytes + written, total - written, MSG_NOSIGNAL);
        written += n > 0 ? (size_t)n : 0;
        quiet = n > 0 ? 0 : quiet + 1;
        assert_in_range(mailbox_messages(&flow), 0, WINDOW + TURN_SLACK);
        assert_in_range(flow.waiting_peak, 0, 4 * MIB);
        if (n <= 0)
            usleep(1000);
    }
    assert_true(written < total);
    assert_int_equal(flow.served, 0);
    assert_int_equal(mailbox_messages(&flow), WINDOW); /* full, and the rest waits outside */
    assert_in_range(resident_bytes(), 0, resident + RESIDENT_SLACK);

    flow.open = true;
    struct message *tick = message_create(TICK, 0);
    runtime_send(flow.scene.runtime, flow.worker, &tick);
    fcntl(fd, F_SETFL, 0);
    client_write(fd, bytes + written, total - written);
    shutdown(fd, SHUT_WR);
    assert_int_equal(client_read_end(fd), 0);
    while (flow.served < number)
        usleep(1000);
    assert_int_equal(flow.refused, 0);
    assert_false(flow.out_of_order);
    close(fd);
    free(bytes);
    scene_stop(&flow.scene);
}

/* --- the system lane, by hand */

static struct {
    bool held;
    struct actor_id busy, watched[2], linked[2];
    unsigned items, downs, exits, fired;
} lane;

static void busy_on_item(void *state, struct message **message) {
    lane.items++;
    if (lane.held)
        actor_defer(message);
}

static void busy_on_down(void *state, struct message **message) {
    lane.downs++;
}

static void busy_on_exit(void *state, struct message **message) {
    lane.exits++;
}

static void busy_on_tick(void *state, struct message **message) {
    lane.fired++;
}

static int busy_init(void *state, const void *argument) {
    actor_trap_exits(true);
    for (unsigned i = 0; i < 2; i++) {
        actor_monitor(lane.watched[i]);
        actor_link(lane.linked[i]);
    }
    actor_timer_start(10, TICK, 0);
    return 0;
}

static const struct actor_handler busy_handlers[] = {[ACTOR_DOWN] = {"down", busy_on_down},
                                                     [ACTOR_EXIT] = {"exit", busy_on_exit},
                                                     [ITEM] = {"item", busy_on_item},
                                                     [TICK] = {"tick", busy_on_tick}};
static const struct actor_class busy_class = {.name = "busy",
                                              .init = busy_init,
                                              .handlers = busy_handlers,
                                              .handler_count = TICK + 1,
                                              .mailbox_messages_max = 4};
static const struct actor_class plain_class = {.name = "plain"};

/* Of actors here and on another shard. */
static void down_exit_and_timers_arrive_at_a_full_mailbox(void **state) {
    struct runtime *runtime = fixture_create(2);
    memset(&lane, 0, sizeof lane);
    lane.held = true;
    for (unsigned i = 0; i < 2; i++) {
        fixture_enter(runtime, i);
        assert_int_equal(actor_spawn(&plain_class, NULL, ACTOR_NOBODY, &lane.watched[i]), 0);
        assert_int_equal(actor_spawn(&plain_class, NULL, ACTOR_NOBODY, &lane.linked[i]), 0);
    }
    fixture_enter(runtime, 0);
    assert_int_equal(actor_spawn(&busy_class, NULL, ACTOR_NOBODY, &lane.busy), 0);
    for (unsigned i = 0; i < 4; i++)
        fixture_send(lane.busy, ITEM, i);
    fixture_run(runtime);
    struct message *message = message_of(ITEM, 4);
    assert_int_equal(actor_send(lane.busy, &message), -ENOBUFS);
    for (unsigned i = 0; i < 2; i++) {
        actor_kill(lane.watched[i], ACTOR_KILLED);
        actor_kill(lane.linked[i], ACTOR_KILLED);
    }
    fixture_run_ms(runtime, 20);
    assert_int_equal(lane.downs, 2);
    assert_int_equal(lane.exits, 2);
    assert_int_equal(lane.fired, 1);
    assert_int_equal(actor_send(lane.busy, &message), -ENOBUFS); /* it was full all the time */
    assert_int_equal(lane.items, 4);
    message_destroy(message);
    fixture_destroy(runtime);
}

#define TESTS_OF_BOTH                                                        \
    cmocka_unit_test(what_cannot_be_served_is_refused_counted_and_not_kept), \
        cmocka_unit_test(a_full_mailbox_stops_the_socket_and_room_resumes_it)

int main(void) {
    const struct CMUnitTest reactor_tests[] = {TESTS_OF_BOTH};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(down_exit_and_timers_arrive_at_a_full_mailbox),
    };
    int failed = cmocka_run_group_tests_name("system lane", tests, NULL, NULL);

    scene_reactor = reactor_choose();
    if (scene_reactor == &reactor_uring) /* else it is refused here */
        failed += cmocka_run_group_tests_name("io_uring", reactor_tests, NULL, NULL);
    scene_reactor = &reactor_ev;
    failed += cmocka_run_group_tests_name("libev", reactor_tests, NULL, NULL);
    return failed;
}

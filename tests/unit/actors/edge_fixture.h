/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's edge for tests: the real runtime, the real listeners and connections on a loopback port,
 * and fakes of the mailbox, the account and the number, whose messages the test sees and answers.
 *
 * For the one file of a test program that includes it: it defines the fakes' classes, which the
 * real ones in the library then do not.
 */
#ifndef TERN_TESTS_EDGE_FIXTURE_H
#define TERN_TESTS_EDGE_FIXTURE_H

#include "actors/answer.h"
#include "actors/messages.h"
#include "actors/node.h"
#include "net/wire.h"
#include "runtime/reactor.h"
#include "runtime/runtime.h"
#include "storage/account.h"
#include "storage/engine_memory.h"
#include "tests/unit/actors/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define EDGE_USER 42
#define EDGE_DEVICE 3
#define EDGE_IDENTITY 7 /* the peer that is EDGE_USER's device */
#define EDGE_STRANGER 9 /* one that no account has */
#define EDGE_SEEN_MAX 4096
#define EDGE_MAILBOX_MAX 64
#define EDGE_CALL TERN_KIND_END

struct fake_mailbox {
    struct actor_id connection;
    uint64_t epoch, cursor;
};

/* Runs in the fake mailbox. */
typedef void (*edge_call_fn)(struct fake_mailbox *mailbox);

/* A message that a fake got. */
struct edge_seen {
    uint16_t kind;
    _Alignas(16) uint8_t payload[256];
    uint8_t content[256]; /* the blob's begin */
    size_t content_bytes;
};

static struct edge {
    struct node node;
    struct runtime *runtime;
    int fds[1], metrics_fds[1];
    uint16_t port, metrics_port;
    uint8_t certificate[40];

    pthread_mutex_t lock; /* what follows is shared with the fakes */
    struct edge_seen *seen;
    unsigned seen_count;
    struct actor_id mailbox; /* the one that was last attached to */
    uint64_t activations;
    bool defers;     /* the mailbox puts sends and acks aside, until it is full */
    bool drains;     /* SIGTERM is listened to */
    bool silent;     /* the mailbox answers no sends */
    int attach_code; /* of its answers to ATTACH */
} edge;

/* --- what the fakes do -------------------------------------------------------------------------
 */

static inline void edge_record(struct message *message) {
    pthread_mutex_lock(&edge.lock);
    if (edge.seen_count < EDGE_SEEN_MAX) {
        struct edge_seen *seen = &edge.seen[edge.seen_count++];
        size_t bytes = message->payload_bytes;
        seen->kind = message->kind;
        memcpy(seen->payload, message_payload(message),
               bytes < sizeof(seen->payload) ? bytes : sizeof(seen->payload));
        seen->content_bytes = message->blob ? blob_length(message->blob) : 0;
        if (message->blob)
            memcpy(seen->content, blob_bytes(message->blob),
                   seen->content_bytes < sizeof(seen->content) ? seen->content_bytes
                                                               : sizeof(seen->content));
    }
    pthread_mutex_unlock(&edge.lock);
}

static inline int fake_mailbox_init(void *state, const void *argument) {
    struct fake_mailbox *mailbox = state;
    pthread_mutex_lock(&edge.lock);
    mailbox->epoch = 100 + ++edge.activations;
    pthread_mutex_unlock(&edge.lock);
    return 0;
}

static inline void fake_mailbox_terminate(void *state, int reason) {
    const struct fake_mailbox *mailbox = state;
    if (mailbox->connection.bits)
        actor_kill(mailbox->connection, PARTNER_ENDED);
}

static inline void fake_mailbox_on_attach(void *state, struct message **message) {
    struct fake_mailbox *mailbox = state;
    const struct mailbox_attach *attach = message_as(*message, struct mailbox_attach);
    struct message *reply = message_create(CONNECTION_ATTACHED, sizeof(struct mailbox_attached));
    mailbox->connection = attach->connection;
    edge_record(*message);
    pthread_mutex_lock(&edge.lock);
    edge.mailbox = actor_self();
    *message_as(reply, struct mailbox_attached) = (struct mailbox_attached){
        .mailbox = actor_self(),
        .code = edge.attach_code,
        .resume = WIRE_RESUME_REPLAY,
        .epoch = mailbox->epoch,
        .next_send = attach->send_low,
        .mail_in_flight_max = 256,
        .mail_in_flight_bytes_max = 1 << 20,
        .queue_messages_max = 10000,
    };
    pthread_mutex_unlock(&edge.lock);
    if (actor_send(attach->connection, &reply) != 0)
        message_destroy(reply);
}

static inline bool fake_mailbox_defers(struct message **message) {
    pthread_mutex_lock(&edge.lock);
    bool defers = edge.defers;
    pthread_mutex_unlock(&edge.lock);
    if (defers)
        actor_defer(message);
    return defers;
}

static inline void fake_mailbox_on_send(void *state, struct message **message) {
    const struct mailbox_send *send = message_as(*message, struct mailbox_send);
    uint8_t body[WIRE_SMALL_BODY_BYTES_MAX];
    struct wire_writer writer = {.bytes = body, .capacity = sizeof(body)};
    struct wire_sent_body sent = {.time_ms = 1, .sequence = send->number};
    if (fake_mailbox_defers(message))
        return;
    edge_record(*message);
    pthread_mutex_lock(&edge.lock);
    bool silent = edge.silent;
    pthread_mutex_unlock(&edge.lock);
    if (send->refusal)
        answer_code((struct answer_to){send->connection, send->ref}, send->refusal, 0);
    if (silent || send->refusal)
        return;
    CHECK(wire_write_sent_body(&writer, &sent) == 0);
    answer_body((struct answer_to){send->connection, send->ref}, body, writer.length);
}

static inline void fake_on_any(void *state, struct message **message) {
    edge_record(*message);
}

static inline void fake_mailbox_on_ack(void *state, struct message **message) {
    if (!fake_mailbox_defers(message))
        edge_record(*message);
}

static inline void fake_mailbox_on_call(void *state, struct message **message) {
    (*message_as(*message, edge_call_fn))(state);
}

static const struct actor_handler fake_mailbox_handlers[] = {
    [MAILBOX_ATTACH] = {"attach", fake_mailbox_on_attach},
    [MAILBOX_DETACH] = {"detach", fake_on_any},
    [MAILBOX_SEND] = {"send", fake_mailbox_on_send},
    [MAILBOX_ACK] = {"ack", fake_mailbox_on_ack},
    [MAILBOX_RECEIPT] = {"receipt", fake_on_any},
    [EDGE_CALL] = {"call", fake_mailbox_on_call},
};

const struct actor_class mailbox_class = {
    .name = "mailbox",
    .state_bytes = sizeof(struct fake_mailbox),
    .init = fake_mailbox_init,
    .terminate = fake_mailbox_terminate,
    .handlers = fake_mailbox_handlers,
    .handler_count = EDGE_CALL + 1,
    .mailbox_messages_max = EDGE_MAILBOX_MAX,
};

static inline void fake_number_on_register(void *state, struct message **message) {
    const struct number_register *request = message_as(*message, struct number_register);
    edge_record(*message);
    answer_code((struct answer_to){request->connection, request->ref}, WIRE_CODE_OK, 0);
}

/* Any code is right: the key becomes EDGE_USER's device. */
static inline void fake_number_on_verify(void *state, struct message **message) {
    const struct number_verify *request = message_as(*message, struct number_verify);
    struct write_batch batch;
    struct record_account account;
    edge_record(*message);
    write_batch_init(&batch, 1 << 16);
    CHECK(account_create(&batch, EDGE_USER + 1, request->phone, request->name, request->key, 1,
                         &account) == 0);
    CHECK(engine_write(edge.node.engine, (struct write_batch *[]){&batch}, 1, ENGINE_SYNC) == 0);
    write_batch_finish(&batch);
    answer_code((struct answer_to){request->connection, request->ref}, WIRE_CODE_OK, 0);
}

static const struct actor_handler fake_number_handlers[] = {
    [NUMBER_REGISTER] = {"register", fake_number_on_register},
    [NUMBER_VERIFY] = {"verify", fake_number_on_verify},
};

const struct actor_class number_class = {
    .name = "number",
    .state_bytes = 8,
    .handlers = fake_number_handlers,
    .handler_count = NUMBER_VERIFY + 1,
};

static inline void fake_account_on_request(void *state, struct message **message) {
    const struct account_request *request = message_as(*message, struct account_request);
    edge_record(*message);
    answer_code((struct answer_to){request->connection, request->ref}, WIRE_CODE_NOT_FOUND, 0);
}

static const struct actor_handler fake_account_handlers[] = {
    [ACCOUNT_DEVICES] = {"devices", fake_account_on_request},
    [ACCOUNT_PROFILE] = {"profile", fake_account_on_request},
};

const struct actor_class account_class = {
    .name = "account",
    .state_bytes = 8,
    .handlers = fake_account_handlers,
    .handler_count = ACCOUNT_PROFILE + 1,
};

/* --- the tree ----------------------------------------------------------------------------------
 */

static const struct supervisor_child edge_connections[] = {
    {.class = &connection_class, .restart = RESTART_TEMPORARY, .dynamic = true}};
static const struct supervisor_spec edge_connections_spec = {
    .name = "connections",
    .restarts_max = 100,
    .period_ms = 1000,
    .children = edge_connections,
    .child_count = 1,
};
static const struct supervisor_child edge_fakes[] = {
    {.class = &mailbox_class, .restart = RESTART_TEMPORARY, .dynamic = true},
    {.class = &number_class, .restart = RESTART_TEMPORARY, .dynamic = true},
    {.class = &account_class, .restart = RESTART_TEMPORARY, .dynamic = true},
};
static const struct supervisor_spec edge_fakes_spec = {
    .name = "fakes",
    .restarts_max = 100,
    .period_ms = 1000,
    .children = edge_fakes,
    .child_count = 3,
};
static const struct supervisor_child edge_children[] = {
    {.supervisor = &edge_fakes_spec, .restart = RESTART_PERMANENT, .every_shard = true},
    {.supervisor = &edge_connections_spec, .restart = RESTART_PERMANENT, .every_shard = true},
    {.class = &listener_class, .restart = RESTART_PERMANENT, .every_shard = true},
    {.class = &metrics_class, .restart = RESTART_PERMANENT},
    {.class = &drainer_class, .restart = RESTART_PERMANENT}, /* if edge.drains */
};
static const struct supervisor_spec edge_tree = {
    .name = "root",
    .restarts_max = 5,
    .period_ms = 1000,
    .children = edge_children,
    .child_count = 4,
};
static const struct supervisor_spec edge_tree_drains = {
    .name = "root",
    .restarts_max = 5,
    .period_ms = 1000,
    .children = edge_children,
    .child_count = 5,
};

/* --- up and down -------------------------------------------------------------------------------
 */

static inline int edge_listen(uint16_t *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(fd, 512), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

/* EDGE_USER has EDGE_DEVICE, the key of the peer EDGE_IDENTITY. */
static inline void edge_make_account(void) {
    struct write_batch batch;
    struct record_account account;
    struct noise_keypair pair;
    uint8_t secret[32];
    uint32_t device = 0;
    memset(secret, EDGE_IDENTITY, sizeof(secret));
    noise_keypair_from_private(&pair, secret);
    write_batch_init(&batch, 1 << 16);
    assert_int_equal(
        account_create(&batch, EDGE_USER, "15550001000", "Ann", pair.public_key, 1, &account), 0);
    while (device != EDGE_DEVICE)
        assert_int_equal(account_replace_devices(&batch, &account, pair.public_key, 1, &device), 0);
    assert_int_equal(
        engine_write(edge.node.engine, (struct write_batch *[]){&batch}, 1, ENGINE_SYNC), 0);
    write_batch_finish(&batch);
}

/* The node as it is before it starts: a test may change limits before edge_start. */
static inline int edge_setup(void **state) {
    struct noise_keypair pair;
    uint8_t secret[32];
    memset(&edge, 0, sizeof(edge));
    assert_true(sodium_init() >= 0);
    pthread_mutex_init(&edge.lock, NULL);
    edge.seen = calloc(EDGE_SEEN_MAX, sizeof(*edge.seen));
    edge.fds[0] = edge_listen(&edge.port);
    edge.metrics_fds[0] = edge_listen(&edge.metrics_port);
    memset(secret, 1, sizeof(secret));
    noise_keypair_from_private(&pair, secret);
    memset(edge.certificate, 0xc5, sizeof(edge.certificate));
    node_limits_default(&edge.node.limits);
    edge.node.name = "test";
    edge.node.shards = 2;
    edge.node.boot = 1;
    memcpy(edge.node.noise_secret, pair.private_key, 32);
    memcpy(edge.node.noise_public, pair.public_key, 32);
    edge.node.certificate = edge.certificate;
    edge.node.certificate_bytes = sizeof(edge.certificate);
    edge.node.listening_fds = edge.fds;
    edge.node.listening_count = 1;
    edge.node.metrics_fds = edge.metrics_fds;
    edge.node.metrics_count = 1;
    assert_int_equal(engine_memory_open(&(struct engine_memory_options){0}, &edge.node.engine), 0);
    edge_make_account();
    return 0;
}

static inline void edge_start(void) {
    struct runtime_options options = {.shards = edge.node.shards,
                                      .pool_threads = 1,
                                      .root = edge.drains ? &edge_tree_drains : &edge_tree,
                                      .context = &edge.node};
    const char *reactor = getenv("TERN_TEST_REACTOR"); /* of which kind, as in the scenarios */
    assert_int_equal(reactor_find(reactor ? reactor : "auto", &options.reactor), 0);
    assert_int_equal(runtime_start(&options, &edge.runtime), 0);
}

static inline int edge_teardown(void **state) {
    if (edge.runtime) {
        runtime_stop(edge.runtime, 0);
        assert_int_equal(runtime_wait(edge.runtime), 0);
        runtime_destroy(edge.runtime);
    }
    engine_close(edge.node.engine);
    close(edge.fds[0]);
    close(edge.metrics_fds[0]);
    free(edge.seen);
    return 0;
}

#define EDGE_TEST(test) cmocka_unit_test_setup_teardown(test, edge_setup, edge_teardown)

/* --- seen from outside -------------------------------------------------------------------------
 */

static inline void edge_pause(void) {
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

struct edge_event {
    const char *name;
    uint64_t count;
};

static inline void edge_add_event(void *context, const char *name, uint64_t count) {
    struct edge_event *event = context;
    if (strcmp(name, event->name) == 0)
        event->count += count;
}

static inline uint64_t edge_count(const char *name) {
    struct edge_event event = {.name = name};
    runtime_events_visit(edge.runtime, edge_add_event, &event);
    return event.count;
}

/* Until the event was counted so often. */
static inline void edge_await_count(const char *name, uint64_t count) {
    for (int i = 0; i < PEER_SECONDS * 500 && edge_count(name) < count; i++)
        edge_pause();
    if (edge_count(name) < count)
        fail_msg("%s was counted %llu times", name, (unsigned long long)edge_count(name));
}

static inline void edge_await_connections(uint32_t count) {
    for (int i = 0; i < PEER_SECONDS * 500 && atomic_load(&edge.node.connections) != count; i++)
        edge_pause();
    assert_int_equal(atomic_load(&edge.node.connections), count);
}

/* The nth (from 0) message of this kind that a fake got, when it is there. */
static inline struct edge_seen edge_await(uint16_t kind, unsigned nth) {
    struct edge_seen found = {0};
    for (int i = 0; i < PEER_SECONDS * 500; i++) {
        unsigned left = nth;
        pthread_mutex_lock(&edge.lock);
        for (unsigned j = 0; j < edge.seen_count && !found.kind; j++)
            if (edge.seen[j].kind == kind && left-- == 0)
                found = edge.seen[j];
        pthread_mutex_unlock(&edge.lock);
        if (found.kind)
            return found;
        edge_pause();
    }
    fail_msg("message %u (the %uth) did not come", kind, nth);
    return found;
}

static inline unsigned edge_seen_of(uint16_t kind) {
    unsigned count = 0;
    pthread_mutex_lock(&edge.lock);
    for (unsigned j = 0; j < edge.seen_count; j++)
        count += edge.seen[j].kind == kind;
    pthread_mutex_unlock(&edge.lock);
    return count;
}

/* Has the fake mailbox that was last attached to do something. */
static inline void edge_call(edge_call_fn call) {
    struct message *message = message_create(EDGE_CALL, sizeof(call));
    *message_as(message, edge_call_fn) = call;
    pthread_mutex_lock(&edge.lock);
    struct actor_id mailbox = edge.mailbox;
    pthread_mutex_unlock(&edge.lock);
    runtime_send(edge.runtime, mailbox, &message);
}

/* For calls: one mail of this many bytes. */
static inline void fake_mailbox_mail(struct fake_mailbox *mailbox, size_t bytes) {
    struct message *message = message_create(CONNECTION_MAIL, sizeof(struct connection_mail));
    struct connection_mail *mail = message_as(message, struct connection_mail);
    mail->epoch = mailbox->epoch;
    mail->cursor = ++mailbox->cursor;
    mail->chat = 5;
    mail->sender = (struct device_address){5, 1};
    mail->attempt = 1;
    mail->ciphertext_bytes = (uint32_t)bytes;
    mail->external_offset = (uint32_t)bytes;
    message->blob = blob_create(bytes);
    memset(blob_bytes(message->blob), 'x', bytes);
    if (actor_send(mailbox->connection, &message) != 0)
        message_destroy(message);
}

/* A device that is attached; its `welcome` is read. */
static inline struct peer *edge_login(void) {
    struct peer *peer = peer_login(edge.port, EDGE_IDENTITY);
    struct wire_frame frame;
    peer_expect(peer, WIRE_WELCOME, &frame);
    assert_true(frame.welcome.registered);
    return peer;
}

#endif

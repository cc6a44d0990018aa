/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a stranger to a known device: the HTTP head, the Noise handshake, the key index.
 *
 *     PROXY header       ─►          (from the cluster file's proxies alone, who must send it)
 *     GET /v1, Upgrade   ─►          (or a plain answer, and the end)
 *                        ◄─ 101
 *     message 1: e       ─►
 *                        ◄─ message 2: e, ee, s, es, the node's certificate
 *     message 3: s, se, `hello` ─►
 *                                    whose key is it? (a pool job)
 *
 * Strangers buy little: a handshake's memory is there only while it lasts, its computing waits for
 * its share of the shard (handshake_gate.h), and a deadline runs since the accept.
 */
#include "actors/connection.h"
#include "actors/connection_internal.h"
#include "actors/node.h"
#include "actors/quarantine.h"
#include "net/certificate.h"
#include "net/http.h"
#include "net/proxy.h"
#include "storage/account.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#define RETRY_AFTER_S 1 /* while draining, or not ready */
#define LOOKUP_RETRY_MS 50
/* WebSocket's header, then message 2 with a certificate that a node may have. */
#define SECOND_BYTES_MAX \
    (WEBSOCKET_HEADER_BYTES_MAX + NOISE_HANDSHAKE_2_OVERHEAD + CERTIFICATE_BYTES_MAX)

struct connection_handshake {
    struct handshake_wait wait;
    struct noise_handshake noise;
    uint8_t *message; /* a copy of the one that waits for its share; else NULL */
    size_t message_bytes;
};

/* --- a proxy's word ----------------------------------------------------------------------------
 */

size_t connection_take_proxy(struct connection *connection, const uint8_t *bytes, size_t length) {
    struct proxy_header header;
    enum parse_result result = proxy_parse(bytes, length, &header);
    if (result == PARSE_MORE)
        return 0;
    if (result != PARSE_COMPLETE) {
        connection_abort(connection, "proxy_junk");
        return 0;
    }
    if (header.has_address && !connection_place(header.address)) {
        connection_abort(connection, "proxy_refused");
        return 0;
    }
    if (header.has_address) {
        memcpy(connection->address, header.address, sizeof(connection->address));
        connection->placed = true;
    }
    connection_enter(connection, CONNECTION_HTTP);
    return header.bytes;
}

/* --- HTTP --------------------------------------------------------------------------------------
 */

static void answer_later(struct connection *connection, unsigned status, unsigned retry_after_s,
                         bool head_only, const char *why) {
    char text[2 * HTTP_RESPONSE_HEAD_BYTES_MAX];
    int length = http_write_answer(text, sizeof(text), status, retry_after_s, head_only);
    actor_count(why, 1);
    if (length < 0) {
        connection_abort(connection, "http_unanswerable");
        return;
    }
    connection_output_raw(connection, (const uint8_t *)text, (size_t)length);
    connection_enter(connection, CONNECTION_CLOSING);
}

static void answer(struct connection *connection, unsigned status, bool head_only,
                   const char *why) {
    answer_later(connection, status, status == 503 ? RETRY_AFTER_S : 0, head_only, why);
}

static bool path_is(const struct http_request *request, const char *path) {
    return request->path_length == strlen(path) &&
           memcmp(request->path, path, request->path_length) == 0;
}

static bool is_ready(const struct node *node) {
    return !atomic_load_explicit(&node->draining, memory_order_relaxed) &&
           !atomic_load_explicit(&node->store_full, memory_order_relaxed);
}

static void serve(struct connection *connection, const struct http_request *request) {
    bool head_only = request->kind == HTTP_REQUEST_HEAD;
    if (path_is(request, "/healthz"))
        answer(connection, 200, head_only, "http_healthz");
    else if (path_is(request, "/readyz"))
        answer(connection, is_ready(node_current()) ? 200 : 503, head_only, "http_readyz");
    else
        answer(connection, 404, head_only, "http_not_found");
}

static void upgrade(struct connection *connection, const struct http_request *request) {
    char text[HTTP_RESPONSE_HEAD_BYTES_MAX];
    if (atomic_load_explicit(&node_current()->draining, memory_order_relaxed)) {
        answer(connection, 503, false, "http_draining");
        return;
    }
    actor_count("websocket_tried", 1);
    struct handshake_gate *gate = &node_shard_current()->gate;
    if (handshake_gate_is_full(gate, node_current()->limits.handshakes_waiting_max)) {
        answer_later(connection, 503, handshake_gate_book(gate, actor_now_ns()), false,
                     "http_overloaded");
        return;
    }
    int length = http_write_upgrade(text, sizeof(text), request->key);
    actor_ensure(length > 0, CONNECTION_REASON_BROKEN);
    connection_output_raw(connection, (const uint8_t *)text, (size_t)length);
    connection_enter(connection, CONNECTION_NOISE_FIRST);
}

size_t connection_take_http(struct connection *connection, const uint8_t *bytes, size_t length) {
    struct http_request request;
    enum parse_result result = http_parse_request(bytes, length, &request);
    if (result == PARSE_MORE)
        return 0;
    if (result != PARSE_COMPLETE || request.kind == HTTP_REQUEST_REFUSED) {
        actor_count("websocket_tried", 1);
        answer(connection, request.status, false, "http_refused");
    } else if (request.kind == HTTP_REQUEST_UPGRADE) {
        upgrade(connection, &request);
    } else {
        serve(connection, &request);
    }
    return result == PARSE_COMPLETE ? request.head_bytes : 0;
}

/* --- Noise -------------------------------------------------------------------------------------
 */

static void fail(struct connection *connection, const char *why) {
    connection_close(connection, WIRE_CLOSE_HANDSHAKE, why);
}

static void begin(struct connection *connection) {
    const struct node *node = node_current();
    struct connection_handshake *handshake = actor_allocate(sizeof(*handshake));
    struct noise_keypair pair;
    uint8_t ephemeral[NOISE_KEY_BYTES];
    memcpy(pair.private_key, node->noise_secret, sizeof(pair.private_key));
    memcpy(pair.public_key, node->noise_public, sizeof(pair.public_key));
    actor_random(ephemeral, sizeof(ephemeral));
    noise_handshake_init(&handshake->noise, NOISE_RESPONDER, &pair, ephemeral,
                         (const uint8_t *)WIRE_PROLOGUE, strlen(WIRE_PROLOGUE));
    sodium_memzero(&pair, sizeof(pair));
    sodium_memzero(ephemeral, sizeof(ephemeral));
    connection_work(connection)->handshake = handshake;
}

void connection_handshake_free(struct connection *connection) {
    struct connection_handshake *handshake = connection_handshake(connection);
    if (!handshake)
        return;
    connection->work->handshake = NULL;
    handshake_gate_leave(&node_shard_current()->gate, &handshake->wait);
    noise_handshake_finish(&handshake->noise);
    actor_free(handshake->message);
    actor_free(handshake);
}

/* Reads message 1, writes message 2. */
static void compute_first(struct connection *connection, uint8_t *bytes, size_t length) {
    const struct node *node = node_current();
    struct connection_handshake *handshake = connection_handshake(connection);
    uint8_t *payload;
    size_t payload_bytes;
    uint8_t second[SECOND_BYTES_MAX];
    size_t second_bytes;
    if (noise_handshake_read(&handshake->noise, bytes, length, &payload, &payload_bytes) != 0 ||
        noise_handshake_write(&handshake->noise, node->certificate, node->certificate_bytes,
                              second + WEBSOCKET_HEADER_BYTES_MAX,
                              sizeof(second) - WEBSOCKET_HEADER_BYTES_MAX, &second_bytes) != 0) {
        fail(connection, "handshake_failed");
        return;
    }
    size_t header = websocket_header_bytes(WEBSOCKET_SERVER, second_bytes);
    uint8_t *frame = second + WEBSOCKET_HEADER_BYTES_MAX - header;
    websocket_write_header(frame, WEBSOCKET_SERVER, WEBSOCKET_BINARY, second_bytes, NULL);
    connection_output_raw(connection, frame, header + second_bytes);
    connection_enter(connection, CONNECTION_NOISE_THIRD);
}

static bool take_hello(struct connection *connection, const uint8_t *bytes, size_t length) {
    struct wire_reader reader;
    struct wire_frame frame;
    wire_reader_init(&reader, bytes, length);
    if (wire_read_frame(&reader, &frame) != PARSE_COMPLETE || frame.kind != WIRE_HELLO) {
        connection_close(connection, WIRE_CLOSE_BAD_FRAME, "hello_junk");
        return false;
    }
    if (frame.hello.version_min > WIRE_VERSION || frame.hello.version_max < WIRE_VERSION) {
        connection_close(connection, WIRE_CLOSE_VERSION, "hello_version");
        return false;
    }
    connection->resume_epoch = frame.hello.epoch;
    connection->resume_cursor = frame.hello.cursor;
    connection->send_low = frame.hello.send_low;
    connection_set_send_end(connection, frame.hello.send_end);
    return true;
}

/* Reads message 3: the peer has proven its key. */
static void compute_third(struct connection *connection, uint8_t *bytes, size_t length) {
    struct connection_handshake *handshake = connection_handshake(connection);
    uint8_t *hello;
    size_t hello_bytes;
    if (noise_handshake_read(&handshake->noise, bytes, length, &hello, &hello_bytes) != 0) {
        fail(connection, "handshake_failed");
        return;
    }
    /* What it proves to have got must have been sent. */
    struct connection_work *work = connection->work;
    actor_ensure(!work || work->urgent.bytes == 0, CONNECTION_REASON_BROKEN);
    memcpy(connection->key, noise_handshake_remote_static(&handshake->noise),
           sizeof(connection->key));
    actor_ensure(noise_handshake_split(&handshake->noise, &connection->transport) == 0,
                 CONNECTION_REASON_BROKEN);
    connection->secured = true;
    if (quarantine_refuses_key(node_current()->quarantine, connection->key, actor_now_ms())) {
        connection_close(connection, WIRE_CLOSE_LIMITED, "connection_blamed");
        return;
    }
    if (take_hello(connection, hello, hello_bytes)) {
        actor_count("handshake_done", 1);
        handshake_gate_done(&node_shard_current()->gate, actor_now_ns());
        connection_look_up(connection);
    }
}

/* Computes if the handshakes of this shard have a share left in this turn. */
static bool try_compute(struct connection *connection, uint8_t *bytes, size_t length) {
    struct handshake_gate *gate = &node_shard_current()->gate;
    struct connection_handshake *handshake = connection_handshake(connection);
    bool first = connection->state == CONNECTION_NOISE_FIRST ||
                 connection->state == CONNECTION_NOISE_FIRST_WAITS;
    if (!handshake->wait.waits)
        handshake->wait.is_half_done = !first;
    if (!handshake_gate_enter(gate, &handshake->wait))
        return false;
    uint64_t began_ns = actor_now_ns();
    if (first)
        compute_first(connection, bytes, length);
    else
        compute_third(connection, bytes, length);
    handshake_gate_spend(gate, actor_now_ns() - began_ns);
    handshake = connection_handshake(connection);
    if (handshake)
        handshake_gate_leave(gate, &handshake->wait);
    if (connection->secured)
        connection_handshake_free(connection);
    return true;
}

static void compute_or_wait(struct connection *connection, uint8_t *bytes, size_t length,
                            enum connection_state waits) {
    if (try_compute(connection, bytes, length))
        return;
    struct connection_handshake *handshake = connection_handshake(connection);
    handshake->message = actor_allocate(length ? length : 1);
    memcpy(handshake->message, bytes, length);
    handshake->message_bytes = length;
    connection_enter(connection, waits);
    actor_count("handshake_waited", 1);
}

void connection_take_noise_first(struct connection *connection, uint8_t *bytes, size_t length) {
    if (length < NOISE_HANDSHAKE_1_OVERHEAD) {
        fail(connection, "handshake_failed");
        return;
    }
    if (handshake_gate_is_full(&node_shard_current()->gate,
                               node_current()->limits.handshakes_waiting_max)) {
        connection_close(connection, WIRE_CLOSE_OVERLOADED, "handshake_overloaded");
        return;
    }
    begin(connection);
    compute_or_wait(connection, bytes, length, CONNECTION_NOISE_FIRST_WAITS);
}

void connection_take_noise_third(struct connection *connection, uint8_t *bytes, size_t length) {
    if (length < NOISE_HANDSHAKE_3_OVERHEAD)
        fail(connection, "handshake_failed");
    else
        compute_or_wait(connection, bytes, length, CONNECTION_NOISE_THIRD_WAITS);
}

void connection_handshake_turn(struct connection *connection) {
    struct connection_handshake *handshake = connection_handshake(connection);
    if (!handshake || !handshake->message)
        return;
    uint8_t *message = handshake->message;
    if (!try_compute(connection, message, handshake->message_bytes))
        return;
    handshake = connection_handshake(connection);
    if (handshake && handshake->message) {
        actor_free(message);
        handshake->message = NULL;
    }
    connection_input_resume(connection);
}

/* --- whose key ---------------------------------------------------------------------------------
 */

/* No such key: nobody's. */
static void note_found(struct known_device *known, int error) {
    known->error = error == -ENOENT ? 0 : error;
    if (error)
        known->user = 0;
}

static void find_key(struct message *message) {
    struct known_device *known = message_as(message, struct known_device);
    note_found(known, account_find_key(known->engine, known->key, &known->user, &known->device));
}

/* What is in memory is told at once: handing it to the pool and back costs ten times as much. */
static bool find_key_at_once(struct connection *connection) {
    struct known_device known = {.engine = node_current()->engine};
    int error = account_find_key_cached(known.engine, connection->key, &known.user, &known.device);
    if (error == -EAGAIN)
        return false;
    note_found(&known, error);
    connection_known(connection, &known);
    return true;
}

void connection_look_up(struct connection *connection) {
    connection_enter(connection, CONNECTION_LOOKING_UP);
    if (connection->work)
        connection->work->retry_ms = 0;
    if (find_key_at_once(connection))
        return;
    struct message *message = message_create(CONNECTION_KNOWN, sizeof(struct known_device));
    struct known_device *known = message_as(message, struct known_device);
    known->engine = node_current()->engine;
    memcpy(known->key, connection->key, sizeof(known->key));
    if (actor_run_blocking(find_key, &message) != 0) {
        message_destroy(message);
        actor_count("lookup_pool_full", 1);
        connection_work(connection)->retry_ms = connection_ms_after(LOOKUP_RETRY_MS);
        connection_wake_by(connection, connection->work->retry_ms);
    }
}

void connection_known(struct connection *connection, const struct known_device *known) {
    if (connection->state != CONNECTION_LOOKING_UP)
        return;
    if (known->error) {
        connection_close(connection, WIRE_CLOSE_INTERNAL, "lookup_failed");
        return;
    }
    connection->user = known->user;
    connection->device = known->device;
    if (quarantine_refuses_device(node_current()->quarantine,
                                  (struct device_address){known->user, known->device},
                                  connection->address, actor_now_ms())) {
        connection_close(connection, WIRE_CLOSE_LIMITED, "connection_blamed");
        return;
    }
    if (known->user) {
        connection_enter(connection, CONNECTION_ATTACHING);
        connection_attach(connection);
        return;
    }
    connection_enter(connection, CONNECTION_UNREGISTERED);
    connection_welcome(connection, NULL);
    connection_input_resume(connection);
}

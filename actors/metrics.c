/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metrics actor: one per node, serving GET /metrics on a listener of its own (loopback, unless
 * the cluster file says otherwise).
 *
 * Few connections at a time, each with one request and one answer, none kept alive. A client that
 * is too slow to ask or to read is closed.
 *
 *     accepted ─► asking ─(whole head)─► answered and closed, or closed at its time
 */
#include "actors/measures.h"
#include "actors/messages.h"
#include "actors/metrics_text.h"
#include "actors/node.h"
#include "net/http.h"
#include "runtime/log.h"
#include "runtime/runtime.h"

#include <stdio.h>
#include <string.h>

#define CLIENTS_MAX 16
#define HEAD_BYTES_MAX 2048
#define TICK_MS 1000
#define CLIENT_MS_MAX 10000
#define SAVE_MS 60000
#define SAVE_BYTES_MAX (3u * RECORD_ACTIVE_SIZE)

struct client {
    struct socket_id socket; /* none: a free place */
    uint64_t due_ms;
    uint16_t head_bytes;
    uint8_t *head;
};

struct metrics {
    struct client clients[CLIENTS_MAX];
    struct actor_timer tick;
    struct measures_saved saved;
};

static struct client *find(struct metrics *metrics, struct socket_id socket) {
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        if (metrics->clients[i].socket.bits == socket.bits)
            return &metrics->clients[i];
    return NULL;
}

static void forget(struct client *client) {
    actor_free(client->head);
    *client = (struct client){0};
}

static void metrics_on_accepted(void *state, struct message **message) {
    struct metrics *metrics = state;
    const struct socket_accepted *accepted = message_as(*message, struct socket_accepted);
    struct client *client = find(metrics, (struct socket_id){0});
    if (!client || socket_own(accepted->socket) != 0) {
        actor_count("metrics_refused", 1);
        return;
    }
    client->socket = accepted->socket;
    client->due_ms = actor_now_ms() + CLIENT_MS_MAX;
    client->head = actor_allocate(HEAD_BYTES_MAX);
    if (!metrics->tick.bits)
        metrics->tick = actor_timer_start(TICK_MS, METRICS_TICK, 0);
}

/* --- answers -----------------------------------------------------------------------------------
 */

static void send_answer(struct client *client, struct socket_buffer *buffer, size_t length) {
    if (socket_send(client->socket, &buffer, 0, length) != 0)
        socket_buffer_destroy(buffer);
    socket_close(client->socket); /* after the send */
    forget(client);
}

static void answer_status(struct client *client, unsigned status, bool head_only) {
    struct socket_buffer *buffer = socket_buffer_create(2 * (size_t)HTTP_RESPONSE_HEAD_BYTES_MAX);
    int length = http_write_answer((char *)socket_buffer_bytes(buffer),
                                   socket_buffer_capacity(buffer), status, 0, head_only);
    send_answer(client, buffer, (size_t)length);
}

/* The body is written first, behind room for the head, which says how long it is. */
static void answer_metrics(struct client *client, bool head_only) {
    size_t room = HTTP_RESPONSE_HEAD_BYTES_MAX;
    struct socket_buffer *buffer = socket_buffer_create(room + METRICS_TEXT_BYTES_MAX);
    char *bytes = (char *)socket_buffer_bytes(buffer);
    struct metrics_text text = {.bytes = bytes + room, .capacity = METRICS_TEXT_BYTES_MAX};
    metrics_text_write(&text, node_current(), runtime_current(), actor_wall_ms());
    if (text.cut)
        actor_count("metrics_cut", 1);
    struct http_response response = {
        .status = 200, .content_type = "text/plain; version=0.0.4", .body_bytes = text.length};
    int head = http_write_head(bytes, room, &response);
    CHECK(head > 0);
    memmove(bytes + head, bytes + room, text.length);
    send_answer(client, buffer, (size_t)head + (head_only ? 0 : text.length));
}

static void answer(struct client *client, const struct http_request *request) {
    bool head_only = request->kind == HTTP_REQUEST_HEAD;
    bool plain = head_only || request->kind == HTTP_REQUEST_GET;
    if (plain && request->path_length == 8 && memcmp(request->path, "/metrics", 8) == 0)
        answer_metrics(client, head_only);
    else if (plain || request->kind == HTTP_REQUEST_UPGRADE)
        answer_status(client, 404, head_only);
    else
        answer_status(client, request->status, false);
}

static void metrics_on_data(void *state, struct message **message) {
    const struct socket_data *data = message_as(*message, struct socket_data);
    struct client *client = find(state, data->socket);
    if (!client)
        return;
    if (client->head_bytes + data->length > HEAD_BYTES_MAX) {
        answer_status(client, 431, false);
        return;
    }
    memcpy(client->head + client->head_bytes, data->bytes, data->length);
    client->head_bytes = (uint16_t)(client->head_bytes + data->length);
    struct http_request request;
    enum parse_result result = http_parse_request(client->head, client->head_bytes, &request);
    if (result == PARSE_COMPLETE)
        answer(client, &request);
    else if (result != PARSE_MORE)
        answer_status(client, request.status, false);
}

/* --- the end of a client -----------------------------------------------------------------------
 */

static void metrics_on_closed(void *state, struct message **message) {
    struct client *client = find(state, message_as(*message, struct socket_closed)->socket);
    if (client)
        forget(client);
}

static void metrics_on_tick(void *state, struct message **message) {
    struct metrics *metrics = state;
    bool some = false;
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        struct client *client = &metrics->clients[i];
        if (client->socket.bits && client->due_ms <= actor_now_ms()) {
            actor_count("metrics_timeout", 1);
            socket_abort(client->socket);
            forget(client);
        }
        some |= client->socket.bits != 0;
    }
    metrics->tick = some ? actor_timer_start(TICK_MS, METRICS_TICK, 0) : (struct actor_timer){0};
}

/* --- who was active is kept over restarts -----------------------------------------------------
 */

/* Unsynced and unanswered: if it is lost, a minute is, or it is written the next time but one. */
static void save(struct metrics *metrics) {
    struct actor_id committer = actor_whereis(COMMITTER_NAME);
    struct write_batch batch;
    write_batch_init(&batch, SAVE_BYTES_MAX);
    if (committer.bits && measures_save(node_current(), actor_wall_ms(), &metrics->saved, &batch)) {
        struct engine_bytes bytes = write_batch_bytes(&batch);
        struct message *message = message_create(COMMITTER_COMMIT, sizeof(struct commit_request));
        *message_as(message, struct commit_request) = (struct commit_request){.sync = 0};
        message->blob = blob_copy_of(bytes.data, bytes.size);
        if (actor_send(committer, &message) != 0) {
            message_destroy(message);
            metrics->saved = (struct measures_saved){0}; /* the next time, then */
        }
    }
    write_batch_finish(&batch);
}

static void metrics_on_save(void *state, struct message **message) {
    save(state);
    actor_timer_start(SAVE_MS, METRICS_SAVE, 0);
}

/* --- life --------------------------------------------------------------------------------------
 */

static int metrics_init(void *state, const void *argument) {
    const struct node *node = node_current();
    for (unsigned i = 0; i < node->metrics_count; i++) {
        int error = socket_accept(node->metrics_fds[i], 1);
        if (error) {
            log_error("metrics: cannot accept: %s", strerror(-error));
            return error;
        }
    }
    if (node->measures)
        actor_timer_start(SAVE_MS, METRICS_SAVE, 0);
    return 0;
}

static void metrics_terminate(void *state, int reason) {
    if (reason == ACTOR_SHUTDOWN)
        save(state);
}

static const struct actor_handler handlers[] = {
    [SOCKET_ACCEPTED] = {"accepted", metrics_on_accepted},
    [SOCKET_DATA] = {"data", metrics_on_data},
    [SOCKET_CLOSED] = {"closed", metrics_on_closed},
    [METRICS_TICK] = {"tick", metrics_on_tick},
    [METRICS_SAVE] = {"save", metrics_on_save},
};

const struct actor_class metrics_class = {
    .name = "metrics",
    .state_bytes = sizeof(struct metrics),
    .init = metrics_init,
    .terminate = metrics_terminate,
    .handlers = handlers,
    .handler_count = sizeof(handlers) / sizeof(handlers[0]),
};

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a connection hears: bytes become WebSocket messages, and each goes where the state says.
 *
 * Bytes are borrowed from the reactor and worked on where they lie; a message that came whole is
 * never copied. What is incomplete is kept in `work->input`, which grows with what has come, not
 * with what a header promises, and is at most one message and a little. A state that takes no input
 * (a handshake waits for its share, a key is looked up) leaves the bytes as they are and pauses the
 * socket.
 */
#include "actors/connection_internal.h"
#include "runtime/check.h"

#include <string.h>

#define INPUT_BYTES_MIN 256u
/* What may wait while the state takes nothing: a device that follows the protocol is waiting too.
 */
#define INPUT_WAITING_BYTES_MAX (64u * 1024)
/* Before the device is known its messages are short. */
#define HANDSHAKE_MESSAGE_BYTES_MAX 2048u

typedef void (*take_fn)(struct connection *connection, uint8_t *bytes, size_t length);

static const take_fn takers[] = {
#define X(state, takes, overdue) [CONNECTION_##state] = (takes),
    CONNECTION_STATES(X)
#undef X
};

/* --- what is kept ------------------------------------------------------------------------------
 */

static void input_free(struct connection_work *work) {
    actor_free(work->input);
    work->input = NULL;
    work->input_bytes = work->input_capacity = work->input_needed = 0;
}

static void input_append(struct connection_work *work, const uint8_t *bytes, uint32_t length) {
    uint32_t needed = work->input_bytes + length;
    if (!work->input || needed > work->input_capacity) {
        uint32_t capacity = work->input_capacity ? work->input_capacity : INPUT_BYTES_MIN;
        while (capacity < needed)
            capacity *= 2;
        work->input =
            work->input ? actor_reallocate(work->input, capacity) : actor_allocate(capacity);
        work->input_capacity = capacity;
    }
    memcpy(work->input + work->input_bytes, bytes, length);
    work->input_bytes = needed;
}

/* Keeps these bytes alone, which may lie inside what is kept already. */
static void input_keep(struct connection *connection, const uint8_t *bytes, size_t length,
                       size_t needed) {
    struct connection_work *work = connection->work;
    if (length == 0) {
        if (work && work->input)
            input_free(work);
        return;
    }
    work = connection_work(connection);
    if (work->input) {
        memmove(work->input, bytes, length);
        work->input_bytes = (uint32_t)length;
    } else {
        input_append(work, bytes, (uint32_t)length);
    }
    work->input_needed = (uint32_t)needed;
}

/* --- WebSocket messages ------------------------------------------------------------------------
 */

static bool is_in_handshake(const struct connection *connection) {
    return !connection->secured;
}

static void take_message(struct connection *connection, struct websocket_message *message,
                         take_fn take) {
    switch (message->opcode) {
    case WEBSOCKET_BINARY:
        if (is_in_handshake(connection) && message->length > HANDSHAKE_MESSAGE_BYTES_MAX)
            connection_close(connection, WEBSOCKET_CLOSE_TOO_BIG, "handshake_too_big");
        else
            take(connection, message->payload, message->length);
        break;
    case WEBSOCKET_PING:
        connection_output_pong(connection, message->payload, message->length);
        break;
    case WEBSOCKET_PONG:
        break;
    case WEBSOCKET_CLOSE:
        connection_close(connection, message->close_code, "connection_closed_by_peer");
        break;
    default:
        connection_close(connection, WEBSOCKET_CLOSE_UNSUPPORTED, "websocket_text");
        break;
    }
}

static void refuse(struct connection *connection, enum parse_result result, uint16_t code) {
    connection_close(connection, code,
                     result == PARSE_TOO_BIG ? "websocket_too_big" : "websocket_junk");
}

/* Keeps the rest of a message until more of it comes. */
static void await_more(struct connection *connection, const struct websocket_message *message) {
    if (is_in_handshake(connection) && message->bytes_needed > HANDSHAKE_MESSAGE_BYTES_MAX +
                                                                   WEBSOCKET_HEADER_BYTES_MAX +
                                                                   WEBSOCKET_CONTROL_BYTES_MAX)
        refuse(connection, PARSE_TOO_BIG, WEBSOCKET_CLOSE_TOO_BIG);
    else
        input_keep(connection, message->payload, message->length, message->bytes_needed);
}

static void wait(struct connection *connection, const uint8_t *bytes, size_t length) {
    input_keep(connection, bytes, length, 0);
    if (length && !connection->input_waits) {
        connection->input_waits = true;
        socket_pause(connection->socket);
    }
}

static bool is_closing(const struct connection *connection) {
    return connection->ended || connection->state == CONNECTION_CLOSING;
}

/* Between messages there is nothing to remember. */
static void load_parser(const struct connection *connection, struct websocket_parser *parser) {
    const struct connection_work *work = connection->work;
    if (work && work->parser.message_bytes_max)
        *parser = work->parser;
    else
        websocket_parser_init(parser, WEBSOCKET_SERVER, NOISE_MESSAGE_BYTES_MAX);
}

static void save_parser(struct connection *connection, const struct websocket_parser *parser) {
    if (parser->next_at || parser->joined_bytes || parser->fragmented || parser->ended)
        connection_work(connection)->parser = *parser;
    else if (connection->work)
        connection->work->parser = (struct websocket_parser){0};
}

static void run_messages(struct connection *connection, struct websocket_parser *parser,
                         uint8_t *bytes, size_t length) {
    struct websocket_message message;
    while (!is_closing(connection)) {
        take_fn take = takers[connection->state];
        if (!take) {
            wait(connection, bytes, length);
            return;
        }
        enum parse_result result = websocket_parse(parser, bytes, length, &message);
        if (result == PARSE_MORE) {
            await_more(connection, &message);
            return;
        }
        if (result == PARSE_COMPLETE)
            take_message(connection, &message, take);
        else
            refuse(connection, result, message.close_code);
    }
}

static void run(struct connection *connection, uint8_t *bytes, size_t length) {
    struct websocket_parser parser;
    load_parser(connection, &parser);
    run_messages(connection, &parser, bytes, length);
    save_parser(connection, &parser);
}

/* --- the request's head, which comes first -----------------------------------------------------
 */

/* Parsing starts over with each line that comes, not with each byte. */
static bool is_worth_parsing(const struct connection *connection, const uint8_t *bytes,
                             size_t length) {
    const struct connection_work *work = connection->work;
    return !work || !work->input || memchr(bytes, '\n', length) ||
           work->input_bytes / 1024 != (work->input_bytes + length) / 1024;
}

static void run_http(struct connection *connection, uint8_t *bytes, size_t length);

static void run_proxy(struct connection *connection, uint8_t *bytes, size_t length) {
    size_t header = connection_take_proxy(connection, bytes, length);
    if (connection->state == CONNECTION_PROXY || header == length)
        input_keep(connection, bytes, length - header, 0);
    else
        run_http(connection, bytes + header, length - header);
}

static void run_http(struct connection *connection, uint8_t *bytes, size_t length) {
    size_t head = connection_take_http(connection, bytes, length);
    if (connection->state == CONNECTION_HTTP)
        input_keep(connection, bytes, length, 0);
    else
        run(connection, bytes + head, length - head);
}

/* --- from the socket ---------------------------------------------------------------------------
 */

static void input_start(struct connection *connection, uint8_t *bytes, size_t length) {
    connection->input_runs = true;
    if (connection->state == CONNECTION_PROXY)
        run_proxy(connection, bytes, length);
    else if (connection->state == CONNECTION_HTTP)
        run_http(connection, bytes, length);
    else
        run(connection, bytes, length);
    connection->input_runs = false;
    if (is_closing(connection)) /* what came behind is not looked at */
        input_keep(connection, NULL, 0, 0);
}

void connection_input_take(struct connection *connection, uint8_t *bytes, uint32_t length) {
    struct connection_work *work = connection->work;
    bool worth =
        connection->state != CONNECTION_HTTP || is_worth_parsing(connection, bytes, length);
    connection->heard_ms = connection_ms_after(0);
    connection->pinged = false;
    if (is_closing(connection))
        return;
    if (worth && (!work || !work->input) && !connection->input_waits) {
        input_start(connection, bytes, length);
        return;
    }
    work = connection_work(connection);
    if (connection->input_waits && work->input_bytes + length > INPUT_WAITING_BYTES_MAX) {
        connection_close(connection, WIRE_CLOSE_UNWANTED, "connection_too_early");
        return;
    }
    input_append(work, bytes, length);
    if (worth && !connection->input_waits && work->input_bytes >= work->input_needed)
        input_start(connection, work->input, work->input_bytes);
}

void connection_input_resume(struct connection *connection) {
    if (!connection->input_waits || connection->input_runs || connection->ended ||
        !takers[connection->state])
        return;
    connection->input_waits = false;
    socket_resume(connection->socket);
    struct connection_work *work = connection->work;
    if (work && work->input)
        input_start(connection, work->input, work->input_bytes);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a connection says: frames that were gathered become one Noise message, in one WebSocket
 * frame, in one send.
 *
 * Two lanes: what is urgent (control, replies, notices) overtakes mail. Frames are written straight
 * into the buffer that will be sent, with room for the WebSocket header before them and for the tag
 * behind them, and encrypted there when their turn comes: nonces follow the order of sending. While
 * a send is in flight the next one gathers.
 *
 * Bounds: the urgent lane is one Noise message (the table of open requests bounds what it has to
 * hold); the mail lane is what the window allows to be in flight, in as many Noise messages as that
 * can need. A connection that goes beyond is behind, and closes.
 */
#include "actors/connection_internal.h"
#include "actors/node.h"
#include "runtime/check.h"

#include <string.h>

#define HEADROOM 10u /* the longest header of a server's frame */
#define FRAMES_BYTES_MIN 480u
/* Mail that is so short is copied behind what is urgent: one send instead of two. */
#define MERGE_BYTES_MAX 8192u
#define SEGMENTS_MAX_LEAST 8u

struct connection_work *connection_work(struct connection *connection) {
    if (!connection->work)
        connection->work = actor_allocate(sizeof(*connection->work));
    return connection->work;
}

static uint8_t *frames_of(const struct output_segment *segment) {
    return socket_buffer_bytes(segment->buffer) + HEADROOM;
}

static size_t room_of(const struct output_segment *segment) {
    return segment->buffer ? socket_buffer_capacity(segment->buffer) - HEADROOM - NOISE_TAG_BYTES
                           : 0;
}

/* Room for `bytes` behind what is there. */
static void segment_reserve(struct output_segment *segment, size_t bytes) {
    size_t needed = segment->bytes + bytes;
    size_t room = room_of(segment);
    if (needed <= room)
        return;
    CHECK(needed <= WIRE_FRAMES_BYTES_MAX);
    room = room ? 2 * room : FRAMES_BYTES_MIN;
    room = room < needed ? needed : room;
    room = room > WIRE_FRAMES_BYTES_MAX ? WIRE_FRAMES_BYTES_MAX : room;
    struct output_segment grown = {
        .buffer = socket_buffer_create(HEADROOM + room + NOISE_TAG_BYTES), .bytes = segment->bytes};
    if (segment->buffer) {
        memcpy(frames_of(&grown), frames_of(segment), segment->bytes);
        socket_buffer_destroy(segment->buffer);
    }
    *segment = grown;
}

static void segment_drop(struct output_segment *segment) {
    if (segment->buffer)
        socket_buffer_destroy(segment->buffer);
    *segment = (struct output_segment){0};
}

/* --- the mail lane's full segments -------------------------------------------------------------
 */

/* Every two segments hold more than one Noise message together, or they would be one. */
static uint16_t segments_max(void) {
    uint64_t window = node_current()->limits.mail_in_flight_bytes_max;
    uint64_t needed = 2 * window / WIRE_FRAMES_BYTES_MAX + SEGMENTS_MAX_LEAST;
    return needed > UINT16_MAX ? UINT16_MAX : (uint16_t)needed;
}

static bool segments_push(struct connection_work *work) {
    if (!work->segments) {
        work->segments_max = segments_max();
        work->segments = actor_allocate(work->segments_max * sizeof(work->segments[0]));
        work->segments_first = 0;
    }
    if (work->segments_count == work->segments_max)
        return false;
    unsigned last = (work->segments_first + work->segments_count++) % work->segments_max;
    work->segments[last] = work->mail;
    work->mail = (struct output_segment){0};
    return true;
}

/* The oldest segment of mail; its `bytes` is 0 when there is none. */
static struct output_segment *first_mail(struct connection_work *work) {
    return work->segments_count ? &work->segments[work->segments_first] : &work->mail;
}

/* Takes the oldest one out of the lane; its buffer is the caller's. */
static struct output_segment take_first_mail(struct connection_work *work) {
    struct output_segment *first = first_mail(work);
    struct output_segment taken = *first;
    *first = (struct output_segment){0};
    if (work->segments_count) {
        work->segments_first = (uint16_t)((work->segments_first + 1) % work->segments_max);
        if (--work->segments_count == 0) {
            actor_free(work->segments);
            work->segments = NULL;
        }
    }
    return taken;
}

/* --- writing -----------------------------------------------------------------------------------
 */

static void fall_behind(struct connection *connection, enum output_lane lane) {
    if (lane == OUTPUT_MAIL)
        connection_say_and_close(connection, WIRE_NOTICE_BEHIND, WIRE_CLOSE_SLOW,
                                 "connection_behind");
    else
        connection_close(connection, WIRE_CLOSE_SLOW, "connection_behind");
}

bool connection_output_room(struct connection *connection, enum output_lane lane, size_t bytes,
                            struct wire_writer *writer) {
    if (connection->ended || connection->state == CONNECTION_CLOSING)
        return false;
    CHECK(bytes <= WIRE_FRAMES_BYTES_MAX);
    struct connection_work *work = connection_work(connection);
    struct output_segment *segment = lane == OUTPUT_URGENT ? &work->urgent : &work->mail;
    if (segment->bytes + bytes > WIRE_FRAMES_BYTES_MAX &&
        (lane == OUTPUT_URGENT || !segments_push(work))) {
        fall_behind(connection, lane);
        return false;
    }
    segment_reserve(segment, bytes);
    *writer = (struct wire_writer){.bytes = frames_of(segment) + segment->bytes, .capacity = bytes};
    return true;
}

void connection_output_commit(struct connection *connection, enum output_lane lane,
                              const struct wire_writer *writer) {
    struct connection_work *work = connection->work;
    struct output_segment *segment = lane == OUTPUT_URGENT ? &work->urgent : &work->mail;
    CHECK(writer->bytes == frames_of(segment) + segment->bytes);
    segment->bytes += (uint32_t)writer->length;
}

void connection_output_raw(struct connection *connection, const uint8_t *bytes, size_t length) {
    CHECK(!connection->secured);
    struct output_segment *urgent = &connection_work(connection)->urgent;
    segment_reserve(urgent, length);
    memcpy(frames_of(urgent) + urgent->bytes, bytes, length);
    urgent->bytes += (uint32_t)length;
}

void connection_output_pong(struct connection *connection, const uint8_t *bytes, size_t length) {
    CHECK(length <= WEBSOCKET_CONTROL_PAYLOAD_MAX);
    struct connection_work *work = connection_work(connection);
    if (!work->pong)
        work->pong = actor_allocate(1 + WEBSOCKET_CONTROL_PAYLOAD_MAX);
    work->pong[0] = (uint8_t)length; /* only the latest ping needs an answer (RFC 6455 5.5.3) */
    memcpy(work->pong + 1, bytes, length);
}

void connection_reply(struct connection *connection, uint32_t ref, int code,
                      uint32_t retry_after_ms, const uint8_t *body, size_t body_bytes) {
    struct wire_writer writer;
    struct wire_reply reply = {.code = (uint16_t)code,
                               .retry_after_ms = retry_after_ms,
                               .body = {.bytes = body, .length = (uint32_t)body_bytes}};
    if (!ref || !connection_output_room(connection, OUTPUT_URGENT, 64 + body_bytes, &writer))
        return;
    if (wire_write_reply(&writer, ref, &reply) == 0)
        connection_output_commit(connection, OUTPUT_URGENT, &writer);
    else
        actor_count("reply_unsendable", 1);
}

void connection_notice(struct connection *connection, uint16_t notice, uint32_t when_ms) {
    struct wire_writer writer;
    struct wire_notice frame = {.kind = notice, .when_ms = when_ms};
    if (!connection->secured || !connection_output_room(connection, OUTPUT_URGENT, 64, &writer))
        return;
    CHECK(wire_write_notice(&writer, 0, &frame) == 0);
    connection_output_commit(connection, OUTPUT_URGENT, &writer);
}

/* --- sending -----------------------------------------------------------------------------------
 */

static void transmit(struct connection *connection, struct socket_buffer *buffer, size_t offset,
                     size_t length) {
    int error = socket_send(connection->socket, &buffer, offset, length);
    if (error) {
        socket_buffer_destroy(buffer);
        actor_count("connection_send_failed", 1);
        connection_end(connection);
        return;
    }
    connection->sending = true;
    connection_work(connection)->progress_ms = connection_ms_after(0);
    connection_wake_by(connection, connection_ms_after(CONNECTION_SLOW_MS_MAX));
}

static void send_segment(struct connection *connection, struct output_segment segment) {
    size_t offset = HEADROOM;
    size_t length = segment.bytes;
    if (connection->linked) {
        connection_link_send(connection, frames_of(&segment), length);
        segment_drop(&segment);
        return;
    }
    if (connection->secured) {
        uint8_t *frames = frames_of(&segment);
        if (noise_encrypt(&connection->transport.send, frames, length) != 0) {
            segment_drop(&segment);
            connection_abort(connection, "connection_nonces_used_up");
            return;
        }
        length += NOISE_TAG_BYTES;
        size_t header = websocket_header_bytes(WEBSOCKET_SERVER, length);
        websocket_write_header(frames - header, WEBSOCKET_SERVER, WEBSOCKET_BINARY, length, NULL);
        offset -= header;
        length += header;
    }
    transmit(connection, segment.buffer, offset, length);
}

static void send_pong(struct connection *connection) {
    struct connection_work *work = connection->work;
    struct socket_buffer *buffer = socket_buffer_create(WEBSOCKET_CONTROL_BYTES_MAX);
    size_t length = websocket_write_control(socket_buffer_bytes(buffer), WEBSOCKET_SERVER,
                                            WEBSOCKET_PONG, work->pong + 1, work->pong[0], NULL);
    actor_free(work->pong);
    work->pong = NULL;
    transmit(connection, buffer, 0, length);
}

static void send_close(struct connection *connection) {
    struct socket_buffer *buffer = socket_buffer_create(WEBSOCKET_CONTROL_BYTES_MAX);
    size_t length = websocket_write_close(socket_buffer_bytes(buffer), WEBSOCKET_SERVER,
                                          connection->close_code, NULL, NULL);
    connection->close_due = false;
    transmit(connection, buffer, 0, length);
}

/* Puts a short mail segment behind what is urgent. */
static void merge(struct connection_work *work) {
    struct output_segment *mail = first_mail(work);
    if (!mail->bytes || mail->bytes > MERGE_BYTES_MAX ||
        work->urgent.bytes + mail->bytes > WIRE_FRAMES_BYTES_MAX)
        return;
    segment_reserve(&work->urgent, mail->bytes);
    memcpy(frames_of(&work->urgent) + work->urgent.bytes, frames_of(mail), mail->bytes);
    work->urgent.bytes += mail->bytes;
    struct output_segment taken = take_first_mail(work);
    segment_drop(&taken);
}

static bool take_next(struct connection_work *work, struct output_segment *next) {
    if (work->urgent.bytes) {
        merge(work);
        *next = work->urgent;
        work->urgent = (struct output_segment){0};
        return true;
    }
    if (!first_mail(work)->bytes)
        return false;
    *next = take_first_mail(work);
    return true;
}

static void send_next(struct connection *connection) {
    struct connection_work *work = connection->work;
    struct output_segment next;
    if (work && work->pong)
        send_pong(connection);
    else if (work && take_next(work, &next))
        send_segment(connection, next);
    else if (connection->close_due && connection->linked)
        connection_end(connection);
    else if (connection->close_due)
        send_close(connection);
}

/* A link takes all at once. */
void connection_output_flush(struct connection *connection) {
    do {
        if (connection->sending || connection->ended)
            return;
        send_next(connection);
    } while (connection->linked && connection_output_waits(connection));
}

void connection_output_sent(struct connection *connection) {
    connection->sending = false;
}

bool connection_output_waits(const struct connection *connection) {
    struct connection_work *work = connection->work;
    return connection->close_due ||
           (work && (work->urgent.bytes || work->pong || first_mail(work)->bytes));
}

void connection_output_drop_mail(struct connection *connection) {
    struct connection_work *work = connection->work;
    if (!work)
        return;
    while (work->segments_count || work->mail.buffer) {
        struct output_segment taken = take_first_mail(work);
        segment_drop(&taken);
    }
}

void connection_output_free(struct connection *connection) {
    struct connection_work *work = connection->work;
    if (!work)
        return;
    connection_output_drop_mail(connection);
    segment_drop(&work->urgent);
    actor_free(work->pong);
    work->pong = NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/link.h"

#include "actors/node.h"
#include "runtime/supervisor.h"

#include <errno.h>
#include <string.h>

/* --- the connection's side --- */

static int to_device(struct actor_id device, const uint8_t *frames, size_t length) {
    struct message *message = message_create(LINK_FRAMES, length);
    memcpy(message_payload(message), frames, length);
    int error = actor_send(device, &message);
    if (error)
        message_destroy(message);
    return error;
}

/* A device without room for it finds out when its next frames come back. */
static void tell_end(struct actor_id device) {
    if (actor_signal(device, LINK_ENDED) != 0)
        actor_count("link_end_untold", 1);
}

static const struct connection_link memory_link = {.send = to_device, .ended = tell_end};

/* --- the device's side --- */

int link_connect(struct connection_linked *how, struct actor_id *connection) {
    const struct connection_argument argument = {.linked = how};
    how->link = &memory_link;
    how->device = actor_self();
    return actor_spawn(&connection_class, &argument, supervisor_of_class(&connection_class),
                       connection);
}

int link_send(struct actor_id connection, const struct wire_writer *frames) {
    CHECK(frames->length <= WIRE_FRAMES_BYTES_MAX);
    struct message *message = message_create(CONNECTION_FRAMES, frames->length);
    memcpy(message_payload(message), frames->bytes, frames->length);
    int error = actor_send(connection, &message);
    if (error)
        message_destroy(message);
    return error;
}

void link_hang_up(struct actor_id connection) {
    if (actor_signal(connection, CONNECTION_HUNG_UP) != 0)
        actor_kill(connection, ACTOR_KILLED);
}

int link_read(struct message *message, link_take_fn take, void *context) {
    struct wire_reader reader;
    struct wire_frame frame;
    wire_reader_init(&reader, message_payload(message), message->payload_bytes);
    for (;;) {
        enum parse_result result = wire_read_frame(&reader, &frame);
        if (result == PARSE_MORE)
            return 0;
        if (result != PARSE_COMPLETE)
            return -EPROTO;
        take(context, &frame);
    }
}

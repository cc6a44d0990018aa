/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device's output: one buffer that exists only while there is something to send.
 *
 * Frames gather in an open message behind what is sealed. When the owner asks for output, the open
 * message is encrypted where it lies, gets its WebSocket header and is masked: no copy, and
 * everything that was queued since the last time shares one Noise message. While the owner is still
 * sending, further frames gather for the next one.
 *
 * The masking key of an encrypted message is a piece of its authentication tag. RFC 6455
 * section 10.3 wants it unpredictable, so that nobody can choose what bytes stand on the wire; a
 * tag is, to everybody without the session's key, and it saves a call to the randomness for each
 * message.
 */
#include "net/device_internal.h"

#include "runtime/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_MIN 256

/* Room for `length` bytes in all. */
static int grow(struct device *device, size_t length) {
    struct device_output *before = device->output;
    size_t capacity = before != NULL ? before->capacity : BYTES_MIN;
    if (before != NULL && length <= capacity)
        return 0;
    if (length > DEVICE_OUTPUT_BYTES_MAX)
        return -ENOSPC;
    while (capacity < length)
        capacity *= 2;
    struct device_output *output = realloc(before, sizeof *output + capacity);
    if (output == NULL)
        return -ENOMEM;
    if (before == NULL)
        *output = (struct device_output){0};
    output->capacity = (uint32_t)capacity;
    device->output = output;
    return 0;
}

bool device_output_is_empty(const struct device *device) {
    return device->output == NULL || device->output->length == device->output->sealed;
}

/* Encrypts and frames the open message. The room for the tag was reserved when it was written. */
static int seal(struct device *device) {
    struct device_output *output = device->output;
    if (device_output_is_empty(device))
        return 0;
    uint8_t *at = output->bytes + output->sealed;
    uint8_t *payload = at + DEVICE_HEADER_ROOM;
    size_t plain = output->length - output->sealed - DEVICE_HEADER_ROOM;
    int error = noise_encrypt(&device->transport.send, payload, plain);
    if (error != 0)
        return error;
    size_t length = plain + NOISE_TAG_BYTES;
    uint8_t mask[WEBSOCKET_MASK_BYTES];
    memcpy(mask, payload + length - sizeof mask, sizeof mask);
    size_t header = websocket_header_bytes(WEBSOCKET_CLIENT, length);
    CHECK(header <= DEVICE_HEADER_ROOM);
    if (header < DEVICE_HEADER_ROOM)
        memmove(at + header, payload, length);
    websocket_write_header(at, WEBSOCKET_CLIENT, WEBSOCKET_BINARY, length, mask);
    websocket_mask(at + header, length, mask);
    output->sealed += (uint32_t)(header + length);
    output->length = output->sealed;
    return 0;
}

uint8_t *device_output_room(struct device *device, size_t length) {
    if (seal(device) != 0 ||
        grow(device, (device->output != NULL ? device->output->sealed : 0) + length) != 0)
        return NULL;
    return device->output->bytes + device->output->sealed;
}

void device_output_add(struct device *device, size_t length) {
    struct device_output *output = device->output;
    output->sealed += (uint32_t)length;
    output->length = output->sealed;
    CHECK(output->sealed <= output->capacity);
}

/* Tries within the buffer as it is; -ENOSPC when that is too small. */
static int write_frame(struct device *device, const struct wire_frame *frame, size_t frames_end) {
    struct device_output *output = device->output;
    size_t end = output->capacity - NOISE_TAG_BYTES;
    struct wire_writer writer = {
        .bytes = output->bytes,
        .capacity = end < frames_end ? end : frames_end,
        .length = output->length,
    };
    if (device_output_is_empty(device))
        writer.length += DEVICE_HEADER_ROOM;
    if (writer.length > writer.capacity)
        return -ENOSPC;
    int error = wire_write_frame(&writer, frame);
    if (error == 0)
        output->length = (uint32_t)writer.length;
    return error;
}

int device_output_frame(struct device *device, const struct wire_frame *frame) {
    const struct device_output none = {0};
    const struct device_output *now = device->output != NULL ? device->output : &none;
    size_t frames_end = now->sealed + DEVICE_HEADER_ROOM + (size_t)device->frame_bytes_max;
    int error = grow(device, now->length + BYTES_MIN / 2);
    for (;;) {
        if (error == 0)
            error = write_frame(device, frame, frames_end);
        if (error != -ENOSPC || device->output == NULL ||
            device->output->capacity - NOISE_TAG_BYTES >= frames_end)
            break;
        error = grow(device, 2 * (size_t)device->output->capacity);
        if (error != 0)
            break;
    }
    if (error == 0 && device->config->events->trace != NULL)
        device->config->events->trace(device->context, true, frame);
    return error;
}

void device_output_pong(struct device *device, const uint8_t *payload, size_t length) {
    uint8_t mask[WEBSOCKET_MASK_BYTES];
    uint8_t *room = device_output_room(device, WEBSOCKET_CONTROL_BYTES_MAX);
    if (room == NULL)
        return;
    device->config->random_bytes(device->context, mask, sizeof mask);
    device_output_add(device, websocket_write_control(room, WEBSOCKET_CLIENT, WEBSOCKET_PONG,
                                                      payload, length, mask));
}

void device_output_close(struct device *device, uint16_t code) {
    uint8_t mask[WEBSOCKET_MASK_BYTES];
    uint8_t *room = device_output_room(device, WEBSOCKET_CONTROL_BYTES_MAX);
    if (room == NULL)
        return;
    device->config->random_bytes(device->context, mask, sizeof mask);
    device_output_add(device, websocket_write_close(room, WEBSOCKET_CLIENT, code, NULL, mask));
}

void device_output_finish(struct device *device) {
    free(device->output);
    device->output = NULL;
}

/* ---------------------------------------------------------------- what the owner calls */

static int write_ping_and_pong(struct device *device, uint64_t now_ms) {
    int error = 0;
    if (device->pong_wanted) {
        struct wire_frame pong = {.kind = WIRE_PONG, .pong.token = device->pong_token};
        error = device_output_frame(device, &pong);
        device->pong_wanted = error != 0;
    }
    if (device->ping_wanted && error == 0) {
        struct wire_frame ping = {.kind = WIRE_PING, .ping.token = now_ms};
        error = device_output_frame(device, &ping);
        device->ping_wanted = error != 0;
    }
    return error;
}

/* Gathers what is due into the open message: control first, then acknowledgements (those that may
 * wait, when something goes anyway), then sends. What doesn't fit stays for the next message. */
static void gather(struct device *device, uint64_t now_ms) {
    if (write_ping_and_pong(device, now_ms) != 0)
        return;
    if (device->ack_ms <= now_ms && device_inbox_acknowledge(device) != 0)
        return;
    if (device_outbox_pump(device, now_ms) != 0)
        return;
    if (device->ack_ms != DEVICE_NEVER && !device_output_is_empty(device))
        device_inbox_acknowledge(device);
}

static size_t ready(const struct device *device) {
    return device->output != NULL ? device->output->sealed - device->output->begin : 0;
}

size_t device_output(struct device *device, uint64_t now_ms, const uint8_t **bytes) {
    CHECK(device->magic == DEVICE_MAGIC);
    if (ready(device) == 0) {
        if (device->state == DEVICE_ONLINE)
            gather(device, now_ms);
        if (seal(device) != 0)
            device_fail(device, DEVICE_END_PROTOCOL, 0, 0);
    }
    if (ready(device) > 0)
        *bytes = device->output->bytes + device->output->begin;
    return ready(device);
}

void device_output_done(struct device *device, size_t length) {
    struct device_output *output = device->output;
    CHECK(length <= ready(device));
    if (output == NULL)
        return;
    output->begin += (uint32_t)length;
    if (output->begin < output->sealed)
        return;
    if (device_output_is_empty(device)) {
        device_output_finish(device);
        return;
    }
    size_t open = output->length - output->sealed;
    memmove(output->bytes, output->bytes + output->sealed, open);
    output->begin = output->sealed = 0;
    output->length = (uint32_t)open;
}

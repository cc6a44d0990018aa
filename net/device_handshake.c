/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a connected socket to `welcome`: HTTP upgrade, Noise XX as its initiator, the node's
 * certificate held against the pinned cluster key, and `hello` in message 3.
 *
 * The certificate is checked before message 3 is written: to a node that is not the cluster's the
 * device does not even say who it is.
 */
#include "net/device_internal.h"

#include "net/http.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define HEARTBEAT_MS_MIN 100
#define HEARTBEAT_MS_MAX 86400000
#define HELLO_BYTES_MAX 256
#define DISCOVER_PHONES_MAX 256 /* what the frame holds */

static int fill_handshake(struct device *device, struct device_handshake *handshake,
                          uint64_t wall_ms) {
    const struct device_storage *storage = device->config->storage;
    uint8_t random[WEBSOCKET_KEY_RANDOM_BYTES], ephemeral[NOISE_KEY_BYTES];
    struct noise_keypair identity;
    int pinned = storage->pin_load(device->context, handshake->cluster_key);
    if (pinned < 0)
        return pinned;
    handshake->pinned = pinned > 0;
    handshake->wall_ms = wall_ms;
    device->config->random_bytes(device->context, random, sizeof random);
    websocket_make_key(handshake->websocket_key, random);
    storage->identity(device->context, &identity);
    device->config->random_bytes(device->context, ephemeral, sizeof ephemeral);
    noise_handshake_init(&handshake->noise, NOISE_INITIATOR, &identity, ephemeral,
                         (const uint8_t *)WIRE_PROLOGUE, strlen(WIRE_PROLOGUE));
    sodium_memzero(&identity, sizeof identity);
    sodium_memzero(ephemeral, sizeof ephemeral);
    return 0;
}

int device_handshake_begin(struct device *device, const struct url *url, uint64_t wall_ms) {
    struct device_handshake *handshake = calloc(1, sizeof *handshake);
    uint8_t *room = device_output_room(device, HTTP_REQUEST_BYTES_MAX);
    int result =
        handshake == NULL || room == NULL ? -ENOMEM : fill_handshake(device, handshake, wall_ms);
    if (result == 0)
        result =
            http_write_request((char *)room, HTTP_REQUEST_BYTES_MAX, url, handshake->websocket_key);
    if (result < 0) {
        free(handshake);
        device_output_finish(device);
        return result;
    }
    device_output_add(device, (size_t)result);
    device->handshake = handshake;
    device->state = DEVICE_UPGRADING;
    return 0;
}

void device_handshake_finish(struct device *device) {
    if (device->handshake == NULL)
        return;
    sodium_memzero(device->handshake, sizeof *device->handshake);
    free(device->handshake);
    device->handshake = NULL;
}

/* Writes the next handshake message as a WebSocket message of its own. */
static int write_message(struct device *device, const uint8_t *payload, size_t payload_bytes,
                         size_t overhead) {
    uint8_t mask[WEBSOCKET_MASK_BYTES];
    size_t length = payload_bytes + overhead, written;
    size_t header = websocket_header_bytes(WEBSOCKET_CLIENT, length);
    uint8_t *room = device_output_room(device, header + length);
    if (room == NULL)
        return device_fail(device, DEVICE_END_LOST, -ENOMEM, 0);
    if (noise_handshake_write(&device->handshake->noise, payload, payload_bytes, room + header,
                              length, &written) != 0)
        return device_fail(device, DEVICE_END_HANDSHAKE, 0, WIRE_CLOSE_HANDSHAKE);
    device->config->random_bytes(device->context, mask, sizeof mask);
    websocket_write_header(room, WEBSOCKET_CLIENT, WEBSOCKET_BINARY, written, mask);
    websocket_mask(room + header, written, mask);
    device_output_add(device, header + written);
    return 0;
}

int device_handshake_upgrade(struct device *device, const uint8_t *bytes, size_t length,
                             size_t *used) {
    struct http_reply reply = {0};
    *used = 0;
    switch (http_parse_reply(bytes, length, device->handshake->websocket_key, &reply)) {
    case PARSE_MORE:
        return 0;
    case PARSE_COMPLETE:
        break;
    default:
        return device_fail(device, DEVICE_END_REFUSED, 0, 0);
    }
    if (reply.status == 503 || reply.status == 429) {
        device->retry_after_ms = reply.retry_after_s < 3600 ? reply.retry_after_s * 1000 : 3600000;
        return device_fail(device, DEVICE_END_BUSY, (int)reply.status, 0);
    }
    if (reply.status != 101)
        return device_fail(device, DEVICE_END_REFUSED, (int)reply.status, 0);
    *used = reply.head_bytes;
    websocket_parser_init(&device->parser, WEBSOCKET_CLIENT, NOISE_MESSAGE_BYTES_MAX);
    device->state = DEVICE_HANDSHAKING;
    return write_message(device, NULL, 0, NOISE_HANDSHAKE_1_OVERHEAD);
}

static void tell_pin(struct device *device, enum device_pin what,
                     const struct certificate *certificate) {
    if (device->config->events->pin != NULL)
        device->config->events->pin(device->context, what, certificate);
}

static int refuse_pin(struct device *device, const struct certificate *certificate) {
    tell_pin(device, DEVICE_PIN_CHANGED, certificate);
    return device_fail(device, DEVICE_END_PIN, -EKEYREJECTED, WIRE_CLOSE_CERTIFICATE);
}

/* Is this node one of the cluster that is pinned, or of the first cluster that is met? */
static int check_certificate(struct device *device, const uint8_t *bytes, size_t length) {
    const struct device_storage *storage = device->config->storage;
    struct device_handshake *handshake = device->handshake;
    struct certificate certificate;
    if (certificate_read(bytes, length, &certificate) != CERTIFICATE_GOOD)
        return device_fail(device, DEVICE_END_CERTIFICATE, 0, WIRE_CLOSE_CERTIFICATE);
    if (!handshake->pinned && storage->pin_save == NULL)
        return refuse_pin(device, &certificate);
    const uint8_t *cluster_key =
        handshake->pinned ? handshake->cluster_key : certificate.cluster_key;
    enum certificate_result result = certificate_verify(
        bytes, length, cluster_key, noise_handshake_remote_static(&handshake->noise),
        handshake->wall_ms, NULL);
    if (result == CERTIFICATE_WRONG_CLUSTER)
        return refuse_pin(device, &certificate);
    if (result != CERTIFICATE_GOOD)
        return device_fail(device, DEVICE_END_CERTIFICATE, (int)result, WIRE_CLOSE_CERTIFICATE);
    if (handshake->pinned)
        return 0;
    int error = storage->pin_save(device->context, certificate.cluster_key);
    if (error != 0)
        return device_fail(device, DEVICE_END_STORAGE, error, WEBSOCKET_CLOSE_GOING_AWAY);
    tell_pin(device, DEVICE_PIN_FIRST, &certificate);
    return 0;
}

static int write_hello(struct device *device) {
    const char *client = device->config->client;
    uint8_t bytes[HELLO_BYTES_MAX];
    struct wire_writer writer = {.bytes = bytes, .capacity = sizeof bytes};
    struct wire_frame frame = {.kind = WIRE_HELLO,
                               .hello = {
                                   .version_min = WIRE_VERSION,
                                   .version_max = WIRE_VERSION,
                                   .epoch = device->epoch,
                                   .cursor = device->cursor,
                                   .send_low = device->send_low,
                                   .send_end = device->send_end,
                               }};
    if (client != NULL)
        frame.hello.client =
            (struct wire_bytes){(const uint8_t *)client, (uint32_t)strnlen(client, 64)};
    if (wire_write_frame(&writer, &frame) != 0)
        return device_fail(device, DEVICE_END_PROTOCOL, 0, WIRE_CLOSE_HANDSHAKE);
    if (device->config->events->trace != NULL)
        device->config->events->trace(device->context, true, &frame);
    return write_message(device, bytes, writer.length, NOISE_HANDSHAKE_3_OVERHEAD);
}

int device_handshake_read(struct device *device, uint8_t *message, size_t length) {
    struct noise_handshake *noise = &device->handshake->noise;
    uint8_t *payload;
    size_t payload_bytes;
    if (noise_handshake_read(noise, message, length, &payload, &payload_bytes) != 0)
        return device_fail(device, DEVICE_END_HANDSHAKE, 0, WIRE_CLOSE_HANDSHAKE);
    int error = check_certificate(device, payload, payload_bytes);
    if (error == 0)
        error = write_hello(device);
    if (error != 0)
        return error;
    if (noise_handshake_split(noise, &device->transport) != 0)
        return device_fail(device, DEVICE_END_HANDSHAKE, 0, WIRE_CLOSE_HANDSHAKE);
    device_handshake_finish(device);
    device->state = DEVICE_GREETING;
    return 0;
}

static uint32_t clamp(uint32_t value, uint32_t least, uint32_t most) {
    return value < least ? least : value > most ? most : value;
}

/* Requests get a quarter of what may be in flight, so that a full outbox doesn't keep them waiting.
 */
static void share_window(struct device *device, uint32_t in_flight_max) {
    uint32_t requests = clamp(in_flight_max / 4, 1, DEVICE_REQUESTS_MAX);
    uint32_t sends = in_flight_max > requests ? in_flight_max - requests : 1;
    device->requests_max = (uint8_t)requests;
    device->sends_max = (uint8_t)clamp(sends, 1, DEVICE_SENDS_MAX);
}

void device_handshake_heartbeat(struct device *device, uint32_t interval_ms) {
    device->heartbeat_ms = clamp(interval_ms, HEARTBEAT_MS_MIN, HEARTBEAT_MS_MAX);
}

int device_handshake_welcome(struct device *device, const struct wire_welcome *welcome,
                             uint64_t now_ms) {
    if (welcome->version != WIRE_VERSION)
        return device_fail(device, DEVICE_END_VERSION, welcome->version, WIRE_CLOSE_VERSION);
    if (device->state == DEVICE_GREETING) {
        device->state = DEVICE_ONLINE;
        device->since_ms = now_ms;
        device->jitter = (uint8_t)device_random(device, 256);
        device->pinged_ms = now_ms;
    }
    device->frame_bytes_max = clamp(welcome->frame_bytes_max, 1024, WIRE_FRAMES_BYTES_MAX);
    device_handshake_heartbeat(device, welcome->heartbeat_ms);
    device->discover_phones_max = clamp(welcome->discover_phones_max, 1, DISCOVER_PHONES_MAX);
    share_window(device, welcome->sends_in_flight_max);
    device->registered = welcome->registered;
    device->user = welcome->registered ? welcome->user : 0;
    device->number = welcome->registered ? welcome->device : 0;
    if (welcome->registered) {
        device_inbox_epoch(device, welcome->epoch);
        device_outbox_welcome(device, welcome->next_send);
    }
    if (device->config->events->welcome != NULL)
        device->config->events->welcome(device->context, welcome);
    device->dirty = true;
    return 0;
}

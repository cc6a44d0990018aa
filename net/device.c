/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device's life: its states, what arrives, what time brings, and when to connect again.
 *
 *     OFFLINE ─device_connect─► UPGRADING ─101─► HANDSHAKING ─message 2─► GREETING ─welcome─►
 * ONLINE
 *
 * From each of these device_fail and device_close lead to CLOSING, where only the output's rest may
 * go, and device_disconnected leads from everywhere to OFFLINE.
 *
 * Input is parsed where the owner's bytes lie. Only the begin of a message whose rest is missing is
 * kept, in a buffer that grows with what has really come.
 */
#include "net/device_internal.h"

#include "runtime/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HANDSHAKE_MS 30000
#define RECONNECT_MS_MIN 500
#define RECONNECT_MS_MAX 60000
#define LIVED_MS 1000       /* a connection that held this long was a good one */
#define BUSY_MS 2000        /* a node that is full and doesn't say for how long */
#define INPUT_BYTES_MIN 240 /* with its head, and malloc's, a round size */

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* ---------------------------------------------------------------- life */

static void load_saved(struct device *device) {
    struct device_saved saved = {0};
    if (device->config->storage->load != NULL)
        device->config->storage->load(device->context, &saved);
    device->epoch = saved.epoch;
    device->cursor = device->received = saved.cursor;
    device_outbox_load(device, &saved);
}

struct device *device_create(const struct device_config *config, void *context) {
    CHECK(config->random_bytes != NULL && config->storage->identity != NULL);
    CHECK(config->storage->pin_load != NULL && config->events != NULL);
    struct device *device = calloc(1, sizeof *device);
    if (device == NULL)
        return NULL;
    device->magic = DEVICE_MAGIC;
    device->config = config;
    device->context = context;
    device->ack_ms = device->leave_ms = DEVICE_NEVER;
    load_saved(device);
    return device;
}

/* Leaves the connection's part of the state as in a new device. */
static void forget_connection(struct device *device) {
    device_handshake_finish(device);
    noise_transport_finish(&device->transport);
    device_output_finish(device);
    device_inbox_forget(device);
    free(device->input);
    device->input = NULL;
    device->ping_wanted = device->pong_wanted = false;
    device->leave_ms = DEVICE_NEVER;
    device->error = 0;
}

void device_destroy(struct device *device) {
    if (device == NULL)
        return;
    CHECK(device->magic == DEVICE_MAGIC);
    forget_connection(device);
    device->magic = 0;
    free(device);
}

int device_connect(struct device *device, const struct url *url, uint64_t now_ms,
                   uint64_t wall_ms) {
    if (device->state != DEVICE_OFFLINE)
        return -EISCONN;
    device->end = DEVICE_END_LOST;
    device->detail = 0;
    device->retry_after_ms = 0;
    device->since_ms = device->heard_ms = now_ms;
    return device_handshake_begin(device, url, wall_ms);
}

uint32_t device_random(struct device *device, uint32_t below) {
    uint32_t number = 0;
    if (below == 0)
        return 0;
    device->config->random_bytes(device->context, &number, sizeof number);
    return (uint32_t)((uint64_t)number * below >> 32);
}

/* ---------------------------------------------------------------- ends */

const char *device_end_name(enum device_end end) {
    static const char *const names[] = {
        [DEVICE_END_LOST] = "lost",
        [DEVICE_END_CLOSED] = "closed",
        [DEVICE_END_BUSY] = "busy",
        [DEVICE_END_REFUSED] = "refused",
        [DEVICE_END_PROTOCOL] = "protocol error",
        [DEVICE_END_HANDSHAKE] = "handshake failed",
        [DEVICE_END_CERTIFICATE] = "bad certificate",
        [DEVICE_END_PIN] = "another cluster's key",
        [DEVICE_END_VERSION] = "no common version",
        [DEVICE_END_SILENT] = "silent",
        [DEVICE_END_DRAINING] = "draining",
        [DEVICE_END_REPLACED] = "replaced",
        [DEVICE_END_UNLINKED] = "unlinked",
        [DEVICE_END_STORAGE] = "storage failed",
    };
    return (size_t)end < sizeof names / sizeof names[0] ? names[end] : "unknown";
}

bool device_end_is_final(enum device_end end) {
    return end == DEVICE_END_PIN || end == DEVICE_END_VERSION || end == DEVICE_END_REPLACED ||
           end == DEVICE_END_UNLINKED;
}

static int errno_of(enum device_end end) {
    switch (end) {
    case DEVICE_END_PROTOCOL:
    case DEVICE_END_REFUSED:
    case DEVICE_END_VERSION:
        return -EPROTO;
    case DEVICE_END_HANDSHAKE:
        return -EBADMSG;
    case DEVICE_END_CERTIFICATE:
    case DEVICE_END_PIN:
        return -EKEYREJECTED;
    case DEVICE_END_SILENT:
        return -ETIMEDOUT;
    case DEVICE_END_STORAGE:
        return -EIO;
    default:
        return -ECONNABORTED;
    }
}

int device_fail(struct device *device, enum device_end end, int detail, uint16_t close_code) {
    if (device->state == DEVICE_OFFLINE || device->state == DEVICE_CLOSING)
        return device->error;
    if (device->end == DEVICE_END_LOST ||
        (device_end_is_final(end) && !device_end_is_final(device->end))) {
        device->end = (uint8_t)end;
        device->detail = detail;
    }
    if (close_code != 0 && device->state >= DEVICE_HANDSHAKING)
        device_output_close(device, close_code);
    device->error = errno_of(end);
    device->state = DEVICE_CLOSING;
    device_handshake_finish(device);
    return device->error;
}

void device_close(struct device *device) {
    if (device->state == DEVICE_ONLINE && device->ack_ms != DEVICE_NEVER)
        device_inbox_acknowledge(device);
    device_fail(device, DEVICE_END_CLOSED, 0, WEBSOCKET_CLOSE_NORMAL);
}

/* ---------------------------------------------------------------- connecting again */

/* Doubles with each failure, and is spread over its upper half, so that devices that lost a node
 * together don't come back together. */
static uint64_t backoff(struct device *device) {
    const struct device_config *config = device->config;
    uint64_t wait = config->reconnect_ms_min > 0 ? config->reconnect_ms_min : RECONNECT_MS_MIN;
    uint64_t most = config->reconnect_ms_max > 0 ? config->reconnect_ms_max : RECONNECT_MS_MAX;
    wait = least(wait << device->attempts, most);
    return wait - device_random(device, (uint32_t)(wait / 2 + 1));
}

static uint64_t choose_reconnect(struct device *device, uint64_t now_ms) {
    if (device_end_is_final(device->end))
        return DEVICE_NEVER;
    uint64_t wait = backoff(device);
    if (device->attempts < 16)
        device->attempts++;
    if (device->end == DEVICE_END_CLOSED)
        wait = 0;
    if (device->end == DEVICE_END_BUSY) {
        uint32_t floor = device->retry_after_ms > 0 ? device->retry_after_ms : BUSY_MS;
        if (wait < floor)
            wait = floor + device_random(device, floor / 2);
    }
    return now_ms + wait;
}

void device_disconnected(struct device *device, uint64_t now_ms) {
    if (device->state == DEVICE_OFFLINE) { /* nobody was reached */
        if (device_end_is_final(device->end))
            return;
        device->end = DEVICE_END_LOST;
        device->detail = 0;
    }
    bool lived = device->heartbeat_ms != 0 && now_ms - device->since_ms >= LIVED_MS;
    if (lived)
        device->attempts = 0;
    forget_connection(device);
    device->state = DEVICE_OFFLINE;
    device->heartbeat_ms = 0;
    device->reconnect_ms = choose_reconnect(device, now_ms);
    device_outbox_disconnected(device);
    device_inbox_commit(device);
    if (device->reload && device->config->storage->load != NULL)
        load_saved(device);
    device->reload = false;
    if (device->config->events->closed != NULL)
        device->config->events->closed(device->context, device->end, device->detail);
}

uint64_t device_reconnect_ms(const struct device *device) {
    return device->reconnect_ms;
}

/* ---------------------------------------------------------------- frames */

static int handle_notice(struct device *device, const struct wire_notice *notice, uint64_t now_ms) {
    switch (notice->kind) {
    case WIRE_NOTICE_DRAINING:
        device->end = DEVICE_END_DRAINING;
        device->leave_ms = now_ms + notice->when_ms;
        break;
    case WIRE_NOTICE_REPLACED:
        device->end = DEVICE_END_REPLACED;
        break;
    case WIRE_NOTICE_UNLINKED:
        device->end = DEVICE_END_UNLINKED;
        break;
    default:
        break;
    }
    if (device->config->events->notice != NULL)
        device->config->events->notice(device->context, notice);
    return 0;
}

/* A kind that we don't know: the node is newer, and is told if it asks. One that only devices say
 * is no node's. */
static int handle_unknown(struct device *device, const struct wire_frame *frame) {
    struct wire_frame reply = {
        .kind = WIRE_REPLY, .ref = frame->ref, .reply.code = WIRE_CODE_BAD_REQUEST};
    if (strcmp(wire_kind_name(frame->kind), "unknown") != 0)
        return device_fail(device, DEVICE_END_PROTOCOL, 0, WIRE_CLOSE_UNWANTED);
    if (frame->ref == 0 || device->state != DEVICE_ONLINE)
        return 0;
    device_output_frame(device, &reply); /* left out when the message is full */
    return 0;
}

static int handle_frame(struct device *device, const struct wire_frame *frame, uint64_t now_ms) {
    bool online = device->state == DEVICE_ONLINE;
    switch (frame->kind) {
    case WIRE_WELCOME:
        return device_handshake_welcome(device, &frame->welcome, now_ms);
    case WIRE_NOTICE:
        return handle_notice(device, &frame->notice, now_ms);
    case WIRE_PING:
        device->pong_token = frame->ping.token;
        device->pong_wanted = true;
        return 0;
    case WIRE_PONG:
        if (frame->pong.heartbeat_ms != 0)
            device_handshake_heartbeat(device, frame->pong.heartbeat_ms);
        return 0;
    case WIRE_REPLY:
        return online ? device_outbox_reply(device, frame->ref, &frame->reply, now_ms) : 0;
    case WIRE_MAIL:
        return online ? device_inbox_mail(device, &frame->mail, now_ms)
                      : device_fail(device, DEVICE_END_PROTOCOL, 0, WIRE_CLOSE_UNWANTED);
    case WIRE_STATUS:
        return online ? device_inbox_status(device, &frame->status, now_ms)
                      : device_fail(device, DEVICE_END_PROTOCOL, 0, WIRE_CLOSE_UNWANTED);
    case WIRE_EMPTY:
        if (device->config->events->empty != NULL)
            device->config->events->empty(device->context);
        return 0;
    default:
        return handle_unknown(device, frame);
    }
}

int device_handle_frames(struct device *device, const uint8_t *bytes, size_t length,
                         uint64_t now_ms) {
    struct wire_reader reader;
    struct wire_frame frame;
    enum parse_result result;
    wire_reader_init(&reader, bytes, length);
    while ((result = wire_read_frame(&reader, &frame)) == PARSE_COMPLETE) {
        if (device->config->events->trace != NULL)
            device->config->events->trace(device->context, false, &frame);
        int error = handle_frame(device, &frame, now_ms);
        if (error != 0)
            return error;
    }
    if (result != PARSE_MORE)
        return device_fail(device, DEVICE_END_PROTOCOL, 0, WIRE_CLOSE_BAD_FRAME);
    return 0;
}

/* ---------------------------------------------------------------- WebSocket messages */

static enum device_end end_of_close_code(uint16_t code) {
    switch (code) {
    case WIRE_CLOSE_REPLACED:
        return DEVICE_END_REPLACED;
    case WIRE_CLOSE_UNLINKED:
        return DEVICE_END_UNLINKED;
    case WIRE_CLOSE_DRAINING:
        return DEVICE_END_DRAINING;
    case WIRE_CLOSE_VERSION:
        return DEVICE_END_VERSION;
    case WIRE_CLOSE_LIMITED:
    case WIRE_CLOSE_OVERLOADED:
        return DEVICE_END_BUSY;
    case WIRE_CLOSE_HANDSHAKE:
    case WIRE_CLOSE_TIMEOUT:
        return DEVICE_END_HANDSHAKE;
    case WIRE_CLOSE_SILENT:
        return DEVICE_END_SILENT;
    case WIRE_CLOSE_BAD_FRAME:
    case WIRE_CLOSE_UNWANTED:
    case WEBSOCKET_CLOSE_PROTOCOL_ERROR:
    case WEBSOCKET_CLOSE_UNSUPPORTED:
    case WEBSOCKET_CLOSE_INVALID_DATA:
    case WEBSOCKET_CLOSE_POLICY:
    case WEBSOCKET_CLOSE_TOO_BIG:
        return DEVICE_END_PROTOCOL;
    default:
        return DEVICE_END_LOST;
    }
}

/* The node closes: we say it back (RFC 6455 section 5.5.1). */
static int handle_close(struct device *device, uint16_t code) {
    enum device_end end = end_of_close_code(code);
    int error = device_fail(device, end, code, WEBSOCKET_CLOSE_NORMAL);
    if (device->end == DEVICE_END_LOST)
        device->detail = code;
    return error;
}

static int handle_binary(struct device *device, uint8_t *payload, size_t length, uint64_t now_ms) {
    size_t plain;
    if (device->state == DEVICE_HANDSHAKING)
        return device_handshake_read(device, payload, length);
    if (noise_decrypt(&device->transport.receive, payload, length, &plain) != 0)
        return device_fail(device, DEVICE_END_PROTOCOL, -EBADMSG, WIRE_CLOSE_HANDSHAKE);
    return device_handle_frames(device, payload, plain, now_ms);
}

static int handle_message(struct device *device, const struct websocket_message *message,
                          uint64_t now_ms) {
    switch (message->opcode) {
    case WEBSOCKET_BINARY:
        return handle_binary(device, message->payload, message->length, now_ms);
    case WEBSOCKET_PING:
        device_output_pong(device, message->payload, message->length);
        return 0;
    case WEBSOCKET_PONG:
        return 0;
    case WEBSOCKET_CLOSE:
        return handle_close(device, message->close_code);
    default:
        return device_fail(device, DEVICE_END_PROTOCOL, 0, WEBSOCKET_CLOSE_UNSUPPORTED);
    }
}

/* ---------------------------------------------------------------- input */

struct rest { /* what is to be kept of an input */
    uint8_t *bytes;
    size_t length;
    uint32_t needed; /* no progress with fewer */
};

/* Takes all whole messages out of the bytes. */
static int parse_input(struct device *device, uint8_t *bytes, size_t length, uint64_t now_ms,
                       struct rest *rest) {
    struct websocket_message message;
    enum parse_result result;
    *rest = (struct rest){.bytes = bytes, .length = length};
    if (device->state == DEVICE_UPGRADING) {
        size_t used;
        int error = device_handshake_upgrade(device, bytes, length, &used);
        if (error != 0 || used == 0)
            return error;
        bytes += used;
        length -= used;
    }
    while ((result = websocket_parse(&device->parser, bytes, length, &message)) == PARSE_COMPLETE) {
        int error = handle_message(device, &message, now_ms);
        if (error != 0)
            return error;
    }
    if (result != PARSE_MORE)
        return device_fail(device, DEVICE_END_PROTOCOL, 0, message.close_code);
    *rest = (struct rest){message.payload, message.length, (uint32_t)message.bytes_needed};
    return 0;
}

/* Makes room for `length` bytes of input; false: out of memory. They have come, so their number is
 * no mere claim. */
static bool grow_input(struct device *device, size_t length) {
    struct device_input *before = device->input;
    size_t capacity = before != NULL ? before->capacity : INPUT_BYTES_MIN;
    if (before != NULL && length <= capacity)
        return true;
    while (capacity < length)
        capacity *= 2;
    struct device_input *input = realloc(before, sizeof *input + capacity);
    if (input == NULL)
        return false;
    if (before == NULL)
        *input = (struct device_input){0};
    input->capacity = (uint32_t)capacity;
    device->input = input;
    return true;
}

/* The rest may lie in the input itself, which then has room for it. */
static int keep_input(struct device *device, const struct rest *rest) {
    if (rest->length == 0) {
        free(device->input);
        device->input = NULL;
        return 0;
    }
    if (!grow_input(device, rest->length))
        return device_fail(device, DEVICE_END_LOST, -ENOMEM, WEBSOCKET_CLOSE_GOING_AWAY);
    memmove(device->input->bytes, rest->bytes, rest->length);
    device->input->length = (uint32_t)rest->length;
    device->input->needed = rest->needed;
    return 0;
}

static int receive_bytes(struct device *device, uint8_t *bytes, size_t length, uint64_t now_ms) {
    struct rest rest;
    if (device->input != NULL) {
        if (!grow_input(device, device->input->length + length))
            return device_fail(device, DEVICE_END_LOST, -ENOMEM, WEBSOCKET_CLOSE_GOING_AWAY);
        struct device_input *input = device->input;
        memcpy(input->bytes + input->length, bytes, length);
        input->length += (uint32_t)length;
        bytes = input->bytes;
        length = input->length;
        if (length < input->needed)
            return 0;
    }
    int error = parse_input(device, bytes, length, now_ms, &rest);
    return error != 0 ? error : keep_input(device, &rest);
}

int device_receive(struct device *device, uint8_t *bytes, size_t length, uint64_t now_ms) {
    CHECK(device->magic == DEVICE_MAGIC);
    if (device->state == DEVICE_OFFLINE)
        return -ENOTCONN;
    if (device->state == DEVICE_CLOSING)
        return device->error;
    if (length == 0)
        return 0;
    device->heard_ms = now_ms;
    int error = receive_bytes(device, bytes, length, now_ms);
    int commit_error = device_inbox_commit(device); /* what came before an error has come */
    return error != 0 ? error : commit_error;
}

/* ---------------------------------------------------------------- time */

static uint64_t handshake_deadline(const struct device *device) {
    uint32_t patience = device->config->handshake_ms;
    return device->since_ms + (patience > 0 ? patience : HANDSHAKE_MS);
}

static uint64_t death_deadline(const struct device *device) {
    return device->heard_ms + 5 * (uint64_t)device->heartbeat_ms / 2;
}

/* After three quarters to a whole interval without a word; again after as long without an answer.
 */
static uint64_t ping_deadline(const struct device *device) {
    uint64_t interval = device->heartbeat_ms;
    interval -= interval * device->jitter / 1024;
    uint64_t quiet_since =
        device->heard_ms > device->pinged_ms ? device->heard_ms : device->pinged_ms;
    return quiet_since + interval;
}

int device_tick(struct device *device, uint64_t now_ms) {
    CHECK(device->magic == DEVICE_MAGIC);
    switch (device->state) {
    case DEVICE_OFFLINE:
        return 0;
    case DEVICE_CLOSING:
        return device->error;
    case DEVICE_ONLINE:
        break;
    default:
        if (now_ms < handshake_deadline(device))
            return 0;
        device_fail(device, DEVICE_END_HANDSHAKE, -ETIMEDOUT, WIRE_CLOSE_TIMEOUT);
        return device->error = -ETIMEDOUT;
    }
    if (now_ms >= death_deadline(device))
        return device_fail(device, DEVICE_END_SILENT, 0, WIRE_CLOSE_SILENT);
    if (now_ms >= device->leave_ms)
        return device_fail(device, DEVICE_END_DRAINING, 0, WEBSOCKET_CLOSE_GOING_AWAY);
    if (now_ms >= ping_deadline(device)) {
        device->ping_wanted = true;
        device->pinged_ms = now_ms;
    }
    return 0;
}

uint64_t device_deadline_ms(const struct device *device) {
    switch (device->state) {
    case DEVICE_OFFLINE:
    case DEVICE_CLOSING:
        return DEVICE_NEVER;
    case DEVICE_ONLINE: {
        uint64_t deadline = least(death_deadline(device), ping_deadline(device));
        deadline = least(deadline, device->leave_ms);
        if (device->output != NULL && device->output->sealed > device->output->begin)
            return deadline; /* what waits to be written waits for the owner's socket */
        deadline = least(deadline, device->ack_ms);
        return least(deadline, device_outbox_deadline_ms(device));
    }
    default:
        return handshake_deadline(device);
    }
}

/* ---------------------------------------------------------------- what it is */

bool device_is_offline(const struct device *device) {
    return device->state == DEVICE_OFFLINE;
}

bool device_is_online(const struct device *device) {
    return device->state == DEVICE_ONLINE;
}

bool device_is_registered(const struct device *device) {
    return device->registered;
}

uint64_t device_user(const struct device *device) {
    return device->user;
}

uint32_t device_number(const struct device *device) {
    return device->number;
}

uint32_t device_discover_phones_max(const struct device *device) {
    return device->discover_phones_max;
}

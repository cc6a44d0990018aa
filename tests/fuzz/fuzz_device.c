/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device whose node says arbitrary things.
 *
 * The first byte chooses. 0 or 2: the rest is what the node's socket sends from the first byte on,
 * before there is a session; all randomness is fixed, so that a recorded session is a seed that
 * gets through the handshake. Else the rest is a script of steps inside an established session:
 * frames behind Noise, time that passes, the owner's calls, broken connections.
 *
 * Properties: what the device says are well-formed WebSocket, Noise and frames that a device may
 * say; nothing is acknowledged that was left for later; sends go in rising order; at
 * the end all buffers go with the device (the address sanitizer sees leaks).
 *
 * Covers: net/device.c net/device_inbox.c net/device_outbox.c net/device_output.c
 * net/device_handshake.c
 */
#include "net/device_internal.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_MAX 60000
#define TRACKED 4096    /* cursors below it are looked at */
#define SESSIONS_MAX 10 /* in one script: each costs two multiplications on the curve */

#define MUST(condition)   \
    do {                  \
        if (!(condition)) \
            abort();      \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum cursor_state { NOT_LATER, LATER };

struct world {
    struct device *device;
    uint64_t now_ms;
    uint8_t verdict; /* of the next mail */
    uint8_t cursors[TRACKED];
    uint64_t epoch;
    uint64_t highest; /* cursor on this connection and in this epoch */
    struct device_saved saved;
    uint64_t random;
    bool pinned, known, fail_commit;
    uint8_t pin[32];
    struct noise_transport node; /* the other end of the session */
    struct websocket_parser parser;
    unsigned sessions;
    bool session; /* `node` and `parser` are meant */
    uint8_t heard[300000];
    size_t heard_length;
};

/* ---------------------------------------------------------------- the owner */

static void give_identity(void *context, struct noise_keypair *pair) {
    static const uint8_t private_key[32] = {5};
    static struct noise_keypair identity; /* made once: it costs more than all else here */
    (void)context;
    if (identity.private_key[0] == 0)
        noise_keypair_from_private(&identity, private_key);
    *pair = identity;
}

static int load_pin(void *context, uint8_t cluster_key[CERTIFICATE_KEY_BYTES]) {
    struct world *world = context;
    memcpy(cluster_key, world->pin, sizeof world->pin);
    return world->pinned;
}

static int save_pin(void *context, const uint8_t cluster_key[CERTIFICATE_KEY_BYTES]) {
    struct world *world = context;
    memcpy(world->pin, cluster_key, sizeof world->pin);
    world->pinned = true;
    return 0;
}

static int commit(void *context) {
    struct world *world = context;
    return world->fail_commit ? -EIO : 0;
}

static bool know_mail(void *context, uint64_t sender, uint32_t sender_device,
                      const struct wire_id *id) {
    (void)sender;
    (void)sender_device;
    (void)id;
    return ((struct world *)context)->known;
}

static int read_outbox(void *context, uint64_t number, struct wire_send *send) {
    static const struct wire_recipient recipient = {.user = 1, .device = 1};
    static const uint8_t content[WIRE_CONTENT_BYTES_MAX + 1];
    (void)context;
    if (number % 7 == 3)
        return -ENOENT;
    send->recipients.items = &recipient;
    send->recipients.count = 1;
    if (number % 5 == 4)
        send->external = (struct wire_bytes){content, number % 2 ? 30000 : 100};
    if (number % 11 == 10)
        send->external = (struct wire_bytes){content, sizeof content}; /* too much */
    return 0;
}

static int verdict_of(struct world *world) {
    return world->verdict == 3 ? DEVICE_LATER : world->verdict;
}

static int hear_mail(void *context, const struct wire_mail *mail) {
    return mail->cursor == 0 ? -1 : verdict_of(context);
}

static int hear_status(void *context, const struct wire_status *status) {
    return status->cursor == 0 ? -1 : verdict_of(context);
}

static void hear_welcome(void *context, const struct wire_welcome *welcome) {
    struct world *world = context;
    if (welcome->registered && welcome->epoch != world->epoch) {
        world->epoch = welcome->epoch;
        world->highest = 0;
        memset(world->cursors, NOT_LATER, sizeof world->cursors);
    }
}

/* The device traces each frame before it acts on it. */
static void hear_frame(void *context, bool out, const struct wire_frame *frame) {
    struct world *world = context;
    uint64_t cursor = frame->kind == WIRE_MAIL     ? frame->mail.cursor
                      : frame->kind == WIRE_STATUS ? frame->status.cursor
                                                   : TRACKED;
    bool asked = !(frame->kind == WIRE_MAIL && world->known);
    if (out || cursor >= TRACKED || world->cursors[cursor] == LATER)
        return;
    if (cursor <= world->highest) /* no node does that, and an ack may cover it already */
        return;
    world->highest = cursor;
    world->cursors[cursor] = asked && verdict_of(world) < 0 ? LATER : NOT_LATER;
}

static void save_cursor(void *context, uint64_t epoch, uint64_t cursor) {
    struct world *world = context;
    MUST(epoch == world->epoch && (cursor >= TRACKED || world->cursors[cursor] != LATER));
}

static void load(void *context, struct device_saved *saved) {
    struct world *world = context;
    *saved = world->saved;
}

static void hear_pin(void *context, enum device_pin what, const struct certificate *certificate) {
    (void)context;
    (void)what;
    MUST(certificate->name[0] != 0);
}

static void hear_answer(void *context, uint64_t number, const struct wire_reply *reply,
                        const struct wire_sent_body *sent, const struct wire_stale_body *stale) {
    struct world *world = context;
    MUST(number != 0 && number < device_next_send(world->device));
    MUST((sent != NULL) == (reply->code == WIRE_CODE_OK));
    MUST((stale != NULL) == (reply->code == WIRE_CODE_STALE));
}

static void hear_reply(void *context, uint32_t ref, const struct wire_reply *reply) {
    (void)context;
    (void)reply;
    MUST(ref != 0 && ref < DEVICE_REF_SEND);
}

static void hear_empty(void *context) {
    (void)context;
}

static void hear_notice(void *context, const struct wire_notice *notice) {
    (void)context;
    MUST(notice->text.length <= 200);
}

static void hear_closed(void *context, enum device_end end, int detail) {
    struct world *world = context;
    (void)detail;
    MUST(device_end_name(end)[0] != 'u' || end == DEVICE_END_UNLINKED);
    MUST((device_reconnect_ms(world->device) == DEVICE_NEVER) == device_end_is_final(end));
}

static void give_random(void *context, void *bytes, size_t length) {
    struct world *world = context;
    for (size_t i = 0; i < length; i++)
        ((uint8_t *)bytes)[i] = (uint8_t)(world->random = world->random * 6364136223846793005ull +
                                                          1442695040888963407ull) >>
                                3;
}

static const struct device_storage storage = {
    .identity = give_identity,
    .pin_load = load_pin,
    .pin_save = save_pin,
    .load = load,
    .cursor_save = save_cursor,
    .commit = commit,
    .mail_known = know_mail,
    .outbox_read = read_outbox,
};
static const struct device_events events = {
    .pin = hear_pin,
    .welcome = hear_welcome,
    .mail = hear_mail,
    .status = hear_status,
    .answered = hear_answer,
    .replied = hear_reply,
    .empty = hear_empty,
    .notice = hear_notice,
    .closed = hear_closed,
    .trace = hear_frame,
};
static const struct device_config config = {
    .storage = &storage,
    .events = &events,
    .random_bytes = give_random,
    .client = "fuzz",
};

/* ---------------------------------------------------------------- what the device says */

static void check_acked(const struct world *world, uint64_t cursor) {
    if (cursor < TRACKED)
        MUST(world->cursors[cursor] != LATER);
}

static void check_ack(const struct world *world, const struct wire_ack *ack) {
    struct wire_number_list singles = ack->singles;
    struct wire_ack_error_list errors = ack->errors;
    struct wire_ack_error error;
    uint64_t cursor;
    if (ack->epoch != world->epoch) /* written before the new epoch was heard of */
        return;
    for (cursor = 1; cursor <= ack->up_to && cursor < TRACKED; cursor++)
        MUST(world->cursors[cursor] != LATER);
    while (wire_next_number(&singles, &cursor))
        check_acked(world, cursor);
    while (wire_next_ack_error(&errors, &error))
        check_acked(world, error.cursor);
}

static void check_frames(const struct world *world, const uint8_t *bytes, size_t length) {
    struct wire_reader reader;
    struct wire_frame frame;
    enum parse_result result;
    uint64_t number = 0;
    MUST(length > 0 && length <= WIRE_FRAMES_BYTES_MAX);
    wire_reader_init(&reader, bytes, length);
    while ((result = wire_read_frame(&reader, &frame)) == PARSE_COMPLETE) {
        MUST(frame.kind != WIRE_MAIL && frame.kind != WIRE_WELCOME && frame.kind != WIRE_STATUS);
        if (frame.kind == WIRE_ACK)
            check_ack(world, &frame.ack);
        if (frame.kind == WIRE_SEND) {
            MUST(frame.send.number > number);
            number = frame.send.number;
        }
    }
    MUST(result == PARSE_MORE);
}

static void hear_device(struct world *world, const uint8_t *bytes, size_t length) {
    struct websocket_message message;
    enum parse_result result;
    size_t plain;
    if (!world->session)
        return;
    MUST(world->heard_length + length <= sizeof world->heard);
    memcpy(world->heard + world->heard_length, bytes, length);
    world->heard_length += length;
    while ((result = websocket_parse(&world->parser, world->heard, world->heard_length,
                                     &message)) == PARSE_COMPLETE) {
        if (message.opcode != WEBSOCKET_BINARY)
            continue;
        MUST(noise_decrypt(&world->node.receive, message.payload, message.length, &plain) == 0);
        check_frames(world, message.payload, plain);
    }
    MUST(result == PARSE_MORE);
    memmove(world->heard, message.payload, message.length);
    world->heard_length = message.length;
}

/* Takes what there is, or only a part of it. */
static void take_output(struct world *world, size_t most) {
    const uint8_t *bytes;
    size_t length;
    for (int i = 0; i < 100; i++) {
        length = device_output(world->device, world->now_ms, &bytes);
        if (length == 0 || most == 0)
            return;
        if (length > most)
            length = most;
        hear_device(world, bytes, length);
        device_output_done(world->device, length);
        most -= length;
    }
}

/* ---------------------------------------------------------------- sessions */

static void connect_device(struct world *world) {
    static const struct url url = {.host = "localhost", .port = 7700, .path = "/v1"};
    MUST(device_connect(world->device, &url, world->now_ms, 1700000000000) == 0);
    take_output(world, SIZE_MAX);
}

/* As if the handshake had been: welcome is to come. */
static void open_session(struct world *world) {
    struct device *device = world->device;
    connect_device(world);
    device_handshake_finish(device);
    memset(&world->node, 1, sizeof world->node);
    world->node.send.nonce = world->node.receive.nonce = 0;
    memset(world->node.send.key, 2, sizeof world->node.send.key);
    device->transport.send = world->node.receive;
    device->transport.receive = world->node.send;
    websocket_parser_init(&device->parser, WEBSOCKET_CLIENT, NOISE_MESSAGE_BYTES_MAX);
    websocket_parser_init(&world->parser, WEBSOCKET_SERVER, NOISE_MESSAGE_BYTES_MAX);
    device->state = DEVICE_GREETING;
    world->heard_length = 0;
    world->session = true;
    world->highest = device->cursor;
}

/* Outstanding mail is forgotten with the connection: it may come again. */
static void end_session(struct world *world) {
    take_output(world, SIZE_MAX);
    world->session = false;
    device_disconnected(world->device, world->now_ms);
    for (unsigned i = 0; i < TRACKED; i++)
        if (world->cursors[i] == LATER)
            world->cursors[i] = NOT_LATER;
}

static int say(struct world *world, const uint8_t *frames, size_t length) {
    static uint8_t bytes[WEBSOCKET_HEADER_BYTES_MAX + BYTES_MAX + NOISE_TAG_BYTES];
    size_t header = websocket_write_header(bytes, WEBSOCKET_SERVER, WEBSOCKET_BINARY,
                                           length + NOISE_TAG_BYTES, NULL);
    memcpy(bytes + header, frames, length);
    MUST(noise_encrypt(&world->node.send, bytes + header, length) == 0);
    return device_receive(world->device, bytes, header + length + NOISE_TAG_BYTES, world->now_ms);
}

/* Something else than a Noise message. */
static int say_raw(struct world *world, uint8_t opcode, const uint8_t *payload, size_t length) {
    uint8_t bytes[WEBSOCKET_HEADER_BYTES_MAX + 256];
    size_t header = opcode > 15
                        ? 0
                        : websocket_write_header(bytes, WEBSOCKET_SERVER,
                                                 (enum websocket_opcode)opcode, length, NULL);
    memcpy(bytes + header, payload, length);
    return device_receive(world->device, bytes, header + length, world->now_ms);
}

static void ask(struct device *device, uint8_t kind) {
    struct wire_frame request;
    memset(&request, 0, sizeof request);
    request.kind = kind;
    device_request(device, &request);
}

/* One step: an operation, its argument, and for frames as many bytes as the argument says. Returns
 * the bytes used. */
static size_t step(struct world *world, const uint8_t *data, size_t size) {
    struct device *device = world->device;
    uint8_t argument = data[1];
    size_t length = 0;
    int error = 0;
    switch (data[0] % 13) {
    default: /* frames, more often than the rest */
        length = argument < size - 2 ? argument : size - 2;
        error = say(world, data + 2, length);
        break;
    case 4:
        world->now_ms += (uint64_t)argument * argument;
        error = device_tick(device, world->now_ms);
        break;
    case 5:
        take_output(world, argument == 255 ? SIZE_MAX : argument);
        break;
    case 6:
        for (unsigned i = 0; i < argument; i++)
            device_send(device, device_next_send(device));
        break;
    case 7:
        ask(device, argument);
        break;
    case 8: {
        bool waits = device->pending_count > 0 && argument < device->pending_count;
        uint64_t cursor = waits ? device->pending[argument].cursor : argument;
        if (cursor < TRACKED && world->cursors[cursor] == LATER)
            world->cursors[cursor] = NOT_LATER;
        device_settle(device, device->epoch, cursor, argument % 3);
        break;
    }
    case 9:
        device_retry(device, argument);
        break;
    case 10:
        world->verdict = argument & 3;
        world->known = (argument & 4) != 0;
        world->fail_commit = argument > 250;
        break;
    case 11:
        error = argument < 250 ? -1 : 0;
        if (argument < 100)
            device_close(device);
        break;
    case 12:
        length = size - 2 < 125 ? size - 2 : 125;
        if (length > 0)
            length = data[2] % length;
        error = say_raw(world, argument, data + 2, length);
        break;
    }
    if (error != 0) {
        end_session(world);
        if (++world->sessions == SESSIONS_MAX)
            return size;
        open_session(world);
    }
    return 2 + length;
}

static void run_script(struct world *world, const uint8_t *data, size_t size) {
    open_session(world);
    while (size >= 2) {
        size_t used = step(world, data, size);
        MUST(used <= size);
        data += used;
        size -= used;
        if (world->session && device_deadline_ms(world->device) > world->now_ms)
            take_output(world, world->now_ms % 3 == 0 ? SIZE_MAX : 10);
    }
    end_session(world);
}

/* What a socket brings, in pieces. */
static void run_raw(struct world *world, const uint8_t *data, size_t size) {
    static uint8_t piece[BYTES_MAX];
    connect_device(world);
    for (size_t at = 0, length = 1; at < size; at += length) {
        length = 1 + data[at] * 3u;
        if (length > size - at)
            length = size - at;
        memcpy(piece, data + at, length);
        if (device_receive(world->device, piece, length, world->now_ms) != 0)
            break;
        take_output(world, SIZE_MAX);
    }
    device_disconnected(world->device, world->now_ms);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct world world;
    if (size == 0 || size > BYTES_MAX || sodium_init() < 0)
        return 0;
    memset(&world, 0, sizeof world - sizeof world.heard - sizeof world.heard_length);
    world.now_ms = 1000;
    world.random = 1;
    world.pinned = data[0] == 2; /* some other cluster's key */
    world.saved = (struct device_saved){.send_low = data[0] % 4, .next_send = data[0] % 8};
    world.device = device_create(&config, &world);
    MUST(world.device != NULL);
    if (data[0] == 0 || data[0] == 2)
        run_raw(&world, data + 1, size - 1);
    else
        run_script(&world, data + 1, size - 1);
    MUST(device_is_offline(world.device) && !device_is_online(world.device));
    MUST(device_is_registered(world.device) || device_user(world.device) == 0);
    MUST(device_sends_open(world.device) < device_next_send(world.device));
    device_destroy(world.device);
    return 0;
}

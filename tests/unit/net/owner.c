/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/net/owner.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define REF_SEND 0x80000000u

__attribute__((format(printf, 2, 3))) static void note(struct owner *owner, const char *format,
                                                       ...) {
    size_t used = strlen(owner->log);
    va_list arguments;
    if (used > 0)
        used += (size_t)snprintf(owner->log + used, sizeof owner->log - used, ", ");
    va_start(arguments, format);
    vsnprintf(owner->log + used, sizeof owner->log - used, format, arguments);
    va_end(arguments);
}

void owner_expect(struct owner *owner, const char *expected) {
    assert_string_equal(owner->log, expected);
    owner->log[0] = 0;
}

/* ---------------------------------------------------------------- storage */

static void give_identity(void *context, struct noise_keypair *pair) {
    *pair = ((struct owner *)context)->identity;
}

static int load_pin(void *context, uint8_t cluster_key[CERTIFICATE_KEY_BYTES]) {
    struct owner *owner = context;
    if (owner->pinned > 0)
        memcpy(cluster_key, owner->pin, sizeof owner->pin);
    return owner->pinned;
}

static int save_pin(void *context, const uint8_t cluster_key[CERTIFICATE_KEY_BYTES]) {
    struct owner *owner = context;
    memcpy(owner->pin, cluster_key, sizeof owner->pin);
    owner->pinned = 1;
    return 0;
}

static void load(void *context, struct device_saved *saved) {
    *saved = ((struct owner *)context)->saved;
}

static void save_cursor(void *context, uint64_t epoch, uint64_t cursor) {
    struct owner *owner = context;
    owner->saved.epoch = epoch;
    owner->saved.cursor = cursor;
    note(owner, "cursor %d", (int)cursor);
}

static int commit(void *context) {
    struct owner *owner = context;
    note(owner, "commit");
    return owner->commit_error;
}

static bool know_mail(void *context, uint64_t sender, uint32_t sender_device,
                      const struct wire_id *id) {
    (void)sender;
    (void)sender_device;
    (void)id;
    return ((struct owner *)context)->known;
}

static unsigned know_status(void *context, const struct wire_id *id, uint64_t user,
                            uint32_t device) {
    struct owner *owner = context;
    assert_int_equal(user, 43);
    assert_int_equal(device, 1);
    return wire_id_compare(id, &owner->known_id) == 0 ? owner->known_state : 0;
}

static int read_outbox(void *context, uint64_t number, struct wire_send *send) {
    struct owner *owner = context;
    static const struct wire_id none;
    if (number >= OWNER_SENDS_MAX || wire_id_compare(&owner->sends[number].id, &none) == 0)
        return -ENOENT;
    *send = owner->sends[number];
    return 0;
}

/* ---------------------------------------------------------------- events */

static void hear_pin(void *context, enum device_pin what, const struct certificate *certificate) {
    assert_string_equal(certificate->name, "fake");
    note(context, what == DEVICE_PIN_FIRST ? "pin first" : "pin changed");
}

static void hear_welcome(void *context, const struct wire_welcome *welcome) {
    note(context, welcome->registered ? "welcome" : "welcome stranger");
}

static int hear_mail(void *context, const struct wire_mail *mail) {
    struct owner *owner = context;
    note(owner, "mail %d", (int)mail->cursor);
    return owner->verdict;
}

static int hear_status(void *context, const struct wire_status *status) {
    struct owner *owner = context;
    struct wire_identity_list rest = status->ids;
    struct wire_id id;
    note(owner, "%s %d", wire_state_name(status->state), (int)status->cursor);
    while (wire_next_identity(&rest, &id))
        note(owner, "of %d", id.bytes[0]);
    return owner->verdict;
}

static void hear_answer(void *context, uint64_t number, const struct wire_reply *reply,
                        const struct wire_sent_body *sent, const struct wire_stale_body *stale) {
    struct owner *owner = context;
    note(owner, "send %d %s", (int)number, wire_code_name(reply->code));
    assert_int_equal(sent != NULL, reply->code == WIRE_CODE_OK);
    assert_int_equal(stale != NULL, reply->code == WIRE_CODE_STALE);
    if (stale != NULL)
        owner->stale_version = stale->version;
    else
        owner->sends[number].id = (struct wire_id){{0}};
}

static void hear_reply(void *context, uint32_t ref, const struct wire_reply *reply) {
    note(context, "reply %u %s", (unsigned)ref, wire_code_name(reply->code));
}

static void hear_empty(void *context) {
    note(context, "empty");
}

static void hear_notice(void *context, const struct wire_notice *notice) {
    note(context, "notice %s", wire_notice_kind_name(notice->kind));
}

static void hear_closed(void *context, enum device_end end, int detail) {
    note(context, "closed: %s %d", device_end_name(end), detail);
}

static void trace(void *context, bool out, const struct wire_frame *frame) {
    char line[512];
    (void)context;
    (void)out;
    assert_true(wire_print_frame(frame, line, sizeof line) > 0);
}

static void give_random(void *context, void *bytes, size_t length) {
    struct owner *owner = context;
    uint8_t *at = bytes;
    for (size_t i = 0; i < length; i++) { /* xorshift64 */
        owner->random ^= owner->random << 13;
        owner->random ^= owner->random >> 7;
        owner->random ^= owner->random << 17;
        at[i] = (uint8_t)owner->random;
    }
}

/* ---------------------------------------------------------------- life */

static const struct device_storage all_storage = {
    .identity = give_identity,
    .pin_load = load_pin,
    .pin_save = save_pin,
    .load = load,
    .cursor_save = save_cursor,
    .commit = commit,
    .mail_known = know_mail,
    .status_known = know_status,
    .outbox_read = read_outbox,
};

static const struct device_events all_events = {
    .pin = hear_pin,
    .welcome = hear_welcome,
    .mail = hear_mail,
    .status = hear_status,
    .answered = hear_answer,
    .replied = hear_reply,
    .empty = hear_empty,
    .notice = hear_notice,
    .closed = hear_closed,
    .trace = trace,
};

void owner_init(struct owner *owner) {
    uint8_t private_key[32] = {5};
    memset(owner, 0, sizeof *owner);
    fake_node_init(&owner->node);
    noise_keypair_from_private(&owner->identity, private_key);
    owner->storage = all_storage;
    owner->events = all_events;
    owner->config = (struct device_config){
        .storage = &owner->storage,
        .events = &owner->events,
        .random_bytes = give_random,
        .client = "test 1",
    };
    owner->now_ms = 1000000;
    owner->random = 88172645463325252ull;
    owner->device = device_create(&owner->config, owner);
    assert_non_null(owner->device);
}

void owner_finish(struct owner *owner) {
    device_destroy(owner->device);
    fake_node_finish(&owner->node);
}

void owner_restart(struct owner *owner) {
    device_destroy(owner->device);
    fake_node_reset(&owner->node);
    owner->device = device_create(&owner->config, owner);
    assert_non_null(owner->device);
}

/* ---------------------------------------------------------------- moving bytes */

static bool move_output(struct owner *owner) {
    const uint8_t *bytes;
    size_t length = device_output(owner->device, owner->now_ms, &bytes);
    if (length == 0)
        return false;
    size_t part = owner->chunk > 0 && owner->chunk < length ? owner->chunk : length;
    fake_node_receive(&owner->node, bytes, part);
    device_output_done(owner->device, part);
    return true;
}

static bool move_input(struct owner *owner) {
    struct fake_node *node = &owner->node;
    size_t part = node->out_length;
    if (part == 0 || owner->result != 0)
        return false;
    if (owner->chunk > 0 && owner->chunk < part)
        part = owner->chunk;
    uint8_t *bytes = malloc(part); /* its own block: the sanitizer sees what goes beyond it */
    assert_non_null(bytes);
    memcpy(bytes, node->out, part);
    node->out_length -= part;
    memmove(node->out, node->out + part, node->out_length);
    owner->result = device_receive(owner->device, bytes, part, owner->now_ms);
    free(bytes);
    return true;
}

void owner_pump(struct owner *owner) {
    bool out, in;
    do {
        out = move_output(owner);
        in = move_input(owner);
    } while (out || in);
}

void owner_tick(struct owner *owner, uint64_t now_ms) {
    owner->now_ms = now_ms;
    owner->result = device_tick(owner->device, now_ms);
    owner_pump(owner);
}

void owner_cut(struct owner *owner) {
    device_disconnected(owner->device, owner->now_ms);
    fake_node_reset(&owner->node);
    owner->result = 0;
}

void owner_connect(struct owner *owner) {
    struct url url = {.host = "localhost", .port = 7700, .path = "/v1"};
    owner->result = 0;
    fake_node_reset(&owner->node);
    assert_int_equal(device_connect(owner->device, &url, owner->now_ms, 1700000000000), 0);
    owner_pump(owner);
}

void owner_go_online(struct owner *owner) {
    owner_connect(owner);
    struct wire_frame welcome = owner_welcome(owner);
    owner_hear(owner, &welcome);
    assert_true(device_is_online(owner->device));
    owner->log[0] = 0;
}

/* ---------------------------------------------------------------- what is said */

struct wire_frame owner_welcome(const struct owner *owner) {
    return (struct wire_frame){
        .kind = WIRE_WELCOME,
        .welcome =
            {
                .version = 1,
                .registered = true,
                .user = 42,
                .device = 3,
                .frame_bytes_max = 65000,
                .mail_in_flight_max = 256,
                .mail_in_flight_bytes_max = 1u << 20,
                .sends_in_flight_max = 64,
                .queue_messages_max = 10000,
                .discover_phones_max = 20,
                .heartbeat_ms = 30000,
                .epoch = 7,
                .next_send = owner->node.hello.send_low,
            },
    };
}

struct wire_frame owner_mail(uint64_t cursor, const char *content) {
    return (struct wire_frame){
        .kind = WIRE_MAIL,
        .mail =
            {
                .cursor = cursor,
                .id = {{(uint8_t)cursor}},
                .sender = 43,
                .sender_device = 1,
                .ciphertext = {(const uint8_t *)content, (uint32_t)strlen(content)},
                .attempt = 1,
            },
    };
}

struct wire_frame owner_status(uint64_t cursor) {
    static const struct wire_id id = {{5}};
    return (struct wire_frame){
        .kind = WIRE_STATUS,
        .status =
            {
                .cursor = cursor,
                .state = WIRE_STATE_DELIVERED,
                .chat = 43,
                .user = 43,
                .device = 1,
                .ids = {.items = &id, .count = 1},
            },
    };
}

void owner_hear(struct owner *owner, const struct wire_frame *frame) {
    fake_node_say(&owner->node, frame);
    owner_pump(owner);
}

void owner_hear_answer(struct owner *owner, uint32_t ref, unsigned code, uint32_t retry_after_ms) {
    uint8_t body[WIRE_SMALL_BODY_BYTES_MAX];
    struct wire_writer writer = {.bytes = body, .capacity = sizeof body};
    struct wire_sent_body sent = {.time_ms = 5, .sequence = 6};
    struct wire_stale_body stale = {.user = 43, .version = 9};
    if (code == WIRE_CODE_OK)
        assert_int_equal(wire_write_sent_body(&writer, &sent), 0);
    if (code == WIRE_CODE_STALE)
        assert_int_equal(wire_write_stale_body(&writer, &stale), 0);
    struct wire_frame frame = {
        .kind = WIRE_REPLY,
        .ref = ref,
        .reply = {.code = (uint16_t)code,
                  .retry_after_ms = retry_after_ms,
                  .body = {body, (uint32_t)writer.length}},
    };
    owner_hear(owner, &frame);
}

void owner_hear_conflict(struct owner *owner, uint32_t ref, uint64_t missing) {
    uint8_t body[WIRE_SMALL_BODY_BYTES_MAX];
    struct wire_writer writer = {.bytes = body, .capacity = sizeof body};
    struct wire_conflict_body conflict = {.missing = missing};
    assert_int_equal(wire_write_conflict_body(&writer, &conflict), 0);
    struct wire_frame frame = {
        .kind = WIRE_REPLY,
        .ref = ref,
        .reply = {.code = WIRE_CODE_CONFLICT, .body = {body, (uint32_t)writer.length}},
    };
    owner_hear(owner, &frame);
}

uint64_t owner_send(struct owner *owner, const char *content) {
    uint64_t number = device_next_send(owner->device);
    assert_true(number < OWNER_SENDS_MAX);
    owner->recipients[number] = (struct wire_recipient){
        .user = 43,
        .device = 1,
        .ciphertext = {(const uint8_t *)content, (uint32_t)strlen(content)},
    };
    owner->sends[number] = (struct wire_send){
        .id = {{1, (uint8_t)number}},
        .chat = 43,
        .recipients = {.items = &owner->recipients[number], .count = 1},
    };
    assert_int_equal(device_send(owner->device, number), 0);
    return number;
}

uint32_t owner_ref(uint64_t number) {
    return REF_SEND | (uint32_t)number;
}

int owner_set_up(void **state) {
    struct owner *owner = malloc(sizeof *owner);
    if (owner == NULL)
        return -1;
    owner_init(owner);
    owner_go_online(owner);
    fake_node_clear(&owner->node);
    *state = owner;
    return 0;
}

int owner_tear_down(void **state) {
    owner_finish(*state);
    free(*state);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the device asks for and tells, put into the store.
 *
 * All of it happens within one transaction, which `commit` ends; the device acknowledges to the
 * node only after that. The pin alone is committed at once: what follows depends on it.
 */
#include "tools/chat/session_internal.h"

#include "net/key_text.h"
#include "runtime/check.h"
#include "tools/chat/content.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

/* ---------------------------------------------------------------- what is kept */

static void give_identity(void *context, struct noise_keypair *pair) {
    struct session *session = context;
    uint8_t keys[2 * NOISE_KEY_BYTES] = {0};
    const char *setting = session->is_candidate ? SETTING_CANDIDATE : SETTING_IDENTITY;
    store_bytes(session->store, setting, keys, sizeof keys);
    memcpy(pair->private_key, keys, NOISE_KEY_BYTES);
    memcpy(pair->public_key, keys + NOISE_KEY_BYTES, NOISE_KEY_BYTES);
    sodium_memzero(keys, sizeof keys);
}

static const char *pin_setting(const struct session *session) {
    return session->is_candidate ? SETTING_CANDIDATE_PIN : SETTING_PIN;
}

/* What a candidate has met comes before what this home has pinned, which holds for it as well. */
static int load_pin(void *context, uint8_t cluster_key[CERTIFICATE_KEY_BYTES]) {
    struct session *session = context;
    if (session->has_given_pin) {
        memcpy(cluster_key, session->given_pin, CERTIFICATE_KEY_BYTES);
        return 1;
    }
    return store_bytes(session->store, pin_setting(session), cluster_key, CERTIFICATE_KEY_BYTES) ||
           store_bytes(session->store, SETTING_PIN, cluster_key, CERTIFICATE_KEY_BYTES);
}

static int save_pin(void *context, const uint8_t cluster_key[CERTIFICATE_KEY_BYTES]) {
    struct session *session = context;
    store_set_bytes(session->store, pin_setting(session), cluster_key, CERTIFICATE_KEY_BYTES);
    return store_commit(session->store);
}

static void load_saved(void *context, struct device_saved *saved) {
    struct session *session = context;
    struct store *store = session->store;
    if (session->is_candidate)
        return; /* nothing was ever received or sent with this key */
    saved->epoch = store_number(store, "epoch");
    saved->cursor = store_number(store, "cursor");
    saved->send_low = store_send_low(store);
    saved->next_send = store_number(store, "next_send");
}

static void save_cursor(void *context, uint64_t epoch, uint64_t cursor) {
    struct session *session = context;
    store_set_number(session->store, "epoch", epoch);
    store_set_number(session->store, "cursor", cursor);
}

static int commit(void *context) {
    struct session *session = context;
    return store_commit(session->store);
}

static bool know_mail(void *context, uint64_t sender, uint32_t sender_device,
                      const struct wire_id *id) {
    struct session *session = context;
    return store_has(session->store, sender, sender_device, id);
}

/* One state is kept for all devices of a person. */
static unsigned know_status(void *context, const struct wire_id *id, uint64_t user,
                            uint32_t device) {
    struct session *session = context;
    (void)user;
    (void)device;
    return store_state(session->store, id);
}

/* ---------------------------------------------------------------- sending */

/* The message that goes out next; the device wants it to stay until it has been written. */
struct outgoing {
    struct session *session;
    struct wire_send *send;
    bool found;
};

static uint32_t add_recipients(struct session *session, const struct store_contact *contact,
                               uint32_t but_device, uint32_t count) {
    for (uint32_t i = 0; i < contact->device_count && count < SESSION_RECIPIENTS_MAX; i++)
        if (contact->devices[i].device != but_device)
            session->recipients[count++] = (struct wire_recipient){
                .user = contact->user, .device = contact->devices[i].device};
    return count;
}

static bool fill_send(void *context, const struct store_message *message) {
    struct outgoing *outgoing = context;
    struct session *session = outgoing->session;
    struct wire_send *send = outgoing->send;
    struct store_contact contact;
    uint32_t count = 0;
    send->id = message->id;
    send->chat = message->chat;
    send->lamport = message->lamport;
    send->n = message->n;
    if (store_contact(session->store, message->chat, &contact)) {
        send->version = contact.version;
        count = add_recipients(session, &contact, 0, count);
    }
    if (store_contact(session->store, session_user(session), &contact)) {
        send->own_version = contact.version;
        count = add_recipients(session, &contact, session_device_number(session), count);
    }
    send->recipients.items = session->recipients;
    send->recipients.count = count;
    send->external.bytes = session->content;
    send->external.length = (uint32_t)content_write(session->content, message->text);
    outgoing->found = true;
    if (message->number > session->tried_up_to)
        session->tried_up_to = message->number;
    return false;
}

static int read_outbox(void *context, uint64_t number, struct wire_send *send) {
    struct session *session = context;
    struct outgoing outgoing = {.session = session, .send = send};
    store_message_by_number(session->store, number, fill_send, &outgoing);
    return outgoing.found ? 0 : -ENOENT;
}

/* The list is replaced by the one that the node has told, and the message goes again. */
static void take_stale(struct session *session, uint64_t number,
                       const struct wire_stale_body *stale) {
    struct store_device devices[STORE_DEVICES_MAX];
    struct wire_device_key_list rest = stale->devices;
    struct wire_device_key key;
    uint32_t count = 0;
    while (count < STORE_DEVICES_MAX && wire_next_device_key(&rest, &key)) {
        devices[count].device = key.device;
        memset(devices[count].key, 0, sizeof devices[count].key);
        memcpy(devices[count].key, key.key.bytes, key.key.length);
        count++;
    }
    store_contact_want(session->store,
                       stale->user); /* whoever has new devices may have a new name */
    store_contact_set_devices(session->store, stale->user, stale->version, devices, count);
    device_retry(session->device, number);
}

static void hear_answer(void *context, uint64_t number, const struct wire_reply *reply,
                        const struct wire_sent_body *sent, const struct wire_stale_body *stale) {
    struct session *session = context;
    if (stale != NULL) {
        take_stale(session, number, stale);
        return;
    }
    if (sent != NULL)
        store_set_answered(session->store, number,
                           sent->delivered_device != 0 ? WIRE_STATE_DELIVERED : WIRE_STATE_SENT, 0,
                           sent->time_ms, sent->sequence);
    else
        store_set_answered(session->store, number, WIRE_STATE_FAILED, reply->code, 0, 0);
    session->news |= SESSION_STATUS;
}

/* ---------------------------------------------------------------- receiving */

static int take_mail(void *context, const struct wire_mail *mail) {
    struct session *session = context;
    struct wire_bytes text;
    bool readable = content_read(mail->ciphertext.length > 0 ? mail->ciphertext : mail->external,
                                 &text) == PARSE_COMPLETE;
    store_add_mail(session->store, mail, session_user(session), readable ? &text : NULL);
    session->news |= SESSION_MAIL;
    return 0;
}

static int take_status(void *context, const struct wire_status *status) {
    struct session *session = context;
    struct wire_identity_list rest = status->ids;
    struct wire_id id;
    if (status->state == WIRE_STATE_QUARANTINED && status->user == session_user(session)) {
        session->news |= SESSION_ASIDE;
        return 0;
    }
    while (wire_next_identity(&rest, &id))
        store_advance(session->store, &id, status->state);
    session->news |= SESSION_STATUS;
    return 0;
}

static void hear_reply(void *context, uint32_t ref, const struct wire_reply *reply) {
    struct session *session = context;
    for (int i = 0; i < DEVICE_REQUESTS_MAX; i++) {
        struct session_request request = session->requests[i];
        if (request.ref != ref)
            continue;
        session->requests[i].ref = 0;
        session->news |= SESSION_REPLY;
        request.replied(request.context, request.argument, reply);
        return;
    }
}

/* The pin that a person gave has proven right. */
static void keep_given_pin(struct session *session) {
    const char *setting = pin_setting(session);
    uint8_t pin[CERTIFICATE_KEY_BYTES];
    if (session->has_given_pin && (!store_bytes(session->store, setting, pin, sizeof pin) ||
                                   memcmp(pin, session->given_pin, sizeof pin) != 0))
        store_set_bytes(session->store, setting, session->given_pin, sizeof pin);
}

/* Where this user's mailbox lives; the empty text is wherever we are. */
static void keep_home(struct session *session, const struct wire_bytes *address) {
    char old[URL_AUTHORITY_CHARS_MAX + 1], new[URL_AUTHORITY_CHARS_MAX + 1];
    if (address->length >= sizeof new)
        return;
    snprintf(new, sizeof new, "%.*s", (int)address->length, (const char *)address->bytes);
    store_text(session->store, SETTING_HOME, old, sizeof old);
    if (strcmp(old, new) != 0)
        store_set_text(session->store, SETTING_HOME, new);
}

static void hear_welcome(void *context, const struct wire_welcome *welcome) {
    struct session *session = context;
    session->was_online = true;
    session->news |= SESSION_WELCOME;
    keep_given_pin(session);
    if (welcome->registered && !session->is_candidate)
        keep_home(session, &welcome->home_address);
}

static void hear_empty(void *context) {
    struct session *session = context;
    session->news |= SESSION_EMPTY;
}

/* A node that goes away names a better place, if there is one. */
static void hear_notice(void *context, const struct wire_notice *notice) {
    struct session *session = context;
    if (notice->kind != WIRE_NOTICE_DRAINING || notice->where.length == 0 || session->is_candidate)
        return;
    keep_home(session, &notice->where);
    session->go_home = true;
}

static void hear_closed(void *context, enum device_end end, int detail) {
    struct session *session = context;
    session->end = end;
    session->detail = detail;
}

static void hear_pin(void *context, enum device_pin what, const struct certificate *certificate) {
    struct session *session = context;
    char text[KEY_TEXT_CHARS + 1];
    key_text_format(text, certificate->cluster_key);
    session->events->pin(session->context, what, text);
}

const struct device_storage session_storage = {
    .identity = give_identity,
    .pin_load = load_pin,
    .pin_save = save_pin,
    .load = load_saved,
    .cursor_save = save_cursor,
    .commit = commit,
    .mail_known = know_mail,
    .status_known = know_status,
    .outbox_read = read_outbox,
};

const struct device_events session_device_events = {
    .pin = hear_pin,
    .welcome = hear_welcome,
    .mail = take_mail,
    .status = take_status,
    .answered = hear_answer,
    .replied = hear_reply,
    .empty = hear_empty,
    .notice = hear_notice,
    .closed = hear_closed,
};

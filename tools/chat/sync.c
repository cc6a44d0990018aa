/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request that is under way is remembered by what it is about, so that it is not asked twice; its
 * answer changes the store, within the session's transaction, and the next sync_pump goes on from
 * there. "Later" from the node stops all asking until the timer ends.
 */
#include "tools/chat/sync.h"

#include <stdlib.h>
#include <string.h>

#define PHONES_MAX 32    /* in one discover, or what the node allows */
#define RECEIPTS_MAX 128 /* in one receipt: wire.def */
#define USERS_MAX 8      /* profiles, and device lists, under way */
#define NUMBER_MAX 64    /* messages that are numbered in one transaction */
#define RETRY_MS_MIN 200
#define RETRY_MS_MAX 30000

struct sync {
    struct ev_loop *loop;
    struct store *store;
    struct session *session;
    ev_timer retry;
    bool waits;                                         /* the node said: later */
    char phones[PHONES_MAX][STORE_PHONE_CHARS_MAX + 1]; /* asked for; none: nothing under way */
    unsigned phone_count;
    uint64_t profiles[USERS_MAX], devices[USERS_MAX]; /* 0: free */
    int64_t receipts[RECEIPTS_MAX];
    struct wire_id receipt_ids[RECEIPTS_MAX];
    uint64_t receipt_chat;
    unsigned receipt_count;
    bool receipt_waits; /* for its answer */
    int64_t rows[NUMBER_MAX];
    unsigned row_count;
};

/* ---------------------------------------------------------------- later */

static void on_retry(struct ev_loop *loop, ev_timer *timer, int events) {
    struct sync *sync = timer->data;
    sync->waits = false;
    sync_pump(sync);
}

/* True: the node will not have it, and never will. */
static bool is_refused(struct sync *sync, const struct wire_reply *reply) {
    switch (reply->code) {
    case WIRE_CODE_OK:
        return false;
    case WIRE_CODE_LIMITED:
    case WIRE_CODE_OVERLOADED:
    case WIRE_CODE_UNAVAILABLE:
    case WIRE_CODE_INTERNAL:
        break;
    default:
        return true;
    }
    uint64_t wait_ms = reply->retry_after_ms > RETRY_MS_MIN ? reply->retry_after_ms : RETRY_MS_MIN;
    sync->waits = true;
    ev_now_update(sync->loop);
    ev_timer_stop(sync->loop, &sync->retry);
    ev_timer_set(&sync->retry, (double)(wait_ms < RETRY_MS_MAX ? wait_ms : RETRY_MS_MAX) / 1000,
                 0.);
    ev_timer_start(sync->loop, &sync->retry);
    return false;
}

/* ---------------------------------------------------------------- who has this number? */

static bool is_asked(const struct sync *sync, const char *phone) {
    for (unsigned i = 0; i < sync->phone_count; i++)
        if (strcmp(sync->phones[i], phone) == 0)
            return true;
    return false;
}

static bool gather_phone(void *context, const struct store_message *message) {
    struct sync *sync = context;
    if (message->chat == 0 && !is_asked(sync, message->phone))
        memcpy(sync->phones[sync->phone_count++], message->phone, sizeof message->phone);
    return sync->phone_count < PHONES_MAX &&
           sync->phone_count < session_discover_phones_max(sync->session);
}

static void take_people(struct sync *sync, struct wire_person_list people) {
    struct wire_person person;
    char phone[STORE_PHONE_CHARS_MAX + 1];
    while (wire_next_person(&people, &person)) {
        if (person.phone.length >= sizeof phone || person.user == 0)
            continue;
        memcpy(phone, person.phone.bytes, person.phone.length);
        phone[person.phone.length] = 0;
        store_contact_set_phone(sync->store, person.user, phone);
        store_resolve_phone(sync->store, phone, person.user);
    }
}

/* What is still without a user after the answer has nobody. */
static void on_people(void *context, uint64_t argument, const struct wire_reply *reply) {
    struct sync *sync = context;
    struct wire_discover_body body;
    unsigned count = sync->phone_count;
    sync->phone_count = 0;
    bool refused = is_refused(sync, reply);
    if (!refused && reply->code != WIRE_CODE_OK)
        return;
    if (!refused &&
        wire_read_discover_body(reply->body.bytes, reply->body.length, &body) == PARSE_COMPLETE)
        take_people(sync, body.people);
    for (unsigned i = 0; i < count; i++)
        store_fail_phone(sync->store, sync->phones[i], refused ? reply->code : WIRE_CODE_NOT_FOUND);
}

static void ask_for_people(struct sync *sync) {
    struct wire_bytes phones[PHONES_MAX];
    unsigned count = 0;
    if (sync->phone_count > 0 || session_discover_phones_max(sync->session) == 0)
        return;
    store_each_message(sync->store, STORE_WAITING, 0, 0, gather_phone, sync);
    for (unsigned i = 0; i < sync->phone_count; i++) {
        const char *phone = sync->phones[i];
        uint64_t user = store_contact_by_phone(sync->store, phone);
        if (user != 0)
            store_resolve_phone(sync->store, phone, user);
        else
            phones[count++] = (struct wire_bytes){(const uint8_t *)phone, (uint32_t)strlen(phone)};
    }
    struct wire_frame frame = {.kind = WIRE_DISCOVER,
                               .discover.phones = {.items = phones, .count = count}};
    if (count == 0 || session_request(sync->session, &frame, on_people, sync, 0) != 0)
        sync->phone_count = 0;
}

/* ---------------------------------------------------------------- who is this, on which devices?
 */

static bool begin_asking(uint64_t users[USERS_MAX], uint64_t user) {
    uint64_t *free_place = NULL;
    for (int i = 0; i < USERS_MAX; i++) {
        if (users[i] == user)
            return false;
        if (users[i] == 0)
            free_place = &users[i];
    }
    if (free_place != NULL)
        *free_place = user;
    return free_place != NULL;
}

static void end_asking(uint64_t users[USERS_MAX], uint64_t user) {
    for (int i = 0; i < USERS_MAX; i++)
        if (users[i] == user)
            users[i] = 0;
}

static void copy_text(char *out, size_t capacity, struct wire_bytes text) {
    size_t length = text.length < capacity ? text.length : capacity - 1;
    if (length > 0)
        memcpy(out, text.bytes, length);
    out[length] = 0;
}

static void on_profile(void *context, uint64_t user, const struct wire_reply *reply) {
    struct sync *sync = context;
    struct wire_profile_body body = {0};
    char phone[STORE_PHONE_CHARS_MAX + 1], name[STORE_NAME_BYTES_MAX + 1];
    end_asking(sync->profiles, user);
    bool refused = is_refused(sync, reply);
    if (!refused &&
        (reply->code != WIRE_CODE_OK ||
         wire_read_profile_body(reply->body.bytes, reply->body.length, &body) != PARSE_COMPLETE))
        return;
    copy_text(phone, sizeof phone, body.phone);
    copy_text(name, sizeof name, body.name);
    store_contact_set_profile(sync->store, user, phone, name);
}

static void ask_for_profile(void *context, const struct store_contact *contact) {
    struct sync *sync = context;
    struct wire_frame frame = {.kind = WIRE_PROFILE, .profile.user = contact->user};
    if (begin_asking(sync->profiles, contact->user) &&
        session_request(sync->session, &frame, on_profile, sync, contact->user) != 0)
        end_asking(sync->profiles, contact->user);
}

static void on_devices(void *context, uint64_t user, const struct wire_reply *reply) {
    struct sync *sync = context;
    struct wire_devices_body body;
    struct wire_device_key key;
    struct store_device devices[STORE_DEVICES_MAX] = {0};
    uint32_t count = 0;
    end_asking(sync->devices, user);
    if (is_refused(sync, reply)) {
        store_fail_chat(sync->store, user, reply->code);
        return;
    }
    if (reply->code != WIRE_CODE_OK ||
        wire_read_devices_body(reply->body.bytes, reply->body.length, &body) != PARSE_COMPLETE)
        return;
    while (count < STORE_DEVICES_MAX && wire_next_device_key(&body.devices, &key)) {
        devices[count].device = key.device;
        if (key.key.length == sizeof devices[count].key)
            memcpy(devices[count].key, key.key.bytes, sizeof devices[count].key);
        count++;
    }
    store_contact_set_devices(sync->store, user, body.version, devices, count);
}

static void ask_for_devices(void *context, const struct store_contact *contact) {
    struct sync *sync = context;
    struct wire_frame frame = {.kind = WIRE_DEVICES, .devices.user = contact->user};
    if (begin_asking(sync->devices, contact->user) &&
        session_request(sync->session, &frame, on_devices, sync, contact->user) != 0)
        end_asking(sync->devices, contact->user);
}

/* ---------------------------------------------------------------- receipts */

static bool gather_receipt(void *context, const struct store_message *message) {
    struct sync *sync = context;
    if (sync->receipt_count > 0 && message->chat != sync->receipt_chat)
        return false;
    sync->receipt_chat = message->chat;
    sync->receipts[sync->receipt_count] = message->row;
    sync->receipt_ids[sync->receipt_count++] = message->id;
    return sync->receipt_count < RECEIPTS_MAX;
}

/* A receipt that the node refuses is told no more: there is nobody who waits for it. */
static void on_receipt(void *context, uint64_t argument, const struct wire_reply *reply) {
    struct sync *sync = context;
    sync->receipt_waits = false;
    if (!is_refused(sync, reply) && reply->code != WIRE_CODE_OK)
        return;
    for (unsigned i = 0; i < sync->receipt_count; i++)
        store_set_receipt(sync->store, sync->receipts[i], STORE_RECEIPT_SENT);
}

static void tell_receipts(struct sync *sync) {
    if (sync->receipt_waits)
        return;
    sync->receipt_count = 0;
    store_each_message(sync->store, STORE_OWED, 0, RECEIPTS_MAX, gather_receipt, sync);
    if (sync->receipt_count == 0)
        return;
    struct wire_frame frame = {
        .kind = WIRE_RECEIPT,
        .receipt = {.chat = sync->receipt_chat,
                    .state = WIRE_STATE_READ,
                    .ids = {.items = sync->receipt_ids, .count = sync->receipt_count}}};
    sync->receipt_waits = session_request(sync->session, &frame, on_receipt, sync, 0) == 0;
}

static bool is_owed(void *context, const struct store_message *message) {
    *(bool *)context = true;
    return false;
}

bool sync_is_even(struct sync *sync) {
    bool owed = false;
    store_each_message(sync->store, STORE_OWED, 0, 1, is_owed, &owed);
    store_each_message(sync->store, STORE_WAITING, 0, 1, is_owed, &owed);
    store_each_message(sync->store, STORE_NUMBERED, 0, 1, is_owed, &owed);
    return !owed;
}

/* ---------------------------------------------------------------- numbering */

static bool gather_sendable(void *context, const struct store_message *message) {
    struct sync *sync = context;
    struct store_contact contact;
    if (message->chat != 0 && store_contact(sync->store, message->chat, &contact) &&
        !contact.devices_wanted)
        sync->rows[sync->row_count++] = message->row;
    return sync->row_count < NUMBER_MAX;
}

/* Numbers those whose devices are known, in the order in which they were written; once that is on
 * disk, the device may send them. */
static int number_messages(struct sync *sync) {
    struct store_contact own;
    uint64_t first = session_next_send(sync->session);
    if (!store_contact(sync->store, session_user(sync->session), &own) || own.devices_wanted)
        return store_commit(sync->store);
    sync->row_count = 0;
    store_each_message(sync->store, STORE_WAITING, 0, 0, gather_sendable, sync);
    if (sync->row_count == 0)
        return store_commit(sync->store);
    for (unsigned i = 0; i < sync->row_count; i++)
        store_set_numbered(sync->store, sync->rows[i], first + i);
    store_set_number(sync->store, "next_send", first + sync->row_count);
    int error = store_commit(sync->store);
    if (error != 0)
        return error;
    for (unsigned i = 0; i < sync->row_count; i++)
        session_send(sync->session, first + i);
    return 0;
}

/* ---------------------------------------------------------------- life */

struct sync *sync_create(struct ev_loop *loop, struct store *store, struct session *session) {
    struct sync *sync = calloc(1, sizeof *sync);
    if (sync == NULL)
        return NULL;
    sync->loop = loop;
    sync->store = store;
    sync->session = session;
    ev_timer_init(&sync->retry, on_retry, 0., 0.);
    sync->retry.data = sync;
    return sync;
}

void sync_destroy(struct sync *sync) {
    if (sync == NULL)
        return;
    ev_timer_stop(sync->loop, &sync->retry);
    free(sync);
}

int sync_pump(struct sync *sync) {
    if (!session_is_registered(sync->session))
        return store_commit(sync->store);
    if (!sync->waits) {
        ask_for_people(sync);
        store_each_contact(sync->store, STORE_CONTACTS_PROFILE_WANTED, ask_for_profile, sync);
        store_each_contact(sync->store, STORE_CONTACTS_DEVICES_WANTED, ask_for_devices, sync);
        tell_receipts(sync);
    }
    int error = number_messages(sync);
    session_pump(sync->session);
    return error;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A person with one device: an actor that moves bytes between a socket and a net/device.
 *
 *     spawned ──PERSON_CONNECT──► the door ──► connecting ──► the device's handshake ──► online
 *                                    ▲                              │ the connection ends  │
 *                                    └──── the device's own backoff ◄──────────────────────┘
 *                                          (options.reconnect)
 *
 * Who is inside the door (door.h) connects at once, and leaves it when it is welcomed or its
 * connection has ended; it lets in the next one.
 * Without `reconnect` whoever ends a connection ends the run: it is counted as a failure, and the
 * first one is told. PERSON_LEAVE and PERSON_CUT end it on purpose.
 * Input is handled as it comes; what it makes to be sent goes out once, after the turn's messages,
 * so that an acknowledgement and the message that answers share one Noise message, as in any
 * client.
 */
#include "bench/person_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Each person has a port of its own on one of the loopback addresses, below those that the kernel
 * gives out: to look for a free one, the kernel tries one after the other. */
#define PEOPLE_PER_ADDRESS 20000u
#define PORT_FIRST 10000u
/* Nearer than that a timer is set, which is exact and eight times as large as the calendar's place.
 */
#define SOON_MS 2000u

void person_failed(const struct person_actor *self, const char *format, ...) {
    struct load *load = load_current();
    if (atomic_load(&load->counters.failures) == 0) {
        va_list arguments;
        int length = snprintf(load->failure, sizeof load->failure, "person %u: ", self->index);
        va_start(arguments, format);
        vsnprintf(load->failure + length, sizeof load->failure - (size_t)length, format, arguments);
        va_end(arguments);
    }
    tally(&load->counters.failures);
}

static void connect_another(struct load *load) {
    if (load->connect_next < load->connect_end)
        actor_signal(load->people[load->connect_next++].actor, PERSON_CONNECT);
}

static void tell_unknown(const struct person_actor *self) {
    struct account account;
    accounts_get(load_current()->options.accounts, self->index, &account);
    person_failed(self, "the node doesn't know %s", account.phone);
    sodium_memzero(&account, sizeof account);
}

/* Gives its place to the next one. */
static void leave_door(struct person_actor *self) {
    struct load *load = load_current();
    uint32_t next;
    if (self->place != PERSON_INSIDE)
        return;
    self->place = PERSON_OUTSIDE;
    if (door_leave(&load->door, &next) &&
        actor_signal(load->people[next].actor, PERSON_INVITED) != 0)
        person_failed(self, "person %u can't be let in", next);
}

static void on_welcome(void *context, const struct wire_welcome *welcome) {
    struct person_actor *self = context;
    struct load *load = load_current();
    if (!welcome->registered)
        tell_unknown(self);
    person_of(self)->user = welcome->user;
    person_of(self)->device = welcome->device;
    if (!self->online) {
        tally(&load->counters.connected);
        tally(&load->counters.logins);
        self->online_since_ns = actor_now_ns();
    }
    self->online = true;
    leave_door(self);
    if (self->counted)
        return;
    self->counted = true;
    tally(&load->counters.online);
    connect_another(load);
}

static void on_closed(void *context, enum device_end end, int detail) {
    struct person_actor *self = context;
    struct load *load = load_current();
    if (self->online)
        tally_by(&load->counters.connected, (uint64_t)-1);
    self->online = false;
    if (self->away)
        return;
    if (!load->options.reconnect || device_end_is_final(end))
        person_failed(self, "the connection ended: %s (%d)", device_end_name(end), detail);
    else
        tally(&load->counters.lost);
}

/* Counts the heartbeats that were answered. */
static void on_trace(void *context, bool out, const struct wire_frame *frame) {
    if (!out && frame->kind == WIRE_PONG)
        tally(&load_current()->counters.heartbeats);
}

/* --- whom nobody has seen yet --- */

static void person_on_find(void *state, struct message **message) {
    const struct person_find *find = message_as(*message, struct person_find);
    struct person_actor *self = state;
    struct load *load = load_current();
    struct account accounts[PERSON_FIND_MAX];
    struct wire_bytes phones[PERSON_FIND_MAX];
    for (unsigned i = 0; i < find->count; i++) {
        accounts_get(load->options.accounts, find->first + i, &accounts[i]);
        phones[i] = (struct wire_bytes){(const uint8_t *)accounts[i].phone,
                                        (uint32_t)strlen(accounts[i].phone)};
    }
    struct wire_frame frame = {.kind = WIRE_DISCOVER,
                               .discover.phones = {.items = phones, .count = find->count}};
    load->find_first = find->first;
    self->finding = true;
    int ref = device_request(self->device, &frame);
    sodium_memzero(accounts, sizeof accounts);
    if (ref < 0)
        person_failed(self, "nobody can be looked for: %s", strerror(-ref));
}

static void on_replied(void *context, uint32_t ref, const struct wire_reply *reply) {
    struct person_actor *self = context;
    struct load *load = load_current();
    struct wire_discover_body body;
    struct wire_person found;
    if (!self->finding) { /* a receipt; one whose connection was cut may be told or not */
        if (reply->code != WIRE_CODE_OK && reply->code != WIRE_CODE_UNAVAILABLE)
            person_failed(self, "a receipt was refused: %s", wire_code_name(reply->code));
        return;
    }
    self->finding = false;
    if (reply->code != WIRE_CODE_OK ||
        wire_read_discover_body(reply->body.bytes, reply->body.length, &body) != PARSE_COMPLETE) {
        person_failed(self, "people were not found: %s", wire_code_name(reply->code));
        return;
    }
    for (unsigned i = 0; wire_next_person(&body.people, &found); i++) {
        struct account account;
        accounts_get(load->options.accounts, load->find_first + i, &account); /* in this order */
        if (found.phone.length != strlen(account.phone) ||
            memcmp(found.phone.bytes, account.phone, found.phone.length) != 0)
            person_failed(self, "%s was not found", account.phone);
        load->people[load->find_first + i].user = found.user;
        tally(&load->counters.found);
    }
}

/* --- the socket --- */

static void wake_cancel(struct person_actor *self) {
    if (self->wake == PERSON_BY_TIMER)
        actor_timer_cancel(&self->timer);
    else if (self->wake == PERSON_BY_CALENDAR)
        calendar_clear(&load_current()->calendar, self->index);
    self->wake = PERSON_SLEEPS;
}

/* What is soon is soon by the millisecond; heartbeats may come a little later. */
static void wake_at(struct person_actor *self, uint64_t when_ms) {
    uint64_t now_ms = actor_now_ms();
    if (when_ms == DEVICE_NEVER || (self->wake != PERSON_SLEEPS && self->wake_ms <= when_ms))
        return;
    wake_cancel(self);
    self->wake_ms = when_ms > now_ms ? when_ms : now_ms + 1;
    if (self->wake_ms - now_ms < SOON_MS) {
        self->timer = actor_timer_start(self->wake_ms - now_ms, PERSON_TICK, 0);
        self->wake = PERSON_BY_TIMER;
    } else {
        calendar_set(&load_current()->calendar, self->index, self->wake_ms);
        self->wake = PERSON_BY_CALENDAR;
    }
}

/* The connection is over, or there was none. */
static void finish(struct person_actor *self) {
    socket_close(self->socket);
    self->socket = (struct socket_id){0};
    self->sending = false;
    leave_door(self);
    device_disconnected(self->device, actor_now_ms());
    if (load_current()->options.reconnect && !self->away) {
        wake_cancel(self);
        wake_at(self, device_reconnect_ms(self->device));
    }
}

/* Inside the door. */
static void connect_now(struct person_actor *self) {
    struct load *load = load_current();
    uint32_t host = htonl(INADDR_LOOPBACK + self->index / PEOPLE_PER_ADDRESS);
    struct socket_address local = {.family = AF_INET};
    memcpy(local.bytes, &host, sizeof host);
    if (!self->port_taken)
        local.port = (uint16_t)(PORT_FIRST + self->index % PEOPLE_PER_ADDRESS);
    int error = socket_connect(&load->options.server, &local, &self->socket);
    if (error == -EADDRINUSE && local.port != 0) { /* somebody listens on it */
        local.port = 0;
        error = socket_connect(&load->options.server, &local, &self->socket);
    }
    if (error == 0)
        return;
    leave_door(self);
    person_failed(self, "cannot connect: %s", strerror(-error));
}

static void want_connection(struct person_actor *self) {
    if (self->place != PERSON_OUTSIDE)
        return;
    if (door_enter(&load_current()->door, self->index)) {
        self->place = PERSON_INSIDE;
        connect_now(self);
    } else {
        self->place = PERSON_IN_LINE;
    }
}

/* It was the first of the line; it may have gone away meanwhile. */
static void person_on_invited(void *state, struct message **message) {
    struct person_actor *self = state;
    self->place = PERSON_INSIDE;
    if (self->away || self->socket.bits != 0)
        leave_door(self);
    else
        connect_now(self);
}

static void person_on_connect(void *state, struct message **message) {
    struct person_actor *self = state;
    self->away = false;
    if (self->device == NULL)
        self->device = device_create(&load_current()->device, self);
    CHECK(self->device != NULL);
    if (self->socket.bits == 0)
        want_connection(self);
}

static void person_on_connected(void *state, struct message **message) {
    const struct socket_connected *connected = message_as(*message, struct socket_connected);
    struct person_actor *self = state;
    if (connected->socket.bits != self->socket.bits)
        return; /* that one was given up */
    if (connected->error == -EADDRNOTAVAIL || connected->error == -EADDRINUSE)
        self->port_taken = true;
    if (connected->error && load_current()->options.reconnect)
        finish(self);
    else if (connected->error)
        person_failed(self, "cannot connect: %s", strerror(-connected->error));
    else
        CHECK(device_connect(self->device, &load_current()->url, actor_now_ms(), actor_wall_ms()) ==
              0);
}

static void person_on_data(void *state, struct message **message) {
    const struct socket_data *data = message_as(*message, struct socket_data);
    struct person_actor *self = state;
    if (data->socket.bits == self->socket.bits &&
        device_receive(self->device, data->bytes, data->length, actor_now_ms()) < 0)
        finish(self);
}

static void person_on_sent(void *state, struct message **message) {
    const struct socket_sent *sent = message_as(*message, struct socket_sent);
    struct person_actor *self = state;
    if (sent->socket.bits == self->socket.bits)
        self->sending = false;
}

static void person_on_socket_closed(void *state, struct message **message) {
    const struct socket_closed *closed = message_as(*message, struct socket_closed);
    struct person_actor *self = state;
    if (self->socket.bits != 0 && closed->socket.bits == self->socket.bits)
        finish(self);
}

static void flush(struct person_actor *self) {
    const uint8_t *bytes;
    size_t length = device_output(self->device, actor_now_ms(), &bytes);
    if (length == 0)
        return;
    struct socket_buffer *buffer = socket_buffer_create(length);
    memcpy(socket_buffer_bytes(buffer), bytes, length);
    device_output_done(self->device, length);
    if (socket_send(self->socket, &buffer, 0, length) == 0) {
        self->sending = true;
        return;
    }
    socket_buffer_destroy(buffer);
    finish(self);
}

/* Deadlines mostly move away; the timer is set anew when one comes nearer, or it fired. */
static void person_after_turn(void *state) {
    struct person_actor *self = state;
    if (self->device == NULL || device_is_offline(self->device))
        return;
    uint64_t read_ms = person_read(self, actor_now_ms());
    if (!self->sending)
        flush(self);
    if (device_is_offline(self->device))
        return;
    wake_at(self, device_deadline_ms(self->device));
    wake_at(self, read_ms);
    person_mail_free(self);
}

static void person_on_tick(void *state, struct message **message) {
    struct person_actor *self = state;
    wake_cancel(self); /* by whatever way it came, this may be one that was taken back too late */
    if (self->device == NULL || self->away)
        return;
    if (!device_is_offline(self->device)) {
        if (device_tick(self->device, actor_now_ms()) < 0)
            finish(self);
    } else if (self->socket.bits == 0) {
        if (device_reconnect_ms(self->device) > actor_now_ms())
            wake_at(self, device_reconnect_ms(self->device));
        else
            want_connection(self);
    }
}

/* Whatever is under way is gone, as when a network goes; then it comes back by itself. */
static void person_on_cut(void *state, struct message **message) {
    struct person_actor *self = state;
    if (self->socket.bits == 0)
        return;
    socket_abort(self->socket);
    finish(self);
}

/* Until PERSON_CONNECT; what it has written and not sent, it sends first. */
static void person_on_leave(void *state, struct message **message) {
    struct person_actor *self = state;
    self->away = true;
    wake_cancel(self);
    if (self->socket.bits != 0)
        finish(self);
}

/* --- life --- */

static int person_init(void *state, const void *argument) {
    struct person_actor *self = state;
    self->index = *(const uint32_t *)argument;
    person_of(self)->actor = actor_self();
    return 0;
}

static void person_terminate(void *state, int reason) {
    struct person_actor *self = state;
    if (reason != ACTOR_SHUTDOWN && reason != ACTOR_KILLED)
        person_failed(self, "the actor failed (%d)", reason);
    /* With millions of them a farewell each takes more memory than they had. */
    socket_abort(self->socket);
    device_destroy(self->device);
    self->device = NULL;
}

static const struct actor_handler handlers[] = {
    [SOCKET_CONNECTED] = {"connected", person_on_connected},
    [SOCKET_DATA] = {"data", person_on_data},
    [SOCKET_SENT] = {"sent", person_on_sent},
    [SOCKET_CLOSED] = {"closed", person_on_socket_closed},
    [PERSON_CONNECT] = {"connect", person_on_connect},
    [PERSON_LEAVE] = {"leave", person_on_leave},
    [PERSON_CUT] = {"cut", person_on_cut},
    [PERSON_INVITED] = {"invited", person_on_invited},
    [PERSON_TICK] = {"tick", person_on_tick},
    [PERSON_SEND] = {"send", person_on_send},
    [PERSON_FIND] = {"find", person_on_find},
};

static const struct actor_class person_class = {
    .name = "person",
    .state_bytes = sizeof(struct person_actor),
    .init = person_init,
    .terminate = person_terminate,
    .handlers = handlers,
    .handler_count = sizeof handlers / sizeof handlers[0],
    .after_turn = person_after_turn,
};

/* The crowd: spawns everybody, then keeps the tree alive, and gives out latencies. */
static int crowd_init(void *state, const void *argument) {
    struct load *load = load_current();
    load->crowd = actor_self();
    calendar_init(&load->calendar, load->options.count, actor_now_ms());
    for (uint32_t i = 0; i < load->options.count; i++) {
        struct actor_id actor;
        int error = actor_spawn(&person_class, &i, supervisor_of_class(&person_class), &actor);
        if (error)
            return error;
    }
    actor_timer_start(CALENDAR_SLOT_MS, CROWD_WAKE, 0);
    return 0;
}

/* Those whose time has come; who has no room for that is asked again. */
static void crowd_on_wake(void *state, struct message **message) {
    struct load *load = load_current();
    uint64_t now_ms = actor_now_ms();
    uint32_t person;
    while ((person = calendar_take(&load->calendar, now_ms)) != CALENDAR_NOBODY)
        if (actor_signal(load->people[person].actor, PERSON_TICK) != 0)
            calendar_set(&load->calendar, person, now_ms + CALENDAR_SLOT_MS);
    actor_timer_start(CALENDAR_SLOT_MS, CROWD_WAKE, 0);
}

static void crowd_on_take(void *state, struct message **message) {
    struct load *load = load_current();
    load->taken = load->latency;
    histogram_clear(&load->latency);
    atomic_store_explicit(&load->is_taken, true, memory_order_release);
}

static const struct actor_handler crowd_handlers[] = {
    [CROWD_TAKE] = {"take", crowd_on_take},
    [CROWD_WAKE] = {"wake", crowd_on_wake},
};

static const struct actor_class crowd_class = {
    .name = "crowd",
    .init = crowd_init,
    .handlers = crowd_handlers,
    .handler_count = sizeof crowd_handlers / sizeof crowd_handlers[0],
};

static const struct supervisor_child children[] = {
    {.class = &person_class, .dynamic = true, .restart = RESTART_TEMPORARY},
    {.class = &crowd_class, .restart = RESTART_TEMPORARY},
};

const struct supervisor_spec load_tree = {
    .name = "load",
    .strategy = SUPERVISE_ONE_FOR_ONE,
    .restarts_max = 1,
    .period_ms = 1000,
    .children = children,
    .child_count = sizeof children / sizeof children[0],
};

/* --- the device's side --- */

static void identity(void *context, struct noise_keypair *pair) {
    const struct person_actor *self = context;
    struct account account;
    accounts_get(load_current()->options.accounts, self->index, &account);
    *pair = account.key;
    sodium_memzero(&account, sizeof account);
}

static int pin_load(void *context, uint8_t cluster_key[CERTIFICATE_KEY_BYTES]) {
    const struct load *load = load_current();
    if (load->cluster_key_known)
        memcpy(cluster_key, load->cluster_key, CERTIFICATE_KEY_BYTES);
    return load->cluster_key_known;
}

static int pin_save(void *context, const uint8_t cluster_key[CERTIFICATE_KEY_BYTES]) {
    struct load *load = load_current();
    memcpy(load->cluster_key, cluster_key, CERTIFICATE_KEY_BYTES);
    load->cluster_key_known = true;
    return 0;
}

static void random_bytes(void *context, void *bytes, size_t length) {
    actor_random(bytes, length);
}

void person_device_config(struct device_config *config) {
    static const struct device_storage storage = {
        .identity = identity,
        .pin_load = pin_load,
        .pin_save = pin_save,
        .outbox_read = person_outbox_read,
    };
    static const struct device_events events = {
        .welcome = on_welcome,
        .mail = person_mail,
        .status = person_status,
        .answered = person_answered,
        .replied = on_replied,
        .closed = on_closed,
        .trace = on_trace,
    };
    *config = (struct device_config){.storage = &storage,
                                     .events = &events,
                                     .random_bytes = random_bytes,
                                     .client = "tern-bench"};
}

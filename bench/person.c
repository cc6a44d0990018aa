/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A person with one device: an actor that moves bytes between a socket and a net/device.
 *
 *     spawned ──PERSON_CONNECT──► connecting ──► the device's handshake ──► online
 *
 * Whoever ends its connection ends the run: it is counted as a failure, and the first one is told.
 * Input is handled as it comes; what it makes to be sent goes out once, after the turn's messages,
 * so that an acknowledgement and the message that answers share one Noise message, as in any
 * client.
 *
 * A message is kept as a few numbers in a ring (`outbox`), from which its bytes are made whenever
 * the device asks for them.
 */
#include "bench/load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PEOPLE_PER_ADDRESS 20000u /* below the ephemeral ports of one loopback address */

/* What stands at the head of each body, behind it zeros. */
struct body_head {
    uint64_t sent_ns;
    uint32_t from, place; /* `place`: among the messages to its receiver, from 0 */
};
_Static_assert(sizeof(struct body_head) == LOAD_BODY_BYTES_MIN, "the smallest body");

struct outgoing {
    struct body_head head;
    uint32_t to;
};

struct person_actor {
    struct person *person;
    struct device *device;
    struct outgoing *outbox; /* by number, options.outbox_messages of them */
    struct socket_id socket;
    struct actor_timer timer;
    uint64_t timer_ms; /* when it fires */
    bool sending, counted;
    uint32_t find_first; /* of the `discover` that is under way */
};

static struct load *load_current(void) {
    return actor_context();
}

/* The shard is the only writer. */
static void tally(_Atomic uint64_t *counter) {
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + 1, memory_order_release);
}

__attribute__((format(printf, 2, 3))) static void failed(const struct person_actor *self,
                                                         const char *format, ...) {
    struct load *load = load_current();
    if (atomic_load(&load->counters.failures) == 0) {
        va_list arguments;
        int length = snprintf(load->failure, sizeof load->failure,
                              "person %u: ", (unsigned)(self->person - load->people));
        va_start(arguments, format);
        vsnprintf(load->failure + length, sizeof load->failure - (size_t)length, format, arguments);
        va_end(arguments);
    }
    tally(&load->counters.failures);
}

/* --- sending --- */

static void queue_message(struct person_actor *self, uint32_t to, uint64_t sent_ns) {
    struct load *load = load_current();
    uint64_t number = device_next_send(self->device);
    if (device_sends_open(self->device) >= load->options.outbox_messages) {
        failed(self, "%u messages without an answer: the node is too slow for this load",
               load->options.outbox_messages);
        return;
    }
    if (self->outbox == NULL)
        self->outbox = actor_allocate(load->options.outbox_messages * sizeof *self->outbox);
    self->outbox[number & (load->options.outbox_messages - 1)] = (struct outgoing){
        .head = {.sent_ns = sent_ns,
                 .from = (uint32_t)(self->person - load->people),
                 .place = load->people[to].written++},
        .to = to,
    };
    CHECK(device_send(self->device, number) == 0);
    tally(&load->counters.sent);
}

/* The bytes that the device gets lie in the load until its next question: one shard, one at a time.
 */
static int outbox_read(void *context, uint64_t number, struct wire_send *send) {
    static struct wire_recipient recipient;
    struct person_actor *self = context;
    struct load *load = load_current();
    const struct outgoing *out = &self->outbox[number & (load->options.outbox_messages - 1)];
    const struct person *to = &load->people[out->to];
    memcpy(load->body, &out->head, sizeof out->head);
    memcpy(send->id.bytes, &load->run, sizeof load->run);
    memcpy(send->id.bytes + 4, &out->head.from, sizeof out->head.from);
    memcpy(send->id.bytes + 8, &number, sizeof number);
    recipient = (struct wire_recipient){
        .user = to->user,
        .device = to->device != 0 ? to->device : 1,
        .ciphertext = {load->body, (uint32_t)load->options.body_bytes},
    };
    send->recipients = (struct wire_recipient_list){.items = &recipient, .count = 1};
    send->chat = to->user;
    send->version = to->version;
    send->own_version = self->person->version;
    send->lamport = send->n = out->head.place + 1ull;
    return 0;
}

static void on_stale(struct person_actor *self, uint64_t number,
                     const struct wire_stale_body *stale) {
    struct load *load = load_current();
    struct outgoing *out = &self->outbox[number & (load->options.outbox_messages - 1)];
    struct person *whose =
        stale->user == self->person->user ? self->person : &load->people[out->to];
    struct wire_device_key_list devices = stale->devices;
    struct wire_device_key key;
    whose->version = stale->version;
    if (whose != self->person && wire_next_device_key(&devices, &key))
        whose->device = key.device;
    device_retry(self->device, number);
}

static void on_answered(void *context, uint64_t number, const struct wire_reply *reply,
                        const struct wire_sent_body *sent, const struct wire_stale_body *stale) {
    struct person_actor *self = context;
    if (reply->code == WIRE_CODE_OK)
        tally(&load_current()->counters.accepted);
    else if (stale != NULL)
        on_stale(self, number, stale);
    else
        failed(self, "a message was refused: %s", wire_code_name(reply->code));
}

/* --- receiving --- */

static int on_mail(void *context, const struct wire_mail *mail) {
    struct person_actor *self = context;
    struct load *load = load_current();
    struct body_head head;
    uint64_t now_ns = actor_now_ns();
    if (mail->ciphertext.length != load->options.body_bytes) {
        failed(self, "a message has %u bytes", mail->ciphertext.length);
        return 0;
    }
    memcpy(&head, mail->ciphertext.bytes, sizeof head);
    if (head.place != self->person->received) {
        failed(self, "message %u of person %u came when %u was due", head.place, head.from,
               self->person->received);
        return 0;
    }
    self->person->received++;
    tally(&load->counters.delivered);
    if (atomic_load_explicit(&load->recording, memory_order_relaxed))
        histogram_record(&load->latency, now_ns > head.sent_ns ? now_ns - head.sent_ns : 0);
    if (atomic_load_explicit(&load->answering, memory_order_relaxed))
        queue_message(self, head.from, now_ns);
    return 0;
}

static void connect_another(struct load *load) {
    if (load->connect_next < load->connect_end)
        actor_signal(load->people[load->connect_next++].actor, PERSON_CONNECT);
}

static void on_welcome(void *context, const struct wire_welcome *welcome) {
    struct person_actor *self = context;
    if (!welcome->registered)
        failed(self, "the node doesn't know %s", self->person->account->phone);
    self->person->user = welcome->user;
    self->person->device = welcome->device;
    if (self->counted)
        return;
    self->counted = true;
    tally(&load_current()->counters.online);
    connect_another(load_current());
}

static void on_closed(void *context, enum device_end end, int detail) {
    failed(context, "the connection ended: %s (%d)", device_end_name(end), detail);
}

/* --- whom nobody has seen yet --- */

static void person_on_find(void *state, struct message **message) {
    const struct person_find *find = message_as(*message, struct person_find);
    struct person_actor *self = state;
    struct load *load = load_current();
    struct wire_bytes phones[PERSON_FIND_MAX];
    for (unsigned i = 0; i < find->count; i++) {
        const char *phone = load->people[find->first + i].account->phone;
        phones[i] = (struct wire_bytes){(const uint8_t *)phone, (uint32_t)strlen(phone)};
    }
    struct wire_frame frame = {.kind = WIRE_DISCOVER,
                               .discover.phones = {.items = phones, .count = find->count}};
    self->find_first = find->first;
    int ref = device_request(self->device, &frame);
    if (ref < 0)
        failed(self, "nobody can be looked for: %s", strerror(-ref));
}

static void on_replied(void *context, uint32_t ref, const struct wire_reply *reply) {
    struct person_actor *self = context;
    struct load *load = load_current();
    struct wire_discover_body body;
    struct wire_person found;
    if (reply->code != WIRE_CODE_OK ||
        wire_read_discover_body(reply->body.bytes, reply->body.length, &body) != PARSE_COMPLETE) {
        failed(self, "people were not found: %s", wire_code_name(reply->code));
        return;
    }
    for (unsigned i = 0; wire_next_person(&body.people, &found); i++) {
        struct person *person = &load->people[self->find_first + i]; /* in the order of asking */
        if (found.phone.length != strlen(person->account->phone) ||
            memcmp(found.phone.bytes, person->account->phone, found.phone.length) != 0)
            failed(self, "%s was not found", person->account->phone);
        person->user = found.user;
        tally(&load->counters.found);
    }
}

/* --- the socket --- */

static void finish(struct person_actor *self) {
    if (!device_is_offline(self->device))
        device_disconnected(self->device, actor_now_ms());
    socket_close(self->socket);
    self->socket = (struct socket_id){0};
}

static void person_on_connect(void *state, struct message **message) {
    struct person_actor *self = state;
    struct load *load = load_current();
    uint32_t host = INADDR_LOOPBACK + (uint32_t)(self->person - load->people) / PEOPLE_PER_ADDRESS;
    struct socket_address local = {.family = AF_INET};
    host = htonl(host);
    memcpy(local.bytes, &host, sizeof host);
    self->device = device_create(&load->device, self);
    CHECK(self->device != NULL);
    int error = socket_connect(&load->options.server, &local, &self->socket);
    if (error)
        failed(self, "cannot connect: %s", strerror(-error));
}

static void person_on_connected(void *state, struct message **message) {
    const struct socket_connected *connected = message_as(*message, struct socket_connected);
    struct person_actor *self = state;
    if (connected->error)
        failed(self, "cannot connect: %s", strerror(-connected->error));
    else
        CHECK(device_connect(self->device, &load_current()->url, actor_now_ms(), actor_wall_ms()) ==
              0);
}

static void person_on_data(void *state, struct message **message) {
    const struct socket_data *data = message_as(*message, struct socket_data);
    struct person_actor *self = state;
    if (self->socket.bits != 0 &&
        device_receive(self->device, data->bytes, data->length, actor_now_ms()) < 0)
        finish(self);
}

static void person_on_sent(void *state, struct message **message) {
    ((struct person_actor *)state)->sending = false;
}

static void person_on_socket_closed(void *state, struct message **message) {
    struct person_actor *self = state;
    if (self->socket.bits != 0)
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

/* The device's deadline mostly moves away; the timer is set anew when it comes nearer, or fired. */
static void watch_deadline(struct person_actor *self) {
    uint64_t deadline_ms = device_deadline_ms(self->device);
    uint64_t now_ms = actor_now_ms();
    if (deadline_ms == DEVICE_NEVER || (self->timer.bits != 0 && self->timer_ms <= deadline_ms))
        return;
    actor_timer_cancel(&self->timer);
    self->timer_ms = deadline_ms > now_ms ? deadline_ms : now_ms + 1;
    self->timer = actor_timer_start(self->timer_ms - now_ms, PERSON_TICK, 0);
}

static void person_after_turn(void *state) {
    struct person_actor *self = state;
    if (self->device == NULL || device_is_offline(self->device))
        return;
    if (!self->sending)
        flush(self);
    if (!device_is_offline(self->device))
        watch_deadline(self);
}

static void person_on_tick(void *state, struct message **message) {
    struct person_actor *self = state;
    self->timer = (struct actor_timer){0};
    if (!device_is_offline(self->device) && device_tick(self->device, actor_now_ms()) < 0)
        finish(self);
}

/* --- orders of the main thread --- */

static void person_on_send(void *state, struct message **message) {
    const struct person_send *order = message_as(*message, struct person_send);
    uint64_t sent_ns = order->scheduled_ns != 0 ? order->scheduled_ns : actor_now_ns();
    for (unsigned i = 0; i < order->count; i++)
        queue_message(state, order->to, sent_ns);
}

/* --- life --- */

static int person_init(void *state, const void *argument) {
    struct person_actor *self = state;
    self->person = *(struct person *const *)argument;
    self->person->actor = actor_self();
    return 0;
}

static void person_terminate(void *state, int reason) {
    struct person_actor *self = state;
    if (reason != ACTOR_SHUTDOWN && reason != ACTOR_KILLED)
        failed(self, "the actor failed (%d)", reason);
    device_destroy(self->device);
    self->device = NULL;
}

static const struct actor_handler handlers[] = {
    [SOCKET_CONNECTED] = {"connected", person_on_connected},
    [SOCKET_DATA] = {"data", person_on_data},
    [SOCKET_SENT] = {"sent", person_on_sent},
    [SOCKET_CLOSED] = {"closed", person_on_socket_closed},
    [PERSON_CONNECT] = {"connect", person_on_connect},
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

/* The crowd: spawns everybody, then only keeps the tree alive. */
static int crowd_init(void *state, const void *argument) {
    struct load *load = load_current();
    for (unsigned i = 0; i < load->options.count; i++) {
        struct person *person = &load->people[i];
        struct actor_id actor;
        int error = actor_spawn(&person_class, &person, supervisor_of_class(&person_class), &actor);
        if (error)
            return error;
    }
    return 0;
}

static const struct actor_class crowd_class = {.name = "crowd", .init = crowd_init};

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
    *pair = ((struct person_actor *)context)->person->account->key;
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
        .outbox_read = outbox_read,
    };
    static const struct device_events events = {
        .welcome = on_welcome,
        .mail = on_mail,
        .answered = on_answered,
        .replied = on_replied,
        .closed = on_closed,
    };
    *config = (struct device_config){.storage = &storage,
                                     .events = &events,
                                     .random_bytes = random_bytes,
                                     .client = "tern-bench"};
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/sim/client.h"

#include "runtime/check.h"
#include "tools/sim/world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ACT_NS_MIN 20000000u
#define ACT_NS_MAX 2000000000u
#define ACT_STRANGER_NS_MAX 200000000u /* waits for a code, and types it in */
#define CONNECT_NS_MAX 10000000000u
#define DOWN_NS_MIN 10000000u
#define DOWN_NS_MAX 8000000000u
#define SENDS_OPEN_MAX 48u
#define BODY_BYTES_MAX 24000u

static void connect_now(struct world *world, void *subject, uint64_t token);
static void pump(struct client *client);

/* --- what is written ----------------------------------------------------------------------------
 */

static void reserve_outbox(struct client *client, uint64_t number) {
    uint64_t capacity = client->outbox_capacity ? client->outbox_capacity : 64;
    while (capacity <= number)
        capacity *= 2;
    if (capacity == client->outbox_capacity)
        return;
    client->outbox = realloc(client->outbox, capacity * sizeof(*client->outbox));
    client->settled = realloc(client->settled, capacity);
    client->settled_unsaved = realloc(client->settled_unsaved, capacity);
    CHECK(client->outbox && client->settled && client->settled_unsaved);
    for (uint64_t i = client->outbox_capacity; i < capacity; i++) {
        client->outbox[i] = UINT32_MAX;
        client->settled[i] = client->settled_unsaved[i] = false;
    }
    client->outbox_capacity = capacity;
}

/* Anybody who can be written to; oneself when there is nobody else. */
static unsigned draw_recipient(struct client *client) {
    const struct world *world = client->world;
    unsigned first = (unsigned)random_below(&client->world->random_clients, world->user_count);
    for (unsigned i = 0; i < world->user_count; i++) {
        unsigned to = (first + i) % world->user_count;
        if (to != client->user && world->users[to].id && !world->users[to].silent)
            return to;
    }
    return client->user;
}

/* Stored durably under its number before the device knows of it. */
static void write_message(struct client *client) {
    struct world *world = client->world;
    struct random *random = &world->random_clients;
    if (device_sends_open(client->device) >= SENDS_OPEN_MAX)
        return;
    unsigned to = draw_recipient(client);
    uint32_t bytes = (uint32_t)random_spread(random, CHECKER_BODY_BYTES_MIN,
                                             random_permille(random, 50) ? BODY_BYTES_MAX : 200);
    uint64_t number = device_next_send(client->device);
    uint32_t message = checker_write(world, client, to, number, ++client->n[to], bytes);
    reserve_outbox(client, number);
    client->outbox[number] = message;
    client->saved.next_send = client->unsaved.next_send = number + 1;
    CHECK(device_send(client->device, number) == 0);
}

static void ask_receipts(struct client *client) {
    struct world *world = client->world;
    struct checker *checker = &world->checker;
    struct wire_id ids[16];
    struct wire_frame frame = {.kind = WIRE_RECEIPT, .receipt.state = WIRE_STATE_READ};
    unsigned count = 0;
    if (client->receipt_ref || !device_is_online(client->device) ||
        client->user % 3 == 2) /* every third person does not say what they have read */
        return;
    for (uint32_t i = 0; i < checker->count && count < 16; i++) {
        struct target *target = checker_target(world, client, i);
        const struct message_record *message = &checker->messages[i];
        if (!target || target->copy || !target->shown || target->read)
            continue;
        uint64_t chat = world->users[world->clients[message->sender].user].id;
        if (count && chat != frame.receipt.chat)
            continue;
        frame.receipt.chat = chat;
        target->read_asked = true;
        client->receipt_messages[count] = i;
        ids[count++] = message->id;
    }
    if (!count)
        return;
    frame.receipt.ids = (struct wire_identity_list){.items = ids, .count = count};
    int ref = device_request(client->device, &frame);
    if (ref > 0) {
        client->receipt_ref = (uint32_t)ref;
        client->receipt_count = count;
    }
}

/* What a person does now and then. */
static void act(struct world *world, void *subject, uint64_t token) {
    struct client *client = subject;
    struct random *random = &world->random_clients;
    uint64_t most_ns = client->number ? ACT_NS_MAX : ACT_STRANGER_NS_MAX;
    uint64_t next_ns = world->now_ns + random_spread(random, ACT_NS_MIN, most_ns);
    agenda_add(&world->agenda, next_ns, act, client, 0);
    if (!client->device)
        return;
    bool talks = client->number && !world->users[client->user].silent;
    registration_act(client);
    if (talks && !world->settling && random_permille(random, 800)) {
        for (uint64_t i = random_spread(random, 1, 4); i; i--)
            write_message(client);
    } else if (talks && client->link) {
        ask_receipts(client);
    }
    pump(client);
}

/* --- the device's storage -----------------------------------------------------------------------
 */

static void on_identity(void *context, struct noise_keypair *pair) {
    *pair = ((struct client *)context)->keys;
}

static int on_pin_load(void *context, uint8_t cluster_key[CERTIFICATE_KEY_BYTES]) {
    const struct client *client = context;
    if (client->pinned)
        memcpy(cluster_key, client->world->nodes[0].cluster_public, CERTIFICATE_KEY_BYTES);
    return client->pinned;
}

static int on_pin_save(void *context, const uint8_t cluster_key[CERTIFICATE_KEY_BYTES]) {
    ((struct client *)context)->pinned = true;
    return 0;
}

static void on_load(void *context, struct device_saved *saved) {
    struct client *client = context;
    client->unsaved = client->saved;
    *saved = client->saved;
}

static void on_cursor_save(void *context, uint64_t epoch, uint64_t cursor) {
    struct client *client = context;
    client->unsaved.epoch = epoch;
    client->unsaved.cursor = cursor;
}

void client_note_status(struct client *client, struct status_news news) {
    if (client->news_count == client->news_capacity) {
        client->news_capacity = client->news_capacity ? 2 * client->news_capacity : 16;
        client->news = realloc(client->news, client->news_capacity * sizeof(*client->news));
        CHECK(client->news);
    }
    client->news[client->news_count++] = news;
}

/* What is shown of own messages since the last commit is durable now, or as if it never was. */
static void keep_statuses(struct client *client, bool kept) {
    for (unsigned i = 0; i < client->news_count; i++)
        checker_status_kept(client->world, client, client->news[i], kept);
    client->news_count = 0;
}

/* What came since the last commit is as if it never had. */
static void roll_back(struct client *client) {
    struct world *world = client->world;
    client->unsaved = client->saved;
    for (unsigned i = 0; i < client->shown_count; i++)
        checker_target(world, client, client->shown[i])->shown_pending = false;
    client->shown_count = 0;
    keep_statuses(client, false);
    for (unsigned i = 0; i < world->client_count * world->user_count; i++)
        client->order[i].n = client->order[i].n_saved;
    for (uint64_t i = client->saved.send_low; i < client->saved.next_send; i++)
        client->settled_unsaved[i] = client->settled[i];
}

static int on_commit(void *context) {
    struct client *client = context;
    struct world *world = client->world;
    if (world_fault(world, FAULT_DEVICE_DISK)) {
        roll_back(client);
        return -EIO;
    }
    for (unsigned i = 0; i < client->shown_count; i++) {
        struct target *target = checker_target(world, client, client->shown[i]);
        target->shown_pending = false;
        target->shown = true;
    }
    client->shown_count = 0;
    keep_statuses(client, true);
    for (unsigned i = 0; i < world->client_count * world->user_count; i++)
        client->order[i].n_saved = client->order[i].n;
    for (uint64_t i = client->saved.send_low; i < client->saved.next_send; i++)
        client->settled[i] = client->settled_unsaved[i];
    client->saved = client->unsaved;
    while (client->saved.send_low < client->saved.next_send &&
           client->settled[client->saved.send_low])
        client->saved.send_low++;
    client->unsaved.send_low = client->saved.send_low;
    return 0;
}

static bool on_mail_known(void *context, uint64_t sender, uint32_t sender_device,
                          const struct wire_id *id) {
    struct client *client = context;
    return checker_has(client->world, client, id);
}

static unsigned on_status_known(void *context, const struct wire_id *id, uint64_t user,
                                uint32_t device) {
    struct client *client = context;
    return checker_status_known(client->world, client, id, user, device);
}

static int on_outbox_read(void *context, uint64_t number, struct wire_send *send) {
    static struct wire_recipient recipients[MESSAGE_TARGETS_MAX]; /* until the next question */
    struct client *client = context;
    struct world *world = client->world;
    if (number >= client->outbox_capacity || client->outbox[number] == UINT32_MAX ||
        client->settled_unsaved[number])
        return -ENOENT;
    uint32_t index = client->outbox[number];
    const struct message_record *message = &world->checker.messages[index];
    const struct sim_user *to = &world->users[message->to];
    checker_body(index, client->body, message->bytes);
    for (unsigned i = 0; i < message->target_count; i++) {
        const struct client *at = &world->clients[message->targets[i].client];
        recipients[i] = (struct wire_recipient){.user = world->users[at->user].id,
                                                .device = at->number,
                                                .ciphertext = {client->body, message->bytes}};
    }
    send->id = message->id;
    send->chat = to->id;
    send->version = to->list_version;
    send->own_version = world->users[client->user].list_version;
    send->recipients =
        (struct wire_recipient_list){.items = recipients, .count = message->target_count};
    send->lamport = send->n = message->n;
    return 0;
}

/* --- what it hears ------------------------------------------------------------------------------
 */

static int on_mail(void *context, const struct wire_mail *mail) {
    struct client *client = context;
    int64_t message = checker_find(client->world, client, mail);
    if (message < 0)
        return WIRE_REFUSAL_REJECTED;
    if (client->shown_count == client->shown_capacity) {
        client->shown_capacity = client->shown_capacity ? 2 * client->shown_capacity : 16;
        client->shown = realloc(client->shown, client->shown_capacity * sizeof(*client->shown));
        CHECK(client->shown);
    }
    client->shown[client->shown_count++] = (uint32_t)message;
    checker_shown(client->world, client, (uint32_t)message, mail);
    return 0;
}

static int on_status(void *context, const struct wire_status *status) {
    struct client *client = context;
    checker_status(client->world, client, status);
    return 0;
}

/* The answer says that it is delivered: a status, like any other. */
static void tell_delivered(struct client *client, uint32_t index, uint32_t device) {
    struct world *world = client->world;
    const struct message_record *message = &world->checker.messages[index];
    struct wire_status status = {
        .state = WIRE_STATE_DELIVERED,
        .user = world->users[message->to].id,
        .device = device,
        .ids = {.items = &message->id, .count = 1},
    };
    checker_status_came(world, client, &status);
    unsigned known = checker_status_known(world, client, &message->id, status.user, device);
    if (wire_state_rank(WIRE_STATE_DELIVERED) > wire_state_rank(known))
        checker_status(world, client, &status);
}

static void on_answered(void *context, uint64_t number, const struct wire_reply *reply,
                        const struct wire_sent_body *sent, const struct wire_stale_body *stale) {
    struct client *client = context;
    CHECK(number < client->outbox_capacity && client->outbox[number] != UINT32_MAX);
    if (stale) {
        device_retry(client->device, number);
        return;
    }
    client->settled_unsaved[number] = true;
    checker_answered(client->world, client, client->outbox[number], reply->code,
                     sent ? sent->sequence : 0);
    if (sent && sent->delivered_device)
        tell_delivered(client, client->outbox[number], sent->delivered_device);
}

static void on_replied(void *context, uint32_t ref, const struct wire_reply *reply) {
    struct client *client = context;
    registration_replied(client, ref, reply);
    if (ref != client->receipt_ref)
        return;
    client->receipt_ref = 0;
    for (unsigned i = 0; i < client->receipt_count && reply->code == WIRE_CODE_OK; i++)
        checker_target(client->world, client, client->receipt_messages[i])->read = true;
}

static void on_closed(void *context, enum device_end end, int detail) {
    struct client *client = context;
    struct world *world = client->world;
    journal_add(&world->journal, world->now_ns, "closed", client->index, end, 0);
    client->receipt_ref = 0;
    client->forced_end = device_end_is_final(end);
    registration_ended(client, end);
}

static void on_welcome(void *context, const struct wire_welcome *welcome) {
    registration_welcome(context, welcome);
}

static void on_pin(void *context, enum device_pin what, const struct certificate *certificate) {
    CHECK(what == DEVICE_PIN_FIRST);
}

static void on_trace(void *context, bool out, const struct wire_frame *frame) {
    struct client *client = context;
    if (!out && frame->kind == WIRE_STATUS)
        checker_status_came(client->world, client, &frame->status);
}

static void on_random(void *context, void *bytes, size_t length) {
    random_fill(&((struct client *)context)->world->random_clients, bytes, length);
}

static const struct device_storage device_storage = {
    .identity = on_identity,
    .pin_load = on_pin_load,
    .pin_save = on_pin_save,
    .load = on_load,
    .cursor_save = on_cursor_save,
    .commit = on_commit,
    .mail_known = on_mail_known,
    .status_known = on_status_known,
    .outbox_read = on_outbox_read,
};

static const struct device_events device_events = {
    .pin = on_pin,
    .welcome = on_welcome,
    .mail = on_mail,
    .status = on_status,
    .answered = on_answered,
    .replied = on_replied,
    .closed = on_closed,
    .trace = on_trace,
};

static const struct device_config device_config = {
    .storage = &device_storage,
    .events = &device_events,
    .random_bytes = on_random,
    .client = "tern-sim",
    .handshake_ms = 10000,
    .reconnect_ms_min = 50,
    .reconnect_ms_max = 5000,
};

/* --- its connection -----------------------------------------------------------------------------
 */

static void connect_at(struct client *client, uint64_t at_ns) {
    struct world *world = client->world;
    if (at_ns < client->away_until_ns)
        at_ns = client->away_until_ns;
    agenda_add(&world->agenda, at_ns > world->now_ns ? at_ns : world->now_ns, connect_now, client,
               client->life);
}

/* The connection is over, whoever ended it. */
static void end_connection(struct client *client, bool close, bool reset) {
    struct world *world = client->world;
    struct link *link = client->link;
    client->link = NULL;
    client->leaving = false;
    client->tick_ms = 0;
    if (link && link->device_open && close)
        link_close(world, link, reset);
    device_disconnected(client->device, world_now_ms(world));
    uint64_t again_ms = device_reconnect_ms(client->device);
    if (client->forced_end || again_ms == DEVICE_NEVER) { /* a person starts the program again */
        device_destroy(client->device);
        roll_back(client);
        client->device = device_create(&device_config, client);
        CHECK(client->device);
        client->forced_end = false;
        again_ms = world_now_ms(world) + 2000;
    }
    connect_at(client, again_ms * 1000000);
}

static void give_up_connecting(struct world *world, void *subject, uint64_t number) {
    struct client *client = subject;
    if (client->link && client->link->number == number && !client->link->device_connected)
        end_connection(client, true, true);
}

static void connect_now(struct world *world, void *subject, uint64_t token) {
    struct client *client = subject;
    if (token != client->life || client->link || !client->device)
        return;
    if (client->away_until_ns > world->now_ns) {
        connect_at(client, client->away_until_ns);
        return;
    }
    client->connection++;
    client->link = link_connect(&world->network, &client->path, &world->nodes[0]);
    agenda_add(&world->agenda, world->now_ns + CONNECT_NS_MAX, give_up_connecting, client,
               client->link->number);
}

static void tick(struct world *world, void *subject, uint64_t token) {
    struct client *client = subject;
    if (token != client->tick_ms || !client->device || !client->link)
        return;
    client->tick_ms = 0;
    if (device_tick(client->device, world_now_ms(world)) < 0)
        end_connection(client, true, false);
    else
        pump(client);
}

static void watch_deadline(struct client *client) {
    struct world *world = client->world;
    uint64_t at_ms = device_deadline_ms(client->device);
    if (at_ms == DEVICE_NEVER || (client->tick_ms && client->tick_ms <= at_ms))
        return;
    if (at_ms <= world_now_ms(world))
        at_ms = world_now_ms(world) + 1;
    client->tick_ms = at_ms;
    agenda_add(&world->agenda, at_ms * 1000000, tick, client, at_ms);
}

/* Writes what the device has to say, as far as the socket takes it. */
static void pump(struct client *client) {
    struct world *world = client->world;
    const uint8_t *bytes;
    size_t length;
    if (!client->device || !client->link || !client->link->device_connected ||
        client->link->device_told_end)
        return;
    while ((length = device_output(client->device, world_now_ms(world), &bytes)) != 0) {
        size_t taken = link_write(world, client->link, bytes, length);
        device_output_done(client->device, taken);
        if (taken < length)
            return;
    }
    if (client->leaving)
        end_connection(client, true, false);
    else
        watch_deadline(client);
}

static void on_connected(void *user, struct link *link, int error) {
    struct client *client = user;
    struct world *world = client->world;
    static const struct url url = {.host = "simulated", .port = 7700, .path = "/v1"};
    if (link != client->link)
        return;
    if (error) {
        end_connection(client, false, false);
        return;
    }
    CHECK(device_connect(client->device, &url, world_now_ms(world), world_wall_ms(world)) == 0);
    pump(client);
}

static void on_received(void *user, struct link *link, uint8_t *bytes, size_t length) {
    struct client *client = user;
    struct world *world = client->world;
    if (link != client->link)
        return;
    int error = device_receive(client->device, bytes, length, world_now_ms(world));
    if (error < 0)
        end_connection(client, true, error == -EIO);
    else
        pump(client);
}

static void on_writable(void *user, struct link *link) {
    struct client *client = user;
    if (link == client->link)
        pump(client);
}

static void on_ended(void *user, struct link *link, int error) {
    struct client *client = user;
    if (link == client->link)
        end_connection(client, true, false);
}

const struct link_user client_link_user = {
    .connected = on_connected, .received = on_received, .writable = on_writable, .ended = on_ended};

/* --- coming and going ---------------------------------------------------------------------------
 */

static void come_back(struct world *world, void *subject, uint64_t token) {
    struct client *client = subject;
    if (client->device || token != client->life)
        return;
    client->device = device_create(&device_config, client);
    CHECK(client->device);
    connect_at(client, 0);
}

void client_crash(struct client *client) {
    struct world *world = client->world;
    if (!client->device)
        return;
    journal_add(&world->journal, world->now_ns, "device crash", client->index, 0, 0);
    if (client->link && random_permille(&world->random_clients, 500))
        link_vanish(world, client->link);
    else if (client->link)
        link_close(world, client->link, true);
    client->link = NULL;
    client->leaving = false;
    client->tick_ms = 0;
    client->receipt_ref = 0;
    device_destroy(client->device);
    client->device = NULL;
    client->life++;
    client->crashes++;
    registration_ended(client, DEVICE_END_LOST);
    roll_back(client);
    agenda_add(&world->agenda,
               world->now_ns + random_spread(&world->random_clients, DOWN_NS_MIN, DOWN_NS_MAX),
               come_back, client, client->life);
}

void client_leave(struct client *client, uint64_t until_ns) {
    client->away_until_ns = until_ns;
    if (!client->link || !client->device)
        return;
    if (!client->link->device_connected) {
        end_connection(client, true, true);
        return;
    }
    device_close(client->device);
    client->leaving = true;
    pump(client);
}

void client_vanish(struct client *client) {
    link_vanish(client->world, client->link);
    end_connection(client, false, false);
}

void client_hurry(struct client *client) {
    client->away_until_ns = 0;
    client->life += client->link == NULL && client->device != NULL;
    if (!client->device)
        come_back(client->world, client, client->life);
    else if (!client->link)
        connect_at(client, 0);
}

void client_init(struct client *client, struct world *world, unsigned index, unsigned user) {
    struct random *random = &world->random_clients;
    uint8_t secret[NOISE_KEY_BYTES];
    *client = (struct client){.world = world, .index = index, .user = user, .life = 1};
    random_fill(random, secret, sizeof(secret));
    noise_keypair_from_private(&client->keys, secret);
    client->path = (struct path){.calls = &client_link_user,
                                 .user = client,
                                 .address = {10, 0, (uint8_t)(index >> 8), (uint8_t)index},
                                 .latency_ns = random_spread(random, 100000, 60000000)};
    client->saved = (struct device_saved){.send_low = 1, .next_send = 1};
    client->n = calloc(world->user_count, sizeof(*client->n));
    client->order = calloc((size_t)world->client_count * world->user_count, sizeof(*client->order));
    client->body = malloc(BODY_BYTES_MAX);
    CHECK(client->n && client->order && client->body);
    reserve_outbox(client, 1);
}

void client_start(struct client *client) {
    struct world *world = client->world;
    client->device = device_create(&device_config, client);
    CHECK(client->device);
    connect_at(client, random_below(&world->random_clients, 1000000000));
    agenda_add(&world->agenda, random_below(&world->random_clients, 2000000000) + world->now_ns,
               act, client, 0);
}

void client_finish(struct client *client) {
    device_destroy(client->device);
    free(client->outbox);
    free(client->settled);
    free(client->settled_unsaved);
    free(client->n);
    free(client->order);
    free(client->shown);
    free(client->news);
    free(client->body);
}

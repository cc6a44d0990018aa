/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/sim/registration.h"

#include "runtime/check.h"
#include "runtime/shard_internal.h"
#include "tools/sim/client.h"
#include "tools/sim/reactor.h"
#include "tools/sim/world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMS_NS_MIN 20000000u
#define SMS_NS_MAX 1000000000u
#define SMS_FAILS_PERMILLE 100u
#define CODE_NS_MAX 2500000000u /* then a person asks for another */
#define WRONG_PERMILLE 300u
#define KEEPS_NS_MIN 50000000u /* how long a number that was lost stays with the other */
#define KEEPS_NS_MAX 1000000000u
#define CUT_OFF_NS_MAX 6000000000u /* a stalled shard, a slow disk */
#define KILLED_STATUS (256 + 9)

/* --- the program that sends the codes -----------------------------------------------------------
 */

struct program_process {
    struct program_process *next; /* of the node's, kept to its end: the agenda names them */
    struct reactor *reactor;
    struct program *program;
    bool runs;
    int status;
    char digits[16], code[8];
};

static struct sim_phone *find_phone(struct world *world, const char *digits) {
    for (unsigned i = 0; i < SIM_PHONES; i++)
        if (strcmp(world->phones[i].digits, digits) == 0)
            return &world->phones[i];
    return NULL;
}

static void sms_ends(struct world *world, void *subject, uint64_t token) {
    struct program_process *process = subject;
    struct sim_phone *phone = find_phone(world, process->digits);
    journal_add(&world->journal, world->now_ns, "sms", process->runs, (uint64_t)process->status, 0);
    if (phone && !process->status) /* it is sent, even if the node has gone meanwhile */
        memcpy(phone->code, process->code, sizeof(phone->code));
    if (!process->runs)
        return;
    process->runs = false;
    reactor_program_ended(process->reactor, process->program, process->status);
}

/* sms_command +DIGITS, with the code and a newline as its input. */
static int sms_start(struct shard *shard, struct program *program, const char *const arguments[],
                     const void *input, size_t input_bytes, struct program_process **started) {
    struct sim_node *node = shard_seams(shard)->context;
    struct world *world = node->world;
    struct program_process *process = calloc(1, sizeof(*process));
    CHECK(process && arguments[1] && arguments[1][0] == '+' && !arguments[2]);
    CHECK(input_bytes > 1 && input_bytes <= sizeof(process->code));
    *process = (struct program_process){
        .next = node->processes,
        .reactor = shard_reactor(shard),
        .program = program,
        .runs = true,
        .status = random_permille(&world->random_node, SMS_FAILS_PERMILLE),
    };
    snprintf(process->digits, sizeof(process->digits), "%s", arguments[1] + 1);
    memcpy(process->code, input, input_bytes - 1);
    node->processes = process;
    agenda_add(&world->agenda,
               world->now_ns + random_spread(&world->random_node, SMS_NS_MIN, SMS_NS_MAX), sms_ends,
               process, 0);
    *started = process;
    return 0;
}

static void sms_kill(struct program_process *process) {
    if (!process->runs)
        return;
    process->runs = false;
    process->status = KILLED_STATUS;
    reactor_program_ended(process->reactor, process->program, KILLED_STATUS);
}

static void sms_forget(struct program_process *process) {
    process->runs = false;
}

const struct program_ops program_sim = {
    .name = "simulator", .start = sms_start, .kill = sms_kill, .forget = sms_forget};

void registration_forget_programs(struct sim_node *node) {
    while (node->processes) {
        struct program_process *process = node->processes;
        node->processes = process->next;
        free(process);
    }
}

/* --- asking -------------------------------------------------------------------------------------
 */

static struct wire_bytes text(const char *chars) {
    return (struct wire_bytes){(const uint8_t *)chars, (uint32_t)strlen(chars)};
}

static void request(struct client *client, const struct wire_frame *frame,
                    enum registration_request what) {
    int ref = device_request(client->device, frame);
    if (ref <= 0)
        return;
    client->registration.ref = (uint32_t)ref;
    client->registration.request = what;
}

static void ask_code(struct client *client, const char *phone) {
    struct registration *registration = &client->registration;
    struct wire_frame frame = {.kind = WIRE_REGISTER_PHONE, .register_phone.phone = text(phone)};
    registration->phone->code[0] = 0;
    registration->asked_ns = client->world->now_ns;
    request(client, &frame, REQUEST_CODE);
}

static void try_code(struct client *client, const char *phone) {
    char code[sizeof(client->registration.phone->code)];
    bool wrong = random_permille(&client->world->random_clients, WRONG_PERMILLE);
    memcpy(code, client->registration.phone->code, sizeof(code));
    if (wrong)
        code[0] = code[0] == '9' ? '0' : (char)(code[0] + 1);
    struct wire_frame frame = {
        .kind = WIRE_VERIFY,
        .verify = {.phone = text(phone), .code = text(code), .name = text("Somebody new")}};
    request(client, &frame, wrong ? REQUEST_VERIFY_WRONG : REQUEST_VERIFY);
}

/* Whoever gets an answer is not cut off. */
static void ask_devices(struct client *client) {
    struct wire_frame frame = {.kind = WIRE_DEVICES,
                               .devices.user = client->world->users[client->user].id};
    client->registration.asked_ns = client->world->now_ns;
    request(client, &frame, REQUEST_DEVICES);
}

void registration_act(struct client *client) {
    struct registration *registration = &client->registration;
    const struct world *world = client->world;
    char phone[sizeof(registration->phone->digits) + 1];
    if (!registration->phone || registration->ref || !device_is_online(client->device))
        return;
    if (registration->step == REGISTRATION_DONE) {
        ask_devices(client);
        return;
    }
    if (world->settling || world->now_ns < registration->next_ns ||
        device_is_registered(client->device))
        return;
    snprintf(phone, sizeof(phone), "+%s", registration->phone->digits);
    bool tired = world->now_ns - registration->asked_ns > CODE_NS_MAX;
    if (registration->step == REGISTRATION_WAITS && registration->phone->code[0])
        try_code(client, phone);
    else if (registration->step == REGISTRATION_STRANGER || tired)
        ask_code(client, phone);
}

/* --- what it hears ------------------------------------------------------------------------------
 */

static void become_stranger(struct client *client) {
    struct world *world = client->world;
    client->number = 0;
    client->registration.step = REGISTRATION_STRANGER;
    client->registration.replaced = false;
    client->registration.next_ns =
        world->now_ns + random_spread(&world->random_clients, KEEPS_NS_MIN, KEEPS_NS_MAX);
}

/* Those that had the number before: they must hear so. */
static void note_replaced(struct world *world, const struct sim_phone *phone) {
    for (unsigned i = 0; i < world->client_count; i++) {
        struct registration *registration = &world->clients[i].registration;
        if (registration->phone != phone || registration->step != REGISTRATION_DONE ||
            registration->replaced || world->clients[i].number >= phone->device)
            continue;
        registration->replaced = true;
        registration->replaced_ns = world->now_ns;
        registration->connection = world->clients[i].connection;
        checker_exercised(world, PROMISE_CUT_OFF);
    }
}

/* The node says that this device is that user's. */
static void note_registered(struct client *client, uint64_t user, uint32_t number) {
    struct registration *registration = &client->registration;
    struct world *world = client->world;
    struct sim_user *own = &world->users[client->user];
    for (unsigned i = 0; i < world->user_count; i++)
        if (i != client->user && world->users[i].id == user)
            checker_broken(world, PROMISE_REGISTERED,
                           "device %u is told that it is user %" PRIu64 "'s, which is another",
                           client->index, user);
    if (own->id && own->id != user)
        checker_broken(world, PROMISE_REGISTERED,
                       "device %u's number was user %" PRIu64 "'s, and is user %" PRIu64 "'s now",
                       client->index, own->id, user);
    journal_add(&world->journal, world->now_ns, "registered", client->index, user, number);
    own->id = user;
    own->list_version = 1; /* of those who talk: their only device is the first */
    client->number = number;
    registration->step = REGISTRATION_DONE;
    if (number > registration->phone->device)
        registration->phone->device = number;
    note_replaced(world, registration->phone);
}

static void code_was_tried(struct client *client, const struct wire_reply *reply) {
    struct registration *registration = &client->registration;
    bool wrong = registration->request == REQUEST_VERIFY_WRONG;
    struct wire_verify_body body;
    bool refused = reply->code == WIRE_CODE_UNAUTHORIZED || reply->code == WIRE_CODE_EXPIRED;
    if (wrong && (refused || reply->code == WIRE_CODE_OK))
        checker_exercised(client->world, PROMISE_WRONG_CODE);
    if (wrong && reply->code == WIRE_CODE_OK)
        checker_broken(client->world, PROMISE_WRONG_CODE, "device %u is registered by a wrong code",
                       client->index);
    if (refused && (!wrong || reply->code == WIRE_CODE_EXPIRED))
        registration->step = REGISTRATION_STRANGER; /* it asks for another */
    if (reply->code != WIRE_CODE_OK)
        return;
    CHECK(wire_read_verify_body(reply->body.bytes, reply->body.length, &body) == PARSE_COMPLETE);
    note_registered(client, body.user, body.device);
}

static void still_served(struct client *client, const struct wire_reply *reply) {
    const struct registration *registration = &client->registration;
    if (registration->replaced && reply->code == WIRE_CODE_OK &&
        registration->asked_ns > registration->replaced_ns + CUT_OFF_NS_MAX)
        checker_broken(client->world, PROMISE_CUT_OFF,
                       "device %u is served long after another has verified its number",
                       client->index);
}

void registration_replied(struct client *client, uint32_t ref, const struct wire_reply *reply) {
    struct registration *registration = &client->registration;
    if (!registration->ref || ref != registration->ref)
        return;
    registration->ref = 0;
    if (registration->request == REQUEST_DEVICES)
        still_served(client, reply);
    else if (registration->request != REQUEST_CODE)
        code_was_tried(client, reply);
    else if (reply->code == WIRE_CODE_OK)
        registration->step = REGISTRATION_WAITS;
}

static bool has_rival(const struct client *client) {
    return client->world->users[client->user].silent;
}

static void lost_without_reason(struct client *client) {
    checker_broken(client->world, PROMISE_REGISTERED,
                   "device %u is no more its user's, and nobody has verified its number",
                   client->index);
}

void registration_ended(struct client *client, enum device_end end) {
    client->registration.ref = 0;
    if (end != DEVICE_END_UNLINKED)
        return;
    if (has_rival(client))
        become_stranger(client);
    else
        lost_without_reason(client);
}

void registration_welcome(struct client *client, const struct wire_welcome *welcome) {
    struct registration *registration = &client->registration;
    struct world *world = client->world;
    if (!welcome->registered) {
        bool was = !registration->phone || registration->step == REGISTRATION_DONE;
        if (was && has_rival(client))
            become_stranger(client);
        else if (was)
            lost_without_reason(client);
        return;
    }
    checker_exercised(world, PROMISE_REGISTERED);
    if (registration->replaced && client->connection > registration->connection)
        checker_broken(world, PROMISE_CUT_OFF,
                       "device %u connects and is welcome, and another has verified its number",
                       client->index);
    if (registration->phone)
        note_registered(client, welcome->user, welcome->device);
    else if (welcome->user != world->users[client->user].id || welcome->device != client->number)
        checker_broken(world, PROMISE_REGISTERED, "device %u is welcome as another's",
                       client->index);
}

/* --- the end ------------------------------------------------------------------------------------
 */

bool registration_is_settled(const struct world *world) {
    bool settled = true;
    for (unsigned i = 0; i < world->client_count; i++)
        settled &= !world->clients[i].registration.replaced;
    return settled;
}

void registration_conclude(struct world *world) {
    for (unsigned i = 0; i < world->client_count; i++)
        if (world->clients[i].registration.replaced)
            checker_broken(world, PROMISE_CUT_OFF,
                           "another has verified device %u's number, and it was never told so", i);
}

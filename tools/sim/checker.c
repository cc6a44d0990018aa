/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/sim/checker.h"

#include "runtime/check.h"
#include "tools/sim/client.h"
#include "tools/sim/world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY_MAGIC 0x54455253u

static const struct {
    const char *name, *text;
} promises[] = {
#define PROMISE(upper, name, says, exercised_by) [PROMISE_##upper] = {#name, says},
#include "tools/sim/promises.def"
#undef PROMISE
};

const char *promise_name(enum promise_kind kind) {
    return promises[kind].name;
}

const char *promise_text(enum promise_kind kind) {
    return promises[kind].text;
}

enum verdict promise_verdict(const struct promise *promise) {
    if (promise->broken)
        return VERDICT_BROKEN;
    return promise->exercised ? VERDICT_HELD : VERDICT_NOT_EXERCISED;
}

void checker_broken(struct world *world, enum promise_kind kind, const char *format, ...) {
    struct promise *promise = &world->checker.promises[kind];
    char text[VIOLATION_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (promise->broken++)
        return;
    memcpy(promise->first, text, sizeof(text));
    if (length >= 0 && (size_t)length < sizeof(promise->first))
        snprintf(promise->first + length, sizeof(promise->first) - (size_t)length,
                 " (at %" PRIu64 " ms, event %" PRIu64 ")", world->now_ns / 1000000, world->events);
    journal_add(&world->journal, world->now_ns, promises[kind].name, kind, 0, 0);
}

void checker_exercised(struct world *world, enum promise_kind kind) {
    world->checker.promises[kind].exercised++;
}

/* --- ids and content ----------------------------------------------------------------------------
 */

static void put_u32(uint8_t *bytes, uint32_t number) {
    for (unsigned i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(number >> (8 * i));
}

static uint32_t get_u32(const uint8_t *bytes) {
    uint32_t number = 0;
    for (unsigned i = 0; i < 4; i++)
        number |= (uint32_t)bytes[i] << (8 * i);
    return number;
}

static uint8_t body_byte(uint32_t message, uint32_t at) {
    return (uint8_t)(message * 31 + at * 7);
}

void checker_body(uint32_t message, uint8_t *body, uint32_t bytes) {
    put_u32(body, BODY_MAGIC);
    put_u32(body + 4, message);
    for (uint32_t i = 8; i < bytes; i++)
        body[i] = body_byte(message, i);
}

static struct message_record *find_id(struct world *world, const struct wire_id *id,
                                      uint32_t *index) {
    struct checker *checker = &world->checker;
    uint32_t number = get_u32(id->bytes + 8);
    if (number >= checker->count ||
        memcmp(checker->messages[number].id.bytes, id->bytes, sizeof(id->bytes)) != 0)
        return NULL;
    if (index)
        *index = number;
    return &checker->messages[number];
}

/* --- writing and its answer ---------------------------------------------------------------------
 */

static void add_targets(struct world *world, struct message_record *message, unsigned user,
                        unsigned but, bool copy) {
    const struct sim_user *at = &world->users[user];
    for (unsigned i = 0; i < at->device_count; i++)
        if (at->devices[i] != but)
            message->targets[message->target_count++] =
                (struct target){.client = at->devices[i], .copy = copy};
}

uint32_t checker_write(struct world *world, struct client *sender, unsigned to, uint64_t number,
                       uint64_t n, uint32_t bytes) {
    struct checker *checker = &world->checker;
    if (checker->count == checker->capacity) {
        checker->capacity = checker->capacity ? 2 * checker->capacity : 256;
        checker->messages =
            realloc(checker->messages, checker->capacity * sizeof(*checker->messages));
        CHECK(checker->messages);
    }
    struct message_record *message = &checker->messages[checker->count];
    *message = (struct message_record){.sender = sender->index,
                                       .to = to,
                                       .number = number,
                                       .n = n,
                                       .bytes = bytes,
                                       .code = NOT_ANSWERED};
    random_fill(&world->random_clients, message->id.bytes, sizeof(message->id.bytes));
    put_u32(message->id.bytes + 8, checker->count);
    add_targets(world, message, to, UINT32_MAX, false);
    add_targets(world, message, sender->user, sender->index, true);
    checker_exercised(world, PROMISE_ANSWERED);
    journal_add(&world->journal, world->now_ns, "write", sender->index, to, checker->count);
    return checker->count++;
}

void checker_answered(struct world *world, struct client *sender, uint32_t index, unsigned code,
                      uint64_t sequence) {
    struct message_record *message = &world->checker.messages[index];
    journal_add(&world->journal, world->now_ns, "answered", sender->index, index, code);
    if (message->answers++) {
        checker_exercised(world, PROMISE_SAME_ANSWER);
        if (message->code == WIRE_CODE_OK && code != WIRE_CODE_OK)
            checker_broken(world, PROMISE_SAME_ANSWER, "message %u was answered %s, then %s", index,
                           wire_code_name((uint64_t)message->code), wire_code_name(code));
        if (message->code == WIRE_CODE_OK)
            return;
    }
    message->code = (int)code;
    message->sequence = sequence;
    if (code == WIRE_CODE_OK) {
        checker_exercised(world, PROMISE_SENT_ARRIVES);
    } else {
        checker_exercised(world, PROMISE_NOT_SILENT);
        world->checker.refused++;
    }
}

/* --- what is shown ------------------------------------------------------------------------------
 */

struct target *checker_target(struct world *world, const struct client *client, uint32_t index) {
    struct message_record *message = &world->checker.messages[index];
    for (unsigned i = 0; i < message->target_count; i++)
        if (message->targets[i].client == client->index)
            return &message->targets[i];
    return NULL;
}

bool checker_has(struct world *world, const struct client *client, const struct wire_id *id) {
    uint32_t index;
    if (!find_id(world, id, &index))
        return false;
    const struct target *target = checker_target(world, client, index);
    bool has = target && (target->shown || target->shown_pending);
    if (has)
        checker_exercised(world, PROMISE_ONCE);
    return has;
}

/* NULL, or what is wrong with it. */
static const char *look_at_mail(struct world *world, const struct client *client,
                                const struct wire_mail *mail, uint32_t index) {
    const struct message_record *message = &world->checker.messages[index];
    const struct client *sender = &world->clients[message->sender];
    const struct target *target = checker_target(world, client, index);
    const uint8_t *body = mail->ciphertext.bytes;
    uint64_t chat = world->users[target && target->copy ? message->to : sender->user].id;
    if (!target)
        return "is for somebody else";
    if (mail->sender != world->users[sender->user].id || mail->sender_device != sender->number)
        return "names another sender";
    if (mail->chat != chat)
        return "is in another chat";
    if ((mail->kind == WIRE_MAIL_COPY) != target->copy)
        return "is of another kind";
    if (mail->n != message->n || mail->lamport != message->n)
        return "has another clock";
    if (mail->ciphertext.length != message->bytes || get_u32(body) != BODY_MAGIC ||
        get_u32(body + 4) != index)
        return "has another content";
    for (uint32_t i = 8; i < message->bytes; i++)
        if (body[i] != body_byte(index, i))
            return "has a damaged content";
    return NULL;
}

int64_t checker_find(struct world *world, const struct client *client,
                     const struct wire_mail *mail) {
    uint32_t index = 0;
    const char *wrong = "is of nobody";
    checker_exercised(world, PROMISE_GENUINE);
    if (find_id(world, &mail->id, &index))
        wrong = look_at_mail(world, client, mail, index);
    if (!wrong)
        return index;
    checker_broken(world, PROMISE_GENUINE, "device %u: mail of message %u %s", client->index, index,
                   wrong);
    return -1;
}

void checker_shown(struct world *world, struct client *client, uint32_t index,
                   const struct wire_mail *mail) {
    const struct message_record *message = &world->checker.messages[index];
    struct target *target = checker_target(world, client, index);
    struct client_order *order = &client->order[message->sender * world->user_count + message->to];
    journal_add(&world->journal, world->now_ns, "shown", client->index, index, mail->cursor);
    if (target->shown || target->shown_pending)
        checker_broken(world, PROMISE_ONCE, "device %u shows message %u twice", client->index,
                       index);
    target->shown_pending = true;
    /* One that has expired comes again, late, if its sender had not heard before that it was sent.
     */
    if (target->old && message->n <= order->n)
        return;
    if (order->n)
        checker_exercised(world, PROMISE_ORDER);
    if (message->n <= order->n)
        checker_broken(world, PROMISE_ORDER,
                       "device %u shows message %u, the %" PRIu64 "th of device %u to user %u, "
                       "after the %" PRIu64 "th",
                       client->index, index, message->n, message->sender, message->to, order->n);
    order->n = message->n;
}

/* --- receipts -----------------------------------------------------------------------------------
 */

static unsigned place_in_user(const struct world *world, const struct client *client) {
    return world->users[client->user].devices[0] == client->index ? 0 : 1;
}

/* What is said must have happened, whether it is shown or not. */
static void look_at_status(struct world *world, struct client *client, uint32_t index,
                           struct target *target, unsigned state) {
    unsigned shown = target->state_unsaved[place_in_user(world, client)];
    checker_exercised(world, PROMISE_RECEIPTS_TRUE);
    if (state == WIRE_STATE_DELIVERED && !target->shown)
        checker_broken(world, PROMISE_RECEIPTS_TRUE,
                       "message %u is said to be delivered to device %u, which does not have it",
                       index, target->client);
    if (state == WIRE_STATE_READ && !target->read_asked)
        checker_broken(world, PROMISE_RECEIPTS_TRUE,
                       "message %u is said to be read on device %u, where nobody has", index,
                       target->client);
    if (state == WIRE_STATE_EXPIRED && !target->shown)
        checker_exercised(world, PROMISE_EXPIRED_TOLD);
    if (state == WIRE_STATE_EXPIRED && !target->old)
        checker_broken(world, PROMISE_RECEIPTS_TRUE,
                       "message %u is said to have expired for device %u, and is not old", index,
                       target->client);
    if (state > WIRE_STATE_PLAYED)
        target->excused = true;
    if (wire_state_rank(state) >= wire_state_rank(shown))
        return;
    world->checker.receipts_late++;
    checker_exercised(world, PROMISE_RECEIPTS_FORWARD);
}

static bool is_about(const struct world *world, const struct target *target, uint64_t user,
                     uint32_t device) {
    const struct client *at = &world->clients[target->client];
    return user == world->users[at->user].id && (device == 0 || device == at->number);
}

/* Mail for this user itself was set aside. */
static bool is_aside(const struct world *world, const struct client *client,
                     const struct wire_status *status) {
    return status->state == WIRE_STATE_QUARANTINED && status->user == world->users[client->user].id;
}

static void look_at_aside(struct world *world, const struct client *client,
                          const struct wire_id *id) {
    uint32_t index = 0;
    struct target *target =
        find_id(world, id, &index) ? checker_target(world, client, index) : NULL;
    if (target)
        target->excused = true;
    else
        checker_broken(world, PROMISE_RECEIPTS_TRUE,
                       "device %u hears that mail was set aside that is not for it", client->index);
}

void checker_status_came(struct world *world, struct client *client,
                         const struct wire_status *status) {
    struct wire_identity_list ids = status->ids;
    struct wire_id id;
    journal_add(&world->journal, world->now_ns, "status", client->index, status->state,
                status->device);
    while (wire_next_identity(&ids, &id)) {
        if (is_aside(world, client, status)) {
            look_at_aside(world, client, &id);
            continue;
        }
        uint32_t index = 0;
        struct message_record *message = find_id(world, &id, &index);
        if (!message || world->clients[message->sender].user != client->user) {
            checker_broken(world, PROMISE_RECEIPTS_TRUE,
                           "device %u hears of a message that is not its user's", client->index);
            continue;
        }
        for (unsigned i = 0; i < message->target_count; i++)
            if (is_about(world, &message->targets[i], status->user, status->device))
                look_at_status(world, client, index, &message->targets[i], status->state);
    }
}

static void show_status(struct world *world, struct client *client, struct status_news news,
                        unsigned state) {
    struct target *target = &world->checker.messages[news.message].targets[news.target];
    uint8_t *shown = &target->state_unsaved[place_in_user(world, client)];
    if (wire_state_rank(state) < wire_state_rank(*shown))
        checker_broken(world, PROMISE_RECEIPTS_FORWARD,
                       "device %u shows message %u as %s at device %u, after %s", client->index,
                       news.message, wire_state_name(state), target->client,
                       wire_state_name(*shown));
    *shown = (uint8_t)state;
    client_note_status(client, news);
}

void checker_status(struct world *world, struct client *client, const struct wire_status *status) {
    struct wire_identity_list ids = status->ids;
    struct wire_id id;
    uint32_t index = 0;
    while (!is_aside(world, client, status) && wire_next_identity(&ids, &id)) {
        const struct message_record *message = find_id(world, &id, &index);
        for (unsigned i = 0; message && i < message->target_count; i++)
            if (is_about(world, &message->targets[i], status->user, status->device))
                show_status(world, client, (struct status_news){index, i}, status->state);
    }
}

unsigned checker_status_known(struct world *world, const struct client *client,
                              const struct wire_id *id, uint64_t user, uint32_t device) {
    const struct message_record *message = find_id(world, id, NULL);
    for (unsigned i = 0; message && i < message->target_count; i++)
        if (is_about(world, &message->targets[i], user, device))
            return message->targets[i].state_unsaved[place_in_user(world, client)];
    return 0;
}

void checker_status_kept(struct world *world, const struct client *client, struct status_news news,
                         bool kept) {
    struct target *target = &world->checker.messages[news.message].targets[news.target];
    unsigned place = place_in_user(world, client);
    if (kept)
        target->state[place] = target->state_unsaved[place];
    else
        target->state_unsaved[place] = target->state[place];
}

/* --- the end ------------------------------------------------------------------------------------
 */

static bool is_missing(const struct message_record *message, const struct target *target) {
    return message->code == WIRE_CODE_OK && !target->shown && !target->excused;
}

void checker_crash(struct world *world) {
    for (uint32_t i = 0; i < world->checker.count; i++) {
        struct message_record *message = &world->checker.messages[i];
        bool missing = false;
        for (unsigned j = 0; j < message->target_count; j++)
            missing |= is_missing(message, &message->targets[j]);
        if (missing && !message->crossed)
            checker_exercised(world, PROMISE_SENT_SURVIVES);
        message->crossed |= missing;
    }
    checker_exercised(world, PROMISE_COMES_BACK);
}

/* Is there a device of the sender that does not show this state? */
static bool lacks_state(const struct world *world, const struct message_record *message,
                        const struct target *target, unsigned state) {
    unsigned devices = world->users[world->clients[message->sender].user].device_count;
    bool lacks = false;
    for (unsigned i = 0; i < devices; i++)
        lacks |= wire_state_rank(target->state[i]) < wire_state_rank(state);
    return lacks && !target->copy && target->shown;
}

/* Delivered is a message that any of the person's devices has. */
static bool lacks_delivered(const struct world *world, const struct message_record *message) {
    unsigned devices = world->users[world->clients[message->sender].user].device_count;
    unsigned told = 0;
    for (unsigned i = 0; i < message->target_count; i++)
        for (unsigned j = 0; !message->targets[i].copy && j < devices; j++)
            if (wire_state_rank(message->targets[i].state[j]) >=
                wire_state_rank(WIRE_STATE_DELIVERED))
                told |= 1u << j;
    return told != (1u << devices) - 1;
}

static bool lacks_receipt(const struct world *world, const struct message_record *message,
                          const struct target *target) {
    if (target->excused || target->receipt_old || target->copy || !target->shown)
        return false;
    return target->read ? lacks_state(world, message, target, WIRE_STATE_READ)
                        : lacks_delivered(world, message);
}

/* Of a copy that expires nobody is told; nor of anything when what tells of it has expired, too. */
void checker_month(struct world *world) {
    for (uint32_t i = 0; i < world->checker.count; i++) {
        const struct message_record *message = &world->checker.messages[i];
        for (unsigned j = 0; j < message->target_count; j++) {
            struct target *target = &world->checker.messages[i].targets[j];
            unsigned due = target->read_asked ? WIRE_STATE_READ : WIRE_STATE_DELIVERED;
            target->receipt_old |= lacks_state(world, message, target, due);
            target->excused |= !target->shown && (target->copy || target->old);
            target->old = true;
        }
    }
}

bool checker_is_settled(struct world *world) {
    if (!registration_is_settled(world))
        return false;
    for (uint32_t i = 0; i < world->checker.count; i++) {
        const struct message_record *message = &world->checker.messages[i];
        if (message->code == NOT_ANSWERED)
            return false;
        for (unsigned j = 0; j < message->target_count; j++)
            if (is_missing(message, &message->targets[j]) ||
                lacks_receipt(world, message, &message->targets[j]))
                return false;
    }
    return true;
}

static void conclude_target(struct world *world, uint32_t index, const struct target *target) {
    const struct message_record *message = &world->checker.messages[index];
    if (is_missing(message, target) && target->old) {
        checker_broken(world, PROMISE_EXPIRED_TOLD,
                       "message %u never came to device %u, a month passed, and its sender heard "
                       "nothing",
                       index, target->client);
    } else if (is_missing(message, target)) {
        checker_broken(world, PROMISE_SENT_ARRIVES,
                       "message %u was told sent and never came to device %u", index,
                       target->client);
        if (message->crossed)
            checker_broken(world, PROMISE_SENT_SURVIVES,
                           "message %u was told sent, and a crash lost it for device %u", index,
                           target->client);
    }
    if (target->shown && !target->copy)
        checker_exercised(world, PROMISE_RECEIPTS_COMPLETE);
    if (lacks_receipt(world, message, target))
        checker_broken(world, PROMISE_RECEIPTS_COMPLETE,
                       "message %u was %s on device %u, and its sender's devices show %u and %u",
                       index, target->read ? "read" : "delivered", target->client, target->state[0],
                       target->state[1]);
}

/* Else its sender writes it once more, and it shows twice. */
static void conclude_refused(struct world *world, uint32_t index) {
    const struct message_record *message = &world->checker.messages[index];
    if (message->code == WIRE_CODE_OK || message->code == NOT_ANSWERED)
        return;
    checker_exercised(world, PROMISE_REFUSED_TRUE);
    for (unsigned i = 0; i < message->target_count; i++)
        if (message->targets[i].shown)
            checker_broken(world, PROMISE_REFUSED_TRUE,
                           "message %u was answered %s, and device %u shows it", index,
                           wire_code_name((unsigned)message->code), message->targets[i].client);
}

void checker_conclude(struct world *world) {
    struct checker *checker = &world->checker;
    uint64_t keys = sim_node_mail_keys(&world->nodes[0]);
    for (uint32_t i = 0; i < checker->count; i++) {
        const struct message_record *message = &checker->messages[i];
        for (unsigned j = 0; j < message->target_count; j++)
            conclude_target(world, i, &message->targets[j]);
        conclude_refused(world, i);
        if (message->code == NOT_ANSWERED)
            checker_broken(world, PROMISE_ANSWERED,
                           "message %u of device %u (its send %" PRIu64 ") was never answered", i,
                           message->sender, message->number);
    }
    registration_conclude(world);
    checker->promises[PROMISE_FORGETS].exercised = checker->stored_keys_peak;
    if (keys)
        checker_broken(world, PROMISE_FORGETS, "%" PRIu64 " keys are left in the store", keys);
    if (!sim_node_is_up(&world->nodes[0]))
        checker_broken(world, PROMISE_COMES_BACK, "the node is down at the end");
}

void checker_finish(struct checker *checker) {
    free(checker->messages);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * number: one phone number, while somebody registers it.
 *
 * Connections ask it to register (a code goes out by the operator's program) and to verify (the
 * code makes the asking key the number's device). A code is bound to the key that asked for it,
 * expires, and bears few wrong guesses, so a stranger neither uses nor voids somebody else's. One
 * request is under way at a time; others wait deferred. Who has a number is read from the store,
 * many at once on the pool (`discover`): asked here, each phone of an address book would wake an
 * actor.
 *
 *   loading ──► serving ──REGISTER──► asking limits ──ALLOWED──► sending code ──PROGRAM_ENDED──►
 * serving └──VERIFY, code right──► looking up key ──► creating | replacing ──► serving
 */
#include "actors/answer.h"
#include "actors/commit.h"
#include "actors/messages.h"
#include "actors/node.h"
#include "actors/user_id.h"
#include "net/wire.h"
#include "runtime/log.h"
#include "runtime/program.h"
#include "storage/account.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define NUMBER_CODES_MAX 4 /* keys that have a code for this number at the same time */
#define CODE_DIGITS 6
#define CODE_BELOW 1000000u
#define PROGRAM_MS_MAX 30000u
#define ANSWER_MS 3000u /* a slow program: the person is told that the code is on its way */
#define REPLACE_MS \
    5000u /* for an account to answer; a connection waits no longer (OPEN_TIMEOUT_MS) */
#define UNAVAILABLE_MS 1000u

enum number_step {
    NUMBER_SERVING,
    NUMBER_LOADING,
    NUMBER_ASKING,
    NUMBER_LOOKING_UP,
    NUMBER_CREATING,
    NUMBER_REPLACING,
};

struct code {
    uint8_t key[32]; /* who asked */
    char digits[CODE_DIGITS + 1];
    uint64_t expires_ms;
    uint32_t attempts_left; /* 0: free */
    struct answer_to asked; /* not answered while the program runs; ref 0: answered */
    uint64_t reference;     /* of the program */
};

struct number {
    enum number_step step;
    int error;     /* of the load; 0 and -ENOENT are fine */
    uint64_t user; /* 0: nobody has the number */
    char phone[FORMAT_PHONE_DIGITS_MAX + 1];
    uint64_t references;
    struct code codes[NUMBER_CODES_MAX];
    /* the request under way */
    struct answer_to asked;
    struct number_register registering;
    struct number_verify verifying;
    struct device_address created;
    uint64_t reserved_end; /* user ids reserved by the commit under way */
    struct commit commit;
};

struct number_load {
    struct engine *engine;
    char phone[FORMAT_PHONE_DIGITS_MAX + 1];
    uint64_t user;
    int error;
};

struct number_key_lookup {
    struct engine *engine;
    uint8_t key[32];
    struct device_address address;
    int error;
};

static void number_run_blocking(void (*run)(struct message *), struct message *message) {
    if (actor_run_blocking(run, &message)) {
        message_destroy(message);
        actor_fail(-ENOBUFS, "the pool is full");
    }
}

static void number_load_run(struct message *message) {
    struct number_load *load = message_as(message, struct number_load);
    load->error = account_find_phone(load->engine, load->phone, &load->user);
}

static void number_load(const struct number *number) {
    struct message *message = message_create(NUMBER_LOADED, sizeof(struct number_load));
    struct number_load *load = message_as(message, struct number_load);
    load->engine = node_current()->engine;
    memcpy(load->phone, number->phone, sizeof(load->phone));
    number_run_blocking(number_load_run, message);
}

/* An earlier actor of this number may have failed while its commit was under way: without the
 * barrier the number would be nobody's here, and get a second user. */
static int number_init(void *state, const void *argument) {
    struct number *number = state;
    snprintf(number->phone, sizeof(number->phone), "%llu", (unsigned long long)actor_key());
    if (!format_phone_valid(number->phone))
        return -EINVAL;
    number->step = NUMBER_LOADING;
    commit_barrier(&number->commit, ++number->references);
    return 0;
}

static void number_terminate(void *state, int reason) {
    struct number *number = state;
    commit_drop(&number->commit);
}

static void number_on_loaded(void *state, struct message **message) {
    struct number *number = state;
    const struct number_load *load = message_as(*message, struct number_load);
    number->error = load->error == -ENOENT ? 0 : load->error;
    number->user = load->error ? 0 : load->user;
    number->step = NUMBER_SERVING;
    if (number->error)
        log_error("number: reading the index: %s", strerror(-number->error));
    actor_undefer();
}

/* Back to where deferred requests are served. */
static void number_serve(struct number *number) {
    number->step = NUMBER_SERVING;
    actor_undefer();
}

/* True: the message waits, or was answered because the store can't be read. */
static bool number_not_now(struct number *number, struct message **message, struct answer_to to) {
    if (number->step != NUMBER_SERVING) {
        actor_defer(message);
        return true;
    }
    if (number->error)
        answer_code(to, WIRE_CODE_UNAVAILABLE, UNAVAILABLE_MS);
    return number->error != 0;
}

/* ---- register: a code goes out
 * ------------------------------------------------------------------- */

static struct code *code_of_key(struct number *number, const uint8_t key[32]) {
    for (unsigned i = 0; i < NUMBER_CODES_MAX; i++)
        if (number->codes[i].attempts_left && memcmp(number->codes[i].key, key, 32) == 0)
            return &number->codes[i];
    return NULL;
}

/* A free place, else the code that expires first. */
static struct code *code_place(struct number *number) {
    struct code *place = &number->codes[0];
    for (unsigned i = 0; i < NUMBER_CODES_MAX; i++) {
        if (!number->codes[i].attempts_left)
            return &number->codes[i];
        if (number->codes[i].expires_ms < place->expires_ms)
            place = &number->codes[i];
    }
    actor_count("code_displaced", 1);
    return place;
}

static void number_on_register(void *state, struct message **message) {
    struct number *number = state;
    const struct number_register *request = message_as(*message, struct number_register);
    struct answer_to to = {request->connection, request->ref};
    if (number_not_now(number, message, to))
        return;
    if (!node_current()->sms_command) {
        answer_code(to, WIRE_CODE_FORBIDDEN, 0);
        return;
    }
    number->registering = *request;
    number->step = NUMBER_ASKING;
    struct message *ask = message_create(LIMITS_ASK, sizeof(struct limits_ask));
    struct limits_ask *what = message_as(ask, struct limits_ask);
    what->number = actor_self();
    what->reference = ++number->references;
    memcpy(what->peer_address, request->peer_address, sizeof(what->peer_address));
    memcpy(what->phone, number->phone, sizeof(number->phone));
    actor_timer_start(ANSWER_MS, NUMBER_TICK, number->references);
    if (actor_send(actor_whereis(LIMITS_NAME), &ask))
        message_destroy(ask); /* the tick answers */
}

static void code_make(struct code *code, const uint8_t key[32]) {
    const struct node_limits *limits = &node_current()->limits;
    memcpy(code->key, key, 32);
    snprintf(code->digits, sizeof(code->digits), "%06u", (unsigned)actor_random_below(CODE_BELOW));
    code->expires_ms = actor_now_ms() + limits->code_expiry_ms;
    code->attempts_left = limits->code_attempts_max;
}

static void code_answer(struct code *code, bool sent) {
    if (!code->asked.ref)
        return;
    if (sent) {
        struct wire_register_body body = {node_current()->limits.code_expiry_ms, CODE_DIGITS};
        uint8_t bytes[WIRE_SMALL_BODY_BYTES_MAX];
        struct wire_writer writer = {.bytes = bytes, .capacity = sizeof(bytes)};
        CHECK(wire_write_register_body(&writer, &body) == 0);
        answer_body(code->asked, bytes, writer.length);
    } else {
        answer_code(code->asked, WIRE_CODE_UNAVAILABLE, UNAVAILABLE_MS);
    }
    code->asked.ref = 0;
}

static void number_on_allowed(void *state, struct message **message) {
    struct number *number = state;
    const struct number_allowed *allowed = message_as(*message, struct number_allowed);
    if (number->step != NUMBER_ASKING || allowed->reference != number->references)
        return;
    struct answer_to to = {number->registering.connection, number->registering.ref};
    if (allowed->retry_after_ms) {
        answer_code(to, WIRE_CODE_LIMITED, allowed->retry_after_ms);
        number_serve(number);
        return;
    }
    struct code *code = code_of_key(number, number->registering.key);
    if (!code)
        code = code_place(number);
    code_answer(code, true); /* one that was asked for before and is still on its way */
    code_make(code, number->registering.key);
    code->asked = to;
    code->reference = allowed->reference;
    char phone[FORMAT_PHONE_DIGITS_MAX + 2], input[CODE_DIGITS + 2];
    snprintf(phone, sizeof(phone), "+%s", number->phone);
    int length = snprintf(input, sizeof(input), "%s\n", code->digits);
    const char *const arguments[] = {node_current()->sms_command, phone, NULL};
    int error = program_start(arguments, input, (size_t)length, PROGRAM_MS_MAX, code->reference);
    sodium_memzero(input, sizeof(input));
    if (error) {
        log_error("number: sms_command can't be started: %s", strerror(-error));
        actor_count("code_not_sent", 1);
        code_answer(code, false);
    }
    number_serve(number);
}

static void number_on_program_ended(void *state, struct message **message) {
    struct number *number = state;
    const struct program_ended *ended = message_as(*message, struct program_ended);
    char masked[24];
    actor_count(ended->status ? "code_not_sent" : "code_sent", 1);
    if (ended->status)
        log_error("number: sms_command for %s ended with status %d",
                  log_phone(number->phone, masked), ended->status);
    for (unsigned i = 0; i < NUMBER_CODES_MAX; i++)
        if (number->codes[i].reference == ended->reference)
            code_answer(&number->codes[i], ended->status == 0);
}

static void number_not_verified(struct number *number, int code);

static void number_on_tick(void *state, struct message **message) {
    struct number *number = state;
    uint64_t reference = message_as(*message, struct actor_timer_fired)->argument;
    if (number->step == NUMBER_ASKING && reference == number->references) {
        answer_code((struct answer_to){number->registering.connection, number->registering.ref},
                    WIRE_CODE_UNAVAILABLE, UNAVAILABLE_MS);
        number_serve(number);
    }
    if (number->step == NUMBER_REPLACING && reference == number->references) {
        actor_count("replace_unanswered", 1); /* whoever asks again learns whether it was done */
        number_not_verified(number, WIRE_CODE_UNAVAILABLE);
    }
    for (unsigned i = 0; i < NUMBER_CODES_MAX; i++)
        if (number->codes[i].reference == reference)
            code_answer(&number->codes[i], true);
}

/* ---- verify: the key becomes the number's device
 * ------------------------------------------------- */

static void number_key_lookup_run(struct message *message) {
    struct number_key_lookup *lookup = message_as(message, struct number_key_lookup);
    lookup->error = account_find_key(lookup->engine, lookup->key, &lookup->address.user,
                                     &lookup->address.device);
}

/* WIRE_CODE_OK or why not. A right code is used up when its device is durable (number_verified). */
static int number_check_code(struct number *number, const struct number_verify *request) {
    struct code *code = code_of_key(number, request->key);
    if (!code)
        return WIRE_CODE_EXPIRED;
    if (actor_now_ms() >= code->expires_ms) {
        code->attempts_left = 0;
        return WIRE_CODE_EXPIRED;
    }
    size_t length = strnlen(request->code, sizeof(request->code));
    bool right = length == CODE_DIGITS && sodium_memcmp(request->code, code->digits, length) == 0;
    if (!right) {
        code->attempts_left--;
        actor_count("code_wrong", 1);
    }
    return right ? WIRE_CODE_OK : WIRE_CODE_UNAUTHORIZED;
}

static void number_on_verify(void *state, struct message **message) {
    struct number *number = state;
    const struct number_verify *request = message_as(*message, struct number_verify);
    struct answer_to to = {request->connection, request->ref};
    if (number_not_now(number, message, to))
        return;
    int code = number_check_code(number, request);
    if (code != WIRE_CODE_OK) {
        answer_code(to, code, 0);
        return;
    }
    number->asked = to;
    number->verifying = *request;
    number->step = NUMBER_LOOKING_UP;
    struct message *job = message_create(NUMBER_KEY_LOOKED_UP, sizeof(struct number_key_lookup));
    struct number_key_lookup *lookup = message_as(job, struct number_key_lookup);
    lookup->engine = node_current()->engine;
    memcpy(lookup->key, request->key, 32);
    number_run_blocking(number_key_lookup_run, job);
}

static void number_verified(struct number *number, struct device_address address) {
    struct wire_verify_body body = {address.user, address.device};
    uint8_t bytes[WIRE_SMALL_BODY_BYTES_MAX];
    struct wire_writer writer = {.bytes = bytes, .capacity = sizeof(bytes)};
    CHECK(wire_write_verify_body(&writer, &body) == 0);
    answer_body(number->asked, bytes, writer.length);
    struct code *code = code_of_key(number, number->verifying.key);
    if (code)
        code->attempts_left = 0;
    actor_count("registered", 1);
    number_serve(number);
}

static void number_not_verified(struct number *number, int code) {
    answer_code(number->asked, code, code == WIRE_CODE_UNAVAILABLE ? UNAVAILABLE_MS : 0);
    number_serve(number);
}

static void number_create(struct number *number) {
    struct node *node = node_current();
    number->created = (struct device_address){user_id_take(node), 1};
    if (!number->created.user) {
        number_not_verified(number, WIRE_CODE_UNAVAILABLE);
        return;
    }
    uint8_t buffer[4096];
    struct write_batch batch;
    struct record_account account;
    write_batch_init_at(&batch, buffer, sizeof(buffer));
    int error = account_create(&batch, number->created.user, number->phone, number->verifying.name,
                               number->verifying.key, actor_wall_ms(), &account);
    actor_ensure(error == 0, error);
    number->reserved_end = user_id_reserve(node, &batch);
    number->step = NUMBER_CREATING;
    commit_start(&number->commit, &batch, ++number->references);
    write_batch_finish(&batch);
}

static void number_replace(struct number *number) {
    struct message *message =
        message_create(ACCOUNT_REPLACE_DEVICE, sizeof(struct account_replace_device));
    struct account_replace_device *replace = message_as(message, struct account_replace_device);
    replace->number = actor_self();
    replace->reference = ++number->references;
    memcpy(replace->key, number->verifying.key, sizeof(replace->key));
    memcpy(replace->name, number->verifying.name, sizeof(replace->name));
    number->step = NUMBER_REPLACING;
    actor_timer_start(REPLACE_MS, NUMBER_TICK, number->references); /* the account may fail */
    if (actor_send_named(&account_class, number->user, &message)) {
        message_destroy(message);
        number_not_verified(number, WIRE_CODE_UNAVAILABLE);
    }
}

static void number_on_key_looked_up(void *state, struct message **message) {
    struct number *number = state;
    const struct number_key_lookup *lookup = message_as(*message, struct number_key_lookup);
    if (lookup->error && lookup->error != -ENOENT)
        number_not_verified(number, WIRE_CODE_UNAVAILABLE);
    else if (lookup->error == 0 && lookup->address.user != number->user)
        number_not_verified(number, WIRE_CODE_CONFLICT); /* this key is another number's device */
    else if (lookup->error == 0)
        number_verified(number, lookup->address); /* asked again after a lost answer */
    else if (number->user)
        number_replace(number);
    else
        number_create(number);
}

static void number_on_committed(void *state, struct message **message) {
    struct number *number = state;
    int error;
    if (!commit_finish(&number->commit, *message, &error))
        return;
    if (number->step == NUMBER_LOADING) {
        number_load(number);
        return;
    }
    if (number->reserved_end && error)
        user_id_not_reserved(node_current(), number->reserved_end);
    else if (number->reserved_end)
        user_id_reserved(node_current(), number->reserved_end);
    number->reserved_end = 0;
    if (error) {
        number_not_verified(number, WIRE_CODE_OVERLOADED);
        return;
    }
    number->user = number->created.user;
    number_verified(number, number->created);
}

static void number_on_device_replaced(void *state, struct message **message) {
    struct number *number = state;
    const struct device_replaced *replaced = message_as(*message, struct device_replaced);
    if (number->step != NUMBER_REPLACING || replaced->reference != number->references)
        return;
    if (replaced->error)
        number_not_verified(number, WIRE_CODE_UNAVAILABLE);
    else
        number_verified(number, replaced->address);
}

static void number_on_down(void *state, struct message **message) {
    struct number *number = state;
    commit_interrupted(&number->commit, *message);
}

static void number_on_commit_again(void *state, struct message **message) {
    struct number *number = state;
    commit_again(&number->commit);
}

/* A request of ours to another actor came back: it failed or is full. */
static void number_on_refused(void *state, struct message **message) {
    struct number *number = state;
    if ((*message)->kind == ACCOUNT_REPLACE_DEVICE && number->step == NUMBER_REPLACING)
        number_not_verified(number, WIRE_CODE_UNAVAILABLE);
}

/* Codes live in memory alone: a number with a living one stays. */
static bool number_may_passivate(void *state) {
    struct number *number = state;
    if (number->step != NUMBER_SERVING)
        return false;
    for (unsigned i = 0; i < NUMBER_CODES_MAX; i++)
        if (number->codes[i].attempts_left && actor_now_ms() < number->codes[i].expires_ms)
            return false;
    return true;
}

static const struct actor_handler number_handlers[] = {
    [ACTOR_DOWN] = {"down", number_on_down},
    [PROGRAM_ENDED] = {"program_ended", number_on_program_ended},
    [COMMITTED] = {"committed", number_on_committed},
    [COMMIT_AGAIN] = {"commit_again", number_on_commit_again},
    [NUMBER_LOADED] = {"loaded", number_on_loaded},
    [NUMBER_REGISTER] = {"register", number_on_register},
    [NUMBER_VERIFY] = {"verify", number_on_verify},
    [NUMBER_ALLOWED] = {"allowed", number_on_allowed},
    [NUMBER_KEY_LOOKED_UP] = {"key_looked_up", number_on_key_looked_up},
    [NUMBER_DEVICE_REPLACED] = {"device_replaced", number_on_device_replaced},
    [NUMBER_TICK] = {"tick", number_on_tick},
};

const struct actor_class number_class = {
    .name = "number",
    .state_bytes = sizeof(struct number),
    .init = number_init,
    .terminate = number_terminate,
    .handlers = number_handlers,
    .handler_count = sizeof(number_handlers) / sizeof(number_handlers[0]),
    .refused = number_on_refused,
    .idle_ms = 30000,
    .may_passivate = number_may_passivate,
};

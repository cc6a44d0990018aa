/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/chat/registration.h"

#include "tools/chat/text.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define CODE_CHARS_MAX 7 /* wire.def, verify */

/* What the request under way has come to. */
struct registration {
    struct chat *chat;
    const char *code;
    char phone[STORE_PHONE_CHARS_MAX + 1];
    char name[STORE_NAME_BYTES_MAX + 1];
    bool asked;
    bool answered;
    struct wire_reply reply; /* its body is gone */
    uint32_t expires_ms;
};

static struct wire_bytes bytes_of(const char *text) {
    return (struct wire_bytes){(const uint8_t *)text, (uint32_t)strlen(text)};
}

/* The connection that was made for it has done its work. */
static void disconnect(struct chat *chat) {
    session_finish(chat->session);
    session_destroy(chat->session);
    chat->session = NULL;
    chat->progress = NULL;
    chat->ever_online = false;
}

/* Connects as the candidate, runs, and disconnects. */
static int run(struct chat *chat, struct registration *registration, chat_progress_fn progress) {
    chat->command = registration;
    int code = chat_connect(chat, true);
    if (code != CHAT_OK)
        return code;
    code = chat_run(chat, progress,
                    chat->arguments->timeout_ms > 0 ? chat->arguments->timeout_ms
                                                    : ARGUMENTS_TIMEOUT_DEFAULT * 1000);
    if (code == CHAT_UNREACHABLE)
        chat_say_unreachable(chat);
    disconnect(chat);
    return code;
}

/* ---------------------------------------------------------------- asking for a code */

static int check(const char *phone, const char *name) {
    if (!text_is_phone(phone)) {
        chat_say("%s is no phone number: + and 7 to 15 digits", phone);
        return CHAT_USAGE;
    }
    if (text_is_name(name))
        return CHAT_OK;
    chat_say("a name has 1 to 63 bytes and no control characters");
    return CHAT_USAGE;
}

static int make_candidate(struct chat *chat, const char *server, const char *phone,
                          const char *name) {
    uint8_t keys[2 * NOISE_KEY_BYTES];
    randombytes_buf(keys, NOISE_KEY_BYTES);
    crypto_scalarmult_curve25519_base(keys + NOISE_KEY_BYTES, keys);
    store_set_bytes(chat->store, SETTING_CANDIDATE, keys, sizeof keys);
    store_forget(chat->store, SETTING_CANDIDATE_PIN);
    store_set_text(chat->store, SETTING_CANDIDATE_SERVER, server);
    store_set_text(chat->store, SETTING_CANDIDATE_PHONE, phone);
    store_set_text(chat->store, SETTING_CANDIDATE_NAME, name);
    int code = chat_commit(chat);
    sodium_memzero(keys, sizeof keys);
    return code;
}

static void on_registered(void *context, uint64_t argument, const struct wire_reply *reply) {
    struct registration *registration = context;
    struct wire_register_body body = {0};
    registration->answered = true;
    registration->reply = *reply;
    if (reply->code == WIRE_CODE_OK &&
        wire_read_register_body(reply->body.bytes, reply->body.length, &body) == PARSE_COMPLETE)
        registration->expires_ms = body.expires_ms;
}

/* An answer that never came is asked for again on the next connection. */
static bool is_lost(struct registration *registration) {
    if (registration->reply.code != WIRE_CODE_UNAVAILABLE ||
        registration->reply.retry_after_ms != 0)
        return false;
    registration->asked = registration->answered = false;
    return true;
}

static bool explain_register(struct chat *chat, const struct registration *registration) {
    const struct wire_reply *reply = &registration->reply;
    switch (reply->code) {
    case WIRE_CODE_OK:
        return true;
    case WIRE_CODE_LIMITED:
        chat_say("too many codes were asked for; try again in %u s",
                 (reply->retry_after_ms + 999) / 1000);
        break;
    default:
        chat_say("the node sends no code: %s", chat_explain_code(reply->code));
        break;
    }
    return chat_fail(chat, CHAT_REFUSED);
}

static bool ask_progress(struct chat *chat, unsigned news) {
    struct registration *registration = chat->command;
    struct wire_frame frame = {.kind = WIRE_REGISTER_PHONE,
                               .register_phone.phone = bytes_of(registration->phone)};
    if (registration->answered && !is_lost(registration))
        return explain_register(chat, registration);
    if (!registration->asked && session_is_online(chat->session))
        registration->asked =
            session_request(chat->session, &frame, on_registered, registration, 0) == 0;
    return false;
}

int registration_ask(struct chat *chat, const char *server, const char *phone, const char *name) {
    struct registration registration = {.chat = chat};
    int code = check(phone, name);
    if (code == CHAT_OK)
        code = make_candidate(chat, server, phone, name);
    if (code != CHAT_OK)
        return code;
    snprintf(registration.phone, sizeof registration.phone, "%s", phone);
    code = run(chat, &registration, ask_progress);
    if (code == CHAT_OK)
        printf("A verification code is on its way to %s; it is good for %u minutes.\n", phone,
               registration.expires_ms / 60000);
    return code;
}

/* ---------------------------------------------------------------- proving the number */

static void move_text(struct store *store, const char *from, const char *to) {
    char text[300];
    store_text(store, from, text, sizeof text);
    store_set_text(store, to, text);
    store_forget(store, from);
}

/* The candidate becomes what this home is. All or nothing: one transaction. */
static void promote(struct store *store, uint64_t user, uint32_t device) {
    uint8_t keys[2 * NOISE_KEY_BYTES], pin[CERTIFICATE_KEY_BYTES];
    if (!store_bytes(store, SETTING_CANDIDATE, keys, sizeof keys))
        return;
    if (store_bytes(store, SETTING_CANDIDATE_PIN, pin, sizeof pin))
        store_set_bytes(store, SETTING_PIN, pin, sizeof pin);
    store_forget(store, SETTING_CANDIDATE_PIN);
    store_set_bytes(store, SETTING_IDENTITY, keys, sizeof keys);
    sodium_memzero(keys, sizeof keys);
    store_forget(store, SETTING_CANDIDATE);
    move_text(store, SETTING_CANDIDATE_SERVER, SETTING_SERVER);
    move_text(store, SETTING_CANDIDATE_PHONE, SETTING_PHONE);
    move_text(store, SETTING_CANDIDATE_NAME, SETTING_NAME);
    store_forget(store, SETTING_HOME);
    store_become_device(store, user, device);
}

static void on_verified(void *context, uint64_t argument, const struct wire_reply *reply) {
    struct registration *registration = context;
    struct wire_verify_body body;
    registration->answered = true;
    registration->reply = *reply;
    if (reply->code == WIRE_CODE_OK &&
        wire_read_verify_body(reply->body.bytes, reply->body.length, &body) == PARSE_COMPLETE)
        promote(registration->chat->store, body.user, body.device);
}

static bool explain_verify(struct chat *chat, const struct registration *registration) {
    switch (registration->reply.code) {
    case WIRE_CODE_OK:
        return true;
    case WIRE_CODE_UNAUTHORIZED:
        chat_say("the code is wrong");
        break;
    case WIRE_CODE_EXPIRED:
        chat_say("the code is used up or too old; `tern-chat register` asks for a new one");
        break;
    default:
        chat_say("the node refuses: %s", chat_explain_code(registration->reply.code));
        break;
    }
    return chat_fail(chat, CHAT_REFUSED);
}

static bool prove_progress(struct chat *chat, unsigned news) {
    struct registration *registration = chat->command;
    struct wire_frame frame = {.kind = WIRE_VERIFY,
                               .verify = {.phone = bytes_of(registration->phone),
                                          .code = bytes_of(registration->code),
                                          .name = bytes_of(registration->name)}};
    if (registration->answered && !is_lost(registration))
        return explain_verify(chat, registration);
    if (registration->asked || !session_is_online(chat->session))
        return false;
    if (session_is_registered(chat->session)) { /* an earlier answer was lost */
        promote(chat->store, session_user(chat->session), session_device_number(chat->session));
        return store_commit(chat->store) == 0 || chat_fail(chat, CHAT_IO);
    }
    registration->asked = session_request(chat->session, &frame, on_verified, registration, 0) == 0;
    return false;
}

int registration_prove(struct chat *chat, const char *code_text) {
    struct registration registration = {.chat = chat, .code = code_text};
    store_text(chat->store, SETTING_CANDIDATE_PHONE, registration.phone, sizeof registration.phone);
    store_text(chat->store, SETTING_CANDIDATE_NAME, registration.name, sizeof registration.name);
    if (registration.phone[0] == 0) {
        chat_say("no code was asked for; begin with `tern-chat register`");
        return CHAT_UNREGISTERED;
    }
    if (code_text[0] == 0 || strlen(code_text) > CODE_CHARS_MAX) {
        chat_say("a code has 1 to %d characters", CODE_CHARS_MAX);
        return CHAT_USAGE;
    }
    int code = run(chat, &registration, prove_progress);
    if (code != CHAT_OK)
        return code;
    memcpy(chat->own_phone, registration.phone, sizeof chat->own_phone);
    printf("Registered: %s is %s.\n", registration.phone, registration.name);
    return CHAT_OK;
}

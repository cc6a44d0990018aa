/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/chat/session_internal.h"

#include "runtime/check.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CLIENT_NAME "tern-chat 1"
#define RECONNECT_MS_MIN 250
#define FINISH_S 1.0

static void random_bytes(void *context, void *bytes, size_t length) {
    randombytes_buf(bytes, length);
}

static uint64_t clock_ms(clockid_t clock) {
    struct timespec time;
    CHECK(clock_gettime(clock, &time) == 0);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

uint64_t session_now_ms(void) {
    return clock_ms(CLOCK_BOOTTIME);
}

uint64_t session_wall_ms(void) {
    return clock_ms(CLOCK_REALTIME);
}

/* ---------------------------------------------------------------- life */

static const char *choose_server(struct session *session, const char *server) {
    const char *setting = session->is_candidate ? SETTING_CANDIDATE_SERVER : SETTING_SERVER;
    if (server != NULL)
        snprintf(session->server_text, sizeof session->server_text, "%s", server);
    else
        store_text(session->store, setting, session->server_text, sizeof session->server_text);
    switch (url_parse(session->server_text, &session->server)) {
    case 0:
        return NULL;
    case -EPROTONOSUPPORT:
        return "the server's address must begin with ws://, or wss:// for TLS";
    default:
        return "the server's address is not of the form ws://HOST:PORT or wss://HOST";
    }
}

/* What is wrong stays in a buffer of its own: the session is not made then. */
static const char *choose_trust(struct session *session, const char *ca) {
    static char why[TLS_WHY_CHARS_MAX];
    if (!session->server.secure && ca == NULL)
        return NULL;
    session->trust = tls_trust_create(ca, why);
    return session->trust == NULL ? why : NULL;
}

struct session *session_create(struct ev_loop *loop, struct store *store,
                               const struct session_options *options,
                               const struct session_events *events, void *context,
                               const char **why) {
    struct session *session = calloc(1, sizeof *session);
    *why = "out of memory";
    if (session == NULL)
        return NULL;
    *session = (struct session){
        .loop = loop,
        .store = store,
        .events = events,
        .context = context,
        .fd = -1,
        .is_candidate = options->is_candidate,
        .go_home = !options->is_candidate,
        .config = {.storage = &session_storage,
                   .events = &session_device_events,
                   .random_bytes = random_bytes,
                   .client = CLIENT_NAME,
                   .reconnect_ms_min = RECONNECT_MS_MIN,
                   .reconnect_ms_max = options->reconnect_ms_max},
    };
    if (options->cluster_key != NULL) {
        session->has_given_pin = true;
        memcpy(session->given_pin, options->cluster_key, sizeof session->given_pin);
    }
    const char *wrong = choose_server(session, options->server);
    if (wrong == NULL)
        wrong = choose_trust(session, options->ca);
    if (wrong == NULL)
        session->device = device_create(&session->config, session);
    if (session->device == NULL) {
        *why = wrong != NULL ? wrong : *why;
        tls_trust_destroy(session->trust);
        free(session);
        return NULL;
    }
    return session;
}

void session_destroy(struct session *session) {
    if (session == NULL)
        return;
    session_close_socket(session);
    device_destroy(session->device);
    tls_trust_destroy(session->trust);
    free(session);
}

void session_start(struct session *session) {
    CHECK(session->state == SESSION_WAITING);
    session_connect(session);
}

void session_hurry(struct session *session) {
    if (session->state != SESSION_WAITING)
        return;
    ev_timer_stop(session->loop, &session->timer);
    session_connect(session);
}

static void on_finish_timer(struct ev_loop *loop, ev_timer *timer, int events) {
    struct session *session = timer->data;
    session_close_socket(session);
}

void session_finish(struct session *session) {
    ev_timer guard;
    if (session->state == SESSION_CONNECTED) {
        session->state = SESSION_CLOSING;
        ev_timer_stop(session->loop, &session->timer);
        device_close(session->device);
        session_pump(session);
        ev_timer_init(&guard, on_finish_timer, FINISH_S, 0.);
        guard.data = session;
        ev_timer_start(session->loop, &guard);
        while (session->fd >= 0)
            ev_run(session->loop, EVRUN_ONCE);
        ev_timer_stop(session->loop, &guard);
    }
    session_close_socket(session);
    session->state = SESSION_OVER;
}

/* ---------------------------------------------------------------- what it is */

bool session_is_online(const struct session *session) {
    return device_is_online(session->device);
}

bool session_is_registered(const struct session *session) {
    return device_is_online(session->device) && device_is_registered(session->device);
}

uint64_t session_user(const struct session *session) {
    return device_user(session->device);
}

uint32_t session_device_number(const struct session *session) {
    return device_number(session->device);
}

uint32_t session_discover_phones_max(const struct session *session) {
    return device_discover_phones_max(session->device);
}

const char *session_server(const struct session *session) {
    return session->server_text;
}

/* ---------------------------------------------------------------- requests and sends */

int session_request(struct session *session, const struct wire_frame *frame,
                    session_reply_fn replied, void *context, uint64_t argument) {
    struct session_request *request = session->requests;
    struct session_request *end = request + DEVICE_REQUESTS_MAX;
    while (request < end && request->ref != 0)
        request++;
    if (request == end)
        return -EBUSY;
    int ref = device_request(session->device, frame);
    if (ref < 0)
        return ref;
    *request = (struct session_request){(uint32_t)ref, replied, context, argument};
    return 0;
}

uint64_t session_next_send(const struct session *session) {
    return device_next_send(session->device);
}

void session_send(struct session *session, uint64_t number) {
    CHECK(device_send(session->device, number) == 0);
}

bool session_has_tried(const struct session *session, uint64_t number) {
    return number <= session->tried_up_to;
}

void session_make_id(struct session *session, struct wire_id *id) {
    device_make_id(session->device, session_wall_ms(), id);
}

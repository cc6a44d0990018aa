/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection: one socket, one device.
 *
 * Spawned by a listener; its messages come from the socket, from its user's mailbox, from the
 * actors that answer the device's requests, and from the pool. It owns the socket, the cipher
 * states, what the device has asked and not heard, and nothing that must survive: whatever happens
 * to it, the mailbox still has the mail, and the device its outbox.
 *
 * Its states and their transitions are listed in connection_internal.h, beside the map of its
 * files. This file has the class, the time, and every way in which a connection ends:
 *
 *     connection_close   says why, in a close frame; the socket then waits for the peer's end
 *     connection_abort   with a reset
 *     SOCKET_CLOSED      the peer, or the network
 *
 * There is one timer. It is not set anew for each message: it fires when the earliest thing that
 * was due when it was set is due, looks what is due by then, and is set again.
 */
#include "actors/connection_internal.h"
#include "actors/node.h"
#include "actors/quarantine.h"
#include "runtime/check.h"
#include "runtime/crash.h"

#include <sodium.h>
#include <string.h>

#define UNREGISTERED_MS_MAX (15u * 60 * 1000)
#define MAILBOX_MESSAGES_MAX 2048
/* Mail from storage shares one blob, a page, which each message of it counts in full: the window is
 * what bounds it, in messages and in its own bytes. */
#define MAILBOX_BYTES_MAX (2048u << 20)

_Static_assert(sizeof(struct connection) <= 256, "a million idle connections rest on it");

static const char *const overdue_counters[] = {
#define X(state, takes, overdue) [CONNECTION_##state] = (overdue),
    CONNECTION_STATES(X)
#undef X
};

/* --- time --------------------------------------------------------------------------------------
 */

uint32_t connection_ms_after(uint32_t ms) {
    uint32_t when = (uint32_t)actor_now_ms() + ms;
    return when ? when : 1; /* 0 means none */
}

int32_t connection_ms_until(uint32_t when_ms) {
    return (int32_t)(when_ms - (uint32_t)actor_now_ms());
}

static bool is_past(uint32_t when_ms) {
    return when_ms && connection_ms_until(when_ms) <= 0;
}

void connection_wake_by(struct connection *connection, uint32_t when_ms) {
    if (connection->ended)
        return;
    int32_t until = connection_ms_until(when_ms);
    if (connection->tick.bits) {
        if (connection_ms_until(connection->tick_ms) <= until)
            return;
        actor_timer_cancel(&connection->tick);
    }
    connection->tick_ms = when_ms;
    connection->tick = actor_timer_start(until > 0 ? (uint64_t)until : 0, CONNECTION_TICK, 0);
}

static void wake_for(struct connection *connection, uint32_t when_ms) {
    if (when_ms)
        connection_wake_by(connection, when_ms);
}

static uint32_t silence_ms_max(const struct connection *connection) {
    return connection->heartbeat_ms / 2 * 5;
}

static uint32_t slow_ms_max(const struct connection *connection) {
    uint32_t silence = silence_ms_max(connection);
    return silence < CONNECTION_SLOW_MS_MAX ? silence : CONNECTION_SLOW_MS_MAX;
}

bool connection_is_in_session(const struct connection *connection) {
    return !connection->ended &&
           (connection->state == CONNECTION_UNREGISTERED || connection->state == CONNECTION_OPEN ||
            connection->state == CONNECTION_REATTACHING);
}

/* --- states, and the end -----------------------------------------------------------------------
 */

static uint32_t deadline_of(const struct connection *connection) {
    return connection->work ? connection->work->deadline_ms : 0;
}

static void set_deadline(struct connection *connection, uint32_t ms) {
    connection_work(connection)->deadline_ms = connection_ms_after(ms);
    connection_wake_by(connection, connection->work->deadline_ms);
}

static void clear_deadline(struct connection *connection) {
    if (connection->work)
        connection->work->deadline_ms = 0;
}

void connection_enter(struct connection *connection, enum connection_state state) {
    connection->state = (uint8_t)state;
    if (state == CONNECTION_UNREGISTERED)
        set_deadline(connection, UNREGISTERED_MS_MAX);
    else if (state == CONNECTION_CLOSING)
        set_deadline(connection, CONNECTION_CLOSE_MS);
    else if (state == CONNECTION_OPEN && !connection->draining)
        clear_deadline(connection);
    wake_for(connection, deadline_of(connection));
    if (connection_is_in_session(connection) && connection->heartbeat_ms)
        connection_wake_by(connection, connection_ms_after(connection->heartbeat_ms / 8 * 9));
}

void connection_handshake_over(struct connection *connection) {
    if (!connection->handshaking)
        return;
    connection->handshaking = false;
    atomic_fetch_sub_explicit(&node_current()->handshakes_now, 1, memory_order_relaxed);
}

static void detach(struct connection *connection, bool device_left) {
    if (!connection->mailbox.bits)
        return;
    struct message *message = message_create(MAILBOX_DETACH, sizeof(struct mailbox_detach));
    *message_as(message, struct mailbox_detach) = (struct mailbox_detach){
        .connection = connection->self, .device = connection->device, .device_left = device_left};
    if (actor_send(connection->mailbox, &message) != 0) {
        message_destroy(message);
        actor_kill(connection->mailbox, PARTNER_ENDED);
        actor_count("detach_refused", 1);
    }
    connection->mailbox = ACTOR_NOBODY;
}

void connection_end(struct connection *connection) {
    if (connection->ended)
        return;
    connection->ended = true;
    if (!connection->linked)
        socket_close(connection->socket);
    actor_stop(ACTOR_NORMAL);
}

void connection_abort(struct connection *connection, const char *why) {
    if (connection->ended)
        return;
    connection->ended = true;
    actor_count(why, 1);
    if (!connection->linked)
        socket_abort(connection->socket);
    actor_stop(ACTOR_NORMAL);
}

void connection_close(struct connection *connection, uint16_t code, const char *why) {
    if (connection->ended || connection->state == CONNECTION_CLOSING)
        return;
    if (connection->state == CONNECTION_PROXY || connection->state == CONNECTION_HTTP) {
        connection_abort(connection, why);
        return;
    }
    actor_count(why, 1);
    connection->close_due = true;
    connection->close_code = code;
    connection_enter(connection, CONNECTION_CLOSING);
    connection_output_drop_mail(connection);
    connection_handshake_free(connection);
    detach(connection, true);
}

void connection_say_and_close(struct connection *connection, uint16_t notice, uint16_t code,
                              const char *why) {
    connection_notice(connection, notice, 0);
    connection_close(connection, code, why);
}

/* --- the timer ---------------------------------------------------------------------------------
 */

static void pass_deadline(struct connection *connection) {
    clear_deadline(connection);
    switch (connection->state) {
    case CONNECTION_PROXY:
    case CONNECTION_HTTP:
    case CONNECTION_CLOSING:
        connection_abort(connection, overdue_counters[connection->state]);
        break;
    case CONNECTION_OPEN:
    case CONNECTION_REATTACHING:
        connection_close(connection, WIRE_CLOSE_DRAINING, overdue_counters[connection->state]);
        break;
    default:
        connection_close(connection, WIRE_CLOSE_TIMEOUT, overdue_counters[connection->state]);
        break;
    }
}

static void send_ping(struct connection *connection) {
    struct wire_writer writer;
    struct wire_ping ping = {.token = actor_now_ms()};
    if (!connection_output_room(connection, OUTPUT_URGENT, 32, &writer))
        return;
    CHECK(wire_write_ping(&writer, 0, &ping) == 0);
    connection_output_commit(connection, OUTPUT_URGENT, &writer);
}

/* A device that keeps its heartbeat is never asked: the node asks a quarter of an interval later.
 */
static void check_silence(struct connection *connection) {
    uint32_t interval = connection->heartbeat_ms;
    if (!connection_is_in_session(connection) || !interval)
        return;
    uint32_t silent = (uint32_t)-connection_ms_until(connection->heard_ms);
    if (silent >= silence_ms_max(connection)) {
        connection_close(connection, WIRE_CLOSE_SILENT, "connection_silent");
        return;
    }
    if (!connection->pinged && silent >= interval / 8 * 9) {
        connection->pinged = true;
        send_ping(connection);
    }
    uint32_t wait = silence_ms_max(connection); /* since it was heard */
    if (!connection->pinged) {                  /* 1.25 intervals, a tenth less or more */
        uint32_t tenth = interval / 8;
        wait = interval / 8 * 9 + (uint32_t)actor_random_below(2 * (uint64_t)tenth + 1);
    }
    connection_wake_by(connection, connection_ms_after(wait > silent ? wait - silent : 1));
}

static void check_progress(struct connection *connection) {
    if (connection->ended || !connection->sending)
        return;
    uint32_t due = connection->work->progress_ms + slow_ms_max(connection);
    if (is_past(due ? due : 1))
        connection_abort(connection, "connection_slow");
    else
        wake_for(connection, due);
}

static void check_retry(struct connection *connection) {
    struct connection_work *work = connection->work;
    if (!work || !is_past(work->retry_ms)) {
        wake_for(connection, work ? work->retry_ms : 0);
        return;
    }
    work->retry_ms = 0;
    if (connection->state == CONNECTION_LOOKING_UP)
        connection_look_up(connection);
    else if (connection->state == CONNECTION_ATTACHING ||
             connection->state == CONNECTION_REATTACHING)
        connection_attach(connection);
}

static void connection_on_tick(void *state, struct message **message) {
    struct connection *connection = state;
    connection->tick = (struct actor_timer){0};
    if (is_past(deadline_of(connection)))
        pass_deadline(connection);
    wake_for(connection, deadline_of(connection));
    check_progress(connection);
    if (connection->ended || connection->state == CONNECTION_CLOSING)
        return;
    check_silence(connection);
    check_retry(connection);
    connection_retry_ack(connection);
    wake_for(connection, connection_open_tick(connection));
}

/* --- messages ----------------------------------------------------------------------------------
 */

size_t connection_describe_input(const void *of, char *text, size_t bytes) {
    const struct connection *connection = of;
    const struct quarantine_input input = {
        .device = {connection->user, connection->device},
        .key = connection->secured ? connection->key : NULL,
        .address = connection->address,
        .hello = connection->secured && !connection_is_in_session(connection),
    };
    return quarantine_describe_input(&input, text, bytes);
}

static void connection_on_data(void *state, struct message **message) {
    const struct socket_data *data = message_as(*message, struct socket_data);
    actor_blame(connection_describe_input, state);
    connection_input_take(state, data->bytes, data->length);
}

static void connection_on_sent(void *state, struct message **message) {
    connection_output_sent(state);
}

static void connection_on_closed(void *state, struct message **message) {
    struct connection *connection = state;
    const struct socket_closed *closed = message_as(*message, struct socket_closed);
    if (connection->ended)
        return;
    if (connection->state != CONNECTION_CLOSING)
        actor_count(closed->error ? "connection_lost" : "connection_left", 1);
    if (!closed->error) /* perhaps it only has no more to say */
        connection_output_flush(connection);
    if (connection->ended)
        return;
    connection->ended = true;
    actor_stop(ACTOR_NORMAL);
}

static void connection_on_handshake_turn(void *state, struct message **message) {
    actor_blame(connection_describe_input, state);
    connection_handshake_turn(state);
}

static void connection_on_known(void *state, struct message **message) {
    actor_blame(connection_describe_input, state);
    connection_known(state, message_as(*message, struct known_device));
}

static void connection_on_attached(void *state, struct message **message) {
    actor_blame(connection_describe_input, state);
    connection_attached(state, message_as(*message, struct mailbox_attached));
}

static void connection_on_answer(void *state, struct message **message) {
    struct connection *connection = state;
    const struct connection_answer *answer = message_as(*message, struct connection_answer);
    struct blob *blob = (*message)->blob;
    const uint8_t *body = blob ? blob_bytes(blob) : (const uint8_t *)(answer + 1);
    size_t body_bytes = blob ? blob_length(blob) : answer->body_bytes;
    CHECK(blob || sizeof(*answer) + body_bytes <= (*message)->payload_bytes);
    connection_open_answer(connection, answer->ref, answer->code, answer->retry_after_ms, body,
                           body_bytes);
}

static void connection_on_mail(void *state, struct message **message) {
    const struct connection *connection = state;
    const struct quarantine_sending sending = {{connection->user, connection->device}, *message};
    actor_blame(quarantine_describe_sending, &sending);
    connection_send_mail(state, *message);
    actor_blame(NULL, NULL);
}

static void connection_on_status(void *state, struct message **message) {
    connection_send_status(state, *message);
}

static void connection_on_empty(void *state, struct message **message) {
    connection_send_empty(state);
}

static void connection_on_cut(void *state, struct message **message) {
    const struct connection_cut *cut = message_as(*message, struct connection_cut);
    connection_say_and_close(state, cut->notice, cut->close_code, "connection_cut");
}

static void connection_on_discovered(void *state, struct message **message) {
    connection_discovered(state, *message);
}

static void connection_on_exit(void *state, struct message **message) {
    struct connection *connection = state;
    const struct actor_down *down = message_as(*message, struct actor_down);
    if (down->reason != PARTNER_ENDED)
        actor_stop(down->reason);
    else if (connection->mailbox.bits && actor_id_equal(down->actor, connection->mailbox))
        connection_mailbox_down(connection);
}

static void connection_on_refused(void *state, struct message **message) {
    connection_refused(state, message);
}

/* --- draining ----------------------------------------------------------------------------------
 */

void connection_drain_on(struct connection *connection) {
    if (connection->draining && connection_is_in_session(connection) &&
        connection_open_waiting(connection) == 0)
        connection_close(connection, WIRE_CLOSE_DRAINING, "connection_drained");
}

static void connection_on_drain(void *state, struct message **message) {
    struct connection *connection = state;
    uint32_t left_ms = node_current()->limits.drain_ms / 2;
    if (connection->draining || connection->state == CONNECTION_CLOSING)
        return;
    connection->draining = true;
    if (!connection_is_in_session(connection)) {
        connection_close(connection, WIRE_CLOSE_DRAINING, "connection_drained");
        return;
    }
    connection_notice(connection, WIRE_NOTICE_DRAINING, left_ms);
    set_deadline(connection, left_ms);
    connection_drain_on(connection);
}

static void list_add(struct connection *connection, struct connection **list) {
    connection->list_next = *list;
    connection->list_link = list;
    if (*list)
        (*list)->list_link = &connection->list_next;
    *list = connection;
}

static void list_remove(struct connection *connection) {
    *connection->list_link = connection->list_next;
    if (connection->list_next)
        connection->list_next->list_link = connection->list_link;
    connection->list_link = NULL;
}

bool connection_tell_drain(unsigned count) {
    struct node_shard *shard = node_shard_current();
    while (count-- && shard->connections) {
        struct connection *connection = shard->connections;
        if (actor_signal(connection->self, CONNECTION_DRAIN) != 0)
            break; /* its mailbox is full: next time */
        list_remove(connection);
        list_add(connection, &shard->told);
    }
    return shard->connections != NULL;
}

/* --- places ------------------------------------------------------------------------------------
 */

bool connection_place(const uint8_t address[ADDRESS_BYTES]) {
    if (quarantine_refuses_address(node_current()->quarantine, address, actor_now_ms())) {
        actor_count("accept_address_blamed", 1);
        return false;
    }
    enum address_verdict verdict =
        address_limits_enter(node_current()->addresses, address, actor_now_ms());
    if (verdict == ADDRESS_TOO_MANY)
        actor_count("accept_address_max", 1);
    else if (verdict == ADDRESS_TOO_FAST)
        actor_count("accept_address_rate", 1);
    return verdict == ADDRESS_ALLOWED;
}

/* --- life --------------------------------------------------------------------------------------
 */

static int connection_init(void *state, const void *argument) {
    struct connection *connection = state;
    const struct connection_argument *how = argument;
    struct node *node = node_current();
    int error = how->linked ? 0 : socket_own(how->socket);
    if (error)
        return error;
    *connection = (struct connection){
        .magic = CONNECTION_MAGIC,
        .state = how->proxied ? CONNECTION_PROXY : CONNECTION_HTTP,
        .placed = !how->proxied && !how->linked,
        .handshaking = true,
        .self = actor_self(),
        .socket = how->socket,
        .heard_ms = connection_ms_after(0),
        .heartbeat_ms = node_heartbeat_ms(node_current()),
    };
    memcpy(connection->address, how->address, sizeof(connection->address));
    actor_trap_exits(true);
    list_add(connection, &node_shard_current()->connections);
    atomic_fetch_add_explicit(&node->handshakes_now, 1, memory_order_relaxed);
    set_deadline(connection, node->limits.handshake_timeout_ms);
    if (how->linked)
        connection_link_begin(connection, how->linked);
    return 0;
}

static void connection_terminate(void *state, int reason) {
    struct connection *connection = state;
    CHECK(connection->magic == CONNECTION_MAGIC);
    connection->ended = true;
    detach(connection, reason == ACTOR_NORMAL);
    connection_handshake_free(connection);
    connection_handshake_over(connection);
    connection_output_free(connection);
    connection_open_free(connection);
    list_remove(connection);
    if (connection->placed)
        address_limits_leave(node_current()->addresses, connection->address);
    atomic_fetch_sub_explicit(&node_current()->connections, 1, memory_order_relaxed);
    if (connection->linked)
        connection->far.link->ended(connection->far.peer);
    sodium_memzero(&connection->transport, sizeof(connection->transport));
}

/* Gives back what only a busy connection needs. */
static void rest(struct connection *connection) {
    struct connection_work *work = connection->work;
    if (!work || connection->sending || work->input || work->open_count || work->held_ack ||
        work->urgent.buffer || work->mail.buffer || work->segments || work->pong ||
        work->handshake || work->deadline_ms || work->retry_ms || work->parser.message_bytes_max)
        return;
    connection_open_free(connection);
    actor_free(work);
    connection->work = NULL;
}

static void connection_after_turn(void *state) {
    struct connection *connection = state;
    if (connection->ended)
        return;
    connection_output_flush(connection);
    if (connection->ended)
        return;
    if (connection->state == CONNECTION_CLOSING && !connection_output_waits(connection))
        connection_end(connection); /* the last send may be in flight */
    else
        rest(connection);
}

static const struct actor_handler handlers[] = {
    [ACTOR_EXIT] = {"exit", connection_on_exit},
    [SOCKET_DATA] = {"data", connection_on_data},
    [SOCKET_SENT] = {"sent", connection_on_sent},
    [SOCKET_CLOSED] = {"closed", connection_on_closed},
    [CONNECTION_HANDSHAKE_TURN] = {"handshake_turn", connection_on_handshake_turn},
    [CONNECTION_TICK] = {"tick", connection_on_tick},
    [CONNECTION_KNOWN] = {"known", connection_on_known},
    [CONNECTION_ATTACHED] = {"attached", connection_on_attached},
    [CONNECTION_ANSWER] = {"answer", connection_on_answer},
    [CONNECTION_MAIL] = {"mail", connection_on_mail},
    [CONNECTION_STATUS] = {"status", connection_on_status},
    [CONNECTION_EMPTY] = {"empty", connection_on_empty},
    [CONNECTION_CUT] = {"cut", connection_on_cut},
    [CONNECTION_DRAIN] = {"drain", connection_on_drain},
    [CONNECTION_DISCOVERED] = {"discovered", connection_on_discovered},
    [CONNECTION_DESCRIBE] = {"describe", connection_describe},
    [CONNECTION_FRAMES] = {"frames", connection_on_frames},
    [CONNECTION_HUNG_UP] = {"hung_up", connection_on_hung_up},
};

const struct actor_class connection_class = {
    .name = "connection",
    .state_bytes = sizeof(struct connection),
    .init = connection_init,
    .terminate = connection_terminate,
    .handlers = handlers,
    .handler_count = sizeof(handlers) / sizeof(handlers[0]),
    .refused = connection_on_refused,
    .after_turn = connection_after_turn,
    .mailbox_messages_max = MAILBOX_MESSAGES_MAX,
    .mailbox_bytes_max = MAILBOX_BYTES_MAX,
};

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session: one shell on the admin socket, as an actor.
 *
 *     accepted ─(SOCKET_CONNECTED)─► hello said ─► idle ◄─► a command at work
 *                                                   └─ the shell goes, or sends junk ─► ends
 *
 * One command at a time; another request meanwhile is answered `busy`, except `cancel`. What the
 * shell does not read stays here up to OUTPUT_BYTES_MAX, then rows are dropped and the end says how
 * many: a shell that hangs costs a megabyte and nothing else.
 */
#include "actors/admin_internal.h"
#include "runtime/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define OUTPUT_BYTES_FIRST (2 * (ADMIN_HEAD_BYTES + ADMIN_REPLY_BYTES_MAX))
#define OUTPUT_BYTES_MAX (1u << 20)
#define FRAME_ROOM (ADMIN_HEAD_BYTES + ADMIN_REPLY_BYTES_MAX)

/* --- output ------------------------------------------------------------------------------------
 */

/* Room for one whole frame, or false: the shell does not read. Ends and errors have a place kept
 * for them beyond the bound. */
static bool make_room(struct admin_session *session, size_t bound) {
    struct admin_writer *output = &session->output;
    if (output->capacity - output->length >= FRAME_ROOM)
        return true;
    size_t capacity = output->capacity ? 2 * output->capacity : OUTPUT_BYTES_FIRST;
    if (capacity > bound)
        capacity = bound;
    if (capacity - output->length < FRAME_ROOM)
        return false;
    output->bytes = actor_reallocate(output->bytes, capacity);
    output->capacity = capacity;
    return true;
}

static void flush(struct admin_session *session) {
    struct admin_writer *output = &session->output;
    if (!session->connected || session->sending || output->length == 0)
        return;
    size_t length = output->length < SOCKET_BUFFER_MAX ? output->length : SOCKET_BUFFER_MAX;
    struct socket_buffer *buffer = socket_buffer_create(length);
    memcpy(socket_buffer_bytes(buffer), output->bytes, length);
    if (socket_send(session->socket, &buffer, 0, length) != 0) {
        socket_buffer_destroy(buffer);
        return; /* SOCKET_CLOSED is on its way */
    }
    session->sending = true;
    memmove(output->bytes, output->bytes + length, output->length - length);
    output->length -= length;
}

struct admin_writer *admin_row(struct admin_session *session) {
    make_room(session, OUTPUT_BYTES_MAX); /* or the row is taken back and counted */
    admin_write_reply(&session->output, session->request, ADMIN_ROW);
    return &session->output;
}

void admin_row_end(struct admin_session *session) {
    if (admin_write_end(&session->output) == 0)
        session->rows++;
    else
        session->rows_dropped++;
}

static void command_over(struct admin_session *session) {
    actor_timer_cancel(&session->deadline);
    session->command = NULL;
    inspect_gather_end(&session->work.gather);
    if (session->work.tree)
        actor_free(session->work.tree);
    if (session->work.shards_before)
        actor_free(session->work.shards_before);
    memset(&session->work, 0, sizeof(session->work));
}

struct admin_writer *admin_end(struct admin_session *session) {
    CHECK(make_room(session, OUTPUT_BYTES_MAX + 2 * FRAME_ROOM));
    admin_write_reply(&session->output, session->request, ADMIN_END);
    admin_put_uint(&session->output, "rows", session->rows);
    if (session->rows_dropped) {
        actor_count("admin_rows_dropped", session->rows_dropped);
        admin_put_uint(&session->output, "rows_dropped", session->rows_dropped);
    }
    return &session->output;
}

void admin_end_send(struct admin_session *session) {
    CHECK(admin_write_end(&session->output) == 0);
    command_over(session);
}

static void write_error(struct admin_session *session, uint64_t request, const char *code,
                        const char *text) {
    if (!make_room(session, OUTPUT_BYTES_MAX + 2 * FRAME_ROOM))
        return; /* it floods us with requests and reads nothing */
    admin_write_reply(&session->output, request, ADMIN_ERROR);
    admin_put_text(&session->output, "code", code);
    admin_put_text(&session->output, "message", text);
    CHECK(admin_write_end(&session->output) == 0);
}

void admin_error(struct admin_session *session, const char *code, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    admin_change_over(session, text);
    write_error(session, session->request, code, text);
    command_over(session);
}

void admin_error_errno(struct admin_session *session, int error, const char *what) {
    if (error == -EBUSY)
        admin_error(session, "busy", "%s: the node answers other such questions; try again", what);
    else
        admin_error(session, "failed", "%s: %s", what, strerror(-error));
}

/* --- arguments ---------------------------------------------------------------------------------
 */

bool admin_take_uint(struct admin_session *session, const struct admin_request *request,
                     const char *name, uint64_t min, uint64_t max, uint64_t *value) {
    const struct admin_value *given = admin_field_find(&request->arguments, name);
    if (!given)
        return true;
    if (given->kind == ADMIN_UINT && given->number >= min && given->number <= max) {
        *value = given->number;
        return true;
    }
    admin_error(session, "argument", "%s is a number from %" PRIu64 " to %" PRIu64, name, min, max);
    return false;
}

bool admin_take_text(struct admin_session *session, const struct admin_request *request,
                     const char *name, char *text, size_t bytes) {
    const struct admin_value *given = admin_field_find(&request->arguments, name);
    if (!given)
        return true;
    if (given->kind == ADMIN_TEXT && given->text.length < bytes &&
        memchr(given->text.bytes, '\0', given->text.length) == NULL) {
        memcpy(text, given->text.bytes, given->text.length);
        text[given->text.length] = '\0';
        return true;
    }
    admin_error(session, "argument", "%s is a text of at most %zu bytes", name, bytes - 1);
    return false;
}

bool admin_take_word(struct admin_session *session, const struct admin_request *request,
                     const char *name, const char *const words[], unsigned *index) {
    char text[32] = "", all[256] = "";
    if (!admin_field_find(&request->arguments, name))
        return true;
    if (!admin_take_text(session, request, name, text, sizeof(text)))
        return false;
    for (unsigned i = 0; words[i]; i++) {
        if (strcmp(words[i], text) == 0) {
            *index = i;
            return true;
        }
        size_t used = strlen(all);
        snprintf(all + used, sizeof(all) - used, "%s%s", i ? ", " : "", words[i]);
    }
    admin_error(session, "argument", "%s is one of: %s", name, all);
    return false;
}

const char *admin_id_text(struct actor_id actor, char text[32]) {
    snprintf(text, 32, "%#" PRIx64, actor.bits);
    return text;
}

const char *admin_reason_text(int reason, char text[32]) {
    static const char *const names[] = {"normal",     "shutdown",   "killed", "not found",
                                        "passivated", "test fault", "timeout"};
    unsigned index = (unsigned)-reason;
    if (reason <= 0 && index < sizeof(names) / sizeof(names[0]))
        snprintf(text, 32, "%s", names[index]);
    else
        snprintf(text, 32, "failed (%d)", reason);
    return text;
}

const char *admin_state_text(enum inspect_state state) {
    static const char *const states[] = {[INSPECT_IDLE] = "idle",
                                         [INSPECT_QUEUED] = "queued",
                                         [INSPECT_STARTING] = "starting",
                                         [INSPECT_ENDING] = "ending"};
    return states[state];
}

void admin_put_key(struct admin_writer *writer, const struct inspect_row *row) {
    if (row->named)
        admin_put_uint(writer, "key", row->key);
    else
        admin_put_nil(writer, "key");
}

/* --- requests ----------------------------------------------------------------------------------
 */

static void admin_commands(struct admin_session *session, const struct admin_request *request);

static const struct admin_command commands[] = {
    {"commands", admin_commands, NULL, NULL},
    {"node", admin_node, NULL, NULL},
    {"shards", admin_shards, admin_shards_on_message, NULL},
    {"classes", admin_classes, NULL, NULL},
    {"events", admin_events, NULL, NULL},
    {"tree", admin_tree, admin_tree_on_message, NULL},
    {"top", admin_top, admin_top_on_message, NULL},
    {"actors", admin_actors, admin_top_on_message, NULL},
    {"info", admin_info, admin_info_on_message, NULL},
    {"mailbox", admin_mailbox, admin_detail_on_message, NULL},
    {"links", admin_links, admin_detail_on_message, NULL},
    {"monitors", admin_monitors, admin_detail_on_message, NULL},
    {"trace", admin_trace, admin_trace_on_message, admin_trace_cancel},
    {"slow", admin_slow, NULL, NULL},
    {"crashes", admin_crashes, admin_crashes_on_message, NULL},
    {"recorder", admin_recorder, NULL, NULL},
    {"kill", admin_kill, admin_kill_on_message, NULL},
    {"restart", admin_restart, admin_restart_on_message, NULL},
    {"drain", admin_drain, NULL, NULL},
    {"limit", admin_limit, admin_config_on_message, NULL},
    {"log", admin_log, NULL, NULL},
    {"config", admin_config, admin_config_on_message, NULL},
    {"reload", admin_reload, admin_config_on_message, NULL},
    {"store", admin_store, admin_store_on_message, NULL},
    {"mail", admin_mail, admin_mail_on_message, NULL},
    {"histogram", admin_histogram, NULL, NULL},
    {"quarantine", admin_quarantine, admin_quarantine_on_message, NULL},
    {"release", admin_release, admin_quarantine_on_done, NULL},
    {"drop", admin_drop, admin_quarantine_on_done, NULL},
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

/* What this node can be asked, for shells of other versions. */
static void admin_commands(struct admin_session *session, const struct admin_request *request) {
    for (unsigned i = 0; i < COMMAND_COUNT; i++) {
        admin_put_text(admin_row(session), "command", commands[i].name);
        admin_row_end(session);
    }
    admin_end(session);
    admin_end_send(session);
}

static void begin(struct admin_session *session, const struct admin_request *request) {
    session->request = request->id;
    session->rows = session->rows_dropped = 0;
    for (unsigned i = 0; i < COMMAND_COUNT; i++)
        if (admin_text_equal(request->command, commands[i].name)) {
            session->command = &commands[i];
            commands[i].begin(session, request);
            return;
        }
    admin_error(session, "unknown", "this node does not know the command \"%.*s\"",
                (int)request->command.length, request->command.bytes);
}

static void cancel(struct admin_session *session) {
    if (session->command && session->command->cancel)
        session->command->cancel(session);
    else if (session->command)
        admin_error(session, "canceled", "canceled");
}

static void take_request(struct admin_session *session, const struct admin_request *request) {
    if (admin_text_equal(request->command, "cancel"))
        cancel(session);
    else if (session->command)
        write_error(session, request->id, "busy", "one command at a time");
    else
        begin(session, request);
}

/* False: what came can never become a request. */
static bool take_input(struct admin_session *session) {
    struct admin_request request;
    const uint8_t *frame;
    size_t frame_bytes, used, done = 0;
    enum parse_result result = PARSE_COMPLETE;
    while (result == PARSE_COMPLETE) {
        result = admin_frame_find(session->input + done, session->input_bytes - done,
                                  ADMIN_REQUEST_BYTES_MAX, &frame, &frame_bytes, &used);
        if (result != PARSE_COMPLETE)
            break;
        result = admin_request_read(frame, frame_bytes, &request);
        if (result == PARSE_COMPLETE)
            take_request(session, &request);
        done += used;
    }
    session->input_bytes -= done < session->input_bytes ? done : session->input_bytes;
    memmove(session->input, session->input + done, session->input_bytes);
    return result == PARSE_MORE;
}

/* --- messages ----------------------------------------------------------------------------------
 */

static void session_on_data(void *state, struct message **message) {
    struct admin_session *session = state;
    const struct socket_data *data = message_as(*message, struct socket_data);
    for (uint32_t done = 0; done < data->length;) {
        size_t room = sizeof(session->input) - session->input_bytes;
        size_t part = data->length - done < room ? data->length - done : room;
        memcpy(session->input + session->input_bytes, data->bytes + done, part);
        session->input_bytes += part;
        done += (uint32_t)part;
        if (!take_input(session)) {
            actor_count("admin_junk", 1);
            actor_stop(ACTOR_NORMAL);
            return;
        }
    }
}

static void session_on_connected(void *state, struct message **message) {
    struct admin_session *session = state;
    const struct node *node = node_current();
    if (message_as(*message, struct socket_connected)->error) {
        actor_stop(ACTOR_NORMAL);
        return;
    }
    session->connected = true;
    make_room(session, OUTPUT_BYTES_MAX);
    if (session->refuse) {
        write_error(session, 0, "busy", "too many shells look into this node");
        flush(session);
        actor_stop(ACTOR_NORMAL); /* closes after the send */
        return;
    }
    admin_write_reply(&session->output, 0, ADMIN_HELLO);
    admin_put_uint(&session->output, "version", ADMIN_VERSION);
    admin_put_text(&session->output, "program", node->version);
    admin_put_text(&session->output, "node", node->name);
    admin_write_end(&session->output);
}

static void session_on_sent(void *state, struct message **message) {
    struct admin_session *session = state;
    session->sending = false;
    flush(session);
}

static void session_on_closed(void *state, struct message **message) {
    actor_stop(ACTOR_NORMAL);
}

static void session_on_other(void *state, struct message **message) {
    struct admin_session *session = state;
    bool late = (*message)->kind == ADMIN_DONE &&
                ((const struct admin_job *)message_payload(*message))->request != session->request;
    if (session->command && session->command->on_message && !late)
        session->command->on_message(session, message);
}

static void session_after_turn(void *state) {
    flush(state);
}

static int session_init(void *state, const void *argument) {
    const struct admin_session_argument *how = argument;
    struct admin_session *session = state;
    session->refuse = how->refuse;
    return local_accept(how->listening_fd, &session->peer, &session->socket);
}

static void session_terminate(void *state, int reason) {
    struct admin_session *session = state;
    if (session->command)
        admin_change_over(session, "the shell went before it was done");
    if (session->command && session->command->cancel)
        session->command->cancel(session);
}

static const struct actor_handler handlers[] = {
    [SOCKET_DATA] = {"data", session_on_data},
    [SOCKET_SENT] = {"sent", session_on_sent},
    [SOCKET_CLOSED] = {"closed", session_on_closed},
    [SOCKET_CONNECTED] = {"connected", session_on_connected},
};

const struct actor_class admin_session_class = {
    .name = "admin_session",
    .state_bytes = sizeof(struct admin_session),
    .init = session_init,
    .terminate = session_terminate,
    .handlers = handlers,
    .handler_count = sizeof(handlers) / sizeof(handlers[0]),
    .otherwise = session_on_other,
    .after_turn = session_after_turn,
};

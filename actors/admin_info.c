/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `info`: one actor, closely. What the runtime knows of any; a mailbox and a connection are asked
 * besides what they do for whom.
 *
 *     resolve ─► row ─(a mailbox, a connection: described, or the deadline)─► the end
 */
#include "actors/admin_internal.h"

#include <arpa/inet.h>
#include <string.h>

static void put_actor(struct admin_writer *writer, const struct inspect_row *row) {
    bool supervised = row->supervisor.bits != 0;
    admin_put_text(writer, "actor", ADMIN_ID_TEXT(row->actor));
    admin_put_text(writer, "class", row->class_name);
    admin_put_key(writer, row);
    admin_put_text(writer, "state", admin_state_text(row->state));
    admin_put_text(writer, "supervisor", supervised ? ADMIN_ID_TEXT(row->supervisor) : NULL);
    admin_put_uint(writer, "mailbox", row->mailbox_messages);
    admin_put_uint(writer, "mailbox_bytes", row->mailbox_bytes);
    admin_put_uint(writer, "oldest_ns", row->oldest_ns);
    admin_put_uint(writer, "idle_ms", row->idle_ms);
    admin_put_uint(writer, "messages", row->messages);
    admin_put_uint(writer, "busy_ns", row->busy_ns);
    admin_put_uint(writer, "bytes", row->bytes);
    admin_put_uint(writer, "state_bytes", row->state_bytes);
    admin_put_uint(writer, "allocated_bytes", row->allocated_bytes);
    admin_put_uint(writer, "timers", row->timers);
    admin_put_uint(writer, "sockets_and_programs", row->sockets_and_programs);
    admin_put_uint(writer, "monitors", row->monitors);
    admin_put_uint(writer, "monitored_by", row->watchers);
    admin_put_uint(writer, "links", row->links);
    admin_put_bool(writer, "has_name", row->published);
}

/* --- of a connection ---------------------------------------------------------------------------
 */

static void put_address(struct admin_writer *writer, const uint8_t address[16]) {
    char text[INET6_ADDRSTRLEN] = "";
    struct in6_addr v6;
    memcpy(&v6, address, sizeof(v6));
    if (IN6_IS_ADDR_V4MAPPED(&v6))
        inet_ntop(AF_INET, address + 12, text, sizeof(text));
    else if (!IN6_IS_ADDR_UNSPECIFIED(&v6))
        inet_ntop(AF_INET6, &v6, text, sizeof(text));
    admin_put_text(writer, "address", text[0] ? text : NULL);
}

static void put_unless_zero(struct admin_writer *writer, const char *name, uint64_t value) {
    if (value)
        admin_put_uint(writer, name, value);
    else
        admin_put_nil(writer, name);
}

static void put_connection(struct admin_writer *writer,
                           const struct connection_described *described) {
    struct actor_id mailbox = described->mailbox;
    put_unless_zero(writer, "user", described->user);
    put_unless_zero(writer, "device", described->device);
    put_address(writer, described->address);
    admin_put_text(writer, "stage", described->stage);
    admin_put_bool(writer, "encrypted", described->encrypted);
    admin_put_text(writer, "attached_to", mailbox.bits ? ADMIN_ID_TEXT(mailbox) : NULL);
    put_unless_zero(writer, "heartbeat_ms", described->heartbeat_ms);
    admin_put_uint(writer, "silent_ms", described->silent_ms);
    admin_put_uint(writer, "requests_open", described->requests_open);
    admin_put_bool(writer, "sending", described->sending);
    admin_put_bool(writer, "draining", described->draining);
}

/* --- of a mailbox: a row for each device -------------------------------------------------------
 */

static void put_device(struct admin_session *session, const struct described_device *device) {
    struct admin_writer *writer = admin_row(session);
    struct actor_id connection = device->connection;
    admin_put_uint(writer, "device", device->number);
    admin_put_text(writer, "connection", connection.bits ? ADMIN_ID_TEXT(connection) : NULL);
    admin_put_uint(writer, "waiting_messages", device->messages);
    admin_put_uint(writer, "waiting_bytes", device->bytes);
    admin_put_uint(writer, "waiting_statuses", device->statuses);
    admin_put_uint(writer, "held", device->held);
    admin_put_uint(writer, "in_flight", device->in_flight);
    put_unless_zero(writer, "acknowledges_in_ms", device->acknowledge_ms);
    admin_put_bool(writer, "gone", device->gone);
    admin_row_end(session);
}

/* --- the answer --------------------------------------------------------------------------------
 */

/* What the actor says of itself is in `answer`; NULL: it was not asked, or is silent. */
static void answer_info(struct admin_session *session, struct message *answer, const char *note) {
    struct admin_writer *writer = admin_row(session);
    put_actor(writer, &session->work.target);
    if (answer && answer->kind == CONNECTION_DESCRIBED)
        put_connection(writer, message_as(answer, struct connection_described));
    admin_row_end(session);
    if (answer && answer->kind == MAILBOX_DESCRIBED) {
        const struct mailbox_described *described = message_as(answer, struct mailbox_described);
        for (uint32_t i = 0; i < described->count; i++)
            put_device(session, &described->devices[i]);
        note = described->loading ? "its devices are being read from the store" : note;
    }
    writer = admin_end(session);
    if (note)
        admin_put_text(writer, "note", note);
    admin_end_send(session);
}

static void on_found(struct admin_session *session, const struct inspect_row *row) {
    uint16_t kind = strcmp(row->class_name, mailbox_class.name) == 0      ? MAILBOX_DESCRIBE
                    : strcmp(row->class_name, connection_class.name) == 0 ? CONNECTION_DESCRIBE
                                                                          : 0;
    session->work.target = *row;
    if (kind && admin_describe(session, row->actor, kind) == 0)
        session->work.described = true;
    else
        answer_info(session, NULL, NULL);
}

void admin_info(struct admin_session *session, const struct admin_request *request) {
    admin_resolve(session, request, on_found);
}

void admin_info_on_message(struct admin_session *session, struct message **message) {
    struct message *answer = *message;
    if (!session->work.described)
        admin_resolve_on_message(session, message);
    else if (answer->kind == ADMIN_TICK)
        answer_info(session, NULL, "it did not say more of itself: it has ended, or hangs");
    else if ((answer->kind == MAILBOX_DESCRIBED &&
              message_as(answer, struct mailbox_described)->reference == session->request) ||
             (answer->kind == CONNECTION_DESCRIBED &&
              message_as(answer, struct connection_described)->reference == session->request))
        answer_info(session, answer, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The shell's commands about actors: the first of many, and one of them closely. */
#include "actors/admin_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ROWS_DEFAULT 20u
#define ROWS_OF_CLASS_DEFAULT 100u

/* --- many --------------------------------------------------------------------------------------
 */

static const char *const orders[] = {[INSPECT_BY_MAILBOX] = "mailbox",   [INSPECT_BY_AGE] = "age",
                                     [INSPECT_BY_MESSAGES] = "messages", [INSPECT_BY_TIME] = "time",
                                     [INSPECT_BY_BYTES] = "bytes",       NULL};
static void put_row(struct admin_session *session, const struct inspect_row *row) {
    struct admin_writer *writer = admin_row(session);
    admin_put_text(writer, "actor", ADMIN_ID_TEXT(row->actor));
    admin_put_text(writer, "class", row->class_name);
    admin_put_key(writer, row);
    admin_put_uint(writer, "mailbox", row->mailbox_messages);
    admin_put_uint(writer, "oldest_ns", row->oldest_ns);
    admin_put_uint(writer, "messages", row->messages);
    admin_put_uint(writer, "busy_ns", row->busy_ns);
    admin_put_uint(writer, "bytes", row->bytes);
    admin_put_uint(writer, "idle_ms", row->idle_ms);
    admin_put_text(writer, "state", admin_state_text(row->state));
    admin_row_end(session);
}

static void begin_query(struct admin_session *session, const struct inspect_query *query) {
    int error = inspect_gather_begin(&session->work.gather, query);
    session->work.window_ms = query->window_ms;
    if (error)
        admin_error_errno(session, error, "the shards can't be asked");
    else
        session->deadline = actor_timer_start(query->window_ms + ADMIN_DEADLINE_MS, ADMIN_TICK, 0);
}

/* False: an error was answered. */
static bool take_filter(struct admin_session *session, const struct admin_request *request,
                        struct inspect_query *query, uint64_t rows) {
    uint64_t mailbox = 0, age_ms = 0, window_ms = 0;
    unsigned order = INSPECT_BY_MAILBOX;
    if (!admin_take_word(session, request, "by", orders, &order) ||
        !admin_take_uint(session, request, "rows", 1, INSPECT_ROWS_MAX, &rows) ||
        !admin_take_uint(session, request, "window_ms", 0, INSPECT_WINDOW_MS_MAX, &window_ms) ||
        !admin_take_uint(session, request, "mailbox_min", 0, UINT32_MAX, &mailbox) ||
        !admin_take_uint(session, request, "age_min_ms", 0, UINT32_MAX, &age_ms) ||
        !admin_take_uint(session, request, "bytes_min", 0, UINT64_MAX, &query->bytes_min) ||
        !admin_take_text(session, request, "class", query->class_name, sizeof(query->class_name)))
        return false;
    query->order = (enum inspect_order)order;
    query->rows = (uint32_t)rows;
    query->window_ms = (uint32_t)window_ms;
    query->mailbox_messages_min = (uint32_t)mailbox;
    query->oldest_ms_min = (uint32_t)age_ms;
    return true;
}

void admin_top(struct admin_session *session, const struct admin_request *request) {
    struct inspect_query query = {0};
    if (take_filter(session, request, &query, ROWS_DEFAULT))
        begin_query(session, &query);
}

void admin_actors(struct admin_session *session, const struct admin_request *request) {
    struct inspect_query query = {0};
    if (!take_filter(session, request, &query, ROWS_OF_CLASS_DEFAULT))
        return;
    if (admin_class_exists(query.class_name))
        begin_query(session, &query);
    else
        admin_error(session, "not_found", "there is no class \"%s\"; \"classes\" lists them",
                    query.class_name);
}

static void answer_rows(struct admin_session *session) {
    const struct inspect_gather *gather = &session->work.gather;
    for (uint32_t i = 0; i < gather->row_count; i++)
        put_row(session, &gather->rows[i]);
    struct admin_writer *end = admin_end(session);
    admin_put_uint(end, "actors_seen", gather->actors_seen);
    admin_put_uint(end, "actors_matched", gather->actors_matched);
    admin_put_uint(end, "window_ms", session->work.window_ms);
    admin_put_uint(end, "scan_ns", gather->scan_ns_max);
    char note[160] = "";
    if (gather->answered < gather->shards)
        snprintf(note, sizeof(note), "%u of %u shards did not answer: they hang, see \"slow\"",
                 gather->shards - gather->answered, gather->shards);
    else if (gather->row_count < gather->actors_matched)
        snprintf(note, sizeof(note), "the first %u of %" PRIu64 "; more with --rows",
                 gather->row_count, gather->actors_matched);
    if (note[0])
        admin_put_text(end, "note", note);
    admin_end_send(session);
}

void admin_top_on_message(struct admin_session *session, struct message **message) {
    bool last = (*message)->kind == ADMIN_TICK;
    if ((*message)->kind == INSPECT_ANSWER)
        last = inspect_gather_add(&session->work.gather, *message);
    if (!last)
        return;
    if (session->work.gather.error && session->work.gather.row_count == 0)
        admin_error_errno(session, session->work.gather.error, "a shard could not look");
    else
        answer_rows(session);
}

/* --- one ---------------------------------------------------------------------------------------
 */

static void on_found(struct admin_session *session, const struct inspect_row *row) {
    int error = actor_inspect_detail(row->actor, &session->work.call);
    if (error)
        admin_error_errno(session, error, "the actor can't be asked");
    else
        session->deadline = actor_timer_start(ADMIN_DEADLINE_MS, ADMIN_TICK, 0);
}

#define RELATIONS_NONE 0u /* what waits is wanted */
#define RELATIONS_OF(kind) (1u << (kind))

void admin_mailbox(struct admin_session *session, const struct admin_request *request) {
    session->work.relations = RELATIONS_NONE;
    admin_resolve(session, request, on_found);
}

void admin_links(struct admin_session *session, const struct admin_request *request) {
    session->work.relations = RELATIONS_OF(INSPECT_LINKED);
    admin_resolve(session, request, on_found);
}

void admin_monitors(struct admin_session *session, const struct admin_request *request) {
    session->work.relations = RELATIONS_OF(INSPECT_MONITORS) | RELATIONS_OF(INSPECT_MONITORED_BY);
    admin_resolve(session, request, on_found);
}

static void put_messages(struct admin_session *session, const struct message *answer,
                         const struct inspect_detail *detail) {
    const struct inspect_message *messages = inspect_detail_messages(answer);
    for (uint32_t i = 0; i < detail->message_count; i++) {
        struct admin_writer *writer = admin_row(session);
        bool sent = messages[i].from.bits != 0;
        admin_put_uint(writer, "place", i + 1);
        admin_put_text(writer, "message", messages[i].kind_name);
        admin_put_uint(writer, "kind", messages[i].kind);
        admin_put_uint(writer, "bytes", messages[i].bytes);
        admin_put_uint(writer, "age_ns", messages[i].age_ns);
        admin_put_text(writer, "from", sent ? ADMIN_ID_TEXT(messages[i].from) : NULL);
        admin_put_bool(writer, "deferred", messages[i].deferred);
        admin_row_end(session);
    }
}

static void put_relations(struct admin_session *session, const struct message *answer,
                          const struct inspect_detail *detail) {
    static const char *const names[] = {[INSPECT_MONITORS] = "monitors",
                                        [INSPECT_MONITORED_BY] = "monitored by",
                                        [INSPECT_LINKED] = "linked with"};
    const struct inspect_relation *relations = inspect_detail_relations(answer);
    for (uint32_t i = 0; i < detail->relation_count; i++) {
        if (!(session->work.relations & RELATIONS_OF(relations[i].kind)))
            continue;
        struct admin_writer *writer = admin_row(session);
        admin_put_text(writer, "actor", ADMIN_ID_TEXT(detail->actor));
        admin_put_text(writer, "relation", names[relations[i].kind]);
        admin_put_text(writer, "other", ADMIN_ID_TEXT(relations[i].other));
        admin_row_end(session);
    }
}

static void answer_detail(struct admin_session *session, const struct message *answer,
                          const struct inspect_detail *detail) {
    if (!detail->class_name) {
        admin_error(session, "not_found", "the actor has ended meanwhile");
        return;
    }
    if (session->work.relations == RELATIONS_NONE)
        put_messages(session, answer, detail);
    else
        put_relations(session, answer, detail);
    struct admin_writer *end = admin_end(session);
    admin_put_text(end, "class", detail->class_name);
    admin_put_uint(end, "messages", detail->messages_in_all);
    admin_end_send(session);
}

void admin_detail_on_message(struct admin_session *session, struct message **message) {
    if ((*message)->kind == INSPECT_DETAIL) {
        const struct inspect_detail *detail = message_as(*message, struct inspect_detail);
        if (detail->reference == session->work.call)
            answer_detail(session, *message, detail);
    } else if ((*message)->kind == ADMIN_TICK && session->work.call) {
        admin_error(session, "timeout", "its shard did not answer: it hangs, see \"slow\"");
    } else {
        admin_resolve_on_message(session, message);
    }
}

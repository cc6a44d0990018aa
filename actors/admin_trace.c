/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `trace`: which messages an actor, or all of a class, handles and sends, as it happens.
 *
 *     resolve ─► started on each shard ─► rows ... ─► each shard's end ─► the end
 *
 * It ends by itself; the shell's `cancel` ends it early, and then it ends in order. What the shell
 * does not read in time is dropped and counted.
 */
#include "actors/admin_internal.h"
#include "runtime/trace.h"

#include <stdio.h>
#include <string.h>

#define DURATION_MS_DEFAULT 10000u
#define PER_SECOND_DEFAULT 100u
#define GRACE_MS 2000u

/* --- beginning ---------------------------------------------------------------------------------
 */

static void start(struct admin_session *session, struct trace_spec *spec) {
    spec->duration_ms = session->work.trace.duration_ms;
    spec->per_second = session->work.trace.per_second;
    session->work.trace.started_ns = actor_now_ns();
    session->work.trace.shards_left = node_current()->shards;
    int error = actor_trace_start(spec, &session->work.trace.reference);
    if (error) {
        admin_error_errno(session, error, "it can't be traced");
        return;
    }
    session->work.trace.started = true;
    session->deadline = actor_timer_start(spec->duration_ms + GRACE_MS, ADMIN_TICK, 0);
}

static void on_found(struct admin_session *session, const struct inspect_row *row) {
    struct trace_spec spec = {.actor = row->actor};
    start(session, &spec);
}

void admin_trace(struct admin_session *session, const struct admin_request *request) {
    struct trace_spec spec = {.duration_ms = 0};
    uint64_t duration_ms = DURATION_MS_DEFAULT, per_second = PER_SECOND_DEFAULT;
    char what[ADMIN_REFERENCE_BYTES_MAX] = "";
    if (!admin_take_uint(session, request, "duration_ms", 1, TRACE_MS_MAX, &duration_ms) ||
        !admin_take_uint(session, request, "per_second", 1, TRACE_PER_SECOND_MAX, &per_second) ||
        !admin_take_text(session, request, "actor", what, sizeof(what)))
        return;
    unsigned shards = node_current()->shards;
    session->work.trace.duration_ms = (uint32_t)duration_ms;
    session->work.trace.per_second = (uint32_t)((per_second + shards - 1) / shards);
    if (admin_class_exists(what) && strlen(what) < sizeof(spec.class_name) &&
        !actor_whereis(what).bits) {
        memcpy(spec.class_name, what, strlen(what) + 1);
        start(session, &spec);
    } else {
        admin_resolve(session, request, on_found);
    }
}

/* --- rows --------------------------------------------------------------------------------------
 */

static void put_other(struct admin_writer *row, const struct trace_event *event) {
    char text[64];
    if (event->other_class) {
        snprintf(text, sizeof(text), "%.32s:%llu", event->other_class,
                 (unsigned long long)event->other_key);
        admin_put_text(row, "other", text);
    } else {
        admin_put_text(row, "other", event->other.bits ? ADMIN_ID_TEXT(event->other) : NULL);
    }
}

static void put_event(struct admin_session *session, const struct trace_event *event) {
    static const char *const names[] = {
        [TRACE_HANDLED] = "handled", [TRACE_FAILED] = "failed", [TRACE_SENT] = "sent"};
    uint64_t started_ns = session->work.trace.started_ns;
    struct admin_writer *row = admin_row(session);
    admin_put_uint(row, "at_ns", event->at_ns > started_ns ? event->at_ns - started_ns : 0);
    admin_put_text(row, "actor", ADMIN_ID_TEXT(event->actor));
    admin_put_text(row, "class", event->class_name);
    admin_put_uint(row, "key", event->key);
    admin_put_text(row, "what", names[event->what]);
    admin_put_text(row, "message", event->kind_name);
    admin_put_uint(row, "kind", event->kind);
    put_other(row, event);
    admin_put_uint(row, "bytes", event->bytes);
    admin_put_uint(row, "waited_ns", event->waited_ns);
    admin_put_uint(row, "took_ns", event->took_ns);
    admin_row_end(session);
}

static void finish(struct admin_session *session, const char *note) {
    struct admin_writer *end = admin_end(session);
    admin_put_uint(end, "events", session->work.trace.events);
    admin_put_uint(end, "suppressed", session->work.trace.suppressed);
    char text[160];
    snprintf(text, sizeof(text), "%llu events shown%s",
             (unsigned long long)session->work.trace.events, note);
    if (session->work.trace.suppressed)
        snprintf(text, sizeof(text), "%llu events shown, %llu were beyond the limit%s",
                 (unsigned long long)session->work.trace.events,
                 (unsigned long long)session->work.trace.suppressed, note);
    admin_put_text(end, "note", text);
    admin_end_send(session);
}

static void on_ended(struct admin_session *session, const struct trace_ended *ended) {
    session->work.trace.events += ended->events;
    session->work.trace.suppressed += ended->suppressed;
    if (ended->why == TRACE_OVER_BUSY && session->work.trace.started) {
        actor_trace_stop(session->work.trace.reference);
        admin_error(session, "busy", "%u traces are at work already; wait for one to end",
                    TRACES_MAX);
        return;
    }
    if (--session->work.trace.shards_left == 0)
        finish(session, "");
}

void admin_trace_on_message(struct admin_session *session, struct message **message) {
    if (!session->work.trace.started) {
        admin_resolve_on_message(session, message);
    } else if ((*message)->kind == TRACE_EVENT) {
        const struct trace_event *event = message_as(*message, struct trace_event);
        if (event->reference == session->work.trace.reference)
            put_event(session, event);
    } else if ((*message)->kind == TRACE_ENDED) {
        const struct trace_ended *ended = message_as(*message, struct trace_ended);
        if (ended->reference == session->work.trace.reference)
            on_ended(session, ended);
    } else if ((*message)->kind == ADMIN_TICK) {
        finish(session, "; a shard did not say its end: it hangs, see \"slow\"");
    }
}

/* Its shards say their ends, and that is the end. */
void admin_trace_cancel(struct admin_session *session) {
    if (session->work.trace.started)
        actor_trace_stop(session->work.trace.reference);
    else
        admin_error(session, "canceled", "canceled");
}

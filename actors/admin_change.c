/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shell's commands that change the running node: kill, restart, drain, log. Each says what it
 * did, and is logged with who asked for it (the socket's credentials): when it begins, for it may
 * be what brings the node down, and with what came of it.
 */
#include "actors/admin_internal.h"
#include "runtime/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A supervisor's children have their own time to end, up to half a minute. */
#define RESTART_MS_MAX 45000u

void admin_change_begin(struct admin_session *session, const char *what) {
    snprintf(session->work.change, sizeof(session->work.change), "%s", what);
    log_warning("admin: uid %u (pid %d) asks by the shell: %s", session->peer.uid,
                session->peer.pid, what);
}

void admin_change_over(struct admin_session *session, const char *outcome) {
    if (session->work.change[0])
        log_warning("admin: uid %u (pid %d) asked by the shell: %s: %s", session->peer.uid,
                    session->peer.pid, session->work.change, outcome);
    session->work.change[0] = '\0';
}

void admin_change_end(struct admin_session *session, const char *note) {
    admin_change_over(session, note);
    admin_put_text(admin_end(session), "note", note);
    admin_end_send(session);
}

/* True: it is answered that this one is not to be touched. */
static bool is_protected(struct admin_session *session, const struct inspect_row *row) {
    bool root = row->actor.bits == runtime_root(runtime_current()).bits;
    if (!root && row->actor.bits != actor_self().bits)
        return false;
    admin_error(session, "refused",
                root ? "the root supervisor is the node itself; \"drain\" ends it in order"
                     : "that is this shell's own session; \"quit\" ends it");
    return true;
}

static void describe(const struct inspect_row *row, char *text, size_t bytes) {
    int used = snprintf(text, bytes, "%.32s %s", row->class_name, ADMIN_ID_TEXT(row->actor));
    if (row->named)
        snprintf(text + used, bytes - (size_t)used, " (key %llu)", (unsigned long long)row->key);
}

/* --- kill --------------------------------------------------------------------------------------
 */

static void kill_found(struct admin_session *session, const struct inspect_row *row) {
    char what[128], text[160];
    if (is_protected(session, row))
        return;
    describe(row, what, sizeof(what));
    snprintf(text, sizeof(text), "kill %s", what);
    admin_change_begin(session, text);
    session->work.target = *row;
    session->work.call = actor_monitor(row->actor);
    actor_kill(row->actor, ACTOR_KILLED);
    session->deadline = actor_timer_start(ADMIN_DEADLINE_MS, ADMIN_TICK, 0);
}

void admin_kill(struct admin_session *session, const struct admin_request *request) {
    admin_resolve(session, request, kill_found);
}

void admin_kill_on_message(struct admin_session *session, struct message **message) {
    char what[128], text[256];
    if (!session->work.call) {
        admin_resolve_on_message(session, message);
        return;
    }
    const struct inspect_row *row = &session->work.target;
    if ((*message)->kind == ADMIN_TICK) {
        admin_error(session, "timeout", "it did not end within %u s: its shard hangs, see \"slow\"",
                    ADMIN_DEADLINE_MS / 1000);
        return;
    }
    if ((*message)->kind != ACTOR_DOWN ||
        message_as(*message, struct actor_down)->reference != session->work.call)
        return;
    describe(row, what, sizeof(what));
    snprintf(text, sizeof(text), "%s was killed%s", what,
             row->named             ? "; the next message to it brings it back"
             : row->supervisor.bits ? "; its supervisor decides what follows, see \"tree\""
                                    : "");
    admin_change_end(session, text);
}

/* --- restart: resolve ─► which place ─► stopped in order ─► started ----------------------------
 */

static void ask_supervisor(struct admin_session *session, enum supervisor_question question,
                           uint64_t timeout_ms) {
    session->work.question = question;
    if (supervisor_ask(session->work.target.supervisor, question, session->work.place, timeout_ms,
                       &session->work.call) != 0)
        admin_error(session, "failed", "its supervisor can't be asked now; try again");
}

static void restart_found(struct admin_session *session, const struct inspect_row *row) {
    if (is_protected(session, row))
        return;
    if (!row->supervisor.bits || row->named) {
        admin_error(session, "refused",
                    "it is not one that its supervisor starts again; \"kill\" ends it%s",
                    row->named ? ", and the next message to it brings it back" : "");
        return;
    }
    session->work.target = *row;
    ask_supervisor(session, SUPERVISOR_LIST, ADMIN_DEADLINE_MS);
}

void admin_restart(struct admin_session *session, const struct admin_request *request) {
    admin_resolve(session, request, restart_found);
}

static void stop_place(struct admin_session *session, const struct supervisor_answer *answer) {
    char what[128], text[160];
    const struct supervisor_row *found = NULL;
    for (uint32_t i = 0; i < answer->row_count && !found; i++)
        if (answer->rows[i].actor.bits == session->work.target.actor.bits)
            found = &answer->rows[i];
    if (!found) {
        admin_error(session, "refused",
                    "it is one of a pool, which nobody starts again; \"kill\" ends it");
        return;
    }
    if (strcmp(found->name, admin_class.name) == 0) {
        admin_error(session, "refused",
                    "this shell stands on it; \"kill\" ends it, and its "
                    "supervisor starts another");
        return;
    }
    session->work.place = found->place;
    snprintf(session->work.reference, sizeof(session->work.reference), "%s", found->name);
    describe(&session->work.target, what, sizeof(what));
    snprintf(text, sizeof(text), "restart %s", what);
    admin_change_begin(session, text);
    ask_supervisor(session, SUPERVISOR_END, RESTART_MS_MAX);
}

static void on_answer(struct admin_session *session, const struct supervisor_answer *answer) {
    char text[128];
    if (answer->error && answer->error != -EEXIST && answer->error != -EAGAIN) {
        admin_error_errno(session, answer->error, "its supervisor refuses");
        return;
    }
    if (answer->question == SUPERVISOR_LIST) {
        stop_place(session, answer);
    } else if (answer->question == SUPERVISOR_END) {
        ask_supervisor(session, SUPERVISOR_RESUME, RESTART_MS_MAX);
    } else {
        snprintf(text, sizeof(text), "%s was stopped in order and started again",
                 session->work.reference);
        admin_change_end(session, text);
    }
}

void admin_restart_on_message(struct admin_session *session, struct message **message) {
    if (!session->work.call)
        admin_resolve_on_message(session, message);
    else if (message_reference(*message) == session->work.call &&
             (*message)->kind == SUPERVISOR_ANSWER)
        on_answer(session, message_payload(*message));
    else if ((*message)->kind == ACTOR_UNANSWERED)
        admin_error(session, "timeout", "its supervisor did not say that it is done; see \"tree\"");
}

/* --- drain -------------------------------------------------------------------------------------
 */

void admin_drain(struct admin_session *session, const struct admin_request *request) {
    struct node *node = node_current();
    struct actor_id drainer = actor_whereis(DRAINER_NAME);
    char text[160];
    if (atomic_load_explicit(&node->draining, memory_order_relaxed)) {
        admin_error(session, "refused", "it drains already; \"node\" says how far it is");
        return;
    }
    if (!drainer.bits || actor_signal(drainer, DRAIN_BEGIN) != 0) {
        admin_error(session, "failed", "the drainer is being restarted; try again");
        return;
    }
    admin_change_begin(session, "drain");
    snprintf(text, sizeof(text),
             "the node drains: %u connections are told to go; it ends within %u s, and is not "
             "started again",
             atomic_load_explicit(&node->connections, memory_order_relaxed),
             (node->limits.drain_ms + 999) / 1000);
    admin_change_end(session, text);
}

/* --- log ---------------------------------------------------------------------------------------
 */

static const char *const levels[] = {[LOG_DEBUG] = "debug",
                                     [LOG_INFO] = "info",
                                     [LOG_WARNING] = "warning",
                                     [LOG_ERROR] = "error",
                                     NULL};

static void put_level(struct admin_session *session, const char *class_name, enum log_level level) {
    struct admin_writer *row = admin_row(session);
    admin_put_text(row, "class", class_name);
    admin_put_text(row, "level", levels[level]);
    admin_row_end(session);
}

void admin_log(struct admin_session *session, const struct admin_request *request) {
    unsigned level = 0;
    char class_name[32] = "", text[128];
    if (!admin_take_word(session, request, "level", levels, &level) ||
        !admin_take_text(session, request, "class", class_name, sizeof(class_name)))
        return;
    bool changes = admin_field_find(&request->arguments, "level") != NULL;
    if (changes) {
        int error = class_name[0] ? log_class_level_set(class_name, (enum log_level)level) : 0;
        if (error) {
            admin_error(session, "refused", "%u classes have a level of their own already",
                        LOG_CLASSES_MAX);
            return;
        }
        if (!class_name[0])
            log_level_set((enum log_level)level);
        snprintf(text, sizeof(text), "log %s%s%s", levels[level], class_name[0] ? " " : "",
                 class_name);
        admin_change_begin(session, text);
        admin_change_over(session, "done");
    }
    const char *name;
    enum log_level of_class;
    put_level(session, "(all others)", log_level_get());
    for (unsigned i = 0; log_class_level_get(i, &name, &of_class); i++)
        put_level(session, name, of_class);
    snprintf(text, sizeof(text), "the log writes %s and what is graver%s%s, until the node ends",
             levels[level], class_name[0] ? ", of actors of class " : "", class_name);
    struct admin_writer *end = admin_end(session);
    if (changes)
        admin_put_text(end, "note", text);
    admin_end_send(session);
}

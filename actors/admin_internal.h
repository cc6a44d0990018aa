/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A shell's session and its commands: what the files admin_*.c share.
 *
 * A command begins with its request and answers with rows and one end or error, now or when what it
 * asked for has come; one is at work at a time. Its own state lies in the session, zeroed before it
 * begins.
 *
 *     begin ─► [on_message ...] ─► admin_end, or admin_error
 */
#ifndef TERN_ACTORS_ADMIN_INTERNAL_H
#define TERN_ACTORS_ADMIN_INTERNAL_H

#include "actors/admin.h"
#include "actors/node.h"
#include "actors/quarantine.h"
#include "net/admin.h"
#include "runtime/inspect.h"
#include "runtime/local.h"
#include "runtime/runtime.h"
#include "runtime/supervisor.h"

struct admin_session;

struct admin_command {
    const char *name;
    void (*begin)(struct admin_session *session, const struct admin_request *request);
    /* What comes for the command while it is at work: INSPECT_ANSWER, ADMIN_DONE and the like. */
    void (*on_message)(struct admin_session *session, struct message **message);
    /* The shell asks for an end, or goes: the command answers, now or soon. NULL: it is ended. */
    void (*cancel)(struct admin_session *session);
};

#define ADMIN_REFERENCE_BYTES_MAX 64u /* "mailbox:+15550001111" */
#define ADMIN_DEADLINE_MS 3000u       /* for shards to answer; one that doesn't hangs */
#define ADMIN_TREE_MAX 1024u          /* rows of a tree */

struct admin_tree_row {
    struct supervisor_row row;
    uint32_t parent, depth; /* index of the supervisor's row */
    bool listed;            /* a supervisor that has answered */
};

/* What an ADMIN_DONE begins with: of which request it is. One that comes late is dropped. */
struct admin_job {
    uint64_t request;
};

/* What a command that looks for one actor does with it. */
typedef void (*admin_found_fn)(struct admin_session *session, const struct inspect_row *row);

struct admin_session {
    struct socket_id socket;
    struct local_peer peer;
    bool connected, sending, refuse;
    uint8_t input[ADMIN_HEAD_BYTES + ADMIN_REQUEST_BYTES_MAX];
    size_t input_bytes;
    struct admin_writer output; /* what waits for the socket; grown by admin_begin_frame */

    /* The command at work. */
    const struct admin_command *command; /* NULL: none */
    uint64_t request;                    /* its id */
    uint32_t rows, rows_dropped;
    struct actor_timer deadline;
    struct {
        struct inspect_gather gather;
        uint32_t window_ms;
        /* admin_resolve: */
        char reference[ADMIN_REFERENCE_BYTES_MAX];
        admin_found_fn found;
        bool by_device;  /* a mailbox is looked for that knows the connection */
        uint32_t device; /* of it; 0: the only one that is connected */
        bool described;  /* `target` was asked what it does */
        uint64_t call;   /* what is asked of a supervisor, or of one actor */
        unsigned relations;
        struct admin_shards_before *shards_before; /* NULL: no window was asked for */
        struct admin_tree_row *tree;
        uint32_t tree_count, tree_asked;
        char change[192];          /* what was begun; empty: nothing, or it is over */
        struct inspect_row target; /* of a change, of info */
        enum supervisor_question question;
        uint32_t place;
        struct {
            bool started;
            uint32_t duration_ms, per_second, shards_left;
            uint64_t reference, started_ns, events, suppressed;
        } trace;
        uint32_t left;                 /* rows that quarantine may yet list */
        struct quarantine_place entry; /* that it looks at; sequence 0: all */
    } work;
};

/* --- answering: admin_session.c --- */

/* A row to be filled by admin_put_*, then admin_row_end. */
struct admin_writer *admin_row(struct admin_session *session);
void admin_row_end(struct admin_session *session);
/* The end, with `rows`; more may be put before admin_end_send. The command is over then. */
struct admin_writer *admin_end(struct admin_session *session);
void admin_end_send(struct admin_session *session);
/* The command is over. `code` is a word for programs, the text a sentence for people. */
__attribute__((format(printf, 3, 4))) void admin_error(struct admin_session *session,
                                                       const char *code, const char *format, ...);
/* `code` for a negative errno of the runtime or the store. */
void admin_error_errno(struct admin_session *session, int error, const char *what);

/* --- arguments --- */

/* False: the request's argument is of another kind or out of bounds, and an error was answered. The
 * value is untouched when there is no such argument. */
bool admin_take_uint(struct admin_session *session, const struct admin_request *request,
                     const char *name, uint64_t min, uint64_t max, uint64_t *value);
bool admin_take_text(struct admin_session *session, const struct admin_request *request,
                     const char *name, char *text, size_t bytes);
/* An index into `words` (NULL-terminated). */
bool admin_take_word(struct admin_session *session, const struct admin_request *request,
                     const char *name, const char *const words[], unsigned *index);

/* "0x8000000001" */
const char *admin_id_text(struct actor_id actor, char text[32]);
#define ADMIN_ID_TEXT(actor) admin_id_text(actor, (char[32]){0})

/* "normal", "killed", "failed (7)": why an actor has ended. */
const char *admin_reason_text(int reason, char text[32]);
#define ADMIN_REASON_TEXT(reason) admin_reason_text(reason, (char[32]){0})

const char *admin_state_text(enum inspect_state state);
/* The field `key`: nil where the actor has none. */
void admin_put_key(struct admin_writer *writer, const struct inspect_row *row);

/* A change begins: a line of the log says who asks for it, and for what. Another says what came of
 * it, at the latest with admin_error; the session's end is told too. */
void admin_change_begin(struct admin_session *session, const char *what);
void admin_change_over(struct admin_session *session, const char *outcome);
/* admin_change_over, and the command's end with `note`, which says what was done. */
void admin_change_end(struct admin_session *session, const char *note);

/* --- one actor by its name: admin_resolve.c --- */

/* Looks for whom `ACTOR` of the request names: "0x8000000001", "class:key", "mailbox:+15550001111",
 * or a name such as "listener/0". `found` is called with its row, now or later, on a command whose
 * on_message is admin_resolve_on_message; or an error is answered. */
void admin_resolve(struct admin_session *session, const struct admin_request *request,
                   admin_found_fn found);
void admin_resolve_on_message(struct admin_session *session, struct message **message);
bool admin_class_exists(const char *name);
/* Asks it for a description (MAILBOX_DESCRIBE, CONNECTION_DESCRIBE) that bears the request's id,
 * and starts the deadline. 0, or why it can't be asked. */
int admin_describe(struct admin_session *session, struct actor_id actor, uint16_t kind);

/* --- commands --- */

void admin_node(struct admin_session *session, const struct admin_request *request);
void admin_shards(struct admin_session *session, const struct admin_request *request);
void admin_shards_on_message(struct admin_session *session, struct message **message);
void admin_classes(struct admin_session *session, const struct admin_request *request);
void admin_events(struct admin_session *session, const struct admin_request *request);
void admin_top(struct admin_session *session, const struct admin_request *request);
void admin_actors(struct admin_session *session, const struct admin_request *request);
void admin_top_on_message(struct admin_session *session, struct message **message);
void admin_info(struct admin_session *session, const struct admin_request *request);
void admin_info_on_message(struct admin_session *session, struct message **message);
void admin_mailbox(struct admin_session *session, const struct admin_request *request);
void admin_links(struct admin_session *session, const struct admin_request *request);
void admin_monitors(struct admin_session *session, const struct admin_request *request);
void admin_detail_on_message(struct admin_session *session, struct message **message);
void admin_tree(struct admin_session *session, const struct admin_request *request);
void admin_tree_on_message(struct admin_session *session, struct message **message);
void admin_quarantine(struct admin_session *session, const struct admin_request *request);
void admin_quarantine_on_message(struct admin_session *session, struct message **message);
void admin_release(struct admin_session *session, const struct admin_request *request);
void admin_drop(struct admin_session *session, const struct admin_request *request);
void admin_quarantine_on_done(struct admin_session *session, struct message **message);
void admin_recorder(struct admin_session *session, const struct admin_request *request);
void admin_slow(struct admin_session *session, const struct admin_request *request);
void admin_crashes(struct admin_session *session, const struct admin_request *request);
void admin_crashes_on_message(struct admin_session *session, struct message **message);
void admin_trace(struct admin_session *session, const struct admin_request *request);
void admin_trace_on_message(struct admin_session *session, struct message **message);
void admin_trace_cancel(struct admin_session *session);
void admin_kill(struct admin_session *session, const struct admin_request *request);
void admin_kill_on_message(struct admin_session *session, struct message **message);
void admin_restart(struct admin_session *session, const struct admin_request *request);
void admin_restart_on_message(struct admin_session *session, struct message **message);
void admin_drain(struct admin_session *session, const struct admin_request *request);
void admin_log(struct admin_session *session, const struct admin_request *request);
void admin_config(struct admin_session *session, const struct admin_request *request);
void admin_limit(struct admin_session *session, const struct admin_request *request);
void admin_reload(struct admin_session *session, const struct admin_request *request);
void admin_config_on_message(struct admin_session *session, struct message **message);
void admin_store(struct admin_session *session, const struct admin_request *request);
void admin_store_on_message(struct admin_session *session, struct message **message);
void admin_mail(struct admin_session *session, const struct admin_request *request);
void admin_mail_on_message(struct admin_session *session, struct message **message);
void admin_histogram(struct admin_session *session, const struct admin_request *request);

#endif

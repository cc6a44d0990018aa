/* SPDX-License-Identifier: Apache-2.0 */
/* The shell's commands about the past: flight recorders, slow handlers, crash records. */
#include "actors/admin_internal.h"
#include "runtime/crash.h"
#include "runtime/recorder.h"
#include "runtime/watchdog.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* --- recorder ----------------------------------------------------------------------------------
 */

static void put_entry(struct admin_session *session, const struct recorder_entry *entry,
                      uint32_t now_ms) {
    struct admin_writer *row = admin_row(session);
    char detail[32] = "";
    admin_put_uint(row, "number", entry->number);
    admin_put_uint(row, "age_ms", (uint32_t)(now_ms - entry->at_ms));
    admin_put_text(row, "event", recorder_event_name(entry->event));
    admin_put_text(row, "class", entry->class);
    admin_put_text(row, "actor", entry->actor.bits ? ADMIN_ID_TEXT(entry->actor) : NULL);
    if (entry->event == RECORDER_MESSAGE && entry->kind)
        snprintf(detail, sizeof(detail), "%.31s", entry->kind);
    else if (entry->event == RECORDER_MESSAGE)
        snprintf(detail, sizeof(detail), "kind %d", entry->detail);
    else if (entry->event == RECORDER_EXIT || entry->event == RECORDER_FAIL)
        admin_reason_text(entry->detail, detail);
    admin_put_text(row, "detail", detail[0] ? detail : NULL);
    admin_row_end(session);
}

void admin_recorder(struct admin_session *session, const struct admin_request *request) {
    struct recorder_entry entries[RECORDER_EVENTS];
    uint64_t shard = 0;
    if (!admin_take_uint(session, request, "shard", 0, node_current()->shards - 1, &shard))
        return;
    unsigned count = recorder_read(runtime_current(), (unsigned)shard, entries);
    for (unsigned i = 0; i < count; i++)
        put_entry(session, &entries[i], (uint32_t)actor_now_ms());
    admin_end(session);
    admin_end_send(session);
}

/* --- slow --------------------------------------------------------------------------------------
 */

static void put_report(struct admin_session *session, const struct watchdog_report *report) {
    struct admin_writer *row = admin_row(session);
    admin_put_uint(row, "seen_time_ms", report->time_ms);
    admin_put_uint(row, "shard", report->shard);
    admin_put_text(row, "class", report->class_name);
    admin_put_text(row, "actor", ADMIN_ID_TEXT((struct actor_id){report->actor}));
    admin_put_text(row, "doing", report->what);
    admin_put_uint(row, "ran_ms", report->ran_ms);
    admin_put_uint(row, "more", report->more);
    admin_put_text(row, "at", report->trace[0] ? report->trace : NULL);
    admin_row_end(session);
}

void admin_slow(struct admin_session *session, const struct admin_request *request) {
    struct watchdog_report *reports =
        actor_allocate(WATCHDOG_REPORTS_MAX * sizeof(struct watchdog_report));
    unsigned count = runtime_overruns_read(runtime_current(), reports);
    for (unsigned i = 0; i < count; i++)
        put_report(session, &reports[i]);
    actor_free(reports);
    admin_end(session);
    admin_end_send(session);
}

/* --- crashes -----------------------------------------------------------------------------------
 */

#define RECORD_NAME_BYTES 80u
#define LINE_BYTES 400u
#define TEXT_BYTES_MAX 49152u

struct crash_line {
    char record[RECORD_NAME_BYTES];
    char time[32], class[32], message[64], summary[LINE_BYTES], blame[LINE_BYTES];
};
struct crash_list {
    struct admin_job job;
    char directory[CRASH_PATH_BYTES_MAX];
    int error;
    uint32_t count;
    struct crash_line lines[CRASH_RECORDS_MAX];
};
_Static_assert(sizeof(struct crash_list) <= MESSAGE_PAYLOAD_MAX, "a list is one message");

struct crash_text {
    struct admin_job job;
    char path[CRASH_PATH_BYTES_MAX];
    int error;
    bool cut;
    uint32_t length;
    char text[TEXT_BYTES_MAX];
};
_Static_assert(sizeof(struct crash_text) <= MESSAGE_PAYLOAD_MAX, "a record is one message");

static int list_record(void *context, const char *path) {
    struct crash_list *list = context;
    struct crash_line *line = &list->lines[list->count];
    const char *name = strrchr(path, '/');
    snprintf(line->record, sizeof(line->record), "%s", name ? name + 1 : path);
    crash_record_field(path, "time", line->time, sizeof(line->time));
    crash_record_field(path, "class", line->class, sizeof(line->class));
    crash_record_field(path, "message", line->message, sizeof(line->message));
    crash_record_field(path, "summary", line->summary, sizeof(line->summary));
    crash_record_field(path, "blame", line->blame, sizeof(line->blame));
    return ++list->count == CRASH_RECORDS_MAX;
}

static void run_list(struct message *message) {
    struct crash_list *list = message_payload(message);
    int error = crash_records_visit(list->directory, list_record, list);
    list->error = error < 0 ? error : 0;
}

static void run_text(struct message *message) {
    struct crash_text *text = message_payload(message);
    FILE *file = fopen(text->path, "re");
    if (!file) {
        text->error = -errno;
        return;
    }
    text->length = (uint32_t)fread(text->text, 1, sizeof(text->text) - 1, file);
    text->cut = !feof(file);
    fclose(file);
}

static void run(struct admin_session *session, void (*job)(struct message *),
                struct message **message) {
    int error = actor_run_blocking(job, message);
    message_destroy(*message);
    if (error)
        admin_error_errno(session, error, "the records can't be read");
}

static void begin_list(struct admin_session *session) {
    struct message *message = message_create(ADMIN_DONE, sizeof(struct crash_list));
    struct crash_list *list = message_payload(message);
    list->job.request = session->request;
    snprintf(list->directory, sizeof(list->directory), "%s/crashes", node_current()->data);
    session->work.call = 0;
    run(session, run_list, &message);
}

static void begin_text(struct admin_session *session, const char *record) {
    struct message *message = message_create(ADMIN_DONE, sizeof(struct crash_text));
    struct crash_text *text = message_payload(message);
    text->job.request = session->request;
    snprintf(text->path, sizeof(text->path), "%s/crashes/%s", node_current()->data, record);
    session->work.call = 1;
    run(session, run_text, &message);
}

void admin_crashes(struct admin_session *session, const struct admin_request *request) {
    char record[RECORD_NAME_BYTES] = "";
    if (!admin_take_text(session, request, "record", record, sizeof(record)))
        return;
    if (!record[0])
        begin_list(session);
    else if (strncmp(record, "CRASH-", 6) == 0 && !strchr(record, '/'))
        begin_text(session, record);
    else
        admin_error(session, "argument", "a record is CRASH-..., as \"crashes\" lists it");
}

static void put_line(struct admin_session *session, const struct crash_line *line) {
    struct admin_writer *row = admin_row(session);
    admin_put_text(row, "record", line->record);
    admin_put_text(row, "time", line->time);
    admin_put_text(row, "class", line->class);
    admin_put_text(row, "message", line->message);
    admin_put_text(row, "summary", line->summary);
    admin_put_text(row, "blame", line->blame);
    admin_row_end(session);
}

static void answer_list(struct admin_session *session, const struct crash_list *list) {
    if (list->error) {
        admin_error_errno(session, list->error, "the records can't be read");
        return;
    }
    for (uint32_t i = 0; i < list->count; i++)
        put_line(session, &list->lines[i]);
    struct admin_writer *end = admin_end(session);
    if (list->count)
        admin_put_text(end, "note", "\"crashes RECORD\" shows one, with the actor's last events");
    admin_end_send(session);
}

/* A line of the record is a row: no text of the protocol is long enough for all of it. */
static void answer_text(struct admin_session *session, struct crash_text *text) {
    if (text->error == -ENOENT) {
        admin_error(session, "not_found", "there is no such record; \"crashes\" lists them");
        return;
    }
    if (text->error) {
        admin_error_errno(session, text->error, "the record can't be read");
        return;
    }
    char *rest = text->text;
    for (char *line; (line = strsep(&rest, "\n")) && (*line || rest);) {
        admin_put_text(admin_row(session), "text", line);
        admin_row_end(session);
    }
    struct admin_writer *end = admin_end(session);
    if (text->cut)
        admin_put_text(end, "note", "the record is longer; this is its beginning");
    admin_end_send(session);
}

void admin_crashes_on_message(struct admin_session *session, struct message **message) {
    if ((*message)->kind != ADMIN_DONE)
        return;
    if (session->work.call)
        answer_text(session, message_as(*message, struct crash_text));
    else
        answer_list(session, message_as(*message, struct crash_list));
}

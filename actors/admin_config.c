/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shell's commands about the configuration: config, limit, reload; SIGHUP reloads too. What a
 * key is only the program knows (node.h, struct node_config): it is asked on the pool, for it reads
 * the file.
 */
#include "actors/admin_internal.h"
#include "runtime/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ROWS_MAX 96u
#define NAME_BYTES 48u
#define VALUE_BYTES 128u

enum config_job_kind { JOB_LIST, JOB_SET, JOB_RELOAD };

struct config_row {
    char name[NAME_BYTES], value[VALUE_BYTES], file_value[VALUE_BYTES];
    bool live, differs;
};
struct config_job {
    struct admin_job job;
    const struct node_config *config;
    enum config_job_kind kind;
    int error;
    uint32_t count;
    char name[NAME_BYTES], value[VALUE_BYTES];
    char said[512];
    struct config_row rows[ROWS_MAX];
};
_Static_assert(sizeof(struct config_job) <= MESSAGE_PAYLOAD_MAX, "a configuration is one message");

static void visit(void *context, const struct node_config_key *key) {
    struct config_job *job = context;
    if (job->count == ROWS_MAX)
        return;
    struct config_row *row = &job->rows[job->count++];
    snprintf(row->name, sizeof(row->name), "%s", key->name);
    snprintf(row->value, sizeof(row->value), "%s", key->value);
    row->live = key->live;
    row->differs = key->file_value && strcmp(key->file_value, key->value) != 0;
    if (key->file_value)
        snprintf(row->file_value, sizeof(row->file_value), "%s", key->file_value);
}

static void run(struct message *message) {
    struct config_job *job = message_payload(message);
    const struct node_config *config = job->config;
    if (job->kind == JOB_LIST)
        job->error = config->list(config->context, visit, job, job->said, sizeof(job->said));
    else if (job->kind == JOB_SET)
        job->error =
            config->set(config->context, job->name, job->value, job->said, sizeof(job->said));
    else
        job->error = config->reload(config->context, job->said, sizeof(job->said));
}

static void start(struct admin_session *session, struct config_job *job, struct message **message) {
    job->job.request = session->request;
    job->config = node_current()->config;
    int error = job->config ? actor_run_blocking(run, message) : -ENOTSUP;
    message_destroy(*message);
    if (error)
        admin_error_errno(session, error, "the configuration can't be asked");
}

static void start_kind(struct admin_session *session, enum config_job_kind kind) {
    struct message *message = message_create(ADMIN_DONE, sizeof(struct config_job));
    struct config_job *job = message_payload(message);
    job->kind = kind;
    start(session, job, &message);
}

/* --- SIGHUP ------------------------------------------------------------------------------------
 */

void admin_reload_by_signal(void) {
    struct message *message = message_create(ADMIN_DONE, sizeof(struct config_job));
    struct config_job *job = message_payload(message);
    job->kind = JOB_RELOAD;
    job->config = node_current()->config;
    int error = actor_run_blocking(run, &message);
    message_destroy(message);
    if (error)
        log_error("admin: SIGHUP: the cluster file can't be read now: %s", strerror(-error));
}

void admin_reload_done(struct message *message) {
    const struct config_job *job = message_as(message, struct config_job);
    if (job->error)
        log_error("admin: SIGHUP: nothing was reloaded: %s", job->said);
    else
        log_warning("admin: SIGHUP: reload: %s", job->said);
}

/* --- by the shell ------------------------------------------------------------------------------
 */

void admin_config(struct admin_session *session, const struct admin_request *request) {
    start_kind(session, JOB_LIST);
}

void admin_reload(struct admin_session *session, const struct admin_request *request) {
    admin_change_begin(session, "reload");
    start_kind(session, JOB_RELOAD);
}

void admin_limit(struct admin_session *session, const struct admin_request *request) {
    char text[NAME_BYTES + VALUE_BYTES + 16];
    struct message *message = message_create(ADMIN_DONE, sizeof(struct config_job));
    struct config_job *job = message_payload(message);
    job->kind = JOB_SET;
    if (!admin_take_text(session, request, "name", job->name, sizeof(job->name)) ||
        !admin_take_text(session, request, "value", job->value, sizeof(job->value))) {
        message_destroy(message);
        return;
    }
    snprintf(text, sizeof(text), "limit %s %s", job->name, job->value);
    admin_change_begin(session, text);
    start(session, job, &message);
}

static void put_row(struct admin_session *session, const struct config_row *row) {
    struct admin_writer *writer = admin_row(session);
    admin_put_text(writer, "setting", row->name);
    admin_put_text(writer, "value", row->value);
    admin_put_text(writer, "in_file", row->differs ? row->file_value : NULL);
    admin_put_text(writer, "reload",
                   !row->differs ? NULL
                   : row->live   ? "would change it"
                                 : "needs a restart of the node");
    admin_row_end(session);
}

void admin_config_on_message(struct admin_session *session, struct message **message) {
    if ((*message)->kind != ADMIN_DONE)
        return;
    const struct config_job *job = message_as(*message, struct config_job);
    if (job->error) {
        admin_error(session, job->error == -ENOENT ? "not_found" : "refused", "%s", job->said);
        return;
    }
    for (uint32_t i = 0; i < job->count; i++)
        put_row(session, &job->rows[i]);
    if (job->said[0]) {
        admin_change_end(session, job->said);
        return;
    }
    admin_end(session);
    admin_end_send(session);
}

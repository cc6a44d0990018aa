/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shell's commands about what survives: store and mail. Both read on the pool. Of mail the
 * number, the bytes and the ages are shown, never a sender's text.
 */
#include "actors/admin_internal.h"
#include "actors/quarantine.h"
#include "net/decimal.h"
#include "storage/account.h"
#include "storage/mail.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES_MAX 100000u /* of a device that are counted */

/* --- store -------------------------------------------------------------------------------------
 */

struct store_job {
    struct admin_job job;
    struct engine *engine;
    struct engine_gauges gauges;
};

static void run_store(struct message *message) {
    struct store_job *job = message_payload(message);
    engine_gauges(job->engine, &job->gauges);
}

void admin_store(struct admin_session *session, const struct admin_request *request) {
    struct message *message = message_create(ADMIN_DONE, sizeof(struct store_job));
    struct store_job *job = message_payload(message);
    job->job.request = session->request;
    job->engine = node_current()->engine;
    int error = job->engine ? actor_run_blocking(run_store, &message) : -ENOENT;
    message_destroy(message);
    if (error)
        admin_error_errno(session, error, "the store can't be asked");
}

/* The duration that so many of a thousand durable writes did not exceed, to a factor of two. */
static uint64_t sync_quantile_ns(const struct engine_gauges *gauges, unsigned per_mille) {
    uint64_t all = 0, sum = 0;
    for (unsigned i = 0; i < ENGINE_LATENCY_BUCKETS; i++)
        all += gauges->sync_latency[i];
    for (unsigned i = 0; i < ENGINE_LATENCY_BUCKETS && all; i++) {
        sum += gauges->sync_latency[i];
        if (sum * 1000 >= all * per_mille)
            return (1ull << i) * 1000;
    }
    return 0;
}

static void put_families(struct admin_writer *row, const struct engine_gauges *gauges) {
    static const char *const names[ENGINE_FAMILIES] = {
        [ENGINE_META] = "meta", [ENGINE_ACCOUNT] = "account", [ENGINE_MAIL] = "mail"};
    char name[48];
    for (unsigned i = 0; i < ENGINE_FAMILIES; i++) {
        snprintf(name, sizeof(name), "%s_keys", names[i]);
        admin_put_uint(row, name, gauges->families[i].keys);
        snprintf(name, sizeof(name), "%s_disk_bytes", names[i]);
        admin_put_uint(row, name, gauges->families[i].disk_bytes);
        snprintf(name, sizeof(name), "%s_memtable_bytes", names[i]);
        admin_put_uint(row, name, gauges->families[i].memtable_bytes);
    }
}

static void put_store(struct admin_session *session, const struct engine_gauges *gauges) {
    struct admin_writer *row = admin_row(session);
    put_families(row, gauges);
    admin_put_uint(row, "disk_bytes", gauges->disk_bytes);
    admin_put_uint(row, "compaction_pending_bytes", gauges->compaction_pending_bytes);
    admin_put_bool(row, "compacting", gauges->compacting != 0);
    admin_put_bool(row, "stalled", gauges->stalled != 0);
    admin_put_bool(row, "full", atomic_load(&node_current()->store_full));
    admin_put_uint(row, "free_bytes", gauges->space_free_bytes);
    admin_put_uint(row, "reserve_bytes", gauges->space_reserve_bytes);
    admin_put_uint(row, "cache_bytes", gauges->cache_bytes);
    admin_put_uint(row, "fsyncs", gauges->syncs);
    admin_put_uint(row, "fsync_median_ns", sync_quantile_ns(gauges, 500));
    admin_put_uint(row, "fsync_99_percent_ns", sync_quantile_ns(gauges, 990));
    admin_put_uint(row, "fsync_longest_ns", gauges->sync_ns_peak);
    admin_put_uint(row, "writes", gauges->writes);
    admin_put_uint(row, "batches", gauges->batches);
    admin_put_uint(row, "written_bytes", gauges->written_bytes);
    admin_put_uint(row, "refused_batches", gauges->refused_batches);
    admin_put_uint(row, "failed_writes", gauges->failed_writes);
    admin_row_end(session);
}

void admin_store_on_message(struct admin_session *session, struct message **message) {
    if ((*message)->kind != ADMIN_DONE)
        return;
    put_store(session, &message_as(*message, struct store_job)->gauges);
    admin_end(session);
    admin_end_send(session);
}

/* --- mail --------------------------------------------------------------------------------------
 */

struct mail_queue {
    struct device_address of;
    const struct quarantine *quarantine;
    uint64_t messages, statuses, damaged, bytes, oldest_ms;
    bool more;
};
struct mail_job {
    struct admin_job job;
    struct engine *engine;
    const struct quarantine *quarantine; /* what must not be looked at again */
    int error;
    uint64_t user; /* 0: by its phone number */
    char digits[24];
    char phone[32];
    uint32_t count;
    struct mail_queue queues[FORMAT_DEVICES_MAX];
};

static int count_entry(void *context, uint64_t sequence, struct engine_bytes value) {
    struct mail_queue *queue = context;
    struct record_queued queued;
    queue->bytes += value.size;
    const struct quarantine_entry entry = {queue->of, sequence, value};
    if (quarantine_decode(queue->quarantine, &entry, &queued) != 0) {
        queue->damaged++;
        return 0;
    }
    if (queued.time_ms && (!queue->oldest_ms || queued.time_ms < queue->oldest_ms))
        queue->oldest_ms = queued.time_ms;
    if (queued.entry == RECORD_MAIL)
        queue->messages++;
    else
        queue->statuses++;
    return 0;
}

static void run_mail(struct message *message) {
    struct mail_job *job = message_payload(message);
    struct record_account account;
    if (!job->user)
        job->error = account_find_phone(job->engine, job->digits, &job->user);
    if (!job->error)
        job->error = account_read(job->engine, job->user, &account);
    if (job->error)
        return;
    snprintf(job->phone, sizeof(job->phone), "+%s", account.phone);
    for (; job->count < account.devices_count; job->count++) {
        struct mail_queue *queue = &job->queues[job->count];
        queue->of = (struct device_address){job->user, account.devices[job->count].device};
        queue->quarantine = job->quarantine;
        int seen =
            mail_scan(job->engine, job->user, queue->of.device, 0, ENTRIES_MAX, count_entry, queue);
        if (seen < 0) {
            job->error = seen;
            return;
        }
        queue->more = seen == ENTRIES_MAX;
    }
}

void admin_mail(struct admin_session *session, const struct admin_request *request) {
    char text[32] = "";
    if (!admin_take_text(session, request, "user", text, sizeof(text)))
        return;
    struct message *message = message_create(ADMIN_DONE, sizeof(struct mail_job));
    struct mail_job *job = message_payload(message);
    job->job.request = session->request;
    job->engine = node_current()->engine;
    job->quarantine = node_current()->quarantine;
    bool phone = text[0] == '+';
    if (phone)
        snprintf(job->digits, sizeof(job->digits), "%.23s", text + 1);
    if (phone ? !format_phone_valid(job->digits) : !decimal_read(text, 1, UINT64_MAX, &job->user)) {
        message_destroy(message);
        admin_error(session, "argument", "a user is +15550001111 or the number of one");
        return;
    }
    int error = job->engine ? actor_run_blocking(run_mail, &message) : -ENOENT;
    message_destroy(message);
    if (error)
        admin_error_errno(session, error, "the store can't be asked");
}

static void put_queue(struct admin_session *session, const struct mail_job *job,
                      const struct mail_queue *queue) {
    struct admin_writer *row = admin_row(session);
    admin_put_uint(row, "user", job->user);
    admin_put_text(row, "phone", job->phone);
    admin_put_uint(row, "device", queue->of.device);
    admin_put_uint(row, "messages", queue->messages);
    admin_put_uint(row, "statuses", queue->statuses);
    admin_put_uint(row, "damaged", queue->damaged);
    admin_put_uint(row, "stored_bytes", queue->bytes);
    if (queue->oldest_ms)
        admin_put_uint(row, "oldest_time_ms", queue->oldest_ms);
    else
        admin_put_nil(row, "oldest_time_ms");
    admin_put_bool(row, "more", queue->more);
    admin_row_end(session);
}

void admin_mail_on_message(struct admin_session *session, struct message **message) {
    if ((*message)->kind != ADMIN_DONE)
        return;
    const struct mail_job *job = message_as(*message, struct mail_job);
    if (job->error == -ENOENT) {
        admin_error(session, "not_found", "there is no such account");
        return;
    }
    if (job->error) {
        admin_error_errno(session, job->error, "the store can't be read");
        return;
    }
    for (uint32_t i = 0; i < job->count; i++)
        put_queue(session, job, &job->queues[i]);
    admin_end(session);
    admin_end_send(session);
}

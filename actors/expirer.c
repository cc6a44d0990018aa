/* SPDX-License-Identifier: Apache-2.0 */
/*
 * expirer: one per node; finds queues whose oldest mail has expired, also of people who never come.
 *
 *   resting ──EXPIRER_TICK──► looking (a pool job) ──EXPIRER_FOUND──► looking on, or resting
 *
 * A round goes over all queues once, from one to the next (a seek each, whatever lies in between),
 * in jobs of a bounded number of queues. It tells the owners' mailboxes with MAILBOX_EXPIRE, which
 * activates those that sleep; they delete the mail and tell its senders. Rounds come about eight
 * times in the life of a message, at least hourly; so mail may live an eighth longer than it need.
 */
#include "actors/messages.h"
#include "actors/node.h"
#include "actors/quarantine.h"
#include "runtime/log.h"
#include "storage/mail.h"

#include <string.h>

#define QUEUES_PER_JOB 2000u
#define FOUND_PER_JOB 200u /* mailboxes woken at once */
#define INTERVAL_MS_MIN 500u
#define INTERVAL_MS_MAX (3600u * 1000u)
#define AGAIN_MS 10u /* between the jobs of a round: others use the pool and the store too */

struct expirer {
    struct mail_position position; /* where the next job goes on */
};

struct expirer_job {
    struct engine *engine;
    const struct quarantine *quarantine;
    struct mail_position position;
    uint64_t before_ms;
    int error;
    bool end;
    unsigned found;
    uint64_t users[FOUND_PER_JOB];
};

/* What cannot be read is taken for old: its mailbox sets it aside. */
static int job_see(void *context, uint64_t user, uint32_t device, uint64_t sequence,
                   struct engine_bytes value) {
    struct expirer_job *job = context;
    const struct quarantine_entry oldest = {{user, device}, sequence, value};
    struct record_queued queued;
    bool readable = quarantine_decode(job->quarantine, &oldest, &queued) == 0;
    uint64_t oldest_ms = readable ? queued.time_ms : 0;
    if (oldest_ms < job->before_ms && (job->found == 0 || job->users[job->found - 1] != user))
        job->users[job->found++] = user;
    return job->found == FOUND_PER_JOB;
}

static void job_run(struct message *message) {
    struct expirer_job *job = message_as(message, struct expirer_job);
    job->error = mail_visit_queues(job->engine, &job->position, QUEUES_PER_JOB, job_see, job);
    job->end = job->error == 0;
}

static void look(struct expirer *expirer) {
    const struct node *node = node_current();
    struct message *message = message_create(EXPIRER_FOUND, sizeof(struct expirer_job));
    struct expirer_job *job = message_as(message, struct expirer_job);
    uint64_t now_ms = actor_wall_ms();
    job->engine = node->engine;
    job->quarantine = node->quarantine;
    job->position = expirer->position;
    job->before_ms =
        now_ms > node->limits.mail_expiry_ms ? now_ms - node->limits.mail_expiry_ms : 0;
    if (actor_run_blocking(job_run, &message)) {
        message_destroy(message);
        actor_timer_start(INTERVAL_MS_MIN, EXPIRER_TICK, 0);
    }
}

static uint64_t interval_ms(void) {
    uint64_t interval = node_current()->limits.mail_expiry_ms / 8;
    if (interval < INTERVAL_MS_MIN)
        return INTERVAL_MS_MIN;
    return interval > INTERVAL_MS_MAX ? INTERVAL_MS_MAX : interval;
}

static int expirer_init(void *state, const void *argument) {
    actor_timer_start(interval_ms(), EXPIRER_TICK, 0);
    return 0;
}

static void expirer_on_tick(void *state, struct message **message) {
    look(state);
}

static void expirer_on_found(void *state, struct message **message) {
    struct expirer *expirer = state;
    const struct expirer_job *job = message_as(*message, struct expirer_job);
    for (unsigned i = 0; i < job->found; i++) {
        struct message *tell = message_create(MAILBOX_EXPIRE, 0);
        if (actor_send_named(&mailbox_class, job->users[i], &tell))
            message_destroy(tell); /* the next round tells it */
    }
    if (job->error < 0)
        log_error("expirer: the queues can't be read: %s", strerror(-job->error));
    bool over = job->end || job->error < 0;
    expirer->position = over ? (struct mail_position){0} : job->position;
    actor_timer_start(over ? interval_ms() : AGAIN_MS, EXPIRER_TICK, 0);
}

static const struct actor_handler expirer_handlers[] = {
    [EXPIRER_TICK] = {"tick", expirer_on_tick},
    [EXPIRER_FOUND] = {"found", expirer_on_found},
};

const struct actor_class expirer_class = {
    .name = "expirer",
    .state_bytes = sizeof(struct expirer),
    .init = expirer_init,
    .handlers = expirer_handlers,
    .handler_count = sizeof(expirer_handlers) / sizeof(expirer_handlers[0]),
};
